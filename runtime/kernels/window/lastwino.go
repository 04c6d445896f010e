package window

import (
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// Winograd's minimal filtering (Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, Fast Algorithms for Convolutional
// Neural Networks, CVPR 2016). A tile of m x m outputs, of side = m+2 inputs d, for a filter f:
//
//	out = At [ (G f Gt) . (Bt d B) ] A        . element by element, summed over input channels: one matrix product for each position
//
// Interpolation points are 0, p, -p, q, -q and infinity for m = 4, and 0, 1, -1 and infinity for m = 2. With the customary p = 1 and
// q = 2 the error is 2.5 times what it is with points around 1 whose powers are exact (Barabasz, Anderson, Soodhalter and Gregg, Error
// Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks, ACM TOMS 46, 2020, on the choice of points).
// Filters are transformed, in float64, when weights are packed.
const (
	winoP, winoQ = 11. / 16, 3. / 2
	winoP2       = winoP * winoP
	winoQ2       = winoQ * winoQ
	mostSide     = 6
)

// filter is G: for a point r, the powers of r over the product of its differences from the other points.
func (a Algorithm) filter() [][3]float64 {
	if a == LastWino2 {
		return [][3]float64{{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}
	}
	row := func(r, differences float64) [3]float64 {
		return [3]float64{1 / differences, r / differences, r * r / differences}
	}
	p, q := 2*winoP2*(winoP2-winoQ2), 2*winoQ2*(winoQ2-winoP2)
	return [][3]float64{row(0, winoP2*winoQ2), row(winoP, p), row(-winoP, p), row(winoQ, q), row(-winoQ, q), {0, 0, 1}}
}

// side is the extent of an input tile, 2 more than that of an output tile.
func (a Algorithm) side() int {
	if a == LastWino2 {
		return 4
	}
	return mostSide
}

func packWino(a Algorithm, dst, w []float32, g *Geometry) {
	clear(dst)
	G, side := a.filter(), a.side()
	size := gemm.PackedLen(g.Ci, g.Co)
	for co := range g.Groups * g.Co {
		group, col := co/g.Co, co%g.Co
		for ci := range g.Ci {
			f := w[(co*g.Ci+ci)*9:][:9]
			at := group*side*side*size + col/gemm.Panel*gemm.Panel*g.Ci + ci*gemm.Panel + col%gemm.Panel
			for _, r := range G {
				var half [3]float64 // a row of G f
				for j := range half {
					half[j] = r[0]*float64(f[j]) + r[1]*float64(f[3+j]) + r[2]*float64(f[6+j])
				}
				for _, q := range G {
					dst[at] = float32(half[0]*q[0] + half[1]*q[1] + half[2]*q[2])
					at += size
				}
			}
		}
	}
}

// winoPlan cuts the work into chunks of tiles and of output channels.
type winoPlan struct {
	chunks           int
	side, high, wide int // extent of an input tile; tiles in a column and in a row of a picture
	tiles            int // of all pictures
	blocks, size     int // blocks of tiles; tiles in one of them
	coBlocks, coSize int
	ldv, vpos        int // transformed input: from a tile to the next, from a position to the next
	ldm, mpos        int // products
	blank            int // elements of the zeros that lie around the picture, and of what is thrown away
}

const (
	winoFloats = 512 << 10 // elements of transformed input and products of a chunk
	mostTiles  = 28
	winoCols   = 2 * gemm.Panel // output channels of a chunk that pay for transforming the input again
	winoChunks = 4              // below this many, output channels are cut too
)

func (c *Last) planWino() {
	p := &c.wino
	*p = winoPlan{side: c.Algorithm.side()}
	if c.N*c.pixels*c.Groups*c.Co == 0 {
		return
	}
	m, area := p.side-2, p.side*p.side
	p.high, p.wide = ceilDiv(c.Out[1], m), ceilDiv(c.Out[2], m)
	p.tiles = c.N * c.Out[0] * p.high * p.wide
	p.ldv = padded(c.Ci)
	p.coBlocks, p.coSize = 1, c.Co
	fit := winoFloats / (area * (p.ldv + padded(c.Co)))
	p.blocks, p.size = blocks(p.tiles, min(max(fit, 16), mostTiles), 1)
	if units := p.blocks * c.Groups; units < winoChunks {
		limit := max(winoCols, ceilDiv(ceilDiv(c.Co, ceilDiv(winoChunks, units)), gemm.Panel)*gemm.Panel)
		p.coBlocks, p.coSize = blocks(c.Co, limit, gemm.Panel)
	}
	p.chunks = p.blocks * c.Groups * p.coBlocks
	p.ldm = padded(min(p.coSize, c.Co))
	p.vpos, p.mpos = padded(p.size*p.ldv), padded(p.size*p.ldm)
	p.blank = padded(max(c.Ci, p.coSize))
	c.scratch = area*(p.vpos+p.mpos) + 2*p.blank + winoTemp + lineFloats
}

// winoTemp is the number of elements that a transform keeps between its two passes.
const winoTemp = mostSide * mostSide * lineFloats

// runWino computes a chunk.
func (c *Last) runWino(i int, w *Worker) {
	p := &c.wino
	co0 := i % p.coBlocks * p.coSize
	i /= p.coBlocks
	t0 := i % p.blocks * p.size
	group := i / p.blocks
	tiles, cols := min(p.size, p.tiles-t0), min(p.coSize, c.Co-co0)
	area := p.side * p.side

	buf, _ := w.aligned(c.scratch - lineFloats)
	cut := func(n int) []float32 {
		s := buf[:n]
		buf = buf[n:]
		return s
	}
	zeros, waste, temp := cut(p.blank), cut(p.blank), cut(winoTemp)
	v, m := cut(area*p.vpos), cut(area*p.mpos)
	clear(zeros)

	if c.Ci > 0 {
		c.winoInput(w, v, zeros, temp, group, t0, tiles)
	}
	a := &w.product
	size := gemm.PackedLen(c.Ci, c.Co)
	for pos := range area {
		*a = gemm.Args{M: tiles, N: cols, K: c.Ci, A: &v[pos*p.vpos], RSA: p.ldv, CSA: 1, C: &m[pos*p.mpos], LDC: p.ldm}
		if c.Ci > 0 {
			a.B = at(c.W, (group*area+pos)*size+co0*c.Ci)
			if pos+1 < area {
				a.Next = at(a.B, size)
			}
		}
		c.product.Run(a)
	}
	*a = gemm.Args{}
	c.winoOutput(w, m, zeros, waste, temp, group*c.Co+co0, cols, t0, tiles)
}

// corner is the place of a tile: its picture and the first output pixel.
func (p *winoPlan) corner(t int, g *Geometry) (image int, at point) {
	m := p.side - 2
	at.x = t % p.wide * m
	t /= p.wide
	at.y = t % p.high * m
	t /= p.high
	at.z = t % g.Out[0]
	return t / g.Out[0], at
}

// winoInput transforms the input of tiles.
func (c *Last) winoInput(w *Worker, v, zeros, temp []float32, group, t0, tiles int) {
	p := &c.wino
	inside := &w.winoOffs[0]
	k := 0
	for i := range p.side {
		for j := range p.side {
			inside[k] = (i*c.In[2] + j) * c.XPixel * 4
			k++
		}
	}
	code := c.row.code().tileIn[c.Algorithm-LastWino4]
	a := &w.tileIn
	*a = tileIn{n: c.Ci, dpos: uintptr(p.vpos) * 4, tmp: &temp[0]}
	for t := range tiles {
		image, o := p.corner(t0+t, &c.Geometry)
		y, x, z := o.y-c.PadBegin[1], o.x-c.PadBegin[2], o.z-c.PadBegin[0]
		first := image*c.XImage + group*c.Ci
		if volume(c.In) == 0 {
			first = 0 // a pointer past the end of an empty picture is not allowed to exist
		}
		a.dst = &v[t*p.ldv]
		if y >= 0 && x >= 0 && uint(z) < uint(c.In[0]) && y+p.side <= c.In[1] && x+p.side <= c.In[2] {
			a.src, a.offs = at(c.X, first+((z*c.In[1]+y)*c.In[2]+x)*c.XPixel), &inside[0]
		} else {
			a.src = at(c.X, first)
			c.edge(&w.winoOffs[1], z, y, x, distance(a.src, &zeros[0]))
			a.offs = &w.winoOffs[1][0]
		}
		code(a)
	}
	*a = tileIn{}
}

// edge writes the offsets of a tile's pixels from the first pixel of the picture; those outside are at blank.
func (c *Last) edge(offs *[mostSide * mostSide]int, z, y, x, blank int) {
	side := c.wino.side
	k := 0
	for i := range side {
		out := uint(z) >= uint(c.In[0]) || uint(y+i) >= uint(c.In[1])
		row := (z*c.In[1] + y + i) * c.In[2]
		for j := range side {
			if out || uint(x+j) >= uint(c.In[2]) {
				offs[k] = blank
			} else {
				offs[k] = (row + x + j) * c.XPixel * 4
			}
			k++
		}
	}
}

// winoOutput transforms products into the output of tiles, columns [co, co+cols) of the output's channels.
func (c *Last) winoOutput(w *Worker, m, zeros, waste, temp []float32, co, cols, t0, tiles int) {
	p := &c.wino
	code := c.row.code().tileOut[c.Algorithm-LastWino4]
	a := &w.tileOut
	*a = tileOut{n: cols, spos: uintptr(p.mpos) * 4, tmp: &temp[0]}
	a.offs, a.aoffs = &w.winoOffs[0][0], &w.winoOffs[1][0]
	switch c.Post {
	case gemm.ReLU:
		a.clamp, a.lo, a.hi = 1, 0, inf
	case gemm.Clamp:
		a.clamp, a.lo, a.hi = 1, c.Lo, c.Hi
	}
	if c.Bias != nil {
		a.bias = at(c.Bias, co)
	}
	whole := false
	for t := range tiles {
		image, o := p.corner(t0+t, &c.Geometry)
		pixel := (o.z*c.Out[1]+o.y)*c.Out[2] + o.x
		a.src = &m[t*p.ldm]
		a.dst = at(c.Y, image*c.YImage+pixel*c.YPixel+co)
		if c.Add != nil {
			a.add = at(c.Add, image*c.AddImage+pixel*c.AddPixel+co)
		}
		high, wide := min(p.side-2, c.Out[1]-o.y), min(p.side-2, c.Out[2]-o.x)
		if all := high == p.side-2 && wide == p.side-2; !all || !whole {
			c.places(&w.winoOffs[0], high, wide, c.YPixel, distance(a.dst, &waste[0]))
			if c.Add != nil {
				c.places(&w.winoOffs[1], high, wide, c.AddPixel, distance(a.add, &zeros[0]))
			}
			whole = all
		}
		code(a)
	}
	*a = tileOut{}
}

// places writes the offsets of a tile's output pixels from the first one; those that do not exist are at waste.
func (c *Last) places(offs *[mostSide * mostSide]int, high, wide, pixel, waste int) {
	m := c.wino.side - 2
	for i := range m {
		for j := range m {
			if i < high && j < wide {
				offs[i*m+j] = (i*c.Out[2] + j) * pixel * 4
			} else {
				offs[i*m+j] = waste
			}
		}
	}
}
