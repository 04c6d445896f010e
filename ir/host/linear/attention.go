package linear

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Attention is o = softmax(scale * q.k^T + mask) * v over q [b, h, m, d], k [b, hk, t, d], v [b, hk, t, e]; query head h reads
// head h*hk/heads. The mask broadcasts to [b, h, m, t]; causal hides key t from query m where t > m + T - M. A query
// that sees no key gives zeros.
var Attention = host.Fn{Name: "attention", Run: func(c *host.Call) error {
	a, err := newAttention(c)
	if err != nil {
		return err
	}
	o, err := c.Out(0, a.b, a.h, a.m, a.e)
	if err != nil || o.Len() == 0 {
		return err
	}
	var f [3][]float64
	for i := range f {
		if f[i], err = c.Floats(c.In[i]); err != nil {
			return err
		}
	}
	if err := c.Temp(8 * int64(a.t+a.e)); err != nil {
		return err
	}
	score, out, write := make([]float64, a.t), make([]float64, a.e), host.Writer(o)
	for row := 0; row < a.b*a.h*a.m; row++ {
		b, h, m := row/(a.h*a.m), row/a.m%a.h, row%a.m
		kv := b*a.hk + h*a.hk/a.h
		a.scores(score, f[0][row*a.d:][:a.d], f[1][kv*a.t*a.d:][:a.t*a.d], b, h, m)
		attend(out, score, f[2][kv*a.t*a.e:][:a.t*a.e])
		for i, x := range out {
			write(row*a.e+i, x)
		}
	}
	return nil
}}

// attention holds the extents and what is added to scores.
type attention struct {
	b, h, hk, m, t, d, e int
	scale                float64
	causal               bool
	mask                 func(int) float64
	maskAt               []int
}

func newAttention(c *host.Call) (*attention, error) {
	q, k, v := c.In[0].Shape, c.In[1].Shape, c.In[2].Shape
	if len(q) != 4 || len(k) != 4 || len(v) != 4 {
		return nil, fmt.Errorf("ranks %d, %d, %d, want 4", len(q), len(k), len(v))
	}
	a := &attention{b: q[0], h: q[1], hk: k[1], m: q[2], t: k[2], d: q[3], e: v[3], scale: c.Attrs.Float("scale", 1), causal: c.Attrs.Bool("causal")}
	if k[0] != a.b || v[0] != a.b || k[3] != a.d || v[1] != a.hk || v[2] != a.t || a.h > 0 && (a.hk == 0 || a.h%a.hk != 0) {
		return nil, fmt.Errorf("shapes %v, %v, %v do not match", q, k, v)
	}
	if len(c.In) > 3 && c.In[3] != nil {
		full := []int{a.b, a.h, a.m, a.t}
		s, err := host.Broadcast(c.In[3].Shape, full)
		if err != nil || len(s) != 4 || s[0] != full[0] || s[1] != full[1] || s[2] != full[2] || s[3] != full[3] {
			return nil, fmt.Errorf("mask of shape %v does not broadcast to %v", c.In[3].Shape, full)
		}
		a.mask, a.maskAt = maskOf(c.In[3]), host.BroadcastStrides(c.In[3].Shape, full)
	}
	return a, nil
}

// scores of query m of head h against all keys.
func (a *attention) scores(score, q, keys []float64, b, h, m int) {
	for t := range score {
		s := 0.0
		for i, x := range q {
			s += x * keys[t*a.d+i]
		}
		score[t] = s * a.scale
		if a.mask != nil {
			score[t] += a.mask(b*a.maskAt[0] + h*a.maskAt[1] + m*a.maskAt[2] + t*a.maskAt[3])
		}
		if a.causal && t > m+a.t-a.m {
			score[t] = math.Inf(-1)
		}
	}
}

// maskOf is what a mask adds to a score: a number, or, for bool, 0 where true and -inf where false.
func maskOf(t *tensor.Tensor) func(int) float64 {
	if t.Elem != dtype.Bool {
		return host.Reader(t)
	}
	return func(i int) float64 {
		if t.Bits(i) == 0 {
			return math.Inf(-1)
		}
		return 0
	}
}

// attend is softmax(score) times the rows of vals.
func attend(out, score, vals []float64) {
	clear(out)
	top := math.Inf(-1)
	for _, s := range score {
		top = max(top, s)
	}
	if math.IsInf(top, -1) {
		return
	}
	sum := 0.0
	for j, s := range score {
		w := math.Exp(s - top)
		sum += w
		for l := range out {
			out[l] += w * vals[j*len(out)+l]
		}
	}
	for l := range out {
		out[l] /= sum
	}
}
