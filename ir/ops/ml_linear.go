package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/ml"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

var floats64 = op.Set(dtype.F64)

// LinearClassifier scores rows by products.
var LinearClassifier = op.Def{
	Name: "linear_classifier",
	Doc:  "scores = post_transform(x . coefficients^T + intercepts), class = the position of the largest score before it; one row of coefficients for two classes: the score of the second class, that of the first follows.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: features}, {Name: "coefficients", Elem: floats64}, {Name: "intercepts", Elem: floats64}},
		Out: []op.Arg{{Name: "class"}, {Name: "scores"}}, Attrs: []op.Attr{{Name: "classes", Kind: attr.Int, Required: true}, strAttr("post_transform", "NONE")}},
	Infer: func(c *op.Infer) error {
		rows, err := machineRows(c)
		if err != nil {
			return err
		}
		n, ok := c.Shape(1)[0].Int()
		if !ok || n < 1 || c.Rank(2) != 1 {
			return fmt.Errorf("coefficients of shape %v, intercepts of shape %v", c.Shape(1), c.Shape(2))
		}
		c.Set(0, dtype.I64, []dim.Expr{rows})
		c.Set(1, dtype.F32, []dim.Expr{rows, dim.Const(max(n, min(c.Int("classes"), 2)))})
		return c.Guard(c.Shape(1)[0], c.Shape(2)[0], "coefficients and intercepts")
	},
	Host: ml.Linear,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		for _, how := range ml.Transforms {
			c.Elem(dtype.F32, dtype.F64).With(named("classes", 3, "post_transform", how)).Shapes("[B, 4]", "[3, 4]", "[3]").With(named("classes", 2, "post_transform", how)).Shapes("[4]", "[1, 4]", "[1]")
		}
	},
}

// machineRows checks x against the matrix of operand 1 and gives the number of rows.
func machineRows(c *op.Infer) (dim.Expr, error) {
	if err := checkTransform(c.Str("post_transform")); err != nil {
		return dim.Expr{}, err
	}
	rows, err := matrixRows(c.Node)
	if err != nil {
		return rows, err
	}
	if c.Rank(1) != 2 {
		return rows, fmt.Errorf("coefficients of shape %v, want [n, F]", c.Shape(1))
	}
	return rows, c.Guard(c.Shape(0)[c.Rank(0)-1], c.Shape(1)[1], "number of features")
}

func kernelAttrs() []op.Attr {
	return []op.Attr{strAttr("kernel", "LINEAR"), listAttr("params", attr.Floats), strAttr("post_transform", "NONE")}
}

func checkKernel(c *op.Infer) error {
	switch k := c.Str("kernel"); k {
	case "LINEAR", "POLY", "RBF", "SIGMOID":
	default:
		return fmt.Errorf("kernel: want LINEAR, POLY, RBF or SIGMOID, got %q", k)
	}
	if n := len(c.N.Attrs.Floats("params")); n != 3 && (n != 0 || c.Str("kernel") != "LINEAR") {
		return fmt.Errorf("kernel parameters: want 3, got %d", n)
	}
	return nil
}

// SVMRegressor adds up kernels.
var SVMRegressor = op.Def{
	Name: "svm_regressor",
	Doc:  "y[n] = rho + the sum over i of coefficients[i] * kernel(x[n], vectors[i]), or rho + kernel(x[n], vectors[0]) without coefficients; with one_class 1 where that is more than 0, else -1.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: features}, {Name: "vectors", Elem: floats64}, {Name: "coefficients", Elem: floats64, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: append(kernelAttrs(), floatAttr("rho", 0), boolAttr("one_class", false))},
	Infer: func(c *op.Infer) error {
		if err := checkKernel(c); err != nil {
			return err
		}
		rows, err := machineRows(c)
		c.Set(0, dtype.F32, []dim.Expr{rows, dim.Const(1)})
		return err
	},
	Host: ml.SVMRegressor,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		params := attr.OfFloats([]float64{0.5, 0.25, 2})
		for _, k := range []string{"LINEAR", "POLY", "RBF", "SIGMOID"} {
			c.Elem(dtype.F32, dtype.F64).With(named("kernel", k, "params", params, "rho", 0.5)).Shapes("[B, 4]", "[3, 4]", "[3]").Shapes("[4]", "[1, 4]")
		}
	},
}

// SVMClassifier lets machines for pairs of classes vote.
var SVMClassifier = op.Def{
	Name: "svm_classifier",
	Doc:  "machine (i, j) = rho + the sums over the vectors of classes i and j of coefficient * kernel(x, vector); class = that with most votes; scores: the machines', or probabilities by prob_a and prob_b; without counts of vectors those of products.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: features}, {Name: "vectors", Elem: floats64}, {Name: "coefficients", Elem: floats64, Optional: true}},
		Out: []op.Arg{{Name: "class"}, {Name: "scores"}},
		Attrs: append(kernelAttrs(), op.Attr{Name: "classes", Kind: attr.Int, Required: true}, listAttr("counts", attr.Ints), listAttr("rho", attr.Floats),
			listAttr("prob_a", attr.Floats), listAttr("prob_b", attr.Floats))},
	Infer: func(c *op.Infer) error {
		if err := checkKernel(c); err != nil {
			return err
		}
		rows, err := machineRows(c)
		if err != nil {
			return err
		}
		n := c.Int("classes")
		if n < 1 || n > ml.MaxClasses {
			return fmt.Errorf("%d classes", n)
		}
		if len(c.Ints("counts")) > 0 && len(c.N.Attrs.Floats("prob_a")) == 0 && n > 2 {
			n = n * (n - 1) / 2
		}
		c.Set(0, dtype.I64, []dim.Expr{rows})
		c.Set(1, dtype.F32, []dim.Expr{rows, dim.Const(n)})
		return nil
	},
	Host: ml.SVMClassifier,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		three, one := attr.OfFloats([]float64{0.5, -0.25, 0}), attr.OfFloats([]float64{0.5})
		c.Elem(dtype.F32, dtype.F64).With(named("classes", 3, "counts", []int64{1, 2, 1}, "rho", three), named("classes", 3, "counts", []int64{1, 2, 1}, "rho", three, "prob_a", three, "prob_b", three)).
			Shapes("[B, 2]", "[4, 2]", "[8]").With(named("classes", 3, "rho", one, "post_transform", "SOFTMAX")).Shapes("[B, 2]", "[3, 2]")
	},
}

func linearSpellingsML() []op.Source {
	ml := func(name string, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Domain: mlDomain, Op: name, Since: []int{1}, Import: f}
	}
	return []op.Source{ml("LinearClassifier", importLinearClassifier), ml("LinearRegressor", importLinearRegressor),
		ml("SVMClassifier", importSVMClassifier), ml("SVMRegressor", importSVMRegressor)}
}

func floatsOf(c *op.Import, name string) []float64 {
	a, _ := modelAttr(c, name, attr.Floats)
	return a.Floats
}

// rowsOf is a list as a matrix of n rows.
func rowsOf(l []float64, n int, what string) (*tensor.Tensor, error) {
	if n < 1 || len(l) == 0 || len(l)%n != 0 {
		return nil, fmt.Errorf("%s: %d numbers for %d rows", what, len(l), n)
	}
	return tensor.Of(dtype.F64, l, n, len(l)/n), nil
}

// intercepts are n numbers, zeros where the model has none.
func intercepts(c *op.Import, n int) ([]float64, error) {
	b := floatsOf(c, "intercepts")
	if len(b) == 0 {
		return make([]float64, n), nil
	}
	if len(b) != n {
		return nil, fmt.Errorf("intercepts: want %d, got %d", n, len(b))
	}
	return b, nil
}

func importLinearClassifier(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	names, err := labels(c, "classlabels_ints")
	if err != nil {
		return nil, err
	}
	n := len(floatsOf(c, "intercepts"))
	if n == 0 {
		n = names.Len()
	}
	if n != names.Len() && (n != 1 || names.Len() != 2) {
		return nil, fmt.Errorf("%d intercepts for %d classes", n, names.Len())
	}
	w, err := rowsOf(floatsOf(c, "coefficients"), n, "coefficients")
	if err != nil {
		return nil, err
	}
	b, err := intercepts(c, n)
	if err != nil {
		return nil, err
	}
	in := []*ir.Value{c.In(0), c.Builder.Const("", w), c.Builder.Const("", tensor.Of(dtype.F64, b, n))}
	out := c.Do("linear_classifier", in, named("classes", names.Len(), "post_transform", modelStr(c, "post_transform", "NONE")))
	return []*ir.Value{gatherLabels(c, names, out[0]), out[1]}, c.Err()
}

// importLinearRegressor is a product in the type of x.
func importLinearRegressor(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	n := int(modelInt(c, "targets", 1))
	w, err := rowsOf(floatsOf(c, "coefficients"), n, "coefficients")
	if err != nil {
		return nil, err
	}
	b, err := intercepts(c, n)
	if err != nil {
		return nil, err
	}
	x := wide(c, asMatrix(c, c.In(0)))
	if c.Err() != nil {
		return nil, c.Err()
	}
	t := x.Type.Elem
	y := c.Call("matmul", x, c.Transpose(c.Cast(c.Builder.Const("", w), t), []int{1, 0}))
	y = c.Cast(c.Call("add", y, c.Cast(c.Builder.Const("", tensor.Of(dtype.F64, b, n)), t)), dtype.F32)
	switch how := modelStr(c, "post_transform", "NONE"); how {
	case "NONE":
	case "LOGISTIC":
		y = c.Call("sigmoid", y)
	case "SOFTMAX":
		y = c.CallWith("softmax", named("axis", 1), y)
	default:
		y = c.CallWith("score_transform", named("how", how), y)
	}
	return []*ir.Value{y}, c.Err()
}

func svmAttrs(c *op.Import) attr.List {
	l := named("kernel", modelStr(c, "kernel_type", "LINEAR"), "post_transform", modelStr(c, "post_transform", "NONE"))
	if p := floatsOf(c, "kernel_params"); len(p) > 0 {
		l = l.Set("params", attr.OfFloats(p))
	}
	return l
}

func importSVMRegressor(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	l := append(svmAttrs(c), named("one_class", modelInt(c, "one_class", 0) != 0)...)
	if rho := floatsOf(c, "rho"); len(rho) > 0 {
		l = l.Set("rho", attr.OfFloat(rho[0]))
	}
	in := []*ir.Value{c.In(0)}
	coef := floatsOf(c, "coefficients")
	if n := int(modelInt(c, "n_supports", 0)); n > 0 {
		v, err := rowsOf(floatsOf(c, "support_vectors"), n, "support_vectors")
		if err != nil {
			return nil, err
		}
		if len(coef) != n {
			return nil, fmt.Errorf("coefficients: want %d, got %d", n, len(coef))
		}
		in = append(in, c.Builder.Const("", v), c.Builder.Const("", tensor.Of(dtype.F64, coef, n)))
	} else {
		v, err := rowsOf(coef, 1, "coefficients")
		if err != nil {
			return nil, err
		}
		in = append(in, c.Builder.Const("", v))
		l = l.Set("kernel", attr.OfStr("LINEAR"))
	}
	return c.Do("svm_regressor", in, l)[:1], c.Err()
}

func importSVMClassifier(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	names, err := labels(c, "classlabels_ints")
	if err != nil {
		return nil, err
	}
	l := append(svmAttrs(c), named("classes", names.Len(), "rho", attr.OfFloats(floatsOf(c, "rho")))...)
	in := []*ir.Value{c.In(0)}
	coef := floatsOf(c, "coefficients")
	counts := modelInts(c, "vectors_per_class")
	if len(counts) == 0 {
		v, err := rowsOf(coef, names.Len(), "coefficients")
		if err != nil {
			return nil, err
		}
		in = append(in, c.Builder.Const("", v))
		l = l.Set("kernel", attr.OfStr("LINEAR"))
	} else {
		n := 0
		for _, k := range counts {
			if k < 0 || k > 1<<31 {
				return nil, fmt.Errorf("vectors_per_class: %v", counts)
			}
			n += int(k)
		}
		v, err := rowsOf(floatsOf(c, "support_vectors"), n, "support_vectors")
		if err != nil {
			return nil, err
		}
		in = append(in, c.Builder.Const("", v), c.Builder.Const("", tensor.Of(dtype.F64, coef, len(coef))))
		l = append(l, named("counts", counts)...)
		if a := floatsOf(c, "prob_a"); len(a) > 0 {
			l = append(l, named("prob_a", attr.OfFloats(a), "prob_b", attr.OfFloats(floatsOf(c, "prob_b")))...)
		}
	}
	out := c.Do("svm_classifier", in, l)
	return []*ir.Value{gatherLabels(c, names, out[0]), out[1]}, c.Err()
}
