package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// frame is a frame header (B.2.2), and the samples that its scans bring.
type frame struct {
	width, height int
	progressive   bool
	maxH, maxV    int // largest sampling factors
	mcusX, mcusY  int // of an interleaved scan
	comps         []*component
}

// component is one of the planes of a picture.
type component struct {
	id            byte
	h, v          int // sampling factors
	quantID       byte
	width, height int         // samples that count (A.1.1)
	blocksX       int         // blocks in a row that is stored: whole MCUs
	blocksY       int         // rows of them
	seen          bool        // by a scan
	quant         *[64]uint16 // what was in force when it was seen first
	coefs         [][64]int16 // of progressive frames, until reconstruct
	pix           []byte      // samples, 8*blocksX a row
}

func parseFrame(b []byte) (*frame, error) {
	if len(b) < 6 || len(b) != 6+3*int(b[5]) {
		return nil, fmt.Errorf("a frame header of %d bytes", len(b))
	}
	if b[0] != 8 {
		return nil, fmt.Errorf("%d bits a sample, want 8", b[0])
	}
	f := &frame{height: int(binary.BigEndian.Uint16(b[1:])), width: int(binary.BigEndian.Uint16(b[3:])), maxH: 1, maxV: 1}
	if f.width == 0 || f.height == 0 {
		return nil, fmt.Errorf("a picture of %d by %d pixels", f.width, f.height)
	}
	switch b[5] {
	case 1, 3, 4:
	default:
		return nil, fmt.Errorf("%d components, want 1, 3 or 4", b[5])
	}
	for b := b[6:]; len(b) > 0; b = b[3:] {
		c := &component{id: b[0], h: int(b[1] >> 4), v: int(b[1] & 15), quantID: b[2]}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return nil, fmt.Errorf("sampling factors %d and %d", c.h, c.v)
		}
		if c.quantID > 3 {
			return nil, fmt.Errorf("quantisation table %d", c.quantID)
		}
		for _, o := range f.comps {
			if o.id == c.id {
				return nil, fmt.Errorf("two components %d", c.id)
			}
		}
		f.comps = append(f.comps, c)
		f.maxH, f.maxV = max(f.maxH, c.h), max(f.maxV, c.v)
	}
	return f, f.layOut()
}

// layOut computes the sizes of the components (A.1.1, A.2.4).
func (f *frame) layOut() error {
	f.mcusX, f.mcusY = ceilDiv(f.width, 8*f.maxH), ceilDiv(f.height, 8*f.maxV)
	for _, c := range f.comps {
		if f.maxH%c.h != 0 || f.maxV%c.v != 0 {
			return errors.New("components whose sizes are no multiples of each other")
		}
		c.width, c.height = ceilDiv(f.width*c.h, f.maxH), ceilDiv(f.height*c.v, f.maxV)
		c.blocksX, c.blocksY = f.mcusX*c.h, f.mcusY*c.v
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func (f *frame) memory() int64 {
	n := int64(f.width) * int64(f.height) * int64(len(f.comps))
	if len(f.comps) == 4 {
		n += 3 * int64(f.width) * int64(f.height) // for RGB
	}
	for _, c := range f.comps {
		samples := 64 * int64(c.blocksX) * int64(c.blocksY)
		n += samples
		if f.progressive {
			n += 2 * samples
		}
	}
	return n
}

// allocate makes the storage of a component; the first scan does, so a header alone takes no memory.
func (c *component) allocate(progressive bool) {
	n := c.blocksX * c.blocksY
	c.pix = make([]byte, 64*n)
	if progressive {
		c.coefs = make([][64]int16, n)
	}
}

// reconstruct computes the samples of a progressive frame.
func (f *frame) reconstruct() {
	for _, c := range f.comps {
		for i := range c.coefs {
			c.reconstructBlock(&c.coefs[i], i%c.blocksX, i/c.blocksX)
		}
		c.coefs = nil
	}
}

func (c *component) reconstructBlock(coefs *[64]int16, x, y int) {
	stride := 8 * c.blocksX
	inverseDCT(coefs, c.quant, c.pix[8*(y*stride+x):], stride)
}
