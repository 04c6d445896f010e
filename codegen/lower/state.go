package lower

import (
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/runtime/program"
)

// DefaultCapacity is reserved for a growing state whose capacity nobody gave, in positions.
const DefaultCapacity = 2048

// findStates resolves the names of the module's states.
func (fn *function) findStates() {
	for _, s := range fn.m.States {
		in, out := -1, -1
		for i, n := range fn.f.Inputs {
			if n == s.Input {
				in = i
			}
		}
		for i, n := range fn.f.Outputs {
			if n == s.Output {
				out = i
			}
		}
		if in < 0 || out < 0 {
			continue
		}
		fn.states = append(fn.states, program.State{Input: int32(in), Output: int32(out), Axis: int32(s.Axis)})
		c := s.Cap
		if c == 0 {
			c = DefaultCapacity
		}
		fn.caps = append(fn.caps, c)
	}
}

// reserve gives an end of a growing state the storage of its capacity; the extents stay what the caller sees.
func (l *lowerer) reserve(b *kir.Buf, shape []dim.Expr, is func(*program.State) bool) {
	for i := range l.states {
		s := &l.states[i]
		if s.Axis < 0 || !is(s) {
			continue
		}
		b.Seen = shape
		b.Shape = append([]dim.Expr(nil), shape...)
		b.Shape[s.Axis] = dim.Const(l.caps[i])
	}
}

// sameState reports whether two buffers are the ends of one growing state: they share storage, so what was in
// the input is in the output already.
func (l *lowerer) sameState(in, out *kir.Buf) bool {
	if !l.top || in.Kind != program.BufInput || out.Kind != program.BufOutput {
		return false
	}
	for i := range l.states {
		if s := &l.states[i]; s.Axis >= 0 && int(s.Input) == in.Index && int(s.Output) == out.Index {
			return true
		}
	}
	return false
}
