package window

import (
	"unsafe"

	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// piece is a run of lanes of a vector that take their pixels from one row of the picture.
type piece struct {
	lane, n int
	off     int // element of the first pixel in its channel; the next ones are a stride apart
}

// point is an output pixel.
type point struct{ z, y, x int }

func (g *Geometry) point(p int) point {
	x := p % g.Out[2]
	p /= g.Out[2]
	return point{p / g.Out[1], p % g.Out[1], x}
}

// pack writes the patches of n pixels from p0 as panels: row k of a panel belongs to channel k / taps and tap k % taps.
func (c *Conv) pack(w *Worker, buf []float32, image, p0, n int) {
	g := &c.g
	if c.terms == 0 {
		return
	}
	plane := volume(g.In)
	if plane == 0 {
		clear(buf)
		return
	}
	src := at(c.X, image*g.Ci*plane)
	lanes := c.row.Lanes
	for q := 0; q < n; q += lanes {
		panel := buf[q/gemm.Panel*gemm.Panel*c.terms:]
		from := g.point(p0 + q)
		tap := 0
		for kz := range g.Kernel[0] {
			for ky := range g.Kernel[1] {
				for kx := range g.Kernel[2] {
					pieces := w.pieces[:g.pieces(&w.pieces, from, min(lanes, n-q), kz, ky, kx)]
					dst := panel[tap*gemm.Panel+q%gemm.Panel:]
					if c.row.Needs == 0 {
						c.packPortable(dst, src, plane, pieces)
					} else {
						c.packVector(w, &dst[0], src, plane, pieces)
					}
					tap++
				}
			}
		}
		if n-q <= lanes && c.row.Lanes < gemm.Panel { // the rest of the last panel is not read into results, but must not be old NaN
			c.clearTail(panel, (q%gemm.Panel)+lanes)
		}
	}
}

// clearTail zeroes the columns of a panel from col on.
func (c *Conv) clearTail(panel []float32, col int) {
	if col >= gemm.Panel {
		return
	}
	for k := range c.terms {
		clear(panel[k*gemm.Panel+col : (k+1)*gemm.Panel])
	}
}

// pieces finds, for n output pixels from p on, which of them have the tap inside the picture, and where.
func (g *Geometry) pieces(out *[gemm.Panel]piece, p point, n, kz, ky, kx int) int {
	shift := kx*g.Dilation[2] - g.PadBegin[2]
	// Output columns [lo, hi) have this tap inside the row.
	lo, hi := 0, 0
	if g.Stride[2] == 1 {
		lo, hi = max(0, -shift), min(g.Out[2], g.In[2]-shift)
	} else {
		lo, hi = max(0, -floorDiv(shift, g.Stride[2])), min(g.Out[2], floorDiv(g.In[2]-1-shift, g.Stride[2])+1)
	}
	count := 0
	for lane := 0; lane < n; {
		size := min(n-lane, g.Out[2]-p.x)
		z := p.z*g.Stride[0] + kz*g.Dilation[0] - g.PadBegin[0]
		y := p.y*g.Stride[1] + ky*g.Dilation[1] - g.PadBegin[1]
		if uint(z) < uint(g.In[0]) && uint(y) < uint(g.In[1]) {
			from, to := max(p.x, lo), min(p.x+size, hi)
			if from < to {
				out[count] = piece{lane + from - p.x, to - from, (z*g.In[1]+y)*g.In[2] + from*g.Stride[2] + shift}
				count++
			}
		}
		lane += size
		p.x = 0
		if p.y++; p.y == g.Out[1] {
			p.y = 0
			p.z++
		}
	}
	return count
}

// packPortable writes one row of a panel for every channel.
func (c *Conv) packPortable(dst []float32, src *float32, plane int, pieces []piece) {
	step := volume(c.g.Kernel) * gemm.Panel
	all := unsafe.Slice(src, plane*c.Ci)
	full := len(pieces) == 1 && pieces[0].n == gemm.Panel
	for ci := range c.Ci {
		row, in := dst[ci*step:ci*step+gemm.Panel], all[ci*plane:(ci+1)*plane]
		if !full {
			clear(row)
		}
		for _, p := range pieces {
			if s := c.g.Stride[2]; s == 1 {
				copy(row[p.lane:p.lane+p.n], in[p.off:])
			} else {
				for i := range p.n {
					row[p.lane+i] = in[p.off+i*s]
				}
			}
		}
	}
}

// packVector does the same for one vector with the row's kernels.
func (c *Conv) packVector(w *Worker, dst, src *float32, plane int, pieces []piece) {
	a := &w.patch
	a.src, a.plane, a.n = src, uintptr(plane)*4, c.Ci
	a.dst, a.step = dst, uintptr(volume(c.g.Kernel)*gemm.Panel)*4
	code := c.row.code()
	stride := c.g.Stride[2]
	if stride == 1 || len(pieces) == 0 {
		w.runs[0], w.runs[1] = 0, 0
		for i, p := range pieces {
			w.runs[2*i], w.runs[2*i+1] = (p.off-p.lane)*4, (1<<p.n-1)<<p.lane
		}
		a.runs, a.count = &w.runs[0], max(len(pieces), 1)
		code.runs(a)
		return
	}
	a.mask = 0
	for _, p := range pieces {
		a.mask |= (1<<p.n - 1) << p.lane
		for i := range p.n {
			w.index[p.lane+i] = int32(p.off + i*stride)
		}
	}
	a.index = &w.index[0]
	code.gather(a)
}
