package op

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
)

// ErrNoForm is wrapped by Form where the types or attributes at hand have no kernel group; the compiler then
// uses Expand or Host.
var ErrNoForm = errors.New("no kernel form")

// Axis of a group's space.
type Axis struct {
	Name   string
	Extent dim.Expr
	Red    bool
}

// At says which position of the space selects along one axis of an operand: the axis numbered Axis, or, where Via > 0,
// the integer found in operand Via-1 at the position that operand's own Map gives, or position 0 where Axis is -1.
// An operand axis of extent 1 that a longer space axis runs over is broadcast.
type At struct {
	Axis int
	Via  int
}

// Map is an At per axis of an operand.
type Map []At

// ViewKind is how a view sees operand 0.
type ViewKind uint8

// The views. Reshape keeps the row-major order; Perm permutes axes; Slice takes start + i*step along each
// axis; Expand broadcasts, aligned at the last axis.
const (
	NoView ViewKind = iota
	ViewReshape
	ViewPerm
	ViewSlice
	ViewExpand
)

// View is a result that is operand 0 seen differently.
type View struct {
	Kind   ViewKind
	Perm   []int
	Starts []dim.Expr
	Steps  []int64
}

// Form is the context and the result of Def.Form. Operands are numbered through all inputs, then all results;
// Maps has an entry for each, nil where the group does not touch it.
type Form struct {
	Node
	Anchor     anchor.Kind
	Space      []Axis
	Maps       []Map
	Prog       *tile.Program // map, rows: everything; contract, window, attend: what happens to the accumulator
	Dims       []dim.Expr    // what tile.Dim refers to
	Window     *anchor.WindowAttr
	Attend     *anchor.AttendAttr
	Views      []View // one per result of a view operator
	Concat     bool   // results[0] is the operands one after the other along ConcatAxis
	ConcatAxis int
}

// Out is the operand number of result i.
func (f *Form) Out(i int) int { return len(f.N.In) + i }

// OutShape is the shape of result i.
func (f *Form) OutShape(i int) []dim.Expr { return f.N.Out[i].Type.Shape }

// OutElem is the element type of result i.
func (f *Form) OutElem(i int) dtype.Type { return f.N.Out[i].Type.Elem }

// No says why there is no form.
func (f *Form) No(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNoForm, fmt.Sprintf(format, args...))
}

// Class returns the register class of operand i for arithmetic that looks at values; u64, complex,
// strings and sub-byte types have none.
func (f *Form) Class(t dtype.Type) (tile.Class, error) {
	c := tile.ClassOf(t)
	if c == tile.NoClass || t == dtype.U64 || t.IsSubByte() {
		return tile.NoClass, f.No("element type %v", t)
	}
	return c, nil
}

// Broadcast maps a shape onto the last axes of the space; extents of 1 stay at position 0 where the axis is
// known to be longer, and other extents are taken to match or be 1 when bound.
func (f *Form) Broadcast(shape []dim.Expr, axes int) Map {
	m := make(Map, len(shape))
	for i, e := range shape {
		a := axes - len(shape) + i
		if e.IsConst(1) && !f.Space[a].Extent.IsConst(1) {
			a = -1
		}
		m[i] = At{Axis: a}
	}
	return m
}

// Par declares one Par axis per extent of a shape.
func (f *Form) Par(shape []dim.Expr) {
	for i, e := range shape {
		f.Space = append(f.Space, Axis{Name: fmt.Sprintf("i%d", i), Extent: e})
	}
}

// Elementwise makes a map group over result 0's shape: body gets a register per present operand, broadcast, and
// returns the register of each result; narrow types are rounded to the result's type.
func (f *Form) Elementwise(body func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error)) error {
	f.Anchor = anchor.Map
	f.Par(f.OutShape(0))
	b := tile.NewBuilder()
	x := make([]tile.Reg, len(f.N.In))
	for i, v := range f.N.In {
		if v == nil {
			x[i] = -1
			f.Maps = append(f.Maps, nil)
			continue
		}
		if _, err := f.Class(v.Type.Elem); err != nil {
			return err
		}
		f.Maps = append(f.Maps, f.Broadcast(v.Type.Shape, len(f.Space)))
		x[i] = b.Load(i, v.Type.Elem)
	}
	out, err := body(b, x)
	if err != nil {
		return err
	}
	for i, r := range out {
		t := f.OutElem(i)
		if _, err := f.Class(t); err != nil {
			return err
		}
		f.Maps = append(f.Maps, f.Broadcast(f.OutShape(i), len(f.Space)))
		b.Store(f.Out(i), b.Narrow(t, r))
	}
	f.Prog = b.Program()
	return b.Err()
}

// Rows makes a rows group of one input (operand 0) and result 0, reducing the listed axes; keep says whether
// the result has them (at full extent: the result is per element) or they are 1 or missing (per row).
// The program names the input %0 and the result %1.
func (f *Form) Rows(red []int, perElement bool, keepDims bool, prog *tile.Program) error {
	f.Anchor = anchor.Rows
	x := f.N.In[0]
	for i, e := range x.Type.Shape {
		f.Space = append(f.Space, Axis{Name: fmt.Sprintf("i%d", i), Extent: e})
	}
	for _, a := range red {
		f.Space[a].Red = true
	}
	in := make(Map, x.Rank())
	out := Map{}
	for i := range in {
		in[i] = At{Axis: i}
		switch {
		case perElement || !f.Space[i].Red:
			out = append(out, At{Axis: i})
		case keepDims:
			out = append(out, At{Axis: -1})
		}
	}
	f.Maps = make([]Map, len(f.N.In)+len(f.N.Out))
	f.Maps[0], f.Maps[f.Out(0)] = in, out
	f.Prog = renumber(prog, map[int]int{0: 0, 1: f.Out(0)})
	return nil
}

func renumber(p *tile.Program, to map[int]int) *tile.Program {
	q := &tile.Program{Code: append([]tile.Instr(nil), p.Code...)}
	for i := range q.Code {
		if in := &q.Code[i]; in.Op == tile.Load || in.Op == tile.Store {
			if n, ok := to[int(in.Arg)]; ok {
				in.Arg = int32(n)
			}
		}
	}
	return q
}

// PostStore is the program of a group whose accumulator goes to result 0 as it is.
func (f *Form) PostStore(acc tile.Class) {
	b := tile.NewBuilder()
	r := b.Acc(acc)
	t := f.OutElem(0)
	b.Store(f.Out(0), b.Narrow(t, b.Cast(tile.ClassOf(t), r)))
	f.Prog = b.Program()
}
