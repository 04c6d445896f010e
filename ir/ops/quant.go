package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/quant"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func quantDefs() []*op.Def {
	return []*op.Def{&QuantizeLinear, &DequantizeLinear, &MatMulInteger, &QLinearMatMul}
}

// quantSpellings are quantising operators that are others.
func quantSpellings() []op.Source {
	return []op.Source{{Op: "DynamicQuantizeLinear", Since: []int{11}, Import: importDynamicQuantize}}
}

var (
	quantised  = op.Set(dtype.I2, dtype.U2, dtype.I4, dtype.U4, dtype.I8, dtype.U8, dtype.I16, dtype.U16) | op.Small
	realScales = op.Set(dtype.F32, dtype.F16, dtype.BF16, dtype.F8E8M0)
)

// QuantizeLinear is quantisation.
var QuantizeLinear = op.Def{
	Name: "quantize_linear",
	Doc:  "y = saturate(round_even(x / scale) + zero_point); for floating-point results y = cast(x / scale). One scale for all, one per position along axis, or one per block_size positions.",
	From: []op.Source{{Op: "QuantizeLinear", Since: []int{10, 13, 19, 21, 23, 24, 25, 28}, Import: importQuantize}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Set(dtype.F32, dtype.F16, dtype.BF16, dtype.I32)}, {Name: "scale", Elem: realScales | op.Set(dtype.I32)}, {Name: "zero_point", Elem: quantised, Optional: true}},
		Out:   []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "to", Kind: attr.Elem, Required: true}, intAttr("axis", 1), intAttr("block_size", 0), boolAttr("saturate", true), {Name: "precision", Kind: attr.Elem}}},
	Infer: func(c *op.Infer) error {
		to := c.N.Attrs.Elem("to")
		if !quantised.Has(to) {
			return fmt.Errorf("to: element type %v", to)
		}
		if c.Has(2) && c.Elem(2) != to {
			return fmt.Errorf("zero_point: element type %v for results of %v", c.Elem(2), to)
		}
		if err := checkScales(c); err != nil {
			return err
		}
		c.Set(0, to, c.Shape(0))
		return nil
	},
	Form: formQuantize,
	Host: quant.Quantize,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		c.Range(0.5, 90)
		c.With(named("to", dtype.U8)).Elem(dtype.F32, dtype.F32, dtype.U8).Shapes("[B, 3, 4]", "[]", "[]").Shapes("[B, 3, 4]", "[3]", "[3]").Shapes("[B, 3, 4]", "[1]")
		c.Range(-90, 90).With(named("to", dtype.I8, "axis", 2)).Elem(dtype.F32, dtype.F32, dtype.I8).Shapes("[2, 3, 4]", "[4]", "[4]").Shapes("[2, 3, 4]", "[]")
		c.With(named("to", dtype.I4, "block_size", 2)).Shapes("[2, 3, 4]", "[2, 2, 4]")
		c.With(named("to", dtype.F8E4M3FN)).Shapes("[2, 3, 4]", "[]")
	},
}

// DequantizeLinear is the inverse.
var DequantizeLinear = op.Def{
	Name: "dequantize_linear",
	Doc:  "y = (x - zero_point) * scale, scales as in quantize_linear.",
	From: []op.Source{{Op: "DequantizeLinear", Since: []int{10, 13, 19, 21, 23, 24, 25, 28}, Import: importDequantize}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: quantised | op.Set(dtype.I32)}, {Name: "scale", Elem: realScales}, {Name: "zero_point", Elem: quantised | op.Set(dtype.I32), Optional: true}},
		Out:   []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "to", Kind: attr.Elem, Required: true}, intAttr("axis", 1), intAttr("block_size", 0)}},
	Infer: func(c *op.Infer) error {
		to := c.N.Attrs.Elem("to")
		if !op.Float.Has(to) {
			return fmt.Errorf("to: element type %v", to)
		}
		if c.Has(2) && c.Elem(2) != c.Elem(0) {
			return fmt.Errorf("zero_point: element type %v for operands of %v", c.Elem(2), c.Elem(0))
		}
		if err := checkScales(c); err != nil {
			return err
		}
		c.Set(0, to, c.Shape(0))
		return nil
	},
	Form: formDequantize,
	Host: quant.Dequantize,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Range(0.5, 90)
		c.With(named("to", dtype.F32)).Elem(dtype.U8, dtype.F32, dtype.U8).Shapes("[B, 3, 4]", "[]", "[]").Shapes("[B, 3, 4]", "[3]", "[3]")
		c.Elem(dtype.I32, dtype.F32).Shapes("[5]", "[1]")
		c.Range(-90, 90).With(named("to", dtype.F32, "axis", 0)).Elem(dtype.I8, dtype.F32, dtype.I8).Shapes("[2, 3]", "[2]", "[2]").Shapes("[2, 3]", "[]")
		c.Range(-7, 7).With(named("to", dtype.F32, "block_size", 2)).Elem(dtype.I4, dtype.F32, dtype.I4).Shapes("[2, 4, 3]", "[2, 2, 3]", "[2, 2, 3]")
	},
}

// scaleKind says which scale belongs to an element.
type scaleKind int

const (
	scaleOne scaleKind = iota
	scaleAxis
	scaleBlock
)

func kindOfScale(c op.Node) scaleKind {
	s := c.Shape(1)
	switch {
	case c.Int("block_size") != 0:
		return scaleBlock
	case len(s) == 0 || len(s) == 1 && s[0].IsConst(1):
		return scaleOne
	}
	return scaleAxis
}

func checkScales(c *op.Infer) error {
	s := c.Shape(1)
	if c.Has(2) {
		if len(c.Shape(2)) != len(s) && !(len(s)+len(c.Shape(2)) == 1) {
			return fmt.Errorf("zero_point: shape %v for scales of shape %v", c.Shape(2), s)
		}
		for i := range min(len(s), len(c.Shape(2))) {
			if err := c.Guard(c.Shape(2)[i], s[i], "zero points"); err != nil {
				return err
			}
		}
	}
	kind := kindOfScale(c.Node)
	if kind == scaleOne {
		return nil
	}
	axis, err := c.Axis("axis", c.Rank(0))
	if err != nil {
		return err
	}
	if kind == scaleAxis {
		if len(s) != 1 {
			return fmt.Errorf("scale: shape %v for axis %d of shape %v", s, axis, c.Shape(0))
		}
		return c.Guard(s[0], c.Shape(0)[axis], "scales")
	}
	block := c.Int("block_size")
	if block < 0 || len(s) != c.Rank(0) {
		return fmt.Errorf("scale: shape %v for blocks of %d of shape %v", s, block, c.Shape(0))
	}
	for i, e := range c.Shape(0) {
		if i == axis {
			e = dim.CeilDiv(e, dim.Const(block))
		}
		if err := c.Guard(s[i], e, "scales"); err != nil {
			return err
		}
	}
	return nil
}

// scaleForm maps x and y plainly and scales and zero points along their axis.
func scaleForm(f *op.Form) (*tile.Builder, error) {
	kind := kindOfScale(f.Node)
	if kind == scaleBlock || f.Elem(1) != dtype.F32 {
		return nil, f.No("blocks, or scales of type %v", f.Elem(1))
	}
	for _, t := range []dtype.Type{f.Elem(0), f.OutElem(0)} {
		if t.IsSubByte() || t.IsFloat() && t != dtype.F32 {
			return nil, f.No("element type %v", t)
		}
	}
	f.Anchor = anchor.Map
	f.Par(f.OutShape(0))
	axis, err := f.Axis("axis", max(f.Rank(0), 1))
	if kind == scaleAxis && err != nil {
		return nil, err
	}
	all := make(op.Map, len(f.Space))
	for i := range all {
		all[i] = op.At{Axis: i}
	}
	f.Maps = []op.Map{all}
	for i := 1; i < f.NumIn(); i++ {
		if !f.Has(i) {
			f.Maps = append(f.Maps, nil)
			continue
		}
		m := make(op.Map, f.Rank(i))
		for k := range m {
			m[k] = op.At{Axis: -1}
			if kind == scaleAxis {
				m[k].Axis = axis
			}
		}
		f.Maps = append(f.Maps, m)
	}
	f.Maps = append(f.Maps, all)
	return tile.NewBuilder(), nil
}

func formQuantize(f *op.Form) error {
	if f.Elem(0) != dtype.F32 {
		return f.No("element type %v", f.Elem(0))
	}
	if p := f.N.Attrs.Elem("precision"); p != dtype.Invalid && p != dtype.F32 {
		return f.No("a quotient of type %v", p)
	}
	b, err := scaleForm(f)
	if err != nil {
		return err
	}
	t := f.OutElem(0)
	q := b.Op1(tile.RoundEven, b.Op2(tile.Div, b.Load(0, dtype.F32), b.Load(1, dtype.F32)))
	if f.Has(2) {
		q = b.Op2(tile.Add, q, b.Cast(tile.F32, b.Load(2, t)))
	}
	lo, hi := t.IntRange()
	least := b.Float(tile.F32, float64(lo))
	q = b.Select(b.Op2(tile.Eq, q, q), q, least) // what is no number, as a mask of -3.4e38 becomes behind 8 bits, is the least
	q = b.Op2(tile.Min, b.Op2(tile.Max, q, least), b.Float(tile.F32, float64(hi)))
	b.Store(f.Out(0), b.Narrow(t, b.Cast(tile.I64, q)))
	f.Prog = b.Program()
	return b.Err()
}

func formDequantize(f *op.Form) error {
	if t := f.Elem(0); f.OutElem(0) != dtype.F32 || !t.IsInt() {
		return f.No("element types %v and %v", t, f.OutElem(0))
	}
	b, err := scaleForm(f)
	if err != nil {
		return err
	}
	x := b.Load(0, f.Elem(0))
	if f.Has(2) {
		x = b.Op2(tile.Sub, x, b.Load(2, f.Elem(2)))
	}
	b.Store(f.Out(0), b.Op2(tile.Mul, b.Cast(tile.F32, x), b.Load(1, dtype.F32)))
	f.Prog = b.Program()
	return b.Err()
}

// modelType reads an attribute that names an element type by its ONNX number; 0 is absent.
func modelType(c *op.Import, name string) (dtype.Type, error) {
	if v, ok := c.Model.Attr(name); ok && v.Kind == attr.Elem {
		return v.Elem, nil
	}
	n := modelInt(c, name, 0)
	if n == 0 {
		return dtype.Invalid, nil
	}
	t, ok := onnxTypes[n]
	if !ok {
		return dtype.Invalid, c.N.Errorf(ir.ErrUnsupported, "%s: element type %d", name, n)
	}
	return t, nil
}

// onnxTypes numbers element types as TensorProto.DataType does.
var onnxTypes = map[int64]dtype.Type{1: dtype.F32, 2: dtype.U8, 3: dtype.I8, 4: dtype.U16, 5: dtype.I16, 6: dtype.I32, 7: dtype.I64,
	8: dtype.String, 9: dtype.Bool, 10: dtype.F16, 11: dtype.F64, 12: dtype.U32, 13: dtype.U64, 14: dtype.C64, 15: dtype.C128, 16: dtype.BF16,
	17: dtype.F8E4M3FN, 18: dtype.F8E4M3FNUZ, 19: dtype.F8E5M2, 20: dtype.F8E5M2FNUZ, 21: dtype.U4, 22: dtype.I4, 23: dtype.F4E2M1,
	24: dtype.F8E8M0, 25: dtype.U2, 26: dtype.I2}

func scaleAttrs(c *op.Import, to dtype.Type) attr.List {
	l := named("to", to, "block_size", modelInt(c, "block_size", 0))
	if c.Version >= 13 {
		l = append(l, named("axis", modelInt(c, "axis", 1))...)
	}
	return l
}

func importQuantize(c *op.Import) ([]*ir.Value, error) {
	to, err := modelType(c, "output_dtype")
	if err != nil {
		return nil, err
	}
	if c.Has(2) {
		to = c.Elem(2)
	} else if to == dtype.Invalid {
		to = dtype.U8
	}
	precision, err := modelType(c, "precision")
	if err != nil {
		return nil, err
	}
	l := append(scaleAttrs(c, to), named("saturate", modelInt(c, "saturate", 1) != 0)...)
	if precision != dtype.Invalid {
		l = append(l, named("precision", precision)...)
	}
	return []*ir.Value{c.CallWith("quantize_linear", l, c.N.In...)}, c.Err()
}

func importDequantize(c *op.Import) ([]*ir.Value, error) {
	to, err := modelType(c, "output_dtype")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		if to = dtype.F32; c.Has(1) && op.Float.Has(c.Elem(1)) {
			to = c.Elem(1)
		}
	}
	return []*ir.Value{c.CallWith("dequantize_linear", scaleAttrs(c, to), c.N.In...)}, c.Err()
}

// importDynamicQuantize: scale = (max(x, 0) - min(x, 0)) / 255, 1 where that is 0; zero point = saturate(round_even(-min/scale)).
func importDynamicQuantize(c *op.Import) ([]*ir.Value, error) {
	x := c.In(0)
	if x == nil {
		return nil, fmt.Errorf("operand 0 is missing")
	}
	axes := make([]int, x.Rank())
	for i := range axes {
		axes[i] = i
	}
	zero := c.Like(x, 0)
	lo := c.Call("min", c.Reshape(c.Reduce("min", x, axes...), nil), zero)
	hi := c.Call("max", c.Reshape(c.Reduce("max", x, axes...), nil), zero)
	scale := c.Call("div", c.Call("sub", hi, lo), c.Like(x, 255))
	scale = c.Call("where", c.Call("equal", scale, zero), c.Like(x, 1), scale)
	zp := c.CallWith("quantize_linear", named("to", dtype.U8), c.Call("neg", lo), scale)
	y := c.CallWith("quantize_linear", named("to", dtype.U8), x, scale, zp)
	return []*ir.Value{y, scale, zp}, c.Err()
}

// MatMulInteger is a matrix product of integers with zero points.
var MatMulInteger = op.Def{
	Name: "matmul_integer",
	Doc:  "y[..., m, n] = sum over k of (a[..., m, k] - a_zero_point) * (b[..., k, n] - b_zero_point) in i32; zero points are one value, or one per row of a and column of b.",
	From: []op.Source{{Op: "MatMulInteger", Since: []int{10}}},
	Sig: op.Sig{In: []op.Arg{{Name: "a", Elem: byteInts}, {Name: "b", Elem: byteInts}, {Name: "a_zero_point", Elem: byteInts, Optional: true}, {Name: "b_zero_point", Elem: byteInts, Optional: true}},
		Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		s, err := productShape(c, c.Shape(0), c.Shape(1))
		if err != nil {
			return err
		}
		c.Set(0, dtype.I32, s)
		return nil
	},
	Host: quant.MatMulInteger,
	VJP:  discrete,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.U8, dtype.I8, dtype.U8, dtype.I8).Range(0, 100).Shapes("[B, 4, 5]", "[5, 3]", "[]", "[3]").Shapes("[4, 5]", "[5, 3]")
		c.Elem(dtype.U8, dtype.U8).Range(0, 250).Shapes("[2, 1, 3, 4]", "[B, 4, 2]", "[]").Shapes("[4]", "[4, 3]").Shapes("[3, 4]", "[4]")
	},
}

// productShape is the shape of a matrix product with leading axes broadcast; vectors lose their axis.
func productShape(c *op.Infer, a, b []dim.Expr) ([]dim.Expr, error) {
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("shapes %v and %v: want rank 1 or more", a, b)
	}
	k := b[0]
	if len(b) > 1 {
		k = b[len(b)-2]
	}
	if err := c.Guard(a[len(a)-1], k, "inner extents"); err != nil {
		return nil, err
	}
	lead, err := c.Broadcast(a[:max(len(a)-2, 0)], b[:max(len(b)-2, 0)])
	if err != nil {
		return nil, err
	}
	if len(a) > 1 {
		lead = append(lead, a[len(a)-2])
	}
	if len(b) > 1 {
		lead = append(lead, b[len(b)-1])
	}
	return lead, nil
}

// QLinearMatMul is a matrix product between quantised tensors.
var QLinearMatMul = op.Def{
	Name: "qlinear_matmul",
	Doc:  "quantize_linear of the product of dequantised a and b, by y_scale and y_zero_point.",
	From: []op.Source{{Op: "QLinearMatMul", Since: []int{10, 21}}},
	Sig: op.Sig{In: []op.Arg{{Name: "a", Elem: quantised}, {Name: "a_scale", Elem: realScales}, {Name: "a_zero_point", Elem: quantised},
		{Name: "b", Elem: quantised}, {Name: "b_scale", Elem: realScales}, {Name: "b_zero_point", Elem: quantised},
		{Name: "y_scale", Elem: realScales}, {Name: "y_zero_point", Elem: quantised}},
		Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		s, err := productShape(c, c.Shape(0), c.Shape(3))
		if err != nil {
			return err
		}
		c.Set(0, c.Elem(7), s)
		return nil
	},
	Host: quant.QLinearMatMul,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.U8, dtype.F32, dtype.U8, dtype.U8, dtype.F32, dtype.U8, dtype.F32, dtype.U8).Range(1, 50).
			Shapes("[B, 4, 5]", "[]", "[]", "[5, 3]", "[3]", "[3]", "[]", "[]")
	},
}
