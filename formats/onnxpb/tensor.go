package onnxpb

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Tensor is a TensorProto. Its values stay in the file until Value is called.
type Tensor struct {
	Name       string
	Dims       []int64
	DataType   DataType
	Raw        []byte  // raw_data, aliases the file; nil where the field is absent
	IsExternal bool    // data_location is EXTERNAL: External says where
	External   []Entry // location, offset, length, checksum
	Offset     int     // byte of the file at which the tensor begins

	segmented bool
	typed     uint32 // which of the typed data fields occur and are not empty, by field number
	src       []byte // the file; the message is src[lo:hi]
	lo, hi    int
}

const tensorSize = int(unsafe.Sizeof(Tensor{}))

// Fields of TensorProto that hold values.
const (
	fieldFloat  = 4
	fieldInt32  = 5
	fieldString = 6
	fieldInt64  = 7
	fieldDouble = 10
	fieldUint64 = 11
)

var fieldNames = map[int]string{fieldFloat: "float_data", fieldInt32: "int32_data", fieldString: "string_data", fieldInt64: "int64_data",
	fieldDouble: "double_data", fieldUint64: "uint64_data"}

// maxRank bounds what later code may have to loop over. Real tensors stay below ten.
const maxRank = 64

func decodeTensor(m *msg) Tensor {
	t := Tensor{Offset: m.start, src: m.p.data, lo: m.pos, hi: m.end}
	for m.next() {
		switch m.num {
		case 1:
			t.Dims = m.ints(t.Dims)
		case 2:
			t.DataType = DataType(m.int32())
		case 3:
			t.segmented = true
			m.skip()
		case fieldFloat, fieldInt32, fieldString, fieldInt64, fieldDouble, fieldUint64:
			at := m.pos
			m.skip()
			if m.num == fieldString || m.typ != protowire.BytesType || m.pos-at > 1 { // an empty packed list is one zero byte
				t.typed |= 1 << m.num
			}
		case 8:
			t.Name = m.str()
		case 9:
			if t.Raw = m.bytes(); t.Raw == nil {
				t.Raw = []byte{}
			}
		case 13:
			t.External = appendEntry(t.External, m, "external_data")
		case 14:
			loc := m.int32()
			if m.p.err == nil && loc != 0 && loc != 1 {
				m.fail("data_location: unknown value %d", loc)
			}
			t.IsExternal = loc == 1
		default:
			m.skip()
		}
	}
	return t
}

// ExternalResolver finds the bytes of external data. A length of -1 stands for all from the offset on.
type ExternalResolver interface {
	External(location string, offset, length int64) ([]byte, error)
}

func (t *Tensor) errorf(kind error, format string, args ...any) error {
	return &Error{Offset: t.Offset, Where: "tensor " + quote(t.Name), Msg: fmt.Sprintf(format, args...), Kind: kind}
}

// Shape checks type and dims and returns the shape with the number of elements.
func (t *Tensor) Shape() (elem dtype.Type, shape []int, n int, err error) {
	elem, ok := t.DataType.Elem()
	if !ok {
		kind := ErrMalformed
		if t.DataType.Defined() {
			kind = ErrUnsupported
		}
		return 0, nil, 0, t.errorf(kind, "element type %v", t.DataType)
	}
	if len(t.Dims) > maxRank {
		return 0, nil, 0, t.errorf(ErrUnsupported, "rank %d, at most %d", len(t.Dims), maxRank)
	}
	shape = make([]int, len(t.Dims))
	for i, d := range t.Dims {
		if d < 0 || d > math.MaxInt {
			return 0, nil, 0, t.errorf(ErrMalformed, "dims[%d] is %d", i, d)
		}
		shape[i] = int(d)
	}
	n, ok = tensor.Count(shape)
	if !ok || n > math.MaxInt/128 {
		return 0, nil, 0, t.errorf(ErrMalformed, "dims %v have too many elements", t.Dims)
	}
	return elem, shape, n, nil
}

// Value is the tensor's value. The bytes alias the file, or the external file, wherever its form is ours already
// (raw_data, external data, packed floats); other forms are decoded into new memory, never more than eight times
// what they take in the file. ext may be nil where external data is not wanted.
func (t *Tensor) Value(ext ExternalResolver) (*tensor.Tensor, error) {
	elem, shape, n, err := t.Shape()
	if err != nil {
		return nil, err
	}
	v := &tensor.Tensor{Elem: elem, Shape: shape}
	switch {
	case t.segmented:
		return nil, t.errorf(ErrUnsupported, "segmented data")
	case t.IsExternal:
		if len(t.Raw) > 0 || t.typed != 0 {
			return nil, t.errorf(ErrMalformed, "external and inline data")
		}
		v.Data, err = t.external(ext, elem, n)
	case t.Raw != nil && (len(t.Raw) > 0 || t.typed == 0):
		if t.typed != 0 {
			return nil, t.errorf(ErrMalformed, "raw_data and typed data")
		}
		v.Data, err = t.Raw, t.checkBytes("raw_data", elem, n, len(t.Raw))
	default:
		err = t.decodeTyped(v, n)
	}
	if err != nil {
		return nil, err
	}
	if elem == dtype.Bool {
		v.Data = normalBools(v.Data)
	}
	return v, nil
}

func (t *Tensor) checkBytes(what string, elem dtype.Type, n, got int) error {
	if elem == dtype.String {
		return t.errorf(ErrMalformed, "strings in %s", what)
	}
	if want := elem.Bytes(n); got != want {
		return t.errorf(ErrMalformed, "%s of %v %v: want %d bytes, got %d", what, t.DataType, t.Dims, want, got)
	}
	return nil
}

// normalBools copies where a byte is neither 0 nor 1: Go's bool has no third value.
func normalBools(b []byte) []byte {
	for i, c := range b {
		if c <= 1 {
			continue
		}
		d := append([]byte(nil), b...)
		for j := i; j < len(d); j++ {
			d[j] = min(d[j], 1)
		}
		return d
	}
	return b
}

// storage says which typed field holds an element type, and how many entries n elements take there.
func storage(elem dtype.Type, n int) (field, entries int) {
	switch elem {
	case dtype.F32:
		return fieldFloat, n
	case dtype.C64:
		return fieldFloat, 2 * n
	case dtype.F64:
		return fieldDouble, n
	case dtype.C128:
		return fieldDouble, 2 * n
	case dtype.I64:
		return fieldInt64, n
	case dtype.U32, dtype.U64:
		return fieldUint64, n
	case dtype.String:
		return fieldString, n
	}
	if elem.IsSubByte() { // packed bytes, one an entry
		return fieldInt32, elem.Bytes(n)
	}
	return fieldInt32, n
}

func (t *Tensor) decodeTyped(v *tensor.Tensor, n int) error {
	field, want := storage(v.Elem, n)
	if wrong := t.typed &^ (1 << field); wrong != 0 {
		for f := range 32 {
			if wrong>>f&1 == 1 {
				return t.errorf(ErrMalformed, "values of type %v belong in %s, got %s", t.DataType, fieldNames[field], fieldNames[f])
			}
		}
	}
	p := newParser(t.src)
	p.path = []step{{"tensor " + quote(t.Name), -1}}
	got, pieces := t.countEntries(p, field)
	if p.err != nil {
		return p.err
	}
	if got != want {
		if t.typed == 0 {
			return t.errorf(ErrMalformed, "%v %v wants %d values, but there is no data", t.DataType, t.Dims, want)
		}
		return t.errorf(ErrMalformed, "%s of %v %v: want %d values, got %d", fieldNames[field], t.DataType, t.Dims, want, got)
	}
	if v.Elem == dtype.String {
		v.Str = t.decodeStrings(p, n)
		return p.result()
	}
	width := v.Elem.Bits() / 8
	if field == fieldInt32 && v.Elem.IsSubByte() {
		width = 1
	}
	if field == fieldFloat || field == fieldDouble {
		v.Data = t.decodeFixed(p, field, v.Elem.Bytes(n), pieces)
	} else {
		v.Data = t.decodeVarints(p, field, width, got)
	}
	return p.result()
}

func (t *Tensor) body(p *parser) msg { return msg{p: p, pos: t.lo, end: t.hi, start: t.Offset} }

// countEntries counts the values of a typed field and the pieces they come in.
func (t *Tensor) countEntries(p *parser, field int) (n, pieces int) {
	m := t.body(p)
	for m.next() {
		if int(m.num) != field {
			m.skip()
			continue
		}
		pieces++
		if m.typ != protowire.BytesType || field == fieldString {
			n++
			m.skip()
			continue
		}
		b := m.bytes()
		switch field {
		case fieldFloat, fieldDouble:
			width := 4
			if field == fieldDouble {
				width = 8
			}
			if len(b)%width != 0 {
				m.fail("%s: packed values take a multiple of %d bytes, got %d", fieldNames[field], width, len(b))
			}
			n += len(b) / width
		default:
			for _, c := range b {
				if c < 0x80 {
					n++
				}
			}
		}
	}
	return n, pieces
}

func (t *Tensor) decodeStrings(p *parser, n int) []string {
	s := make([]string, 0, n)
	m := t.body(p)
	for m.next() {
		if m.num == fieldString {
			s = append(s, string(m.bytes())) // any bytes are allowed here
		} else {
			m.skip()
		}
	}
	return s
}

// decodeFixed returns floats or doubles: the bytes of the file where they come in one packed piece.
func (t *Tensor) decodeFixed(p *parser, field, size, pieces int) []byte {
	var out []byte
	m := t.body(p)
	for m.next() {
		if int(m.num) != field {
			m.skip()
			continue
		}
		if m.typ == protowire.BytesType {
			b := m.bytes()
			if pieces == 1 {
				return b
			}
			out = append(grow(out, size), b...)
			continue
		}
		typ := protowire.Fixed32Type
		if field == fieldDouble {
			typ = protowire.Fixed64Type
		}
		if m.want(typ, "a "+fieldNames[field]+" value") {
			at := m.pos
			m.skip()
			out = append(grow(out, size), p.data[at:m.pos]...)
		}
	}
	if out == nil {
		out = []byte{}
	}
	return out
}

// decodeVarints stores n varints in width bytes each. Narrow signed values come sign-extended, bit patterns
// zero-extended, so both ranges are allowed; anything wider is an error.
func (t *Tensor) decodeVarints(p *parser, field, width, n int) []byte {
	out := tensor.Alloc(width * n)
	elem, _ := t.DataType.Elem()
	i := 0
	put := func(m *msg, u uint64) {
		v := int64(u)
		if field == fieldInt32 { // protobuf keeps the low half of an int32
			v = int64(int32(u))
		}
		if elem == dtype.Bool && v != 0 {
			v = 1
		}
		if width < 8 && (v < -1<<(8*width-1) || v >= 1<<(8*width)) {
			m.fail("%s: value %d does not fit %v", fieldNames[field], v, t.DataType)
			return
		}
		for k := range width {
			out[i*width+k] = byte(v >> (8 * k))
		}
		i++
	}
	m := t.body(p)
	for m.next() {
		switch {
		case int(m.num) != field:
			m.skip()
		case m.typ != protowire.BytesType:
			if u := m.varint(); p.err == nil {
				put(&m, u)
			}
		default:
			for b := m.bytes(); len(b) > 0 && p.err == nil; {
				u, k := protowire.ConsumeVarint(b)
				if k < 0 {
					m.fail("%s: packed varint: %s", fieldNames[field], wireError(k))
					break
				}
				put(&m, u)
				b = b[k:]
			}
		}
	}
	return out
}

// SparseTensor is a SparseTensorProto: values at indices, zero elsewhere.
type SparseTensor struct {
	Values  Tensor // rank 1: [NNZ]
	Indices Tensor // [NNZ] of linear indices or [NNZ, rank] of coordinates
	Dims    []int64
}

func decodeSparse(m *msg) SparseTensor {
	var s SparseTensor
	s.Values.Offset, s.Indices.Offset = m.start, m.start
	for m.next() {
		switch m.num {
		case 1:
			sub := m.enterOnce("values")
			s.Values = decodeTensor(&sub)
			sub.leave()
		case 2:
			sub := m.enterOnce("indices")
			s.Indices = decodeTensor(&sub)
			sub.leave()
		case 3:
			s.Dims = m.ints(s.Dims)
		default:
			m.skip()
		}
	}
	return s
}

// ErrTooLarge is what errors.Is finds where a value would exceed the caller's limit.
var ErrTooLarge = errors.New("value too large")

// Dense writes the values into a new tensor of at most maxBytes.
func (s *SparseTensor) Dense(ext ExternalResolver, maxBytes int) (*tensor.Tensor, error) {
	values, err := s.Values.Value(ext)
	if err != nil {
		return nil, err
	}
	indices, err := s.Indices.Value(ext)
	if err != nil {
		return nil, err
	}
	whole := Tensor{Name: s.Values.Name, Dims: s.Dims, DataType: s.Values.DataType, Offset: s.Values.Offset}
	elem, shape, n, err := whole.Shape()
	if err != nil {
		return nil, err
	}
	size := elem.Bytes(n)
	if elem == dtype.String {
		size = n * int(unsafe.Sizeof(""))
	}
	if size > maxBytes {
		return nil, whole.errorf(ErrTooLarge, "dense form takes %d bytes, at most %d", size, maxBytes)
	}
	if elem.IsComplex() {
		return nil, whole.errorf(ErrUnsupported, "sparse tensor of %v", s.Values.DataType)
	}
	nnz, rank := values.Len(), len(shape)
	linear := len(indices.Shape) == 1
	if indices.Elem != dtype.I64 || len(values.Shape) != 1 ||
		!(linear && indices.Shape[0] == nnz || len(indices.Shape) == 2 && indices.Shape[0] == nnz && indices.Shape[1] == rank) {
		return nil, whole.errorf(ErrMalformed, "sparse values %v, indices %v %v, dims %v do not belong together", values.Shape, indices.Elem, indices.Shape, shape)
	}
	out := tensor.New(elem, shape...)
	for i := range nnz {
		at, ok := int64(0), true
		if linear {
			at = indices.Int(i)
			ok = at >= 0 && at < int64(n)
		} else {
			for d := range rank {
				x := indices.Int(i*rank + d)
				ok = ok && x >= 0 && x < int64(shape[d])
				at = at*int64(shape[d]) + x
			}
		}
		if !ok {
			return nil, whole.errorf(ErrMalformed, "sparse index of value %d lies outside %v", i, shape)
		}
		if elem == dtype.String {
			out.Str[at] = values.Str[i]
		} else {
			out.SetBits(int(at), values.Bits(i))
		}
	}
	return out, nil
}
