package norm

import (
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// The values were computed with numpy.
func TestRows(t *testing.T) {
	x := tensor.Of(dtype.F64, []float64{1, 2, 4, -1, 0.5, 3}, 2, 3)
	scale, bias := tensor.Of(dtype.F64, []float64{1, 2, 3}, 3), tensor.Of(dtype.F64, []float64{0, 1, -1}, 3)
	axis := func(a int64) attr.List { return attr.List{{Name: "axis", Value: attr.OfInt(a)}} }
	for _, c := range []struct {
		name  string
		fn    host.Fn
		attrs attr.List
		in    []*tensor.Tensor
		want  [][]float64
	}{
		{"softmax", Softmax, axis(-1), []*tensor.Tensor{x}, [][]float64{{0.042010066, 0.114195199, 0.843794734, 0.016644519, 0.074595557, 0.908759924}}},
		{"softmax of columns", Softmax, axis(0), []*tensor.Tensor{x}, [][]float64{{0.880797078, 0.817574476, 0.731058579, 0.119202922, 0.182425524, 0.268941421}}},
		{"log_softmax", LogSoftmax, axis(1), []*tensor.Tensor{x}, [][]float64{{-3.16984602, -2.16984602, -0.16984602, -4.095674329, -2.595674329, -0.095674329}}},
		{"layer_norm", Layer, axis(-1), []*tensor.Tensor{x, scale, bias}, [][]float64{{-1.069041531, 0.465479234, 3.008905743, -1.111165758, 0.595939724, 2.939587688},
			{2.333333333, 0.833333333}, {0.801781149, 0.606090414}}},
		{"rms_norm", RMS, axis(1), []*tensor.Tensor{x, scale}, [][]float64{{0.377964203, 1.511856812, 4.535570436, -0.541000989, 0.541000989, 4.869008902}}},
	} {
		types := []dtype.Type{dtype.F64, dtype.F32, dtype.F32}[:len(c.want)]
		call := host.NewCall(c.in, c.attrs, make([]*tensor.Tensor, len(types)), types, nil)
		if err := c.fn.Run(call); err != nil {
			t.Fatal(err)
		}
		for r, want := range c.want {
			for i, w := range want {
				if got := call.Result(r).Float(i); math.Abs(got-w) > 1e-6 || r == 0 && math.Abs(got-w) > 1e-8 {
					t.Errorf("%s: result %d: element %d: got %v, want %v", c.name, r, i, got, w)
				}
			}
		}
	}
}
