package program

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/formats/mmap"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program/internal/fb"
)

// File is a program whose constants are views of a mapped file.
type File struct {
	*Program
	m *mmap.File
}

// Open maps a .llmc file, verifies it and decodes all but its constants, which stay in the file: pages are
// read when they are used, and processes share them.
func Open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, err
	}
	p, err := Decode(m.Data())
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &File{p, m}, nil
}

// Close unmaps the file. The constants die with it: nothing made of the program may be used after.
func (f *File) Close() error { return f.m.Close() }

// WillNeed asks the system to read the constants ahead.
func (f *File) WillNeed() { f.m.WillNeed() }

// Decode reads a program from the bytes of a file. The constants are views of data; nothing else is. It accepts
// any bytes: what it returns has passed Verify.
func Decode(data []byte) (*Program, error) {
	h, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	desc := data[h.descOff:][:h.descLen:h.descLen]
	if err := verifyBuffer(desc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	root := fb.GetRootAsProgram(desc, 0)
	p := decodeProgram(root)
	sections := data[h.dataOff:]
	for i := range p.Consts {
		var c fb.Const
		root.Consts(&c, i)
		if err := section(&p.Consts[i], sections, h.dataOff, c.Offset(), c.Size()); err != nil {
			return nil, fmt.Errorf("%w: constant %d %q: %w", ErrMalformed, i, clip(p.Consts[i].Name), err)
		}
	}
	if err := Verify(p); err != nil {
		return nil, err
	}
	return p, nil
}

// section gives a constant its bytes.
func section(c *Const, sections []byte, base, off, size uint64) error {
	n := uint64(len(sections))
	if off > n || size > n-off {
		return fmt.Errorf("%d bytes at %d lie outside the sections of %d bytes", size, off, n)
	}
	align := uint64(lineBytes)
	if size >= pageBytes {
		align = pageBytes
	}
	if size > 0 && (base+off)%align != 0 {
		return fmt.Errorf("%d bytes at %d are not aligned to %d", size, off, align)
	}
	c.Data = sections[off : off+size : off+size]
	return nil
}

func decodeProgram(r *fb.Program) *Program {
	p := &Program{
		Dims:    dim.Program{Syms: readTexts(r.SymsLength(), r.Syms)},
		Symbols: readList(r.SymbolsLength(), r.Symbols, func(s *fb.Symbol) Symbol { return Symbol{s.Lo(), s.Hi(), s.Step(), s.Late()} }),
		Guards: readList(r.GuardsLength(), r.Guards, func(g *fb.Guard) Guard {
			return Guard{dim.Ref(g.A()), dim.Ref(g.B()), g.Bcast(), string(g.Why())}
		}),
		Consts: readList(r.ConstsLength(), r.Consts, func(c *fb.Const) Const {
			return Const{Name: string(c.Name()), Elem: dtype.Type(c.Elem()), Shape: readInts(c.ShapeLength(), c.Shape), Layout: layout.Name(c.Layout())}
		}),
		Progs: readList(r.TilesLength(), r.Tiles, func(t *fb.Tile) tile.Program {
			return tile.Program{Code: readList(t.CodeLength(), t.Code, decodeTile)}
		}),
		Entries: readList(r.EntriesLength(), r.Entries, decodeEntry),
	}
	p.Dims.Code = readList(r.DimsLength(), r.Dims, func(d *fb.DimInstr) dim.Instr {
		return dim.Instr{Op: dim.Op(d.Op()), A: dim.Ref(d.A()), B: dim.Ref(d.B()), Imm: d.Imm()}
	})
	if v := r.Prov(nil); v != nil {
		p.Prov = Provenance{Model: string(v.Model()), Hash: string(v.Hash()), Version: string(v.Version()), Options: string(v.Options()),
			Tier: string(v.Tier()), Nodes: int(v.Nodes()), Notes: readTexts(v.NotesLength(), v.Notes)}
	}
	return p
}

func decodeTile(t *fb.TileInstr) tile.Instr {
	return tile.Instr{Op: tile.Op(t.Op()), Class: tile.Class(t.Class()), Elem: dtype.Type(t.Elem()), A: t.A(), B: t.B(), C: t.C(), Arg: t.Arg(), F: t.F(), I: t.I()}
}

func decodeEntry(e *fb.Entry) Entry {
	out := Entry{
		Name:    string(e.Name()),
		Inputs:  readList(e.InputsLength(), e.Inputs, decodeIO),
		Outputs: readList(e.OutputsLength(), e.Outputs, decodeIO),
		Binds: readList(e.BindsLength(), e.Binds, func(b *fb.Bind) Bind {
			return Bind{b.Sym(), b.Input(), b.Axis(), dim.Ref(b.Rest()), b.Coef()}
		}),
		States: readList(e.StatesLength(), e.States, func(s *fb.State) State { return State{s.Input(), s.Output(), s.Axis()} }),
	}
	if b := e.Body(nil); b != nil {
		out.Body = decodeBody(b)
	}
	return out
}

func decodeIO(x *fb.IO) IO {
	return IO{string(x.Name()), dtype.Type(x.Elem()), readRefs(x.ShapeLength(), x.Shape), readTexts(x.TextLength(), x.Text)}
}

func decodeBody(b *fb.Body) Body {
	return Body{
		Bufs: readList(b.BufsLength(), b.Bufs, func(f *fb.Buf) Buf {
			return Buf{BufKind(f.Kind()), dtype.Type(f.Elem()), readRefs(f.ShapeLength(), f.Shape), dim.Ref(f.Count()), f.Index(), f.Alias(), f.First(), f.Last(), string(f.Name())}
		}),
		Params:  readScalars(b.ParamsLength(), b.Params),
		Results: readScalars(b.ResultsLength(), b.Results),
		Steps:   readList(b.StepsLength(), b.Steps, decodeStep),
		Defs:    readList(b.DefsLength(), b.Defs, decodeDef),
	}
}

func decodeDef(d *fb.LateDef) LateDef { return LateDef{d.Sym(), d.Out(), d.Axis()} }

func decodeUse(u *fb.Use) Use {
	return Use{
		Buf:    u.Buf(),
		Off:    dim.Ref(u.Off()),
		Stride: readRefs(u.StrideLength(), u.Stride),
		Via:    readList(u.ViaLength(), u.Via, func(v *fb.Via) Via { return Via{v.Operand(), dim.Ref(v.Extent()), dim.Ref(v.Stride())} }),
		Shape:  readRefs(u.ShapeLength(), u.Shape),
	}
}

func decodeStep(s *fb.Step) Step {
	st := Step{
		Anchor:  anchor.Kind(s.Anchor()),
		Space:   readList(s.SpaceLength(), s.Space, func(a *fb.Axis) Axis { return Axis{string(a.Name()), dim.Ref(a.Extent()), a.Red()} }),
		In:      readList(s.InsLength(), s.Ins, decodeUse),
		Out:     readList(s.OutsLength(), s.Outs, decodeUse),
		Prog:    s.Prog(),
		Dims:    readRefs(s.DimsLength(), s.Dims),
		Host:    string(s.Host()),
		Attrs:   readList(s.AttrsLength(), s.Attrs, decodeAttr),
		Bodies:  readList(s.BodiesLength(), s.Bodies, decodeBody),
		Carried: s.Carried(),
		Present: readScalars(s.PresentLength(), s.Present),
		Late:    s.Late(),
		Defs:    readList(s.DefsLength(), s.Defs, decodeDef),
		Pick:    Pick{readTexts(s.RowsLength(), s.Rows)},
		Node:    string(s.Node()),
		Op:      string(s.Op()),
		Is:      readTexts(s.IsLength(), s.Is),
		Locs:    readTexts(s.LocsLength(), s.Locs),
		Moves:   s.Moves(),
		Masked:  s.Masked(),
	}
	if w := s.Window(nil); w != nil {
		st.Window = &anchor.WindowAttr{Combine: anchor.Combine(w.Combine()), Groups: int(w.Groups()), Kernel: readInts(w.KernelLength(), w.Kernel),
			Stride: readInts(w.StrideLength(), w.Stride), Dilation: readInts(w.DilationLength(), w.Dilation),
			PadBegin: readInts(w.PadBeginLength(), w.PadBegin), PadEnd: readInts(w.PadEndLength(), w.PadEnd), Last: w.Last()}
	}
	if a := s.Attend(nil); a != nil {
		st.Attend = &anchor.AttendAttr{Scale: math.Float64frombits(a.ScaleBits()), Causal: a.Causal()}
	}
	return st
}

func decodeAttr(a *fb.Attr) Attr {
	v := attr.Value{
		Kind:   attr.Kind(a.Kind()),
		I:      a.I(),
		F:      math.Float64frombits(a.FBits()),
		S:      string(a.S()),
		Ints:   readScalars(a.IntsLength(), a.Ints),
		Floats: readScalars(a.FloatsLength(), a.Floats),
		Strs:   readTexts(a.StrsLength(), a.Strs),
		Elem:   dtype.Type(a.Elem()),
	}
	return Attr{string(a.Name()), v, readRefs(a.DimsLength(), a.Dims)}
}

// readList decodes a vector of tables or structs; an empty one is nil.
func readList[F, T any](n int, at func(*F, int) bool, decode func(*F) T) []T {
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	var o F
	for i := range out {
		at(&o, i)
		out[i] = decode(&o)
	}
	return out
}

// readNumbers decodes a vector of scalars as numbers of another type.
func readNumbers[F ~int32 | ~int64, T ~int | ~int32](n int, at func(int) F) []T {
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = T(at(i))
	}
	return out
}

func readScalars[T any](n int, at func(int) T) []T {
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = at(i)
	}
	return out
}

func readRefs(n int, at func(int) int32) []dim.Ref { return readNumbers[int32, dim.Ref](n, at) }
func readInts(n int, at func(int) int64) []int     { return readNumbers[int64, int](n, at) }

func readTexts(n int, at func(int) []byte) []string {
	return readScalars(n, func(i int) string { return string(at(i)) })
}
