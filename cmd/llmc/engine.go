package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/std"
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
	params []int // positions in graph.Inputs of the parameters
	// fixed is why the model is made ready for each data set anew: sizes must be known.
	fixed error
	src   *driver.Source // of eval
	model *exec.Model    // of compiled
	sess  *exec.Session
}

// open makes the model ready, for all sizes if it can be. The first data set decides which initializers are inputs.
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
	err := c.ready(ctx, driver.OpenOptions{})
	if err == nil || ctx.Err() != nil || !needsSizes(err) {
		return c, err
	}
	in, inErr := c.inputs(first)
	if inErr != nil {
		return nil, err
	}
	c.fixed = err
	return c, c.ready(ctx, driver.OpenOptions{Shapes: c.shapes(in)})
}

// needsSizes reports whether err may vanish where all sizes are known.
func needsSizes(err error) bool { return driver.IsUnsupported(err) || errors.Is(err, ir.ErrShape) }

// ready imports and, unless it is to be evaluated, compiles the model.
func (c *caseModel) ready(ctx context.Context, open driver.OpenOptions) error {
	c.close()
	src, err := driver.OpenModel(c.pb, c.o.External, "model.onnx", open)
	if err != nil {
		return err
	}
	if c.e.name == "eval" {
		c.src = src
		return nil
	}
	res, err := driver.Compile(ctx, src, driver.Options{})
	if err != nil {
		return err
	}
	c.model, err = exec.Load(res.Program, exec.Options{Workers: c.e.threads, Tier: c.e.tier, MaxMemory: c.e.memory, Host: std.All()})
	if err != nil {
		return err
	}
	c.sess, err = c.model.NewSession("")
	return err
}

func (c *caseModel) close() {
	if c.model != nil {
		c.model.Close()
		c.model, c.sess = nil, nil
	}
}

// inputs are the values of the parameters.
func (c *caseModel) inputs(set *testcase.Set) ([]tensor.Value, error) {
	in := make([]tensor.Value, len(c.params))
	for k, i := range c.params {
		if i >= len(set.Inputs) {
			return nil, fmt.Errorf("input %q: the data set has no value", c.pb.Graph.Inputs[i].Name)
		}
		in[k] = set.Inputs[i]
	}
	return in, nil
}

func (c *caseModel) shapes(in []tensor.Value) map[string][]int {
	m := map[string][]int{}
	for k, v := range in {
		if shape, ok := sharedShape(v); ok {
			m[c.pb.Graph.Inputs[c.params[k]].Name] = shape
		}
	}
	return m
}

// sharedShape is the shape of all tensors that a value holds, with -1 where they differ; false where their ranks do.
func sharedShape(v tensor.Value) (shape []int, ok bool) {
	if v.Kind == tensor.KindTensor {
		if v.Tensor == nil {
			return nil, false
		}
		return append([]int{}, v.Tensor.Shape...), true
	}
	for i, e := range v.List {
		s, ok := sharedShape(e)
		if !ok || i > 0 && len(s) != len(shape) {
			return nil, false
		}
		if i == 0 {
			shape = s
		}
		for k := range s {
			if s[k] != shape[k] {
				shape[k] = -1
			}
		}
	}
	return shape, len(v.List) > 0
}

// run computes one data set, of which there may be several.
func (c *caseModel) run(ctx context.Context, set *testcase.Set, first bool) ([]tensor.Value, error) {
	in, err := c.inputs(set)
	if err != nil {
		return nil, err
	}
	if c.fixed != nil && !first {
		if err := c.ready(ctx, driver.OpenOptions{Shapes: c.shapes(in)}); err != nil {
			return nil, err
		}
	}
	if c.src != nil {
		return c.evaluate(ctx, in)
	}
	return c.sess.RunValues(ctx, in)
}

func (c *caseModel) evaluate(ctx context.Context, in []tensor.Value) ([]tensor.Value, error) {
	var opts eval.Options
	if c.e.memory > 0 {
		opts.Budget = &host.Budget{Left: c.e.memory}
	}
	return c.src.Sem.Eval(ctx, c.src.Module, c.src.Module.Main(), in, opts)
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
