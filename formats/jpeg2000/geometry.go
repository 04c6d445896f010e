package jpeg2000

// rect is an area: samples from x0, y0 up to but not with x1, y1.
type rect struct{ x0, y0, x1, y1 int }

func (r rect) width() int  { return r.x1 - r.x0 }
func (r rect) height() int { return r.y1 - r.y0 }
func (r rect) empty() bool { return r.x1 <= r.x0 || r.y1 <= r.y0 }

// scaled divides by numbers that need not be equal, rounded up.
func (r rect) scaled(dx, dy int) rect {
	return rect{ceilDiv(r.x0, dx), ceilDiv(r.y0, dy), ceilDiv(r.x1, dx), ceilDiv(r.y1, dy)}
}

func (r rect) intersect(o rect) rect {
	return rect{max(r.x0, o.x0), max(r.y0, o.y0), min(r.x1, o.x1), min(r.y1, o.y1)}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// ceilShift is a divided by 2^n, rounded up; a may be negative.
func ceilShift(a, n int) int { return (a + 1<<n - 1) >> n }

// Orientations of bands: of the low or high frequencies across, and then down.
const (
	bandLL = iota
	bandHL
	bandLH
	bandHH
)

// maxPrecincts bounds the memory of a tile.
const maxPrecincts = 1 << 20

// resolution is a resolution of a tile's component (B.5, B.6).
type resolution struct {
	rect
	precinctWidth, precinctHeight int // exponents
	firstX, firstY                int // indices of the first precinct
	across, down                  int // precincts
	bands                         []band
	precincts                     []*precinct // nil until the first packet
}

// band is a sub-band (B.5), and where its coefficients are among those of the component.
type band struct {
	rect
	orientation int
	offset      int
	planes      int     // magnitude bits, M_b of Equation E-2
	step        float32 // of half a unit
}

// precinct is the code-blocks of a precinct (B.7), band by band, and what its packets told of them (B.10).
type precinct struct {
	layers int
	bands  []precinctBand
}

type precinctBand struct {
	*band
	across    int
	blocks    []codeBlock
	inclusion tagTree
	zeros     tagTree
}

// codeBlock is a code-block and its coded bytes.
type codeBlock struct {
	rect
	included   bool
	planes     int // that are not zero
	lengthBits int // Lblock
	passes     int
	segments   []segment
}

// segment is coding passes with one end.
type segment struct {
	first  int // pass of the block
	passes int
	limit  int // how many passes there may be
	parts  [][]byte
}

func (s *segment) bytes() []byte {
	if len(s.parts) == 1 {
		return s.parts[0]
	}
	var all []byte
	for _, p := range s.parts {
		all = append(all, p...)
	}
	return all
}

// resolutions lays out a component of a tile whose samples are area.
func resolutions(area rect, c *coding, bits int) ([]*resolution, error) {
	list := make([]*resolution, c.levels+1)
	for i := range list {
		n := c.levels - i
		r := &resolution{rect: rect{ceilShift(area.x0, n), ceilShift(area.y0, n), ceilShift(area.x1, n), ceilShift(area.y1, n)}}
		r.precinctWidth, r.precinctHeight = c.precinct(i)
		r.firstX, r.firstY = r.x0>>r.precinctWidth, r.y0>>r.precinctHeight
		if !r.empty() {
			r.across, r.down = ceilShift(r.x1, r.precinctWidth)-r.firstX, ceilShift(r.y1, r.precinctHeight)-r.firstY
		}
		list[i] = r
		if i == 0 {
			if err := r.addBand(area, bandLL, n, 0, 0, c, bits); err != nil {
				return nil, err
			}
			continue
		}
		low, width := list[i-1], area.width()
		for o, offset := range [4]int{bandHL: low.width(), bandLH: low.height() * width, bandHH: low.height()*width + low.width()} {
			if o == bandLL {
				continue
			}
			if err := r.addBand(area, o, n+1, 3*(i-1)+o, offset, c, bits); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// addBand adds the band of n decompositions (Equation B-15).
func (r *resolution) addBand(area rect, orientation, n, index, offset int, c *coding, bits int) error {
	s, err := c.step(index)
	if err != nil {
		return err
	}
	b := band{orientation: orientation, offset: offset, planes: c.guard + s.exponent - 1 + c.shift}
	half := 0
	if n > 0 {
		half = 1 << (n - 1)
	}
	x, y := orientation&1*half, orientation>>1*half
	b.rect = rect{ceilShift(area.x0-x, n), ceilShift(area.y0-y, n), ceilShift(area.x1-x, n), ceilShift(area.y1-y, n)}
	// Equation E-3 without the gain of the band, which the wavelet's constants bring
	b.step = .5 * float32(float64(2048+s.mantissa)/2048*power(bits-s.exponent))
	r.bands = append(r.bands, b)
	return nil
}

func power(n int) float64 {
	if n < 0 {
		return 1 / float64(uint64(1)<<-n)
	}
	return float64(uint64(1) << n)
}

// precinct makes a precinct's code-blocks at its first packet.
func (r *resolution) precinct(index int, c *coding) *precinct {
	if p := r.precincts[index]; p != nil {
		return p
	}
	p := &precinct{bands: make([]precinctBand, len(r.bands))}
	for i := range r.bands {
		b := &p.bands[i]
		b.band = &r.bands[i]
		width, height := r.precinctWidth, r.precinctHeight
		if b.orientation != bandLL {
			width, height = width-1, height-1
		}
		x, y := r.firstX+index%r.across, r.firstY+index/r.across
		area := rect{x << width, y << height, (x + 1) << width, (y + 1) << height}.intersect(b.rect)
		if !area.empty() {
			b.cut(area, min(c.blockWidth, width), min(c.blockHeight, height))
		}
	}
	r.precincts[index] = p
	return p
}

// cut makes the code-blocks of an area (B.7).
func (b *precinctBand) cut(area rect, width, height int) {
	x0, y0 := area.x0>>width, area.y0>>height
	b.across = ceilShift(area.x1, width) - x0
	down := ceilShift(area.y1, height) - y0
	b.blocks = make([]codeBlock, b.across*down)
	for i := range b.blocks {
		x, y := x0+i%b.across, y0+i/b.across
		b.blocks[i] = codeBlock{rect: rect{x << width, y << height, (x + 1) << width, (y + 1) << height}.intersect(area), lengthBits: 3}
	}
	b.inclusion, b.zeros = newTagTree(b.across, down), newTagTree(b.across, down)
}
