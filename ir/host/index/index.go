// Package index holds operators that move or pick elements by integers found at run time: gathers, scatters, padding,
// sorting, and those whose result sizes depend on values.
package index

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{GatherElements, GatherND, ScatterElements, ScatterND, TopK, NonZero, Range, Trilu, Pad, OneHot, CumSum, Compress, NonMaxSuppression, TensorScatter, Unique, ReverseSequence, CumProd}
}

// mover copies single elements from src to dst, which have one element type.
func mover(dst, src *tensor.Tensor) func(to, from int) {
	switch b := src.Elem.Bits(); {
	case src.Elem == dtype.String:
		return func(to, from int) { dst.Str[to] = src.Str[from] }
	case b < 8:
		return func(to, from int) { dst.SetBits(to, src.Bits(from)) }
	default:
		w := b / 8
		return func(to, from int) { copy(dst.Data[to*w:(to+1)*w], src.Data[from*w:]) }
	}
}

// copyAll makes dst, of the same type and shape, equal to src.
func copyAll(dst, src *tensor.Tensor) {
	if src.Elem == dtype.String {
		copy(dst.Str, src.Str)
		return
	}
	copy(dst.Data, src.Data)
}

// clearElem makes one element zero, false or "".
func clearElem(t *tensor.Tensor, i int) {
	switch b := t.Elem.Bits(); {
	case t.Elem == dtype.String:
		t.Str[i] = ""
	case b <= 64:
		t.SetBits(i, 0)
	default:
		clear(t.Data[i*b/8 : (i+1)*b/8])
	}
}

func operand(c *host.Call, i int) *tensor.Tensor {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// within is an index brought into [0, n) by adding n to negative ones.
func within(v int64, n int) (int, error) {
	w := v
	if w < 0 {
		w += int64(n)
	}
	if w < 0 || w >= int64(n) {
		return 0, fmt.Errorf("index %d of an axis of extent %d", v, n)
	}
	return int(w), nil
}

// Range is start, start + delta, ... below (or, for a negative delta, above) limit, each computed from start.
var Range = host.Fn{Name: "index.range", Run: func(c *host.Call) error {
	s, l, d := c.In[0], c.In[1], c.In[2]
	if s.Len() != 1 || l.Len() != 1 || d.Len() != 1 {
		return fmt.Errorf("shapes %v, %v and %v: want one element each", s.Shape, l.Shape, d.Shape)
	}
	if s.Elem.IsInt() {
		a, b, step := s.Int(0), l.Int(0), d.Int(0)
		n, err := RangeLen(a, b, step)
		if err != nil {
			return err
		}
		y, err := c.Out(0, n)
		if err != nil {
			return err
		}
		for i := range n {
			y.SetInt(i, a+int64(i)*step)
		}
		return nil
	}
	a, b, step := s.Float(0), l.Float(0), d.Float(0)
	n := math.Ceil((b - a) / step)
	if math.IsNaN(n) || n > 1<<48 {
		return fmt.Errorf("a range from %v to %v by %v", a, b, step)
	}
	y, err := c.Out(0, max(int(n), 0))
	if err != nil {
		return err
	}
	for i := range y.Len() {
		y.SetFloat(i, a+float64(i)*step)
	}
	return nil
}}

// RangeLen is the number of elements of an integer range.
func RangeLen(start, limit, step int64) (int, error) {
	if step == 0 {
		return 0, fmt.Errorf("a range by 0")
	}
	span := limit - start
	if (limit > start) != (span > 0) {
		return 0, fmt.Errorf("a range from %d to %d", start, limit)
	}
	if (span > 0) != (step > 0) || span == 0 {
		return 0, nil
	}
	n := span / step
	if span%step != 0 {
		n++
	}
	return int(n), nil
}

// Trilu keeps the elements on and above the k-th diagonal of the last two axes (attribute upper), or on and
// below it, and zeroes the others.
var Trilu = host.Fn{Name: "index.trilu", Run: func(c *host.Call) error {
	x := c.In[0]
	if len(x.Shape) < 2 {
		return fmt.Errorf("shape %v: want rank 2 or more", x.Shape)
	}
	var k int64
	if t := operand(c, 1); t != nil {
		if t.Len() != 1 {
			return fmt.Errorf("k: want one element, got shape %v", t.Shape)
		}
		k = t.Int(0)
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	upper := c.Attrs.Bool("upper")
	move := mover(y, x)
	rows, cols := x.Shape[len(x.Shape)-2], x.Shape[len(x.Shape)-1]
	for p := range x.Len() {
		i, j := int64(p/cols%rows), int64(p%cols)
		// j - i - k does not overflow: extents are below 2^48, and k saturates.
		d := j - i - max(-1<<60, min(1<<60, k))
		if upper && d >= 0 || !upper && d <= 0 {
			move(p, p)
		} else {
			clearElem(y, p)
		}
	}
	return nil
}}

// OneHot is values[1] where an index equals the position along the new axis, else values[0]. Operands indices,
// depth, values [off, on]; negative indices count from the end, others outside match nowhere.
var OneHot = host.Fn{Name: "index.one_hot", Run: func(c *host.Call) error {
	x, d, v := c.In[0], c.In[1], c.In[2]
	if d.Len() != 1 || v.Len() != 2 {
		return fmt.Errorf("depth of shape %v, values of shape %v", d.Shape, v.Shape)
	}
	depth := math.Trunc(d.Float(0))
	if !(depth >= 0 && depth < 1<<48) {
		return fmt.Errorf("depth %v", depth)
	}
	axis, err := host.Axis(c.Attrs.Int("axis", -1), len(x.Shape)+1)
	if err != nil {
		return err
	}
	n := int(depth)
	shape := append(append(append([]int{}, x.Shape[:axis]...), n), x.Shape[axis:]...)
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	move := mover(y, v)
	for i := range y.Len() {
		move(i, 0)
	}
	inner := host.Product(x.Shape[axis:])
	for i := range x.Len() {
		f := math.Trunc(x.Float(i))
		if f < 0 {
			f += depth
		}
		if f >= 0 && f < depth {
			move((i/inner*n+int(f))*inner+i%inner, 1)
		}
	}
	return nil
}}

// CumSum is y[i] = sum of x[j] for j <= i along an axis: operands x, axis; exclusive leaves out x[i], reverse
// counts from the end.
var CumSum = host.Fn{Name: "index.cumsum", Run: func(c *host.Call) error {
	x, a := c.In[0], c.In[1]
	if a.Len() != 1 {
		return fmt.Errorf("axis of shape %v", a.Shape)
	}
	axis, err := host.Axis(a.Int(0), len(x.Shape))
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	exclusive, reverse := c.Attrs.Bool("exclusive"), c.Attrs.Bool("reverse")
	n, inner := x.Shape[axis], host.Product(x.Shape[axis+1:])
	float := x.Elem.IsFloat()
	for o := range host.Product(x.Shape[:axis]) {
		for in := range inner {
			var f float64
			var s int64
			for i := range n {
				if reverse {
					i = n - 1 - i
				}
				p := (o*n+i)*inner + in
				bf, bs := f, s
				if float {
					f += x.Float(p)
				} else {
					s += x.Int(p)
				}
				if !exclusive {
					bf, bs = f, s
				}
				if float {
					y.SetFloat(p, bf)
				} else {
					y.SetInt(p, bs)
				}
			}
		}
	}
	return nil
}}

// Compress keeps the slices along an axis (or, without the attribute, the elements in row-major order) where the
// condition, operand 1, is true; a condition shorter than the axis drops the rest.
var Compress = host.Fn{Name: "index.compress", Run: func(c *host.Call) error {
	x, cond := c.In[0], c.In[1]
	shape, axis := []int{x.Len()}, 0
	if v, ok := c.Attrs.Get("axis"); ok {
		var err error
		if axis, err = host.Axis(v.I, len(x.Shape)); err != nil {
			return err
		}
		shape = append([]int{}, x.Shape...)
	}
	n := shape[axis]
	if cond.Len() > n {
		return fmt.Errorf("condition of %d elements for an axis of extent %d", cond.Len(), n)
	}
	var keep []int
	for i := range cond.Len() {
		if cond.Int(i) != 0 {
			keep = append(keep, i)
		}
	}
	inner, outer := host.Product(shape[axis+1:]), host.Product(shape[:axis])
	shape[axis] = len(keep)
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	move := mover(y, x)
	to := 0
	for o := range outer {
		for _, k := range keep {
			for in := range inner {
				move(to, (o*n+k)*inner+in)
				to++
			}
		}
	}
	return nil
}}
