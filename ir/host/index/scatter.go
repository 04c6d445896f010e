package index

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// ScatterElements copies x and then, for every position p in order, combines updates[p] into the element at p with
// its entry along axis replaced by indices[p]. Operands x, indices, updates; attributes axis, reduction.
var ScatterElements = host.Fn{Name: "index.scatter_elements", Run: func(c *host.Call) error {
	x, idx, upd := c.In[0], c.In[1], c.In[2]
	e, err := newElementwise(c, x, idx)
	if err != nil {
		return err
	}
	if upd.Len() != idx.Len() {
		return fmt.Errorf("updates of shape %v for indices of shape %v", upd.Shape, idx.Shape)
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	put, err := combiner(c.Attrs.Str("reduction", "none"), y, upd)
	if err != nil {
		return err
	}
	copyAll(y, x)
	return e.each(func(i, at int) { put(at, i) })
}}

// ScatterND copies x and then combines the slices of updates into those that the indices' last axis selects, in order.
// Operands x, indices, updates; attribute reduction.
var ScatterND = host.Fn{Name: "index.scatter_nd", Run: func(c *host.Call) error {
	x, idx, upd := c.In[0], c.In[1], c.In[2]
	t, err := newTuples(x, idx, 0)
	if err != nil {
		return err
	}
	if upd.Len() != t.count*t.slice {
		return fmt.Errorf("updates of shape %v for %d slices of %d elements", upd.Shape, t.count, t.slice)
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	put, err := combiner(c.Attrs.Str("reduction", "none"), y, upd)
	if err != nil {
		return err
	}
	copyAll(y, x)
	return t.each(func(i, at int) {
		for j := range t.slice {
			put(at+j, i*t.slice+j)
		}
	})
}}

// combiner merges element `from` of src into element `to` of dst.
func combiner(reduction string, dst, src *tensor.Tensor) (func(to, from int), error) {
	if reduction == "none" {
		return mover(dst, src), nil
	}
	var f func(a, b float64) float64
	var n func(a, b int64) int64
	switch reduction {
	case "add":
		f, n = func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }
	case "mul":
		f, n = func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }
	case "max":
		f, n = func(a, b float64) float64 { return max(a, b) }, func(a, b int64) int64 { return max(a, b) }
	case "min":
		f, n = func(a, b float64) float64 { return min(a, b) }, func(a, b int64) int64 { return min(a, b) }
	default:
		return nil, fmt.Errorf("reduction %q is not known", reduction)
	}
	switch t := dst.Elem; {
	case t.IsFloat():
		return func(to, from int) { dst.SetFloat(to, f(dst.Float(to), src.Float(from))) }, nil
	case t == dtype.U64 && (reduction == "max" || reduction == "min"):
		return func(to, from int) {
			if a, b := dst.Bits(to), src.Bits(from); (a < b) == (reduction == "max") {
				dst.SetBits(to, b)
			}
		}, nil
	case t.IsInt() || t == dtype.Bool && reduction != "add" && reduction != "mul":
		return func(to, from int) { dst.SetInt(to, n(dst.Int(to), src.Int(from))) }, nil
	case t == dtype.Bool && reduction == "mul":
		return func(to, from int) { dst.SetInt(to, dst.Int(to)&src.Int(from)) }, nil
	case t == dtype.Bool:
		return func(to, from int) { dst.SetInt(to, dst.Int(to)|src.Int(from)) }, nil
	}
	return nil, fmt.Errorf("reduction %q of element type %v", reduction, dst.Elem)
}
