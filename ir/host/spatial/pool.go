package spatial

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// MaxPool is the largest element of each window; padding never wins, and NaN does.
var MaxPool = host.Fn{Name: "spatial.max_pool", Run: maxPool}

// MaxPoolIndices is MaxPool and, as result 1, the flat position of each maximum in the operand; with the
// attribute storage_order 1 spatial positions count column-major. The first of equal elements counts.
var MaxPoolIndices = host.Fn{Name: "spatial.max_pool_indices", Run: maxPool}

// AveragePool is the mean of each window: over the elements inside the input, or with count_include_pad over
// those inside the padded input.
var AveragePool = host.Fn{Name: "spatial.average_pool", Run: func(c *host.Call) error {
	include := c.Attrs.Bool("count_include_pad")
	return pool(c, func(v *view) (float64, int) {
		sum, inside := 0.0, 0
		v.each(func(at int) {
			sum += v.x.Float(at)
			inside++
		})
		if include {
			inside = v.padded()
		}
		if inside == 0 {
			return 0, 0
		}
		return sum / float64(inside), 0
	})
}}

// LpPool is the p-th root of the sum of |x|^p over each window.
var LpPool = host.Fn{Name: "spatial.lp_pool", Run: func(c *host.Call) error {
	p := float64(c.Attrs.Int("p", 2))
	return pool(c, func(v *view) (float64, int) {
		sum := 0.0
		v.each(func(at int) { sum += math.Pow(math.Abs(v.x.Float(at)), p) })
		return math.Pow(sum, 1/p), 0
	})
}}

func maxPool(c *host.Call) error {
	low := math.Inf(-1)
	if t := c.In[0].Elem; t.IsInt() {
		l, _ := t.IntRange()
		low = float64(l)
	}
	return pool(c, func(v *view) (float64, int) {
		best, where := low, -1
		v.each(func(at int) {
			if f := v.x.Float(at); where < 0 || f > best || math.IsNaN(f) && !math.IsNaN(best) {
				best, where = f, at
			}
		})
		return best, where
	})
}

// view is one window over one channel.
type view struct {
	*window
	x     *tensor.Tensor
	in    []int
	base  int   // flat position of the channel
	start []int // of the window, in input positions
	tap   []int // scratch
}

// each calls fn with the flat position of every element of the window that lies inside the input, in order.
func (v *view) each(fn func(at int)) {
	clear(v.tap)
	for ok := true; ok; ok = host.Next(v.tap, v.kernel) {
		at, inside := 0, true
		for i, t := range v.tap {
			q := v.start[i] + t*v.dilation[i]
			if q < 0 || q >= v.in[i] {
				inside = false
				break
			}
			at = at*v.in[i] + q
		}
		if inside {
			fn(v.base + at)
		}
	}
}

// padded is the number of taps inside the padded input.
func (v *view) padded() int {
	n := 1
	for i, s := range v.start {
		count := 0
		for t := range v.kernel[i] {
			if q := s + t*v.dilation[i]; q >= -v.begin[i] && q < v.in[i]+v.end[i] {
				count++
			}
		}
		n *= count
	}
	return n
}

// pool slides the window over operand 0; fn gives the value and the position that it came from.
func pool(c *host.Call, fn func(*view) (float64, int)) error {
	x := c.In[0]
	if len(x.Shape) < 3 {
		return fmt.Errorf("shape %v: want rank 3 or more", x.Shape)
	}
	in := x.Shape[2:]
	w, err := readWindow(c, len(in), nil)
	if err != nil {
		return err
	}
	o, err := w.outs(in)
	if err != nil {
		return err
	}
	y, err := c.Out(0, append(append([]int{}, x.Shape[:2]...), o...)...)
	if err != nil {
		return err
	}
	var where *tensor.Tensor
	if c.NumOut() > 1 {
		if where, err = c.Out(1, y.Shape...); err != nil {
			return err
		}
	}
	columns := c.Attrs.Int("storage_order", 0) == 1
	v := &view{window: w, x: x, in: in, start: make([]int, len(in)), tap: make([]int, len(in))}
	plane, size := host.Product(in), host.Product(o)
	if size == 0 {
		return nil
	}
	for ch := range x.Shape[0] * x.Shape[1] {
		v.base = ch * plane
		idx, k := make([]int, len(in)), ch*size
		for ok := true; ok; ok = host.Next(idx, o) {
			for i := range idx {
				v.start[i] = idx[i]*w.stride[i] - w.begin[i]
			}
			val, at := fn(v)
			if y.Elem.IsInt() {
				y.SetInt(k, int64(val))
			} else {
				y.SetBits(k, dtype.EncodeFloat(y.Elem, val, false))
			}
			if where != nil {
				if columns && at >= 0 {
					at = v.base + columnMajor(at-v.base, in)
				}
				where.SetInt(k, int64(at))
			}
			k++
		}
	}
	return nil
}

// columnMajor turns a row-major position into a column-major one.
func columnMajor(at int, shape []int) int {
	out, scale := 0, host.Product(shape)
	for i := len(shape) - 1; i >= 0; i-- {
		scale /= shape[i]
		out += at % shape[i] * scale
		at /= shape[i]
	}
	return out
}

// MaxUnpool puts each element of operand 0 at the flat position that operand 1 gives, in zeros of the shape that
// operand 2 gives, or else of extents (in-1)*stride + kernel - pads. Positions count in the smaller of the two.
var MaxUnpool = host.Fn{Name: "spatial.max_unpool", Run: func(c *host.Call) error {
	x, at := c.In[0], c.In[1]
	if len(x.Shape) < 3 || at.Len() != x.Len() {
		return fmt.Errorf("shapes %v and %v", x.Shape, at.Shape)
	}
	w, err := readWindow(c, len(x.Shape)-2, nil)
	if err != nil {
		return err
	}
	small := append([]int{}, x.Shape[:2]...)
	for i, in := range x.Shape[2:] {
		e := (in-1)*w.stride[i] + w.kernel[i] - w.begin[i] - w.end[i]
		if e < 0 {
			return fmt.Errorf("spatial axis %d: result of extent %d", i, e)
		}
		small = append(small, e)
	}
	shape := small
	if s := operand(c, 2); s != nil {
		if shape = make([]int, s.Len()); len(shape) != len(small) {
			return fmt.Errorf("output_shape: want %d values, got %d", len(small), len(shape))
		}
		for i := range shape {
			shape[i] = int(s.Int(i))
		}
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	for i := range y.Len() {
		y.SetBits(i, 0)
	}
	from, to := strides(small), strides(shape)
	for i := range x.Len() {
		p, q := int(at.Int(i)), 0
		if p < 0 || p >= host.Product(small) {
			return fmt.Errorf("index %d outside a tensor of shape %v", p, small)
		}
		for a := range small {
			j := p / from[a]
			p %= from[a]
			if j >= shape[a] {
				return fmt.Errorf("index %d outside a tensor of shape %v", at.Int(i), shape)
			}
			q += j * to[a]
		}
		y.SetBits(q, x.Bits(i))
	}
	return nil
}}
