package window

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

// access is how a body reads and writes vectors: whole, or under the mask of the lanes that are left.
type access struct {
	label string
	load  func(Mem, reg.VecVirtual)
	store func(reg.VecVirtual, Mem)
}

func (f family) bytes() int { return f.lanes * 4 }

func (f family) whole(a *gen.Asm) access {
	return access{"whole", func(m Mem, v reg.VecVirtual) { a.VMOVUPS(m, v) }, func(v reg.VecVirtual, m Mem) { a.VMOVUPS(v, m) }}
}

// part is access to the first lanes, of which count is the number.
func (f family) part(a *gen.Asm, count reg.GPVirtual) access {
	n, lane := f.vec(a), a.XMM()
	a.VMOVD(count.As32(), lane)
	a.VPBROADCASTD(lane, n)
	if f.lanes == 16 {
		k := a.K()
		a.VPCMPGTD(a.Lanes(0), n, k)
		return access{"part", func(m Mem, v reg.VecVirtual) { a.VMOVUPS_Z(m, k, v) }, func(v reg.VecVirtual, m Mem) { a.VMOVUPS(v, k, m) }}
	}
	mask := f.vec(a)
	a.VPCMPGTD(a.Lanes(0), n, mask)
	return access{"part", func(m Mem, v reg.VecVirtual) { a.VMASKMOVPS(m, mask, v) }, func(v reg.VecVirtual, m Mem) { a.VMASKMOVPS(v, mask, m) }}
}

// channels writes a loop over the vectors of the channels, whose number is a field: ch is the offset in bytes. The body is written for
// whole vectors and for the last, shorter one.
func (f family) channels(a *gen.Asm, field, prefix string, ch reg.GPVirtual, body func(access)) {
	a.XORQ(ch, ch)
	a.Label(prefix + "vector")
	left := a.GP64()
	a.MOVQ(ch, left)
	a.SHRQ(Imm(2), left)
	a.NEGQ(left)
	a.ADDQ(a.Arg(field), left)
	a.CMPQ(left, Imm(uint64(f.lanes)))
	a.JL(LabelRef(prefix + "rest"))
	body(f.whole(a))
	a.ADDQ(U32(f.bytes()), ch)
	a.JMP(LabelRef(prefix + "vector"))
	a.Label(prefix + "rest")
	a.TESTQ(left, left)
	a.JZ(LabelRef(prefix + "done"))
	body(f.part(a, left))
	a.Label(prefix + "done")
}

// clamp bounds values if the field clamp says so; it jumps to a label of its own.
func (f family) clamp(a *gen.Asm, values []reg.VecVirtual, skip string) {
	a.CMPQ(a.Arg("clamp"), Imm(0))
	a.JE(LabelRef(skip))
	lo, hi := f.vec(a), f.vec(a)
	a.VBROADCASTSS(a.Arg("lo"), lo)
	a.VBROADCASTSS(a.Arg("hi"), hi)
	for _, v := range values { // a NaN in the second source is the result
		a.VMAXPS(v, lo, v)
		a.VMINPS(v, hi, v)
	}
	a.Label(skip)
}

// move writes the kernel that copies runs. The last vector of a run overlaps the one before it, so that only runs shorter than a
// vector need a mask.
func (f family) move(a *gen.Asm) {
	a.Func(f.name("move"), "copies runs of elements, pixel by pixel.")
	src, dst, n := a.LoadInt("src"), a.LoadInt("dst"), a.LoadInt("n")
	srun, drun, size := a.LoadInt("srun"), a.LoadInt("drun"), a.LoadInt("size")
	s, d, runs, i, last := a.GP64(), a.GP64(), a.GP64(), a.GP64(), a.GP64()
	loop := func(prefix string, body func()) {
		a.Label(prefix + "pixel")
		a.MOVQ(src, s)
		a.MOVQ(dst, d)
		a.MOVQ(a.Arg("runs"), runs)
		a.Label(prefix + "run")
		body()
		a.ADDQ(srun, s)
		a.ADDQ(drun, d)
		a.DECQ(runs)
		a.JNZ(LabelRef(prefix + "run"))
		a.ADDQ(a.Arg("sstep"), src)
		a.ADDQ(a.Arg("dstep"), dst)
		a.DECQ(n)
		a.JNZ(LabelRef(prefix + "pixel"))
		a.End()
	}
	a.CMPQ(size, Imm(uint64(f.lanes)))
	a.JL(LabelRef("short"))
	a.LEAQ(Mem{Base: size, Index: size, Scale: 1}, last)
	a.ADDQ(last, last)
	a.SUBQ(Imm(uint64(f.bytes())), last) // offset of the last vector
	loop("", func() {
		a.XORQ(i, i)
		a.JMP(LabelRef("test"))
		a.Label("vector")
		v := f.vec(a)
		a.VMOVUPS(Mem{Base: s, Index: i, Scale: 1}, v)
		a.VMOVUPS(v, Mem{Base: d, Index: i, Scale: 1})
		a.ADDQ(Imm(uint64(f.bytes())), i)
		a.Label("test")
		a.CMPQ(i, last)
		a.JL(LabelRef("vector"))
		a.VMOVUPS(Mem{Base: s, Index: last, Scale: 1}, v)
		a.VMOVUPS(v, Mem{Base: d, Index: last, Scale: 1})
	})
	a.Label("short")
	part := f.part(a, size)
	loop("short_", func() {
		v := f.vec(a)
		part.load(Mem{Base: s}, v)
		part.store(v, Mem{Base: d})
	})
}

// spotLoop is the kernel over channels: blocks of 8, 4, 2 or 1 pixels of one vector of channels, all taps in registers. Eight pixels
// hide the latency of the multiply-add and share the weights.
type spotLoop struct {
	family
	a                                               *gen.Asm
	kind                                            string
	src, sstep, sstep3, dst, add, offs, w, n, ch, p reg.GPVirtual
}

func (f family) spots(a *gen.Asm, kind string) {
	doc := "sums weighted taps, channel by channel."
	if kind == "peak" {
		doc = "takes the largest of the taps, channel by channel; NaN is never larger."
	}
	a.Func(f.name(kind), doc)
	t := &spotLoop{family: f, a: a, kind: kind, src: a.LoadInt("src"), sstep: a.LoadInt("sstep"), dst: a.LoadInt("dst"),
		add: a.LoadInt("add"), offs: a.LoadInt("offs"), w: a.LoadInt("w"), n: a.LoadInt("n"), ch: a.GP64(), p: a.GP64()}
	t.sstep3 = a.GP64()
	a.LEAQ(Mem{Base: t.sstep, Index: t.sstep, Scale: 2}, t.sstep3)
	for _, r := range []int{8, 4, 2, 1} {
		name := fmt.Sprintf("pixels%d", r)
		a.Label(name)
		a.CMPQ(t.n, U32(r))
		a.JL(LabelRef(name + "_end"))
		f.channels(a, "c", name+"_", t.ch, func(v access) { t.body(r, name+"_"+v.label, v) })
		a.LEAQ(Mem{Base: t.src, Index: t.sstep, Scale: uint8(r)}, t.src)
		step := a.LoadInt("dstep")
		a.LEAQ(Mem{Base: t.dst, Index: step, Scale: uint8(r)}, t.dst)
		a.TESTQ(t.add, t.add)
		a.JZ(LabelRef(name + "_next"))
		a.MOVQ(a.Arg("astep"), step)
		a.LEAQ(Mem{Base: t.add, Index: step, Scale: uint8(r)}, t.add)
		a.Label(name + "_next")
		a.SUBQ(Imm(uint64(r)), t.n)
		a.JMP(LabelRef(name))
		a.Label(name + "_end")
	}
	a.End()
}

// body writes one vector of r pixels.
func (t *spotLoop) body(r int, name string, v access) {
	a := t.a
	sums := make([]reg.VecVirtual, r)
	for i := range sums {
		sums[i] = t.vec(a)
	}
	p, q := t.p, a.GP64()
	if t.kind == "peak" {
		for _, s := range sums {
			a.VBROADCASTSS(a.Arg("init"), s)
		}
	} else {
		a.Zero(sums[0])
		a.MOVQ(a.Arg("bias"), p)
		a.TESTQ(p, p)
		a.JZ(LabelRef(name + "_start"))
		v.load(Mem{Base: p, Index: t.ch, Scale: 1}, sums[0])
		a.Label(name + "_start")
		for _, s := range sums[1:] {
			a.VMOVAPS(sums[0], s)
		}
	}
	tap, left := a.GP64(), a.GP64()
	a.MOVQ(a.Arg("count"), left)
	a.TESTQ(left, left)
	a.JZ(LabelRef(name + "_sums"))
	a.MOVQ(t.offs, tap)
	a.Label(name + "_tap")
	factor := t.vec(a)
	if t.kind != "peak" {
		a.MOVQ(Mem{Base: tap, Disp: 8}, q)
		a.ADDQ(t.w, q)
		v.load(Mem{Base: q, Index: t.ch, Scale: 1}, factor)
	}
	a.MOVQ(Mem{Base: tap}, p)
	a.ADDQ(t.ch, p)
	a.ADDQ(t.src, p)
	if r > 4 {
		a.LEAQ(Mem{Base: p, Index: t.sstep, Scale: 4}, q)
	}
	for i := range r {
		base := p
		if i >= 4 {
			base = q
		}
		m := [...]Mem{{Base: base}, {Base: base, Index: t.sstep, Scale: 1}, {Base: base, Index: t.sstep, Scale: 2}, {Base: base, Index: t.sstep3, Scale: 1}}[i%4]
		if t.kind != "peak" && v.label == "whole" {
			a.VFMADD231PS(m, factor, sums[i])
			continue
		}
		x := t.vec(a)
		v.load(m, x)
		if t.kind == "peak" {
			a.VMAXPS(sums[i], x, sums[i]) // with a NaN, the second source: what was there
		} else {
			a.VFMADD231PS(x, factor, sums[i])
		}
	}
	a.ADDQ(Imm(16), tap)
	a.DECQ(left)
	a.JNZ(LabelRef(name + "_tap"))
	a.Label(name + "_sums")
	t.finish(sums, name, v)
}

// finish adds, clamps and stores one vector of each pixel.
func (t *spotLoop) finish(sums []reg.VecVirtual, name string, v access) {
	a, p := t.a, t.p
	a.TESTQ(t.add, t.add)
	a.JZ(LabelRef(name + "_clamp"))
	a.LEAQ(Mem{Base: t.add, Index: t.ch, Scale: 1}, p)
	for i := range sums {
		x := t.vec(a)
		v.load(Mem{Base: p}, x)
		a.VADDPS(x, sums[i], sums[i])
		a.ADDQ(a.Arg("astep"), p)
	}
	a.Label(name + "_clamp")
	t.clamp(a, sums, name+"_store")
	a.LEAQ(Mem{Base: t.dst, Index: t.ch, Scale: 1}, p)
	step := a.LoadInt("dstep")
	for i := range sums {
		v.store(sums[i], Mem{Base: p})
		a.ADDQ(step, p)
	}
}

// triple writes the kernel for kernels of three taps in a row, three rows at most: the weights of a vector of channels stay in
// registers while it goes along the row.
func (f family) triple(a *gen.Asm) {
	a.Func(f.name("triple"), "sums three, two or one rows of three weighted taps, channel by channel.")
	rows := a.LoadInt("rows")
	a.CMPQ(rows, Imm(2))
	a.JE(LabelRef("two"))
	a.JL(LabelRef("one"))
	f.tripleRows(a, 3, "three")
	f.tripleRows(a, 2, "two")
	f.tripleRows(a, 1, "one")
}

func (f family) tripleRows(a *gen.Asm, rows int, prefix string) {
	a.Label(prefix)
	lo, hi := f.vec(a), f.vec(a)
	a.VBROADCASTSS(a.Arg("lo"), lo)
	a.VBROADCASTSS(a.Arg("hi"), hi)
	step, ch := a.LoadInt("step"), a.GP64()
	f.channels(a, "c", prefix+"_", ch, func(v access) {
		label := prefix + "_" + v.label + "_"
		t := &tripleLoop{family: f, a: a, v: v, lo: lo, hi: hi, step: step, add: a.LoadInt("add"), dst: a.LoadInt("dst"), label: label}
		w := a.LoadInt("w")
		a.ADDQ(ch, w)
		for range 3 * rows {
			x := f.vec(a)
			v.load(Mem{Base: w}, x)
			t.w = append(t.w, x)
			a.ADDQ(a.Arg("wstep"), w)
		}
		for r := range rows {
			p := a.GP64()
			if r == 0 {
				a.MOVQ(a.Arg("src"), p)
				a.ADDQ(ch, p)
			} else {
				a.MOVQ(t.rows[r-1], p)
				a.ADDQ(a.Arg("row"), p)
			}
			t.rows = append(t.rows, p)
		}
		t.bias = f.vec(a)
		a.Zero(t.bias)
		p := a.LoadInt("bias")
		a.TESTQ(p, p)
		a.JZ(LabelRef(label + "begin"))
		v.load(Mem{Base: p, Index: ch, Scale: 1}, t.bias)
		a.Label(label + "begin")
		a.ADDQ(ch, t.dst)
		a.TESTQ(t.add, t.add)
		a.JZ(LabelRef(label + "left"))
		a.ADDQ(ch, t.add)
		a.Label(label + "left")
		a.CMPQ(a.Arg("left"), Imm(0))
		a.JE(LabelRef(label + "inner"))
		t.pixel("left_", 1, 3)
		for _, p := range t.rows {
			a.SUBQ(step, p)
		}
		a.Label(label + "inner")
		n := a.LoadInt("n")
		if v.label == "whole" {
			t.neighbours(n)
		}
		a.Label(label + "pixel")
		t.pixel("inner_", 0, 3)
		a.DECQ(n)
		a.JNZ(LabelRef(label + "pixel"))
		a.Label(label + "inner_end")
		a.CMPQ(a.Arg("right"), Imm(0))
		a.JE(LabelRef(label + "end"))
		t.pixel("right_", 0, 2)
		a.Label(label + "end")
	})
	a.End()
}

type tripleLoop struct {
	family
	a              *gen.Asm
	v              access
	label          string
	w              []reg.VecVirtual
	bias, lo, hi   reg.VecVirtual
	rows           []reg.GPVirtual
	step, add, dst reg.GPVirtual
}

// neighbours writes the loop over blocks of pixels whose taps overlap, which load each column once. It leaves the rest in n.
func (t *tripleLoop) neighbours(n reg.GPVirtual) {
	a, count := t.a, t.lanes/4 // sums, besides nine weights, a column, the bias and the bounds
	a.CMPQ(t.step, a.Arg("pixel"))
	a.JNE(LabelRef(t.label + "pixel"))
	step3, step5 := a.GP64(), a.GP64()
	a.LEAQ(Mem{Base: t.step, Index: t.step, Scale: 2}, step3)
	a.LEAQ(Mem{Base: t.step, Index: t.step, Scale: 4}, step5)
	a.SUBQ(Imm(uint64(count)), n)
	a.JL(LabelRef(t.label + "block_end"))
	a.Label(t.label + "block")
	sums := make([]reg.VecVirtual, count)
	for i := range sums {
		sums[i] = t.vec(a)
		a.VMOVAPS(t.bias, sums[i])
	}
	for r, p := range t.rows {
		for col := range count + 2 {
			x := t.vec(a)
			a.VMOVUPS([]Mem{{Base: p}, {Base: p, Index: t.step, Scale: 1}, {Base: p, Index: t.step, Scale: 2}, {Base: p, Index: step3, Scale: 1},
				{Base: p, Index: t.step, Scale: 4}, {Base: p, Index: step5, Scale: 1}}[col], x)
			for k := range 3 {
				if i := col - k; i >= 0 && i < count {
					a.VFMADD231PS(x, t.w[3*r+k], sums[i])
				}
			}
		}
		a.LEAQ(Mem{Base: p, Index: t.step, Scale: uint8(count)}, p)
	}
	t.finish("block_", sums)
	a.SUBQ(Imm(uint64(count)), n)
	a.JGE(LabelRef(t.label + "block"))
	a.Label(t.label + "block_end")
	a.ADDQ(Imm(uint64(count)), n)
	a.JZ(LabelRef(t.label + "inner_end"))
}

// pixel computes a pixel from the columns [k0, k1) of taps and advances; with k0 not 0 the rows stay at the first column that is
// there.
func (t *tripleLoop) pixel(name string, k0, k1 int) {
	a := t.a
	sum := t.vec(a)
	a.VMOVAPS(t.bias, sum)
	for r, p := range t.rows {
		for k := k0; k < k1; k++ {
			m := Mem{Base: p}
			if k > k0 {
				m.Index, m.Scale = t.step, uint8(k-k0)
			}
			w := t.w[3*r+k]
			if t.v.label == "whole" {
				a.VFMADD231PS(m, w, sum)
				continue
			}
			x := t.vec(a)
			t.v.load(m, x)
			a.VFMADD231PS(x, w, sum)
		}
	}
	t.finish(name, []reg.VecVirtual{sum})
	for _, p := range t.rows {
		a.ADDQ(a.Arg("pixel"), p)
	}
}

// finish adds, bounds and stores the sums of neighbouring pixels.
func (t *tripleLoop) finish(name string, sums []reg.VecVirtual) {
	a := t.a
	a.TESTQ(t.add, t.add)
	a.JZ(LabelRef(t.label + name + "clamp"))
	for _, sum := range sums {
		x := t.vec(a)
		t.v.load(Mem{Base: t.add}, x)
		a.VADDPS(x, sum, sum)
		a.ADDQ(a.Arg("astep"), t.add)
	}
	a.Label(t.label + name + "clamp")
	step := a.LoadInt("dstep")
	for _, sum := range sums {
		a.VMAXPS(sum, t.lo, sum) // a NaN in the second source is the result
		a.VMINPS(sum, t.hi, sum)
		t.v.store(sum, Mem{Base: t.dst})
		a.ADDQ(step, t.dst)
	}
}
