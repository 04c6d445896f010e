package jpeg2000

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Markers of Table A.2.
const (
	markSOC = 0xff4f
	markCAP = 0xff50
	markSIZ = 0xff51
	markCOD = 0xff52
	markCOC = 0xff53
	markQCD = 0xff5c
	markQCC = 0xff5d
	markRGN = 0xff5e
	markPOC = 0xff5f
	markPPM = 0xff60
	markPPT = 0xff61
	markSOP = 0xff91
	markEPH = 0xff92
	markSOT = 0xff90
	markSOD = 0xff93
	markEOC = 0xffd9
)

const (
	maxComponents   = 4
	maxBits         = 16 // of a sample
	maxLevels       = 32
	maxProgressions = 64 // of a tile
)

// codestream is the headers of a code stream (Annex A).
type codestream struct {
	x0, y0, x1, y1         int // the picture on the reference grid
	tileX, tileY           int // where the first tile begins
	tileWidth, tileHeight  int
	tilesAcross, tilesDown int
	components             []component
	main                   parameters
	tiles                  []*tileParts
}

// component is what SIZ says of one.
type component struct {
	bits   int
	signed bool
	dx, dy int // of the reference grid
}

// tileParts are the parameters and the bytes of a tile.
type tileParts struct {
	parameters
	bodies [][]byte
}

// parameters are how a tile is coded: what the main header says, and then its own.
type parameters struct {
	order      byte // Table A.16
	layers     int
	transform  bool // of the first three components
	coded      bool // COD was seen
	components []coding
	changes    []progression // POC
	ownChanges bool          // of a tile
}

// coding is how a component is coded.
type coding struct {
	levels      int
	blockWidth  int // exponents
	blockHeight int
	style       int
	reversible  bool
	precincts   []byte // by resolution: exponents of width and height; the last one counts for those beyond
	codFrom     source
	guard       int
	derived     bool
	steps       []step
	qcdFrom     source
	shift       int // of a region of interest
}

// step is a quantisation step: 2^-exponent * (1 + mantissa/2048), relative to the range of samples.
type step struct{ exponent, mantissa int }

// source is where parameters come from; a greater one has precedence (A.6).
type source int

const (
	fromNowhere source = iota
	fromMainDefault
	fromMainComponent
	fromTileDefault
	fromTileComponent
)

// progression is an order of packets within limits (A.6.6).
type progression struct {
	order              byte
	firstRes, endRes   int
	firstComp, endComp int
	endLayer           int
}

// reader takes numbers from the front of bytes; failed is set where there are too few.
type reader struct {
	data   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.failed = true
		return make([]byte, min(max(n, 0), 8))
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) u8() int  { return int(r.take(1)[0]) }
func (r *reader) u16() int { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) u32() int { return int(binary.BigEndian.Uint32(r.take(4))) }

// segment reads a marker segment's body behind the marker.
func (r *reader) segment() (reader, error) {
	n := r.u16()
	body := r.take(n - 2)
	if r.failed {
		return reader{}, io.ErrUnexpectedEOF
	}
	return reader{data: body}, nil
}

// parseSize reads the beginning of a code stream: SOC and SIZ (A.5.1).
func parseSize(r *reader) (*codestream, error) {
	if r.u16() != markSOC || r.u16() != markSIZ {
		return nil, errors.New("no start of a code stream")
	}
	s, err := r.segment()
	if err != nil {
		return nil, err
	}
	if capabilities := s.u16(); capabilities&0x4000 != 0 {
		return nil, errors.New("high-throughput coding (Part 15) is not supported")
	}
	c := &codestream{x1: s.u32(), y1: s.u32(), x0: s.u32(), y0: s.u32()}
	c.tileWidth, c.tileHeight, c.tileX, c.tileY = s.u32(), s.u32(), s.u32(), s.u32()
	n := s.u16()
	if s.failed || len(s.data) != 3*n {
		return nil, fmt.Errorf("the size: %w", io.ErrUnexpectedEOF)
	}
	if n < 1 || n > maxComponents {
		return nil, fmt.Errorf("%d components, at most %d are supported", n, maxComponents)
	}
	for range n {
		bits := s.u8()
		o := component{bits: bits&127 + 1, signed: bits > 127, dx: s.u8(), dy: s.u8()}
		if o.bits > maxBits {
			return nil, fmt.Errorf("%d bits a sample, at most %d are supported", o.bits, maxBits)
		}
		if o.dx < 1 || o.dy < 1 {
			return nil, fmt.Errorf("components sampled %d by %d", o.dx, o.dy)
		}
		c.components = append(c.components, o)
	}
	return c, c.check()
}

func (c *codestream) check() error {
	if c.x1 <= c.x0 || c.y1 <= c.y0 || c.x1 > 1<<31-1 || c.y1 > 1<<31-1 {
		return fmt.Errorf("a picture from %d, %d to %d, %d", c.x0, c.y0, c.x1, c.y1)
	}
	if c.tileWidth < 1 || c.tileHeight < 1 || c.tileX > c.x0 || c.tileY > c.y0 || c.tileX+c.tileWidth <= c.x0 || c.tileY+c.tileHeight <= c.y0 {
		return fmt.Errorf("tiles of %d by %d from %d, %d", c.tileWidth, c.tileHeight, c.tileX, c.tileY)
	}
	c.tilesAcross, c.tilesDown = ceilDiv(c.x1-c.tileX, c.tileWidth), ceilDiv(c.y1-c.tileY, c.tileHeight)
	if c.tilesAcross > 65535/c.tilesDown {
		return fmt.Errorf("%d by %d tiles", c.tilesAcross, c.tilesDown)
	}
	for i, o := range c.components {
		if r := c.area(o); r.empty() {
			return fmt.Errorf("component %d has no samples", i)
		}
	}
	return nil
}

// area is a component's samples.
func (c *codestream) area(o component) rect {
	return rect{c.x0, c.y0, c.x1, c.y1}.scaled(o.dx, o.dy)
}

// parse reads all headers and finds the data of the tiles.
func (c *codestream) parse(r *reader) error {
	c.main.components = make([]coding, len(c.components))
	c.tiles = make([]*tileParts, c.tilesAcross*c.tilesDown)
	for {
		m := r.u16()
		switch {
		case r.failed:
			return io.ErrUnexpectedEOF
		case m == markEOC:
			return nil
		case m == markSOT:
			if err := c.tilePart(r); err != nil {
				return err
			}
			continue
		}
		if err := c.main.segment(m, r, false); err != nil {
			return fmt.Errorf("marker %#x: %w", m, err)
		}
	}
}

// tilePart reads a tile-part: its header and where its data are (A.4.2).
func (c *codestream) tilePart(r *reader) error {
	rest := r.data
	s, err := r.segment()
	if err != nil {
		return err
	}
	index, size, part := s.u16(), s.u32(), s.u8()
	s.u8() // how many there will be
	if s.failed || len(s.data) > 0 {
		return errors.New("a damaged start of a tile-part")
	}
	if index >= len(c.tiles) {
		return fmt.Errorf("tile %d of %d", index, len(c.tiles))
	}
	last := size == 0 // up to the end of the code stream
	if last {
		size = len(rest) + 2
		if n := len(rest); n >= 2 && binary.BigEndian.Uint16(rest[n-2:]) == markEOC {
			size -= 2
		}
	}
	if size < 14 || size-2 > len(rest) {
		return fmt.Errorf("tile %d: a part of %d bytes: %w", index, size, io.ErrUnexpectedEOF)
	}
	body := reader{data: rest[10 : size-2]}
	r.data = rest[size-2:]
	t := c.tiles[index]
	if t == nil {
		t = &tileParts{parameters: c.main}
		t.components = append([]coding(nil), c.main.components...)
		c.tiles[index] = t
	}
	for {
		m := body.u16()
		if m == markSOD {
			break
		}
		if body.failed {
			return fmt.Errorf("tile %d: %w", index, io.ErrUnexpectedEOF)
		}
		if (m == markCOD || m == markCOC || m == markQCD || m == markQCC) && part > 0 {
			return fmt.Errorf("tile %d: marker %#x in part %d", index, m, part)
		}
		if err := t.segment(m, &body, true); err != nil {
			return fmt.Errorf("tile %d: marker %#x: %w", index, m, err)
		}
	}
	t.bodies = append(t.bodies, body.data)
	return nil
}

// segment reads one marker segment of a header.
func (p *parameters) segment(m int, r *reader, tile bool) error {
	s, err := r.segment()
	if err != nil {
		return err
	}
	forAll, forOne := fromMainDefault, fromMainComponent
	if tile {
		forAll, forOne = fromTileDefault, fromTileComponent
	}
	switch m {
	case markCOD:
		err = p.codingDefault(&s, forAll)
	case markCOC:
		var c *coding
		if c, err = p.component(&s); err == nil {
			err = c.code(&s, s.u8()&1 != 0, forOne)
		}
	case markQCD:
		for i := range p.components {
			q := s
			err = errors.Join(err, p.components[i].quantise(&q, forAll))
		}
	case markQCC:
		var c *coding
		if c, err = p.component(&s); err == nil {
			err = c.quantise(&s, forOne)
		}
	case markRGN:
		var c *coding
		if c, err = p.component(&s); err == nil {
			if style := s.u8(); style != 0 {
				return fmt.Errorf("a region of style %d", style)
			}
			c.shift = s.u8()
		}
	case markPOC:
		err = p.progressions(&s, tile)
	case markPPM, markPPT:
		return errors.New("packed packet headers are not supported")
	case markCAP:
		return errors.New("capabilities beyond Part 1 are not supported")
	case markSOC, markSIZ, markSOD, markSOP, markEPH, markEOC:
		return errors.New("out of place")
	}
	if err == nil && s.failed {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// component reads which component a segment is about; files of so few have one byte for it.
func (p *parameters) component(s *reader) (*coding, error) {
	i := s.u8()
	if s.failed || i >= len(p.components) {
		return nil, fmt.Errorf("component %d", i)
	}
	return &p.components[i], nil
}

// codingDefault is COD (A.6.1).
func (p *parameters) codingDefault(s *reader, from source) error {
	style := s.u8()
	p.order, p.layers, p.transform, p.coded = byte(s.u8()), s.u16(), s.u8() != 0, true
	if s.failed || p.order > 4 || p.layers == 0 {
		return fmt.Errorf("%d layers in order %d", p.layers, p.order)
	}
	for i := range p.components {
		q := *s
		if err := p.components[i].code(&q, style&1 != 0, from); err != nil {
			return err
		}
	}
	return nil
}

// code reads the parameters that COD and COC share (Table A.20).
func (c *coding) code(s *reader, precincts bool, from source) error {
	n := coding{levels: s.u8(), blockWidth: s.u8() + 2, blockHeight: s.u8() + 2, style: s.u8()}
	filter := s.u8()
	n.reversible = filter == 1
	n.precincts = []byte{0xff}
	if precincts && n.levels <= maxLevels {
		n.precincts = s.take(n.levels + 1)
	}
	switch {
	case s.failed:
		return io.ErrUnexpectedEOF
	case n.levels > maxLevels:
		return fmt.Errorf("%d decompositions", n.levels)
	case n.blockWidth > 10 || n.blockHeight > 10 || n.blockWidth+n.blockHeight > 12:
		return fmt.Errorf("code-blocks of 2^%d by 2^%d", n.blockWidth, n.blockHeight)
	case n.style&styleHT != 0:
		return errors.New("high-throughput code-blocks (Part 15) are not supported")
	case filter > 1:
		return fmt.Errorf("wavelet %d", filter)
	}
	for i, e := range n.precincts {
		if i > 0 && (e&15 == 0 || e>>4 == 0) {
			return fmt.Errorf("precincts of 2^%d by 2^%d", e&15, e>>4)
		}
	}
	if from >= c.codFrom {
		c.levels, c.blockWidth, c.blockHeight, c.style, c.reversible, c.precincts, c.codFrom = n.levels, n.blockWidth, n.blockHeight, n.style, n.reversible, n.precincts, from
	}
	return nil
}

// precinct is the exponents of the precincts of a resolution.
func (c *coding) precinct(resolution int) (width, height int) {
	e := c.precincts[min(resolution, len(c.precincts)-1)]
	return int(e & 15), int(e >> 4)
}

// quantise is QCD and QCC (A.6.4).
func (c *coding) quantise(s *reader, from source) error {
	style := s.u8()
	var steps []step
	for len(s.data) > 0 && !s.failed {
		if style&31 == 0 {
			steps = append(steps, step{exponent: s.u8() >> 3})
			continue
		}
		v := s.u16()
		steps = append(steps, step{v >> 11, v & 2047})
	}
	switch {
	case s.failed || len(steps) == 0:
		return io.ErrUnexpectedEOF
	case style&31 > 2:
		return fmt.Errorf("quantisation of style %d", style&31)
	}
	if from >= c.qcdFrom {
		c.guard, c.derived, c.steps, c.qcdFrom = style>>5, style&31 == 1, steps, from
	}
	return nil
}

// step is the quantisation step of a band, counted from the lowest frequencies (E.1.1).
func (c *coding) step(band int) (step, error) {
	if c.derived {
		s := c.steps[0]
		s.exponent = max(s.exponent-max(band-1, 0)/3, 0)
		return s, nil
	}
	if band >= len(c.steps) {
		return step{}, fmt.Errorf("no quantisation step for band %d", band)
	}
	return c.steps[band], nil
}

// progressions is POC (A.6.6).
func (p *parameters) progressions(s *reader, tile bool) error {
	var list []progression
	for len(s.data) > 0 && !s.failed {
		o := progression{firstRes: s.u8(), firstComp: s.u8(), endLayer: s.u16(), endRes: s.u8(), endComp: s.u8(), order: byte(s.u8())}
		if o.endComp == 0 {
			o.endComp = 256
		}
		if o.order > 4 {
			return fmt.Errorf("order %d", o.order)
		}
		list = append(list, o)
	}
	if tile && !p.ownChanges { // what the main header says is replaced; a further tile-part goes on
		p.changes, p.ownChanges = nil, true
	}
	p.changes = append(p.changes, list...)
	if len(p.changes) > maxProgressions {
		return fmt.Errorf("more than %d progressions", maxProgressions)
	}
	return nil
}
