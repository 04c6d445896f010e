package onnxpb

import (
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// DataType is an element type as onnx.proto numbers it.
type DataType int32

var dataTypes = [...]dtype.Type{1: dtype.F32, 2: dtype.U8, 3: dtype.I8, 4: dtype.U16, 5: dtype.I16, 6: dtype.I32, 7: dtype.I64,
	8: dtype.String, 9: dtype.Bool, 10: dtype.F16, 11: dtype.F64, 12: dtype.U32, 13: dtype.U64, 14: dtype.C64, 15: dtype.C128,
	16: dtype.BF16, 17: dtype.F8E4M3FN, 18: dtype.F8E4M3FNUZ, 19: dtype.F8E5M2, 20: dtype.F8E5M2FNUZ, 21: dtype.U4, 22: dtype.I4,
	23: dtype.F4E2M1, 24: dtype.F8E8M0, 25: dtype.U2, 26: dtype.I2}

var dataTypeNames = [...]string{"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
	"double", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
	"float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2", "float6e2m3", "float6e3m2"}

// Elem is our name for the type; false where the number is undefined, unknown, or has no form here (float6).
func (d DataType) Elem() (dtype.Type, bool) {
	if d <= 0 || int(d) >= len(dataTypes) {
		return dtype.Invalid, false
	}
	return dataTypes[d], true
}

// String is the ONNX spelling: "float", "int64".
func (d DataType) String() string {
	if d >= 0 && int(d) < len(dataTypeNames) {
		return dataTypeNames[d]
	}
	return fmt.Sprintf("type %d", int32(d))
}

// Defined reports whether the standard gives the number a meaning, even one that Elem does not cover.
func (d DataType) Defined() bool { return d > 0 && int(d) < len(dataTypeNames) }

// DataTypeOf is the inverse of Elem; zero for an invalid type.
func DataTypeOf(t dtype.Type) DataType {
	if t == dtype.Invalid {
		return 0
	}
	for d, e := range dataTypes {
		if e == t {
			return DataType(d)
		}
	}
	return 0
}

// ValueInfo is a ValueInfoProto: a name and, where the file gives one, a type.
type ValueInfo struct {
	Name   string
	Type   *TypeProto // nil where the file has none
	Offset int
}

// Kind tells tensors from the other kinds of values.
type Kind uint8

// The kinds of types and values.
const (
	KindNone Kind = iota // a TypeProto without content
	KindTensor
	KindSequence
	KindOptional
	KindMap
	KindSparse // types only: sparse values are made dense
	KindOpaque // types only
)

var kindNames = [...]string{"none", "tensor", "sequence", "optional", "map", "sparse tensor", "opaque"}

func (k Kind) String() string { return kindNames[k] }

// Value is the kind of the values that a type of kind k has; false where there are none of ours.
func (k Kind) Value() (tensor.Kind, bool) {
	switch k {
	case KindTensor, KindSparse:
		return tensor.KindTensor, true
	case KindSequence:
		return tensor.KindSequence, true
	case KindOptional:
		return tensor.KindOptional, true
	case KindMap:
		return tensor.KindMap, true
	}
	return 0, false
}

// TypeProto is the type of a value.
type TypeProto struct {
	Kind     Kind
	Elem     DataType   // element type of a tensor or sparse tensor; key type of a map
	HasShape bool       // false: even the rank is unknown
	Dims     []Dim      // of a tensor or sparse tensor
	Of       *TypeProto // element of a sequence or optional, value of a map; may be nil in sloppy files
}

// Dim is one extent of a declared shape: a number, a name, or neither.
type Dim struct {
	Value int64  // meaningful where Known; may be negative in hostile or sloppy files
	Param string // symbol, "" where there is none
	Known bool
}

func appendValueInfo(dst []ValueInfo, m *msg, field string) []ValueInfo {
	v := ValueInfo{Offset: m.start}
	sub := m.enter(field, len(dst))
	for sub.next() {
		switch sub.num {
		case 1:
			v.Name = sub.str()
		case 2:
			ty := sub.enterOnce("type")
			v.Type = decodeType(&ty)
			ty.leave()
		default:
			sub.skip()
		}
	}
	sub.leave()
	return append(dst, v)
}

// decodeType reads a TypeProto. Its content is a oneof: the last member wins.
func decodeType(m *msg) *TypeProto {
	t := &TypeProto{}
	if !m.deeper() || !m.p.charge(m.start, 1, int(unsafe.Sizeof(*t))) {
		return t
	}
	for m.next() {
		var kind Kind
		var sub msg
		switch m.num {
		case 1:
			kind, sub = KindTensor, m.enterOnce("tensor_type")
		case 4:
			kind, sub = KindSequence, m.enterOnce("sequence_type")
		case 5:
			kind, sub = KindMap, m.enterOnce("map_type")
		case 7:
			kind, sub = KindOpaque, m.enterOnce("opaque_type")
		case 8:
			kind, sub = KindSparse, m.enterOnce("sparse_tensor_type")
		case 9:
			kind, sub = KindOptional, m.enterOnce("optional_type")
		default:
			m.skip()
			continue
		}
		*t = TypeProto{Kind: kind}
		t.decodeContent(&sub)
		sub.leave()
	}
	m.p.depth--
	return t
}

func (t *TypeProto) decodeContent(m *msg) {
	for m.next() {
		switch {
		case t.Kind == KindOpaque:
			m.skip()
		case m.num == 1 && (t.Kind == KindSequence || t.Kind == KindOptional):
			sub := m.enterOnce("elem_type")
			t.Of = decodeType(&sub)
			sub.leave()
		case m.num == 1:
			t.Elem = DataType(m.int32())
		case m.num == 2 && t.Kind == KindMap:
			sub := m.enterOnce("value_type")
			t.Of = decodeType(&sub)
			sub.leave()
		case m.num == 2 && (t.Kind == KindTensor || t.Kind == KindSparse):
			sub := m.enterOnce("shape")
			t.HasShape = true
			t.Dims = room[Dim](&sub, sub.count()[1])
			for sub.next() {
				if sub.num == 1 {
					t.Dims = appendDim(t.Dims, &sub)
				} else {
					sub.skip()
				}
			}
			sub.leave()
		default:
			m.skip()
		}
	}
}

func appendDim(dst []Dim, m *msg) []Dim {
	var d Dim
	sub := m.enter("dim", len(dst))
	for sub.next() {
		switch sub.num { // a oneof: the last wins
		case 1:
			d = Dim{Value: sub.int64(), Known: true}
		case 2:
			d = Dim{Param: sub.str()}
		default:
			sub.skip()
		}
	}
	sub.leave()
	return append(dst, d)
}
