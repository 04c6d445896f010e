// Package tiled writes the float32 functions of runtime/kernels/tiled, one opcode of a tile program on a line of adjacent elements, and those of
// runtime/kernels/attend, which share their arithmetic.
package tiled

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/kernelsgen/gen"
)

const dir = "runtime/kernels/tiled"

func imm(v uint64) Constant { return Imm(v) }

var record = gen.Record{
	Name: "args",
	Doc:  "is what a function reads. Operands of mode S are one element; masks are bytes. dst may be one of the operands.",
	Fields: []gen.Field{
		{Name: "dst", Type: "unsafe.Pointer", Doc: "result: n elements, or one of a reduction"},
		{Name: "a", Type: "unsafe.Pointer", Doc: "first operand"},
		{Name: "b", Type: "unsafe.Pointer", Doc: "second operand"},
		{Name: "c", Type: "unsafe.Pointer", Doc: "condition of select"},
		{Name: "n", Type: "int", Doc: "elements, at least 1"},
	},
}

type kernel struct {
	op     tile.Op
	unroll int
	one    func(e *emitter, x vec) vec    // unary
	two    func(e *emitter, x, y vec) vec // binary
	pred   uint8                          // compare
	fold   func(e *emitter, acc, x vec) vec
	start  float64 // of a reduction
}

var kernels = []kernel{
	{op: tile.Add, unroll: 4, two: func(e *emitter, x, y vec) vec { return e.add(x, y) }},
	{op: tile.Sub, unroll: 4, two: func(e *emitter, x, y vec) vec { return e.sub(x, y) }},
	{op: tile.Mul, unroll: 4, two: func(e *emitter, x, y vec) vec { return e.mul(x, y) }},
	{op: tile.Div, unroll: 2, two: func(e *emitter, x, y vec) vec { return e.div(x, y) }},
	{op: tile.Min, unroll: 2, two: (*emitter).minNaN},
	{op: tile.Max, unroll: 2, two: (*emitter).maxNaN},
	{op: tile.Neg, unroll: 4, one: func(e *emitter, x vec) vec { return e.xor(x, e.bits(1<<31)) }},
	{op: tile.Abs, unroll: 4, one: (*emitter).abs},
	{op: tile.Relu, unroll: 4, one: (*emitter).relu},
	{op: tile.Sqrt, unroll: 2, one: func(e *emitter, x vec) vec { d := e.vec(); e.VSQRTPS(x, d); return d }},
	{op: tile.Recip, unroll: 2, one: func(e *emitter, x vec) vec { return e.div(e.load(e.c(1)), x) }},
	{op: tile.Floor, unroll: 2, one: func(e *emitter, x vec) vec { return e.rounded(x, toFloor) }},
	{op: tile.Ceil, unroll: 2, one: func(e *emitter, x vec) vec { return e.rounded(x, toCeil) }},
	{op: tile.RoundEven, unroll: 2, one: func(e *emitter, x vec) vec { return e.rounded(x, toNearest) }},
	{op: tile.Exp, unroll: 1, one: (*emitter).exp},
	{op: tile.Tanh, unroll: 1, one: (*emitter).tanh},
	{op: tile.Sigmoid, unroll: 1, one: (*emitter).sigmoid},
	{op: tile.Erf, unroll: 1, one: (*emitter).erf},
	{op: tile.Gelu, unroll: 1, one: (*emitter).gelu},
	{op: tile.GeluTanh, unroll: 1, one: (*emitter).geluTanh},
	{op: tile.Silu, unroll: 1, one: (*emitter).silu},
	{op: expSub, unroll: 1, two: func(e *emitter, x, y vec) vec { return e.exp(e.sub(x, y)) }},
	{op: tile.Eq, unroll: 1, pred: cmpEQ},
	{op: tile.Ne, unroll: 1, pred: cmpNE},
	{op: tile.Lt, unroll: 1, pred: cmpLT},
	{op: tile.Le, unroll: 1, pred: cmpLE},
	{op: tile.Gt, unroll: 1, pred: cmpGT},
	{op: tile.Ge, unroll: 1, pred: cmpGE},
	{op: tile.Select, unroll: 1},
	{op: tile.RSum, unroll: 4, fold: func(e *emitter, acc, x vec) vec { return e.add(acc, x) }},
	{op: tile.RMax, unroll: 4, fold: func(e *emitter, acc, x vec) vec { return e.maxOf(acc, x) }, start: negInf},
	{op: tile.RMin, unroll: 4, fold: func(e *emitter, acc, x vec) vec { return e.minOf(acc, x) }, start: posInf},
}

// expSub is the opcode that package tiled makes of sub and exp.
const expSub tile.Op = 120

type tier struct {
	name  string
	lanes int
}

var tiers = []tier{{"avx512", 16}, {"avx2", 8}}

// Files generates the family.
func Files() ([]gen.File, error) {
	var files []gen.File
	var rows, funcs strings.Builder
	for id, t := range tiers {
		e := &emitter{Asm: gen.NewAsm(dir, "tiled_"+t.name, record), lanes: t.lanes, consts: map[uint32]Mem{}}
		fmt.Fprintf(&funcs, "\t{\n")
		for _, k := range kernels {
			names := e.kernel(k, t)
			if names != "" {
				op := "tile." + goName[k.op]
				if k.op == expSub {
					op = "opExpSub"
				}
				fmt.Fprintf(&funcs, "\t\t%s: {%s},\n", op, names)
			}
		}
		fmt.Fprintf(&funcs, "\t},\n")
		fs, needs, err := e.Finish()
		if err != nil {
			return nil, fmt.Errorf("tiled %s: %w", t.name, err)
		}
		files = append(files, fs...)
		var used []string
		for _, n := range needs {
			used = gen.Union(used, n)
		}
		fmt.Fprintf(&rows, "\t{Name: \"f32_tiled_u%d_%s\", Needs: %s, id: %d},\n", 4*t.lanes, t.name, gen.Needs(used), id)
	}
	zrows, err := gen.GoFile(dir+"/zrows.go", "", "tiled", fmt.Sprintf(`import (
	"unsafe"

	"github.com/llmc-go/llmc/runtime/cpu"
)

// rows is the family's table, best first; it ends in the portable row.
var rows = [...]Row{
%s	{Name: "f32_tiled_ref", id: %d},
}

%s`, rows.String(), len(tiers), record.Source()))
	if err != nil {
		return nil, err
	}
	zfuncs, err := gen.GoFile(dir+"/zfuncs_amd64.go", "!purego", "tiled", fmt.Sprintf(`import "github.com/llmc-go/llmc/ir/tile"

// kernels holds the functions of the rows in their order.
var kernels = [len(rows)]*functions{
%s}
`, funcs.String()))
	if err != nil {
		return nil, err
	}
	return append(files, zrows, zfuncs), nil
}

// kernel writes the functions of one opcode and returns them as elements of an array by mode.
func (e *emitter) kernel(k kernel, t tier) string {
	op := k.op.String()
	if k.op == expSub {
		op = "expsub"
	}
	name := func(mode string) string {
		return fmt.Sprintf("f32_tiled_%s%s_u%d_%s", op, mode, k.unroll*t.lanes, t.name)
	}
	var names []string
	add := func(index, n string) { names = append(names, index+": "+n) }
	switch {
	case k.fold != nil:
		add("modeVV", name(""))
		e.reduction(name(""), k)
	case k.one != nil:
		add("modeVV", name(""))
		e.elementwise(name(""), k, false, false)
	case !e.wide() && k.two == nil:
		return "" // masks are bytes: left to the portable row
	default:
		for _, m := range []struct {
			index, suffix string
			scalA, scalB  bool
		}{{"modeVV", "_vv", false, false}, {"modeSV", "_sv", true, false}, {"modeVS", "_vs", false, true}, {"modeSS", "_ss", true, true}} {
			if m.scalA && m.scalB && k.op != tile.Select {
				continue
			}
			add(m.index, name(m.suffix))
			e.elementwise(name(m.suffix), k, m.scalA, m.scalB)
		}
	}
	return strings.Join(names, ", ")
}

// pointers walks a pointer over elements of some size; a scalar stays.
type pointer struct {
	r    reg.GPVirtual
	size int
	one  vec // the broadcast element of a scalar
}

// elementwise writes dst[i] = op(a[i], b[i]): unrolled vectors, single vectors, then the lanes that remain under a mask.
func (e *emitter) elementwise(name string, k kernel, scalA, scalB bool) {
	e.Func(name, fmt.Sprintf("does one operation, %d elements a step.", k.unroll*e.lanes))
	e.pinned = nil
	switch {
	case k.one != nil:
		e.pin(func(e *emitter) { k.one(e, e.vec()) })
	case k.two != nil:
		e.pin(func(e *emitter) { k.two(e, e.vec(), e.vec()) })
	}
	compares := k.one == nil && k.two == nil && k.op != tile.Select
	var ps []*pointer
	ptr := func(field string, size int, scalar bool) *pointer {
		p := &pointer{r: e.LoadInt(field), size: size}
		if scalar {
			p.one = e.vec()
			e.VBROADCASTSS(Mem{Base: p.r}, p.one)
		} else {
			ps = append(ps, p)
		}
		return p
	}
	a := ptr("a", 4, scalA)
	var b, cond *pointer
	if k.one == nil {
		b = ptr("b", 4, scalB)
	}
	if k.op == tile.Select {
		cond = ptr("c", 1, false)
	}
	dsize := 4
	if compares {
		dsize = 1
	}
	dst := ptr("dst", dsize, false)
	n := e.LoadInt("n")
	get := func(p *pointer, u int, mask Op) vec {
		if p.one != nil {
			return p.one
		}
		return e.fetch(Mem{Base: p.r, Disp: u * e.lanes * p.size}, mask)
	}
	step := func(u int, mask Op) {
		to := Mem{Base: dst.r, Disp: u * e.lanes * dst.size}
		x := get(a, u, mask)
		switch {
		case k.one != nil:
			e.store(k.one(e, x), to, mask)
		case k.two != nil:
			e.store(k.two(e, x, get(b, u, mask)), to, mask)
		case compares:
			e.storeTruth(e.compare(k.pred, x, get(b, u, mask)), to, mask)
		default:
			m := e.truth(Mem{Base: cond.r, Disp: u * e.lanes}, mask)
			e.store(e.blend(m, x, get(b, u, mask)), to, mask)
		}
	}
	advance := func(vecs int) {
		for _, p := range ps {
			e.ADDQ(U32(vecs*e.lanes*p.size), p.r)
		}
	}
	if k.op == tile.Div && scalB {
		e.divideBy(n, advance, b.one, func(f func(x vec) vec, u int, mask Op) {
			e.store(f(get(a, u, mask)), Mem{Base: dst.r, Disp: u * e.lanes * dst.size}, mask)
		})
	}
	e.loops("", n, k.unroll, step, advance)
	e.End()
}

// loops runs step over n elements: unroll vectors at a time, then one, then what remains under a mask.
func (e *emitter) loops(label string, n reg.GPVirtual, unroll int, step func(u int, mask Op), advance func(vecs int)) {
	if unroll > 1 {
		e.SUBQ(U32(unroll*e.lanes), n)
		e.JL(LabelRef(label + "single"))
		e.Label(label + "many")
		for u := range unroll {
			step(u, nil)
		}
		advance(unroll)
		e.SUBQ(U32(unroll*e.lanes), n)
		e.JGE(LabelRef(label + "many"))
		e.Label(label + "single")
		e.ADDQ(U32((unroll-1)*e.lanes), n)
	} else {
		e.SUBQ(U32(e.lanes), n)
	}
	e.JL(LabelRef(label + "tail"))
	e.Label(label + "one")
	step(0, nil)
	advance(1)
	e.SUBQ(U32(e.lanes), n)
	e.JGE(LabelRef(label + "one"))
	e.Label(label + "tail")
	e.ADDQ(U32(e.lanes), n)
	e.JZ(LabelRef(label + "done"))
	step(0, e.tailMask(n))
	e.Label(label + "done")
}

// truth loads bytes as a mask register.
func (e *emitter) truth(m Mem, mask Op) Op {
	x, k := e.XMM(), e.K()
	if mask == nil {
		e.VMOVDQU8(m, x)
	} else {
		e.VMOVDQU8_Z(m, mask, x)
	}
	e.VPTESTMB(x, x, k)
	return k
}

// storeTruth stores a mask register as bytes 0 and 1.
func (e *emitter) storeTruth(k Op, m Mem, mask Op) {
	x := e.XMM()
	e.VMOVDQU8_Z(e.constant(0x01010101), k, x)
	if mask == nil {
		e.VMOVDQU8(x, m)
	} else {
		e.VMOVDQU8(x, mask, m)
	}
}

// divideBy writes the loops for a divisor whose reciprocal is a normal number, and jumps past them for others.
func (e *emitter) divideBy(n reg.GPVirtual, advance func(int), d vec, each func(f func(vec) vec, u int, mask Op)) {
	exp := e.GP32()
	e.VMOVD(d.AsX(), exp)
	e.SHRL(imm(23), exp)
	e.ANDL(U32(255), exp)
	e.SUBL(U32(27), exp) // exponents from -100 to 100
	e.CMPL(exp, U32(200))
	e.JHI(LabelRef("divide"))
	r := e.div(e.load(e.c(1)), d)
	e.loops("by_", n, 2, func(u int, mask Op) {
		each(func(x vec) vec { return e.quotient(x, d, r) }, u, mask)
	}, advance)
	e.End()
	e.Label("divide")
}
