package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Attributes of signatures.
func intAttr(name string, def int64) op.Attr {
	return op.Attr{Name: name, Kind: attr.Int, Default: attr.OfInt(def)}
}

func floatAttr(name string, def float64) op.Attr {
	return op.Attr{Name: name, Kind: attr.Float, Default: attr.OfFloat(def)}
}

func boolAttr(name string, def bool) op.Attr {
	return op.Attr{Name: name, Kind: attr.Bool, Default: attr.OfBool(def)}
}

func strAttr(name, def string) op.Attr {
	return op.Attr{Name: name, Kind: attr.Str, Default: attr.OfStr(def)}
}

// named makes an attribute list from pairs of a name and a value.
func named(pairs ...any) attr.List {
	var l attr.List
	for i := 0; i+1 < len(pairs); i += 2 {
		var v attr.Value
		switch x := pairs[i+1].(type) {
		case int:
			v = attr.OfInt(int64(x))
		case int64:
			v = attr.OfInt(x)
		case float64:
			v = attr.OfFloat(x)
		case bool:
			v = attr.OfBool(x)
		case string:
			v = attr.OfStr(x)
		case []int64:
			v = attr.OfInts(x)
		case []dim.Expr:
			v = attr.OfDims(x)
		case dtype.Type:
			v = attr.OfElem(x)
		case attr.Value:
			v = x
		}
		l = append(l, attr.Named{Name: pairs[i].(string), Value: v})
	}
	return l
}

// contents is the known contents of operand i; a tensor without elements is always known.
func contents(c op.Node, i int) ([]dim.Expr, bool) {
	if !c.Has(i) {
		return nil, false
	}
	if e := c.Elems(i); e != nil {
		return e, true
	}
	return []dim.Expr{}, dim.Product(c.Shape(i)).IsConst(0)
}

// ints is contents where all are numbers.
func ints(c op.Node, i int) ([]int64, bool) {
	l, ok := contents(c, i)
	if !ok {
		return nil, false
	}
	return constants(l)
}

// constants are the values of expressions that are all numbers.
func constants(l []dim.Expr) ([]int64, bool) {
	out := make([]int64, len(l))
	for i, e := range l {
		v, ok := e.Int()
		if !ok {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

// extents are the values of a shape of numbers.
func extents(shape []dim.Expr) ([]int, bool) {
	l, ok := constants(shape)
	out := make([]int, len(l))
	for i, v := range l {
		if out[i] = int(v); v < 0 || v > 1<<40 {
			return nil, false
		}
	}
	return out, ok
}

// normAxes resolves negative axes, refuses repeated ones, and sorts them.
func normAxes(axes []int64, rank int) ([]int64, error) {
	seen := make([]bool, rank)
	for _, a := range axes {
		v, err := host.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		if seen[v] {
			return nil, fmt.Errorf("axis %d is listed twice", a)
		}
		seen[v] = true
	}
	out := []int64{}
	for i, s := range seen {
		if s {
			out = append(out, int64(i))
		}
	}
	return out, nil
}

// moved fills in the contents of results of an operator that only moves elements: the host function moves
// the numbers of the elements, and the results say where each came from. data lists the operands that are moved; the
// others must be constants.
func moved(c *op.Infer, fn host.Fn, data ...int) {
	in := make([]*tensor.Tensor, c.NumIn())
	var all []dim.Expr
	isData := map[int]bool{}
	for _, i := range data {
		isData[i] = true
		e, ok := contents(c.Node, i)
		shape, fixed := extents(c.Shape(i))
		if !ok || !fixed {
			return
		}
		in[i] = tensor.New(dtype.I64, shape...)
		for k := range e {
			in[i].SetInt(k, int64(len(all)+k))
		}
		all = append(all, e...)
	}
	for i := range in {
		if isData[i] || !c.Has(i) {
			continue
		}
		if in[i] = c.Const(i); in[i] == nil {
			return
		}
	}
	for _, a := range c.N.Attrs {
		if _, ok := constants(a.Value.Dims); !ok {
			return
		}
	}
	types := make([]dtype.Type, len(c.N.Out))
	for i, o := range c.N.Out {
		n, ok := dim.Product(o.Type.Shape).Int()
		if !ok || n > ir.FoldLimit {
			return
		}
		types[i] = dtype.I64
	}
	call := host.NewCall(in, c.N.Attrs, make([]*tensor.Tensor, len(types)), types, &host.Budget{Left: 1 << 20})
	if fn.Run(call) != nil {
		return
	}
	for i := range types {
		r := call.Result(i)
		l := make([]dim.Expr, r.Len())
		for k := range l {
			l[k] = all[r.Int(k)]
		}
		c.SetElems(i, l)
	}
}

// zipElems fills in the contents of result 0 of an element-wise operator of two operands; f may refuse.
func zipElems(c *op.Infer, f func(x, y dim.Expr) (dim.Expr, bool)) {
	x, okX := contents(c.Node, 0)
	y, okY := contents(c.Node, 1)
	sx, fx := extents(c.Shape(0))
	sy, fy := extents(c.Shape(1))
	if !okX || !okY || !fx || !fy {
		return
	}
	shape, err := host.Broadcast(sx, sy)
	if n, ok := tensor.Count(shape); err != nil || !ok || n > ir.FoldLimit {
		return
	}
	out, all := []dim.Expr{}, true
	host.Each(shape, [][]int{host.BroadcastStrides(sx, shape), host.BroadcastStrides(sy, shape)}, func(at int, off []int) {
		e, ok := f(x[off[0]], y[off[1]])
		all = all && ok
		out = append(out, e)
	})
	if all {
		c.SetElems(0, out)
	}
}

// mapElems fills in the contents of result 0 of an element-wise operator of one operand.
func mapElems(c *op.Infer, f func(x dim.Expr) (dim.Expr, bool)) {
	x, ok := contents(c.Node, 0)
	if !ok || len(x) > ir.FoldLimit {
		return
	}
	out := make([]dim.Expr, len(x))
	for i, e := range x {
		if out[i], ok = f(e); !ok {
			return
		}
	}
	c.SetElems(0, out)
}

// noGradient is the seat of operators with results that are not real numbers or do not change with operands.
var (
	discrete = op.VJP{None: "the result is not a real number"}
	constant = op.VJP{None: "piecewise constant"}
	todo     = op.VJP{Todo: true}
)
