// Package attr holds attribute values of nodes: small, immutable, comparable by their text.
package attr

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
)

// Kind says which field of a Value is set.
type Kind uint8

// The kinds. Dims is a list of extents or other integers that may depend on symbols; Const refers to an
// entry of the module's constant table by index.
const (
	None Kind = iota
	Int
	Float
	Str
	Bool
	Ints
	Floats
	Strs
	Elem
	Dims
	Const
)

var kindNames = [...]string{"none", "int", "float", "string", "bool", "ints", "floats", "strings", "type", "dims", "const"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Value is one attribute value.
type Value struct {
	Kind   Kind
	I      int64 // Int, Bool (0 or 1), Const
	F      float64
	S      string
	Ints   []int64
	Floats []float64
	Strs   []string
	Elem   dtype.Type
	Dims   []dim.Expr
}

// Constructors.
func OfInt(v int64) Value        { return Value{Kind: Int, I: v} }
func OfFloat(v float64) Value    { return Value{Kind: Float, F: v} }
func OfStr(v string) Value       { return Value{Kind: Str, S: v} }
func OfInts(v []int64) Value     { return Value{Kind: Ints, Ints: v} }
func OfFloats(v []float64) Value { return Value{Kind: Floats, Floats: v} }
func OfStrs(v []string) Value    { return Value{Kind: Strs, Strs: v} }
func OfElem(v dtype.Type) Value  { return Value{Kind: Elem, Elem: v} }
func OfDims(v []dim.Expr) Value  { return Value{Kind: Dims, Dims: v} }
func OfConst(i int) Value        { return Value{Kind: Const, I: int64(i)} }

// OfBool makes a Bool value.
func OfBool(v bool) Value {
	if v {
		return Value{Kind: Bool, I: 1}
	}
	return Value{Kind: Bool}
}

// String is the text form: 3, 0.5, "x", true, [1, 2], [0.5], ["a"], f32, dims as [B, S + 1] after '~', #w3.
// Floats always have a point, an exponent or a name, so that kinds parse back.
func (v Value) String() string {
	switch v.Kind {
	case Int:
		return strconv.FormatInt(v.I, 10)
	case Bool:
		return strconv.FormatBool(v.I != 0)
	case Float:
		return FormatFloat(v.F)
	case Str:
		return strconv.Quote(v.S)
	case Ints:
		return list(v.Ints, func(x int64) string { return strconv.FormatInt(x, 10) }, "ints")
	case Floats:
		return list(v.Floats, FormatFloat, "floats")
	case Strs:
		return list(v.Strs, strconv.Quote, "strings")
	case Elem:
		return v.Elem.String()
	case Dims:
		return "~" + list(v.Dims, dim.Expr.Key, "")
	case Const:
		return "#w" + strconv.FormatInt(v.I, 10)
	}
	return "none"
}

func list[T any](l []T, f func(T) string, empty string) string {
	if len(l) == 0 {
		return empty + "[]"
	}
	s := make([]string, len(l))
	for i, x := range l {
		s[i] = f(x)
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// FormatFloat prints the shortest text that parses back to the same float64 and is not an integer.
func FormatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// Equal compares two values; NaN equals NaN.
func Equal(a, b Value) bool { return a.Kind == b.Kind && a.String() == b.String() }

// List is the attributes of a node in the order of the operator's signature.
type List []Named

// Named is one attribute.
type Named struct {
	Name string
	Value
}

// Get returns the attribute of that name.
func (l List) Get(name string) (Value, bool) {
	for _, n := range l {
		if n.Name == name {
			return n.Value, true
		}
	}
	return Value{}, false
}

// Int returns an Int or Bool attribute, or def where it is absent.
func (l List) Int(name string, def int64) int64 {
	if v, ok := l.Get(name); ok {
		return v.I
	}
	return def
}

// Bool returns a Bool attribute; absent is false.
func (l List) Bool(name string) bool { return l.Int(name, 0) != 0 }

// Float returns a Float attribute, or def where it is absent.
func (l List) Float(name string, def float64) float64 {
	if v, ok := l.Get(name); ok {
		return v.F
	}
	return def
}

// Str returns a Str attribute, or def where it is absent.
func (l List) Str(name, def string) string {
	if v, ok := l.Get(name); ok {
		return v.S
	}
	return def
}

// Ints returns an Ints attribute, or nil. A Dims attribute of constants counts as Ints.
func (l List) Ints(name string) []int64 {
	v, ok := l.Get(name)
	if !ok {
		return nil
	}
	if v.Kind == Dims {
		out := make([]int64, len(v.Dims))
		for i, e := range v.Dims {
			c, ok := e.Int()
			if !ok {
				return nil
			}
			out[i] = c
		}
		return out
	}
	return v.Ints
}

// Floats returns a Floats attribute, or nil.
func (l List) Floats(name string) []float64 {
	v, _ := l.Get(name)
	return v.Floats
}

// Strs returns a Strs attribute, or nil.
func (l List) Strs(name string) []string {
	v, _ := l.Get(name)
	return v.Strs
}

// Dims returns a Dims attribute, or nil.
func (l List) Dims(name string) []dim.Expr {
	v, _ := l.Get(name)
	return v.Dims
}

// Elem returns an Elem attribute, or Invalid.
func (l List) Elem(name string) dtype.Type {
	v, _ := l.Get(name)
	return v.Elem
}

// Set returns a list with the attribute replaced or appended; the receiver is not changed.
func (l List) Set(name string, v Value) List {
	out := append(List(nil), l...)
	for i := range out {
		if out[i].Name == name {
			out[i].Value = v
			return out
		}
	}
	return append(out, Named{name, v})
}
