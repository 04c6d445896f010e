package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

// binaryRow is the whole definition of an operator on two elements of one type.
type binaryRow struct {
	name, doc string
	from      []op.Source
	elem      op.Elems
	truth     bool // the result is bool
	host      host.Fn
	tile      tile.Op
	elems     func(s *dim.Scope, x, y dim.Expr) (dim.Expr, bool)
	vjp       op.VJP
}

// legacy are the versions before 7, where the second operand broadcasts only if asked to, from an axis on.
func legacy(name, onnx string, old []int, since ...int) []op.Source {
	return []op.Source{{Op: onnx, Since: old, Import: importLegacy(name)}, {Op: onnx, Since: since}}
}

func exact(f func(x, y dim.Expr) dim.Expr) func(*dim.Scope, dim.Expr, dim.Expr) (dim.Expr, bool) {
	return func(_ *dim.Scope, x, y dim.Expr) (dim.Expr, bool) { return f(x, y), true }
}

// proved gives a truth value where ranges decide it.
func proved(rel dim.Relation) func(*dim.Scope, dim.Expr, dim.Expr) (dim.Expr, bool) {
	return func(s *dim.Scope, x, y dim.Expr) (dim.Expr, bool) {
		switch s.Prove(x, rel, y) {
		case dim.Yes:
			return dim.Const(1), true
		case dim.No:
			return dim.Const(0), true
		}
		return dim.Expr{}, false
	}
}

// divElems: the quotient rounds down, which is the integer quotient of what is not negative. An extent as
// divisor is taken to be positive: evaluation fails on zero.
func divElems(s *dim.Scope, x, y dim.Expr) (dim.Expr, bool) {
	if y.IsConst(0) || s.Prove(x, dim.Ge, dim.Const(0)) != dim.Yes || s.Prove(y, dim.Ge, dim.Const(0)) != dim.Yes {
		return dim.Expr{}, false
	}
	return dim.Div(x, y), true
}

func modElems(s *dim.Scope, x, y dim.Expr) (dim.Expr, bool) {
	if _, ok := divElems(s, x, y); !ok {
		return dim.Expr{}, false
	}
	return dim.Mod(x, y), true
}

// bits01 are the logical operators on truth values that are known; integers are left to folding.
func bits01(f func(x, y int64) int64) func(*dim.Scope, dim.Expr, dim.Expr) (dim.Expr, bool) {
	return func(_ *dim.Scope, x, y dim.Expr) (dim.Expr, bool) {
		a, okA := x.Int()
		b, okB := y.Int()
		return dim.Const(f(a, b)), okA && okB
	}
}

var binaryRows = []binaryRow{
	{"add", "z = x + y", legacy("add", "Add", []int{1, 6}, 7, 13, 14), numbers, false, elementwise.Add, tile.Add, exact(dim.Add), todo},
	{"sub", "z = x - y", legacy("sub", "Sub", []int{1, 6}, 7, 13, 14), numbers, false, elementwise.Sub, tile.Sub, exact(dim.Sub), todo},
	{"mul", "z = x * y", legacy("mul", "Mul", []int{1, 6}, 7, 13, 14), numbers, false, elementwise.Mul, tile.Mul, exact(dim.Mul), todo},
	{"div", "z = x / y; integers round towards zero", legacy("div", "Div", []int{1, 6}, 7, 13, 14), numbers, false, elementwise.Div, tile.Div, divElems, todo},
	{"min", "z = the smaller of x and y; NaN if either is", nil, numbers, false, elementwise.Min, tile.Min, exact(dim.Min), todo},
	{"max", "z = the larger of x and y; NaN if either is", nil, numbers, false, elementwise.Max, tile.Max, exact(dim.Max), todo},
	{"and", "z = x and y, bitwise for integers", append(legacy("and", "And", []int{1}, 7), op.Source{Op: "BitwiseAnd", Since: []int{18}}), op.Bool | bytesUp, false,
		elementwise.And, tile.And, bits01(func(x, y int64) int64 { return x & y }), discrete},
	{"or", "z = x or y, bitwise for integers", append(legacy("or", "Or", []int{1}, 7), op.Source{Op: "BitwiseOr", Since: []int{18}}), op.Bool | bytesUp, false,
		elementwise.Or, tile.Or, bits01(func(x, y int64) int64 { return x | y }), discrete},
	{"xor", "z = x xor y, bitwise for integers", append(legacy("xor", "Xor", []int{1}, 7), op.Source{Op: "BitwiseXor", Since: []int{18}}), op.Bool | bytesUp, false,
		elementwise.Xor, tile.Xor, bits01(func(x, y int64) int64 { return x ^ y }), discrete},
	{"equal", "z = (x = y)", legacy("equal", "Equal", []int{1}, 7, 11, 13, 19), numbers | op.Bool | op.Set(dtype.String), true, elementwise.Equal, tile.Eq, proved(dim.Eq), discrete},
	{"less", "z = (x < y)", legacy("less", "Less", []int{1}, 7, 9, 13), numbers, true, elementwise.Less, tile.Lt, proved(dim.Lt), discrete},
	{"less_equal", "z = (x <= y)", []op.Source{{Op: "LessOrEqual", Since: []int{12, 16}}}, numbers, true, elementwise.LessEqual, tile.Le, proved(dim.Le), discrete},
	{"greater", "z = (x > y)", legacy("greater", "Greater", []int{1}, 7, 9, 13), numbers, true, elementwise.Greater, tile.Gt, proved(dim.Gt), discrete},
	{"greater_equal", "z = (x >= y)", []op.Source{{Op: "GreaterOrEqual", Since: []int{12, 16}}}, numbers, true, elementwise.GreaterEqual, tile.Ge, proved(dim.Ge), discrete},
	{"shl", "z = x * 2^y modulo the width; 0 where y is not below it", nil, bytesUp, false, elementwise.Shl, tile.Nop, nil, discrete},
	{"shr", "z = floor(x / 2^y); the sign of x where y is not below the width", nil, bytesUp, false, elementwise.Shr, tile.Nop, nil, discrete},
}

func binaryDefs() []*op.Def {
	var l []*op.Def
	for _, r := range binaryRows {
		d := &op.Def{
			Name:  r.name,
			Doc:   r.doc + ", broadcast.",
			From:  r.from,
			Sig:   op.Sig{In: []op.Arg{{Name: "x", Elem: r.elem}, {Name: "y", Elem: r.elem}}, Out: []op.Arg{{Name: "z"}}},
			Infer: func(c *op.Infer) error { return inferBinary(c, r.truth, r.elems) },
			Host:  r.host,
			VJP:   r.vjp,
			Cases: func(c *op.Cases) { binaryCases(c, r.elem) },
		}
		if r.tile != tile.Nop {
			d.Form = form2(func(b *tile.Builder, x, y tile.Reg) tile.Reg { return b.Op2(r.tile, x, y) })
		}
		l = append(l, d)
	}
	return append(l, modDef(), powDef())
}

func inferBinary(c *op.Infer, truth bool, elems func(*dim.Scope, dim.Expr, dim.Expr) (dim.Expr, bool)) error {
	if err := c.SameElem(0, 1); err != nil {
		return err
	}
	shape, err := c.Broadcast(c.Shape(0), c.Shape(1))
	if err != nil {
		return err
	}
	t := c.Elem(0)
	if truth {
		t = dtype.Bool
	}
	c.Set(0, t, shape)
	known := c.Elem(0) == dtype.I64 || c.Elem(0) == dtype.I32 || c.Elem(0) == dtype.Bool
	if elems != nil && known {
		zipElems(c, func(x, y dim.Expr) (dim.Expr, bool) { return elems(c.Scope(), x, y) })
	}
	return nil
}

func form2(body func(b *tile.Builder, x, y tile.Reg) tile.Reg) func(*op.Form) error {
	return func(f *op.Form) error {
		return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
			return []tile.Reg{body(b, x[0], x[1])}, nil
		})
	}
}

func binaryCases(c *op.Cases, elem op.Elems) {
	first := true
	for _, t := range []dtype.Type{dtype.F32, dtype.Bool, dtype.I32, dtype.U8, dtype.U64, dtype.F16, dtype.F64} {
		if !elem.Has(t) {
			continue
		}
		c.Elem(t)
		if !t.IsFloat() {
			c.Range(0.5, 6)
		} else {
			c.Range(-2, 2)
		}
		c.Shapes("[2, 3]", "[3]")
		if first {
			first = false
			c.Shapes("[]", "[]").Shapes("[B, 1, 3]", "[S, 1]").Shapes("[0, 4]", "[4]").Shapes("[B]", "[B]")
		}
	}
}

func modDef() *op.Def {
	return &op.Def{
		Name: "mod",
		Doc:  "z = x - floor(x/y)*y, with the sign of y; where fmod is set x - trunc(x/y)*y, with the sign of x; broadcast.",
		From: []op.Source{{Op: "Mod", Since: []int{10, 13, 28}}},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: numbers}, {Name: "y", Elem: numbers}}, Out: []op.Arg{{Name: "z"}},
			Attrs: []op.Attr{boolAttr("fmod", false)}},
		Infer: func(c *op.Infer) error { return inferBinary(c, false, modElems) },
		Form: func(f *op.Form) error {
			code := tile.Mod
			if f.Bool("fmod") {
				code = tile.Fmod
			}
			return form2(func(b *tile.Builder, x, y tile.Reg) tile.Reg { return b.Op2(code, x, y) })(f)
		},
		Host: elementwise.Mod,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.With(nil, named("fmod", true)).Shapes("[5]", "[5]").Elem(dtype.I32).Range(1, 9).Shapes("[B, 3]", "[3]").Elem(dtype.U64).Shapes("[5]", "[]")
		},
	}
}

func powDef() *op.Def {
	base := op.Float | op.Set(dtype.I32, dtype.I64)
	return &op.Def{
		Name: "pow",
		Doc:  "z = x^y with the element type of x, broadcast.",
		From: legacy("pow", "Pow", []int{1}, 7, 12, 13, 15),
		Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: base}, {Name: "y", Elem: numbers}}, Out: []op.Arg{{Name: "z"}}},
		Infer: func(c *op.Infer) error {
			shape, err := c.Broadcast(c.Shape(0), c.Shape(1))
			c.Set(0, c.Elem(0), shape)
			return err
		},
		Form: func(f *op.Form) error {
			if !f.Elem(0).IsFloat() {
				return f.No("element type %v", f.Elem(0))
			}
			return form2(func(b *tile.Builder, x, y tile.Reg) tile.Reg { return b.Op2(tile.Pow, x, b.Cast(b.Class(x), y)) })(f)
		},
		Host: elementwise.Pow,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Range(0.2, 2).Shapes("[B, 3]", "[3]").Shapes("[4]", "[]").Elem(dtype.F32, dtype.I64).Range(0.2, 3).Shapes("[4]", "[4]")
			c.Elem(dtype.I32, dtype.F32).Range(1, 4).Shapes("[4]", "[4]")
		},
	}
}

// importLegacy reads the attributes broadcast and axis of versions before 7.
func importLegacy(name string) func(c *op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if c.NumIn() != 2 || !c.Has(0) || !c.Has(1) {
			return nil, fmt.Errorf("want 2 operands, got %d", c.NumIn())
		}
		x, y := c.In(0), c.In(1)
		if a, ok := c.Model.Attr("axis"); ok && a.Kind == attr.Int && a.I >= 0 && int(a.I)+y.Rank() <= x.Rank() {
			shape := append([]dim.Expr(nil), y.Type.Shape...)
			for n := x.Rank() - int(a.I) - y.Rank(); n > 0; n-- {
				shape = append(shape, dim.Const(1))
			}
			y = c.Reshape(y, shape)
		}
		return []*ir.Value{c.Call(name, x, y)}, c.Err()
	}
}
