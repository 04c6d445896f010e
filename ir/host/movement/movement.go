// Package movement holds the functions that move elements without looking at them.
package movement

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// operand is In[i], or nil.
func operand(c *host.Call, i int) *tensor.Tensor {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// list is the integers of an attribute, or, where it is absent, of operand i.
func list(c *host.Call, name string, i int) ([]int64, error) {
	if _, ok := c.Attrs.Get(name); ok {
		return c.Attrs.Ints(name), nil
	}
	t := operand(c, i)
	if t == nil {
		return nil, fmt.Errorf("%s is missing", name)
	}
	if len(t.Shape) > 1 {
		return nil, fmt.Errorf("%s of shape %v, want a list", name, t.Shape)
	}
	l := make([]int64, t.Len())
	for k := range l {
		l[k] = t.Int(k)
	}
	return l, nil
}

// extents turns a list into a shape.
func extents(l []int64) ([]int, error) {
	s := make([]int, len(l))
	for i, v := range l {
		if v < 0 || v > 1<<48 {
			return nil, fmt.Errorf("extent %d", v)
		}
		s[i] = int(v)
	}
	return s, nil
}

// Reshape keeps the order of the elements. In a shape operand 0 stands for the extent of the same axis of x
// (unless allowzero is set), and -1 for what is left.
var Reshape = host.Fn{Name: "reshape", Run: func(c *host.Call) error {
	x := c.In[0]
	l, err := list(c, "shape", 1)
	if err != nil {
		return err
	}
	_, fixed := c.Attrs.Get("shape")
	if !fixed {
		if l, err = resolve(l, x.Shape, c.Attrs.Bool("allowzero")); err != nil {
			return err
		}
	}
	shape, err := extents(l)
	if err != nil {
		return err
	}
	if n, ok := tensor.Count(shape); !ok || n != x.Len() {
		return fmt.Errorf("%d elements do not fit shape %v", x.Len(), shape)
	}
	y, err := c.Out(0, shape...)
	if err == nil {
		host.Copy(y, x)
	}
	return err
}}

func resolve(l []int64, x []int, allowZero bool) ([]int64, error) {
	out := append([]int64(nil), l...)
	free := -1
	var known []int
	for i, v := range out {
		switch {
		case v == 0 && !allowZero:
			if i >= len(x) {
				return nil, fmt.Errorf("axis %d of a tensor of rank %d", i, len(x))
			}
			out[i] = int64(x[i])
		case v == -1 && free < 0:
			free = i
			continue
		case v < 0:
			return nil, fmt.Errorf("shape %v", l)
		}
		known = append(known, int(out[i]))
	}
	if free >= 0 {
		n, _ := tensor.Count(x)
		rest, ok := tensor.Count(known)
		if !ok {
			return nil, fmt.Errorf("shape %v is too large", l)
		}
		out[free] = 0
		if rest > 0 {
			out[free] = int64(n / rest)
		}
	}
	return out, nil
}

// Transpose permutes axes: axis i of the result is axis perm[i] of x.
var Transpose = host.Fn{Name: "transpose", Run: func(c *host.Call) error {
	x := c.In[0]
	perm := c.Attrs.Ints("perm")
	if len(perm) != len(x.Shape) {
		return fmt.Errorf("perm %v for rank %d", perm, len(x.Shape))
	}
	own := tensor.Strides(x.Shape)
	shape, strides := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		if p < 0 || int(p) >= len(perm) {
			return fmt.Errorf("perm %v", perm)
		}
		shape[i], strides[i] = x.Shape[p], own[p]
	}
	return copyStrided(c, x, shape, strides, 0)
}}

func copyStrided(c *host.Call, x *tensor.Tensor, shape, strides []int, from int) error {
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	host.Each(shape, [][]int{strides}, func(at int, off []int) { host.CopyElem(y, at, x, from+off[0]) })
	return nil
}

// Slice takes starts[i] + k*steps[i] for k below shape[i] along each axis.
var Slice = host.Fn{Name: "slice", Run: func(c *host.Call) error {
	x := c.In[0]
	starts, steps, l := c.Attrs.Ints("starts"), c.Attrs.Ints("steps"), c.Attrs.Ints("shape")
	if len(starts) != len(x.Shape) || len(steps) != len(x.Shape) || len(l) != len(x.Shape) {
		return fmt.Errorf("slice of rank %d with %d starts, %d steps, %d extents", len(x.Shape), len(starts), len(steps), len(l))
	}
	shape, err := extents(l)
	if err != nil {
		return err
	}
	return slice(c, x, starts, steps, shape)
}}

func slice(c *host.Call, x *tensor.Tensor, starts, steps []int64, shape []int) error {
	own := tensor.Strides(x.Shape)
	strides, from := make([]int, len(shape)), 0
	for i, n := range shape {
		if n == 0 {
			continue
		}
		first, last := starts[i], starts[i]+int64(n-1)*steps[i]
		if first < 0 || last < 0 || first >= int64(x.Shape[i]) || last >= int64(x.Shape[i]) {
			return fmt.Errorf("axis %d: elements %d to %d of %d", i, first, last, x.Shape[i])
		}
		from += int(first) * own[i]
		strides[i] = int(steps[i]) * own[i]
	}
	return copyStrided(c, x, shape, strides, from)
}

// SliceAt is Slice where starts, ends, axes and steps are operands, with the rules of ONNX Slice.
var SliceAt = host.Fn{Name: "slice_at", Run: func(c *host.Call) error {
	x := c.In[0]
	rank := len(x.Shape)
	begin, end, axes, step, err := sliceOperands(c, rank)
	if err != nil {
		return err
	}
	starts, steps, shape := make([]int64, rank), make([]int64, rank), append([]int(nil), x.Shape...)
	for i := range steps {
		steps[i] = 1
	}
	for i, a := range axes {
		k, err := host.Axis(a, rank)
		if err != nil {
			return err
		}
		if step[i] == 0 {
			return fmt.Errorf("axis %d: step 0", k)
		}
		starts[k], shape[k] = span(begin[i], end[i], step[i], int64(x.Shape[k]))
		steps[k] = step[i]
	}
	return slice(c, x, starts, steps, shape)
}}

func sliceOperands(c *host.Call, rank int) (begin, end, axes, step []int64, err error) {
	if begin, err = list(c, "starts", 1); err != nil {
		return
	}
	if end, err = list(c, "ends", 2); err != nil {
		return
	}
	axes, step = make([]int64, len(begin)), make([]int64, len(begin))
	for i := range axes {
		axes[i], step[i] = int64(i), 1
	}
	if operand(c, 3) != nil {
		if axes, err = list(c, "axes", 3); err != nil {
			return
		}
	}
	if operand(c, 4) != nil {
		if step, err = list(c, "steps", 4); err != nil {
			return
		}
	}
	if len(end) != len(begin) || len(axes) != len(begin) || len(step) != len(begin) || len(begin) > rank {
		err = fmt.Errorf("%d starts, %d ends, %d axes, %d steps for rank %d", len(begin), len(end), len(axes), len(step), rank)
	}
	return
}

// ToTheEnd reports whether the end of a slice is one of the numbers that mean no end: the standard names them for steps
// forward; backward, onnxruntime reads them as the begin of the axis, where the standard's rule makes a slice of nothing.
func ToTheEnd(end int64) bool { return end == math.MaxInt32 || end == math.MaxInt64 }

// span resolves one axis of a slice: negative bounds count from the end, and all are clamped.
func span(begin, end, step, n int64) (start int64, count int) {
	lo, hi := int64(0), n
	if step < 0 {
		lo, hi = -1, n-1
	}
	fix := func(v, lo int64) int64 {
		if v < 0 {
			v += n
		}
		return min(max(v, lo), hi)
	}
	begin = fix(begin, 0)
	if step < 0 && ToTheEnd(end) {
		end = lo
	} else {
		end = fix(end, lo)
	}
	if step > 0 && begin < end {
		return begin, int((end-begin-1)/step + 1)
	}
	if step < 0 && begin > end {
		return begin, int((begin-end-1)/max(-step, 1) + 1)
	}
	return begin, 0
}

// Expand broadcasts x against a shape.
var Expand = host.Fn{Name: "expand", Run: func(c *host.Call) error {
	x := c.In[0]
	l, err := list(c, "shape", 1)
	if err != nil {
		return err
	}
	shape, err := extents(l)
	if err != nil {
		return err
	}
	if shape, err = host.Broadcast(x.Shape, shape); err != nil {
		return err
	}
	return copyStrided(c, x, shape, host.BroadcastStrides(x.Shape, shape), 0)
}}

// Squeeze removes the axes listed in operand 1; Unsqueeze inserts axes of extent 1.
var (
	Squeeze   = host.Fn{Name: "squeeze", Run: func(c *host.Call) error { return reaxis(c, false) }}
	Unsqueeze = host.Fn{Name: "unsqueeze", Run: func(c *host.Call) error { return reaxis(c, true) }}
)

func reaxis(c *host.Call, insert bool) error {
	x := c.In[0]
	axes, err := list(c, "axes", 1)
	if err != nil {
		return err
	}
	rank := len(x.Shape)
	if insert {
		rank += len(axes)
	}
	listed := make([]bool, rank)
	for _, a := range axes {
		k, err := host.Axis(a, rank)
		if err != nil {
			return err
		}
		if listed[k] || !insert && x.Shape[k] != 1 {
			return fmt.Errorf("axes %v of shape %v", axes, x.Shape)
		}
		listed[k] = true
	}
	var shape []int
	next := 0
	for i := range listed {
		switch {
		case insert && listed[i]:
			shape = append(shape, 1)
		case insert:
			shape = append(shape, x.Shape[next])
			next++
		case !listed[i]:
			shape = append(shape, x.Shape[i])
		}
	}
	y, err := c.Out(0, shape...)
	if err == nil {
		host.Copy(y, x)
	}
	return err
}

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{Reshape, Transpose, Slice, SliceAt, Expand, Squeeze, Unsqueeze, Split, Concat, Gather, Tile}
}
