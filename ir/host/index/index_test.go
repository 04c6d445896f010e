package index

import (
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func i64s(v ...int64) *tensor.Tensor { return tensor.Of(dtype.I64, v, len(v)) }

func call(fn host.Fn, results int, attrs attr.List, in ...*tensor.Tensor) (*host.Call, error) {
	types := make([]dtype.Type, results)
	for i := range types {
		types[i] = dtype.I64
	}
	c := host.NewCall(in, attrs, make([]*tensor.Tensor, results), types, &host.Budget{Left: 1 << 20})
	return c, fn.Run(c)
}

func check(t *testing.T, what string, got *tensor.Tensor, want ...int64) {
	t.Helper()
	if got.Len() != len(want) {
		t.Errorf("%s: %v elements, want %v", what, got.Shape, want)
		return
	}
	for i, w := range want {
		if got.Int(i) != w {
			t.Errorf("%s: element %d is %d, want %d", what, i, got.Int(i), w)
		}
	}
}

// Expected rows are those of numpy.pad; negative counts cut first.
func TestPad(t *testing.T) {
	for _, c := range []struct {
		mode       string
		begin, end int64
		want       []int64
	}{
		{"constant", 2, 1, []int64{9, 9, 1, 2, 3, 4, 9}},
		{"constant", -1, 1, []int64{2, 3, 4, 9}},
		{"edge", 2, 1, []int64{1, 1, 1, 2, 3, 4, 4}},
		{"reflect", 2, 3, []int64{3, 2, 1, 2, 3, 4, 3, 2, 1}},
		{"reflect", 0, 5, []int64{1, 2, 3, 4, 3, 2, 1, 2, 3}},
		{"wrap", 2, 5, []int64{3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1}},
		{"constant", -4, 0, nil},
	} {
		l := attr.List{{Name: "mode", Value: attr.OfStr(c.mode)}, {Name: "begins", Value: attr.OfInts([]int64{c.begin})}, {Name: "ends", Value: attr.OfInts([]int64{c.end})}}
		k, err := call(Pad, 1, l, i64s(1, 2, 3, 4), tensor.Of(dtype.I64, []int64{9}))
		if err != nil {
			t.Errorf("%s: %v", c.mode, err)
			continue
		}
		check(t, c.mode, k.Result(0), c.want...)
	}
	if _, err := call(Pad, 1, attr.List{{Name: "mode", Value: attr.OfStr("edge")}}, i64s(), nil, i64s(1, 1)); err == nil {
		t.Error("edges of nothing: accepted")
	}
}

func TestTopK(t *testing.T) {
	x := tensor.Of(dtype.F32, []float32{1, float32(math.NaN()), 3, 3, 0}, 5)
	c := host.NewCall([]*tensor.Tensor{x, i64s(4)}, nil, make([]*tensor.Tensor, 2), []dtype.Type{dtype.F32, dtype.I64}, nil)
	if err := TopK.Run(c); err != nil {
		t.Fatal(err)
	}
	check(t, "largest", c.Result(1), 1, 2, 3, 0)
	k, err := call(TopK, 2, attr.List{{Name: "largest", Value: attr.OfInt(0)}}, i64s(5, 1, 1, 7), i64s(3))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "smallest", k.Result(1), 1, 2, 0)
	if _, err := call(TopK, 2, nil, i64s(1, 2), i64s(3)); err == nil {
		t.Error("3 of 2: accepted")
	}
}

func TestRange(t *testing.T) {
	for _, c := range [][4]int64{{1, 7, 3, 2}, {7, 1, -3, 2}, {0, 7, 3, 3}, {3, 3, 1, 0}, {3, 1, 1, 0}} {
		n, err := RangeLen(c[0], c[1], c[2])
		if err != nil || int64(n) != c[3] {
			t.Errorf("from %d to %d by %d: %d elements, %v, want %d", c[0], c[1], c[2], n, err, c[3])
		}
	}
	if _, err := RangeLen(0, 1, 0); err == nil {
		t.Error("step 0: accepted")
	}
	if _, err := RangeLen(math.MinInt64, math.MaxInt64, 1); err == nil {
		t.Error("overflow: accepted")
	}
	if _, err := call(Range, 1, nil, i64s(0), i64s(1<<40), i64s(1)); err == nil {
		t.Error("beyond the memory limit: accepted")
	}
}

// The examples of the ONNX documentation of ScatterElements, ScatterND and GatherND.
func TestScatterGather(t *testing.T) {
	x := tensor.Of(dtype.I64, []int64{10, 20, 30, 40, 50}, 1, 5)
	idx, upd := tensor.Of(dtype.I64, []int64{1, -4}, 1, 2), tensor.Of(dtype.I64, []int64{11, 21}, 1, 2)
	for reduction, want := range map[string]int64{"none": 21, "add": 52, "mul": 4620, "max": 21, "min": 11} {
		k, err := call(ScatterElements, 1, attr.List{{Name: "axis", Value: attr.OfInt(1)}, {Name: "reduction", Value: attr.OfStr(reduction)}}, x, idx, upd)
		if err != nil {
			t.Fatal(err)
		}
		check(t, reduction, k.Result(0), 10, want, 30, 40, 50)
	}
	k, err := call(ScatterND, 1, nil, i64s(1, 2, 3, 4, 5, 6, 7, 8), tensor.Of(dtype.I64, []int64{4, 3, 1, 7}, 4, 1), i64s(9, 10, 11, 12))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "scatter_nd", k.Result(0), 1, 11, 3, 10, 9, 6, 7, 12)
	cube := tensor.Of(dtype.I64, []int64{0, 1, 2, 3, 4, 5, 6, 7}, 2, 2, 2)
	k, err = call(GatherND, 1, attr.List{{Name: "batch_dims", Value: attr.OfInt(1)}}, cube, tensor.Of(dtype.I64, []int64{1, 0}, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "gather_nd", k.Result(0), 2, 3, 4, 5)
	for _, bad := range []int64{2, -3} {
		if _, err := call(GatherND, 1, nil, cube, tensor.Of(dtype.I64, []int64{bad}, 1, 1)); err == nil {
			t.Errorf("index %d of 2: accepted", bad)
		}
	}
}
