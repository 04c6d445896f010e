package exec

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/program"
)

// hostStep calls a host function over tensors that view the buffers.
type hostStep struct {
	st    *program.Step
	fn    host.Fn
	in    []*tensor.Tensor // one per operand of the node, nil where absent
	use   []int            // the use of each
	out   []*tensor.Tensor
	types []dtype.Type
	args  []*tensor.Tensor // what the function gets: in, or copies of them
	vals  []tensor.Value   // the same, where an operand or a result is no tensor
	keeps bool             // a result may keep operands
	attrs attr.List
	call  host.Call
	outs  []*tensor.Tensor // storage that the function fills, where its size is known
}

func newHostStep(s *Session, b *program.Body, st *program.Step) runner {
	h := &hostStep{st: st, fn: s.m.host[st.Host]}
	k := 0
	for _, p := range st.Present {
		if !p {
			h.in, h.use = append(h.in, nil), append(h.use, -1)
			continue
		}
		h.in = append(h.in, &tensor.Tensor{Elem: b.Bufs[st.In[k].Buf].Elem})
		h.use = append(h.use, k)
		k++
	}
	for _, u := range h.use {
		if u >= 0 && b.Bufs[st.In[u].Buf].Elem == dtype.Invalid {
			h.vals = make([]tensor.Value, len(h.in))
		}
	}
	for i := range st.Out {
		if b.Bufs[st.Out[i].Buf].Elem == dtype.Invalid {
			h.vals, h.keeps = make([]tensor.Value, len(h.in)), true
		}
		h.types = append(h.types, b.Bufs[st.Out[i].Buf].Elem)
		h.out = append(h.out, &tensor.Tensor{Elem: h.types[i]})
	}
	for _, a := range st.Attrs {
		v := a.Value
		if v.Kind == attr.Dims {
			v = attr.OfInts(make([]int64, len(a.Dims)))
		}
		h.attrs = append(h.attrs, attr.Named{Name: a.Name, Value: v})
	}
	return h
}

func (h *hostStep) bind(f *frame) error {
	for i, a := range h.st.Attrs {
		if a.Value.Kind != attr.Dims {
			continue
		}
		for j, r := range a.Dims {
			h.attrs[i].Ints[j] = f.s.vals[r]
		}
	}
	for i, t := range h.in {
		if t != nil && !f.b.Bufs[h.st.In[h.use[i]].Buf].Boxed() && !f.shape(t, h.st.In[h.use[i]].Shape) {
			return fmt.Errorf("operand %d has a size that is not known yet", i)
		}
	}
	return nil
}

// shape evaluates a tensor's shape; false where an extent is not known.
func (f *frame) shape(t *tensor.Tensor, refs []dim.Ref) bool {
	t.Shape = t.Shape[:0]
	for _, r := range refs {
		v := f.s.vals[r]
		if v == dim.Unset {
			return false
		}
		t.Shape = append(t.Shape, int(v))
	}
	return true
}

// view points a tensor of known shape at a use.
func (f *frame) view(t *tensor.Tensor, u *program.Use) {
	n := t.Elem.Bytes(t.Len())
	if n == 0 {
		t.Data = []byte{}
		return
	}
	t.Data = unsafe.Slice((*byte)(f.pointer(u)), n)
}

func (h *hostStep) run(f *frame, _ context.Context) error {
	budget := &f.s.budget
	budget.Left = max(f.s.m.opts.MaxMemory-f.s.held, 0)
	if err := h.operands(f, budget); err != nil {
		return err
	}
	if h.outs == nil {
		h.outs = make([]*tensor.Tensor, len(h.out))
	}
	outs := h.outs
	clear(outs)
	for i, t := range h.out {
		u := &h.st.Out[i]
		if f.shape(t, u.Shape) && f.bufs[u.Buf].ptr != nil {
			f.view(t, u)
			outs[i] = t
		}
	}
	call := &h.call
	call.Reset(h.args, h.attrs, outs, h.types, budget)
	if h.vals != nil {
		call.SetValues(h.vals)
	}
	if err := h.fn.Run(call); err != nil {
		return err
	}
	for i := range h.out {
		if f.b.Bufs[h.st.Out[i].Buf].Boxed() {
			if err := f.adoptBox(h.st, i, call.Value(i)); err != nil {
				return err
			}
			continue
		}
		if err := f.adopt(h.st, i, call.Result(i), outs[i] != nil); err != nil {
			return err
		}
	}
	return nil
}

// operands points the views at the operands. What a result may keep is copied out of memory that will be written again.
func (h *hostStep) operands(f *frame, budget *host.Budget) error {
	h.args = append(h.args[:0], h.in...)
	for i, t := range h.in {
		if t == nil {
			continue
		}
		u := &h.st.In[h.use[i]]
		if f.b.Bufs[u.Buf].Boxed() {
			v := f.bufs[u.Buf].val
			if h.args[i] = v.Tensor; h.vals != nil {
				h.vals[i] = v
			}
			continue
		}
		f.view(t, u)
		if h.keeps {
			if err := budget.Take(int64(len(t.Data))); err != nil {
				return err
			}
			h.args[i] = t.Clone()
		}
		if h.vals != nil {
			h.vals[i] = tensor.ValueOf(h.args[i])
		}
	}
	return nil
}

// adoptBox takes over result i of a step, strings or what is no tensor, and binds the late symbols it defines.
func (f *frame) adoptBox(st *program.Step, i int, v tensor.Value) error {
	u := &st.Out[i]
	strings := f.b.Bufs[u.Buf].Elem == dtype.String
	if v.Absent() || strings != (v.Kind == tensor.KindTensor) || strings && v.Tensor.Elem != dtype.String {
		return fmt.Errorf("result %d: got %v", i, v)
	}
	if err := f.s.keepBox(&f.bufs[u.Buf], v); err != nil {
		return fmt.Errorf("result %d: %w", i, err)
	}
	if strings {
		return f.adopt(st, i, v.Tensor, true)
	}
	return nil
}

// adopt takes over result i of a step that found its shape itself, and binds the late symbols it defines.
func (f *frame) adopt(st *program.Step, i int, t *tensor.Tensor, inPlace bool) error {
	u := &st.Out[i]
	if t == nil {
		return nil // a result that the function was not asked for
	}
	if len(t.Shape) != len(u.Shape) {
		return fmt.Errorf("result %d: want rank %d, got shape %v", i, len(u.Shape), t.Shape)
	}
	for k := range st.Defs {
		if d := &st.Defs[k]; int(d.Out) == i {
			if err := f.s.define(d, int64(t.Shape[d.Axis])); err != nil {
				return fmt.Errorf("result %d: %w", i, err)
			}
		}
	}
	for a, r := range u.Shape {
		if v := f.s.vals[r]; v != dim.Unset && v != int64(t.Shape[a]) {
			return fmt.Errorf("result %d axis %d: want %d, got %d", i, a, v, t.Shape[a])
		}
	}
	if inPlace {
		return nil
	}
	buf := &f.bufs[u.Buf]
	if buf.fixed {
		if buf.bytes != len(t.Data) {
			return fmt.Errorf("result %d of shape %v does not fit the caller's memory", i, t.Shape)
		}
		copy(unsafe.Slice((*byte)(buf.ptr), buf.bytes), t.Data)
		return nil
	}
	f.s.free(buf.own)
	f.s.held += int64(cap(t.Data))
	buf.own = t.Data
	buf.ptr, buf.bytes = bytesPtr(t.Data), len(t.Data)
	buf.shape = append(buf.shape[:0], t.Shape...)
	return nil
}
