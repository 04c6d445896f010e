package irtest_test

import (
	"math/rand"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/verify"
)

// Mixed modules are valid, print to text that parses back to them, and are the same for the same seed; together they
// use every operator that they are meant to.
func TestMixed(t *testing.T) {
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	sem := eval.New(table)
	uses := map[string]int{}
	for seed := range int64(300) {
		make := func() *ir.Module {
			m, err := irtest.Mixed(rand.New(rand.NewSource(seed)), sem, irtest.MixedOptions{Nodes: 24, Symbols: int(seed % 3), Depth: 2})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := make()
		if err := verify.Module(m, sem); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, m)
		}
		text := m.String()
		if again := make().String(); again != text {
			t.Fatalf("seed %d: another module", seed)
		}
		back, err := irtest.Load(text, sem)
		if err == nil {
			err = ir.Equal(m, back)
		}
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		m.Main().Body.Walk(func(n *ir.Node) { uses[n.Op]++ })
	}
	for _, op := range []string{"add", "argmax", "attention", "average_pool", "batch_norm", "cast", "clip", "concat", "conv", "conv_transpose", "cumsum", "dequantize_linear", "div", "expand", "gather", "gather_elements", "gru", "if", "instance_norm", "layer_norm",
		"less", "log_softmax", "loop", "lstm", "matmul", "max_pool", "mod", "nonzero", "one_hot", "pad", "pow", "reduce_mean", "reduce_prod", "reduce_sum", "reshape", "resize", "rms_norm", "rnn", "scatter_elements", "slice", "softmax", "split", "tile", "topk", "transpose", "trilu", "where", "xor"} {
		if uses[op] == 0 {
			t.Errorf("no module has %s", op)
		}
	}
	t.Log(uses)
}

// A module is shrunk to the node for which the predicate holds.
func TestShrink(t *testing.T) {
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	sem := eval.New(table)
	for seed := range int64(40) {
		m, err := irtest.Mixed(rand.New(rand.NewSource(seed)), sem, irtest.MixedOptions{Nodes: 24, Symbols: 2, Depth: 1})
		if err != nil {
			t.Fatal(err)
		}
		holds := func(text string) bool {
			m, err := irtest.Load(text, sem)
			found := false
			if err == nil {
				m.Main().Body.Walk(func(n *ir.Node) { found = found || n.Op == "matmul" })
			}
			return found
		}
		if !holds(m.String()) {
			continue
		}
		small := irtest.Shrink(m.String(), sem, sem, 2000, holds)
		got, err := irtest.Load(small, sem)
		if err != nil || !holds(small) {
			t.Fatalf("seed %d: %v\n%s", seed, err, small)
		}
		count := 0
		got.Main().Body.Walk(func(n *ir.Node) {
			if n.Op != ir.OpConst {
				count++
			}
		})
		if count > 6 { // a branch around it and what makes its result
			t.Errorf("seed %d: %d nodes are left\n%s", seed, count, small)
		}
	}
}
