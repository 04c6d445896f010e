package testcase

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Tolerance says how far a result may lie from the expected one.
type Tolerance struct {
	RTol      float64 `json:"rtol"`
	ATol      float64 `json:"atol"`
	Scale     float64 `json:"scale"`   // times the largest finite expected magnitude; floats of more than 8 bits only
	Compare   string  `json:"compare"` // "close", or "shape": only kinds, types and shapes
	ExactInts bool    `json:"-"`       // integers must be equal
}

// DefaultTolerance is that of a case without data.json.
func DefaultTolerance() Tolerance {
	return Tolerance{RTol: 1e-3, ATol: 1e-7, Scale: 1e-6, Compare: "close"}
}

const maxReason = 500 // bytes

// CompareOutputs compares all outputs of a run. The reason names the first output that differs.
func CompareOutputs(got, want []tensor.Value, tol Tolerance) (ok bool, reason string) {
	if len(got) != len(want) {
		return false, fmt.Sprintf("want %d outputs, got %d", len(want), len(got))
	}
	for i := range want {
		if ok, reason := Compare(got[i], want[i], tol); !ok {
			return false, shorten(fmt.Sprintf("output %d %s", i, reason))
		}
	}
	return true, ""
}

// Compare compares a value with the expected one: kind, element type, shape, then elements. The reason is one line
// of at most 500 bytes, such as "[2,3] float: 4 of 6 differ, worst at [1,2]: got 0.5 want 0.25".
func Compare(got, want tensor.Value, tol Tolerance) (ok bool, reason string) {
	reason = compare(got, want, tol, 0)
	return reason == "", shorten(reason)
}

func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	s = s[:maxReason-3]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "..."
}

const maxNesting = 128

func compare(got, want tensor.Value, tol Tolerance, depth int) string {
	if depth > maxNesting {
		return "values are nested too deeply"
	}
	if got.Kind != want.Kind {
		return fmt.Sprintf("is a %v, want a %v", got.Kind, want.Kind)
	}
	switch want.Kind {
	case tensor.KindTensor:
		return compareTensors(got.Tensor, want.Tensor, tol)
	case tensor.KindSequence:
		if len(got.List) != len(want.List) {
			return fmt.Sprintf("sequence: want %d elements, got %d", len(want.List), len(got.List))
		}
		for i := range want.List {
			if r := compare(got.List[i], want.List[i], tol, depth+1); r != "" {
				return fmt.Sprintf("sequence element %d %s", i, r)
			}
		}
	case tensor.KindOptional:
		if len(got.List) != len(want.List) {
			return fmt.Sprintf("optional: want %s, got %s", presence(want), presence(got))
		}
		if len(want.List) == 1 {
			if r := compare(got.List[0], want.List[0], tol, depth+1); r != "" {
				return "optional " + r
			}
		}
	case tensor.KindMap:
		got, want = sorted(got), sorted(want)
		if r := compareTensors(got.Keys, want.Keys, Tolerance{Compare: "close", ExactInts: true}); r != "" {
			return "map keys " + r
		}
		if r := compare(tensor.SequenceOf(got.List...), tensor.SequenceOf(want.List...), tol, depth+1); r != "" {
			return "map values: " + r
		}
	default:
		return fmt.Sprintf("is a %v, which cannot be compared", want.Kind)
	}
	return ""
}

// sorted puts the entries of a map, whose order means nothing, in the order of their keys.
func sorted(v tensor.Value) tensor.Value {
	if v.Check() != nil {
		return v
	}
	at := make([]int, len(v.List))
	for i := range at {
		at[i] = i
	}
	sort.SliceStable(at, func(i, j int) bool {
		if v.Keys.Elem == dtype.String {
			return v.Keys.Str[at[i]] < v.Keys.Str[at[j]]
		}
		return v.Keys.Int(at[i]) < v.Keys.Int(at[j])
	})
	out := tensor.Value{Kind: v.Kind, Keys: tensor.New(v.Keys.Elem, len(at)), List: make([]tensor.Value, len(at))}
	for i, k := range at {
		out.List[i] = v.List[k]
		if v.Keys.Elem == dtype.String {
			out.Keys.Str[i] = v.Keys.Str[k]
		} else {
			out.Keys.SetBits(i, v.Keys.Bits(k))
		}
	}
	return out
}

func presence(v tensor.Value) string {
	if len(v.List) == 0 {
		return "none"
	}
	return "a " + v.List[0].Kind.String()
}

func compareTensors(got, want *tensor.Tensor, tol Tolerance) string {
	if got == nil {
		return "is missing"
	}
	if err := got.Check(); err != nil {
		return "is broken: " + err.Error()
	}
	head := fmt.Sprintf("%s %v", shapeText(want.Shape), onnxpb.DataTypeOf(want.Elem))
	if got.Elem != want.Elem {
		return fmt.Sprintf("%s: got element type %v", head, onnxpb.DataTypeOf(got.Elem))
	}
	if !slices.Equal(got.Shape, want.Shape) {
		return fmt.Sprintf("%s: got shape %s", head, shapeText(got.Shape))
	}
	if tol.Compare == "shape" {
		return ""
	}
	d := differ(got, want, tol)
	if d.count == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d of %d differ, worst at %s: got %s want %s", head, d.count, want.Len(), shapeText(unravel(d.worst, want.Shape)),
		elementText(got, d.worst), elementText(want, d.worst))
}

func shapeText(shape []int) string {
	s := make([]string, len(shape))
	for i, d := range shape {
		s[i] = strconv.Itoa(d)
	}
	return "[" + strings.Join(s, ",") + "]"
}

func unravel(i int, shape []int) []int {
	index := make([]int, len(shape))
	for a := len(shape) - 1; a >= 0; a-- {
		index[a] = i % shape[a]
		i /= shape[a]
	}
	return index
}

func elementText(t *tensor.Tensor, i int) string {
	switch {
	case t.Elem == dtype.String:
		s := t.Str[i]
		if len(s) > 60 {
			return strconv.Quote(strings.ToValidUTF8(s[:60], "?")) + "..."
		}
		return strconv.Quote(s)
	case t.Elem.IsComplex():
		p := parts(t)
		return fmt.Sprint(complex(p.at(2*i), p.at(2*i+1)))
	case t.Elem == dtype.U64:
		return strconv.FormatUint(t.Bits(i), 10)
	case t.Elem == dtype.Bool:
		return strconv.FormatBool(t.Bits(i) != 0)
	case t.Elem.IsInt():
		return strconv.FormatInt(t.Int(i), 10)
	case t.Elem == dtype.F64:
		return strconv.FormatFloat(t.Float(i), 'g', -1, 64)
	}
	return strconv.FormatFloat(t.Float(i), 'g', -1, 32)
}

// difference collects the elements that are out of bounds; the worst is furthest out, relative to its bound.
type difference struct {
	count, worst int
	excess       float64
}

func (d *difference) add(i int, excess float64) {
	if d.count == 0 || excess > d.excess {
		d.worst, d.excess = i, excess
	}
	d.count++
}

func differ(got, want *tensor.Tensor, tol Tolerance) (d difference) {
	n := want.Len()
	switch {
	case want.Elem == dtype.String:
		for i := range n {
			if got.Str[i] != want.Str[i] {
				d.add(i, 0)
			}
		}
	case want.Elem == dtype.Bool:
		for i := range n {
			if (got.Bits(i) != 0) != (want.Bits(i) != 0) {
				d.add(i, 0)
			}
		}
	case want.Elem.IsInt():
		for i := range n {
			if diff, ok := intsClose(got, want, i, tol); !ok {
				d.add(i, float64(diff))
			}
		}
	default:
		differFloats(&d, parts(got), parts(want), tol)
	}
	return d
}

// intsClose tests |got - want| <= atol + rtol*|want| in exact arithmetic.
func intsClose(got, want *tensor.Tensor, i int, tol Tolerance) (diff uint64, ok bool) {
	g, w := got.Bits(i), want.Bits(i)
	if g == w {
		return 0, true
	}
	mag := w
	if want.Elem == dtype.U64 {
		diff = max(g, w) - min(g, w)
	} else {
		a, b := got.Int(i), want.Int(i)
		diff = uint64(max(a, b)) - uint64(min(a, b)) // the difference of two int64 fits uint64
		mag = uint64(b)
		if b < 0 {
			mag = -mag
		}
	}
	if tol.ExactInts {
		return diff, false
	}
	bound := tol.ATol + tol.RTol*float64(mag)
	switch f := float64(diff); { // the float64 bound is off by a few units in the last place
	case f < bound*(1-1e-12):
		return diff, true
	case f > bound*(1+1e-12):
		return diff, false
	}
	b := new(big.Rat).SetFloat64(tol.RTol)
	b.Mul(b, new(big.Rat).SetInt(new(big.Int).SetUint64(mag)))
	b.Add(b, new(big.Rat).SetFloat64(tol.ATol))
	return diff, new(big.Rat).SetInt(new(big.Int).SetUint64(diff)).Cmp(b) <= 0
}

// reals is a tensor as real numbers: one an element, two for complex types.
type reals struct {
	t   *tensor.Tensor
	n   int
	per int
}

func parts(t *tensor.Tensor) reals {
	switch t.Elem {
	case dtype.C64:
		return reals{&tensor.Tensor{Elem: dtype.F32, Shape: t.Shape, Data: t.Data}, 2 * t.Len(), 2}
	case dtype.C128:
		return reals{&tensor.Tensor{Elem: dtype.F64, Shape: t.Shape, Data: t.Data}, 2 * t.Len(), 2}
	}
	return reals{t, t.Len(), 1}
}

func (r reals) at(i int) float64 { return r.t.Float(i) }

func differFloats(d *difference, got, want reals, tol Tolerance) {
	rtol, atol := tol.RTol, tol.ATol
	switch want.t.Elem {
	case dtype.F16:
		rtol = max(rtol, 2e-3)
	case dtype.BF16:
		rtol = max(rtol, 0x1p-6)
	}
	if want.t.Elem.Bits() > 8 {
		largest := 0.0
		for i := range want.n {
			if w := math.Abs(want.at(i)); w <= math.MaxFloat64 { // false for NaN and infinities
				largest = max(largest, w)
			}
		}
		atol = max(atol, tol.Scale*largest)
	}
	last := -1
	for i := range want.n {
		g, w := got.at(i), want.at(i)
		excess := 0.0
		switch {
		case g == w || math.IsNaN(g) && math.IsNaN(w):
			continue
		case math.IsNaN(g) || math.IsNaN(w) || math.IsInf(g, 0) || math.IsInf(w, 0):
			excess = math.Inf(1)
		default:
			diff, bound := math.Abs(g-w), atol+rtol*math.Abs(w)
			if diff <= bound {
				continue
			}
			excess = diff / bound
		}
		d.add(i/want.per, excess)
		if i/want.per == last { // the other half of the same complex number
			d.count--
		}
		last = i / want.per
	}
}
