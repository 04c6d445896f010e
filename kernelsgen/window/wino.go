package window

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

// winoLoop writes Winograd's transforms of tiles of m x m outputs and (m+2) x (m+2) inputs, one vector of channels at a time: along
// the rows into temporary memory, then along the columns. runtime/kernels/window/lastref.go has the formulas.
type winoLoop struct {
	family
	a *gen.Asm
	m int
}

// The interpolation points of F(4, 3) beside 0 and infinity are p, -p, q, -q.
const (
	p, q   = 11. / 16, 3. / 2
	p2, q2 = p * p, q * q
)

func (l *winoLoop) side() int { return l.m + 2 }

func (l *winoLoop) add(x, y reg.VecVirtual) reg.VecVirtual {
	v := l.vec(l.a)
	l.a.VADDPS(y, x, v)
	return v
}

func (l *winoLoop) sub(x, y reg.VecVirtual) reg.VecVirtual {
	v := l.vec(l.a)
	l.a.VSUBPS(y, x, v)
	return v
}

// times returns c*x.
func (l *winoLoop) times(c float32, x reg.VecVirtual) reg.VecVirtual {
	v := l.vec(l.a)
	l.a.VMULPS(l.a.Float(c), x, v)
	return v
}

// plus returns x + c*y and changes x.
func (l *winoLoop) plus(x reg.VecVirtual, c float32, y reg.VecVirtual) reg.VecVirtual {
	l.a.VFMADD231PS(l.a.Float(c), y, x)
	return x
}

// minus returns x - c*y and changes x.
func (l *winoLoop) minus(x reg.VecVirtual, c float32, y reg.VecVirtual) reg.VecVirtual {
	l.a.VFNMADD231PS(l.a.Float(c), y, x)
	return x
}

func (l *winoLoop) copy(x reg.VecVirtual) reg.VecVirtual {
	v := l.vec(l.a)
	l.a.VMOVAPS(x, v)
	return v
}

// input is Bt d.
func (l *winoLoop) input(d []reg.VecVirtual) []reg.VecVirtual {
	if l.m == 2 {
		return []reg.VecVirtual{l.sub(d[0], d[2]), l.add(d[1], d[2]), l.sub(d[2], d[1]), l.sub(d[1], d[3])}
	}
	a, b := l.minus(l.copy(d[4]), q2, d[2]), l.minus(l.copy(d[3]), q2, d[1])
	c, e := l.minus(l.copy(d[4]), p2, d[2]), l.minus(l.copy(d[3]), p2, d[1])
	first := l.plus(l.minus(d[4], p2+q2, d[2]), p2*q2, d[0])
	last := l.plus(l.minus(d[5], p2+q2, d[3]), p2*q2, d[1])
	a2, c2 := l.copy(a), l.copy(c)
	return []reg.VecVirtual{first, l.plus(a, p, b), l.minus(a2, p, b), l.plus(c, q, e), l.minus(c2, q, e), last}
}

// output is At d.
func (l *winoLoop) output(d []reg.VecVirtual) []reg.VecVirtual {
	if l.m == 2 {
		return []reg.VecVirtual{l.add(d[0], l.add(d[1], d[2])), l.sub(l.sub(d[1], d[2]), d[3])}
	}
	a, b := l.add(d[1], d[2]), l.sub(d[1], d[2])
	c, e := l.add(d[3], d[4]), l.sub(d[3], d[4])
	return []reg.VecVirtual{l.add(d[0], l.add(a, c)), l.plus(l.times(p, b), q, e), l.plus(l.times(p2, a), q2, c),
		l.plus(l.plus(d[5], p2*p, b), q2*q, e)}
}

// column loads the values of the temporary memory's column j; rows have stride values.
func (l *winoLoop) column(tmp reg.GPVirtual, j, stride int) []reg.VecVirtual {
	d := make([]reg.VecVirtual, l.side())
	for i := range d {
		d[i] = l.vec(l.a)
		l.a.VMOVUPS(Mem{Base: tmp, Disp: (i*stride + j) * l.bytes()}, d[i])
	}
	return d
}

func (l *winoLoop) keep(tmp reg.GPVirtual, at int, values []reg.VecVirtual) {
	for j, v := range values {
		l.a.VMOVUPS(v, Mem{Base: tmp, Disp: (at + j) * l.bytes()})
	}
}

func (f family) tileIn(a *gen.Asm, m int) {
	l := &winoLoop{family: f, a: a, m: m}
	a.Func(f.name(fmt.Sprintf("tilein%d", m)), fmt.Sprintf("transforms an input tile of F(%dx%d, 3x3).", m, m))
	src, offs, dst, dpos, tmp := a.LoadInt("src"), a.LoadInt("offs"), a.LoadInt("dst"), a.LoadInt("dpos"), a.LoadInt("tmp")
	rowPos := a.GP64() // from a row of positions to the next
	a.IMUL3Q(Imm(uint64(l.side())), dpos, rowPos)
	ch, base, to := a.GP64(), a.GP64(), a.GP64()
	f.channels(a, "n", "", ch, func(v access) {
		a.LEAQ(Mem{Base: src, Index: ch, Scale: 1}, base)
		for i := range l.side() {
			d := make([]reg.VecVirtual, l.side())
			for j := range d {
				off := a.GP64()
				a.MOVQ(Mem{Base: offs, Disp: (i*l.side() + j) * 8}, off)
				d[j] = f.vec(a)
				v.load(Mem{Base: base, Index: off, Scale: 1}, d[j])
			}
			l.keep(tmp, i*l.side(), l.input(d))
		}
		a.LEAQ(Mem{Base: dst, Index: ch, Scale: 1}, base)
		for j := range l.side() {
			a.MOVQ(base, to)
			for _, e := range l.input(l.column(tmp, j, l.side())) {
				v.store(e, Mem{Base: to})
				a.ADDQ(rowPos, to)
			}
			a.ADDQ(dpos, base)
		}
	})
	a.End()
}

func (f family) tileOut(a *gen.Asm, m int) {
	l := &winoLoop{family: f, a: a, m: m}
	a.Func(f.name(fmt.Sprintf("tileout%d", m)), fmt.Sprintf("transforms products into an output tile of F(%dx%d, 3x3).", m, m))
	src, spos, dst, offs, tmp := a.LoadInt("src"), a.LoadInt("spos"), a.LoadInt("dst"), a.LoadInt("offs"), a.LoadInt("tmp")
	ch, at, base := a.GP64(), a.GP64(), a.GP64()
	f.channels(a, "n", "", ch, func(v access) {
		a.LEAQ(Mem{Base: src, Index: ch, Scale: 1}, at)
		for i := range l.side() {
			d := make([]reg.VecVirtual, l.side())
			for j := range d {
				d[j] = f.vec(a)
				v.load(Mem{Base: at}, d[j])
				a.ADDQ(spos, at)
			}
			l.keep(tmp, i*m, l.output(d))
		}
		for j := range m {
			out := l.output(l.column(tmp, j, m))
			label := fmt.Sprintf("%s%d_", v.label, j)
			a.MOVQ(a.Arg("bias"), at)
			a.TESTQ(at, at)
			a.JZ(LabelRef(label + "add"))
			x := f.vec(a)
			v.load(Mem{Base: at, Index: ch, Scale: 1}, x)
			for _, e := range out {
				a.VADDPS(x, e, e)
			}
			a.Label(label + "add")
			a.MOVQ(a.Arg("add"), base)
			a.TESTQ(base, base)
			a.JZ(LabelRef(label + "clamp"))
			a.ADDQ(ch, base)
			table := a.LoadInt("aoffs")
			for i, e := range out {
				a.MOVQ(Mem{Base: table, Disp: (i*m + j) * 8}, at)
				x := f.vec(a)
				v.load(Mem{Base: base, Index: at, Scale: 1}, x)
				a.VADDPS(x, e, e)
			}
			a.Label(label + "clamp")
			f.clamp(a, out, label+"store")
			a.LEAQ(Mem{Base: dst, Index: ch, Scale: 1}, base)
			for i, e := range out {
				a.MOVQ(Mem{Base: offs, Disp: (i*m + j) * 8}, at)
				v.store(e, Mem{Base: base, Index: at, Scale: 1})
			}
		}
	})
	a.End()
}
