package elementwise

import (
	"fmt"
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func floats(t dtype.Type, v ...float64) *tensor.Tensor {
	x := tensor.New(t, len(v))
	for i, f := range v {
		x.SetFloat(i, f)
	}
	return x
}

func whole64(t dtype.Type, v ...int64) *tensor.Tensor {
	x := tensor.New(t, len(v))
	for i, f := range v {
		x.SetInt(i, f)
	}
	return x
}

func call(t *testing.T, fn host.Fn, to dtype.Type, attrs attr.List, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	c := host.NewCall(in, attrs, make([]*tensor.Tensor, 1), []dtype.Type{to}, nil)
	if err := fn.Run(c); err != nil {
		t.Fatal(err)
	}
	return c.Result(0)
}

func show(x *tensor.Tensor) string {
	if x.Elem == dtype.String {
		return fmt.Sprint(x.Str)
	}
	s := []any{}
	for i, n := 0, x.Len(); i < n; i++ {
		switch {
		case x.Elem.IsFloat():
			s = append(s, x.Float(i))
		case x.Elem == dtype.U64:
			s = append(s, x.Bits(i))
		default:
			s = append(s, x.Int(i))
		}
	}
	return fmt.Sprint(s)
}

// Integers at the ends of their ranges; the values are numpy's, and ONNX's for shifts.
func TestIntegers(t *testing.T) {
	fmod := attr.List{{Name: "fmod", Value: attr.OfBool(true)}}
	big := int64(math.MinInt64)
	for _, c := range []struct {
		name  string
		fn    host.Fn
		attrs attr.List
		x, y  *tensor.Tensor
		want  string
	}{
		{"add wraps", Add, nil, whole64(dtype.I8, 127, -128), whole64(dtype.I8, 1, -1), "[-128 127]"},
		{"u64 add", Add, nil, whole64(dtype.U64, -1), whole64(dtype.U64, 2), "[1]"},
		{"div", Div, nil, whole64(dtype.I32, -7, 7, 7), whole64(dtype.I32, 2, -2, 0), "[-3 -3 0]"},
		{"div of the smallest", Div, nil, whole64(dtype.I64, big), whole64(dtype.I64, -1), "[-9223372036854775808]"},
		{"u64 div", Div, nil, whole64(dtype.U64, -1), whole64(dtype.U64, 2), "[9223372036854775807]"},
		{"mod", Mod, nil, whole64(dtype.I32, -4, 7, 5, 4, -7, 8), whole64(dtype.I32, 2, -3, 8, -2, 3, 5), "[0 -2 5 0 2 3]"},
		{"fmod", Mod, fmod, whole64(dtype.I32, -4, 7, 5, 4, -7, 8), whole64(dtype.I32, 2, -3, 8, -2, 3, 5), "[0 1 5 0 -1 3]"},
		{"u64 max", Max, nil, whole64(dtype.U64, -1, 3), whole64(dtype.U64, 2, 4), "[18446744073709551615 4]"},
		{"shl", Shl, nil, whole64(dtype.U8, 16, 1, 1), whole64(dtype.U8, 4, 2, 9), "[0 4 0]"},
		{"shr of negative numbers", Shr, nil, whole64(dtype.I8, -8, -1, 64, -5), whole64(dtype.I8, 1, 3, 9, 100), "[-4 -1 0 -1]"},
		{"shr u64", Shr, nil, whole64(dtype.U64, -1, 8), whole64(dtype.U64, 63, 64), "[1 0]"},
		{"pow", Pow, nil, whole64(dtype.I32, 2, -3, 2, -1), whole64(dtype.I64, 10, 3, -1, -3), "[1024 -27 0 -1]"},
	} {
		if got := show(call(t, c.fn, c.x.Elem, c.attrs, c.x, c.y)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// The special values that ONNX Mod-28 lists.
func TestFloatMod(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	x := floats(dtype.F64, 5, -5, 5, -5, 0, inf, 1, 5, -5)
	y := floats(dtype.F64, 3, 3, -3, -3, 5, 2, 0, inf, inf)
	want := []float64{2, 1, -1, -2, 0, nan, nan, 5, inf}
	for i, got := range tensor.View[float64](call(t, Mod, dtype.F64, nil, x, y)) {
		if got != want[i] && !(math.IsNaN(got) && math.IsNaN(want[i])) {
			t.Errorf("%v mod %v: got %v, want %v", x.Float(i), y.Float(i), got, want[i])
		}
	}
}

func TestCast(t *testing.T) {
	str := func(s ...string) *tensor.Tensor {
		return &tensor.Tensor{Elem: dtype.String, Shape: []int{len(s)}, Str: s}
	}
	hard := attr.List{{Name: "saturate", Value: attr.OfBool(false)}}
	mode := func(s string) attr.List { return attr.List{{Name: "round_mode", Value: attr.OfStr(s)}} }
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name  string
		x     *tensor.Tensor
		to    dtype.Type
		attrs attr.List
		want  string
	}{
		{"float to int truncates", floats(dtype.F32, -1.9, 2.5, 300), dtype.I8, nil, "[-1 2 44]"},
		{"int to int wraps", whole64(dtype.I16, 200, -200), dtype.I8, nil, "[-56 56]"},
		{"int to u4 wraps", whole64(dtype.I8, 17, -1), dtype.U4, nil, "[1 15]"},
		{"bool", floats(dtype.F32, 0, math.Copysign(0, -1), 0.1, nan), dtype.Bool, nil, "[0 0 1 1]"},
		{"u64 to float", whole64(dtype.U64, -1), dtype.F32, nil, "[1.8446744073709552e+19]"},
		{"i64 to f32 rounds once", whole64(dtype.I64, 1<<54+1<<30+1), dtype.F32, nil, "[1.801440065696563e+16]"},
		{"overflow of f16", floats(dtype.F32, 65519, 65520, -1e9), dtype.F16, nil, "[65504 +Inf -Inf]"},
		{"e4m3fn saturates", floats(dtype.F32, 449, -inf, 1e9, nan), dtype.F8E4M3FN, nil, "[448 -448 448 NaN]"},
		{"e4m3fn", floats(dtype.F32, 449, inf, 1e9), dtype.F8E4M3FN, hard, "[448 NaN NaN]"},
		{"e5m2", floats(dtype.F32, 1e9, -inf), dtype.F8E5M2, hard, "[+Inf -Inf]"},
		{"e8m0 up", floats(dtype.F32, 1, 1.1, 1.5, 3, inf), dtype.F8E8M0, nil, "[1 2 2 4 1.7014118346046923e+38]"},
		{"e8m0 down", floats(dtype.F32, 1, 1.9, 3), dtype.F8E8M0, mode("down"), "[1 1 2]"},
		{"e8m0 nearest", floats(dtype.F32, 1.4, 1.5, 2.9, 3), dtype.F8E8M0, mode("nearest"), "[1 2 2 4]"},
		{"e8m0 without saturation", floats(dtype.F32, 0, inf), dtype.F8E8M0, hard, "[NaN NaN]"},
		{"strings to float", str("3.14", "1e-5", "-INF", "+inf", "NaN", " 7 "), dtype.F32, nil, "[3.140000104904175 9.999999747378752e-06 -Inf +Inf NaN 7]"},
		{"strings to int", str("1000", "-5", "18446744073709551615", "100.5"), dtype.I64, nil, "[1000 -5 -1 100]"},
		{"float to strings", floats(dtype.F32, 0.1, -2, inf, nan), dtype.String, nil, "[0.1 -2 INF NaN]"},
		{"u64 to strings", whole64(dtype.U64, -1), dtype.String, nil, "[18446744073709551615]"},
	} {
		if got := show(call(t, Cast, c.to, c.attrs, c.x)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	c := host.NewCall([]*tensor.Tensor{str("hello")}, nil, make([]*tensor.Tensor, 1), []dtype.Type{dtype.F32}, nil)
	if err := Cast.Run(c); err == nil {
		t.Error(`"hello" was cast to a number`)
	}
}

func TestDropoutRate(t *testing.T) {
	n := 20000
	ones := tensor.New(dtype.F32, n)
	for i := range ones.F32() {
		ones.F32()[i] = 1
	}
	yes := whole64(dtype.Bool, 1)
	c := host.NewCall([]*tensor.Tensor{ones, floats(dtype.F32, 0.25), yes}, nil, make([]*tensor.Tensor, 2), []dtype.Type{dtype.F32, dtype.Bool}, nil)
	if err := Dropout.Run(c); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i := 0; i < n; i++ {
		if c.Result(1).Int(i) == 1 {
			kept++
		}
	}
	// Five standard deviations of a binomial distribution.
	if d := math.Abs(float64(kept) - 0.75*float64(n)); d > 5*math.Sqrt(float64(n)*0.25*0.75) {
		t.Errorf("kept %d of %d, want about three quarters", kept, n)
	}
}
