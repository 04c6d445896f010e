// Package passtest is what tests of passes share: a context over all operators and a target that has every anchor, golden
// files whose inputs and outputs are also evaluated and compared, and sampling of inputs.
package passtest

import (
	"context"
	"fmt"
	"math/rand"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/verify"
	"github.com/llmc-go/llmc/passes/pass"
)

// Target has kernels for the anchors that CPUs have, in fp32, and element by element for all that tile programs
// hold.
func Target() *op.Target {
	f32 := op.Set(dtype.F32)
	plain := op.Number | op.Bool
	return &op.Target{Name: "test", Anchors: []op.AnchorElems{
		{Anchor: anchor.Map, In: plain, Out: plain}, {Anchor: anchor.Rows, In: plain, Out: plain},
		{Anchor: anchor.Contract, In: f32, Out: f32}, {Anchor: anchor.Window, In: f32, Out: f32},
		{Anchor: anchor.Attend, In: f32, Out: f32},
	}}
}

// Context is a context over all operators.
func Context(t testing.TB, o pass.Options) (*pass.Context, *eval.Evaluator) {
	t.Helper()
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	e := eval.New(table)
	return &pass.Context{Sem: e, Table: table, Target: Target(), Options: o}, e
}

// Runner verifies as the compiler does.
func Runner() *pass.Runner {
	return &pass.Runner{Verify: func(m *ir.Module, sem ir.Semantics) error { return verify.Module(m, sem) }}
}

// Golden runs golden files: each block names one of the passes. Every output is evaluated on random inputs, at several
// extents, and compared with its input.
func Golden(t *testing.T, glob string, o pass.Options, list ...*pass.Pass) {
	t.Helper()
	c, e := Context(t, o)
	irtest.Golden(t, glob, irtest.GoldenOptions{
		Semantics: c.Sem,
		Pass: func(name string) func(*ir.Module) error {
			for _, p := range list {
				if p.Name == name {
					return func(m *ir.Module) error {
						r := Runner()
						_, err := r.Run(c, m, []*pass.Pass{p}, r.Prove(c, m))
						return err
					}
				}
			}
			return nil
		},
		Check: func(before, after *ir.Module) error { return Same(e, before, after, 1e-5, nil) },
	})
}

// Same evaluates two modules with one signature on random inputs and compares results. Symbols have the values given, or
// several small ones.
func Same(e *eval.Evaluator, a, b *ir.Module, rel float64, given map[string]int64) error {
	tried := 0
	for seed := int64(1); seed <= 3; seed++ {
		in, ok := Inputs(a, seed, given)
		if !ok {
			continue
		}
		want, err := e.Eval(context.Background(), a, a.Main(), in, eval.Options{})
		if err != nil {
			continue // these extents break a guard
		}
		tried++
		got, err := e.Eval(context.Background(), b, b.Main(), in, eval.Options{})
		if err != nil {
			return fmt.Errorf("evaluating the output: %w", err)
		}
		for i := range want {
			if want[i].Tensor == nil {
				continue
			}
			if err := irtest.Close(got[i].Tensor, want[i].Tensor, rel); err != nil {
				return fmt.Errorf("result %d: %w", i, err)
			}
		}
	}
	if tried == 0 {
		_, err := e.Eval(context.Background(), a, a.Main(), must(Inputs(a, 1, given)), eval.Options{})
		return fmt.Errorf("no extents at which the input evaluates: %w", err)
	}
	return nil
}

func must(l []eval.Value, _ bool) []eval.Value { return l }

// Inputs draws inputs of an entry: extents as given or from 1 up, integers from 0 to 1, floats from [-1, 1].
func Inputs(m *ir.Module, seed int64, given map[string]int64) ([]eval.Value, bool) {
	r := rand.New(rand.NewSource(seed))
	bound := map[string]int64{}
	for name, v := range given {
		bound[name] = v
	}
	sym := func(name string) (int64, bool) {
		v, ok := bound[name]
		if !ok {
			in := m.Dims.Info(name)
			step := max(in.Step, 1)
			v = max(in.Lo, 1) + seed - 1
			v = (v + step - 1) / step * step
			if v > in.Hi {
				v = in.Hi
			}
			bound[name] = v
		}
		return v, true
	}
	var in []eval.Value
	for _, p := range m.Main().Body.Params {
		if p.Type.Kind != ir.Tensor {
			return nil, false
		}
		shape, ok := extents(p.Type.Shape, sym)
		if !ok {
			return nil, false
		}
		lo, hi := -1.0, 1.0
		if !p.Type.Elem.IsFloat() {
			lo, hi = 0, 1.99
		}
		in = append(in, eval.Of(irtest.Random(r, p.Type.Elem, lo, hi, shape...)))
	}
	return in, true
}

func extents(s []dim.Expr, sym func(string) (int64, bool)) ([]int, bool) {
	out := make([]int, len(s))
	for i, e := range s {
		v, err := e.Eval(sym)
		if err != nil || v < 0 || v > 1<<20 {
			return nil, false
		}
		out[i] = int(v)
	}
	return out, true
}

// Load reads a module's text; constants without values are drawn by their index.
func Load(t testing.TB, c *pass.Context, text string) *ir.Module {
	t.Helper()
	m, err := ir.Parse(text, ir.ParseOptions{Consts: func(i int, name string, e dtype.Type, shape []int) (*tensor.Tensor, error) {
		return irtest.Weights(i, name, e, shape)
	}, Semantics: c.Sem})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
