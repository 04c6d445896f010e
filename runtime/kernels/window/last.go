package window

import (
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// Algorithm is the way a convolution over pictures with the channels last is computed. It decides the layout of the weights.
type Algorithm uint8

// The algorithms.
const (
	LastDirect    Algorithm = iota // patches as rows of a matrix, times the weights
	LastDepthwise                  // one input and one output channel in each group: taps are summed directly
	LastWino4                      // Winograd's F(4x4, 3x3): 36 products instead of 144
	LastWino2                      // Winograd's F(2x2, 3x3): 16 products instead of 36
	algorithms
)

// Last is a convolution over pictures whose channels lie next to each other, x[n, d, h, w, c]: the channels of a pixel are contiguous,
// neighbouring pixels are XPixel elements apart (at least Groups*Ci: the picture may be a part of the channels of a larger one), rows
// In[2]*XPixel, and so on; images are XImage apart. The same holds for Y and Add, which has the shape of Y and may be Y. Fill the
// exported fields, call Prepare, then run all chunks, in any order, by any number of workers.
type Last struct {
	Geometry
	X, W, Y        *float32 // W as PackLast writes it
	XPixel, XImage int
	YPixel, YImage int
	Bias           *float32 // one for each output channel, or nil
	Add            *float32 // or nil
	AddPixel       int
	AddImage       int
	Post           gemm.Post
	Lo, Hi         float32 // for gemm.Clamp
	Algorithm      Algorithm

	row     *Row
	product *gemm.Row
	taps    int
	pixels  int // of an image of the output
	scratch int
	rows    rowPlan
	depth   depthPlan
	wino    winoPlan
}

// ChooseLast returns the algorithm that suits a convolution. It reads channels, kernel, strides and dilations, and output extents where
// they are known, that is more than 0; it depends on nothing else.
func ChooseLast(g *Geometry) Algorithm {
	if g.Ci == 1 && g.Co == 1 {
		return LastDepthwise
	}
	if !g.winograd() || g.Ci < 16 || g.Co < 16 {
		return LastDirect
	}
	h, w := g.Out[1], g.Out[2]
	switch {
	case 0 < h && h < 4 || 0 < w && w < 4:
		return LastDirect
	case 0 < h && h < 12 || 0 < w && w < 12:
		return LastWino2
	}
	return LastWino4
}

// winograd reports whether the filters are 3x3 and visit every pixel.
func (g *Geometry) winograd() bool {
	one := [3]int{1, 1, 1}
	return g.Kernel == [3]int{1, 3, 3} && g.Stride == one && g.Dilation == one
}

// Admits reports whether the algorithm computes convolutions of this geometry.
func (a Algorithm) Admits(g *Geometry) bool {
	switch a {
	case LastDirect:
		return true
	case LastDepthwise:
		return g.Ci == 1 && g.Co == 1
	case LastWino4, LastWino2:
		return g.winograd()
	}
	return false
}

// PackedLast is the number of elements of the packed weights.
func PackedLast(a Algorithm, g *Geometry) int {
	switch a {
	case LastDepthwise:
		return g.Groups * volume(g.Kernel)
	case LastWino4, LastWino2:
		side := a.side()
		return g.Groups * side * side * gemm.PackedLen(g.Ci, g.Co)
	}
	return g.Groups * gemm.PackedLen(g.Ci*volume(g.Kernel), g.Co)
}

// PackLast packs weights, which come in the order output channel (all groups), input channel (of a group), taps. It panics if dst is
// shorter than [PackedLast], w ends early or the algorithm does not admit the geometry.
//
//	LastDirect:    [groups][ceil(Co/32)][taps*Ci][32]
//	LastDepthwise: [taps][groups]
//	LastWino4:     [groups][36][ceil(Co/32)][Ci][32]
//	LastWino2:     [groups][16][ceil(Co/32)][Ci][32]
func PackLast(a Algorithm, dst, w []float32, g *Geometry) {
	if !a.Admits(g) {
		panic(fmt.Errorf("window: algorithm %d does not compute %+v", a, *g))
	}
	dst = dst[:PackedLast(a, g)]
	taps := volume(g.Kernel)
	switch a {
	case LastDepthwise:
		for c := range g.Groups {
			for t := range taps {
				dst[t*g.Groups+c] = w[c*taps+t]
			}
		}
	case LastWino4, LastWino2:
		packWino(a, dst, w, g)
	default:
		terms := taps * g.Ci
		if terms == 0 {
			return
		}
		row := make([]float32, terms)
		size := gemm.PackedLen(terms, g.Co)
		for i := range g.Groups {
			part := dst[i*size : (i+1)*size]
			clear(part)
			for co := range g.Co {
				from := w[(i*g.Co+co)*terms:][:terms]
				for ci := range g.Ci {
					for t := range taps {
						row[t*g.Ci+ci] = from[ci*taps+t]
					}
				}
				panel := part[co/gemm.Panel*gemm.Panel*terms+co%gemm.Panel:]
				for k, v := range row {
					panel[k*gemm.Panel] = v
				}
			}
		}
	}
}

// Prepare checks the geometry and plans the chunks for the kernels of a row. It allocates nothing.
func (c *Last) Prepare(row *Row) error {
	if err := c.Check(); err != nil {
		return err
	}
	if !c.Algorithm.Admits(&c.Geometry) {
		return fmt.Errorf("algorithm %d: want one for kernel %v, stride %v, dilation %v and %d to %d channels", c.Algorithm,
			c.Kernel, c.Stride, c.Dilation, c.Ci, c.Co)
	}
	if c.XPixel < c.Groups*c.Ci || c.YPixel < c.Groups*c.Co || c.Add != nil && c.AddPixel < c.Groups*c.Co {
		return fmt.Errorf("pixels: want distances of at least %d and %d, got %d, %d, %d", c.Groups*c.Ci, c.Groups*c.Co, c.XPixel, c.YPixel, c.AddPixel)
	}
	c.row, c.product = row, gemm.Pick(row.Needs)
	c.taps, c.pixels = volume(c.Kernel), volume(c.Out)
	c.scratch = 0
	switch c.Algorithm {
	case LastDepthwise:
		c.depth.plan(&c.Geometry)
		c.scratch = c.depth.scratch
	case LastWino4, LastWino2:
		c.planWino()
	default:
		c.planRows()
	}
	return nil
}

// Chunks is the number of independent chunks; it depends on extents only.
func (c *Last) Chunks() int {
	if c.N*c.pixels*c.Groups*c.Co == 0 {
		return 0
	}
	switch c.Algorithm {
	case LastDepthwise:
		return c.depth.chunks
	case LastWino4, LastWino2:
		return c.wino.chunks
	}
	return c.rows.chunks
}

// ScratchLen is the number of elements of scratch that each worker needs.
func (c *Last) ScratchLen() int { return c.scratch }

// RunChunk computes one chunk. It allocates nothing.
func (c *Last) RunChunk(i int, w *Worker) {
	switch c.Algorithm {
	case LastDepthwise:
		c.runDepth(i, w)
	case LastWino4, LastWino2:
		c.runWino(i, w)
	default:
		c.runRows(i, w)
	}
}

// blocks cuts extent into few blocks of at most limit, as equal as multiples of unit allow; into an even number of them, if more than
// one, so that two workers have the same.
func blocks(extent, limit, unit int) (count, size int) {
	if extent <= 0 {
		return 0, 0
	}
	count = ceilDiv(extent, max(limit, 1))
	if count > 1 {
		count += count % 2
	}
	size = ceilDiv(ceilDiv(extent, count), unit) * unit
	return ceilDiv(extent, size), size
}

// padded is a row length of at least n elements, a multiple of a cache line but not of 1 KiB: rows at such distances would fight for
// the same sets of L1.
func padded(n int) int {
	n = (n + lineFloats - 1) &^ (lineFloats - 1)
	if n*4%1024 == 0 {
		n += lineFloats
	}
	return n
}

// span is what output coordinate o sees along one axis: taps [from, to) lie in the picture.
func (g *Geometry) span(axis, o int) (from, to int) {
	begin := o*g.Stride[axis] - g.PadBegin[axis]
	d := g.Dilation[axis]
	from = max(0, -floorDiv(begin, d))
	to = min(g.Kernel[axis], floorDiv(g.In[axis]-1-begin, d)+1)
	if from >= to {
		return 0, 0
	}
	return from, to
}

// ints views scratch as integers.
func ints(s []float32) []int {
	if len(s) < 2 {
		return nil
	}
	return unsafe.Slice((*int)(unsafe.Pointer(&s[0])), len(s)/2)
}

// distance is the number of bytes from one element to another.
func distance(from, to *float32) int {
	return int(uintptr(unsafe.Pointer(to)) - uintptr(unsafe.Pointer(from)))
}
