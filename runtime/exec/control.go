package exec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/program"
)

// operandView is an operand of a control step as a tensor; where its buffer is boxed, it has a value besides.
type operandView struct {
	t     tensor.Tensor
	use   *program.Use
	boxed bool
	val   tensor.Value
}

// hold takes over a boxed value; one of strings is a tensor too.
func (o *operandView) hold(v tensor.Value) {
	o.boxed, o.val = true, v
	o.t.Shape, o.t.Data, o.t.Str = o.t.Shape[:0], nil, nil
	if v.Tensor != nil {
		o.t.Shape, o.t.Str = append(o.t.Shape, v.Tensor.Shape...), v.Tensor.Str
	}
}

func operandViews(b *program.Body, st *program.Step) []*operandView {
	var l []*operandView
	k := 0
	for _, p := range st.Present {
		if !p {
			l = append(l, nil)
			continue
		}
		l = append(l, &operandView{t: tensor.Tensor{Elem: b.Bufs[st.In[k].Buf].Elem}, use: &st.In[k]})
		k++
	}
	return l
}

// refresh points the views at the operands' present memory and shapes.
func (f *frame) refresh(l []*operandView) error {
	for i, o := range l {
		if o == nil {
			continue
		}
		if f.b.Bufs[o.use.Buf].Boxed() {
			o.hold(f.bufs[o.use.Buf].val)
			continue
		}
		if !f.shape(&o.t, o.use.Shape) {
			return fmt.Errorf("operand %d has a size that is not known yet", i)
		}
		f.view(&o.t, o.use)
	}
	return nil
}

// enter gives a body its parameters: storage and late extents.
func (f *frame) enter(params []*operandView) error {
	for i, o := range params {
		if o.boxed {
			f.bufs[f.b.Params[i]].val = o.val
			continue
		}
		f.setInput(i, &o.t)
	}
	for i := range f.b.Defs {
		d := &f.b.Defs[i]
		if err := f.s.define(d, int64(params[d.Out].t.Shape[d.Axis])); err != nil {
			return err
		}
	}
	for i, o := range params {
		for a, r := range f.b.Bufs[f.b.Params[i]].Shape {
			if v := f.s.vals[r]; v != int64(o.t.Shape[a]) {
				return fmt.Errorf("parameter %d axis %d: want %d, got %d", i, a, v, o.t.Shape[a])
			}
		}
	}
	return f.prepare()
}

// call runs the body on parameters; results stay in the frame's own memory.
func (f *frame) call(ctx context.Context, params []*operandView) error {
	if err := f.enter(params); err != nil {
		return err
	}
	for i := range f.b.Results {
		if err := f.ownOutput(i); err != nil {
			return err
		}
	}
	return f.run(ctx)
}

// output reads result i of a body into o.
func (f *frame) output(i int, o *operandView) {
	id := f.b.Results[i]
	o.t.Elem, o.boxed = f.b.Bufs[id].Elem, false
	if f.b.Bufs[id].Boxed() {
		o.hold(f.bufs[id].val)
		return
	}
	f.result(i, &o.t)
}

// deliver copies a value to result i of a control step, defining late extents.
func (f *frame) deliver(st *program.Step, i int, o *operandView) error {
	u, t := &st.Out[i], &o.t
	if o.boxed {
		return f.adoptBox(st, i, o.val)
	}
	if err := f.adopt(st, i, t, true); err != nil {
		return err
	}
	buf := &f.bufs[u.Buf]
	n := len(t.Data)
	kind := f.b.Bufs[u.Buf].Kind
	if (kind == program.BufHeap || kind == program.BufOutput) && !buf.fixed && (buf.ptr == nil || buf.bytes != n) {
		if err := f.s.grow(buf, n); err != nil {
			return err
		}
	}
	if buf.bytes < n {
		return fmt.Errorf("result %d of shape %v needs %d bytes, its place has %d", i, t.Shape, n, buf.bytes)
	}
	if n > 0 {
		copy(unsafe.Slice((*byte)(f.pointer(u)), n), t.Data)
	}
	return nil
}

// branchStep runs one of two bodies.
type branchStep struct {
	st     *program.Step
	views  []*operandView
	bodies [2]*frame
	params []*operandView
	out    operandView
}

func newBranchStep(s *Session, b *program.Body, st *program.Step) (runner, error) {
	if len(st.Bodies) != 2 || len(st.Present) == 0 || !st.Present[0] || b.Bufs[st.In[0].Buf].Elem != dtype.Bool {
		return nil, fmt.Errorf("branch wants a condition and two bodies")
	}
	br := &branchStep{st: st, views: operandViews(b, st)}
	for i := range st.Bodies {
		if len(st.Bodies[i].Params) != len(st.Present)-1 || len(st.Bodies[i].Results) != len(st.Out) {
			return nil, fmt.Errorf("branch: body %d does not fit its operands or results", i)
		}
		f, err := newFrame(s, &st.Bodies[i])
		if err != nil {
			return nil, err
		}
		br.bodies[i] = f
	}
	for _, v := range br.views[1:] {
		if v == nil {
			return nil, fmt.Errorf("branch: an operand is absent")
		}
		br.params = append(br.params, v)
	}
	return br, nil
}

func (br *branchStep) bytes() int64 { return br.bodies[0].bytes() + br.bodies[1].bytes() }

func (br *branchStep) bind(*frame) error { return nil }

func (br *branchStep) run(f *frame, ctx context.Context) error {
	if err := f.refresh(br.views); err != nil {
		return err
	}
	if br.views[0].t.Len() != 1 {
		return fmt.Errorf("condition has shape %v, want one element", br.views[0].t.Shape)
	}
	b := br.bodies[1]
	if br.views[0].t.Data[0] != 0 {
		b = br.bodies[0]
	}
	if err := b.call(ctx, br.params); err != nil {
		return err
	}
	for i := range br.st.Out {
		b.output(i, &br.out)
		if err := f.deliver(br.st, i, &br.out); err != nil {
			return err
		}
	}
	return nil
}

// loopStep runs a body until its condition or trip count ends it. Operands: trip count or absent, condition or
// absent, carried values, captures. Body: iteration, condition, carried values, captures -> condition, carried
// values, scan outputs. Results: carried values, then scan outputs, stacked along a new first axis.
type loopStep struct {
	st      *program.Step
	views   []*operandView
	body    *frame
	carried int
	iter    operandView
	cond    operandView
	state   []*operandView // carried values between iterations, in memory of the step's own
	params  []*operandView
	out     operandView
	scans   []scan
}

// scan collects one scan output.
type scan struct {
	data  []byte
	str   []string
	shape []int
	n     int
}

func newLoopStep(s *Session, b *program.Body, st *program.Step) (runner, error) {
	l := &loopStep{st: st, views: operandViews(b, st), carried: int(st.Carried)}
	bad := len(st.Bodies) != 1 || len(l.views) < 2+l.carried || l.carried < 0 || len(st.Out) < l.carried
	if !bad {
		bo := &st.Bodies[0]
		bad = len(bo.Params) != len(l.views) || len(bo.Results) != 1+len(st.Out)
	}
	if bad {
		return nil, fmt.Errorf("loop: body does not fit its operands or results")
	}
	var err error
	if l.body, err = newFrame(s, &st.Bodies[0]); err != nil {
		return nil, err
	}
	l.iter.t = *tensor.New(dtype.I64)
	l.cond.t = *tensor.New(dtype.Bool)
	l.params = append(l.params, &l.iter, &l.cond)
	for i, v := range l.views[2:] {
		if v == nil {
			return nil, fmt.Errorf("loop: operand %d is absent", i+2)
		}
		if i < l.carried {
			o := &operandView{t: tensor.Tensor{Elem: v.t.Elem}}
			l.state = append(l.state, o)
			l.params = append(l.params, o)
		} else {
			l.params = append(l.params, v)
		}
	}
	l.scans = make([]scan, len(st.Out)-l.carried)
	return l, nil
}

func (l *loopStep) bytes() int64 {
	n := l.body.bytes()
	for _, o := range l.state {
		n += int64(len(o.t.Data))
	}
	for i := range l.scans {
		n += int64(len(l.scans[i].data))
	}
	return n
}

func (l *loopStep) bind(*frame) error { return nil }

func (l *loopStep) run(f *frame, ctx context.Context) error {
	if err := f.refresh(l.views); err != nil {
		return err
	}
	trips := int64(math.MaxInt64)
	if v := l.views[0]; v != nil {
		if v.t.Len() != 1 || !v.t.Elem.IsInt() {
			return fmt.Errorf("trip count has shape %v, want one element", v.t.Shape)
		}
		trips = v.t.Int(0)
	}
	l.cond.t.Data[0] = 1
	if v := l.views[1]; v != nil {
		if v.t.Len() != 1 {
			return fmt.Errorf("condition has shape %v, want one element", v.t.Shape)
		}
		l.cond.t.Data[0] = v.t.Data[0]
	}
	for i, o := range l.state {
		if err := f.s.keep(o, l.views[2+i]); err != nil {
			return err
		}
	}
	for i := range l.scans {
		l.scans[i] = scan{data: l.scans[i].data[:0], str: l.scans[i].str[:0]}
	}
	for it := int64(0); it < trips && l.cond.t.Data[0] != 0; it++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.iter.t.SetInt(0, it)
		if err := l.iterate(f, ctx); err != nil {
			return fmt.Errorf("iteration %d: %w", it, err)
		}
	}
	return l.finish(f)
}

// iterate runs the body once and takes its results over.
func (l *loopStep) iterate(f *frame, ctx context.Context) error {
	if err := l.body.call(ctx, l.params); err != nil {
		return err
	}
	for i := range l.body.b.Results {
		l.body.output(i, &l.out)
		switch {
		case i == 0:
			if l.out.t.Len() != 1 {
				return fmt.Errorf("condition has shape %v, want one element", l.out.t.Shape)
			}
			l.cond.t.Data[0] = l.out.t.Data[0]
		case i <= l.carried:
			if err := f.s.keep(l.state[i-1], &l.out); err != nil {
				return err
			}
		default:
			if err := l.scans[i-1-l.carried].add(&l.out.t, f.s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scan) add(t *tensor.Tensor, ses *Session) error {
	if s.n > 0 && !slices.Equal(s.shape, t.Shape) {
		return fmt.Errorf("scan output changes shape from %v to %v", s.shape, t.Shape)
	}
	if n := len(s.data) + len(t.Data); n > cap(s.data) {
		grown, err := ses.alloc(2 * n)
		if err != nil {
			return fmt.Errorf("scan output: %w", err)
		}
		copy(grown, s.data)
		ses.free(s.data)
		s.data = grown[:len(s.data)]
	}
	s.shape = append(s.shape[:0], t.Shape...)
	s.data = append(s.data, t.Data...)
	s.str = append(s.str, t.Str...)
	s.n++
	return nil
}

// keep copies a value into memory of o's own; what is boxed never changes.
func (s *Session) keep(o, v *operandView) error {
	if o.boxed = v.boxed; v.boxed {
		o.hold(v.val)
		return nil
	}
	t, from := &o.t, &v.t
	t.Shape = append(t.Shape[:0], from.Shape...)
	if cap(t.Data) < len(from.Data) {
		b, err := s.alloc(len(from.Data) + len(from.Data)/4)
		if err != nil {
			return err
		}
		s.free(t.Data)
		t.Data = b
	}
	t.Data = t.Data[:len(from.Data)]
	copy(t.Data, from.Data)
	return nil
}

func (l *loopStep) finish(f *frame) error {
	for i := range l.st.Out {
		if i < l.carried {
			if err := f.deliver(l.st, i, l.state[i]); err != nil {
				return err
			}
			continue
		}
		s := &l.scans[i-l.carried]
		l.out.boxed = false
		t := &l.out.t
		t.Elem = f.b.Bufs[l.st.Out[i].Buf].Elem
		t.Shape = append(t.Shape[:0], s.n)
		if s.n > 0 {
			t.Shape = append(t.Shape, s.shape...)
		} else {
			for _, r := range l.st.Out[i].Shape[1:] {
				t.Shape = append(t.Shape, int(max(f.s.vals[r], 0)))
			}
		}
		t.Data = s.data
		if t.Elem == dtype.String {
			l.out.hold(tensor.ValueOf(&tensor.Tensor{Elem: t.Elem, Shape: append([]int(nil), t.Shape...), Str: append([]string(nil), s.str...)}))
		}
		if err := f.deliver(l.st, i, &l.out); err != nil {
			return err
		}
	}
	return nil
}
