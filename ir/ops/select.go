package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func selectDefs() []*op.Def { return []*op.Def{whereDef(), clipDef()} }

func whereDef() *op.Def {
	return &op.Def{
		Name: "where",
		Doc:  "z = x where cond, else y; all broadcast.",
		From: []op.Source{{Op: "Where", Since: []int{9, 16}}},
		Sig: op.Sig{In: []op.Arg{{Name: "cond", Elem: op.Bool}, {Name: "x", Elem: op.Tensors}, {Name: "y", Elem: op.Tensors}},
			Out: []op.Arg{{Name: "z"}}},
		Infer: func(c *op.Infer) error {
			if err := c.SameElem(1, 2); err != nil {
				return err
			}
			shape, err := c.BroadcastAll(0, 3)
			if err != nil {
				return err
			}
			c.Set(0, c.Elem(1), shape)
			whereElems(c)
			return nil
		},
		Form: func(f *op.Form) error {
			if op.Small.Has(f.Elem(1)) {
				return f.No("element type %v", f.Elem(1))
			}
			return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
				return []tile.Reg{b.Select(x[0], x[1], x[2])}, nil
			})
		},
		Host: elementwise.Where,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Elem(dtype.Bool, dtype.F32).Shapes("[B, 3]", "[3]", "[B, 1]").Shapes("[]", "[4]", "[]")
			c.Elem(dtype.Bool, dtype.I64).Shapes("[3]", "[3]", "[3]").Elem(dtype.Bool, dtype.U64).Shapes("[3]", "[1]", "[3]")
			c.Elem(dtype.Bool, dtype.Bool).Shapes("[3]", "[1]", "[3]").Elem(dtype.Bool, dtype.F8E4M3FN).Shapes("[3]", "[1]", "[3]")
		},
	}
}

// whereElems chooses among known contents where the condition is known, or where both choices are equal.
func whereElems(c *op.Infer) {
	if _, ok := ints(c.Node, 0); ok && c.Const(0) != nil {
		moved(c, elementwise.Where, 1, 2)
		return
	}
	x, okX := contents(c.Node, 1)
	y, okY := contents(c.Node, 2)
	if okX && okY && dim.EqualAll(c.Shape(1), c.N.Out[0].Type.Shape) && dim.EqualAll(c.Shape(1), c.Shape(2)) && dim.EqualAll(x, y) {
		c.SetElems(0, x)
	}
}

func clipDef() *op.Def {
	return &op.Def{
		Name: "clip",
		Doc:  "y = min(max(x, lo), hi); lo and hi are scalars and may be absent.",
		From: []op.Source{
			{Op: "Clip", Since: []int{1, 6}, Import: importClipAttrs},
			{Op: "Clip", Since: []int{11, 12, 13}},
		},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: numbers}, {Name: "lo", Elem: numbers, Optional: true}, {Name: "hi", Elem: numbers, Optional: true}},
			Out: []op.Arg{{Name: "y"}}},
		Infer: func(c *op.Infer) error {
			for i := 1; i < 3; i++ {
				if !c.Has(i) {
					continue
				}
				if c.Elem(i) != c.Elem(0) {
					return fmt.Errorf("bound of element type %v, want %v", c.Elem(i), c.Elem(0))
				}
				if err := c.Guard(dim.Product(c.Shape(i)), dim.Const(1), "bound is a scalar"); err != nil {
					return err
				}
			}
			return c.Same(0, 0)
		},
		Form: func(f *op.Form) error {
			for i := 1; i < f.NumIn(); i++ {
				if f.Has(i) && f.Rank(i) > f.Rank(0) {
					return f.No("bound of rank %d", f.Rank(i))
				}
			}
			return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
				y := x[0]
				if f.Has(1) {
					y = b.Op2(tile.Max, y, x[1])
				}
				if f.Has(2) {
					y = b.Op2(tile.Min, y, x[2])
				}
				return []tile.Reg{y}, nil
			})
		},
		Host: elementwise.Clip,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Shapes("[B, 3]", "[]", "[]").Shapes("[4]", "_", "[]").Shapes("[4]", "[]", "_").Shapes("[]", "[]", "[]").Shapes("[0]", "[]", "[]")
			c.Elem(dtype.I8).Shapes("[4]", "[]", "[]").Elem(dtype.U64).Shapes("[4]", "[]", "[]").Elem(dtype.F16).Shapes("[4]", "[]", "[]")
		},
	}
}

// importClipAttrs reads the bounds of versions before 11, which are attributes.
func importClipAttrs(c *op.Import) ([]*ir.Value, error) {
	in := []*ir.Value{c.In(0), nil, nil}
	if in[0] == nil {
		return nil, fmt.Errorf("operand input is missing")
	}
	for i, name := range []string{"min", "max"} {
		if a, ok := c.Model.Attr(name); ok && a.Kind == attr.Float {
			in[i+1] = c.Like(in[0], a.F)
		}
	}
	if in[1] == nil && in[2] == nil {
		return in[:1], nil
	}
	return c.Do("clip", in, nil)[:1], c.Err()
}
