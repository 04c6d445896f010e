package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/host/index"
	"github.com/llmc-go/llmc/ir/op"
)

// memoryDefs are operators on what tensors hold, whatever it means.
func memoryDefs() []*op.Def { return []*op.Def{&TensorScatter, &BitCast} }

// stored are the element types that have bits.
var stored = op.Tensors &^ op.Set(dtype.String)

// TensorScatter writes new rows into a cache.
var TensorScatter = op.Def{
	Name: "tensor_scatter",
	Doc:  "y = x with y[b, ..., start[b] + i, ...] = update[b, ..., i, ...] along axis; in mode circular positions are taken modulo its extent; clear makes what lies behind the last written one 0.",
	From: []op.Source{{Op: "TensorScatter", Since: []int{24}, Import: func(c *op.Import) ([]*ir.Value, error) {
		l := named("axis", modelInt(c, "axis", -2), "mode", modelStr(c, "mode", "linear"))
		return []*ir.Value{c.CallWith("tensor_scatter", l, c.N.In...)}, c.Err()
	}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: stored}, {Name: "update", Elem: stored}, {Name: "start", Elem: op.Index, Optional: true}},
		Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{intAttr("axis", -2), strAttr("mode", "linear"), boolAttr("clear", false)}},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1); err != nil {
			return err
		}
		axis, err := c.Axis("axis", c.Rank(0))
		if err != nil {
			return err
		}
		if m := c.Str("mode"); m != "linear" && m != "circular" {
			return fmt.Errorf("mode: %q is not known", m)
		}
		if axis == 0 || c.Rank(1) != c.Rank(0) {
			return fmt.Errorf("updates of shape %v for %v along axis %d", c.Shape(1), c.Shape(0), axis)
		}
		for i, e := range c.Shape(0) {
			if i == axis {
				continue
			}
			if err := c.Guard(c.Shape(1)[i], e, "updates"); err != nil {
				return err
			}
		}
		if c.Has(2) {
			if err := c.Guard(dim.Product(c.Shape(2)), c.Shape(0)[0], "positions"); err != nil {
				return err
			}
		}
		return c.Same(0, 0)
	},
	Host: index.TensorScatter,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.F32, dtype.I64).Range(0, 3).With(nil, named("mode", "circular"), named("clear", true)).Shapes("[B, 2, S + 5, 3]", "[B, 2, 2, 3]", "[B]").Shapes("[2, 5, 3]", "[2, 4, 3]", "_")
		c.Elem(dtype.U4, dtype.U4, dtype.I32).With(named("axis", 1)).Shapes("[2, 6, 3]", "[2, 2, 3]", "[2]")
	},
}

// BitCast reads bits as another type.
var BitCast = op.Def{
	Name: "bit_cast",
	Doc:  "y = the bits of x read as elements of another type, lower bits first; the last axis is as much longer as they are narrower.",
	From: []op.Source{{Op: "BitCast", Since: []int{26}, Import: func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 1, 1); err != nil {
			return nil, err
		}
		to, err := modelType(c, "to")
		if err != nil {
			return nil, err
		}
		if to.Bits() != c.Elem(0).Bits() {
			return nil, fmt.Errorf("%v as %v, which is not as wide", c.Elem(0), to)
		}
		return []*ir.Value{c.CallWith("bit_cast", named("to", to), c.In(0))}, c.Err()
	}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: stored}}, Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "to", Kind: attr.Elem, Required: true}}},
	Infer: func(c *op.Infer) error {
		to := c.N.Attrs.Elem("to")
		if !stored.Has(to) {
			return fmt.Errorf("to: element type %v", to)
		}
		shape := append([]dim.Expr(nil), c.Shape(0)...)
		if from, to := c.Elem(0).Bits(), to.Bits(); from != to {
			r := len(shape) - 1
			if r < 0 {
				return fmt.Errorf("a scalar of %d bits as %d", from, to)
			}
			bits := dim.Mul(shape[r], dim.Const(int64(from)))
			n := dim.Div(bits, dim.Const(int64(to)))
			if err := c.Guard(dim.Mul(n, dim.Const(int64(to))), bits, "bits"); err != nil {
				return err
			}
			shape[r] = n
		}
		c.Set(0, to, shape)
		return nil
	},
	Host: elementwise.BitCast,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.With(named("to", dtype.I32)).Shapes("[B, 3]").Shapes("[]").With(named("to", dtype.U8)).Shapes("[B, 3]")
		c.Elem(dtype.U8).With(named("to", dtype.U4)).Shapes("[3, B]").With(named("to", dtype.I32)).Shapes("[3, 4*B]")
	},
}
