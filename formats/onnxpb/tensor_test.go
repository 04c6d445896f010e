package onnxpb_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func value(t *testing.T, proto pb, ext onnxpb.ExternalResolver) (*tensor.Tensor, error) {
	t.Helper()
	m, err := onnxpb.Parse(model(pb{}.sub(5, proto)))
	if err != nil {
		return nil, err
	}
	return m.Graph.Inits[0].Value(ext)
}

// Each storage form of each element type; the values are those that were put in.
func TestTensorValues(t *testing.T) {
	for _, c := range []struct {
		name  string
		proto pb
		elem  dtype.Type
		want  []float64
	}{
		{"float raw", tensorOf(1, 2).str(9, "\x00\x00\x80\x3f\x00\x00\x00\xc0"), dtype.F32, []float64{1, -2}},
		{"float packed", tensorOf(1, 2).sub(4, floats(1, -2)), dtype.F32, []float64{1, -2}},
		{"float in pieces", tensorOf(1, 4).sub(4, floats(1, -2)).f32(4, 3).sub(4, floats(4)), dtype.F32, []float64{1, -2, 3, 4}},
		{"double", tensorOf(11, 2).sub(10, doubles(1.5, math.Inf(-1))), dtype.F64, []float64{1.5, math.Inf(-1)}},
		{"double unpacked", tensorOf(11, 2).f64(10, 0.25).f64(10, 8), dtype.F64, []float64{0.25, 8}},
		{"int64", tensorOf(7, 3).sub(7, varints(-1, 1<<40, 0)), dtype.I64, []float64{-1, 1 << 40, 0}},
		{"int64 unpacked", tensorOf(7, 2).int(7, -9).int(7, 9), dtype.I64, []float64{-9, 9}},
		{"int32", tensorOf(6, 2).sub(5, varints(-1<<31, 1<<31-1)), dtype.I32, []float64{-1 << 31, 1<<31 - 1}},
		{"int16", tensorOf(5, 2).sub(5, varints(-32768, 7)), dtype.I16, []float64{-32768, 7}},
		{"int8", tensorOf(3, 2).sub(5, varints(-128, 127)), dtype.I8, []float64{-128, 127}},
		{"uint8", tensorOf(2, 2).sub(5, varints(255, 0)), dtype.U8, []float64{255, 0}},
		{"uint16", tensorOf(4, 1).sub(5, varints(65535)), dtype.U16, []float64{65535}},
		{"uint32", tensorOf(12, 1).sub(11, varints(1<<32-1)), dtype.U32, []float64{1<<32 - 1}},
		{"uint64", tensorOf(13, 1).sub(11, varints(-1)), dtype.U64, []float64{1<<64 - 1}},
		{"bool", tensorOf(9, 3).sub(5, varints(0, 1, 5)), dtype.Bool, []float64{0, 1, 1}},
		{"bool raw", tensorOf(9, 3).str(9, "\x00\x01\x07"), dtype.Bool, []float64{0, 1, 1}},
		{"float16", tensorOf(10, 2).sub(5, varints(0x3c00, 0xc000)), dtype.F16, []float64{1, -2}},
		{"bfloat16", tensorOf(16, 1).sub(5, varints(0x3f80)), dtype.BF16, []float64{1}},
		{"float8e4m3fn", tensorOf(17, 1).sub(5, varints(0x38)), dtype.F8E4M3FN, []float64{1}},
		{"float8e8m0 raw", tensorOf(24, 1).str(9, "\x80"), dtype.F8E8M0, []float64{2}},
		{"int4, low nibble first", tensorOf(22, 3).sub(5, varints(0xf1, 0x07)), dtype.I4, []float64{1, -1, 7}},
		{"uint4 raw", tensorOf(21, 3).str(9, "\xf1\x07"), dtype.U4, []float64{1, 15, 7}},
		{"uint2, low bits first", tensorOf(25, 5).sub(5, varints(0b11_10_01_00, 2)), dtype.U2, []float64{0, 1, 2, 3, 2}},
		{"int2", tensorOf(26, 4).sub(5, varints(0b11_10_01_00)), dtype.I2, []float64{0, 1, -2, -1}},
		{"float4e2m1", tensorOf(23, 2).sub(5, varints(0x9f)), dtype.F4E2M1, []float64{-6, -0.5}},
		{"scalar", pb{}.int(2, 7).sub(7, varints(5)), dtype.I64, []float64{5}},
		{"empty", tensorOf(1, 2, 0), dtype.F32, []float64{}},
		{"empty, with an empty field", tensorOf(1, 0).sub(4).str(9, ""), dtype.F32, []float64{}},
		{"unpacked dims", pb{}.int(1, 2).int(1, 1).int(2, 7).sub(7, varints(5, 6)), dtype.I64, []float64{5, 6}},
	} {
		v, err := value(t, c.proto, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err := v.Check(); err != nil || v.Elem != c.elem {
			t.Errorf("%s: element type %v, check %v", c.name, v.Elem, err)
			continue
		}
		got := []float64{}
		for i := range v.Len() {
			got = append(got, v.Float(i))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v want %v", c.name, got, c.want)
		}
	}
}

func TestTensorStringsAndComplex(t *testing.T) {
	v, err := value(t, tensorOf(8, 2).str(6, "a").str(6, ""), nil)
	if err != nil || !reflect.DeepEqual(v.Str, []string{"a", ""}) {
		t.Errorf("strings: %v %v", v, err)
	}
	v, err = value(t, tensorOf(14, 1).sub(4, floats(3, -4)), nil)
	if err != nil || v.Elem != dtype.C64 || !reflect.DeepEqual(tensor.View[float32](v), []float32{3, -4}) {
		t.Errorf("complex64: %v %v", v, err)
	}
	v, err = value(t, tensorOf(15, 1).sub(10, doubles(3, -4)), nil)
	if err != nil || v.Elem != dtype.C128 || !reflect.DeepEqual(tensor.View[float64](v), []float64{3, -4}) {
		t.Errorf("complex128: %v %v", v, err)
	}
}

func TestTensorErrors(t *testing.T) {
	var rank pb
	for range 1000 {
		rank = rank.int(1, 1)
	}
	for _, c := range []struct {
		name  string
		proto pb
		kind  error
		want  string
	}{
		{"product overflows", tensorOf(1, 1<<62, 8).str(9, "0123"), onnxpb.ErrMalformed, "too many elements"},
		{"huge without data", tensorOf(1, 1<<40), onnxpb.ErrMalformed, "wants 1099511627776 values, but there is no data"},
		{"huge with little data", tensorOf(1, 1<<40).str(9, "0123456789abcdef"), onnxpb.ErrMalformed, "want 4398046511104 bytes, got 16"},
		{"negative dim", tensorOf(1, -1), onnxpb.ErrMalformed, "dims[0] is -1"},
		{"unknown type", tensorOf(999, 1), onnxpb.ErrMalformed, "element type type 999"},
		{"float6", tensorOf(27, 1).str(9, "0"), onnxpb.ErrUnsupported, "float6e2m3"},
		{"wrong field", tensorOf(1, 1).sub(5, varints(1)), onnxpb.ErrMalformed, "belong in float_data, got int32_data"},
		{"raw and typed", tensorOf(1, 1).sub(4, floats(1)).str(9, "0123"), onnxpb.ErrMalformed, "raw_data and typed data"},
		{"too few", tensorOf(7, 3).sub(7, varints(1, 2)), onnxpb.ErrMalformed, "want 3 values, got 2"},
		{"too many", tensorOf(7, 1).sub(7, varints(1, 2)), onnxpb.ErrMalformed, "want 1 values, got 2"},
		{"odd packed", tensorOf(1, 1).sub(4, pb("12345")), onnxpb.ErrMalformed, "multiple of 4 bytes, got 5"},
		{"out of range", tensorOf(2, 1).sub(5, varints(256)), onnxpb.ErrMalformed, "value 256 does not fit uint8"},
		{"unfinished varint", tensorOf(7, 1).sub(7, pb{1, 0x80}), onnxpb.ErrMalformed, "truncated"},
		{"wire type", tensorOf(7, 1).f32(7, 1), onnxpb.ErrMalformed, "want a varint"},
		{"strings in raw", tensorOf(8, 1).str(9, "a"), onnxpb.ErrMalformed, "strings in raw_data"},
		{"segment", tensorOf(1, 1).sub(3).str(9, "0123"), onnxpb.ErrUnsupported, "segmented"},
		{"rank", rank.int(2, 1).sub(4, floats(1)), onnxpb.ErrUnsupported, "rank 1000"},
		{"external without folder", tensorOf(1, 1).sub(13, pb{}.str(1, "location").str(2, "w.bin")).int(14, 1), onnxpb.ErrUnsupported, `external data "w.bin"`},
	} {
		_, err := value(t, c.proto, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), "byte ") {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func external(location, offset, length string) pb {
	p := tensorOf(1, 2).int(14, 1)
	for _, kv := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}} {
		if kv[1] != "" {
			p = p.sub(13, pb{}.str(1, kv[0]).str(2, kv[1]))
		}
	}
	return p
}

func TestExternalData(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "model")
	for name, data := range map[string]string{"secret": "0123456789", "model/w.bin": "abcd\x00\x00\x80\x3f\x00\x00\x00\xc0", "model/sub/w.bin": "\x00\x00\x80\x3f\x00\x00\x00\xc0"} {
		name = filepath.Join(outer, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder := onnxpb.NewFolder(dir)
	defer folder.Close()
	for _, p := range []pb{external("w.bin", "4", "8"), external("w.bin", "4", ""), external("sub/w.bin", "", ""), external("./sub//w.bin", "", "")} {
		v, err := value(t, p, folder)
		if err != nil || v.Float(0) != 1 || v.Float(1) != -2 {
			t.Errorf("got %v %v", v, err)
		}
	}
	link := filepath.Join(dir, "link")
	hasLink := os.Symlink(filepath.Join(outer, "secret"), link) == nil
	for _, c := range []struct{ location, offset, length, want string }{
		{"/etc/passwd", "", "", "is absolute"},
		{"C:/x", "", "", "is absolute"},
		{"../secret", "", "", `contains ".."`},
		{"sub/../../secret", "", "", `contains ".."`},
		{`..\secret`, "", "", "backslash"},
		{"w\x00.bin", "", "", "NUL"},
		{"", "", "", "is empty"},
		{"none.bin", "", "", "none.bin"},
		{"sub", "", "", "not a regular file"},
		{"link", "", "", "link"},
		{"w.bin", "8", "", "bytes 8+8 of a file of 12 bytes"},
		{"w.bin", "9223372036854775807", "", "of a file of 12 bytes"},
		{"w.bin", "-1", "", "not a size"},
		{"w.bin", "1e3", "", "not a size"},
		{"w.bin", "0", "12", "want 8 bytes, got 12"},
	} {
		if c.location == "link" && !hasLink {
			continue
		}
		_, err := value(t, external(c.location, c.offset, c.length), folder)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestSparse(t *testing.T) {
	dense := func(values, indices pb, dims ...int64) (*tensor.Tensor, error) {
		m, err := onnxpb.Parse(model(pb{}.sub(15, pb{}.sub(1, values).sub(2, indices).sub(3, varints(dims...)))))
		if err != nil {
			t.Fatal(err)
		}
		return m.Graph.SparseInits[0].Dense(nil, 1<<20)
	}
	two := tensorOf(1, 2).sub(4, floats(5, 7))
	for _, indices := range []pb{tensorOf(7, 2).sub(7, varints(1, 5)), tensorOf(7, 2, 2).sub(7, varints(0, 1, 1, 2))} {
		v, err := dense(two, indices, 2, 3)
		if err != nil || !reflect.DeepEqual(v.F32(), []float32{0, 5, 0, 0, 0, 7}) {
			t.Errorf("got %v %v", v, err)
		}
	}
	for _, c := range []struct {
		indices pb
		dims    []int64
		want    string
	}{
		{tensorOf(7, 2).sub(7, varints(1, 6)), []int64{2, 3}, "index of value 1 lies outside"},
		{tensorOf(7, 2).sub(7, varints(-1, 0)), []int64{2, 3}, "index of value 0 lies outside"},
		{tensorOf(7, 2, 2).sub(7, varints(0, 1, 1, 3)), []int64{2, 3}, "index of value 1 lies outside"},
		{tensorOf(7, 1).sub(7, varints(1)), []int64{2, 3}, "do not belong together"},
		{tensorOf(7, 2).sub(7, varints(1, 2)), []int64{1 << 31, 1 << 31}, "too many elements"},
		{tensorOf(7, 2).sub(7, varints(1, 2)), []int64{1 << 20, 1 << 10}, "dense form takes"},
	} {
		if _, err := dense(two, c.indices, c.dims...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.dims, err, c.want)
		}
	}
}

func TestDataTypes(t *testing.T) {
	for _, e := range dtype.All() {
		if got, ok := onnxpb.DataTypeOf(e).Elem(); !ok || got != e {
			t.Errorf("%v: becomes %v", e, got)
		}
	}
	if onnxpb.DataTypeOf(dtype.Invalid) != 0 || onnxpb.DataType(27).Defined() != true || onnxpb.DataType(29).Defined() {
		t.Error("numbers without a type")
	}
}
