package jpeg2000

import (
	"errors"
	"fmt"
	"math"
)

// tile is a tile that is being decoded.
type tile struct {
	*tileParts
	rect
	data  []byte // what is not read yet
	comps []*tileComponent
}

// tileComponent is a component of a tile (B.3).
type tileComponent struct {
	component
	*coding
	rect
	resolutions []*resolution
	ints        []int32   // coefficients and then samples of the reversible wavelet
	floats      []float32 // of the irreversible one
}

// tileArea is where a tile lies on the reference grid (B.3).
func (c *codestream) tileArea(index int) rect {
	x, y := c.tileX+index%c.tilesAcross*c.tileWidth, c.tileY+index/c.tilesAcross*c.tileHeight
	return rect{x, y, x + c.tileWidth, y + c.tileHeight}.intersect(rect{c.x0, c.y0, c.x1, c.y1})
}

// decodeTile decodes a tile into the planes of the picture.
func (c *codestream) decodeTile(index int, planes []Plane, d *blockDecoder) error {
	parts := c.tiles[index]
	if parts == nil {
		return errors.New("it is missing")
	}
	t := &tile{tileParts: parts, rect: c.tileArea(index)}
	for _, p := range parts.bodies {
		t.data = append(t.data, p...)
	}
	if !t.coded {
		return errors.New("no coding style")
	}
	if err := t.layOut(c.components); err != nil {
		return err
	}
	if err := t.packets(); err != nil {
		return err
	}
	for _, o := range t.comps {
		o.decode(d)
	}
	if err := t.mix(); err != nil {
		return err
	}
	for i, o := range t.comps {
		o.store(&planes[i], c.area(o.component))
	}
	return nil
}

func (t *tile) layOut(components []component) error {
	precincts := 0
	for i, o := range components {
		c := &tileComponent{component: o, coding: &t.components[i], rect: t.scaled(o.dx, o.dy)}
		var err error
		if c.resolutions, err = resolutions(c.rect, c.coding, o.bits); err != nil {
			return err
		}
		for _, r := range c.resolutions {
			if r.across > 0 && r.down > (maxPrecincts-precincts)/r.across {
				return fmt.Errorf("more than %d precincts in a tile", maxPrecincts)
			}
			precincts += r.across * r.down
			r.precincts = make([]*precinct, r.across*r.down)
		}
		t.comps = append(t.comps, c)
	}
	return nil
}

// decode computes a component's samples of its code-blocks.
func (c *tileComponent) decode(d *blockDecoder) {
	if c.empty() {
		return
	}
	n := c.width() * c.height()
	if c.reversible {
		c.ints = make([]int32, n)
	} else {
		c.floats = make([]float32, n)
	}
	for _, r := range c.resolutions {
		for _, p := range r.precincts {
			if p == nil {
				continue
			}
			for i := range p.bands {
				c.blocks(&p.bands[i], d)
			}
		}
		r.precincts = nil
	}
	if c.reversible {
		inverseWavelet(c.ints, c.resolutions, lift53)
	} else {
		inverseWavelet(c.floats, c.resolutions, lift97)
	}
}

// blocks decodes the code-blocks of a precinct in a band, and dequantises (Annex E).
func (c *tileComponent) blocks(b *precinctBand, d *blockDecoder) {
	for i := range b.blocks {
		block := &b.blocks[i]
		if block.passes == 0 {
			continue
		}
		d.decode(block, b.orientation, c.style)
		if c.shift > 0 {
			unshift(d.values, c.shift)
		}
		for y := range d.h {
			at := b.offset + (block.y0+y-b.y0)*c.width() + block.x0 - b.x0
			for x, v := range d.values[y*d.w : (y+1)*d.w] {
				if c.reversible {
					c.ints[at+x] = v / 2
				} else {
					c.floats[at+x] = float32(v) * b.step
				}
			}
		}
	}
}

// unshift brings back the coefficients of a region of interest, which lie above all others (H.1).
func unshift(values []int32, shift int) {
	for i, v := range values {
		if magnitude := max(v, -v); int64(magnitude) >= 2<<shift {
			values[i] = v / (1 << shift)
		}
	}
}

// mix undoes the transformation of the first three components (Annex G).
func (t *tile) mix() error {
	if !t.transform {
		return nil
	}
	if len(t.comps) < 3 {
		return fmt.Errorf("a transformation of 3 components, but there are %d", len(t.comps))
	}
	a, b, c := t.comps[0], t.comps[1], t.comps[2]
	if a.rect != b.rect || a.rect != c.rect || a.reversible != b.reversible || a.reversible != c.reversible {
		return errors.New("a transformation of unlike components")
	}
	for i := range a.ints { // G.2
		y, u, v := a.ints[i], b.ints[i], c.ints[i]
		green := y - (u+v)>>2
		a.ints[i], b.ints[i], c.ints[i] = v+green, green, u+green
	}
	for i := range a.floats { // G.3
		y, u, v := a.floats[i], b.floats[i], c.floats[i]
		a.floats[i] = y + float32(v*1.402)
		b.floats[i] = y - float32(u*.34413) - float32(v*.71414)
		c.floats[i] = y + float32(u*1.772)
	}
	return nil
}

// store writes the samples with their level shifted (G.1) into the plane of the picture.
func (c *tileComponent) store(p *Plane, picture rect) {
	half, top := int64(1)<<(c.bits-1), int64(1)<<c.bits-1
	for y := range c.height() {
		row := p.Samples[(c.y0+y-picture.y0)*p.Width+c.x0-picture.x0:][:c.width()]
		for x := range row {
			var v int64
			if i := y*c.width() + x; c.reversible {
				v = int64(c.ints[i])
			} else {
				v = round(c.floats[i])
			}
			row[x] = uint16(min(max(v+half, 0), top))
		}
	}
}

// round rounds to the nearest integer, halves to even; what is far beyond all samples becomes some number beyond them.
func round(v float32) int64 {
	return int64(math.RoundToEven(float64(min(max(v, -1<<30), 1<<30))))
}
