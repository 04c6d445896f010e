// Package schedule decides, for one target, how each group is computed: the layout and packing of constants,
// conversions that kernels need, and which kernel rows may run.
package schedule

import (
	"fmt"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/program"
)

// Run schedules every entry of m.
func Run(m *kir.Module) {
	s := &scheduler{m: m, packed: map[string]*kir.Const{}}
	for _, e := range m.Entries {
		s.body(e.Body)
	}
}

type scheduler struct {
	m      *kir.Module
	packed map[string]*kir.Const
}

func (s *scheduler) body(b *kir.Body) {
	old := b.Groups
	b.Groups = nil
	for _, g := range old {
		switch g.Anchor {
		case anchor.Contract:
			s.packB(b, g)
			s.widen(b, g, 2)
		case anchor.Window:
			s.packFilter(b, g)
			operands := 2
			if g.Window.Combine != anchor.Dot { // a pool reads one, the rest belongs to what follows
				operands = 1
			}
			s.widen(b, g, operands)
		case anchor.Attend:
			operands := 3
			if g.Masked && g.In[3].Buf.Elem != dtype.Bool {
				operands = 4
			}
			s.widen(b, g, operands)
		}
		b.Groups = append(b.Groups, g)
		for _, n := range g.Bodies {
			s.body(n)
		}
	}
}

// packB gives a constant second factor of a product the panel layout, where it is one K x N matrix; its columns may run over
// several axes.
func (s *scheduler) packB(b *kir.Body, g *kir.Group) {
	u := &g.In[1]
	if u.Buf.Kind != program.BufConst || u.Buf.Const.Layout != layout.RowMajor || len(u.Via) > 0 {
		return
	}
	p := layout.Packing{K: 1, N: 1}
	off, ok := u.Off.Int()
	if !ok {
		return
	}
	p.Off = int(off)
	seenK, seenN := false, false
	for i, a := range g.Space {
		st, ok1 := u.Stride[i].Int()
		ext, ok2 := a.Extent.Int()
		if ok1 && st == 0 && !a.Red || ok2 && ext == 1 && !a.Red {
			continue
		}
		if !ok1 || !ok2 || st < 0 || a.Red && seenK || !a.Red && seenN && int64(p.ColStride) != st*ext {
			return
		}
		if !a.Red && !dim.Equal(g.In[0].Stride[i], dim.Const(0)) { // a matrix for each position
			return
		}
		if a.Red {
			seenK, p.K, p.RowStride = true, int(ext), int(st)
		} else {
			seenN, p.N, p.ColStride = true, p.N*int(ext), int(st)
		}
	}
	src := u.Buf.Const
	if !seenK || !src.Tensor.Elem.IsFloat() || src.Tensor.Elem == dtype.F64 || p.Check(src.Tensor.Len()) != nil {
		return
	}
	key := fmt.Sprintf("%p %+v", src, p)
	c := s.packed[key]
	if c == nil {
		c = &kir.Const{Name: src.Name, Tensor: src.Tensor, Layout: layout.P32, Pack: &p}
		s.packed[key] = c
		s.m.Consts = append(s.m.Consts, c)
	}
	nb := b.NewBuf(program.BufConst, dtype.F32, []dim.Expr{dim.Const(int64(p.Len()))}, src.Name)
	nb.Const = c
	u.Buf, u.Off = nb, dim.Const(0)
}

// packFilter gives the constant weights of a convolution with the channels last the layout of the algorithm that suits
// its geometry.
func (s *scheduler) packFilter(b *kir.Body, g *kir.Group) {
	w := g.Window
	if !w.Last || w.Combine != anchor.Dot {
		return
	}
	u := &g.In[1]
	src := u.Buf.Const
	shape := src.Tensor.Shape
	geo := window.Geometry{N: 1, Groups: w.Groups, Co: shape[0] / w.Groups, Ci: shape[1]}
	for i := range 3 {
		geo.Kernel[i], geo.Stride[i], geo.Dilation[i] = 1, 1, 1
	}
	for i := range w.Kernel {
		d := 3 - len(w.Kernel) + i
		geo.Kernel[d], geo.Stride[d], geo.Dilation[d] = w.Kernel[i], w.Stride[i], w.Dilation[i]
		geo.Out[d] = 0
		if v, ok := g.Out[0].Shape[2+i].Int(); ok {
			geo.Out[d] = int(v)
		}
	}
	l := window.ChooseLast(&geo).Layout()
	p := layout.Packing{Conv: &layout.Conv{Groups: geo.Groups, Co: geo.Co, Ci: geo.Ci, Kernel: geo.Kernel}}
	key := fmt.Sprintf("%p %s %+v", src, l, *p.Conv)
	c := s.packed[key]
	if c == nil {
		c = &kir.Const{Name: src.Name, Tensor: src.Tensor, Layout: l, Pack: &p}
		s.packed[key] = c
		s.m.Consts = append(s.m.Consts, c)
	}
	nb := b.NewBuf(program.BufConst, dtype.F32, []dim.Expr{dim.Const(int64(p.Stored(l)))}, src.Name)
	nb.Const = c
	u.Buf, u.Off = nb, dim.Const(0)
}

// widen puts a conversion before a group whose kernels take f32 only.
func (s *scheduler) widen(b *kir.Body, g *kir.Group, operands int) {
	for i := 0; i < min(operands, len(g.In)); i++ {
		u := &g.In[i]
		if u.Buf.Elem == dtype.F32 {
			continue
		}
		from := *u.Buf
		c := b.NewBuf(program.BufTemp, dtype.F32, from.Shape, "")
		tb := tile.NewBuilder()
		tb.Store(1, tb.Load(0, from.Elem))
		n := dim.Product(from.Shape)
		cast := &kir.Group{Anchor: anchor.Map, Prog: tb.Program(), Op: "cast", Locs: g.Locs,
			Space: []kir.Axis{{Name: "i", Extent: n}},
			In:    []kir.Use{{Buf: u.Buf, Stride: []dim.Expr{dim.Const(1)}}},
			Out:   []kir.Use{{Buf: c, Stride: []dim.Expr{dim.Const(1)}}}}
		b.Groups = append(b.Groups, cast)
		u.Buf = c
	}
}
