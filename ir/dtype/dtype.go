// Package dtype names the element types a tensor can hold, and converts single elements between their
// stored bits and Go numbers. It is a leaf: it imports nothing of ours.
package dtype

import "fmt"

// Type is an element type. The zero value is Invalid, so a forgotten type is noticed.
type Type uint8

// The element types of ONNX (opset 28), in a fixed order: the numbers are written into compiled programs.
const (
	Invalid Type = iota
	Bool
	U2
	U4
	U8
	U16
	U32
	U64
	I2
	I4
	I8
	I16
	I32
	I64
	F16
	BF16
	F32
	F64
	F8E4M3FN   // no infinities, one NaN code a sign
	F8E4M3FNUZ // no infinities, no negative zero: 0x80 is NaN
	F8E5M2     // IEEE-like
	F8E5M2FNUZ
	F8E8M0 // a power of two without sign: scales of block formats (OCP MX)
	F4E2M1
	C64  // two f32
	C128 // two f64
	String
	numTypes
)

type info struct {
	name string
	bits int
	kind kind
}

type kind uint8

const (
	kBool kind = iota + 1
	kUint
	kInt
	kFloat
	kComplex
	kString
)

var infos = [numTypes]info{
	Bool: {"bool", 8, kBool},
	U2:   {"u2", 2, kUint}, U4: {"u4", 4, kUint}, U8: {"u8", 8, kUint}, U16: {"u16", 16, kUint}, U32: {"u32", 32, kUint}, U64: {"u64", 64, kUint},
	I2: {"i2", 2, kInt}, I4: {"i4", 4, kInt}, I8: {"i8", 8, kInt}, I16: {"i16", 16, kInt}, I32: {"i32", 32, kInt}, I64: {"i64", 64, kInt},
	F16: {"f16", 16, kFloat}, BF16: {"bf16", 16, kFloat}, F32: {"f32", 32, kFloat}, F64: {"f64", 64, kFloat},
	F8E4M3FN: {"f8e4m3fn", 8, kFloat}, F8E4M3FNUZ: {"f8e4m3fnuz", 8, kFloat}, F8E5M2: {"f8e5m2", 8, kFloat}, F8E5M2FNUZ: {"f8e5m2fnuz", 8, kFloat},
	F8E8M0: {"f8e8m0", 8, kFloat}, F4E2M1: {"f4e2m1", 4, kFloat},
	C64: {"c64", 64, kComplex}, C128: {"c128", 128, kComplex},
	String: {"string", 0, kString},
}

// String returns the spelling of the text form: "f32", "i64", "bool".
func (t Type) String() string {
	if t > Invalid && t < numTypes {
		return infos[t].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(t))
}

// Parse is the inverse of String.
func Parse(name string) (Type, bool) {
	for t := Bool; t < numTypes; t++ {
		if infos[t].name == name {
			return t, true
		}
	}
	return Invalid, false
}

// All lists every valid type in order.
func All() []Type {
	l := make([]Type, 0, numTypes-1)
	for t := Bool; t < numTypes; t++ {
		l = append(l, t)
	}
	return l
}

// Valid reports whether t is one of the listed types.
func (t Type) Valid() bool { return t > Invalid && t < numTypes }

// Bits is the stored width of one element in bits; 0 for strings.
func (t Type) Bits() int {
	if !t.Valid() {
		return 0
	}
	return infos[t].bits
}

// Bytes is the number of bytes that n elements occupy; elements narrower than a byte are packed, low bits first.
func (t Type) Bytes(n int) int { return (n*t.Bits() + 7) / 8 }

// IsFloat reports whether t is a real floating-point type.
func (t Type) IsFloat() bool { return t.Valid() && infos[t].kind == kFloat }

// IsInt reports whether t is a signed or unsigned integer type; bool is not.
func (t Type) IsInt() bool { return t.IsSigned() || t.IsUnsigned() }

// IsSigned reports whether t is a signed integer type.
func (t Type) IsSigned() bool { return t.Valid() && infos[t].kind == kInt }

// IsUnsigned reports whether t is an unsigned integer type.
func (t Type) IsUnsigned() bool { return t.Valid() && infos[t].kind == kUint }

// IsComplex reports whether t is a complex type.
func (t Type) IsComplex() bool { return t.Valid() && infos[t].kind == kComplex }

// IsSubByte reports whether several elements share a byte.
func (t Type) IsSubByte() bool { b := t.Bits(); return b > 0 && b < 8 }

// IntRange returns the smallest and largest value of an integer type; for U64 the largest is returned as
// its two's complement pattern, -1.
func (t Type) IntRange() (lo, hi int64) {
	b := t.Bits()
	switch {
	case t == Bool:
		return 0, 1
	case t.IsSigned():
		return -1 << (b - 1), 1<<(b-1) - 1
	case t.IsUnsigned() && b < 64:
		return 0, 1<<b - 1
	case t == U64:
		return 0, -1
	}
	return 0, 0
}

// Bitwise is an integer type as wide as t, for moving bits; t itself where there is none.
func (t Type) Bitwise() Type {
	switch t.Bits() {
	case 8:
		return U8
	case 16:
		return U16
	case 32:
		return U32
	case 64:
		return I64
	}
	return t
}
