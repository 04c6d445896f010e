package program

import (
	"math"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program/internal/fb"
)

// offset is where a finished object lies in a buffer that is being built; 0 is an absent one.
type offset = flatbuffers.UOffsetT

// encoder builds the description of a program. FlatBuffers are built from the leaves: whatever a table refers
// to is made before it.
type encoder struct {
	*flatbuffers.Builder
}

// describe encodes everything of p but the constants' bytes, whose places are given.
func describe(p *Program, stored []stored) []byte {
	e := encoder{flatbuffers.NewBuilder(1 << 16)}
	syms := e.texts(p.Dims.Syms)
	dims := e.structs(24, len(p.Dims.Code), func(i int) {
		c := &p.Dims.Code[i]
		fb.CreateDimInstr(e.Builder, byte(c.Op), int32(c.A), int32(c.B), c.Imm)
	})
	symbols := e.structs(32, len(p.Symbols), func(i int) {
		s := &p.Symbols[i]
		fb.CreateSymbol(e.Builder, s.Lo, s.Hi, s.Step, s.Late)
	})
	guards := tablesOf(e, p.Guards, e.guard)
	consts := e.tables(len(p.Consts), func(i int) offset { return e.constant(&p.Consts[i], &stored[i]) })
	tiles := tablesOf(e, p.Progs, e.tile)
	entries := tablesOf(e, p.Entries, e.entry)
	prov := e.provenance(&p.Prov)
	fb.ProgramStart(e.Builder)
	fb.ProgramAddSyms(e.Builder, syms)
	fb.ProgramAddDims(e.Builder, dims)
	fb.ProgramAddSymbols(e.Builder, symbols)
	fb.ProgramAddGuards(e.Builder, guards)
	fb.ProgramAddConsts(e.Builder, consts)
	fb.ProgramAddTiles(e.Builder, tiles)
	fb.ProgramAddEntries(e.Builder, entries)
	fb.ProgramAddProv(e.Builder, prov)
	e.Finish(fb.ProgramEnd(e.Builder))
	return e.FinishedBytes()
}

func (e encoder) guard(g *Guard) offset {
	why := e.text(g.Why)
	fb.GuardStart(e.Builder)
	fb.GuardAddA(e.Builder, int32(g.A))
	fb.GuardAddB(e.Builder, int32(g.B))
	fb.GuardAddBcast(e.Builder, g.Bcast)
	fb.GuardAddWhy(e.Builder, why)
	return fb.GuardEnd(e.Builder)
}

func (e encoder) constant(c *Const, s *stored) offset {
	name, shape, lay := e.text(c.Name), e.ints(s.shape), e.text(string(c.Layout))
	fb.ConstStart(e.Builder)
	fb.ConstAddName(e.Builder, name)
	fb.ConstAddElem(e.Builder, byte(s.elem))
	fb.ConstAddShape(e.Builder, shape)
	fb.ConstAddLayout(e.Builder, lay)
	fb.ConstAddOffset(e.Builder, s.off)
	fb.ConstAddSize(e.Builder, s.size)
	return fb.ConstEnd(e.Builder)
}

func (e encoder) tile(t *tile.Program) offset {
	code := e.structs(40, len(t.Code), func(i int) {
		c := &t.Code[i]
		fb.CreateTileInstr(e.Builder, byte(c.Op), byte(c.Class), byte(c.Elem), c.A, c.B, c.C, c.Arg, c.F, c.I)
	})
	fb.TileStart(e.Builder)
	fb.TileAddCode(e.Builder, code)
	return fb.TileEnd(e.Builder)
}

func (e encoder) entry(n *Entry) offset {
	name := e.text(n.Name)
	ins, outs := tablesOf(e, n.Inputs, e.io), tablesOf(e, n.Outputs, e.io)
	binds := e.structs(24, len(n.Binds), func(i int) {
		b := &n.Binds[i]
		fb.CreateBind(e.Builder, b.Sym, b.Input, b.Axis, int32(b.Rest), b.Coef)
	})
	states := e.structs(12, len(n.States), func(i int) {
		s := &n.States[i]
		fb.CreateState(e.Builder, s.Input, s.Output, s.Axis)
	})
	body := e.body(&n.Body)
	fb.EntryStart(e.Builder)
	fb.EntryAddName(e.Builder, name)
	fb.EntryAddInputs(e.Builder, ins)
	fb.EntryAddOutputs(e.Builder, outs)
	fb.EntryAddBinds(e.Builder, binds)
	fb.EntryAddStates(e.Builder, states)
	fb.EntryAddBody(e.Builder, body)
	return fb.EntryEnd(e.Builder)
}

func (e encoder) io(x *IO) offset {
	name, shape, text := e.text(x.Name), e.refs(x.Shape), e.texts(x.Text)
	fb.IOStart(e.Builder)
	fb.IOAddName(e.Builder, name)
	fb.IOAddElem(e.Builder, byte(x.Elem))
	fb.IOAddShape(e.Builder, shape)
	fb.IOAddText(e.Builder, text)
	return fb.IOEnd(e.Builder)
}

func (e encoder) body(b *Body) offset {
	bufs, steps := tablesOf(e, b.Bufs, e.buf), tablesOf(e, b.Steps, e.step)
	params, results, defs := e.int32s(b.Params), e.int32s(b.Results), e.defs(b.Defs)
	fb.BodyStart(e.Builder)
	fb.BodyAddBufs(e.Builder, bufs)
	fb.BodyAddParams(e.Builder, params)
	fb.BodyAddResults(e.Builder, results)
	fb.BodyAddSteps(e.Builder, steps)
	fb.BodyAddDefs(e.Builder, defs)
	return fb.BodyEnd(e.Builder)
}

func (e encoder) buf(b *Buf) offset {
	shape, name := e.refs(b.Shape), e.text(b.Name)
	fb.BufStart(e.Builder)
	fb.BufAddKind(e.Builder, byte(b.Kind))
	fb.BufAddElem(e.Builder, byte(b.Elem))
	fb.BufAddShape(e.Builder, shape)
	fb.BufAddCount(e.Builder, int32(b.Count))
	fb.BufAddIndex(e.Builder, b.Index)
	fb.BufAddAlias(e.Builder, b.Alias)
	fb.BufAddFirst(e.Builder, b.First)
	fb.BufAddLast(e.Builder, b.Last)
	fb.BufAddName(e.Builder, name)
	return fb.BufEnd(e.Builder)
}

func (e encoder) use(u *Use) offset {
	stride, shape := e.refs(u.Stride), e.refs(u.Shape)
	via := e.structs(12, len(u.Via), func(i int) {
		v := &u.Via[i]
		fb.CreateVia(e.Builder, v.Operand, int32(v.Extent), int32(v.Stride))
	})
	fb.UseStart(e.Builder)
	fb.UseAddBuf(e.Builder, u.Buf)
	fb.UseAddOff(e.Builder, int32(u.Off))
	fb.UseAddStride(e.Builder, stride)
	fb.UseAddVia(e.Builder, via)
	fb.UseAddShape(e.Builder, shape)
	return fb.UseEnd(e.Builder)
}

func (e encoder) axis(a *Axis) offset {
	name := e.text(a.Name)
	fb.AxisStart(e.Builder)
	fb.AxisAddName(e.Builder, name)
	fb.AxisAddExtent(e.Builder, int32(a.Extent))
	fb.AxisAddRed(e.Builder, a.Red)
	return fb.AxisEnd(e.Builder)
}

func (e encoder) attr(a *Attr) offset {
	v := &a.Value
	name, s, dims := e.text(a.Name), e.text(v.S), e.refs(a.Dims)
	ints := vectorOf(e, 8, v.Ints, e.PrependInt64)
	floats := vectorOf(e, 8, v.Floats, e.PrependFloat64)
	strs := e.texts(v.Strs)
	fb.AttrStart(e.Builder)
	fb.AttrAddName(e.Builder, name)
	fb.AttrAddKind(e.Builder, byte(v.Kind))
	fb.AttrAddI(e.Builder, v.I)
	fb.AttrAddFBits(e.Builder, math.Float64bits(v.F))
	fb.AttrAddS(e.Builder, s)
	fb.AttrAddInts(e.Builder, ints)
	fb.AttrAddFloats(e.Builder, floats)
	fb.AttrAddStrs(e.Builder, strs)
	fb.AttrAddElem(e.Builder, byte(v.Elem))
	fb.AttrAddDims(e.Builder, dims)
	return fb.AttrEnd(e.Builder)
}

func (e encoder) window(s *Step) offset {
	w := s.Window
	if w == nil {
		return 0
	}
	kernel, stride, dilation, begin, end := e.ints(w.Kernel), e.ints(w.Stride), e.ints(w.Dilation), e.ints(w.PadBegin), e.ints(w.PadEnd)
	fb.WindowStart(e.Builder)
	fb.WindowAddCombine(e.Builder, byte(w.Combine))
	fb.WindowAddGroups(e.Builder, int64(w.Groups))
	fb.WindowAddKernel(e.Builder, kernel)
	fb.WindowAddStride(e.Builder, stride)
	fb.WindowAddDilation(e.Builder, dilation)
	fb.WindowAddPadBegin(e.Builder, begin)
	fb.WindowAddPadEnd(e.Builder, end)
	fb.WindowAddLast(e.Builder, w.Last)
	return fb.WindowEnd(e.Builder)
}

func (e encoder) attend(s *Step) offset {
	if s.Attend == nil {
		return 0
	}
	fb.AttendStart(e.Builder)
	fb.AttendAddScaleBits(e.Builder, math.Float64bits(s.Attend.Scale))
	fb.AttendAddCausal(e.Builder, s.Attend.Causal)
	return fb.AttendEnd(e.Builder)
}

func (e encoder) step(s *Step) offset {
	space, ins, outs := tablesOf(e, s.Space, e.axis), tablesOf(e, s.In, e.use), tablesOf(e, s.Out, e.use)
	attrs, bodies := tablesOf(e, s.Attrs, e.attr), tablesOf(e, s.Bodies, e.body)
	window, attend := e.window(s), e.attend(s)
	dims, defs, present := e.refs(s.Dims), e.defs(s.Defs), vectorOf(e, 1, s.Present, e.PrependBool)
	host, node, op := e.text(s.Host), e.text(s.Node), e.text(s.Op)
	rows, is, locs := e.texts(s.Pick.Rows), e.texts(s.Is), e.texts(s.Locs)
	fb.StepStart(e.Builder)
	fb.StepAddAnchor(e.Builder, byte(s.Anchor))
	fb.StepAddSpace(e.Builder, space)
	fb.StepAddIns(e.Builder, ins)
	fb.StepAddOuts(e.Builder, outs)
	fb.StepAddProg(e.Builder, s.Prog)
	fb.StepAddDims(e.Builder, dims)
	fb.StepAddWindow(e.Builder, window)
	fb.StepAddAttend(e.Builder, attend)
	fb.StepAddHost(e.Builder, host)
	fb.StepAddAttrs(e.Builder, attrs)
	fb.StepAddBodies(e.Builder, bodies)
	fb.StepAddCarried(e.Builder, s.Carried)
	fb.StepAddPresent(e.Builder, present)
	fb.StepAddLate(e.Builder, s.Late)
	fb.StepAddDefs(e.Builder, defs)
	fb.StepAddRows(e.Builder, rows)
	fb.StepAddNode(e.Builder, node)
	fb.StepAddOp(e.Builder, op)
	fb.StepAddIs(e.Builder, is)
	fb.StepAddLocs(e.Builder, locs)
	fb.StepAddMoves(e.Builder, s.Moves)
	fb.StepAddMasked(e.Builder, s.Masked)
	return fb.StepEnd(e.Builder)
}

func (e encoder) provenance(p *Provenance) offset {
	model, hash, version, options, tier, notes := e.text(p.Model), e.text(p.Hash), e.text(p.Version), e.text(p.Options), e.text(p.Tier), e.texts(p.Notes)
	fb.ProvenanceStart(e.Builder)
	fb.ProvenanceAddModel(e.Builder, model)
	fb.ProvenanceAddHash(e.Builder, hash)
	fb.ProvenanceAddVersion(e.Builder, version)
	fb.ProvenanceAddOptions(e.Builder, options)
	fb.ProvenanceAddTier(e.Builder, tier)
	fb.ProvenanceAddNodes(e.Builder, int64(p.Nodes))
	fb.ProvenanceAddNotes(e.Builder, notes)
	return fb.ProvenanceEnd(e.Builder)
}

// text encodes a string; the empty one is absent.
func (e encoder) text(s string) offset {
	if s == "" {
		return 0
	}
	return e.CreateString(s)
}

func (e encoder) texts(l []string) offset {
	return e.tables(len(l), func(i int) offset { return e.CreateString(l[i]) })
}

func (e encoder) int32s(l []int32) offset { return vectorOf(e, 4, l, e.PrependInt32) }

func (e encoder) refs(l []dim.Ref) offset {
	return vectorOf(e, 4, l, func(r dim.Ref) { e.PrependInt32(int32(r)) })
}

func (e encoder) ints(l []int) offset {
	return vectorOf(e, 8, l, func(v int) { e.PrependInt64(int64(v)) })
}

func (e encoder) defs(l []LateDef) offset {
	return e.structs(12, len(l), func(i int) { fb.CreateLateDef(e.Builder, l[i].Sym, l[i].Out, l[i].Axis) })
}

// structs encodes a vector of structs of a size; one i writes the i-th. Vectors grow downwards. An empty one is absent.
func (e encoder) structs(size, n int, one func(i int)) offset {
	if n == 0 {
		return 0
	}
	align := 8
	if size%8 != 0 {
		align = 4
	}
	e.StartVector(size, n, align)
	for i := n - 1; i >= 0; i-- {
		one(i)
	}
	return e.EndVector(n)
}

// vectorOf encodes a vector of scalars of a size.
func vectorOf[T any](e encoder, size int, l []T, prepend func(T)) offset {
	if len(l) == 0 {
		return 0
	}
	e.StartVector(size, len(l), size)
	for i := len(l) - 1; i >= 0; i-- {
		prepend(l[i])
	}
	return e.EndVector(len(l))
}

// tables encodes a vector of n objects; make builds the i-th.
func (e encoder) tables(n int, build func(i int) offset) offset {
	if n == 0 {
		return 0
	}
	l := make([]offset, n)
	for i := range l {
		l[i] = build(i)
	}
	e.StartVector(4, n, 4)
	for i := n - 1; i >= 0; i-- {
		e.PrependUOffsetT(l[i])
	}
	return e.EndVector(n)
}

func tablesOf[T any](e encoder, l []T, build func(*T) offset) offset {
	return e.tables(len(l), func(i int) offset { return build(&l[i]) })
}
