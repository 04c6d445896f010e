package jpeg2000

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
)

// Progression orders (Table A.16).
const (
	orderLRCP = iota
	orderRLCP
	orderRPCL
	orderPCRL
	orderCPRL
)

// packets reads all packets of a tile in their order (B.12).
func (t *tile) packets() error {
	orders := t.changes
	if len(orders) == 0 {
		orders = []progression{{order: t.order, endRes: maxLevels + 1, endComp: len(t.components), endLayer: t.layers}}
	}
	for _, o := range orders {
		o.endLayer, o.endComp = min(o.endLayer, t.layers), min(o.endComp, len(t.components))
		o.endRes = min(o.endRes, t.mostResolutions())
		if err := t.progress(o); err != nil {
			return err
		}
	}
	return nil
}

func (t *tile) mostResolutions() int {
	n := 0
	for _, c := range t.comps {
		n = max(n, len(c.resolutions))
	}
	return n
}

// place is where a precinct lies in the orders by position.
type place struct{ comp, res, index, x, y int }

// progress reads the packets of one progression.
func (t *tile) progress(o progression) error {
	places := t.places(o)
	if len(places) == 0 {
		return nil
	}
	switch o.order {
	case orderLRCP:
		for layer := range o.endLayer {
			if err := t.layer(places, layer, layer+1); err != nil {
				return err
			}
		}
		return nil
	case orderRLCP:
		for len(places) > 0 {
			n := 1
			for n < len(places) && places[n].res == places[0].res {
				n++
			}
			for layer := range o.endLayer {
				if err := t.layer(places[:n], layer, layer+1); err != nil {
					return err
				}
			}
			places = places[n:]
		}
		return nil
	}
	for i := range places {
		if err := t.layer(places[i:i+1], 0, o.endLayer); err != nil {
			return err
		}
	}
	return nil
}

// places are the precincts of a progression, in the order that its packets of one layer have.
func (t *tile) places(o progression) []place {
	var list []place
	for comp := o.firstComp; comp < o.endComp; comp++ {
		c := t.comps[comp]
		for res := o.firstRes; res < min(o.endRes, len(c.resolutions)); res++ {
			r := c.resolutions[res]
			n := c.levels - res
			for i := range r.across * r.down {
				x, y := (r.firstX+i%r.across)<<(r.precinctWidth+n)*c.dx, (r.firstY+i/r.across)<<(r.precinctHeight+n)*c.dy
				list = append(list, place{comp, res, i, max(x, t.x0), max(y, t.y0)})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b place) int {
		switch position := cmp.Or(a.y-b.y, a.x-b.x); o.order {
		case orderRPCL:
			return cmp.Or(a.res-b.res, position)
		case orderPCRL:
			return position
		case orderCPRL:
			return cmp.Or(a.comp-b.comp, position)
		}
		return a.res - b.res
	})
	return list
}

// layer reads the packets of some precincts that were not read before.
func (t *tile) layer(places []place, first, end int) error {
	for _, p := range places {
		c := t.comps[p.comp]
		r := c.resolutions[p.res]
		for l := first; l < end; l++ {
			precinct := r.precinct(p.index, c.coding)
			if l < precinct.layers {
				continue
			}
			precinct.layers++
			if err := t.packet(precinct, c.coding, l); err != nil {
				return fmt.Errorf("packet of component %d, resolution %d, precinct %d, layer %d: %w", p.comp, p.res, p.index, l, err)
			}
		}
	}
	return nil
}

// packet reads a packet: its header (B.10), and the bytes of the blocks in it.
func (t *tile) packet(p *precinct, c *coding, layer int) error {
	if len(t.data) == 0 {
		return io.ErrUnexpectedEOF
	}
	t.data = skipMarker(t.data, markSOP, 6)
	h := headerBits{data: t.data}
	var body []piece
	if h.bit() != 0 {
		for i := range p.bands {
			b := &p.bands[i]
			for j := range b.blocks {
				var err error
				if body, err = b.header(&h, j, c, layer, body); err != nil {
					return err
				}
			}
		}
	}
	t.data = skipMarker(h.rest(), markEPH, 2)
	for _, s := range body {
		if s.length > len(t.data) {
			return io.ErrUnexpectedEOF
		}
		s.segment().parts = append(s.segment().parts, t.data[:s.length:s.length])
		t.data = t.data[s.length:]
	}
	if h.failed {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// skipMarker drops a marker segment of n bytes if it is there.
func skipMarker(b []byte, marker, n int) []byte {
	if len(b) >= n && b[0] == byte(marker>>8) && b[1] == byte(marker&255) {
		return b[n:]
	}
	return b
}

// piece is what a packet brings to a segment of a block.
type piece struct {
	block  *codeBlock
	index  int
	length int
}

func (p piece) segment() *segment { return &p.block.segments[p.index] }

var errHeader = errors.New("a damaged packet header")

// header reads what a packet header says of a block (B.10.3 to B.10.7).
func (b *precinctBand) header(h *headerBits, index int, c *coding, layer int, body []piece) ([]piece, error) {
	block := &b.blocks[index]
	x, y := index%b.across, index/b.across
	if block.included {
		if h.bit() == 0 {
			return body, nil
		}
	} else {
		if !b.inclusion.decode(h, x, y, layer+1) {
			return body, nil
		}
		zeros := 0
		for !b.zeros.decode(h, x, y, zeros+1) {
			if zeros++; zeros > b.planes || h.failed {
				return nil, errHeader
			}
		}
		if block.planes = b.planes - zeros; block.planes < 1 || block.planes > 30 {
			return nil, fmt.Errorf("%d bit planes in a code-block, 1 to 30 are supported", block.planes)
		}
		block.included = true
	}
	passes := h.passes()
	for h.bit() != 0 {
		if block.lengthBits++; block.lengthBits > 32 {
			return nil, errHeader
		}
	}
	if h.failed {
		return nil, errHeader
	}
	for passes > 0 {
		s := block.open(c.style)
		n := min(passes, s.limit-s.passes)
		length := h.number(block.lengthBits + bits.Len(uint(n)) - 1)
		body = append(body, piece{block, len(block.segments) - 1, length})
		s.passes += n
		block.passes += n
		passes -= n
	}
	return body, nil
}

// open is the segment that the next pass belongs to (D.4.2, D.6).
func (b *codeBlock) open(style int) *segment {
	if n := len(b.segments); n > 0 && b.segments[n-1].passes < b.segments[n-1].limit {
		return &b.segments[n-1]
	}
	s := segment{first: b.passes, limit: 1 << 16}
	switch {
	case style&styleTerminate != 0:
		s.limit = 1
	case style&styleBypass == 0:
	case b.passes == 0:
		s.limit = 10
	case b.passes%3 == 0: // a cleanup pass, arithmetic
		s.limit = 1
	default:
		s.limit = 2
	}
	b.segments = append(b.segments, s)
	return &b.segments[len(b.segments)-1]
}

// headerBits reads the bits of a packet header, with a bit stuffed behind bytes of ones (B.10.1).
type headerBits struct {
	data   []byte
	at     int
	n      int // bits left of the byte before at
	failed bool
}

func (h *headerBits) bit() int {
	if h.n == 0 {
		if h.at >= len(h.data) {
			h.failed = true
			return 0
		}
		h.n = 8
		if h.at > 0 && h.data[h.at-1] == 0xff {
			h.n = 7
		}
		h.at++
	}
	h.n--
	return int(h.data[h.at-1]) >> h.n & 1
}

func (h *headerBits) number(n int) int {
	v := 0
	for range n {
		v = v<<1 | h.bit()
	}
	return v
}

// rest is what follows the header.
func (h *headerBits) rest() []byte {
	if h.at > 0 && h.at < len(h.data) && h.data[h.at-1] == 0xff {
		h.at++
	}
	return h.data[h.at:]
}

// passes is the number of new coding passes (Table B.4).
func (h *headerBits) passes() int {
	if h.bit() == 0 {
		return 1
	}
	if h.bit() == 0 {
		return 2
	}
	if n := h.number(2); n < 3 {
		return 3 + n
	}
	if n := h.number(5); n < 31 {
		return 6 + n
	}
	return 37 + h.number(7)
}

// tagTree is a tag tree (B.10.2): every node is the least of up to four below.
type tagTree struct{ levels []tagLevel }

type tagLevel struct {
	across int
	nodes  []tagNode
}

// tagNode is what is known of a node: its value is at least low, or, once known, low.
type tagNode struct {
	low   int32
	known bool
}

func newTagTree(w, h int) tagTree {
	var t tagTree
	for {
		t.levels = append(t.levels, tagLevel{w, make([]tagNode, w*h)})
		if w*h <= 1 {
			return t
		}
		w, h = (w+1)/2, (h+1)/2
	}
}

// decode reads on until it is known whether a leaf's value is below a limit.
func (t *tagTree) decode(h *headerBits, x, y, limit int) bool {
	low := int32(0)
	known := true
	for i := len(t.levels) - 1; i >= 0; i-- {
		l := &t.levels[i]
		n := &l.nodes[y>>i*l.across+x>>i]
		n.low = max(n.low, low)
		for !n.known && int(n.low) < limit {
			if h.bit() != 0 {
				n.known = true
			} else {
				if n.low++; h.failed {
					return false
				}
			}
		}
		low, known = n.low, n.known
	}
	return known && int(low) < limit
}
