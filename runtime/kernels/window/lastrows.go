package window

import (
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// rowPlan cuts a product whose rows are pixels: chunks of rows and of output channels.
type rowPlan struct {
	source           source
	chunks           int
	images           int // pictures that are cut one by one
	pixels           int // of one of them
	blocks, rows     int // blocks of pixels; pixels in one of them
	coBlocks, coSize int
	terms, ld        int // terms of a row; from a row of the copy to the next
	region           regionPlan
}

// source is where the rows of the product are read.
type source uint8

const (
	plainRows  source = iota // the pixels of the input, one after another
	regionRows               // the part of the picture that a block of pixels sees: there, or a copy with zeros around it
	patchRows                // a copy of each pixel's patch
)

const (
	rowTile   = 14             // rows of the largest register tile
	rowBytes  = 448 << 10      // of a block of rows: they stay in L2
	mostRows  = 12 * 14        // rows of a block
	leastWork = 1 << 20        // multiply-adds of a chunk that pay for its start
	leastCols = 4 * gemm.Panel // output channels of a chunk that pay for copying rows again
)

// source chooses where rows are read. With steps wider than the kernel, patches are the smaller copy.
func (g *Geometry) source() source {
	switch {
	case g.pointwise():
		return plainRows
	case g.Ci == 0, g.Kernel[0]*g.In[0]*g.Out[0] != 1, g.PadBegin[0] != 0, g.Stride[1] > g.Kernel[1], g.Stride[2] > g.Kernel[2]:
		return patchRows
	}
	return regionRows
}

func (c *Last) planRows() {
	p := &c.rows
	terms := c.taps * c.Ci
	*p = rowPlan{source: c.Geometry.source(), images: c.N, pixels: c.pixels, terms: terms, ld: padded(terms), region: p.region}
	if c.N*c.pixels*c.Groups*c.Co == 0 {
		return
	}
	if p.source == plainRows && c.adjacent() {
		p.images, p.pixels = 1, c.N*c.pixels
	}
	if p.source == regionRows {
		p.blocks, p.rows = p.region.plan(c)
	} else {
		fit := max(rowBytes/(4*max(terms, 1))/rowTile*rowTile, 4*rowTile)
		p.blocks, p.rows = blocks(p.pixels, min(fit, mostRows), 1)
	}
	units := p.images * c.Groups * p.blocks
	p.coBlocks, p.coSize = 1, c.Co
	if units < fewChunks {
		// Columns are cut too, as far as chunks stay large.
		work := min(p.rows, p.pixels) * max(terms, 1)
		cols := leastCols
		if p.source == plainRows {
			cols = gemm.Panel // nothing is copied
		}
		least := max(cols, ceilDiv(ceilDiv(leastWork, work), gemm.Panel)*gemm.Panel)
		limit := max(least, ceilDiv(ceilDiv(c.Co, ceilDiv(fewChunks, units)), gemm.Panel)*gemm.Panel)
		p.coBlocks, p.coSize = blocks(c.Co, limit, gemm.Panel)
	}
	p.chunks = units * p.coBlocks
	rows := min(p.rows, p.pixels)
	switch p.source {
	case plainRows:
		c.scratch = gemm.ScratchLen(rows, p.coSize, terms)
	case regionRows:
		c.scratch = p.region.height * p.region.row
	case patchRows:
		c.scratch = gemm.ScratchLen(rows, p.coSize, terms) + rows*p.ld
	}
	c.scratch += lineFloats
}

// adjacent reports whether one image follows another without a gap.
func (c *Last) adjacent() bool {
	return c.N <= 1 || c.XImage == c.pixels*c.XPixel && c.YImage == c.pixels*c.YPixel && (c.Add == nil || c.AddImage == c.pixels*c.AddPixel)
}

// runRows computes a chunk as a product.
func (c *Last) runRows(i int, w *Worker) {
	p := &c.rows
	co0 := i % p.coBlocks * p.coSize
	i /= p.coBlocks
	block := i % p.blocks
	i /= p.blocks
	group, image := i%c.Groups, i/c.Groups
	p0 := block * p.rows
	n := min(p.rows, p.pixels-p0)
	if p.source == regionRows {
		p0, n = p.region.pixels(&c.Geometry, block)
	}

	a := &w.product
	*a = gemm.Args{
		M: n, N: min(p.coSize, c.Co-co0), K: p.terms, CSA: 1,
		C: at(c.Y, image*c.YImage+p0*c.YPixel+group*c.Co+co0), LDC: c.YPixel,
		Post: c.Post, Lo: c.Lo, Hi: c.Hi,
	}
	if p.terms > 0 {
		a.B = at(c.W, group*gemm.PackedLen(p.terms, c.Co)+co0*p.terms)
		switch p.source {
		case plainRows:
			a.A, a.RSA = at(c.X, image*c.XImage+p0*c.XPixel+group*c.Ci), c.XPixel
			_, a.Scratch = w.aligned(0)
		case regionRows:
			p.region.rows(c, w, a, block, image*c.XImage+group*c.Ci)
		case patchRows:
			buf, rest := w.aligned(n * p.ld)
			c.gather(w, buf, image, group, p0, n)
			a.A, a.RSA, a.Scratch = &buf[0], p.ld, rest
		}
	}
	if c.Add != nil {
		a.Add, a.LDAdd = at(c.Add, image*c.AddImage+p0*c.AddPixel+group*c.Co+co0), c.AddPixel
	}
	if c.Bias != nil {
		a.BiasN = at(c.Bias, group*c.Co+co0)
	}
	c.product.Run(a)
	*a = gemm.Args{}
}

// gather writes the patches of n pixels from p0 as rows, taps first and channels last.
func (c *Last) gather(w *Worker, buf []float32, image, group, p0, n int) {
	g, ld := &c.Geometry, c.rows.ld
	for done := 0; done < n; {
		at := g.point(p0 + done)
		count := min(n-done, g.Out[2]-at.x)
		for kz := range g.Kernel[0] {
			for ky := range g.Kernel[1] {
				z := at.z*g.Stride[0] + kz*g.Dilation[0] - g.PadBegin[0]
				y := at.y*g.Stride[1] + ky*g.Dilation[1] - g.PadBegin[1]
				rows := buf[done*ld+(kz*g.Kernel[1]+ky)*g.Kernel[2]*c.Ci:]
				if uint(z) >= uint(g.In[0]) || uint(y) >= uint(g.In[1]) {
					for i := range count {
						clear(rows[i*ld:][:g.Kernel[2]*c.Ci])
					}
					continue
				}
				c.gatherRow(w, rows, image*c.XImage+(z*g.In[1]+y)*g.In[2]*c.XPixel+group*c.Ci, at.x, count)
			}
		}
		done += count
	}
}

// gatherRow writes, for count pixels from column x on, the taps of one row of the kernel; from is the first element of the picture's row.
func (c *Last) gatherRow(w *Worker, rows []float32, from, x, count int) {
	g, ld := &c.Geometry, c.rows.ld
	end := x + count
	width := g.Kernel[2] * c.Ci
	for x < end {
		lo, hi := g.span(2, x)
		if lo > 0 || hi < g.Kernel[2] {
			row := rows[:width]
			clear(row[:lo*c.Ci])
			clear(row[hi*c.Ci:])
			first := from + (x*g.Stride[2]-g.PadBegin[2])*c.XPixel
			for kx := lo; kx < hi; kx++ {
				copy(row[kx*c.Ci:(kx+1)*c.Ci], slice(c.X, first+kx*g.Dilation[2]*c.XPixel, c.Ci))
			}
			x++
			rows = rows[min(ld, len(rows)):]
			continue
		}
		// All taps are inside from here to the last pixel whose last tap is.
		last := floorDiv(g.In[2]-1-(g.Kernel[2]-1)*g.Dilation[2]+g.PadBegin[2], g.Stride[2])
		n := min(end, last+1) - x
		m := &w.move
		*m = move{src: at(c.X, from+(x*g.Stride[2]-g.PadBegin[2])*c.XPixel), sstep: uintptr(g.Stride[2]*c.XPixel) * 4,
			srun: uintptr(g.Dilation[2]*c.XPixel) * 4, dst: &rows[0], dstep: uintptr(ld) * 4, drun: uintptr(c.Ci) * 4,
			n: n, runs: g.Kernel[2], size: c.Ci}
		if g.Dilation[2] == 1 && c.XPixel == c.Ci {
			m.runs, m.size = 1, width
		}
		c.row.code().move(m)
		x += n
		rows = rows[min(n*ld, len(rows)):]
	}
	w.move = move{}
}
