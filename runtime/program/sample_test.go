package program_test

import (
	"encoding/binary"
	"math"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// maker writes programs by hand.
type maker struct {
	dims *dim.Builder
	p    *program.Program
}

func (m *maker) refs(exprs ...string) []dim.Ref {
	var l []dim.Ref
	for _, e := range exprs {
		l = append(l, m.ref(e))
	}
	return l
}

func (m *maker) ref(expr string) dim.Ref {
	e, err := dim.Parse(expr)
	if err != nil {
		panic(err)
	}
	return m.dims.Ref(e)
}

func (m *maker) tile(text string, c tile.Class) int32 {
	p, err := tile.Parse(text, c)
	if err != nil {
		panic(err)
	}
	m.p.Progs = append(m.p.Progs, *p)
	return int32(len(m.p.Progs) - 1)
}

// buf adds a buffer that lives for the whole body.
func (m *maker) buf(b *program.Body, kind program.BufKind, elem dtype.Type, shape ...string) int32 {
	n := program.Buf{Kind: kind, Elem: elem, Shape: m.refs(shape...), Alias: -1, First: 0, Last: 99, Name: "v"}
	count := dim.Const(1)
	for _, s := range shape {
		e, _ := dim.Parse(s)
		count = dim.Mul(count, e)
	}
	n.Count = m.dims.Ref(count)
	id := int32(len(b.Bufs))
	switch kind {
	case program.BufInput:
		n.Index = int32(len(b.Params))
		b.Params = append(b.Params, id)
	case program.BufOutput:
		n.Index = int32(len(b.Results))
		b.Results = append(b.Results, id)
	}
	b.Bufs = append(b.Bufs, n)
	return id
}

// use sees a buffer through strides.
func (m *maker) use(buf int32, stride ...string) program.Use {
	return program.Use{Buf: buf, Off: m.ref("0"), Stride: m.refs(stride...)}
}

// seen sees a buffer whole.
func (m *maker) seen(b *program.Body, buf int32) program.Use {
	return program.Use{Buf: buf, Off: m.ref("0"), Shape: b.Bufs[buf].Shape}
}

func (m *maker) space(red int, extents ...string) []program.Axis {
	var l []program.Axis
	for i, e := range extents {
		l = append(l, program.Axis{Name: string(rune('i' + i)), Extent: m.ref(e), Red: i >= len(extents)-red})
	}
	return l
}

func (m *maker) finish(b *program.Body) {
	for i := range b.Bufs {
		b.Bufs[i].Last = min(b.Bufs[i].Last, int32(len(b.Steps)))
	}
}

func f32s(n int) []byte {
	b := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(i%7)+0.5))
	}
	return b
}

const copyF32 = "x = load %0; store %1, x"

// small is a program of one step.
func small() *program.Program {
	m := &maker{dim.NewBuilder(), &program.Program{}}
	b := program.Body{}
	x, y := m.buf(&b, program.BufInput, dtype.F32, "N"), m.buf(&b, program.BufOutput, dtype.F32, "N")
	w := m.buf(&b, program.BufConst, dtype.F32, "1")
	b.Steps = []program.Step{{Anchor: anchor.Map, Space: m.space(0, "N"), In: []program.Use{m.use(x, "1"), m.use(w, "0")}, Out: []program.Use{m.use(y, "1")},
		Prog: m.tile("x = load %0; w = load %1; y = mul x, w; store %2, y", tile.F32), Op: "Mul"}}
	m.p.Consts = []program.Const{{Name: "w", Elem: dtype.F32, Data: f32s(1)}}
	m.entry("main", b, "N")
	return m.done()
}

// entry adds an entry whose inputs and outputs are those of the body; each symbol is bound by axis 0 of the first input.
func (m *maker) entry(name string, b program.Body, syms ...string) {
	m.finish(&b)
	e := program.Entry{Name: name}
	io := func(id int32, name string) program.IO {
		f := &b.Bufs[id]
		x := program.IO{Name: name, Elem: f.Elem, Shape: f.Shape}
		for _, r := range f.Shape {
			x.Text = append(x.Text, m.dims.Text(r))
		}
		return x
	}
	for _, id := range b.Params {
		e.Inputs = append(e.Inputs, io(id, "in"))
	}
	for _, id := range b.Results {
		e.Outputs = append(e.Outputs, io(id, "out"))
	}
	for i, s := range syms {
		e.Binds = append(e.Binds, program.Bind{Sym: int32(m.dims.Symbol(s)), Axis: int32(i), Rest: m.ref("0"), Coef: 1})
	}
	e.Body = b
	m.p.Entries = append(m.p.Entries, e)
}

func (m *maker) done(late ...string) *program.Program {
	m.p.Dims = m.dims.Program
	for _, s := range m.p.Dims.Syms {
		x := program.Symbol{Lo: 1, Hi: 1 << 20, Step: 1}
		for _, l := range late {
			x.Late = x.Late || l == s
		}
		m.p.Symbols = append(m.p.Symbols, x)
	}
	return m.p
}

// full is a program with every anchor, attribute kind and nesting.
func full() *program.Program {
	m := &maker{dim.NewBuilder(), &program.Program{}}
	m.p.Prov = program.Provenance{Model: "m.onnx", Hash: "ab", Version: "1", Options: "--x", Tier: "avx2", Nodes: 12, Notes: []string{"a", ""}}
	m.p.Consts = []program.Const{
		{Name: "w", Elem: dtype.F32, Shape: []int{40, 33}, Layout: layout.P32, Data: f32s(40 * 33), Pack: &layout.Packing{K: 40, N: 33, RowStride: 33, ColStride: 1}},
		{Name: "conv", Elem: dtype.F32, Shape: []int{4, 2, 3}, Data: f32s(24)},
		{Name: "big", Elem: dtype.F16, Shape: []int{3000}, Data: f32s(1500)},
		{Name: "again", Elem: dtype.F32, Shape: []int{24}, Data: f32s(24)},
		{Name: "none", Elem: dtype.I64, Shape: []int{0, 5}},
		{Name: "nibbles", Elem: dtype.U4, Shape: []int{3}, Data: []byte{1, 2}},
	}
	m.p.Guards = []program.Guard{{A: m.ref("B"), B: m.ref("S"), Bcast: true, Why: "broadcast"}}
	m.main()
	b := program.Body{}
	x, y := m.buf(&b, program.BufInput, dtype.I64, "2*N + 1"), m.buf(&b, program.BufOutput, dtype.I64, "2*N + 1")
	b.Steps = []program.Step{{Anchor: anchor.Map, Space: m.space(0, "2*N + 1"), In: []program.Use{m.use(x, "1")}, Out: []program.Use{m.use(y, "1")},
		Prog: m.tile("i = idx 0; d = dim 0; x = load %0; y = add x, i; z = mul y, d; k = imm i64 -3; u = sub z, k; store %1, u", tile.I64), Dims: m.refs("N*N"), Op: "Add"}}
	m.entry("second", b)
	m.p.Entries[1].Binds = []program.Bind{{Sym: int32(m.dims.Symbol("N")), Rest: m.ref("1"), Coef: 2}}
	return m.done("L", "P")
}

func (m *maker) main() {
	b := program.Body{}
	x := m.buf(&b, program.BufInput, dtype.F32, "B", "S", "40")
	cond := m.buf(&b, program.BufInput, dtype.Bool)
	q := m.buf(&b, program.BufInput, dtype.F32, "B", "2", "S", "8")
	pic := m.buf(&b, program.BufInput, dtype.F32, "B", "4", "16")
	out := m.buf(&b, program.BufOutput, dtype.F32, "B", "S", "40")
	o2 := m.buf(&b, program.BufOutput, dtype.F32, "B", "2", "S", "8")
	o3 := m.buf(&b, program.BufOutput, dtype.F32, "B", "4", "8")
	o4 := m.buf(&b, program.BufOutput, dtype.F32, "B*S")
	w, cw, tab := m.buf(&b, program.BufConst, dtype.F32, "2560"), m.buf(&b, program.BufConst, dtype.F32, "4", "2", "3"), m.buf(&b, program.BufConst, dtype.F16, "3000")
	t1, t2 := m.buf(&b, program.BufTemp, dtype.F32, "B", "S", "40"), m.buf(&b, program.BufTemp, dtype.F32, "B", "S", "40")
	prod := m.buf(&b, program.BufTemp, dtype.F32, "B", "S", "33")
	nz := m.buf(&b, program.BufHeap, dtype.I64, "2", "L")
	got := m.buf(&b, program.BufHeap, dtype.F32, "L")
	b.Bufs[tab].Index, b.Bufs[cw].Index = 2, 1
	t3 := m.buf(&b, program.BufTemp, dtype.F32, "B*S")
	b.Bufs[t1].First, b.Bufs[t1].Last = 0, 1
	b.Bufs[t2].First, b.Bufs[t2].Alias = 1, t1
	rank3 := []string{"40*S", "40", "1"}
	prog := func(s string) int32 { return m.tile(s, tile.F32) }
	out3 := m.use(o3, "32", "8", "1", "0", "0")
	out3.Shape = b.Bufs[o3].Shape
	pu, cu := m.use(pic, "64", "16", "2", "16", "1"), m.use(cw, "0", "6", "0", "3", "1")
	pu.Shape, cu.Shape = b.Bufs[pic].Shape, b.Bufs[cw].Shape
	qu := m.use(q, "16*S", "8*S", "8", "0", "0", "1")
	qu.Shape = b.Bufs[q].Shape
	ku, vu := m.use(q, "16*S", "8*S", "0", "0", "8", "1"), m.use(q, "16*S", "8*S", "0", "1", "8", "0")
	ku.Shape, vu.Shape = qu.Shape, qu.Shape
	via := m.use(tab, "0")
	via.Via = []program.Via{{Operand: 0, Extent: m.ref("3000"), Stride: m.ref("1")}}
	sc := m.use(t3, "1")
	m.p.Progs = nil
	b.Steps = []program.Step{
		{Anchor: anchor.Map, Space: m.space(0, "B", "S", "40"), In: []program.Use{m.use(x, rank3...)}, Out: []program.Use{m.use(t1, rank3...)},
			Prog: prog("x = load %0; y = relu x; z = imm f32 -0.0; u = add y, z; store %1, u"), Pick: program.Pick{Rows: []string{"a", "b"}}, Node: "n0", Op: "Relu", Is: []string{"r"}, Locs: []string{"n0", "n1"}},
		{Anchor: anchor.Rows, Space: m.space(1, "B", "S", "40"), In: []program.Use{m.use(t1, rank3...)}, Out: []program.Use{m.use(t2, rank3...)},
			Prog: prog("x = load %0; m = rmax x; d = sub x, m; e = exp d; z = rsum e; y = div e, z; store %1, y"), Op: "Softmax"},
		{Anchor: anchor.Contract, Space: m.space(1, "B", "S", "33", "40"), In: []program.Use{m.use(t2, "40*S", "40", "0", "1"), m.use(w, "0", "0", "1", "33")},
			Out: []program.Use{m.use(prod, "33*S", "33", "1", "0")}, Prog: prog("a = acc f32; store %2, a"), Op: "MatMul"},
		{Anchor: anchor.Window, Space: m.space(2, "B", "4", "8", "2", "3"), In: []program.Use{pu, cu}, Out: []program.Use{out3}, Prog: prog("a = acc f32; b = relu a; store %2, b"), Op: "Conv",
			Window: &anchor.WindowAttr{Combine: anchor.Dot, Groups: 2, Kernel: []int{3}, Stride: []int{2}, Dilation: []int{1}, PadBegin: []int{1}, PadEnd: []int{0}}},
		{Anchor: anchor.Attend, Space: m.space(2, "B", "2", "S", "8", "S", "8"), In: []program.Use{qu, ku, vu, m.use(q, "0", "0", "0", "0", "0", "0")}, Masked: true, Out: []program.Use{m.use(o2, "16*S", "8*S", "8", "1", "0", "0")},
			Prog: prog("a = acc f32; store %4, a"), Attend: &anchor.AttendAttr{Scale: math.Copysign(0, -1), Causal: true}, Op: "Attention"},
		{Anchor: anchor.Host, Prog: -1, Host: "index.nonzero", In: []program.Use{m.seen(&b, prod)}, Out: []program.Use{m.seen(&b, nz)}, Present: []bool{true, false}, Late: true,
			Defs: []program.LateDef{{Sym: int32(m.dims.Symbol("L")), Axis: 1}}, Attrs: m.attrs(), Node: "nz", Op: "NonZero", Is: []string{""}},
		{Anchor: anchor.Map, Space: m.space(0, "L"), In: []program.Use{m.use(nz, "1"), via}, Out: []program.Use{m.use(got, "1")}, Prog: prog("x = load %1; store %2, x"), Late: true, Op: "Gather"},
		{Anchor: anchor.Scatter, Space: m.space(0, "B*S"), In: []program.Use{m.use(x, "1")}, Out: []program.Use{sc}, Prog: prog(copyF32), Op: "ScatterND"},
		{Anchor: anchor.Map, Space: m.space(0, "B*S"), In: []program.Use{m.use(t3, "1")}, Out: []program.Use{m.use(o4, "1")}, Prog: m.tile(copyF32, tile.I64), Moves: true, Op: "copy"},
		m.branch(&b, cond, t2, out),
	}
	m.entry("main", b, "B", "S")
	m.p.Entries[0].States = []program.State{{Input: 0, Output: 0, Axis: 1}}
}

func (m *maker) attrs() []program.Attr {
	return []program.Attr{
		{Name: "none"}, {Name: "int", Value: attr.OfInt(-5)}, {Name: "float", Value: attr.OfFloat(math.Copysign(0, -1))}, {Name: "nan", Value: attr.OfFloat(math.NaN())},
		{Name: "str", Value: attr.OfStr("x\n\x00\xff")}, {Name: "bool", Value: attr.OfBool(true)}, {Name: "ints", Value: attr.OfInts([]int64{1, math.MinInt64})},
		{Name: "floats", Value: attr.OfFloats([]float64{0.5, math.Inf(-1)})}, {Name: "strs", Value: attr.OfStrs([]string{"", "b"})},
		{Name: "elem", Value: attr.OfElem(dtype.BF16)}, {Name: "dims", Value: attr.Value{Kind: attr.Dims}, Dims: m.refs("B", "S + 1", "7")}, {Name: "const", Value: attr.OfConst(4)},
	}
}

// branch holds a loop in one branch and a copy in the other.
func (m *maker) branch(outer *program.Body, cond, x, out int32) program.Step {
	shape := []string{"B", "S", "40"}
	inner := func(b *program.Body, from, to int32) program.Step {
		return program.Step{Anchor: anchor.Map, Space: m.space(0, "40*B*S"), In: []program.Use{m.use(from, "1")}, Out: []program.Use{m.use(to, "1")}, Prog: m.tile(copyF32, tile.F32), Op: "Identity"}
	}
	then := program.Body{}
	tx, ty := m.buf(&then, program.BufInput, dtype.F32, shape...), m.buf(&then, program.BufOutput, dtype.F32, shape...)
	then.Steps = []program.Step{inner(&then, tx, ty)}
	m.finish(&then)

	body := program.Body{}
	m.buf(&body, program.BufInput, dtype.I64)
	c := m.buf(&body, program.BufInput, dtype.Bool)
	v := m.buf(&body, program.BufInput, dtype.F32, shape...)
	p := m.buf(&body, program.BufInput, dtype.F32, "P")
	body.Defs = []program.LateDef{{Sym: int32(m.dims.Symbol("P")), Out: 3}}
	c2 := m.buf(&body, program.BufOutput, dtype.Bool)
	v2 := m.buf(&body, program.BufOutput, dtype.F32, shape...)
	scan := m.buf(&body, program.BufOutput, dtype.F32)
	body.Steps = []program.Step{
		{Anchor: anchor.Map, In: []program.Use{m.use(c)}, Out: []program.Use{m.use(c2)}, Prog: m.tile(copyF32, tile.Mask), Op: "Identity"},
		inner(&body, v, v2),
		{Anchor: anchor.Rows, Space: m.space(1, "P"), In: []program.Use{m.use(p, "1")}, Out: []program.Use{m.use(scan, "0")}, Prog: m.tile("x = load %0; y = rsum x; store %1, y", tile.F32), Late: true, Op: "ReduceSum"},
	}
	m.finish(&body)

	els := program.Body{}
	ex, ey := m.buf(&els, program.BufInput, dtype.F32, shape...), m.buf(&els, program.BufOutput, dtype.F32, shape...)
	row := m.buf(&els, program.BufTemp, dtype.F32, "S")
	sums := m.buf(&els, program.BufHeap, dtype.F32, "L")
	els.Steps = []program.Step{
		{Anchor: anchor.Map, Space: m.space(0, "S"), In: []program.Use{m.use(ex, "40")}, Out: []program.Use{m.use(row, "1")}, Prog: m.tile(copyF32, tile.F32), Op: "Slice"},
		{Anchor: anchor.Loop, Prog: -1, In: []program.Use{m.seen(&els, ex), m.seen(&els, row)}, Out: []program.Use{m.seen(&els, ey), m.seen(&els, sums)},
			Present: []bool{false, false, true, true}, Carried: 1, Bodies: []program.Body{body}, Late: true, Op: "Loop"},
	}
	m.finish(&els)
	return program.Step{Anchor: anchor.Branch, Prog: -1, In: []program.Use{m.seen(outer, cond), m.seen(outer, x)}, Out: []program.Use{m.seen(outer, out)},
		Present: []bool{true, true}, Bodies: []program.Body{then, els}, Node: "if", Op: "If"}
}
