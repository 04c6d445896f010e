package images

import "image"

// chroma converts a WebP picture of luma and subsampled chroma as libwebp does: chroma is interpolated linearly between its samples,
// which lie between those of luma.
type chroma struct {
	m    *image.YCbCr
	w, h int
	pix  []byte
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
