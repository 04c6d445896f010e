package window

import (
	"unsafe"

	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

// planePlan cuts work that goes channel by channel over a padded copy of the picture's rows. A chunk is a few channels, or a block of
// the output rows of one depth of one channel.
type planePlan struct {
	chunks   int
	group    int // channels of a chunk
	groups   int
	rows     int // output rows of a block
	blocks   int
	inRows   int // rows of the copy
	width    int // columns of the copy with one remainder modulo the stride
	offs     []int
	scratch  int
	channels int // N * channels
}

const (
	copyFloats = 12 << 10 // of the padded copy: it stays in L1
	leastTaps  = 1 << 16  // tap reads of a chunk
)

// plan describes work on g.N*g.Groups channels of one input channel each.
func (p *planePlan) plan(g *Geometry, empty bool) {
	p.chunks, p.scratch = 0, 0
	if empty {
		return
	}
	p.channels = g.N * g.Groups
	columns := (g.Out[2]-1)*g.Stride[2] + (g.Kernel[2]-1)*g.Dilation[2] + 1
	p.width = ceilDiv(columns, g.Stride[2])
	span := (g.Kernel[1]-1)*g.Dilation[1] + 1
	rowFloats := p.width * g.Stride[2] * g.Kernel[0]
	// As many output rows as fit, in multiples of 8, the height of the kernels' blocks.
	fit := (copyFloats/rowFloats-span)/g.Stride[1] + 1
	p.rows = min(max(fit&^7, 8), g.Out[1])
	p.blocks = ceilDiv(g.Out[1], p.rows)
	p.inRows = (p.rows-1)*g.Stride[1] + span
	taps := volume(g.Kernel)
	p.group = 1
	if p.blocks == 1 {
		p.group = min(max(leastTaps/(taps*g.Out[1]*g.Out[2]*max(g.Co, 1)), 1), p.channels)
	}
	p.groups = ceilDiv(p.channels, p.group)
	p.chunks = p.groups * g.Out[0] * p.blocks
	// Whole vectors are read, one past the last pixel at most.
	p.scratch = rowFloats*p.inRows + 2*gemm.Panel + lineFloats

	p.offs = p.offs[:0]
	row := p.width * g.Stride[2]
	for kz := range g.Kernel[0] {
		for ky := range g.Kernel[1] {
			for kx := range g.Kernel[2] {
				col := kx * g.Dilation[2]
				y := kz*p.inRows + ky*g.Dilation[1]
				p.offs = append(p.offs, 4*(y*row+col%g.Stride[2]*p.width+col/g.Stride[2]))
			}
		}
	}
}

// part is one chunk.
type part struct {
	c0, c1 int // channels
	z      int // output depth
	y0, y1 int // output rows
}

func (p *planePlan) part(i int, g *Geometry) part {
	y := i % p.blocks * p.rows
	i /= p.blocks
	c := i / g.Out[0] * p.group
	return part{c, min(c+p.group, p.channels), i % g.Out[0], y, min(y+p.rows, g.Out[1])}
}

// fill copies what the part's rows see of one channel, with pad around it.
func (p *planePlan) fill(buf []float32, x []float32, g *Geometry, t part, pad float32) {
	s := g.Stride[2]
	row := p.width * s
	rows := (t.y1-t.y0-1)*g.Stride[1] + (g.Kernel[1]-1)*g.Dilation[1] + 1
	for kz := range g.Kernel[0] {
		z := t.z*g.Stride[0] + kz*g.Dilation[0] - g.PadBegin[0]
		for r := range rows {
			y := t.y0*g.Stride[1] + r - g.PadBegin[1]
			out := buf[(kz*p.inRows+r)*row:][:row]
			if uint(z) >= uint(g.In[0]) || uint(y) >= uint(g.In[1]) {
				set(out, pad)
				continue
			}
			in := x[(z*g.In[1]+y)*g.In[2]:][:g.In[2]]
			for phase := range s {
				p.fillRow(out[phase*p.width:][:p.width], in, phase-g.PadBegin[2], s, pad)
			}
		}
	}
}

// fillRow sets out[i] = in[from + i*step], pad outside.
func (p *planePlan) fillRow(out, in []float32, from, step int, pad float32) {
	lo := min(max(0, -floorDiv(from, step)), len(out))
	hi := max(min(len(out), floorDiv(len(in)-1-from, step)+1), lo)
	set(out[:lo], pad)
	set(out[hi:], pad)
	if step == 1 {
		copy(out[lo:hi], in[max(from+lo, 0):])
		return
	}
	for i, s := lo, from+lo*step; i < hi; i, s = i+1, s+step {
		out[i] = in[s]
	}
}

func set(s []float32, v float32) {
	for i := range s {
		s[i] = v
	}
}

// runPlanes computes a chunk of a convolution whose groups have one input channel.
func (c *Conv) runPlanes(i int, w *Worker) {
	g, p := &c.g, &c.planes
	t := p.part(i, g)
	buf, _ := w.aligned(p.scratch - lineFloats)
	code := c.row.code()
	plane := volume(g.In)
	for ch := t.c0; ch < t.c1; ch++ {
		p.fill(buf, slice(c.X, ch*plane, plane), g, t, 0)
		for co := range g.Co {
			a := &w.taps
			*a = taps{src: &buf[0], n: g.Out[2], rows: t.y1 - t.y0, count: len(p.offs), offs: &p.offs[0]}
			a.srow, a.drow = uintptr(p.width*g.Stride[2]*g.Stride[1])*4, uintptr(g.Out[2])*4
			channel := ch%g.Groups*g.Co + co
			a.w = at(c.W, channel*c.stride)
			off := (ch*g.Co+co)*c.pixels + (t.z*g.Out[1]+t.y0)*g.Out[2]
			a.dst = at(c.Y, off)
			if c.Add != nil {
				a.add = at(c.Add, off)
			}
			if c.Bias != nil {
				a.init = *at(c.Bias, channel)
			}
			a.bound(c.Post, c.Lo, c.Hi)
			code.dot(a)
		}
	}
	w.taps = taps{}
}

func (a *taps) bound(post gemm.Post, lo, hi float32) {
	switch post {
	case gemm.ReLU:
		a.clamp, a.lo, a.hi = 1, 0, inf
	case gemm.Clamp:
		a.clamp, a.lo, a.hi = 1, lo, hi
	}
}

func slice(p *float32, from, n int) []float32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(at(p, from), n)
}
