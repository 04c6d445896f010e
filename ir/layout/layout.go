// Package layout is the closed list of storage layouts, with portable packing. The names are written into
// compiled programs.
package layout

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Name is a layout; RowMajor is "".
type Name string

// The layouts. P32 holds a K x N matrix in panels of 32 columns, [ceil(N/32)][K][32], with zeros in the
// lanes beyond N.
const (
	RowMajor Name = ""
	P32      Name = "p32"
)

// Valid reports whether n is listed.
func (n Name) Valid() bool { return n == RowMajor || n == P32 }

// Packing says how to make a packed constant from a row-major source: element (k, n) of the matrix is
// source[Off + k*RowStride + n*ColStride].
type Packing struct {
	K, N                      int
	Off, RowStride, ColStride int
}

// PanelWidth is the number of columns of a P32 panel.
const PanelWidth = 32

// Len is the number of elements of the packed matrix.
func (p Packing) Len() int { return (p.N + PanelWidth - 1) / PanelWidth * PanelWidth * p.K }

// Check refuses a packing that reads outside n source elements.
func (p Packing) Check(n int) error {
	if p.K < 0 || p.N < 0 || p.Off < 0 || p.RowStride < 0 || p.ColStride < 0 {
		return fmt.Errorf("packing %+v is negative", p)
	}
	if p.K == 0 || p.N == 0 {
		return nil
	}
	const limit = 1 << 40
	if p.K > limit || p.N > limit || p.RowStride > limit || p.ColStride > limit || p.K > limit/p.N {
		return fmt.Errorf("packing %+v is too large", p)
	}
	last := float64(p.Off) + float64(p.K-1)*float64(p.RowStride) + float64(p.N-1)*float64(p.ColStride)
	if last >= float64(n) {
		return fmt.Errorf("packing %+v reads beyond %d elements", p, n)
	}
	return nil
}

// PackF32 packs a source of f32, f16 or bf16 elements (get reads one) into dst, which has Len elements.
func (p Packing) PackF32(dst []float32, get func(i int) float32) {
	i := 0
	for n0 := 0; n0 < p.N; n0 += PanelWidth {
		w := min(PanelWidth, p.N-n0)
		for k := 0; k < p.K; k++ {
			at := p.Off + k*p.RowStride + n0*p.ColStride
			row := dst[i : i+PanelWidth]
			for j := range row {
				if j < w {
					row[j] = get(at + j*p.ColStride)
				} else {
					row[j] = 0
				}
			}
			i += PanelWidth
		}
	}
}

// Elem is the element type that a packed constant has when its source has type t.
func Elem(n Name, t dtype.Type) dtype.Type {
	if n == P32 {
		return dtype.F32
	}
	return t
}
