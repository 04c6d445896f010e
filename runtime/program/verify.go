package program

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
)

const (
	// maxEntries bounds the work of verifying: each entry looks at the whole dim program.
	maxEntries = 256
	// maxCode bounds a tile program: every step checks its own again.
	maxCode = 4096
	// maxRank bounds the rank of tensors and spaces.
	maxRank = 64
)

// Verify checks that p is a program that a runtime can execute: every index is in range, every enumeration
// known, and what steps, buffers, bodies and constants say of each other agrees. Whether positions lie within
// buffers depends on the extents of a run: Body.Bounds checks it then. The error wraps ErrMalformed
// and names the place: "entry main step 12 in[1]: buffer 9 of 4".
func Verify(p *Program) error {
	v := &verifier{p: p}
	if err := v.program(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// when says what must be known before a value is.
type when uint8

const (
	known   when = iota // from the inputs
	late                // only while running
	unbound             // never: nothing binds a symbol of it
)

type verifier struct {
	p     *Program
	when  []when         // of each dim instruction, in the present entry
	lates map[int32]bool // late symbols defined so far in the present entry
	needs []int32        // for each dim instruction, a late symbol that it depends on, or -1
}

func (v *verifier) program() error {
	p := v.p
	if err := p.Dims.Verify(); err != nil {
		return err
	}
	if len(p.Symbols) != len(p.Dims.Syms) {
		return fmt.Errorf("%d symbols are described, the dim program has %d", len(p.Symbols), len(p.Dims.Syms))
	}
	for i, s := range p.Symbols {
		if s.Lo > s.Hi || s.Step < 0 {
			return fmt.Errorf("symbol %q lies in [%d, %d] step %d", clip(p.Dims.Syms[i]), s.Lo, s.Hi, s.Step)
		}
	}
	for i, g := range p.Guards {
		if err := v.refs(g.A, g.B); err != nil {
			return fmt.Errorf("guard %d: %w", i, err)
		}
	}
	for i := range p.Consts {
		if err := checkConst(&p.Consts[i]); err != nil {
			return fmt.Errorf("constant %d %q: %w", i, clip(p.Consts[i].Name), err)
		}
	}
	for i := range p.Progs {
		if err := checkCode(&p.Progs[i]); err != nil {
			return fmt.Errorf("program %d: %w", i, err)
		}
	}
	if len(p.Entries) > maxEntries {
		return fmt.Errorf("%d entries, want at most %d", len(p.Entries), maxEntries)
	}
	names := map[string]bool{}
	for i := range p.Entries {
		e := &p.Entries[i]
		if names[e.Name] {
			return fmt.Errorf("entry %d: the name %q is taken", i, clip(e.Name))
		}
		names[e.Name] = true
		if err := v.entry(e); err != nil {
			return fmt.Errorf("entry %s %w", clip(e.Name), err)
		}
	}
	return nil
}

// checkCode checks what does not depend on the step that runs a program.
func checkCode(p *tile.Program) error {
	if n := len(p.Code); n == 0 || n > maxCode {
		return fmt.Errorf("%d instructions, want 1 to %d", n, maxCode)
	}
	for i := range p.Code {
		if op := p.Code[i].Op; !op.Valid() {
			return fmt.Errorf("instruction %d: opcode %d is not known", i, uint8(op))
		}
	}
	return nil
}

// checkConst compares a constant's bytes with its type, shape and layout.
func checkConst(c *Const) error {
	n, ok := tensor.Count(c.Shape)
	switch {
	case !ok || n > math.MaxInt/16:
		return fmt.Errorf("shape %v has too many elements", clipInts(c.Shape))
	case len(c.Shape) > maxRank:
		return fmt.Errorf("rank %d, want at most %d", len(c.Shape), maxRank)
	case !c.Elem.Valid():
		return fmt.Errorf("element type %d is not known", uint8(c.Elem))
	case !c.Layout.Valid():
		return fmt.Errorf("layout %q is not known", clip(string(c.Layout)))
	case c.Pack != nil && (c.Layout == layout.RowMajor || c.Layout.IsConv() != (c.Pack.Conv != nil)):
		return fmt.Errorf("layout %q has no packing", c.Layout)
	}
	if c.Elem == dtype.String {
		if c.Layout != layout.RowMajor {
			return fmt.Errorf("strings in layout %q", c.Layout)
		}
		_, err := DecodeStrings(c.Data, n)
		return err
	}
	want := c.Elem.Bytes(n)
	if c.Layout != layout.RowMajor {
		if c.Pack != nil {
			if !c.Elem.IsFloat() {
				return fmt.Errorf("element type %v is not packed", c.Elem)
			}
			if err := c.Pack.Check(n); err != nil {
				return err
			}
		} else if c.Layout.IsConv() {
			v, ok := layout.ConvOf(c.Shape)
			if c.Elem != dtype.F32 || !ok {
				return fmt.Errorf("weights packed as %v%v", c.Elem, clipInts(c.Shape))
			}
			want = 4 * v.Len(c.Layout)
		} else {
			if c.Elem != dtype.F32 || len(c.Shape) != 2 {
				return fmt.Errorf("packed as %v of rank %d, want f32 of rank 2", c.Elem, len(c.Shape))
			}
			rows, cols := c.Shape[0], c.Shape[1]
			if n > 0 && (cols > math.MaxInt32*layout.PanelWidth || rows > math.MaxInt/4/((cols+layout.PanelWidth-1)/layout.PanelWidth*layout.PanelWidth)) {
				return fmt.Errorf("shape %v has too many elements", c.Shape)
			}
			want = 0
			if n > 0 {
				want = 4 * layout.Packing{K: rows, N: cols}.Len()
			}
		}
	}
	if len(c.Data) != want {
		return fmt.Errorf("%d bytes, want %d for %v%v %s", len(c.Data), want, c.Elem, c.Shape, c.Layout)
	}
	return nil
}

// refs checks references into the dim program.
func (v *verifier) refs(l ...dim.Ref) error {
	for _, r := range l {
		if r < 0 || int(r) >= len(v.p.Dims.Code) {
			return fmt.Errorf("dim reference %d of %d", r, len(v.p.Dims.Code))
		}
	}
	return nil
}

func (v *verifier) shape(l []dim.Ref) error {
	if len(l) > maxRank {
		return fmt.Errorf("rank %d, want at most %d", len(l), maxRank)
	}
	return v.refs(l...)
}

// resolve finds for the present entry which values are known when. What a late symbol is bound by is checked
// in the order of steps.
func (v *verifier) resolve(e *Entry) {
	p := v.p
	bound := make([]bool, len(p.Symbols))
	for _, b := range e.Binds {
		bound[b.Sym] = true
	}
	n := len(p.Dims.Code)
	if v.when == nil {
		v.when, v.needs = make([]when, n), make([]int32, n)
	}
	for i, in := range p.Dims.Code {
		v.when[i], v.needs[i] = known, -1
		switch {
		case in.Op == dim.OpSym && p.Symbols[in.Imm].Late:
			v.when[i], v.needs[i] = late, int32(in.Imm)
		case in.Op == dim.OpSym && !bound[in.Imm]:
			v.when[i] = unbound
		case in.Op != dim.OpSym && in.Op != dim.OpConst:
			v.when[i] = max(v.when[in.A], v.when[in.B])
			v.needs[i] = max(v.needs[in.A], v.needs[in.B])
		}
	}
	v.lates = map[int32]bool{}
}

func (v *verifier) entry(e *Entry) error {
	b := &e.Body
	if len(e.Inputs) != len(b.Params) || len(e.Outputs) != len(b.Results) {
		return fmt.Errorf("has %d inputs and %d outputs, its body %d and %d", len(e.Inputs), len(e.Outputs), len(b.Params), len(b.Results))
	}
	for i := range e.Inputs {
		if err := v.io(&e.Inputs[i], b, b.Params[i], e.grows(i, -1)); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	for i := range e.Outputs {
		if err := v.io(&e.Outputs[i], b, b.Results[i], e.grows(-1, i)); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	if err := v.binds(e); err != nil {
		return err
	}
	v.resolve(e)
	for i := range e.Inputs {
		for _, r := range e.Inputs[i].Shape {
			if v.when[r] != known {
				return fmt.Errorf("input %d: extent %s does not follow from the inputs", i, v.p.Dims.Text(r))
			}
		}
	}
	for i, s := range e.States {
		if s.Input < 0 || int(s.Input) >= len(e.Inputs) || s.Output < 0 || int(s.Output) >= len(e.Outputs) {
			return fmt.Errorf("state %d: input %d and output %d of %d and %d", i, s.Input, s.Output, len(e.Inputs), len(e.Outputs))
		}
		in, out := &e.Inputs[s.Input], &e.Outputs[s.Output]
		if in.Elem != out.Elem || len(in.Shape) != len(out.Shape) || s.Axis < -1 || int(s.Axis) >= len(in.Shape) {
			return fmt.Errorf("state %d: %v of rank %d becomes %v of rank %d along axis %d", i, in.Elem, len(in.Shape), out.Elem, len(out.Shape), s.Axis)
		}
		if x, y := b.Bufs[b.Params[s.Input]].Shape, b.Bufs[b.Results[s.Output]].Shape; s.Axis >= 0 && !slices.Equal(x, y) {
			return fmt.Errorf("state %d: storage of shape %v and %v", i, x, y)
		}
	}
	return v.body(b, 0)
}

// grows is the axis along which an input or output is the end of a growing state, or -1.
func (e *Entry) grows(input, output int) int {
	for _, s := range e.States {
		if int(s.Input) == input || int(s.Output) == output {
			return int(s.Axis)
		}
	}
	return -1
}

// io checks that an input or output is what its buffer is; a growing state's buffer has a capacity along its axis.
func (v *verifier) io(x *IO, b *Body, buf int32, grows int) error {
	if buf < 0 || int(buf) >= len(b.Bufs) {
		return fmt.Errorf("buffer %d of %d", buf, len(b.Bufs))
	}
	if err := v.shape(x.Shape); err != nil {
		return err
	}
	switch {
	case x.Elem == dtype.Invalid:
		if len(x.Shape) > 0 || len(x.Text) != 1 {
			return fmt.Errorf("what is no tensor has rank %d and %d types", len(x.Shape), len(x.Text))
		}
		if _, err := ParseType(x.Text[0]); err != nil {
			return err
		}
	case !x.Elem.Valid():
		return fmt.Errorf("element type %d is not known", uint8(x.Elem))
	case len(x.Text) != len(x.Shape):
		return fmt.Errorf("%d extents are described, want %d", len(x.Text), len(x.Shape))
	}
	f := &b.Bufs[buf]
	same := f.Elem == x.Elem && len(f.Shape) == len(x.Shape)
	for i := 0; same && i < len(x.Shape); i++ {
		same = f.Shape[i] == x.Shape[i] || i == grows && v.refs(f.Shape[i]) == nil && v.p.Dims.Code[f.Shape[i]].Op == dim.OpConst
	}
	if !same {
		return fmt.Errorf("%v%v differs from its buffer's %v%v", x.Elem, x.Shape, f.Elem, f.Shape)
	}
	return nil
}

// binds checks that every symbol is found from an input's extent and symbols bound before.
func (v *verifier) binds(e *Entry) error {
	p := v.p
	order := make([]int, len(p.Symbols)) // 1 + the bind of each symbol
	for i, b := range e.Binds {
		switch {
		case b.Sym < 0 || int(b.Sym) >= len(p.Symbols):
			return fmt.Errorf("bind %d: symbol %d of %d", i, b.Sym, len(p.Symbols))
		case p.Symbols[b.Sym].Late || order[b.Sym] != 0:
			return fmt.Errorf("bind %d: symbol %q is late or bound before", i, clip(p.Dims.Syms[b.Sym]))
		case b.Input < 0 || int(b.Input) >= len(e.Inputs) || b.Axis < 0 || int(b.Axis) >= len(e.Inputs[b.Input].Shape):
			return fmt.Errorf("bind %d: axis %d of input %d", i, b.Axis, b.Input)
		case b.Coef == 0:
			return fmt.Errorf("bind %d: coefficient 0", i)
		}
		if err := v.refs(b.Rest); err != nil {
			return fmt.Errorf("bind %d: %w", i, err)
		}
		order[b.Sym] = i + 1
	}
	ready := make([]int, len(p.Dims.Code)) // how many binds must be done before a value is known
	for i, in := range p.Dims.Code {
		switch in.Op {
		case dim.OpConst:
		case dim.OpSym:
			if ready[i] = order[in.Imm]; ready[i] == 0 {
				ready[i] = math.MaxInt
			}
		default:
			ready[i] = max(ready[in.A], ready[in.B])
		}
	}
	for i, b := range e.Binds {
		if ready[b.Rest] > i {
			return fmt.Errorf("bind %d: %s is not known then", i, p.Dims.Text(b.Rest))
		}
	}
	return nil
}

// attr checks the kind of an attribute's value.
func (v *verifier) attr(a *Attr) error {
	val := &a.Value
	switch val.Kind {
	case attr.None, attr.Int, attr.Float, attr.Str, attr.Ints, attr.Floats, attr.Strs:
	case attr.Bool:
		if val.I != 0 && val.I != 1 {
			return fmt.Errorf("truth value %d", val.I)
		}
	case attr.Elem:
		if !val.Elem.Valid() {
			return fmt.Errorf("element type %d is not known", uint8(val.Elem))
		}
	case attr.Const:
		if val.I < 0 || val.I >= int64(len(v.p.Consts)) {
			return fmt.Errorf("constant %d of %d", val.I, len(v.p.Consts))
		}
	case attr.Dims:
		if len(val.Dims) > 0 {
			return fmt.Errorf("dims as expressions, want references")
		}
		return v.refs(a.Dims...)
	default:
		return fmt.Errorf("kind %d is not known", uint8(val.Kind))
	}
	if len(a.Dims) > 0 || len(val.Dims) > 0 {
		return fmt.Errorf("%v with dim references", val.Kind)
	}
	return nil
}

// clip keeps hostile names from flooding a message or breaking its line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:97], "") + "..."
	}
	return s
}

func clipInts(l []int) string {
	if len(l) > 8 {
		return fmt.Sprintf("%v and %d more", l[:8], len(l)-8)
	}
	return fmt.Sprint(l)
}
