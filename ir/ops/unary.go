package ops

import (
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

// unaryRow is the whole definition of an operator that maps one element to one of the same type.
type unaryRow struct {
	name, doc string
	onnx      string
	since     []int
	elem      op.Elems
	host      host.Fn
	tile      tile.Op
	vjp       op.VJP
	lo, hi    float64 // range of the test cases; [-2, 2] where both are 0
}

// Element types that the standard allows.
var (
	signed  = op.Float | op.Set(dtype.I8, dtype.I16, dtype.I32, dtype.I64)
	numbers = op.Float | bytesUp
	bytesUp = op.Set(dtype.U8, dtype.U16, dtype.U32, dtype.U64, dtype.I8, dtype.I16, dtype.I32, dtype.I64)
)

var unaryRows = []unaryRow{
	{"neg", "y = -x", "Neg", []int{1, 6, 13}, signed, elementwise.Neg, tile.Neg, todo, 0, 0},
	{"abs", "y = |x|", "Abs", []int{1, 6, 13}, numbers, elementwise.Abs, tile.Abs, todo, 0, 0},
	{"sign", "y = -1, 0 or 1", "Sign", []int{9, 13}, numbers, elementwise.Sign, tile.Sign, constant, 0, 0},
	{"relu", "y = max(x, 0)", "Relu", []int{1, 6, 13, 14}, signed, elementwise.Relu, tile.Relu, todo, 0, 0},
	{"sqrt", "y = x^(1/2)", "Sqrt", []int{1, 6, 13}, op.Float, elementwise.Sqrt, tile.Sqrt, todo, 0, 4},
	{"recip", "y = 1/x", "Reciprocal", []int{1, 6, 13}, op.Float, elementwise.Recip, tile.Recip, todo, 0.25, 4},
	{"exp", "y = e^x", "Exp", []int{1, 6, 13}, op.Float, elementwise.Exp, tile.Exp, todo, 0, 0},
	{"log", "y = natural logarithm of x", "Log", []int{1, 6, 13}, op.Float, elementwise.Log, tile.Log, todo, 0.1, 4},
	{"sin", "y = sin(x)", "Sin", []int{7, 22}, op.Float, elementwise.Sin, tile.Sin, todo, 0, 0},
	{"cos", "y = cos(x)", "Cos", []int{7, 22}, op.Float, elementwise.Cos, tile.Cos, todo, 0, 0},
	{"tan", "y = tan(x)", "Tan", []int{7, 22}, op.Float, elementwise.Tan, tile.Tan, todo, -1, 1},
	{"asin", "y = arcsin(x)", "Asin", []int{7, 22}, op.Float, elementwise.Asin, tile.Asin, todo, -1, 1},
	{"acos", "y = arccos(x)", "Acos", []int{7, 22}, op.Float, elementwise.Acos, tile.Acos, todo, -1, 1},
	{"atan", "y = arctan(x)", "Atan", []int{7, 22}, op.Float, elementwise.Atan, tile.Atan, todo, 0, 0},
	{"sinh", "y = sinh(x)", "Sinh", []int{9, 22}, op.Float, elementwise.Sinh, tile.Sinh, todo, 0, 0},
	{"cosh", "y = cosh(x)", "Cosh", []int{9, 22}, op.Float, elementwise.Cosh, tile.Cosh, todo, 0, 0},
	{"tanh", "y = tanh(x)", "Tanh", []int{1, 6, 13}, op.Float, elementwise.Tanh, tile.Tanh, todo, 0, 0},
	{"asinh", "y = arsinh(x)", "Asinh", []int{9, 22}, op.Float, elementwise.Asinh, tile.Asinh, todo, 0, 0},
	{"acosh", "y = arcosh(x)", "Acosh", []int{9, 22}, op.Float, elementwise.Acosh, tile.Acosh, todo, 1, 4},
	{"atanh", "y = artanh(x)", "Atanh", []int{9, 22}, op.Float, elementwise.Atanh, tile.Atanh, todo, -0.9, 0.9},
	{"erf", "y = error function of x", "Erf", []int{9, 13}, op.Float, elementwise.Erf, tile.Erf, todo, 0, 0},
	{"sigmoid", "y = 1/(1 + e^-x)", "Sigmoid", []int{1, 6, 13}, op.Float, elementwise.Sigmoid, tile.Sigmoid, todo, 0, 0},
	{"softplus", "y = log(1 + e^x)", "Softplus", []int{1, 22}, op.Float, elementwise.Softplus, tile.Softplus, todo, 0, 0},
	{"floor", "y = largest integer <= x", "Floor", []int{1, 6, 13}, op.Float, elementwise.Floor, tile.Floor, constant, 0, 0},
	{"ceil", "y = smallest integer >= x", "Ceil", []int{1, 6, 13}, op.Float, elementwise.Ceil, tile.Ceil, constant, 0, 0},
	{"round", "y = nearest integer, ties to even", "Round", []int{11, 22}, op.Float, elementwise.Round, tile.RoundEven, constant, 0, 0},
	{"silu", "y = x/(1 + e^-x)", "", nil, op.Float, elementwise.Silu, tile.Silu, todo, 0, 0},
}

func unaryDefs() []*op.Def {
	var l []*op.Def
	for _, r := range unaryRows {
		d := &op.Def{
			Name: r.name,
			Doc:  r.doc + ", element by element.",
			Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: r.elem}}, Out: []op.Arg{{Name: "y"}}},
			Infer: func(c *op.Infer) error {
				if r.name == "neg" {
					defer mapElems(c, func(x dim.Expr) (dim.Expr, bool) { return dim.Neg(x), true })
				}
				return c.Same(0, 0)
			},
			Form:  form1(func(b *tile.Builder, x tile.Reg) tile.Reg { return b.Op1(r.tile, x) }),
			Host:  r.host,
			VJP:   r.vjp,
			Cases: func(c *op.Cases) { unaryCases(c, r.elem, r.lo, r.hi) },
		}
		if r.onnx != "" {
			d.From = []op.Source{{Op: r.onnx, Since: r.since}}
		}
		l = append(l, d)
	}
	return append(l, paramDefs()...)
}

// form1 is the form of an element-wise operator of one operand.
func form1(body func(b *tile.Builder, x tile.Reg) tile.Reg) func(*op.Form) error {
	return func(f *op.Form) error {
		return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
			return []tile.Reg{body(b, x[0])}, nil
		})
	}
}

func unaryCases(c *op.Cases, elem op.Elems, lo, hi float64) {
	c.Range(lo, hi).Shapes("[]").Shapes("[B, 3, S]").Shapes("[0, 4]")
	for _, t := range []dtype.Type{dtype.F16, dtype.F64, dtype.I32, dtype.U8} {
		if elem.Has(t) {
			c.Elem(t).Shapes("[2, 5]")
		}
	}
}

// paramDefs are the element-wise operators of one operand that have attributes, and the predicates.
func paramDefs() []*op.Def {
	same := func(c *op.Infer) error { return c.Same(0, 0) }
	float := op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}}}
	with := func(attrs ...op.Attr) op.Sig { s := float; s.Attrs = attrs; return s }
	return []*op.Def{
		{
			Name:  "leaky_relu",
			Doc:   "y = x where x >= 0, else alpha*x.",
			From:  []op.Source{{Op: "LeakyRelu", Since: []int{1, 6, 16}}},
			Sig:   with(floatAttr("alpha", 0.01)),
			Infer: same,
			Form: func(f *op.Form) error {
				alpha := f.Float("alpha")
				return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
					c := b.Class(x[0])
					neg := b.Op2(tile.Lt, x[0], b.Number(c, 0))
					return []tile.Reg{b.Select(neg, b.Op2(tile.Mul, x[0], b.Number(c, alpha)), x[0])}, nil
				})
			},
			Host: elementwise.LeakyRelu, VJP: todo,
			Cases: func(c *op.Cases) {
				c.With(nil, named("alpha", 0.3))
				unaryCases(c, op.Float, 0, 0)
			},
		},
		{
			Name:  "hard_sigmoid",
			Doc:   "y = max(0, min(1, alpha*x + beta)).",
			From:  []op.Source{{Op: "HardSigmoid", Since: []int{1, 6, 22}}},
			Sig:   with(floatAttr("alpha", 0.2), floatAttr("beta", 0.5)),
			Infer: same,
			Form: func(f *op.Form) error {
				alpha, beta := f.Float("alpha"), f.Float("beta")
				return f.Elementwise(func(b *tile.Builder, x []tile.Reg) ([]tile.Reg, error) {
					c := b.Class(x[0])
					y := b.Op2(tile.Add, b.Op2(tile.Mul, x[0], b.Number(c, alpha)), b.Number(c, beta))
					return []tile.Reg{b.Op2(tile.Max, b.Number(c, 0), b.Op2(tile.Min, b.Number(c, 1), y))}, nil
				})
			},
			Host: elementwise.HardSigmoid, VJP: todo,
			Cases: func(c *op.Cases) {
				c.With(nil, named("alpha", 0.6, "beta", 0.4))
				unaryCases(c, op.Float, -4, 4)
			},
		},
		{
			Name:  "gelu",
			Doc:   `y = x * (1 + erf(x/sqrt(2)))/2; with approximate "tanh": x * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x^3)))/2.`,
			From:  []op.Source{{Op: "Gelu", Since: []int{20}}},
			Sig:   with(strAttr("approximate", "none")),
			Infer: same,
			Form: func(f *op.Form) error {
				return form1(func(b *tile.Builder, x tile.Reg) tile.Reg {
					if f.Str("approximate") == "tanh" {
						return b.Op1(tile.GeluTanh, x)
					}
					return b.Op1(tile.Gelu, x)
				})(f)
			},
			Host: elementwise.Gelu, VJP: todo,
			Cases: func(c *op.Cases) {
				c.With(nil, named("approximate", "tanh"))
				unaryCases(c, op.Float, -4, 4)
			},
		},
		predicateDef("isnan", "IsNaN", []int{9, 13, 20}, nil, elementwise.IsNaN),
		predicateDef("isinf", "IsInf", []int{10, 20}, []op.Attr{boolAttr("detect_negative", true), boolAttr("detect_positive", true)}, elementwise.IsInf),
		notDef(),
	}
}

func notDef() *op.Def {
	return &op.Def{
		Name: "not",
		Doc:  "y = logical complement of a bool, bitwise complement of an integer.",
		From: []op.Source{{Op: "Not", Since: []int{1}}, {Op: "BitwiseNot", Since: []int{18}}},
		Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Bool | bytesUp}}, Out: []op.Arg{{Name: "y"}}},
		Infer: func(c *op.Infer) error {
			if c.Elem(0) == dtype.Bool {
				defer mapElems(c, func(x dim.Expr) (dim.Expr, bool) { return dim.Sub(dim.Const(1), x), true })
			}
			return c.Same(0, 0)
		},
		Form: form1(func(b *tile.Builder, x tile.Reg) tile.Reg { return b.Op1(tile.Not, x) }),
		Host: elementwise.Not, VJP: discrete,
		Cases: func(c *op.Cases) {
			c.Elem(dtype.Bool).Shapes("[B, 3]").Shapes("[]").Elem(dtype.I16).Shapes("[7]").Elem(dtype.U64).Shapes("[7]")
		},
	}
}

func predicateDef(name, onnx string, since []int, attrs []op.Attr, fn host.Fn) *op.Def {
	return &op.Def{
		Name: name,
		Doc:  "y = " + name + "(x), a truth value for each element.",
		From: []op.Source{{Op: onnx, Since: since}},
		Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float | op.Small}}, Out: []op.Arg{{Name: "y"}}, Attrs: attrs},
		Infer: func(c *op.Infer) error {
			c.Set(0, dtype.Bool, c.Shape(0))
			return nil
		},
		Form: func(f *op.Form) error {
			if op.Small.Has(f.Elem(0)) {
				return f.No("element type %v", f.Elem(0))
			}
			return form1(func(b *tile.Builder, x tile.Reg) tile.Reg { return isForm(b, x, name, f) })(f)
		},
		Host: fn, VJP: discrete,
		Cases: func(c *op.Cases) { c.Shapes("[B, 3]").Shapes("[]").Elem(dtype.F16).Shapes("[4]") },
	}
}

// isForm is isnan, or isinf of the signs asked for.
func isForm(b *tile.Builder, x tile.Reg, name string, f *op.Form) tile.Reg {
	if name == "isnan" {
		return b.Op1(tile.IsNaN, x)
	}
	inf := b.Op1(tile.IsInf, x)
	zero := b.Number(b.Class(x), 0)
	if !f.Bool("detect_negative") {
		inf = b.Op2(tile.And, inf, b.Op2(tile.Gt, x, zero))
	}
	if !f.Bool("detect_positive") {
		inf = b.Op2(tile.And, inf, b.Op2(tile.Lt, x, zero))
	}
	return inf
}
