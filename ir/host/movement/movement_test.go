package movement

import (
	"fmt"
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func ints(v ...int64) *tensor.Tensor { return tensor.Of(dtype.I64, v, len(v)) }

func intList(name string, v ...int64) attr.Named {
	return attr.Named{Name: name, Value: attr.OfInts(v)}
}

func axis(a int64) attr.Named { return attr.Named{Name: "axis", Value: attr.OfInt(a)} }

// Hand-computed: x is 0 to 5 in two rows of three.
func TestMovement(t *testing.T) {
	x := tensor.Of(dtype.I64, []int64{0, 1, 2, 3, 4, 5}, 2, 3)
	for _, c := range []struct {
		name  string
		fn    host.Fn
		attrs attr.List
		in    []*tensor.Tensor
		want  string
	}{
		{"transpose", Transpose, attr.List{intList("perm", 1, 0)}, []*tensor.Tensor{x}, "[3 2] [0 3 1 4 2 5]"},
		{"reshape by data", Reshape, nil, []*tensor.Tensor{x, ints(3, -1)}, "[3 2] [0 1 2 3 4 5]"},
		{"reshape, 0 copies", Reshape, nil, []*tensor.Tensor{x, ints(0, 1, -1)}, "[2 1 3] [0 1 2 3 4 5]"},
		{"slice backwards", Slice, attr.List{intList("starts", 1, 2), intList("steps", -1, -2), intList("shape", 2, 2)}, []*tensor.Tensor{x}, "[2 2] [5 3 2 0]"},
		{"slice_at", SliceAt, nil, []*tensor.Tensor{x, ints(-2), ints(1000), ints(1), nil}, "[2 2] [1 2 4 5]"},
		{"slice_at backwards, no end", SliceAt, nil, []*tensor.Tensor{x, ints(1), ints(math.MaxInt32), ints(1), ints(-1)}, "[2 2] [1 0 4 3]"},
		{"slice_at backwards from before the first", SliceAt, nil, []*tensor.Tensor{x, ints(-9), ints(math.MinInt64), ints(1), ints(-1)}, "[2 1] [0 3]"},
		{"expand", Expand, attr.List{intList("shape", 2, 1, 3)}, []*tensor.Tensor{x}, "[2 2 3] [0 1 2 3 4 5 0 1 2 3 4 5]"},
		{"concat", Concat, attr.List{axis(1)}, []*tensor.Tensor{x, x}, "[2 6] [0 1 2 0 1 2 3 4 5 3 4 5]"},
		{"gather", Gather, attr.List{axis(1)}, []*tensor.Tensor{x, ints(-1, 0)}, "[2 2] [2 0 5 3]"},
		{"tile", Tile, attr.List{intList("repeats", 1, 2)}, []*tensor.Tensor{x}, "[2 6] [0 1 2 0 1 2 3 4 5 3 4 5]"},
		{"unsqueeze", Unsqueeze, nil, []*tensor.Tensor{x, ints(-1, 0)}, "[1 2 3 1] [0 1 2 3 4 5]"},
	} {
		call := host.NewCall(c.in, c.attrs, make([]*tensor.Tensor, 1), []dtype.Type{dtype.I64}, nil)
		if err := c.fn.Run(call); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		y := call.Result(0)
		if got := fmt.Sprint(y.Shape, y.I64()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	x := tensor.New(dtype.U4, 5) // two elements a byte: parts begin inside bytes
	for i := range 5 {
		x.SetInt(i, int64(i+10))
	}
	call := host.NewCall([]*tensor.Tensor{x}, attr.List{axis(0), intList("sizes", 3, 2)}, make([]*tensor.Tensor, 2), []dtype.Type{dtype.U4, dtype.U4}, nil)
	if err := Split.Run(call); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{13, 14} {
		if got := call.Result(1).Int(i); got != want {
			t.Errorf("element %d: got %d, want %d", i, got, want)
		}
	}
}

// Bad operands are errors: they may come from a model's data.
func TestRefuses(t *testing.T) {
	x := tensor.New(dtype.F32, 2, 3)
	for _, c := range []struct {
		name  string
		fn    host.Fn
		attrs attr.List
		in    []*tensor.Tensor
	}{
		{"index", Gather, attr.List{axis(0)}, []*tensor.Tensor{x, ints(2)}},
		{"reshape", Reshape, nil, []*tensor.Tensor{x, ints(4, -1)}},
		{"two free extents", Reshape, nil, []*tensor.Tensor{x, ints(-1, -1)}},
		{"overflow", Reshape, nil, []*tensor.Tensor{x, ints(1<<62, 1<<62, -1)}},
		{"step", SliceAt, nil, []*tensor.Tensor{x, ints(0), ints(1), ints(0), ints(0)}},
		{"axis", SliceAt, nil, []*tensor.Tensor{x, ints(0), ints(1), ints(5), nil}},
		{"expand", Expand, nil, []*tensor.Tensor{x, ints(4)}},
		{"huge expand", Expand, nil, []*tensor.Tensor{tensor.New(dtype.F32, 1), ints(1<<40, 1<<40)}},
		{"tile", Tile, nil, []*tensor.Tensor{x, ints(1<<47, 1<<47)}},
		{"squeeze", Squeeze, nil, []*tensor.Tensor{x, ints(0)}},
	} {
		call := host.NewCall(c.in, c.attrs, make([]*tensor.Tensor, 1), []dtype.Type{dtype.F32}, &host.Budget{Left: 1 << 20})
		if err := c.fn.Run(call); err == nil {
			t.Errorf("%s: accepted, result %v", c.name, call.Result(0).Shape)
		}
	}
}
