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

func castDefs() []*op.Def {
	return []*op.Def{{
		Name: "cast",
		Doc:  "y = x in another element type. saturate and round_mode (up, down, nearest) say how 8-bit floats round.",
		From: []op.Source{
			{Op: "Cast", Since: []int{1, 6, 9, 13, 19, 21, 23, 24, 25, 28}, Import: importCast},
		},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors &^ op.Set(dtype.C64, dtype.C128)}}, Out: []op.Arg{{Name: "y"}},
			Attrs: []op.Attr{{Name: "to", Kind: attr.Elem, Required: true}, boolAttr("saturate", true), strAttr("round_mode", "up")}},
		Infer: inferCast,
		Form:  formCast,
		Host:  elementwise.Cast,
		VJP:   todo,
		Cases: func(c *op.Cases) {
			to := func(t dtype.Type) attr.List { return named("to", t) }
			c.With(to(dtype.F16), to(dtype.BF16), to(dtype.F64), to(dtype.I32), to(dtype.I8), to(dtype.Bool), to(dtype.F8E4M3FN), to(dtype.I4)).
				Range(-7, 7).Shapes("[B, 3]").Shapes("[]")
			c.Elem(dtype.I64).With(to(dtype.F32), to(dtype.F16), to(dtype.I8), to(dtype.U8), to(dtype.Bool), to(dtype.U64)).Range(-300, 300).Shapes("[9]")
			c.Elem(dtype.Bool).With(to(dtype.F32), to(dtype.I64), to(dtype.F16)).Range(0, 1).Shapes("[5]")
			c.Elem(dtype.F16).With(to(dtype.F32), to(dtype.I64), to(dtype.BF16), to(dtype.F64)).Range(-9, 9).Shapes("[0, 4]").Shapes("[5]")
			c.Elem(dtype.F64).With(to(dtype.F32), to(dtype.F16), to(dtype.I64)).Shapes("[5]")
			c.Elem(dtype.U4).With(to(dtype.F32), to(dtype.U8)).Range(0, 15).Shapes("[5]")
		},
	}}
}

func castSpellings() []op.Source {
	return []op.Source{{Op: "CastLike", Since: []int{15, 19, 21, 23, 24, 25}, Import: importCastLike}}
}

func inferCast(c *op.Infer) error {
	v, _ := c.N.Attrs.Get("to")
	to, from := v.Elem, c.Elem(0)
	if !to.Valid() || to.IsComplex() {
		return fmt.Errorf("to: element type %v", to)
	}
	switch m := c.Str("round_mode"); m {
	case "up", "down", "nearest":
	default:
		return fmt.Errorf("round_mode: want up, down or nearest, got %q", m)
	}
	c.Set(0, to, c.Shape(0))
	wide := to == dtype.I64 || to == dtype.I32 // what extents fit into; folding does the rest
	whole := from.IsInt() || from == dtype.Bool
	switch {
	case whole && (wide || to == from):
		mapElems(c, func(x dim.Expr) (dim.Expr, bool) { return x, true })
	case whole && to == dtype.Bool:
		mapElems(c, func(x dim.Expr) (dim.Expr, bool) {
			switch c.Scope().Prove(x, dim.Ne, dim.Const(0)) {
			case dim.Yes:
				return dim.Const(1), true
			case dim.No:
				return dim.Const(0), true
			}
			return x, false
		})
	}
	return nil
}

// formCast rounds once: a result of 16 bits is rounded in the class of the operand, before it is narrowed.
func formCast(f *op.Form) error {
	from, to := f.Elem(0), f.OutElem(0)
	if op.Small.Has(from) || op.Small.Has(to) {
		return f.No("cast from %v to %v", from, to)
	}
	half := to == dtype.F16 || to == dtype.BF16
	return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
		c, err := f.Class(to)
		if err != nil {
			return nil, err
		}
		r := x[0]
		switch {
		case b.Class(r) == tile.Mask && c != tile.Mask:
			r = b.Select(r, b.Number(c, 1), b.Number(c, 0))
		case c == tile.Mask && b.Class(r) != tile.Mask:
			r = b.Op2(tile.Ne, r, b.Number(b.Class(r), 0))
		case half && from.IsInt() && from.Bits() > 16:
			r = b.Narrow(to, b.Cast(tile.F64, r))
		case half:
			if from.IsFloat() {
				r = b.Narrow(to, r)
			}
		}
		return []tile.Reg{b.Cast(c, r)}, nil
	})
}

// onnxElem maps the numbers of TensorProto.DataType.
var onnxElem = map[int64]dtype.Type{
	1: dtype.F32, 2: dtype.U8, 3: dtype.I8, 4: dtype.U16, 5: dtype.I16, 6: dtype.I32, 7: dtype.I64, 8: dtype.String, 9: dtype.Bool,
	10: dtype.F16, 11: dtype.F64, 12: dtype.U32, 13: dtype.U64, 14: dtype.C64, 15: dtype.C128, 16: dtype.BF16,
	17: dtype.F8E4M3FN, 18: dtype.F8E4M3FNUZ, 19: dtype.F8E5M2, 20: dtype.F8E5M2FNUZ, 21: dtype.U4, 22: dtype.I4, 23: dtype.F4E2M1,
	24: dtype.F8E8M0, 25: dtype.U2, 26: dtype.I2,
}

// elemAttr reads an attribute that holds a TensorProto.DataType; Invalid where it is absent.
func elemAttr(c *op.Import, name string) (dtype.Type, error) {
	a, ok := c.Model.Attr(name)
	if !ok {
		return dtype.Invalid, nil
	}
	switch a.Kind {
	case attr.Elem:
		return a.Elem, nil
	case attr.Int:
		if t, ok := onnxElem[a.I]; ok {
			return t, nil
		}
		return dtype.Invalid, fmt.Errorf("%w: attribute %s: element type %d", ir.ErrUnsupported, name, a.I)
	}
	return dtype.Invalid, fmt.Errorf("attribute %s: want an element type, got %v", name, a.Kind)
}

// castAttrs are saturate and round_mode as the model states them.
func castAttrs(c *op.Import, to dtype.Type) attr.List {
	l := named("to", to)
	for _, name := range []string{"saturate", "round_mode"} {
		if a, ok := c.Model.Attr(name); ok {
			l = l.Set(name, a)
		}
	}
	return l
}

func importCast(c *op.Import) ([]*ir.Value, error) {
	to, err := elemAttr(c, "to")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		return nil, fmt.Errorf("attribute to is missing")
	}
	if !c.Has(0) {
		return nil, fmt.Errorf("operand input is missing")
	}
	if c.In(0).Type.Elem == to {
		return []*ir.Value{c.In(0)}, nil
	}
	return []*ir.Value{c.CallWith("cast", castAttrs(c, to), c.In(0))}, c.Err()
}

func importCastLike(c *op.Import) ([]*ir.Value, error) {
	if !c.Has(0) || !c.Has(1) {
		return nil, fmt.Errorf("want 2 operands, got %d", c.NumIn())
	}
	to := c.In(1).Type.Elem
	if c.In(0).Type.Elem == to {
		return []*ir.Value{c.In(0)}, nil
	}
	return []*ir.Value{c.CallWith("cast", castAttrs(c, to), c.In(0))}, c.Err()
}
