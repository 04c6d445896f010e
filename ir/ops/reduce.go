package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/reduce"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
)

// reduceRow is the whole definition of a reduction.
type reduceRow struct {
	name, doc string
	onnx      string
	since     []int
	elem      op.Elems
	host      host.Fn
	tile      tile.Op
	logic     tile.Op // the same of bool
	elems     func(x, y dim.Expr) dim.Expr
	start     int64 // of elems; -1: the first element
}

var reduceRows = []reduceRow{
	{"sum", "sum of x", "ReduceSum", []int{1, 11, 13}, numbers, reduce.Sum, tile.RSum, tile.Nop, dim.Add, 0},
	{"mean", "sum of x divided by the number of elements", "ReduceMean", []int{1, 11, 13, 18}, numbers, reduce.Mean, tile.RSum, tile.Nop, nil, 0},
	{"prod", "product of x", "ReduceProd", []int{1, 11, 13, 18}, numbers, reduce.Prod, tile.RProd, tile.Nop, dim.Mul, 1},
	{"max", "largest x", "ReduceMax", []int{1, 11, 12, 13, 18, 20}, numbers | op.Bool, reduce.Max, tile.RMax, tile.RAny, dim.Max, -1},
	{"min", "smallest x", "ReduceMin", []int{1, 11, 12, 13, 18, 20}, numbers | op.Bool, reduce.Min, tile.RMin, tile.RAll, dim.Min, -1},
}

func reduceDefs() []*op.Def {
	l := []*op.Def{argDef("argmax", "largest", reduce.ArgMax, tile.RArgMax, "ArgMax"), argDef("argmin", "smallest", reduce.ArgMin, tile.RArgMin, "ArgMin")}
	for _, r := range reduceRows {
		l = append(l, &op.Def{
			Name: "reduce_" + r.name,
			Doc:  "y = " + r.doc + " over axes, which keep an extent of 1 or disappear.",
			From: []op.Source{{Op: r.onnx, Since: r.since, Import: importReduce(reducing(r.name))}},
			Sig: anyAnd(op.Sig{In: []op.Arg{{Name: "x", Elem: r.elem}}, Out: []op.Arg{{Name: "y"}},
				Attrs: []op.Attr{{Name: "axes", Kind: attr.Ints}, boolAttr("keepdims", true), boolAttr("noop_with_empty_axes", false)}}, "axes"),
			Infer: func(c *op.Infer) error { return inferReduce(c, r) },
			Form:  func(f *op.Form) error { return formReduce(f, r) },
			Host:  r.host,
			VJP:   todo,
			Cases: func(c *op.Cases) { reduceCases(c, r.elem) },
		})
	}
	return l
}

func reduceCases(c *op.Cases, elem op.Elems) {
	axes := func(keep bool, l ...int64) attr.List { return named("axes", l, "keepdims", keep) }
	c.With(axes(true, 1), axes(false, 1), axes(false, 0, 2), axes(true, 0, 1, 2), axes(false, 0, 1, 2)).Shapes("[B, 3, S]")
	c.With(axes(false, 0)).Shapes("[0, 3]").Shapes("[5]")
	for _, t := range []dtype.Type{dtype.F16, dtype.F64, dtype.I64, dtype.U64, dtype.I8, dtype.Bool} {
		if elem.Has(t) {
			c.Elem(t).Shapes("[3, 2]")
		}
	}
}

// inferReduce also handles axes that are data: each axis may then shrink to 1 or, where the rank changes,
// be any.
func inferReduce(c *op.Infer, r reduceRow) error {
	x := c.Shape(0)
	_, fixed := c.N.Attrs.Get("axes")
	if !fixed {
		if !c.Has(1) {
			return fmt.Errorf("axes are missing")
		}
		if c.Bool("keepdims") {
			shape := make([]dim.Expr, len(x))
			for i, e := range x {
				shape[i] = c.Late(0, i, dim.Max(e, dim.Const(1)))
			}
			c.Set(0, c.Elem(0), shape)
			return nil
		}
		n, err := length(c.Node, 1)
		if err != nil {
			return err
		}
		if n == 0 && !c.Bool("noop_with_empty_axes") {
			n = len(x)
		}
		if n > len(x) {
			return fmt.Errorf("%d axes of a tensor of rank %d", n, len(x))
		}
		var hi dim.Expr
		for _, e := range x {
			hi = dim.Max(hi, e)
		}
		c.Set(0, c.Elem(0), lateShape(c, 0, len(x)-n, hi))
		return nil
	}
	if c.Has(1) {
		return fmt.Errorf("axes are given as attribute and as operand")
	}
	axes, err := normAxes(c.Ints("axes"), len(x))
	if err != nil {
		return err
	}
	c.Set(0, c.Elem(0), reducedShape(x, axes, c.Bool("keepdims")))
	if r.elems != nil {
		reduceElems(c, axes, r)
	}
	return nil
}

func reducedShape(x []dim.Expr, axes []int64, keep bool) []dim.Expr {
	shape := []dim.Expr{}
	for i, e := range x {
		switch {
		case len(axes) == 0 || axes[0] != int64(i):
			shape = append(shape, e)
		default:
			axes = axes[1:]
			if keep {
				shape = append(shape, dim.Const(1))
			}
		}
	}
	return shape
}

// reduceElems computes known contents.
func reduceElems(c *op.Infer, axes []int64, r reduceRow) {
	x, ok := contents(c.Node, 0)
	shape, fixed := extents(c.Shape(0))
	if !ok || !fixed || c.Elem(0) == dtype.Bool {
		return
	}
	kept := append([]int(nil), shape...)
	for _, a := range axes {
		kept[a] = 1
	}
	strides := tensor.Strides(kept)
	for _, a := range axes {
		strides[a] = 0
	}
	n, ok := tensor.Count(kept)
	if !ok || n > ir.FoldLimit || r.start < 0 && len(x) == 0 {
		return
	}
	out, seen := make([]dim.Expr, n), make([]bool, n)
	for i := range out {
		out[i] = dim.Const(max(r.start, 0))
	}
	host.Each(shape, [][]int{strides}, func(at int, off []int) {
		k := off[0]
		if r.start < 0 && !seen[k] {
			out[k] = x[at]
		} else {
			out[k] = r.elems(out[k], x[at])
		}
		seen[k] = true
	})
	c.SetElems(0, out)
}

func formReduce(f *op.Form, r reduceRow) error {
	if f.Has(1) {
		return f.No("the axes are data")
	}
	t := f.Elem(0)
	class, err := f.Class(t)
	if err != nil {
		return err
	}
	code := r.tile
	if class == tile.Mask {
		code = r.logic
	}
	mean := r.elems == nil
	if mean && !t.IsFloat() {
		return f.No("element type %v", t)
	}
	axes, err := normAxes(f.Ints("axes"), f.Rank(0))
	if err != nil {
		return err
	}
	if len(axes) == 0 {
		return form1(func(_ *tile.Builder, x tile.Reg) tile.Reg { return x })(f)
	}
	red := make([]int, len(axes))
	count := dim.Const(1)
	for i, a := range axes {
		red[i] = int(a)
		count = dim.Mul(count, f.Shape(0)[a])
	}
	b := tile.NewBuilder()
	y := b.Op1(code, b.Load(0, t))
	if mean {
		f.Dims = []dim.Expr{count}
		y = b.Op2(tile.Div, y, b.Cast(class, b.Dim(0)))
	}
	if lo, hi := t.IntRange(); t.IsInt() && t.Bits() < 64 { // of no elements: the end of t's range, not of the sum's
		switch code {
		case tile.RMax:
			y = b.Op2(tile.Max, y, b.Number(class, float64(lo)))
		case tile.RMin:
			y = b.Op2(tile.Min, y, b.Number(class, float64(hi)))
		}
	}
	b.Store(1, b.Narrow(t, y))
	if b.Err() != nil {
		return b.Err()
	}
	return f.Rows(red, false, f.Bool("keepdims"), b.Program())
}

func argDef(name, doc string, fn host.Fn, code tile.Op, onnx string) *op.Def {
	return &op.Def{
		Name: name,
		Doc:  "y = position of the first " + doc + " x along axis, the last where select_last is set.",
		From: []op.Source{{Op: onnx, Since: []int{1, 11}}, {Op: onnx, Since: []int{12, 13}, Import: importArg(name)}},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: numbers}}, Out: []op.Arg{{Name: "y"}},
			Attrs: []op.Attr{intAttr("axis", 0), boolAttr("keepdims", true), boolAttr("select_last", false)}},
		Infer: func(c *op.Infer) error {
			axis, err := c.Axis("axis", c.Rank(0))
			if err != nil {
				return err
			}
			c.Set(0, dtype.I64, reducedShape(c.Shape(0), []int64{int64(axis)}, c.Bool("keepdims")))
			return nil
		},
		Form: func(f *op.Form) error {
			if f.Bool("select_last") {
				return f.No("the last of equal elements is asked for")
			}
			if _, err := f.Class(f.Elem(0)); err != nil {
				return err
			}
			axis, err := f.Axis("axis", f.Rank(0))
			if err != nil {
				return err
			}
			b := tile.NewBuilder()
			b.Store(1, b.Op1(code, b.Load(0, f.Elem(0))))
			if b.Err() != nil {
				return b.Err()
			}
			return f.Rows([]int{axis}, false, f.Bool("keepdims"), b.Program())
		},
		Host: fn,
		VJP:  discrete,
		Cases: func(c *op.Cases) {
			c.With(nil, named("axis", -1, "keepdims", false), named("axis", 1, "select_last", true)).Shapes("[B, 5, 3]").With(named("axis", 0, "keepdims", false)).Shapes("[4]")
			c.Elem(dtype.I32).Shapes("[4]").Elem(dtype.U64).Shapes("[4]").Elem(dtype.F16).Shapes("[4]")
		},
	}
}

func importArg(name string) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 1, 1); err != nil {
			return nil, err
		}
		l := named()
		for _, a := range [][2]string{{"axis", "axis"}, {"keepdims", "keepdims"}, {"select_last_index", "select_last"}} {
			if v, ok := c.Model.Attr(a[0]); ok {
				l = l.Set(a[1], v)
			}
		}
		return []*ir.Value{c.CallWith(name, l, c.In(0))}, c.Err()
	}
}
