package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/movement"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func joinDefs() []*op.Def { return []*op.Def{concatDef(), gatherDef(), tileDef()} }

func joinSpellings() []op.Source {
	return []op.Source{{Op: "Tile", Since: []int{1}, Import: func(*op.Import) ([]*ir.Value, error) {
		return nil, fmt.Errorf("%w: Tile before version 6", ir.ErrUnsupported)
	}}}
}

func concatDef() *op.Def {
	return &op.Def{
		Name: "concat",
		Doc:  "y = the operands one after the other along axis.",
		From: []op.Source{{Op: "Concat", Since: []int{1}, Import: importConcat1}, {Op: "Concat", Since: []int{4, 11, 13}}},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "more", Elem: op.Tensors, Variadic: true}}, Out: []op.Arg{{Name: "y"}},
			Attrs: []op.Attr{{Name: "axis", Kind: attr.Int, Required: true}}},
		Infer: func(c *op.Infer) error {
			axis, err := c.Axis("axis", c.Rank(0))
			if err != nil {
				return err
			}
			shape := append([]dim.Expr(nil), c.Shape(0)...)
			data := []int{0}
			for i := 1; i < c.NumIn(); i++ {
				if !c.Has(i) {
					return fmt.Errorf("operand %d is missing", i)
				}
				if c.Elem(i) != c.Elem(0) || c.Rank(i) != c.Rank(0) {
					return fmt.Errorf("operand %d: %v does not match %v", i, c.In(i).Type, c.In(0).Type)
				}
				for k, e := range c.Shape(i) {
					if k == axis {
						shape[k] = dim.Add(shape[k], e)
					} else if err := c.Guard(c.Shape(0)[k], e, fmt.Sprintf("axis %d of operand %d", k, i)); err != nil {
						return err
					} else if _, ok := e.Int(); ok {
						shape[k] = e
					}
				}
				data = append(data, i)
			}
			c.Set(0, c.Elem(0), shape)
			moved(c, movement.Concat, data...)
			return nil
		},
		Form: func(f *op.Form) error {
			axis, err := f.Axis("axis", f.Rank(0))
			if err != nil {
				return err
			}
			f.Concat, f.ConcatAxis = true, axis
			return viewable(f, true)
		},
		Host: movement.Concat,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.With(named("axis", 1), named("axis", -2)).Shapes("[B, 2, 3]", "[B, 2, 3]").With(named("axis", 0)).Shapes("[B, 3]", "[S, 3]", "[0, 3]").Shapes("[2]")
			c.Elem(dtype.I64).Shapes("[2]", "[1]").Elem(dtype.U4).Shapes("[3]", "[2]")
		},
	}
}

// importConcat1 has axis 1 as default.
func importConcat1(c *op.Import) ([]*ir.Value, error) {
	a, ok := c.Model.Attr("axis")
	if !ok {
		a = attr.OfInt(1)
	}
	in := make([]*ir.Value, c.NumIn())
	for i := range in {
		in[i] = c.In(i)
	}
	return c.Do("concat", in, named("axis", a))[:1], c.Err()
}

func gatherDef() *op.Def {
	return &op.Def{
		Name: "gather",
		Doc:  "y[p, i, q] = x[p, indices[i], q] with p the positions before axis and q those after it; negative indices count from the end.",
		From: []op.Source{{Op: "Gather", Since: []int{1, 11, 13}}},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "indices", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
			Attrs: []op.Attr{intAttr("axis", 0)}},
		Infer: func(c *op.Infer) error {
			axis, err := c.Axis("axis", c.Rank(0))
			if err != nil {
				return err
			}
			shape := append([]dim.Expr(nil), c.Shape(0)[:axis]...)
			shape = append(append(shape, c.Shape(1)...), c.Shape(0)[axis+1:]...)
			c.Set(0, c.Elem(0), shape)
			moved(c, movement.Gather, 0)
			return nil
		},
		Form: formGather,
		Host: movement.Gather,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Elem(dtype.F32, dtype.I64).Range(-2.5, 2).With(nil, named("axis", 1), named("axis", -1)).Shapes("[3, 3, 4]", "[B, 2]").Shapes("[3, 3]", "[]").Shapes("[3, 3]", "[0]")
			c.Elem(dtype.I64, dtype.I32).With(nil).Shapes("[3]", "[2]").Elem(dtype.U4, dtype.I64).Shapes("[5]", "[3]").Elem(dtype.U64, dtype.I64).Shapes("[5]", "[3]")
		},
	}
}

// formGather is a map over the result's positions in which one axis of x is selected through the indices.
func formGather(f *op.Form) error {
	t := f.Elem(0)
	c := tile.ClassOf(t)
	if c == tile.NoClass || t.IsSubByte() || op.Small.Has(t) {
		return f.No("element type %v", t)
	}
	axis, err := f.Axis("axis", f.Rank(0))
	if err != nil {
		return err
	}
	f.Anchor = anchor.Map
	f.Par(f.OutShape(0))
	x, idx, y := make(op.Map, f.Rank(0)), make(op.Map, f.Rank(1)), make(op.Map, len(f.Space))
	for i := range x {
		switch {
		case i < axis:
			x[i] = op.At{Axis: i}
		case i == axis:
			x[i] = op.At{Axis: -1, Via: 2}
		default:
			x[i] = op.At{Axis: i - 1 + f.Rank(1)}
		}
	}
	for i := range idx {
		idx[i] = op.At{Axis: axis + i}
	}
	for i := range y {
		y[i] = op.At{Axis: i}
	}
	f.Maps = []op.Map{x, idx, y}
	b := tile.NewBuilder()
	b.Store(2, b.Load(0, t))
	f.Prog = b.Program()
	return b.Err()
}

func tileDef() *op.Def {
	return &op.Def{
		Name: "tile",
		Doc:  "y[i_0, ...] = x[i_0 mod extent_0, ...], with repeats[k] times the extent along axis k.",
		From: []op.Source{{Op: "Tile", Since: []int{6, 13}, Import: importTile}},
		Sig:  anyAnd(any1(dimsAttr("repeats")), "repeats"),
		Infer: func(c *op.Infer) error {
			ok, err := fixed(c.Node, "repeats", 1)
			if err != nil {
				return err
			}
			if !ok {
				c.Set(0, c.Elem(0), lateShape(c, 0, c.Rank(0), unbounded))
				return nil
			}
			rep := c.Dims("repeats")
			if len(rep) != c.Rank(0) {
				return fmt.Errorf("want %d repeats, got %d", c.Rank(0), len(rep))
			}
			shape := make([]dim.Expr, len(rep))
			for i, r := range rep {
				shape[i] = dim.Mul(r, c.Shape(0)[i])
			}
			c.Set(0, c.Elem(0), shape)
			moved(c, movement.Tile, 0)
			return nil
		},
		Expand: func(b *op.Build) ([]*ir.Value, error) {
			rep := b.Node.Dims("repeats")
			if b.Has(1) {
				return nil, fmt.Errorf("%w: the repeats are data", op.ErrNoForm)
			}
			var one, all []dim.Expr
			for i, e := range b.Shape(0) {
				one = append(one, dim.Const(1), e)
				all = append(all, rep[i], e)
			}
			shape := make([]dim.Expr, len(rep))
			for i := range rep {
				shape[i] = dim.Mul(rep[i], b.Shape(0)[i])
			}
			y := b.Reshape(b.ExpandTo(b.Reshape(b.In(0), one), all), shape)
			return []*ir.Value{y}, b.Err()
		},
		Host: movement.Tile,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			rep := func(l ...dim.Expr) attr.List { return named("repeats", l) }
			c.With(rep(dim.Const(2), dim.Const(3)), rep(dim.Const(0), dim.Const(1)), rep(dim.Sym("S"), dim.Const(1))).Shapes("[B, 3]").With(rep()).Shapes("[]")
			c.Elem(dtype.I64).With(rep(dim.Const(2))).Shapes("[2]")
		},
	}
}

func importTile(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	if rep, ok := contents(c.Node, 1); ok {
		return []*ir.Value{c.CallWith("tile", named("repeats", rep), c.In(0))}, c.Err()
	}
	return c.Do("tile", []*ir.Value{c.In(0), c.In(1)}, nil)[:1], c.Err()
}
