// Package linear holds matrix products and attention.
package linear

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Loop extents: m rows of a, n columns of b, k summed over.

// MatMul is y[..., m, n] = sum over k of a[..., m, k] * b[..., k, n], leading axes broadcast; an operand of rank 1 is a
// row (a) or a column (b) whose axis is missing in y. Real numbers are summed in float64, integers modulo their width.
var MatMul = host.Fn{Name: "matmul", Run: func(c *host.Call) error {
	a, b := c.In[0], c.In[1]
	if len(a.Shape) == 0 || len(b.Shape) == 0 {
		return fmt.Errorf("shapes %v and %v, want at least one axis", a.Shape, b.Shape)
	}
	sa, sb := a.Shape, b.Shape
	if len(sa) == 1 {
		sa = []int{1, sa[0]}
	}
	if len(sb) == 1 {
		sb = []int{sb[0], 1}
	}
	m, k, n := sa[len(sa)-2], sa[len(sa)-1], sb[len(sb)-1]
	if sb[len(sb)-2] != k {
		return fmt.Errorf("shapes %v and %v do not multiply", a.Shape, b.Shape)
	}
	batchA, batchB := sa[:len(sa)-2], sb[:len(sb)-2]
	batch, err := host.Broadcast(batchA, batchB)
	if err != nil {
		return err
	}
	shape := append([]int(nil), batch...)
	if len(a.Shape) > 1 {
		shape = append(shape, m)
	}
	if len(b.Shape) > 1 {
		shape = append(shape, n)
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	strides := [][]int{host.BroadcastStrides(batchA, batch), host.BroadcastStrides(batchB, batch)}
	if !a.Elem.IsFloat() {
		host.Each(batch, strides, func(at int, off []int) { productInt(y, a, b, at*m*n, off[0]*m*k, off[1]*k*n, m, n, k) })
		return nil
	}
	fa, err := c.Floats(a)
	if err != nil {
		return err
	}
	fb, err := c.Floats(b)
	if err != nil {
		return err
	}
	row, write := make([]float64, n), host.Writer(y)
	host.Each(batch, strides, func(at int, off []int) {
		for i := 0; i < m; i++ {
			product(row, fa[off[0]*m*k+i*k:][:k], fb[off[1]*k*n:][:k*n])
			for j, v := range row {
				write((at*m+i)*n+j, v)
			}
		}
	})
	return nil
}}

// product is one row of a times all of b.
func product(row, a, b []float64) {
	clear(row)
	n := len(row)
	for k, x := range a {
		for j, v := range b[k*n : k*n+n] {
			row[j] += x * v
		}
	}
}

func productInt(y, a, b *tensor.Tensor, y0, a0, b0, m, n, k int) {
	for i := 0; i < m; i++ {
		for j := 0; j < n; j++ {
			var s int64
			for l := 0; l < k; l++ {
				s += a.Int(a0+i*k+l) * b.Int(b0+l*n+j)
			}
			y.SetInt(y0+i*n+j, s)
		}
	}
}

// Attention is o = softmax(scale * q.k^T + mask) * v over q [b, h, m, d], k [b, hk, t, d], v [b, hk, t, e]; query head h reads
// head h*hk/heads. The mask broadcasts to [b, h, m, t]; causal hides key t from query m where t > m + T - M. A query
// that sees no key gives zeros.
var Attention = host.Fn{Name: "attention", Run: func(c *host.Call) error {
	q, k, v := c.In[0], c.In[1], c.In[2]
	if len(q.Shape) != 4 || len(k.Shape) != 4 || len(v.Shape) != 4 {
		return fmt.Errorf("ranks %d, %d, %d, want 4", len(q.Shape), len(k.Shape), len(v.Shape))
	}
	heads, m, d := q.Shape[1], q.Shape[2], q.Shape[3]
	hk, t, e := k.Shape[1], k.Shape[2], v.Shape[3]
	if k.Shape[0] != q.Shape[0] || v.Shape[0] != q.Shape[0] || k.Shape[3] != d || v.Shape[1] != hk || v.Shape[2] != t || heads > 0 && (hk == 0 || heads%hk != 0) {
		return fmt.Errorf("shapes %v, %v, %v do not match", q.Shape, k.Shape, v.Shape)
	}
	full := []int{q.Shape[0], heads, m, t}
	var bias func(int) float64
	biasAt := make([]int, 4)
	if len(c.In) > 3 && c.In[3] != nil {
		if s, err := host.Broadcast(c.In[3].Shape, full); err != nil || len(s) != 4 || s[0] != full[0] || s[1] != full[1] || s[2] != full[2] || s[3] != full[3] {
			return fmt.Errorf("mask of shape %v does not broadcast to %v", c.In[3].Shape, full)
		}
		bias, biasAt = maskOf(c.In[3]), host.BroadcastStrides(c.In[3].Shape, full)
	}
	y, err := c.Out(0, q.Shape[0], heads, m, e)
	if err != nil {
		return err
	}
	var f [3][]float64
	for i, x := range []*tensor.Tensor{q, k, v} {
		if f[i], err = c.Floats(x); err != nil {
			return err
		}
	}
	if err := c.Temp(8 * int64(t+e)); err != nil {
		return err
	}
	scale, causal := c.Attrs.Float("scale", 1), c.Attrs.Bool("causal")
	score, out, write := make([]float64, t), make([]float64, e), host.Writer(y)
	for b := 0; b < q.Shape[0]; b++ {
		for h := 0; h < heads; h++ {
			kv := b*hk + h*hk/heads
			keys, vals := f[1][kv*t*d:][:t*d], f[2][kv*t*e:][:t*e]
			for i := 0; i < m; i++ {
				row := (b*heads+h)*m + i
				for j := range score {
					s := 0.0
					for l, x := range f[0][row*d : row*d+d] {
						s += x * keys[j*d+l]
					}
					score[j] = s * scale
					if bias != nil {
						score[j] += bias(b*biasAt[0] + h*biasAt[1] + i*biasAt[2] + j*biasAt[3])
					}
					if causal && j > i+t-m {
						score[j] = math.Inf(-1)
					}
				}
				attend(out, score, vals)
				for l, x := range out {
					write(row*e+l, x)
				}
			}
		}
	}
	return nil
}}

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

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{MatMul, Attention} }
