package spatial

import (
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func ints(name string, v ...int64) attr.Named {
	return attr.Named{Name: name, Value: attr.OfInts(v)}
}

func iota32(shape ...int) *tensor.Tensor {
	t := tensor.New(dtype.F32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(i)
	}
	return t
}

func ones(shape ...int) *tensor.Tensor {
	t := tensor.New(dtype.F32, shape...)
	for i := range t.F32() {
		t.F32()[i] = 1
	}
	return t
}

// Expected values are those of the examples in the ONNX operator documentation, or counted by hand.
func TestFunctions(t *testing.T) {
	grid := iota32(1, 1, 5, 5)
	for _, c := range []struct {
		name  string
		fn    host.Fn
		in    []*tensor.Tensor
		attrs attr.List
		shape []int
		want  []float64
	}{
		{"conv without padding", Conv, []*tensor.Tensor{grid, ones(1, 1, 3, 3)}, attr.List{}, []int{1, 1, 3, 3}, []float64{54, 63, 72, 99, 108, 117, 144, 153, 162}},
		{"conv strided and padded", Conv, []*tensor.Tensor{iota32(1, 1, 7, 5), ones(1, 1, 3, 3)}, attr.List{ints("strides", 2, 2), ints("pads", 1, 0, 1, 0)}, []int{1, 1, 4, 2},
			[]float64{21, 33, 99, 117, 189, 207, 171, 183}},
		{"conv dilated, bias", Conv, []*tensor.Tensor{iota32(1, 1, 5), ones(1, 1, 2), tensor.Of(dtype.F32, []float32{10}, 1)}, attr.List{ints("dilations", 3)}, []int{1, 1, 2}, []float64{13, 15}},
		{"transposed", ConvTranspose, []*tensor.Tensor{iota32(1, 1, 3, 3), ones(1, 1, 3, 3)}, attr.List{}, []int{1, 1, 5, 5},
			[]float64{0, 1, 3, 3, 2, 3, 8, 15, 12, 7, 9, 21, 36, 27, 15, 9, 20, 33, 24, 13, 6, 13, 21, 15, 8}},
		{"max pool", MaxPool, []*tensor.Tensor{grid}, attr.List{ints("kernel", 5, 5), ints("pads", 2, 2, 2, 2), ints("strides", 2, 2)}, []int{1, 1, 3, 3},
			[]float64{12, 14, 14, 22, 24, 24, 22, 24, 24}},
		{"max pool, ceil", MaxPool, []*tensor.Tensor{iota32(1, 1, 4, 4)}, attr.List{ints("kernel", 3, 3), ints("strides", 2, 2), {Name: "ceil_mode", Value: attr.OfBool(true)}}, []int{1, 1, 2, 2},
			[]float64{10, 11, 14, 15}},
		{"max pool, ceil starts no window behind the end", MaxPool, []*tensor.Tensor{iota32(1, 1, 2, 2)}, attr.List{ints("kernel", 1, 1), ints("strides", 2, 2), {Name: "ceil_mode", Value: attr.OfBool(true)}}, []int{1, 1, 1, 1},
			[]float64{0}},
		{"mean inside", AveragePool, []*tensor.Tensor{grid}, attr.List{ints("kernel", 3, 3), ints("strides", 4, 4), ints("pads", 1, 1, 1, 1)}, []int{1, 1, 2, 2}, []float64{3, 6, 18, 21}},
		{"mean of all", AveragePool, []*tensor.Tensor{ones(1, 1, 4)}, attr.List{ints("kernel", 4), ints("strides", 4), ints("pads", 2, 2), {Name: "count_include_pad", Value: attr.OfBool(true)}}, []int{1, 1, 2}, []float64{0.5, 0.5}},
		{"nearest that shrinks rounds up", Resize, []*tensor.Tensor{iota32(4), nil, tensor.Of(dtype.F32, []float32{0.6}, 1)}, attr.List{
			{Name: "coordinate_transformation_mode", Value: attr.OfStr("asymmetric")}, {Name: "nearest_mode", Value: attr.OfStr("shrink_ceil")}}, []int{2}, []float64{0, 2}},
		{"nearest in the precision of the scale", Resize, []*tensor.Tensor{iota32(20), nil, tensor.Of(dtype.F32, []float32{0.7}, 1)}, attr.List{
			{Name: "coordinate_transformation_mode", Value: attr.OfStr("asymmetric")}, {Name: "nearest_mode", Value: attr.OfStr("ceil")}}, []int{14},
			[]float64{0, 2, 3, 5, 6, 8, 9, 10, 12, 13, 15, 16, 18, 19}},
		{"norm", LpPool, []*tensor.Tensor{tensor.Of(dtype.F32, []float32{3, -4}, 1, 1, 2)}, attr.List{ints("kernel", 2)}, []int{1, 1, 1}, []float64{5}},
	} {
		call := host.NewCall(c.in, c.attrs, []*tensor.Tensor{nil}, []dtype.Type{dtype.F32}, nil)
		if err := c.fn.Run(call); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		y := call.Result(0)
		if len(y.Shape) != len(c.shape) || y.Len() != len(c.want) {
			t.Errorf("%s: shape %v, want %v", c.name, y.Shape, c.shape)
			continue
		}
		for i, w := range c.want {
			if math.Abs(y.Float(i)-w) > 1e-5 {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, y.Float(i), w)
			}
		}
	}
}

// Column-major positions: x is [[1, 2], [3, 4]], and 3 stands at row 1, column 0.
func TestStorageOrder(t *testing.T) {
	x := tensor.Of(dtype.F32, []float32{1, 2, 4, 3}, 1, 1, 2, 2)
	for order, want := range []int64{2, 1} {
		call := host.NewCall([]*tensor.Tensor{x}, attr.List{ints("kernel", 2, 2), {Name: "storage_order", Value: attr.OfInt(int64(order))}}, make([]*tensor.Tensor, 2), []dtype.Type{dtype.F32, dtype.I64}, nil)
		if err := MaxPoolIndices.Run(call); err != nil {
			t.Fatal(err)
		}
		if got := call.Result(1).Int(0); got != want {
			t.Errorf("storage_order %d: index %d, want %d", order, got, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		fn    host.Fn
		in    []*tensor.Tensor
		attrs attr.List
	}{
		{"window larger than the picture", MaxPool, []*tensor.Tensor{ones(1, 1, 2)}, attr.List{ints("kernel", 3)}},
		{"stride 0", MaxPool, []*tensor.Tensor{ones(1, 1, 2)}, attr.List{ints("kernel", 1), ints("strides", 0)}},
		{"channels", Conv, []*tensor.Tensor{ones(1, 2, 4), ones(1, 3, 1)}, nil},
		{"groups", Conv, []*tensor.Tensor{ones(1, 2, 4), ones(3, 1, 1)}, attr.List{{Name: "group", Value: attr.OfInt(2)}}},
		{"memory", Conv, []*tensor.Tensor{ones(1, 1, 4000), ones(1, 1, 1)}, nil},
	} {
		call := host.NewCall(c.in, c.attrs, []*tensor.Tensor{nil}, []dtype.Type{dtype.F32}, &host.Budget{Left: 10000})
		if err := c.fn.Run(call); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}
