package quant

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// MatMulInteger is y[..., m, n] = sum over k of (a[..., m, k] - za) * (b[..., k, n] - zb) in int32; leading axes broadcast.
// Operands a, b, a_zero_point?, b_zero_point?; za is one value or one per row of a, zb one value or one per column of b.
var MatMulInteger = host.Fn{Name: "quant.matmul_integer", Run: func(c *host.Call) error {
	p, err := newProduct(c, c.In[0], operand(c, 2), c.In[1], operand(c, 3))
	if err != nil {
		return err
	}
	y, err := c.Out(0, p.shape...)
	if err != nil {
		return err
	}
	p.run(func(i, m, n int, v float64) { y.SetInt(i, int64(v)) })
	return nil
}}

// QLinearMatMul is y = quantise((a - za) * sa times (b - zb) * sb) with y_scale and y_zero_point. Operands a, a_scale,
// a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point; those of a are one value or one per row, of b one value
// or one per column.
var QLinearMatMul = host.Fn{Name: "quant.qlinear_matmul", Run: func(c *host.Call) error {
	p, err := newProduct(c, c.In[0], c.In[2], c.In[3], c.In[5])
	if err != nil {
		return err
	}
	sa, sb, sy, zy := c.In[1], c.In[4], c.In[6], c.In[7]
	if sy.Len() != 1 || zy.Len() != 1 || sa.Len() != 1 && sa.Len() != p.m || sb.Len() != 1 && sb.Len() != p.n {
		return fmt.Errorf("scales of shapes %v, %v and %v for %d rows and %d columns", sa.Shape, sb.Shape, sy.Shape, p.m, p.n)
	}
	y, err := c.Out(0, p.shape...)
	if err != nil {
		return err
	}
	p.run(func(i, m, n int, v float64) {
		q := v * sa.Float(min(m, sa.Len()-1)) * sb.Float(min(n, sb.Len()-1)) / sy.Float(0)
		if y.Elem.IsFloat() {
			y.SetBits(i, dtype.EncodeFloat(y.Elem, q, true))
			return
		}
		y.SetInt(i, Saturate(y.Elem, math.RoundToEven(q)+zy.Float(0)))
	})
	return nil
}}

func operand(c *host.Call, i int) *tensor.Tensor {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// matrices is one product: the operands less their zero points, and where each batch of the result finds its
// operands.
type matrices struct {
	a, b    []float64
	m, k, n int
	shape   []int
	ab, bb  []int
}

func newProduct(c *host.Call, a, za, b, zb *tensor.Tensor) (*matrices, error) {
	as, bs := a.Shape, b.Shape
	if len(as) == 0 || len(bs) == 0 {
		return nil, fmt.Errorf("shapes %v and %v", as, bs)
	}
	row, col := len(as) == 1, len(bs) == 1
	if row {
		as = []int{1, as[0]}
	}
	if col {
		bs = []int{bs[0], 1}
	}
	p := &matrices{m: as[len(as)-2], k: as[len(as)-1], n: bs[len(bs)-1]}
	if bs[len(bs)-2] != p.k {
		return nil, fmt.Errorf("shapes %v and %v: inner extents %d and %d", a.Shape, b.Shape, p.k, bs[len(bs)-2])
	}
	lead, err := p.batches(as[:len(as)-2], bs[:len(bs)-2])
	if err != nil {
		return nil, err
	}
	p.shape = lead
	if !row {
		p.shape = append(p.shape, p.m)
	}
	if !col {
		p.shape = append(p.shape, p.n)
	}
	if err := c.Temp(8 * int64(a.Len()+b.Len())); err != nil {
		return nil, err
	}
	if p.a, err = centred(a, za, p.m, p.k); err != nil {
		return nil, err
	}
	p.b, err = centred(b, zb, p.n, 1)
	return p, err
}

// batches broadcasts the leading axes and lists the matrices that each batch multiplies.
func (p *matrices) batches(a, b []int) ([]int, error) {
	r := max(len(a), len(b))
	out := make([]int, r)
	at := func(s []int, i int) int {
		if k := i - (r - len(s)); k >= 0 {
			return s[k]
		}
		return 1
	}
	p.ab, p.bb = []int{0}, []int{0}
	for i := range out {
		x, y := at(a, i), at(b, i)
		if x != y && x != 1 && y != 1 {
			return nil, fmt.Errorf("leading axes %v and %v do not broadcast", a, b)
		}
		out[i] = x
		if x == 1 {
			out[i] = y
		}
		if p.m == 0 || p.n == 0 {
			continue
		}
		var na, nb []int
		for j := range p.ab {
			for q := range out[i] {
				na = append(na, p.ab[j]*x+min(q, x-1))
				nb = append(nb, p.bb[j]*y+min(q, y-1))
			}
		}
		p.ab, p.bb = na, nb
	}
	return out, nil
}

// centred is a tensor's elements less its zero points: one, one for each of count groups of inner consecutive
// elements, or that for every matrix.
func centred(t, zero *tensor.Tensor, count, inner int) ([]float64, error) {
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = t.Float(i)
	}
	if zero == nil || len(out) == 0 {
		return out, nil
	}
	n := zero.Len()
	if n != 1 && n != count && (n == 0 || n*inner != len(out) || inner == 1) {
		return nil, fmt.Errorf("zero point of shape %v for an operand of shape %v", zero.Shape, t.Shape)
	}
	for i := range out {
		out[i] -= zero.Float(i / inner % n)
	}
	return out, nil
}

func (p *matrices) run(put func(i, m, n int, v float64)) {
	acc := make([]float64, p.n)
	i := 0
	if p.m == 0 || p.n == 0 {
		return
	}
	for g := range p.ab {
		a, b := p.a[p.ab[g]*p.m*p.k:], p.b[p.bb[g]*p.k*p.n:]
		for m := range p.m {
			clear(acc)
			for k := range p.k {
				x := a[m*p.k+k]
				for n, w := range b[k*p.n : (k+1)*p.n] {
					acc[n] += x * w
				}
			}
			for n, v := range acc {
				put(i, m, n, v)
				i++
			}
		}
	}
}
