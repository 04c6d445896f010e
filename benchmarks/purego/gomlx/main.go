// Command gomlx runs ONNX models with GoMLX and its backend in pure Go, for the harness of benchmarks/models.
package main

import (
	"bytes"
	"fmt"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/onnx-gomlx/onnx"

	"github.com/llmc-go/llmc/benchmarks/purego/worker"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func main() {
	worker.Main("github.com/gomlx/gomlx", func() worker.Engine { return &engine{} })
}

// engine is a graph that is compiled for the shapes of its inputs. Weights are variables of its context, as that project's
// own examples have them.
type engine struct {
	backend backends.Backend
	model   *onnx.Model
	exec    *context.Exec
	in      []any // tensors in the order of the model's inputs
	out     []*tensors.Tensor
}

func (e *engine) Load(path string, threads int, inputs map[string]*tensor.Tensor) error {
	var err error
	if e.backend, err = simplego.New(fmt.Sprintf("parallelism=%d", threads)); err != nil {
		return err
	}
	if e.model, err = read(path); err != nil {
		return err
	}
	weights := context.New()
	if err := e.model.VariablesToContext(weights); err != nil {
		return err
	}
	e.in = make([]any, len(e.model.InputsNames))
	for i, name := range e.model.InputsNames {
		t, ok := inputs[name]
		if !ok {
			return fmt.Errorf("input %q has no value", name)
		}
		if e.in[i], err = fromHost(t); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
	}
	e.exec, err = context.NewExec(e.backend, weights, func(ctx *context.Context, nodes []*graph.Node) []*graph.Node {
		named := map[string]*graph.Node{}
		for i, n := range nodes {
			named[e.model.InputsNames[i]] = n
		}
		return e.model.CallGraph(ctx, nodes[0].Graph(), named)
	})
	if err != nil {
		return err
	}
	return e.exec.PreCompile(e.in...)
}

// read changes what the engine does not take: it drops weights from the inputs, among which old files list them too, since
// the engine would want values of them; and it writes the padding of convolutions as numbers.
func read(path string) (*onnx.Model, error) {
	m, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, n := range m.Proto.Graph.Node {
		if n.OpType != "Conv" {
			continue
		}
		ints := map[string][]int64{}
		for _, a := range n.Attribute {
			ints[a.Name] = a.Ints
		}
		for _, a := range n.Attribute {
			if a.Name != "auto_pad" {
				continue
			}
			if pads, ok := samePads(string(a.S), ints["kernel_shape"], ints["strides"], ints["dilations"]); ok {
				a.Name, a.Type, a.S, a.Ints = "pads", 7, nil, pads // 7: INTS
			}
		}
	}
	weights := map[string]bool{}
	for _, w := range m.Proto.Graph.Initializer {
		weights[w.Name] = true
	}
	all := m.Proto.Graph.Input
	inputs := all[:0]
	for _, in := range all {
		if !weights[in.Name] {
			inputs = append(inputs, in)
		}
	}
	if len(inputs) == len(all) {
		return m, nil
	}
	m.Proto.Graph.Input = inputs
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		return nil, err
	}
	return onnx.Parse(b.Bytes())
}

// samePads are the pads, first those at the beginning of all axes, that keep a size. They depend on no size where every
// stride is 1; elsewhere there are none here.
func samePads(auto string, kernel, strides, dilations []int64) ([]int64, bool) {
	if auto != "SAME_UPPER" && auto != "SAME_LOWER" || len(kernel) == 0 {
		return nil, false
	}
	pads := make([]int64, 2*len(kernel))
	for i, k := range kernel {
		if i < len(strides) && strides[i] != 1 {
			return nil, false
		}
		total := k - 1
		if i < len(dilations) {
			total *= dilations[i]
		}
		pads[i], pads[i+len(kernel)] = total/2, total-total/2
		if auto == "SAME_LOWER" { // the odd one at the beginning
			pads[i], pads[i+len(kernel)] = pads[i+len(kernel)], pads[i]
		}
	}
	return pads, true
}

func (e *engine) Input(name string, t *tensor.Tensor) error {
	for i, n := range e.model.InputsNames {
		if n == name {
			var err error
			e.in[i], err = fromHost(t)
			return err
		}
	}
	return fmt.Errorf("the model has no input %q", name)
}

// Run gives the results of the run before back to the backend, which uses their memory again.
func (e *engine) Run() error {
	for _, t := range e.out {
		if err := t.FinalizeAll(); err != nil {
			return err
		}
	}
	var err error
	e.out, err = e.exec.Exec(e.in...)
	return err
}

func (e *engine) Outputs() ([]worker.Output, error) {
	var l []worker.Output
	for k, t := range e.out {
		elem, ok := elems[t.DType()]
		if !ok {
			return nil, fmt.Errorf("output %q: element type %v", e.model.OutputsNames[k], t.DType())
		}
		h := tensor.New(elem, t.Shape().Dimensions...)
		if err := t.ConstBytes(func(b []byte) { copy(h.Data, b) }); err != nil {
			return nil, err
		}
		l = append(l, worker.Output{Name: e.model.OutputsNames[k], Value: h})
	}
	return l, nil
}

// elems are the element types of results.
var elems = map[dtypes.DType]dtype.Type{dtypes.Float32: dtype.F32, dtypes.Float64: dtype.F64, dtypes.Int64: dtype.I64, dtypes.Int32: dtype.I32}

// fromHost copies a tensor into one of the engine's.
func fromHost(t *tensor.Tensor) (*tensors.Tensor, error) {
	switch t.Elem {
	case dtype.F32:
		return tensors.FromFlatDataAndDimensions(tensor.View[float32](t), t.Shape...), nil
	case dtype.F64:
		return tensors.FromFlatDataAndDimensions(tensor.View[float64](t), t.Shape...), nil
	case dtype.I64:
		return tensors.FromFlatDataAndDimensions(tensor.View[int64](t), t.Shape...), nil
	case dtype.I32:
		return tensors.FromFlatDataAndDimensions(tensor.View[int32](t), t.Shape...), nil
	}
	return nil, fmt.Errorf("element type %v", t.Elem)
}
