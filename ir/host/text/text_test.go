package text

import (
	"slices"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
)

// The rules of Python's str.split, which the standard's reference uses.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		s, delimiter string
		most         int64
		want         []string
	}{
		{"a b", "", -1, []string{"a", "b"}},
		{"  a \t b\n", "", -1, []string{"a", "b"}},
		{"", "", -1, nil},
		{"  a  b c ", "", 1, []string{"a", "b c "}},
		{" a ", "", 0, []string{"a "}},
		{"a", "", 5, []string{"a"}},
		{"", ",", -1, []string{""}},
		{"a,,b,", ",", -1, []string{"a", "", "b", ""}},
		{"a,,b,", ",", 1, []string{"a", ",b,"}},
		{"a,b", ",", 0, []string{"a,b"}},
		{"a--b", "--", 9, []string{"a", "b"}},
	} {
		if got := cut(c.s, c.delimiter, c.most); !slices.Equal(got, c.want) {
			t.Errorf("cut(%q, %q, %d): got %q, want %q", c.s, c.delimiter, c.most, got, c.want)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{{"a|ab", "ab", true}, {"a|b", "ab", false}, {"^a$", "a", true}, {"a", "a\n", false}, {"", "", true}, {".*", "x\ny", false}} {
		re, err := Pattern(c.pattern)
		if err != nil || re.MatchString(c.s) != c.want {
			t.Errorf("%q on %q: want %v, %v", c.pattern, c.s, c.want, err)
		}
	}
	for _, bad := range []string{"(", "a)(b", `a)|(?:b`, "x{1001}"} {
		if _, err := Pattern(bad); err == nil {
			t.Errorf("%q is a pattern", bad)
		}
	}
}

func TestVocabularyErrors(t *testing.T) {
	good := attr.List{{Name: "max_gram_length", Value: attr.OfInt(2)}, {Name: "ngram_counts", Value: attr.OfInts([]int64{0, 1})},
		{Name: "ngram_indexes", Value: attr.OfInts([]int64{0, 1})}, {Name: "pool_int64s", Value: attr.OfInts([]int64{7, 7, 8})}}
	if v, err := ReadVocabulary(good); err != nil || v.Columns != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	for name, v := range map[string]attr.Value{
		"max_gram_length": attr.OfInt(0),
		"ngram_counts":    attr.OfInts([]int64{0, 2}), // one item is left for a pair
		"ngram_indexes":   attr.OfInts([]int64{0}),
		"pool_int64s":     attr.OfInts([]int64{7, 7}),
		"weights":         attr.OfFloats([]float64{1}),
		"max_skip_count":  attr.OfInt(-1),
		"pool_strings":    attr.OfStrs([]string{"a"}),
	} {
		if _, err := ReadVocabulary(good.Set(name, v)); err == nil {
			t.Errorf("%s %v is accepted", name, v)
		}
	}
	if _, err := ReadVocabulary(good.Set("ngram_counts", attr.OfInts([]int64{0, 9}))); err == nil {
		t.Error("counts beyond the pool are accepted")
	}
}
