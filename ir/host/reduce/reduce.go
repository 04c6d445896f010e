// Package reduce holds the functions that combine the elements along axes.
package reduce

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// kind is one way to combine: real numbers in float64, integers modulo 64 bits, u64 where that differs.
type kind struct {
	f     func(acc, x float64) float64
	i     func(acc, x int64) int64
	u     func(acc, x uint64) uint64
	start func(t dtype.Type) (f float64, i int64) // of an empty set
	mean  bool
}

func fixedStart(f float64, i int64) func(dtype.Type) (float64, int64) {
	return func(dtype.Type) (float64, int64) { return f, i }
}

// The reductions over the attribute axes (or operand 1). An empty set gives 0 (sum), 1 (prod), the lowest value (max) or the
// highest (min) of the type, and NaN (mean). Integer means round towards zero.
var (
	Sum  = reduction("reduce_sum", kind{f: addF, i: addI, start: fixedStart(0, 0)})
	Mean = reduction("reduce_mean", kind{f: addF, i: addI, start: fixedStart(0, 0), mean: true})
	Prod = reduction("reduce_prod", kind{f: func(a, x float64) float64 { return a * x }, i: func(a, x int64) int64 { return a * x }, start: fixedStart(1, 1)})
	Max  = reduction("reduce_max", kind{f: func(a, x float64) float64 { return max(a, x) }, i: func(a, x int64) int64 { return max(a, x) },
		u: func(a, x uint64) uint64 { return max(a, x) }, start: func(t dtype.Type) (float64, int64) {
			lo, _ := t.IntRange()
			return math.Inf(-1), lo
		}})
	Min = reduction("reduce_min", kind{f: func(a, x float64) float64 { return min(a, x) }, i: func(a, x int64) int64 { return min(a, x) },
		u: func(a, x uint64) uint64 { return min(a, x) }, start: func(t dtype.Type) (float64, int64) {
			_, hi := t.IntRange()
			return math.Inf(1), hi
		}})
)

func addF(a, x float64) float64 { return a + x }
func addI(a, x int64) int64     { return a + x }

func reduction(name string, k kind) host.Fn {
	return host.Fn{Name: name, Run: func(c *host.Call) error { return k.run(c) }}
}

// axesOf marks the axes to reduce: all of them where none is listed, unless the attribute noop is set.
func axesOf(c *host.Call, rank int) ([]bool, error) {
	var l []int64
	_, given := c.Attrs.Get("axes")
	if given {
		l = c.Attrs.Ints("axes")
	} else if len(c.In) > 1 && c.In[1] != nil {
		for i, n := 0, c.In[1].Len(); i < n; i++ {
			l = append(l, c.In[1].Int(i))
		}
	}
	red := make([]bool, rank)
	if len(l) == 0 && !given && !c.Attrs.Bool("noop_with_empty_axes") {
		for i := range red {
			red[i] = true
		}
	}
	for _, a := range l {
		k, err := host.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		red[k] = true
	}
	return red, nil
}

func (k kind) run(c *host.Call) error {
	x := c.In[0]
	red, err := axesOf(c, len(x.Shape))
	if err != nil {
		return err
	}
	kept := make([]int, len(red)) // the shape with extents of 1
	var shape []int
	count := 1
	for i, d := range x.Shape {
		kept[i] = d
		if red[i] {
			kept[i] = 1
			count *= d
			if c.Attrs.Bool("keepdims") {
				shape = append(shape, 1)
			}
			continue
		}
		shape = append(shape, d)
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	strides := [][]int{tensor.Strides(kept)}
	for i := range red {
		if red[i] {
			strides[0][i] = 0
		}
	}
	if err := c.Temp(8 * int64(y.Len())); err != nil {
		return err
	}
	if x.Elem.IsFloat() {
		k.real(x, y, strides, count)
	} else {
		k.whole(x, y, strides, count)
	}
	return nil
}

func (k kind) real(x, y *tensor.Tensor, strides [][]int, count int) {
	acc, read, write := make([]float64, y.Len()), host.Reader(x), host.Writer(y)
	first, _ := k.start(x.Elem)
	for i := range acc {
		acc[i] = first
	}
	host.Each(x.Shape, strides, func(at int, off []int) { acc[off[0]] = k.f(acc[off[0]], read(at)) })
	for i, v := range acc {
		if k.mean {
			v /= float64(count)
		}
		write(i, v)
	}
}

func (k kind) whole(x, y *tensor.Tensor, strides [][]int, count int) {
	acc := make([]int64, y.Len())
	_, first := k.start(x.Elem)
	for i := range acc {
		acc[i] = first
	}
	if x.Elem == dtype.U64 && k.u != nil {
		host.Each(x.Shape, strides, func(at int, off []int) { acc[off[0]] = int64(k.u(uint64(acc[off[0]]), x.Bits(at))) })
	} else {
		host.Each(x.Shape, strides, func(at int, off []int) { acc[off[0]] = k.i(acc[off[0]], x.Int(at)) })
	}
	for i, v := range acc {
		switch {
		case !k.mean || count == 0:
		case x.Elem == dtype.U64:
			v = int64(uint64(v) / uint64(count))
		default:
			v /= int64(count)
		}
		y.SetInt(i, v)
	}
}

// ArgMax and ArgMin give the first position along an axis of the largest or smallest element, or the last
// where select_last is set.
var (
	ArgMax = host.Fn{Name: "argmax", Run: func(c *host.Call) error { return arg(c, 1) }}
	ArgMin = host.Fn{Name: "argmin", Run: func(c *host.Call) error { return arg(c, -1) }}
)

func arg(c *host.Call, sign int) error {
	x := c.In[0]
	axis, err := host.Axis(c.Attrs.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	shape := append([]int(nil), x.Shape[:axis]...)
	if c.Attrs.Int("keepdims", 1) != 0 {
		shape = append(shape, 1)
	}
	shape = append(shape, x.Shape[axis+1:]...)
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	n, inner := x.Shape[axis], tensor.Strides(x.Shape)[axis]
	if n == 0 && y.Len() > 0 {
		return fmt.Errorf("axis %d has no elements", axis)
	}
	last := c.Attrs.Bool("select_last")
	order := comparer(x)
	for p, count := 0, y.Len(); p < count; p++ {
		base := p/inner*inner*n + p%inner
		best := 0
		for i := 1; i < n; i++ {
			if o := sign * order(base+i*inner, base+best*inner); o > 0 || o == 0 && last {
				best = i
			}
		}
		y.SetInt(p, int64(best))
	}
	return nil
}

// comparer orders two elements of a tensor: 1, 0 or -1.
func comparer(x *tensor.Tensor) func(i, j int) int {
	switch {
	case x.Elem.IsFloat():
		read := host.Reader(x)
		return func(i, j int) int { return order(read(i), read(j)) }
	case x.Elem == dtype.U64:
		return func(i, j int) int { return order(x.Bits(i), x.Bits(j)) }
	}
	return func(i, j int) int { return order(x.Int(i), x.Int(j)) }
}

func order[T int64 | uint64 | float64](a, b T) int {
	switch {
	case a > b:
		return 1
	case a < b:
		return -1
	}
	return 0
}

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{Sum, Mean, Prod, Max, Min, ArgMax, ArgMin} }
