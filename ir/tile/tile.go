// Package tile is the language of the small programs that kernels apply to elements: straight-line SSA over
// tiles of registers. Compiler, reference evaluator and runtime share it; the numbers of opcodes are written
// into compiled programs.
//
// Instruction i defines register i, but for store, which defines nothing. A program reads operands by load
// (or, in a contract, window or attend group, its accumulator by acc) and writes results by store; operands
// are numbered through all inputs of the group, then all outputs. The text form is
//
//	x = load %0; m = rmax x; d = sub x, m; e = exp d; z = rsum e; y = div e, z; store %1, y
//
// Registers have one of four classes. A narrower element type is widened by load and narrowed by store;
// round and wrap bring a register to what that type would hold, so that each operator of a fused program
// gives what it would give alone.
package tile

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Class is the class of a register.
type Class uint8

// The classes. Mask holds truth values; bool tensors load as Mask.
const (
	NoClass Class = iota
	F32
	F64
	I64
	Mask
	numClasses
)

func (c Class) String() string {
	if c < numClasses {
		return [...]string{"none", "f32", "f64", "i64", "mask"}[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// ClassOf is the class that a load of an element type gives; NoClass where programs cannot hold the type.
// U64 loads into I64 with the same bits: only operations that do not look at the sign may be applied.
func ClassOf(t dtype.Type) Class {
	switch {
	case t == dtype.F64:
		return F64
	case t.IsFloat():
		return F32
	case t.IsInt():
		return I64
	case t == dtype.Bool:
		return Mask
	}
	return NoClass
}

// Op is an opcode.
type Op uint8

// Opcodes. The comment gives the formula where the name does not.
const (
	Nop   Op = iota
	Acc      // the accumulator of the anchor (f32, or i64 of an integer contraction)
	Load     // operand Arg
	Store    // operand Arg = A
	Imm      // the constant F (f32, f64), I (i64) or I != 0 (mask); class in Class
	Dim      // the value of the Arg-th entry of the group's dim list, class I64
	Index    // the index along axis Arg of the group's space, class I64
	Neg
	Abs
	Sqrt
	Recip // 1/x
	Exp
	Log
	Sin
	Cos
	Tan
	Asin
	Acos
	Atan
	Sinh
	Cosh
	Tanh
	Asinh
	Acosh
	Atanh
	Erf
	Sigmoid  // 1/(1 + exp(-x))
	Softplus // log(1 + exp(x))
	Gelu     // x * (1 + erf(x/sqrt(2))) / 2
	GeluTanh // x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2
	Silu     // x * sigmoid(x)
	Relu     // max(x, 0); NaN stays NaN
	Floor
	Ceil
	RoundEven // to an integer, ties to even
	Sign
	IsNaN // mask
	IsInf // mask
	Not   // mask: logical; i64: bitwise
	Add
	Sub
	Mul
	Div  // i64: towards zero; division by zero gives 0
	Mod  // sign of the divisor, that of a zero too
	Fmod // sign of the dividend
	Pow
	Min // NaN if either is
	Max
	And // mask: logical; i64: bitwise
	Or
	Xor
	Shl
	Shr // logical, of the low bits of the element type that load gave
	Eq  // mask, as the five that follow
	Ne
	Lt
	Le
	Gt
	Ge
	Select // A where mask C, else B
	Cast   // to Class: float to int truncates, int to mask is != 0
	Round  // f32, f64: to the nearest value of Elem
	Wrap   // i64: modulo the width of Elem, with its sign
	RSum   // reductions over the Red axes of rows; the result is one value a row
	RMax
	RMin
	RProd
	RArgMax // i64: the index of the first largest
	RArgMin
	RAny
	RAll
	numOps
)

var opNames = [numOps]string{
	Nop: "nop", Acc: "acc", Load: "load", Store: "store", Imm: "imm", Dim: "dim", Index: "idx",
	Neg: "neg", Abs: "abs", Sqrt: "sqrt", Recip: "recip", Exp: "exp", Log: "log", Sin: "sin", Cos: "cos", Tan: "tan",
	Asin: "asin", Acos: "acos", Atan: "atan", Sinh: "sinh", Cosh: "cosh", Tanh: "tanh", Asinh: "asinh", Acosh: "acosh", Atanh: "atanh",
	Erf: "erf", Sigmoid: "sigmoid", Softplus: "softplus", Gelu: "gelu", GeluTanh: "gelutanh", Silu: "silu", Relu: "relu",
	Floor: "floor", Ceil: "ceil", RoundEven: "rint", Sign: "sign", IsNaN: "isnan", IsInf: "isinf", Not: "not",
	Add: "add", Sub: "sub", Mul: "mul", Div: "div", Mod: "mod", Fmod: "fmod", Pow: "pow", Min: "min", Max: "max",
	And: "and", Or: "or", Xor: "xor", Shl: "shl", Shr: "shr",
	Eq: "eq", Ne: "ne", Lt: "lt", Le: "le", Gt: "gt", Ge: "ge", Select: "select", Cast: "cast", Round: "round", Wrap: "wrap",
	RSum: "rsum", RMax: "rmax", RMin: "rmin", RProd: "rprod", RArgMax: "rargmax", RArgMin: "rargmin", RAny: "rany", RAll: "rall",
}

func (o Op) String() string {
	if o < numOps {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Valid reports whether o is a listed opcode.
func (o Op) Valid() bool { return o > Nop && o < numOps }

// IsReduce reports whether o ends a phase of a rows program.
func (o Op) IsReduce() bool { return o >= RSum && o <= RAll }

// IsCompare reports whether o gives a mask from two numbers.
func (o Op) IsCompare() bool { return o >= Eq && o <= Ge }

// IsUnary reports whether o maps one register to one of the same class, or to a mask.
func (o Op) IsUnary() bool { return o >= Neg && o <= Not }

// IsBinary reports whether o maps two registers of one class to a third of it.
func (o Op) IsBinary() bool { return o >= Add && o <= Shr }

// Operands is the number of registers that o reads.
func (o Op) Operands() int {
	switch {
	case o == Select:
		return 3
	case o.IsBinary() || o.IsCompare():
		return 2
	case o.IsUnary() || o.IsReduce() || o == Cast || o == Round || o == Wrap || o == Store:
		return 1
	}
	return 0
}

// Instr is one instruction. Which fields count depends on Op.
type Instr struct {
	Op      Op
	Class   Class // of the result
	A, B, C int32 // registers
	Arg     int32 // operand of load and store, entry of dim, axis of idx
	Elem    dtype.Type
	F       float64
	I       int64
}

// Program is a list of instructions.
type Program struct {
	Code []Instr
}

// Regs returns the registers that in reads.
func (in *Instr) Regs() []int32 {
	return []int32{in.A, in.B, in.C}[:in.Op.Operands()]
}

// Reduces reports whether the program has reducing opcodes.
func (p *Program) Reduces() bool {
	for i := range p.Code {
		if p.Code[i].Op.IsReduce() {
			return true
		}
	}
	return false
}

// Verify checks registers, classes and operands: operand k has element type elems[k], the first ins are
// inputs; nDims and nAxes bound dim and idx; acc is the class of the accumulator, or NoClass.
func (p *Program) Verify(elems []dtype.Type, ins, nDims, nAxes int, acc Class) error {
	for i := range p.Code {
		in := &p.Code[i]
		if !in.Op.Valid() {
			return fmt.Errorf("tile instruction %d: opcode %d is not known", i, in.Op)
		}
		for _, r := range in.Regs() {
			if r < 0 || int(r) >= i || p.Code[r].Op == Store {
				return fmt.Errorf("tile instruction %d (%v): register %d is not defined before", i, in.Op, r)
			}
		}
		if err := p.check(in, elems, ins, nDims, nAxes, acc); err != nil {
			return fmt.Errorf("tile instruction %d (%v): %w", i, in.Op, err)
		}
	}
	return nil
}

func (p *Program) check(in *Instr, elems []dtype.Type, ins, nDims, nAxes int, acc Class) error {
	bound := func(n int) error {
		if in.Arg < 0 || int(in.Arg) >= n {
			return fmt.Errorf("argument %d of %d", in.Arg, n)
		}
		return nil
	}
	var want Class
	switch in.Op {
	case Load:
		if err := bound(ins); err != nil {
			return err
		}
		want = ClassOf(elems[in.Arg])
	case Store:
		if err := bound(len(elems)); err != nil {
			return err
		}
		if c := p.Code[in.A].Class; int(in.Arg) < ins || c != ClassOf(elems[in.Arg]) {
			return fmt.Errorf("stores class %v into operand %d of type %v", c, in.Arg, elems[in.Arg])
		}
		want = NoClass
	case Dim:
		if err := bound(nDims); err != nil {
			return err
		}
		want = I64
	case Index:
		if err := bound(nAxes); err != nil {
			return err
		}
		want = I64
	case Acc:
		if acc == NoClass {
			return fmt.Errorf("there is no accumulator")
		}
		want = acc
	case Imm, Cast:
		if in.Class == NoClass || in.Class >= numClasses {
			return fmt.Errorf("class %v", in.Class)
		}
		return nil
	default:
		var err error
		if want, err = p.resultClass(in); err != nil {
			return err
		}
		if (in.Op == Round || in.Op == Wrap) && !in.Elem.Valid() {
			return fmt.Errorf("element type %v", in.Elem)
		}
	}
	if in.Class != want || want == NoClass && in.Op != Store {
		return fmt.Errorf("class is %v, want %v", in.Class, want)
	}
	return nil
}

// resultClass is the class of an operation on registers.
func (p *Program) resultClass(in *Instr) (Class, error) {
	a := p.Code[in.A].Class
	if n := in.Op.Operands(); n >= 2 {
		if b := p.Code[in.B].Class; a != b {
			return NoClass, fmt.Errorf("operands of classes %v and %v", a, b)
		}
	}
	float := a == F32 || a == F64
	switch {
	case in.Op == Select:
		if c := p.Code[in.C].Class; c != Mask {
			return NoClass, fmt.Errorf("condition of class %v", c)
		}
		return a, nil
	case in.Op.IsCompare(), in.Op == IsNaN, in.Op == IsInf:
		return Mask, nil
	case in.Op == RArgMax, in.Op == RArgMin:
		return I64, nil
	case in.Op == RAny, in.Op == RAll:
		if a != Mask {
			return NoClass, fmt.Errorf("operand of class %v", a)
		}
		return Mask, nil
	case in.Op == Not, in.Op == And, in.Op == Or, in.Op == Xor:
		if float {
			return NoClass, fmt.Errorf("operand of class %v", a)
		}
	case in.Op == Shl, in.Op == Shr, in.Op == Wrap:
		if a != I64 {
			return NoClass, fmt.Errorf("operand of class %v", a)
		}
	case in.Op == Neg, in.Op == Abs, in.Op == Sign, in.Op == Relu, in.Op.IsBinary(), in.Op.IsReduce():
		if a == Mask {
			return NoClass, fmt.Errorf("operand of class mask")
		}
	default:
		if !float {
			return NoClass, fmt.Errorf("operand of class %v", a)
		}
	}
	return a, nil
}
