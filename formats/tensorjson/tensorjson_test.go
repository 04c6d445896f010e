package tensorjson_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/tensorjson"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		json  string
		elem  dtype.Type // asked for
		got   dtype.Type
		shape []int
		text  string // written again; "" is the same
	}{
		{"[1,2,3]", dtype.Invalid, dtype.I64, []int{3}, ""},
		{" [1, 2.5 ] ", dtype.Invalid, dtype.F32, []int{2}, "[1,2.5]"},
		{"[2.5,1]", dtype.Invalid, dtype.F32, []int{2}, ""},
		{"3.5", dtype.Invalid, dtype.F32, []int{}, ""},
		{`"text"`, dtype.Invalid, dtype.String, []int{}, ""},
		{"true", dtype.Invalid, dtype.Bool, []int{}, ""},
		{"[[1,2,3],[4,5,6]]", dtype.U8, dtype.U8, []int{2, 3}, ""},
		{"[[[1],[2]]]", dtype.F16, dtype.F16, []int{1, 2, 1}, ""},
		{"[]", dtype.Invalid, dtype.F32, []int{0}, ""},
		{"[[],[]]", dtype.I32, dtype.I32, []int{2, 0}, ""},
		{"[-8,7]", dtype.I4, dtype.I4, []int{2}, ""},
		{"[0,1]", dtype.Bool, dtype.Bool, []int{2}, "[false,true]"},
		{"18446744073709551615", dtype.U64, dtype.U64, []int{}, ""},
		{"-9223372036854775808", dtype.I64, dtype.I64, []int{}, ""},
		{`["NaN","Infinity","-Infinity",1e300]`, dtype.F64, dtype.F64, []int{4}, `["NaN","Infinity","-Infinity",1e+300]`},
		{"0.1", dtype.F32, dtype.F32, []int{}, ""},
		{"0.1", dtype.F64, dtype.F64, []int{}, ""},
		{"0.1", dtype.BF16, dtype.BF16, []int{}, "0.100097656"},
		{"[[1,2],[3,-4]]", dtype.C64, dtype.C64, []int{2}, ""},
		{"[1,2]", dtype.C128, dtype.C128, []int{}, ""},
		{`["NaN","x\n"]`, dtype.String, dtype.String, []int{2}, ""},
	} {
		v, err := tensorjson.Decode([]byte(c.json), c.elem)
		if err != nil {
			t.Errorf("%s: %v", c.json, err)
			continue
		}
		if v.Check() != nil || v.Elem != c.got || !reflect.DeepEqual(v.Shape, c.shape) {
			t.Errorf("%s: got %v%v, check %v", c.json, v.Elem, v.Shape, v.Check())
		}
		text, err := tensorjson.Append(nil, v)
		if want := cmpOr(c.text, c.json); err != nil || string(text) != want {
			t.Errorf("%s: written %s %v, want %s", c.json, text, err, want)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		json string
		elem dtype.Type
		want string
	}{
		{"", dtype.F32, "unexpected EOF"},
		{"[1,2", dtype.F32, "unexpected EOF"},
		{"[1 2]", dtype.F32, "byte 3"},
		{"1 2", dtype.F32, "more than one value"},
		{"[[1,2],[3]]", dtype.F32, "ragged: arrays of 2 and 1 entries on axis 1"},
		{"[1,[2]]", dtype.F32, "array at depth 1 among values"},
		{"[[1],2]", dtype.F32, "value at depth 1"},
		{"[[],2]", dtype.F32, "value at depth 1"},
		{"[[],[1]]", dtype.F32, "ragged"},
		{"[[],[[]]]", dtype.F32, "among empty arrays"},
		{"256", dtype.U8, "256 is no u8"},
		{"-1", dtype.U64, "-1 is no u64"},
		{"8", dtype.I4, "8 is no i4"},
		{"1.5", dtype.I64, "1.5 is no i64"},
		{"2", dtype.Bool, "2 is no bool"},
		{"1e39", dtype.F32, "does not fit f32"},
		{"1e309", dtype.F64, "does not fit f64"},
		{"70000", dtype.F16, "does not fit f16"},
		{"1000", dtype.F8E4M3FN, "does not fit f8e4m3fn"},
		{`"abc"`, dtype.F32, `"abc" is no f32`},
		{`"NaN"`, dtype.I32, `"NaN" is no i32`},
		{"null", dtype.F32, "null is no f32"},
		{`{"a":1}`, dtype.F32, "{ is no f32"},
		{"true", dtype.I32, "true is no i32"},
		{`[1,"a"]`, dtype.Invalid, "i64 and string in one tensor"},
		{"[1,2,3]", dtype.C64, "want [real, imaginary]"},
		{strings.Repeat("[", 100000), dtype.F32, "more than 64 axes"},
	} {
		v, err := tensorjson.Decode([]byte(c.json), c.elem)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s as %v: got %v %v, want %s", c.json, c.elem, v, err, c.want)
		}
	}
	if _, err := tensorjson.Append(nil, tensor.New(dtype.F32, 1<<25, 0)); err == nil {
		t.Error("2^25 empty arrays were written")
	}
	if _, err := tensorjson.Append(nil, &tensor.Tensor{Elem: dtype.F32, Shape: []int{1}}); err == nil {
		t.Error("a broken tensor was written")
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"[1,2,3]", "[[1.5],[2]]", `["a"]`, "[[],[]]", "[true]", "-1e-3", `["NaN"]`} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(dtype.F16))
	}
	f.Fuzz(func(t *testing.T, data []byte, elem uint8) {
		v, err := tensorjson.Decode(data, dtype.Type(elem)%(dtype.String+1))
		if err != nil {
			return
		}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		text, err := tensorjson.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := tensorjson.Decode(text, v.Elem); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%v became %v by %s: %v", v, again, text, err)
		}
	})
}

func ExampleDecode() {
	t, err := tensorjson.Decode([]byte("[[1, 2], [3, 4.5]]"), dtype.F32)
	fmt.Println(t.Shape, t.F32(), err)
	// Output: [2 2] [1 2 3 4.5] <nil>
}

func ExampleAppend() {
	b, err := tensorjson.Append(nil, tensor.Of(dtype.I64, []int64{7, 8}, 2, 1))
	fmt.Println(string(b), err)
	// Output: [[7],[8]] <nil>
}
