package window

import (
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// depthPlan cuts work in which every channel is on its own: chunks of output rows and of channels.
type depthPlan struct {
	chunks             int
	blocks, rows       int // blocks of output rows, of all depths of one image; rows in one of them
	chBlocks, channels int
	strip              int // channels that are computed together, so that the rows a kernel sees stay in L1
	scratch            int
	threes             bool // rows of three taps of which the first and the last pixel lack at most one
}

const (
	stripFloats = 7 << 10 // elements of the rows that a row of the output sees
	depthUnit   = 32      // channels are cut at multiples of this
	leastSpots  = 1 << 17 // taps of a chunk, all channels
)

func (p *depthPlan) plan(g *Geometry) {
	*p = depthPlan{scratch: 4*volume(g.Kernel) + 2*lineFloats}
	lines := g.Out[0] * g.Out[1]
	if g.N*g.Groups*lines*g.Out[2] == 0 {
		return
	}
	width := min(g.In[2], (g.Out[2]-1)*g.Stride[2]+(g.Kernel[2]-1)*g.Dilation[2]+1)
	seen := max(width, 1) * g.Kernel[0] * g.Kernel[1]
	p.strip = max(stripFloats/seen/depthUnit*depthUnit, depthUnit)
	p.chBlocks, p.channels = 1, g.Groups
	line := g.Out[2] * volume(g.Kernel)
	p.rows = min(max(ceilDiv(leastSpots, line*g.Groups), ceilDiv(lines, 2*fewChunks), 1), lines)
	p.blocks, p.rows = blocks(lines, p.rows, 1)
	if units := g.N * p.blocks; units < fewChunks {
		limit := max(ceilDiv(leastSpots, line*p.rows), ceilDiv(g.Groups, ceilDiv(fewChunks, units)))
		p.chBlocks, p.channels = blocks(g.Groups, limit, depthUnit)
	}
	p.chunks = g.N * p.blocks * p.chBlocks
	p.threes = g.threes()
}

// threes reports whether the kernel is 1x3x3 or less high, and all pixels of a row have all columns of taps in the picture but for
// the first column of the first pixel and the last column of the last pixel.
func (g *Geometry) threes() bool {
	if g.Kernel[0] != 1 || g.Kernel[1] > 3 || g.Kernel[2] != 3 {
		return false
	}
	last := g.Out[2] - 1
	for _, x := range []struct{ at, from, to int }{{0, 1, 3}, {1, 0, 3}, {last - 1, 0, 3}, {last, 0, 2}} {
		if x.at < 0 {
			return false
		}
		if from, to := g.span(2, x.at); from > x.from || to < x.to {
			return false
		}
	}
	return last >= 2
}

// area is what a chunk computes.
type area struct{ image, c0, c1, r0, r1 int }

func (p *depthPlan) area(i int, g *Geometry) area {
	c0 := i % p.chBlocks * p.channels
	i /= p.chBlocks
	r0 := i % p.blocks * p.rows
	return area{i / p.blocks, c0, min(c0+p.channels, g.Groups), r0, min(r0+p.rows, g.Out[0]*g.Out[1])}
}

// runDepth computes a chunk.
func (c *Last) runDepth(i int, w *Worker) {
	s := &w.spots
	*s = spots{sstep: uintptr(c.Stride[2]*c.XPixel) * 4, dstep: uintptr(c.YPixel) * 4, astep: uintptr(c.AddPixel) * 4}
	s.bound(c.Post, c.Lo, c.Hi)
	ar := c.depth.area(i, &c.Geometry)
	code := c.row.code().spot
	if c.depth.threes {
		c.runThrees(w, ar)
		return
	}
	for c0 := ar.c0; c0 < ar.c1; c0 += c.depth.strip {
		s.c = min(c.depth.strip, ar.c1-c0)
		s.w = at(c.W, c0)
		if c.Bias != nil {
			s.bias = at(c.Bias, c0)
		}
		c.Geometry.sweep(w, &c.depth, ar, c.XPixel, c.Groups, func(first, pixel int) {
			s.src = c.X // a pointer past the end of an empty picture is not allowed to exist
			if s.count > 0 {
				s.src = at(c.X, ar.image*c.XImage+c0+first)
			}
			s.dst = at(c.Y, ar.image*c.YImage+c0+pixel*c.YPixel)
			if c.Add != nil {
				s.add = at(c.Add, ar.image*c.AddImage+c0+pixel*c.AddPixel)
			}
			code(s)
		})
	}
	*s = spots{}
}

func (a *spots) bound(post gemm.Post, lo, hi float32) {
	switch post {
	case gemm.ReLU:
		a.clamp, a.lo, a.hi = 1, 0, inf
	case gemm.Clamp:
		a.clamp, a.lo, a.hi = 1, lo, hi
	}
}

// runThrees computes an area whose rows have three taps.
func (c *Last) runThrees(w *Worker, ar area) {
	g, t, code := &c.Geometry, &w.triple, c.row.code().triple
	*t = triple{step: uintptr(g.Dilation[2]*c.XPixel) * 4, row: uintptr(g.Dilation[1]*g.In[2]*c.XPixel) * 4,
		pixel: uintptr(g.Stride[2]*c.XPixel) * 4, wstep: uintptr(g.Groups) * 4, dstep: uintptr(c.YPixel) * 4, astep: uintptr(c.AddPixel) * 4,
		lo: -inf, hi: inf}
	switch c.Post {
	case gemm.ReLU:
		t.lo = 0
	case gemm.Clamp:
		t.lo, t.hi = c.Lo, c.Hi
	}
	x0, _ := g.span(2, 0)
	_, x1 := g.span(2, g.Out[2]-1)
	t.left, t.right = x0, 3-x1
	t.n = g.Out[2] - t.left - t.right
	column := x0*g.Dilation[2] - g.PadBegin[2]
	for c0 := ar.c0; c0 < ar.c1; c0 += c.depth.strip {
		t.c = min(c.depth.strip, ar.c1-c0)
		if c.Bias != nil {
			t.bias = at(c.Bias, c0)
		}
		for r := ar.r0; r < ar.r1; r++ {
			z, y := r/g.Out[1]*g.Stride[0]-g.PadBegin[0], r%g.Out[1]
			y0, y1 := g.span(1, y)
			pixel := r * g.Out[2]
			t.dst = at(c.Y, ar.image*c.YImage+pixel*c.YPixel+c0)
			if c.Add != nil {
				t.add = at(c.Add, ar.image*c.AddImage+pixel*c.AddPixel+c0)
			}
			t.rows = y1 - y0
			if uint(z) >= uint(g.In[0]) || t.rows == 0 {
				c.blank(t)
				continue
			}
			iy := y*g.Stride[1] + y0*g.Dilation[1] - g.PadBegin[1]
			t.src = at(c.X, ar.image*c.XImage+((z*g.In[1]+iy)*g.In[2]+column)*c.XPixel+c0)
			t.w = at(c.W, y0*3*g.Groups+c0)
			code(t)
		}
	}
	*t = triple{}
}

// blank computes a row that sees nothing of the picture.
func (c *Last) blank(t *triple) {
	one := spots{count: 0, src: c.X, dst: t.dst, dstep: t.dstep, add: t.add, astep: t.astep, bias: t.bias, n: c.Out[2], c: t.c, lo: t.lo, hi: t.hi, clamp: 1}
	spotRef(&one)
}

// sweep visits the area in runs of pixels of one row that have the same taps in the picture. It leaves their table and the number of
// pixels in w.spots and calls f with the element of the first tap of the first pixel and that pixel's number. A tap's weights are
// weight elements after those of the tap before it.
func (g *Geometry) sweep(w *Worker, p *depthPlan, ar area, pixel, weight int, f func(first, pixel int)) {
	buf, _ := w.aligned(4 * volume(g.Kernel))
	table := ints(buf)
	s := &w.spots
	s.offs = &table[0]
	for x := 0; x < g.Out[2]; {
		x0, x1 := g.span(2, x)
		n := 1
		if x0 == 0 && x1 == g.Kernel[2] {
			last := floorDiv(g.In[2]-1-(g.Kernel[2]-1)*g.Dilation[2]+g.PadBegin[2], g.Stride[2])
			n = min(g.Out[2], last+1) - x
		}
		s.n = n
		old := [4]int{-1}
		for r := ar.r0; r < ar.r1; r++ {
			z, y := r/g.Out[1], r%g.Out[1]
			z0, z1 := g.span(0, z)
			y0, y1 := g.span(1, y)
			if now := [4]int{z0, z1, y0, y1}; now != old {
				old = now
				s.count = g.table(table, [3]int{z0, y0, x0}, [3]int{z1, y1, x1}, pixel, weight)
			}
			first := 0
			if s.count > 0 {
				iz := z*g.Stride[0] + z0*g.Dilation[0] - g.PadBegin[0]
				iy := y*g.Stride[1] + y0*g.Dilation[1] - g.PadBegin[1]
				ix := x*g.Stride[2] + x0*g.Dilation[2] - g.PadBegin[2]
				first = ((iz*g.In[1]+iy)*g.In[2] + ix) * pixel
			}
			f(first, r*g.Out[2]+x)
		}
		x += n
	}
}

// table writes pairs for the taps in [from, to): the bytes from the first tap's pixel, and from the first weights.
func (g *Geometry) table(t []int, from, to [3]int, pixel, weight int) int {
	n := 0
	for kz := from[0]; kz < to[0]; kz++ {
		for ky := from[1]; ky < to[1]; ky++ {
			for kx := from[2]; kx < to[2]; kx++ {
				row := (kz-from[0])*g.Dilation[0]*g.In[1] + (ky-from[1])*g.Dilation[1]
				t[2*n] = (row*g.In[2] + (kx-from[2])*g.Dilation[2]) * pixel * 4
				t[2*n+1] = ((kz*g.Kernel[1]+ky)*g.Kernel[2] + kx) * weight * 4
				n++
			}
		}
	}
	return n
}
