package onnxpb

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Value is what an input or output of a graph can hold.
type Value struct {
	Kind   Kind           // KindTensor, KindSequence, KindOptional or KindMap
	Tensor *tensor.Tensor // of a tensor
	Elems  []Value        // of a sequence; of an optional: empty, or the one value it holds
	Keys   *tensor.Tensor // of a map: rank 1, integers or strings
	Vals   *Value         // of a map: a sequence as long as Keys
	Elem   int32          // of a sequence or optional: elem_type of the file, which tells what an empty one would hold
}

// TensorValue wraps a tensor.
func TensorValue(t *tensor.Tensor) Value { return Value{Kind: KindTensor, Tensor: t} }

// ParseValue reads the file of one input or output: a TensorProto, SequenceProto, OptionalProto or MapProto. The
// bytes do not tell which, so the kind comes from the declared type. Tensors alias data where they can.
func ParseValue(data []byte, kind Kind) (Value, error) {
	p := newParser(data)
	m := p.root()
	v := p.value(&m, kind)
	return v, p.result()
}

// ParseTensor reads a file that holds one TensorProto, with its name.
func ParseTensor(data []byte) (*tensor.Tensor, string, error) {
	p := newParser(data)
	m := p.root()
	t := decodeTensor(&m)
	if err := p.result(); err != nil {
		return nil, "", err
	}
	v, err := t.Value(nil)
	return v, t.Name, err
}

func (p *parser) value(m *msg, kind Kind) Value {
	switch kind {
	case KindTensor:
		return p.tensorValue(m)
	case KindSequence:
		return p.sequence(m)
	case KindOptional:
		return p.optional(m)
	case KindMap:
		return p.mapping(m)
	}
	p.failAt(m.pos, ErrUnsupported, "value of kind %v", kind)
	return Value{}
}

func (p *parser) tensorValue(m *msg) Value {
	t := decodeTensor(m)
	if p.err != nil {
		return Value{}
	}
	v, err := t.Value(nil)
	if err != nil {
		p.adopt(err)
		return Value{}
	}
	return TensorValue(v)
}

// adopt makes an error of a part the error of the whole.
func (p *parser) adopt(err error) {
	if e, ok := err.(*Error); ok {
		if w := p.where(); w != "" {
			e.Where = w + ": " + e.Where
		}
		p.err = e
		return
	}
	p.err = &Error{Offset: -1, Where: p.where(), Msg: err.Error(), Kind: err}
}

// kindOf maps elem_type of SequenceProto and OptionalProto.
var kindOf = [...]Kind{0: KindNone, 1: KindTensor, 2: KindSparse, 3: KindSequence, 4: KindMap, 5: KindOptional}

func (p *parser) sequence(m *msg) Value {
	v := Value{Kind: KindSequence}
	if !m.deeper() {
		return v
	}
	first := -1
	for m.next() {
		var kind Kind
		switch m.num {
		case 2:
			v.Elem = m.int32()
			continue
		case 3:
			kind = KindTensor
		case 5:
			kind = KindSequence
		case 6:
			kind = KindMap
		case 7:
			kind = KindOptional
		case 4:
			p.failAt(m.start, ErrUnsupported, "sequence of sparse tensors")
			continue
		default:
			m.skip()
			continue
		}
		if first >= 0 && first != int(m.num) {
			m.fail("sequence of mixed kinds: fields %d and %d", first, m.num)
		}
		first = int(m.num)
		sub := m.enter("sequence", len(v.Elems))
		if p.charge(m.start, 1, 128) {
			v.Elems = append(v.Elems, p.value(&sub, kind))
		}
		sub.leave()
	}
	p.depth--
	if p.err == nil && len(v.Elems) > 0 && (v.Elem < 1 || int(v.Elem) >= len(kindOf) || kindOf[v.Elem] != v.Elems[0].Kind) {
		m.fail("sequence: elem_type %d, but the values are of kind %v", v.Elem, v.Elems[0].Kind)
	}
	return v
}

func (p *parser) optional(m *msg) Value {
	v := Value{Kind: KindOptional}
	if !m.deeper() {
		return v
	}
	for m.next() {
		var kind Kind
		switch m.num {
		case 2:
			v.Elem = m.int32()
			continue
		case 3:
			kind = KindTensor
		case 5:
			kind = KindSequence
		case 6:
			kind = KindMap
		case 7:
			kind = KindOptional
		case 4:
			p.failAt(m.start, ErrUnsupported, "optional sparse tensor")
			continue
		default:
			m.skip()
			continue
		}
		if len(v.Elems) > 0 {
			m.fail("optional holds two values")
		}
		sub := m.enter("optional", -1)
		v.Elems = append(v.Elems, p.value(&sub, kind))
		sub.leave()
	}
	p.depth--
	if p.err == nil && len(v.Elems) > 0 && (v.Elem < 1 || int(v.Elem) >= len(kindOf) || kindOf[v.Elem] != v.Elems[0].Kind) {
		m.fail("optional: elem_type %d, but the value is of kind %v", v.Elem, v.Elems[0].Kind)
	}
	return v
}

// mapping reads a MapProto: integer keys in one field, string keys in another, values as a sequence.
func (p *parser) mapping(m *msg) Value {
	v := Value{Kind: KindMap}
	if !m.deeper() {
		return v
	}
	var keyType DataType
	var ints []int64
	var strs []string
	for m.next() {
		switch m.num {
		case 2:
			keyType = DataType(m.int32())
		case 3:
			ints = m.ints(ints)
		case 4:
			if p.charge(m.start, 1, 16) {
				strs = append(strs, string(m.bytes()))
			}
		case 5:
			sub := m.enterOnce("values")
			vals := p.sequence(&sub)
			v.Vals = &vals
			sub.leave()
		default:
			m.skip()
		}
	}
	p.depth--
	if p.err != nil {
		return v
	}
	elem, ok := keyType.Elem()
	switch {
	case ok && elem == dtype.String && len(ints) == 0:
		v.Keys = &tensor.Tensor{Elem: elem, Shape: []int{len(strs)}, Str: strs}
	case ok && elem.IsInt() && !elem.IsSubByte() && len(strs) == 0:
		v.Keys = tensor.New(elem, len(ints))
		for i, k := range ints {
			v.Keys.SetInt(i, k)
		}
	default:
		m.fail("map: keys of type %v, %d integers and %d strings", keyType, len(ints), len(strs))
		return v
	}
	if v.Vals == nil {
		v.Vals = &Value{Kind: KindSequence}
	}
	if v.Keys.Len() != len(v.Vals.Elems) {
		m.fail("map of %d keys and %d values", v.Keys.Len(), len(v.Vals.Elems))
	}
	return v
}

// String describes kind and shape: "tensor f32[2,3]", "sequence of 2".
func (v Value) String() string {
	switch v.Kind {
	case KindTensor:
		return fmt.Sprintf("tensor %v%v", v.Tensor.Elem, v.Tensor.Shape)
	case KindSequence:
		return fmt.Sprintf("sequence of %d", len(v.Elems))
	case KindOptional:
		if len(v.Elems) == 0 {
			return "optional, none"
		}
		return "optional " + v.Elems[0].String()
	case KindMap:
		return fmt.Sprintf("map of %d", v.Keys.Len())
	}
	return v.Kind.String()
}
