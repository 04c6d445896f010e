package eval

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
)

func evaluator(t testing.TB, more ...*op.Def) *Evaluator {
	t.Helper()
	have := map[string]bool{}
	for _, d := range more {
		have[d.Name] = true
	}
	all := more
	for _, d := range ops.All() {
		if !have[d.Name] {
			all = append(all, d)
		}
	}
	table, err := op.NewTable(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(table)
}

func parse(t testing.TB, e *Evaluator, src string) *ir.Module {
	t.Helper()
	m, err := ir.Parse(src, ir.ParseOptions{Semantics: e})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func f32(shape []int, v ...float32) *tensor.Tensor { return tensor.Of(dtype.F32, v, shape...) }

func i64(v ...int64) *tensor.Tensor { return tensor.Of(dtype.I64, v, len(v)) }

func scalar(v int64) *tensor.Tensor { return tensor.Of(dtype.I64, []int64{v}) }

func truthOf(v bool) *tensor.Tensor { return tensor.Of(dtype.Bool, []bool{v}) }

func zeros(shape ...int) *tensor.Tensor { return tensor.New(dtype.F32, shape...) }

// Symbols are bound from the shapes of inputs, also where an extent is an expression; what does not fit is an error that
// names input and axis.
func TestBinding(t *testing.T) {
	e := evaluator(t)
	m := parse(t, e, `module m
dim B in [1, 8]
dim S in [1, 64]
dim P in [0, inf]
dim E in [2, 100] step 2
guard B = E/2 "toy#1:pair"
func main(%past "past.0": f32[B, P + S], %x: f32[B, S], %e: f32[E], %c: f32[3], %two: f32[2*P + 1]) -> i64[5] {
  %d = dims(type: i64, shape: ~[5], elems: ~[B, S, P, E, S*P])
  return(%d)
}`)
	run := func(l ...*tensor.Tensor) ([]Value, error) {
		return e.Eval(context.Background(), m, m.Main(), Tensors(l...), Options{})
	}
	got, err := run(zeros(3, 11), zeros(3, 4), zeros(6), zeros(3), zeros(15))
	if err != nil {
		t.Fatal(err)
	}
	if err := irtest.Close(got[0].Tensor, i64(3, 4, 7, 6, 28), 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   []*tensor.Tensor
		want string
	}{
		{[]*tensor.Tensor{zeros(3, 11)}, "want 5 inputs, got 1"},
		{[]*tensor.Tensor{zeros(3, 11), zeros(2, 4), zeros(6), zeros(3), zeros(15)}, `input "x": axis 0: want B = 3, got 2`},
		{[]*tensor.Tensor{zeros(9, 11), zeros(9, 4), zeros(18), zeros(3), zeros(15)}, `input "past.0": axis 0: B is 9, want 1 to 8`},
		{[]*tensor.Tensor{zeros(3, 11), zeros(3, 4), zeros(7), zeros(3), zeros(15)}, `input "e": axis 0: E is 7, want a multiple of 2`},
		{[]*tensor.Tensor{zeros(3, 11), zeros(3, 4), zeros(8), zeros(3), zeros(15)}, "toy#1:pair: B = 3 and (E/2) = 4 do not fit"},
		{[]*tensor.Tensor{zeros(3, 11), zeros(3, 4), zeros(6), zeros(4), zeros(15)}, `input "c": axis 0: want 3, got 4`},
		{[]*tensor.Tensor{zeros(3, 11), zeros(3, 4), zeros(6), zeros(3), zeros(17)}, `input "two": axis 0: want 2*P + 1 = 15, got 17`},
		{[]*tensor.Tensor{zeros(3, 2), zeros(3, 4), zeros(6), zeros(3), zeros(15)}, `input "past.0": axis 1: `},
		{[]*tensor.Tensor{zeros(3, 11, 1), zeros(3, 4), zeros(6), zeros(3), zeros(15)}, `input "past.0": want 2 axes`},
		{[]*tensor.Tensor{zeros(3, 11), i64(1), zeros(6), zeros(3), zeros(15)}, `input "x": want element type f32, got i64`},
		{[]*tensor.Tensor{zeros(3, 11), nil, zeros(6), zeros(3), zeros(15)}, `input "x": want f32[B, S], got nothing`},
	} {
		_, err := run(c.in...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ir.ErrShape) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// What is no longer needed returns to the budget; what does not fit is an error and not an allocation.
func TestBudget(t *testing.T) {
	e := evaluator(t)
	src := "module m\nfunc main(%x: f32[100000]) -> f32[100000] {\n%a0 = neg(%x)\n"
	for i := 1; i < 20; i++ {
		src += fmt.Sprintf("%%a%d = neg(%%a%d)\n", i, i-1)
	}
	m := parse(t, e, src+"return(%a19)\n}")
	x := irtest.Random(rand.New(rand.NewSource(1)), dtype.F32, -1, 1, 100000)
	for _, way := range []Way{Any, Form} {
		b := &host.Budget{Left: 900_000}
		got, err := e.Eval(context.Background(), m, m.Main(), Tensors(x), Options{Budget: b, Way: way})
		if err != nil {
			t.Fatal(err)
		}
		if err := irtest.Close(got[0].Tensor, x, 0); err != nil {
			t.Fatal(err)
		}
		if b.Left != 500_000 {
			t.Errorf("%d bytes are left, want all but the result", b.Left)
		}
		if _, err := e.Eval(context.Background(), m, m.Main(), Tensors(x), Options{Budget: &host.Budget{Left: 700_000}, Way: way}); err == nil {
			t.Error("two tensors of 400,000 bytes fit into 700,000")
		}
	}
	huge := parse(t, e, "module m\ndim S in [1, inf]\nfunc main(%x: f32[1], %s: u8[S]) -> f32[1000000000*S] {\n%y = expand(%x, shape: ~[1000000000*S])\nreturn(%y)\n}")
	_, err := e.Eval(context.Background(), huge, huge.Main(), Tensors(zeros(1), tensor.New(dtype.U8, 7)), Options{Budget: &host.Budget{Left: 1 << 20}})
	if err == nil || !strings.Contains(err.Error(), "memory limit") {
		t.Errorf("got %v", err)
	}
}

func TestContext(t *testing.T) {
	e := evaluator(t)
	m := parse(t, e, "module m\nfunc main(%x: f32[1]) -> f32[1] {\n%y = neg(%x)\nreturn(%y)\n}")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Eval(ctx, m, m.Main(), Tensors(zeros(1)), Options{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// The hook sees each result of each node, in order.
func TestHook(t *testing.T) {
	e := evaluator(t)
	m := parse(t, e, "module m\nfunc main(%x: f32[1]) -> f32[1] {\n%y = neg(%x)\n%g = group(%y) { body(%a: f32[1]) { %b = abs(%a) yield(%b) } }\nreturn(%g)\n}")
	var seen []string
	_, err := e.Eval(context.Background(), m, m.Main(), Tensors(f32([]int{1}, 3)), Options{Hook: func(v *ir.Value, got Value) error {
		seen = append(seen, fmt.Sprint(v.Name, got.Tensor.Float(0)))
		return nil
	}})
	if err != nil || strings.Join(seen, " ") != "y-3 b3 g3" {
		t.Fatalf("saw %v, %v", seen, err)
	}
}

func TestBranch(t *testing.T) {
	e := evaluator(t)
	m := parse(t, e, `module m
dim B in [1, 8]
dim late1 late in [0, 8]
const #w0 : f32[2] = [5.0, 6.0]
func main(%c: bool[], %x: f32[B]) -> f32[late1] {
  %y = if(%c, %x) : f32[late1] {
    then(%a: f32[B]) {
      %n = neg(%a)
      yield(%n)
    }
    else(%a: f32[B]) {
      %k = const(data: #w0)
      yield(%k)
    }
  }
  return(%y)
}`)
	for _, c := range []struct {
		cond bool
		want *tensor.Tensor
	}{{true, f32([]int{3}, -1, -2, -3)}, {false, f32([]int{2}, 5, 6)}} {
		cond := truthOf(c.cond)
		if c.cond {
			cond.Shape = []int{1} // goes for a scalar
		}
		got, err := e.Eval(context.Background(), m, m.Main(), Tensors(cond, f32([]int{3}, 1, 2, 3)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := irtest.Close(got[0].Tensor, c.want, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestLoop(t *testing.T) {
	e := evaluator(t)
	m := parse(t, e, `module m
dim S in [0, 64]
dim G in [0, inf]
dim T late in [0, 100]
dim F late in [0, 100]
func main(%n: i64[], %c: bool[], %x: f32[S], %one: f32[1], %limit: f32[]) -> (f32[F], f32[T, 1]) {
  %y, %z = loop(%n, %c, %x, %one, %limit, carried: 1) : f32[F], f32[T, 1] {
    body(%i: i64[], %go: bool[], %v: f32[G], %step: f32[1], %max: f32[]) {
      %longer = concat(%v, %step, axis: 0)
      %f = cast(%i, to: f32)
      %more = less(%f, %max)
      %scan = add(%f, %step)
      yield(%more, %longer, %scan)
    }
  }
  return(%y, %z)
}`)
	run := func(n, c *tensor.Tensor, limit float32) ([]Value, error) {
		return e.Eval(context.Background(), m, m.Main(), Tensors(n, c, f32([]int{2}, 7, 8), f32([]int{1}, 1), f32(nil, limit)), Options{Budget: &host.Budget{Left: 4096}})
	}
	for _, c := range []struct {
		n     int64
		c     bool
		limit float32
		want  int // iterations
	}{{3, true, 100, 3}, {100, true, 2, 3}, {0, true, 100, 0}, {-4, true, 100, 0}, {5, false, 100, 0}, {1, true, -1, 1}} {
		got, err := run(scalar(c.n), truthOf(c.c), c.limit)
		if err != nil {
			t.Fatal(err)
		}
		final, scan := []float32{7, 8}, []float32{}
		for i := 0; i < c.want; i++ {
			final, scan = append(final, 1), append(scan, float32(i)+1)
		}
		if err := irtest.Close(got[0].Tensor, f32([]int{len(final)}, final...), 0); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if err := irtest.Close(got[1].Tensor, f32([]int{c.want, 1}, scan...), 0); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := run(scalar(1<<40), truthOf(true), 1e9); err == nil {
		t.Error("a loop that grows without end stays within the budget")
	}
}

// A result that is not what inference said is noticed: type, extent, contents, range of a late symbol.
func TestResultsAreChecked(t *testing.T) {
	lie := &op.Def{Name: "lie", Sig: op.Sig{In: []op.Arg{{Name: "x"}}, Out: []op.Arg{{Name: "y"}}}, Infer: func(*op.Infer) error { return nil },
		Host: host.Fn{Name: "lie", Run: func(c *host.Call) error {
			y, err := c.Out(0, c.In[0].Shape...)
			if err == nil {
				copy(y.Data, c.In[0].Data)
			}
			return err
		}}}
	e := evaluator(t, lie)
	for _, c := range []struct{ typ, want string }{
		{"i64[B]", ""}, {"i64[2] = [4, 5]", ""}, {"i64[late1]", ""},
		{"i64[B + 1]", "want B + 1 = 3, got 2"}, {"i64[3]", "want 3, got 2"}, {"i64[2] = [4, 6]", "element 1: want 6, got 5"}, {"i64[late2]", "late2 is 2, want 0 to 1"}, {"i64[B, 1]", "want 2 axes"},
	} {
		m := parse(t, e, "module m\ndim B in [1, 8]\ndim late1 late in [0, 9]\ndim late2 late in [0, 1]\nfunc main(%x: i64[B]) -> () {\n%y = lie(%x) : "+c.typ+" @\"m.onnx#3:Lie_1\"\nreturn()\n}")
		_, err := e.Eval(context.Background(), m, m.Main(), Tensors(i64(4, 5)), Options{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `m.onnx: node 3 "Lie_1" (lie)`)) {
			t.Errorf("%s: got %v, want %q", c.typ, err, c.want)
		}
	}
}

// Random graphs give the same by every way, whether symbols stay open or were folded into numbers.
func TestRandomGraphs(t *testing.T) {
	e := evaluator(t)
	for seed := int64(0); seed < 60; seed++ {
		m, err := irtest.Graph(rand.New(rand.NewSource(seed)), e, irtest.GraphOptions{Has: func(n string) bool { return e.Table().Def(n) != nil }})
		if err != nil {
			t.Fatal(seed, err)
		}
		back, err := ir.Parse(m.String(), ir.ParseOptions{Consts: func(i int, _ string, _ dtype.Type, _ []int) (*tensor.Tensor, error) { return m.Consts[i].Tensor, nil }})
		if err == nil {
			err = ir.Equal(m, back)
		}
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, m)
		}
		in, err := irtest.Inputs(rand.New(rand.NewSource(seed)), m.Main(), map[string]int64{"B": 1 + seed%4}, -1, 1)
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.Eval(context.Background(), m, m.Main(), Tensors(in...), Options{})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, m)
		}
		for _, way := range []Way{Expand, Form} {
			got, err := e.Eval(context.Background(), back, back.Main(), Tensors(in...), Options{Way: way})
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, m)
			}
			for i := range got {
				if err := irtest.Close(got[i].Tensor, want[i].Tensor, 1e-4); err != nil {
					t.Fatalf("seed %d: result %d: %v\n%s", seed, i, err, m)
				}
			}
		}
	}
}

// The evaluator folds what is deterministic, within a limit.
func TestFold(t *testing.T) {
	e := evaluator(t)
	m := parse(t, e, "module m\nconst #w0 : f32[2] = [1.5, -2.0]\nfunc main() -> f32[2] {\n%w = const(data: #w0)\n%y = neg(%w)\nreturn(%y)\n}")
	n := m.Main().Body.Nodes[1]
	in := []*tensor.Tensor{m.Consts[0].Tensor}
	got, err := e.FoldNode(m, n, in, 8)
	if err != nil {
		t.Fatal(err)
	}
	if err := irtest.Close(got[0], f32([]int{2}, -1.5, 2), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := e.FoldNode(m, n, in, 7); err == nil {
		t.Error("8 bytes fit into 7")
	}
	random := &op.Def{Name: "neg", Sig: op.Sig{In: []op.Arg{{Name: "x"}}, Out: []op.Arg{{Name: "y"}}}, Random: true, Host: e.Table().Def("neg").Host, Infer: e.Table().Def("neg").Infer}
	if _, ok := evaluator(t, random).Fold(m, n, in); ok {
		t.Error("a random operator is folded")
	}
}
