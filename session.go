package llmc

import (
	"context"
	"fmt"
	"time"

	"github.com/llmc-go/llmc/runtime/exec"
)

// Session runs a model, one run at a time, in memory of its own. It is not safe for use by several goroutines at once.
type Session struct {
	m    *Model
	exec *exec.Session
	in   []*Tensor
	out  Tensors
}

// NewSession makes a session. It needs no closing.
func (m *Model) NewSession() (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	return m.newSession()
}

func (m *Model) newSession() (*Session, error) {
	s, err := m.exec.NewSession(m.entry.Name)
	if err != nil {
		return nil, err
	}
	return &Session{m: m, exec: s, in: make([]*Tensor, len(m.entry.Inputs)), out: make(Tensors, len(m.entry.Outputs))}, nil
}

// Run computes the model's outputs. Inputs are read in place, from the caller's memory. The results, and the map,
// belong to the session, which writes over them in its next run.
func (s *Session) Run(ctx context.Context, inputs Tensors) (Tensors, error) {
	for i := range s.in {
		t, ok := inputs[s.m.entry.Inputs[i].Name]
		if !ok && s.m.state(i) {
			s.in[i] = nil
			continue
		}
		if !ok {
			return nil, fmt.Errorf("%w: input %q is missing", ErrInput, s.m.entry.Inputs[i].Name)
		}
		s.in[i] = t
	}
	if len(inputs) > len(s.in) {
		return nil, stray(s, inputs)
	}
	res, err := s.exec.Run(ctx, s.in, nil)
	if err != nil {
		return nil, err
	}
	for i, t := range res {
		if s.m.stays(i) {
			continue
		}
		s.out[s.m.entry.Outputs[i].Name] = t
	}
	return s.out, nil
}

// RunValues is Run for inputs and outputs of any kind. Tensors among the results belong to the session, as with Run;
// what the others hold is never written again, and may be shared with inputs that are no tensors.
func (s *Session) RunValues(ctx context.Context, inputs Values) (Values, error) {
	in := make([]Value, len(s.in))
	for i := range in {
		v, ok := inputs[s.m.entry.Inputs[i].Name]
		if !ok {
			return nil, fmt.Errorf("%w: input %q is missing", ErrInput, s.m.entry.Inputs[i].Name)
		}
		in[i] = v
	}
	if len(inputs) > len(in) {
		return nil, stray(s, inputs)
	}
	res, err := s.exec.RunValues(ctx, in)
	if err != nil {
		return nil, err
	}
	out := make(Values, len(res))
	for i, v := range res {
		out[s.m.entry.Outputs[i].Name] = v
	}
	return out, nil
}

// stray names the first input, in the order of names, that the model has not.
func stray[T any](s *Session, inputs map[string]T) error {
	known := map[string]bool{}
	for i := range s.m.entry.Inputs {
		known[s.m.entry.Inputs[i].Name] = true
	}
	first := ""
	for name := range inputs {
		if !known[name] && (first == "" || name < first) {
			first = name
		}
	}
	return fmt.Errorf("%w: the model has no input %q", ErrInput, first)
}

// RunInto is Run with everything in the caller's hands: inputs and outputs are in the model's order, and outputs holds
// a tensor of the right type and shape for each result, which the run fills; where it holds nil, the session's own tensor
// is put there. It allocates nothing once the session has seen the inputs' shapes, except where a model has sizes that
// depend on data.
func (s *Session) RunInto(ctx context.Context, inputs, outputs []*Tensor) error {
	if outputs == nil && len(s.m.entry.Outputs) > 0 {
		return fmt.Errorf("%w: want %d outputs, got none", ErrInput, len(s.m.entry.Outputs))
	}
	_, err := s.exec.Run(ctx, inputs, outputs)
	return err
}

// ResetStates forgets what earlier runs left in the states of a model compiled with Options.States.
func (s *Session) ResetStates() { s.exec.ResetStates() }

// StateLength is how many positions the growing states, such as a cache of keys and values, hold.
func (s *Session) StateLength() int { return s.exec.StateLength() }

// SetState makes t what the state behind an input holds: a cache that another session, or an earlier process, filled. The next run
// copies it; t must not change until then.
func (s *Session) SetState(input string, t *Tensor) error {
	i, err := s.m.stateInput(input)
	if err != nil {
		return err
	}
	return s.exec.SetState(i, t)
}

// State is a copy of what the state behind an input holds; nil before it holds anything.
func (s *Session) State(input string) (*Tensor, error) {
	i, err := s.m.stateInput(input)
	if err != nil {
		return nil, err
	}
	return s.exec.State(i)
}

// TruncateStates shortens the growing states to their first n positions, so that what follows a common beginning can be computed
// again without computing that.
func (s *Session) TruncateStates(n int) error { return s.exec.TruncateStates(n) }

func (m *Model) stateInput(name string) (int, error) {
	for i := range m.entry.Inputs {
		if m.entry.Inputs[i].Name == name && m.state(i) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: the model has no state %q", ErrInput, name)
}

// state reports whether input i is filled by the session.
func (m *Model) state(i int) bool {
	for _, st := range m.entry.States {
		if int(st.Input) == i {
			return true
		}
	}
	return false
}

// stays reports whether output i stays in the session.
func (m *Model) stays(i int) bool {
	for _, st := range m.entry.States {
		if int(st.Output) == i && st.Axis >= 0 {
			return true
		}
	}
	return false
}

// ArenaBytes is the memory that the session holds for activations.
func (s *Session) ArenaBytes() int64 { return s.exec.Memory().Total() }

// Describe calls visit for every step of the program, with extents as in the last run.
func (s *Session) Describe(visit func(exec.StepInfo)) { s.exec.Describe(visit) }

// SetTrace has f called after each step of a run with the number of the step in the program's entry; nil removes it.
func (s *Session) SetTrace(f func(step int, start time.Time, took time.Duration)) { s.exec.SetTrace(f) }
