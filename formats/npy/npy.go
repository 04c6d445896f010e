// Package npy reads and writes NumPy's array files (format versions 1, 2 and 3 of the NumPy enhancement proposal
// "A Simple File Format for NumPy Arrays"), one tensor each, without copying where the bytes are little-endian and
// in row-major order.
package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

var (
	// ErrMalformed is what errors.Is finds in the error of bytes that are no array file.
	ErrMalformed = errors.New("malformed npy")
	// ErrUnsupported is what errors.Is finds where the file is fine but holds no tensor: objects, records, dates.
	ErrUnsupported = errors.New("unsupported npy feature")
)

const (
	magic     = "\x93NUMPY"
	maxHeader = 1 << 16
	maxRank   = 64
)

// Decode reads the array that data holds. The tensor aliases data unless bytes had to be swapped, transposed or
// widened.
func Decode(data []byte) (*tensor.Tensor, error) {
	if !bytes.HasPrefix(data, []byte(magic)) || len(data) < 10 {
		return nil, fmt.Errorf("no npy signature: %w", ErrMalformed)
	}
	size, at := int(binary.LittleEndian.Uint16(data[8:])), 10
	switch data[6] {
	case 1:
	case 2, 3:
		if len(data) < 12 {
			return nil, fmt.Errorf("header is cut off: %w", ErrMalformed)
		}
		n := binary.LittleEndian.Uint32(data[8:])
		size, at = int(min(n, maxHeader+1)), 12
	default:
		return nil, fmt.Errorf("format version %d.%d: %w", data[6], data[7], ErrUnsupported)
	}
	if size > maxHeader || size > len(data)-at {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: %w", size, len(data), ErrMalformed)
	}
	h, err := parseHeader(string(data[at : at+size]))
	if err != nil {
		return nil, err
	}
	return h.decode(data[at+size:])
}

// decode checks the size of the array against the bytes that are there before anything is allocated.
func (h *header) decode(body []byte) (*tensor.Tensor, error) {
	item, err := parseDescr(h.descr)
	if err != nil {
		return nil, err
	}
	n, ok := tensor.Count(h.shape)
	if !ok || item.size > 0 && n > math.MaxInt/item.size {
		return nil, fmt.Errorf("shape %v has too many elements: %w", h.shape, ErrMalformed)
	}
	if item.size == 0 && n > len(body)+maxHeader { // arrays of empty strings take no bytes
		return nil, fmt.Errorf("%d empty strings: %w", n, ErrUnsupported)
	}
	if want := n * item.size; want != len(body) {
		return nil, fmt.Errorf("%s %v: want %d bytes of data, got %d: %w", h.descr, h.shape, want, len(body), ErrMalformed)
	}
	t := &tensor.Tensor{Elem: item.elem, Shape: h.shape}
	if item.elem == dtype.String {
		t.Str, err = item.strings(body, n)
		if err == nil && h.fortran {
			t.Str = rowMajor(t.Str, h.shape, 1)
		}
		return t, err
	}
	if item.swap {
		body = swap(body, item.unit)
	}
	if h.fortran && len(h.shape) > 1 {
		body = rowMajor(body, h.shape, item.size)
	}
	if item.elem == dtype.Bool {
		for i, c := range body {
			if c > 1 {
				return nil, fmt.Errorf("boolean %d is %d: %w", i, c, ErrMalformed)
			}
		}
	}
	t.Data = body
	return t, nil
}

// item is an element as the file stores it.
type item struct {
	elem dtype.Type
	size int  // bytes of an element
	unit int  // bytes that are swapped together: half a complex number
	swap bool // big-endian
	wide bool // a string of UCS-4 code points, not of bytes
}

var kinds = map[string]dtype.Type{"b1": dtype.Bool, "i1": dtype.I8, "i2": dtype.I16, "i4": dtype.I32, "i8": dtype.I64, "u1": dtype.U8,
	"u2": dtype.U16, "u4": dtype.U32, "u8": dtype.U64, "f2": dtype.F16, "f4": dtype.F32, "f8": dtype.F64, "c8": dtype.C64, "c16": dtype.C128}

func parseDescr(descr string) (item, error) {
	bad := fmt.Errorf("element type %.40q: %w", descr, ErrUnsupported)
	if len(descr) < 2 {
		return item{}, bad
	}
	order, kind := descr[0], descr[1:]
	if !strings.ContainsRune("<>|=", rune(order)) {
		return item{}, bad
	}
	it := item{swap: order == '>'}
	if kind[0] == 'U' || kind[0] == 'S' {
		n, ok := parseSize(kind[1:])
		if !ok || n > 1<<24 {
			return item{}, bad
		}
		it.elem, it.size, it.wide = dtype.String, n, kind[0] == 'U'
		if it.wide {
			it.size *= 4
		}
		return it, nil
	}
	elem, ok := kinds[kind]
	if !ok {
		return item{}, bad
	}
	it.elem, it.size = elem, elem.Bits()/8
	it.unit = it.size
	if elem.IsComplex() {
		it.unit /= 2
	}
	return it, nil
}

// strings decodes n fixed-width strings; the padding is zeros at the end.
func (it item) strings(body []byte, n int) ([]string, error) {
	out := make([]string, n)
	var order binary.ByteOrder = binary.LittleEndian
	if it.swap {
		order = binary.BigEndian
	}
	for i := range out {
		b := body[i*it.size : (i+1)*it.size]
		if !it.wide {
			out[i] = string(bytes.TrimRight(b, "\x00"))
			continue
		}
		for len(b) > 0 && order.Uint32(b[len(b)-4:]) == 0 {
			b = b[:len(b)-4]
		}
		var s strings.Builder
		for ; len(b) > 0; b = b[4:] {
			r := order.Uint32(b)
			if r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
				return nil, fmt.Errorf("string %d: %#x is no character: %w", i, r, ErrMalformed)
			}
			s.WriteRune(rune(r))
		}
		out[i] = s.String()
	}
	return out, nil
}

func swap(b []byte, unit int) []byte {
	out := tensor.Alloc(len(b))
	for i := 0; i < len(b); i += unit {
		for k := range unit {
			out[i+k] = b[i+unit-1-k]
		}
	}
	return out
}

// rowMajor copies an array in column-major order, size entries of T an element.
func rowMajor[T any](src []T, shape []int, size int) []T {
	out := make([]T, len(src))
	if len(src) == 0 {
		return out
	}
	stride := make([]int, len(shape)) // in src
	s := size
	for i, d := range shape {
		stride[i] = s
		s *= d
	}
	index, from := make([]int, len(shape)), 0
	for to := 0; to < len(out); to += size {
		copy(out[to:to+size], src[from:from+size])
		for a := len(shape) - 1; a >= 0; a-- {
			index[a]++
			from += stride[a]
			if index[a] < shape[a] {
				break
			}
			from -= index[a] * stride[a]
			index[a] = 0
		}
	}
	return out
}

// Encode writes t as format version 1. Element types that NumPy lacks are refused.
func Encode(w io.Writer, t *tensor.Tensor) error {
	if err := t.Check(); err != nil {
		return err
	}
	descr, body := "", t.Data
	if t.Elem == dtype.String {
		var err error
		if descr, body, err = packStrings(t.Str); err != nil {
			return err
		}
	}
	for kind, elem := range kinds {
		if elem == t.Elem {
			order := "<"
			if elem.Bits() == 8 {
				order = "|"
			}
			descr = order + kind
		}
	}
	if descr == "" {
		return fmt.Errorf("element type %v: %w", t.Elem, ErrUnsupported)
	}
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = fmt.Sprint(d)
	}
	shape := strings.Join(dims, ", ")
	if len(dims) == 1 {
		shape += ","
	}
	h := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape)
	const align = 64 // of the data, counted from the beginning of the file; the header ends with a newline
	h += strings.Repeat(" ", (align-(len(magic)+4+len(h)+1)%align)%align) + "\n"
	if len(h) > math.MaxUint16 {
		return fmt.Errorf("shape of rank %d: %w", len(t.Shape), ErrUnsupported)
	}
	head := binary.LittleEndian.AppendUint16(append([]byte(magic), 1, 0), uint16(len(h)))
	if _, err := w.Write(append(head, h...)); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func packStrings(l []string) (string, []byte, error) {
	width := 1
	for i, s := range l {
		if !utf8.ValidString(s) || strings.HasSuffix(s, "\x00") {
			return "", nil, fmt.Errorf("string %d (%.40q) has no npy form: %w", i, s, ErrUnsupported)
		}
		width = max(width, utf8.RuneCountInString(s))
	}
	if width > math.MaxInt/4/max(len(l), 1) {
		return "", nil, fmt.Errorf("%d strings of %d characters: %w", len(l), width, ErrUnsupported)
	}
	body := make([]byte, 4*width*len(l))
	for i, s := range l {
		at := 4 * width * i
		for _, r := range s {
			binary.LittleEndian.PutUint32(body[at:], uint32(r))
			at += 4
		}
	}
	return fmt.Sprintf("<U%d", width), body, nil
}
