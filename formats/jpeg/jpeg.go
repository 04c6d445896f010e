// Package jpeg decodes JPEG pictures (ITU-T T.81): baseline, extended sequential and progressive frames of 8 bits a sample, coded with
// Huffman codes. Where the standard leaves a choice (the inverse DCT, the upsampling and the conversion of colours) it computes what
// libjpeg computes unless told otherwise, so that a picture has the bits that a model saw in training.
//
// A file that ends before its picture is an error, and so is one with the other processes of the standard: arithmetic coding,
// 12 bits, lossless, hierarchical.
package jpeg

import (
	"errors"
	"fmt"
)

// Config is what the header of a picture says.
type Config struct {
	Width, Height int
	Channels      int // 1, 3 or 4
	memory        int64
}

// Memory is the bytes that Decode allocates for a picture, but for a few tables.
func (c Config) Memory() int64 { return c.memory }

// Picture is a decoded picture.
type Picture struct {
	Width, Height int
	Channels      int    // 1: grey; 3: red, green, blue; 4: cyan, magenta, yellow, black, where 0 is no ink
	Pix           []byte // Channels bytes a pixel, row after row
}

// RGB is the picture in three bytes a pixel.
func (p *Picture) RGB() []byte {
	if p.Channels == 3 {
		return p.Pix
	}
	out := make([]byte, 3*p.Width*p.Height)
	for i := range p.Width * p.Height {
		to := out[3*i : 3*i+3]
		if p.Channels == 1 {
			to[0], to[1], to[2] = p.Pix[i], p.Pix[i], p.Pix[i]
			continue
		}
		light := 255 - int(p.Pix[4*i+3])
		for c := range to {
			ink := int(p.Pix[4*i+c])*light + 128
			to[c] = byte(light - (ink+ink>>8)>>8)
		}
	}
	return out
}

// DecodeConfig reads the markers up to the frame header and allocates nothing to speak of.
func DecodeConfig(data []byte) (Config, error) {
	d := decoder{data: data}
	for d.frame == nil {
		if err := d.segment(); err != nil {
			return Config{}, fmt.Errorf("jpeg: %w", err)
		}
	}
	return Config{Width: d.frame.width, Height: d.frame.height, Channels: len(d.frame.comps), memory: d.frame.memory()}, nil
}

// Decode decodes a picture. The caller bounds the memory by a look at DecodeConfig first.
func Decode(data []byte) (*Picture, error) {
	d := decoder{data: data}
	for !d.done {
		if err := d.segment(); err != nil {
			return nil, fmt.Errorf("jpeg: %w", err)
		}
	}
	if d.frame == nil {
		return nil, errors.New("jpeg: no frame")
	}
	for i, c := range d.frame.comps {
		if !c.seen {
			return nil, fmt.Errorf("jpeg: no scan of component %d", i)
		}
	}
	d.frame.reconstruct()
	return &Picture{Width: d.frame.width, Height: d.frame.height, Channels: len(d.frame.comps), Pix: d.convert()}, nil
}
