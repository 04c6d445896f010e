package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/index"
	"github.com/llmc-go/llmc/ir/op"
)

// pickDefs are operators that pick elements by their values or by conditions.
func pickDefs() []*op.Def {
	return []*op.Def{&TopK, &NonZero, &OneHot, &CumSum, &Compress, &NonMaxSuppression}
}

// TopK is the largest elements along an axis.
var TopK = op.Def{
	Name: "topk",
	Doc:  "the k largest (largest 0: smallest) elements of x along axis in order, and their positions; of equal elements the earlier one comes first.",
	From: []op.Source{{Op: "TopK", Since: []int{1}, Import: func(c *op.Import) ([]*ir.Value, error) {
		return c.Do("topk", []*ir.Value{c.In(0), c.Builder.Ints(modelInt(c, "k", 1))}, named("axis", modelInt(c, "axis", -1))), c.Err()
	}}, {Op: "TopK", Since: []int{10, 11, 24}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Number}, {Name: "k", Elem: i64Only}}, Out: []op.Arg{{Name: "values"}, {Name: "indices"}},
		Attrs: []op.Attr{intAttr("axis", -1), boolAttr("largest", true), boolAttr("sorted", true)}},
	Infer: func(c *op.Infer) error {
		axis, err := c.Axis("axis", c.Rank(0))
		if err != nil {
			return err
		}
		shape := append([]dim.Expr(nil), c.Shape(0)...)
		if k, ok := contents(c.Node, 1); ok && len(k) == 1 {
			if c.Scope().Prove(k[0], dim.Gt, shape[axis]) == dim.Yes {
				return fmt.Errorf("k: %v of %v elements", k[0], shape[axis])
			}
			shape[axis] = k[0]
		} else {
			shape[axis] = c.Late(0, axis, shape[axis])
		}
		c.Set(0, c.Elem(0), shape)
		c.Set(1, dtype.I64, shape)
		return nil
	},
	Host: index.TopK,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(named("axis", 1), named("axis", 0, "largest", false), named("axis", -1, "sorted", false))
		c.Elem(dtype.F32, dtype.I64).Range(1, 2.9).Shapes("[4, 5]", "[1]").Shapes("[4, B + 4]", "[1]").Elem(dtype.I32, dtype.I64).Shapes("[4, 5]", "[1]")
	},
}

// NonZero lists the positions of elements that are not zero.
var NonZero = op.Def{
	Name: "nonzero",
	Doc:  "y[:, j] is the position of the j-th element of x, in row-major order, that is not zero.",
	From: []op.Source{{Op: "NonZero", Since: []int{9, 13}, Import: importNonZero}},
	Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		n, ok := countNonZero(c.Node)
		if !ok {
			n = c.Late(0, 1, dim.Product(c.Shape(0)))
		}
		c.Set(0, dtype.I64, []dim.Expr{dim.Const(int64(c.Rank(0))), n})
		return nil
	},
	Host: index.NonZero,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.Bool).Shapes("[3, 4]").Shapes("[B, 3]").Elem(dtype.I64).Shapes("[5]").Elem(dtype.F32).Shapes("[2, 2, 2]")
	},
}

// countNonZero is the number of elements of operand 0 that are not zero, where it is a constant or one number
// everywhere.
func countNonZero(c op.Node) (dim.Expr, bool) {
	if t := c.Const(0); t != nil {
		return dim.Const(int64(index.CountNonZero(t))), true
	}
	if d := c.In(0).Def; d != nil && d.Op == "expand" {
		if t := c.M.ConstOf(d.In[0]); t != nil && t.Len() == 1 {
			return dim.Mul(dim.Product(c.Shape(0)), dim.Const(int64(index.CountNonZero(t)))), true
		}
	}
	return dim.Expr{}, false
}

// importNonZero: the positions of a vector of ones, which exporters use to count, are a range.
func importNonZero(c *op.Import) ([]*ir.Value, error) {
	x := c.In(0)
	if x != nil && x.Rank() == 1 {
		if n, ok := countNonZero(c.Node); ok && dim.Equal(n, x.Type.Shape[0]) {
			i64 := ir.TensorType(dtype.I64)
			limit := c.Builder.Dims(i64, []dim.Expr{n})
			y := c.Call("range", c.Scalar(dtype.I64, 0), limit, c.Scalar(dtype.I64, 1))
			return []*ir.Value{c.Reshape(y, []dim.Expr{dim.Const(1), n})}, c.Err()
		}
	}
	return []*ir.Value{c.Call("nonzero", x)}, c.Err()
}

// OneHot compares indices with positions along a new axis.
var OneHot = op.Def{
	Name: "one_hot",
	Doc:  "y[..., j, ...] = values[1] where indices[...] (mod depth, if in [-depth, depth)) = j, else values[0]; j runs over depth along axis.",
	From: []op.Source{{Op: "OneHot", Since: []int{9, 11, 28}}},
	Sig: op.Sig{In: []op.Arg{{Name: "indices", Elem: op.Number}, {Name: "depth", Elem: op.Number}, {Name: "values", Elem: op.Tensors}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("axis", -1)}},
	Infer: func(c *op.Infer) error {
		axis, err := c.Axis("axis", c.Rank(0)+1)
		if err != nil {
			return err
		}
		if c.Rank(2) != 1 {
			return fmt.Errorf("values: want two, got shape %v", c.Shape(2))
		}
		depth, ok := wholeNumber(c.Node, c.In(1))
		if !ok {
			depth = c.Late(0, axis, unbounded)
		}
		x := c.Shape(0)
		c.Set(0, c.Elem(2), append(append(append([]dim.Expr(nil), x[:axis]...), depth), x[axis:]...))
		return nil
	},
	Host: index.OneHot,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(named("axis", -1), named("axis", 0), named("axis", 1)).Elem(dtype.I64, dtype.I64, dtype.F32).Range(1, 4).Shapes("[2, 3]", "[]", "[2]").Shapes("[B, 3]", "[1]", "[2]")
		c.Elem(dtype.F32, dtype.F32, dtype.I8).Shapes("[2, 3]", "[]", "[2]")
	},
}

// wholeNumber is the known contents of a tensor of one element: of an integer one, of a float constant without a
// fraction, or of a float cast from either.
func wholeNumber(c op.Node, v *ir.Value) (dim.Expr, bool) {
	if v == nil || v.Type.Kind != ir.Tensor {
		return dim.Expr{}, false
	}
	if len(v.Elems) == 1 {
		return v.Elems[0], true
	}
	if t := c.M.ConstOf(v); t != nil && t.Len() == 1 && t.Elem.IsFloat() {
		f := t.Float(0)
		return dim.Const(int64(f)), f == float64(int64(f)) && f > -1<<52 && f < 1<<52
	}
	if v.Def != nil && v.Def.Op == "cast" && (v.Type.Elem == dtype.F32 || v.Type.Elem == dtype.F64) && len(v.Def.In[0].Elems) == 1 {
		return v.Def.In[0].Elems[0], true
	}
	return dim.Expr{}, false
}

// CumSum is a running sum.
var CumSum = op.Def{
	Name: "cumsum",
	Doc:  "y[i] = sum of x[j] for j <= i along axis (an operand); exclusive: j < i; reverse counts from the end.",
	From: []op.Source{{Op: "CumSum", Since: []int{11, 14}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Number}, {Name: "axis", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{boolAttr("exclusive", false), boolAttr("reverse", false)}},
	Infer: func(c *op.Infer) error {
		c.Set(0, c.Elem(0), c.Shape(0))
		if x, ok := contents(c.Node, 0); ok && c.Rank(0) == 1 {
			out, sum := make([]dim.Expr, len(x)), dim.Const(0)
			for i := range x {
				if c.Bool("reverse") {
					i = len(x) - 1 - i
				}
				next := dim.Add(sum, x[i])
				if out[i] = next; c.Bool("exclusive") {
					out[i] = sum
				}
				sum = next
			}
			c.SetElems(0, out)
		}
		return nil
	},
	Host: index.CumSum,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(nil, named("exclusive", true), named("reverse", true), named("exclusive", true, "reverse", true))
		c.Elem(dtype.F32, dtype.I64).Range(0, 1.9).Shapes("[3, 4]", "[]").Shapes("[B, 4, 2]", "[1]").Elem(dtype.I32, dtype.I32).Shapes("[3, 4]", "[]")
	},
}

// Compress keeps what a condition says.
var Compress = op.Def{
	Name: "compress",
	Doc:  "the slices of x along axis (absent: the elements in row-major order) whose condition is true.",
	From: []op.Source{{Op: "Compress", Since: []int{9, 11, 28}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "condition", Elem: op.Bool}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "axis", Kind: attr.Int}}},
	Infer: func(c *op.Infer) error {
		if c.Rank(1) != 1 {
			return fmt.Errorf("condition: want rank 1, got shape %v", c.Shape(1))
		}
		shape, axis := []dim.Expr{dim.Product(c.Shape(0))}, 0
		if _, ok := c.N.Attrs.Get("axis"); ok {
			var err error
			if axis, err = c.Axis("axis", c.Rank(0)); err != nil {
				return err
			}
			shape = append([]dim.Expr(nil), c.Shape(0)...)
		}
		if t := c.Const(1); t != nil {
			shape[axis] = dim.Const(int64(index.CountNonZero(t)))
		} else {
			shape[axis] = c.Late(0, axis, dim.Min(shape[axis], c.Shape(1)[0]))
		}
		c.Set(0, c.Elem(0), shape)
		moved(c, index.Compress, 0)
		return nil
	},
	Host: index.Compress,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(nil, named("axis", 0), named("axis", -1)).Elem(dtype.F32, dtype.Bool).Shapes("[3, 4]", "[3]").Shapes("[B, 4]", "[B]")
	},
}

// NonMaxSuppression picks boxes that do not overlap better ones.
var NonMaxSuppression = op.Def{
	Name: "nms",
	Doc:  "rows (batch, class, box): per batch and class the boxes by falling score, without those overlapping a picked one by more than iou_threshold or scoring no more than score_threshold.",
	From: []op.Source{{Op: "NonMaxSuppression", Since: []int{10, 11}}},
	Sig: op.Sig{In: []op.Arg{{Name: "boxes", Elem: op.Set(dtype.F32)}, {Name: "scores", Elem: op.Set(dtype.F32)}, {Name: "max_output_boxes_per_class", Elem: i64Only, Optional: true},
		{Name: "iou_threshold", Elem: op.Set(dtype.F32), Optional: true}, {Name: "score_threshold", Elem: op.Set(dtype.F32), Optional: true}},
		Out: []op.Arg{{Name: "selected_indices"}}, Attrs: []op.Attr{boolAttr("center_point_box", false)}},
	Infer: func(c *op.Infer) error {
		if c.Rank(0) != 3 || c.Rank(1) != 3 {
			return fmt.Errorf("shapes %v and %v: want rank 3", c.Shape(0), c.Shape(1))
		}
		b, s := c.Shape(0), c.Shape(1)
		for _, p := range [][2]dim.Expr{{b[0], s[0]}, {b[1], s[2]}, {b[2], dim.Const(4)}} {
			if err := c.Guard(p[0], p[1], "boxes and scores"); err != nil {
				return err
			}
		}
		per := b[1]
		if l, ok := contents(c.Node, 2); ok && len(l) == 1 {
			per = dim.Max(dim.Min(per, l[0]), dim.Const(0))
		}
		n := c.Late(0, 0, dim.Product([]dim.Expr{b[0], s[1], per}))
		c.Set(0, dtype.I64, []dim.Expr{n, dim.Const(3)})
		return nil
	},
	Host: index.NonMaxSuppression,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.With(nil, named("center_point_box", true)).Elem(dtype.F32, dtype.F32, dtype.I64, dtype.F32, dtype.F32).Range(0.1, 1.9).Shapes("[B, 6, 4]", "[B, 2, 6]", "[]", "[]", "[1]").Shapes("[B, 6, 4]", "[B, 2, 6]", "[1]", "[1]")
	},
}
