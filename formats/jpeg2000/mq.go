package jpeg2000

// mqState is a row of Table C.2.
type mqState struct {
	qe         uint32
	nmps, nlps uint8
	flip       uint8
}

var mqStates = [47]mqState{
	{0x5601, 1, 1, 1}, {0x3401, 2, 6, 0}, {0x1801, 3, 9, 0}, {0x0ac1, 4, 12, 0}, {0x0521, 5, 29, 0}, {0x0221, 38, 33, 0},
	{0x5601, 7, 6, 1}, {0x5401, 8, 14, 0}, {0x4801, 9, 14, 0}, {0x3801, 10, 14, 0}, {0x3001, 11, 17, 0}, {0x2401, 12, 18, 0},
	{0x1c01, 13, 20, 0}, {0x1601, 29, 21, 0}, {0x5601, 15, 14, 1}, {0x5401, 16, 14, 0}, {0x5101, 17, 15, 0}, {0x4801, 18, 16, 0},
	{0x3801, 19, 17, 0}, {0x3401, 20, 18, 0}, {0x3001, 21, 19, 0}, {0x2801, 22, 19, 0}, {0x2401, 23, 20, 0}, {0x2201, 24, 21, 0},
	{0x1c01, 25, 22, 0}, {0x1801, 26, 23, 0}, {0x1601, 27, 24, 0}, {0x1401, 28, 25, 0}, {0x1201, 29, 26, 0}, {0x1101, 30, 27, 0},
	{0x0ac1, 31, 28, 0}, {0x09c1, 32, 29, 0}, {0x08a1, 33, 30, 0}, {0x0521, 34, 31, 0}, {0x0441, 35, 32, 0}, {0x02a1, 36, 33, 0},
	{0x0221, 37, 34, 0}, {0x0141, 38, 35, 0}, {0x0111, 39, 36, 0}, {0x0085, 40, 37, 0}, {0x0049, 41, 38, 0}, {0x0025, 42, 39, 0},
	{0x0015, 43, 40, 0}, {0x0009, 44, 41, 0}, {0x0005, 45, 42, 0}, {0x0001, 45, 43, 0}, {0x5601, 46, 46, 0},
}

// context is an adaptive probability: a row of the table and the likelier symbol.
type context struct{ state, mps uint8 }

// mqDecoder is the arithmetic decoder of Annex C.
type mqDecoder struct {
	data []byte
	at   int
	a, c uint32
	ct   int
}

// byteAt gives 0xff beyond the end, which ends like a marker (D.4.1).
func (m *mqDecoder) byteAt(i int) uint32 {
	if i < len(m.data) {
		return uint32(m.data[i])
	}
	return 0xff
}

// start is INITDEC.
func (m *mqDecoder) start(data []byte) {
	*m = mqDecoder{data: data}
	m.c = m.byteAt(0) << 16
	m.byteIn()
	m.c <<= 7
	m.ct -= 7
	m.a = 0x8000
}

// byteIn is BYTEIN.
func (m *mqDecoder) byteIn() {
	next := m.byteAt(m.at + 1)
	switch {
	case m.byteAt(m.at) != 0xff:
		m.at++
		m.c += next << 8
		m.ct = 8
	case next > 0x8f:
		m.c += 0xff00
		m.ct = 8
	default:
		m.at++
		m.c += next << 9
		m.ct = 7
	}
}

// decode is DECODE.
func (m *mqDecoder) decode(x *context) uint8 {
	s := &mqStates[x.state]
	m.a -= s.qe
	var likely bool
	if m.c>>16 < s.qe {
		likely = m.a < s.qe
		m.a = s.qe
	} else {
		m.c -= s.qe << 16
		if m.a&0x8000 != 0 {
			return x.mps
		}
		likely = m.a >= s.qe
	}
	bit := x.mps
	if likely {
		x.state = s.nmps
	} else {
		bit ^= 1
		x.mps ^= s.flip
		x.state = s.nlps
	}
	for m.a&0x8000 == 0 { // RENORMD
		if m.ct == 0 {
			m.byteIn()
		}
		m.a <<= 1
		m.c <<= 1
		m.ct--
	}
	return bit
}

// rawDecoder reads the bits of passes that bypass the arithmetic decoder (D.6).
type rawDecoder struct {
	data []byte
	at   int
	last byte
	n    int
}

func (r *rawDecoder) bit() uint8 {
	if r.n == 0 {
		r.n = 8
		if r.last == 0xff {
			r.n = 7
		}
		r.last = 0xff
		if r.at < len(r.data) {
			r.last = r.data[r.at]
			r.at++
		}
	}
	r.n--
	return r.last >> r.n & 1
}
