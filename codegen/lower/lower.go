// Package lower turns a function of groups into kernel-level IR. It decides nothing: what a group contains
// is settled by then, and views become strides. A group that it cannot lower is a bug of the pass that made
// it.
package lower

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/runtime/program"
)

// Options of a lowering.
type Options struct {
	// Supports reports whether the target has kernels for a form; a node whose form it lacks becomes a host step.
	Supports func(f *op.Form) bool
}

// place is where a value lives: a buffer seen through strides, one per axis of the value.
type place struct {
	buf    *kir.Buf
	off    dim.Expr
	stride []dim.Expr
}

// function is the lowering of one ir.Func: what its nested bodies share.
type function struct {
	m      *ir.Module
	f      *ir.Func
	table  *op.Table
	opts   Options
	consts map[int]*kir.Const
	out    *kir.Module
	uses   []int
	late   map[string]bool // late symbols defined so far
	states []program.State
	caps   []int64 // the capacity of each
}

// lowerer lowers one region into one body.
type lowerer struct {
	*function
	body   *kir.Body
	places map[int]*place // by value ID
	dest   map[int]*place // where a value's producer must write
	cbufs  map[*kir.Const]*kir.Buf
	top    bool           // the body is the entry's own
	last   map[int]bool   // values that lie with the channels last
	copies map[int]*place // such copies of values that lie otherwise

	divided map[int][]*outlet // values that are written in parts
	passed  map[*ir.Node]bool // views that parts are written through
}

// Module lowers every entry.
func Module(m *ir.Module, table *op.Table, opts Options) (*kir.Module, error) {
	out := &kir.Module{Name: m.Name, Dims: m.Dims}
	consts := map[int]*kir.Const{}
	for _, f := range m.Funcs {
		fn := &function{m: m, f: f, table: table, opts: opts, consts: consts, out: out, uses: f.Uses(), late: map[string]bool{}}
		if f == m.Main() {
			fn.findStates()
		}
		body, err := fn.region(f.Body)
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, &kir.Entry{Name: f.Name, Inputs: f.Inputs, Outputs: f.Outputs, Body: body, States: fn.states})
	}
	return out, nil
}

// region lowers a region into a body of its own.
func (fn *function) region(r *ir.Region) (*kir.Body, error) {
	l := &lowerer{function: fn, body: &kir.Body{}, places: map[int]*place{}, dest: map[int]*place{}, cbufs: map[*kir.Const]*kir.Buf{}, top: r == fn.f.Body,
		last: map[int]bool{}, copies: map[int]*place{}, divided: map[int][]*outlet{}, passed: map[*ir.Node]bool{}}
	l.planLayouts(r)
	for i, p := range r.Params {
		b := l.body.NewValueBuf(program.BufInput, p.Type, nameOf(p))
		b.Index = i
		if l.top {
			l.reserve(b, p.Type.Shape, func(s *program.State) bool { return int(s.Input) == i })
		}
		l.body.Params = append(l.body.Params, b)
		l.places[p.ID] = whole(b)
		for a, e := range p.Type.Shape {
			l.body.Defs = append(l.body.Defs, l.defines(e, i, a)...)
		}
	}
	l.assignResults(r)
	l.assignTransposed(r)
	l.assignConcats(r)
	for _, n := range r.Nodes {
		if err := l.node(n); err != nil {
			return nil, err
		}
	}
	for i, v := range r.Results {
		if b := l.body.Results[i]; b != nil {
			continue
		}
		b := l.newResult(v, i)
		src, err := l.place(v)
		if err != nil {
			return nil, err
		}
		l.copy(v.Type, src, whole(b), nil)
	}
	return l.body, nil
}

// defines lists the late symbol that an extent of an output or parameter binds first.
func (fn *function) defines(e dim.Expr, out, axis int) []kir.LateDef {
	s, ok := e.Symbol()
	if !ok || !fn.m.Dims.Info(s).Late || fn.late[s] {
		return nil
	}
	fn.late[s] = true
	return []kir.LateDef{{Sym: s, Out: out, Axis: axis}}
}

func nameOf(v *ir.Value) string {
	if len(v.Is) > 0 {
		return v.Is[0]
	}
	return v.Name
}

func whole(b *kir.Buf) *place { return &place{buf: b, stride: rowMajor(b.Shape)} }

func rowMajor(shape []dim.Expr) []dim.Expr {
	s := make([]dim.Expr, len(shape))
	n := dim.Const(1)
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n = dim.Mul(n, shape[i])
	}
	return s
}

func (l *lowerer) newResult(v *ir.Value, i int) *kir.Buf {
	b := l.body.NewValueBuf(program.BufOutput, v.Type, nameOf(v))
	b.Index = i
	if l.top {
		l.reserve(b, v.Type.Shape, func(s *program.State) bool { return int(s.Output) == i })
	}
	l.body.Results[i] = b
	return b
}

// assignResults lets the producer of each result write straight into the result's storage, unless the value
// is a view, a constant or a parameter: those are copied at the end.
func (l *lowerer) assignResults(r *ir.Region) {
	l.body.Results = make([]*kir.Buf, len(r.Results))
	for i, v := range r.Results {
		if v.Def == nil || !l.computes(v) || l.dest[v.ID] != nil || l.last[v.ID] {
			continue
		}
		l.dest[v.ID] = whole(l.newResult(v, i))
	}
}

// computes reports whether the producer of v writes fresh storage.
func (l *lowerer) computes(v *ir.Value) bool {
	if v.Def.Op == ir.OpConst {
		return false
	}
	d := l.table.Def(v.Def.Op)
	return d == nil || !d.View || l.form(v.Def) == nil
}

// assignConcats lets the operands of a concatenation be written straight into their parts of its result:
// those that kernel groups compute for it alone, be it seen through views.
func (l *lowerer) assignConcats(r *ir.Region) {
	find := l.newOutlets(r)
	for i := len(r.Nodes) - 1; i >= 0; i-- {
		n := r.Nodes[i]
		f := l.form(n)
		if f == nil || !f.Concat {
			continue
		}
		out := n.Out[0]
		if l.m.Dims.Late(dim.Product(out.Type.Shape)) {
			continue // its storage exists only when all parts are known
		}
		if l.dest[out.ID] == nil {
			l.dest[out.ID] = l.layoutOf(out, l.body.NewBuf(program.BufTemp, out.Type.Elem, out.Type.Shape, nameOf(out)))
		}
		l.parts(n, f, l.dest[out.ID], func(v *ir.Value, p *place) {
			switch {
			case v.Def == nil || l.uses[v.ID] != 1 || l.dest[v.ID] != nil:
			case l.strided(v.Def):
				l.dest[v.ID] = p
			default:
				find.want(v, p)
			}
		})
	}
	find.finish()
}

// assignTransposed lets a kernel write in the order that a transpose makes of its result, where a reshape that needs this order
// follows: the heads of attention, which become one axis. Nobody else may read the result, and its last axis stays the last, so that
// kernels write runs of elements.
func (l *lowerer) assignTransposed(r *ir.Region) {
	for _, n := range r.Nodes {
		t, perm := l.permuted(n)
		if t == nil {
			continue
		}
		v := t.Def.In[0]
		last := len(perm) - 1
		if v.Def == nil || l.uses[v.ID] != 1 || l.dest[v.ID] != nil || l.last[v.ID] || !l.strided(v.Def) || last < 0 || perm[last] != last ||
			l.m.Dims.Late(dim.Product(t.Type.Shape)) {
			continue
		}
		row, stride := rowMajor(v.Type.Shape), make([]dim.Expr, len(perm))
		for i, a := range perm {
			stride[i] = row[a]
		}
		if _, ok := reshapeStrides(t.Type.Shape, stride, n.Out[0].Type.Shape); ok {
			continue // a view even so
		}
		b := l.body.NewBuf(program.BufTemp, v.Type.Elem, t.Type.Shape, nameOf(v))
		p := &place{buf: b, stride: make([]dim.Expr, len(perm))}
		for i, s := range rowMajor(t.Type.Shape) {
			p.stride[perm[i]] = s
		}
		l.dest[v.ID] = p
	}
}

// permuted returns the operand of a reshape, and the order of its axes, where it is a transpose.
func (l *lowerer) permuted(n *ir.Node) (*ir.Value, []int) {
	f := l.viewOf(n, op.ViewReshape)
	if f == nil || n.In[0].Def == nil {
		return nil, nil
	}
	f = l.viewOf(n.In[0].Def, op.ViewPerm)
	if f == nil {
		return nil, nil
	}
	return n.In[0], f.Views[0].Perm
}

// viewOf is the node's form where it is one view of that kind.
func (l *lowerer) viewOf(n *ir.Node, kind op.ViewKind) *op.Form {
	if f := l.viewsOf(n); f != nil && len(f.Views) == 1 && f.Views[0].Kind == kind {
		return f
	}
	return nil
}

// viewsOf is the node's form where it is views.
func (l *lowerer) viewsOf(n *ir.Node) *op.Form {
	if d := l.table.Def(n.Op); d == nil || !d.View {
		return nil
	}
	if f := l.form(n); f != nil && f.Views != nil {
		return f
	}
	return nil
}

// strided reports whether the node's producer can write through strides: kernel groups can, host steps and
// control flow want contiguous storage.
func (l *lowerer) strided(n *ir.Node) bool {
	if n.Op == GroupOp {
		return true
	}
	f := l.form(n)
	return f != nil && f.Views == nil && f.Anchor != anchor.Branch && f.Anchor != anchor.Loop
}

// parts calls fn with each operand of a concatenation and its part of the result.
func (l *lowerer) parts(n *ir.Node, f *op.Form, whole *place, fn func(*ir.Value, *place)) {
	off := whole.off
	for _, v := range n.In {
		if v == nil {
			continue
		}
		fn(v, &place{whole.buf, off, whole.stride})
		off = dim.Add(off, dim.Mul(v.Type.Shape[f.ConcatAxis], whole.stride[f.ConcatAxis]))
	}
}

// form is the node's Form where the target supports it, else nil.
func (l *function) form(n *ir.Node) *op.Form {
	d := l.table.Def(n.Op)
	if d == nil || d.Form == nil {
		return nil
	}
	f := &op.Form{Node: op.Node{M: l.m, N: n}}
	if err := d.Form(f); err != nil {
		if !errors.Is(err, op.ErrNoForm) {
			ir.Bugf(n, "form: %v", err)
		}
		return nil
	}
	if f.Views == nil && !f.Concat && f.Anchor != anchor.Branch && f.Anchor != anchor.Loop && l.opts.Supports != nil && !l.opts.Supports(f) {
		return nil
	}
	return f
}

func (l *lowerer) node(n *ir.Node) error {
	switch n.Op {
	case ir.OpConst:
		a, _ := n.Attrs.Get("data")
		l.places[n.Out[0].ID] = whole(l.constBuf(l.constant(int(a.I))))
		return nil
	case ir.OpDims:
		return l.host(n, "dims", attr.List{{Name: "elems", Value: attr.OfDims(n.Attrs.Dims("elems"))}})
	}
	d := l.table.Def(n.Op)
	if d == nil {
		ir.Bugf(n, "operator %q is not in the table", n.Op)
	}
	f := l.form(n)
	switch {
	case n.Op == GroupOp:
		return l.group(n)
	case f == nil && d.Host.Run != nil:
		return l.host(n, d.Host.Name, n.Attrs)
	case f == nil:
		return n.Errorf(ir.ErrUnsupported, "operator %s has no kernel for %v", n.Op, operandTypes(n))
	case f.Views != nil:
		return l.views(n, f)
	case f.Concat:
		return l.concat(n, f)
	case f.Anchor == anchor.Branch || f.Anchor == anchor.Loop:
		return l.control(n, f)
	}
	return l.single(n, f)
}

func operandTypes(n *ir.Node) []string {
	var s []string
	for _, v := range n.In {
		if v != nil {
			s = append(s, v.Type.String())
		}
	}
	return s
}

func (l *function) constant(index int) *kir.Const {
	c := l.consts[index]
	if c == nil {
		c = &kir.Const{Name: l.m.Consts[index].Name, Tensor: l.m.Consts[index].Tensor}
		l.consts[index] = c
		l.out.Consts = append(l.out.Consts, c)
	}
	return c
}

// constBuf is the body's view of a constant.
func (l *lowerer) constBuf(c *kir.Const) *kir.Buf {
	b := l.cbufs[c]
	if b == nil {
		b = l.body.NewBuf(program.BufConst, c.Tensor.Elem, dim.Consts(c.Tensor.Shape), c.Name)
		b.Const = c
		l.cbufs[c] = b
	}
	return b
}

func (l *lowerer) place(v *ir.Value) (*place, error) {
	p := l.places[v.ID]
	if p == nil {
		return nil, fmt.Errorf("value %q is not defined", v.Name)
	}
	return p, nil
}

// result is where value v of a node is to be written: its destination, or new storage.
func (l *lowerer) result(v *ir.Value) *place {
	p := l.dest[v.ID]
	if p == nil {
		p = l.layoutOf(v, l.body.NewValueBuf(program.BufTemp, v.Type, nameOf(v)))
	}
	l.places[v.ID] = p
	return p
}

// contiguous reports whether a place is row-major without gaps.
func contiguous(p *place, shape []dim.Expr) bool {
	want := rowMajor(shape)
	for i, s := range p.stride {
		if !shape[i].IsConst(1) && !dim.Equal(s, want[i]) {
			return false
		}
	}
	return true
}

// dense returns a row-major place of v's value, copying where it is not one already.
func (l *lowerer) dense(v *ir.Value) (*place, error) {
	p, err := l.place(v)
	if err != nil {
		return nil, err
	}
	if p.buf.Boxed() {
		return p, nil
	}
	if contiguous(p, v.Type.Shape) {
		return &place{p.buf, p.off, rowMajor(v.Type.Shape)}, nil
	}
	q := whole(l.body.NewBuf(program.BufTemp, v.Type.Elem, v.Type.Shape, nameOf(v)))
	l.copy(v.Type, p, q, v.Def)
	l.places[v.ID] = q
	return q, nil
}
