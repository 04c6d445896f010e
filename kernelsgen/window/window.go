// Package window writes the kernels of runtime/kernels/window: packing of patches for convolution as a matrix product, and direct
// sums and maxima over taps.
package window

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

const dir = "runtime/kernels/window"

var patch = gen.Record{
	Name: "patch",
	Doc:  "is what the packing kernels read: one vector of output pixels, for one tap, for all channels. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first channel"},
		{Name: "plane", Type: "uintptr", Doc: "from a channel to the next"},
		{Name: "n", Type: "int", Doc: "channels, at least 1"},
		{Name: "dst", Type: "*float32", Doc: "in the panel"},
		{Name: "step", Type: "uintptr", Doc: "in the panel, from a channel to the next"},
		{Name: "runs", Type: "*int", Doc: "pairs: offset of the address of lane 0, bit mask of the lanes"},
		{Name: "count", Type: "int", Doc: "pairs, at least 1"},
		{Name: "index", Type: "*int32", Doc: "for gathering: element offset of each lane"},
		{Name: "mask", Type: "int", Doc: "for gathering: bit mask of the lanes that exist"},
	},
}

var taps = gen.Record{
	Name: "taps",
	Doc:  "is what the direct kernels read: rows of output pixels that combine taps of a padded source. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first tap of the first pixel; readable one vector past the last pixel"},
		{Name: "srow", Type: "uintptr", Doc: "in the source, from an output row to the next"},
		{Name: "offs", Type: "*int", Doc: "offset of each tap"},
		{Name: "w", Type: "*float32", Doc: "factor of each tap"},
		{Name: "count", Type: "int", Doc: "taps, at least 1"},
		{Name: "dst", Type: "*float32", Doc: "first output pixel"},
		{Name: "drow", Type: "uintptr", Doc: "from an output row to the next, of dst and add"},
		{Name: "n", Type: "int", Doc: "pixels in a row, at least 1"},
		{Name: "rows", Type: "int", Doc: "at least 1"},
		{Name: "add", Type: "*float32", Doc: "added to the result, or nil"},
		{Name: "init", Type: "float32", Doc: "where the combination starts"},
		{Name: "lo", Type: "float32", Doc: "lower bound"},
		{Name: "hi", Type: "float32", Doc: "upper bound"},
		{Name: "clamp", Type: "int", Doc: "not 0: apply lo and hi"},
	},
}

type family struct {
	tier  string
	lanes int
}

var families = []family{{"avx512", 16}, {"avx2", 8}}

func (f family) name(kind string) string {
	return fmt.Sprintf("f32_window_%s_u%d_%s", kind, f.lanes, f.tier)
}

func (f family) vec(a *gen.Asm) reg.VecVirtual {
	if f.lanes == 16 {
		return a.ZMM()
	}
	return a.YMM()
}

// Files generates the family.
func Files() ([]gen.File, error) {
	var files []gen.File
	var rows, funcs strings.Builder
	for id, f := range families {
		pack := gen.NewAsm(dir, "pack_"+f.tier, patch)
		f.runs(pack)
		f.gather(pack)
		direct := gen.NewAsm(dir, "taps_"+f.tier, taps)
		f.taps(direct, "dot")
		f.taps(direct, "max")
		var used []string
		runs := gen.NewAsm(dir, "move_"+f.tier, move)
		f.move(runs)
		channels := gen.NewAsm(dir, "spots_"+f.tier, spots)
		f.spots(channels, "spot")
		f.spots(channels, "peak")
		threes := gen.NewAsm(dir, "triple_"+f.tier, triple)
		f.triple(threes)
		in, out := gen.NewAsm(dir, "tilein_"+f.tier, tileIn), gen.NewAsm(dir, "tileout_"+f.tier, tileOut)
		for _, m := range []int{4, 2} {
			f.tileIn(in, m)
			f.tileOut(out, m)
		}
		for _, asm := range []*gen.Asm{pack, direct, runs, channels, threes, in, out} {
			fs, needs, err := asm.Finish()
			if err != nil {
				return nil, fmt.Errorf("window %s: %w", f.tier, err)
			}
			files = append(files, fs...)
			for _, n := range needs {
				used = gen.Union(used, n)
			}
		}
		fmt.Fprintf(&rows, "\t{Name: \"f32_window_u%d_%s\", Needs: %s, Lanes: %d, id: %d},\n", f.lanes, f.tier, gen.Needs(used), f.lanes, id)
		fmt.Fprintf(&funcs, "\t{%s, %s, %s, %s, lastFunctions{%s, %s, %s, %s, [2]func(*tileIn){%s, %s}, [2]func(*tileOut){%s, %s}}},\n",
			f.name("runs"), f.name("gather"), f.name("dot"), f.name("max"), f.name("move"), f.name("spot"), f.name("peak"), f.name("triple"),
			f.name("tilein4"), f.name("tilein2"), f.name("tileout4"), f.name("tileout2"))
	}
	zrows, err := gen.GoFile(dir+"/zrows.go", "", "window", fmt.Sprintf(`import "github.com/llmc-go/llmc/runtime/cpu"

// rows is the family's table, best first; it ends in the portable row.
var rows = [...]Row{
%s	{Name: "f32_window_ref", Lanes: 32, id: %d},
}

%s
%s
%s
%s
%s
%s
%s`, rows.String(), len(families), patch.Source(), taps.Source(), move.Source(), spots.Source(), triple.Source(), tileIn.Source(), tileOut.Source()))
	if err != nil {
		return nil, err
	}
	zfuncs, err := gen.GoFile(dir+"/zfuncs_amd64.go", "!purego", "window", fmt.Sprintf(`// kernels holds the functions of the rows in their order.
var kernels = [len(rows)]functions{
%s}
`, funcs.String()))
	if err != nil {
		return nil, err
	}
	return append(files, zrows, zfuncs), nil
}

// runs writes the packing kernel for pixels whose sources are contiguous: a vector is put together from a few runs, each loaded under
// a mask from where lane 0 would be. Lanes of no run are zero.
func (f family) runs(a *gen.Asm) {
	a.Func(f.name("runs"), "packs contiguous runs of pixels, channel by channel.")
	src, ch, n := a.LoadInt("src"), a.LoadInt("plane"), a.LoadInt("n")
	dst, step := a.LoadInt("dst"), a.LoadInt("step")
	runs, count := a.LoadInt("runs"), a.LoadInt("count")
	next := func(label string) {
		a.ADDQ(ch, src)
		a.ADDQ(step, dst)
		a.DECQ(n)
		a.JNZ(LabelRef(label))
		a.End()
	}
	a.CMPQ(count, Imm(2))
	a.JG(LabelRef("many"))
	a.JE(LabelRef("two"))
	off0, load0 := f.run(a, runs, 0)
	a.Label("one")
	v := f.vec(a)
	load0(Mem{Base: src, Index: off0, Scale: 1}, v, true)
	a.VMOVUPS(v, Mem{Base: dst})
	next("one")

	a.Label("two")
	offA, loadA := f.run(a, runs, 0)
	offB, loadB := f.run(a, runs, 16)
	a.Label("pair")
	v = f.vec(a)
	loadA(Mem{Base: src, Index: offA, Scale: 1}, v, true)
	loadB(Mem{Base: src, Index: offB, Scale: 1}, v, false)
	a.VMOVUPS(v, Mem{Base: dst})
	next("pair")

	a.Label("many")
	v = f.vec(a)
	p, c := a.GP64(), a.GP64()
	a.Label("channel")
	a.Zero(v)
	a.MOVQ(runs, p)
	a.MOVQ(count, c)
	a.Label("run")
	off, load := f.run(a, p, 0)
	load(Mem{Base: src, Index: off, Scale: 1}, v, false)
	a.ADDQ(Imm(16), p)
	a.DECQ(c)
	a.JNZ(LabelRef("run"))
	a.VMOVUPS(v, Mem{Base: dst})
	next("channel")
}

// run reads a pair of the table and returns the offset and a function that loads the run's lanes into a vector: alone, or beside those
// that are there.
func (f family) run(a *gen.Asm, table reg.GPVirtual, disp int) (reg.GPVirtual, func(m Mem, v reg.VecVirtual, alone bool)) {
	off := a.GP64()
	a.MOVQ(Mem{Base: table, Disp: disp}, off)
	bits := Mem{Base: table, Disp: disp + 8}
	if f.lanes == 16 {
		k := a.K()
		a.KMOVW(bits, k)
		return off, func(m Mem, v reg.VecVirtual, alone bool) {
			if alone {
				a.VMOVUPS_Z(m, k, v)
			} else {
				a.VMOVUPS(m, k, v)
			}
		}
	}
	mask := f.expand(a, bits)
	return off, func(m Mem, v reg.VecVirtual, alone bool) {
		if alone {
			a.VMASKMOVPS(m, mask, v)
			return
		}
		t := a.YMM()
		a.VMASKMOVPS(m, mask, t)
		a.VORPS(t, v, v)
	}
}

// expand turns the low 8 bits at m into a vector mask.
func (f family) expand(a *gen.Asm, m Mem) reg.VecVirtual {
	mask, bit := a.YMM(), a.YMM()
	a.VPBROADCASTD(m, mask)
	a.VMOVDQU(a.Powers(), bit)
	a.VPAND(bit, mask, mask)
	a.VPCMPEQD(bit, mask, mask)
	return mask
}

// gather writes the packing kernel for pixels whose sources are apart.
func (f family) gather(a *gen.Asm) {
	a.Func(f.name("gather"), "packs pixels from anywhere, channel by channel.")
	src, ch, n := a.LoadInt("src"), a.LoadInt("plane"), a.LoadInt("n")
	dst, step, table := a.LoadInt("dst"), a.LoadInt("step"), a.LoadInt("index")
	index := f.vec(a)
	v := f.vec(a)
	var collect func()
	if f.lanes == 16 {
		a.VMOVDQU32(Mem{Base: table}, index)
		all, k := a.K(), a.K()
		a.KMOVW(a.Arg("mask"), all)
		collect = func() {
			a.KMOVW(all, k) // a gather clears its mask
			a.VGATHERDPS(Mem{Base: src, Index: index, Scale: 4}, k, v)
		}
	} else {
		a.VMOVDQU(Mem{Base: table}, index)
		all, k := f.expand(a, a.Arg("mask")), a.YMM()
		collect = func() {
			a.VMOVDQU(all, k)
			a.VGATHERDPS(k, Mem{Base: src, Index: index, Scale: 4}, v)
		}
	}
	a.Label("channel")
	a.Zero(v)
	collect()
	a.VMOVUPS(v, Mem{Base: dst})
	a.ADDQ(ch, src)
	a.ADDQ(step, dst)
	a.DECQ(n)
	a.JNZ(LabelRef("channel"))
	a.End()
}

// taps writes the direct kernel: blocks of 8, 4, 2 or 1 rows of one vector, all taps in registers. Eight rows hide the latency of the
// multiply-add and share one factor.
func (f family) taps(a *gen.Asm, kind string) {
	doc := "sums weighted taps."
	if kind == "max" {
		doc = "takes the largest of the taps; NaN is never larger."
	}
	a.Func(f.name(kind), doc)
	t := &tapLoop{family: f, a: a, kind: kind,
		src: a.LoadInt("src"), srow: a.LoadInt("srow"), dst: a.LoadInt("dst"), drow: a.LoadInt("drow"), rows: a.LoadInt("rows"),
		add: a.LoadInt("add"), offs: a.LoadInt("offs"), w: a.LoadInt("w")}
	t.srow3 = a.GP64()
	a.LEAQ(Mem{Base: t.srow, Index: t.srow, Scale: 2}, t.srow3)
	for _, r := range []int{8, 4, 2, 1} {
		name := fmt.Sprintf("rows%d", r)
		a.Label(name)
		a.CMPQ(t.rows, U32(r))
		a.JL(LabelRef(name + "_end"))
		t.block(r, name)
		for range r {
			a.ADDQ(t.srow, t.src)
			a.ADDQ(t.drow, t.dst)
		}
		skip := name + "_noadd"
		a.TESTQ(t.add, t.add)
		a.JZ(LabelRef(skip))
		for range r {
			a.ADDQ(t.drow, t.add)
		}
		a.Label(skip)
		a.SUBQ(Imm(uint64(r)), t.rows)
		a.JMP(LabelRef(name))
		a.Label(name + "_end")
	}
	a.End()
}

type tapLoop struct {
	family
	a                                               *gen.Asm
	kind                                            string
	src, srow, srow3, dst, drow, rows, add, offs, w reg.GPVirtual
}

// block writes r rows of the whole width.
func (t *tapLoop) block(r int, name string) {
	a := t.a
	x := a.GP64() // byte offset in the row
	a.XORQ(x, x)
	a.Label(name + "_x")
	sums := make([]reg.VecVirtual, r)
	for i := range sums {
		sums[i] = t.vec(a)
		a.VBROADCASTSS(a.Arg("init"), sums[i])
	}
	tap, p, q := a.GP64(), a.GP64(), a.GP64()
	a.XORQ(tap, tap)
	a.Label(name + "_tap")
	a.MOVQ(Mem{Base: t.offs, Index: tap, Scale: 8}, p)
	a.ADDQ(x, p)
	a.ADDQ(t.src, p)
	if r > 4 {
		a.LEAQ(Mem{Base: p, Index: t.srow, Scale: 4}, q)
	}
	factor := t.vec(a)
	if t.kind == "dot" {
		a.VBROADCASTSS(Mem{Base: t.w, Index: tap, Scale: 4}, factor)
	}
	for i := range r {
		base := p
		if i >= 4 {
			base = q
		}
		m := [...]Mem{{Base: base}, {Base: base, Index: t.srow, Scale: 1}, {Base: base, Index: t.srow, Scale: 2}, {Base: base, Index: t.srow3, Scale: 1}}[i%4]
		if t.kind == "dot" {
			a.VFMADD231PS(m, factor, sums[i])
			continue
		}
		v := t.vec(a)
		a.VMOVUPS(m, v)
		a.VMAXPS(sums[i], v, sums[i]) // with a NaN, the second source: what was there
	}
	a.INCQ(tap)
	a.CMPQ(tap, a.Arg("count"))
	a.JL(LabelRef(name + "_tap"))
	t.finish(sums, x, name)
	a.ADDQ(U32(t.lanes*4), x)
	left := a.GP64()
	a.MOVQ(a.Arg("n"), left)
	a.SHLQ(Imm(2), left)
	a.CMPQ(x, left)
	a.JL(LabelRef(name + "_x"))
}

// finish adds, clamps and stores one vector of each row, under the mask of the pixels that are left.
func (t *tapLoop) finish(sums []reg.VecVirtual, x reg.GPVirtual, name string) {
	a := t.a
	left := a.GP64()
	a.MOVQ(x, left)
	a.SHRQ(Imm(2), left)
	a.NEGQ(left)
	a.ADDQ(a.Arg("n"), left)
	count := t.vec(a)
	lane := a.XMM()
	a.VMOVD(left.As32(), lane)
	a.VPBROADCASTD(lane, count)
	var load func(Mem, reg.VecVirtual)
	var store func(reg.VecVirtual, Mem)
	if t.lanes == 16 {
		k := a.K()
		a.VPCMPGTD(a.Lanes(0), count, k)
		load = func(m Mem, v reg.VecVirtual) { a.VMOVUPS_Z(m, k, v) }
		store = func(v reg.VecVirtual, m Mem) { a.VMOVUPS(v, k, m) }
	} else {
		mask := t.vec(a)
		a.VPCMPGTD(a.Lanes(0), count, mask)
		load = func(m Mem, v reg.VecVirtual) { a.VMASKMOVPS(m, mask, v) }
		store = func(v reg.VecVirtual, m Mem) { a.VMASKMOVPS(v, mask, m) }
	}
	p := a.GP64()
	a.TESTQ(t.add, t.add)
	a.JZ(LabelRef(name + "_clamp"))
	a.LEAQ(Mem{Base: t.add, Index: x, Scale: 1}, p)
	for i := range sums {
		v := t.vec(a)
		load(Mem{Base: p}, v)
		a.VADDPS(v, sums[i], sums[i])
		a.ADDQ(t.drow, p)
	}
	a.Label(name + "_clamp")
	a.CMPQ(a.Arg("clamp"), Imm(0))
	a.JE(LabelRef(name + "_store"))
	lo, hi := t.vec(a), t.vec(a)
	a.VBROADCASTSS(a.Arg("lo"), lo)
	a.VBROADCASTSS(a.Arg("hi"), hi)
	for i := range sums { // a NaN in the second source is the result
		a.VMAXPS(sums[i], lo, sums[i])
		a.VMINPS(sums[i], hi, sums[i])
	}
	a.Label(name + "_store")
	a.LEAQ(Mem{Base: t.dst, Index: x, Scale: 1}, p)
	for i := range sums {
		store(sums[i], Mem{Base: p})
		a.ADDQ(t.drow, p)
	}
}
