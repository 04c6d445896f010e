package dim

import "fmt"

// Ref names a value of a Program: the index of its instruction.
type Ref int32

// Instr is one instruction: a symbol (Imm is its index in Syms), a constant (Imm), or an operation on
// earlier instructions A and B.
type Instr struct {
	Op   Op
	A, B Ref
	Imm  int64
}

// Program computes every extent, stride and offset of a compiled model from its symbols. Instructions refer
// only to earlier ones.
type Program struct {
	Syms []string
	Code []Instr
}

// Unset marks a symbol or result without a value yet; it passes through every operation.
const Unset = -1 << 63

// Eval fills vals (one per instruction) from the symbols' values; Unset symbols give Unset results. The
// error names the instruction's meaning.
func (p *Program) Eval(syms, vals []int64) error {
	for i, in := range p.Code {
		switch in.Op {
		case OpSym:
			vals[i] = syms[in.Imm]
		case OpConst:
			vals[i] = in.Imm
		default:
			x, y := vals[in.A], vals[in.B]
			if x == Unset || y == Unset {
				vals[i] = Unset
				continue
			}
			v, ok := apply(in.Op, x, y)
			if !ok {
				return fmt.Errorf("%s: %s", p.Text(Ref(i)), complain(in.Op, x, y))
			}
			vals[i] = v
		}
	}
	return nil
}

// Verify checks that every reference is in range and backward.
func (p *Program) Verify() error {
	for i, in := range p.Code {
		switch {
		case in.Op == OpInvalid || in.Op >= numOps:
			return fmt.Errorf("dim instruction %d: operation %d is not known", i, in.Op)
		case in.Op == OpSym:
			if in.Imm < 0 || in.Imm >= int64(len(p.Syms)) {
				return fmt.Errorf("dim instruction %d: symbol %d of %d", i, in.Imm, len(p.Syms))
			}
		case in.Op != OpConst:
			if in.A < 0 || int(in.A) >= i || in.B < 0 || int(in.B) >= i {
				return fmt.Errorf("dim instruction %d: operands %d and %d are not earlier", i, in.A, in.B)
			}
		}
	}
	return nil
}

// Text prints one value as an expression, for messages; long ones are cut.
func (p *Program) Text(r Ref) string {
	s := p.text(r, 8)
	if len(s) > 120 {
		s = s[:117] + "..."
	}
	return s
}

func (p *Program) text(r Ref, depth int) string {
	in := p.Code[r]
	switch {
	case in.Op == OpSym:
		return p.Syms[in.Imm]
	case in.Op == OpConst:
		return fmt.Sprint(in.Imm)
	case depth == 0:
		return "..."
	}
	a, b := p.text(in.A, depth-1), p.text(in.B, depth-1)
	switch in.Op {
	case OpAdd:
		return "(" + a + " + " + b + ")"
	case OpMul:
		return a + "*" + b
	case OpDiv:
		return "(" + a + "/" + b + ")"
	}
	return in.Op.String() + "(" + a + ", " + b + ")"
}

// Builder collects expressions into a Program, each once.
type Builder struct {
	Program
	byKey map[string]Ref
	symOf map[string]int
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{byKey: map[string]Ref{}, symOf: map[string]int{}} }

// Symbol returns the index of a symbol, adding it.
func (b *Builder) Symbol(name string) int {
	i, ok := b.symOf[name]
	if !ok {
		i = len(b.Syms)
		b.symOf[name] = i
		b.Syms = append(b.Syms, name)
	}
	return i
}

// Ref adds e and returns where its value stands.
func (b *Builder) Ref(e Expr) Ref {
	k := e.Key()
	if r, ok := b.byKey[k]; ok {
		return r
	}
	var r Ref
	if v, ok := e.Int(); ok {
		r = b.emit(Instr{Op: OpConst, Imm: v})
	} else {
		first := true
		for _, t := range e.terms {
			x := b.term(t)
			if first {
				r, first = x, false
			} else {
				r = b.emit(Instr{Op: OpAdd, A: r, B: x})
			}
		}
	}
	b.byKey[k] = r
	return r
}

func (b *Builder) term(t term) Ref {
	var r Ref
	if t.key == "" || t.c != 1 {
		r = b.Ref(Const(t.c))
	}
	for i, a := range t.atoms {
		x := b.atom(a)
		if i == 0 && t.c == 1 {
			r = x
		} else {
			r = b.emit(Instr{Op: OpMul, A: r, B: x})
		}
	}
	return r
}

func (b *Builder) atom(a *atom) Ref {
	if r, ok := b.byKey[a.key]; ok {
		return r
	}
	var r Ref
	if a.op == OpSym {
		r = b.emit(Instr{Op: OpSym, Imm: int64(b.Symbol(a.name))})
	} else {
		x, y := b.Ref(a.a), b.Ref(a.b)
		r = b.emit(Instr{Op: a.op, A: x, B: y})
	}
	b.byKey[a.key] = r
	return r
}

func (b *Builder) emit(in Instr) Ref {
	b.Code = append(b.Code, in)
	return Ref(len(b.Code) - 1)
}
