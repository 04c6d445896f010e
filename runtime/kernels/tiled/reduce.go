package tiled

import (
	"math"
	"unsafe"

	"golang.org/x/exp/constraints"

	"github.com/llmc-go/llmc/ir/tile"
)

// An accumulator has three words for each result. Along I they lie together: the value as float64 or int64, the position of the first
// largest, and room for a tile's part. Along O they are three arrays, so that whole lines are added.

// sumBlock is the number of terms that are added in a plain running sum.
const sumBlock = 32

func (c *Call) initial(st *step, s *Scratch, p *spot) {
	m, n := lines(st.mask, p)
	n *= m
	acc := s.regs[st.dst].p
	if c.red == bitO {
		c.initialLines(st, acc, n)
		return
	}
	for l := range n {
		*elem[int64](acc, 3*l+1) = -1
		switch st.class {
		case tile.F32, tile.F64:
			*elem[float64](acc, 3*l) = identity(st.in.Op)
		default:
			*elem[int64](acc, 3*l) = identityInt(st.in.Op)
		}
	}
}

func (c *Call) initialLines(st *step, acc unsafe.Pointer, n int) {
	switch st.class {
	case tile.F32:
		for k := range 3 {
			fill(c.sub(acc, st.mask, k), n, float32(identity(st.in.Op)))
		}
	case tile.F64:
		for k := range 3 {
			fill(c.sub(acc, st.mask, k), n, identity(st.in.Op))
		}
	case tile.Mask:
		fill(acc, n, uint8(identityInt(st.in.Op)))
	default:
		fill(acc, n, identityInt(st.in.Op))
	}
	if st.in.Op == tile.RArgMax || st.in.Op == tile.RArgMin {
		fill(c.sub(acc, st.mask, 1), n, int64(-1))
	}
}

// sub is the k-th array of an accumulator along O.
func (c *Call) sub(acc unsafe.Pointer, mask uint8, k int) unsafe.Pointer {
	n := 1
	if mask&bitI != 0 {
		n = c.bi
	}
	return unsafe.Add(acc, 8*n*k)
}

func fill[T any](p unsafe.Pointer, n int, v T) {
	d := unsafe.Slice((*T)(p), n)
	for i := range d {
		d[i] = v
	}
}

func identity(op tile.Op) float64 {
	switch op {
	case tile.RMax:
		return math.Inf(-1)
	case tile.RMin:
		return math.Inf(1)
	case tile.RProd:
		return 1
	}
	return 0
}

func identityInt(op tile.Op) int64 {
	switch op {
	case tile.RMax:
		return math.MinInt64
	case tile.RMin:
		return math.MaxInt64
	case tile.RProd, tile.RAll:
		return 1
	}
	return 0
}

func (c *Call) reduce(st *step, s *Scratch, p *spot) {
	if c.red == bitO {
		c.reduceLines(st, s, p)
		return
	}
	r, acc := s.regs[st.a], s.regs[st.dst].p
	m, n := 1, p.ni
	if st.ma&bitO != 0 {
		m = p.no
	}
	ld := r.line(n) * int(st.asize)
	for l := range m {
		x := unsafe.Add(r.p, l*ld)
		w := elem[int64](acc, 3*l)
		switch {
		case st.in.Op == tile.RArgMax || st.in.Op == tile.RArgMin:
			argLine(st, x, n, p.i, w, elem[int64](acc, 3*l+1))
		case st.class == tile.F32:
			part := elem[float32](acc, 3*l+2)
			if st.fn != nil {
				s.a = args{dst: unsafe.Pointer(part), a: x, n: n}
				st.fn(&s.a)
			} else {
				*part = reduceF32(st.in.Op, unsafe.Slice((*float32)(x), n))
			}
			join(st.in.Op, (*float64)(unsafe.Pointer(w)), float64(*part))
		case st.class == tile.F64:
			join(st.in.Op, (*float64)(unsafe.Pointer(w)), reduceF64(st.in.Op, unsafe.Slice((*float64)(x), n)))
		case st.class == tile.Mask:
			for _, v := range unsafe.Slice((*uint8)(x), n) {
				*w = joinInt(st.in.Op, *w, int64(truth(v != 0)))
			}
		default:
			for _, v := range unsafe.Slice((*int64)(x), n) {
				*w = joinInt(st.in.Op, *w, v)
			}
		}
	}
}

// reduceF32 reduces a line; sums are pairwise over blocks.
func reduceF32(op tile.Op, x []float32) float32 {
	switch op {
	case tile.RSum:
		return pairwise(x)
	case tile.RMax:
		m := float32(math.Inf(-1))
		for _, v := range x {
			m = max(m, v)
		}
		return m
	case tile.RMin:
		m := float32(math.Inf(1))
		for _, v := range x {
			m = min(m, v)
		}
		return m
	}
	m := float32(1)
	for _, v := range x {
		m *= v
	}
	return m
}

func reduceF64(op tile.Op, x []float64) float64 {
	if op == tile.RSum {
		return pairwise(x)
	}
	m := identity(op)
	for _, v := range x {
		join(op, &m, v)
	}
	return m
}

func pairwise[T constraints.Float](x []T) T {
	if len(x) > sumBlock {
		half := (len(x)/2 + sumBlock - 1) / sumBlock * sumBlock
		return pairwise(x[:half]) + pairwise(x[half:])
	}
	var s T
	for _, v := range x {
		s += v
	}
	return s
}

func join(op tile.Op, acc *float64, v float64) {
	switch op {
	case tile.RSum:
		*acc += v
	case tile.RProd:
		*acc *= v
	case tile.RMax:
		*acc = max(*acc, v)
	default:
		*acc = min(*acc, v)
	}
}

func joinInt(op tile.Op, acc, v int64) int64 {
	switch op {
	case tile.RSum:
		return acc + v
	case tile.RProd:
		return acc * v
	case tile.RMax:
		return max(acc, v)
	case tile.RMin:
		return min(acc, v)
	case tile.RAny:
		return acc | v
	}
	return acc & v
}

// argLine finds the first largest or smallest of a line that begins at position at.
func argLine(st *step, x unsafe.Pointer, n, at int, best, pos *int64) {
	least := st.in.Op == tile.RArgMin
	switch st.class {
	case tile.F32:
		argFloat(unsafe.Slice((*float32)(x), n), at, least, (*float64)(unsafe.Pointer(best)), pos)
	case tile.F64:
		argFloat(unsafe.Slice((*float64)(x), n), at, least, (*float64)(unsafe.Pointer(best)), pos)
	default:
		for j, v := range unsafe.Slice((*int64)(x), n) {
			if *pos < 0 || !least && v > *best || least && v < *best {
				*best, *pos = v, int64(at+j)
			}
		}
	}
}

func argFloat[T constraints.Float](x []T, at int, least bool, best *float64, pos *int64) {
	b, k := T(*best), *pos
	for j, v := range x {
		if k < 0 || beats(v, b, least) {
			b, k = v, int64(at+j)
		}
	}
	*best, *pos = float64(b), k
}

func beats[T constraints.Float](v, best T, least bool) bool {
	switch {
	case best != best:
		return false
	case v != v:
		return true
	case least:
		return v < best
	}
	return v > best
}

// reduceLines adds the lines of a tile to the accumulator's line. Sums cascade: every 32 lines into the second array, every 1024 into
// the third, by the position in the row.
func (c *Call) reduceLines(st *step, s *Scratch, p *spot) {
	r, acc := s.regs[st.a], s.regs[st.dst].p
	n := 1
	if st.ma&bitI != 0 {
		n = p.ni
	}
	ld := int(st.asize)
	if st.ma == bitOI {
		ld *= r.line(n)
	}
	sum := st.in.Op == tile.RSum && (st.class == tile.F32 || st.class == tile.F64)
	arg := st.in.Op == tile.RArgMax || st.in.Op == tile.RArgMin
	second, third := c.sub(acc, st.mask, 1), c.sub(acc, st.mask, 2)
	for l := range p.no {
		x := unsafe.Add(r.p, l*ld)
		if arg {
			c.argLines(st, x, n, p.o+l, acc, second)
			continue
		}
		s.addLine(st, acc, x, n)
		if pos := p.o + l + 1; sum && pos%sumBlock == 0 {
			s.addLine(st, second, acc, n)
			clear(unsafe.Slice((*byte)(acc), n*int(st.asize)))
			if pos%(sumBlock*sumBlock) == 0 {
				s.addLine(st, third, second, n)
				clear(unsafe.Slice((*byte)(second), n*int(st.asize)))
			}
		}
	}
}

func (s *Scratch) addLine(st *step, acc, x unsafe.Pointer, n int) {
	s.a = args{dst: acc, a: acc, b: x, n: n}
	if st.fn != nil {
		st.fn(&s.a)
		return
	}
	binary(lineOp(st.in.Op), st.class, modeVV, &s.a)
}

func (c *Call) argLines(st *step, x unsafe.Pointer, n, at int, acc, pos unsafe.Pointer) {
	least := st.in.Op == tile.RArgMin
	ps := unsafe.Slice((*int64)(pos), n)
	switch st.class {
	case tile.F32:
		argEach(unsafe.Slice((*float32)(x), n), unsafe.Slice((*float32)(acc), n), ps, at, least)
	case tile.F64:
		argEach(unsafe.Slice((*float64)(x), n), unsafe.Slice((*float64)(acc), n), ps, at, least)
	default:
		best := unsafe.Slice((*int64)(acc), n)
		for j, v := range unsafe.Slice((*int64)(x), n) {
			if ps[j] < 0 || !least && v > best[j] || least && v < best[j] {
				best[j], ps[j] = v, int64(at)
			}
		}
	}
}

func argEach[T constraints.Float](x, best []T, pos []int64, at int, least bool) {
	for j, v := range x {
		if pos[j] < 0 || beats(v, best[j], least) {
			best[j], pos[j] = v, int64(at)
		}
	}
}

func (c *Call) final(st *step, s *Scratch, p *spot) {
	m, n := lines(st.mask, p)
	n *= m
	acc, d := s.regs[st.a].p, s.regs[st.dst].p
	if st.in.Op == tile.RArgMax || st.in.Op == tile.RArgMin {
		for l := range n {
			at := *elem[int64](acc, 3*l+1)
			if c.red == bitO {
				at = *elem[int64](c.sub(acc, st.mask, 1), l)
			}
			*elem[int64](d, l) = max(at, 0)
		}
		return
	}
	if c.red == bitO {
		c.finalLines(st, s, acc, d, n)
		return
	}
	for l := range n {
		v, i := *elem[float64](acc, 3*l), *elem[int64](acc, 3*l)
		switch st.class {
		case tile.F32:
			*elem[float32](d, l) = float32(v)
		case tile.F64:
			*elem[float64](d, l) = v
		case tile.Mask:
			*elem[uint8](d, l) = uint8(i)
		default:
			*elem[int64](d, l) = i
		}
	}
}

func (c *Call) finalLines(st *step, s *Scratch, acc, d unsafe.Pointer, n int) {
	if st.in.Op == tile.RSum && (st.class == tile.F32 || st.class == tile.F64) {
		s.addLine(st, acc, c.sub(acc, st.mask, 1), n)
		s.addLine(st, acc, c.sub(acc, st.mask, 2), n)
	}
	size := classSize(st.class)
	copy(unsafe.Slice((*byte)(d), n*size), unsafe.Slice((*byte)(acc), n*size))
}
