package tiled

import (
	"fmt"
	"math"
	"slices"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

// vec is a register of float32 lanes.
type vec = reg.VecVirtual

// emitter writes the same arithmetic for both tiers. Its methods return fresh registers; subtraction and the like have their operands in the
// usual order, not the assembler's.
type emitter struct {
	*gen.Asm
	lanes  int
	consts map[uint32]Mem
	used   []uint32       // constants in the order of their first use by the function
	pinned map[uint32]vec // constants that stay in registers during the function
}

func (e *emitter) wide() bool { return e.lanes == 16 }

func (e *emitter) vec() vec {
	if e.wide() {
		return e.ZMM()
	}
	return e.YMM()
}

// bits is a constant in every lane: a register if it is pinned, else memory.
func (e *emitter) bits(v uint32) Op {
	if r, ok := e.pinned[v]; ok {
		return r
	}
	if !slices.Contains(e.used, v) {
		e.used = append(e.used, v)
	}
	return e.constant(v)
}

func (e *emitter) constant(v uint32) Mem {
	if m, ok := e.consts[v]; ok {
		return m
	}
	m := e.StaticGlobal(fmt.Sprintf("c%08x", v))
	e.DataAttributes(attr.RODATA | attr.NOPTR)
	for range e.lanes {
		e.AppendDatum(U32(v))
	}
	e.consts[v] = m
	return m
}

func (e *emitter) c(v float64) Op { return e.bits(math.Float32bits(float32(v))) }

func (e *emitter) load(m Op) vec {
	d := e.vec()
	e.VMOVUPS(m, d)
	return d
}

func (e *emitter) copyOf(x vec) vec {
	d := e.vec()
	e.VMOVAPS(x, d)
	return d
}

// op2 is d = x op y, where y may be memory.
func (e *emitter) op2(f func(...Op), x vec, y Op) vec {
	d := e.vec()
	f(y, x, d)
	return d
}

func (e *emitter) add(x vec, y Op) vec { return e.op2(e.VADDPS, x, y) }
func (e *emitter) sub(x vec, y Op) vec { return e.op2(e.VSUBPS, x, y) }
func (e *emitter) mul(x vec, y Op) vec { return e.op2(e.VMULPS, x, y) }
func (e *emitter) div(x vec, y Op) vec { return e.op2(e.VDIVPS, x, y) }

// minOf and maxOf give y where either is NaN.
func (e *emitter) minOf(x vec, y Op) vec { return e.op2(e.VMINPS, x, y) }
func (e *emitter) maxOf(x vec, y Op) vec { return e.op2(e.VMAXPS, x, y) }

// Bitwise operations; those of floats need DQ for ZMM, those of integers the foundation only.
func (e *emitter) and(x vec, y Op) vec {
	if e.wide() {
		return e.op2(e.VPANDD, x, y)
	}
	return e.op2(func(o ...Op) { e.VPAND(o[0], o[1], o[2]) }, x, y)
}

func (e *emitter) or(x vec, y Op) vec {
	if e.wide() {
		return e.op2(e.VPORD, x, y)
	}
	return e.op2(func(o ...Op) { e.VPOR(o[0], o[1], o[2]) }, x, y)
}

func (e *emitter) xor(x vec, y Op) vec {
	if e.wide() {
		return e.op2(e.VPXORD, x, y)
	}
	return e.op2(func(o ...Op) { e.VPXOR(o[0], o[1], o[2]) }, x, y)
}

func (e *emitter) abs(x vec) vec { return e.and(x, e.bits(0x7fffffff)) }

// horner evaluates a polynomial in x, coefficients from the constant up.
func (e *emitter) horner(x vec, coef ...float64) vec {
	n := len(coef) - 1
	d := e.load(e.c(coef[n]))
	for i := n - 1; i >= 0; i-- {
		e.VFMADD213PS(e.c(coef[i]), x, d)
	}
	return d
}

// Rounding modes of VROUNDPS and VRNDSCALEPS, without exceptions.
const (
	toNearest = 8
	toFloor   = 9
	toCeil    = 10
)

func (e *emitter) rounded(x vec, mode uint8) vec {
	d := e.vec()
	if e.wide() {
		e.VRNDSCALEPS(U8(mode), x, d)
	} else {
		e.VROUNDPS(U8(mode), x, d)
	}
	return d
}

// Predicates of VCMPPS, quiet.
const (
	cmpEQ    = 0x00
	cmpLT    = 0x11
	cmpLE    = 0x12
	cmpUnord = 0x03
	cmpNE    = 0x04
	cmpGE    = 0x1d
	cmpGT    = 0x1e
)

// compare gives a mask register on AVX-512, a vector of all ones or zeros on AVX2.
func (e *emitter) compare(pred uint8, x vec, y Op) Op {
	if e.wide() {
		k := e.K()
		e.VCMPPS(U8(pred), y, x, k)
		return k
	}
	d := e.vec()
	e.VCMPPS(U8(pred), y, x, d)
	return d
}

// blend is x where the mask is set, else y.
func (e *emitter) blend(mask Op, x Op, y vec) vec {
	d := e.vec()
	if e.wide() {
		e.VBLENDMPS(x, y, mask, d)
	} else {
		e.VBLENDVPS(mask, x, y, d)
	}
	return d
}

// tailMask has the first n lanes set, n in a general register; on AVX-512 for memory of bytes too.
func (e *emitter) tailMask(n reg.GPVirtual) Op {
	x := e.XMM()
	e.VMOVD(n.As32(), x)
	v := e.vec()
	e.VPBROADCASTD(x, v)
	if e.wide() {
		k := e.K()
		e.VPCMPGTD(e.Lanes(0), v, k)
		return k
	}
	d := e.vec()
	e.VPCMPGTD(e.Lanes(0), v, d)
	return d
}

// fetch loads a vector, or the lanes of mask with zeros elsewhere; store is its inverse.
func (e *emitter) fetch(m Mem, mask Op) vec {
	d := e.vec()
	switch {
	case mask == nil:
		e.VMOVUPS(m, d)
	case e.wide():
		e.VMOVUPS_Z(m, mask, d)
	default:
		e.VMASKMOVPS(m, mask, d)
	}
	return d
}

func (e *emitter) store(x vec, m Mem, mask Op) {
	switch {
	case mask == nil:
		e.VMOVUPS(x, m)
	case e.wide():
		e.VMOVUPS(x, mask, m)
	default:
		e.VMASKMOVPS(x, mask, m)
	}
}

// pin loads the constants that body uses into registers: sixteen operands from memory a step would take longer than the arithmetic. body
// is written once to a file that is thrown away.
func (e *emitter) pin(body func(e *emitter)) {
	const most = 18 // of 32 registers
	e.pinned = map[uint32]vec{}
	if !e.wide() {
		return
	}
	dry := &emitter{Asm: gen.NewAsm(dir, "dry", record), lanes: e.lanes, consts: map[uint32]Mem{}}
	dry.Func("dry", "is thrown away.")
	body(dry)
	for i, v := range dry.used {
		if i == most {
			break
		}
		d := e.vec()
		e.VMOVUPS(e.constant(v), d)
		e.pinned[v] = d
	}
}
