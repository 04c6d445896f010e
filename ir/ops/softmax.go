package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/norm"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func softmaxDefs() []*op.Def {
	return []*op.Def{
		softmaxDef("softmax", "Softmax", "y = exp(x - max(x)) / sum(exp(x - max(x))) along axis.", norm.Softmax,
			func(b *op.Build, x, d, e *ir.Value, axis int) *ir.Value {
				return b.Call("div", e, b.Reduce("sum", e, axis))
			},
			func(b *tile.Builder, d, e tile.Reg) tile.Reg { return b.Op2(tile.Div, e, b.Op1(tile.RSum, e)) }),
		softmaxDef("log_softmax", "LogSoftmax", "y = x - max(x) - log(sum(exp(x - max(x)))) along axis.", norm.LogSoftmax,
			func(b *op.Build, x, d, e *ir.Value, axis int) *ir.Value {
				return b.Call("sub", d, b.Call("log", b.Reduce("sum", e, axis)))
			},
			func(b *tile.Builder, d, e tile.Reg) tile.Reg {
				return b.Op2(tile.Sub, d, b.Op1(tile.Log, b.Op1(tile.RSum, e)))
			}),
	}
}

// softmaxDef: expand and body get d = x - max(x) and e = exp(d).
func softmaxDef(name, onnx, doc string, fn host.Fn, expand func(b *op.Build, x, d, e *ir.Value, axis int) *ir.Value,
	body func(b *tile.Builder, d, e tile.Reg) tile.Reg) *op.Def {
	return &op.Def{
		Name: name,
		Doc:  doc,
		From: []op.Source{
			{Op: onnx, Since: []int{1, 11}, Import: importFlatSoftmax(name)},
			{Op: onnx, Since: []int{13}},
		},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{intAttr("axis", -1)}},
		Infer: func(c *op.Infer) error {
			if _, err := c.Axis("axis", c.Rank(0)); err != nil {
				return err
			}
			return c.Same(0, 0)
		},
		Form: func(f *op.Form) error {
			axis, err := f.Axis("axis", f.Rank(0))
			if err != nil {
				return err
			}
			t := f.Elem(0)
			b := tile.NewBuilder()
			x := b.Load(0, t)
			d := b.Op2(tile.Sub, x, b.Op1(tile.RMax, x))
			b.Store(1, b.Narrow(t, body(b, d, b.Op1(tile.Exp, d))))
			if b.Err() != nil {
				return b.Err()
			}
			return f.Rows([]int{axis}, true, false, b.Program())
		},
		Expand: func(b *op.Build) ([]*ir.Value, error) {
			axis, err := b.Axis("axis", b.Rank(0))
			if err != nil {
				return nil, err
			}
			x := widen(b, b.In(0))
			d := b.Call("sub", x, b.Reduce("max", x, axis))
			y := expand(b, x, d, b.Call("exp", d), axis)
			return []*ir.Value{b.Cast(y, b.Elem(0))}, b.Err()
		},
		Host: fn,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.With(nil, named("axis", 0), named("axis", 1)).Shapes("[4, 9]").Shapes("[B, S, 3]").Shapes("[0, 3]").With(nil).Shapes("[1]").Range(-90, 90).Shapes("[3, 5]")
			c.Range(-2, 2).Elem(dtype.F64).Shapes("[3, 4]").Elem(dtype.F16).Tol(2e-3).Shapes("[3, 4]")
		},
	}
}

// widen converts 16-bit floats to f32: composites are as exact as kernels, which compute in f32.
func widen(b *op.Build, x *ir.Value) *ir.Value {
	if x != nil && x.Type.Elem.Bits() < 32 {
		return b.Cast(x, dtype.F32)
	}
	return x
}

// importFlatSoftmax reads versions before 13, which see x as a matrix whose rows are the axes from axis on.
func importFlatSoftmax(name string) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 1, 1); err != nil {
			return nil, err
		}
		x := c.In(0)
		a, ok := c.Model.Attr("axis")
		if !ok {
			a = attr.OfInt(1)
		}
		axis := a.I
		if axis < 0 {
			axis += int64(x.Rank())
		}
		if axis < 0 || axis > int64(x.Rank()) {
			return nil, fmt.Errorf("axis %d of a tensor of rank %d", a.I, x.Rank())
		}
		s := x.Type.Shape
		if int(axis) == x.Rank()-1 {
			return []*ir.Value{c.CallWith(name, named("axis", axis), x)}, c.Err()
		}
		flat := c.Reshape(x, []dim.Expr{dim.Product(s[:axis]), dim.Product(s[axis:])})
		y := c.CallWith(name, named("axis", 1), flat)
		return []*ir.Value{c.Reshape(y, s)}, c.Err()
	}
}
