package ops

import (
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/ml"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// The operators of domain ai.onnx.ml: https://onnx.ai/onnx/operators. What is arithmetic on tensors becomes that;
// classifiers give the position of a class, and labels are gathered by it.

const mlDomain = "ai.onnx.ml"

func mlDefs() []*op.Def {
	return []*op.Def{&ScoreTransform, &TreeEnsemble, &TreeClassifier, &Lookup, &OneHotEncode, &DictVectorize, &CastMap, &ZipMap,
		&LinearClassifier, &SVMRegressor, &SVMClassifier}
}

func mlSpellings() []op.Source {
	l := append(treeSpellings(), labelSpellings()...)
	return append(append(l, linearSpellingsML()...), numericSpellings()...)
}

// features is what the operators take as features.
var features = op.Float | op.Set(dtype.I32, dtype.I64)

func checkTransform(how string) error {
	if !slices.Contains(ml.Transforms, how) {
		return fmt.Errorf("post_transform: want one of %v, got %q", ml.Transforms, how)
	}
	return nil
}

// ScoreTransform is the last step of models with scores.
var ScoreTransform = op.Def{
	Name: "score_transform",
	Doc:  "y = each row of x after how: LOGISTIC; SOFTMAX; SOFTMAX_ZERO, which leaves zeros near zero; PROBIT, the quantile of the normal distribution.",
	Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "how", Kind: attr.Str, Required: true}}},
	Infer: func(c *op.Infer) error {
		if _, err := matrixRows(c.Node); err != nil {
			return err
		}
		c.Set(0, c.Elem(0), c.Shape(0))
		return checkTransform(c.Str("how"))
	},
	Host: ml.Transform,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		for _, how := range ml.Transforms {
			c.With(named("how", how)).Shapes("[B, 3]")
		}
	},
}

// labels reads the class labels of a classifier, integers or strings, as a constant.
func labels(c *op.Import, ints string) (*tensor.Tensor, error) {
	n, okN := modelAttr(c, ints, attr.Ints)
	s, okS := modelAttr(c, "classlabels_strings", attr.Strs)
	switch {
	case okS && len(s.Strs) > 0 && okN && len(n.Ints) > 0:
		return nil, fmt.Errorf("both %s and classlabels_strings are given", ints)
	case okS && len(s.Strs) > 0:
		return &tensor.Tensor{Elem: dtype.String, Shape: []int{len(s.Strs)}, Str: s.Strs}, nil
	case okN && len(n.Ints) > 0:
		return tensor.Of(dtype.I64, n.Ints, len(n.Ints)), nil
	}
	return nil, fmt.Errorf("want %s or classlabels_strings", ints)
}

// gatherLabels gathers the labels of classes.
func gatherLabels(c *op.Import, l *tensor.Tensor, class *ir.Value) *ir.Value {
	if c.Err() != nil {
		return nil
	}
	return c.CallWith("gather", named("axis", 0), c.Builder.Const("labels", l), class)
}

// modelFloats reads an attribute, or the tensor of the name with the suffix _as_tensor.
func modelFloats(c *op.Import, name string) ([]float64, bool, error) {
	t, err := c.Model.Tensor(name + "_as_tensor")
	if err != nil {
		return nil, false, err
	}
	a, ok := modelAttr(c, name, attr.Floats)
	if t == nil {
		return a.Floats, ok, nil
	}
	if ok {
		return nil, false, fmt.Errorf("both %s and %s_as_tensor are given", name, name)
	}
	l, err := floatList(t, name)
	return l, true, err
}

func floatList(t *tensor.Tensor, name string) ([]float64, error) {
	if !t.Elem.IsFloat() {
		return nil, fmt.Errorf("%s of type %v", name, t.Elem)
	}
	l := make([]float64, t.Len())
	for i := range l {
		l[i] = t.Float(i)
	}
	return l, nil
}
