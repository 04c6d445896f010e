package onnxpb

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendVarint(b []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

// AppendTensor appends a TensorProto: values in raw_data, strings in string_data.
func AppendTensor(b []byte, name string, t *tensor.Tensor) ([]byte, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", quote(name), err)
	}
	if len(t.Shape) > 0 {
		var dims []byte
		for _, d := range t.Shape {
			dims = protowire.AppendVarint(dims, uint64(d))
		}
		b = appendBytes(b, 1, dims)
	}
	b = appendVarint(b, 2, int64(DataTypeOf(t.Elem)))
	if t.Elem == dtype.String {
		for _, s := range t.Str {
			b = appendString(b, fieldString, s)
		}
	}
	if name != "" {
		b = appendString(b, 8, name)
	}
	if t.Elem != dtype.String && len(t.Data) > 0 {
		b = appendBytes(b, 9, t.Data)
	}
	return b, nil
}

// AppendValue appends the message of an input or output file: a TensorProto, SequenceProto, OptionalProto or
// MapProto after the kind of v.
func AppendValue(b []byte, name string, v tensor.Value) ([]byte, error) {
	switch v.Kind {
	case tensor.KindTensor:
		if v.Tensor == nil {
			return nil, fmt.Errorf("value %s is missing", quote(name))
		}
		return AppendTensor(b, name, v.Tensor)
	case tensor.KindSequence, tensor.KindOptional:
		if v.Kind == tensor.KindOptional && len(v.List) > 1 {
			return nil, fmt.Errorf("optional of %d values", len(v.List))
		}
		return appendElems(b, name, v)
	case tensor.KindMap:
		return appendMap(b, name, v)
	}
	return nil, fmt.Errorf("value of kind %v: %w", v.Kind, ErrUnsupported)
}

func appendElems(b []byte, name string, v tensor.Value) ([]byte, error) {
	if name != "" {
		b = appendString(b, 1, name)
	}
	elem := fieldOfKind[tensor.KindTensor].elem // of an empty one any will do
	if v.Kind == tensor.KindOptional {
		elem = 0
	}
	if len(v.List) > 0 {
		elem = fieldOfKind[v.List[0].Kind].elem
	}
	b = appendVarint(b, 2, int64(elem))
	for i, e := range v.List {
		if int(e.Kind) >= len(fieldOfKind) || e.Kind != v.List[0].Kind {
			return nil, fmt.Errorf("%v element %d is of kind %v, the first of kind %v", v.Kind, i, e.Kind, v.List[0].Kind)
		}
		sub, err := AppendValue(nil, "", e)
		if err != nil {
			return nil, fmt.Errorf("%v element %d: %w", v.Kind, i, err)
		}
		b = appendBytes(b, fieldOfKind[e.Kind].field, sub)
	}
	return b, nil
}

func appendMap(b []byte, name string, v tensor.Value) ([]byte, error) {
	if v.Keys == nil || len(v.Keys.Shape) != 1 || v.Keys.Shape[0] != len(v.List) {
		return nil, fmt.Errorf("map: keys and values do not belong together")
	}
	if name != "" {
		b = appendString(b, 1, name)
	}
	b = appendVarint(b, 2, int64(DataTypeOf(v.Keys.Elem)))
	switch {
	case v.Keys.Elem == dtype.String:
		for _, s := range v.Keys.Str {
			b = appendString(b, 4, s)
		}
	case v.Keys.Elem.IsInt():
		var keys []byte
		for i := range v.Keys.Len() {
			keys = protowire.AppendVarint(keys, uint64(v.Keys.Int(i)))
		}
		b = appendBytes(b, 3, keys)
	default:
		return nil, fmt.Errorf("map: keys of type %v", v.Keys.Elem)
	}
	vals, err := AppendValue(nil, "", tensor.SequenceOf(v.List...))
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	return appendBytes(b, 5, vals), nil
}
