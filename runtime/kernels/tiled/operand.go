package tiled

import (
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Operand is an operand laid over a space.
type Operand struct {
	Ptr     unsafe.Pointer // the element at the origin
	Strides []int          // in elements, one for each axis of the space; 0 broadcasts
	Via     []Via
}

// Via addresses an operand through integers: the offset grows by Stride times the value of an input operand at the same position.
type Via struct {
	Operand int // the input that holds the integers; it must not itself have a Via
	Extent  int // values lie in [-Extent, Extent)
	Stride  int // in elements
}

// IndexError is an integer outside its bounds.
type IndexError struct {
	Operand int // the one addressed
	Index   int64
	Extent  int
}

func (e *IndexError) Error() string {
	return fmt.Sprintf("index %d into operand %d is outside [-%d, %d)", e.Index, e.Operand, e.Extent, e.Extent)
}

// Dimensions of the space as tiles see it; bits say which of them a value depends on.
const (
	dimO, dimI, dimQ       = 0, 1, 2
	bitO, bitI, bitQ uint8 = 1, 2, 4
	bitOI                  = bitO | bitI
)

type axis struct{ n, s int }

// walk is an operand's way through one dimension: its axes, outermost first, coalesced where this operand allows.
type walk struct {
	k  int
	ax [maxAxes]axis
}

func (w *walk) add(n, s int) {
	if n == 1 {
		return
	}
	if w.k > 0 {
		if l := &w.ax[w.k-1]; l.s == s*n {
			l.n, l.s = l.n*n, s
			return
		}
	}
	w.ax[w.k] = axis{n, s}
	w.k++
}

func (w *walk) linear() bool { return w.k <= 1 }

// stride is the distance of neighbours of a linear walk.
func (w *walk) stride() int {
	if w.k == 0 {
		return 0
	}
	return w.ax[w.k-1].s
}

func (w *walk) moves() bool {
	for i := range w.k {
		if w.ax[i].s != 0 {
			return true
		}
	}
	return false
}

// at is the offset of flat position f.
func (w *walk) at(f int) int {
	switch w.k {
	case 0:
		return 0
	case 1:
		return f * w.ax[0].s
	}
	off := 0
	for i := w.k - 1; i > 0; i-- {
		a := &w.ax[i]
		q := f / a.n
		off += (f - q*a.n) * a.s
		f = q
	}
	return off + f*w.ax[0].s
}

// offsets writes the offsets of the flat positions from start on.
func (w *walk) offsets(dst []int, start int) {
	if w.k <= 1 {
		s := w.stride()
		off := start * s
		for i := range dst {
			dst[i] = off
			off += s
		}
		return
	}
	in := w.ax[w.k-1]
	for len(dst) > 0 {
		off := w.at(start)
		run := min(in.n-start%in.n, len(dst))
		for i := range run {
			dst[i] = off
			off += in.s
		}
		dst = dst[run:]
		start += run
	}
}

// operand is an operand of a call.
type operand struct {
	ptr  unsafe.Pointer
	elem dtype.Type
	size int
	w    [3]walk
	mask uint8 // what the address depends on
	vmsk uint8 // what the integers depend on
	via  []Via
}

func (o *operand) base(q, oo, i int) int { return o.w[dimQ].at(q) + o.w[dimO].at(oo) + o.w[dimI].at(i) }

// through is what the integers of an operand add to its offset at one position.
func (c *Call) through(k int, q, o, i int) (int, error) {
	op := &c.ops[k]
	off := 0
	for _, v := range op.via {
		ix := &c.ops[v.Operand]
		x := loadInt(ix.elem, ix.ptr, ix.base(q, o, i))
		switch n := int64(v.Extent); {
		case x >= 0 && x < n:
		case x < 0 && x >= -n:
			x += n
		default:
			return 0, &IndexError{k, x, v.Extent}
		}
		off += int(x) * v.Stride
	}
	return off, nil
}
