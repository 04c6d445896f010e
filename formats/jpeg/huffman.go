package jpeg

import "errors"

const lookBits = 9 // codes up to this length take one look

// huffman decodes one table's codes (Annex C, F.2.2.3).
type huffman struct {
	look    [1 << lookBits]uint16 // by the next bits: length << 8 | symbol; 0: a longer code
	limit   [17]int               // by length: one more than the largest code, as the first bits of 16; grows
	offset  [17]int               // by length: index of the first symbol less the first code
	symbols []byte
}

func newHuffman(counts [16]byte, symbols []byte, dc bool) (*huffman, error) {
	h := &huffman{symbols: append([]byte(nil), symbols...)}
	if dc {
		for _, s := range symbols {
			if s > 15 {
				return nil, errors.New("a difference of more than 15 bits")
			}
		}
	}
	code, at := 0, 0
	for i, count := range counts {
		size := i + 1
		h.offset[size] = at - code
		for range count {
			if code >= 1<<size {
				return nil, errors.New("more codes than their lengths leave room for")
			}
			if size <= lookBits {
				first := code << (lookBits - size)
				for j := range 1 << (lookBits - size) {
					h.look[first+j] = uint16(size)<<8 | uint16(symbols[at])
				}
			}
			code, at = code+1, at+1
		}
		h.limit[size] = code << (16 - size)
		code <<= 1
	}
	return h, nil
}

// bits reads the entropy-coded bytes of a scan. It stops at a marker: bits beyond are zeros, and failed says that they were asked for.
type bits struct {
	data   []byte
	at     int
	buf    uint64 // the next bits, from the top
	n      int    // how many of them
	failed bool
}

// fill brings at least 32 bits, if they are there (F.2.2.5).
func (b *bits) fill() {
	for b.n <= 56 && b.at < len(b.data) {
		v := b.data[b.at]
		if v == 0xff {
			if b.at+1 >= len(b.data) || b.data[b.at+1] != 0 {
				return
			}
			b.at++
		}
		b.at++
		b.buf |= uint64(v) << (56 - b.n)
		b.n += 8
	}
}

// skip takes n bits, at most 16, that were looked at.
func (b *bits) skip(n int) {
	if n > b.n {
		b.failed = true
		b.buf, b.n = 0, 0
		return
	}
	b.buf <<= n
	b.n -= n
}

// take is RECEIVE: the next n bits, at most 16.
func (b *bits) take(n int) int {
	if b.n < n {
		b.fill()
	}
	v := int(b.buf >> 32 >> (32 - n))
	b.skip(n)
	return v
}

// extend is RECEIVE and EXTEND: a signed number of n bits (F.2.2.1).
func (b *bits) extend(n int) int {
	v := b.take(n)
	if n > 0 && v < 1<<(n-1) {
		v += 1 - 1<<n
	}
	return v
}

// symbol is DECODE.
func (b *bits) symbol(h *huffman) byte {
	if b.n < 16 {
		b.fill()
	}
	if e := h.look[b.buf>>(64-lookBits)]; e != 0 {
		b.skip(int(e >> 8))
		return byte(e)
	}
	next := int(b.buf >> 48)
	for size := lookBits + 1; size <= 16; size++ {
		if next < h.limit[size] {
			b.skip(size)
			return h.symbols[h.offset[size]+next>>(16-size)]
		}
	}
	b.failed = true
	return 0
}

// restart goes behind the marker RSTn, over what may lie before it.
func (b *bits) restart(n int) error {
	b.buf, b.n = 0, 0
	for ; b.at+1 < len(b.data); b.at++ {
		if b.data[b.at] == 0xff && b.data[b.at+1] != 0 && b.data[b.at+1] != 0xff {
			if b.data[b.at+1] != rst0+byte(n) {
				break
			}
			b.at += 2
			return nil
		}
	}
	return errors.New("a restart marker is missing")
}
