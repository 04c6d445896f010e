package images

import "image"

// chroma converts a picture of luma and subsampled chroma as the libraries do that models were trained with: chroma is interpolated
// linearly between its samples, which lie between those of luma.
type chroma struct {
	m    *image.YCbCr
	w, h int
	pix  []byte
}

// jpegRGB is libjpeg's conversion (its "fancy upsampling"); false where the subsampling is another.
func jpegRGB(m *image.YCbCr) ([]byte, bool) {
	c := newChroma(m)
	across, down := 2, 2
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio444:
		across, down = 1, 1
	case image.YCbCrSubsampleRatio422:
		down = 1
	case image.YCbCrSubsampleRatio420:
	default:
		return nil, false
	}
	cb, cr := make([]int, c.w+1), make([]int, c.w+1)
	for y := range c.h {
		c.jpegRow(cb, m.Cb, y, across, down)
		c.jpegRow(cr, m.Cr, y, across, down)
		for x := range c.w {
			l, u, v := int(m.Y[y*m.YStride+x]), cb[x]-128, cr[x]-128
			c.set(y, x, l+(91881*v+32768)>>16, l+(-22554*u-46802*v+32768)>>16, l+(116130*u+32768)>>16)
		}
	}
	return c.pix, true
}

func newChroma(m *image.YCbCr) *chroma {
	c := &chroma{m: m, w: m.Rect.Dx(), h: m.Rect.Dy()}
	c.pix = make([]byte, 3*c.w*c.h)
	return c
}

func (c *chroma) set(y, x, r, g, b int) {
	i := 3 * (y*c.w + x)
	c.pix[i], c.pix[i+1], c.pix[i+2] = clamp(r), clamp(g), clamp(b)
}

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }

// jpegRow is row y of a plane of chroma at the width of luma.
func (c *chroma) jpegRow(out []int, plane []byte, y, across, down int) {
	n, rows := (c.w+across-1)/across, (c.h+down-1)/down
	near := y / down
	far := near
	if down == 2 {
		far = min(max(near+2*(y&1)-1, 0), rows-1)
	}
	at := func(x int) int { // 3/4 of the nearer row, 1/4 of the other
		v := int(plane[near*c.m.CStride+x])
		if down == 1 {
			return v
		}
		return 3*v + int(plane[far*c.m.CStride+x])
	}
	if across == 1 {
		for x := range c.w {
			out[x] = at(x)
		}
		return
	}
	one, left, right := 2, 1, 2 // bits of the weights, and what rounds the pixels left and right of a sample
	if down == 2 {
		one, left, right = 4, 8, 7
	}
	for x := range n {
		v := at(x)
		l, r := 3*v+at(max(x-1, 0)), 3*v+at(min(x+1, n-1))
		out[2*x] = (l + left) >> one
		if 2*x+1 < len(out) {
			out[2*x+1] = (r + right) >> one
		}
	}
}

// webpRGB is libwebp's conversion.
func webpRGB(m *image.YCbCr) ([]byte, bool) {
	if m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return nil, false
	}
	c := newChroma(m)
	high := func(v, k int) int { return v * k >> 8 }
	for y := range c.h {
		for x := range c.w {
			l := high(int(m.Y[y*m.YStride+x]), 19077)
			u, v := c.webpAt(m.Cb, y, x), c.webpAt(m.Cr, y, x)
			c.set(y, x, (l+high(v, 26149)-14234)>>6, (l-high(u, 6419)-high(v, 13320)+8708)>>6, (l+high(u, 33050)-17685)>>6)
		}
	}
	return c.pix, true
}

// webpAt weighs the four samples around a pixel by 9, 3, 3 and 1 sixteenths, in the two steps that libwebp rounds in.
func (c *chroma) webpAt(plane []byte, y, x int) int {
	n, rows := (c.w+1)/2, (c.h+1)/2
	ny, nx := y/2, x/2
	fy, fx := min(max(ny+2*(y&1)-1, 0), rows-1), min(max(nx+2*(x&1)-1, 0), n-1)
	at := func(y, x int) int { return int(plane[y*c.m.CStride+x]) }
	near, side, over, far := at(ny, nx), at(ny, fx), at(fy, nx), at(fy, fx)
	if x == 0 || x == c.w-1 && c.w%2 == 0 {
		return (3*near + over + 2) >> 2
	}
	diagonal := (near + side + over + far + 8 + 2*(side+over)) >> 3
	return (diagonal + near) >> 1
}
