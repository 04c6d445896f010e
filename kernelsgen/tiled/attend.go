package tiled

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/kernelsgen/gen"
)

const attendDir = "runtime/kernels/attend"

var attendRecord = gen.Record{
	Name: "args",
	Doc:  "is what a function reads.",
	Fields: []gen.Field{
		{Name: "dst", Type: "*float32", Doc: "result"},
		{Name: "a", Type: "*float32", Doc: "first operand"},
		{Name: "b", Type: "*float32", Doc: "second operand"},
		{Name: "out", Type: "*float32", Doc: "a sum or maximum"},
		{Name: "next", Type: "*float32", Doc: "rows that are read after those of b, at the same stride: the first are fetched at the end"},
		{Name: "stride", Type: "uintptr", Doc: "bytes from a row of b to the next"},
		{Name: "n", Type: "int", Doc: "elements, or rows of b; at least 1"},
		{Name: "m", Type: "int", Doc: "elements of a row of b; at least 1"},
		{Name: "scale", Type: "float32", Doc: "a factor, or what is subtracted"},
	},
}

// attendFuncs lists the functions in the order of the table's fields.
var attendFuncs = []struct {
	name, field, doc string
	write            func(e *emitter)
}{
	{"scale", "scale", "is dst[i] = a[i]*scale.", (*emitter).attendScale},
	{"max", "max", "is dst[i] = a[i]*scale, *out = max of dst; NaN if there is one.", func(e *emitter) { e.attendMax(false) }},
	{"maxmask", "maxMask", "is dst[i] = a[i]*scale + b[i], *out = max of dst; NaN if there is one.", func(e *emitter) { e.attendMax(true) }},
	{"exp", "exp", "is dst[i] = exp(a[i] - scale), *out = sum of dst.", (*emitter).attendExp},
	{"dot", "dot", "is dst[t] = sum over j < m of a[j]*b[t][j] for n rows.", (*emitter).attendDot},
	{"axpy", "axpy", "is dst[j] += sum over n rows of a[t]*b[t][j] for j < m.", (*emitter).attendAxpy},
}

// AttendFiles generates the functions of runtime/kernels/attend.
func AttendFiles() ([]gen.File, error) {
	var files []gen.File
	var rows, funcs strings.Builder
	for id, t := range tiers {
		e := &emitter{Asm: gen.NewAsm(attendDir, "attend_"+t.name, attendRecord), lanes: t.lanes, consts: map[uint32]Mem{}}
		fmt.Fprintf(&funcs, "\t{\n")
		for _, f := range attendFuncs {
			name := fmt.Sprintf("f32_attend_%s_u%d_%s", f.name, t.lanes, t.name)
			e.Func(name, f.doc)
			e.pinned = nil
			f.write(e)
			e.End()
			fmt.Fprintf(&funcs, "\t\t%s: %s,\n", f.field, name)
		}
		fmt.Fprintf(&funcs, "\t},\n")
		fs, needs, err := e.Finish()
		if err != nil {
			return nil, fmt.Errorf("attend %s: %w", t.name, err)
		}
		files = append(files, fs...)
		var used []string
		for _, n := range needs {
			used = gen.Union(used, n)
		}
		fmt.Fprintf(&rows, "\t{Name: \"f32_attend_u%d_%s\", Needs: %s, id: %d},\n", t.lanes, t.name, gen.Needs(used), id)
	}
	zrows, err := gen.GoFile(attendDir+"/zrows.go", "", "attend", fmt.Sprintf(`import "github.com/llmc-go/llmc/runtime/cpu"

// rows is the family's table, best first; it ends in the portable row.
var rows = [...]Row{
%s	{Name: "f32_attend_ref", id: %d},
}

%s`, rows.String(), len(tiers), attendRecord.Source()))
	if err != nil {
		return nil, err
	}
	zfuncs, err := gen.GoFile(attendDir+"/zfuncs_amd64.go", "!purego", "attend", fmt.Sprintf(`// assembly holds the functions of the rows in their order.
var assembly = [len(rows) - 1]functions{
%s}
`, funcs.String()))
	if err != nil {
		return nil, err
	}
	return append(files, zrows, zfuncs), nil
}

func (e *emitter) broadcast(field string) vec {
	d := e.vec()
	e.VBROADCASTSS(e.Arg(field), d)
	return d
}

func (e *emitter) attendScale() {
	a, dst, n, s := e.LoadInt("a"), e.LoadInt("dst"), e.LoadInt("n"), e.broadcast("scale")
	e.loops("", n, 2, func(u int, mask Op) {
		at := u * e.lanes * 4
		e.store(e.mul(e.fetch(Mem{Base: a, Disp: at}, mask), s), Mem{Base: dst, Disp: at}, mask)
	}, e.stepper(a, dst))
}

// stepper advances pointers to float32 by vectors.
func (e *emitter) stepper(ptrs ...reg.GPVirtual) func(int) {
	return func(vecs int) {
		for _, p := range ptrs {
			e.ADDQ(U32(vecs*e.lanes*4), p)
		}
	}
}

func (e *emitter) attendMax(masked bool) {
	ptrs := []reg.GPVirtual{e.LoadInt("a"), e.LoadInt("dst")}
	if masked {
		ptrs = append(ptrs, e.LoadInt("b"))
	}
	n, s := e.LoadInt("n"), e.broadcast("scale")
	k := kernel{op: tile.RMax, fold: func(e *emitter, acc, x vec) vec { return e.maxOf(acc, x) }}
	start := e.load(e.c(negInf))
	acc := []vec{e.copyOf(start), e.copyOf(start)}
	seen := []vec{e.vec(), e.vec()}
	e.Zero(seen[0])
	e.Zero(seen[1])
	e.loops("", n, 2, func(u int, mask Op) {
		at := u * e.lanes * 4
		x := e.mul(e.fetch(Mem{Base: ptrs[0], Disp: at}, mask), s)
		if masked {
			x = e.add(x, e.fetch(Mem{Base: ptrs[2], Disp: at}, mask))
		}
		e.store(x, Mem{Base: ptrs[1], Disp: at}, mask)
		if mask != nil {
			x = e.blend(mask, x, start)
		}
		e.orNaN(x, seen[u])
		e.VMOVAPS(k.fold(e, acc[u], x), acc[u])
	}, e.stepper(ptrs...))
	out := e.LoadInt("out")
	e.VMOVSS(e.across(k, k.fold(e, acc[0], acc[1])).AsX(), Mem{Base: out})
	e.anyNaN(e.or(seen[0], seen[1]), "clean")
	bits := e.GP32()
	e.MOVL(U32(0x7fc00000), bits)
	e.MOVL(bits, Mem{Base: out})
	e.Label("clean")
}

func (e *emitter) attendExp() {
	a, dst, n, s := e.LoadInt("a"), e.LoadInt("dst"), e.LoadInt("n"), e.broadcast("scale")
	e.pin(func(e *emitter) { e.exp(e.vec()) })
	zero := e.vec()
	e.Zero(zero)
	acc := e.vec()
	e.Zero(acc)
	e.loops("", n, 1, func(_ int, mask Op) {
		y := e.exp(e.sub(e.fetch(Mem{Base: a}, mask), s))
		e.store(y, Mem{Base: dst}, mask)
		if mask != nil {
			y = e.blend(mask, y, zero)
		}
		e.VADDPS(y, acc, acc)
	}, e.stepper(a, dst))
	out := e.LoadInt("out")
	e.VMOVSS(e.across(sumKernel, acc).AsX(), Mem{Base: out})
	e.pinned = nil
}

var sumKernel = kernel{op: tile.RSum, fold: func(e *emitter, acc, x vec) vec { return e.add(acc, x) }}

// attendDot takes four rows at a time, so that a is loaded once for them and their sums do not wait for each other.
func (e *emitter) attendDot() {
	a, b, dst, stride := e.LoadInt("a"), e.LoadInt("b"), e.LoadInt("dst"), e.LoadInt("stride")
	rows, m := e.LoadInt("n"), e.LoadInt("m")
	stride3 := e.GP64()
	e.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	fetch := e.newAhead(stride)
	for _, group := range []struct {
		label string
		rows  int
	}{{"four_", 4}, {"one_", 1}} {
		e.Label(group.label + "rows")
		e.CMPQ(rows, U32(group.rows))
		e.JL(LabelRef(group.label + "end"))
		x, row, n := e.GP64(), e.GP64(), e.GP64()
		e.MOVQ(a, x)
		e.MOVQ(b, row)
		e.MOVQ(m, n)
		at := []Mem{{Base: row}, {Base: row, Index: stride, Scale: 1}, {Base: row, Index: stride, Scale: 2}, {Base: row, Index: stride3, Scale: 1}}
		later := fetch.of(group.label, group.rows, row, rows)
		var acc []vec
		for range group.rows {
			v := e.vec()
			e.Zero(v)
			acc = append(acc, v)
		}
		e.loops(group.label, n, 1, func(_ int, mask Op) {
			q := e.fetch(Mem{Base: x}, mask)
			for i, v := range acc {
				e.prefetch(at[i], later)
				if mask == nil {
					e.VFMADD231PS(at[i], q, v)
				} else {
					e.VFMADD231PS(e.fetch(at[i], mask), q, v)
				}
			}
		}, e.stepper(x, row, later))
		for i, v := range acc {
			e.VMOVSS(e.across(sumKernel, v).AsX(), Mem{Base: dst, Disp: 4 * i})
		}
		for range group.rows {
			e.ADDQ(stride, b)
		}
		e.ADDQ(U32(4*group.rows), dst)
		e.SUBQ(U32(group.rows), rows)
		e.JMP(LabelRef(group.label + "rows"))
		e.Label(group.label + "end")
	}
}

// fetched is how many rows before they are read rows of K and V are fetched: a page, where they have 64 elements.
const fetched = 16

// ahead is how kernels over rows fetch what they read later. A processor does not look beyond the end of a page, and begins anew at
// each of these short operands.
type ahead struct {
	*emitter
	next, stride, far reg.GPVirtual
}

func (e *emitter) newAhead(stride reg.GPVirtual) *ahead {
	f := &ahead{e, e.LoadInt("next"), stride, e.GP64()}
	e.IMUL3Q(U32(fetched), stride, f.far)
	return f
}

// of gives a pointer to what is fetched while the kernel reads so many rows from row on, of which left are left: rows of the same
// operand, or at its end the first of the next.
func (f *ahead) of(label string, rows int, row, left reg.GPVirtual) reg.GPVirtual {
	p := f.GP64()
	f.LEAQ(Mem{Base: row, Index: f.far, Scale: 1}, p)
	f.CMPQ(left, U32(fetched))
	f.JGE(LabelRef(label + "same"))
	f.MOVQ(f.next, p)
	for range rows {
		f.ADDQ(f.stride, f.next)
	}
	f.Label(label + "same")
	return p
}

// prefetch fetches what lies relative to base as m does to its own.
func (e *emitter) prefetch(m Mem, base reg.GPVirtual) {
	m.Base = base
	e.PREFETCHT0(m)
}

// attendAxpy keeps up to four vectors of dst in registers while it walks down the rows, even and odd rows apart.
func (e *emitter) attendAxpy() {
	a, b, dst, stride := e.LoadInt("a"), e.LoadInt("b"), e.LoadInt("dst"), e.LoadInt("stride")
	rows, m := e.LoadInt("n"), e.LoadInt("m")
	fetch := e.newAhead(stride)
	block := func(label string, vecs int, mask Op) {
		p, row, n := e.GP64(), e.GP64(), e.GP64()
		e.MOVQ(a, p)
		e.MOVQ(b, row)
		e.MOVQ(rows, n)
		var acc [2][]vec
		var later reg.GPVirtual
		for j := range vecs {
			acc[0] = append(acc[0], e.fetch(Mem{Base: dst, Disp: j * e.lanes * 4}, mask))
			z := e.vec()
			e.Zero(z)
			acc[1] = append(acc[1], z)
		}
		step := func(k int) {
			w := e.vec()
			e.VBROADCASTSS(Mem{Base: p, Disp: 4 * k}, w)
			for j, v := range acc[k] {
				x := Mem{Base: row, Disp: j * e.lanes * 4}
				if k == 1 {
					x.Index, x.Scale = stride, 1
				}
				if later != nil && j*e.lanes*4%64 == 0 {
					e.prefetch(x, later)
				}
				if mask == nil {
					e.VFMADD231PS(x, w, v)
				} else {
					e.VFMADD231PS(e.fetch(x, mask), w, v)
				}
			}
		}
		e.SUBQ(U32(2), n)
		e.JL(LabelRef(label + "last"))
		e.Label(label + "pair")
		later = fetch.of(label, 2, row, n)
		step(0)
		step(1)
		e.ADDQ(U32(8), p)
		e.LEAQ(Mem{Base: row, Index: stride, Scale: 2}, row)
		e.SUBQ(U32(2), n)
		e.JGE(LabelRef(label + "pair"))
		e.Label(label + "last")
		later = nil
		e.ADDQ(U32(2), n)
		e.JZ(LabelRef(label + "sum"))
		step(0)
		e.Label(label + "sum")
		for j := range vecs {
			e.store(e.add(acc[0][j], acc[1][j]), Mem{Base: dst, Disp: j * e.lanes * 4}, mask)
		}
		e.stepper(b, dst)(vecs)
	}
	for _, vecs := range []int{4, 1} {
		label := fmt.Sprintf("cols%d_", vecs)
		e.Label(label + "next")
		e.CMPQ(m, U32(vecs*e.lanes))
		e.JL(LabelRef(label + "end"))
		block(label, vecs, nil)
		e.SUBQ(U32(vecs*e.lanes), m)
		e.JMP(LabelRef(label + "next"))
		e.Label(label + "end")
	}
	e.TESTQ(m, m)
	e.JZ(LabelRef("done"))
	block("tail_", 1, e.tailMask(m))
	e.Label("done")
}
