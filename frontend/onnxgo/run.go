package onnxgo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	onnx "github.com/owulveryck/onnx-go"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/tensor"
)

// compiled is a program for inputs of certain types and shapes.
type compiled struct {
	model   *llmc.Model
	session *llmc.Session
	inputs  []*Node
	outputs []*Node
}

// cache holds the programs of a graph by what they were compiled for.
type cache struct {
	programs map[string]*compiled
	ran      bool
}

func newCache() *cache {
	c := &cache{programs: map[string]*compiled{}}
	runtime.SetFinalizer(c, (*cache).drop)
	return c
}

// drop closes all programs.
func (c *cache) drop() {
	for _, p := range c.programs {
		_ = p.model.Close() // nothing runs, and closing twice is no error
	}
	clear(c.programs)
}

// maxPrograms bounds how many are kept for inputs of different shapes.
const maxPrograms = 16

// Run computes the outputs from the tensors that the inputs hold.
func (g *Graph) Run() error {
	values := map[*Node]*tensor.Tensor{}
	for _, n := range g.nodes {
		if n.producer || n.t == nil {
			continue
		}
		t, err := fromGorgonia(n.t)
		if err == nil && n.declared.Type != nil && n.declared != n.t.Dtype() {
			t, err = whole(t, n.declared)
		}
		if err != nil {
			return fmt.Errorf("onnxgo: value %q: %w", n.name, err)
		}
		values[n] = t
	}
	p, err := g.program(values)
	if err != nil {
		return err
	}
	in := llmc.Tensors{}
	for _, n := range p.inputs {
		in[n.name] = values[n]
	}
	out, err := p.session.Run(context.Background(), in)
	if err != nil {
		return fmt.Errorf("onnxgo: %w", err)
	}
	for _, n := range p.outputs {
		if n.t, err = toGorgonia(out[n.name]); err != nil {
			return fmt.Errorf("onnxgo: result %q: %w", n.name, err)
		}
	}
	g.runs.ran = true
	return nil
}

// program finds or compiles the program for the values. Small integer inputs, which may be shapes, become constants where the
// graph does not compile otherwise.
func (g *Graph) program(values map[*Node]*tensor.Tensor) (*compiled, error) {
	var first error
	for _, fix := range []bool{false, true} {
		key := g.key(values, fix)
		if p := g.runs.programs[key]; p != nil {
			return p, nil
		}
		versions := Versions
		if g.Opset != 0 {
			versions = []int64{g.Opset}
		}
		for _, v := range versions {
			p, err := g.compile(values, fix, v)
			if err == nil {
				if len(g.runs.programs) >= maxPrograms {
					g.runs.drop()
				}
				g.runs.programs[key] = p
				return p, nil
			}
			if first == nil {
				first = err
			}
		}
	}
	if errors.Is(first, llmc.ErrUnsupported) {
		var names []string
		for _, o := range g.ops {
			names = append(names, o.Name)
		}
		return nil, &onnx.ErrNotImplemented{Operator: strings.Join(names, ","), Message: first.Error()}
	}
	return nil, fmt.Errorf("onnxgo: %w", first)
}

// constant tells whether a value goes into the program.
func constant(n *Node, t *tensor.Tensor, fix bool) bool {
	return !n.changes || fix && t.Elem.IsInt() && t.Len() <= 64
}

// key says what a program depends on.
func (g *Graph) key(values map[*Node]*tensor.Tensor, fix bool) string {
	var b strings.Builder
	fmt.Fprint(&b, g.Opset, fix)
	for _, n := range g.nodes {
		t, ok := values[n]
		switch {
		case n.asked:
			fmt.Fprintf(&b, ";%d?", n.id)
		case !ok || !n.changes:
		case constant(n, t, fix):
			fmt.Fprintf(&b, ";%d=%v%v%x", n.id, t.Elem, t.Shape, t.Data)
		default:
			fmt.Fprintf(&b, ";%d:%v%v", n.id, t.Elem, t.Shape)
		}
	}
	return b.String()
}

// compile makes an ONNX model of the graph, in which all inputs have the shapes of their tensors.
func (g *Graph) compile(values map[*Node]*tensor.Tensor, fix bool, version int64) (*compiled, error) {
	p := &compiled{}
	pb := &onnxpb.Model{IRVersion: 8, Graph: &onnxpb.Graph{Name: "onnx-go"}, Opsets: []onnxpb.Opset{{Version: version}}}
	for _, n := range g.nodes {
		t, ok := values[n]
		switch {
		case n.producer && (!n.read || n.asked):
			p.outputs = append(p.outputs, n)
			pb.Graph.Outputs = append(pb.Graph.Outputs, onnxpb.ValueInfo{Name: n.name})
		case !ok || !n.read:
		case constant(n, t, fix):
			pb.Graph.Inits = append(pb.Graph.Inits, initializer(n.name, t))
		default:
			p.inputs = append(p.inputs, n)
			ty := &onnxpb.TypeProto{Kind: onnxpb.KindTensor, Elem: onnxpb.DataTypeOf(t.Elem), HasShape: true}
			for _, d := range t.Shape {
				ty.Dims = append(ty.Dims, onnxpb.Dim{Value: int64(d), Known: true})
			}
			pb.Graph.Inputs = append(pb.Graph.Inputs, onnxpb.ValueInfo{Name: n.name, Type: ty})
		}
	}
	for i, o := range g.ops {
		node, err := g.node(i, o)
		if err != nil {
			return nil, err
		}
		pb.Graph.Nodes = append(pb.Graph.Nodes, node)
	}
	src, err := driver.OpenModel(pb, nil, "onnx-go", driver.OpenOptions{})
	if err != nil {
		return nil, err
	}
	res, err := driver.Compile(context.Background(), src, driver.Options{})
	if err != nil {
		return nil, err
	}
	if p.model, err = llmc.Load(res.Program, nil, llmc.Options{Threads: g.Threads}); err != nil {
		return nil, err
	}
	if p.session, err = p.model.NewSession(); err != nil {
		_ = p.model.Close()
		return nil, err
	}
	return p, nil
}

// node makes an operator of the model. The project gives an operator without operands one that is no value.
func (g *Graph) node(i int, o operation) (onnxpb.Node, error) {
	n := onnxpb.Node{Name: fmt.Sprintf("%s_%d", o.Name, i), OpType: o.Name}
	for _, v := range o.in {
		if v.name != "" && !v.producer && v.t == nil {
			if len(o.in) == 1 && strings.HasSuffix(v.name, "/input") {
				break
			}
			return n, fmt.Errorf("operator %s: value %q is not set", o.Name, v.name)
		}
		n.Inputs = append(n.Inputs, v.name)
	}
	for _, v := range o.out {
		n.Outputs = append(n.Outputs, v.name)
	}
	for name, v := range o.Attributes {
		a, err := attribute(name, v)
		if err != nil {
			return n, fmt.Errorf("operator %s: attribute %s: %w", o.Name, name, err)
		}
		n.Attrs = append(n.Attrs, a)
	}
	return n, nil
}
