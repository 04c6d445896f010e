package lower

import (
	"slices"
	"strconv"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// A decoder computes queries, keys and values in one product, splits them, splits each into heads, turns those, and appends keys and
// values to what it has. All of that are views, up to the appending, which would copy. Instead the product's group is emitted
// once for each part, over the columns of the part alone, with an axis for the heads, and every part is written where its
// reader wants it:
//
//	%a = matmul(%x, %w)                : f32[B, S, 3*H*D]
//	%q, %k, %v = split(%a, axis: 2)                               [b, s, h, d] of %k is written as
//	%r = reshape(%k)                   : f32[B, S, H, D]     =>   [b, h, P + s, d] of %present
//	%t = transpose(%r, perm: 0 2 1 3)  : f32[B, H, S, D]
//	%present = concat(%past, %t, axis: 2)
//
// An outlet is such a part. It is found from its end, back through the views, each of which has no other reader.

// outlet is a part of a group's result and where it is written.
type outlet struct {
	end  *ir.Value // what lies at place
	to   *place    // without a buffer where it has one of its own, made when the outlet is settled
	from *ir.Value // the value reached so far, at last the group's result
	axes [][]*atom // how each axis of from is walked, outermost first; extents of 1 have none
	cut  int       // the axis of from of which the part takes positions at, at+1, ...; -1: it takes all
	at   dim.Expr
	past []*ir.Node // the views on the way
	seen []sighting // values on the way that have an axis for each atom
}

// atom is an axis of the space in which a part is written.
type atom struct{ extent, stride dim.Expr }

// sighting is a value that is a part as the model has it, and the atoms in the order of its axes.
type sighting struct {
	v     *ir.Value
	atoms []*atom
}

// newOutlet begins at a value that is to lie at a place.
func newOutlet(v *ir.Value, p *place) *outlet {
	o := &outlet{end: v, to: p, from: v, axes: make([][]*atom, v.Rank()), cut: -1}
	for i, e := range v.Type.Shape {
		if !e.IsConst(1) {
			o.axes[i] = []*atom{{e, p.stride[i]}}
		}
	}
	o.sight()
	return o
}

// sight notes that from is a part with an axis for each atom.
func (o *outlet) sight() {
	for _, l := range o.axes {
		if len(l) > 1 {
			return
		}
	}
	if o.cut < 0 {
		o.seen = append(o.seen, sighting{o.from, o.atoms()})
	}
}

// atoms lists the atoms in the order of the axes.
func (o *outlet) atoms() []*atom {
	var l []*atom
	for _, a := range o.axes {
		l = append(l, a...)
	}
	return l
}

// name is the value that a part is in the model, if it is one.
func (o *outlet) name() *ir.Value {
	want := o.atoms()
	for _, s := range slices.Backward(o.seen) {
		if slices.Equal(s.atoms, want) {
			return s.v
		}
	}
	return nil
}

// back goes through the view that from is of another value; false where a part cannot be written through it.
func (o *outlet) back(v op.View) bool {
	n := o.from.Def
	src := n.In[0]
	b := &outlet{axes: make([][]*atom, src.Rank()), cut: -1, at: o.at}
	ok := false
	switch in, out := src.Type.Shape, o.from.Type.Shape; v.Kind {
	case op.ViewPerm:
		for i, a := range v.Perm {
			b.axes[a] = o.axes[i]
			if o.cut == i {
				b.cut = a
			}
		}
		ok = true
	case op.ViewSlice:
		ok = b.slice(o, v, in, out)
	case op.ViewReshape:
		ok = b.reshape(o, in, out)
	}
	if !ok {
		return false
	}
	o.from, o.axes, o.cut, o.at, o.past = src, b.axes, b.cut, b.at, append(o.past, n)
	o.sight()
	return true
}

// slice makes b what o is of a value of which o's is a slice: of at most one axis only some positions are taken, one by one.
func (b *outlet) slice(o *outlet, v op.View, in, out []dim.Expr) bool {
	copy(b.axes, o.axes)
	b.cut = o.cut
	for i := range in {
		switch same := dim.Equal(in[i], out[i]); {
		case same && (v.Steps[i] == 1 || in[i].IsConst(1)):
			continue
		case b.cut >= 0 || v.Steps[i] != 1:
			return false
		}
		b.cut, b.at = i, v.Starts[i]
	}
	return true
}

// reshape makes b what o is of a value of which o's is a reshape. Axes that were made of one are walked in its place; one that
// was made of several must be walked as one, and is taken apart. The axis that is cut must stay as it is.
func (b *outlet) reshape(o *outlet, in, out []dim.Expr) bool {
	runs, ok := runsOf(in, out)
	if !ok {
		return false
	}
	for _, r := range runs {
		alone := len(r.in) == 1 && len(r.out) == 1
		switch {
		case slices.Contains(r.out, o.cut) && !alone:
			return false
		case len(r.in) == 1:
			for _, i := range r.out {
				b.axes[r.in[0]] = append(b.axes[r.in[0]], o.axes[i]...)
			}
			if r.out[0] == o.cut {
				b.cut = r.in[0]
			}
		case len(r.out) == 1 && len(o.axes[r.out[0]]) == 1:
			s := o.axes[r.out[0]][0].stride
			for _, i := range slices.Backward(r.in) {
				b.axes[i] = []*atom{{in[i], s}}
				s = dim.Mul(s, in[i])
			}
		default:
			return false
		}
	}
	return o.cut < 0 || b.cut >= 0
}

// outlets finds the parts of one region.
type outlets struct {
	*lowerer
	readers map[int][]*ir.Node
	forks   []*ir.Value       // values that several views see, in the order found
	parts   map[int][]*outlet // of each fork, those asked for
}

func (l *lowerer) newOutlets(r *ir.Region) *outlets {
	f := &outlets{lowerer: l, readers: map[int][]*ir.Node{}, parts: map[int][]*outlet{}}
	for _, n := range r.Nodes {
		for _, v := range n.In {
			if v != nil {
				f.readers[v.ID] = append(f.readers[v.ID], n)
			}
		}
	}
	return f
}

// want asks that a value which is a view be written at a place. It may turn out that it cannot be.
func (f *outlets) want(v *ir.Value, p *place) {
	o := newOutlet(v, p)
	ok, fork := f.ascend(o)
	switch root := o.from; {
	case !ok:
	case !fork:
		f.assign(root, []*outlet{o})
	default:
		if f.parts[root.ID] == nil {
			f.forks = append(f.forks, root)
		}
		f.parts[root.ID] = append(f.parts[root.ID], o)
	}
}

// ascend goes back from a value whose readers are known to what a group computes, or to a fork, which several views see.
func (f *outlets) ascend(o *outlet) (ok, fork bool) {
	for {
		n := o.from.Def
		if n == nil || f.dest[o.from.ID] != nil {
			return false, false
		}
		if f.strided(n) {
			return f.divisible(o.from), false
		}
		form := f.viewsOf(n)
		if form == nil || !o.back(form.Views[o.from.Index]) {
			return false, false
		}
		if f.uses[o.from.ID] > 1 || len(n.Out) > 1 {
			return true, true
		}
	}
}

// finish settles the forks: where every reader takes a part, those that nobody wants elsewhere get storage of their own.
func (f *outlets) finish() {
	for _, v := range f.forks {
		l := f.complete(v)
		if l == nil || !apart(l) {
			continue
		}
		all := true
		for _, o := range l {
			ok, fork := f.ascend(o)
			all = all && ok && !fork
		}
		if all {
			f.assign(l[0].from, l)
		}
	}
}

// complete lists parts of a fork for all its readers; nil where one of them is no view.
func (f *outlets) complete(v *ir.Value) []*outlet {
	l := f.parts[v.ID]
	if len(f.readers[v.ID]) != f.uses[v.ID] { // a result, or read in an inner body
		return nil
	}
	for _, n := range f.readers[v.ID] {
		form := f.viewsOf(n)
		if form == nil || n.In[0] != v {
			return nil
		}
		for i, out := range n.Out {
			if f.uses[out.ID] == 0 || slices.ContainsFunc(l, func(o *outlet) bool { return o.through(out) }) {
				continue
			}
			o := newOutlet(out, &place{stride: rowMajor(out.Type.Shape)})
			if f.dest[out.ID] != nil || f.last[out.ID] || !o.back(form.Views[i]) {
				return nil
			}
			l = append(l, o)
		}
	}
	return l
}

// through reports whether v is on the way.
func (o *outlet) through(v *ir.Value) bool {
	x := o.end
	for range o.past {
		if x == v {
			return true
		}
		x = x.Def.In[0]
	}
	return false
}

// apart reports whether no two parts of a value share positions: those of one split do not, others have numbers that tell.
func apart(l []*outlet) bool {
	for i, a := range l {
		for _, b := range l[:i] {
			if a.cut < 0 || a.cut != b.cut {
				return false
			}
			if a.past[len(a.past)-1] == b.past[len(b.past)-1] {
				continue
			}
			x, okx := a.at.Int()
			y, oky := b.at.Int()
			m, okm := dim.Product(extents(a.axes[a.cut])).Int()
			n, okn := dim.Product(extents(b.axes[b.cut])).Int()
			if !okx || !oky || !okm || !okn || x < y+n && y < x+m {
				return false
			}
		}
	}
	return true
}

func extents(l []*atom) []dim.Expr {
	e := make([]dim.Expr, len(l))
	for i, a := range l {
		e[i] = a.extent
	}
	return e
}

// divisible reports whether the group that computes v can be emitted for a part, with an axis in place of each of several: v is its
// only result, it does not ask where an element stands, and its kernels take any axes.
func (f *outlets) divisible(v *ir.Value) bool {
	n := v.Def
	for _, o := range n.Out {
		if o != v && f.uses[o.ID] > 0 {
			return false
		}
	}
	if f.last[v.ID] || f.m.Dims.Late(dim.Product(v.Type.Shape)) {
		return false
	}
	nodes := []*ir.Node{n}
	if n.Op == GroupOp {
		nodes = n.Regions[0].Nodes
	}
	for _, x := range nodes {
		if x.Op == ir.OpConst {
			continue
		}
		form := f.form(x)
		if form == nil || form.Concat || form.Views != nil || form.Anchor != anchor.Map && form.Anchor != anchor.Contract {
			return false
		}
		for i := range form.Prog.Code {
			if form.Prog.Code[i].Op == tile.Index {
				return false
			}
		}
	}
	return true
}

// assign has the group that computes v write these parts.
func (f *outlets) assign(v *ir.Value, l []*outlet) {
	f.divided[v.ID] = l
	for _, o := range l {
		if o.to.buf == nil {
			o.to.buf = f.body.NewBuf(program.BufTemp, o.end.Type.Elem, o.end.Type.Shape, nameOf(o.end))
		}
		f.places[o.end.ID] = o.to
		for _, n := range o.past {
			f.passed[n] = true
		}
	}
}

// part is a group over one part of its only result; made says how the result lies in the group's space.
func (b *fuse) part(made resultMap, o *outlet) *kir.Group {
	g := *b.g
	lists, offset := make([][]*atom, len(g.Space)), make([]dim.Expr, len(g.Space))
	ours := make([]bool, len(g.Space))
	for t, at := range made.m {
		if at.Axis < 0 || made.axes[at.Axis] < 0 {
			continue
		}
		a := made.axes[at.Axis]
		lists[a], ours[a] = o.axes[t], true
		if o.cut == t {
			offset[a] = o.at
		}
	}
	g.Space, g.In = nil, make([]kir.Use, len(b.g.In))
	for i, u := range b.g.In {
		u.Stride = nil
		for a, s := range b.g.In[i].Stride {
			u.Off = dim.Add(u.Off, dim.Mul(offset[a], s))
		}
		g.In[i] = u
	}
	out := kir.Use{Buf: o.to.buf, Off: o.to.off}
	for a, axis := range b.g.Space {
		add := func(name string, extent, stride, times dim.Expr) {
			g.Space = append(g.Space, kir.Axis{Name: name, Extent: extent, Red: axis.Red})
			out.Stride = append(out.Stride, stride)
			for i := range g.In {
				g.In[i].Stride = append(g.In[i].Stride, dim.Mul(b.g.In[i].Stride[a], times))
			}
		}
		switch l := lists[a]; {
		case !ours[a]:
			add(axis.Name, axis.Extent, dim.Const(0), dim.Const(1))
		case len(l) == 0:
			add(axis.Name, dim.Const(1), dim.Const(0), dim.Const(0))
		case len(l) == 1:
			add(axis.Name, l[0].extent, l[0].stride, dim.Const(1))
		default:
			for k, x := range l {
				add(axis.Name+strconv.Itoa(k), x.extent, x.stride, dim.Product(extents(l[k+1:])))
			}
		}
	}
	g.Is = []string{""}
	out.Shape = extents(o.atoms())
	if v := o.name(); v != nil {
		g.Is[0], out.Shape = nameOf(v), v.Type.Shape
	}
	g.Out = []kir.Use{out}
	return &g
}
