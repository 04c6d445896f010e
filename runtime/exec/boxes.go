package exec

import (
	"context"
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/program"
)

// boxes is what a session keeps for inputs and outputs that are no tensors.
type boxes struct {
	types []program.Type // by input
	in    []tensor.Value
}

// newBoxes is nil where all inputs and outputs are tensors.
func newBoxes(e *program.Entry) (*boxes, error) {
	b := &boxes{types: make([]program.Type, len(e.Inputs)), in: make([]tensor.Value, len(e.Inputs))}
	some := false
	for i := range e.Inputs {
		if e.Inputs[i].Elem != dtype.Invalid {
			continue
		}
		some = true
		if len(e.Inputs[i].Text) != 1 {
			return nil, fmt.Errorf("input %q has no type", e.Inputs[i].Name)
		}
		var err error
		if b.types[i], err = program.ParseType(e.Inputs[i].Text[0]); err != nil {
			return nil, fmt.Errorf("input %q: %w", e.Inputs[i].Name, err)
		}
	}
	for i := range e.Outputs {
		some = some || e.Outputs[i].Elem == dtype.Invalid
	}
	if !some {
		return nil, nil
	}
	return b, nil
}

// RunValues is Run for inputs and outputs of any kind, without memory of the caller's. What an output that is no
// tensor holds is never written again; it may share tensors with an input that is none.
func (s *Session) RunValues(ctx context.Context, inputs []tensor.Value) ([]tensor.Value, error) {
	e := s.entry
	if len(inputs) != len(e.Inputs) {
		return nil, fmt.Errorf("%w: want %d inputs, got %d", ErrBinding, len(e.Inputs), len(inputs))
	}
	list := make([]*tensor.Tensor, len(inputs))
	for i, v := range inputs {
		if e.Inputs[i].Elem == dtype.Invalid {
			if err := s.boxes.types[i].Fits(v); err != nil {
				return nil, fmt.Errorf("%w: input %q: want %s: %w", ErrBinding, e.Inputs[i].Name, e.Inputs[i].Text[0], err)
			}
			s.boxes.in[i] = v
			continue
		}
		if v.Kind != tensor.KindTensor {
			return nil, fmt.Errorf("%w: input %q: want a tensor, got %v", ErrBinding, e.Inputs[i].Name, v)
		}
		list[i] = v.Tensor
	}
	res, err := s.run(ctx, list, nil)
	if err != nil {
		return nil, err
	}
	out := make([]tensor.Value, len(res))
	for i, t := range res {
		if out[i] = tensor.ValueOf(t); e.Outputs[i].Elem == dtype.Invalid {
			out[i] = s.top.bufs[s.top.b.Results[i]].val
		}
	}
	return out, nil
}

// keepBox stores a value that a step has made, and counts it in place of the one before.
func (s *Session) keepBox(st *storage, v tensor.Value) error {
	n := v.Size()
	if limit := s.m.opts.MaxMemory; n > 0 && s.held-int64(st.bytes)+n > limit {
		return fmt.Errorf("%w: needs %d bytes beside %d that are held, and the limit is %d", ErrMemory, n, s.held-int64(st.bytes), limit)
	}
	s.held += n - int64(st.bytes)
	st.val, st.bytes = v, int(n)
	return nil
}

// copyStrings copies result i to the caller's tensor.
func (s *Session) copyStrings(i int, t *tensor.Tensor) error {
	v := s.top.bufs[s.top.b.Results[i]].val.Tensor
	if v == nil || !slices.Equal(v.Shape, t.Shape) {
		return fmt.Errorf("%w: output %q: its shape is another than %v", ErrBinding, s.entry.Outputs[i].Name, t.Shape)
	}
	copy(t.Str, v.Str)
	return nil
}
