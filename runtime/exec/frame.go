package exec

import (
	"context"
	"fmt"
	"time"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/program"
)

// frame is the storage and the prepared steps of one body.
type frame struct {
	s       *Session
	b       *program.Body
	bufs    []storage
	steps   []runner
	stamps  []uint64 // the version each step was prepared for
	arena   []byte
	placer  placer
	version uint64 // of the placement
	total   int    // bytes of the arena in use
	at      int    // the step being run
}

// storage is where a buffer lies now. Pointers change from run to run without the steps being prepared again.
type storage struct {
	ptr   unsafe.Pointer
	bytes int
	own   []byte       // memory of the frame's own: heap buffers and results the caller gave no memory for
	fixed bool         // the caller's memory, which cannot grow
	shape []int        // of a result, as found while running; nil where the program knows it
	val   tensor.Value // of a boxed buffer, which has none of the above
}

// runner is a step bound to a frame. bind is called when extents have changed, run after it.
type runner interface {
	bind(f *frame) error
	run(f *frame, ctx context.Context) error
}

func newFrame(s *Session, b *program.Body) (*frame, error) {
	f := &frame{s: s, b: b, bufs: make([]storage, len(b.Bufs)), stamps: make([]uint64, len(b.Steps))}
	for i := range b.Steps {
		r, err := newRunner(s, b, &b.Steps[i])
		if err != nil {
			f.at = i
			return nil, f.wrap(err)
		}
		f.steps = append(f.steps, r)
	}
	for i := range b.Bufs {
		if b.Bufs[i].Kind == program.BufConst && b.Bufs[i].Index >= 0 {
			c := s.m.consts[b.Bufs[i].Index]
			f.bufs[i] = storage{ptr: c.ptr, bytes: len(c.data), val: c.val}
		}
	}
	return f, nil
}

// where names the step being run.
func (f *frame) where() string {
	if f.at < len(f.b.Steps) {
		st := &f.b.Steps[f.at]
		return fmt.Sprintf("step %d %q (%s)", f.at, st.Node, st.Op)
	}
	return "after the last step"
}

// prepare places the buffers whose size the inputs determine and binds the steps that depend on nothing later.
func (f *frame) prepare() error {
	if f.version == f.s.version {
		return nil
	}
	if err := f.place(); err != nil {
		return err
	}
	for i := range f.b.Steps {
		if f.b.Steps[i].Late {
			continue
		}
		if err := f.bind(i); err != nil {
			return err
		}
		f.stamps[i] = f.s.version
	}
	f.version = f.s.version
	return nil
}

// bind prepares step i for the present extents, after a check that what it addresses lies inside its buffers: a
// program may come from a file that anybody wrote.
func (f *frame) bind(i int) error {
	f.at = i
	if err := f.s.m.Program.Bounds(f.b, i, f.s.vals); err != nil {
		return f.wrap(err)
	}
	if err := f.steps[i].bind(f); err != nil {
		return f.wrap(err)
	}
	return nil
}

func (f *frame) wrap(err error) error {
	st := &f.b.Steps[f.at]
	if st.Node == "" && len(st.Out) > 0 { // a step that no node of the model stands for
		if name := f.b.Bufs[st.Out[0].Buf].Name; name != "" {
			return fmt.Errorf("value %q (%s): %w", name, st.Op, err)
		}
	}
	return fmt.Errorf("node %q (%s): %w", st.Node, st.Op, err)
}

// named adds the model's name of a buffer, or the node that writes it, to an error.
func (f *frame) named(b *program.Buf, err error) error {
	switch {
	case err == nil:
		return nil
	case b.Name != "":
		return fmt.Errorf("value %q: %w", b.Name, err)
	case b.First >= 0 && int(b.First) < len(f.b.Steps):
		f.at = int(b.First)
		return f.wrap(err)
	}
	return err
}

// size is the number of bytes of a buffer at the present extents.
func (f *frame) size(b *program.Buf) (int, error) {
	n := f.s.vals[b.Count]
	if n == dim.Unset {
		return 0, fmt.Errorf("size of a buffer is not known yet")
	}
	if n < 0 || n > 1<<44 {
		return 0, fmt.Errorf("a tensor of %d elements is too large", n)
	}
	return b.Elem.Bytes(int(n)), nil
}

// place lays the arena out for the present extents.
func (f *frame) place() error {
	f.placer.reset()
	for i := range f.b.Bufs {
		b := &f.b.Bufs[i]
		if b.Kind != program.BufTemp || b.Last < 0 {
			continue
		}
		n, err := f.size(b)
		if err != nil {
			return f.named(b, err)
		}
		f.bufs[i].bytes = n
		if b.Alias < 0 {
			f.placer.add(i, n, int(b.First), f.lastOf(i))
		}
	}
	total := f.placer.solve()
	f.total = total
	if len(f.arena) < total {
		arena, err := f.s.alloc(total)
		if err != nil {
			return fmt.Errorf("activations: %w", err)
		}
		f.s.free(f.arena)
		f.arena = arena
	}
	for _, it := range f.placer.items {
		f.bufs[it.id].ptr = bytesPtr(f.arena)
		if it.off < len(f.arena) { // else it is empty, and at the end
			f.bufs[it.id].ptr = unsafe.Add(f.bufs[it.id].ptr, it.off)
		}
	}
	for i := range f.b.Bufs {
		if b := &f.b.Bufs[i]; b.Kind == program.BufTemp && b.Alias >= 0 && b.Last >= 0 {
			f.bufs[i].ptr = f.bufs[f.root(i)].ptr
		}
	}
	return nil
}

func align(b []byte, to uintptr) []byte {
	off := uintptr(bytesPtr(b)) % to
	if off == 0 {
		return b
	}
	return b[to-off:]
}

func (f *frame) root(i int) int {
	for f.b.Bufs[i].Alias >= 0 {
		i = int(f.b.Bufs[i].Alias)
	}
	return i
}

// lastOf is the last step that touches the storage of buffer i through any alias.
func (f *frame) lastOf(i int) int {
	last := int(f.b.Bufs[i].Last)
	for j := range f.b.Bufs {
		if b := &f.b.Bufs[j]; b.Alias >= 0 && b.Last >= 0 && f.root(j) == i {
			last = max(last, int(b.Last))
		}
	}
	return last
}

func (f *frame) bytes() int64 {
	n := int64(len(f.arena))
	for i := range f.bufs {
		n += int64(len(f.bufs[i].own))
	}
	for _, r := range f.steps {
		if c, ok := r.(interface{ bytes() int64 }); ok {
			n += c.bytes()
		}
	}
	return n
}

func (f *frame) setInput(i int, t *tensor.Tensor) {
	id := f.b.Params[i]
	st := &f.bufs[id]
	if f.b.Bufs[id].Boxed() {
		st.val = tensor.ValueOf(t)
		return
	}
	st.ptr, st.bytes = bytesPtr(t.Data), len(t.Data)
}

// ownOutput gives result i memory of the frame's own, if its size is known.
func (f *frame) ownOutput(i int) error {
	id := f.b.Results[i]
	st := &f.bufs[id]
	st.fixed, st.shape = false, nil
	if f.b.Bufs[id].Boxed() {
		return f.s.keepBox(st, tensor.Value{})
	}
	n, err := f.size(&f.b.Bufs[id])
	if err != nil { // known only while running
		st.ptr, st.bytes = nil, 0
		return nil
	}
	return f.named(&f.b.Bufs[id], f.s.grow(st, n))
}

func (f *frame) setOutput(i int, t *tensor.Tensor) {
	st := &f.bufs[f.b.Results[i]]
	if f.b.Bufs[f.b.Results[i]].Boxed() {
		st.val = tensor.Value{}
		return
	}
	st.ptr, st.bytes, st.fixed, st.shape = bytesPtr(t.Data), len(t.Data), true, nil
}

// grow gives a buffer memory of its own for n bytes; what was in it is lost.
func (s *Session) grow(st *storage, n int) error {
	if len(st.own) < n {
		own, err := s.alloc(n)
		if err != nil {
			return err
		}
		s.free(st.own)
		st.own = own
	}
	st.ptr, st.bytes = bytesPtr(st.own), n
	return nil
}

// result describes result i after a run.
func (f *frame) result(i int, t *tensor.Tensor) {
	id := f.b.Results[i]
	st, b := &f.bufs[id], &f.b.Bufs[id]
	t.Shape = t.Shape[:0]
	if b.Boxed() {
		if s := st.val.Tensor; s != nil {
			t.Shape, t.Str = append(t.Shape, s.Shape...), s.Str
		}
		return
	}
	for a, r := range b.Shape {
		v := int(f.s.vals[r])
		if st.shape != nil {
			v = st.shape[a]
		}
		t.Shape = append(t.Shape, v)
	}
	t.Data = unsafe.Slice((*byte)(st.ptr), st.bytes)
	if st.ptr == nil {
		t.Data = []byte{}
	}
}

// run executes the steps in order.
func (f *frame) run(ctx context.Context) error {
	for i := range f.b.Steps {
		st := &f.b.Steps[i]
		f.at = i
		if err := ctx.Err(); err != nil {
			return f.wrap(err)
		}
		if err := f.s.forget(st.Defs); err != nil {
			return f.wrap(err)
		}
		if st.Late && f.stamps[i] != f.s.late {
			if err := f.bind(i); err != nil {
				return err
			}
			f.stamps[i] = f.s.late
		}
		if err := f.reserve(st); err != nil {
			return f.wrap(err)
		}
		if f.s.trace != nil && f == f.s.top {
			start := time.Now()
			if err := f.steps[i].run(f, ctx); err != nil {
				return f.wrap(err)
			}
			f.s.trace(i, start, time.Since(start))
		} else if err := f.steps[i].run(f, ctx); err != nil {
			return f.wrap(err)
		}
		if f.s.hook != nil && f == f.s.top {
			f.show(st)
		}
	}
	return nil
}

// show gives the session's hook the results of a step as dense tensors.
func (f *frame) show(st *program.Step) {
	var names []string
	var res []*tensor.Tensor
	for i := range st.Out {
		u := &st.Out[i]
		t := &tensor.Tensor{Elem: f.b.Bufs[u.Buf].Elem}
		if f.b.Bufs[u.Buf].Boxed() || i >= len(st.Is) || st.Is[i] == "" || !f.shape(t, u.Shape) || t.Elem.IsSubByte() {
			continue
		}
		gather(t, f, st, u)
		names = append(names, st.Is[i])
		res = append(res, t)
	}
	f.s.hook(names, res)
}

// gather copies what a use sees; results lie along the axes that have a stride, in the order of the space.
func gather(t *tensor.Tensor, f *frame, st *program.Step, u *program.Use) {
	n := t.Elem.Bits() / 8
	count := t.Len()
	out := tensor.New(t.Elem, t.Shape...)
	t.Data = out.Data
	if len(u.Stride) == 0 {
		copy(t.Data, unsafe.Slice((*byte)(f.pointer(u)), count*n))
		return
	}
	strides := make([]int, len(t.Shape))
	a := 0
	if len(st.Space) == 0 { // a step without a space: one stride per axis of the result
		for i := range strides {
			strides[i] = int(f.s.vals[u.Stride[i]])
		}
	}
	for i := range st.Space { // axes of the result, in order; those of extent 1 have any stride
		ext, str := int(f.s.vals[st.Space[i].Extent]), int(f.s.vals[u.Stride[i]])
		if ext == 1 || str == 0 {
			continue
		}
		for a < len(t.Shape) && t.Shape[a] == 1 {
			a++
		}
		if a == len(t.Shape) || t.Shape[a] != ext {
			t.Shape, t.Data = []int{0}, nil
			return
		}
		strides[a] = str
		a++
	}
	if count == 0 {
		return
	}
	last := 0
	for i, s := range strides {
		last += (t.Shape[i] - 1) * s
	}
	src := unsafe.Slice((*byte)(f.pointer(u)), (last+1)*n)
	pos := make([]int, len(t.Shape))
	for k := range count {
		off := 0
		for i, p := range pos {
			off += p * strides[i]
		}
		copy(t.Data[k*n:(k+1)*n], src[off*n:])
		for i := len(pos) - 1; i >= 0; i-- {
			if pos[i]++; pos[i] < t.Shape[i] {
				break
			}
			pos[i] = 0
		}
	}
}

// reserve gives memory to outputs whose size became known while running. Steps that find their sizes
// themselves bring their own memory.
func (f *frame) reserve(st *program.Step) error {
	if !st.Late {
		return nil
	}
	for i := range st.Out {
		id := st.Out[i].Buf
		b := &f.b.Bufs[id]
		if b.Boxed() || b.Kind != program.BufHeap && b.Kind != program.BufOutput {
			continue
		}
		if f.s.vals[b.Count] == dim.Unset {
			continue
		}
		size, err := f.size(b)
		if err != nil {
			return err
		}
		if f.bufs[id].fixed {
			if f.bufs[id].bytes != size {
				return fmt.Errorf("a result needs %d bytes, the caller's memory has %d", size, f.bufs[id].bytes)
			}
			continue
		}
		if f.bufs[id].ptr == nil || f.bufs[id].bytes < size || b.First == int32(f.at) {
			if err := f.s.grow(&f.bufs[id], size); err != nil {
				return err
			}
		}
	}
	return nil
}

// pointer is the address of the first element that a use sees.
func (f *frame) pointer(u *program.Use) unsafe.Pointer {
	b := &f.b.Bufs[u.Buf]
	off := int(f.s.vals[u.Off]) * b.Elem.Bits() / 8
	if off <= 0 || off >= f.bufs[u.Buf].bytes { // outside: no element is seen, and a pointer there may be into another object
		return f.bufs[u.Buf].ptr
	}
	return unsafe.Add(f.bufs[u.Buf].ptr, off)
}
