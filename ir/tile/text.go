package tile

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/dtype"
)

// String is the text form with registers named r0, r1, ... by instruction; it is the canonical key of a
// program.
func (p *Program) String() string {
	var b strings.Builder
	for i := range p.Code {
		in := &p.Code[i]
		if i > 0 {
			b.WriteString("; ")
		}
		if in.Op == Store {
			fmt.Fprintf(&b, "store %%%d, r%d", in.Arg, in.A)
			continue
		}
		fmt.Fprintf(&b, "r%d = %v", i, in.Op)
		switch in.Op {
		case Load:
			fmt.Fprintf(&b, " %%%d:%v", in.Arg, in.Class)
		case Dim, Index:
			fmt.Fprintf(&b, " %d", in.Arg)
		case Acc:
			fmt.Fprintf(&b, " %v", in.Class)
		case Imm:
			b.WriteString(" " + in.Class.String() + " " + in.immText())
		case Cast:
			fmt.Fprintf(&b, " %v r%d", in.Class, in.A)
		case Round, Wrap:
			fmt.Fprintf(&b, " %v r%d", in.Elem, in.A)
		default:
			for k, r := range in.Regs() {
				if k > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, " r%d", r)
			}
		}
	}
	return b.String()
}

func (in *Instr) immText() string {
	if in.Class == F32 || in.Class == F64 {
		if math.IsNaN(in.F) {
			return "nan"
		}
		return strconv.FormatFloat(in.F, 'g', -1, 64)
	}
	return strconv.FormatInt(in.I, 10)
}

// Parse reads the text form. Loads without a class take def (the class that the caller's operands have).
func Parse(s string, def Class) (*Program, error) {
	b := NewBuilder()
	names := map[string]int32{}
	for n, st := range strings.Split(s, ";") {
		st = strings.TrimSpace(st)
		if st == "" {
			continue
		}
		if err := parseStatement(b, names, st, def); err != nil {
			return nil, fmt.Errorf("tile statement %d %q: %w", n, st, err)
		}
	}
	return b.Program(), nil
}

func parseStatement(b *Builder, names map[string]int32, st string, def Class) error {
	name := ""
	if lhs, rhs, ok := strings.Cut(st, "="); ok {
		name, st = strings.TrimSpace(lhs), strings.TrimSpace(rhs)
	}
	word, rest, _ := strings.Cut(st, " ")
	var op Op
	for o := Acc; o < numOps; o++ {
		if opNames[o] == word {
			op = o
		}
	}
	if op == Nop {
		return fmt.Errorf("opcode %q is not known", word)
	}
	if (op == Store) != (name == "") {
		return fmt.Errorf("want a name before every opcode but store")
	}
	fields := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ' ' })
	in := Instr{Op: op}
	if err := parseFields(b, names, &in, fields, def); err != nil {
		return err
	}
	r := b.emit(in)
	if b.err != nil {
		return b.err
	}
	if name != "" {
		if _, ok := names[name]; ok {
			return fmt.Errorf("%q is defined twice", name)
		}
		names[name] = int32(r)
	}
	return nil
}

func parseFields(b *Builder, names map[string]int32, in *Instr, f []string, def Class) error {
	class := func(s string) (Class, error) {
		for c := F32; c < numClasses; c++ {
			if c.String() == s {
				return c, nil
			}
		}
		return NoClass, fmt.Errorf("class %q is not known", s)
	}
	need := func(n int) error {
		if len(f) != n {
			return fmt.Errorf("want %d arguments, got %d", n, len(f))
		}
		return nil
	}
	var err error
	switch in.Op {
	case Load, Store:
		if err := need(1 + in.Op.Operands()); err != nil {
			return err
		}
		arg, cl, typed := strings.Cut(strings.TrimPrefix(f[0], "%"), ":")
		in.Class = def
		if typed {
			if in.Class, err = class(cl); err != nil {
				return err
			}
		}
		v, err := strconv.ParseInt(arg, 10, 32)
		if err != nil {
			return fmt.Errorf("operand %q", f[0])
		}
		in.Arg = int32(v)
		f = f[1:]
	case Dim, Index:
		if err := need(1); err != nil {
			return err
		}
		v, err := strconv.ParseInt(f[0], 10, 32)
		if err != nil {
			return fmt.Errorf("argument %q", f[0])
		}
		in.Arg, in.Class, f = int32(v), I64, nil
	case Acc:
		in.Class = def
		if len(f) > 0 {
			if in.Class, err = class(f[0]); err != nil {
				return err
			}
		}
		f = nil
	case Imm:
		if len(f) == 1 {
			f = []string{def.String(), f[0]}
		}
		if err := need(2); err != nil {
			return err
		}
		if in.Class, err = class(f[0]); err != nil {
			return err
		}
		if in.F, err = strconv.ParseFloat(f[1], 64); err != nil {
			return fmt.Errorf("number %q", f[1])
		}
		if in.Class == I64 || in.Class == Mask {
			in.F = 0
			if in.I, err = strconv.ParseInt(f[1], 10, 64); err != nil {
				return fmt.Errorf("integer %q", f[1])
			}
		}
		return nil
	case Cast:
		if err := need(2); err != nil {
			return err
		}
		if in.Class, err = class(f[0]); err != nil {
			return err
		}
		f = f[1:]
	case Round, Wrap:
		if err := need(2); err != nil {
			return err
		}
		e, ok := dtype.Parse(f[0])
		if !ok {
			return fmt.Errorf("element type %q is not known", f[0])
		}
		in.Elem, f = e, f[1:]
	}
	if len(f) != in.Op.Operands() {
		return fmt.Errorf("want %d registers, got %d", in.Op.Operands(), len(f))
	}
	dst := []*int32{&in.A, &in.B, &in.C}
	for k, s := range f {
		r, ok := names[s]
		if !ok {
			return fmt.Errorf("register %q is not defined", s)
		}
		*dst[k] = r
	}
	return nil
}
