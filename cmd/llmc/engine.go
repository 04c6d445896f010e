package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/exec"
)

// engine is a way to run the models of test cases.
type engine struct {
	name    string
	threads int
	tier    string
	memory  int64
}

// caseModel is a test case's model, ready for its data sets.
type caseModel struct {
	e      *engine
	o      *testcase.Open
	pb     *onnxpb.Model
	src    *driver.Source // of eval
	model  *exec.Model    // of compiled: over symbols, or nil where only actual extents can be compiled
	sess   *exec.Session
	params []int // positions in graph.Inputs of the parameters
}

// open refuses the model or makes it ready. The first data set decides which initializers are inputs.
func (e *engine) open(ctx context.Context, o *testcase.Open, first *testcase.Set) (*caseModel, error) {
	c := &caseModel{e: e, o: o, pb: overridden(o.Model, o.External, first)}
	inits := map[string]bool{}
	for i := range c.pb.Graph.Inits {
		inits[c.pb.Graph.Inits[i].Name] = true
	}
	for i := range c.pb.Graph.SparseInits {
		inits[c.pb.Graph.SparseInits[i].Values.Name] = true
	}
	for i := range c.pb.Graph.Inputs {
		if !inits[c.pb.Graph.Inputs[i].Name] {
			c.params = append(c.params, i)
		}
	}
	src, err := driver.OpenModel(c.pb, o.External, "model.onnx")
	if err != nil {
		return nil, err
	}
	if e.name == "eval" {
		c.src = src
		return c, nil
	}
	names := symbols(src.Module)
	model, err := e.compile(ctx, src, nil)
	if err != nil {
		if len(names) == 0 || ctx.Err() != nil || !driver.IsUnsupported(err) {
			return nil, err
		}
		// What needs sizes may still compile for the actual ones: see run.
		return c, nil
	}
	c.model = model
	return c, nil
}

func (e *engine) compile(ctx context.Context, src *driver.Source, dims map[string]int64) (*exec.Model, error) {
	res, err := driver.Compile(ctx, src, driver.Options{Dims: dims})
	if err != nil {
		return nil, err
	}
	return exec.Load(res.Program, exec.Options{Workers: e.threads, Tier: e.tier, MaxMemory: e.memory, Host: driver.HostFunctions(src.Table)})
}

func (c *caseModel) close() {
	if c.model != nil {
		c.model.Close()
	}
}

// run computes one data set.
func (c *caseModel) run(ctx context.Context, set *testcase.Set) ([]onnxpb.Value, error) {
	in := make([]onnxpb.Value, len(c.params))
	for k, i := range c.params {
		if i >= len(set.Inputs) {
			return nil, fmt.Errorf("input %q: the data set has no value", c.pb.Graph.Inputs[i].Name)
		}
		in[k] = set.Inputs[i]
	}
	if c.src != nil {
		return c.evaluate(ctx, in)
	}
	tensors := make([]*tensor.Tensor, len(in))
	for k, v := range in {
		if v.Kind != onnxpb.KindTensor {
			return nil, fmt.Errorf("input %q is a %v", c.pb.Graph.Inputs[c.params[k]].Name, v.Kind)
		}
		tensors[k] = v.Tensor
	}
	sess, err := c.session(ctx, tensors)
	if err != nil {
		return nil, err
	}
	out, err := sess.Run(ctx, tensors, nil)
	if err != nil {
		return nil, err
	}
	l := make([]onnxpb.Value, len(out))
	for i, t := range out {
		l[i] = onnxpb.TensorValue(t)
	}
	return l, nil
}

func (c *caseModel) session(ctx context.Context, in []*tensor.Tensor) (*exec.Session, error) {
	if c.sess != nil {
		return c.sess, nil
	}
	if c.model != nil {
		s, err := c.model.NewSession("")
		c.sess = s
		return s, err
	}
	src, err := driver.OpenModel(c.pb, c.o.External, "model.onnx")
	if err != nil {
		return nil, err
	}
	dims, err := extents(src.Module.Main(), in)
	if err != nil {
		return nil, err
	}
	m, err := c.e.compile(ctx, src, dims)
	if err != nil {
		return nil, err
	}
	return m.NewSession("")
}

func (c *caseModel) evaluate(ctx context.Context, in []onnxpb.Value) ([]onnxpb.Value, error) {
	vals := make([]eval.Value, len(in))
	for i := range in {
		vals[i] = evalValue(in[i])
	}
	var opts eval.Options
	if c.e.memory > 0 {
		opts.Budget = &host.Budget{Left: c.e.memory}
	}
	out, err := c.src.Sem.Eval(ctx, c.src.Module, c.src.Module.Main(), vals, opts)
	if err != nil {
		return nil, err
	}
	l := make([]onnxpb.Value, len(out))
	for i := range out {
		l[i] = fileValue(out[i])
	}
	return l, nil
}

func evalValue(v onnxpb.Value) eval.Value {
	x := eval.Value{Tensor: v.Tensor}
	switch v.Kind {
	case onnxpb.KindSequence:
		x.Kind = ir.Sequence
	case onnxpb.KindOptional:
		x.Kind = ir.Optional
	case onnxpb.KindMap:
		x.Kind = ir.Map
	}
	for _, e := range v.Elems {
		x.List = append(x.List, evalValue(e))
	}
	return x
}

func fileValue(v eval.Value) onnxpb.Value {
	x := onnxpb.Value{Kind: onnxpb.KindTensor, Tensor: v.Tensor}
	switch v.Kind {
	case ir.Sequence:
		x.Kind = onnxpb.KindSequence
	case ir.Optional:
		x.Kind = onnxpb.KindOptional
	case ir.Map:
		x.Kind = onnxpb.KindMap
	}
	for _, e := range v.List {
		x.Elems = append(x.Elems, fileValue(e))
	}
	return x
}

// overridden is the model without the initializers that a data set gives other values for: those are inputs with
// a default.
func overridden(m *onnxpb.Model, ext onnxpb.ExternalResolver, set *testcase.Set) *onnxpb.Model {
	drop := map[string]bool{}
	for i := range set.Inputs {
		given := set.Inputs[i].Tensor
		for k := range m.Graph.Inits {
			t := &m.Graph.Inits[k]
			if given == nil || t.Name != m.Graph.Inputs[i].Name {
				continue
			}
			v, err := t.Value(ext)
			if err != nil || v.Elem != given.Elem || !bytes.Equal(v.Data, given.Data) {
				drop[t.Name] = true
			}
		}
	}
	if len(drop) == 0 {
		return m
	}
	c, g := *m, *m.Graph
	c.Graph, g.Inits = &g, nil
	for _, t := range m.Graph.Inits {
		if !drop[t.Name] {
			g.Inits = append(g.Inits, t)
		}
	}
	return &c
}

// symbols lists the symbols of a module whose values the inputs give.
func symbols(m *ir.Module) []string {
	var l []string
	for _, n := range m.Dims.Names() {
		if !m.Dims.Info(n).Late {
			l = append(l, n)
		}
	}
	return l
}

// extents finds the value of every symbol that stands alone as an extent of an input.
func extents(f *ir.Func, in []*tensor.Tensor) (map[string]int64, error) {
	dims := map[string]int64{}
	for i, p := range f.Body.Params {
		if i >= len(in) || in[i] == nil {
			continue
		}
		if len(p.Type.Shape) != len(in[i].Shape) {
			return nil, fmt.Errorf("input %q: want rank %d, got shape %v", f.Inputs[i], len(p.Type.Shape), in[i].Shape)
		}
		for a, e := range p.Type.Shape {
			name, ok := e.Symbol()
			if !ok {
				continue
			}
			v := int64(in[i].Shape[a])
			if old, ok := dims[name]; ok && old != v {
				return nil, fmt.Errorf("input %q axis %d: want %s = %d, got %d", f.Inputs[i], a, name, old, v)
			}
			dims[name] = v
		}
	}
	return dims, nil
}
