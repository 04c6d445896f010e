// Package tensorjson turns JSON into tensors and back: a number, a string or a boolean is a scalar, nested arrays
// of one shape are a tensor. What JSON has no number for is written as a string: "NaN", "Infinity", "-Infinity".
// A complex number is an array of two.
package tensorjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

const maxRank = 64

// Decode reads one tensor of the given element type. Where elem is dtype.Invalid the values decide: strings,
// booleans, int64 where all numbers are integers, else float32. Values that do not fit the type are errors; floats
// are rounded to nearest.
func Decode(data []byte, elem dtype.Type) (*tensor.Tensor, error) {
	if elem == dtype.Invalid {
		var err error
		if elem, err = infer(data); err != nil {
			return nil, err
		}
	}
	d := &decoder{dec: json.NewDecoder(bytes.NewReader(data)), elem: elem, leaf: elem}
	switch elem {
	case dtype.C64:
		d.leaf = dtype.F32
	case dtype.C128:
		d.leaf = dtype.F64
	}
	d.dec.UseNumber()
	if err := d.value(0); err != nil {
		return nil, d.locate(err)
	}
	if _, err := d.dec.Token(); err != io.EOF {
		return nil, d.locate(errors.New("more than one value"))
	}
	return d.tensor()
}

// infer finds the element type that holds every leaf.
func infer(data []byte) (dtype.Type, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	elem := dtype.Invalid
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return elem, err
		}
		var e dtype.Type
		switch v := tok.(type) {
		case string:
			e = dtype.String
		case bool:
			e = dtype.Bool
		case json.Number:
			e = dtype.F32
			if _, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
				e = dtype.I64
			}
		default:
			continue
		}
		switch {
		case elem == dtype.Invalid || elem == dtype.I64 && e == dtype.F32:
			elem = e
		case e != elem && (e != dtype.I64 || elem != dtype.F32):
			return elem, fmt.Errorf("byte %d: %v and %v in one tensor", dec.InputOffset(), elem, e)
		}
	}
	if elem == dtype.Invalid {
		elem = dtype.F32 // nothing but brackets
	}
	return elem, nil
}

type decoder struct {
	dec   *json.Decoder
	elem  dtype.Type
	leaf  dtype.Type // elem, or half a complex number
	shape []int      // extents found so far, -1 where the axis is still open
	rank  int        // depth of the leaves, once one was met
	found bool
	bits  []uint64
	str   []string
}

func (d *decoder) locate(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("byte %d: %w", d.dec.InputOffset(), err)
}

func (d *decoder) value(depth int) error {
	tok, err := d.dec.Token()
	if err != nil {
		return err
	}
	if tok != json.Delim('[') {
		if d.found && d.rank != depth || depth < len(d.shape) {
			return fmt.Errorf("value at depth %d among arrays of depth %d", depth, max(d.rank, len(d.shape)))
		}
		d.found, d.rank = true, depth
		return d.scalar(tok)
	}
	if depth >= maxRank {
		return fmt.Errorf("more than %d axes", maxRank)
	}
	if d.found && d.rank <= depth {
		return fmt.Errorf("array at depth %d among values", depth)
	}
	if len(d.shape) == depth {
		if depth > 0 && d.closed(depth) {
			return errors.New("array among empty arrays")
		}
		d.shape = append(d.shape, -1)
	}
	n := 0
	for ; d.dec.More(); n++ {
		if err := d.value(depth + 1); err != nil {
			return err
		}
	}
	if _, err := d.dec.Token(); err != nil {
		return err
	}
	if d.shape[depth] < 0 {
		d.shape[depth] = n
	} else if d.shape[depth] != n {
		return fmt.Errorf("ragged: arrays of %d and %d entries on axis %d", d.shape[depth], n, depth)
	}
	return nil
}

// closed reports whether an array at the depth above was finished without an array in it: it was empty.
func (d *decoder) closed(depth int) bool { return d.shape[depth-1] >= 0 }

func (d *decoder) scalar(tok json.Token) error {
	switch v := tok.(type) {
	case string:
		if d.elem == dtype.String {
			d.str = append(d.str, v)
			return nil
		}
		if f, ok := special[v]; ok && d.leaf.IsFloat() {
			return d.float(f)
		}
	case bool:
		if d.elem == dtype.Bool {
			b := uint64(0)
			if v {
				b = 1
			}
			d.bits = append(d.bits, b)
			return nil
		}
	case json.Number:
		return d.number(v.String())
	}
	return fmt.Errorf("%s is no %v", shown(tok), d.elem)
}

var special = map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}

func shown(tok json.Token) string {
	s := fmt.Sprint(tok)
	if v, ok := tok.(string); ok {
		s = strconv.Quote(v)
	}
	if tok == nil {
		s = "null"
	}
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return s
}

func (d *decoder) number(s string) error {
	switch {
	case d.leaf == dtype.F32: // rounded once
		f, err := strconv.ParseFloat(s, 32)
		if err != nil {
			return fmt.Errorf("%s does not fit %v", shown(json.Number(s)), d.elem)
		}
		d.bits = append(d.bits, uint64(math.Float32bits(float32(f))))
		return nil
	case d.leaf.IsFloat():
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%s does not fit %v", shown(json.Number(s)), d.elem)
		}
		return d.float(f)
	case d.elem == dtype.U64:
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			d.bits = append(d.bits, u)
			return nil
		}
	case d.elem.IsInt() || d.elem == dtype.Bool:
		lo, hi := d.elem.IntRange()
		if v, err := strconv.ParseInt(s, 10, 64); err == nil && v >= lo && v <= hi {
			d.bits = append(d.bits, uint64(v))
			return nil
		}
	}
	return fmt.Errorf("%s is no %v", shown(json.Number(s)), d.elem)
}

func (d *decoder) float(f float64) error {
	b := dtype.EncodeFloat(d.leaf, f, false)
	if r := dtype.DecodeFloat(d.leaf, b); math.IsNaN(r) != math.IsNaN(f) || math.IsInf(r, 0) != math.IsInf(f, 0) {
		return fmt.Errorf("%v does not fit %v", f, d.elem)
	}
	d.bits = append(d.bits, b)
	return nil
}

func (d *decoder) tensor() (*tensor.Tensor, error) {
	shape := d.shape
	if shape == nil {
		shape = []int{}
	}
	if d.elem == dtype.String {
		if d.str == nil {
			d.str = []string{}
		}
		return &tensor.Tensor{Elem: d.elem, Shape: shape, Str: d.str}, nil
	}
	t := tensor.New(d.leaf, shape...)
	for i, b := range d.bits {
		t.SetBits(i, b)
	}
	if d.leaf != d.elem {
		if len(shape) == 0 || shape[len(shape)-1] != 2 {
			return nil, fmt.Errorf("want [real, imaginary] for %v, got shape %v", d.elem, shape)
		}
		t.Elem, t.Shape = d.elem, shape[:len(shape)-1]
	}
	return t, nil
}

// Append appends the tensor as JSON on one line.
func Append(dst []byte, t *tensor.Tensor) ([]byte, error) {
	if err := t.Check(); err != nil {
		return dst, err
	}
	e := &encoder{t: t, shape: t.Shape}
	if t.Elem.IsComplex() {
		half := dtype.F32
		if t.Elem == dtype.C128 {
			half = dtype.F64
		}
		e.shape = append(append([]int(nil), t.Shape...), 2)
		e.t = &tensor.Tensor{Elem: half, Shape: e.shape, Data: t.Data}
	}
	if n := e.brackets(); n > maxBrackets {
		return dst, fmt.Errorf("shape %v takes too many brackets", t.Shape)
	}
	return e.axis(dst, 0), nil
}

// An empty tensor may have any number of empty arrays: [1000000000, 0].
const maxBrackets = 1 << 24

type encoder struct {
	t     *tensor.Tensor
	shape []int
	at    int
}

func (e *encoder) brackets() int {
	if e.t.Len() > 0 {
		return 0
	}
	n, total := 1, 0
	for _, d := range e.shape {
		if total += n; total > maxBrackets || d > maxBrackets {
			return maxBrackets + 1
		}
		n *= d
	}
	return total
}

func (e *encoder) axis(dst []byte, axis int) []byte {
	if axis == len(e.shape) {
		dst = e.element(dst)
		e.at++
		return dst
	}
	dst = append(dst, '[')
	for i := range e.shape[axis] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.axis(dst, axis+1)
	}
	return append(dst, ']')
}

func (e *encoder) element(dst []byte) []byte {
	t := e.t
	switch {
	case t.Elem == dtype.String:
		b, err := json.Marshal(t.Str[e.at])
		if err != nil { // strings always marshal; a quoted form is at least readable
			return strconv.AppendQuote(dst, t.Str[e.at])
		}
		return append(dst, b...)
	case t.Elem == dtype.Bool:
		return strconv.AppendBool(dst, t.Bits(e.at) != 0)
	case t.Elem == dtype.U64:
		return strconv.AppendUint(dst, t.Bits(e.at), 10)
	case t.Elem.IsInt():
		return strconv.AppendInt(dst, t.Int(e.at), 10)
	}
	f, bits := t.Float(e.at), 32
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	case t.Elem == dtype.F64, t.Elem == dtype.F8E8M0: // 8-bit scales round up: no digit may be dropped
		bits = 64
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}
