package onnxgo

import (
	"os"
	"testing"

	onnx "github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	gorgonia "gorgonia.org/tensor"
)

// build makes y = (x*w + x) by hand, as the project's decoder does.
func build(t *testing.T) (g *Graph, x, w, p, y *Node) {
	t.Helper()
	g = NewGraph()
	node := func(name string) *Node {
		n := g.NewNode().(*Node)
		n.SetName(name)
		g.AddNode(n)
		return n
	}
	x, w, p, y = node("x"), node("w"), node("p"), node("y")
	set(t, w, 2, 3)
	apply := func(op string, out *Node, in ...graph.Node) {
		for i, n := range in {
			g.SetWeightedEdge(g.NewWeightedEdge(out, n, float64(i)))
		}
		if err := g.ApplyOperation(onnx.Operation{Name: op}, out); err != nil {
			t.Fatal(err)
		}
	}
	apply("Mul", p, x, w)
	apply("Add", y, p, p) // one value twice
	return g, x, w, p, y
}

func set(t *testing.T, n *Node, v ...float32) {
	t.Helper()
	if err := n.SetTensor(gorgonia.New(gorgonia.WithShape(len(v)), gorgonia.WithBacking(v))); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, n *Node, v ...float32) {
	t.Helper()
	got, ok := n.GetTensor().Data().([]float32)
	if !ok || len(got) != len(v) {
		t.Fatalf("%s: got %v, want %v", n.name, n.GetTensor(), v)
	}
	for i := range v {
		if got[i] != v[i] {
			t.Fatalf("%s: got %v, want %v", n.name, got, v)
		}
	}
}

// Inputs change values, then shapes; a weight is set anew; a value inside is asked for.
func TestRunsAgain(t *testing.T) {
	g, x, w, p, y := build(t)
	defer g.Close()
	for range 2 {
		set(t, x, 1, 2)
		if err := g.Run(); err != nil {
			t.Fatal(err)
		}
		want(t, y, 4, 12)
	}
	set(t, x, 5) // broadcasts
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	want(t, y, 20, 30)
	want(t, p, 10, 15)
	set(t, w, 1, 1)
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	want(t, y, 10, 10)
	want(t, p, 5, 5)
}

// What is missing, or not supported, is an error.
func TestErrors(t *testing.T) {
	g, _, _, _, _ := build(t)
	if err := g.Run(); err == nil {
		t.Error("a graph runs without its input")
	}
	g = NewGraph()
	x, y := g.NewNode().(*Node), g.NewNode().(*Node)
	x.SetName("x")
	g.AddNode(x)
	y = g.NewNode().(*Node)
	y.SetName("y")
	g.AddNode(y)
	g.SetWeightedEdge(g.NewWeightedEdge(y, x, 0))
	if err := g.ApplyOperation(onnx.Operation{Name: "NoSuchOperator"}, y); err != nil {
		t.Fatal(err)
	}
	set(t, x, 1)
	if err := g.Run(); err == nil {
		t.Error("an operator that does not exist runs")
	} else if _, ok := err.(*onnx.ErrNotImplemented); !ok {
		t.Errorf("want ErrNotImplemented, got %v", err)
	}
}

// Elements that do not lie in row-major order are read in that order.
func TestTransposedInput(t *testing.T) {
	d := gorgonia.New(gorgonia.WithShape(2, 3), gorgonia.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	if err := d.T(); err != nil {
		t.Fatal(err)
	}
	got, err := fromGorgonia(d)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range []float32{1, 4, 2, 5, 3, 6} {
		if got.Shape[0] != 3 || got.F32()[i] != v {
			t.Fatalf("got %v%v", got.Shape, got.F32())
		}
	}
}

// A whole published model, with weights among its inputs.
func BenchmarkMNIST(b *testing.B) {
	raw, err := os.ReadFile("../../testdata/mnist-cnn/model.onnx")
	if err != nil {
		b.Fatal(err)
	}
	g := NewGraph()
	defer g.Close()
	m := onnx.NewModel(g)
	if err := m.UnmarshalBinary(raw); err != nil {
		b.Fatal(err)
	}
	in := gorgonia.New(gorgonia.WithShape(1, 1, 28, 28), gorgonia.Of(gorgonia.Float32))
	for b.Loop() {
		if err := m.SetInput(0, in); err != nil {
			b.Fatal(err)
		}
		if err := g.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
