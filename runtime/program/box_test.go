package program

import (
	"reflect"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func TestStrings(t *testing.T) {
	for _, l := range [][]string{{}, {""}, {"a", "", "\x00é"}, {strings.Repeat("x", 300)}} {
		b := EncodeStrings(l)
		got, err := DecodeStrings(b, len(l))
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%q: got %q, %v", l, got, err)
		}
		for n := range len(l) + 3 {
			if _, err := DecodeStrings(b, n); n != len(l) && err == nil {
				t.Errorf("%q: read as %d strings", l, n)
			}
		}
		for cut := range b {
			if _, err := DecodeStrings(b[:cut], len(l)); err == nil {
				t.Errorf("%q: %d of %d bytes were enough", l, cut, len(b))
			}
		}
	}
}

func TestTypes(t *testing.T) {
	f := tensor.ValueOf(tensor.New(dtype.F32, 2, 3))
	s := tensor.ValueOf(tensor.New(dtype.String, 2))
	m := tensor.Value{Kind: tensor.KindMap, Keys: tensor.New(dtype.I64, 1), List: []tensor.Value{tensor.ValueOf(tensor.New(dtype.F32))}}
	for _, c := range []struct {
		text string
		v    tensor.Value
		want string // of the error; "" is none
	}{
		{"seq(f32[2, B])", tensor.SequenceOf(f, f), ""},
		{"seq(f32[max(B, 1), 3])", tensor.SequenceOf(f), ""},
		{"seq(f32[2])", tensor.SequenceOf(f), "element 0: want rank 1"},
		{"seq(any(f32))", tensor.SequenceOf(f), ""},
		{"seq(none(f32))", tensor.SequenceOf(f), ""},
		{"seq(any(f32))", tensor.SequenceOf(f, s), "element 1: want element type f32"},
		{"seq(any(f32))", f, "want a sequence"},
		{"opt(seq(string[B]))", tensor.OptionalOf(tensor.SequenceOf(s)), ""},
		{"opt(seq(string[B]))", tensor.OptionalOf(), ""},
		{"opt(f32[2, 3])", tensor.OptionalOf(f, f), "optional of 2 values"},
		{"seq(map(i64, f32[]))", tensor.SequenceOf(m, m), ""},
		{"map(string, f32[])", m, "want keys of type string"},
		{"map(i64, f32[])", tensor.Value{Kind: tensor.KindMap}, "do not belong together"},
		{"seq(f32[])", tensor.SequenceOf(tensor.Value{}), "a value is missing"},
	} {
		typ, err := ParseType(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		switch err := typ.Fits(c.v); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %s", c.text, err, c.want)
		}
	}
	for _, bad := range []string{"", "seq", "seq(", "seq(f32)", "seq(f32[2)", "seq(f99[])", "seq(f32[2]", "seq(f32[2]))", "map(f32[])", "map(i64 f32[])", "box(f32[])", "any()", "any(f32", strings.Repeat("seq(", 2000)} {
		if _, err := ParseType(bad); err == nil {
			t.Errorf("%.40q is a type", bad)
		}
	}
}

func FuzzParseType(f *testing.F) {
	for _, s := range []string{"seq(f32[2, B])", "opt(map(i64, f32[]))", "seq(any(f32))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := ParseType(s)
		if err == nil {
			_ = typ.Fits(tensor.SequenceOf())
		}
	})
}
