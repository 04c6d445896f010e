package onnxpb

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// ParseValue reads the file of one input or output: a TensorProto, SequenceProto, OptionalProto or MapProto. The
// bytes do not tell which, so the kind comes from the declared type. Tensors alias data where they can.
func ParseValue(data []byte, kind tensor.Kind) (tensor.Value, error) {
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

func (p *parser) value(m *msg, kind tensor.Kind) tensor.Value {
	switch kind {
	case tensor.KindTensor:
		return p.tensorValue(m)
	case tensor.KindSequence:
		return p.sequence(m)
	case tensor.KindOptional:
		return p.optional(m)
	case tensor.KindMap:
		return p.mapping(m)
	}
	p.failAt(m.pos, ErrUnsupported, "value of kind %v", kind)
	return tensor.Value{}
}

func (p *parser) tensorValue(m *msg) tensor.Value {
	t := decodeTensor(m)
	if p.err != nil {
		return tensor.Value{}
	}
	v, err := t.Value(nil)
	if err != nil {
		p.adopt(err)
		return tensor.Value{}
	}
	return tensor.ValueOf(v)
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

// fieldOfKind gives number and elem_type of the value field in SequenceProto and OptionalProto, which agree.
var fieldOfKind = [...]struct {
	field protowire.Number
	elem  int32
}{tensor.KindTensor: {3, 1}, tensor.KindSequence: {5, 3}, tensor.KindMap: {6, 4}, tensor.KindOptional: {7, 5}}

// holds reports whether elem_type says that values are of a kind.
func holds(elem int32, k tensor.Kind) bool { return elem == fieldOfKind[k].elem }

func (p *parser) sequence(m *msg) tensor.Value {
	v, elem := tensor.Value{Kind: tensor.KindSequence}, int32(0)
	if !m.deeper() {
		return v
	}
	first := -1
	for m.next() {
		var kind tensor.Kind
		switch m.num {
		case 2:
			elem = m.int32()
			continue
		case 3:
			kind = tensor.KindTensor
		case 5:
			kind = tensor.KindSequence
		case 6:
			kind = tensor.KindMap
		case 7:
			kind = tensor.KindOptional
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
		sub := m.enter("sequence", len(v.List))
		if p.charge(m.start, 1, 128) {
			v.List = append(v.List, p.value(&sub, kind))
		}
		sub.leave()
	}
	p.depth--
	if p.err == nil && len(v.List) > 0 && !holds(elem, v.List[0].Kind) {
		m.fail("sequence: elem_type %d, but the values are of kind %v", elem, v.List[0].Kind)
	}
	return v
}

func (p *parser) optional(m *msg) tensor.Value {
	v, elem := tensor.Value{Kind: tensor.KindOptional}, int32(0)
	if !m.deeper() {
		return v
	}
	for m.next() {
		var kind tensor.Kind
		switch m.num {
		case 2:
			elem = m.int32()
			continue
		case 3:
			kind = tensor.KindTensor
		case 5:
			kind = tensor.KindSequence
		case 6:
			kind = tensor.KindMap
		case 7:
			kind = tensor.KindOptional
		case 4:
			p.failAt(m.start, ErrUnsupported, "optional sparse tensor")
			continue
		default:
			m.skip()
			continue
		}
		if len(v.List) > 0 {
			m.fail("optional holds two values")
		}
		sub := m.enter("optional", -1)
		v.List = append(v.List, p.value(&sub, kind))
		sub.leave()
	}
	p.depth--
	if p.err == nil && len(v.List) > 0 && !holds(elem, v.List[0].Kind) {
		m.fail("optional: elem_type %d, but the value is of kind %v", elem, v.List[0].Kind)
	}
	return v
}

// mapping reads a MapProto: integer keys in one field, string keys in another, values as a sequence.
func (p *parser) mapping(m *msg) tensor.Value {
	v := tensor.Value{Kind: tensor.KindMap}
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
			v.List = p.sequence(&sub).List
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
	if v.Keys.Len() != len(v.List) {
		m.fail("map of %d keys and %d values", v.Keys.Len(), len(v.List))
	}
	return v
}
