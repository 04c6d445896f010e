package linear

import (
	"fmt"
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func counting(n int, shape ...int) *tensor.Tensor {
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i)
	}
	return tensor.Of(dtype.I64, v, shape...)
}

// The values were computed with numpy.
func TestMatMul(t *testing.T) {
	for _, c := range []struct {
		a, b *tensor.Tensor
		want string
	}{
		{counting(12, 2, 2, 3), counting(6, 3, 2), "[2 2 2] [10 13 28 40 46 67 64 94]"},
		{counting(3, 3), counting(6, 3, 2), "[2] [10 13]"},
		{counting(3, 3), counting(3, 3), "[] [5]"},
		{counting(0, 2, 0), counting(0, 0, 1), "[2 1] [0 0]"},
	} {
		call := host.NewCall([]*tensor.Tensor{c.a, c.b}, nil, make([]*tensor.Tensor, 1), []dtype.Type{dtype.I64}, nil)
		if err := MatMul.Run(call); err != nil {
			t.Fatal(err)
		}
		y := call.Result(0)
		if got := fmt.Sprint(y.Shape, y.I64()); got != c.want {
			t.Errorf("%v times %v: got %s, want %s", c.a.Shape, c.b.Shape, got, c.want)
		}
	}
	bad := host.NewCall([]*tensor.Tensor{counting(6, 2, 3), counting(6, 2, 3)}, nil, make([]*tensor.Tensor, 1), []dtype.Type{dtype.I64}, nil)
	if err := MatMul.Run(bad); err == nil {
		t.Error("[2, 3] times [2, 3] was accepted")
	}
}

// With equal keys attention is the mean of the values seen; two query heads share one head of keys.
func TestAttention(t *testing.T) {
	q, k := tensor.New(dtype.F64, 1, 2, 3, 1), tensor.New(dtype.F64, 1, 1, 3, 1)
	v := tensor.Of(dtype.F64, []float64{3, 6, 12}, 1, 1, 3, 1)
	mask := tensor.Of(dtype.Bool, []bool{true, true, false, true, false, false}, 2, 1, 3)
	attrs := func(causal bool) attr.List {
		return attr.List{{Name: "scale", Value: attr.OfFloat(1)}, {Name: "causal", Value: attr.OfBool(causal)}}
	}
	none := tensor.New(dtype.Bool, 1)
	for _, c := range []struct {
		name   string
		causal bool
		mask   *tensor.Tensor
		want   []float64
	}{
		{"full", false, nil, []float64{7, 7, 7, 7, 7, 7}},
		{"causal", true, nil, []float64{3, 4.5, 7, 3, 4.5, 7}},
		{"mask", false, mask, []float64{4.5, 4.5, 4.5, 3, 3, 3}},
		{"nothing seen", false, none, []float64{0, 0, 0, 0, 0, 0}},
	} {
		call := host.NewCall([]*tensor.Tensor{q, k, v, c.mask}, attrs(c.causal), make([]*tensor.Tensor, 1), []dtype.Type{dtype.F64}, nil)
		if err := Attention.Run(call); err != nil {
			t.Fatal(err)
		}
		for i, w := range c.want {
			if got := call.Result(0).Float(i); math.Abs(got-w) > 1e-12 {
				t.Errorf("%s: query %d: got %v, want %v", c.name, i, got, w)
			}
		}
	}
}
