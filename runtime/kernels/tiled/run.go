package tiled

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/llmc-go/llmc/ir/tile"
)

// Scratch is the memory of one worker. The zero value is ready; it grows to what the calls that use it need.
type Scratch struct {
	mem  []byte
	base unsafe.Pointer // aligned to a cache line
	regs []place
	offs []int
	vals []int
	a    args
}

// place is where a register is. ld is the distance of its lines in elements, or dense.
type place struct {
	p  unsafe.Pointer
	ld int
}

// dense is the ld of lines that follow each other.
const dense = math.MinInt

// Reserve makes room for a call, so that running it allocates nothing.
func (s *Scratch) Reserve(c *Call) {
	if need := c.plan.bytes + 64; len(s.mem) < need {
		s.mem = make([]byte, need)
		p := unsafe.Pointer(unsafe.SliceData(s.mem))
		s.base = unsafe.Add(p, (64-int(uintptr(p)&63))&63)
	}
	if n := len(c.plan.regs); cap(s.regs) < n {
		s.regs = make([]place, n)
	}
	if n := max(c.bo, c.bi); cap(s.offs) < n {
		s.offs, s.vals = make([]int, n), make([]int, n)
	}
}

// spot is a tile: the range of O and of I at one place of Q.
type spot struct {
	q, o, no, i, ni int
}

// RunChunk does part k of [Call.Chunks]. The error is an [IndexError], or says that k is not a part.
func (c *Call) RunChunk(k int, s *Scratch) error {
	if k < 0 || k >= c.chunks {
		return fmt.Errorf("chunk %d of %d", k, c.chunks)
	}
	from := k * c.perChunk
	to := min(from+c.perChunk, c.tiles)
	s.Reserve(c)
	if c.copy.mode != copyNone {
		return c.runCopy(from, to, s)
	}
	s.regs = s.regs[:len(c.plan.regs)]
	for i := range s.regs {
		g := &c.plan.regs[i]
		s.regs[i] = place{unsafe.Add(s.base, g.off), dense}
	}
	var err error
	if err = c.run(c.plan.hoist, s, &spot{no: 1, ni: 1}); err != nil {
		return err
	}
	switch c.red {
	case 0:
		err = c.runMap(from, to, s)
	case bitI:
		err = c.runRows(from, to, s)
	default:
		err = c.runColumns(from, to, s)
	}
	s.a = args{} // keeps nothing alive
	clear(s.regs)
	return err
}

func (c *Call) runMap(from, to int, s *Scratch) error {
	cols := (c.ni + c.bi - 1) / c.bi
	for t := from; t < to; t++ {
		var p spot
		if cols == 1 {
			p.o = t * c.bo
			p.ni = c.ni
		} else {
			p.o = t / cols * c.bo
			p.i = t % cols * c.bi
			p.ni = min(c.bi, c.ni-p.i)
		}
		p.no = min(c.bo, c.no-p.o)
		for k := range c.plan.phases {
			if err := c.run(c.plan.phases[k].body, s, &p); err != nil {
				return err
			}
		}
	}
	return nil
}

// runRows does tiles of whole rows: I is the Red dimension.
func (c *Call) runRows(from, to int, s *Scratch) error {
	for t := from; t < to; t++ {
		p := spot{o: t * c.bo}
		p.no = min(c.bo, c.no-p.o)
		for k := range c.plan.phases {
			l := &c.plan.phases[k]
			p.i, p.ni = 0, 0
			if err := c.run(l.pre, s, &p); err != nil {
				return err
			}
			for ; p.i < c.ni && l.body.to > l.body.from; p.i += c.bi {
				p.ni = min(c.bi, c.ni-p.i)
				for _, r := range c.plan.rows {
					g := &c.plan.regs[r]
					s.regs[r] = place{unsafe.Add(s.base, g.off+p.i*int(g.esize)), c.ni}
				}
				if err := c.run(l.body, s, &p); err != nil {
					return err
				}
			}
			p.i = 0
			if err := c.run(l.fin, s, &p); err != nil {
				return err
			}
		}
		if err := c.run(c.plan.post, s, &p); err != nil {
			return err
		}
	}
	return nil
}

// runColumns does tiles of some columns of all rows at one place of Q: O is the Red dimension.
func (c *Call) runColumns(from, to int, s *Scratch) error {
	cols := (c.ni + c.bi - 1) / c.bi
	for t := from; t < to; t++ {
		p := spot{q: t / cols, i: t % cols * c.bi}
		p.ni = min(c.bi, c.ni-p.i)
		for k := range c.plan.phases {
			l := &c.plan.phases[k]
			p.o, p.no = 0, 0
			if err := c.run(l.pre, s, &p); err != nil {
				return err
			}
			for ; p.o < c.no && l.body.to > l.body.from; p.o += c.bo {
				p.no = min(c.bo, c.no-p.o)
				for _, r := range c.plan.rows {
					g := &c.plan.regs[r]
					s.regs[r] = place{unsafe.Add(s.base, g.off+p.o*p.ni*int(g.esize)), p.ni}
				}
				if err := c.run(l.body, s, &p); err != nil {
					return err
				}
			}
			p.o = 0
			if err := c.run(l.fin, s, &p); err != nil {
				return err
			}
		}
		if err := c.run(c.plan.post, s, &p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Call) run(list span, s *Scratch, p *spot) error {
	steps := c.plan.steps[list.from:list.to]
	for i := range steps {
		st := &steps[i]
		switch st.kind {
		case stepCompute:
			s.compute(st, p)
		case stepAlias:
			if err := c.alias(st, s, p); err != nil {
				return err
			}
		case stepLoad:
			if err := c.move(st, s, p, false); err != nil {
				return err
			}
		case stepStore:
			if err := c.move(st, s, p, true); err != nil {
				return err
			}
		case stepReduce:
			c.reduce(st, s, p)
		case stepInit:
			c.initial(st, s, p)
		case stepFinal:
			c.final(st, s, p)
		case stepExpand:
			s.expand(st, p)
		case stepIndex:
			c.index(st, s, p)
		case stepImm:
			c.constant(st, s)
		}
	}
	return nil
}

func (c *Call) alias(st *step, s *Scratch, p *spot) error {
	o := &c.ops[st.arg]
	off := o.base(p.q, p.o, p.i)
	if o.via != nil {
		x, err := c.through(int(st.arg), p.q, p.o, p.i)
		if err != nil {
			return err
		}
		off += x
	}
	s.regs[st.dst] = place{unsafe.Add(o.ptr, off*o.size), o.w[dimO].stride()}
	return nil
}

func (c *Call) constant(st *step, s *Scratch) {
	p := s.regs[st.dst].p
	in := st.in
	switch {
	case in.Op == tile.Dim:
		*(*int64)(p) = c.dims[in.Arg]
	case in.Class == tile.F32:
		*(*float32)(p) = float32(in.F)
	case in.Class == tile.F64:
		*(*float64)(p) = in.F
	case in.Class == tile.I64:
		*(*int64)(p) = in.I
	default:
		*(*uint8)(p) = truth(in.I != 0)
	}
}

// lines is the shape of a register of some mask within a tile.
func lines(mask uint8, p *spot) (lines, n int) {
	switch mask & bitOI {
	case 0:
		return 1, 1
	case bitO:
		return 1, p.no
	case bitI:
		return 1, p.ni
	}
	return p.no, p.ni
}

func (g place) line(n int) int {
	if g.ld == dense {
		return n
	}
	return g.ld
}

// compute runs one instruction on a tile: in one go where every operand is as long as the result or one element, else line by line.
func (s *Scratch) compute(st *step, p *spot) {
	m, n := lines(st.mask, p)
	ra, rb, rc, rd := s.regs[st.a], s.regs[st.b], s.regs[st.c], s.regs[st.dst]
	a := &s.a
	a.dst, a.a, a.b, a.c, a.n = rd.p, ra.p, rb.p, rc.p, n
	if m > 1 {
		la, lb, lc, ld := ra.line(n), rb.line(n), rc.line(n), rd.line(n)
		if !st.flat || ld != n || st.ma != 0 && la != n || st.mb != 0 && lb != n || st.mc != 0 && lc != n {
			csize := int(st.asize)
			if st.in.Op == tile.Select {
				csize = 1
			}
			da, db, dc := advance(st.ma, la)*int(st.asize), advance(st.mb, lb)*int(st.asize), advance(st.mc, lc)*csize
			for l := range m {
				if l > 0 {
					a.dst = unsafe.Add(a.dst, ld*int(st.size))
					a.a = unsafe.Add(a.a, da)
					a.b = unsafe.Add(a.b, db)
					a.c = unsafe.Add(a.c, dc)
				}
				if st.fn != nil {
					st.fn(a)
				} else {
					portable(st, a)
				}
			}
			return
		}
		a.n = m * n
	}
	if st.fn != nil {
		st.fn(a)
	} else {
		portable(st, a)
	}
}

// advance is the distance in elements from one line's operand to the next's.
func advance(mask uint8, ld int) int {
	switch mask {
	case bitOI:
		return ld
	case bitO:
		return 1
	}
	return 0
}
