package main

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/tensorjson"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// boxText is the declared type of what is no tensor, in the text form; the shapes of what it holds are left open.
func boxText(t *onnxpb.TypeProto) (string, bool) {
	if t == nil || t.Of == nil {
		return "", false
	}
	of := ""
	if elem, ok := t.Of.Elem.Elem(); ok && t.Of.Kind == onnxpb.KindTensor {
		of = ir.Type{Elem: elem, Open: true}.String()
	} else if of, ok = boxText(t.Of); !ok {
		return "", false
	}
	switch t.Kind {
	case onnxpb.KindSequence:
		return "seq(" + of + ")", true
	case onnxpb.KindOptional:
		return "opt(" + of + ")", true
	case onnxpb.KindMap:
		key, ok := t.Elem.Elem()
		return "map(" + key.String() + ", " + of + ")", ok
	}
	return "", false
}

// readBox reads a .pb file that holds an input that is no tensor.
func readBox(path string, info llmc.Info) (tensor.Value, error) {
	if strings.ToLower(filepath.Ext(path)) != ".pb" {
		return tensor.Value{}, wantProto(info)
	}
	t, err := ir.ParseType(info.Type)
	if err != nil {
		return tensor.Value{}, err
	}
	return readProto(path, t.Kind)
}

func wantProto(info llmc.Info) error {
	return usagef("input %q is a %s: want a file .pb", info.Name, info.Type)
}

// emptyBox is the zero of an input that is no tensor: nothing in it.
func emptyBox(info llmc.Info) (tensor.Value, error) {
	t, err := ir.ParseType(info.Type)
	if err != nil {
		return tensor.Value{}, err
	}
	v := tensor.Value{Kind: t.Kind}
	if t.Kind == tensor.KindMap {
		v.Keys = tensor.New(t.Key, 0)
	}
	return v, nil
}

// appendValue writes JSON: a tensor as tensorjson does, a sequence as a list, a map as an object, an empty optional
// as null.
func appendValue(dst []byte, v tensor.Value) ([]byte, error) {
	switch v.Kind {
	case tensor.KindTensor:
		return tensorjson.Append(dst, v.Tensor)
	case tensor.KindOptional:
		if len(v.List) == 0 {
			return append(dst, "null"...), nil
		}
		return appendValue(dst, v.List[0])
	}
	open, end := byte('['), byte(']')
	if v.Kind == tensor.KindMap {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for i := range v.List {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if v.Kind == tensor.KindMap {
			key := ""
			if v.Keys.Elem == dtype.String {
				key = v.Keys.Str[i]
			} else {
				key = strconv.FormatInt(v.Keys.Int(i), 10)
			}
			dst = append(append(dst, jsonString(key)...), ": "...)
		}
		var err error
		if dst, err = appendValue(dst, v.List[i]); err != nil {
			return nil, err
		}
	}
	return append(dst, end), nil
}

// writeValue is writeTensor for any kind of value.
func writeValue(path, name string, v tensor.Value) error {
	if v.Kind == tensor.KindTensor {
		return writeTensor(path, name, v.Tensor)
	}
	var data []byte
	var err error
	switch strings.ToLower(filepath.Ext(path)) {
	case ".pb":
		data, err = onnxpb.AppendValue(nil, name, v)
	case ".json":
		data, err = appendValue(nil, v)
		data = append(data, '\n')
	default:
		return usagef("%s: a %v goes to a file .json or .pb", path, v.Kind)
	}
	return writeFile(path, name, data, err)
}
