package lower

import (
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

type attrList = attr.List

// GroupOp is the operator that the fuse pass wraps groups in.
const GroupOp = "group"

// single lowers a node by itself.
func (l *lowerer) single(n *ir.Node, f *op.Form) error {
	b := l.newFuse(n.Locs, func(v *ir.Value) *ir.Value { return v })
	if err := b.add(n, f); err != nil {
		return err
	}
	return b.finish(n.Out, n.Out)
}

// group lowers a group node: the forms of its nodes, inlined around one anchor.
func (l *lowerer) group(n *ir.Node) error {
	r := n.Regions[0]
	outer := map[int]*ir.Value{}
	for i, p := range r.Params {
		outer[p.ID] = n.In[i]
	}
	b := l.newFuse(n.Locs, func(v *ir.Value) *ir.Value { return outer[v.ID] })
	var an *ir.Node
	forms := make([]*op.Form, len(r.Nodes))
	for i, m := range r.Nodes {
		if m.Op == ir.OpConst {
			continue
		}
		f := l.form(m)
		if f == nil {
			ir.Bugf(n, "group contains %q, which has no form", m.Op)
		}
		forms[i] = f
		if f.Anchor != anchor.Map {
			if an != nil {
				ir.Bugf(n, "group has two anchors, %q and %q", an.Op, m.Op)
			}
			an = m
		}
	}
	for i, m := range r.Nodes {
		if m.Op == ir.OpConst {
			a, _ := m.Attrs.Get("data")
			b.consts[m.Out[0].ID] = whole(l.constBuf(l.constant(int(a.I))))
		} else if an != nil && feeds(m, an) {
			if err := b.add(m, forms[i]); err != nil {
				return err
			}
		}
	}
	for i, m := range r.Nodes {
		if m == an {
			if err := b.add(m, forms[i]); err != nil {
				return err
			}
		}
	}
	for i, m := range r.Nodes {
		if m == an || m.Op == ir.OpConst || an != nil && feeds(m, an) {
			continue
		}
		if err := b.add(m, forms[i]); err != nil {
			return err
		}
	}
	return b.finish(r.Results, n.Out)
}

// feeds reports whether n computes something that to depends on.
func feeds(n, to *ir.Node) bool {
	for _, v := range to.In {
		if v != nil && v.Def != nil && (v.Def == n || feeds(n, v.Def)) {
			return true
		}
	}
	return false
}

// fuse assembles one kir group.
type fuse struct {
	*lowerer
	g      *kir.Group
	b      *tile.Builder
	outer  func(*ir.Value) *ir.Value // the value outside that a parameter stands for
	consts map[int]*place            // constants inside the group
	regs   map[int]tile.Reg          // values computed inside, by ID
	maps   map[int]resultMap         // how each of them lies in the space
	keys   map[string]int            // operand number by use
	anchor bool                      // the anchor has been added
	made   resultMap                 // of the anchor's first result
}

// resultMap is the map of a value computed inside the group, and the group's axes that it speaks of.
type resultMap struct {
	m    op.Map
	axes []int
}

func (l *lowerer) newFuse(locs []ir.Loc, outer func(*ir.Value) *ir.Value) *fuse {
	return &fuse{lowerer: l, g: &kir.Group{Locs: locs}, b: tile.NewBuilder(), outer: outer,
		consts: map[int]*place{}, regs: map[int]tile.Reg{}, maps: map[int]resultMap{}, keys: map[string]int{}}
}

// add inlines one node. The space of the group is that of its anchor, which must come before any node that
// is not a prologue of it; a group without one takes the last node's space, which all share.
func (b *fuse) add(n *ir.Node, f *op.Form) error {
	var axes []int // the group's axis for each axis of the form
	switch {
	case f.Anchor != anchor.Map || len(b.g.Space) == 0:
		if b.anchor {
			ir.Bugf(n, "second anchor")
		}
		old := b.g.Space
		b.g.Space = nil
		for i, a := range f.Space {
			b.g.Space = append(b.g.Space, kir.Axis{Name: a.Name, Extent: a.Extent, Red: a.Red})
			axes = append(axes, i)
		}
		if old != nil && len(old) != len(b.g.Space) {
			ir.Bugf(n, "prologue of another rank")
		}
		b.g.Anchor = f.Anchor
		if f.Anchor != anchor.Map {
			b.anchor = true
			b.g.Op = n.Op
		}
		b.g.Window, b.g.Attend = f.Window, f.Attend
		if f.Anchor == anchor.Window && b.lastWindow(n, f, func(v *ir.Value) *ir.Value {
			if o := b.outer(v); o != nil {
				return o
			}
			return v
		}) {
			w := *f.Window
			w.Last = true
			b.g.Window = &w
		}
	default:
		axes = b.parAxes(n, f)
	}
	if b.g.Op == "" {
		b.g.Op = n.Op
	}
	if err := b.anchorOperands(n, f, axes); err != nil {
		return err
	}
	return b.inline(n, f, axes)
}

// parAxes maps the axes of an element-wise node to the axes of the group: through an operand computed inside,
// whose place in the space is known, else one by one.
func (b *fuse) parAxes(n *ir.Node, f *op.Form) []int {
	l := make([]int, len(f.Space))
	for _, v := range n.In {
		if v == nil {
			continue
		}
		rm, ok := b.maps[v.ID]
		if !ok || len(rm.m) != len(l) {
			continue
		}
		for i, at := range rm.m {
			l[i] = -1
			if at.Axis >= 0 {
				l[i] = rm.axes[at.Axis]
			}
		}
		return l
	}
	if b.anchor && len(b.made.m) == len(l) {
		for i, at := range b.made.m {
			l[i] = -1
			if at.Axis >= 0 {
				l[i] = b.made.axes[at.Axis]
			}
		}
		return l
	}
	if len(l) > len(b.g.Space) {
		ir.Bugf(n, "element-wise node of rank %d in a space of %d axes", len(l), len(b.g.Space))
	}
	for i := range l {
		l[i] = i
	}
	return l
}

// anchorOperands adds the operands that an anchor reads itself, in their fixed order.
func (b *fuse) anchorOperands(n *ir.Node, f *op.Form, axes []int) error {
	count := 0
	switch f.Anchor {
	case anchor.Contract:
		count = 2
	case anchor.Window:
		count = 1
		if f.Window.Combine == anchor.Dot {
			count = 2
		}
	case anchor.Attend:
		count = len(n.In)
	}
	for i := 0; i < count; i++ {
		if n.In[i] == nil {
			continue
		}
		p, t, err := b.outside(n.In[i])
		if err != nil {
			return err
		}
		if p == nil {
			ir.Bugf(n, "operand %d is computed inside the group", i)
		}
		if f.Anchor != anchor.Window && b.backward(p) { // kernels walk factors forwards
			if o := b.outer(n.In[i]); o != nil {
				p = b.densely(o, p)
			}
		}
		if f.Anchor == anchor.Window && i == 0 && b.g.Window.Last {
			if p, err = b.inLast(b.outer(n.In[i]), n); err != nil {
				return err
			}
		} else if f.Anchor == anchor.Window && !contiguous(p, t.Shape) { // its kernels take whole pictures
			if p, err = b.dense(b.outer(n.In[i])); err != nil {
				return err
			}
		}
		u, err := b.use(n, f, i, p, t.Shape, axes)
		if err != nil {
			return err
		}
		u.Shape = t.Shape
		if f.Anchor == anchor.Attend && (i == 1 || i == 2) {
			u.Stride[axes[1]] = p.stride[1] // keys and values count heads of their own
		}
		b.g.Masked = b.g.Masked || f.Anchor == anchor.Attend && i == 3
		b.g.In = append(b.g.In, u)
	}
	return nil
}

// outside returns where a value from outside the group lives; nil for values computed inside.
func (b *fuse) outside(v *ir.Value) (*place, ir.Type, error) {
	if p := b.consts[v.ID]; p != nil {
		return p, v.Type, nil
	}
	if _, ok := b.regs[v.ID]; ok {
		return nil, v.Type, nil
	}
	o := b.outer(v)
	if o == nil {
		ir.Bugf(nil, "group reads a value of no origin")
	}
	p, err := b.place(o)
	return p, o.Type, err
}

// backward reports whether a place may be seen from its end: through a stride that is not known to be 0 or more.
func (b *fuse) backward(p *place) bool {
	for _, s := range p.stride {
		if lo, _ := b.m.Dims.Range(s); lo < 0 {
			return true
		}
	}
	return false
}

// densely copies a value into row-major storage.
func (b *fuse) densely(v *ir.Value, p *place) *place {
	q := whole(b.body.NewBuf(program.BufTemp, v.Type.Elem, v.Type.Shape, nameOf(v)))
	b.copy(v.Type, p, q, v.Def)
	return q
}

// use makes the use of an operand of node n through the form's map.
func (b *fuse) use(n *ir.Node, f *op.Form, operand int, p *place, shape []dim.Expr, axes []int) (kir.Use, error) {
	u := kir.Use{Buf: p.buf, Off: p.off, Stride: make([]dim.Expr, len(b.g.Space))}
	m := f.Maps[operand]
	for t, at := range m {
		switch {
		case at.Via > 0:
			idx, err := b.load(n, f, at.Via-1, axes)
			if err != nil {
				return u, err
			}
			u.Via = append(u.Via, kir.Via{Operand: idx, Extent: shape[t], Stride: p.stride[t]})
		case at.Axis >= 0:
			a := axes[at.Axis]
			if a < 0 {
				continue
			}
			u.Stride[a] = dim.Add(u.Stride[a], keep(shape[t], b.g.Space[a].Extent, p.stride[t]))
		}
	}
	return u, nil
}

// load returns the operand number through which the group reads operand i of node n, adding it.
func (b *fuse) load(n *ir.Node, f *op.Form, i int, axes []int) (int, error) {
	v := n.In[i]
	p, t, err := b.outside(v)
	if err != nil {
		return 0, err
	}
	if p == nil {
		ir.Bugf(n, "operand %d is addressed through a value computed inside the group", i)
	}
	u, err := b.use(n, f, i, p, t.Shape, axes)
	if err != nil {
		return 0, err
	}
	key := useKey(&u)
	if k, ok := b.keys[key]; ok {
		return k, nil
	}
	k := len(b.g.In)
	b.keys[key] = k
	b.g.In = append(b.g.In, u)
	return k, nil
}

func useKey(u *kir.Use) string {
	k := u.Buf.Name + string(rune(u.Buf.ID)) + ":" + u.Off.Key()
	for _, s := range u.Stride {
		k += "," + s.Key()
	}
	for _, v := range u.Via {
		k += ";" + string(rune(v.Operand)) + "," + v.Stride.Key()
	}
	return k
}

// immediate holds a constant of one element in the program.
func (b *fuse) immediate(v *ir.Value) (tile.Reg, bool) {
	if o := b.outer(v); o != nil {
		v = o
	}
	t := b.m.ConstOf(v)
	if t == nil || t.Len() != 1 || t.Elem.IsSubByte() {
		return 0, false
	}
	switch c := tile.ClassOf(t.Elem); c {
	case tile.F32, tile.F64:
		return b.b.Float(c, t.Float(0)), true
	case tile.I64, tile.Mask:
		return b.b.Int(c, t.Int(0)), true
	}
	return 0, false
}

// inline appends the node's program.
func (b *fuse) inline(n *ir.Node, f *op.Form, axes []int) error {
	var acc tile.Reg = -1
	for i := range f.Prog.Code {
		if in := &f.Prog.Code[i]; in.Op == tile.Acc {
			acc = b.b.Acc(in.Class)
		}
	}
	var lerr error
	load := func(arg int) (tile.Reg, bool) {
		v := n.In[arg]
		if r, ok := b.regs[v.ID]; ok {
			return r, true
		}
		if r, ok := b.immediate(v); ok {
			return r, true
		}
		k, err := b.load(n, f, arg, axes)
		if err != nil {
			lerr = err
			return 0, false
		}
		return b.b.Load(k, v.Type.Elem), true
	}
	base := len(b.g.Dims)
	b.g.Dims = append(b.g.Dims, f.Dims...)
	out, err := b.b.Inline(f.Prog, load, acc, func(a int) int { return axes[a] }, base)
	if lerr != nil {
		return lerr
	}
	if err != nil {
		ir.Bugf(n, "tile program: %v", err)
	}
	for arg, r := range out {
		o := n.Out[arg-len(n.In)]
		b.regs[o.ID] = r
		b.maps[o.ID] = resultMap{f.Maps[arg], axes}
		if f.Anchor != anchor.Map && o.Index == 0 {
			b.made = b.maps[o.ID]
		}
	}
	return nil
}

// finish stores the group's results: inner values of the region, outer ones of the node.
func (b *fuse) finish(inner, outer []*ir.Value) error {
	ins := len(b.g.In)
	var parts []*outlet
	var made resultMap
	for i, v := range inner {
		o := outer[i]
		if b.uses[o.ID] == 0 {
			continue
		}
		r, ok := b.regs[v.ID]
		if !ok {
			ir.Bugf(nil, "group result %q is not computed", v.Name)
		}
		if l := b.divided[o.ID]; l != nil {
			b.b.Store(ins, r)
			parts, made = l, b.maps[v.ID]
			continue
		}
		p := b.result(o)
		u := kir.Use{Buf: p.buf, Off: p.off, Stride: make([]dim.Expr, len(b.g.Space)), Shape: o.Type.Shape}
		rm := b.maps[v.ID]
		for t, at := range rm.m {
			if at.Axis >= 0 && rm.axes[at.Axis] >= 0 {
				u.Stride[rm.axes[at.Axis]] = p.stride[t]
			}
		}
		b.b.Store(ins+len(b.g.Out), r)
		b.g.Out = append(b.g.Out, u)
		b.g.Is = append(b.g.Is, nameOf(o))
	}
	b.g.Prog = b.b.Program()
	if err := b.b.Err(); err != nil {
		ir.Bugf(nil, "tile program: %v", err)
	}
	if parts == nil {
		b.emit(b.g)
	}
	for _, o := range parts {
		b.emit(b.part(made, o))
	}
	return nil
}
