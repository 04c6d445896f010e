package tiled

import (
	"unsafe"

	"golang.org/x/exp/constraints"

	"github.com/llmc-go/llmc/ir/dtype"
)

// move copies a tile of an operand to a register, or back, converting elements.
func (c *Call) move(st *step, s *Scratch, p *spot, store bool) error {
	o := &c.ops[st.arg]
	m, n := lines(st.mask, p)
	reg := s.regs[st.dst]
	if store {
		reg = s.regs[st.a]
	}
	inner, outer, start, bit := &o.w[dimI], &o.w[dimO], p.i, bitI
	if st.mask == bitO {
		inner, outer, start, bit = outer, inner, p.o, bitO // the register is a column: its line runs along O
	}
	ld := reg.line(n)
	if o.via == nil && inner.linear() && (m == 1 || outer.linear() && ld == n && outer.stride() == n*inner.stride()) {
		off := o.base(p.q, p.o, p.i)
		convert(o.elem, reg.p, unsafe.Add(o.ptr, off*o.size), m*n, inner.stride(), nil, store)
		return nil
	}
	var offs []int
	stride, base := inner.stride(), o.w[dimQ].at(p.q)
	perElement := o.vmsk&bit != 0
	if perElement || !inner.linear() {
		offs = s.offs[:n]
		inner.offsets(offs, start)
	} else {
		base += inner.at(start)
	}
	for l := range m {
		off := base
		if st.mask == bitOI {
			off += outer.at(p.o + l)
		}
		line := offs
		if perElement {
			line = s.vals[:n]
			for j := range line {
				oo, i := p.o+l, p.i+j
				if bit == bitO {
					oo, i = p.o+j, p.i
				}
				x, err := c.through(int(st.arg), p.q, oo, i)
				if err != nil {
					return err
				}
				line[j] = offs[j] + x
			}
		} else if o.via != nil {
			x, err := c.through(int(st.arg), p.q, p.o+l, p.i)
			if err != nil {
				return err
			}
			off += x
		}
		convert(o.elem, unsafe.Add(reg.p, l*ld*regSize(o.elem)), unsafe.Add(o.ptr, off*o.size), n, stride, line, store)
	}
	return nil
}

// regSize is the size of an element of type t in a register.
func regSize(t dtype.Type) int {
	switch {
	case t == dtype.Bool:
		return 1
	case t.IsFloat() && t != dtype.F64:
		return 4
	}
	return 8
}

// convert copies n elements of type t between a dense register and memory, where they are stride apart, or at offs if that is not nil.
func convert(t dtype.Type, reg, mem unsafe.Pointer, n, stride int, offs []int, store bool) {
	if store {
		storeLine(t, reg, mem, n, stride, offs)
	} else {
		loadLine(t, reg, mem, n, stride, offs)
	}
}

func loadLine(t dtype.Type, reg, mem unsafe.Pointer, n, stride int, offs []int) {
	switch t {
	case dtype.F32:
		gather[uint32](reg, mem, n, stride, offs)
	case dtype.F64, dtype.I64, dtype.U64:
		gather[uint64](reg, mem, n, stride, offs)
	case dtype.Bool:
		gather[uint8](reg, mem, n, stride, offs)
	case dtype.I8:
		widen[int8](reg, mem, n, stride, offs)
	case dtype.I16:
		widen[int16](reg, mem, n, stride, offs)
	case dtype.I32:
		widen[int32](reg, mem, n, stride, offs)
	case dtype.U8:
		widen[uint8](reg, mem, n, stride, offs)
	case dtype.U16:
		widen[uint16](reg, mem, n, stride, offs)
	case dtype.U32:
		widen[uint32](reg, mem, n, stride, offs)
	case dtype.F16:
		decode(reg, mem, n, stride, offs, dtype.F16ToF32)
	case dtype.BF16:
		decode(reg, mem, n, stride, offs, dtype.BF16ToF32)
	default: // 8-bit floats
		decode(reg, mem, n, stride, offs, func(b uint8) float32 { return float32(dtype.DecodeFloat(t, uint64(b))) })
	}
}

func storeLine(t dtype.Type, reg, mem unsafe.Pointer, n, stride int, offs []int) {
	switch t {
	case dtype.F32:
		scatter[uint32](reg, mem, n, stride, offs)
	case dtype.F64, dtype.I64, dtype.U64:
		scatter[uint64](reg, mem, n, stride, offs)
	case dtype.Bool:
		scatter[uint8](reg, mem, n, stride, offs)
	case dtype.I8, dtype.U8:
		narrow[uint8](reg, mem, n, stride, offs)
	case dtype.I16, dtype.U16:
		narrow[uint16](reg, mem, n, stride, offs)
	case dtype.I32, dtype.U32:
		narrow[uint32](reg, mem, n, stride, offs)
	case dtype.F16:
		encode(reg, mem, n, stride, offs, dtype.F32ToF16)
	case dtype.BF16:
		encode(reg, mem, n, stride, offs, dtype.F32ToBF16)
	default:
		encode(reg, mem, n, stride, offs, func(f float32) uint8 { return uint8(dtype.EncodeFloat(t, float64(f), false)) })
	}
}

// loadInt reads one integer.
func loadInt(t dtype.Type, mem unsafe.Pointer, off int) int64 {
	switch t {
	case dtype.I64, dtype.U64:
		return *(*int64)(unsafe.Add(mem, off*8))
	case dtype.I32:
		return int64(*(*int32)(unsafe.Add(mem, off*4)))
	}
	var v int64
	loadLine(t, unsafe.Pointer(&v), unsafe.Add(mem, off*t.Bits()/8), 1, 0, nil)
	return v
}

func elem[T any](p unsafe.Pointer, i int) *T {
	var t T
	return (*T)(unsafe.Add(p, i*int(unsafe.Sizeof(t))))
}

func gather[T constraints.Unsigned](reg, mem unsafe.Pointer, n, stride int, offs []int) {
	d := unsafe.Slice((*T)(reg), n)
	switch {
	case offs != nil:
		for j, o := range offs[:n] {
			d[j] = *elem[T](mem, o)
		}
	case stride == 1:
		copy(d, unsafe.Slice((*T)(mem), n))
	case stride == 0:
		v := *(*T)(mem)
		for j := range d {
			d[j] = v
		}
	default:
		at := 0
		for j := range d {
			d[j] = *elem[T](mem, at)
			at += stride
		}
	}
}

func scatter[T constraints.Unsigned](reg, mem unsafe.Pointer, n, stride int, offs []int) {
	x := unsafe.Slice((*T)(reg), n)
	switch {
	case offs != nil:
		for j, o := range offs[:n] {
			*elem[T](mem, o) = x[j]
		}
	case stride == 1:
		copy(unsafe.Slice((*T)(mem), n), x)
	default:
		at := 0
		for _, v := range x {
			*elem[T](mem, at) = v
			at += stride
		}
	}
}

func widen[T constraints.Integer](reg, mem unsafe.Pointer, n, stride int, offs []int) {
	d := unsafe.Slice((*int64)(reg), n)
	if offs != nil {
		for j, o := range offs[:n] {
			d[j] = int64(*elem[T](mem, o))
		}
		return
	}
	at := 0
	for j := range d {
		d[j] = int64(*elem[T](mem, at))
		at += stride
	}
}

func narrow[T constraints.Integer](reg, mem unsafe.Pointer, n, stride int, offs []int) {
	x := unsafe.Slice((*int64)(reg), n)
	if offs != nil {
		for j, o := range offs[:n] {
			*elem[T](mem, o) = T(x[j])
		}
		return
	}
	at := 0
	for _, v := range x {
		*elem[T](mem, at) = T(v)
		at += stride
	}
}

func decode[T constraints.Unsigned](reg, mem unsafe.Pointer, n, stride int, offs []int, f func(T) float32) {
	d := unsafe.Slice((*float32)(reg), n)
	if offs != nil {
		for j, o := range offs[:n] {
			d[j] = f(*elem[T](mem, o))
		}
		return
	}
	at := 0
	for j := range d {
		d[j] = f(*elem[T](mem, at))
		at += stride
	}
}

func encode[T constraints.Unsigned](reg, mem unsafe.Pointer, n, stride int, offs []int, f func(float32) T) {
	x := unsafe.Slice((*float32)(reg), n)
	if offs != nil {
		for j, o := range offs[:n] {
			*elem[T](mem, o) = f(x[j])
		}
		return
	}
	at := 0
	for _, v := range x {
		*elem[T](mem, at) = f(v)
		at += stride
	}
}

// index writes the positions along an axis.
func (c *Call) index(st *step, s *Scratch, p *spot) {
	o := &c.ops[st.arg]
	m, n := lines(st.mask, p)
	d := unsafe.Slice((*int64)(s.regs[st.dst].p), m*n)
	inner, start := &o.w[dimI], p.i
	if st.mask == bitO {
		inner, start = &o.w[dimO], p.o
	}
	offs := s.offs[:max(n, 1)]
	inner.offsets(offs, start)
	base := o.w[dimQ].at(p.q)
	for l := range m {
		off := base
		if st.mask == bitOI {
			off += o.w[dimO].at(p.o + l)
		}
		for j := range n {
			d[l*n+j] = int64(off + offs[j])
		}
	}
}

// expand repeats a register along the dimensions it lacks.
func (s *Scratch) expand(st *step, p *spot) {
	switch st.size {
	case 1:
		repeat[uint8](s, st, p)
	case 4:
		repeat[uint32](s, st, p)
	default:
		repeat[uint64](s, st, p)
	}
}

func repeat[T constraints.Unsigned](s *Scratch, st *step, p *spot) {
	m, n := lines(st.mask, p)
	r := s.regs[st.a]
	d := unsafe.Slice((*T)(s.regs[st.dst].p), m*n)
	for l := range m {
		line := d[l*n : l*n+n]
		switch {
		case st.ma == st.mask:
			copy(line, unsafe.Slice(elem[T](r.p, l*r.line(n)), n))
		case st.ma == bitI:
			copy(line, unsafe.Slice((*T)(r.p), n))
		case st.ma == bitO:
			v := *elem[T](r.p, l)
			for j := range line {
				line[j] = v
			}
		default:
			v := *(*T)(r.p)
			for j := range line {
				line[j] = v
			}
		}
	}
}
