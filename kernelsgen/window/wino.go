package window

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

// winoLoop writes Winograd's transforms of tiles of m x m outputs and (m+2) x (m+2) inputs, one vector of channels at a time: along
// the rows into temporary memory, then along the columns. runtime/kernels/window/lastref.go has the formulas.
//
// With 32 registers there is no temporary memory: a group of columns of the result is computed at a time, from inputs that are loaded
// again for each group. Storing a vector and loading it back costs more.
type winoLoop struct {
	family
	a      *gen.Asm
	m      int
	consts map[float32]reg.VecVirtual // with 32 registers, what transforms multiply by
}

// broadcast loads the constants.
func (l *winoLoop) broadcast(values ...float32) {
	l.consts = map[float32]reg.VecVirtual{}
	if l.m == 2 || l.lanes != 16 {
		return
	}
	for _, c := range values {
		v := l.vec(l.a)
		l.a.VMOVUPS(l.a.Float(c), v)
		l.consts[c] = v
	}
}

func (l *winoLoop) constant(c float32) Op {
	if v, ok := l.consts[c]; ok {
		return v
	}
	return l.a.Float(c)
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
	l.a.VMULPS(l.constant(c), x, v)
	return v
}

// plus returns x + c*y and changes x.
func (l *winoLoop) plus(x reg.VecVirtual, c float32, y reg.VecVirtual) reg.VecVirtual {
	l.a.VFMADD231PS(l.constant(c), y, x)
	return x
}

// minus returns x - c*y and changes x.
func (l *winoLoop) minus(x reg.VecVirtual, c float32, y reg.VecVirtual) reg.VecVirtual {
	l.a.VFNMADD231PS(l.constant(c), y, x)
	return x
}

func (l *winoLoop) copy(x reg.VecVirtual) reg.VecVirtual {
	v := l.vec(l.a)
	l.a.VMOVAPS(x, v)
	return v
}

// groups are the results of a transform that have intermediate values in common; all of them together are the results.
func (l *winoLoop) groups(out bool) [][]int {
	switch {
	case l.m == 2 && out:
		return [][]int{{0, 1}}
	case l.m == 2:
		return [][]int{{0, 1, 2, 3}}
	case out:
		return [][]int{{0, 2}, {1, 3}}
	}
	return [][]int{{0, 1, 2}, {3, 4, 5}}
}

// group is the results of a transform in a group.
func (l *winoLoop) group(out bool, group int, d []reg.VecVirtual) []reg.VecVirtual {
	if out {
		return l.output(d, group)
	}
	return l.input(d, group)
}

// input is the results of Bt d in a group.
func (l *winoLoop) input(d []reg.VecVirtual, group int) []reg.VecVirtual {
	switch {
	case l.m == 2:
		return []reg.VecVirtual{l.sub(d[0], d[2]), l.add(d[1], d[2]), l.sub(d[2], d[1]), l.sub(d[1], d[3])}
	case group == 0:
		a, b := l.minus(l.copy(d[4]), q2, d[2]), l.minus(l.copy(d[3]), q2, d[1])
		first := l.plus(l.minus(l.copy(d[4]), p2+q2, d[2]), p2*q2, d[0])
		a2 := l.copy(a)
		return []reg.VecVirtual{first, l.plus(a, p, b), l.minus(a2, p, b)}
	}
	c, e := l.minus(d[4], p2, d[2]), l.minus(l.copy(d[3]), p2, d[1])
	last := l.plus(l.minus(d[5], p2+q2, d[3]), p2*q2, d[1])
	c2 := l.copy(c)
	return []reg.VecVirtual{l.plus(c, q, e), l.minus(c2, q, e), last}
}

// output is the results of At d in a group.
func (l *winoLoop) output(d []reg.VecVirtual, group int) []reg.VecVirtual {
	switch {
	case l.m == 2:
		return []reg.VecVirtual{l.add(d[0], l.add(d[1], d[2])), l.sub(l.sub(d[1], d[2]), d[3])}
	case group == 0:
		a, c := l.add(d[1], d[2]), l.add(d[3], d[4])
		return []reg.VecVirtual{l.add(d[0], l.add(a, c)), l.plus(l.times(p2, a), q2, c)}
	}
	b, e := l.sub(d[1], d[2]), l.sub(d[3], d[4])
	return []reg.VecVirtual{l.plus(l.times(p, b), q, e), l.plus(l.plus(d[5], p2*p, b), q2*q, e)}
}

// all is the results of a transform in their order.
func (l *winoLoop) all(out bool, d []reg.VecVirtual) []reg.VecVirtual {
	results := make([]reg.VecVirtual, l.side())
	n := 0
	for group, members := range l.groups(out) {
		for i, v := range l.group(out, group, d) {
			results[members[i]] = v
			n++
		}
	}
	return results[:n]
}

// columns transforms along the rows and hands on the columns of what results, from load, which loads an element of the input: through
// temporary memory, or group by group.
func (l *winoLoop) columns(out bool, tmp reg.GPVirtual, load func(i, j int, first bool) reg.VecVirtual, use func(j int, column []reg.VecVirtual)) {
	if l.lanes != 16 {
		width := 0
		for i := range l.side() {
			values := l.all(out, l.row(i, 0, l.side(), load))
			width = len(values)
			l.keep(tmp, i*width, values)
		}
		for j := range width {
			use(j, l.column(tmp, j, width))
		}
		return
	}
	for group, members := range l.groups(out) {
		from, to := 0, l.side()
		if l.m == 4 { // the first input belongs to the first group only, the last one to the second
			from, to = group, to-1+group
		}
		results := make([][]reg.VecVirtual, l.side())
		for i := range results {
			results[i] = l.group(out, group, l.row(i, from, to, load))
		}
		for k, j := range members {
			column := make([]reg.VecVirtual, l.side())
			for i := range column {
				column[i] = results[i][k]
			}
			use(j, column)
		}
	}
}

func (l *winoLoop) row(i, from, to int, load func(i, j int, first bool) reg.VecVirtual) []reg.VecVirtual {
	d := make([]reg.VecVirtual, l.side())
	for j := from; j < to; j++ {
		d[j] = load(i, j, j == from)
	}
	return d
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
	l.broadcast(p, p2, q, q2, p2+q2, p2*q2)
	ch, base, to := a.GP64(), a.GP64(), a.GP64()
	f.channels(a, "n", "", ch, func(v access) {
		a.ADDQ(ch, src)
		l.columns(false, tmp, func(i, j int, _ bool) reg.VecVirtual {
			off, x := a.GP64(), f.vec(a)
			a.MOVQ(Mem{Base: offs, Disp: (i*l.side() + j) * 8}, off)
			v.load(Mem{Base: src, Index: off, Scale: 1}, x)
			return x
		}, func(j int, column []reg.VecVirtual) {
			if j == 0 {
				a.LEAQ(Mem{Base: dst, Index: ch, Scale: 1}, base)
			}
			a.MOVQ(base, to)
			for _, e := range l.all(false, column) {
				v.store(e, Mem{Base: to})
				a.ADDQ(rowPos, to)
			}
			a.ADDQ(dpos, base)
		})
		a.SUBQ(ch, src)
	})
	a.End()
}

func (f family) tileOut(a *gen.Asm, m int) {
	l := &winoLoop{family: f, a: a, m: m}
	a.Func(f.name(fmt.Sprintf("tileout%d", m)), fmt.Sprintf("transforms products into an output tile of F(%dx%d, 3x3).", m, m))
	src, spos, dst, offs, tmp := a.LoadInt("src"), a.LoadInt("spos"), a.LoadInt("dst"), a.LoadInt("offs"), a.LoadInt("tmp")
	rowPos := a.GP64()
	a.IMUL3Q(Imm(uint64(l.side())), spos, rowPos)
	l.broadcast(p, p2, p2*p, q, q2, q2*q)
	ch, at, base := a.GP64(), a.GP64(), a.GP64()
	f.channels(a, "n", "", ch, func(v access) {
		l.columns(true, tmp, func(i, j int, first bool) reg.VecVirtual {
			if first && i == 0 {
				a.LEAQ(Mem{Base: src, Index: ch, Scale: 1}, base)
			}
			if first {
				a.MOVQ(base, at)
				if j == 1 {
					a.ADDQ(spos, at)
				}
				a.ADDQ(rowPos, base)
			}
			x := f.vec(a)
			v.load(Mem{Base: at}, x)
			a.ADDQ(spos, at)
			return x
		}, func(j int, column []reg.VecVirtual) {
			l.store(v, j, l.all(true, column), ch, at, base, dst, offs)
		})
	})
	a.End()
}

// store adds, bounds and stores a column of output pixels.
func (l *winoLoop) store(v access, j int, out []reg.VecVirtual, ch, at, base, dst, offs reg.GPVirtual) {
	a, m := l.a, l.m
	label := fmt.Sprintf("%s%d_", v.label, j)
	a.MOVQ(a.Arg("bias"), at)
	a.TESTQ(at, at)
	a.JZ(LabelRef(label + "add"))
	x := l.vec(a)
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
		x := l.vec(a)
		v.load(Mem{Base: base, Index: at, Scale: 1}, x)
		a.VADDPS(x, e, e)
	}
	a.Label(label + "clamp")
	l.clamp(a, out, label+"store")
	a.LEAQ(Mem{Base: dst, Index: ch, Scale: 1}, base)
	for i, e := range out {
		a.MOVQ(Mem{Base: offs, Disp: (i*m + j) * 8}, at)
		v.store(e, Mem{Base: base, Index: at, Scale: 1})
	}
}
