package reduce

import (
	"fmt"
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func run(t *testing.T, fn host.Fn, to dtype.Type, attrs attr.List, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	c := host.NewCall(in, attrs, make([]*tensor.Tensor, 1), []dtype.Type{to}, nil)
	if err := fn.Run(c); err != nil {
		t.Fatal(err)
	}
	return c.Result(0)
}

func TestAxes(t *testing.T) {
	x := tensor.Of(dtype.I64, []int64{1, 2, 3, 4, 5, 6}, 1, 2, 3)
	axes := func(keep bool, l ...int64) attr.List {
		return attr.List{{Name: "axes", Value: attr.OfInts(l)}, {Name: "keepdims", Value: attr.OfBool(keep)}}
	}
	flag := func(name string) attr.List { return attr.List{{Name: name, Value: attr.OfBool(true)}} }
	operand := tensor.Of(dtype.I64, []int64{-1}, 1)
	for _, c := range []struct {
		name  string
		fn    host.Fn
		attrs attr.List
		in    []*tensor.Tensor
		want  string
	}{
		{"sum", Sum, axes(true, 2), []*tensor.Tensor{x}, "[1 2 1] [6 15]"},
		{"sum of two axes", Sum, axes(false, 0, 1), []*tensor.Tensor{x}, "[3] [5 7 9]"},
		{"no axes", Prod, axes(true), []*tensor.Tensor{x}, "[1 2 3] [1 2 3 4 5 6]"},
		{"max", Max, axes(false, 1), []*tensor.Tensor{x}, "[1 3] [4 5 6]"},
		{"mean truncates", Mean, axes(false, 1), []*tensor.Tensor{x}, "[1 3] [2 3 4]"},
		{"axes as operand", Min, nil, []*tensor.Tensor{x, operand}, "[1 2] [1 4]"},
		{"axes empty means all", Sum, nil, []*tensor.Tensor{x, tensor.New(dtype.I64, 0)}, "[] [21]"},
		{"axes empty means none", Sum, flag("noop_with_empty_axes"), []*tensor.Tensor{x, tensor.New(dtype.I64, 0)}, "[1 2 3] [1 2 3 4 5 6]"},
	} {
		y := run(t, c.fn, dtype.I64, c.attrs, c.in...)
		if got := fmt.Sprint(y.Shape, y.I64()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// ONNX says what a reduction over nothing gives.
func TestEmptySet(t *testing.T) {
	axes := attr.List{{Name: "axes", Value: attr.OfInts([]int64{0})}}
	for _, c := range []struct {
		fn   host.Fn
		elem dtype.Type
		want float64
	}{
		{Sum, dtype.F32, 0}, {Prod, dtype.F32, 1}, {Max, dtype.F32, math.Inf(-1)}, {Min, dtype.F32, math.Inf(1)}, {Mean, dtype.F32, math.NaN()},
		{Max, dtype.I8, -128}, {Min, dtype.I8, 127}, {Min, dtype.U64, math.MaxUint64}, {Max, dtype.Bool, 0}, {Min, dtype.Bool, 1},
	} {
		got := run(t, c.fn, c.elem, axes, tensor.New(c.elem, 0)).Float(0)
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s of no %v: got %v, want %v", c.fn.Name, c.elem, got, c.want)
		}
	}
}

func TestArg(t *testing.T) {
	x := tensor.Of(dtype.F32, []float32{2, 1, 2, 3, 10, 3}, 2, 3)
	at := func(axis int64, last bool) attr.List {
		return attr.List{{Name: "axis", Value: attr.OfInt(axis)}, {Name: "keepdims", Value: attr.OfBool(false)}, {Name: "select_last", Value: attr.OfBool(last)}}
	}
	for _, c := range []struct {
		name  string
		fn    host.Fn
		attrs attr.List
		x     *tensor.Tensor
		want  string
	}{
		{"first", ArgMax, at(1, false), x, "[0 1]"},
		{"last", ArgMax, at(1, true), x, "[2 1]"},
		{"columns", ArgMin, at(0, false), x, "[0 0 0]"},
		{"last of the smallest", ArgMin, at(-1, true), x, "[1 2]"},
		{"unsigned", ArgMax, at(0, false), tensor.Of(dtype.U64, []uint64{1, math.MaxUint64, 2}, 3), "[1]"},
	} {
		if got := fmt.Sprint(run(t, c.fn, dtype.I64, c.attrs, c.x).I64()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
