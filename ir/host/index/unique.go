package index

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Unique keeps one of equal slices along an axis, or of equal elements without the attribute, in their order (sorted), or in that of
// their first positions. Further results are the position of each one's first, for each slice which one it is, and how many each
// one stands for.
var Unique = host.Fn{Name: "index.unique", Run: func(c *host.Call) error {
	x := c.In[0]
	shape, axis := []int{x.Len()}, 0
	if v, ok := c.Attrs.Get("axis"); ok {
		var err error
		if axis, err = host.Axis(v.I, len(x.Shape)); err != nil {
			return err
		}
		shape = append([]int{}, x.Shape...)
	}
	n, outer, inner := shape[axis], host.Product(shape[:axis]), host.Product(shape[axis+1:])
	if err := c.Temp(32 * int64(n)); err != nil {
		return err
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	compare := comparer(x)
	slice := func(i, j int) int {
		for o := range outer {
			for k := range inner {
				if r := compare((o*n+i)*inner+k, (o*n+j)*inner+k); r != 0 {
					return r
				}
			}
		}
		return 0
	}
	slices.SortStableFunc(order, slice)
	first, which, times := groups(order, slice, c.Attrs.Bool("sorted"))
	shape[axis] = len(first)
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	move := mover(y, x)
	for o := range outer {
		for i, from := range first {
			for k := range inner {
				move((o*len(first)+i)*inner+k, (o*n+from)*inner+k)
			}
		}
	}
	for i, list := range [][]int{first, which, times} {
		if i+1 >= c.NumOut() {
			break
		}
		t, err := c.Out(i+1, len(list))
		if err != nil {
			return err
		}
		for k, v := range list {
			t.SetInt(k, int64(v))
		}
	}
	return nil
}}

// groups are the classes of equal entries of a sorted order.
func groups(order []int, compare func(i, j int) int, sorted bool) (first, which, times []int) {
	which = make([]int, len(order))
	for i, p := range order {
		if i == 0 || compare(order[i-1], p) != 0 {
			first, times = append(first, p), append(times, 0)
		}
		which[p] = len(first) - 1
		times[len(times)-1]++
	}
	if sorted {
		return first, which, times
	}
	by := make([]int, len(first))
	for i := range by {
		by[i] = i
	}
	slices.SortFunc(by, func(a, b int) int { return cmp.Compare(first[a], first[b]) })
	place, f, n := make([]int, len(by)), make([]int, len(by)), make([]int, len(by))
	for i, g := range by {
		place[g], f[i], n[i] = i, first[g], times[g]
	}
	for p := range which {
		which[p] = place[which[p]]
	}
	return f, which, n
}

// comparer orders elements of one tensor; NaN comes last.
func comparer(x *tensor.Tensor) func(i, j int) int {
	switch {
	case x.Elem == dtype.String:
		return func(i, j int) int { return cmp.Compare(x.Str[i], x.Str[j]) }
	case x.Elem == dtype.U64:
		return func(i, j int) int { return cmp.Compare(x.Bits(i), x.Bits(j)) }
	case x.Elem.IsFloat():
		return func(i, j int) int {
			a, b := x.Float(i), x.Float(j)
			if math.IsNaN(a) || math.IsNaN(b) {
				return -cmp.Compare(a, b) // of cmp, NaN comes first
			}
			return cmp.Compare(a, b)
		}
	}
	return func(i, j int) int { return cmp.Compare(x.Int(i), x.Int(j)) }
}

// ReverseSequence turns round the first lengths[b] entries along the time axis, for each entry b of the batch axis.
var ReverseSequence = host.Fn{Name: "index.reverse_sequence", Run: func(c *host.Call) error {
	x, lengths := c.In[0], c.In[1]
	r := len(x.Shape)
	batch, err := host.Axis(c.Attrs.Int("batch_axis", 1), r)
	if err != nil {
		return err
	}
	time, err := host.Axis(c.Attrs.Int("time_axis", 0), r)
	if err != nil {
		return err
	}
	if batch == time || lengths.Len() != x.Shape[batch] {
		return fmt.Errorf("%d lengths for shape %v, axes %d and %d", lengths.Len(), x.Shape, batch, time)
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil || y.Len() == 0 {
		return err
	}
	move, strides, pos := mover(y, x), tensor.Strides(x.Shape), make([]int, r)
	for p := 0; ; p++ {
		n := lengths.Int(pos[batch])
		if n < 0 || n > int64(x.Shape[time]) {
			return fmt.Errorf("length %d of an axis of extent %d", n, x.Shape[time])
		}
		from := p
		if t := pos[time]; t < int(n) {
			from += (int(n) - 1 - 2*t) * strides[time]
		}
		move(p, from)
		if !host.Next(pos, x.Shape) {
			return nil
		}
	}
}}

// CumProd is y[i] = product of x[j] for j <= i along an axis, as [CumSum] is the sum.
var CumProd = host.Fn{Name: "index.cumprod", Run: func(c *host.Call) error {
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
			f, s := 1.0, int64(1)
			for i := range n {
				if reverse {
					i = n - 1 - i
				}
				p := (o*n+i)*inner + in
				before, beforeInt := f, s
				if float {
					f *= x.Float(p)
				} else {
					s *= x.Int(p)
				}
				if !exclusive {
					before, beforeInt = f, s
				}
				if float {
					y.SetFloat(p, before)
				} else {
					y.SetInt(p, beforeInt)
				}
			}
		}
	}
	return nil
}}
