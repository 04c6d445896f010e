package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/index"
	"github.com/llmc-go/llmc/ir/op"
)

func scatterDefs() []*op.Def {
	return []*op.Def{&ScatterElements, &ScatterND, &GatherElements, &GatherND}
}

var i64Only = op.Set(dtype.I64)

// ScatterElements combines single elements into a copy of x.
var ScatterElements = op.Def{
	Name: "scatter_elements",
	Doc:  "y = x; then for p in order y[p with p[axis] = indices[p]] = combine(that, updates[p]).",
	From: []op.Source{{Op: "ScatterElements", Since: []int{11, 13, 16, 18}}, {Op: "Scatter", Since: []int{9}, Until: 11}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "indices", Elem: op.Index}, {Name: "updates", Elem: op.Tensors}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("axis", 0), strAttr("reduction", "none")}},
	Infer: func(c *op.Infer) error {
		if err := checkReduction(c); err != nil {
			return err
		}
		if _, err := c.Axis("axis", c.Rank(0)); err != nil {
			return err
		}
		if c.Rank(1) != c.Rank(0) || c.Rank(2) != c.Rank(0) {
			return fmt.Errorf("shapes %v, %v and %v: ranks differ", c.Shape(0), c.Shape(1), c.Shape(2))
		}
		for i, e := range c.Shape(1) {
			if err := c.Guard(c.Shape(2)[i], e, "updates"); err != nil {
				return err
			}
		}
		return inferScatter(c, index.ScatterElements)
	},
	Host: index.ScatterElements,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(named("axis", 1), named("axis", -1, "reduction", "add"), named("axis", 1, "reduction", "mul"), named("axis", 1, "reduction", "max"), named("axis", 1, "reduction", "min"))
		c.Elem(dtype.F32, dtype.I64, dtype.F32).Shapes("[3, 4]", "[2, 3]", "[2, 3]").Shapes("[B + 1, 4]", "[B, 4]", "[B, 4]")
		c.Elem(dtype.I32, dtype.I32, dtype.I32).Shapes("[3, 4]", "[2, 3]", "[2, 3]")
	},
}

// ScatterND combines slices into a copy of x.
var ScatterND = op.Def{
	Name: "scatter_nd",
	Doc:  "y = x; then for i in order y[indices[i, :]] = combine(that, updates[i]).",
	From: []op.Source{{Op: "ScatterND", Since: []int{11, 13, 16, 18}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "indices", Elem: op.Index}, {Name: "updates", Elem: op.Tensors}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("reduction", "none")}},
	Infer: func(c *op.Infer) error {
		if err := checkReduction(c); err != nil {
			return err
		}
		want, err := tupleShape(c, 0)
		if err != nil {
			return err
		}
		if len(want) != c.Rank(2) {
			return fmt.Errorf("updates: want shape %v, got %v", want, c.Shape(2))
		}
		for i, e := range want {
			if err := c.Guard(c.Shape(2)[i], e, "updates"); err != nil {
				return err
			}
		}
		return inferScatter(c, index.ScatterND)
	},
	Host: index.ScatterND,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(named("reduction", "none"), named("reduction", "add"), named("reduction", "max"))
		c.Elem(dtype.F32, dtype.I64, dtype.F32).Shapes("[4, 4, 3]", "[2, 2]", "[2, 3]").Shapes("[B + 2, 3]", "[2, 1]", "[2, 3]")
		c.Elem(dtype.I64, dtype.I64, dtype.I64).Shapes("[5]", "[3, 1]", "[3]")
	},
}

func checkReduction(c *op.Infer) error {
	switch r := c.Str("reduction"); r {
	case "none", "add", "mul", "max", "min":
	default:
		return fmt.Errorf("reduction: %q is not known", r)
	}
	return c.SameElem(0, 2)
}

// inferScatter types the result, and moves known contents where nothing is combined.
func inferScatter(c *op.Infer, fn host.Fn) error {
	c.Set(0, c.Elem(0), c.Shape(0))
	if c.Str("reduction") == "none" {
		moved(c, fn, 0, 2)
	}
	return nil
}

// tupleShape is the shape of what indices select, whose last axis lists positions along axes batch.. of operand 0.
func tupleShape(c *op.Infer, batch int) ([]dim.Expr, error) {
	x, idx := c.Shape(0), c.Shape(1)
	if len(x) == 0 || len(idx) == 0 || batch < 0 || batch >= len(idx) || batch > len(x) {
		return nil, fmt.Errorf("shapes %v and %v with %d shared axes", x, idx, batch)
	}
	k, ok := idx[len(idx)-1].Int()
	if !ok {
		return nil, fmt.Errorf("indices: shape %v, want a known last extent", idx)
	}
	if k < 0 || k > int64(len(x)-batch) {
		return nil, fmt.Errorf("indices of shape %v for a tensor of shape %v", idx, x)
	}
	for i := range batch {
		if err := c.Guard(x[i], idx[i], "shared axes"); err != nil {
			return nil, err
		}
	}
	return append(append([]dim.Expr(nil), idx[:len(idx)-1]...), x[batch+int(k):]...), nil
}

// GatherElements picks single elements along an axis.
var GatherElements = op.Def{
	Name: "gather_elements",
	Doc:  "y[p] = x[p with p[axis] = indices[p]].",
	From: []op.Source{{Op: "GatherElements", Since: []int{11, 13}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "indices", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("axis", 0)}},
	Infer: func(c *op.Infer) error {
		if _, err := c.Axis("axis", c.Rank(0)); err != nil {
			return err
		}
		if c.Rank(1) != c.Rank(0) {
			return fmt.Errorf("shapes %v and %v: ranks differ", c.Shape(0), c.Shape(1))
		}
		c.Set(0, c.Elem(0), c.Shape(1))
		moved(c, index.GatherElements, 0)
		return nil
	},
	Host: index.GatherElements,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(named("axis", 1), named("axis", -1)).Elem(dtype.F32, dtype.I64).Shapes("[3, 4]", "[2, 3]").Shapes("[B, 4]", "[B, 4]")
		c.Elem(dtype.F16, dtype.I32).Shapes("[3, 4]", "[2, 3]")
	},
}

// GatherND picks slices.
var GatherND = op.Def{
	Name: "gather_nd",
	Doc:  "y[b..., i...] = x[b..., indices[b..., i..., :]...], batch_dims leading axes shared.",
	From: []op.Source{{Op: "GatherND", Since: []int{11, 12, 13}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "indices", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "batch_dims", Kind: attr.Int, Default: attr.OfInt(0)}}},
	Infer: func(c *op.Infer) error {
		s, err := tupleShape(c, int(max(-1, min(c.Int("batch_dims"), 1<<20))))
		if err != nil {
			return err
		}
		c.Set(0, c.Elem(0), s)
		moved(c, index.GatherND, 0)
		return nil
	},
	Host: index.GatherND,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).Range(0, 1.9).Shapes("[2, 3, 4]", "[B, 2]").Shapes("[2, 2]", "[2, 2]")
		c.With(named("batch_dims", 1)).Shapes("[B, 2, 3]", "[B, 1]").Shapes("[B, 2, 3]", "[B, 2, 1]")
	},
}
