package ml

import (
	"math"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// stump is one test with two leaves.
func stump() *Forest {
	return &Forest{Roots: []int64{0}, Nodes: []Node{{Mode: LessEqual, Feature: 1, True: 1, False: 2, MissingYes: 1}, {Mode: Leaf, True: 0, False: 1}, {Mode: Leaf, True: 1, False: 3}},
		Splits: []float64{0.5, 0, 0}, Targets: []int64{0, 0, 1}, Weights: []float64{1, 2, 4}}
}

func TestForestCheck(t *testing.T) {
	for _, c := range []struct {
		want string
		edit func(f *Forest)
	}{
		{"", func(*Forest) {}},
		{"", func(f *Forest) { f.Nodes[0].False = 1 }}, // shared leaves are no circle
		{"lead back to node 0", func(f *Forest) { f.Nodes[1] = Node{True: 0, False: 2} }},
		{"lead back to node 0", func(f *Forest) { f.Nodes[0].True = 0 }},
		{"branches to 3 and 2 of 3", func(f *Forest) { f.Nodes[0].True = 3 }},
		{"branches to -1", func(f *Forest) { f.Nodes[0].True = -1 }},
		{"root 3 of 3", func(f *Forest) { f.Roots[0] = 3 }},
		{"weights 1 to 4 of 3", func(f *Forest) { f.Nodes[2].False = 4 }},
		{"weights 1 to 0", func(f *Forest) { f.Nodes[2].False = 0 }},
		{"target 2 of 2", func(f *Forest) { f.Targets[0] = 2 }},
		{"feature -1", func(f *Forest) { f.Nodes[0].Feature = -1 }},
		{"mode 6", func(f *Forest) { f.Nodes[0].Mode = Member }},
		{"3 nodes with 2 splits", func(f *Forest) { f.Splits = f.Splits[:2] }},
	} {
		f := stump()
		c.edit(f)
		if err := f.Check(2); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// A chain of tests where every level is shared by both branches has 2^n ways and n nodes: checking is linear.
func TestForestShared(t *testing.T) {
	f := &Forest{Roots: []int64{0}}
	const n = 2000
	for i := range n {
		f.Nodes = append(f.Nodes, Node{True: int32(i + 1), False: int32(i + 1)})
	}
	f.Nodes = append(f.Nodes, Node{Mode: Leaf})
	f.Splits = make([]float64, n+1)
	if err := f.Check(1); err != nil {
		t.Error(err)
	}
}

func TestTreeEnsemble(t *testing.T) {
	x := tensor.Of(dtype.F32, []float32{9, 0.5, 9, 0.75, 9, float32(math.NaN())}, 3, 2)
	in := append([]*tensor.Tensor{x}, stump().Tensors()...)
	run := func(in []*tensor.Tensor) ([]float32, error) {
		c := host.NewCall(in, attr.List{{Name: "targets", Value: attr.OfInt(2)}, {Name: "base", Value: attr.OfFloats([]float64{0.5, 0})}}, make([]*tensor.Tensor, 1), []dtype.Type{dtype.F32}, nil)
		if err := TreeEnsemble.Run(c); err != nil {
			return nil, err
		}
		return c.Result(0).F32(), nil
	}
	got, err := run(in)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{1.5, 0, 2.5, 4, 1.5, 0} {
		if got[i] != want {
			t.Errorf("element %d: got %v, want %v", i, got[i], want)
		}
	}
	in[0] = tensor.New(dtype.F32, 2, 1)
	if _, err := run(in); err == nil || !strings.Contains(err.Error(), "feature 1 of 1") {
		t.Errorf("too few features: %v", err)
	}
}
