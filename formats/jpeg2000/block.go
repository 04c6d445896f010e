package jpeg2000

// Code-block styles (Table A.19).
const (
	styleBypass    = 1 << iota // raw passes
	styleReset                 // contexts start anew in each pass
	styleTerminate             // each pass is a segment
	styleCausal                // no context from the next stripe
	stylePredictable
	styleSymbols // segmentation symbols
	styleHT      // high throughput, of Part 15
)

// What a coefficient's flags say: which neighbours are significant and negative, and what happened to itself.
const (
	sigN = 1 << iota
	sigS
	sigW
	sigE
	sigNW
	sigNE
	sigSW
	sigSE
	negN
	negS
	negW
	negE
	significant
	visited
	refined

	neighbours = 0xff
)

// Context labels of Tables D.1 to D.5.
const (
	contextSign      = 9
	contextMagnitude = 14
	contextRun       = 17
	contextUniform   = 18
	contexts         = 19
)

var (
	zeroContexts = [4][256]uint8{zeroTable(bandLL), zeroTable(bandHL), zeroTable(bandLH), zeroTable(bandHH)}
	signContexts = signTable()
)

// zeroTable is Table D.1 for an orientation, by the flags of neighbours.
func zeroTable(orientation int) (t [256]uint8) {
	for f := range t {
		count := func(flags ...int) (n int) {
			for _, b := range flags {
				if f&b != 0 {
					n++
				}
			}
			return n
		}
		h, v, d := count(sigW, sigE), count(sigN, sigS), count(sigNW, sigNE, sigSW, sigSE)
		switch orientation {
		case bandHH:
			t[f] = zeroDiagonal(h+v, d)
		case bandHL:
			t[f] = zeroStraight(v, h, d)
		default:
			t[f] = zeroStraight(h, v, d)
		}
	}
	return t
}

func zeroStraight(h, v, d int) uint8 {
	switch {
	case h == 2:
		return 8
	case h == 1 && v > 0:
		return 7
	case h == 1 && d > 0:
		return 6
	case h == 1:
		return 5
	case v > 0:
		return uint8(2 + v)
	}
	return uint8(min(d, 2))
}

func zeroDiagonal(straight, d int) uint8 {
	switch {
	case d >= 3:
		return 8
	case d == 2:
		return uint8(6 + min(straight, 1))
	case d == 1:
		return uint8(3 + min(straight, 2))
	}
	return uint8(min(straight, 2))
}

// signTable is Tables D.2 and D.3, by the flags of the four straight neighbours, four of significance and four of signs: the context,
// and 128 where the bit is to be inverted.
func signTable() (t [256]uint8) {
	for i := range t {
		one := func(sig, neg int) int {
			switch {
			case i&sig == 0:
				return 0
			case i&(neg>>4) != 0:
				return -1
			}
			return 1
		}
		h := min(max(one(sigW, negW)+one(sigE, negE), -1), 1)
		v := min(max(one(sigN, negN)+one(sigS, negS), -1), 1)
		invert := uint8(0)
		if h < 0 || h == 0 && v < 0 {
			h, v, invert = -h, -v, 128
		}
		t[i] = uint8(contextSign+3*h+v) | invert
	}
	return t
}

// blockDecoder decodes the bit planes of code-blocks (Annex D); its storage serves one after another.
type blockDecoder struct {
	mq       mqDecoder
	raw      rawDecoder
	contexts [contexts]context
	zero     *[256]uint8
	style    int
	w, h     int
	stride   int      // of flags, which have a border of one
	flags    []uint16 // of sample x, y at (y+1)*stride+x+1
	values   []int32  // twice the coefficients, and the half that is not known
}

func (d *blockDecoder) reset() {
	d.contexts = [contexts]context{0: {state: 4}, contextRun: {state: 3}, contextUniform: {state: 46}}
}

// decode leaves a block's coefficients in values.
func (d *blockDecoder) decode(b *codeBlock, orientation, style int) {
	d.w, d.h = b.x1-b.x0, b.y1-b.y0
	d.stride, d.style = d.w+2, style
	d.flags = zeroed(d.flags, d.stride*(d.h+2))
	d.values = zeroed(d.values, d.w*d.h)
	d.zero = &zeroContexts[orientation]
	d.reset()
	pass := 2 // the first plane has a cleanup pass only
	for i := range b.segments {
		s := &b.segments[i]
		raw := style&styleBypass != 0 && s.first >= 10 && pass%3 != 2
		if data := s.bytes(); raw {
			d.raw = rawDecoder{data: data}
		} else {
			d.mq.start(data)
		}
		for range s.passes {
			if pass/3 >= b.planes { // below the last plane: OpenJPEG writes such passes, which say nothing
				return
			}
			half := int32(1) << (b.planes - 1 - pass/3) // of the plane's bit
			switch pass % 3 {
			case 0:
				d.significance(half, raw)
			case 1:
				d.refinement(half, raw)
			default:
				d.cleanup(half)
			}
			if style&styleReset != 0 {
				d.reset()
			}
			pass++
		}
	}
}

// zeroed is a slice of n zeros, in the storage of s if that is enough.
func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// sign decodes a coefficient's sign (D.3.2) and makes it significant.
func (d *blockDecoder) sign(at, x, y int, half int32, raw bool) {
	var negative uint8
	if raw {
		negative = d.raw.bit()
	} else {
		f := d.flags[at]
		t := signContexts[f&15|f>>4&0xf0]
		negative = d.mq.decode(&d.contexts[t&127]) ^ t>>7
	}
	value := 3 * half
	var neg uint16
	if negative != 0 {
		value, neg = -value, ^uint16(0)
	}
	d.values[y*d.w+x] = value
	f := d.flags
	f[at] |= significant
	f[at-1] |= sigE | negE&neg
	f[at+1] |= sigW | negW&neg
	below, above := at+d.stride, at-d.stride
	f[below-1] |= sigNE
	f[below] |= sigN | negN&neg
	f[below+1] |= sigNW
	if d.style&styleCausal == 0 || y%4 != 0 {
		f[above-1] |= sigSE
		f[above] |= sigS | negS&neg
		f[above+1] |= sigSW
	}
}

// significance is the significance propagation pass (D.3.1).
func (d *blockDecoder) significance(half int32, raw bool) {
	for top := 0; top < d.h; top += 4 {
		for x := range d.w {
			for y := top; y < min(top+4, d.h); y++ {
				at := (y+1)*d.stride + x + 1
				f := d.flags[at]
				if f&significant != 0 || f&neighbours == 0 {
					continue
				}
				var bit uint8
				if raw {
					bit = d.raw.bit()
				} else {
					bit = d.mq.decode(&d.contexts[d.zero[f&neighbours]])
				}
				if bit != 0 {
					d.sign(at, x, y, half, raw)
				}
				d.flags[at] |= visited
			}
		}
	}
}

// refinement is the magnitude refinement pass (D.3.3).
func (d *blockDecoder) refinement(half int32, raw bool) {
	for top := 0; top < d.h; top += 4 {
		for x := range d.w {
			for y := top; y < min(top+4, d.h); y++ {
				at := (y+1)*d.stride + x + 1
				f := d.flags[at]
				if f&(significant|visited) != significant {
					continue
				}
				var bit uint8
				if raw {
					bit = d.raw.bit()
				} else {
					label := contextMagnitude
					switch {
					case f&refined != 0:
						label += 2
					case f&neighbours != 0:
						label++
					}
					bit = d.mq.decode(&d.contexts[label])
				}
				d.flags[at] |= refined
				if v := &d.values[y*d.w+x]; (bit != 0) == (*v > 0) {
					*v += half
				} else {
					*v -= half
				}
			}
		}
	}
}

// cleanup is the cleanup pass (D.3.4). The segmentation symbol behind it (D.5) is not compared: OpenJPEG writes passes that are cut
// off inside it.
func (d *blockDecoder) cleanup(half int32) {
	for top := 0; top < d.h; top += 4 {
		for x := range d.w {
			d.cleanupColumn(x, top, half)
		}
	}
	if d.style&styleSymbols != 0 {
		for range 4 {
			d.mq.decode(&d.contexts[contextUniform])
		}
	}
}

func (d *blockDecoder) cleanupColumn(x, top int, half int32) {
	y, end := top, min(top+4, d.h)
	at := (y+1)*d.stride + x + 1
	if f, s := d.flags, d.stride; end-top == 4 && f[at]|f[at+s]|f[at+2*s]|f[at+3*s] == 0 {
		if d.mq.decode(&d.contexts[contextRun]) == 0 {
			return
		}
		run := d.mq.decode(&d.contexts[contextUniform]) << 1
		run |= d.mq.decode(&d.contexts[contextUniform])
		y += int(run)
		at += int(run) * s
		d.sign(at, x, y, half, false)
		y++
		at += s
	}
	for ; y < end; y, at = y+1, at+d.stride {
		if f := d.flags[at]; f&(significant|visited) == 0 && d.mq.decode(&d.contexts[d.zero[f&neighbours]]) != 0 {
			d.sign(at, x, y, half, false)
		}
	}
	for at := (top+1)*d.stride + x + 1; top < end; top, at = top+1, at+d.stride {
		d.flags[at] &^= visited
	}
}
