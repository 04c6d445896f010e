// Package linear holds matrix products and attention.
package linear

import (
	"fmt"

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
	if y.Len() == 0 {
		return nil
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

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{MatMul, Attention, LinearAttention, Det} }
