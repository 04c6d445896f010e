// Package recurrent holds the recurrent layers of ONNX (RNN, GRU, LSTM), step by step in float64.
package recurrent

import (
	"fmt"
	"math"
	"strings"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{RNN, GRU, LSTM}
}

// RNN is h' = f(W x + R h + Wb + Rb). Operands x [seq, batch, in], w [dirs, hidden, in], r [dirs, hidden, hidden], b? [dirs,
// 2*hidden], sequence_lens? [batch], initial_h? [dirs, batch, hidden]; results y [seq, dirs, batch, hidden] and y_h
// [dirs, batch, hidden]. With layout 1 the batch comes first in x, y and the states. Behind the end of a sequence
// y is 0; the reverse direction starts at that end.
var RNN = host.Fn{Name: "recurrent.rnn", Run: func(c *host.Call) error {
	return run(c, 1, []string{"Tanh"}, func(l *layer, s *step) {
		for j := range l.hidden {
			s.h[j] = l.act[0](l.clip(s.x[j] + s.r[j] + s.wb[j] + s.rb[j]))
		}
	})
}}

// GRU has gates z, r, h: h' = (1 - z) * g(Wh x + Rh (r*h) + ...) + z * h; with linear_before_reset the reset
// multiplies Rh h + Rbh instead. Operands and results are those of RNN, w, r and b being three gates deep.
var GRU = host.Fn{Name: "recurrent.gru", Run: func(c *host.Call) error {
	return run(c, 3, []string{"Sigmoid", "Tanh"}, func(l *layer, s *step) {
		n := l.hidden
		z, r, reset := make([]float64, n), make([]float64, n), make([]float64, n)
		for j := range n {
			z[j] = l.act[0](l.clip(s.x[j] + s.r[j] + s.wb[j] + s.rb[j]))
			r[j] = l.act[0](l.clip(s.x[n+j] + s.r[n+j] + s.wb[n+j] + s.rb[n+j]))
			reset[j] = r[j] * s.h[j]
		}
		for j := range n {
			k := 2*n + j
			v := s.x[k] + s.wb[k]
			if l.linearBeforeReset {
				v += r[j] * (s.r[k] + s.rb[k])
			} else {
				v += dot(l.r[l.dir*3*n*n+k*n:], reset) + s.rb[k]
			}
			z[j] = (1-z[j])*l.act[1](l.clip(v)) + z[j]*s.h[j]
		}
		copy(s.h, z)
	})
}}

// LSTM has gates i, o, f, c: c' = f*c + i*g(Wc x + Rc h + ...), h' = o*h(c'), with peepholes p [dirs, 3*hidden] from c into i and f
// and from c' into o. Operands are those of RNN, w, r and b being four gates deep, then initial_c? and p?; result 2 is
// the last c. input_forget couples f = 1 - i; round_h rounds h to 8 bits in front of R.
var LSTM = host.Fn{Name: "recurrent.lstm", Run: func(c *host.Call) error {
	coupled := c.Attrs.Bool("input_forget")
	return run(c, 4, []string{"Sigmoid", "Tanh", "Tanh"}, func(l *layer, s *step) {
		n := l.hidden
		gate := func(g, j int, peep float64) float64 {
			k := g*n + j
			return l.clip(s.x[k] + s.r[k] + s.wb[k] + s.rb[k] + peep)
		}
		for j := range n {
			var pi, po, pf float64
			if l.p != nil {
				p := l.p[l.dir*3*n:]
				pi, po, pf = p[j], p[n+j], p[2*n+j]
			}
			i := l.act[0](gate(0, j, pi*s.c[j]))
			f := 1 - i
			if !coupled {
				f = l.act[0](gate(2, j, pf*s.c[j]))
			}
			s.c[j] = f*s.c[j] + i*l.act[1](gate(3, j, 0))
			s.h[j] = l.act[0](gate(1, j, po*s.c[j])) * l.act[2](s.c[j])
		}
	})
}}

// layer is the parameters of one call.
type layer struct {
	seq, batch, in, hidden, dirs int
	batchFirst                   bool
	linearBeforeReset            bool
	round                        bool // h, in front of r
	w, r, b, p                   []float64
	lens                         *tensor.Tensor
	dir                          int
	acts                         []func(float64) float64 // of all directions
	act                          []func(float64) float64 // of the one at hand
	limit                        float64                 // clip; 0 is none
}

// step is one batch entry at one time: W x and R h per gate, the biases, and the states, which the cell replaces.
type step struct {
	x, r, wb, rb, h, c []float64
}

func (l *layer) clip(v float64) float64 {
	if l.limit > 0 {
		return max(-l.limit, min(l.limit, v))
	}
	return v
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range b {
		s += a[i] * v
	}
	return s
}

func operand(c *host.Call, i int) *tensor.Tensor {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

func floats(c *host.Call, i int, shape ...int) ([]float64, error) {
	t := operand(c, i)
	if t == nil {
		return nil, nil
	}
	want, _ := tensor.Count(shape)
	if t.Len() != want || len(t.Shape) != len(shape) {
		return nil, fmt.Errorf("operand %d: want shape %v, got %v", i, shape, t.Shape)
	}
	if err := c.Temp(8 * int64(want)); err != nil {
		return nil, err
	}
	out := make([]float64, want)
	for k := range out {
		out[k] = t.Float(k)
	}
	return out, nil
}

func newLayer(c *host.Call, gates int, defaults []string) (*layer, error) {
	x, r := c.In[0], c.In[2]
	if len(x.Shape) != 3 || len(r.Shape) != 3 {
		return nil, fmt.Errorf("shapes %v and %v: want rank 3", x.Shape, r.Shape)
	}
	l := &layer{seq: x.Shape[0], batch: x.Shape[1], in: x.Shape[2], hidden: r.Shape[2], dirs: 1,
		batchFirst: c.Attrs.Int("layout", 0) == 1, linearBeforeReset: c.Attrs.Bool("linear_before_reset"), limit: c.Attrs.Float("clip", 0),
		round: c.Attrs.Bool("round_h")}
	if l.batchFirst {
		l.seq, l.batch = l.batch, l.seq
	}
	if c.Attrs.Str("direction", "forward") == "bidirectional" {
		l.dirs = 2
	}
	var err error
	if l.w, err = floats(c, 1, l.dirs, gates*l.hidden, l.in); err != nil {
		return nil, err
	}
	if l.r, err = floats(c, 2, l.dirs, gates*l.hidden, l.hidden); err != nil {
		return nil, err
	}
	if l.b, err = floats(c, 3, l.dirs, 2*gates*l.hidden); err != nil {
		return nil, err
	}
	if l.p, err = floats(c, 7, l.dirs, 3*l.hidden); err != nil {
		return nil, err
	}
	if l.lens = operand(c, 4); l.lens != nil && l.lens.Len() != l.batch {
		return nil, fmt.Errorf("sequence_lens: want %d values, got %d", l.batch, l.lens.Len())
	}
	l.acts, err = activations(c, l.dirs, defaults)
	return l, err
}

// state reads an initial state into [dirs, batch, hidden].
func (l *layer) state(c *host.Call, i int) ([]float64, error) {
	out := make([]float64, l.dirs*l.batch*l.hidden)
	if operand(c, i) == nil {
		return out, nil
	}
	if !l.batchFirst {
		return floats(c, i, l.dirs, l.batch, l.hidden)
	}
	in, err := floats(c, i, l.batch, l.dirs, l.hidden)
	if err != nil {
		return nil, err
	}
	for b := range l.batch {
		for d := range l.dirs {
			copy(out[(d*l.batch+b)*l.hidden:][:l.hidden], in[(b*l.dirs+d)*l.hidden:])
		}
	}
	return out, nil
}

func run(c *host.Call, gates int, defaults []string, cell func(*layer, *step)) error {
	l, err := newLayer(c, gates, defaults)
	if err != nil {
		return err
	}
	if err := c.Temp(16 * int64(l.dirs*l.batch*l.hidden)); err != nil {
		return err
	}
	h, err := l.state(c, 5)
	if err != nil {
		return err
	}
	cs, err := l.state(c, 6)
	if err != nil {
		return err
	}
	y, err := l.result(c, 0, l.seq)
	if err != nil {
		return err
	}
	for i := range y.Len() {
		y.SetBits(i, 0)
	}
	x, err := floats(c, 0, c.In[0].Shape...)
	if err != nil {
		return err
	}
	reverse := c.Attrs.Str("direction", "forward") == "reverse"
	for d := range l.dirs {
		l.dir, l.act = d, l.acts[d*len(defaults):]
		at, n := d*l.batch*l.hidden, l.batch*l.hidden
		if err := l.direction(gates, d == 1 || reverse, x, h[at:at+n], cs[at:at+n], y, cell); err != nil {
			return err
		}
	}
	for i, s := range [][]float64{h, cs}[:c.NumOut()-1] {
		if err := l.last(c, 1+i, s); err != nil {
			return err
		}
	}
	return nil
}

// result allocates y (seq steps) or a state (seq 0).
func (l *layer) result(c *host.Call, i, seq int) (*tensor.Tensor, error) {
	switch {
	case i > 0 && l.batchFirst:
		return c.Out(i, l.batch, l.dirs, l.hidden)
	case i > 0:
		return c.Out(i, l.dirs, l.batch, l.hidden)
	case l.batchFirst:
		return c.Out(i, l.batch, seq, l.dirs, l.hidden)
	}
	return c.Out(i, seq, l.dirs, l.batch, l.hidden)
}

func (l *layer) last(c *host.Call, i int, s []float64) error {
	t, err := l.result(c, i, 0)
	if err != nil {
		return err
	}
	for d := range l.dirs {
		for b := range l.batch {
			at := d*l.batch + b
			if l.batchFirst {
				at = b*l.dirs + d
			}
			for j := range l.hidden {
				t.SetFloat(at*l.hidden+j, s[(d*l.batch+b)*l.hidden+j])
			}
		}
	}
	return nil
}

// direction runs one direction; h and cs are the states of all batch entries, changed in place.
func (l *layer) direction(gates int, reverse bool, x, h, cs []float64, y *tensor.Tensor, cell func(*layer, *step)) error {
	steps := make([]int, l.batch)
	for b := range steps {
		steps[b] = l.seq
		if l.lens != nil {
			v := l.lens.Int(b)
			if v < 0 || v > int64(l.seq) {
				return fmt.Errorf("sequence_lens: %d of %d steps", v, l.seq)
			}
			steps[b] = int(v)
		}
	}
	g := gates * l.hidden
	s := &step{x: make([]float64, g), r: make([]float64, g), wb: make([]float64, g), rb: make([]float64, g)}
	if l.b != nil {
		bias := l.b[l.dir*2*g:]
		s.wb, s.rb = bias[:g], bias[g:2*g]
	}
	before := make([]float64, len(h)) // what r meets
	for t := range l.seq {
		copy(before, h)
		if l.round {
			round8(before)
		}
		for b, n := range steps {
			if t >= n {
				continue
			}
			t := t
			if reverse {
				t = n - 1 - t
			}
			from, to := (t*l.batch+b)*l.in, ((t*l.dirs+l.dir)*l.batch+b)*l.hidden
			if l.batchFirst {
				from, to = (b*l.seq+t)*l.in, ((b*l.seq+t)*l.dirs+l.dir)*l.hidden
			}
			at := b * l.hidden
			for k := range g {
				s.x[k] = dot(l.w[(l.dir*g+k)*l.in:], x[from:from+l.in])
				s.r[k] = dot(l.r[(l.dir*g+k)*l.hidden:], before[at:at+l.hidden])
			}
			s.h, s.c = h[at:at+l.hidden], cs[at:at+l.hidden]
			cell(l, s)
			for j, v := range s.h {
				y.SetFloat(to+j, v)
			}
		}
	}
	return nil
}

// round8 rounds to 256 steps between the least and the greatest value, as DynamicQuantizeLinear does.
func round8(v []float64) {
	lo, hi := 0.0, 0.0
	for _, e := range v {
		lo, hi = min(lo, e), max(hi, e)
	}
	scale := float64(float32(hi-lo) / 255)
	if scale == 0 {
		return
	}
	zero := max(0, min(255, math.RoundToEven(-lo/scale)))
	for i, e := range v {
		v[i] = (max(0, min(255, math.RoundToEven(e/scale)+zero)) - zero) * scale
	}
}

// activations resolves the attributes activations, activation_alpha and activation_beta. The two lists of numbers are
// consumed by those functions that take one, in order.
func activations(c *host.Call, dirs int, defaults []string) ([]func(float64) float64, error) {
	var names []string
	if v, ok := c.Attrs.Get("activations"); ok {
		names = v.Strs
	}
	if len(names) == 0 {
		for range dirs {
			names = append(names, defaults...)
		}
	}
	if len(names) != dirs*len(defaults) {
		if len(names) < dirs*len(defaults) || len(names)%len(defaults) != 0 {
			return nil, fmt.Errorf("activations: want %d names, got %d", dirs*len(defaults), len(names))
		}
		names = names[:dirs*len(defaults)] // the schema's default of RNN names both directions
	}
	var alpha, beta []float64
	if v, ok := c.Attrs.Get("activation_alpha"); ok {
		alpha = v.Floats
	}
	if v, ok := c.Attrs.Get("activation_beta"); ok {
		beta = v.Floats
	}
	take := func(l *[]float64, def float64) float64 {
		if len(*l) == 0 {
			return def
		}
		v := (*l)[0]
		*l = (*l)[1:]
		return v
	}
	out := make([]func(float64) float64, len(names))
	for i, name := range names {
		f, ok := functions[strings.ToLower(name)]
		if !ok {
			return nil, fmt.Errorf("activation %q is not known", name)
		}
		var a, b float64
		if f.alpha != nil {
			a = take(&alpha, *f.alpha)
		}
		if f.beta != nil {
			b = take(&beta, *f.beta)
		}
		out[i] = func(x float64) float64 { return f.run(x, a, b) }
	}
	return out, nil
}

// Activations reports whether name is an activation of recurrent layers.
func Activations(name string) bool { _, ok := functions[strings.ToLower(name)]; return ok }

type function struct {
	alpha, beta *float64 // defaults; nil where the function takes none
	run         func(x, a, b float64) float64
}

func number(v float64) *float64 { return &v }

var functions = map[string]function{
	"relu":            {nil, nil, func(x, _, _ float64) float64 { return max(x, 0) }},
	"tanh":            {nil, nil, func(x, _, _ float64) float64 { return math.Tanh(x) }},
	"sigmoid":         {nil, nil, func(x, _, _ float64) float64 { return 1 / (1 + math.Exp(-x)) }},
	"affine":          {number(1), number(0), func(x, a, b float64) float64 { return a*x + b }},
	"leakyrelu":       {number(0.01), nil, func(x, a, _ float64) float64 { return max(x, 0) + a*min(x, 0) }},
	"thresholdedrelu": {number(1), nil, thresholded},
	"scaledtanh":      {number(1), number(1), func(x, a, b float64) float64 { return a * math.Tanh(b*x) }},
	"hardsigmoid":     {number(0.2), number(0.5), func(x, a, b float64) float64 { return max(0, min(1, a*x+b)) }},
	"elu":             {number(1), nil, func(x, a, _ float64) float64 { return max(x, 0) + a*math.Expm1(min(x, 0)) }},
	"softsign":        {nil, nil, func(x, _, _ float64) float64 { return x / (1 + math.Abs(x)) }},
	"softplus":        {nil, nil, func(x, _, _ float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }},
}

func thresholded(x, a, _ float64) float64 {
	if x > a {
		return x
	}
	return 0
}
