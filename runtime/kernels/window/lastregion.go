package window

import (
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// regionPlan cuts the output of a convolution of two axes into blocks of whole rows, or of parts of one row, and reads patches from the
// region of the picture that a block sees. The patch of a pixel is not contiguous there, but each row of its taps is: the product
// takes it as runs of terms. So nothing is copied where the region lies inside the picture; where it does not, it is
// copied once with zeros around it, and not once for each tap.
type regionPlan struct {
	across       int // blocks in a row; lines is 1 where there are more than one
	width, lines int // output pixels of a block in a row, and rows
	height, row  int // rows of the region, elements of one of them
	copied       []int
	inPlace      []int // runs, in the copy and in the picture; none where the picture cannot be read in place
}

const regionFloats = 48 << 10 // of a region: with a block of weights it stays in L2

// plan returns the number of blocks and the pixels of the largest.
func (p *regionPlan) plan(c *Last) (blocksOf, pixels int) {
	g := &c.Geometry
	p.across, p.width = 1, g.Out[2]
	if g.Out[2] > mostRows*3/2 {
		p.across, p.width = blocks(g.Out[2], mostRows, 1)
	}
	p.row = ((p.width-1)*g.Stride[2] + (g.Kernel[2]-1)*g.Dilation[2] + 1) * g.Ci
	span := (g.Kernel[1]-1)*g.Dilation[1] + 1
	p.lines = 1
	if p.across == 1 {
		// Rows that blocks have in common are copied twice: blocks are high enough that few are.
		want := max(ceilDiv(mostRows, p.width), ceilDiv(2*(span-1), g.Stride[1]))
		fit := (regionFloats/p.row-span)/g.Stride[1] + 1
		_, p.lines = blocks(g.Out[1], max(min(want, fit), ceilDiv(2*rowTile, p.width)), 1)
	}
	p.height = (p.lines-1)*g.Stride[1] + span
	p.copied = runs(p.copied[:0], g, p.row)
	p.inPlace = p.inPlace[:0]
	if c.XPixel == g.Ci {
		p.inPlace = runs(p.inPlace, g, g.In[2]*g.Ci)
	}
	return p.across * ceilDiv(g.Out[1], p.lines), p.width * p.lines
}

// runs lists where the contiguous parts of a patch begin: its rows of taps, or its taps where dilation parts them. Rows of pixels
// are row elements apart.
func runs(l []int, g *Geometry, row int) []int {
	for ky := range g.Kernel[1] {
		at := ky * g.Dilation[1] * row
		if g.Dilation[2] == 1 {
			l = append(l, at)
			continue
		}
		for kx := range g.Kernel[2] {
			l = append(l, at+kx*g.Dilation[2]*g.Ci)
		}
	}
	return l
}

// pixels is the first output pixel of a block, and how many it has.
func (p *regionPlan) pixels(g *Geometry, block int) (first, n int) {
	if p.across > 1 {
		x := block % p.across * p.width
		return block/p.across*g.Out[2] + x, min(p.width, g.Out[2]-x)
	}
	y := block * p.lines
	return y * g.Out[2], min(p.lines, g.Out[1]-y) * g.Out[2]
}

// rows sets the left side of the product for a block of the picture that begins at element from.
func (p *regionPlan) rows(c *Last, w *Worker, a *gemm.Args, block, from int) {
	g := &c.Geometry
	first, n := p.pixels(g, block)
	y, x := first/g.Out[2]*g.Stride[1]-g.PadBegin[1], first%g.Out[2]*g.Stride[2]-g.PadBegin[2]
	lines, width := 1, n
	if p.across == 1 {
		lines, width = n/g.Out[2], g.Out[2]
	}
	height := (lines-1)*g.Stride[1] + (g.Kernel[1]-1)*g.Dilation[1] + 1
	columns := (width-1)*g.Stride[2] + (g.Kernel[2]-1)*g.Dilation[2] + 1
	a.Per, a.RSA = width, g.Stride[2]*g.Ci
	if len(p.inPlace) > 0 && y >= 0 && x >= 0 && y+height <= g.In[1] && x+columns <= g.In[2] {
		a.A, a.Runs, a.GSA = at(c.X, from+(y*g.In[2]+x)*c.XPixel), p.inPlace, g.Stride[1]*g.In[2]*c.XPixel
		return
	}
	buf, _ := w.aligned(height * p.row)
	for r := range height {
		p.copyRow(c, w, buf[r*p.row:][:columns*g.Ci], from, y+r, x)
	}
	a.A, a.Runs, a.GSA = &buf[0], p.copied, g.Stride[1]*p.row
}

// copyRow copies pixels of row y from column x on, with zeros for what is outside.
func (p *regionPlan) copyRow(c *Last, w *Worker, out []float32, from, y, x int) {
	g := &c.Geometry
	n := len(out) / g.Ci
	if uint(y) >= uint(g.In[1]) {
		clear(out)
		return
	}
	lo := min(max(-x, 0), n)
	hi := max(min(g.In[2]-x, n), lo)
	clear(out[:lo*g.Ci])
	clear(out[hi*g.Ci:])
	if lo == hi {
		return
	}
	src := from + (y*g.In[2]+x+lo)*c.XPixel
	out = out[lo*g.Ci:]
	if c.XPixel == g.Ci && g.Groups == 1 {
		copy(out, slice(c.X, src, (hi-lo)*g.Ci))
		return
	}
	w.move = move{src: at(c.X, src), sstep: uintptr(c.XPixel) * 4, dst: &out[0], dstep: uintptr(g.Ci) * 4, n: hi - lo, runs: 1, size: g.Ci}
	c.row.code().move(&w.move)
	w.move = move{}
}
