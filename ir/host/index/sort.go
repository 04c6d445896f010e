package index

import (
	"fmt"
	"math"
	"slices"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// TopK is the k largest (or smallest) elements along an axis in order, and their positions; of equal elements the one
// with the lower position comes first, and NaN counts as larger than any number. Operands x, k; attributes axis, largest.
var TopK = host.Fn{Name: "index.topk", Run: func(c *host.Call) error {
	x, kt := c.In[0], c.In[1]
	axis, err := host.Axis(c.Attrs.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	n := x.Shape[axis]
	if kt.Len() != 1 || kt.Int(0) < 0 || kt.Int(0) > int64(n) {
		return fmt.Errorf("k: want one number of at most %d", n)
	}
	k := int(kt.Int(0))
	shape := append([]int{}, x.Shape...)
	shape[axis] = k
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	at, err := c.Out(1, shape...)
	if err != nil {
		return err
	}
	if err := c.Temp(16 * int64(n)); err != nil {
		return err
	}
	order, keys := make([]int, n), make([]int, n)
	less := compare(x)
	sign := 1
	if c.Attrs.Int("largest", 1) != 0 {
		sign = -1
	}
	move := mover(y, x)
	inner := host.Product(x.Shape[axis+1:])
	for o := range host.Product(x.Shape[:axis]) {
		for in := range inner {
			for i := range n {
				order[i], keys[i] = i, (o*n+i)*inner+in
			}
			slices.SortFunc(order, func(a, b int) int {
				if d := sign * less(keys[a], keys[b]); d != 0 {
					return d
				}
				return a - b
			})
			for i, from := range order[:k] {
				to := (o*k+i)*inner + in
				move(to, keys[from])
				at.SetInt(to, int64(from))
			}
		}
	}
	return nil
}}

// compare orders two elements of a tensor: -1, 0 or 1.
func compare(x *tensor.Tensor) func(a, b int) int {
	three := func(less, greater bool) int {
		switch {
		case less:
			return -1
		case greater:
			return 1
		}
		return 0
	}
	switch {
	case x.Elem.IsFloat():
		return func(a, b int) int {
			u, v := x.Float(a), x.Float(b)
			if un, vn := math.IsNaN(u), math.IsNaN(v); un || vn {
				return three(!un && vn, un && !vn)
			}
			return three(u < v, u > v)
		}
	case x.Elem == dtype.U64:
		return func(a, b int) int { return three(x.Bits(a) < x.Bits(b), x.Bits(a) > x.Bits(b)) }
	}
	return func(a, b int) int { return three(x.Int(a) < x.Int(b), x.Int(a) > x.Int(b)) }
}

// NonZero lists the positions of the elements that are not zero, one a column, in row-major order: a result of
// [rank, count].
var NonZero = host.Fn{Name: "index.nonzero", Run: func(c *host.Call) error {
	x := c.In[0]
	n := CountNonZero(x)
	y, err := c.Out(0, len(x.Shape), n)
	if err != nil {
		return err
	}
	col := 0
	for i := range x.Len() {
		if !isNonZero(x, i) {
			continue
		}
		p := i
		for a := len(x.Shape) - 1; a >= 0; a-- {
			y.SetInt(a*n+col, int64(p%x.Shape[a]))
			p /= x.Shape[a]
		}
		col++
	}
	return nil
}}

// CountNonZero is the number of elements that are not zero (not empty, of strings).
func CountNonZero(x *tensor.Tensor) int {
	n := 0
	for i := range x.Len() {
		if isNonZero(x, i) {
			n++
		}
	}
	return n
}

func isNonZero(x *tensor.Tensor, i int) bool {
	switch {
	case x.Elem == dtype.String:
		return x.Str[i] != ""
	case x.Elem.IsComplex():
		half := x.Elem.Bits() / 16
		parts := tensor.Tensor{Elem: dtype.F32, Data: x.Data[2*half*i : 2*half*(i+1)]}
		if half == 8 {
			parts.Elem = dtype.F64
		}
		return parts.Float(0) != 0 || parts.Float(1) != 0
	case x.Elem.IsFloat():
		return x.Float(i) != 0
	}
	return x.Bits(i) != 0
}
