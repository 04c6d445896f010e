package eval

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
)

// runAcc computes the accumulator at each position of the Par axes and runs the program on it.
func (g *group) runAcc(acc func(pos []int, r *reg, i int) error) error {
	class := tile.NoClass
	for i := range g.form.Prog.Code {
		if in := &g.form.Prog.Code[i]; in.Op == tile.Acc {
			class = in.Class
		}
	}
	return g.each(func(l [][]int) error {
		r := newReg(class, len(l))
		for i, pos := range l {
			if err := acc(pos, r, i); err != nil {
				return err
			}
		}
		return exec(g.form.Prog, g.io(l, r))
	})
}

// contract: acc = sum over the Red axes of operand 0 times operand 1.
func (g *group) contract(base []int, r *reg, i int) error {
	if g.empty(g.red) {
		return nil
	}
	a, b := g.ops[0], g.ops[1]
	pos := append([]int(nil), base...)
	for {
		x, err := g.offset(0, pos)
		if err != nil {
			return err
		}
		y, err := g.offset(1, pos)
		if err != nil {
			return err
		}
		if r.float() {
			r.f[i] += a.Float(x) * b.Float(y)
		} else {
			r.i[i] += a.Int(x) * b.Int(y)
		}
		if !g.next(pos, g.red) {
			return nil
		}
	}
}

// place is the position along each axis of result 0 at a position of the space.
func (g *group) place(pos []int) ([]int, error) {
	out := g.form.Out(0)
	off, err := g.offset(out, pos)
	if err != nil {
		return nil, err
	}
	shape := g.ops[out].Shape
	p := make([]int, len(shape))
	for a := len(shape) - 1; a >= 0; a-- {
		p[a] = off % shape[a]
		off /= shape[a]
	}
	return p, nil
}

// window: acc combines the taps of operand 0 (times operand 1 for Dot) that a result's position sees.
func (g *group) window(pos []int, r *reg, i int) error {
	y, err := g.place(pos)
	if err != nil {
		return err
	}
	w, x := g.form.Window, g.ops[0]
	if len(y) != len(x.Shape) || len(w.Kernel) != len(y)-2 {
		return fmt.Errorf("a window of %d axes over %v", len(w.Kernel), x.Shape)
	}
	channels, first := 1, y[1]
	if w.Combine == anchor.Dot {
		channels = g.ops[1].Shape[1]
		first = y[1] / (g.ops[1].Shape[0] / w.Groups) * channels
	}
	c := combiner{w: w, r: r, i: i}
	c.begin()
	tap := make([]int, len(w.Kernel))
	for ch := 0; ch < channels; ch++ {
		for more := !zeroIn(w.Kernel); more; more = advance(tap, w.Kernel) {
			off, inside, padded := y[0]*x.Shape[1]+first+ch, true, true
			for a, t := range tap {
				p := y[2+a]*w.Stride[a] + t*w.Dilation[a] - w.PadBegin[a]
				inside = inside && p >= 0 && p < x.Shape[2+a]
				padded = padded && p < x.Shape[2+a]+w.PadEnd[a]
				off = off*x.Shape[2+a] + p
			}
			if padded {
				c.padded++
			}
			if !inside {
				continue
			}
			if w.Combine != anchor.Dot {
				c.take(x, off)
				continue
			}
			wt, at := g.ops[1], y[1]*channels+ch
			for a, t := range tap {
				at = at*w.Kernel[a] + t
			}
			if r.float() {
				r.f[i] += x.Float(off) * wt.Float(at)
			} else {
				r.i[i] += x.Int(off) * wt.Int(at)
			}
		}
	}
	c.end()
	return nil
}

func zeroIn(l []int) bool {
	for _, v := range l {
		if v == 0 {
			return true
		}
	}
	return false
}

// advance steps a position through extents, the last axis fastest; false after the last.
func advance(pos, extents []int) bool {
	for a := len(pos) - 1; a >= 0; a-- {
		if pos[a]++; pos[a] < extents[a] {
			return true
		}
		pos[a] = 0
	}
	return false
}

// combiner merges the elements of a pooling window.
type combiner struct {
	w              *anchor.WindowAttr
	r              *reg
	i              int
	inside, padded int
}

func (c *combiner) begin() {
	if c.w.Combine != anchor.Max {
		return
	}
	if c.r.float() {
		c.r.f[c.i] = math.Inf(-1)
	} else {
		c.r.i[c.i] = math.MinInt64
	}
}

func (c *combiner) take(x *tensor.Tensor, off int) {
	c.inside++
	switch {
	case c.w.Combine == anchor.Max && c.r.float():
		c.r.f[c.i] = larger(c.r.f[c.i], x.Float(off))
	case c.w.Combine == anchor.Max:
		c.r.i[c.i] = larger(c.r.i[c.i], x.Int(off))
	case c.r.float():
		c.r.f[c.i] += x.Float(off)
	default:
		c.r.i[c.i] += x.Int(off)
	}
}

func (c *combiner) end() {
	n := 0
	switch c.w.Combine {
	case anchor.Avg:
		n = c.inside
	case anchor.AvgPad:
		n = c.padded
	}
	if n > 0 && c.r.float() {
		c.r.f[c.i] /= float64(n)
	}
}

// attend: acc = sum over t of softmax_t(scale * q.k_t + mask_t) * v_t, at a position b, h, m, dv of the result.
// A query that sees no key gives 0.
func (g *group) attend(pos []int, r *reg, i int) error {
	y, err := g.place(pos)
	if err != nil {
		return err
	}
	q, k, v := g.ops[0], g.ops[1], g.ops[2]
	if len(y) != 4 || len(q.Shape) != 4 || len(k.Shape) != 4 || len(v.Shape) != 4 || !r.float() {
		return fmt.Errorf("attention over %v, %v and %v", q.Shape, k.Shape, v.Shape)
	}
	heads, kvHeads := q.Shape[1], k.Shape[1]
	d, keys, dv := q.Shape[3], k.Shape[2], v.Shape[3]
	b, h, m := y[0], y[1], y[2]
	hk := h * kvHeads / heads
	score := make([]float64, keys)
	top := math.Inf(-1)
	for t := range score {
		if g.form.Attend.Causal && t > m+keys-q.Shape[2] {
			score[t] = math.Inf(-1)
			continue
		}
		s := 0.0
		for j := 0; j < d; j++ {
			s += q.Float(((b*heads+h)*q.Shape[2]+m)*d+j) * k.Float(((b*kvHeads+hk)*keys+t)*d+j)
		}
		score[t] = s*g.form.Attend.Scale + g.mask(b, h, m, t)
		top = max(top, score[t])
	}
	if math.IsInf(top, -1) {
		return nil
	}
	sum := 0.0
	for t, s := range score {
		p := math.Exp(s - top)
		sum += p
		r.f[i] += p * v.Float(((b*kvHeads+hk)*keys+t)*dv+y[3])
	}
	r.f[i] /= sum
	return nil
}

// mask is what operand 3 adds to a score: a number, or for bool nothing where true and -inf where false.
func (g *group) mask(pos ...int) float64 {
	if len(g.form.N.In) < 4 || g.ops[3] == nil {
		return 0
	}
	t := g.ops[3]
	off := 0
	for i, n := range t.Shape {
		off *= n
		if n != 1 {
			off += pos[len(pos)-len(t.Shape)+i]
		}
	}
	if t.Elem != dtype.Bool {
		return t.Float(off)
	}
	if t.Bits(off) == 0 {
		return math.Inf(-1)
	}
	return 0
}
