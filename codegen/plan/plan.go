// Package plan turns scheduled kernel-level IR into a program: names become numbers, expressions become one
// flat dim program.
package plan

import (
	"fmt"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/runtime/program"
)

// Build makes the program of m.
func Build(m *kir.Module, prov program.Provenance) (*program.Program, error) {
	p := &planner{m: m, dims: dim.NewBuilder(), progs: map[string]int32{}, consts: map[*kir.Const]int32{}, out: &program.Program{Prov: prov}}
	for _, e := range m.Entries {
		if err := p.entry(e); err != nil {
			return nil, err
		}
	}
	for _, g := range m.Dims.Guards {
		if m.Dims.Late(g.A) || m.Dims.Late(g.B) || !p.known(g.A) || !p.known(g.B) {
			continue // checked by the steps that meet those extents
		}
		p.out.Guards = append(p.out.Guards, program.Guard{A: p.dims.Ref(g.A), B: p.dims.Ref(g.B), Bcast: g.Bcast, Why: g.Why})
	}
	p.out.Dims = p.dims.Program
	for _, s := range p.out.Dims.Syms {
		in := m.Dims.Info(s)
		p.out.Symbols = append(p.out.Symbols, program.Symbol{Lo: in.Lo, Hi: in.Hi, Step: in.Step, Late: in.Late})
	}
	return p.out, nil
}

type planner struct {
	m      *kir.Module
	dims   *dim.Builder
	progs  map[string]int32
	consts map[*kir.Const]int32
	out    *program.Program
	bound  map[string]bool // symbols that inputs bind
}

func (p *planner) known(e dim.Expr) bool {
	ok := true
	e.Walk(func(s string) { ok = ok && p.bound[s] })
	return ok
}

func (p *planner) entry(e *kir.Entry) error {
	out := program.Entry{Name: e.Name}
	for i, b := range e.Body.Params {
		out.Inputs = append(out.Inputs, p.io(e.Inputs[i], b))
	}
	for i, b := range e.Body.Results {
		out.Outputs = append(out.Outputs, p.io(e.Outputs[i], b))
	}
	if err := p.binds(e, &out); err != nil {
		return err
	}
	out.Body = p.body(e.Body)
	out.States = e.States
	p.out.Entries = append(p.out.Entries, out)
	return nil
}

func (p *planner) io(name string, b *kir.Buf) program.IO {
	shape := b.Extents()
	io := program.IO{Name: name, Elem: b.Elem, Shape: p.refs(shape)}
	if b.Of != nil {
		io.Text = []string{b.Of.String()}
	}
	for _, e := range shape {
		io.Text = append(io.Text, e.Key())
	}
	return io
}

// binds finds for every symbol an input extent that determines it: the symbol itself, or a sum in which it
// is the only one not known yet.
func (p *planner) binds(e *kir.Entry, out *program.Entry) error {
	known := map[string]bool{}
	for progress := true; progress; {
		progress = false
		for i, b := range e.Body.Params {
			for a, ext := range b.Extents() {
				if b.Seen != nil && dim.Equal(ext, b.Shape[a]) {
					continue // of a state only the length is known before the run
				}
				sym, coef, rest, ok := solve(ext, known)
				if !ok {
					continue
				}
				known[sym] = true
				progress = true
				out.Binds = append(out.Binds, program.Bind{Sym: int32(p.dims.Symbol(sym)), Input: int32(i), Axis: int32(a), Rest: p.dims.Ref(rest), Coef: coef})
			}
		}
	}
	p.bound = known
	var missing string
	check := func(x dim.Expr) {
		x.Walk(func(s string) {
			if !known[s] && !p.m.Dims.Info(s).Late {
				missing = s
			}
		})
	}
	for _, b := range e.Body.Params {
		for _, x := range b.Extents() {
			check(x)
		}
	}
	e.Body.Walk(func(g *kir.Group) { g.Exprs(check) })
	if missing != "" {
		return &ir.Error{Kind: ir.ErrShape, Msg: fmt.Sprintf("dimension %q follows from no input's shape: give it with --dim %s=N", missing, missing)}
	}
	return nil
}

// solve finds the one unknown symbol of e where e = coef*symbol + rest.
func solve(e dim.Expr, known map[string]bool) (sym string, coef int64, rest dim.Expr, ok bool) {
	count := 0
	e.Walk(func(s string) {
		if !known[s] && s != sym {
			sym = s
			count++
		}
	})
	if count != 1 {
		return "", 0, rest, false
	}
	at := func(v int64) dim.Expr {
		return e.Subst(func(s string) (dim.Expr, bool) { return dim.Const(v), s == sym })
	}
	rest = at(0)
	c, isConst := dim.Sub(at(1), rest).Int()
	c2, isConst2 := dim.Sub(at(5), rest).Int()
	if !isConst || !isConst2 || c == 0 || c2 != 5*c {
		return "", 0, rest, false
	}
	if !dim.Equal(dim.Add(dim.Mul(dim.Const(c), dim.Sym(sym)), rest), e) {
		return "", 0, rest, false
	}
	return sym, c, rest, true
}

func (p *planner) refs(l []dim.Expr) []dim.Ref {
	out := make([]dim.Ref, len(l))
	for i, e := range l {
		out[i] = p.dims.Ref(e)
	}
	return out
}

func (p *planner) body(b *kir.Body) program.Body {
	out := program.Body{Defs: p.defs(b.Defs)}
	for _, buf := range b.Bufs {
		n := program.Buf{Kind: buf.Kind, Elem: buf.Elem, Shape: p.refs(buf.Shape), Count: p.dims.Ref(buf.Count()), Index: int32(buf.Index),
			Alias: -1, First: int32(buf.First), Last: int32(buf.Last), Name: buf.Name}
		if buf.Alias != nil {
			n.Alias = int32(buf.Alias.ID)
		}
		if buf.Kind == program.BufConst {
			n.Index = -1
			if buf.Last >= 0 {
				n.Index = p.constant(buf.Const)
			}
		}
		out.Bufs = append(out.Bufs, n)
	}
	for _, buf := range b.Params {
		out.Params = append(out.Params, int32(buf.ID))
	}
	for _, buf := range b.Results {
		out.Results = append(out.Results, int32(buf.ID))
	}
	for _, g := range b.Groups {
		out.Steps = append(out.Steps, p.step(g))
	}
	return out
}

func (p *planner) constant(c *kir.Const) int32 {
	i, ok := p.consts[c]
	if !ok {
		i = int32(len(p.out.Consts))
		p.consts[c] = i
		p.out.Consts = append(p.out.Consts, program.Const{Name: c.Name, Elem: c.Tensor.Elem, Shape: c.Tensor.Shape, Layout: c.Layout, Data: c.Tensor.Data, Pack: c.Pack})
		if c.Tensor.Elem == dtype.String {
			p.out.Consts[i].Data = program.EncodeStrings(c.Tensor.Str)
		}
		if c.Layout == layout.RowMajor {
			p.out.Consts[i].Pack = nil
		}
	}
	return i
}

func (p *planner) defs(l []kir.LateDef) []program.LateDef {
	var out []program.LateDef
	for _, d := range l {
		out = append(out, program.LateDef{Sym: int32(p.dims.Symbol(d.Sym)), Out: int32(d.Out), Axis: int32(d.Axis)})
	}
	for _, d := range l { // the symbol must be in the program even if nothing else reads it
		p.dims.Ref(dim.Sym(d.Sym))
	}
	return out
}

func (p *planner) uses(l []kir.Use) []program.Use {
	out := make([]program.Use, len(l))
	for i, u := range l {
		out[i] = program.Use{Buf: int32(u.Buf.ID), Off: p.dims.Ref(u.Off), Stride: p.refs(u.Stride), Shape: p.refs(u.Shape)}
		for _, v := range u.Via {
			out[i].Via = append(out[i].Via, program.Via{Operand: int32(v.Operand), Extent: p.dims.Ref(v.Extent), Stride: p.dims.Ref(v.Stride)})
		}
	}
	return out
}

func (p *planner) step(g *kir.Group) program.Step {
	s := program.Step{Anchor: g.Anchor, In: p.uses(g.In), Out: p.uses(g.Out), Prog: -1, Dims: p.refs(g.Dims), Window: g.Window, Attend: g.Attend,
		Host: g.Host, Carried: int32(g.Carried), Present: g.Present, Moves: g.Moves, Masked: g.Masked, Pick: g.Pick, Op: g.Op, Is: g.Is}
	for _, a := range g.Space {
		s.Space = append(s.Space, program.Axis{Name: a.Name, Extent: p.dims.Ref(a.Extent), Red: a.Red})
	}
	if g.Prog != nil {
		key := g.Prog.String()
		i, ok := p.progs[key]
		if !ok {
			i = int32(len(p.out.Progs))
			p.progs[key] = i
			p.out.Progs = append(p.out.Progs, *g.Prog)
		}
		s.Prog = i
	}
	for _, a := range g.Attrs {
		at := program.Attr{Name: a.Name, Value: a.Value}
		if a.Kind == attr.Dims {
			at.Dims, at.Value.Dims = p.refs(a.Dims), nil
		}
		s.Attrs = append(s.Attrs, at)
	}
	for _, b := range g.Bodies {
		s.Bodies = append(s.Bodies, p.body(b))
	}
	s.Defs = p.defs(g.Defs)
	g.Exprs(func(e dim.Expr) { s.Late = s.Late || p.m.Dims.Late(e) })
	for i, l := range g.Locs {
		if i == 0 {
			s.Node, s.Op = l.Name, l.Op
		}
		s.Locs = append(s.Locs, l.Name)
	}
	return s
}
