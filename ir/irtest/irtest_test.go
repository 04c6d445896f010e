package irtest

import (
	"errors"
	"math"
	"math/rand"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
)

func TestGolden(t *testing.T) {
	checked := 0
	Golden(t, "testdata/*.txt", GoldenOptions{
		Pass: func(name string) func(*ir.Module) error {
			switch name {
			case "rename":
				return func(m *ir.Module) error {
					m.Main().Body.Walk(func(n *ir.Node) {
						if n.Op == "old" {
							n.Op = "new"
						}
					})
					return nil
				}
			case "refuse":
				return func(*ir.Module) error { return errors.New("refused") }
			}
			return nil
		},
		Check: func(before, after *ir.Module) error {
			checked++
			if (ir.Equal(before, after) == nil) != (len(before.Consts) > 0) {
				return errors.New("the module before the pass was not kept apart")
			}
			return nil
		},
	})
	if checked != 2 {
		t.Errorf("%d modules were checked, want 2", checked)
	}
}

func TestSplit(t *testing.T) {
	for _, bad := range []string{"", "// nothing\n", "pass a\nmodule m\n", "pass a\nmodule m\npass b\nmodule n\n----\n"} {
		if _, _, err := split(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	head, l, err := split("head\npass a,b\nin\n----\nout\npass c\n----\n")
	if err != nil || head != "head\n" || len(l) != 2 || l[0].pass != "a,b" || l[0].in != "in\n" || l[0].out != "out\n" || l[1].line != 6 {
		t.Errorf("got %q, %+v, %v", head, l, err)
	}
}

func TestCompare(t *testing.T) {
	f := func(v ...float32) *tensor.Tensor { return tensor.Of(dtype.F32, v, len(v)) }
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		got, want *tensor.Tensor
		abs, rel  float64
		at        int
	}{
		{f(1, 2), f(1, 2), 0, 0, -1},
		{f(1, 2.5), f(1, 2), 0.5, 0.25, 1},
		{f(nan, inf), f(nan, inf), 0, 0, -1},
		{f(1, nan), f(1, 2), math.Inf(1), math.Inf(1), 1},
		{f(1, -inf), f(1, inf), math.Inf(1), math.Inf(1), 1},
		{f(0.5, 0), f(0, 0), 0.5, math.Inf(1), 0},
		{tensor.Of(dtype.I8, []int8{-3, 4}, 2), tensor.Of(dtype.I8, []int8{-3, 2}, 2), 2, 2.0 / 3, 1},
		{&tensor.Tensor{Elem: dtype.String, Shape: []int{2}, Str: []string{"a", "b"}}, &tensor.Tensor{Elem: dtype.String, Shape: []int{2}, Str: []string{"a", "c"}}, math.Inf(1), math.Inf(1), 1},
	} {
		d, err := Compare(c.got, c.want)
		if err != nil || d.MaxAbs != c.abs || math.Abs(d.MaxRel-c.rel) > 1e-12 || d.At != c.at {
			if !(math.IsInf(d.MaxRel, 1) && math.IsInf(c.rel, 1) && d.At == c.at) {
				t.Errorf("%v and %v: got %+v, %v", c.got, c.want, d, err)
			}
		}
	}
	if _, err := Compare(f(1), f(1, 2)); err == nil {
		t.Error("shapes that differ are accepted")
	}
	if err := Close(f(1, 2.5), f(1, 2), 0.25); err != nil {
		t.Error(err)
	}
	if err := Close(f(1, 2.5), f(1, 2), 0.24); err == nil || !strings.Contains(err.Error(), "element 1 of f32[2]: got 2.5, want 2") {
		t.Errorf("got %v", err)
	}
}

func TestFill(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, e := range dtype.All() {
		x := Random(r, e, -3, 300, 50)
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		if !e.IsInt() {
			continue
		}
		lo, hi := e.IntRange()
		if e == dtype.U64 {
			hi = math.MaxInt64
		}
		for i := 0; i < x.Len(); i++ {
			if v := x.Int(i); v < max(lo, -3) || v > min(hi, 300) {
				t.Errorf("%v: %d", e, v)
			}
		}
	}
}

type foldless struct{ *op.Table }

func (foldless) Fold(*ir.Module, *ir.Node, []*tensor.Tensor) ([]*tensor.Tensor, bool) {
	return nil, false
}

// The same seed gives the same text, and different seeds different ones.
func TestGraph(t *testing.T) {
	tb, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	make := func(seed int64, opts GraphOptions) string {
		m, err := Graph(rand.New(rand.NewSource(seed)), foldless{tb}, opts)
		if err != nil {
			t.Fatal(err)
		}
		return m.String()
	}
	for seed := int64(0); seed < 20; seed++ {
		opts := GraphOptions{Constant: seed%2 == 0, Outputs: int(seed % 5)}
		if first := make(seed, opts); first != make(seed, opts) {
			t.Fatalf("seed %d gives two modules", seed)
		}
		if make(seed, opts) == make(seed+100, opts) {
			t.Fatalf("seeds %d and %d give one module", seed, seed+100)
		}
	}
}
