// Package input says what an input of a model takes, to readers of files that become tensors.
package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Target is an input of a model.
type Target struct {
	Elem  dtype.Type
	Shape []Extent
}

// Extent is a declared extent: a number, or open.
type Extent struct {
	Size int
	Open bool // symbolic or unknown: follows from the file
}

// Sizes makes extents of plain numbers.
func Sizes(shape ...int) []Extent {
	e := make([]Extent, len(shape))
	for i, s := range shape {
		e[i] = Extent{Size: s}
	}
	return e
}

// String is f32[1, ?].
func (t Target) String() string {
	l := make([]string, len(t.Shape))
	for i, e := range t.Shape {
		if l[i] = "?"; !e.Open {
			l[i] = fmt.Sprint(e.Size)
		}
	}
	return fmt.Sprintf("%v[%s]", t.Elem, strings.Join(l, ", "))
}

// ParseOptions reads one JSON object into the struct that options points to. Unknown fields are errors.
func ParseOptions(data []byte, options any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(options); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text after the object")
	}
	return nil
}
