package exec

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/program"
)

// state is a donated pair: an input that the session fills from the run before, and the output that becomes it.
// A pair that grows is one storage of a capacity, which both ends see at their own extents; the program writes
// only what is new. A pair of one shape is copied from the output after each run.
type state struct {
	decl   *program.State
	mem    []byte
	shape  []int          // of the storage, at which the contents are valid
	length int            // extent along the axis
	given  *tensor.Tensor // what SetState left for the next run to take in
}

// newStates prepares the states of an entry.
func (s *Session) newStates() {
	for i := range s.entry.States {
		d := &s.entry.States[i]
		s.states = append(s.states, state{decl: d})
	}
}

// stateOf is the state that fills an input, or nil.
func (s *Session) stateOf(input int) *state {
	for i := range s.states {
		if int(s.states[i].decl.Input) == input {
			return &s.states[i]
		}
	}
	return nil
}

// ResetStates forgets what earlier runs left: the next run starts from states of length 0, or of zeros where a
// state keeps its shape.
func (s *Session) ResetStates() {
	for i := range s.states {
		s.states[i].length, s.states[i].shape, s.states[i].given = 0, nil, nil
	}
}

// SetState makes t what the state of an input holds; the next run copies it. t must not change until then.
func (s *Session) SetState(input int, t *tensor.Tensor) error {
	st := s.stateOf(input)
	if st == nil {
		return fmt.Errorf("%w: input %d is no state", ErrBinding, input)
	}
	io := &s.entry.Inputs[input]
	if t == nil || t.Elem != io.Elem || len(t.Shape) != len(io.Shape) || t.Check() != nil {
		return fmt.Errorf("%w: state %q: want %v of rank %d", ErrBinding, io.Name, io.Elem, len(io.Shape))
	}
	st.given, st.length = t, 1
	if axis := st.decl.Axis; axis >= 0 {
		st.length = t.Shape[axis]
	}
	return nil
}

// State is a copy of what the state of an input holds; nil before it holds anything.
func (s *Session) State(input int) (*tensor.Tensor, error) {
	st := s.stateOf(input)
	switch {
	case st == nil:
		return nil, fmt.Errorf("%w: input %d is no state", ErrBinding, input)
	case st.given != nil:
		return st.given.Clone(), nil
	case st.shape == nil:
		return nil, nil
	}
	shape := append([]int(nil), st.shape...)
	if axis := st.decl.Axis; axis >= 0 {
		shape[axis] = st.length
	}
	t := tensor.New(s.entry.Inputs[input].Elem, shape...)
	st.rows(t, func(held, outside []byte) { copy(outside, held) })
	return t, nil
}

// rows calls move for each contiguous part of the storage that holds elements of t, and that part of t.
func (st *state) rows(t *tensor.Tensor, move func(held, outside []byte)) {
	axis := max(int(st.decl.Axis), 0)
	inner := t.Elem.Bytes(product(t.Shape[axis:]))
	stride := t.Elem.Bytes(product(st.shape[axis:]))
	for i := range product(t.Shape[:axis]) {
		move(st.mem[i*stride:i*stride+inner], t.Data[i*inner:(i+1)*inner])
	}
}

// TruncateStates shortens the growing states to n positions: the first ones stay as they are.
func (s *Session) TruncateStates(n int) error {
	for i := range s.states {
		if st := &s.states[i]; st.decl.Axis >= 0 && (n < 0 || n > st.length || st.given != nil && n < st.length) {
			return fmt.Errorf("%w: state %q holds %d positions, want %d", ErrBinding, s.entry.Inputs[st.decl.Input].Name, st.length, n)
		}
	}
	for i := range s.states {
		if st := &s.states[i]; st.decl.Axis >= 0 {
			st.length = n
		}
	}
	return nil
}

// StateLength is the extent of the first growing state along its axis: how many positions a cache holds.
func (s *Session) StateLength() int {
	for i := range s.states {
		if s.states[i].decl.Axis >= 0 {
			return s.states[i].length
		}
	}
	return 0
}

// checkStates refuses a run that would fill a state beyond its capacity.
func (s *Session) checkStates() error {
	for i := range s.states {
		d := s.states[i].decl
		if d.Axis < 0 {
			continue
		}
		room := s.vals[s.entry.Body.Bufs[s.entry.Body.Params[d.Input]].Shape[d.Axis]]
		if now := s.vals[s.entry.Outputs[d.Output].Shape[d.Axis]]; now > room {
			return fmt.Errorf("%w: state %q would hold %d positions, and its capacity is %d", ErrBinding, s.entry.Inputs[d.Input].Name, now, room)
		}
	}
	return nil
}

// prepareStates gives each state storage for the present extents and points both ends at it. Extents other
// than the growing one must stay while a state holds anything.
func (s *Session) prepareStates() error {
	for i := range s.states {
		st := &s.states[i]
		io := &s.entry.Inputs[st.decl.Input]
		in, out := s.entry.Body.Params[st.decl.Input], s.entry.Body.Results[st.decl.Output]
		b := &s.entry.Body.Bufs[in]
		shape := make([]int, len(b.Shape))
		same := len(st.shape) == len(shape)
		for a, r := range b.Shape {
			shape[a] = int(s.vals[r])
			same = same && st.shape[a] == shape[a]
		}
		axis := int(st.decl.Axis)
		if !same {
			if st.length > 0 && st.given == nil {
				return fmt.Errorf("%w: state %q holds values of shape %v, and this run needs %v; reset the states first", ErrBinding, io.Name, st.shape, shape)
			}
			n, err := s.top.size(b)
			if err != nil {
				return err
			}
			if len(st.mem) >= n {
				clear(st.mem[:n])
			} else { // new memory is zero, and takes no room before it is written
				mem, err := s.alloc(n)
				if err != nil {
					return fmt.Errorf("state %q: %w", io.Name, err)
				}
				s.free(st.mem)
				st.mem = mem
			}
			st.shape = shape
		}
		if err := st.take(io.Name); err != nil {
			return err
		}
		n := b.Elem.Bytes(product(shape))
		s.top.bufs[in] = storage{ptr: bytesPtr(st.mem), bytes: n, fixed: true}
		if axis >= 0 {
			s.top.bufs[out] = storage{ptr: bytesPtr(st.mem), bytes: n, fixed: true}
		}
	}
	return nil
}

// take copies what SetState left into the storage.
func (st *state) take(name string) error {
	t := st.given
	if t == nil {
		return nil
	}
	for a, n := range t.Shape {
		if a == int(st.decl.Axis) && n > st.shape[a] || a != int(st.decl.Axis) && n != st.shape[a] {
			return fmt.Errorf("%w: state %q was set to shape %v, and this run needs %v", ErrBinding, name, t.Shape, st.shape)
		}
	}
	st.rows(t, func(held, outside []byte) { copy(held, outside) })
	st.given = nil
	return nil
}

func product(shape []int) int {
	n, _ := tensor.Count(shape)
	return n
}

// advanceStates makes this run's outputs the next run's inputs.
func (s *Session) advanceStates() {
	for i := range s.states {
		st := &s.states[i]
		if axis := st.decl.Axis; axis >= 0 {
			st.length = int(s.vals[s.entry.Outputs[st.decl.Output].Shape[axis]])
			continue
		}
		st.length = 1
		out := &s.outputs[st.decl.Output]
		copy(st.mem, (*out).Data)
	}
}

// isState reports whether output i is the end of a growing state: its values stay in the session.
func (s *Session) isState(output int) bool {
	for i := range s.states {
		if int(s.states[i].decl.Output) == output && s.states[i].decl.Axis >= 0 {
			return true
		}
	}
	return false
}

// extent is the extent of a state's input along an axis, as far as the session knows it.
func (st *state) extent(axis int) int64 {
	if axis == int(st.decl.Axis) {
		return int64(st.length)
	}
	return dim.Unset
}
