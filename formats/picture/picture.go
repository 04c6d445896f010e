// Package picture turns PNG and JPEG pictures into the input tensors of vision models: decoding, cropping, resizing
// exactly as Pillow does, normalisation, channel order and layout.
//
// Transparency is dropped and the orientation tag of cameras is ignored, as in most reference preprocessing.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/png" // the decoder by signature
	"io"
	"math"

	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/jpeg"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

const (
	maxPixels = 1 << 25 // of a picture, about 33 million: 8K video; 640 MB at most while it is decoded
	maxFile   = 256 << 20
)

var (
	// ErrTooLarge is what errors.Is finds for pictures of too many pixels or bytes.
	ErrTooLarge = errors.New("picture too large")
	// ErrTarget is what errors.Is finds where the model's input cannot take a picture of these options.
	ErrTarget = errors.New("input does not take this picture")
)

// Load reads a picture and makes the tensor that the target wants. A target without an element type is f32; one without
// a shape takes what the options say, with a batch axis. An open batch is one picture.
func Load(r io.Reader, o Options, target input.Target) (*tensor.Tensor, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	p, err := plan(o, target)
	if err != nil {
		return nil, err
	}
	img, err := decode(r)
	if err != nil {
		return nil, err
	}
	src, err := p.prepare(img)
	if err != nil {
		return nil, err
	}
	return p.tensor(src)
}

// decode looks at the size before it decodes: a picture of a few bytes may claim gigapixels.
func decode(r io.Reader) (*raster, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("more than %d bytes: %w", maxFile, ErrTooLarge)
	}
	if bytes.HasPrefix(data, []byte("\xff\xd8")) {
		return decodeJPEG(data)
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	if err := bound(format, c.Width, c.Height); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", format, err)
	}
	return toRGB(img), nil
}

func bound(format string, w, h int) error {
	if w < 1 || h < 1 || w > maxPixels/h {
		return fmt.Errorf("%s of %dx%d pixels, at most %d: %w", format, w, h, maxPixels, ErrTooLarge)
	}
	return nil
}

func decodeJPEG(data []byte) (*raster, error) {
	c, err := jpeg.DecodeConfig(data)
	if err != nil {
		return nil, err
	}
	if err := bound("jpeg", c.Width, c.Height); err != nil {
		return nil, err
	}
	p, err := jpeg.Decode(data)
	if err != nil {
		return nil, err
	}
	return &raster{w: p.Width, h: p.Height, c: 3, pix: p.RGB()}, nil
}

// job is options with everything that follows from the target filled in.
type job struct {
	Options
	elem     dtype.Type
	rank     int
	channels int
}

func plan(o Options, target input.Target) (*job, error) {
	j := &job{Options: o, elem: target.Elem, rank: len(target.Shape)}
	if j.elem == dtype.Invalid {
		j.elem = dtype.F32
	}
	if !j.elem.IsFloat() && (!j.elem.IsInt() || j.elem.IsSubByte()) {
		return nil, fmt.Errorf("element type %v: %w", j.elem, ErrTarget)
	}
	shape := target.Shape
	switch len(shape) {
	case 0:
		j.rank = 4
		shape = []input.Extent{{Open: true}, {Open: true}, {Open: true}, {Open: true}}
	case 3:
		shape = append([]input.Extent{{Size: 1}}, shape...)
	case 4:
	default:
		return nil, fmt.Errorf("input of rank %d: %w", len(target.Shape), ErrTarget)
	}
	if !shape[0].Open && shape[0].Size != 1 {
		return nil, fmt.Errorf("a batch of %d, but there is one picture: %w", shape[0].Size, ErrTarget)
	}
	if j.Layout == "" {
		j.Layout = NCHW
		if !colours(shape[1]) && colours(shape[3]) {
			j.Layout = NHWC
		}
	}
	c, h, w := shape[1], shape[2], shape[3]
	if j.Layout == NHWC {
		h, w, c = shape[1], shape[2], shape[3]
	}
	if j.Order == "" {
		j.Order = RGB
		if !c.Open && c.Size == 1 {
			j.Order = GRAY
		}
	}
	j.channels = 3
	if j.Order == GRAY {
		j.channels = 1
	}
	if !c.Open && c.Size != j.channels {
		return nil, fmt.Errorf("%d channels, but %s has %d: %w", c.Size, j.Order, j.channels, ErrTarget)
	}
	for _, side := range []struct {
		name  string
		ours  *int
		model input.Extent
	}{{"width", &j.Width, w}, {"height", &j.Height, h}} {
		switch m := side.model; {
		case m.Open:
		case m.Size < 1 || m.Size > maxSide:
			return nil, fmt.Errorf("%s of %d: %w", side.name, m.Size, ErrTarget)
		case *side.ours == 0:
			*side.ours = m.Size
		case *side.ours != m.Size:
			return nil, fmt.Errorf("%s %d, but the model takes %d: %w", side.name, *side.ours, m.Size, ErrTarget)
		}
	}
	if j.Width > 0 && j.Height > maxPixels/j.Width {
		return nil, fmt.Errorf("%dx%d pixels, at most %d: %w", j.Width, j.Height, maxPixels, ErrTooLarge)
	}
	return j, nil
}

func colours(e input.Extent) bool { return !e.Open && (e.Size == 1 || e.Size == 3) }

// prepare cuts, converts and resizes.
func (j *job) prepare(r *raster) (*raster, error) {
	if g := j.Region; g != [4]int{} {
		if g[0] > r.w-g[2] || g[1] > r.h-g[3] {
			return nil, fmt.Errorf("region %v reaches beyond the picture of %dx%d: %w", g, r.w, r.h, ErrTarget)
		}
		r = r.region(g[0], g[1], g[2], g[3])
	}
	if j.Order == GRAY {
		r = toGray(r)
	}
	if err := j.openSides(r); err != nil {
		return nil, err
	}
	switch j.Resize {
	case Letterbox:
		return j.letterbox(r), nil
	case Crop:
		return j.crop(r)
	}
	return r.resize(j.Width, j.Height, j.Filter), nil
}

// openSides fills in a side that neither options nor model fix: from the ratio, rounded up, or the picture's own.
func (j *job) openSides(r *raster) error {
	switch {
	case j.Width == 0 && j.Height == 0:
		j.Width, j.Height = r.w, r.h
		if j.Resize == Crop && j.ShortSide > 0 {
			j.Width, j.Height = j.ShortSide, j.ShortSide
		}
	case j.Width == 0:
		j.Width = (r.w*j.Height + r.h - 1) / r.h
	case j.Height == 0:
		j.Height = (r.h*j.Width + r.w - 1) / r.w
	}
	if j.Width > maxPixels/j.Height {
		return fmt.Errorf("%dx%d pixels, at most %d: %w", j.Width, j.Height, maxPixels, ErrTooLarge)
	}
	return nil
}

func (j *job) letterbox(r *raster) *raster {
	scale := min(float64(j.Width)/float64(r.w), float64(j.Height)/float64(r.h))
	w := min(max(int(math.Round(float64(r.w)*scale)), 1), j.Width)
	h := min(max(int(math.Round(float64(r.h)*scale)), 1), j.Height)
	in := r.resize(w, h, j.Filter)
	out := newRaster(j.Width, j.Height, r.c)
	for i := range out.pix {
		c := i % r.c
		if j.Order == BGR {
			c = 2 - c
		}
		out.pix[i] = byte(j.Fill[c])
	}
	x, y := (j.Width-w)/2, (j.Height-h)/2
	if j.Corner {
		x, y = 0, 0
	}
	for i := range h {
		copy(out.pix[((y+i)*out.w+x)*r.c:], in.pix[i*w*r.c:(i+1)*w*r.c])
	}
	return out
}

// crop keeps the largest part of the wanted ratio, or resizes the short side first.
func (j *job) crop(r *raster) (*raster, error) {
	if j.ShortSide == 0 {
		w, h := r.w, r.h
		if w*j.Height > h*j.Width {
			w = max(h*j.Width/j.Height, 1)
		} else {
			h = max(w*j.Height/j.Width, 1)
		}
		return r.region((r.w-w)/2, (r.h-h)/2, w, h).resize(j.Width, j.Height, j.Filter), nil
	}
	w, h := j.ShortSide, j.ShortSide
	if r.w < r.h {
		h = j.ShortSide * r.h / r.w
	} else {
		w = j.ShortSide * r.w / r.h
	}
	if w < j.Width || h < j.Height {
		return nil, fmt.Errorf("resized to %dx%d, too small to cut %dx%d: %w", w, h, j.Width, j.Height, ErrTarget)
	}
	if w > maxPixels/h {
		return nil, fmt.Errorf("%dx%d pixels, at most %d: %w", w, h, maxPixels, ErrTooLarge)
	}
	x := int(math.RoundToEven(float64(w-j.Width) / 2))
	y := int(math.RoundToEven(float64(h-j.Height) / 2))
	return r.resize(w, h, j.Filter).region(x, y, j.Width, j.Height), nil
}

// tensor normalises and lays out. Integer types round to the nearest.
func (j *job) tensor(r *raster) (*tensor.Tensor, error) {
	shape := []int{1, j.channels, r.h, r.w}
	if j.Layout == NHWC {
		shape = []int{1, r.h, r.w, j.channels}
	}
	t := tensor.New(j.elem, shape[4-j.rank:]...)
	scale := j.Scale
	if scale == 0 {
		scale = 255
	}
	for c := range j.channels {
		from := c
		if j.Order == BGR {
			from = 2 - c
		}
		std := j.Std[c]
		if std == 0 {
			std = 1
		}
		var bits [256]uint64 // a channel has few values
		for v := range bits {
			x := (float64(v)/scale - j.Mean[c]) / std
			if j.elem.IsFloat() {
				bits[v] = dtype.EncodeFloat(j.elem, x, false)
				continue
			}
			x = math.Round(x)
			if lo, hi := j.elem.IntRange(); j.elem != dtype.U64 && (x < float64(lo) || x > float64(hi)) || x < 0 && j.elem.IsUnsigned() {
				return nil, fmt.Errorf("value %v does not fit %v: %w", x, j.elem, ErrTarget)
			}
			bits[v] = uint64(int64(x))
		}
		for i := range r.w * r.h {
			at := c*r.w*r.h + i
			if j.Layout == NHWC {
				at = i*j.channels + c
			}
			t.SetBits(at, bits[r.pix[i*r.c+from]])
		}
	}
	return t, nil
}

// toRGB drops transparency without blending, and the low byte of 16-bit channels.
func toRGB(img image.Image) *raster {
	b := img.Bounds()
	r := newRaster(b.Dx(), b.Dy(), 3)
	at := 0
	put := func(red, green, blue byte) {
		r.pix[at], r.pix[at+1], r.pix[at+2] = red, green, blue
		at += 3
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			switch m := img.(type) {
			case *image.RGBA: // the PNG decoder uses it for opaque pictures only
				p := m.Pix[m.PixOffset(x, y):]
				put(p[0], p[1], p[2])
			case *image.NRGBA:
				p := m.Pix[m.PixOffset(x, y):]
				put(p[0], p[1], p[2])
			case *image.Gray:
				v := m.Pix[m.PixOffset(x, y)]
				put(v, v, v)
			case *image.NRGBA64:
				c := m.NRGBA64At(x, y)
				put(byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
			default:
				c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
				put(c.R, c.G, c.B)
			}
		}
	}
	return r
}

// toGray is luma by ITU-R BT.601, in 16-bit fixed point.
func toGray(r *raster) *raster {
	out := newRaster(r.w, r.h, 1)
	for i := range out.pix {
		p := r.pix[3*i:]
		out.pix[i] = byte((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
	}
	return out
}
