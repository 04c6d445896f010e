package quant

import (
	"math/rand"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Runs give what single elements give: a result of f64 takes the other way.
func TestDequantizeRuns(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, c := range []struct {
		shape, scale []int
		axis, block  int64
	}{{[]int{3, 7}, nil, 0, 0}, {[]int{3, 7}, []int{3}, 0, 0}, {[]int{3, 7}, []int{7}, 1, 0}, {[]int{3, 10}, []int{3, 3}, 1, 4}, {[]int{2, 3, 5}, []int{3}, 1, 0}, {[]int{5, 9}, []int{5, 3}, 1, 3}, {[]int{6, 5}, []int{2, 5}, 0, 3}} {
		for _, elem := range []dtype.Type{dtype.U4, dtype.I4, dtype.U8, dtype.I8} {
			x, s, z := tensor.New(elem, c.shape...), tensor.New(dtype.F32, c.scale...), tensor.New(elem, c.scale...)
			for i := range x.Len() {
				x.SetInt(i, r.Int63())
			}
			for i := range s.Len() {
				s.SetFloat(i, r.Float64())
				z.SetInt(i, r.Int63())
			}
			attrs := attr.List{{Name: "axis", Value: attr.OfInt(c.axis)}, {Name: "block_size", Value: attr.OfInt(c.block)}}
			var out [2]*tensor.Tensor
			for i, to := range []dtype.Type{dtype.F32, dtype.F64} {
				call := host.NewCall([]*tensor.Tensor{x, s, z}, attrs, make([]*tensor.Tensor, 1), []dtype.Type{to}, nil)
				if err := Dequantize.Run(call); err != nil {
					t.Fatal(err)
				}
				out[i] = call.Result(0)
			}
			for i := range x.Len() {
				if got, want := out[0].Float(i), float64(float32(out[1].Float(i))); got != want {
					t.Fatalf("%v %v scales %v: element %d: got %v want %v", elem, c.shape, c.scale, i, got, want)
				}
			}
		}
	}
}

func BenchmarkDequantize(b *testing.B) {
	x, s, z := tensor.New(dtype.U4, 1024, 2048), tensor.New(dtype.F32, 1024, 64), tensor.New(dtype.U4, 1024, 64)
	y := tensor.New(dtype.F32, 1024, 2048)
	attrs := attr.List{{Name: "axis", Value: attr.OfInt(1)}, {Name: "block_size", Value: attr.OfInt(32)}}
	for b.Loop() {
		if err := Dequantize.Run(host.NewCall([]*tensor.Tensor{x, s, z}, attrs, []*tensor.Tensor{y}, []dtype.Type{dtype.F32}, nil)); err != nil {
			b.Fatal(err)
		}
	}
}
