// Package op is the contract between an operator and the compiler: a Def says everything that the rest may
// know about one operator.
package op

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
)

// Def is all that the compiler knows about one operator. At least one of Form, Expand and Host says what it
// means: the evaluator takes Host, else Expand, else a naive loop over the Form; the compiler takes the Form
// where the target has the anchor for these types, else Expand, else a host step.
type Def struct {
	Name   string                            // spelling in the text form: "softmax"
	Doc    string                            // one formula with named axes
	From   []Source                          // what it is called elsewhere
	Sig    Sig                               // checked before any other code runs
	Infer  func(*Infer) error                // element types, symbolic shapes, contents of small integer tensors
	Form   func(*Form) error                 // what a kernel group would hold; an error wrapping ErrNoForm where it cannot
	Expand func(*Build) ([]*ir.Value, error) // in terms of other operators
	Host   host.Fn                           // plain loops, float64 accumulators
	VJP    VJP                               // its gradient
	Cases  func(*Cases)                      // the test corpus
	NumOut func(n *ir.Node) int              // where the number of results depends on the node; else len(Sig.Out)
	View   bool                              // the Form is a view: results are operand 0 seen differently
	Random bool                              // never folded
}

// Source is a spelling of an operator in a model format. Since lists every version of the domain that
// changed it, oldest first, type-only revisions included; a Source covers versions from its first entry up to
// the next Source of the same spelling.
type Source struct {
	Domain string // "" is ai.onnx
	Op     string
	Since  []int
	Until  int                                // first version that has it no more; 0 where the newest has it
	Import func(*Import) ([]*ir.Value, error) // nil: operands, attributes and results one to one
}

// Sig is the signature.
type Sig struct {
	In      []Arg
	Out     []Arg
	Attrs   []Attr
	Regions []string
}

// Arg is an operand or result.
type Arg struct {
	Name     string
	Elem     Elems // accepted element types; zero accepts the type of the first operand with the same zero, or anything
	Optional bool
	Variadic bool // the last one may repeat, zero times or more
	Any      bool // sequences, optionals and maps too
}

// Attr is an attribute.
type Attr struct {
	Name     string
	Kind     attr.Kind
	Default  attr.Value // of kind None: the attribute may be absent
	Required bool
}

// Elems is a set of element types.
type Elems uint64

// Set makes a set.
func Set(types ...dtype.Type) Elems {
	var s Elems
	for _, t := range types {
		s |= 1 << t
	}
	return s
}

// Has reports whether t is in the set.
func (s Elems) Has(t dtype.Type) bool { return s&(1<<t) != 0 }

func setOf(keep func(dtype.Type) bool) Elems {
	var s Elems
	for _, t := range dtype.All() {
		if keep(t) {
			s |= 1 << t
		}
	}
	return s
}

// Common sets. Float is what arithmetic in floating point accepts; Small are the 8-bit and 4-bit floats, which are only
// stored and converted.
var (
	Float   = Set(dtype.F16, dtype.BF16, dtype.F32, dtype.F64)
	Small   = setOf(func(t dtype.Type) bool { return t.IsFloat() && t.Bits() <= 8 })
	Int     = setOf(dtype.Type.IsInt)
	Index   = Set(dtype.I32, dtype.I64)
	Bool    = Set(dtype.Bool)
	Number  = Float | Int
	Tensors = setOf(func(dtype.Type) bool { return true })
)

// VJP is the gradient rule's seat: exactly one of Rule, None (why there is none) and Todo.
type VJP struct {
	Rule func(*Grad) []*ir.Value
	None string
	Todo bool
}

// Grad builds a backward graph; its issue gives it methods.
type Grad struct{ *Build }
