package irtest

import (
	"fmt"
	"math"
	"math/rand"
	"slices"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Diff says how far two tensors of one type and shape are apart.
type Diff struct {
	MaxAbs float64 // the largest absolute difference; infinite where one is NaN or an infinity and the other differs
	MaxRel float64 // MaxAbs over the largest finite magnitude of what is wanted
	At     int     // the element with the largest difference; -1 where all are equal
}

// Compare measures how far got is from want. NaN equals NaN. Strings and other types without a distance
// count as infinitely far apart where they differ. The error tells a difference of type or shape.
func Compare(got, want *tensor.Tensor) (Diff, error) {
	d := Diff{At: -1}
	if got == nil || want == nil {
		return d, fmt.Errorf("got %v, want %v", got, want)
	}
	if got.Elem != want.Elem || !slices.Equal(got.Shape, want.Shape) {
		return d, fmt.Errorf("got %v%v, want %v%v", got.Elem, got.Shape, want.Elem, want.Shape)
	}
	if want.Elem == dtype.C64 || want.Elem == dtype.C128 {
		got, want = parts(got), parts(want)
	}
	scale := 0.0
	for i := 0; i < want.Len(); i++ {
		dist := distance(got, want, i)
		if dist > d.MaxAbs || dist > 0 && d.At < 0 {
			d.MaxAbs, d.At = dist, i
		}
		if want.Elem != dtype.String {
			if v := math.Abs(want.Float(i)); !math.IsNaN(v) && !math.IsInf(v, 0) {
				scale = max(scale, v)
			}
		}
	}
	switch {
	case d.MaxAbs == 0:
	case scale == 0:
		d.MaxRel = math.Inf(1)
	default:
		d.MaxRel = d.MaxAbs / scale
	}
	return d, nil
}

// parts sees a complex tensor as its real and imaginary parts.
func parts(t *tensor.Tensor) *tensor.Tensor {
	e := dtype.F32
	if t.Elem == dtype.C128 {
		e = dtype.F64
	}
	return &tensor.Tensor{Elem: e, Shape: append(slices.Clone(t.Shape), 2), Data: t.Data}
}

func distance(got, want *tensor.Tensor, i int) float64 {
	switch {
	case want.Elem == dtype.String:
		if got.Str[i] == want.Str[i] {
			return 0
		}
		return math.Inf(1)
	case !want.Elem.IsFloat():
		if got.Bits(i) == want.Bits(i) {
			return 0
		}
		return max(math.Abs(got.Float(i)-want.Float(i)), 1)
	}
	x, y := got.Float(i), want.Float(i)
	if x == y || math.IsNaN(x) && math.IsNaN(y) {
		return 0
	}
	if d := math.Abs(x - y); !math.IsNaN(d) {
		return d
	}
	return math.Inf(1)
}

// Close is an error where got and want differ by more than rel times the largest magnitude of want.
func Close(got, want *tensor.Tensor, rel float64) error {
	d, err := Compare(got, want)
	if err != nil {
		return err
	}
	if d.MaxRel > rel || math.IsInf(d.MaxAbs, 0) {
		return fmt.Errorf("element %d of %v%v: got %s, want %s; relative difference %.3g, at most %.3g", d.At, want.Elem, want.Shape, element(got, d.At), element(want, d.At), d.MaxRel, rel)
	}
	return nil
}

func element(t *tensor.Tensor, i int) string {
	switch {
	case t.Elem == dtype.String:
		return fmt.Sprintf("%q", t.Str[i])
	case t.Elem.IsComplex():
		return fmt.Sprint(parts(t).Float(i))
	}
	return fmt.Sprint(t.Float(i))
}

// Tolerance is the relative difference that rounding a few intermediate results to a type explains: 32 units of
// its last place; nothing for integers.
func Tolerance(t dtype.Type) float64 {
	switch t {
	case dtype.F64, dtype.C128:
		return 0x1p-47
	case dtype.F32, dtype.C64:
		return 0x1p-18
	case dtype.F16:
		return 0x1p-5
	case dtype.BF16:
		return 0x1p-2
	}
	if t.IsFloat() {
		return 0.5
	}
	return 0
}

// Fill draws every element uniformly from [lo, hi]: integers from the whole numbers in it that the type
// holds, truth values and strings at random.
func Fill(r *rand.Rand, t *tensor.Tensor, lo, hi float64) {
	if t.Elem.IsComplex() {
		p := parts(t)
		Fill(r, p, lo, hi)
		return
	}
	a, b := math.Ceil(lo), math.Floor(hi)
	if t.Elem.IsInt() {
		l, h := t.Elem.IntRange()
		if t.Elem == dtype.U64 {
			h = math.MaxInt64
		}
		a, b = max(a, float64(l)), min(b, float64(h))
	}
	for i := 0; i < t.Len(); i++ {
		switch {
		case t.Elem == dtype.String:
			t.Str[i] = string(rune('a' + r.Intn(4)))
		case t.Elem == dtype.Bool:
			t.SetInt(i, int64(r.Intn(2)))
		case t.Elem.IsInt():
			t.SetInt(i, int64(a)+r.Int63n(max(int64(b-a), 0)+1))
		default:
			t.SetFloat(i, lo+r.Float64()*(hi-lo))
		}
	}
}

// Random makes a tensor filled by Fill.
func Random(r *rand.Rand, e dtype.Type, lo, hi float64, shape ...int) *tensor.Tensor {
	t := tensor.New(e, shape...)
	Fill(r, t, lo, hi)
	return t
}
