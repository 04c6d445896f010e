package onnxgo

import (
	"fmt"
	"math"
	"slices"

	onnx "github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gorgonia.org/tensor"
)

// Versions of the operator set, in the order in which they are tried. The project's own tests are of version 10.
var Versions = []int64{10, 11, 13, 17, 21, 9, 8, 7}

// Graph receives a model from onnx.NewModel and runs it. It is not safe for use by several goroutines at once.
type Graph struct {
	*simple.WeightedDirectedGraph       // edges lead from a result to the operands of its operator
	Opset                         int64 // version of ai.onnx; 0 tries Versions
	Threads                       int   // processors that one run may use; 0 is GOMAXPROCS

	edges   map[int64][]edge // since the last operation: what a node's operator reads
	ops     []operation
	nodes   []*Node // in the order in which they were made
	decoded bool    // the model has operations: what is set now are inputs
	runs    *cache
}

type edge struct {
	to     int64
	weight float64
}

type operation struct {
	onnx.Operation
	in, out []*Node // an absent one has no name
}

// Node is a value of the graph.
type Node struct {
	g        *Graph
	id       int64
	name     string
	t        tensor.Tensor
	declared tensor.Dtype // element type that the model gives the value
	producer bool         // an operator makes it
	read     bool         // an operator reads it
	changes  bool         // it was set after decoding: an input
	asked    bool         // read by an operator, and asked for
}

// NewGraph returns an empty graph.
func NewGraph() *Graph {
	return &Graph{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(math.MaxFloat64, -1), edges: map[int64][]edge{}, runs: newCache()}
}

// NewNode makes a node with an id that is free; AddNode adds it.
func (g *Graph) NewNode() graph.Node {
	return &Node{g: g, id: g.WeightedDirectedGraph.NewNode().ID()}
}

// AddNode adds a node that NewNode made.
func (g *Graph) AddNode(n graph.Node) {
	g.WeightedDirectedGraph.AddNode(n)
	if n, ok := n.(*Node); ok {
		g.nodes = append(g.nodes, n)
	}
}

// SetWeightedEdge says that operand number e.Weight() of the operator that makes e.From() is e.To(). An operator may read
// one value twice, which the embedded graph cannot hold.
func (g *Graph) SetWeightedEdge(e graph.WeightedEdge) {
	from, to := e.From().ID(), e.To().ID()
	g.edges[from] = append(g.edges[from], edge{to, e.Weight()})
	if from != to {
		g.WeightedDirectedGraph.SetWeightedEdge(e)
	}
}

// ApplyOperation makes an operator of the edges that were set since the one before.
func (g *Graph) ApplyOperation(o onnx.Operation, out ...graph.Node) error {
	g.decoded = true
	if len(out) == 0 {
		return fmt.Errorf("onnxgo: operator %s has no result", o.Name)
	}
	op := operation{Operation: o}
	for _, v := range out {
		n, ok := v.(*Node)
		if !ok {
			return fmt.Errorf("onnxgo: operator %s: a node of another graph", o.Name)
		}
		n.producer = n.name != ""
		op.out = append(op.out, n)
	}
	var list []edge
	for _, n := range op.out { // the edges of a result without a name would be those of all such results
		if l := g.edges[n.id]; n.name != "" && list == nil {
			list = l
		}
	}
	slices.SortStableFunc(list, func(a, b edge) int { return int(a.weight) - int(b.weight) })
	for _, e := range list {
		n := g.Node(e.to).(*Node)
		n.read = true
		op.in = append(op.in, n)
	}
	clear(g.edges)
	g.ops = append(g.ops, op)
	g.runs.drop()
	return nil
}

// Close ends the threads of compiled programs. It may be left out: an unreachable graph is closed.
func (g *Graph) Close() { g.runs.drop() }

// ID is the node's number.
func (n *Node) ID() int64 { return n.id }

// SetName gives a name: that of the model's value.
func (n *Node) SetName(s string) { n.name = s }

// GetName is the name of the model's value.
func (n *Node) GetName() string { return n.name }

// SetTensor gives the node a value: a weight while the model is decoded, an input after. Whole float32 numbers may stand for
// integers of the type that the model declares.
func (n *Node) SetTensor(t tensor.Tensor) error {
	n.t = t
	if n.g.decoded {
		n.changes = true
	} else {
		n.declared = t.Dtype()
	}
	return nil
}

// GetTensor is the node's value: what was set, or computed by the last run. A value that operators read is computed when it is
// first asked for, and by every run after that.
func (n *Node) GetTensor() tensor.Tensor {
	if n.producer && n.read && !n.asked && n.g.runs.ran {
		n.asked = true
		if n.g.Run() != nil {
			return nil
		}
	}
	return n.t
}
