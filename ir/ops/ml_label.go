package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/ml"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

var keyTypes = op.Set(dtype.String, dtype.I16, dtype.I32, dtype.I64, dtype.F32, dtype.F64)

// Lookup maps elements by a table.
var Lookup = op.Def{
	Name: "lookup",
	Doc:  "y[i] = values[k] where keys[k] = x[i] (the last such k; NaN equals NaN), else the element of other.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: keyTypes}, {Name: "keys", Elem: keyTypes}, {Name: "values", Elem: keyTypes}, {Name: "other", Elem: keyTypes}},
		Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1); err != nil {
			return err
		}
		if err := c.SameElem(2, 3); err != nil {
			return err
		}
		if c.Rank(1) != 1 || c.Rank(2) != 1 {
			return fmt.Errorf("keys of shape %v, values of shape %v", c.Shape(1), c.Shape(2))
		}
		c.Set(0, c.Elem(2), c.Shape(0))
		return c.Guard(c.Shape(1)[0], c.Shape(2)[0], "keys and values")
	},
	Host: ml.Lookup,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.I64, dtype.I64, dtype.F32, dtype.F32).Range(0, 3).Shapes("[B, 3]", "[2]", "[2]", "[]").Elem(dtype.String, dtype.String, dtype.I64, dtype.I64).Shapes("[5]", "[3]", "[3]", "[1]")
		c.Elem(dtype.F32, dtype.F32, dtype.String, dtype.String).Shapes("[]", "[0]", "[0]", "[]")
	},
}

// OneHotEncode marks the category of each element.
var OneHotEncode = op.Def{
	Name: "one_hot_encode",
	Doc:  "y[..., k] = 1 where x[...], cut to an integer, is category k, else 0; with zeros 0 an element of no category is an error.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: keyTypes | op.Float}, {Name: "categories", Elem: op.Set(dtype.String, dtype.I64)}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{boolAttr("zeros", true)}},
	Infer: func(c *op.Infer) error {
		if (c.Elem(0) == dtype.String) != (c.Elem(1) == dtype.String) || c.Rank(1) != 1 {
			return fmt.Errorf("categories %v for %v", c.In(1).Type, c.In(0).Type)
		}
		c.Set(0, dtype.F32, append(append([]dim.Expr(nil), c.Shape(0)...), c.Shape(1)[0]))
		return nil
	},
	Host: ml.OneHot,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).Range(0, 3).Shapes("[B, 3]", "[2]").Elem(dtype.String, dtype.String).Shapes("[4]", "[2]").Elem(dtype.I64, dtype.I64).Shapes("[]", "[3]")
	},
}

// DictVectorize lays a map out.
var DictVectorize = op.Def{
	Name: "dict_vectorize",
	Doc:  "y[0, k] = the value of x at key vocabulary[k], or 0.",
	Sig:  op.Sig{In: []op.Arg{anyKind, {Name: "vocabulary", Elem: op.Set(dtype.String, dtype.I64)}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		of, err := boxOf(c.Node, 0, ir.Map)
		if err != nil {
			return err
		}
		if of.Kind != ir.Tensor || c.In(0).Type.Key != c.Elem(1) || c.Rank(1) != 1 {
			return fmt.Errorf("vocabulary %v for %v", c.In(1).Type, c.In(0).Type)
		}
		c.Set(0, of.Elem, []dim.Expr{dim.Const(1), c.Shape(1)[0]})
		return nil
	},
	Host:  ml.Vectorize,
	VJP:   boxedVJP,
	Cases: func(c *op.Cases) { c.Elem(dtype.F32, dtype.String).Shapes("map(string, [])", "[3]") },
}

// CastMap lists the values of a map.
var CastMap = op.Def{
	Name: "cast_map",
	Doc:  "y[0, k] = the value of the k-th smallest key of x; with form SPARSE that of key k, for k < size.",
	Sig: op.Sig{In: []op.Arg{anyKind}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "to", Kind: attr.Elem, Required: true}, strAttr("form", "DENSE"), intAttr("size", 1)}},
	Infer: func(c *op.Infer) error {
		of, err := boxOf(c.Node, 0, ir.Map)
		if err != nil {
			return err
		}
		if of.Kind != ir.Tensor || !c.In(0).Type.Key.IsInt() {
			return fmt.Errorf("want a map from integers, got %v", c.In(0).Type)
		}
		n := c.Int("size")
		switch form := c.Str("form"); {
		case form == "SPARSE" && n >= 1 && n < 1<<31:
			c.Set(0, c.N.Attrs.Elem("to"), dim.Consts([]int{1, int(n)}))
		case form == "DENSE":
			c.Set(0, c.N.Attrs.Elem("to"), []dim.Expr{dim.Const(1), c.Late(0, 1, unbounded)})
		default:
			return fmt.Errorf("form %q of size %d", form, n)
		}
		return nil
	},
	Host: ml.CastMap,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.With(named("to", dtype.F32), named("to", dtype.I64, "form", "SPARSE", "size", 4), named("to", dtype.String)).Shapes("map(i64, [])")
	},
}

// ZipMap names the columns of a matrix.
var ZipMap = op.Def{
	Name: "zip_map",
	Doc:  "y = a sequence of maps: for each row of x its elements by the labels of ints or strs.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Set(dtype.F32, dtype.F64)}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{listAttr("ints", attr.Ints), listAttr("strs", attr.Strs)}},
	Infer: func(c *op.Infer) error {
		if _, err := matrixRows(c.Node); err != nil {
			return err
		}
		key, n := dtype.I64, len(c.Ints("ints"))
		if s := c.N.Attrs.Strs("strs"); len(s) > 0 {
			if n > 0 {
				return fmt.Errorf("labels of both types")
			}
			key, n = dtype.String, len(s)
		}
		of := ir.TensorType(c.Elem(0))
		row := ir.Type{Kind: ir.Map, Key: key, Of: &of}
		c.SetType(0, ir.Type{Kind: ir.Sequence, Of: &row})
		return c.Guard(c.Shape(0)[c.Rank(0)-1], dim.Const(int64(n)), "labels and columns")
	},
	Host: ml.ZipMap,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.With(named("ints", []int64{4, 2}), named("strs", attr.OfStrs([]string{"a", "b"}))).Shapes("[B, 2]").Shapes("[2]")
	},
}

func labelSpellings() []op.Source {
	ml := func(name string, f func(*op.Import) ([]*ir.Value, error), since ...int) op.Source {
		return op.Source{Domain: mlDomain, Op: name, Since: since, Import: f}
	}
	return []op.Source{
		ml("LabelEncoder", importLabelEncoder1, 1), ml("LabelEncoder", importLabelEncoder, 2, 4),
		ml("CategoryMapper", importCategoryMapper, 1), ml("OneHotEncoder", importOneHotEncoder, 1),
		ml("DictVectorizer", importDictVectorizer, 1), ml("CastMap", importCastMap, 1), ml("ZipMap", importZipMap, 1),
	}
}

func strList(l []string) *tensor.Tensor {
	return &tensor.Tensor{Elem: dtype.String, Shape: []int{len(l)}, Str: l}
}

func intList64(l []int64) *tensor.Tensor { return tensor.Of(dtype.I64, l, len(l)) }

// lookup replaces operand 0 by tables.
func lookup(c *op.Import, keys, values, other *tensor.Tensor) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	if keys.Len() != values.Len() {
		return nil, fmt.Errorf("%d keys for %d values", keys.Len(), values.Len())
	}
	in := []*ir.Value{c.In(0)}
	for _, t := range []*tensor.Tensor{keys, values, other} {
		in = append(in, c.Builder.Const("", t))
	}
	return c.Do("lookup", in, nil)[:1], c.Err()
}

// importLabelEncoder1 numbers a list of strings.
func importLabelEncoder1(c *op.Import) ([]*ir.Value, error) {
	a, _ := modelAttr(c, "classes_strings", attr.Strs)
	n := make([]int64, len(a.Strs))
	for i := range n {
		n[i] = int64(i)
	}
	return eitherWay(c, a.Strs, n)
}

func importCategoryMapper(c *op.Import) ([]*ir.Value, error) {
	s, _ := modelAttr(c, "cats_strings", attr.Strs)
	return eitherWay(c, s.Strs, modelInts(c, "cats_int64s"))
}

// eitherWay turns strings into integers, or integers into strings.
func eitherWay(c *op.Import, strs []string, nums []int64) ([]*ir.Value, error) {
	if c.Has(0) && c.In(0).Type.Elem == dtype.String {
		return lookup(c, strList(strs), intList64(nums), intList64([]int64{modelInt(c, "default_int64", -1)}))
	}
	return lookup(c, intList64(nums), strList(strs), strList([]string{modelStr(c, "default_string", "_Unused")}))
}

// typedList reads the one attribute of prefix_strings, _int64s, _floats and _tensor that is given.
func typedList(c *op.Import, prefix string) (*tensor.Tensor, error) {
	var l []*tensor.Tensor
	if a, ok := modelAttr(c, prefix+"_strings", attr.Strs); ok {
		l = append(l, strList(a.Strs))
	}
	if a, ok := modelAttr(c, prefix+"_int64s", attr.Ints); ok {
		l = append(l, intList64(a.Ints))
	}
	if a, ok := modelAttr(c, prefix+"_floats", attr.Floats); ok {
		t := tensor.New(dtype.F32, len(a.Floats))
		for i, v := range a.Floats {
			t.SetFloat(i, v)
		}
		l = append(l, t)
	}
	if t, err := c.Model.Tensor(prefix + "_tensor"); err != nil {
		return nil, err
	} else if t != nil {
		l = append(l, t)
	}
	if len(l) != 1 || len(l[0].Shape) != 1 {
		return nil, fmt.Errorf("want one list of the attributes %s_*, got %d", prefix, len(l))
	}
	return l[0], nil
}

func importLabelEncoder(c *op.Import) ([]*ir.Value, error) {
	keys, err := typedList(c, "keys")
	if err != nil {
		return nil, err
	}
	values, err := typedList(c, "values")
	if err != nil {
		return nil, err
	}
	if c.Version < 4 { // of equal keys the first counts
		keys, values = reversed(keys), reversed(values)
	}
	other, err := c.Model.Tensor("default_tensor")
	if err != nil {
		return nil, err
	}
	if other == nil {
		other = tensor.New(values.Elem)
		switch {
		case values.Elem == dtype.String:
			other.Str[0] = modelStr(c, "default_string", "_Unused")
		case values.Elem.IsFloat():
			other.SetFloat(0, modelFloat(c, "default_float", math.Copysign(0, -1)))
		case values.Elem.IsInt():
			other.SetInt(0, modelInt(c, "default_int64", -1))
		}
	}
	if other.Len() != 1 {
		return nil, fmt.Errorf("default_tensor of shape %v", other.Shape)
	}
	return lookup(c, keys, values, other)
}

func reversed(t *tensor.Tensor) *tensor.Tensor {
	r := tensor.New(t.Elem, t.Shape...)
	for i, n := 0, t.Len(); i < n; i++ {
		host.CopyElem(r, i, t, n-1-i)
	}
	return r
}

func importOneHotEncoder(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	cats := intList64(modelInts(c, "cats_int64s"))
	if s, ok := modelAttr(c, "cats_strings", attr.Strs); ok && len(s.Strs) > 0 {
		if cats.Len() > 0 {
			return nil, fmt.Errorf("both cats_int64s and cats_strings are given")
		}
		cats = strList(s.Strs)
	}
	if cats.Len() == 0 {
		return nil, fmt.Errorf("want cats_int64s or cats_strings")
	}
	return c.Do("one_hot_encode", []*ir.Value{c.In(0), c.Builder.Const("", cats)}, named("zeros", modelInt(c, "zeros", 1) != 0))[:1], c.Err()
}

func importDictVectorizer(c *op.Import) ([]*ir.Value, error) {
	words := intList64(modelInts(c, "int64_vocabulary"))
	if s, ok := modelAttr(c, "string_vocabulary", attr.Strs); ok && len(s.Strs) > 0 {
		words = strList(s.Strs)
	}
	return c.Do("dict_vectorize", []*ir.Value{c.In(0), c.Builder.Const("", words)}, nil)[:1], c.Err()
}

func importCastMap(c *op.Import) ([]*ir.Value, error) {
	to, ok := map[string]dtype.Type{"TO_FLOAT": dtype.F32, "TO_STRING": dtype.String, "TO_INT64": dtype.I64}[modelStr(c, "cast_to", "TO_FLOAT")]
	if !ok {
		return nil, fmt.Errorf("cast_to: %q", modelStr(c, "cast_to", ""))
	}
	return c.Do("cast_map", c.N.In, named("to", to, "form", modelStr(c, "map_form", "DENSE"), "size", modelInt(c, "max_map", 1)))[:1], c.Err()
}

func importZipMap(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	names, err := labels(c, "classlabels_int64s")
	if err != nil {
		return nil, err
	}
	l := named("ints", names.I64())
	if names.Elem == dtype.String {
		l = named("strs", attr.OfStrs(names.Str))
	}
	return c.Do("zip_map", []*ir.Value{c.In(0)}, l)[:1], c.Err()
}
