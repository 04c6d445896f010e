// Command onnxgo runs ONNX models with onnx-go and its backend over Gorgonia, for the harness of benchmarks/models.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	onnx "github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	gorgonia "gorgonia.org/tensor"

	"github.com/llmc-go/llmc/benchmarks/purego/worker"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func main() {
	worker.Main("github.com/owulveryck/onnx-go", func() worker.Engine { return &engine{} })
}

// engine is a model over Gorgonia's tape machine, which has one thread.
type engine struct {
	graph  *gorgonnx.Graph
	model  *onnx.Model
	inputs []*gorgonnx.Node
}

// Load reads the model; the first run builds the tape.
func (e *engine) Load(path string, _ int, inputs map[string]*tensor.Tensor) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e.graph = gorgonnx.NewGraph()
	e.model = onnx.NewModel(e.graph)
	if err := e.model.UnmarshalBinary(b); err != nil {
		return err
	}
	for _, id := range e.model.Input { // SetInput takes an input's place for its node's number, which weights among the inputs shift
		n := e.graph.Node(id).(*gorgonnx.Node)
		t, ok := inputs[n.GetName()]
		if !ok {
			return fmt.Errorf("input %q has no value", n.GetName())
		}
		e.inputs = append(e.inputs, n)
		if err := e.Input(n.GetName(), t); err != nil {
			return err
		}
	}
	return e.graph.PopulateExprgraph()
}

func (e *engine) Input(name string, t *tensor.Tensor) error {
	for _, n := range e.inputs {
		if n.GetName() != name {
			continue
		}
		v, err := fromHost(t)
		if err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		return n.SetTensor(v)
	}
	return fmt.Errorf("the model has no input %q", name)
}

func (e *engine) Run() error { return e.graph.Run() }

func (e *engine) Outputs() ([]worker.Output, error) {
	var l []worker.Output
	for _, id := range e.model.Output {
		n := e.graph.Node(id).(*gorgonnx.Node)
		v, err := toHost(n.GetTensor())
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", n.GetName(), err)
		}
		l = append(l, worker.Output{Name: n.GetName(), Value: v})
	}
	return l, nil
}

// fromHost copies a tensor into one of the engine's.
func fromHost(t *tensor.Tensor) (gorgonia.Tensor, error) {
	var backing any
	switch t.Elem {
	case dtype.F32:
		backing = slices.Clone(tensor.View[float32](t))
	case dtype.F64:
		backing = slices.Clone(tensor.View[float64](t))
	case dtype.I64:
		backing = slices.Clone(tensor.View[int64](t))
	default:
		return nil, fmt.Errorf("element type %v", t.Elem)
	}
	return gorgonia.New(gorgonia.WithShape(t.Shape...), gorgonia.WithBacking(backing)), nil
}

// toHost copies a result, which has to be float32 and in row-major order.
func toHost(v gorgonia.Tensor) (*tensor.Tensor, error) {
	if v == nil {
		return nil, errors.New("no value")
	}
	data, ok := v.Data().([]float32)
	if !ok || v.RequiresIterator() {
		return nil, fmt.Errorf("value of type %v with strides %v", v.Dtype(), v.Strides())
	}
	return tensor.Of(dtype.F32, slices.Clone(data), slices.Clone([]int(v.Shape()))...), nil
}
