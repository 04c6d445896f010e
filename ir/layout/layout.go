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
// lanes beyond N. The others hold the weights of convolutions over pictures with the channels last: ConvRows
// [groups] times P32 with K running over taps, then input channels; ConvTaps [taps][groups] for one channel a group;
// ConvWino4 and ConvWino2 the transformed 3x3 filters of Winograd's F(4x4) and F(2x2), [groups][36 or 16] times P32.
const (
	RowMajor  Name = ""
	P32       Name = "p32"
	ConvRows  Name = "conv.rows"
	ConvTaps  Name = "conv.taps"
	ConvWino4 Name = "conv.wino4"
	ConvWino2 Name = "conv.wino2"
)

// Names lists the layouts.
func Names() []Name { return []Name{RowMajor, P32, ConvRows, ConvTaps, ConvWino4, ConvWino2} }

// Valid reports whether n is listed.
func (n Name) Valid() bool { return n == RowMajor || n == P32 || n.IsConv() }

// IsConv reports whether n holds the weights of a convolution.
func (n Name) IsConv() bool {
	return n == ConvRows || n == ConvTaps || n == ConvWino4 || n == ConvWino2
}

// Conv is the shape of a convolution's weights: Co and Ci of one group.
type Conv struct {
	Groups, Co, Ci int
	Kernel         [3]int
}

// Shape is groups, output and input channels of one, kernel.
func (c Conv) Shape() []int {
	return []int{c.Groups, c.Co, c.Ci, c.Kernel[0], c.Kernel[1], c.Kernel[2]}
}

// ConvOf is the inverse of Shape; false where no convolution has it.
func ConvOf(shape []int) (Conv, bool) {
	if len(shape) != 6 {
		return Conv{}, false
	}
	total := 1.0
	for _, d := range shape {
		if d < 1 || d > 1<<30 {
			return Conv{}, false
		}
		total *= float64(d)
	}
	c := Conv{shape[0], shape[1], shape[2], [3]int{shape[3], shape[4], shape[5]}}
	return c, total < 1<<40
}

// Len is the number of elements of the weights in a layout.
func (c Conv) Len(n Name) int {
	taps := c.Kernel[0] * c.Kernel[1] * c.Kernel[2]
	panels := (c.Co + PanelWidth - 1) / PanelWidth * PanelWidth
	switch n {
	case ConvTaps:
		return c.Groups * taps
	case ConvWino4:
		return c.Groups * 36 * panels * c.Ci
	case ConvWino2:
		return c.Groups * 16 * panels * c.Ci
	}
	return c.Groups * panels * c.Ci * taps
}

// Packing says how to make a packed constant from a row-major source: element (k, n) of the matrix is
// source[Off + k*RowStride + n*ColStride]; where Conv is set, the source is the weights of a convolution, whole.
type Packing struct {
	K, N                      int
	Off, RowStride, ColStride int
	Conv                      *Conv
}

// Shape is what a packed constant says of itself: [K, N], or that of the convolution.
func (p Packing) Shape() []int {
	if p.Conv != nil {
		return p.Conv.Shape()
	}
	return []int{p.K, p.N}
}

// Stored is the number of elements in a layout.
func (p Packing) Stored(n Name) int {
	if p.Conv != nil {
		return p.Conv.Len(n)
	}
	return p.Len()
}

// PanelWidth is the number of columns of a P32 panel.
const PanelWidth = 32

// Len is the number of elements of the packed matrix.
func (p Packing) Len() int { return (p.N + PanelWidth - 1) / PanelWidth * PanelWidth * p.K }

// Check refuses a packing that reads outside n source elements.
func (p Packing) Check(n int) error {
	if p.Conv != nil {
		if c, ok := ConvOf(p.Conv.Shape()); !ok || c.Groups*c.Co*c.Ci*c.Kernel[0]*c.Kernel[1]*c.Kernel[2] != n {
			return fmt.Errorf("packing %+v of %d elements", *p.Conv, n)
		}
		return nil
	}
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
	if n != RowMajor {
		return dtype.F32
	}
	return t
}
