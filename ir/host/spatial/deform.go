package spatial

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
)

// DeformConv is a convolution of pictures whose taps are moved (Dai et al., Deformable Convolutional Networks, 2017): operands x
// [n, c, h, w], w [o, c/group, kh, kw], offsets [n, g*kh*kw*2, oh, ow] (down, then right, for each tap), bias [o], mask [n, g*kh*kw, oh, ow].
var DeformConv = host.Fn{Name: "spatial.deform_conv", Run: func(c *host.Call) error {
	d, err := newDeform(c)
	if err != nil {
		return err
	}
	y, err := c.Out(0, d.n, d.o, d.oh, d.ow)
	if err != nil || y.Len() == 0 {
		return err
	}
	if err := c.Temp(8 * int64(d.c*d.kh*d.kw)); err != nil {
		return err
	}
	write := host.Writer(y)
	column := make([]float64, d.c*d.kh*d.kw)
	for n := range d.n {
		for p := range d.oh * d.ow {
			d.column(column, n, p)
			for o := range d.o {
				sum, base := 0.0, o/(d.o/d.group)*(d.c/d.group)*d.kh*d.kw
				if d.bias != nil {
					sum = d.bias(o)
				}
				per := d.c / d.group * d.kh * d.kw
				for k := range per {
					sum += column[base+k] * d.w(o*per+k)
				}
				write((n*d.o+o)*d.oh*d.ow+p, sum)
			}
		}
	}
	return nil
}}

type deform struct {
	n, c, h, wd, o, kh, kw, oh, ow int
	group, moves                   int
	stride, dilation, begin        [2]int
	x, w, offset, bias, mask       func(int) float64
}

func newDeform(c *host.Call) (*deform, error) {
	x, w, off := c.In[0].Shape, c.In[1].Shape, c.In[2].Shape
	if len(x) != 4 || len(w) != 4 || len(off) != 4 {
		return nil, fmt.Errorf("shapes %v, %v, %v: want 4 axes", x, w, off)
	}
	d := &deform{n: x[0], c: x[1], h: x[2], wd: x[3], o: w[0], kh: w[2], kw: w[3], oh: off[2], ow: off[3],
		group: int(c.Attrs.Int("group", 1)), moves: int(c.Attrs.Int("offset_group", 1))}
	for i := range 2 {
		d.stride[i], d.dilation[i], d.begin[i] = entry(c.Attrs.Ints("strides"), i, 1), entry(c.Attrs.Ints("dilations"), i, 1), entry(c.Attrs.Ints("pads"), i, 0)
	}
	taps := d.kh * d.kw
	if d.group < 1 || d.moves < 1 || d.c%d.group != 0 || d.o%d.group != 0 || d.c%d.moves != 0 || w[1] != d.c/d.group || off[0] != d.n || off[1] != 2*d.moves*taps {
		return nil, fmt.Errorf("shapes %v, %v, %v with %d groups, %d of offsets", x, w, off, d.group, d.moves)
	}
	d.x, d.w, d.offset = host.Reader(c.In[0]), host.Reader(c.In[1]), host.Reader(c.In[2])
	if len(c.In) > 3 && c.In[3] != nil {
		if c.In[3].Len() != d.o {
			return nil, fmt.Errorf("bias of shape %v for %d channels", c.In[3].Shape, d.o)
		}
		d.bias = host.Reader(c.In[3])
	}
	if len(c.In) > 4 && c.In[4] != nil {
		if m := c.In[4].Shape; len(m) != 4 || m[0] != d.n || m[1] != d.moves*taps || m[2] != d.oh || m[3] != d.ow {
			return nil, fmt.Errorf("mask of shape %v for offsets of shape %v", m, off)
		}
		d.mask = host.Reader(c.In[4])
	}
	return d, nil
}

func entry(l []int64, i, def int) int {
	if i < len(l) {
		return int(l[i])
	}
	return def
}

// column reads what the taps of one place see.
func (d *deform) column(out []float64, n, p int) {
	taps, places := d.kh*d.kw, d.oh*d.ow
	for k := range taps {
		for g := range d.moves {
			at := ((n*d.moves+g)*taps + k)
			y := float64(p/d.ow*d.stride[0]-d.begin[0]+k/d.kw*d.dilation[0]) + d.offset(2*at*places+p)
			x := float64(p%d.ow*d.stride[1]-d.begin[1]+k%d.kw*d.dilation[1]) + d.offset((2*at+1)*places+p)
			m := 1.0
			if d.mask != nil {
				m = d.mask(at*places + p)
			}
			per := d.c / d.moves
			for ch := g * per; ch < (g+1)*per; ch++ {
				out[ch*taps+k] = m * d.sample((n*d.c+ch)*d.h*d.wd, y, x)
			}
		}
	}
}

// sample interpolates linearly; pixels outside are zero.
func (d *deform) sample(base int, y, x float64) float64 {
	if !(y > -1 && y < float64(d.h) && x > -1 && x < float64(d.wd)) {
		return 0
	}
	fy, fx := math.Floor(y), math.Floor(x)
	ly, lx := y-fy, x-fx
	sum := 0.0
	for k := range 4 {
		i, j := int(fy)+k/2, int(fx)+k%2
		if i < 0 || i >= d.h || j < 0 || j >= d.wd {
			continue
		}
		wy, wx := ly, lx
		if k/2 == 0 {
			wy = 1 - ly
		}
		if k%2 == 0 {
			wx = 1 - lx
		}
		sum += wy * wx * d.x(base+i*d.wd+j)
	}
	return sum
}

// Col2Im adds columns x [n, c*host.Product(block), l] into pictures [n, c, image...], each at the place of its block: the inverse of
// reading blocks by a sliding window. Attributes image and block, or operands 1 and 2; attributes strides, dilations, pads.
var Col2Im = host.Fn{Name: "spatial.col2im", Run: func(c *host.Call) error {
	x := c.In[0]
	image, block := dimensions(c, "image", 1), dimensions(c, "block", 2)
	for _, e := range image {
		if e < 0 {
			return fmt.Errorf("pictures of %v", image)
		}
	}
	r := len(image)
	taps := 1
	for _, b := range block {
		if b < 1 || b > 1<<24 || taps > 1<<24 {
			return fmt.Errorf("blocks of %v", block)
		}
		taps *= b
	}
	if len(x.Shape) != 3 || len(block) != r || x.Shape[1]%taps != 0 {
		return fmt.Errorf("columns of shape %v for pictures of %v in blocks of %v", x.Shape, image, block)
	}
	n, ch := x.Shape[0], x.Shape[1]/taps
	y, err := c.Out(0, append([]int{n, ch}, image...)...)
	if err != nil {
		return err
	}
	steps, places := make([]int, r), 1
	stride, dilation, begin := make([]int, r), make([]int, r), make([]int, r)
	pads := c.Attrs.Ints("pads")
	for i := range image {
		stride[i], dilation[i], begin[i] = entry(c.Attrs.Ints("strides"), i, 1), entry(c.Attrs.Ints("dilations"), i, 1), entry(pads, i, 0)
		if stride[i] < 1 || dilation[i] < 1 {
			return fmt.Errorf("stride %d, dilation %d", stride[i], dilation[i])
		}
		steps[i] = (image[i]+begin[i]+entry(pads, r+i, 0)-dilation[i]*(block[i]-1)-1)/stride[i] + 1
		places *= max(steps[i], 0)
	}
	if places != x.Shape[2] {
		return fmt.Errorf("columns of shape %v: want %d", x.Shape, places)
	}
	pixels := 1
	for _, e := range image {
		pixels *= e
	}
	if err := c.Temp(8 * int64(pixels)); err != nil {
		return err
	}
	read, write, sum := host.Reader(x), host.Writer(y), make([]float64, pixels)
	for m := range n * ch {
		clear(sum)
		for t := range taps {
			for p := range places {
				if at, ok := columnAt(t, p, image, block, steps, stride, dilation, begin); ok {
					sum[at] += read((m*taps+t)*places + p)
				}
			}
		}
		for i, v := range sum {
			write(m*pixels+i, v)
		}
	}
	return nil
}}

// columnAt is the pixel of tap t of the block at place p, false where it lies in the padding.
func columnAt(t, p int, image, block, steps, stride, dilation, begin []int) (int, bool) {
	at, scale := 0, 1
	for i := len(image) - 1; i >= 0; i-- {
		v := p%steps[i]*stride[i] + t%block[i]*dilation[i] - begin[i]
		if v < 0 || v >= image[i] {
			return 0, false
		}
		at += v * scale
		scale *= image[i]
		p, t = p/steps[i], t/block[i]
	}
	return at, true
}

// dimensions are an attribute, or else an operand.
func dimensions(c *host.Call, name string, operand int) []int {
	var out []int
	for _, v := range c.Attrs.Ints(name) {
		out = append(out, int(v))
	}
	if _, ok := c.Attrs.Get(name); !ok && operand < len(c.In) && c.In[operand] != nil {
		for i := range c.In[operand].Len() {
			out = append(out, int(c.In[operand].Int(i)))
		}
	}
	return out
}
