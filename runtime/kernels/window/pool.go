package window

// Kind is what a pooling does with the pixels of a window.
type Kind uint8

// The kinds of pooling.
const (
	Max     Kind = iota // the largest; NaN is never larger; an empty window gives minus infinity
	Average             // the mean
)

// Pool is one pooling over channels: N*Groups of them, Ci and Co are 1. Use it like [Conv].
type Pool struct {
	Geometry
	PadEnd   [3]int // for Average with CountPad
	Kind     Kind
	CountPad bool // Average: pixels of the padding count; those beyond it do not
	X, Y     *float32

	row    *Row
	pixels int
	planes planePlan
	ones   []float32
	counts [3][]int32 // Average: pixels that count along each axis
}

// Prepare checks the geometry and plans the chunks for the kernels of a row. It allocates only for larger kernels and outputs than any
// that p was prepared for.
func (p *Pool) Prepare(row *Row) error {
	p.Ci, p.Co = 1, 1
	if err := p.Check(); err != nil {
		return err
	}
	p.row, p.pixels = row, volume(p.Out)
	p.planes.plan(&p.Geometry, p.N*p.Groups*p.pixels == 0)
	if p.Kind == Max {
		return nil
	}
	p.ones = p.ones[:0]
	for range volume(p.Kernel) {
		p.ones = append(p.ones, 1)
	}
	for axis := range 3 {
		p.countAxis(axis)
	}
	return nil
}

// countAxis counts, for each output coordinate, the taps that count.
func (p *Pool) countAxis(axis int) {
	from, to := 0, p.In[axis]
	if p.CountPad {
		from, to = -p.PadBegin[axis], to+p.PadEnd[axis]
	}
	counts := p.counts[axis][:0]
	for o := range p.Out[axis] {
		n := int32(0)
		for k := range p.Kernel[axis] {
			if i := o*p.Stride[axis] + k*p.Dilation[axis] - p.PadBegin[axis]; from <= i && i < to {
				n++
			}
		}
		counts = append(counts, n)
	}
	p.counts[axis] = counts
}

// Chunks is the number of independent chunks; it depends on extents only.
func (p *Pool) Chunks() int { return p.planes.chunks }

// ScratchLen is the number of elements of scratch that each worker needs.
func (p *Pool) ScratchLen() int { return p.planes.scratch }

// RunChunk computes one chunk. It allocates nothing.
func (p *Pool) RunChunk(i int, w *Worker) {
	g, pl := &p.Geometry, &p.planes
	t := pl.part(i, g)
	buf, _ := w.aligned(pl.scratch - lineFloats)
	code := p.row.code()
	plane := volume(g.In)
	pad := float32(0)
	if p.Kind == Max {
		pad = -inf
	}
	for ch := t.c0; ch < t.c1; ch++ {
		pl.fill(buf, slice(p.X, ch*plane, plane), g, t, pad)
		off := ch*p.pixels + (t.z*g.Out[1]+t.y0)*g.Out[2]
		a := &w.taps
		*a = taps{src: &buf[0], n: g.Out[2], rows: t.y1 - t.y0, count: len(pl.offs), offs: &pl.offs[0], dst: at(p.Y, off), init: pad}
		a.srow, a.drow = uintptr(pl.width*g.Stride[2]*g.Stride[1])*4, uintptr(g.Out[2])*4
		if p.Kind == Max {
			code.max(a)
			continue
		}
		a.w = &p.ones[0]
		code.dot(a)
		p.divide(slice(p.Y, off, (t.y1-t.y0)*g.Out[2]), t)
	}
	w.taps = taps{}
}

// divide turns sums into means.
func (p *Pool) divide(y []float32, t part) {
	width := p.Out[2]
	for r := t.y0; r < t.y1; r++ {
		outer := p.counts[0][t.z] * p.counts[1][r]
		row := y[(r-t.y0)*width:][:width]
		for x, n := range p.counts[2][:width] {
			row[x] /= float32(outer * n)
		}
	}
}
