package lower

import (
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/runtime/program"
)

// Pictures in convolutional nets lie with their channels last: a convolution is then a matrix product over pixels, and
// what is done to single elements is contiguous. The order of axes in memory is nothing but strides of a
// place, so views, element-wise groups, reductions and concats need not know; only windows ask for it, and what
// must be row-major (results, host steps) is copied.

// planLayouts decides which values of a region lie with the channels last: results of convolutions over
// pictures, and what element-wise groups, pools and concats make of such values.
func (l *lowerer) planLayouts(r *ir.Region) {
	for _, n := range r.Nodes {
		if len(n.Out) == 0 || n.Out[0].Rank() != 4 || n.Op == ir.OpConst {
			continue
		}
		if l.keepsLast(n) {
			for _, o := range n.Out {
				if o.Rank() == 4 && o.Type.Elem.Bits() >= 8 {
					l.last[o.ID] = true
				}
			}
		}
	}
}

// keepsLast reports whether the results of a node lie with the channels last.
func (l *lowerer) keepsLast(n *ir.Node) bool {
	if n.Op == GroupOp {
		r := n.Regions[0]
		for _, m := range r.Nodes {
			if m.Op == ir.OpConst {
				continue
			}
			if f := l.form(m); f != nil && f.Anchor != anchor.Map {
				outer := map[*ir.Value]*ir.Value{}
				for i, p := range r.Params {
					outer[p] = n.In[i]
				}
				return f.Anchor == anchor.Window && l.lastWindow(m, f, func(v *ir.Value) *ir.Value {
					if o := outer[v]; o != nil {
						return o
					}
					return v
				})
			}
		}
		return l.anyLast(n)
	}
	f := l.form(n)
	switch {
	case f == nil || f.Views != nil:
		return false
	case f.Concat:
		for _, v := range n.In {
			if v != nil && !l.last[v.ID] {
				return false
			}
		}
		return true
	case f.Anchor == anchor.Window:
		return l.lastWindow(n, f, func(v *ir.Value) *ir.Value { return v })
	case f.Anchor == anchor.Map:
		return l.anyLast(n)
	}
	return false
}

// anyLast reports whether an operand of the result's own shape lies with the channels last.
func (l *lowerer) anyLast(n *ir.Node) bool {
	for _, v := range n.In {
		if v != nil && l.last[v.ID] && dim.EqualAll(v.Type.Shape, n.Out[0].Type.Shape) {
			return true
		}
	}
	return false
}

// lastWindow reports whether a window is computed with the channels last: a convolution with constant weights
// over f32 pictures of two axes, or a pool over such a picture.
func (l *lowerer) lastWindow(n *ir.Node, f *op.Form, outer func(*ir.Value) *ir.Value) bool {
	if len(f.Window.Kernel) != 2 {
		return false
	}
	if f.Window.Combine != anchor.Dot {
		return l.last[outer(n.In[0]).ID]
	}
	w := l.m.ConstOf(outer(n.In[1]))
	return w != nil && w.Len() > 0 && n.In[0].Type.Elem == dtype.F32 && (w.Elem == dtype.F32 || w.Elem == dtype.F16)
}

// lastStrides are the strides of a shape [n, c, h, w] in the order n, h, w, c.
func lastStrides(shape []dim.Expr) []dim.Expr {
	s := make([]dim.Expr, len(shape))
	s[1] = dim.Const(1)
	step := shape[1]
	for i := len(shape) - 1; i >= 2; i-- {
		s[i] = step
		step = dim.Mul(step, shape[i])
	}
	s[0] = step
	return s
}

// isLast reports whether a place is a whole picture with the channels last, without gaps.
func isLast(p *place, shape []dim.Expr) bool {
	want := lastStrides(shape)
	for i, s := range p.stride {
		if !shape[i].IsConst(1) && !dim.Equal(s, want[i]) {
			return false
		}
	}
	return true
}

// inLast returns a value's place with the channels last, copying where it lies otherwise; the copy serves later
// readers too.
func (l *lowerer) inLast(v *ir.Value, at *ir.Node) (*place, error) {
	p, err := l.place(v)
	if err != nil {
		return nil, err
	}
	if isLast(p, v.Type.Shape) {
		return &place{p.buf, p.off, lastStrides(v.Type.Shape)}, nil
	}
	if q := l.copies[v.ID]; q != nil {
		return q, nil
	}
	b := l.body.NewBuf(program.BufTemp, v.Type.Elem, v.Type.Shape, nameOf(v))
	q := &place{b, dim.Const(0), lastStrides(v.Type.Shape)}
	l.copy(v.Type, p, q, at)
	l.copies[v.ID] = q
	return q, nil
}

// layoutOf is the place of a whole new buffer for a value.
func (l *lowerer) layoutOf(v *ir.Value, b *kir.Buf) *place {
	p := whole(b)
	if l.last[v.ID] {
		p.stride = lastStrides(b.Shape)
	}
	return p
}
