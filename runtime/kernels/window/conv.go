package window

import (
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// Conv is one convolution. Fill the exported fields, call Prepare, then run all chunks, in any order, by any number of workers.
type Conv struct {
	Geometry
	X, W, Y *float32
	WStride int      // elements from the weights of an output channel to the next; 0 means Ci*taps. See WeightStride
	Bias    *float32 // one for each output channel, or nil
	Add     *float32 // of the shape of Y, or nil; may be Y
	Post    gemm.Post
	Lo, Hi  float32 // for gemm.Clamp

	row     *Row
	product *gemm.Row
	g       Geometry // with one axis for the whole picture if pointwise
	pixels  int      // of an output channel
	terms   int      // Ci * taps
	stride  int      // WStride
	direct  bool
	scratch int
	dense   densePlan
	planes  planePlan
}

// densePlan cuts the product: chunks of panels of pixels and of output channels.
type densePlan struct {
	blocks, panels   int // blocks of pixels; panels in one of them
	coBlocks, coSize int
}

const (
	patchBytes = 384 << 10 // of packed patches: they and a block of weights stay in L2
	fewChunks  = 8         // below this many, output channels are cut too
	leastCo    = 28        // output channels of a chunk that pay for packing patches again
)

// WeightStride is the best distance between the weights of output channels of k elements each: with rows at multiples of 2 KiB, the
// rows of a tile would fight for the same sets of L1, and every chunk would copy them first.
func WeightStride(k int) int {
	if k >= lineFloats && k*4%2048 == 0 {
		return k + lineFloats
	}
	return k
}

// Prepare checks the geometry and plans the chunks for the kernels of a row. It allocates only for kernels with more taps than any that
// c was prepared for.
func (c *Conv) Prepare(row *Row) error {
	if err := c.Check(); err != nil {
		return err
	}
	c.row, c.product = row, gemm.Pick(row.Needs)
	c.g = c.Geometry
	if c.g.pointwise() {
		c.g.In = [3]int{1, 1, volume(c.In)}
		c.g.Out = c.g.In
		c.g.Dilation = [3]int{1, 1, 1}
	}
	c.pixels, c.terms = volume(c.Out), c.Ci*volume(c.Kernel)
	c.stride = c.WStride
	if c.stride == 0 {
		c.stride = c.terms
	}
	c.direct = c.Ci == 1 && c.Co <= 4
	if c.direct {
		c.planes.plan(&c.g, c.N*c.Groups*c.Co*c.pixels == 0)
		c.scratch = c.planes.scratch
		return nil
	}
	c.planDense()
	return nil
}

func (c *Conv) planDense() {
	d := &c.dense
	panels := ceilDiv(c.pixels, gemm.Panel)
	most := min(max(patchBytes/(4*gemm.Panel*max(c.terms, 1)), 1), 32)
	images := c.N * c.Groups
	*d = densePlan{coBlocks: 1, coSize: c.Co}
	if panels == 0 || images == 0 || c.Co == 0 {
		c.scratch = 0
		return
	}
	d.blocks = max(ceilDiv(panels, most), min(panels, ceilDiv(fewChunks, images)))
	d.panels = ceilDiv(panels, d.blocks)
	d.blocks = ceilDiv(panels, d.panels)
	if units := images * d.blocks; units < fewChunks {
		d.coBlocks = max(1, min(ceilDiv(fewChunks, units), c.Co/leastCo))
		d.coSize = ceilDiv(c.Co, d.coBlocks)
		d.coBlocks = ceilDiv(c.Co, d.coSize)
	}
	n := d.panels * gemm.Panel
	c.scratch = n*c.terms + gemm.ScratchLen(d.coSize, n, c.terms) + lineFloats
}

// Chunks is the number of independent chunks; it depends on extents only.
func (c *Conv) Chunks() int {
	if c.direct {
		return c.planes.chunks
	}
	return c.N * c.Groups * c.dense.blocks * c.dense.coBlocks
}

// ScratchLen is the number of elements of scratch that each worker needs.
func (c *Conv) ScratchLen() int { return c.scratch }

// RunChunk computes one chunk. It allocates nothing.
func (c *Conv) RunChunk(i int, w *Worker) {
	if c.direct {
		c.runPlanes(i, w)
		return
	}
	d := &c.dense
	co0 := i % d.coBlocks * d.coSize
	i /= d.coBlocks
	p0 := i % d.blocks * d.panels * gemm.Panel
	image := i / d.blocks // n*Groups + g
	n := min(d.panels*gemm.Panel, c.pixels-p0)
	buf, rest := w.aligned(ceilDiv(n, gemm.Panel) * gemm.Panel * c.terms)
	c.pack(w, buf, image, p0, n)

	out := (image*c.Co + co0) * c.pixels
	a := &w.product
	*a = gemm.Args{
		M: min(d.coSize, c.Co-co0), N: n, K: c.terms,
		A: at(c.W, (image%c.Groups*c.Co+co0)*c.stride), RSA: c.stride, CSA: 1,
		C: at(c.Y, out+p0), LDC: c.pixels,
		Post: c.Post, Lo: c.Lo, Hi: c.Hi, Scratch: rest,
	}
	if c.terms > 0 {
		a.B = &buf[0]
	}
	if c.Add != nil {
		a.Add, a.LDAdd = at(c.Add, out+p0), c.pixels
	}
	if c.Bias != nil {
		a.BiasM = at(c.Bias, image%c.Groups*c.Co+co0)
	}
	c.product.Run(a)
	*a = gemm.Args{}
}
