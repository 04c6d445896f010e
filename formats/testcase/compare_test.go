package testcase_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// of makes a rank 1 tensor of any real type.
func of(elem dtype.Type, v ...float64) tensor.Value {
	t := tensor.New(elem, len(v))
	for i, x := range v {
		t.SetFloat(i, x)
	}
	return tensor.ValueOf(t)
}

func shaped(v tensor.Value, shape ...int) tensor.Value {
	v.Tensor.Shape = shape
	return v
}

func i64(v ...int64) tensor.Value { return tensor.ValueOf(tensor.Of(dtype.I64, v, len(v))) }

func u64(v ...uint64) tensor.Value { return tensor.ValueOf(tensor.Of(dtype.U64, v, len(v))) }

func c64(v ...float32) tensor.Value {
	t := tensor.New(dtype.C64, len(v)/2)
	copy(t.F32(), v)
	return tensor.ValueOf(t)
}

func text(v ...string) tensor.Value {
	return tensor.ValueOf(&tensor.Tensor{Elem: dtype.String, Shape: []int{len(v)}, Str: v})
}

func seq(v ...tensor.Value) tensor.Value { return tensor.Value{Kind: tensor.KindSequence, List: v} }

func opt(v ...tensor.Value) tensor.Value { return tensor.Value{Kind: tensor.KindOptional, List: v} }

func mapOf(keys tensor.Value, vals ...tensor.Value) tensor.Value {
	return tensor.Value{Kind: tensor.KindMap, Keys: keys.Tensor, List: vals}
}

func TestCompare(t *testing.T) {
	def := testcase.DefaultTolerance()
	with := func(f func(*testcase.Tolerance)) testcase.Tolerance {
		tol := def
		f(&tol)
		return tol
	}
	exact := with(func(t *testcase.Tolerance) { t.ExactInts = true })
	shape := with(func(t *testcase.Tolerance) { t.Compare = "shape" })
	tight := testcase.Tolerance{RTol: 0.5, Compare: "close"} // no absolute part
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name      string
		got, want tensor.Value
		tol       testcase.Tolerance
		reason    string // "" is equal
	}{
		{"the documented reason", shaped(of(dtype.F32, 1, 2, 2, 3, .5, 5), 2, 3), shaped(of(dtype.F32, 0, 1, 2, 2.5, .25, 6), 2, 3), tight,
			"[2,3] float: 3 of 6 differ, worst at [0,0]: got 1 want 0"},
		{"kind", seq(of(dtype.F32, 1)), of(dtype.F32, 1), def, "is a sequence, want a tensor"},
		{"element type", of(dtype.F64, 1), of(dtype.F32, 1), def, "[1] float: got element type double"},
		{"shape", of(dtype.F32, 1), of(dtype.F32, 1, 2), def, "[2] float: got shape [1]"},
		{"rank 0 is not rank 1", shaped(of(dtype.F32, 1)), of(dtype.F32, 1), def, "[1] float: got shape []"},
		{"shape only", of(dtype.F32, 1), of(dtype.F32, 2), shape, ""},
		{"shape only, other shape", of(dtype.F32, 1), of(dtype.F32, 2, 3), shape, "got shape"},
		{"nothing", tensor.ValueOf(nil), of(dtype.F32, 2, 3), def, "is missing"},
		{"empty", of(dtype.F32), of(dtype.F32), def, ""},

		{"float within", of(dtype.F32, 1.0009), of(dtype.F32, 1), def, ""},
		{"float beyond", of(dtype.F32, 1.0011), of(dtype.F32, 1), def, "1 of 1 differ, worst at [0]: got 1.0011 want 1"},
		{"zero within atol", of(dtype.F32, 9e-8), of(dtype.F32, 0), def, ""},
		{"zero beyond atol", of(dtype.F32, 2e-7), of(dtype.F32, 0), def, "differ"},
		{"scale of the largest", of(dtype.F32, 1000, 9e-4), of(dtype.F32, 1000, 0), def, ""},
		{"beyond the scale", of(dtype.F32, 1000, 2e-3), of(dtype.F32, 1000, 0), def, "1 of 2 differ, worst at [1]: got 0.002 want 0"},
		{"infinity is no scale", of(dtype.F32, inf, 1e-3), of(dtype.F32, inf, 0), def, "worst at [1]"},
		{"NaN equals NaN", of(dtype.F32, nan), of(dtype.F32, nan), def, ""},
		{"NaN got", of(dtype.F32, nan), of(dtype.F32, 1), def, "got NaN want 1"},
		{"NaN wanted", of(dtype.F32, 1), of(dtype.F32, nan), def, "got 1 want NaN"},
		{"infinities", of(dtype.F32, inf, -inf), of(dtype.F32, inf, -inf), def, ""},
		{"sign of infinity", of(dtype.F32, inf), of(dtype.F32, -inf), def, "got +Inf want -Inf"},
		{"finite for infinite", of(dtype.F32, 3e38), of(dtype.F32, inf), def, "differ"},
		{"signed zeros", of(dtype.F32, math.Copysign(0, -1)), of(dtype.F32, 0), def, ""},
		{"double", of(dtype.F64, 1.002), of(dtype.F64, 1), def, "got 1.002 want 1"},

		{"float16 has 2e-3", of(dtype.F16, 1+0x1p-9), of(dtype.F16, 1), def, ""},
		{"float16 beyond", of(dtype.F16, 1+0x1p-8), of(dtype.F16, 1), def, "float16: 1 of 1"},
		{"bfloat16 has 2^-6", of(dtype.BF16, 1+0x1p-6), of(dtype.BF16, 1), def, ""},
		{"bfloat16 beyond", of(dtype.BF16, 1+0x1p-5), of(dtype.BF16, 1), def, "bfloat16: 1 of 1"},
		{"a larger rtol stays", of(dtype.F16, 1.25), of(dtype.F16, 1), with(func(t *testcase.Tolerance) { t.RTol = .3 }), ""},
		{"8 bits: no scale", of(dtype.F8E5M2, 57344, 0x1p-16), of(dtype.F8E5M2, 57344, 0), def, "float8e5m2: 1 of 2 differ, worst at [1]"},
		{"4 bits", of(dtype.F4E2M1, .5), of(dtype.F4E2M1, 0), def, "differ"},
		{"scales", of(dtype.F8E8M0, 4), of(dtype.F8E8M0, 2), def, "differ"},

		{"small integers are equal", i64(999), i64(998), def, "[1] int64: 1 of 1 differ, worst at [0]: got 999 want 998"},
		{"an integer of 1000", i64(1001), i64(1000), def, ""},
		{"an integer of 999 is too small", i64(1000), i64(999), def, "differ"},
		{"exact integers", i64(1000001), i64(1000000), exact, "differ"},
		{"negative", i64(-2002), i64(-2000), def, ""},
		{"extremes do not wrap", i64(math.MaxInt64), i64(math.MinInt64), def, "got 9223372036854775807 want -9223372036854775808"},
		{"beyond 2^53", i64(1 << 62), i64(1<<62 + 1), with(func(t *testcase.Tolerance) { t.RTol, t.ATol = 0, 1 }), ""},
		{"beyond 2^53, two apart", i64(1 << 62), i64(1<<62 + 2), with(func(t *testcase.Tolerance) { t.RTol, t.ATol = 0, 1 }), "differ"},
		{"uint64", u64(1<<64 - 1), u64(1), def, "got 18446744073709551615 want 1"},
		{"the bound itself", i64(3), i64(2), with(func(t *testcase.Tolerance) { t.RTol, t.ATol = .5, 0 }), ""},
		{"int4", of(dtype.I4, -8, 3), of(dtype.I4, -8, 4), def, "int4: 1 of 2 differ, worst at [1]: got 3 want 4"},
		{"bool", of(dtype.Bool, 1), of(dtype.Bool, 0), def, "got true want false"},
		{"complex", c64(1, 2, 3, 4), c64(1, 2, 3.5, 5), def, "[2] complex64: 1 of 2 differ, worst at [1]: got (3+4i) want (3.5+5i)"},

		{"strings", text("a", "b"), text("a", "c"), def, `[2] string: 1 of 2 differ, worst at [1]: got "b" want "c"`},
		{"equal strings", text("a"), text("a"), def, ""},
		{"length of a sequence", seq(i64(1)), seq(), def, "sequence: want 0 elements, got 1"},
		{"element of a sequence", seq(i64(1), i64(2)), seq(i64(1), i64(3)), def, "sequence element 1 [1] int64: 1 of 1"},
		{"none", opt(), opt(), def, ""},
		{"none and some", opt(), opt(i64(1)), def, "optional: want a tensor, got none"},
		{"some and none", opt(i64(1)), opt(), def, "optional: want none, got a tensor"},
		{"inside an optional", opt(seq(i64(1))), opt(seq(i64(2))), def, "optional sequence element 0 [1] int64"},
		{"equal maps", mapOf(text("a"), i64(1)), mapOf(text("a"), i64(1)), def, ""},
		{"map keys", mapOf(text("a"), i64(1)), mapOf(text("b"), i64(1)), def, "map keys [1] string"},
		{"map values", mapOf(text("a"), i64(1)), mapOf(text("a"), i64(2)), def, "map values: sequence element 0"},
	} {
		ok, reason := testcase.Compare(c.got, c.want, c.tol)
		if ok != (c.reason == "") || !strings.Contains(reason, c.reason) || ok != (reason == "") {
			t.Errorf("%s: %v %q, want %q", c.name, ok, reason, c.reason)
		}
	}
}

func TestCompareOutputs(t *testing.T) {
	tol := testcase.DefaultTolerance()
	a, b := []tensor.Value{i64(1), i64(2)}, []tensor.Value{i64(1), i64(3)}
	if ok, r := testcase.CompareOutputs(a, a, tol); !ok || r != "" {
		t.Errorf("equal: %q", r)
	}
	if ok, r := testcase.CompareOutputs(a, b, tol); ok || !strings.HasPrefix(r, "output 1 [1] int64") {
		t.Errorf("different: %q", r)
	}
	if ok, r := testcase.CompareOutputs(a[:1], b, tol); ok || r != "want 2 outputs, got 1" {
		t.Errorf("count: %q", r)
	}
	long := text(strings.Repeat("\"ö\n", 1000))
	deep := i64(1)
	for range 100 {
		long, deep = seq(long), seq(deep)
	}
	for _, v := range []tensor.Value{long, deep} {
		if ok, r := testcase.Compare(v, deep, tol); !ok && (len(r) > 500 || strings.Contains(r, "\n")) {
			t.Errorf("reason of %d bytes: %q", len(r), r)
		}
	}
}

func ExampleCompareOutputs() {
	got := []tensor.Value{i64(4), tensor.ValueOf(tensor.Of(dtype.F32, []float32{0, 1, .5}, 3))}
	want := []tensor.Value{i64(4), tensor.ValueOf(tensor.Of(dtype.F32, []float32{0, 1, .25}, 3))}
	fmt.Println(testcase.CompareOutputs(got, want, testcase.DefaultTolerance()))
	// Output: false output 1 [3] float: 1 of 3 differ, worst at [2]: got 0.5 want 0.25
}
