package npy_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The files were written by NumPy 2 from the values that stand here.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		file  string
		elem  dtype.Type
		shape []int
		want  []float64
	}{
		{"f4.npy", dtype.F32, []int{2, 3}, []float64{-2.5, -1.5, -.5, .5, 1.5, 2.5}},
		{"f4_be.npy", dtype.F32, []int{2, 3}, []float64{-2.5, -1.5, -.5, .5, 1.5, 2.5}},
		{"i8_fortran.npy", dtype.I64, []int{2, 3}, []float64{0, 10, 20, 30, 40, 50}},
		{"f2.npy", dtype.F16, []int{3}, []float64{1, -2, 65504}},
		{"scalar.npy", dtype.F64, []int{}, []float64{7.5}},
		{"bool.npy", dtype.Bool, []int{3}, []float64{1, 0, 1}},
		{"u1_empty.npy", dtype.U8, []int{2, 0, 3}, nil},
		{"v2.npy", dtype.U32, []int{2}, []float64{1, 2}},
		{"v3.npy", dtype.I16, []int{2}, []float64{1, 2}},
	} {
		v, err := npy.Decode(read(t, c.file))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		var got []float64
		for i := range v.Len() {
			got = append(got, v.Float(i))
		}
		if v.Check() != nil || v.Elem != c.elem || !reflect.DeepEqual(v.Shape, c.shape) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v%v %v", c.file, v.Elem, v.Shape, got)
		}
	}
	v, err := npy.Decode(read(t, "c8_be.npy"))
	if err != nil || v.Elem != dtype.C64 || !reflect.DeepEqual(tensor.View[float32](v), []float32{1, 2, 0, -3.5}) {
		t.Errorf("complex: %v %v", v, err)
	}
	v, err = npy.Decode(read(t, "str.npy"))
	if err != nil || !reflect.DeepEqual(v.Str, []string{"a", "größe", "", "日本"}) || !reflect.DeepEqual(v.Shape, []int{2, 2}) {
		t.Errorf("strings: %v %v", v, err)
	}
	v, err = npy.Decode(read(t, "bytes.npy"))
	if err != nil || !reflect.DeepEqual(v.Str, []string{"ab", "c"}) {
		t.Errorf("byte strings: %v %v", v, err)
	}
}

func TestDecodeAliases(t *testing.T) {
	data := read(t, "f4.npy")
	v, err := npy.Decode(data)
	if err != nil || &v.Data[0] != &data[len(data)-24] {
		t.Errorf("copied, or %v", err)
	}
}

// Writing gives NumPy's own bytes.
func TestEncode(t *testing.T) {
	for _, name := range []string{"f4.npy", "f2.npy", "scalar.npy", "bool.npy", "u1_empty.npy"} {
		data := read(t, name)
		v, err := npy.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := npy.Encode(&b, v); err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, b.Bytes(), data)
		}
	}
	for _, v := range []*tensor.Tensor{
		tensor.New(dtype.BF16, 2), tensor.New(dtype.I4, 2), {Elem: dtype.String, Shape: []int{1}, Str: []string{"a\x00"}},
		{Elem: dtype.F32, Shape: []int{2}},
	} {
		if err := npy.Encode(&bytes.Buffer{}, v); err == nil {
			t.Errorf("%v: no error", v)
		}
	}
}

func file(header string, body string) []byte {
	return fmt.Appendf(nil, "\x93NUMPY\x01\x00%c%c%s%s", len(header), 0, header, body)
}

func TestErrors(t *testing.T) {
	const ok = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"
	if _, err := npy.Decode(file(ok, "0123")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data []byte
		kind error
		want string
	}{
		{nil, npy.ErrMalformed, "signature"},
		{[]byte("\x93NUMPY\x04\x00\x00\x00"), npy.ErrUnsupported, "version 4.0"},
		{[]byte("\x93NUMPY\x01\x00\xff\x00{"), npy.ErrMalformed, "header of 255 bytes"},
		{[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), npy.ErrMalformed, "header of"},
		{file(ok, "012"), npy.ErrMalformed, "want 4 bytes of data, got 3"},
		{file(ok, "01234"), npy.ErrMalformed, "want 4 bytes of data, got 5"},
		{file("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8)}", ""), npy.ErrMalformed, "too many elements"},
		{file("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", ""), npy.ErrMalformed, "extent"},
		{file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", ""), npy.ErrMalformed, "extent"},
		{file("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,)}", ""), npy.ErrUnsupported, "empty strings"},
		{file("{'descr': '<f4', 'shape': (1,)}", "0123"), npy.ErrMalformed, "2 keys"},
		{file("{'descr': '<f4', 'descr': '<f4'}", ""), npy.ErrMalformed, "twice"},
		{file("{'colour': 1}", ""), npy.ErrMalformed, "unknown key"},
		{file("{'descr': '<f4' 'shape'}", ""), npy.ErrMalformed, "want , or }"},
		{file("{'descr': '<f3', 'fortran_order': False, 'shape': ()}", ""), npy.ErrUnsupported, `element type "<f3"`},
		{file("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': ()}", ""), npy.ErrUnsupported, "element type"},
		{file("{'descr': '|b1', 'fortran_order': False, 'shape': ()}", "\x02"), npy.ErrMalformed, "boolean 0 is 2"},
		{file("{'descr': '<U1', 'fortran_order': False, 'shape': ()}", "\x00\x00\x20\x00"), npy.ErrMalformed, "no character"},
		{file("{", ""), npy.ErrMalformed, "want a string"},
		{read(t, "record.npy"), npy.ErrUnsupported, "records"},
		{read(t, "object.npy"), npy.ErrUnsupported, `element type "|O"`},
	} {
		_, err := npy.Decode(c.data)
		if err == nil || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.data, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"f4.npy", "i8_fortran.npy", "str.npy", "c8_be.npy", "v2.npy"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := npy.Decode(data)
		if err != nil {
			return
		}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := npy.Encode(&b, v); err != nil {
			return // byte strings that are not UTF-8
		}
		if again, err := npy.Decode(b.Bytes()); err != nil || !reflect.DeepEqual(again, v) && v.Len() > 0 {
			t.Fatalf("%v became %v: %v", v, again, err)
		}
	})
}

func ExampleDecode() {
	data, _ := os.ReadFile("testdata/i8_fortran.npy")
	v, err := npy.Decode(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Elem, v.Shape, v.I64())
	// Output: i64 [2 3] [0 10 20 30 40 50]
}
