package spatial

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Conv is y[n, o, p] = b[o] + sum over i, t of x[n, g*I + i, p*stride + t*dilation - pad] * w[o, i, t], g being
// the group of channel o. Operands x, w, b?; attributes strides, dilations, pads, group.
var Conv = host.Fn{Name: "spatial.conv", Run: func(c *host.Call) error {
	p, err := newConv(c, c.In[0], c.In[1])
	if err != nil {
		return err
	}
	var bias []float64
	if len(c.In) > 2 && c.In[2] != nil {
		if bias, err = floats(c, c.In[2]); err != nil {
			return err
		}
	}
	x, err := floats(c, c.In[0])
	if err != nil {
		return err
	}
	w, err := floats(c, c.In[1])
	if err != nil {
		return err
	}
	y, err := c.Out(0, p.shape()...)
	if err != nil {
		return err
	}
	return p.run(c, x, w, bias, func(i int, _ int, v float64) { y.SetFloat(i, v) })
}}

// ConvInteger is Conv of integers less their zero points, in int32. Operands x, w, x_zero_point?, w_zero_point?
var ConvInteger = host.Fn{Name: "spatial.conv_integer", Run: func(c *host.Call) error {
	p, err := newConv(c, c.In[0], c.In[1])
	if err != nil {
		return err
	}
	x, err := centred(c, c.In[0], operand(c, 2), 1)
	if err != nil {
		return err
	}
	w, err := centred(c, c.In[1], operand(c, 3), p.co)
	if err != nil {
		return err
	}
	y, err := c.Out(0, p.shape()...)
	if err != nil {
		return err
	}
	return p.run(c, x, w, nil, func(i int, _ int, v float64) { y.SetInt(i, int64(v)) })
}}

// QLinearConv is ConvInteger plus a bias, scaled by x_scale*w_scale/y_scale, rounded to even, moved by y_zero_point
// and saturated. Operands x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b?; the scale
// and zero point of w are one value or one per output channel.
var QLinearConv = host.Fn{Name: "spatial.qlinear_conv", Run: func(c *host.Call) error {
	p, err := newConv(c, c.In[0], c.In[3])
	if err != nil {
		return err
	}
	x, err := centred(c, c.In[0], c.In[2], 1)
	if err != nil {
		return err
	}
	w, err := centred(c, c.In[3], c.In[5], p.co)
	if err != nil {
		return err
	}
	var bias []float64
	if b := operand(c, 8); b != nil {
		if bias, err = floats(c, b); err != nil {
			return err
		}
	}
	ws := c.In[4]
	if c.In[1].Len() != 1 || c.In[6].Len() != 1 || c.In[7].Len() != 1 || ws.Len() != 1 && ws.Len() != p.co {
		return fmt.Errorf("scales: want one value, and one or %d for the weights", p.co)
	}
	xs, ys, yz := c.In[1].Float(0), c.In[6].Float(0), c.In[7].Int(0)
	lo, hi := c.OutElem(0).IntRange()
	y, err := c.Out(0, p.shape()...)
	if err != nil {
		return err
	}
	return p.run(c, x, w, bias, func(i int, o int, v float64) {
		s := float64(float32(xs*ws.Float(min(o, ws.Len()-1))) / float32(ys))
		q := math.RoundToEven(v*s) + float64(yz)
		y.SetInt(i, int64(max(float64(lo), min(float64(hi), q))))
	})
}}

func operand(c *host.Call, i int) *tensor.Tensor {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// conv is the sizes of one convolution: spatial extents in and out, channels per group, and the weights' window.
type conv struct {
	*window
	in, o          []int
	n, ci, co, grp int // batch; channels of x, of y; groups
}

func newConv(c *host.Call, x, w *tensor.Tensor) (*conv, error) {
	if len(x.Shape) < 2 || len(w.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("shapes %v and %v: want one rank of at least 2", x.Shape, w.Shape)
	}
	for _, k := range w.Shape[2:] {
		if k < 1 || k >= limit {
			return nil, fmt.Errorf("weights of shape %v", w.Shape)
		}
	}
	win, err := readWindow(c, len(x.Shape)-2, w.Shape[2:])
	if err != nil {
		return nil, err
	}
	p := &conv{window: win, in: x.Shape[2:], n: x.Shape[0], ci: x.Shape[1], co: w.Shape[0], grp: int(c.Attrs.Int("group", 1))}
	if p.grp < 1 || p.ci != w.Shape[1]*p.grp || p.co%p.grp != 0 {
		return nil, fmt.Errorf("%d groups of %d channels do not make the %d of the input and %d of the output", p.grp, w.Shape[1], p.ci, p.co)
	}
	p.o, err = win.outs(p.in)
	return p, err
}

func (p *conv) shape() []int { return append([]int{p.n, p.co}, p.o...) }

// run hands every result to put, with its flat position and output channel.
func (p *conv) run(c *host.Call, x, w, bias []float64, put func(i, o int, v float64)) error {
	if bias != nil && len(bias) != p.co {
		return fmt.Errorf("bias: want %d values, got %d", p.co, len(bias))
	}
	size, taps, plane := host.Product(p.o), host.Product(p.kernel), host.Product(p.in)
	if err := c.Temp(8 * int64(size)); err != nil {
		return err
	}
	acc := make([]float64, size)
	cig, cog := p.ci/p.grp, p.co/p.grp
	for n := range p.n {
		for o := range p.co {
			clear(acc)
			if bias != nil {
				for i := range acc {
					acc[i] = bias[o]
				}
			}
			for i := range cig {
				from := (n*p.ci + o/cog*cig + i) * plane
				p.plane(acc, x[from:from+plane], w[(o*cig+i)*taps:])
			}
			for i, v := range acc {
				put((n*p.co+o)*size+i, o, v)
			}
		}
	}
	return nil
}

// plane adds one input channel, window by window position: acc[q] += w[t] * x[q*stride + t*dilation - begin].
func (p *conv) plane(acc, x, w []float64) {
	r := len(p.in)
	if r == 0 {
		acc[0] += x[0] * w[0]
		return
	}
	tap, t := make([]int, r), 0
	for ok := true; ok; ok = host.Next(tap, p.kernel) {
		p.rows(tap, func(to, from, count int) {
			wt, s := w[t], p.stride[r-1]
			for q := range count {
				acc[to+q] += wt * x[from+q*s]
			}
		})
		t++
	}
}

// rows calls fn for each row of result positions whose element at this tap lies inside the input: result
// positions to.., input positions from, from+stride...
func (p *conv) rows(tap []int, fn func(to, from, count int)) {
	r := len(p.in)
	if host.Product(p.o) == 0 {
		return
	}
	last := r - 1
	off := tap[last]*p.dilation[last] - p.begin[last]
	s := p.stride[last]
	lo := 0
	if off < 0 {
		lo = (-off + s - 1) / s
	}
	hi := 0
	if p.in[last]-off > 0 {
		hi = min(p.o[last], (p.in[last]-off+s-1)/s)
	}
	if lo >= hi {
		return
	}
	idx := make([]int, last)
	for ok := true; ok; ok = host.Next(idx, p.o[:last]) {
		from, to, inside := 0, 0, true
		for i, q := range idx {
			v := q*p.stride[i] + tap[i]*p.dilation[i] - p.begin[i]
			if v < 0 || v >= p.in[i] {
				inside = false
				break
			}
			from, to = from*p.in[i]+v, to*p.o[i]+q
		}
		if inside {
			fn(to*p.o[last]+lo, from*p.in[last]+lo*s+off, hi-lo)
		}
	}
}

// ConvTranspose is y[n, o, q*stride + t*dilation - pad] += x[n, i, q] * w[i, o, t] within each group: the gradient of Conv
// by its input. Operands x, w, b?; attributes strides, dilations, pads, output_padding, group. The extent of a result axis
// is stride*(in-1) + output_padding + dilation*(kernel-1) + 1 - both pads.
var ConvTranspose = host.Fn{Name: "spatial.conv_transpose", Run: func(c *host.Call) error {
	x, w := c.In[0], c.In[1]
	if len(x.Shape) < 3 || len(w.Shape) != len(x.Shape) {
		return fmt.Errorf("shapes %v and %v: want one rank of at least 3", x.Shape, w.Shape)
	}
	r := len(x.Shape) - 2
	win, err := readWindow(c, r, w.Shape[2:])
	if err != nil {
		return err
	}
	extra := c.Attrs.Ints("output_padding")
	if len(extra) != 0 && len(extra) != r {
		return fmt.Errorf("output_padding: want %d values, got %d", r, len(extra))
	}
	grp := int(c.Attrs.Int("group", 1))
	if grp < 1 || x.Shape[1] != w.Shape[0] || x.Shape[1]%grp != 0 {
		return fmt.Errorf("shapes %v and %v with %d groups", x.Shape, w.Shape, grp)
	}
	// The convolution from y to x whose gradient this is.
	p := &conv{window: win, in: make([]int, r), o: x.Shape[2:], n: x.Shape[0], ci: w.Shape[1] * grp, co: x.Shape[1], grp: grp}
	for i := range p.in {
		e := 0
		if len(extra) > 0 {
			e = int(extra[i])
		}
		p.in[i] = win.stride[i]*(p.o[i]-1) + e + win.dilation[i]*(win.kernel[i]-1) + 1 - win.begin[i] - win.end[i]
		if e < 0 || p.in[i] < 0 {
			return fmt.Errorf("spatial axis %d: result of extent %d", i, p.in[i])
		}
	}
	y, err := c.Out(0, append([]int{p.n, p.ci}, p.in...)...)
	if err != nil {
		return err
	}
	var bias []float64
	if b := operand(c, 2); b != nil {
		if bias, err = floats(c, b); err != nil {
			return err
		}
		if len(bias) != p.ci {
			return fmt.Errorf("bias: want %d values, got %d", p.ci, len(bias))
		}
	}
	return p.transposed(c, y, bias)
}}

func (p *conv) transposed(c *host.Call, y *tensor.Tensor, bias []float64) error {
	x, err := floats(c, c.In[0])
	if err != nil {
		return err
	}
	w, err := floats(c, c.In[1])
	if err != nil {
		return err
	}
	size, taps, plane := host.Product(p.o), host.Product(p.kernel), host.Product(p.in)
	if err := c.Temp(8 * int64(plane)); err != nil {
		return err
	}
	acc := make([]float64, plane)
	cig, cog, last := p.ci/p.grp, p.co/p.grp, len(p.in)-1
	for n := range p.n {
		for i := range p.ci {
			clear(acc)
			for k := range cog {
				o := i/cig*cog + k
				dy, wt := x[(n*p.co+o)*size:], w[(o*cig+i%cig)*taps:]
				tap, t := make([]int, len(p.in)), 0
				for ok := true; ok; ok = host.Next(tap, p.kernel) {
					p.rows(tap, func(to, from, count int) {
						for q := range count {
							acc[from+q*p.stride[last]] += wt[t] * dy[to+q]
						}
					})
					t++
				}
			}
			for j, v := range acc {
				if bias != nil {
					v += bias[i]
				}
				y.SetFloat((n*p.ci+i)*plane+j, v)
			}
		}
	}
	return nil
}

// floats is a tensor's elements as float64.
func floats(c *host.Call, t *tensor.Tensor) ([]float64, error) {
	if err := c.Temp(8 * int64(t.Len())); err != nil {
		return nil, err
	}
	out := make([]float64, t.Len())
	if t.Elem == dtype.F32 {
		for i, v := range t.F32() {
			out[i] = float64(v)
		}
		return out, nil
	}
	for i := range out {
		out[i] = t.Float(i)
	}
	return out, nil
}

// centred is floats less a zero point: one, or one for each of channels slices along axis 0.
func centred(c *host.Call, t, zero *tensor.Tensor, channels int) ([]float64, error) {
	out, err := floats(c, t)
	if err != nil || zero == nil {
		return out, err
	}
	n := zero.Len()
	if n != 1 && (n != channels || n == 0) {
		return nil, fmt.Errorf("zero point: want 1 or %d values, got %d", channels, n)
	}
	per := len(out) / n
	for i := range out {
		out[i] -= zero.Float(i / max(per, 1))
	}
	return out, nil
}
