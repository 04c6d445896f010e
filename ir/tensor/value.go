package tensor

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Kind tells tensors from the values that hold them.
type Kind uint8

// The kinds.
const (
	KindTensor Kind = iota
	KindSequence
	KindOptional
	KindMap
	numKinds
)

var kindNames = [numKinds]string{"tensor", "sequence", "optional", "map"}

func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Value is what an input, an output or an operand holds: a tensor, or a box of values. The zero Value stands for
// an absent operand. Values are immutable once made, and share their parts.
type Value struct {
	Kind   Kind
	Tensor *Tensor // of a tensor
	List   []Value // of a sequence; of an optional: empty, or the one value it holds; of a map: one a key
	Keys   *Tensor // of a map: rank 1, integers or strings
}

// ValueOf makes a value of a tensor.
func ValueOf(t *Tensor) Value { return Value{Kind: KindTensor, Tensor: t} }

// ValuesOf makes values of tensors.
func ValuesOf(l ...*Tensor) []Value {
	out := make([]Value, len(l))
	for i, t := range l {
		out[i] = ValueOf(t)
	}
	return out
}

// SequenceOf makes a sequence.
func SequenceOf(l ...Value) Value { return Value{Kind: KindSequence, List: l} }

// OptionalOf makes an optional that holds a value, or nothing.
func OptionalOf(l ...Value) Value { return Value{Kind: KindOptional, List: l} }

// Absent reports whether v is the zero Value.
func (v Value) Absent() bool { return v.Kind == KindTensor && v.Tensor == nil }

// String describes a value for messages: f32[2, 3], sequence of 2.
func (v Value) String() string {
	switch {
	case v.Absent():
		return "nothing"
	case v.Kind == KindTensor:
		return fmt.Sprintf("%v%v", v.Tensor.Elem, v.Tensor.Shape)
	case v.Kind == KindOptional && len(v.List) == 1:
		return "optional of " + v.List[0].String()
	case v.Kind == KindOptional:
		return "optional without a value"
	}
	return fmt.Sprintf("%v of %d", v.Kind, len(v.List))
}

// maxNested bounds values in values.
const maxNested = 64

// Check reports whether all tensors of v are well formed, and the parts belong together.
func (v Value) Check() error { return v.check(0) }

func (v Value) check(depth int) error {
	switch {
	case depth > maxNested:
		return fmt.Errorf("values are nested more than %d deep", maxNested)
	case v.Kind >= numKinds:
		return fmt.Errorf("%v is not known", v.Kind)
	case v.Absent():
		return fmt.Errorf("a value is missing")
	case v.Kind == KindTensor:
		return v.Tensor.Check()
	case v.Kind == KindOptional && len(v.List) > 1:
		return fmt.Errorf("optional of %d values", len(v.List))
	case v.Kind == KindMap:
		if v.Keys == nil || len(v.Keys.Shape) != 1 || v.Keys.Shape[0] != len(v.List) {
			return fmt.Errorf("map: keys and values do not belong together")
		}
		if !v.Keys.Elem.IsInt() && v.Keys.Elem != dtype.String {
			return fmt.Errorf("map: keys of type %v", v.Keys.Elem)
		}
		if err := v.Keys.Check(); err != nil {
			return err
		}
	}
	for i := range v.List {
		if err := v.List[i].check(depth + 1); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// Clone copies a value with all its bytes.
func (v Value) Clone() Value {
	c := v
	if v.Tensor != nil {
		c.Tensor = v.Tensor.Clone()
	}
	if v.Keys != nil {
		c.Keys = v.Keys.Clone()
	}
	if v.List != nil {
		c.List = make([]Value, len(v.List))
		for i := range v.List {
			c.List[i] = v.List[i].Clone()
		}
	}
	return c
}

// Size is the number of bytes that a value's tensors take; those that occur twice count twice.
func (v Value) Size() int64 {
	n := int64(0)
	if v.Tensor != nil {
		n = v.Tensor.Size()
	}
	for i := range v.List {
		n += v.List[i].Size()
	}
	return n
}

// Size is the number of bytes that a tensor's elements take; a string takes 16, and what it points to.
func (t *Tensor) Size() int64 {
	if t.Elem != dtype.String {
		return int64(len(t.Data))
	}
	n := 16 * int64(len(t.Str))
	for _, s := range t.Str {
		n += int64(len(s))
	}
	return n
}
