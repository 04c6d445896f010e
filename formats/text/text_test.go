package text_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/text"
	"github.com/llmc-go/llmc/ir/dtype"
)

func TestStrings(t *testing.T) {
	for data, want := range map[string][]string{
		"":                {},
		"one":             {"one"},
		"one\n":           {"one"},
		"größe\r\n\n日本\n": {"größe", "", "日本"},
		"\n":              {""},
		"a\rb":            {"a\rb"},
	} {
		v, err := text.Lines([]byte(data))
		if err != nil || v.Check() != nil || !slices.Equal(v.Str, want) || !slices.Equal(v.Shape, []int{len(want)}) {
			t.Errorf("%q: %v, %v", data, v, err)
		}
	}
	for data, want := range map[string]string{"": "", "a\nb\n": "a\nb", "a\r\n": "a", "a\n\n": "a\n"} {
		if v, err := text.Whole([]byte(data)); err != nil || !slices.Equal(v.Str, []string{want}) || !slices.Equal(v.Shape, []int{1}) {
			t.Errorf("%q: %v, %v", data, v, err)
		}
	}
	_, err1 := text.Lines([]byte("ab\xff"))
	_, err2 := text.Whole([]byte("ab\xff"))
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, text.ErrMalformed) || !strings.Contains(err.Error(), "byte 2") {
			t.Errorf("no UTF-8: %v", err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		data  string
		elem  dtype.Type
		shape []int
		want  []float64
	}{
		{"1 2\n3 4\n", dtype.F32, []int{2, 2}, []float64{1, 2, 3, 4}},
		{"1,2.5, -3e2\r\n", dtype.F64, []int{3}, []float64{1, 2.5, -300}},
		{"\n7\n\n8\n9", dtype.I64, []int{3}, []float64{7, 8, 9}},
		{"inf -inf", dtype.F32, []int{2}, []float64{math.Inf(1), math.Inf(-1)}},
		{"1.000000000000000000e+00\t5.000000000000000000e-01\n", dtype.F16, []int{2}, []float64{1, .5}}, // as NumPy's savetxt writes
		{"255 0", dtype.U8, []int{2}, []float64{255, 0}},
		{"", dtype.I32, []int{0}, nil},
	} {
		v, err := text.Numbers([]byte(c.data), c.elem)
		if err != nil {
			t.Errorf("%q: %v", c.data, err)
			continue
		}
		var got []float64
		for i := range v.Len() {
			if c.elem.IsFloat() {
				got = append(got, v.Float(i))
			} else {
				got = append(got, float64(v.Int(i)))
			}
		}
		if v.Check() != nil || v.Elem != c.elem || !slices.Equal(v.Shape, c.shape) || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v%v %v, want %v %v", c.data, v.Elem, v.Shape, got, c.shape, c.want)
		}
	}
	if v, err := text.Numbers([]byte("18446744073709551615"), dtype.U64); err != nil || v.Bits(0) != math.MaxUint64 {
		t.Errorf("the largest integer: %v, %v", v, err)
	}
	for _, c := range []struct {
		data string
		elem dtype.Type
		want string
	}{
		{"1 2\n\n3\n", dtype.F32, "line 3 has 1 numbers, and those before it 2"},
		{"1 two", dtype.F32, `number 1, "two": invalid syntax`},
		{"1.5", dtype.I64, `number 0, "1.5": invalid syntax`},
		{"256", dtype.U8, "value out of range"},
		{"-1", dtype.U16, "invalid syntax"},
		{"128", dtype.I8, "value out of range"},
		{"1", dtype.String, "numbers of type"},
	} {
		if _, err := text.Numbers([]byte(c.data), c.elem); !errors.Is(err, text.ErrMalformed) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%q: want %q, got %v", c.data, c.want, err)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add([]byte("1 2\n3,4\n"), uint8(dtype.F32))
	f.Add([]byte("-7\n1e400 nan"), uint8(dtype.I8))
	f.Fuzz(func(t *testing.T, data []byte, elem uint8) {
		if !dtype.Type(elem).Valid() {
			return
		}
		v, err := text.Numbers(data, dtype.Type(elem))
		if err == nil && (v.Check() != nil || v.Len() > len(data)) {
			t.Fatalf("%v%v: %v", v.Elem, v.Shape, v.Check())
		}
	})
}

func ExampleNumbers() {
	v, err := text.Numbers([]byte("5.1, 3.5\n4.9, 3\n"), dtype.F32)
	fmt.Println(v.Shape, v.F32(), err)
	// Output: [2 2] [5.1 3.5 4.9 3] <nil>
}
