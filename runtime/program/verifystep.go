package program

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tile"
)

// step checks a step of a body and the bodies in it. Errors begin with what follows "step 3 ".
func (v *verifier) step(b *Body, s *Step, at, depth int) error {
	if !s.Anchor.Valid() {
		return fmt.Errorf("anchor %d is not known", uint8(s.Anchor))
	}
	if len(s.Space) > maxRank {
		return fmt.Errorf("%d axes, want at most %d", len(s.Space), maxRank)
	}
	for i, a := range s.Space {
		if err := v.refs(a.Extent); err != nil {
			return fmt.Errorf("axis %d: %w", i, err)
		}
	}
	if err := v.refs(s.Dims...); err != nil {
		return fmt.Errorf("dims: %w", err)
	}
	for i := range s.Attrs {
		if err := v.attr(&s.Attrs[i]); err != nil {
			return fmt.Errorf("attribute %q: %w", clip(s.Attrs[i].Name), err)
		}
	}
	for i := range s.In {
		if err := v.use(b, s, &s.In[i], at, i); err != nil {
			return fmt.Errorf("in[%d]: %w", i, err)
		}
	}
	for i := range s.Out {
		if err := v.use(b, s, &s.Out[i], at, -1); err != nil {
			return fmt.Errorf("out[%d]: %w", i, err)
		}
	}
	if len(s.Is) != 0 && len(s.Is) != len(s.Out) {
		return fmt.Errorf("%d names for %d results", len(s.Is), len(s.Out))
	}
	if s.Masked && s.Anchor != anchor.Attend {
		return fmt.Errorf("%v with a mask", s.Anchor)
	}
	if (s.Window != nil) != (s.Anchor == anchor.Window) || (s.Attend != nil) != (s.Anchor == anchor.Attend) {
		return fmt.Errorf("%v with the attributes of another anchor", s.Anchor)
	}
	var err error
	switch s.Anchor {
	case anchor.Host, anchor.Branch, anchor.Loop:
		err = v.whole(b, s, depth)
	default:
		err = v.tiled(b, s)
	}
	if err != nil {
		return err
	}
	for i, d := range s.Defs {
		if d.Out < 0 || int(d.Out) >= len(s.Out) {
			return fmt.Errorf("late symbol %d: result %d of %d", i, d.Out, len(s.Out))
		}
		if err := v.def(d, len(s.Out[d.Out].Shape)); err != nil {
			return fmt.Errorf("late symbol %d: %w", i, err)
		}
	}
	return v.timing(b, s)
}

// use checks an operand; input is its number, or -1 for a result.
func (v *verifier) use(b *Body, s *Step, u *Use, at, input int) error {
	if u.Buf < 0 || int(u.Buf) >= len(b.Bufs) {
		return fmt.Errorf("buffer %d of %d", u.Buf, len(b.Bufs))
	}
	if err := v.refs(u.Off); err != nil {
		return err
	}
	if err := v.shape(u.Stride); err != nil {
		return err
	}
	if err := v.shape(u.Shape); err != nil {
		return err
	}
	f := &b.Bufs[u.Buf]
	switch {
	case f.Boxed() && (!whole(s.Anchor) || len(u.Via) > 0 || v.p.Dims.Code[u.Off] != (dim.Instr{Op: dim.OpConst})):
		return fmt.Errorf("buffer %d is no tensor of numbers, and is seen in part", u.Buf)
	case f.Boxed() && len(u.Shape) != len(f.Shape):
		return fmt.Errorf("buffer %d of rank %d is seen with rank %d", u.Buf, len(f.Shape), len(u.Shape))
	case f.Last < 0, f.Kind == BufTemp && (int(f.First) > at || int(f.Last) < at):
		return fmt.Errorf("buffer %d lives from step %d to %d", u.Buf, f.First, f.Last)
	case f.Kind == BufConst && f.Index < 0:
		return fmt.Errorf("buffer %d has no constant", u.Buf)
	case f.Kind == BufConst && v.p.Consts[f.Index].Layout != layout.RowMajor:
		product := s.Anchor == anchor.Contract && v.p.Consts[f.Index].Layout == layout.P32
		filter := s.Anchor == anchor.Window && s.Window != nil && s.Window.Last && v.p.Consts[f.Index].Layout.IsConv()
		if !product && !filter || input != 1 || v.p.Dims.Code[u.Off] != (dim.Instr{Op: dim.OpConst}) {
			return fmt.Errorf("constant %d has layout %q, which only the second factor of a product, or of a convolution with the channels last, reads", f.Index, v.p.Consts[f.Index].Layout)
		}
	}
	for i, x := range u.Via {
		if x.Operand < 0 || int(x.Operand) >= len(s.In) || int(x.Operand) == input {
			return fmt.Errorf("via %d: operand %d of %d", i, x.Operand, len(s.In))
		}
		if err := v.refs(x.Extent, x.Stride); err != nil {
			return fmt.Errorf("via %d: %w", i, err)
		}
		idx := &s.In[x.Operand]
		if len(idx.Via) > 0 || idx.Buf < 0 || int(idx.Buf) >= len(b.Bufs) || !b.Bufs[idx.Buf].Elem.IsInt() {
			return fmt.Errorf("via %d: operand %d does not hold plain integers", i, x.Operand)
		}
	}
	return nil
}

// whole checks a step over whole tensors: a host function or control flow.
func (v *verifier) whole(b *Body, s *Step, depth int) error {
	if len(s.Space) > 0 || s.Prog != -1 || len(s.Dims) > 0 {
		return fmt.Errorf("%v with a space, a program or dims", s.Anchor)
	}
	present := 0
	for _, p := range s.Present {
		if p {
			present++
		}
	}
	if present != len(s.In) {
		return fmt.Errorf("%d operands are present, %d are given", present, len(s.In))
	}
	for _, l := range [2][]Use{s.In, s.Out} {
		for i := range l {
			if u := &l[i]; len(u.Via) > 0 || len(u.Stride) != 0 && len(u.Stride) != len(u.Shape) {
				return fmt.Errorf("operand or result %d: %d strides and %d indices for rank %d", i, len(u.Stride), len(u.Via), len(u.Shape))
			}
		}
	}
	if s.Anchor != anchor.Host {
		if s.Host != "" {
			return fmt.Errorf("%v with a host function", s.Anchor)
		}
		return v.control(b, s, depth)
	}
	if s.Host == "" || len(s.Bodies) > 0 {
		return fmt.Errorf("host step without a function, or with bodies")
	}
	return nil
}

// tiled checks a step with a space and a tile program.
func (v *verifier) tiled(b *Body, s *Step) error {
	if len(s.Bodies) > 0 || s.Host != "" || len(s.Present) > 0 {
		return fmt.Errorf("%v with bodies or a host function", s.Anchor)
	}
	for i := range s.In {
		if n := len(s.In[i].Stride); n != len(s.Space) {
			return fmt.Errorf("in[%d]: %d strides for %d axes", i, n, len(s.Space))
		}
	}
	for i := range s.Out {
		if n := len(s.Out[i].Stride); n != len(s.Space) {
			return fmt.Errorf("out[%d]: %d strides for %d axes", i, n, len(s.Space))
		}
	}
	if len(s.Out) == 0 {
		return fmt.Errorf("has no result")
	}
	own, err := v.anchored(b, s)
	if err != nil {
		return err
	}
	for i := 0; i < own; i++ {
		if len(s.In[i].Via) > 0 {
			return fmt.Errorf("in[%d]: a factor is addressed through integers", i)
		}
	}
	if s.Prog < 0 || int(s.Prog) >= len(v.p.Progs) {
		return fmt.Errorf("program %d of %d", s.Prog, len(v.p.Progs))
	}
	if err := v.prog(b, s, &v.p.Progs[s.Prog]); err != nil {
		return fmt.Errorf("program %d: %w", s.Prog, err)
	}
	return nil
}

// anchored checks what an anchor wants of its own operands and returns how many there are.
func (v *verifier) anchored(b *Body, s *Step) (own int, err error) {
	red := false
	for _, a := range s.Space {
		red = red || a.Red
	}
	switch s.Anchor {
	case anchor.Map, anchor.Scatter:
		if red {
			return 0, fmt.Errorf("%v over reduced axes", s.Anchor)
		}
	case anchor.Contract:
		own = 2
	case anchor.Window:
		return v.window(s)
	case anchor.Attend:
		if len(s.Space) != 6 {
			return 0, fmt.Errorf("%d axes, want 6", len(s.Space))
		}
		if own = 3; len(s.In) >= own {
			for i := range own {
				if n := len(s.In[i].Shape); n != 4 {
					return 0, fmt.Errorf("in[%d]: rank %d, want 4", i, n)
				}
			}
		}
		if s.Masked {
			own = 4
		}
		if sc := s.Attend.Scale; math.IsNaN(sc) || math.IsInf(sc, 0) {
			return 0, fmt.Errorf("scale %v", sc)
		}
	}
	if len(s.In) < own {
		return 0, fmt.Errorf("%d operands, want at least %d", len(s.In), own)
	}
	return own, nil
}

// window checks the geometry of a window.
func (v *verifier) window(s *Step) (own int, err error) {
	w := s.Window
	own = 1
	switch w.Combine {
	case anchor.Dot:
		own = 2
	case anchor.Max, anchor.Avg, anchor.AvgPad:
	default:
		return 0, fmt.Errorf("combines by %v", w.Combine)
	}
	n := len(w.Kernel)
	if len(w.Stride) != n || len(w.Dilation) != n || len(w.PadBegin) != n || len(w.PadEnd) != n {
		return 0, fmt.Errorf("window of %d, %d, %d, %d and %d axes", n, len(w.Stride), len(w.Dilation), len(w.PadBegin), len(w.PadEnd))
	}
	const limit = 1 << 24
	for i := range n {
		for _, x := range []int{w.Kernel[i], w.Stride[i], w.Dilation[i], w.PadBegin[i] + 1, w.PadEnd[i] + 1} {
			if x < 1 || x > limit {
				return 0, fmt.Errorf("window axis %d: kernel %d, stride %d, dilation %d, pads %d and %d", i, w.Kernel[i], w.Stride[i], w.Dilation[i], w.PadBegin[i], w.PadEnd[i])
			}
		}
	}
	if w.Groups < 0 || w.Groups > math.MaxInt32 || w.Groups == 0 && own == 2 {
		return 0, fmt.Errorf("%d groups", w.Groups)
	}
	if len(s.In) < own {
		return 0, fmt.Errorf("%d operands, want at least %d", len(s.In), own)
	}
	for i := range own {
		if r := len(s.In[i].Shape); r != 2+n {
			return 0, fmt.Errorf("in[%d]: rank %d, want %d", i, r, 2+n)
		}
	}
	if r := len(s.Out[0].Shape); r != 2+n {
		return 0, fmt.Errorf("out[0]: rank %d, want %d", r, 2+n)
	}
	return own, nil
}

// prog checks a tile program against the operands of a step.
func (v *verifier) prog(b *Body, s *Step, p *tile.Program) error {
	elems := make([]dtype.Type, 0, len(s.In)+len(s.Out))
	for i := range s.In {
		elems = append(elems, b.Bufs[s.In[i].Buf].Elem)
	}
	for i := range s.Out {
		elems = append(elems, b.Bufs[s.Out[i].Buf].Elem)
	}
	if s.Moves {
		if s.Anchor != anchor.Map {
			return fmt.Errorf("moves bits in a step of anchor %v", s.Anchor)
		}
		for i := range elems {
			elems[i] = elems[i].Bitwise()
		}
	}
	acc := tile.NoClass
	switch s.Anchor {
	case anchor.Contract, anchor.Window, anchor.Attend:
		acc = tile.F32
		for i := range p.Code {
			if in := &p.Code[i]; in.Op == tile.Acc && (in.Class == tile.I64 || in.Class == tile.F64) {
				acc = in.Class // of an exact sum
			}
		}
	}
	ins := len(s.In)
	if err := p.Verify(elems, ins, len(s.Dims), len(s.Space), acc); err != nil {
		return err
	}
	if s.Anchor != anchor.Rows && p.Reduces() {
		return fmt.Errorf("reduces in a step of anchor %v", s.Anchor)
	}
	stores := make([]int, len(s.Out))
	for i := range p.Code {
		if in := &p.Code[i]; in.Op == tile.Store {
			stores[int(in.Arg)-ins]++
		}
	}
	for i, n := range stores {
		if n != 1 {
			return fmt.Errorf("stores result %d %d times", i, n)
		}
	}
	return nil
}

// timing checks that all values a step needs follow from the inputs or from late symbols defined before, and
// that the step says so.
func (v *verifier) timing(b *Body, s *Step) error {
	isLate := false
	check := func(l ...dim.Ref) error {
		for _, r := range l {
			switch v.when[r] {
			case unbound:
				return fmt.Errorf("%s does not follow from the inputs", v.p.Dims.Text(r))
			case late:
				isLate = true
				if !v.lates[v.needs[r]] {
					return fmt.Errorf("%s is not known then", v.p.Dims.Text(r))
				}
			}
		}
		return nil
	}
	for _, a := range s.Space {
		if err := check(a.Extent); err != nil {
			return err
		}
	}
	if err := check(s.Dims...); err != nil {
		return err
	}
	for i := range s.Attrs {
		if err := check(s.Attrs[i].Dims...); err != nil {
			return err
		}
	}
	for _, l := range [2][]Use{s.In, s.Out} {
		for i := range l {
			u := &l[i]
			if err := check(u.Off); err != nil {
				return err
			}
			for _, refs := range [][]dim.Ref{u.Stride, u.Shape, b.Bufs[u.Buf].Shape} {
				if err := check(refs...); err != nil {
					return err
				}
			}
			for _, x := range u.Via {
				if err := check(x.Extent, x.Stride); err != nil {
					return err
				}
			}
		}
	}
	if isLate && !s.Late {
		return fmt.Errorf("depends on a size known only while running, and does not say so")
	}
	return nil
}
