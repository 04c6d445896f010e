package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/index"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
)

// fillDefs are operators that make elements from positions, or fill around and beside given ones.
func fillDefs() []*op.Def { return []*op.Def{&Range, &Trilu, &Pad} }

// Range counts.
var Range = op.Def{
	Name: "range",
	Doc:  "y[i] = start + i*delta for i < ceil((limit - start) / delta).",
	From: []op.Source{{Op: "Range", Since: []int{11, 27}, Import: importRange}},
	Sig:  op.Sig{In: []op.Arg{{Name: "start", Elem: op.Number}, {Name: "limit", Elem: op.Number}, {Name: "delta", Elem: op.Number}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1, 2); err != nil {
			return err
		}
		n, ok, err := rangeLen(c)
		if err != nil {
			return err
		}
		if !ok {
			n = c.Late(0, 0, unbounded)
		}
		c.Set(0, c.Elem(0), []dim.Expr{n})
		count, fixed := n.Int()
		if !ok || !fixed || count > ir.FoldLimit || !c.Elem(0).IsInt() {
			return nil
		}
		start, ok1 := wholeNumber(c.Node, c.In(0))
		delta, ok2 := wholeNumber(c.Node, c.In(2))
		if ok1 && ok2 {
			l := make([]dim.Expr, count)
			for i := range l {
				l[i] = dim.Add(start, dim.Mul(delta, dim.Const(int64(i))))
			}
			c.SetElems(0, l)
		}
		return nil
	},
	Form: formRange,
	Host: index.Range,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32).Range(1, 4).Shapes("[]", "[]", "[]").Elem(dtype.I64).Shapes("[]", "[]", "[]").Elem(dtype.I32).Range(-5, -1).Shapes("[1]", "[]", "[]")
	},
}

// importRange counts in i64 where operands are whole numbers made of extents, so that it is known from the operands how
// many there are. Else every element is computed in f64 and rounded once, whatever stash_type says.
func importRange(c *op.Import) ([]*ir.Value, error) {
	in := append([]*ir.Value(nil), c.N.In...)
	fixed := len(in) == 3
	for i, v := range in {
		e, ok := wholeNumber(c.Node, v)
		if !ok || v.Type.Elem != dtype.F32 && v.Type.Elem != dtype.F64 || v.Type.Elem != c.N.In[0].Type.Elem {
			return []*ir.Value{c.Call("range", c.N.In...)}, c.Err()
		}
		_, number := e.Int()
		fixed = fixed && number
		in[i] = c.Builder.Dims(ir.TensorType(dtype.I64), []dim.Expr{e})
	}
	if fixed || len(in) != 3 {
		return []*ir.Value{c.Call("range", c.N.In...)}, c.Err()
	}
	return []*ir.Value{c.Cast(c.Call("range", in...), c.N.In[0].Type.Elem)}, c.Err()
}

// rangeLen is the number of elements: exact for constants, an expression where the step is a known whole number.
func rangeLen(c *op.Infer) (n dim.Expr, ok bool, err error) {
	var t [3]*tensor.Tensor
	for i := range t {
		if t[i] = c.Const(i); t[i] != nil && t[i].Len() != 1 {
			return n, false, fmt.Errorf("operand %d: want one element, got shape %v", i, t[i].Shape)
		}
	}
	if t[0] != nil && t[1] != nil && t[2] != nil && t[0].Elem.IsFloat() {
		f := math.Ceil((t[1].Float(0) - t[0].Float(0)) / t[2].Float(0))
		if math.IsNaN(f) || f > 1<<40 {
			return n, false, fmt.Errorf("a range from %v to %v by %v", t[0].Float(0), t[1].Float(0), t[2].Float(0))
		}
		return dim.Const(int64(max(f, 0))), true, nil
	}
	start, ok1 := wholeNumber(c.Node, c.In(0))
	limit, ok2 := wholeNumber(c.Node, c.In(1))
	delta, ok3 := wholeNumber(c.Node, c.In(2))
	step, known := delta.Int()
	if !ok1 || !ok2 || !ok3 || !known {
		return n, false, nil
	}
	if step == 0 {
		return n, false, fmt.Errorf("a range by 0")
	}
	span := dim.Sub(limit, start)
	if step < 0 {
		span, step = dim.Neg(span), -step
	}
	n = dim.CeilDiv(span, dim.Const(step))
	if c.Scope().Prove(n, dim.Ge, dim.Const(0)) != dim.Yes {
		n = dim.Max(n, dim.Const(0))
	}
	return n, true, nil
}

func formRange(f *op.Form) error {
	t := f.OutElem(0)
	class, err := f.Class(t)
	if err != nil {
		return err
	}
	if f.M.Dims.Late(f.OutShape(0)[0]) || t.IsFloat() && t.Bits() < 32 {
		return f.No("an unknown length, or elements of type %v", t)
	}
	f.Anchor = anchor.Map
	f.Par(f.OutShape(0))
	b := tile.NewBuilder()
	scalar := func(i int) tile.Reg { return b.Load(i, f.Elem(i)) }
	for i := range 3 {
		m := make(op.Map, f.Rank(i))
		for k := range m {
			m[k] = op.At{Axis: -1}
		}
		f.Maps = append(f.Maps, m)
	}
	f.Maps[1] = nil // the limit is in the extent
	f.Maps = append(f.Maps, op.Map{{Axis: 0}})
	y := b.Op2(tile.Add, scalar(0), b.Op2(tile.Mul, b.Cast(class, b.Index(0)), scalar(2)))
	b.Store(f.Out(0), b.Narrow(t, y))
	f.Prog = b.Program()
	return b.Err()
}

// Trilu keeps a triangle of the last two axes.
var Trilu = op.Def{
	Name: "trilu",
	Doc:  "y[..., i, j] = x[..., i, j] where j - i >= k (upper 0: <= k), else 0.",
	From: []op.Source{{Op: "Trilu", Since: []int{14}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "k", Elem: i64Only, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{boolAttr("upper", true)}},
	Infer: func(c *op.Infer) error {
		if c.Rank(0) < 2 {
			return fmt.Errorf("shape %v: want rank 2 or more", c.Shape(0))
		}
		return c.Same(0, 0)
	},
	Form: formTrilu,
	Host: index.Trilu,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(nil, named("upper", false)).Shapes("[4, 5]").Elem(dtype.F32, dtype.I64).Shapes("[B, 4, 3]", "[]").Shapes("[3, 4]", "[1]")
		c.Elem(dtype.Bool, dtype.I64).Shapes("[4, 4]", "[]").Elem(dtype.I64).Shapes("[B, 4, 3]", "[]").Elem(dtype.F16, dtype.I64).Shapes("[3, 3]")
	},
}

func formTrilu(f *op.Form) error {
	t := f.Elem(0)
	class, err := f.Class(t)
	if err != nil {
		return err
	}
	if op.Small.Has(t) {
		return f.No("element type %v", t)
	}
	f.Anchor = anchor.Map
	f.Par(f.OutShape(0))
	all := make(op.Map, len(f.Space))
	for i := range all {
		all[i] = op.At{Axis: i}
	}
	f.Maps = []op.Map{all}
	b := tile.NewBuilder()
	d := b.Op2(tile.Sub, b.Index(len(all)-1), b.Index(len(all)-2))
	k := b.Int(tile.I64, 0)
	if f.NumIn() > 1 {
		f.Maps = append(f.Maps, nil)
	}
	if f.Has(1) {
		m := make(op.Map, f.Rank(1))
		for i := range m {
			m[i] = op.At{Axis: -1}
		}
		f.Maps[1] = m
		k = b.Load(1, dtype.I64)
	}
	f.Maps = append(f.Maps, all)
	cmp := tile.Le
	if f.Bool("upper") {
		cmp = tile.Ge
	}
	y := b.Select(b.Op2(cmp, d, k), b.Load(0, t), b.Number(class, 0))
	b.Store(f.Out(0), b.Narrow(t, y))
	f.Prog = b.Program()
	return b.Err()
}

// Pad puts elements around a tensor.
var Pad = op.Def{
	Name: "pad",
	Doc:  "x with begins[a] elements before and ends[a] behind it along every axis a, negative ones cut; mode constant (value, or 0), edge, reflect or wrap.",
	From: []op.Source{{Op: "Pad", Since: []int{1, 2, 11, 13, 18, 19, 21, 23, 24, 25}, Import: importPad}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "value", Elem: op.Tensors, Optional: true}, {Name: "pads", Elem: i64Only, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("mode", "constant"), {Name: "begins", Kind: attr.Dims}, {Name: "ends", Kind: attr.Dims}}},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1); err != nil {
			return err
		}
		switch m := c.Str("mode"); m {
		case "constant", "edge", "reflect", "wrap":
		default:
			return fmt.Errorf("mode: %q is not known", m)
		}
		shape := make([]dim.Expr, c.Rank(0))
		begins, ends := c.Dims("begins"), c.Dims("ends")
		if l, ok := contents(c.Node, 2); ok {
			if len(l) != 2*len(shape) {
				return fmt.Errorf("pads: want %d values, got %d", 2*len(shape), len(l))
			}
			begins, ends = l[:len(shape)], l[len(shape):]
		} else if c.Has(2) {
			for i := range shape {
				shape[i] = c.Late(0, i, unbounded)
			}
			c.Set(0, c.Elem(0), shape)
			return nil
		}
		if len(begins) != len(shape) || len(ends) != len(shape) {
			return fmt.Errorf("want %d begins and ends, got %d and %d", len(shape), len(begins), len(ends))
		}
		for i, e := range c.Shape(0) {
			shape[i] = dim.Add(e, dim.Add(begins[i], ends[i]))
		}
		c.Set(0, c.Elem(0), shape)
		switch {
		case c.Has(1):
			moved(c, index.Pad, 0, 1)
		case c.Str("mode") != "constant":
			moved(c, index.Pad, 0)
		}
		return nil
	},
	Host: index.Pad,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		pads := func(mode string, v ...int64) attr.List {
			e := make([]dim.Expr, len(v))
			for i := range v {
				e[i] = dim.Const(v[i])
			}
			return named("mode", mode, "begins", e[:len(e)/2], "ends", e[len(e)/2:])
		}
		c.With(pads("constant", 1, 0, 2, 1), pads("constant", -1, 1, 0, -1), pads("edge", 1, 2, 3, 0), pads("reflect", 1, 2, 1, 2), pads("wrap", 4, 0, 0, 5))
		c.Shapes("[3, 4]").Shapes("[3, 4]", "[]").Shapes("[B + 3, 4]").Elem(dtype.I8).Shapes("[3, 4]")
	},
}

// importPad reads pads from attributes (versions 1 and 2) or operands, spreads them over all axes, and makes them
// attributes where they are known.
func importPad(c *op.Import) ([]*ir.Value, error) {
	x := c.In(0)
	if x == nil {
		return nil, fmt.Errorf("operand 0 is missing")
	}
	r := x.Rank()
	value, pads := c.In(2), c.In(1)
	if c.Version < 11 {
		l := modelInts(c, "pads")
		if l == nil {
			l = modelInts(c, "paddings")
		}
		pads, value = c.Builder.Ints(l...), c.Like(x, modelFloat(c, "value", 0))
	}
	if pads == nil {
		return nil, fmt.Errorf("pads is missing")
	}
	if axes := c.In(3); axes != nil {
		// zeros [2, rank] with the given numbers in the columns that axes names
		n := dim.Product(axes.Type.Shape)
		two := []dim.Expr{dim.Const(2), n}
		zeros := c.Builder.Const("", tensor.New(dtype.I64, 2, r))
		at := c.ExpandTo(c.Reshape(c.Cast(axes, dtype.I64), []dim.Expr{dim.Const(1), n}), two)
		pads = c.CallWith("scatter_elements", named("axis", 1), zeros, at, c.Reshape(pads, two))
		pads = c.Reshape(pads, []dim.Expr{dim.Const(int64(2 * r))})
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	l := named("mode", modelStr(c, "mode", "constant"))
	if value != nil && value.Rank() > 0 {
		value = c.Reshape(value, nil)
	}
	if e := pads.Elems; len(e) == 2*r {
		l = append(l, named("begins", e[:r:r], "ends", e[r:])...)
		return []*ir.Value{c.CallWith("pad", l, x, value)}, c.Err()
	}
	return []*ir.Value{c.CallWith("pad", l, x, value, pads)}, c.Err()
}
