package lower

import (
	"slices"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/control"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// views gives the results of a view operator places within operand 0; a reshape that strides cannot express
// is preceded by a copy.
func (l *lowerer) views(n *ir.Node, f *op.Form) error {
	if l.passed[n] {
		return nil
	}
	src := n.In[0]
	p, err := l.place(src)
	if err != nil {
		return err
	}
	for i, v := range f.Views {
		out := n.Out[i]
		if l.uses[out.ID] == 0 {
			continue
		}
		q := composeView(p, src.Type.Shape, v, out.Type.Shape)
		if q == nil {
			d, err := l.dense(src)
			if err != nil {
				return err
			}
			// as many elements either way, which a guard says where it is not provable
			q = &place{d.buf, d.off, rowMajor(out.Type.Shape)}
			p = d
		}
		l.places[out.ID] = q
	}
	return nil
}

// composeView sees a place of shape in through a view; nil where strides cannot say it.
func composeView(p *place, in []dim.Expr, v op.View, out []dim.Expr) *place {
	q := &place{buf: p.buf, off: p.off, stride: make([]dim.Expr, len(out))}
	switch v.Kind {
	case op.ViewPerm:
		for i, a := range v.Perm {
			q.stride[i] = p.stride[a]
		}
	case op.ViewSlice:
		for i := range out {
			q.off = dim.Add(q.off, dim.Mul(v.Starts[i], p.stride[i]))
			q.stride[i] = dim.Mul(dim.Const(v.Steps[i]), p.stride[i])
		}
	case op.ViewExpand:
		skip := len(out) - len(in)
		for i := range out {
			if i < skip {
				continue
			}
			q.stride[i] = keep(in[i-skip], out[i], p.stride[i-skip])
		}
	case op.ViewReshape:
		s, ok := reshapeStrides(in, p.stride, out)
		if !ok {
			return nil
		}
		q.stride = s
	default:
		return nil
	}
	return q
}

// keep is the stride of an operand axis of extent ext seen by an axis of extent over: 0 where it broadcasts,
// decided when symbols are bound if need be.
func keep(ext, over, stride dim.Expr) dim.Expr {
	if dim.Equal(ext, over) {
		return stride
	}
	return dim.Keep1(ext, stride)
}

// reshapeStrides finds strides for a reshape: within each run of axes that become others the old ones must lie without gaps.
func reshapeStrides(in, stride, out []dim.Expr) ([]dim.Expr, bool) {
	res := make([]dim.Expr, len(out))
	for _, e := range append(append([]dim.Expr{}, in...), out...) {
		if e.IsConst(0) { // nothing is ever read
			return res, true
		}
	}
	runs, ok := runsOf(in, out)
	if !ok {
		return nil, false
	}
	for _, r := range runs {
		for i := range len(r.in) - 1 { // no gaps within the run
			if !dim.Equal(stride[r.in[i]], dim.Mul(stride[r.in[i+1]], in[r.in[i+1]])) {
				return nil, false
			}
		}
		s := stride[r.in[len(r.in)-1]]
		for _, i := range slices.Backward(r.out) {
			res[i] = s
			s = dim.Mul(s, out[i])
		}
	}
	return res, true
}

// reshaped is axes of a shape and what a reshape makes of them: as many elements either way.
type reshaped struct{ in, out []int }

// runsOf cuts the axes of two shapes into the shortest runs of equal products, those of extent 1 left out; false where some do
// not match.
func runsOf(in, out []dim.Expr) ([]reshaped, bool) {
	var oi, ni []int
	for i, e := range in {
		if !e.IsConst(1) {
			oi = append(oi, i)
		}
	}
	for i, e := range out {
		if !e.IsConst(1) {
			ni = append(ni, i)
		}
	}
	var runs []reshaped
	for len(oi) > 0 || len(ni) > 0 {
		a, b := matchRun(in, oi, out, ni)
		if a == 0 {
			return nil, false
		}
		runs = append(runs, reshaped{oi[:a], ni[:b]})
		oi, ni = oi[a:], ni[b:]
	}
	return runs, true
}

// matchRun returns the lengths of the shortest prefixes of old and new axes with equal products.
func matchRun(in []dim.Expr, oi []int, out []dim.Expr, ni []int) (int, int) {
	for total := 2; total <= len(oi)+len(ni); total++ {
		for a := 1; a < total && a <= len(oi); a++ {
			b := total - a
			if b > len(ni) {
				continue
			}
			p, q := dim.Const(1), dim.Const(1)
			for _, i := range oi[:a] {
				p = dim.Mul(p, in[i])
			}
			for _, i := range ni[:b] {
				q = dim.Mul(q, out[i])
			}
			if dim.Equal(p, q) {
				return a, b
			}
		}
	}
	return 0, 0
}

// copyProgram loads operand 0 and stores it as operand 1. A copy moves bits: types without a register class
// are moved as integers of the same width.
func copyProgram(t dtype.Type) *tile.Program {
	b := tile.NewBuilder()
	b.Store(1, b.Load(0, t.Bitwise()))
	return b.Program()
}

// copy emits a group that copies src to dst, both of the type's shape.
func (l *lowerer) copy(t ir.Type, src, dst *place, at *ir.Node) {
	if dst.buf.Boxed() {
		g := &kir.Group{Anchor: anchor.Host, Host: control.Identity.Name, Op: "copy", Present: []bool{true}, Is: []string{dst.buf.Name}}
		g.In = []kir.Use{{Buf: src.buf, Off: src.off, Stride: src.stride, Shape: t.Shape}}
		g.Out = []kir.Use{{Buf: dst.buf, Off: dst.off, Stride: dst.stride, Shape: t.Shape}}
		l.emit(g)
		return
	}
	g := &kir.Group{Anchor: anchor.Map, Prog: copyProgram(t.Elem), Moves: true, Op: "copy"}
	for i, e := range t.Shape {
		g.Space = append(g.Space, kir.Axis{Name: axisName(i), Extent: e})
	}
	g.In = []kir.Use{{Buf: src.buf, Off: src.off, Stride: src.stride}}
	g.Out = []kir.Use{{Buf: dst.buf, Off: dst.off, Stride: dst.stride}}
	if at != nil {
		g.Locs = at.Locs
	}
	l.emit(g)
}

func axisName(i int) string { return "i" + string(rune('0'+i%10)) }

func (l *lowerer) emit(g *kir.Group) { l.body.Groups = append(l.body.Groups, g) }

// concat copies the operands that were not written in place.
func (l *lowerer) concat(n *ir.Node, f *op.Form) error {
	out := l.result(n.Out[0])
	var err error
	l.parts(n, f, out, func(v *ir.Value, part *place) {
		src, e := l.place(v)
		if e != nil {
			err = e
			return
		}
		if (src.buf == part.buf || l.sameState(src.buf, part.buf)) && dim.Equal(src.off, part.off) && dim.EqualAll(src.stride, part.stride) {
			return
		}
		l.copy(v.Type, src, part, n)
	})
	return err
}

// host emits a host step: operands and results are row-major.
func (l *lowerer) host(n *ir.Node, fn string, attrs attrList) error {
	g := &kir.Group{Anchor: anchor.Host, Host: fn, Attrs: attrs, Locs: n.Locs, Op: n.Op}
	if err := l.operands(g, n); err != nil {
		return err
	}
	return l.outputs(g, n)
}

// operands adds the present operands of a node as row-major uses.
func (l *lowerer) operands(g *kir.Group, n *ir.Node) error {
	for _, v := range n.In {
		g.Present = append(g.Present, v != nil)
		if v == nil {
			continue
		}
		p, err := l.dense(v)
		if err != nil {
			return err
		}
		g.In = append(g.In, kir.Use{Buf: p.buf, Off: p.off, Stride: p.stride, Shape: v.Type.Shape})
	}
	return nil
}

// outputs adds every result of a node as a row-major use and records the late symbols it defines.
func (l *lowerer) outputs(g *kir.Group, n *ir.Node) error {
	type late struct {
		v    *ir.Value
		p, q *place
	}
	var copies []late
	for i, v := range n.Out {
		p := l.result(v)
		if !contiguous(p, v.Type.Shape) {
			q := whole(l.body.NewBuf(program.BufTemp, v.Type.Elem, v.Type.Shape, nameOf(v)))
			copies = append(copies, late{v, q, p})
			p = q
		}
		g.Out = append(g.Out, kir.Use{Buf: p.buf, Off: p.off, Stride: p.stride, Shape: v.Type.Shape})
		g.Is = append(g.Is, nameOf(v))
		for a, e := range v.Type.Shape {
			g.Defs = append(g.Defs, l.defines(e, i, a)...)
		}
	}
	l.emit(g)
	for _, c := range copies {
		l.copy(c.v.Type, c.p, c.q, n)
	}
	return nil
}

// control emits a branch or a loop with a body per region.
func (l *lowerer) control(n *ir.Node, f *op.Form) error {
	g := &kir.Group{Anchor: f.Anchor, Locs: n.Locs, Op: n.Op, Carried: int(n.Attrs.Int("carried", 0))}
	if err := l.operands(g, n); err != nil {
		return err
	}
	for _, r := range n.Regions {
		b, err := l.region(r)
		if err != nil {
			return err
		}
		g.Bodies = append(g.Bodies, b)
	}
	return l.outputs(g, n)
}
