package linear

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// LinearAttention is a state [b, hk, d, e] that keys and values change one after the other, and that queries read: operands q [b, t, h*d], k
// [b, t, hk*d], v [b, t, hk*e], state, decay [b, t, hk or hk*d], beta [b, t, hk or 1]; attributes q_num_heads, kv_num_heads, scale, decays,
// deltas. S = exp(decay) * S; v = beta * (v - S^T k) with deltas; S = S + k v^T; o = scale * S^T q (Yang et al., Gated Delta
// Networks, 2025).
var LinearAttention = host.Fn{Name: "linear.attention", Run: func(c *host.Call) error {
	r, err := newRecurrence(c)
	if err != nil {
		return err
	}
	o, err := c.Out(0, r.b, r.t, r.h*r.e)
	if err != nil {
		return err
	}
	next, err := c.Out(1, r.b, r.hk, r.d, r.e)
	if err != nil {
		return err
	}
	if err := c.Temp(8 * int64(r.d*r.e+r.e)); err != nil {
		return err
	}
	r.write = host.Writer(o)
	state, val, store := make([]float64, r.d*r.e), make([]float64, r.e), host.Writer(next)
	for p := range r.b * r.hk {
		for i := range state {
			state[i] = 0
			if r.past != nil {
				state[i] = r.past(p*len(state) + i)
			}
		}
		for t := range r.t {
			r.step(state, val, p/r.hk, p%r.hk, t)
		}
		for i, v := range state {
			store(p*len(state)+i, v)
		}
	}
	return nil
}}

type recurrence struct {
	b, t, h, hk, d, e int
	perKey            bool // a decay for each element of a key
	oneBeta           bool
	scale             float64
	q, k, v           func(int) float64
	past, decay, beta func(int) float64
	write             func(int, float64)
}

func newRecurrence(c *host.Call) (*recurrence, error) {
	q, k, v := c.In[0].Shape, c.In[1].Shape, c.In[2].Shape
	r := &recurrence{h: int(c.Attrs.Int("q_num_heads", 0)), hk: int(c.Attrs.Int("kv_num_heads", 0))}
	if len(q) != 3 || len(k) != 3 || len(v) != 3 || r.h < 1 || r.hk < 1 || r.h%r.hk != 0 {
		return nil, fmt.Errorf("shapes %v, %v, %v with %d and %d heads", q, k, v, r.h, r.hk)
	}
	r.b, r.t, r.d, r.e = q[0], q[1], q[2]/r.h, v[2]/r.hk
	if q[2]%r.h != 0 || v[2]%r.hk != 0 || k[2] != r.hk*r.d || k[0] != r.b || v[0] != r.b || k[1] != r.t || v[1] != r.t {
		return nil, fmt.Errorf("shapes %v, %v, %v with %d and %d heads do not match", q, k, v, r.h, r.hk)
	}
	r.q, r.k, r.v = host.Reader(c.In[0]), host.Reader(c.In[1]), host.Reader(c.In[2])
	if r.scale = c.Attrs.Float("scale", 0); r.scale == 0 {
		r.scale = 1 / math.Sqrt(float64(r.d))
	}
	extra := func(i int, sizes ...int) (func(int) float64, *tensor.Tensor, error) {
		if i >= len(c.In) || c.In[i] == nil {
			return nil, nil, nil
		}
		for _, n := range sizes {
			if c.In[i].Len() == n {
				return host.Reader(c.In[i]), c.In[i], nil
			}
		}
		return nil, nil, fmt.Errorf("operand %d of shape %v", i, c.In[i].Shape)
	}
	var err error
	var t *tensor.Tensor
	rows := r.b * r.t
	if r.past, _, err = extra(3, r.b*r.hk*r.d*r.e); err != nil {
		return nil, err
	}
	if r.decay, t, err = extra(4, rows*r.hk, rows*r.hk*r.d); err != nil {
		return nil, err
	}
	r.perKey = t != nil && len(t.Shape) > 0 && t.Shape[len(t.Shape)-1] != r.hk
	if r.beta, t, err = extra(5, rows*r.hk, rows); err != nil {
		return nil, err
	}
	r.oneBeta = t != nil && len(t.Shape) > 0 && t.Shape[len(t.Shape)-1] == 1
	return r, nil
}

// step is one position of one head.
func (r *recurrence) step(state, val []float64, b, head, t int) {
	row := b*r.t + t
	key := (row*r.hk + head) * r.d
	for i := range r.d {
		if r.decay == nil {
			break
		}
		g := 0.0
		if r.perKey {
			g = r.decay(key + i)
		} else {
			g = r.decay(row*r.hk + head)
		}
		g = math.Exp(g)
		for j := range r.e {
			state[i*r.e+j] *= g
		}
	}
	for j := range val {
		val[j] = r.v((row*r.hk+head)*r.e + j)
		if r.beta == nil {
			continue
		}
		seen := 0.0
		for i := range r.d {
			seen += state[i*r.e+j] * r.k(key+i)
		}
		at := row*r.hk + head
		if r.oneBeta {
			at = row
		}
		val[j] = r.beta(at) * (val[j] - seen)
	}
	for i := range r.d {
		k := r.k(key + i)
		for j, v := range val {
			state[i*r.e+j] += k * v
		}
	}
	group := r.h / r.hk
	for h := head * group; h < (head+1)*group; h++ {
		for j := range r.e {
			sum := 0.0
			for i := range r.d {
				sum += state[i*r.e+j] * r.q((row*r.h+h)*r.d+i)
			}
			r.write((row*r.h+h)*r.e+j, sum*r.scale)
		}
	}
}

// Det is the determinant of the last two axes, by elimination with row pivots.
var Det = host.Fn{Name: "linear.det", Run: func(c *host.Call) error {
	x := c.In[0]
	r := len(x.Shape)
	if r < 2 || x.Shape[r-1] != x.Shape[r-2] {
		return fmt.Errorf("matrices of shape %v", x.Shape)
	}
	n := x.Shape[r-1]
	y, err := c.Out(0, x.Shape[:r-2]...)
	if err != nil {
		return err
	}
	if err := c.Temp(8 * int64(n*n)); err != nil {
		return err
	}
	a, read, write := make([]float64, n*n), host.Reader(x), host.Writer(y)
	for m := range y.Len() {
		for i := range a {
			a[i] = read(m*n*n + i)
		}
		write(m, determinant(a, n))
	}
	return nil
}}

func determinant(a []float64, n int) float64 {
	d := 1.0
	for k := range n {
		top := k
		for i := k + 1; i < n; i++ {
			if math.Abs(a[i*n+k]) > math.Abs(a[top*n+k]) {
				top = i
			}
		}
		if a[top*n+k] == 0 {
			return 0
		}
		if top != k {
			d = -d
			for j := range n {
				a[k*n+j], a[top*n+j] = a[top*n+j], a[k*n+j]
			}
		}
		d *= a[k*n+k]
		for i := k + 1; i < n; i++ {
			f := a[i*n+k] / a[k*n+k]
			for j := k; j < n; j++ {
				a[i*n+j] -= f * a[k*n+j]
			}
		}
	}
	return d
}
