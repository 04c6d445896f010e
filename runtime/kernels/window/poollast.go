package window

import "fmt"

// PoolLast is one pooling over pictures with the channels last; strides are those of [Last]. There are Groups channels, Ci and Co
// are 1. Use it like [Last].
type PoolLast struct {
	Geometry
	PadEnd         [3]int // for Average with CountPad
	Kind           Kind
	CountPad       bool // Average: pixels of the padding count; those beyond it do not
	X, Y           *float32
	XPixel, XImage int
	YPixel, YImage int

	row   *Row
	depth depthPlan
	ones  []float32
}

// Prepare checks the geometry and plans the chunks for the kernels of a row. It allocates only for more channels than any that p was
// prepared for.
func (p *PoolLast) Prepare(row *Row) error {
	p.Ci, p.Co = 1, 1
	if err := p.Check(); err != nil {
		return err
	}
	if p.XPixel < p.Groups || p.YPixel < p.Groups {
		return fmt.Errorf("pixels: want distances of at least %d, got %d, %d", p.Groups, p.XPixel, p.YPixel)
	}
	p.row = row
	p.depth.plan(&p.Geometry)
	if p.Kind == Average && len(p.ones) < p.depth.strip {
		p.ones = make([]float32, p.depth.strip)
		for i := range p.ones {
			p.ones[i] = 1
		}
	}
	return nil
}

// Chunks is the number of independent chunks; it depends on extents only.
func (p *PoolLast) Chunks() int { return p.depth.chunks }

// ScratchLen is the number of elements of scratch that each worker needs.
func (p *PoolLast) ScratchLen() int { return p.depth.scratch }

// RunChunk computes one chunk. It allocates nothing.
func (p *PoolLast) RunChunk(i int, w *Worker) {
	s := &w.spots
	*s = spots{sstep: uintptr(p.Stride[2]*p.XPixel) * 4, dstep: uintptr(p.YPixel) * 4}
	code := p.row.code().spot
	if p.Kind == Max {
		s.init = -inf
		code = p.row.code().peak
	} else {
		s.w = &p.ones[0]
	}
	ar := p.depth.area(i, &p.Geometry)
	for c0 := ar.c0; c0 < ar.c1; c0 += p.depth.strip {
		s.c = min(p.depth.strip, ar.c1-c0)
		p.Geometry.sweep(w, &p.depth, ar, p.XPixel, 0, func(first, pixel int) {
			s.src = p.X
			if s.count > 0 {
				s.src = at(p.X, ar.image*p.XImage+c0+first)
			}
			s.dst = at(p.Y, ar.image*p.YImage+c0+pixel*p.YPixel)
			code(s)
			if p.Kind == Average {
				p.divide(s, pixel)
			}
		})
	}
	*s = spots{}
}

// divide turns the sums that were stored into means.
func (p *PoolLast) divide(s *spots, pixel int) {
	for i := range s.n {
		at := p.point(pixel + i)
		n := float32(p.count(0, at.z) * p.count(1, at.y) * p.count(2, at.x))
		for j := range slice(s.dst, i*p.YPixel, s.c) {
			slice(s.dst, i*p.YPixel, s.c)[j] /= n
		}
	}
}

// count is the number of taps that count for output coordinate o of an axis.
func (p *PoolLast) count(axis, o int) int {
	if !p.CountPad {
		from, to := p.span(axis, o)
		return to - from
	}
	g := p.Geometry
	g.In[axis] += g.PadBegin[axis] + p.PadEnd[axis]
	g.PadBegin[axis] = 0
	from, to := g.span(axis, o)
	return to - from
}
