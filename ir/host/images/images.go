// Package images decodes pictures inside a program: what cameras and web pages store, to tensors of bytes.
package images

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/png" // decoders by signature
	"io"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"github.com/llmc-go/llmc/formats/jpeg"
	"github.com/llmc-go/llmc/formats/jpeg2000"
	"github.com/llmc-go/llmc/ir/host"
)

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{Decode} }

const maxPixels = 1 << 26

// Decode turns the bytes of a picture file into [height, width, channels]: attribute pixel_format is RGB, BGR or Grayscale.
// Formats: PNG, JPEG, JPEG 2000, BMP, TIFF, WebP, and PPM and PGM with a byte for each sample.
var Decode = host.Fn{Name: "images.decode", Run: func(c *host.Call) error {
	data := c.In[0].Data
	pix, w, h, err := decode(c, data)
	if err != nil {
		return err
	}
	channels := 3
	format := c.Attrs.Str("pixel_format", "RGB")
	if format == "Grayscale" {
		channels = 1
	}
	y, err := c.Out(0, h, w, channels)
	if err != nil {
		return err
	}
	for i := range w * h {
		r, g, b := pix[3*i], pix[3*i+1], pix[3*i+2]
		switch format {
		case "Grayscale": // ITU-R 601 in 16 bits
			y.Data[i] = uint8((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 1<<15) >> 16)
		case "BGR":
			y.Data[3*i], y.Data[3*i+1], y.Data[3*i+2] = b, g, r
		case "RGB":
			y.Data[3*i], y.Data[3*i+1], y.Data[3*i+2] = r, g, b
		default:
			return fmt.Errorf("pixel_format: %q is not known", format)
		}
	}
	return nil
}}

// decode gives three bytes a pixel.
func decode(c *host.Call, data []byte) (pix []byte, w, h int, err error) {
	switch {
	case len(data) > 1 && data[0] == 'P' && (data[1] == '5' || data[1] == '6'):
		return netpbm(c, data)
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return decodeJPEG(c, data)
	case jpeg2000.Is(data):
		return decodeJPEG2000(c, data)
	}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("picture: %w", err)
	}
	if err := reserve(c, cfg.Width, cfg.Height, anyMemory(cfg.Width, cfg.Height)); err != nil {
		return nil, 0, 0, err
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("picture: %w", err)
	}
	b := img.Bounds()
	w, h = b.Dx(), b.Dy()
	if w > cfg.Width || h > cfg.Height {
		return nil, 0, 0, errors.New("picture: larger than its header says")
	}
	if m, ok := img.(*image.YCbCr); ok && b.Min == (image.Point{}) {
		if pix, ok := webpRGB(m); ok {
			return pix, w, h, nil
		}
	}
	pix = make([]byte, 3*w*h)
	for y := range h {
		for x := range w {
			r, g, bl := rgb(img, b.Min.X+x, b.Min.Y+y)
			i := 3 * (y*w + x)
			pix[i], pix[i+1], pix[i+2] = r, g, bl
		}
	}
	return pix, w, h, nil
}

// reserve bounds a picture and takes the memory that its decoder needs from the budget.
func reserve(c *host.Call, w, h int, memory int64) error {
	if w <= 0 || h <= 0 || w > maxPixels/h {
		return fmt.Errorf("a picture of %d by %d pixels", w, h)
	}
	return c.Temp(memory)
}

// anyMemory is what the other decoders need.
func anyMemory(w, h int) int64 { return 8 * int64(w) * int64(h) }

func decodeJPEG(c *host.Call, data []byte) (pix []byte, w, h int, err error) {
	cfg, err := jpeg.DecodeConfig(data)
	if err != nil {
		return nil, 0, 0, err
	}
	if err := reserve(c, cfg.Width, cfg.Height, cfg.Memory()); err != nil {
		return nil, 0, 0, err
	}
	p, err := jpeg.Decode(data)
	if err != nil {
		return nil, 0, 0, err
	}
	return p.RGB(), p.Width, p.Height, nil
}

func decodeJPEG2000(c *host.Call, data []byte) (pix []byte, w, h int, err error) {
	cfg, err := jpeg2000.DecodeConfig(data)
	if err != nil {
		return nil, 0, 0, err
	}
	if err := reserve(c, cfg.Width, cfg.Height, cfg.Memory()); err != nil {
		return nil, 0, 0, err
	}
	p, err := jpeg2000.Decode(data)
	if err != nil {
		return nil, 0, 0, err
	}
	return p.RGB(), p.Width, p.Height, nil
}

// rgb drops transparency without multiplying by it.
func rgb(img image.Image, x, y int) (r, g, b byte) {
	switch m := img.(type) {
	case *image.NRGBA:
		p := m.NRGBAAt(x, y)
		return p.R, p.G, p.B
	case *image.Gray:
		v := m.GrayAt(x, y).Y
		return v, v, v
	}
	r32, g32, b32, a := img.At(x, y).RGBA()
	if a != 0 && a != 0xffff {
		r32, g32, b32 = r32*0xffff/a, g32*0xffff/a, b32*0xffff/a
	}
	return byte(r32 >> 8), byte(g32 >> 8), byte(b32 >> 8)
}

// netpbm decodes binary PGM (P5) and PPM (P6).
func netpbm(c *host.Call, data []byte) (pix []byte, w, h int, err error) {
	r := bytes.NewReader(data[2:])
	var v [3]int
	for i := range v {
		if v[i], err = number(r); err != nil {
			return nil, 0, 0, fmt.Errorf("picture: %w", err)
		}
	}
	w, h = v[0], v[1]
	if v[2] != 255 {
		return nil, 0, 0, fmt.Errorf("picture: samples up to %d, want 255", v[2])
	}
	if err := reserve(c, w, h, anyMemory(w, h)); err != nil {
		return nil, 0, 0, err
	}
	channels := 3
	if data[1] == '5' {
		channels = 1
	}
	raw := data[len(data)-r.Len():]
	if len(raw) < channels*w*h {
		return nil, 0, 0, io.ErrUnexpectedEOF
	}
	pix = make([]byte, 3*w*h)
	for i := range pix {
		pix[i] = raw[i/3*channels+min(i%3, channels-1)]
	}
	return pix, w, h, nil
}

// number reads a number of a header, with the one byte behind it.
func number(r *bytes.Reader) (int, error) {
	v, digits := 0, 0
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil:
			return 0, io.ErrUnexpectedEOF
		case b == '#' && digits == 0:
			for b != '\n' {
				if b, err = r.ReadByte(); err != nil {
					return 0, io.ErrUnexpectedEOF
				}
			}
		case b >= '0' && b <= '9':
			if v, digits = 10*v+int(b-'0'), digits+1; digits > 8 {
				return 0, errors.New("a number of more than 8 digits")
			}
		case b == ' ' || b == '\t' || b == '\n' || b == '\r':
			if digits > 0 {
				return v, nil
			}
		default:
			return 0, fmt.Errorf("byte %#x in the header", b)
		}
	}
}
