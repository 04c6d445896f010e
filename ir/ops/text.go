package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/text"
	"github.com/llmc-go/llmc/ir/op"
)

// textDefs are operators on strings.
func textDefs() []*op.Def {
	return []*op.Def{&StringNormalize, &StringConcat, &StringSplit, &RegexFullMatch, &TfIdf, &Tokenize}
}

var strings1 = op.Set(dtype.String)

func listAttr(name string, k attr.Kind) op.Attr { return op.Attr{Name: name, Kind: k} }

// StringNormalize drops stop words.
var StringNormalize = op.Def{
	Name: "string_normalize",
	Doc:  "y = the strings of x that are no stop words, in another case; one empty string where none is left.",
	From: []op.Source{{Op: "StringNormalizer", Since: []int{10}, Import: importStringNormalizer}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: strings1}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("case_change", "NONE"), boolAttr("is_case_sensitive", false), listAttr("stopwords", attr.Strs)}},
	Infer: func(c *op.Infer) error {
		if m := c.Str("case_change"); m != "NONE" && m != "LOWER" && m != "UPPER" {
			return fmt.Errorf("case_change: want NONE, LOWER or UPPER, got %q", m)
		}
		if r := c.Rank(0); r < 1 || r > 2 {
			return fmt.Errorf("x of rank %d, want 1 or 2", r)
		}
		if c.Rank(0) == 2 {
			if err := c.Guard(c.Shape(0)[0], dim.Const(1), "one list of strings"); err != nil {
				return err
			}
		}
		shape := append([]dim.Expr(nil), c.Shape(0)...)
		last := len(shape) - 1
		if len(c.N.Attrs.Strs("stopwords")) > 0 || c.Scope().Prove(shape[last], dim.Gt, dim.Const(0)) != dim.Yes {
			shape[last] = c.Late(0, last, dim.Max(shape[last], dim.Const(1)))
		}
		c.Set(0, dtype.String, shape)
		return nil
	},
	Host: text.Normalize,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		words := attr.OfStrs([]string{"a", "s1", "1"})
		c.Elem(dtype.String).With(nil, named("case_change", "UPPER"), named("stopwords", words), named("case_change", "LOWER", "is_case_sensitive", true, "stopwords", words)).
			Shapes("[B]").Shapes("[1, 3]").Shapes("[0]")
	},
}

func importStringNormalizer(c *op.Import) ([]*ir.Value, error) {
	l := named("case_change", modelStr(c, "case_change_action", "NONE"), "is_case_sensitive", modelInt(c, "is_case_sensitive", 0) != 0)
	if a, ok := modelAttr(c, "stopwords", attr.Strs); ok {
		l = l.Set("stopwords", a)
	}
	return c.Do("string_normalize", c.N.In, l)[:1], c.Err()
}

// StringConcat joins strings.
var StringConcat = op.Def{
	Name: "string_concat",
	Doc:  "z = x followed by y, broadcast.",
	From: []op.Source{{Op: "StringConcat", Since: []int{20}}},
	Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: strings1}, {Name: "y", Elem: strings1}}, Out: []op.Arg{{Name: "z"}}},
	Infer: func(c *op.Infer) error {
		shape, err := c.BroadcastAll(0, 2)
		c.Set(0, dtype.String, shape)
		return err
	},
	Host: text.Concat,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.String).Shapes("[B, 3]", "[3]").Shapes("[]", "[]").Shapes("[0, 2]", "[1]")
	},
}

// StringSplit cuts strings.
var StringSplit = op.Def{
	Name: "string_split",
	Doc:  "y = the parts of every string of x between delimiters (white space where that is empty), at most maxsplit+1 where it is not negative, filled up with empty strings; n = how many.",
	From: []op.Source{{Op: "StringSplit", Since: []int{20}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: strings1}}, Out: []op.Arg{{Name: "y"}, {Name: "n"}},
		Attrs: []op.Attr{strAttr("delimiter", ""), intAttr("maxsplit", -1)}},
	Infer: func(c *op.Infer) error {
		c.Set(0, dtype.String, append(append([]dim.Expr(nil), c.Shape(0)...), c.Late(0, c.Rank(0), unbounded)))
		c.Set(1, dtype.I64, c.Shape(0))
		return nil
	},
	Host: text.Split,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.String).With(nil, named("delimiter", "s"), named("delimiter", "s", "maxsplit", 1), named("maxsplit", 0)).Shapes("[B, 2]").Shapes("[]").Shapes("[0]")
	},
}

// RegexFullMatch tests strings.
var RegexFullMatch = op.Def{
	Name: "regex_full_match",
	Doc:  "y = whether pattern, a regular expression of RE2's syntax, matches all of x.",
	From: []op.Source{{Op: "RegexFullMatch", Since: []int{20}}},
	Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: strings1}}, Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "pattern", Kind: attr.Str, Required: true}}},
	Infer: func(c *op.Infer) error {
		if _, err := text.Pattern(c.Str("pattern")); err != nil {
			return err
		}
		c.Set(0, dtype.Bool, c.Shape(0))
		return nil
	},
	Host: text.FullMatch,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.String).With(named("pattern", "s|.*1"), named("pattern", "")).Shapes("[B, 3]").Shapes("[]")
	},
}

// Tokenize cuts strings by regular expressions.
var Tokenize = op.Def{
	Name: "tokenize",
	Doc:  "y = the parts of every string of x that token matches, or those between matches of separators (characters where that is an empty one), of mincharnum characters or more; with mark between STX and ETX; filled up with pad.",
	From: []op.Source{{Domain: microsoft, Op: "Tokenizer", Since: []int{1}, Import: importTokenizer}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: strings1}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("token", ""), listAttr("separators", attr.Strs), strAttr("pad", ""), boolAttr("mark", false), intAttr("mincharnum", 1)}},
	Infer: func(c *op.Infer) error {
		if _, err := text.Expressions(c.Str("token"), c.N.Attrs.Strs("separators")); err != nil {
			return err
		}
		c.Set(0, dtype.String, append(append([]dim.Expr(nil), c.Shape(0)...), c.Late(0, c.Rank(0), unbounded)))
		return nil
	},
	Host: text.Tokenize,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		separators := func(s ...string) attr.List { return named("separators", attr.OfStrs(s)) }
		c.Elem(dtype.String).With(separators("s"), separators(""), named("token", "[a-z]", "mark", true, "pad", "#"), named("token", "[0-9]+", "mincharnum", 2)).Shapes("[B, 2]").Shapes("[0]")
	},
}

func importTokenizer(c *op.Import) ([]*ir.Value, error) {
	l := named("token", modelStr(c, "tokenexp", ""), "pad", modelStr(c, "pad_value", ""), "mark", modelInt(c, "mark", 0) != 0, "mincharnum", modelInt(c, "mincharnum", 1))
	if a, ok := modelAttr(c, "separators", attr.Strs); ok {
		l = l.Set("separators", a)
	}
	return []*ir.Value{c.CallWith("tokenize", l, c.N.In...)}, c.Err()
}

// TfIdf counts n-grams.
var TfIdf = op.Def{
	Name: "tfidf",
	Doc:  "y[..., ngram_indexes[g]] = how often n-gram g of the pool occurs in x, with up to max_skip_count items left out between neighbours; mode IDF: its weight if it does; TFIDF: both multiplied.",
	From: []op.Source{{Op: "TfIdfVectorizer", Since: []int{9}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: strings1 | op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "max_gram_length", Kind: attr.Int, Required: true}, {Name: "max_skip_count", Kind: attr.Int, Required: true},
			{Name: "min_gram_length", Kind: attr.Int, Required: true}, {Name: "mode", Kind: attr.Str, Required: true},
			{Name: "ngram_counts", Kind: attr.Ints, Required: true}, {Name: "ngram_indexes", Kind: attr.Ints, Required: true},
			listAttr("pool_int64s", attr.Ints), listAttr("pool_strings", attr.Strs), listAttr("weights", attr.Floats)}},
	Infer: func(c *op.Infer) error {
		if m := c.Str("mode"); m != "TF" && m != "IDF" && m != "TFIDF" {
			return fmt.Errorf("mode: want TF, IDF or TFIDF, got %q", m)
		}
		if r := c.Rank(0); r < 1 || r > 2 {
			return fmt.Errorf("x of rank %d, want 1 or 2", r)
		}
		columns := int64(0)
		for _, i := range c.Ints("ngram_indexes") {
			if i < 0 || i >= 1<<31 {
				return fmt.Errorf("ngram_indexes: %d", i)
			}
			columns = max(columns, i+1)
		}
		c.Set(0, dtype.F32, append(append([]dim.Expr(nil), c.Shape(0)[:c.Rank(0)-1]...), dim.Const(columns)))
		return nil
	},
	Host: text.TfIdf,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		grams := func(mode string, pool attr.Value, name string) attr.List {
			return named("max_gram_length", 2, "min_gram_length", 1, "max_skip_count", 1, "mode", mode, "ngram_counts", []int64{0, 2}, "ngram_indexes", []int64{0, 3, 1},
				name, pool, "weights", attr.OfFloats([]float64{1, 0.5, 2}))
		}
		nums := attr.OfInts([]int64{0, 1, 1, 0})
		c.Elem(dtype.I64).Range(0, 1.9).With(grams("TF", nums, "pool_int64s"), grams("IDF", nums, "pool_int64s"), grams("TFIDF", nums, "pool_int64s")).Shapes("[B, 6]").Shapes("[6]").Shapes("[0]")
		c.Elem(dtype.String).With(grams("TF", attr.OfStrs([]string{"s0", "s1", "s1", "s0"}), "pool_strings")).Shapes("[B, 6]")
	},
}
