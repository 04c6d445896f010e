package tile

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Builder appends instructions; equal pure instructions are made once. The first error sticks and is
// returned by Err.
type Builder struct {
	code []Instr
	seen map[Instr]Reg
	err  error
}

// Reg is a register: the index of the instruction that defines it.
type Reg int32

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{seen: map[Instr]Reg{}} }

// Program returns what was built.
func (b *Builder) Program() *Program { return &Program{Code: b.code} }

// Err is the first error.
func (b *Builder) Err() error { return b.err }

// Class is the class of a register.
func (b *Builder) Class(r Reg) Class { return b.code[r].Class }

func (b *Builder) emit(in Instr) Reg {
	if in.Op.Operands() > 0 && in.Op != Cast && in.Op != Store {
		p := Program{Code: b.code}
		c, err := p.resultClass(&in)
		if err != nil && b.err == nil {
			b.err = fmt.Errorf("%v: %w", in.Op, err)
		}
		in.Class = c
	}
	if in.Op == Store {
		in.Class = NoClass
	}
	if r, ok := b.seen[in]; ok && in.Op != Store {
		return r
	}
	r := Reg(len(b.code))
	b.code = append(b.code, in)
	b.seen[in] = r
	return r
}

// Load reads an operand of an element type.
func (b *Builder) Load(arg int, t dtype.Type) Reg {
	return b.emit(Instr{Op: Load, Class: ClassOf(t), Arg: int32(arg)})
}

// Acc reads the accumulator.
func (b *Builder) Acc(c Class) Reg { return b.emit(Instr{Op: Acc, Class: c}) }

// Store writes a register to an operand.
func (b *Builder) Store(arg int, r Reg) { b.emit(Instr{Op: Store, Arg: int32(arg), A: int32(r)}) }

// Float is a constant of a float class.
func (b *Builder) Float(c Class, v float64) Reg { return b.emit(Instr{Op: Imm, Class: c, F: v}) }

// Int is a constant of class I64 or Mask.
func (b *Builder) Int(c Class, v int64) Reg { return b.emit(Instr{Op: Imm, Class: c, I: v}) }

// Number is a constant of any class.
func (b *Builder) Number(c Class, v float64) Reg {
	if c == F32 || c == F64 {
		return b.Float(c, v)
	}
	return b.Int(c, int64(v))
}

// Index is the position along an axis of the group's space.
func (b *Builder) Index(axis int) Reg { return b.emit(Instr{Op: Index, Class: I64, Arg: int32(axis)}) }

// Dim is the i-th dim value of the group.
func (b *Builder) Dim(i int) Reg { return b.emit(Instr{Op: Dim, Class: I64, Arg: int32(i)}) }

// Op1 applies a unary operation or a reduction.
func (b *Builder) Op1(op Op, a Reg) Reg { return b.emit(Instr{Op: op, A: int32(a)}) }

// Op2 applies a binary operation or comparison.
func (b *Builder) Op2(op Op, x, y Reg) Reg { return b.emit(Instr{Op: op, A: int32(x), B: int32(y)}) }

// Select is x where mask, else y.
func (b *Builder) Select(mask, x, y Reg) Reg {
	return b.emit(Instr{Op: Select, A: int32(x), B: int32(y), C: int32(mask)})
}

// Cast converts between classes.
func (b *Builder) Cast(c Class, a Reg) Reg {
	if b.code[a].Class == c {
		return a
	}
	return b.emit(Instr{Op: Cast, Class: c, A: int32(a)})
}

// Narrow brings a register to what the element type holds: Round for narrow floats, Wrap for narrow
// integers, nothing where the class is exact.
func (b *Builder) Narrow(t dtype.Type, a Reg) Reg {
	switch {
	case t.IsFloat() && t != dtype.F32 && t != dtype.F64:
		return b.emit(Instr{Op: Round, Elem: t, A: int32(a)})
	case t.IsInt() && t.Bits() < 64:
		return b.emit(Instr{Op: Wrap, Elem: t, A: int32(a)})
	}
	return a
}

// Inline appends another program. load gives the register for each of its loads, acc for its accumulator,
// and axis renumbers idx, less than 0 for an axis of one position; the returned map gives the register stored to each operand. Dim lists are joined by dimBase.
func (b *Builder) Inline(p *Program, load func(arg int) (Reg, bool), acc Reg, axis func(int) int, dimBase int) (map[int]Reg, error) {
	regs := make([]Reg, len(p.Code))
	out := map[int]Reg{}
	for i := range p.Code {
		in := p.Code[i]
		switch in.Op {
		case Load:
			r, ok := load(int(in.Arg))
			if !ok {
				return nil, fmt.Errorf("operand %d has no register", in.Arg)
			}
			regs[i] = r
			continue
		case Store:
			out[int(in.Arg)] = regs[in.A]
			continue
		case Acc:
			regs[i] = acc
			continue
		case Index:
			a := axis(int(in.Arg))
			if a < 0 {
				regs[i] = b.Int(I64, 0)
				continue
			}
			in.Arg = int32(a)
		case Dim:
			in.Arg += int32(dimBase)
		}
		n := in.Op.Operands()
		if n > 0 {
			in.A = int32(regs[in.A])
		}
		if n > 1 {
			in.B = int32(regs[in.B])
		}
		if n > 2 {
			in.C = int32(regs[in.C])
		}
		regs[i] = b.emit(in)
	}
	return out, b.err
}
