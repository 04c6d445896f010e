package exec

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/kernels/tiled"
	"github.com/llmc-go/llmc/runtime/program"
)

// newRunner prepares what does not depend on extents.
func newRunner(s *Session, b *program.Body, st *program.Step) (runner, error) {
	switch st.Anchor {
	case anchor.Map, anchor.Rows:
		return newTiledStep(s, b, st)
	case anchor.Contract:
		return newContractStep(s, b, st)
	case anchor.Window:
		return newWindowStep(s, b, st)
	case anchor.Attend:
		return newAttendStep(s, b, st)
	case anchor.Host:
		return newHostStep(s, b, st), nil
	case anchor.Branch:
		return newBranchStep(s, b, st)
	case anchor.Loop:
		return newLoopStep(s, b, st)
	}
	return nil, fmt.Errorf("anchor %v is not executed by this version", st.Anchor)
}

// failure keeps the first error of the chunks of a step.
type failure struct{ err atomic.Pointer[error] }

func (e *failure) set(err error) {
	if err != nil {
		e.keep(err)
	}
}

// keep is apart from set so that the common case, nil, allocates nothing.
func (e *failure) keep(err error) { e.err.CompareAndSwap(nil, &err) }

func (e *failure) take() error {
	if p := e.err.Swap(nil); p != nil {
		return *p
	}
	return nil
}

// sweep is a tile program bound to buffers: a map or rows step, or what happens to the accumulators of another.
type sweep struct {
	s    *Session
	prog *tiled.Program
	call tiled.Call
	uses []program.Use
	acc  int // the operand that stands for the accumulator, or -1
	par  []int32
	red  []int32
	st   *program.Step

	ops      []tiled.Operand
	strides  []int
	parN     []int
	redN     []int
	dims     []int64
	failures failure
	empty    bool // no result has an element
	indexed  bool // the program reads positions, so the order of axes is part of it
}

// newSweep compiles the program of a step. With acc, the accumulator is read from an operand of its own, which
// comes after the step's inputs and whose strides bind is told.
func newSweep(s *Session, b *program.Body, st *program.Step, acc bool) (*sweep, error) {
	w := &sweep{s: s, st: st, acc: -1}
	for i, a := range st.Space {
		if a.Red {
			w.red = append(w.red, int32(i))
		} else {
			w.par = append(w.par, int32(i))
		}
	}
	if acc {
		w.red = nil // the reduction is done
	}
	w.uses = append(append(w.uses, st.In...), st.Out...)
	ins := len(st.In)
	var elems []dtype.Type
	for _, u := range w.uses {
		elems = append(elems, b.Bufs[u.Buf].Elem)
	}
	if st.Moves {
		for i := range elems {
			elems[i] = elems[i].Bitwise()
		}
	}
	p := program.CloneTile(&s.m.Program.Progs[st.Prog])
	order := append(append([]int32(nil), w.par...), w.red...)
	if acc {
		w.acc = ins
		w.uses = append(w.uses[:ins:ins], append([]program.Use{{}}, w.uses[ins:]...)...)
		elems = append(elems[:ins:ins], append([]dtype.Type{dtype.F32}, elems[ins:]...)...)
		ins++
	}
	for i := range p.Code {
		in := &p.Code[i]
		switch {
		case in.Op == tile.Index:
			w.indexed = true
			in.Arg = position(order, in.Arg)
		case in.Op == tile.Acc && acc:
			in.Op, in.Arg = tile.Load, int32(w.acc)
		case in.Op == tile.Store && acc:
			in.Arg++
		}
	}
	var err error
	w.prog, err = tiled.Compile(p, elems, ins, s.m.features)
	return w, err
}

func position(order []int32, axis int32) int32 {
	for i, a := range order {
		if a == axis {
			return int32(i)
		}
	}
	return axis
}

// sortAxes puts the parallel axes in the order in which the first result lies in memory, so that the innermost is
// contiguous: in pictures with the channels last that is not the order of the model.
func (w *sweep) sortAxes(vals []int64) {
	stride := w.st.Out[0].Stride
	slices.SortStableFunc(w.par, func(a, b int32) int { return int(vals[stride[b]] - vals[stride[a]]) })
}

// bind lays the program over the present extents. accStr are the accumulator's strides, one per axis of the space.
func (w *sweep) bind(f *frame, accStr []int) error {
	vals := f.s.vals
	w.empty = true
	for i := range w.st.Out {
		w.empty = w.empty && vals[f.b.Bufs[w.st.Out[i].Buf].Count] == 0
	}
	if w.empty {
		return nil // strides of tensors without elements say nothing
	}
	if !w.indexed {
		w.sortAxes(vals)
	}
	n := len(w.par) + len(w.red)
	w.parN, w.redN, w.dims = w.parN[:0], w.redN[:0], w.dims[:0]
	for _, a := range w.par {
		w.parN = append(w.parN, int(vals[w.st.Space[a].Extent]))
	}
	for _, a := range w.red {
		w.redN = append(w.redN, int(vals[w.st.Space[a].Extent]))
	}
	for _, d := range w.st.Dims {
		w.dims = append(w.dims, vals[d])
	}
	if cap(w.strides) < n*len(w.uses) || len(w.ops) < len(w.uses) {
		w.strides = make([]int, n*len(w.uses))
		w.ops = make([]tiled.Operand, len(w.uses))
	}
	for i := range w.uses {
		u, o := &w.uses[i], &w.ops[i]
		o.Strides = w.strides[i*n : (i+1)*n : (i+1)*n]
		for j := range n {
			var a int32
			if j < len(w.par) {
				a = w.par[j]
			} else {
				a = w.red[j-len(w.par)]
			}
			if i == w.acc {
				o.Strides[j] = accStr[a]
			} else {
				o.Strides[j] = int(vals[u.Stride[a]])
			}
		}
		o.Via = o.Via[:0]
		for _, v := range u.Via {
			o.Via = append(o.Via, tiled.Via{Operand: int(v.Operand), Extent: int(vals[v.Extent]), Stride: int(vals[v.Stride])})
		}
	}
	if err := w.prog.Bind(&w.call, w.parN, w.redN, w.ops, w.dims); err != nil {
		return err
	}
	for i := range f.s.locals {
		f.s.locals[i].tiled.Reserve(&w.call)
	}
	return nil
}

func (w *sweep) run(f *frame, accPtr unsafe.Pointer) error {
	if w.empty {
		return nil
	}
	for i := range w.uses {
		if i == w.acc {
			w.call.SetPtr(i, accPtr)
		} else {
			w.call.SetPtr(i, f.pointer(&w.uses[i]))
		}
	}
	f.s.m.pool.Run(w.call.Chunks(), w)
	return w.failures.take()
}

// Chunk implements pool.Job.
func (w *sweep) Chunk(i, worker int) {
	w.failures.set(w.call.RunChunk(i, &w.s.locals[worker].tiled))
}

// tiledStep is a map or rows group.
type tiledStep struct{ w *sweep }

func newTiledStep(s *Session, b *program.Body, st *program.Step) (runner, error) {
	w, err := newSweep(s, b, st, false)
	return &tiledStep{w}, err
}

func (t *tiledStep) bind(f *frame) error                   { return t.w.bind(f, nil) }
func (t *tiledStep) run(f *frame, _ context.Context) error { return t.w.run(f, nil) }
