package index

import (
	"fmt"
	"math"
	"slices"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// TopK is the k largest (or smallest) elements along an axis in order, and their positions; of equal elements the one
// with the lower position comes first, and NaN counts as larger than any number. Operands x, k; attributes axis, largest.
var TopK = host.Fn{Name: "index.topk", Run: func(c *host.Call) error {
	x, kt := c.In[0], c.In[1]
	axis, err := host.Axis(c.Attrs.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	n := x.Shape[axis]
	if kt.Len() != 1 || kt.Int(0) < 0 || kt.Int(0) > int64(n) {
		return fmt.Errorf("k: want one number of at most %d", n)
	}
	k := int(kt.Int(0))
	shape := append([]int{}, x.Shape...)
	shape[axis] = k
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	at, err := c.Out(1, shape...)
	if err != nil {
		return err
	}
	if err := c.Temp(32 * int64(n)); err != nil {
		return err
	}
	key := sortKey(x, c.Attrs.Int("largest", 1) != 0)
	order := make([]ranked, n)
	move := mover(y, x)
	inner := host.Product(x.Shape[axis+1:])
	for o := range host.Product(x.Shape[:axis]) {
		for in := range inner {
			first := o*n*inner + in
			for i := range n {
				order[i] = ranked{key(first + i*inner), i}
			}
			smallest(order, k)
			for i, r := range order[:k] {
				to := (o*k+i)*inner + in
				move(to, first+r.at*inner)
				at.SetInt(to, int64(r.at))
			}
		}
	}
	return nil
}}

// ranked is a position with a number that orders it: small ones first, equal ones by position.
type ranked struct {
	key uint64
	at  int
}

func (a ranked) compare(b ranked) int {
	switch {
	case a.key < b.key, a.key == b.key && a.at < b.at:
		return -1
	case a.key == b.key && a.at == b.at:
		return 0
	}
	return 1
}

// ascending maps numbers to unsigned ones in the same order; both zeros are one, and what is no number is above all.
func ascending(v float64) uint64 {
	switch {
	case math.IsNaN(v):
		return math.MaxUint64
	case v == 0:
		v = 0 // of either sign
	}
	if b := math.Float64bits(v); b>>63 == 0 {
		return b | 1<<63
	} else {
		return ^b
	}
}

// sortKey gives numbers that order a tensor's elements, the largest first where so asked.
func sortKey(x *tensor.Tensor, largest bool) func(i int) uint64 {
	flip := uint64(0)
	if largest {
		flip = math.MaxUint64
	}
	switch {
	case x.Elem == dtype.F32:
		v := x.F32()
		return func(i int) uint64 { return ascending(float64(v[i])) ^ flip }
	case x.Elem.IsFloat():
		return func(i int) uint64 { return ascending(x.Float(i)) ^ flip }
	case x.Elem == dtype.U64:
		return func(i int) uint64 { return x.Bits(i) ^ flip }
	}
	return func(i int) uint64 { return uint64(x.Int(i)) ^ 1<<63 ^ flip }
}

// smallest brings the k smallest of l to its front, in order. It parts l around pivots as quicksort does and goes on with the
// part that holds the border (Hoare, Algorithm 65: Find, 1961); a part that does not get smaller is sorted.
func smallest(l []ranked, k int) {
	lo, hi := 0, len(l)
	for steps := 0; hi-lo > 16 && k > lo && k < hi; steps++ {
		if steps > 40 {
			slices.SortFunc(l[lo:hi], ranked.compare)
			break
		}
		a, b, c := l[lo], l[(lo+hi)/2], l[hi-1]
		if b.compare(a) < 0 {
			a, b = b, a
		}
		if c.compare(b) < 0 {
			b = c
			if b.compare(a) < 0 {
				b = a
			}
		}
		i, j := lo, hi-1
		for i <= j {
			for l[i].compare(b) < 0 {
				i++
			}
			for b.compare(l[j]) < 0 {
				j--
			}
			if i <= j {
				l[i], l[j] = l[j], l[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case k <= j+1:
			hi = j + 1
		case k >= i:
			lo = i
		default: // between equal ones
			lo = hi
		}
	}
	if lo < hi && k > lo {
		slices.SortFunc(l[lo:hi], ranked.compare)
	}
	slices.SortFunc(l[:min(k, len(l))], ranked.compare)
}

// NonZero lists the positions of the elements that are not zero, one a column, in row-major order: a result of
// [rank, count].
var NonZero = host.Fn{Name: "index.nonzero", Run: func(c *host.Call) error {
	x := c.In[0]
	n := CountNonZero(x)
	y, err := c.Out(0, len(x.Shape), n)
	if err != nil {
		return err
	}
	at, out := 0, y.I64()
	eachNonZero(x, func(i int) {
		for a := len(x.Shape) - 1; a > 0; a-- {
			q := i / x.Shape[a]
			out[a*n+at], i = int64(i-q*x.Shape[a]), q
		}
		if len(x.Shape) > 0 {
			out[at] = int64(i)
		}
		at++
	})
	return nil
}}

// CountNonZero is the number of elements that are not zero (not empty, of strings).
func CountNonZero(x *tensor.Tensor) int {
	n := 0
	eachNonZero(x, func(int) { n++ })
	return n
}

// eachNonZero calls fn with the positions of the elements that are not zero.
func eachNonZero(x *tensor.Tensor, fn func(i int)) {
	switch {
	case x.Elem == dtype.Bool || x.Elem == dtype.U8 || x.Elem == dtype.I8:
		for i, v := range x.Data[:x.Len()] {
			if v != 0 {
				fn(i)
			}
		}
	case x.Elem == dtype.F32:
		for i, v := range x.F32() {
			if v != 0 {
				fn(i)
			}
		}
	default:
		for i := range x.Len() {
			if isNonZero(x, i) {
				fn(i)
			}
		}
	}
}

func isNonZero(x *tensor.Tensor, i int) bool {
	switch {
	case x.Elem == dtype.String:
		return x.Str[i] != ""
	case x.Elem.IsComplex():
		half := x.Elem.Bits() / 16
		parts := tensor.Tensor{Elem: dtype.F32, Data: x.Data[2*half*i : 2*half*(i+1)]}
		if half == 8 {
			parts.Elem = dtype.F64
		}
		return parts.Float(0) != 0 || parts.Float(1) != 0
	case x.Elem.IsFloat():
		return x.Float(i) != 0
	}
	return x.Bits(i) != 0
}
