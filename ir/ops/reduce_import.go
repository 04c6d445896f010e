package ops

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/op"
)

// reduction applies reduce_<name> over the axes that a model's node states.
type reduction struct {
	*op.Import
	attrs attr.List
	axes  *ir.Value // where they are data
	none  bool      // over no axes: the values themselves
}

func (r *reduction) over(name string, x *ir.Value, keep bool) *ir.Value {
	if r.none || r.Err() != nil {
		return x
	}
	l := r.attrs.Set("keepdims", attr.OfBool(keep))
	if r.axes != nil {
		return r.CallWith("reduce_"+name, l, x, r.axes)
	}
	return r.CallWith("reduce_"+name, l, x)
}

// importReduce reads axes (an attribute, then an operand), keepdims and noop_with_empty_axes.
func importReduce(f func(r *reduction, x *ir.Value, keep bool) *ir.Value) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 1, 2); err != nil {
			return nil, err
		}
		x, keep := c.In(0), true
		if a, ok := c.Model.Attr("keepdims"); ok {
			keep = a.I != 0
		}
		noop, _ := c.Model.Attr("noop_with_empty_axes")
		r := &reduction{Import: c}
		axes, _, known := intList(c, "axes", 1)
		if !known {
			r.attrs, r.axes = named("noop_with_empty_axes", noop.I != 0), c.In(1)
			y := f(r, x, keep)
			return []*ir.Value{y}, c.Err()
		}
		if len(axes) == 0 && noop.I == 0 {
			axes = upTo(x.Rank())
		}
		axes, err := normAxes(axes, x.Rank())
		if err != nil {
			return nil, err
		}
		r.attrs, r.none = named("axes", axes), len(axes) == 0
		y := f(r, x, keep)
		return []*ir.Value{y}, c.Err()
	}
}

func reducing(name string) func(*reduction, *ir.Value, bool) *ir.Value {
	return func(r *reduction, x *ir.Value, keep bool) *ir.Value { return r.over(name, x, keep) }
}

// reduceSpellings are reductions of something of x, or something of reductions.
func reduceSpellings() []op.Source {
	row := func(name string, since []int, f func(r *reduction, x *ir.Value, keep bool) *ir.Value) op.Source {
		return op.Source{Op: name, Since: since, Import: importReduce(f)}
	}
	old, newest := []int{1, 11, 13, 18}, []int{1, 11, 13, 18, 28}
	return []op.Source{
		row("ReduceL1", old, func(r *reduction, x *ir.Value, keep bool) *ir.Value {
			return r.over("sum", r.Call("abs", x), keep)
		}),
		row("ReduceL2", old, func(r *reduction, x *ir.Value, keep bool) *ir.Value {
			return r.Call("sqrt", r.over("sum", r.Call("mul", x, x), keep))
		}),
		row("ReduceSumSquare", old, func(r *reduction, x *ir.Value, keep bool) *ir.Value {
			return r.over("sum", r.Call("mul", x, x), keep)
		}),
		row("ReduceLogSum", newest, func(r *reduction, x *ir.Value, keep bool) *ir.Value {
			return r.Call("log", r.over("sum", x, keep))
		}),
		row("ReduceLogSumExp", newest, logSumExp),
	}
}

// logSumExp is m + log(sum(exp(x - m))) with m the largest x, or 0 where that is infinite.
func logSumExp(r *reduction, x *ir.Value, keep bool) *ir.Value {
	m := r.over("max", x, true)
	m = r.Call("where", r.Call("isinf", m), r.Like(x, 0), m)
	s := r.Call("log", r.over("sum", r.Call("exp", r.Call("sub", x, m)), keep))
	if !keep {
		m = r.over("max", m, false)
	}
	return r.Call("add", s, m)
}
