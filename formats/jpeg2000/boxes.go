package jpeg2000

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// container is what the boxes of a JP2 file say (Annex I).
type container struct {
	codestream []byte
	colour     int         // enumerated, the first that is there; 0: none
	palette    [][]uint16  // columns of a palette
	depths     []int       // bits of its columns
	mapping    [][2]int    // by channel: component and column, or -1 for the component itself
	channels   [][3]uint16 // definitions: channel, type, association
}

// Enumerated colour spaces (Table I.10).
const (
	colourRGB  = 16
	colourGrey = 17
	colourYCC  = 18
)

// parseBoxes reads the boxes up to the code stream. A bare code stream has none.
func parseBoxes(data []byte) (*container, error) {
	c := &container{}
	if !bytes.HasPrefix(data, []byte(signature)) {
		c.codestream = data
		return c, nil
	}
	header := false
	err := eachBox(data, func(kind string, body []byte) error {
		switch kind {
		case "jp2h":
			header = true
			return eachBox(body, c.headerBox)
		case "jp2c":
			if !header {
				return errors.New("no JP2 header")
			}
			c.codestream = body
			return io.EOF // what follows is not looked at
		}
		return nil
	})
	switch {
	case errors.Is(err, io.EOF):
		return c, nil
	case err != nil:
		return nil, err
	}
	return nil, errors.New("no code stream")
}

// eachBox calls f for the boxes in data (I.4).
func eachBox(data []byte, f func(kind string, body []byte) error) error {
	for len(data) > 0 {
		if len(data) < 8 {
			return io.ErrUnexpectedEOF
		}
		head, size, kind := uint64(8), uint64(binary.BigEndian.Uint32(data)), string(data[4:8])
		switch size {
		case 0:
			size = uint64(len(data))
		case 1:
			if len(data) < 16 {
				return io.ErrUnexpectedEOF
			}
			head, size = 16, binary.BigEndian.Uint64(data[8:])
		}
		if size < head || size > uint64(len(data)) {
			return fmt.Errorf("box %q of %d bytes: %w", kind, size, io.ErrUnexpectedEOF)
		}
		if err := f(kind, data[head:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// headerBox reads a box of the JP2 header (I.5.3).
func (c *container) headerBox(kind string, body []byte) error {
	r := reader{data: body}
	switch kind {
	case "colr":
		if method := r.u8(); method == 1 && c.colour == 0 {
			r.take(2) // precedence, approximation
			c.colour = r.u32()
		}
	case "pclr":
		if err := c.paletteBox(&r); err != nil {
			return err
		}
	case "cmap":
		for len(r.data) > 0 && !r.failed {
			component, direct, column := r.u16(), r.u8() == 0, r.u8()
			if direct {
				column = -1
			}
			c.mapping = append(c.mapping, [2]int{component, column})
		}
	case "cdef":
		for range r.u16() {
			c.channels = append(c.channels, [3]uint16{uint16(r.u16()), uint16(r.u16()), uint16(r.u16())})
			if r.failed {
				break
			}
		}
	}
	if r.failed {
		return fmt.Errorf("box %q: %w", kind, io.ErrUnexpectedEOF)
	}
	return nil
}

// paletteBox reads a palette (I.5.3.4).
func (c *container) paletteBox(r *reader) error {
	entries, columns := r.u16(), r.u8()
	if entries < 1 || entries > 1024 || columns < 1 || c.palette != nil {
		return fmt.Errorf("a palette of %d entries in %d columns", entries, columns)
	}
	for range columns {
		bits := r.u8()&127 + 1
		if bits > maxBits {
			return fmt.Errorf("%d bits in a palette, at most %d are supported", bits, maxBits)
		}
		c.depths = append(c.depths, bits)
	}
	c.palette = make([][]uint16, columns)
	for range entries {
		for i, bits := range c.depths {
			v := 0
			if bits > 8 {
				v = r.u16()
			} else {
				v = r.u8()
			}
			c.palette[i] = append(c.palette[i], uint16(v))
		}
	}
	return nil
}

// apply makes channels of components: by the palette, in the order of the definitions.
func (c *container) apply(p *Picture) error {
	if c.palette != nil {
		if err := c.look(p); err != nil {
			return err
		}
	}
	if err := c.arrange(p); err != nil {
		return err
	}
	switch c.colour {
	case 0, colourRGB, colourGrey:
	case colourYCC:
		p.sycc = len(p.Planes) >= 3
	default:
		return fmt.Errorf("colour space %d is not supported", c.colour)
	}
	return nil
}

// look replaces components by columns of the palette (I.5.3.5).
func (c *container) look(p *Picture) error {
	var planes []Plane
	if len(c.mapping) > maxComponents {
		return fmt.Errorf("%d channels, at most %d are supported", len(c.mapping), maxComponents)
	}
	for _, m := range c.mapping {
		if m[0] >= len(p.Planes) || m[1] >= len(c.palette) {
			return fmt.Errorf("channel of component %d and column %d of the palette", m[0], m[1])
		}
		plane := p.Planes[m[0]]
		if m[1] >= 0 {
			column := c.palette[m[1]]
			plane.Bits = c.depths[m[1]]
			plane.Samples = append([]uint16(nil), plane.Samples...)
			for i, v := range plane.Samples {
				plane.Samples[i] = column[min(int(v), len(column)-1)]
			}
		}
		planes = append(planes, plane)
	}
	if len(planes) == 0 {
		return errors.New("a palette, but no mapping of components to it")
	}
	p.Planes = planes
	return nil
}

// arrange puts the colours into their order (I.5.3.6).
func (c *container) arrange(p *Picture) error {
	planes := append([]Plane(nil), p.Planes...)
	for _, d := range c.channels {
		channel, kind, colour := int(d[0]), d[1], int(d[2])
		if channel >= len(planes) {
			return fmt.Errorf("a definition of channel %d", channel)
		}
		if kind == 0 && colour >= 1 && colour <= len(planes) {
			p.Planes[colour-1] = planes[channel]
		}
	}
	return nil
}
