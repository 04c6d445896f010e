package exec

import (
	"context"
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/runtime/kernels/attend"
	"github.com/llmc-go/llmc/runtime/program"
)

// The axes of an attend step's space.
const (
	axisBatch = iota
	axisHead
	axisQuery
	axisValue // elements of a value
	axisKey
	axisDepth // elements of a query or key
	attendAxes
)

// attendStep is fused attention. Keys and values are read where they lie.
type attendStep struct {
	s    *Session
	st   *program.Step
	call attend.Call
	post simplePost

	mask     attend.MaskKind
	plain    bool // the result is stored as it is
	accOut   bool
	after    *sweep
	acc      []int
	accBytes int
	failures failure
}

func newAttendStep(s *Session, b *program.Body, st *program.Step) (runner, error) {
	if len(st.Space) != attendAxes || len(st.In) < 3 || len(st.In[1].Shape) != 4 {
		return nil, fmt.Errorf("attention over %d axes with %d operands", len(st.Space), len(st.In))
	}
	a := &attendStep{s: s, st: st}
	own := 3
	if st.Masked {
		own = 4
		a.mask = attend.AddMask
		if b.Bufs[st.In[3].Buf].Elem == dtype.Bool {
			a.mask = attend.BoolMask
		}
	}
	a.post = findPost(s, b, st, own)
	a.plain = a.post.ok && a.post.kind == 0 && a.post.operand < 0
	var err error
	a.after, err = newSweep(s, b, st, true)
	return a, err
}

func (a *attendStep) bind(f *frame) error {
	vals := f.s.vals
	ext := func(axis int) int { return int(vals[a.st.Space[axis].Extent]) }
	strides := func(u *program.Use, axes ...int) (l [4]int) {
		for i, x := range axes {
			l[i] = int(vals[u.Stride[x]])
		}
		return l
	}
	p := attend.Params{B: ext(axisBatch), H: ext(axisHead), HK: int(vals[a.st.In[1].Shape[1]]), M: ext(axisQuery), T: ext(axisKey),
		D: ext(axisDepth), DV: ext(axisValue), Scale: float32(a.st.Attend.Scale), Causal: a.st.Attend.Causal}
	p.Q.Strides = strides(&a.st.In[0], axisBatch, axisHead, axisQuery, axisDepth)
	p.K.Strides = strides(&a.st.In[1], axisBatch, axisHead, axisKey, axisDepth)
	p.V.Strides = strides(&a.st.In[2], axisBatch, axisHead, axisKey, axisValue)
	if a.mask != attend.NoMask {
		p.MaskKind = a.mask
		p.Mask.Strides = strides(&a.st.In[3], axisBatch, axisHead, axisQuery, axisKey)
	}
	p.Out.Strides = strides(&a.st.Out[0], axisBatch, axisHead, axisQuery, axisValue)
	a.accOut = a.post.f32 && (p.DV <= 1 || p.Out.Strides[3] == 1)
	a.accBytes = 0
	if !a.accOut {
		p.Out.Strides = [4]int{p.H * p.M * p.DV, p.M * p.DV, p.DV, 1}
		a.accBytes = p.B * p.H * p.M * p.DV * 4
		if err := f.s.needScratch(a.accBytes); err != nil {
			return err
		}
	}
	if err := a.call.Bind(&p, f.s.m.features); err != nil {
		return err
	}
	for i := range f.s.locals {
		f.s.locals[i].attend.Reserve(&a.call)
	}
	if a.accOut && a.plain {
		return nil
	}
	a.acc = append(a.acc[:0], p.Out.Strides[:]...)
	a.acc = append(a.acc, 0, 0)
	return a.after.bind(f, a.acc)
}

func (a *attendStep) run(f *frame, _ context.Context) error {
	p := &a.call.Params
	p.Q.Ptr, p.K.Ptr, p.V.Ptr = f.pointer(&a.st.In[0]), f.pointer(&a.st.In[1]), f.pointer(&a.st.In[2])
	if a.mask != attend.NoMask {
		p.Mask.Ptr = f.pointer(&a.st.In[3])
	}
	out := f.pointer(&a.st.Out[0])
	if !a.accOut {
		out = f.s.scratchAt(0)
	}
	p.Out.Ptr = out
	f.s.m.pool.Run(a.call.Chunks(), a)
	if err := a.failures.take(); err != nil {
		return err
	}
	if a.accOut && a.plain {
		return nil
	}
	return a.after.run(f, out)
}

// Chunk implements pool.Job.
func (a *attendStep) Chunk(i, worker int) {
	a.failures.set(a.call.RunChunk(i, &a.s.locals[worker].attend))
}
