// Package text makes tensors of plain text: a string a line, or numbers in rows.
package text

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// ErrMalformed is what errors.Is finds in the error of text that is not of the form that is wanted.
var ErrMalformed = errors.New("malformed text")

// Lines is a tensor [lines] of strings. Lines end with \n or \r\n, which is no part of them; the last one need not.
func Lines(data []byte) (*tensor.Tensor, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	lines := []string{}
	for line := range strings.Lines(string(data)) {
		lines = append(lines, chop(line))
	}
	return &tensor.Tensor{Elem: dtype.String, Shape: []int{len(lines)}, Str: lines}, nil
}

// Whole is a tensor [1] of one string: all of the text but the end of its last line.
func Whole(data []byte) (*tensor.Tensor, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	return &tensor.Tensor{Elem: dtype.String, Shape: []int{1}, Str: []string{chop(string(data))}}, nil
}

// chop takes the end of a line away.
func chop(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

// check refuses what is no UTF-8.
func check(data []byte) error {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return fmt.Errorf("byte %d is no UTF-8: %w", i, ErrMalformed)
		}
		i += n
	}
	return nil
}

// Numbers is a tensor [rows, columns], or [n] where there is one row or one column: a row a line, its numbers apart by
// white space or commas. Empty lines are passed over. Integers must fit the element type; floats are rounded to nearest.
func Numbers(data []byte, elem dtype.Type) (*tensor.Tensor, error) {
	if !elem.IsFloat() && !elem.IsInt() {
		return nil, fmt.Errorf("numbers of type %v: %w", elem, ErrMalformed)
	}
	var fields []string
	rows, columns := 0, 0
	at := 0
	for line := range strings.Lines(string(data)) {
		at++
		row := strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' })
		if len(row) == 0 {
			continue
		}
		if rows > 0 && len(row) != columns {
			return nil, fmt.Errorf("line %d has %d numbers, and those before it %d: %w", at, len(row), columns, ErrMalformed)
		}
		rows, columns = rows+1, len(row)
		fields = append(fields, row...)
	}
	shape := []int{rows, columns}
	if rows <= 1 || columns == 1 {
		shape = []int{len(fields)}
	}
	t := tensor.New(elem, shape...)
	for i, f := range fields {
		if err := set(t, i, f); err != nil {
			return nil, fmt.Errorf("number %d, %.40q: %w: %w", i, f, err, ErrMalformed)
		}
	}
	return t, nil
}

func set(t *tensor.Tensor, i int, field string) error {
	cause := func(err error) error { return err.(*strconv.NumError).Err } // as strconv documents
	if t.Elem.IsFloat() {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return cause(err)
		}
		t.SetFloat(i, v)
		return nil
	}
	if t.Elem.IsUnsigned() {
		v, err := strconv.ParseUint(field, 10, t.Elem.Bits())
		if err != nil {
			return cause(err)
		}
		t.SetInt(i, int64(v))
		return nil
	}
	v, err := strconv.ParseInt(field, 10, t.Elem.Bits())
	if err != nil {
		return cause(err)
	}
	t.SetInt(i, v)
	return nil
}
