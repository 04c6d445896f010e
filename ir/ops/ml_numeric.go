package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// numericSpellings are the operators of domain ai.onnx.ml that are arithmetic.
func numericSpellings() []op.Source {
	ml := func(name string, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Domain: mlDomain, Op: name, Since: []int{1}, Import: f}
	}
	return []op.Source{ml("Binarizer", importBinarizer), ml("Scaler", importScaler), ml("Normalizer", importNormalizer), ml("Imputer", importImputer),
		ml("FeatureVectorizer", importFeatureVectorizer), ml("ArrayFeatureExtractor", importArrayFeatureExtractor)}
}

// wide converts what is no float32 to float64, which holds the other types of features.
func wide(c *op.Import, x *ir.Value) *ir.Value {
	if c.Err() != nil || x.Type.Elem == dtype.F32 {
		return x
	}
	return c.Cast(x, dtype.F64)
}

// asMatrix makes one row of a list.
func asMatrix(c *op.Import, x *ir.Value) *ir.Value {
	if x.Rank() != 1 {
		return x
	}
	return c.Reshape(x, []dim.Expr{dim.Const(1), x.Type.Shape[0]})
}

// perFeature is a list of numbers as a constant of type t: one for all features, or one each.
func perFeature(c *op.Import, l []float64, t dtype.Type, x *ir.Value, what string) (*ir.Value, error) {
	if len(l) != 1 {
		if x.Rank() == 0 {
			return nil, fmt.Errorf("%s: %d numbers for a scalar", what, len(l))
		}
		last := x.Type.Shape[x.Rank()-1]
		if c.Builder.M.Dims.Prove(last, dim.Ne, dim.Const(int64(len(l)))) == dim.Yes {
			return nil, fmt.Errorf("%s: %d numbers for %v features", what, len(l), last)
		}
	}
	k := tensor.New(t, len(l))
	for i, v := range l {
		k.SetFloat(i, v)
	}
	return c.Builder.Const("", k), nil
}

// importBinarizer: 1 where x exceeds a threshold.
func importBinarizer(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	x := wide(c, c.In(0))
	y := c.Cast(c.Call("greater", x, c.Like(x, modelFloat(c, "threshold", 0))), c.In(0).Type.Elem)
	return []*ir.Value{y}, c.Err()
}

// importScaler: (x - offset) * scale.
func importScaler(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	y := wide(c, c.In(0))
	for _, s := range []struct{ name, op string }{{"offset", "sub"}, {"scale", "mul"}} {
		l := floatsOf(c, s.name)
		if len(l) == 0 || c.Err() != nil {
			continue
		}
		k, err := perFeature(c, l, y.Type.Elem, y, s.name)
		if err != nil {
			return nil, err
		}
		y = c.Call(s.op, y, k)
	}
	return []*ir.Value{c.Cast(y, dtype.F32)}, c.Err()
}

// importNormalizer divides every row by its largest number, the sum of magnitudes, or the root of the sum of squares.
func importNormalizer(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	x := wide(c, c.In(0))
	if c.Err() != nil || x.Rank() < 1 {
		return nil, fmt.Errorf("x of type %v: %w", c.In(0).Type, c.Err())
	}
	axis := x.Rank() - 1
	var d *ir.Value
	switch norm := modelStr(c, "norm", "MAX"); norm {
	case "MAX":
		d = c.Reduce("max", x, axis)
	case "L1":
		d = c.Reduce("sum", c.Call("abs", x), axis)
	case "L2":
		d = c.Call("sqrt", c.Reduce("sum", c.Call("mul", x, x), axis))
	default:
		return nil, fmt.Errorf("norm: want MAX, L1 or L2, got %q", norm)
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	one := c.Like(x, 1)
	d = c.Call("where", c.Call("equal", d, c.Like(x, 0)), one, d)
	return []*ir.Value{c.Cast(c.Call("div", x, d), dtype.F32)}, c.Err()
}

// importImputer replaces one number, which may be NaN.
func importImputer(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	x := c.In(0)
	var put []float64
	var hit *ir.Value
	if x.Type.Elem.IsFloat() {
		put = floatsOf(c, "imputed_value_floats")
		if v := modelFloat(c, "replaced_value_float", 0); math.IsNaN(v) {
			hit = c.Call("isnan", x)
		} else {
			hit = c.Call("equal", x, c.Like(x, v))
		}
	} else {
		for _, v := range modelInts(c, "imputed_value_int64s") {
			put = append(put, float64(v))
		}
		k := tensor.New(x.Type.Elem)
		k.SetInt(0, modelInt(c, "replaced_value_int64", 0))
		hit = c.Call("equal", x, c.Builder.Const("", k))
	}
	if len(put) == 0 {
		return nil, fmt.Errorf("imputed values of type %v are missing", x.Type.Elem)
	}
	k, err := perFeature(c, put, x.Type.Elem, x, "imputed values")
	if err != nil {
		return nil, err
	}
	return []*ir.Value{c.Call("where", hit, k, x)}, c.Err()
}

// importFeatureVectorizer joins rows.
func importFeatureVectorizer(c *op.Import) ([]*ir.Value, error) {
	sizes, given := modelAttr(c, "inputdimensions", attr.Ints)
	if given && len(sizes.Ints) != c.NumIn() {
		return nil, fmt.Errorf("inputdimensions: want %d, got %d", c.NumIn(), len(sizes.Ints))
	}
	if err := tensors(c, c.NumIn(), c.NumIn()); err != nil {
		return nil, err
	}
	var parts []*ir.Value
	for i, v := range c.N.In {
		x := c.Cast(asMatrix(c, v), dtype.F32)
		if c.Err() != nil {
			return nil, c.Err()
		}
		if x.Rank() != 2 {
			return nil, fmt.Errorf("operand %d: want [N, C], got %v", i, v.Type)
		}
		if given && !c.Builder.M.Dims.Guard(x.Type.Shape[1], dim.Const(sizes.Ints[i]), false, "inputdimensions") {
			return nil, fmt.Errorf("operand %d has %v columns, inputdimensions says %d", i, x.Type.Shape[1], sizes.Ints[i])
		}
		parts = append(parts, x)
	}
	return c.Do("concat", parts, named("axis", 1))[:1], c.Err()
}

// importArrayFeatureExtractor picks along the last axis.
func importArrayFeatureExtractor(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	x, at := asMatrix(c, c.In(0)), c.In(1)
	if c.Err() != nil {
		return nil, c.Err()
	}
	at = c.Reshape(at, []dim.Expr{dim.Product(at.Type.Shape)})
	return []*ir.Value{c.CallWith("gather", named("axis", x.Rank()-1), x, at)}, c.Err()
}
