package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// constantSpellings are what importers replace by constants, dims, or the operand itself.
func constantSpellings() []op.Source {
	newest := []int{21, 23, 24, 25}
	since := func(old ...int) []int { return append(old, newest...) }
	return []op.Source{
		{Op: "Shape", Since: since(1, 13, 15, 19), Import: importShape},
		{Op: "Size", Since: since(1, 13, 19), Import: importSize},
		{Op: "Constant", Since: since(1, 9, 11, 12, 13, 19), Import: importConstant},
		{Op: "ConstantOfShape", Since: since(9, 20), Import: importConstantOfShape},
		{Op: "Identity", Since: since(1, 13, 14, 16, 19), Import: importIdentity},
		{Op: "Dropout", Since: []int{1, 6, 7, 10, 12, 13, 22}, Import: importDropout},
	}
}

func dropoutDefs() []*op.Def {
	return []*op.Def{{
		Name: "dropout",
		Doc:  "y = x * mask / (1 - ratio), where mask is false with probability ratio; y = x unless training.",
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "ratio", Elem: op.Float, Optional: true}, {Name: "training", Elem: op.Bool}},
			Out: []op.Arg{{Name: "y"}, {Name: "mask"}}, Attrs: []op.Attr{intAttr("seed", 0)}},
		Infer: func(c *op.Infer) error {
			for i := 1; i < 3; i++ {
				if c.Has(i) {
					if err := c.Guard(dim.Product(c.Shape(i)), dim.Const(1), "ratio and training are scalars"); err != nil {
						return err
					}
				}
			}
			c.Set(0, c.Elem(0), c.Shape(0))
			c.Set(1, dtype.Bool, c.Shape(0))
			return nil
		},
		Host:   elementwise.Dropout,
		VJP:    todo,
		Random: true,
		Cases: func(c *op.Cases) {
			c.Elem(dtype.F32, dtype.F32, dtype.Bool).Range(0, 0.9).Shapes("[B, 3]", "[]", "[]").Shapes("[4]", "_", "[]")
		},
	}}
}

func importSize(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	return []*ir.Value{c.Builder.Dims(ir.TensorType(dtype.I64), []dim.Expr{dim.Product(c.In(0).Type.Shape)})}, nil
}

func importConstant(c *op.Import) ([]*ir.Value, error) {
	if t, err := c.Model.Tensor("value"); err != nil {
		return nil, err
	} else if t != nil {
		return []*ir.Value{c.Builder.Const("", t)}, nil
	}
	var t *tensor.Tensor
	for _, name := range []string{"value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings"} {
		a, ok := c.Model.Attr(name)
		if !ok {
			continue
		}
		switch a.Kind {
		case attr.Float:
			t = tensor.New(dtype.F32)
			t.SetFloat(0, a.F)
		case attr.Floats:
			t = tensor.New(dtype.F32, len(a.Floats))
			for i, v := range a.Floats {
				t.SetFloat(i, v)
			}
		case attr.Int:
			t = tensor.Of(dtype.I64, []int64{a.I})
		case attr.Ints:
			t = tensor.Of(dtype.I64, a.Ints, len(a.Ints))
		case attr.Str:
			t = &tensor.Tensor{Elem: dtype.String, Str: []string{a.S}}
		case attr.Strs:
			t = &tensor.Tensor{Elem: dtype.String, Shape: []int{len(a.Strs)}, Str: a.Strs}
		}
	}
	if t == nil {
		return nil, fmt.Errorf("%w: want one of the attributes value, value_float(s), value_int(s) and value_string(s)", ir.ErrUnsupported)
	}
	return []*ir.Value{c.Builder.Const("", t)}, nil
}

// importConstantOfShape fills a shape with a scalar, the float 0 where none is given.
func importConstantOfShape(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	t, err := c.Model.Tensor("value")
	if err != nil {
		return nil, err
	}
	if t == nil {
		t = tensor.New(dtype.F32)
	}
	if t.Len() != 1 {
		return nil, fmt.Errorf("attribute value: want 1 element, got shape %v", t.Shape)
	}
	v := c.Builder.Const("", &tensor.Tensor{Elem: t.Elem, Data: t.Data, Str: t.Str})
	if shape, ok := contents(c.Node, 0); ok {
		return []*ir.Value{c.ExpandTo(v, shape)}, c.Err()
	}
	return c.Do("expand", []*ir.Value{v, c.In(0)}, nil)[:1], c.Err()
}

func importIdentity(c *op.Import) ([]*ir.Value, error) {
	if c.NumIn() != 1 || !c.Has(0) {
		return nil, fmt.Errorf("want 1 operand, got %d", c.NumIn())
	}
	return []*ir.Value{c.In(0)}, nil
}

// importDropout is the identity where the model is not in training mode.
func importDropout(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 3); err != nil {
		return nil, err
	}
	x := c.In(0)
	if c.Has(2) {
		if on, known := ints(c.Node, 2); !known || len(on) != 1 || on[0] != 0 {
			a, _ := c.Model.Attr("seed")
			in := []*ir.Value{x, c.In(1), c.In(2)}
			return c.Do("dropout", in, named("seed", a.I)), c.Err()
		}
	}
	out := []*ir.Value{x}
	if c.NumOuts > 1 {
		yes := tensor.New(dtype.Bool)
		yes.SetInt(0, 1)
		m := c.Builder.Const("", yes)
		if c.Version < 10 { // the mask had the type of x
			m = c.Cast(m, x.Type.Elem)
		}
		out = append(out, c.ExpandTo(m, x.Type.Shape))
	}
	return out, c.Err()
}
