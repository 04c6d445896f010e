package jpeg

import (
	"errors"
	"fmt"
)

var errEntropy = errors.New("the coded samples end too early or are damaged")

// scan is the decoding of one scan: which coefficients of which components (B.2.3), and the state between its blocks.
type scan struct {
	bits
	frame      *frame
	comps      []*scanComponent
	start, end int // the band of coefficients
	high, low  int // successive approximation: bits known, bits still open
	endOfBand  int // blocks to come without new coefficients (G.1.2.2)
}

type scanComponent struct {
	*component
	dc, ac *huffman
	pred   int
}

// scan decodes the scan behind a header.
func (d *decoder) scan(b []byte) error {
	if d.frame == nil {
		return errors.New("a scan before the frame")
	}
	if d.scans++; d.scans > maxScans {
		return fmt.Errorf("more than %d scans", maxScans)
	}
	s, err := d.scanHeader(b)
	if err != nil {
		return err
	}
	s.data, s.at = d.data, d.at
	if err := s.run(d.interval); err != nil {
		return err
	}
	d.at = s.at
	return nil
}

func (d *decoder) scanHeader(b []byte) (*scan, error) {
	if len(b) < 1 || b[0] < 1 || b[0] > 4 || len(b) != 4+2*int(b[0]) {
		return nil, fmt.Errorf("a scan header of %d bytes", len(b))
	}
	tail := b[len(b)-3:]
	s := &scan{frame: d.frame, start: int(tail[0]), end: int(tail[1]), high: int(tail[2] >> 4), low: int(tail[2] & 15)}
	if !d.frame.progressive {
		s.start, s.end, s.high, s.low = 0, 63, 0, 0
	}
	if s.start > s.end || s.end > 63 || s.low > 13 || s.high > 13 || d.frame.progressive && (s.start == 0) != (s.end == 0) || s.start > 0 && b[0] != 1 {
		return nil, fmt.Errorf("a scan of coefficients %d to %d in %d components, bits %d to %d", s.start, s.end, b[0], s.high, s.low)
	}
	for ; len(b) > 4; b = b[2:] {
		c, err := d.scanComponent(b[1], b[2]>>4, b[2]&15, s)
		if err != nil {
			return nil, err
		}
		s.comps = append(s.comps, c)
	}
	return s, nil
}

// scanComponent finds a component and the tables that it will need.
func (d *decoder) scanComponent(id, dc, ac byte, s *scan) (*scanComponent, error) {
	if dc > 3 || ac > 3 {
		return nil, fmt.Errorf("tables %d and %d of Huffman codes", dc, ac)
	}
	for _, o := range s.comps {
		if o.id == id {
			return nil, fmt.Errorf("component %d twice in a scan", id)
		}
	}
	for _, c := range d.frame.comps {
		if c.id != id {
			continue
		}
		if !c.seen {
			if c.quant = d.quant[c.quantID]; c.quant == nil {
				return nil, fmt.Errorf("no quantisation table %d", c.quantID)
			}
			c.allocate(d.frame.progressive)
			c.seen = true
		}
		out := &scanComponent{component: c, dc: d.huffman[0][dc], ac: d.huffman[1][ac]}
		if s.start == 0 && s.high == 0 && out.dc == nil || s.end > 0 && out.ac == nil {
			return nil, fmt.Errorf("no Huffman tables %d and %d", dc, ac)
		}
		return out, nil
	}
	return nil, fmt.Errorf("no component %d", id)
}

// run decodes all MCUs (A.2): of one component the blocks that hold samples; of several, interleaved, whole MCUs.
func (s *scan) run(interval int) error {
	x, y := s.frame.mcusX, s.frame.mcusY
	single := len(s.comps) == 1
	if single {
		x, y = ceilDiv(s.comps[0].width, 8), ceilDiv(s.comps[0].height, 8)
	}
	for i := range x * y {
		if interval > 0 && i > 0 && i%interval == 0 {
			if err := s.restart((i/interval - 1) % 8); err != nil {
				return err
			}
			s.endOfBand = 0
			for _, c := range s.comps {
				c.pred = 0
			}
		}
		if single {
			s.block(s.comps[0], i%x, i/x)
		} else {
			s.mcu(i%x, i/x)
		}
		if s.failed {
			return errEntropy
		}
	}
	return nil
}

func (s *scan) mcu(x, y int) {
	for _, c := range s.comps {
		for v := range c.v {
			for h := range c.h {
				s.block(c, x*c.h+h, y*c.v+v)
			}
		}
	}
}

// block decodes one block's part in the scan.
func (s *scan) block(c *scanComponent, x, y int) {
	if !s.frame.progressive {
		var coefs [64]int16
		s.sequential(c, &coefs)
		c.reconstructBlock(&coefs, x, y)
		return
	}
	coefs := &c.coefs[y*c.blocksX+x]
	switch {
	case s.start == 0 && s.high == 0:
		coefs[0] = int16(s.dc(c) << s.low)
	case s.start == 0:
		coefs[0] |= int16(s.take(1) << s.low)
	case s.high == 0:
		s.acFirst(c.ac, coefs)
	default:
		s.acRefine(c.ac, coefs)
	}
}

// dc decodes a DC coefficient (F.2.2.1).
func (s *scan) dc(c *scanComponent) int {
	c.pred = int(int16(c.pred + s.extend(int(s.symbol(c.dc)))))
	return c.pred
}

// sequential decodes a block whole (F.2.2).
func (s *scan) sequential(c *scanComponent, coefs *[64]int16) {
	coefs[0] = int16(s.dc(c))
	for k := 1; k < 64; k++ {
		rs := s.symbol(c.ac)
		run, size := int(rs>>4), int(rs&15)
		if size == 0 {
			if run != 15 {
				return
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			s.failed = true
			return
		}
		coefs[zigzag[k]] = int16(s.extend(size))
	}
}

// acFirst decodes a band for the first time (G.1.2.2).
func (s *scan) acFirst(ac *huffman, coefs *[64]int16) {
	if s.endOfBand > 0 {
		s.endOfBand--
		return
	}
	for k := s.start; k <= s.end; k++ {
		rs := s.symbol(ac)
		run, size := int(rs>>4), int(rs&15)
		if size == 0 {
			if run != 15 {
				s.endOfBand = 1<<run + s.take(run) - 1
				return
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			s.failed = true
			return
		}
		coefs[zigzag[k]] = int16(s.extend(size) << s.low)
	}
}

// acRefine adds a bit to a band's coefficients, and coefficients of one bit between them (G.1.2.3).
func (s *scan) acRefine(ac *huffman, coefs *[64]int16) {
	k := s.start
	for s.endOfBand == 0 && k <= s.end && !s.failed {
		rs := s.symbol(ac)
		run, size := int(rs>>4), int(rs&15)
		var fresh int16
		switch {
		case size == 1:
			fresh = int16(2*s.take(1)-1) << s.low
		case size > 1:
			s.failed = true
			return
		case run < 15:
			s.endOfBand = 1<<run + s.take(run)
		}
		if s.endOfBand > 0 {
			break
		}
		if k = s.refine(coefs, k, run); k > s.end {
			s.failed = s.failed || fresh != 0
			return
		}
		if fresh != 0 {
			coefs[zigzag[k]] = fresh
		}
		k++
	}
	if s.endOfBand > 0 {
		s.refine(coefs, k, 64)
		s.endOfBand--
	}
}

// refine gives the coefficients from k on their next bit, over a run of zeros; it stops at the zero behind the run.
func (s *scan) refine(coefs *[64]int16, k, run int) int {
	for ; k <= s.end; k++ {
		c := &coefs[zigzag[k]]
		if *c == 0 {
			if run == 0 {
				break
			}
			run--
			continue
		}
		if s.take(1) == 0 {
			continue
		}
		if *c > 0 {
			*c |= 1 << s.low
		} else {
			*c -= 1 << s.low
		}
	}
	return k
}
