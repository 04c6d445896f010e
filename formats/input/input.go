// Package input says what an input of a model takes, to readers of files that become tensors.
package input

import (
	"fmt"
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
