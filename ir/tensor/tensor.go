// Package tensor holds host tensors: a type, a shape, and bytes that may belong to the caller or to a
// mapped file. Nothing here copies unless it says so.
package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Tensor is a dense row-major tensor in little-endian order; types narrower than a byte are packed, low bits
// first. Data may be unaligned and may be read-only memory. Strings live in Str, and Data is nil then.
type Tensor struct {
	Elem  dtype.Type
	Shape []int // no entry is negative; nil or empty is a scalar
	Data  []byte
	Str   []string
}

// Count is the number of elements of a shape; false where the product overflows or an extent is negative.
func Count(shape []int) (int, bool) {
	n, zero := 1, false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	if zero {
		return 0, true
	}
	return n, true
}

// New allocates a zeroed tensor. The shape is kept, not copied; it must be countable.
func New(elem dtype.Type, shape ...int) *Tensor {
	n, ok := Count(shape)
	if !ok || n > math.MaxInt/16 {
		panic(fmt.Sprintf("tensor.New: shape %v", shape))
	}
	t := &Tensor{Elem: elem, Shape: shape}
	if elem == dtype.String {
		t.Str = make([]string, n)
	} else {
		t.Data = Alloc(elem.Bytes(n))
	}
	return t
}

// Alloc returns n zeroed bytes aligned to 8.
func Alloc(n int) []byte {
	if n == 0 {
		return []byte{}
	}
	w := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), n)
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n, _ := Count(t.Shape)
	return n
}

// Of makes a tensor over a Go slice, sharing its memory.
func Of[T ~float32 | ~float64 | ~int64 | ~int32 | ~uint8 | ~int8 | ~bool | ~uint16 | ~int16 | ~uint32 | ~uint64](elem dtype.Type, v []T, shape ...int) *Tensor {
	var z T
	size := int(unsafe.Sizeof(z))
	if n, ok := Count(shape); !ok || n != len(v) || elem.Bits() != 8*size {
		panic(fmt.Sprintf("tensor.Of: %d values of %d bytes for %v %v", len(v), size, elem, shape))
	}
	if len(v) == 0 {
		return &Tensor{Elem: elem, Shape: shape, Data: []byte{}}
	}
	return &Tensor{Elem: elem, Shape: shape, Data: unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*size)}
}

// View is the elements as a slice of a Go type of the same width; it shares memory. The address may be
// unaligned, which amd64 and arm64 allow for plain numbers.
func View[T ~float32 | ~float64 | ~int64 | ~int32 | ~uint8 | ~int8 | ~bool | ~uint16 | ~int16 | ~uint32 | ~uint64](t *Tensor) []T {
	var z T
	n := len(t.Data) / int(unsafe.Sizeof(z))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&t.Data[0])), n)
}

// F32 is View[float32].
func (t *Tensor) F32() []float32 { return View[float32](t) }

// I64 is View[int64].
func (t *Tensor) I64() []int64 { return View[int64](t) }

// Bits returns the stored bits of element i, zero-extended; complex types are not covered.
func (t *Tensor) Bits(i int) uint64 {
	switch b := t.Elem.Bits(); b {
	case 8:
		return uint64(t.Data[i])
	case 16:
		return uint64(binary.LittleEndian.Uint16(t.Data[2*i:]))
	case 32:
		return uint64(binary.LittleEndian.Uint32(t.Data[4*i:]))
	case 64:
		return binary.LittleEndian.Uint64(t.Data[8*i:])
	case 4, 2:
		per := 8 / b
		return uint64(t.Data[i/per]>>(i%per*b)) & (1<<b - 1)
	}
	panic("tensor.Bits: " + t.Elem.String())
}

// SetBits stores the low bits of v as element i.
func (t *Tensor) SetBits(i int, v uint64) {
	switch b := t.Elem.Bits(); b {
	case 8:
		t.Data[i] = byte(v)
	case 16:
		binary.LittleEndian.PutUint16(t.Data[2*i:], uint16(v))
	case 32:
		binary.LittleEndian.PutUint32(t.Data[4*i:], uint32(v))
	case 64:
		binary.LittleEndian.PutUint64(t.Data[8*i:], v)
	case 4, 2:
		per := 8 / b
		sh := i % per * b
		m := byte(1<<b-1) << sh
		t.Data[i/per] = t.Data[i/per]&^m | byte(v)<<sh&m
	default:
		panic("tensor.SetBits: " + t.Elem.String())
	}
}

// Int returns element i of an integer or bool tensor; U64 wraps into int64.
func (t *Tensor) Int(i int) int64 {
	v := t.Bits(i)
	if t.Elem.IsSigned() {
		s := 64 - t.Elem.Bits()
		return int64(v<<s) >> s
	}
	return int64(v)
}

// SetInt stores v modulo the width of the type.
func (t *Tensor) SetInt(i int, v int64) { t.SetBits(i, uint64(v)) }

// Float returns element i of a real tensor of any type as float64.
func (t *Tensor) Float(i int) float64 {
	switch {
	case t.Elem.IsFloat():
		return dtype.DecodeFloat(t.Elem, t.Bits(i))
	case t.Elem == dtype.U64:
		return float64(t.Bits(i))
	}
	return float64(t.Int(i))
}

// SetFloat rounds v to the element type; floats round to nearest even, integers truncate towards zero.
func (t *Tensor) SetFloat(i int, v float64) {
	switch {
	case t.Elem.IsFloat():
		t.SetBits(i, dtype.EncodeFloat(t.Elem, v, false))
	case t.Elem == dtype.U64 && v >= 1<<63:
		t.SetBits(i, uint64(v))
	default:
		t.SetInt(i, int64(v))
	}
}

// Clone copies the tensor and its bytes.
func (t *Tensor) Clone() *Tensor {
	c := &Tensor{Elem: t.Elem, Shape: append([]int(nil), t.Shape...)}
	if t.Elem == dtype.String {
		c.Str = append([]string(nil), t.Str...)
		return c
	}
	c.Data = Alloc(len(t.Data))
	copy(c.Data, t.Data)
	return c
}

// Check reports whether shape, type and storage agree.
func (t *Tensor) Check() error {
	n, ok := Count(t.Shape)
	if !ok || n > math.MaxInt/16 {
		return fmt.Errorf("shape %v has too many elements", t.Shape)
	}
	if !t.Elem.Valid() {
		return fmt.Errorf("element type %v is not known", t.Elem)
	}
	if t.Elem == dtype.String {
		if len(t.Str) != n {
			return fmt.Errorf("%v of strings: want %d values, got %d", t.Shape, n, len(t.Str))
		}
		return nil
	}
	if want := t.Elem.Bytes(n); len(t.Data) != want {
		return fmt.Errorf("%v%v: want %d bytes, got %d", t.Elem, t.Shape, want, len(t.Data))
	}
	return nil
}

// Strides are the row-major strides of a shape, in elements.
func Strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
