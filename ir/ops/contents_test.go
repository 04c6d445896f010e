package ops

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/movement"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// inferOnly is the table without folding, so that contents come from inference alone.
type inferOnly struct{ *op.Table }

func (inferOnly) Fold(*ir.Module, *ir.Node, []*tensor.Tensor) ([]*tensor.Tensor, bool) {
	return nil, false
}

func newBuild(t *testing.T) *op.Build {
	t.Helper()
	m := ir.NewModule("test")
	m.Dims.Declare("B", dim.Info{Lo: 1, Hi: 64})
	m.Dims.Declare("S", dim.Info{Lo: 0, Hi: dim.Inf})
	f := m.NewFunc("main")
	b := ir.NewBuilder(m, f, f.Body, inferOnly{mustTable(t)})
	return op.NewBuild(b, f.NewNode("test"), nil)
}

func exprs(t *testing.T, list string) []dim.Expr {
	t.Helper()
	var l []dim.Expr
	for _, s := range strings.Split(list, ",") {
		e, err := dim.Parse(strings.TrimSpace(s))
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, e)
	}
	return l
}

// What exporters compute from shapes is known while symbols are open.
func TestContents(t *testing.T) {
	b := newBuild(t)
	list := func(s string) *ir.Value {
		e := exprs(t, s)
		return b.Builder.Dims(ir.TensorType(dtype.I64, dim.Const(int64(len(e)))), e)
	}
	scalar := func(s string) *ir.Value { return b.Builder.Dims(ir.TensorType(dtype.I64), exprs(t, s)) }
	ones := func(n int) []int64 {
		l := make([]int64, n)
		for i := range l {
			l[i] = 1
		}
		return l
	}
	yes, no := tensor.New(dtype.Bool), tensor.New(dtype.Bool, 2)
	yes.SetInt(0, 1)
	no.SetInt(1, 1)
	for _, c := range []struct {
		name string
		got  *ir.Value
		want string
	}{
		{"gather", b.Call("gather", list("B, S, 64"), scalar("1")), "[S]"},
		{"gather from the end", b.Call("gather", list("B, S, 64"), b.Builder.Ints(-1, 0)), "[64, B]"},
		{"slice", b.CallWith("slice", named("starts", exprs(t, "1"), "steps", ones(1), "shape", exprs(t, "2")), list("B, S, 64")), "[S, 64]"},
		{"concat", b.CallWith("concat", named("axis", 0), list("B, S"), list("12"), list("64")), "[B, S, 12, 64]"},
		{"reshape", b.CallWith("reshape", named("shape", exprs(t, "1")), scalar("B*S")), "[B*S]"},
		{"transpose", b.CallWith("transpose", named("perm", []int64{1, 0}), b.Reshape(list("B, S, 1, 2"), exprs(t, "2, 2"))), "[B, 1, S, 2]"},
		{"expand", b.CallWith("expand", named("shape", exprs(t, "2, 2")), list("B, S")), "[B, S, B, S]"},
		{"tile", b.CallWith("tile", named("repeats", exprs(t, "2")), list("B, S")), "[B, S, B, S]"},
		{"split", b.Do("split", []*ir.Value{list("B, S, 3")}, named("axis", 0, "sizes", exprs(t, "1, 2")))[1], "[S, 3]"},
		{"add", b.Call("add", list("B, S"), scalar("1")), "[B + 1, S + 1]"},
		{"sub", b.Call("sub", scalar("S"), scalar("S")), "[0]"},
		{"mul", b.Call("mul", list("B, S"), list("S, 4")), "[B*S, 4*S]"},
		{"div", b.Call("div", scalar("12*B"), scalar("4")), "[3*B]"},
		{"div by an extent", b.Call("div", scalar("B*S"), scalar("B")), "[S]"},
		{"div of what may be negative", b.Call("div", scalar("S - 5"), scalar("2")), "unknown"},
		{"mod", b.Call("mod", scalar("4*S + 1"), scalar("4")), "[1]"},
		{"neg", b.Call("neg", scalar("S")), "[-1*S]"},
		{"min", b.Call("min", scalar("S"), scalar("S + 1")), "[S]"},
		{"max", b.Call("max", scalar("1"), scalar("B")), "[max(1, B)]"},
		{"equal decided", b.Call("equal", scalar("B"), scalar("0")), "[0]"},
		{"equal open", b.Call("equal", scalar("S"), scalar("0")), "unknown"},
		{"greater_equal", b.Call("greater_equal", scalar("S"), scalar("0")), "[1]"},
		{"less", b.Call("less", scalar("B"), scalar("65")), "[1]"},
		{"not", b.Call("not", b.Call("equal", scalar("B"), scalar("0"))), "[1]"},
		{"and", b.Call("and", b.Builder.Const("", yes), b.Builder.Const("", no)), "[0, 1]"},
		{"where", b.Call("where", b.Builder.Const("", no), list("B, S"), list("3, 4")), "[3, S]"},
		{"where of equals", b.Call("where", b.Call("equal", list("S, S"), list("0, 1")), list("B, S"), list("B, S")), "[B, S]"},
		{"cast", b.Cast(list("B, S"), dtype.I32), "[B, S]"},
		{"cast to bool", b.Cast(scalar("B"), dtype.Bool), "[1]"},
		{"reduce_prod", b.CallWith("reduce_prod", named("axes", []int64{0}, "keepdims", false), list("B, S, 4")), "[4*B*S]"},
		{"reduce_sum of nothing", b.CallWith("reduce_sum", named("axes", []int64{0}, "keepdims", false), b.Builder.Ints()), "[0]"},
		{"reduce_max", b.CallWith("reduce_max", named("axes", []int64{0}), list("S, S + 2")), "[S + 2]"},
	} {
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		got := "unknown"
		if c.got.Elems != nil {
			s := make([]string, len(c.got.Elems))
			for i, e := range c.got.Elems {
				s[i] = e.Key()
			}
			got = "[" + strings.Join(s, ", ") + "]"
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestReshapeDims(t *testing.T) {
	for _, c := range []struct {
		x, shape, want string
		allowZero      bool
	}{
		{"B, S, 64", "0, 0, 4, 16", "[B S 4 16]", false},
		{"B, S, 64", "-1, 64", "[B*S 64]", false},
		{"B, S, 64", "B, -1, 4, 16", "[B S 4 16]", false},
		{"B, 4, S, 16", "0, -1, 64", "[B S 64]", false},
		{"2, 3", "3, -1", "[3 2]", false},
		{"0, 3", "0, 7", "[0 7]", true},
		{"0, 3", "-1, 0", "[0 0]", true},
	} {
		got, err := reshapeDims(exprs(t, c.x), exprs(t, c.shape), c.allowZero)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("[%s] to [%s]: got %v, %v, want %s", c.x, c.shape, got, err, c.want)
		}
	}
	for _, bad := range []string{"-1, -1", "-2", "1, 1, 1, 0"} {
		if got, err := reshapeDims(exprs(t, "2, 3"), exprs(t, bad), false); err == nil {
			t.Errorf("[%s]: got %v, want an error", bad, got)
		}
	}
}

// A slice resolved while the extent is open takes the elements that the host function takes once it is known.
func TestSliceSpan(t *testing.T) {
	s := dim.NewScope()
	s.Declare("S", dim.Info{Lo: 0, Hi: dim.Inf})
	bounds := []int64{math.MinInt64, -7, -3, -1, 0, 1, 2, 5, math.MaxInt32, math.MaxInt64}
	for _, begin := range bounds {
		for _, end := range bounds {
			for _, step := range []int64{1, 2, 3, -1, -2} {
				start, count, ok := sliceSpan(s, dim.Const(begin), dim.Const(end), step, dim.Sym("S"))
				if !ok {
					t.Fatalf("%d:%d:%d is open", begin, end, step)
				}
				for n := int64(0); n < 7; n++ {
					env := func(string) (int64, bool) { return n, true }
					first, err1 := start.Eval(env)
					size, err2 := count.Eval(env)
					if err1 != nil || err2 != nil {
						t.Fatal(err1, err2)
					}
					var got []int64
					for i := int64(0); i < size; i++ {
						got = append(got, first+i*step)
					}
					if want := sliced(t, begin, end, step, n); fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%d:%d:%d of %d: got %v, want %v", begin, end, step, n, got, want)
					}
				}
			}
		}
	}
}

func sliced(t *testing.T, begin, end, step, n int64) []int64 {
	t.Helper()
	x := make([]int64, n)
	for i := range x {
		x[i] = int64(i)
	}
	one := func(v int64) *tensor.Tensor { return tensor.Of(dtype.I64, []int64{v}, 1) }
	c := host.NewCall([]*tensor.Tensor{tensor.Of(dtype.I64, x, int(n)), one(begin), one(end), nil, one(step)}, nil,
		make([]*tensor.Tensor, 1), []dtype.Type{dtype.I64}, nil)
	if err := movement.SliceAt.Run(c); err != nil {
		t.Fatal(err)
	}
	return c.Result(0).I64()
}

// Slicing by symbols keeps extents short where ranges allow it.
func TestSliceSpanText(t *testing.T) {
	s := dim.NewScope()
	s.Declare("S", dim.Info{Lo: 1, Hi: 512})
	s.Declare("P", dim.Info{Lo: 0, Hi: 512})
	for _, c := range []struct{ begin, end, n, start, count string }{
		{"0", "S", "512", "0", "S"},
		{"P", "P + S", "P + S", "P", "S"},
		{"1", "9223372036854775807", "S", "1", "S - 1"},
		{"-1", "9223372036854775807", "S", "S - 1", "1"},
		{"0", "-1", "S", "0", "S - 1"},
	} {
		start, count, ok := sliceSpan(s, exprs(t, c.begin)[0], exprs(t, c.end)[0], 1, exprs(t, c.n)[0])
		if !ok || start.Key() != c.start || count.Key() != c.count {
			t.Errorf("%s:%s of %s: got %v, %v, %v, want %s, %s", c.begin, c.end, c.n, start, count, ok, c.start, c.count)
		}
	}
	if _, _, ok := sliceSpan(s, exprs(t, "P - 3")[0], exprs(t, "S")[0], 1, exprs(t, "S")[0]); ok {
		t.Error("a bound of open sign was resolved")
	}
}
