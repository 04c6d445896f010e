package onnxpb

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	// ErrMalformed is what errors.Is finds in the error of bytes that are not a valid ONNX message.
	ErrMalformed = errors.New("malformed ONNX")
	// ErrUnsupported is what errors.Is finds where the bytes are valid but use something this package has no form for.
	ErrUnsupported = errors.New("unsupported ONNX feature")
)

// Error is a defect at a byte of the input.
type Error struct {
	Offset int    // byte of the file, or -1 where it is not known
	Where  string // field path, such as graph.node[3].attribute[0]
	Msg    string
	Kind   error // ErrMalformed or ErrUnsupported
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	if e.Offset >= 0 {
		s = fmt.Sprintf("byte %d: %s", e.Offset, s)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Kind }

const (
	maxDepth = 128 // nested graphs, types or sequences; real models stay below ten

	// Decoded structs may take so many bytes: a fixed share, and some for each byte of the file. A real graph
	// takes two to five times its wire size; a file of empty submessages would take two hundred times.
	budgetBase    = 64 << 20
	budgetPerByte = 16
)

// parser is the state of one decoding. The first error sticks: all readers then give zero values and every loop
// over fields ends.
type parser struct {
	data   []byte
	err    *Error
	path   []step
	depth  int
	budget int
	names  map[string]string // interned: value names occur at least twice, operator names many times
}

type step struct {
	field string
	index int // -1 for singular fields
}

func newParser(data []byte) *parser {
	budget := math.MaxInt
	if len(data) < (math.MaxInt-budgetBase)/budgetPerByte {
		budget = budgetBase + budgetPerByte*len(data)
	}
	return &parser{data: data, budget: budget}
}

func (p *parser) root() msg { return msg{p: p, end: len(p.data)} }

// result avoids the typed nil.
func (p *parser) result() error {
	if p.err == nil {
		return nil
	}
	return p.err
}

func (p *parser) failAt(offset int, kind error, format string, args ...any) {
	if p.err != nil {
		return
	}
	p.err = &Error{Offset: offset, Where: p.where(), Msg: fmt.Sprintf(format, args...), Kind: kind}
}

// where prints the innermost steps of the path; hostile files nest deeply.
func (p *parser) where() string {
	const most = 8
	var b strings.Builder
	path := p.path
	if len(path) > most {
		b.WriteString("...")
		path = path[len(path)-most:]
	}
	for i, s := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.field)
		if s.index >= 0 {
			fmt.Fprintf(&b, "[%d]", s.index)
		}
	}
	return b.String()
}

// charge accounts for n structs of size bytes that are about to be allocated.
func (p *parser) charge(offset, n, size int) bool {
	if n > p.budget/size {
		p.failAt(offset, ErrMalformed, "decoded form of this %d byte file needs too much memory", len(p.data))
		return false
	}
	p.budget -= n * size
	return true
}

// msg is a cursor over the fields of one message.
type msg struct {
	p        *parser
	pos, end int
	start    int // of the current field's tag
	num      protowire.Number
	typ      protowire.Type
	seen     uint32 // singular submessages met, by field number
	entered  bool   // a nested message that leave must be called for
}

// next moves to the next field; false at the end or after an error.
func (m *msg) next() bool {
	if m.p.err != nil || m.pos >= m.end {
		return false
	}
	m.start = m.pos
	num, typ, n := protowire.ConsumeTag(m.p.data[m.pos:m.end])
	if n < 0 {
		m.fail("field tag: %s", wireError(n))
		return false
	}
	if typ == protowire.EndGroupType {
		m.fail("end of a group that was not begun")
		return false
	}
	m.num, m.typ, m.pos = num, typ, m.pos+n
	return true
}

func (m *msg) fail(format string, args ...any) { m.p.failAt(m.start, ErrMalformed, format, args...) }

func wireError(n int) string {
	err := protowire.ParseError(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "truncated"
	}
	return strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
}

func (m *msg) want(typ protowire.Type, what string) bool {
	if m.p.err != nil {
		return false
	}
	if m.typ != typ {
		m.fail("field %d: want %s, got wire type %d", m.num, what, m.typ)
		return false
	}
	return true
}

// skip passes over a field that is of no interest.
func (m *msg) skip() {
	if m.p.err != nil {
		return
	}
	n := protowire.ConsumeFieldValue(m.num, m.typ, m.p.data[m.pos:m.end])
	if n < 0 {
		m.fail("field %d: %s", m.num, wireError(n))
		return
	}
	m.pos += n
}

func (m *msg) varint() uint64 {
	if !m.want(protowire.VarintType, "a varint") {
		return 0
	}
	v, n := protowire.ConsumeVarint(m.p.data[m.pos:m.end])
	if n < 0 {
		m.fail("field %d: varint: %s", m.num, wireError(n))
		return 0
	}
	m.pos += n
	return v
}

func (m *msg) int64() int64 { return int64(m.varint()) }

// int32 keeps the low half, as protobuf says for values that were written with a wider type.
func (m *msg) int32() int32 { return int32(m.varint()) }

func (m *msg) float() float32 {
	if !m.want(protowire.Fixed32Type, "four bytes") {
		return 0
	}
	v, n := protowire.ConsumeFixed32(m.p.data[m.pos:m.end])
	if n < 0 {
		m.fail("field %d: float: %s", m.num, wireError(n))
		return 0
	}
	m.pos += n
	return math.Float32frombits(v)
}

// bytes aliases the input.
func (m *msg) bytes() []byte {
	if !m.want(protowire.BytesType, "a length") {
		return nil
	}
	size, n := protowire.ConsumeVarint(m.p.data[m.pos:m.end])
	if n < 0 {
		m.fail("field %d: length: %s", m.num, wireError(n))
		return nil
	}
	if rest := m.end - m.pos - n; size > uint64(rest) {
		m.fail("field %d: length %d, but %d bytes are left", m.num, size, rest)
		return nil
	}
	m.pos += n
	b := m.p.data[m.pos : m.pos+int(size) : m.pos+int(size)]
	m.pos += int(size)
	return b
}

// str is a name: valid UTF-8, copied, so that it outlives the mapping.
func (m *msg) str() string {
	b := m.bytes()
	if m.p.err != nil {
		return ""
	}
	if s, ok := m.p.names[string(b)]; ok {
		return s
	}
	if !utf8.Valid(b) {
		m.fail("field %d: %s is not UTF-8", m.num, quote(string(b)))
		return ""
	}
	if !m.p.charge(m.start, 1, len(b)+48) {
		return ""
	}
	s := string(b)
	if m.p.names == nil {
		m.p.names = map[string]string{}
	}
	m.p.names[s] = s
	return s
}

// enter opens the current field as a nested message; leave must follow.
func (m *msg) enter(field string, index int) msg {
	b := m.bytes()
	if m.p.err != nil {
		return msg{p: m.p}
	}
	m.p.path = append(m.p.path, step{field, index})
	return msg{p: m.p, pos: m.pos - len(b), end: m.pos, start: m.start, entered: true}
}

// enterOnce is enter for a singular field.
func (m *msg) enterOnce(field string) msg {
	bit := uint32(1) << m.num
	if m.p.err == nil && m.seen&bit != 0 {
		m.fail("%s is given twice", field)
	}
	m.seen |= bit
	return m.enter(field, -1)
}

func (m *msg) leave() {
	if m.entered && m.p.err == nil {
		m.p.path = m.p.path[:len(m.p.path)-1]
	}
}

// deeper counts the nesting of messages that may contain themselves; undo with p.depth--.
func (m *msg) deeper() bool {
	m.p.depth++
	if m.p.depth > maxDepth {
		m.fail("nested more than %d levels deep", maxDepth)
		return false
	}
	return true
}

// count tells how often each field below 32 occurs, so that slices are made once. It stops quietly at an error,
// which the reading pass meets again.
func (m *msg) count() (n [32]int) {
	b := m.p.data[m.pos:m.end]
	for len(b) > 0 {
		num, typ, k := protowire.ConsumeTag(b)
		if k < 0 {
			return n
		}
		b = b[k:]
		if k = protowire.ConsumeFieldValue(num, typ, b); k < 0 {
			return n
		}
		b = b[k:]
		if num < 32 {
			n[num]++
		}
	}
	return n
}

// ints appends a repeated integer field, packed or not.
func (m *msg) ints(dst []int64) []int64 {
	if m.typ == protowire.VarintType {
		if !m.p.charge(m.start, 1, 8) {
			return dst
		}
		return append(dst, m.int64())
	}
	b := m.bytes()
	n := 0
	for _, c := range b { // a varint ends at its byte below 128
		if c < 0x80 {
			n++
		}
	}
	if !m.p.charge(m.start, n, 8) {
		return dst
	}
	dst = grow(dst, n)
	for len(b) > 0 {
		v, k := protowire.ConsumeVarint(b)
		if k < 0 {
			m.fail("field %d: packed varint: %s", m.num, wireError(k))
			return dst
		}
		dst, b = append(dst, int64(v)), b[k:]
	}
	return dst
}

// floats appends a repeated float field, packed or not.
func (m *msg) floats(dst []float32) []float32 {
	if m.typ == protowire.Fixed32Type {
		if !m.p.charge(m.start, 1, 4) {
			return dst
		}
		return append(dst, m.float())
	}
	b := m.bytes()
	if len(b)%4 != 0 {
		m.fail("field %d: packed floats take a multiple of 4 bytes, got %d", m.num, len(b))
		return dst
	}
	if !m.p.charge(m.start, len(b)/4, 4) {
		return dst
	}
	dst = grow(dst, len(b)/4)
	for len(b) > 0 {
		v, k := protowire.ConsumeFixed32(b)
		dst, b = append(dst, math.Float32frombits(v)), b[k:]
	}
	return dst
}

// grow makes room for n more, exactly where dst is empty: most repeated fields come in one piece.
func grow[T any](dst []T, n int) []T {
	if dst == nil && n > 0 {
		return make([]T, 0, n)
	}
	return dst
}

// quote prints a name of the file for a message, shortened where it is long.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(s[:most], "?"), len(s))
	}
	return fmt.Sprintf("%q", s)
}
