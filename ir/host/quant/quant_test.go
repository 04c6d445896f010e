package quant

import (
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func f32(v ...float32) *tensor.Tensor { return tensor.Of(dtype.F32, v, len(v)) }

func run(t *testing.T, fn host.Fn, out dtype.Type, attrs attr.List, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	call := host.NewCall(in, attrs, []*tensor.Tensor{nil}, []dtype.Type{out}, nil)
	if err := fn.Run(call); err != nil {
		t.Fatal(err)
	}
	return call.Result(0)
}

// The first example is that of the ONNX documentation; ties go to the even number.
func TestQuantize(t *testing.T) {
	scalar := tensor.Of(dtype.F32, []float32{2})
	for _, c := range []struct {
		to    dtype.Type
		x     *tensor.Tensor
		scale *tensor.Tensor
		zero  int64
		want  []float64
	}{
		{dtype.U8, f32(0, 2, 3, 1000, -254, -1000), scalar, 128, []float64{128, 129, 130, 255, 1, 0}},
		{dtype.I8, f32(5, 7, -5, 300, -300), scalar, 0, []float64{2, 4, -2, 127, -128}},
		{dtype.I8, f32(float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))), scalar, 5, []float64{-128, 127, -128}},
		{dtype.I4, f32(3, 30, -30), scalar, 1, []float64{3, 7, -8}},
		{dtype.U2, f32(1, 3, 9, -2), scalar, 1, []float64{1, 3, 3, 0}},
		{dtype.F8E4M3FN, f32(0, 1, 2, 100000, 200), scalar, 0, []float64{0, 0.5, 1, 448, 96}},
	} {
		z := tensor.New(c.to)
		if c.to.IsInt() {
			z.SetInt(0, c.zero)
		}
		y := run(t, Quantize, c.to, nil, c.x, c.scale, z)
		for i, w := range c.want {
			if y.Float(i) != w {
				t.Errorf("%v: element %d is %v, want %v", c.to, i, y.Float(i), w)
			}
		}
	}
}

// Scales per position of an axis and per block of two, the last block being short.
func TestScales(t *testing.T) {
	x := tensor.Of(dtype.I8, []int8{1, 2, 3, 4, 5, 6}, 2, 3)
	y := run(t, Dequantize, dtype.F32, attr.List{{Name: "axis", Value: attr.OfInt(1)}}, x, f32(1, 10, 100), tensor.Of(dtype.I8, []int8{0, 1, 2}, 3))
	for i, w := range []float32{1, 10, 100, 4, 40, 400} {
		if y.F32()[i] != w {
			t.Errorf("axis: element %d is %v, want %v", i, y.F32()[i], w)
		}
	}
	s := tensor.Of(dtype.F32, []float32{1, 10, 100, 1000}, 2, 2)
	y = run(t, Dequantize, dtype.F32, attr.List{{Name: "axis", Value: attr.OfInt(-1)}, {Name: "block_size", Value: attr.OfInt(2)}}, x, s)
	for i, w := range []float32{1, 2, 30, 400, 500, 6000} {
		if y.F32()[i] != w {
			t.Errorf("blocks: element %d is %v, want %v", i, y.F32()[i], w)
		}
	}
}

// The example of the ONNX documentation of MatMulInteger.
func TestMatMulInteger(t *testing.T) {
	a := tensor.Of(dtype.U8, []uint8{11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0}, 4, 3)
	b := tensor.Of(dtype.U8, []uint8{1, 4, 2, 5, 3, 6}, 3, 2)
	y := run(t, MatMulInteger, dtype.I32, nil, a, b, tensor.Of(dtype.U8, []uint8{12}, 1), tensor.Of(dtype.U8, []uint8{0}, 1))
	for i, w := range []int64{-38, -83, -44, -98, -50, -113, -56, -128} {
		if y.Int(i) != w {
			t.Errorf("element %d is %d, want %d", i, y.Int(i), w)
		}
	}
}
