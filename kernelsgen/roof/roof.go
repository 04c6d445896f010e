// Package roof writes the loops of runtime/kernels/roof: nothing but multiply-adds, nothing but loads, nothing but stores.
package roof

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

const dir = "runtime/kernels/roof"

// sums is the number of elements that the multiply-adds run over: 12 registers of AVX-512, twice 12 of AVX2. Twelve at a time are more
// than latency times throughput of any processor, and leave registers for the two factors.
const (
	sums  = 192
	chain = 12
	line  = 64 // bytes of a step of the loops over memory
)

var record = gen.Record{
	Name: "args",
	Doc:  "is what a loop reads.",
	Fields: []gen.Field{
		{Name: "x", Type: "*float32", Doc: "192 sums; or the lines that are read or written"},
		{Name: "n", Type: "int", Doc: "rounds, or lines of 64 bytes; may be 0"},
		{Name: "out", Type: "*float32", Doc: "of reading: the exclusive or of all lines, 16 elements"},
		{Name: "mul", Type: "float32", Doc: "x = x*mul + add"},
		{Name: "add", Type: "float32", Doc: "also the element that is written"},
	},
}

type family struct {
	tier  string
	lanes int
}

func (f family) name(what string) string { return fmt.Sprintf("f32_roof_%s_%s", what, f.tier) }

func (f family) vec(a *gen.Asm) reg.VecVirtual {
	if f.lanes == 16 {
		return a.ZMM()
	}
	return a.YMM()
}

var families = []family{{"avx512", 16}, {"avx2", 8}}

// Files generates the family.
func Files() ([]gen.File, error) {
	var files []gen.File
	var rows, funcs strings.Builder
	for id, f := range families {
		a := gen.NewAsm(dir, "roof_"+f.tier, record)
		f.multiply(a)
		f.read(a)
		f.write(a)
		fs, needs, err := a.Finish()
		if err != nil {
			return nil, fmt.Errorf("roof %s: %w", f.tier, err)
		}
		files = append(files, fs...)
		used := gen.Union(needs[f.name("fma")], needs[f.name("read")], needs[f.name("write")])
		fmt.Fprintf(&rows, "\t{Name: \"f32_roof_%s\", Needs: %s, id: %d},\n", f.tier, gen.Needs(used), id)
		fmt.Fprintf(&funcs, "\t{fma: %s, read: %s, write: %s},\n", f.name("fma"), f.name("read"), f.name("write"))
	}
	zrows, err := gen.GoFile(dir+"/zrows.go", "", "roof", fmt.Sprintf(`import "github.com/llmc-go/llmc/runtime/cpu"

// rows is the family's table, best first; it ends in the portable row.
var rows = [...]Row{
%s	{Name: "f32_roof_ref", id: %d},
}

const (
	sums      = %d // elements that the multiply-adds run over
	lineBytes = %d
)

%s`, rows.String(), len(families), sums, line, record.Source()))
	if err != nil {
		return nil, err
	}
	zfuncs, err := gen.GoFile(dir+"/zfuncs_amd64.go", "!purego", "roof", fmt.Sprintf(`// kernels holds the functions of the rows in their order.
var kernels = [len(rows)]functions{
%s}
`, funcs.String()))
	if err != nil {
		return nil, err
	}
	return append(files, zrows, zfuncs), nil
}

// multiply writes the loop of multiply-adds: for every register full of sums, n rounds.
func (f family) multiply(a *gen.Asm) {
	a.Func(f.name("fma"), "does n rounds of x = x*mul + add over all sums.")
	x := a.LoadInt("x")
	mul, add := f.vec(a), f.vec(a)
	a.VBROADCASTSS(a.Arg("mul"), mul)
	a.VBROADCASTSS(a.Arg("add"), add)
	part := chain * f.lanes
	for at := 0; at < sums; at += part {
		s := make([]reg.VecVirtual, chain)
		for i := range s {
			s[i] = f.vec(a)
			a.VMOVUPS(Mem{Base: x, Disp: 4 * (at + i*f.lanes)}, s[i])
		}
		loop, done := fmt.Sprintf("loop%d", at), fmt.Sprintf("done%d", at)
		n := a.LoadInt("n")
		a.TESTQ(n, n)
		a.JZ(LabelRef(done))
		a.Label(loop)
		for _, v := range s {
			a.VFMADD213PS(add, mul, v)
		}
		a.DECQ(n)
		a.JNZ(LabelRef(loop))
		a.Label(done)
		for i, v := range s {
			a.VMOVUPS(v, Mem{Base: x, Disp: 4 * (at + i*f.lanes)})
		}
	}
	a.End()
}

// lines writes a loop over n lines, four at a time.
func (f family) lines(a *gen.Asm, one func(line int, m Mem)) {
	x, n := a.LoadInt("x"), a.LoadInt("n")
	a.SUBQ(Imm(4), n)
	a.JL(LabelRef("tail"))
	a.Label("loop")
	for i := range 4 {
		one(i, Mem{Base: x, Disp: i * line})
	}
	a.ADDQ(U32(4*line), x)
	a.SUBQ(Imm(4), n)
	a.JGE(LabelRef("loop"))
	a.Label("tail")
	a.ADDQ(Imm(4), n)
	a.JZ(LabelRef("done"))
	a.Label("single")
	one(0, Mem{Base: x})
	a.ADDQ(Imm(line), x)
	a.DECQ(n)
	a.JNZ(LabelRef("single"))
	a.Label("done")
}

// xor combines bits; VXORPS is AVX512DQ for ZMM.
func (f family) xor(a *gen.Asm, src Op, dst reg.VecVirtual) {
	if f.lanes == 16 {
		a.VPXORD(src, dst, dst)
	} else {
		a.VXORPS(src, dst, dst)
	}
}

func (f family) read(a *gen.Asm) {
	a.Func(f.name("read"), "reads n lines.")
	vecs := line / 4 / f.lanes
	acc := make([][]reg.VecVirtual, 4)
	for i := range acc {
		for range vecs {
			v := f.vec(a)
			a.Zero(v)
			acc[i] = append(acc[i], v)
		}
	}
	f.lines(a, func(i int, m Mem) {
		for j, v := range acc[i] {
			f.xor(a, m.Offset(4*j*f.lanes), v)
		}
	})
	out := a.LoadInt("out")
	for j := range vecs {
		for i := 1; i < 4; i++ {
			f.xor(a, acc[i][j], acc[0][j])
		}
		a.VMOVUPS(acc[0][j], Mem{Base: out, Disp: 4 * j * f.lanes})
	}
	a.End()
}

func (f family) write(a *gen.Asm) {
	a.Func(f.name("write"), "writes add to n lines.")
	v := f.vec(a)
	a.VBROADCASTSS(a.Arg("add"), v)
	f.lines(a, func(_ int, m Mem) {
		for at := 0; at < line; at += 4 * f.lanes {
			a.VMOVUPS(v, m.Offset(at))
		}
	})
	a.End()
}
