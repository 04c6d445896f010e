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
	shape  []int // of the storage, at which the contents are valid
	length int   // extent along the axis
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
		s.states[i].length, s.states[i].shape = 0, nil
	}
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
			if st.length > 0 {
				return fmt.Errorf("%w: state %q holds values of shape %v, and this run needs %v; reset the states first", ErrBinding, io.Name, st.shape, shape)
			}
			n, err := s.top.size(b)
			if err != nil {
				return err
			}
			if len(st.mem) < n {
				mem, err := s.alloc(n)
				if err != nil {
					return fmt.Errorf("state %q: %w", io.Name, err)
				}
				s.free(st.mem)
				st.mem = mem
			}
			clear(st.mem[:n])
			st.shape = shape
		}
		n := b.Elem.Bytes(product(shape))
		s.top.bufs[in] = storage{ptr: bytesPtr(st.mem), bytes: n, fixed: true}
		if axis >= 0 {
			s.top.bufs[out] = storage{ptr: bytesPtr(st.mem), bytes: n, fixed: true}
		}
	}
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
