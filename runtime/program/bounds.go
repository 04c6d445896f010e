package program

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/layout"
)

// Bounds checks at the extents of a run what Verify cannot: that every position which a step reads or writes
// lies within its buffer, and that buffers have as many elements as their extents say. vals are the values of
// the dim program. With it, no program that passes Verify makes a kernel leave its buffers; a position that
// indices in an operand decide is the kernel's to check, within the extent of the index.
func (p *Program) Bounds(b *Body, step int, vals []int64) error {
	s := &b.Steps[step]
	ext := make([]int64, len(s.Space))
	empty := false // no position of the parallel axes
	for i, a := range s.Space {
		if ext[i] = vals[a.Extent]; ext[i] < 0 {
			return fmt.Errorf("axis %d has extent %s", i, number(ext[i]))
		}
		empty = empty || ext[i] == 0 && !a.Red
	}
	for o, l := range [2][]Use{s.In, s.Out} {
		for i := range l {
			u := &l[i]
			f := &b.Bufs[u.Buf]
			n, err := elements(vals, f.Shape)
			if err == nil && n != vals[f.Count] && (n != dim.Unset || vals[f.Count] != 0) { // nothing, times what is not known yet
				err = fmt.Errorf("buffer %d of %s elements has room for %s", u.Buf, number(n), number(vals[f.Count]))
			}
			if err == nil && !empty {
				switch own := o == 0 && s.Anchor == anchor.Window && i < windowOwn(s); {
				case o == 0 && i == 1 && f.Kind == BufConst && p.Consts[f.Index].Layout == layout.P32:
					err = packedBounds(s, ext, vals, n)
				case o == 0 && i == 1 && f.Kind == BufConst && p.Consts[f.Index].Layout.IsConv():
					err = filterBounds(s, p.Consts[f.Index].Layout, vals, n)
				case len(s.Space) == 0 && u.Stride == nil || whole(s.Anchor) || own:
					err = wholeBounds(u, vals, n)
				case o == 0 && s.Anchor == anchor.Attend && (i == 1 || i == 2):
					err = headBounds(u, s.Space, ext, vals, n)
				default:
					err = u.bounds(s.Space, ext, vals, n, o == 1)
				}
			}
			if err != nil {
				return fmt.Errorf("%s[%d]: %w", [2]string{"in", "out"}[o], i, err)
			}
		}
	}
	if s.Anchor == anchor.Window && !empty {
		return windowBounds(s, ext, vals)
	}
	return nil
}

func whole(a anchor.Kind) bool { return a == anchor.Host || a == anchor.Branch || a == anchor.Loop }

func windowOwn(s *Step) int {
	if s.Window.Combine == anchor.Dot {
		return 2
	}
	return 1
}

// limit is more elements than any buffer has.
const limit = 1 << 44

// elements is the product of extents; Unset where one is not known yet.
func elements(vals []int64, shape []dim.Ref) (int64, error) {
	n, zero := int64(1), false
	for i, r := range shape {
		switch v := vals[r]; {
		case v == dim.Unset:
			return dim.Unset, nil
		case v < 0:
			return 0, fmt.Errorf("extent %d is %d", i, v)
		case v == 0:
			zero = true
		case n > limit/v:
			return 0, fmt.Errorf("a tensor of more than %d elements", int64(limit))
		default:
			n *= v
		}
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

// wholeBounds checks a use that sees a row-major tensor of its Shape. A result of a size that is not known
// yet brings its own memory.
func wholeBounds(u *Use, vals []int64, n int64) error {
	k, err := elements(vals, u.Shape)
	if err != nil || k == 0 || k == dim.Unset || n == dim.Unset {
		return err
	}
	if off := vals[u.Off]; off < 0 || off > n-k {
		return fmt.Errorf("%d elements at %s of buffer %d of %d", k, number(off), u.Buf, n)
	}
	return nil
}

// bounds checks a use through strides. A result without a stride along a reduced axis is one value a row, whatever
// the axis's extent.
func (u *Use) bounds(space []Axis, ext, vals []int64, n int64, out bool) error {
	lo := vals[u.Off]
	if lo < -limit || lo > limit || n == dim.Unset {
		return fmt.Errorf("starts at %s of buffer %d of %s", number(lo), u.Buf, number(n))
	}
	hi := lo
	add := func(last, stride int64) bool {
		if last <= 0 || stride == 0 {
			return true
		}
		if stride < -limit || stride > limit || last > limit/max(stride, -stride) {
			return false
		}
		if d := last * stride; d < 0 {
			lo += d
		} else {
			hi += d
		}
		return true
	}
	for i, a := range space {
		if out && a.Red && vals[u.Stride[i]] == 0 {
			continue
		}
		if ext[i] == 0 {
			return nil // nothing is read
		}
		if !add(ext[i]-1, vals[u.Stride[i]]) {
			return fmt.Errorf("axis %d has stride %s", i, number(vals[u.Stride[i]]))
		}
	}
	for i, x := range u.Via {
		e := vals[x.Extent]
		if e == 0 {
			return nil // no index is valid
		}
		if e < 0 || !add(e-1, vals[x.Stride]) {
			return fmt.Errorf("index %d has extent %s and stride %s", i, number(e), number(vals[x.Stride]))
		}
	}
	if lo < 0 || hi >= n {
		return fmt.Errorf("positions %d to %d of buffer %d of %d", lo, hi, u.Buf, n)
	}
	return nil
}

// headBounds checks keys or values, which may have fewer heads than the axis of heads, 1, has positions.
func headBounds(u *Use, space []Axis, ext, vals []int64, n int64) error {
	heads := vals[u.Shape[1]]
	if heads < 1 || ext[1]%heads != 0 {
		return fmt.Errorf("%d heads read %s of keys or values", ext[1], number(heads))
	}
	own := append([]int64(nil), ext...)
	own[1] = heads
	return u.bounds(space, own, vals, n, false)
}

// packedBounds checks that the space of a product is the matrix that was packed: columns, along axes that continue one
// another and that the other factor does not have, and as many summed positions as rows.
func packedBounds(s *Step, ext, vals []int64, n int64) error {
	k, cols, next := int64(1), int64(1), int64(0)
	for i := len(s.Space) - 1; i >= 0; i-- {
		a := s.Space[i]
		switch st := vals[s.In[1].Stride[i]]; {
		case a.Red:
			if ext[i] > 0 && k > limit/ext[i] {
				return fmt.Errorf("too many summed positions")
			}
			k *= ext[i]
		case ext[i] <= 1 || st == 0:
		case cols > 1 && st != next || vals[s.In[0].Stride[i]] != 0 || st < 0 || st > limit || cols > limit/ext[i] || ext[i] > limit/st:
			return fmt.Errorf("axis %d is not the columns of the packed matrix", i)
		default:
			cols *= ext[i]
			next = st * ext[i]
		}
	}
	panels := (cols + layout.PanelWidth - 1) / layout.PanelWidth
	if k > 0 && (panels > limit/layout.PanelWidth/k || panels*layout.PanelWidth*k > n) {
		return fmt.Errorf("a matrix of %d x %d in a constant of %d packed elements", k, cols, n)
	}
	return nil
}

// filterBounds checks that a packed constant holds the weights that the step reads.
func filterBounds(s *Step, l layout.Name, vals []int64, n int64) error {
	shape := []int{s.Window.Groups, 0, 0, 1, 1, 1}
	w := s.In[1].Shape
	if len(w) != 2+len(s.Window.Kernel) || len(w) > 5 || s.Window.Groups < 1 {
		return fmt.Errorf("weights of rank %d in %d groups", len(w), s.Window.Groups)
	}
	shape[1], shape[2] = int(vals[w[0]])/s.Window.Groups, int(vals[w[1]])
	for i := range s.Window.Kernel {
		shape[6-len(s.Window.Kernel)+i] = int(vals[w[2+i]])
	}
	c, ok := layout.ConvOf(shape)
	if !ok || int64(c.Len(l)) > n {
		return fmt.Errorf("weights %v in a constant of %d packed elements", shape, n)
	}
	return nil
}

// windowBounds checks that pictures, weights and results are of one geometry.
func windowBounds(s *Step, ext, vals []int64) error {
	w, x, y := s.Window, s.In[0].Shape, s.Out[0].Shape
	points := int64(1)
	for i, a := range s.Space {
		if !a.Red {
			if points > limit/ext[i] {
				return fmt.Errorf("too many positions")
			}
			points *= ext[i]
		}
	}
	if n, err := elements(vals, y); err != nil || n != points {
		return fmt.Errorf("%d positions for a result of %s elements", points, number(n))
	}
	if vals[x[0]] != vals[y[0]] {
		return fmt.Errorf("%d pictures become %d", vals[x[0]], vals[y[0]])
	}
	if w.Combine != anchor.Dot {
		if vals[x[1]] != vals[y[1]] {
			return fmt.Errorf("%d channels become %d", vals[x[1]], vals[y[1]])
		}
		return nil
	}
	f, groups := s.In[1].Shape, int64(w.Groups)
	fits := vals[f[0]] == vals[y[1]] && vals[f[0]]%groups == 0 && vals[x[1]]%groups == 0 && vals[x[1]]/groups == vals[f[1]]
	for i, k := range w.Kernel {
		fits = fits && vals[f[2+i]] == int64(k)
	}
	if !fits {
		return fmt.Errorf("weights do not fit %d channels in %d groups", vals[x[1]], groups)
	}
	return nil
}

func number(v int64) string {
	if v == dim.Unset || v == math.MinInt64 {
		return "an unknown number"
	}
	return fmt.Sprint(v)
}
