package tiled

import (
	"fmt"
	"math/bits"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
)

// Sizes that binding aims at, in elements and nanoseconds.
const (
	tileLen    = 1024  // elements of a tile
	shortLine  = 64    // shorter inner dimensions take in the next axis
	rowLimit   = 16384 // longest register kept for a whole row
	chunkNanos = 30000
	maxElems   = 1 << 48
)

// Call is a program bound to operands. The zero value is ready for [Program.Bind].
type Call struct {
	prog *Program
	ops  []operand // the real ones, then one for each axis of idx
	vias []Via
	dims []int64

	axes []spaceAxis
	str  []int // operand*maxAxes + axis

	red        uint8 // the dimension of the Red axes: bitI, bitO, or 0
	nq, no, ni int   // extents of the dimensions
	bo, bi     int   // a tile's
	tiles      int
	perChunk   int
	chunks     int

	plan plan
	copy copyPlan
}

type spaceAxis struct {
	n   int
	red bool
}

// Bind lays the program over a space and operands. It keeps nothing of its slices. On an error the call must be bound again before it is used.
func (p *Program) Bind(c *Call, par, red []int, ops []Operand, dims []int64) error {
	c.prog, c.chunks, c.tiles = p, 0, 0
	if err := c.check(par, red, ops, dims); err != nil {
		return err
	}
	c.dims = append(c.dims[:0], dims...)
	c.take(ops)
	empty := c.space(par, red, ops)
	if empty {
		return nil
	}
	if p.copies && c.bindCopy() {
		return nil
	}
	c.copy.mode = copyNone
	c.choose()
	c.walks()
	if err := c.checkResults(); err != nil {
		return err
	}
	c.block()
	if err := c.build(); err != nil {
		c.chunks, c.tiles = 0, 0
		return err
	}
	return nil
}

func (c *Call) check(par, red []int, ops []Operand, dims []int64) error {
	p, n := c.prog, len(par)+len(red)
	if n > maxAxes {
		return fmt.Errorf("space of %d axes: want at most %d", n, maxAxes)
	}
	if p.nAxes > n || p.nDims > len(dims) {
		return fmt.Errorf("program reads %d axes and %d dims, got %d and %d", p.nAxes, p.nDims, n, len(dims))
	}
	if len(ops) != len(p.elems) {
		return fmt.Errorf("want %d operands, got %d", len(p.elems), len(ops))
	}
	total := uint64(1)
	for i := range n {
		e := extent(par, red, i)
		if e < 0 {
			return fmt.Errorf("axis %d: extent %d is negative", i, e)
		}
		hi, lo := bits.Mul64(total, uint64(max(e, 1)))
		if hi != 0 || lo > maxElems {
			return fmt.Errorf("space of more than 2^48 elements")
		}
		total = lo
	}
	for k := range ops {
		if len(ops[k].Strides) != n {
			return fmt.Errorf("operand %d: want %d strides, got %d", k, n, len(ops[k].Strides))
		}
		for _, v := range ops[k].Via {
			if v.Operand < 0 || v.Operand >= p.ins || len(ops[v.Operand].Via) > 0 {
				return fmt.Errorf("operand %d: integers of operand %d: want an input without integers of its own", k, v.Operand)
			}
			if t := p.elems[v.Operand]; !t.IsInt() || t.IsSubByte() {
				return fmt.Errorf("operand %d: integers of type %v", k, t)
			}
			if v.Extent < 0 {
				return fmt.Errorf("operand %d: extent %d is negative", k, v.Extent)
			}
		}
	}
	return nil
}

func extent(par, red []int, i int) int {
	if i < len(par) {
		return par[i]
	}
	return red[i-len(par)]
}

// take copies what the call keeps of the operands.
func (c *Call) take(ops []Operand) {
	n := len(ops) + len(c.prog.idx)
	if cap(c.ops) < n {
		c.ops = make([]operand, n)
	}
	c.ops, c.vias = c.ops[:n], c.vias[:0]
	for k := range ops {
		c.vias = append(c.vias, ops[k].Via...)
	}
	at := 0
	for k := range c.ops {
		o := &c.ops[k]
		o.ptr, o.elem, o.size, o.via = nil, dtype.I64, 8, nil
		if k < len(ops) {
			o.ptr, o.elem = ops[k].Ptr, c.prog.elems[k]
			o.size = o.elem.Bits() / 8
			if m := len(ops[k].Via); m > 0 {
				o.via = c.vias[at : at+m]
				at += m
			}
		}
	}
}

// space coalesces axes; it reports whether no position is left.
func (c *Call) space(par, red []int, ops []Operand) (empty bool) {
	c.axes = c.axes[:0]
	if need := len(c.ops) * maxAxes; cap(c.str) < need {
		c.str = make([]int, need)
	} else {
		c.str = c.str[:need]
	}
	stride := func(k, i int) int {
		if k < len(ops) {
			return ops[k].Strides[i]
		}
		if int(c.prog.idx[k-len(ops)]) == i {
			return 1
		}
		return 0
	}
	void := false // an empty Red axis: one axis of length 0 stands for all
	for i := range len(par) + len(red) {
		if e := extent(par, red, i); e == 0 {
			if i < len(par) || !c.prog.reduces {
				return true
			}
			void = true
		}
	}
	for i := range len(par) + len(red) {
		n, isRed := extent(par, red, i), i >= len(par) && c.prog.reduces
		if isRed && void {
			break
		}
		if n == 1 {
			continue
		}
		m := len(c.axes) - 1
		merge := m >= 0 && c.axes[m].red == isRed
		for k := range c.ops {
			merge = merge && c.str[k*maxAxes+m] == stride(k, i)*n
		}
		if merge {
			c.axes[m].n *= n
		} else {
			m++
			c.axes = append(c.axes, spaceAxis{n, isRed})
		}
		for k := range c.ops {
			c.str[k*maxAxes+m] = stride(k, i)
		}
	}
	if void {
		m := len(c.axes)
		c.axes = append(c.axes, spaceAxis{0, true})
		for k := range c.ops {
			c.str[k*maxAxes+m] = 0
			for i := len(par); i < len(par)+len(red); i++ {
				if stride(k, i) != 0 {
					c.str[k*maxAxes+m] = 1
				}
			}
		}
	}
	return false
}

// choose assigns the axes to dimensions: it leaves in c.copy.dim the dimension of every axis.
func (c *Call) choose() {
	dim := &c.copy.dim
	nPar := len(c.axes)
	for i, a := range c.axes {
		if a.red {
			nPar = i
			break
		}
	}
	c.red = 0
	if c.prog.reduces {
		c.red = bitI
		if c.columns(nPar) {
			c.red = bitO
		}
	}
	inner := nPar // first of the Par axes that make up I
	if c.red != bitI {
		for n := 1; inner > 0 && n < shortLine && (inner == nPar || n*c.axes[inner-1].n <= tileLen); {
			inner--
			n *= c.axes[inner].n
		}
	}
	for i := range c.axes {
		switch {
		case i >= nPar && c.red == bitI, i < nPar && i >= inner && c.red != bitI:
			dim[i] = dimI
		case i >= nPar, c.red != bitO:
			dim[i] = dimO
		default:
			dim[i] = dimQ
		}
	}
}

// columns decides whether rows are done a block of columns at a time: if the operands that are read along the rows are adjacent across
// them, or if rows are very short.
func (c *Call) columns(nPar int) bool {
	if nPar == 0 || nPar == len(c.axes) {
		return false
	}
	votes, last, width := 0, len(c.axes)-1, c.axes[nPar-1].n
	for k := range c.prog.ins {
		along, across := c.str[k*maxAxes+last], c.str[k*maxAxes+nPar-1]
		switch {
		case along == 0:
		case across == 1:
			votes++
		case along == 1:
			votes--
		}
	}
	length := 1
	for i := nPar; i < len(c.axes); i++ {
		length *= c.axes[i].n
	}
	if votes > 0 {
		return width >= 8 || length < shortLine
	}
	return length < 12 && width >= shortLine
}

// walks fills the operands' ways through the dimensions, and what each depends on.
func (c *Call) walks() {
	c.nq, c.no, c.ni = 1, 1, 1
	for k := range c.ops {
		o := &c.ops[k]
		for d := range o.w {
			o.w[d].k = 0
		}
		for i, a := range c.axes {
			o.w[c.copy.dim[i]].add(a.n, c.str[k*maxAxes+i])
		}
		o.mask = 0
		for d := range o.w {
			if o.w[d].moves() {
				o.mask |= 1 << d
			}
		}
	}
	for k := range c.ops {
		o := &c.ops[k]
		o.vmsk = 0
		for _, v := range o.via {
			o.vmsk |= c.ops[v.Operand].mask
		}
	}
	for k := range c.ops {
		if c.ops[k].via != nil {
			c.ops[k].mask |= c.ops[k].vmsk
		}
	}
	for i, a := range c.axes {
		switch c.copy.dim[i] {
		case dimO:
			c.no *= a.n
		case dimI:
			c.ni *= a.n
		default:
			c.nq *= a.n
		}
	}
}

func (c *Call) checkResults() error {
	for k := c.prog.ins; k < len(c.prog.elems); k++ {
		if c.ops[k].via != nil {
			continue
		}
		for i, a := range c.axes {
			if !a.red && a.n > 1 && c.str[k*maxAxes+i] == 0 {
				return fmt.Errorf("operand %d: a result has stride 0 along an axis of extent %d", k, a.n)
			}
		}
	}
	return nil
}

// evenly is the size of each of the fewest parts of at most limit, a multiple of unit if there are several.
func evenly(n, limit, unit int) int {
	if n <= limit {
		return max(n, 1)
	}
	parts := (n + limit - 1) / limit
	size := (n + parts - 1) / parts
	return min((size+unit-1)/unit*unit, limit)
}

// block picks the tile and the chunks, from extents alone.
func (c *Call) block() {
	size := tileLen
	if c.red == 0 {
		switch w := c.prog.work; {
		case w <= 1:
			size = 8 * tileLen
		case w <= 4:
			size = 2 * tileLen
		}
	}
	if c.red == bitO {
		size = 2 * tileLen
		c.bi = evenly(c.ni, 256, 16)
		if c.prog.phases > 2 && c.no > 0 { // keep registers of whole rows in L2
			c.bi = min(c.bi, evenly(c.ni, max(rowLimit/c.no&^15, 16), 16))
		}
	} else {
		c.bi = evenly(c.ni, size, 16)
	}
	c.bo = min(max(size/c.bi, 1), max(c.no, 1))
	if c.red == bitI && c.bi < c.ni {
		c.bo = 1
	}
	lines, cols := (c.no+c.bo-1)/c.bo, (c.ni+c.bi-1)/c.bi
	perTile := float64(c.bo * c.bi)
	switch c.red {
	case bitI:
		cols, perTile = 1, float64(c.bo*max(c.ni, 1))
	case bitO:
		lines, perTile = 1, float64(max(c.no, 1)*c.bi)
	}
	c.tiles = c.nq * lines * cols
	cost := 50 + perTile*c.cost()
	c.perChunk = int(min(max(chunkNanos/cost, 1), float64(c.tiles)))
	c.chunks = (c.tiles + c.perChunk - 1) / c.perChunk
}

// cost is a rough number of nanoseconds an element.
func (c *Call) cost() float64 {
	t := 0.0
	for i := range c.prog.code {
		if !c.prog.live[i] {
			continue
		}
		in := &c.prog.code[i]
		switch {
		case in.Op == tile.Load || in.Op == tile.Store:
			t += 0.1
			if !natural(c.prog.elems[in.Arg]) {
				t++
			}
		case in.Op == tile.Imm || in.Op == tile.Dim:
		case in.Class == tile.F32 && in.Op >= tile.Exp && in.Op <= tile.Silu, in.Op == opExpSub, in.Op == tile.Pow, in.Op == tile.Round:
			t++
		case in.Class == tile.F32 && in.Op.IsBinary():
			t += 0.1
		default:
			t += 0.3
		}
	}
	return t
}

// Chunks is the number of independent parts. It follows from extents alone.
func (c *Call) Chunks() int { return c.chunks }

// SetPtr moves operand k, whose strides stay. It must not be called while the call runs.
func (c *Call) SetPtr(k int, p unsafe.Pointer) { c.ops[k].ptr = p }

// ScratchBytes is the memory that a [Scratch] needs for this call.
func (c *Call) ScratchBytes() int { return c.plan.bytes }
