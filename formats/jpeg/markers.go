package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Markers of Table B.1.
const (
	sof0 = 0xc0 // baseline
	sof1 = 0xc1 // extended sequential
	sof2 = 0xc2 // progressive
	dht  = 0xc4
	rst0 = 0xd0
	soi  = 0xd8
	eoi  = 0xd9
	sos  = 0xda
	dqt  = 0xdb
	dri  = 0xdd
	app0 = 0xe0
	appE = 0xee
)

// maxScans bounds the time that a small file may take: every scan may visit every block. Encoders write about ten.
const maxScans = 200

// decoder is the state between markers.
type decoder struct {
	data     []byte // the file
	at       int    // what is read of it
	started  bool   // after SOI
	done     bool   // after EOI
	frame    *frame
	scans    int
	interval int // MCUs between restarts; 0: none
	quant    [4]*[64]uint16
	huffman  [2][4]*huffman // DC and AC
	jfif     bool
	adobe    bool
	adobeYCC byte // the transform that an Adobe marker names
}

// segment reads a marker and what belongs to it; of SOS, the scan too.
func (d *decoder) segment() error {
	m, err := d.marker()
	if err != nil {
		return err
	}
	switch {
	case !d.started && m != soi:
		return errors.New("no start of an image")
	case m == soi:
		if d.started {
			return errors.New("a second start of an image")
		}
		d.started = true
		return nil
	case m == eoi:
		d.done = true
		return nil
	case m >= rst0 && m < rst0+8 || m == 0x01: // stand alone
		return nil
	}
	if len(d.data)-d.at < 2 {
		return io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint16(d.data[d.at:]))
	if n < 2 || n > len(d.data)-d.at {
		return fmt.Errorf("marker %#x: a segment of %d bytes: %w", m, n, io.ErrUnexpectedEOF)
	}
	body := d.data[d.at+2 : d.at+n]
	d.at += n
	if err := d.body(m, body); err != nil {
		return fmt.Errorf("marker %#x: %w", m, err)
	}
	return nil
}

// marker finds the next marker (B.1.1.2). What lies before it is skipped, as everybody does, except before SOI.
func (d *decoder) marker() (byte, error) {
	for at := d.at; at+1 < len(d.data); at++ {
		if d.data[at] == 0xff && d.data[at+1] != 0 && d.data[at+1] != 0xff {
			d.at = at + 2
			return d.data[at+1], nil
		}
		if !d.started {
			return 0, errors.New("no start of an image")
		}
	}
	return 0, io.ErrUnexpectedEOF
}

func (d *decoder) body(m byte, b []byte) error {
	switch m {
	case sof0, sof1, sof2:
		if d.frame != nil {
			return errors.New("a second frame")
		}
		f, err := parseFrame(b)
		if err != nil {
			return err
		}
		f.progressive = m == sof2
		d.frame = f
	case dht:
		return d.huffmanTables(b)
	case dqt:
		return d.quantTables(b)
	case dri:
		if len(b) != 2 {
			return fmt.Errorf("%d bytes, want 2", len(b))
		}
		d.interval = int(binary.BigEndian.Uint16(b))
	case sos:
		return d.scan(b)
	case app0:
		d.jfif = d.jfif || len(b) >= 14 && string(b[:5]) == "JFIF\x00"
	case appE:
		if len(b) >= 12 && string(b[:5]) == "Adobe" {
			d.adobe, d.adobeYCC = true, b[11]
		}
	default:
		if m > sof2 && m < 0xd0 || m > dri && m < app0 {
			return errors.New("a process that is not supported: sequential and progressive pictures of Huffman codes are")
		}
	}
	return nil
}

// quantTables is B.2.4.1.
func (d *decoder) quantTables(b []byte) error {
	for len(b) > 0 {
		wide, id := b[0]>>4, b[0]&15
		if wide > 1 || id > 3 {
			return fmt.Errorf("table %#x", b[0])
		}
		size := 64 << wide
		if len(b) < 1+size {
			return io.ErrUnexpectedEOF
		}
		t := new([64]uint16)
		for k := range t {
			if wide == 1 {
				t[zigzag[k]] = binary.BigEndian.Uint16(b[1+2*k:])
			} else {
				t[zigzag[k]] = uint16(b[1+k])
			}
		}
		d.quant[id] = t
		b = b[1+size:]
	}
	return nil
}

// huffmanTables is B.2.4.2.
func (d *decoder) huffmanTables(b []byte) error {
	for len(b) > 0 {
		class, id := b[0]>>4, b[0]&15
		if class > 1 || id > 3 {
			return fmt.Errorf("table %#x", b[0])
		}
		if len(b) < 17 {
			return io.ErrUnexpectedEOF
		}
		n := 0
		for _, c := range b[1:17] {
			n += int(c)
		}
		if n > 256 || len(b) < 17+n {
			return fmt.Errorf("table of %d codes: %w", n, io.ErrUnexpectedEOF)
		}
		t, err := newHuffman([16]byte(b[1:17]), b[17:17+n], class == 0)
		if err != nil {
			return err
		}
		d.huffman[class][id] = t
		b = b[17+n:]
	}
	return nil
}

// zigzag is the place of the k-th coefficient of a block (Figure A.6): diagonals, up and down in turn.
var zigzag = func() (z [64]byte) {
	k := 0
	for d := range 15 {
		for i := range d + 1 {
			row, col := i, d-i
			if d%2 == 0 {
				row, col = col, row
			}
			if row < 8 && col < 8 {
				z[k] = byte(8*row + col)
				k++
			}
		}
	}
	return z
}()
