package exec

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/kernels/attend"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/tiled"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/program"
)

// Session runs one entry of a model, one run at a time. It is not safe for use by several goroutines at once.
type Session struct {
	m     *Model
	entry *program.Entry
	top   *frame

	syms     []int64 // values of the dim program's symbols
	vals     []int64 // values of its instructions
	lastLate []int64 // late symbols of the run before
	version  uint64  // changes with the extents of inputs
	late     uint64  // changes with any symbol
	counter  uint64  // of versions given out
	scratch  []byte  // shared by the steps of all frames
	locals   []local // scratch of each worker
	budget   host.Budget
	held     int64 // bytes given out by alloc
	states   []state
	outputs  []*tensor.Tensor
	boxes    *boxes // where some inputs or outputs are no tensors
	closed   error
	hook     func(names []string, results []*tensor.Tensor)
	trace    func(step int, start time.Time, took time.Duration)
}

// local is what one worker keeps.
type local struct {
	tiled  tiled.Scratch
	window window.Worker
	attend attend.Scratch
	gemm   gemm.Args
	f32    []float32
	_      [64]byte // no two workers on one cache line
}

// NewSession makes a session for the entry of that name; "" is the first.
func (m *Model) NewSession(entry string) (*Session, error) {
	for i := range m.Program.Entries {
		e := &m.Program.Entries[i]
		if entry != "" && e.Name != entry {
			continue
		}
		n := len(m.Program.Dims.Syms)
		s := &Session{m: m, entry: e, syms: make([]int64, n), vals: make([]int64, len(m.Program.Dims.Code)), lastLate: make([]int64, n)}
		for i := range s.syms {
			s.syms[i], s.lastLate[i] = dim.Unset, dim.Unset
		}
		s.locals = make([]local, m.pool.Workers())
		s.outputs = make([]*tensor.Tensor, len(e.Outputs))
		for i := range s.outputs {
			s.outputs[i] = &tensor.Tensor{Elem: e.Outputs[i].Elem, Shape: make([]int, len(e.Outputs[i].Shape))}
		}
		var err error
		if s.boxes, err = newBoxes(e); err != nil {
			return nil, err
		}
		s.newStates()
		s.top, err = newFrame(s, &e.Body)
		return s, err
	}
	return nil, fmt.Errorf("entry %q does not exist", entry)
}

// SetHook has f called after each step of the entry's own body with the model's names of its results, "" for
// none, and the results: views that are valid during the call. nil removes it.
func (s *Session) SetHook(f func(names []string, results []*tensor.Tensor)) { s.hook = f }

// SetTrace has f called after each step of the entry's own body with its number in Entry().Body.Steps; nil
// removes it.
func (s *Session) SetTrace(f func(step int, start time.Time, took time.Duration)) { s.trace = f }

// Entry describes what the session runs.
func (s *Session) Entry() *program.Entry { return s.entry }

// Memory is what a session holds for activations, in bytes.
type Memory struct {
	Arena   int64 // planned: all buffers whose sizes the inputs determine
	Live    int64 // the largest set of those alive at once; no plan is smaller
	Scratch int64 // of kernels, shared by all steps
	Heap    int64 // results of the session's own, and buffers whose sizes depend on data
}

// Total is the sum of what is held.
func (m Memory) Total() int64 { return m.Arena + m.Scratch + m.Heap }

// Memory describes the session after its last run.
func (s *Session) Memory() Memory {
	m := Memory{Arena: int64(s.top.total), Live: int64(s.top.placer.live()), Scratch: int64(len(s.scratch))}
	m.Heap = s.top.bytes() - int64(len(s.top.arena))
	for i := range s.locals {
		m.Scratch += int64(4*len(s.locals[i].f32) + 4*len(s.locals[i].window.Scratch))
	}
	return m
}

// Run computes the entry. inputs are in the order of the entry; their memory is read in place, and those of states
// are nil: the session has them. Outputs of growing states stay in the session, and their tensors have no data. outputs may be
// nil, or hold a tensor for each result whose memory is to be written, nil for the others. The results it
// returns are those tensors, or views of memory that the session owns and overwrites in its next run. Entries of which
// an input or output is no tensor are run by RunValues.
func (s *Session) Run(ctx context.Context, inputs, outputs []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if s.boxes != nil {
		return nil, fmt.Errorf("%w: an input or output is no tensor", ErrBinding)
	}
	return s.run(ctx, inputs, outputs)
}

func (s *Session) run(ctx context.Context, inputs, outputs []*tensor.Tensor) (res []*tensor.Tensor, err error) {
	if s.closed != nil {
		return nil, s.closed
	}
	if err := s.bindInputs(inputs); err != nil {
		return nil, err
	}
	if err := s.checkStates(); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			s.closed = fmt.Errorf("session closed: %v: panic: %v\n%s", s.top.where(), r, debug.Stack())
			err = s.closed
		}
	}()
	if err := s.top.prepare(); err != nil {
		return nil, err
	}
	for i, t := range inputs {
		switch {
		case t != nil:
			s.top.setInput(i, t)
		case s.stateOf(i) == nil:
			s.top.bufs[s.top.b.Params[i]].val = s.boxes.in[i]
		}
	}
	if err := s.prepareStates(); err != nil {
		return nil, err
	}
	if err := s.setOutputs(outputs); err != nil {
		return nil, err
	}
	s.m.pool.Hold()
	err = s.top.run(ctx)
	s.m.pool.Release()
	if err != nil {
		return nil, err
	}
	for i := range s.outputs {
		if outputs != nil && outputs[i] != nil {
			if outputs[i].Elem == dtype.String {
				if err := s.copyStrings(i, outputs[i]); err != nil {
					return nil, err
				}
			}
			continue
		}
		if !s.isState(i) {
			s.top.result(i, s.outputs[i])
		}
	}
	s.advanceStates()
	if outputs == nil {
		return s.outputs, nil
	}
	for i := range outputs {
		if outputs[i] == nil {
			outputs[i] = s.outputs[i]
		}
	}
	return outputs, nil
}

// bindInputs checks the inputs and gives every symbol that they determine its value.
func (s *Session) bindInputs(inputs []*tensor.Tensor) error {
	e := s.entry
	if len(inputs) != len(e.Inputs) {
		return fmt.Errorf("%w: want %d inputs, got %d", ErrBinding, len(e.Inputs), len(inputs))
	}
	for i, t := range inputs {
		io := &e.Inputs[i]
		switch {
		case io.Elem == dtype.Invalid:
			continue // RunValues has checked it
		case t == nil && s.stateOf(i) != nil:
			continue
		case t == nil:
			return fmt.Errorf("%w: input %q is missing", ErrBinding, io.Name)
		case t.Elem != io.Elem:
			return fmt.Errorf("%w: input %q: want element type %v, got %v", ErrBinding, io.Name, io.Elem, t.Elem)
		case len(io.Shape) == 0 && t.Len() == 1: // a scalar may come with axes of extent 1
		case len(t.Shape) != len(io.Shape):
			return fmt.Errorf("%w: input %q: want rank %d %v, got shape %v", ErrBinding, io.Name, len(io.Shape), io.Text, t.Shape)
		}
		if err := t.Check(); err != nil {
			return fmt.Errorf("%w: input %q: %w", ErrBinding, io.Name, err)
		}
	}
	same := s.version > 0
	for i := range e.Binds {
		b := &e.Binds[i]
		rest := int64(0)
		if s.m.Program.Dims.Code[b.Rest].Op == dim.OpConst {
			rest = s.m.Program.Dims.Code[b.Rest].Imm
		} else {
			if !same { // earlier symbols may just have changed
				if err := s.m.Program.Dims.Eval(s.syms, s.vals); err != nil {
					return fmt.Errorf("%w: %w", ErrBinding, err)
				}
			}
			rest = s.vals[b.Rest]
		}
		var ext int64
		if t := inputs[b.Input]; t != nil {
			ext = int64(t.Shape[b.Axis])
		} else {
			ext = s.stateOf(int(b.Input)).extent(int(b.Axis))
		}
		v := (ext - rest) / b.Coef
		if v*b.Coef+rest != ext {
			return s.badAxis(int(b.Input), int(b.Axis), ext)
		}
		in := &s.m.Program.Symbols[b.Sym]
		if v < in.Lo || v > in.Hi || in.Step > 1 && v%in.Step != 0 {
			return fmt.Errorf("%w: input %q axis %d: %s = %d is outside [%d, %d] step %d", ErrBinding, e.Inputs[b.Input].Name, b.Axis, s.m.Program.Dims.Syms[b.Sym], v, in.Lo, in.Hi, max(in.Step, 1))
		}
		if s.syms[b.Sym] != v {
			s.syms[b.Sym] = v
			same = false
			for j := range s.m.Program.Symbols { // stale late values must not meet new extents
				if s.m.Program.Symbols[j].Late {
					s.syms[j] = dim.Unset
				}
			}
		}
	}
	return s.evaluate(inputs, same)
}

// evaluate computes all extents that the inputs determine and checks what follows from them.
func (s *Session) evaluate(inputs []*tensor.Tensor, same bool) error {
	hasLate := false
	for j := range s.m.Program.Symbols {
		if s.m.Program.Symbols[j].Late {
			s.syms[j] = dim.Unset
			hasLate = true
		}
	}
	if !same || hasLate {
		if err := s.m.Program.Dims.Eval(s.syms, s.vals); err != nil {
			s.version = 0
			return fmt.Errorf("%w: %w", ErrBinding, err)
		}
	}
	for i, t := range inputs {
		if t == nil {
			continue // a state
		}
		for a, r := range s.entry.Inputs[i].Shape {
			if s.vals[r] != int64(t.Shape[a]) {
				s.version = 0
				return s.badAxis(i, a, int64(t.Shape[a]))
			}
		}
	}
	if same {
		return nil
	}
	for i := range s.m.Program.Guards {
		g := &s.m.Program.Guards[i]
		x, y := s.vals[g.A], s.vals[g.B]
		if x != y && !(g.Bcast && (x == 1 || y == 1)) {
			s.version = 0
			return fmt.Errorf("%w: %s: %s is %d and %s is %d", ErrBinding, g.Why, s.m.Program.Dims.Text(g.A), x, s.m.Program.Dims.Text(g.B), y)
		}
	}
	s.counter++
	s.version = s.counter
	s.late++
	return nil
}

func (s *Session) badAxis(input, axis int, got int64) error {
	io := &s.entry.Inputs[input]
	want := io.Text[axis]
	if v := s.vals[io.Shape[axis]]; v != dim.Unset && v >= 0 {
		want = fmt.Sprintf("%s = %d", want, v)
	}
	return fmt.Errorf("%w: input %q axis %d: want %s, got %d", ErrBinding, io.Name, axis, want, got)
}

// define gives a late symbol its value while running.
func (s *Session) define(d *program.LateDef, v int64) error {
	in := &s.m.Program.Symbols[d.Sym]
	if v < in.Lo || v > in.Hi {
		return fmt.Errorf("size %s = %d is outside [%d, %d]", s.m.Program.Dims.Syms[d.Sym], v, in.Lo, in.Hi)
	}
	if s.lastLate[d.Sym] != v {
		s.lastLate[d.Sym] = v
		s.late++
	}
	if s.syms[d.Sym] == v {
		return nil
	}
	s.syms[d.Sym] = v
	return s.m.Program.Dims.Eval(s.syms, s.vals)
}

// forget takes back the values of late symbols that a step is about to define again: an earlier iteration's
// sizes must not be taken for this one's.
func (s *Session) forget(defs []program.LateDef) error {
	stale := false
	for i := range defs {
		if s.syms[defs[i].Sym] != dim.Unset {
			s.syms[defs[i].Sym] = dim.Unset
			stale = true
		}
	}
	if !stale {
		return nil
	}
	return s.m.Program.Dims.Eval(s.syms, s.vals)
}

// needScratch makes the session's scratch at least n bytes long.
func (s *Session) needScratch(n int) error {
	if len(s.scratch) >= n {
		return nil
	}
	b, err := s.alloc(n)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	s.free(s.scratch)
	s.scratch = b
	return nil
}

// alloc returns n bytes, aligned to a cache line, within the session's limit.
func (s *Session) alloc(n int) ([]byte, error) {
	if limit := s.m.opts.MaxMemory; s.held+int64(n) > limit {
		return nil, fmt.Errorf("%w: needs %d bytes beside %d that are held, and the limit is %d", ErrMemory, n, s.held, limit)
	}
	s.held += int64(n)
	return align(tensor.Alloc(n+64), 64)[:n:n], nil
}

// free gives memory of alloc back to the account.
func (s *Session) free(b []byte) { s.held -= int64(cap(b)) }

// scratchAt is an address within the scratch.
func (s *Session) scratchAt(off int) unsafe.Pointer { return unsafe.Add(bytesPtr(s.scratch), off) }

// setOutputs points the top frame's results at the caller's memory or the session's own.
func (s *Session) setOutputs(outputs []*tensor.Tensor) error {
	if outputs != nil && len(outputs) != len(s.entry.Outputs) {
		return fmt.Errorf("%w: want %d outputs, got %d", ErrBinding, len(s.entry.Outputs), len(outputs))
	}
	for i := range s.entry.Outputs {
		if s.isState(i) {
			continue
		}
		if outputs == nil || outputs[i] == nil {
			if err := s.top.ownOutput(i); err != nil {
				return err
			}
			continue
		}
		t, io := outputs[i], &s.entry.Outputs[i]
		if t.Elem != io.Elem || len(t.Shape) != len(io.Shape) {
			return fmt.Errorf("%w: output %q: want %v of rank %d, got %v%v", ErrBinding, io.Name, io.Elem, len(io.Shape), t.Elem, t.Shape)
		}
		for a, r := range io.Shape {
			if v := s.vals[r]; v != dim.Unset && v != int64(t.Shape[a]) {
				return fmt.Errorf("%w: output %q axis %d: want %d, got %d", ErrBinding, io.Name, a, v, t.Shape[a])
			}
		}
		if err := t.Check(); err != nil {
			return fmt.Errorf("%w: output %q: %w", ErrBinding, io.Name, err)
		}
		s.top.setOutput(i, t)
	}
	return nil
}
