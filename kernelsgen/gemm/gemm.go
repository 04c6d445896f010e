// Package gemm writes the fp32 matrix-product kernels of runtime/kernels/gemm.
//
// Every function computes one register tile of C from m rows of A and one panel of B (32 columns, or the left or right half of one),
// with all rows' sums in registers over the whole of K. There is one function for every m up to the tile's height, so that a driver
// can cut any M evenly and no lane is ever wasted.
package gemm

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

const dir = "runtime/kernels/gemm"

// panelBytes is the distance of two consecutive k in a panel of B.
const panelBytes = 32 * 4

// B is fetched so far ahead of its use, in bytes of its panel. Measured on Zen 5 over 480 MB of B, in GB/s: 8 rows 37 with 8 KiB, 31
// with 4 KiB, 23 with 1 KiB, 18 without; 12 rows 31, 26, 16, 16.
const ahead = 8192

// The largest tiles of several panels. So few rows read B and do little else: with four panels at a time it comes
// faster than with one (1 row 44 GB/s against 41, 2 rows 42 against 40, 4 rows 38 against 40), and the processor finds out by
// itself what to fetch (8 KiB ahead: 38).
const (
	wideRows   = 2
	widePanels = 4
)

var record = gen.Record{
	Name: "tile",
	Doc:  "is what a kernel reads: one register tile of C. Strides are in bytes.",
	Fields: []gen.Field{
		{Name: "a", Type: "*float32", Doc: "first row"},
		{Name: "rsa", Type: "uintptr", Doc: "from a row of A to the next"},
		{Name: "csa", Type: "uintptr", Doc: "from a k of A to the next"},
		{Name: "b", Type: "*float32", Doc: "panel; k advances by 128 bytes"},
		{Name: "panel", Type: "uintptr", Doc: "from a panel to the next, for kernels of several"},
		{Name: "k", Type: "int", Doc: "terms of a run; may be 0"},
		{Name: "runs", Type: "int", Doc: "runs of terms, at least 1"},
		{Name: "offs", Type: "*int", Doc: "where each run begins in a row of A, in elements"},
		{Name: "next", Type: "*float32", Doc: "what is fetched into L2 on the way"},
		{Name: "pace", Type: "uintptr", Doc: "in what is fetched, for 4 terms"},
		{Name: "c", Type: "*float32", Doc: "result"},
		{Name: "ldc", Type: "uintptr", Doc: "from a row of C to the next"},
		{Name: "add", Type: "*float32", Doc: "added to the sums, or nil"},
		{Name: "ldadd", Type: "uintptr", Doc: "from a row of add to the next"},
		{Name: "biasN", Type: "*float32", Doc: "one for each column, or nil"},
		{Name: "biasM", Type: "*float32", Doc: "one for each row, or nil"},
		{Name: "n", Type: "int", Doc: "columns that exist; more than the width counts as the width"},
		{Name: "clamp", Type: "int", Doc: "not 0: apply lo and hi"},
		{Name: "lo", Type: "float32", Doc: "lower bound"},
		{Name: "hi", Type: "float32", Doc: "upper bound"},
	},
}

var transposeRecord = gen.Record{
	Name: "strip",
	Doc:  "is what the transposing pack kernel reads: 8 columns of B that are contiguous along k. Strides are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first column"},
		{Name: "stride", Type: "uintptr", Doc: "from a column to the next"},
		{Name: "dst", Type: "*float32", Doc: "in the panel; k advances by 128 bytes"},
		{Name: "k", Type: "int", Doc: "terms, a multiple of 8"},
	},
}

// family describes the kernels of one tier.
type family struct {
	tier  string
	rows  int // height of the largest tile
	vecs  int // vector registers across the tile
	lanes int
	wide  bool // the tile covers whole panels, one or several
}

func (f family) cols() int         { return f.vecs * f.lanes }
func (f family) name(m int) string { return fmt.Sprintf("f32_gemm_m%dn%d_%s", m, f.cols(), f.tier) }
func (f family) vec(a *gen.Asm) reg.VecVirtual {
	if f.lanes == 16 {
		return a.ZMM()
	}
	return a.YMM()
}

var families = []family{
	{tier: "avx512", rows: 14, vecs: 2, lanes: 16}, // 28 sums, 2 of B, 2 of A
	{tier: "avx2", rows: 6, vecs: 2, lanes: 8},     // 12 sums, 2 of B, 2 of A
}

// wider returns the tiles that are wider than the usual one, widest first.
func (f family) wider() []family {
	var out []family
	registers := 2 * f.lanes
	for panels := widePanels; panels >= 1; panels /= 2 {
		w := f
		w.wide, w.vecs = true, panels*panelBytes/4/f.lanes
		for w.rows = wideRows; w.rows > 0 && w.rows*w.vecs+min(w.rows, w.vecs)+2 > registers; w.rows-- {
		}
		if w.vecs > f.vecs && w.rows > 0 {
			out = append(out, w)
		}
	}
	return out
}

// Files generates the family.
func Files() ([]gen.File, error) {
	var files []gen.File
	var rows, funcs, narrow, wide strings.Builder
	for id, f := range families {
		asm := gen.NewAsm(dir, "gemm_"+f.tier, record)
		for m := 1; m <= f.rows; m++ {
			f.kernel(asm, m)
		}
		half := f
		half.vecs = 1
		if f.cols() == 32 {
			for m := 1; m <= f.rows; m++ {
				half.kernel(asm, m)
			}
		}
		fmt.Fprintf(&wide, "\t{")
		for _, w := range f.wider() {
			fmt.Fprintf(&wide, "{%d, []func(*tile){", w.cols())
			for m := 1; m <= w.rows; m++ {
				w.kernel(asm, m)
				fmt.Fprintf(&wide, "%s, ", w.name(m))
			}
			fmt.Fprintf(&wide, "}}, ")
		}
		fmt.Fprintf(&wide, "},\n")
		fs, needs, err := asm.Finish()
		if err != nil {
			return nil, fmt.Errorf("gemm %s: %w", f.tier, err)
		}
		files = append(files, fs...)
		var used []string
		fmt.Fprintf(&funcs, "\t{")
		for m := 1; m <= f.rows; m++ {
			used = gen.Union(used, needs[f.name(m)])
			fmt.Fprintf(&funcs, "%s, ", f.name(m))
		}
		fmt.Fprintf(&funcs, "},\n")
		fmt.Fprintf(&narrow, "\t{")
		for m := 1; m <= f.rows && f.cols() == 32; m++ {
			fmt.Fprintf(&narrow, "%s, ", half.name(m))
		}
		fmt.Fprintf(&narrow, "},\n")
		fmt.Fprintf(&rows, "\t{Name: %q, Needs: %s, MR: %d, NR: %d, Layout: \"p32\", Order: \"k ascending, in blocks of kc\", id: %d},\n",
			f.name(f.rows), gen.Needs(used), f.rows, f.cols(), id)
	}
	t := gen.NewAsm(dir, "pack_avx2", transposeRecord)
	transpose(t)
	fs, needs, err := t.Finish()
	if err != nil {
		return nil, fmt.Errorf("gemm pack: %w", err)
	}
	files = append(files, fs...)

	zrows, err := gen.GoFile(dir+"/zrows.go", "", "gemm", fmt.Sprintf(`import "github.com/llmc-go/llmc/runtime/cpu"

// rows is the family's table, best first; it ends in the portable row.
var rows = [...]Row{
%s	{Name: "f32_gemm_ref", MR: 2, NR: 4, Layout: "p32", Order: "k ascending, in blocks of 32", id: %d},
}

// packNeeds is what the transposing pack kernel needs.
const packNeeds = %s

// So many rows are computed by kernels of so many panels at a time, at the most.
const (
	wideRows   = %d
	widePanels = %d
)

%s
%s`, rows.String(), len(families), gen.Needs(needs[transposeName]), wideRows, widePanels, record.Source(), transposeRecord.Source()))
	if err != nil {
		return nil, err
	}
	zfuncs, err := gen.GoFile(dir+"/zfuncs_amd64.go", "!purego", "gemm", fmt.Sprintf(`// kernels holds the functions of the rows in their order: kernels[i][m-1] computes m rows.
var kernels = [len(rows)][]func(*tile){
%s}

// narrow holds functions for half a panel, where a row has them: for what is left of N, they do half the work. Each sum has the
// order of the whole panel's.
var narrow = [len(rows)][]func(*tile){
%s}

// wide holds functions for several panels, or a whole one where the row's tile is half of it, widest first. All their columns must
// exist. Each sum has the order of the usual tile's.
var wide = [len(rows)][]width{
%s}

// packStrip transposes 8 columns into a panel.
func packStrip(s *strip) { %s(s) }
`, funcs.String(), narrow.String(), wide.String(), transposeName))
	if err != nil {
		return nil, err
	}
	return append(files, zrows, zfuncs), nil
}

// aRows addresses rows of a matrix: row 5q+s is base register q plus s strides, so that five rows share a register and no multiply is needed.
type aRows struct {
	base            []reg.GPVirtual
	stride, stride3 reg.GPVirtual
}

func newRows(a *gen.Asm, m int, base, stride string) aRows {
	r := aRows{base: []reg.GPVirtual{a.LoadInt(base)}, stride: a.LoadInt(stride)}
	r.stride3 = a.GP64()
	a.LEAQ(Mem{Base: r.stride, Index: r.stride, Scale: 2}, r.stride3)
	for q := 5; q < m; q += 5 {
		r.base = append(r.base, a.GP64())
	}
	r.spread(a)
	return r
}

// spread makes the other bases from the first.
func (r aRows) spread(a *gen.Asm) {
	for q := 1; q < len(r.base); q++ {
		a.LEAQ(Mem{Base: r.base[q-1], Index: r.stride, Scale: 4}, r.base[q])
		a.ADDQ(r.stride, r.base[q])
	}
}

func (r aRows) row(i int) Mem {
	base := r.base[i/5]
	switch i % 5 {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: r.stride3, Scale: 1}
	default:
		return Mem{Base: base, Index: r.stride, Scale: uint8(i % 5)}
	}
}

// panels addresses what a tile reads of B for one term: part of a panel, or the same row of up to four panels.
type panels struct {
	base            reg.GPVirtual
	stride, stride3 reg.GPVirtual // where there are several
	bytes           int
}

func newPanels(a *gen.Asm, f family) panels {
	p := panels{base: a.LoadInt("b"), bytes: f.cols() * 4}
	if p.bytes > panelBytes {
		p.stride = a.LoadInt("panel")
	}
	if p.bytes > 2*panelBytes {
		p.stride3 = a.GP64()
		a.LEAQ(Mem{Base: p.stride, Index: p.stride, Scale: 2}, p.stride3)
	}
	return p
}

// at is the address disp bytes behind the present term of a panel.
func (p panels) at(panel, disp int) Mem {
	switch panel {
	case 0:
		return Mem{Base: p.base, Disp: disp}
	case 3:
		return Mem{Base: p.base, Index: p.stride3, Scale: 1, Disp: disp}
	default:
		return Mem{Base: p.base, Index: p.stride, Scale: uint8(panel), Disp: disp}
	}
}

// startLines is how much of each panel is fetched by the tile before: on Zen 5 one row of GPT-2 gains 1.5 to 2 % by 8 or 16 lines, nothing by 4.
const startLines = 8

// after fetches where the panels behind these begin: most often they come next, and a stream starts slowly.
func (p panels) after(a *gen.Asm) {
	n := max(p.bytes/panelBytes, 1)
	q := panels{base: a.LoadInt("b"), stride: p.stride, stride3: p.stride3}
	for range n {
		a.ADDQ(a.Arg("panel"), q.base)
	}
	for j := range n {
		for i := range startLines {
			a.PREFETCHT0(q.at(j, 64*i))
		}
	}
}

// fetch fetches what the tile will read of its only panel for a later term.
func (p panels) fetch(a *gen.Asm, u int) {
	for i := 0; i < p.bytes; i += 64 {
		a.PREFETCHT0(p.at(0, ahead+u*panelBytes+i))
	}
}

// kernel writes the function for m rows.
func (f family) kernel(a *gen.Asm, m int) {
	name := f.name(m)
	a.Func(name, fmt.Sprintf("computes %d rows of %d columns.", m, f.cols()))
	A := newRows(a, m, "a", "rsa")
	csa := a.LoadInt("csa")
	B := newPanels(a, f)
	var next reg.GPVirtual
	if !f.wide {
		next = a.LoadInt("next")
	}
	runs, offs, K := a.LoadInt("runs"), a.LoadInt("offs"), a.GP64()

	sums := make([][]reg.VecVirtual, m)
	for i := range sums {
		for range f.vecs {
			v := f.vec(a)
			a.Zero(v)
			sums[i] = append(sums[i], v)
		}
	}
	const unroll = 4
	// The side with fewer registers is loaded first and kept for a term, the other one as it is used.
	step := func(u int) {
		loadB := func(j int) reg.VecVirtual {
			v := f.vec(a)
			off := j * f.lanes * 4
			a.VMOVUPS(B.at(off/panelBytes, u*panelBytes+off%panelBytes), v)
			return v
		}
		loadA := func(i int) reg.VecVirtual {
			v := f.vec(a)
			a.VBROADCASTSS(A.row(i), v)
			return v
		}
		if !f.wide {
			B.fetch(a, u)
		}
		if m < f.vecs {
			var x []reg.VecVirtual
			for i := range m {
				x = append(x, loadA(i))
			}
			for j := range f.vecs {
				b := loadB(j)
				for i := range m {
					a.VFMADD231PS(b, x[i], sums[i][j])
				}
			}
		} else {
			var b []reg.VecVirtual
			for j := range f.vecs {
				b = append(b, loadB(j))
			}
			for i := range m {
				x := loadA(i)
				for j := range f.vecs {
					a.VFMADD231PS(b[j], x, sums[i][j])
				}
			}
		}
		for _, p := range A.base {
			a.ADDQ(csa, p)
		}
	}
	if !f.wide {
		f.fetchC(a, m)
	}
	a.Label("run")
	a.MOVQ(Mem{Base: offs}, K)
	a.MOVQ(a.Arg("a"), A.base[0])
	a.LEAQ(Mem{Base: A.base[0], Index: K, Scale: 4}, A.base[0])
	A.spread(a)
	a.MOVQ(a.Arg("k"), K)
	a.SUBQ(Imm(unroll), K)
	a.JL(LabelRef("tail"))
	a.Label("loop")
	for u := range unroll {
		step(u)
		if !f.wide {
			a.PREFETCHT1(Mem{Base: next, Disp: 64 * u})
		}
	}
	if !f.wide {
		a.ADDQ(a.Arg("pace"), next)
	}
	a.ADDQ(U32(unroll*panelBytes), B.base)
	a.SUBQ(Imm(unroll), K)
	a.JGE(LabelRef("loop"))
	a.Label("tail")
	a.ADDQ(Imm(unroll), K)
	a.JZ(LabelRef("ran"))
	a.Label("single")
	step(0)
	a.ADDQ(U32(panelBytes), B.base)
	a.DECQ(K)
	a.JNZ(LabelRef("single"))
	a.Label("ran")
	a.ADDQ(Imm(8), offs)
	a.DECQ(runs)
	a.JNZ(LabelRef("run"))
	if f.wide {
		B.after(a)
	}
	f.finish(a, sums)
}

// fetchC fetches the tile of C while the sums are made: the product of a block of terms that is not the first adds to it, and it has
// left L2 since.
func (f family) fetchC(a *gen.Asm, m int) {
	c, ldc := a.LoadInt("c"), a.LoadInt("ldc")
	for range m {
		for line := 0; line < f.cols()*4; line += 64 {
			a.PREFETCHT0(Mem{Base: c, Disp: line})
		}
		a.ADDQ(ldc, c)
	}
}

// finish adds, clamps and stores the sums: once for whole tiles, once with masked columns.
func (f family) finish(a *gen.Asm, sums [][]reg.VecVirtual) {
	if !f.wide {
		a.CMPQ(a.Arg("n"), Imm(uint64(f.cols())))
		a.JL(LabelRef("masked"))
	}
	f.epilogue(a, sums, "whole", func(m Mem, v reg.VecVirtual, _ int) { a.VMOVUPS(m, v) },
		func(v reg.VecVirtual, m Mem, _ int) { a.VMOVUPS(v, m) })
	if f.wide {
		return
	}
	a.Label("masked")
	n := f.vec(a)
	a.VPBROADCASTD(a.Arg("n"), n)
	if f.lanes == 16 {
		var masks []reg.OpmaskVirtual
		for j := range f.vecs {
			k := a.K()
			a.VPCMPGTD(a.Lanes(j*f.lanes), n, k)
			masks = append(masks, k)
		}
		f.epilogue(a, sums, "part", func(m Mem, v reg.VecVirtual, j int) { a.VMOVUPS_Z(m, masks[j], v) },
			func(v reg.VecVirtual, m Mem, j int) { a.VMOVUPS(v, masks[j], m) })
		return
	}
	var masks []reg.VecVirtual
	for j := range f.vecs {
		v := f.vec(a)
		a.VPCMPGTD(a.Lanes(j*f.lanes), n, v)
		masks = append(masks, v)
	}
	f.epilogue(a, sums, "part", func(m Mem, v reg.VecVirtual, j int) { a.VMASKMOVPS(m, masks[j], v) },
		func(v reg.VecVirtual, m Mem, j int) { a.VMASKMOVPS(v, masks[j], m) })
}

func (f family) epilogue(a *gen.Asm, sums [][]reg.VecVirtual, label string, load func(Mem, reg.VecVirtual, int), store func(reg.VecVirtual, Mem, int)) {
	width := f.lanes * 4
	// Terms that are absent are jumped over: each costs a vector operation for every register.
	when := func(field, to string) reg.GPVirtual {
		p := a.LoadInt(field)
		a.TESTQ(p, p)
		a.JZ(LabelRef(label + to))
		return p
	}
	p := when("biasN", "_biasM")
	for j := range f.vecs {
		x := f.vec(a)
		load(Mem{Base: p, Disp: j * width}, x, j)
		for i := range sums {
			a.VADDPS(x, sums[i][j], sums[i][j])
		}
	}
	a.Label(label + "_biasM")
	p = when("biasM", "_add")
	for i := range sums {
		x := f.vec(a)
		a.VBROADCASTSS(Mem{Base: p, Disp: 4 * i}, x)
		for j := range f.vecs {
			a.VADDPS(x, sums[i][j], sums[i][j])
		}
	}
	a.Label(label + "_add")
	p = when("add", "_clamp")
	ld := a.LoadInt("ldadd")
	for i := range sums {
		for j := range f.vecs {
			x := f.vec(a)
			load(Mem{Base: p, Disp: j * width}, x, j)
			a.VADDPS(x, sums[i][j], sums[i][j])
		}
		a.ADDQ(ld, p)
	}
	a.Label(label + "_clamp")
	when("clamp", "_store")
	lo, hi := f.vec(a), f.vec(a)
	a.VBROADCASTSS(a.Arg("lo"), lo)
	a.VBROADCASTSS(a.Arg("hi"), hi)
	for i := range sums {
		for j := range f.vecs { // a NaN in the second source is the result
			a.VMAXPS(sums[i][j], lo, sums[i][j])
			a.VMINPS(sums[i][j], hi, sums[i][j])
		}
	}
	a.Label(label + "_store")
	c, ldc := a.LoadInt("c"), a.LoadInt("ldc")
	for i := range sums {
		for j := range f.vecs {
			store(sums[i][j], Mem{Base: c, Disp: j * width}, j)
		}
		a.ADDQ(ldc, c)
	}
	a.End()
}

const transposeName = "f32_gemm_packt_u8_avx2"

// transpose writes the kernel that packs 8 columns, each contiguous along k, into 8 of the 32 columns of a panel.
func transpose(a *gen.Asm) {
	a.Func(transposeName, "transposes 8 columns into a panel, 8 terms a step.")
	src := newRows(a, 8, "src", "stride")
	dst, k := a.LoadInt("dst"), a.LoadInt("k")
	a.Label("loop")
	in := make([]reg.VecVirtual, 8)
	for i := range in {
		in[i] = a.YMM()
		a.VMOVUPS(src.row(i), in[i])
	}
	for _, p := range src.base {
		a.ADDQ(Imm(32), p)
	}
	for i, v := range transpose8(a, in) {
		a.VMOVUPS(v, Mem{Base: dst, Disp: i * panelBytes})
	}
	a.ADDQ(U32(8*panelBytes), dst)
	a.SUBQ(Imm(8), k)
	a.JNZ(LabelRef("loop"))
	a.End()
}

// transpose8 is the usual three rounds of an 8x8 transpose: pairs, quadruples, halves.
func transpose8(a *gen.Asm, in []reg.VecVirtual) []reg.VecVirtual {
	pairs := make([]reg.VecVirtual, 8)
	for i := 0; i < 8; i += 2 {
		pairs[i], pairs[i+1] = a.YMM(), a.YMM()
		a.VUNPCKLPS(in[i+1], in[i], pairs[i])
		a.VUNPCKHPS(in[i+1], in[i], pairs[i+1])
	}
	quads := make([]reg.VecVirtual, 8)
	for i := 0; i < 8; i += 4 {
		for j := range 2 {
			lo, hi := pairs[i+j], pairs[i+j+2]
			quads[i+2*j], quads[i+2*j+1] = a.YMM(), a.YMM()
			a.VSHUFPS(U8(0x44), hi, lo, quads[i+2*j])
			a.VSHUFPS(U8(0xee), hi, lo, quads[i+2*j+1])
		}
	}
	out := make([]reg.VecVirtual, 8)
	for i := range 4 {
		out[i], out[i+4] = a.YMM(), a.YMM()
		a.VPERM2F128(U8(0x20), quads[i+4], quads[i], out[i])
		a.VPERM2F128(U8(0x31), quads[i+4], quads[i], out[i+4])
	}
	return out
}
