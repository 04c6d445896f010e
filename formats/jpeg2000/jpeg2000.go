// Package jpeg2000 decodes JPEG 2000 pictures (ITU-T T.800): JP2 files and bare code streams of Part 1, of up to four components
// with up to 16 bits a sample. What is lossy is computed in float32 as OpenJPEG does, so samples are those that models saw in training.
//
// Packed packet headers (PPM, PPT) and high-throughput blocks (Part 15) are errors, and so is a file that ends before its picture.
package jpeg2000

import (
	"bytes"
	"fmt"
	"math"
)

// Config is what the headers of a picture say.
type Config struct {
	Width, Height int
	memory        int64
}

// Memory is about the bytes that Decode allocates.
func (c Config) Memory() int64 { return c.memory }

// Picture is a decoded picture.
type Picture struct {
	Width, Height int
	Planes        []Plane // one: grey, and else red, green and blue; what is left is alpha or the like
	sycc          bool    // the planes are luma and chroma instead
}

// Plane is the samples of a component, row after row.
type Plane struct {
	Width, Height int
	Bits          int // of a sample
	DX, DY        int // pixels of the picture that a sample stands for
	Samples       []uint16
}

const signature = "\x00\x00\x00\x0cjP  \r\n\x87\n"

// Is reports whether a file begins as JPEG 2000 does.
func Is(data []byte) bool {
	return bytes.HasPrefix(data, []byte(signature)) || bytes.HasPrefix(data, []byte("\xff\x4f\xff\x51"))
}

// DecodeConfig reads the headers, and allocates nothing to speak of.
func DecodeConfig(data []byte) (Config, error) {
	_, c, _, err := open(data)
	if err != nil {
		return Config{}, fmt.Errorf("jpeg2000: %w", err)
	}
	return Config{Width: c.x1 - c.x0, Height: c.y1 - c.y0, memory: c.memory()}, nil
}

// open reads the boxes and the size of the code stream, and gives what follows it.
func open(data []byte) (*container, *codestream, *reader, error) {
	box, err := parseBoxes(data)
	if err != nil {
		return nil, nil, nil, err
	}
	r := &reader{data: box.codestream}
	c, err := parseSize(r)
	return box, c, r, err
}

// memory counts planes, a tile's coefficients and RGB, and as much again as coefficients for code-blocks.
func (c *codestream) memory() int64 {
	pixels := int64(c.x1-c.x0) * int64(c.y1-c.y0)
	if pixels > 1<<56 { // the sum below would not fit
		return math.MaxInt64
	}
	tile := int64(min(c.tileWidth, c.x1-c.x0)) * int64(min(c.tileHeight, c.y1-c.y0))
	n := 3 * pixels
	for _, o := range c.components {
		area := c.area(o)
		n += 2*int64(area.width())*int64(area.height()) + 8*tile/int64(o.dx*o.dy)
	}
	return n
}

// Decode decodes a picture. The caller bounds the memory by a look at DecodeConfig first.
func Decode(data []byte) (*Picture, error) {
	box, c, r, err := open(data)
	if err == nil {
		err = c.parse(r)
	}
	if err != nil {
		return nil, fmt.Errorf("jpeg2000: %w", err)
	}
	planes := make([]Plane, len(c.components))
	for i, o := range c.components {
		area := c.area(o)
		planes[i] = Plane{Width: area.width(), Height: area.height(), Bits: o.bits, DX: o.dx, DY: o.dy}
		planes[i].Samples = make([]uint16, planes[i].Width*planes[i].Height)
	}
	var d blockDecoder
	for i := range c.tiles {
		if err := c.decodeTile(i, planes, &d); err != nil {
			return nil, fmt.Errorf("jpeg2000: tile %d: %w", i, err)
		}
		c.tiles[i] = nil
	}
	p := &Picture{Width: c.x1 - c.x0, Height: c.y1 - c.y0, Planes: planes}
	if err := box.apply(p); err != nil {
		return nil, fmt.Errorf("jpeg2000: %w", err)
	}
	return p, nil
}

// RGB is the picture in three bytes a pixel; transparency is dropped.
func (p *Picture) RGB() []byte {
	out := make([]byte, 3*p.Width*p.Height)
	planes := p.Planes[:1]
	if len(p.Planes) >= 3 {
		planes = p.Planes[:3]
	}
	for y := range p.Height {
		for x := range p.Width {
			to := out[3*(y*p.Width+x):][:3]
			for i := range to {
				to[i] = planes[i%len(planes)].byteAt(x, y)
			}
			if p.sycc {
				to[0], to[1], to[2] = fromYCC(int(to[0]), int(to[1])-128, int(to[2])-128)
			}
		}
	}
	return out
}

// byteAt is the sample of a pixel in 8 bits.
func (p *Plane) byteAt(x, y int) byte {
	v := p.Samples[min(y/p.DY, p.Height-1)*p.Width+min(x/p.DX, p.Width-1)]
	if p.Bits > 8 {
		return byte(v >> (p.Bits - 8))
	}
	return byte(v << (8 - p.Bits))
}

// fromYCC is the conversion of JFIF as Pillow does it: every product is rounded to 6 bits behind the point, and their sum cut off.
func fromYCC(l, u, v int) (r, g, b byte) {
	clamp := func(v int) byte { return byte(min(max(v, 0), 255)) }
	product := func(hundredThousandths, v int) int { return (hundredThousandths*64*v + 50000) / 100000 }
	return clamp(l + product(140200, v)>>6), clamp(l + (product(-34414, u)+product(-71414, v))>>6), clamp(l + product(177200, u)>>6)
}
