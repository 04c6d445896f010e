package movement

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// around splits a shape at an axis into the number of positions before it and the number of elements after it.
func around(shape []int, axis int) (outer, inner int) {
	outer, _ = tensor.Count(shape[:axis])
	inner, _ = tensor.Count(shape[axis+1:])
	return outer, inner
}

// moveRun copies n consecutive elements; whole bytes at once.
func moveRun(dst *tensor.Tensor, i int, src *tensor.Tensor, j, n int) {
	b := dst.Elem.Bits() / 8
	switch {
	case dst.Elem == dtype.String:
		copy(dst.Str[i:i+n], src.Str[j:j+n])
	case b > 0:
		copy(dst.Data[b*i:b*(i+n)], src.Data[b*j:b*(j+n)])
	default:
		for k := 0; k < n; k++ {
			host.CopyElem(dst, i+k, src, j+k)
		}
	}
}

// Split cuts x along an axis into parts of the sizes listed.
var Split = host.Fn{Name: "split", Run: func(c *host.Call) error {
	x := c.In[0]
	axis, err := host.Axis(c.Attrs.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	l, err := list(c, "sizes", 1)
	if err != nil {
		return err
	}
	sizes, err := extents(l)
	if err != nil {
		return err
	}
	sum := 0
	for _, s := range sizes {
		sum += s
	}
	if len(sizes) != c.NumOut() || sum != x.Shape[axis] {
		return fmt.Errorf("sizes %v for %d results of extent %d", sizes, c.NumOut(), x.Shape[axis])
	}
	outer, inner := around(x.Shape, axis)
	first := 0
	for k, s := range sizes {
		shape := append([]int(nil), x.Shape...)
		shape[axis] = s
		y, err := c.Out(k, shape...)
		if err != nil {
			return err
		}
		for o := 0; o < outer; o++ {
			moveRun(y, o*s*inner, x, (o*sum+first)*inner, s*inner)
		}
		first += s
	}
	return nil
}}

// Concat joins the operands along an axis.
var Concat = host.Fn{Name: "concat", Run: func(c *host.Call) error {
	shape := append([]int(nil), c.In[0].Shape...)
	axis, err := host.Axis(c.Attrs.Int("axis", 0), len(shape))
	if err != nil {
		return err
	}
	shape[axis] = 0
	for k, x := range c.In {
		if len(x.Shape) != len(shape) {
			return fmt.Errorf("operand %d: shape %v, want rank %d", k, x.Shape, len(shape))
		}
		for i, d := range x.Shape {
			if i != axis && d != shape[i] {
				return fmt.Errorf("operand %d: shape %v does not match %v", k, x.Shape, c.In[0].Shape)
			}
		}
		shape[axis] += x.Shape[axis]
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	outer, inner := around(shape, axis)
	first := 0
	for _, x := range c.In {
		n := x.Shape[axis]
		for o := 0; o < outer; o++ {
			moveRun(y, (o*shape[axis]+first)*inner, x, o*n*inner, n*inner)
		}
		first += n
	}
	return nil
}}

// Gather takes the positions that operand 1 lists along an axis; negative ones count from the end.
var Gather = host.Fn{Name: "gather", Run: func(c *host.Call) error {
	x, idx := c.In[0], c.In[1]
	axis, err := host.Axis(c.Attrs.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	shape := append([]int(nil), x.Shape[:axis]...)
	shape = append(append(shape, idx.Shape...), x.Shape[axis+1:]...)
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	outer, inner := around(x.Shape, axis)
	n := idx.Len()
	for k := 0; k < n; k++ {
		p := idx.Int(k)
		if p < 0 {
			p += int64(x.Shape[axis])
		}
		if p < 0 || p >= int64(x.Shape[axis]) {
			return fmt.Errorf("index %d of an axis of extent %d", idx.Int(k), x.Shape[axis])
		}
		for o := 0; o < outer; o++ {
			moveRun(y, (o*n+k)*inner, x, (o*x.Shape[axis]+int(p))*inner, inner)
		}
	}
	return nil
}}

// Tile repeats x along each axis.
var Tile = host.Fn{Name: "tile", Run: func(c *host.Call) error {
	x := c.In[0]
	l, err := list(c, "repeats", 1)
	if err != nil {
		return err
	}
	rep, err := extents(l)
	if err != nil {
		return err
	}
	if len(rep) != len(x.Shape) {
		return fmt.Errorf("%d repeats for rank %d", len(rep), len(x.Shape))
	}
	own := tensor.Strides(x.Shape)
	var shape, walk, strides []int
	for i, d := range x.Shape {
		if d > 0 && rep[i] > (1<<48)/d {
			return fmt.Errorf("repeats %v of shape %v", rep, x.Shape)
		}
		shape = append(shape, rep[i]*d)
		walk = append(walk, rep[i], d)
		strides = append(strides, 0, own[i])
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	host.Each(walk, [][]int{strides}, func(at int, off []int) { host.CopyElem(y, at, x, off[0]) })
	return nil
}}
