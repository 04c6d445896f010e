package tiled

import "unsafe"

type copyMode uint8

const (
	copyNone  copyMode = iota // not a copy
	copyLines                 // line by line along I
	copyBlock                 // square blocks: I is adjacent in the result, O in the operand
)

// copyPlan is how a pure copy runs. The order of axes is free, so the result's innermost one becomes I.
type copyPlan struct {
	mode     copyMode
	dim      [maxAxes]uint8
	src, dst int
}

// blockLen is the side of a block that is transposed at a time: its lines of the operand and of the result both stay in L1.
const blockLen = 32

// bindCopy plans a pure copy; it declines where integers vary along I.
func (c *Call) bindCopy() bool {
	p := c.prog
	src, dst := int(p.code[0].Arg), int(p.code[1].Arg)
	if c.ops[dst].via != nil {
		return false
	}
	c.sortAxes(dst)
	n := len(c.axes)
	cp := &c.copy
	cp.src, cp.dst, cp.mode = src, dst, copyLines
	inner, across := n-1, -1
	stride := func(k, i int) int { return c.str[k*maxAxes+i] }
	if n > 0 && stride(src, inner) != 0 && stride(src, inner) != 1 && stride(dst, inner) == 1 && c.ops[src].via == nil {
		for i := range n - 1 {
			if stride(src, i) == 1 && c.axes[i].n >= 4 {
				across = i
			}
		}
	}
	for i := range c.axes {
		switch {
		case i == inner:
			cp.dim[i] = dimI
		case across >= 0 && i != across:
			cp.dim[i] = dimQ
		default:
			cp.dim[i] = dimO
		}
	}
	c.red = 0
	c.walks()
	if c.ops[src].vmsk&bitI != 0 {
		cp.mode = copyNone
		return false
	}
	if c.checkResults() != nil {
		return false // the general way says what is wrong
	}
	if across >= 0 {
		cp.mode = copyBlock
		c.bo, c.bi = min(blockLen, c.no), min(blockLen, c.ni)
	} else {
		c.bi = evenly(c.ni, 1<<14, 64)
		c.bo = min(max((1<<12)/c.bi, 1), c.no)
	}
	c.tiles = c.nq * ((c.no + c.bo - 1) / c.bo) * ((c.ni + c.bi - 1) / c.bi)
	perElem := 0.05 * float64(c.ops[src].size)
	if cp.mode == copyBlock || c.ops[src].w[dimI].stride() > 1 {
		perElem = 0.7
	}
	cost := 20 + float64(c.bo)*(5+float64(c.bi)*perElem)
	c.perChunk = int(min(max(chunkNanos/cost, 1), float64(c.tiles)))
	c.chunks = (c.tiles + c.perChunk - 1) / c.perChunk
	c.plan.bytes = 0
	c.plan.regs = c.plan.regs[:0]
	return true
}

// sortAxes orders the axes by the result's strides, largest first, and coalesces again.
func (c *Call) sortAxes(dst int) {
	abs := func(i int) int {
		s := c.str[dst*maxAxes+i]
		return max(s, -s)
	}
	for i := 1; i < len(c.axes); i++ {
		for j := i; j > 0 && abs(j) > abs(j-1); j-- {
			c.axes[j], c.axes[j-1] = c.axes[j-1], c.axes[j]
			for k := range c.ops {
				s := c.str[k*maxAxes : (k+1)*maxAxes]
				s[j], s[j-1] = s[j-1], s[j]
			}
		}
	}
	m := 0
	for i := range c.axes {
		merge := m > 0
		for k := range c.ops {
			s := c.str[k*maxAxes:]
			merge = merge && s[m-1] == s[i]*c.axes[i].n
		}
		n := c.axes[i].n
		if merge {
			m--
			n *= c.axes[m].n
		}
		c.axes[m].n = n
		for k := range c.ops {
			s := c.str[k*maxAxes:]
			s[m] = s[i]
		}
		m++
	}
	c.axes = c.axes[:m]
}

func (c *Call) runCopy(from, to int, s *Scratch) error {
	src, dst := &c.ops[c.copy.src], &c.ops[c.copy.dst]
	rows, cols := (c.no+c.bo-1)/c.bo, (c.ni+c.bi-1)/c.bi
	for t := from; t < to; t++ {
		rest := t / cols
		p := spot{q: rest / rows, o: rest % rows * c.bo, i: t % cols * c.bi}
		p.no, p.ni = min(c.bo, c.no-p.o), min(c.bi, c.ni-p.i)
		if c.copy.mode == copyBlock {
			x := unsafe.Add(src.ptr, src.base(p.q, p.o, p.i)*src.size)
			y := unsafe.Add(dst.ptr, dst.base(p.q, p.o, p.i)*dst.size)
			transpose(src.size, y, x, p.no, p.ni, dst.w[dimO].stride(), src.w[dimI].stride())
			continue
		}
		if err := c.copyTile(src, dst, &p, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *Call) copyTile(src, dst *operand, p *spot, s *Scratch) error {
	from, to := s.offs[:p.no], s.vals[:p.no]
	src.w[dimO].offsets(from, p.o)
	dst.w[dimO].offsets(to, p.o)
	sb := src.w[dimQ].at(p.q) + src.w[dimI].at(p.i)
	db := dst.w[dimQ].at(p.q) + dst.w[dimI].at(p.i)
	ss, ds, size := src.w[dimI].stride(), dst.w[dimI].stride(), src.size
	for l := range from {
		off := sb + from[l]
		if src.via != nil {
			x, err := c.through(c.copy.src, p.q, p.o+l, p.i)
			if err != nil {
				return err
			}
			off += x
		}
		x, y := unsafe.Add(src.ptr, off*size), unsafe.Add(dst.ptr, (db+to[l])*size)
		if ss == 1 && ds == 1 && p.ni*size >= 32 {
			copy(unsafe.Slice((*byte)(y), p.ni*size), unsafe.Slice((*byte)(x), p.ni*size))
			continue
		}
		switch size {
		case 1:
			copyLine[uint8](y, x, p.ni, ds, ss)
		case 2:
			copyLine[uint16](y, x, p.ni, ds, ss)
		case 4:
			copyLine[uint32](y, x, p.ni, ds, ss)
		default:
			copyLine[uint64](y, x, p.ni, ds, ss)
		}
	}
	return nil
}

func copyLine[T any](dst, src unsafe.Pointer, n, ds, ss int) {
	d, x := 0, 0
	for range n {
		*elem[T](dst, d) = *elem[T](src, x)
		d += ds
		x += ss
	}
}

func transpose(size int, dst, src unsafe.Pointer, no, ni, ld, ls int) {
	switch size {
	case 1:
		transposeBlock[uint8](dst, src, no, ni, ld, ls)
	case 2:
		transposeBlock[uint16](dst, src, no, ni, ld, ls)
	case 4:
		transposeBlock[uint32](dst, src, no, ni, ld, ls)
	default:
		transposeBlock[uint64](dst, src, no, ni, ld, ls)
	}
}

// transposeBlock is dst[o*ld + i] = src[o + i*ls], four lines of the result at a time.
func transposeBlock[T any](dst, src unsafe.Pointer, no, ni, ld, ls int) {
	o := 0
	for ; o+4 <= no; o += 4 {
		d0 := unsafe.Slice(elem[T](dst, o*ld), ni)
		d1 := unsafe.Slice(elem[T](dst, (o+1)*ld), ni)
		d2 := unsafe.Slice(elem[T](dst, (o+2)*ld), ni)
		d3 := unsafe.Slice(elem[T](dst, (o+3)*ld), ni)
		for i := range d0 {
			x := (*[4]T)(unsafe.Pointer(elem[T](src, o+i*ls)))
			d0[i], d1[i], d2[i], d3[i] = x[0], x[1], x[2], x[3]
		}
	}
	for ; o < no; o++ {
		d := unsafe.Slice(elem[T](dst, o*ld), ni)
		for i := range d {
			d[i] = *elem[T](src, o+i*ls)
		}
	}
}
