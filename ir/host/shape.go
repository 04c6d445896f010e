package host

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Broadcast joins shapes aligned at the last axis; extents must be equal or 1.
func Broadcast(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			o := &out[rank-len(s)+i]
			switch {
			case *o == d || d == 1:
			case *o == 1:
				*o = d
			default:
				return nil, fmt.Errorf("shapes %v do not broadcast", shapes)
			}
		}
	}
	return out, nil
}

// BroadcastStrides are the strides of a shape seen through a longer one: 0 along axes that repeat.
func BroadcastStrides(shape, out []int) []int {
	s := make([]int, len(out))
	own := tensor.Strides(shape)
	for i, d := range shape {
		if d != 1 {
			s[len(out)-len(shape)+i] = own[i]
		}
	}
	return s
}

// Next advances a multi-index in row-major order; false after the last.
func Next(idx, shape []int) bool {
	for i := len(idx) - 1; i >= 0; i-- {
		if idx[i]++; idx[i] < shape[i] {
			return true
		}
		idx[i] = 0
	}
	return false
}

// Product is the number of elements of a shape; 1 for a scalar.
func Product(shape []int) int {
	p := 1
	for _, d := range shape {
		p *= d
	}
	return p
}

// Each visits the positions of a shape in row-major order, at counting them, with the offset that each list
// of strides gives.
func Each(shape []int, strides [][]int, f func(at int, off []int)) {
	n, ok := tensor.Count(shape)
	if !ok || n == 0 {
		return
	}
	off := make([]int, len(strides))
	pos := make([]int, len(shape))
	for at := 0; ; at++ {
		f(at, off)
		i := len(shape) - 1
		for ; i >= 0; i-- {
			pos[i]++
			for k, s := range strides {
				off[k] += s[i]
			}
			if pos[i] < shape[i] {
				break
			}
			for k, s := range strides {
				off[k] -= s[i] * shape[i]
			}
			pos[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// CopyElem stores element j of src as element i of dst, which has the same type, whatever that is.
func CopyElem(dst *tensor.Tensor, i int, src *tensor.Tensor, j int) {
	switch dst.Elem.Bits() {
	case 0:
		dst.Str[i] = src.Str[j]
	case 128:
		copy(dst.Data[16*i:16*i+16], src.Data[16*j:16*j+16])
	default:
		dst.SetBits(i, src.Bits(j))
	}
}

// Copy fills dst with the elements of src in their order; types and counts are the same.
func Copy(dst, src *tensor.Tensor) {
	if dst.Elem == dtype.String {
		copy(dst.Str, src.Str)
		return
	}
	copy(dst.Data, src.Data)
}

// Reader returns a function that decodes elements of a real tensor; it is faster than asking the tensor.
func Reader(t *tensor.Tensor) func(i int) float64 {
	switch t.Elem {
	case dtype.F32:
		v := t.F32()
		return func(i int) float64 { return float64(v[i]) }
	case dtype.F64:
		v := tensor.View[float64](t)
		return func(i int) float64 { return v[i] }
	}
	return t.Float
}

// Writer returns a function that rounds to and stores elements of a real tensor.
func Writer(t *tensor.Tensor) func(i int, v float64) {
	switch t.Elem {
	case dtype.F32:
		d := t.F32()
		return func(i int, v float64) { d[i] = float32(v) }
	case dtype.F64:
		d := tensor.View[float64](t)
		return func(i int, v float64) { d[i] = v }
	}
	return t.SetFloat
}

// Floats decodes a whole real tensor into scratch memory of the budget.
func (c *Call) Floats(t *tensor.Tensor) ([]float64, error) {
	n := t.Len()
	if err := c.Temp(8 * int64(n)); err != nil {
		return nil, err
	}
	out := make([]float64, n)
	read := Reader(t)
	for i := range out {
		out[i] = read(i)
	}
	return out, nil
}
