package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/norm"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func normDefs() []*op.Def { return []*op.Def{layerNormDef(), rmsNormDef()} }

var normAttrs = []op.Attr{intAttr("axis", -1), floatAttr("epsilon", 1e-5)}

func layerNormDef() *op.Def {
	return &op.Def{
		Name: "layer_norm",
		Doc:  "y = (x - mean(x)) / sqrt(var(x) + epsilon) * scale + b over the axes from axis on; with stats also the mean and 1/sqrt(var + epsilon).",
		From: []op.Source{{Op: "LayerNormalization", Since: []int{17}, Import: importLayerNorm}},
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "scale", Elem: op.Float}, {Name: "b", Elem: op.Float, Optional: true}},
			Out: []op.Arg{{Name: "y"}, {Name: "mean", Optional: true}, {Name: "inv_std_dev", Optional: true}}, Attrs: append(normAttrs[:2:2], boolAttr("stats", false))},
		NumOut: func(n *ir.Node) int {
			if n.Attrs.Bool("stats") {
				return 3
			}
			return 1
		},
		Infer: func(c *op.Infer) error {
			axis, err := inferNorm(c)
			if err != nil {
				return err
			}
			for i := 1; i < len(c.N.Out); i++ {
				shape := append([]dim.Expr(nil), c.Shape(0)...)
				for k := axis; k < len(shape); k++ {
					shape[k] = dim.Const(1)
				}
				c.Set(i, dtype.F32, shape)
			}
			return nil
		},
		Form: func(f *op.Form) error {
			if f.Bool("stats") {
				return f.No("mean and deviation are results")
			}
			return formNorm(f, true)
		},
		Expand: func(b *op.Build) ([]*ir.Value, error) { return expandNorm(b, true) },
		Host:   norm.Layer,
		VJP:    todo,
		Cases: func(c *op.Cases) {
			c.With(nil, named("axis", 1), named("epsilon", 0.1)).Shapes("[B, 3, S]", "[S]", "[S]").With(nil).Shapes("[B, 4]", "[4]", "_")
			c.With(named("axis", -2)).Shapes("[2, 3, 4]", "[3, 4]", "[4]").With(named("axis", 1, "stats", true)).Shapes("[B, 3, 4]", "[3, 4]", "[3, 4]")
			c.With(nil).Elem(dtype.F64).Shapes("[2, 4]", "[4]", "[4]").Elem(dtype.F16).Tol(2e-3).Shapes("[2, 4]", "[4]", "[4]")
		},
	}
}

func rmsNormDef() *op.Def {
	return &op.Def{
		Name: "rms_norm",
		Doc:  "y = x / sqrt(mean(x^2) + epsilon) * scale over the axes from axis on.",
		From: []op.Source{{Op: "RMSNormalization", Since: []int{23}, Import: importRMSNorm}},
		Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "scale", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}}, Attrs: normAttrs},
		Infer: func(c *op.Infer) error {
			_, err := inferNorm(c)
			return err
		},
		Form:   func(f *op.Form) error { return formNorm(f, false) },
		Expand: func(b *op.Build) ([]*ir.Value, error) { return expandNorm(b, false) },
		Host:   norm.RMS,
		VJP:    todo,
		Cases: func(c *op.Cases) {
			c.With(nil, named("axis", 1), named("epsilon", 0.1)).Shapes("[B, 3, S]", "[S]").With(named("axis", 0)).Shapes("[2, 3, 4]", "[3, 4]")
			c.With(nil).Elem(dtype.F64).Shapes("[2, 4]", "[4]").Elem(dtype.F16).Tol(2e-3).Shapes("[2, 4]", "[4]")
		},
	}
}

// inferNorm checks that scale and b broadcast to x, and gives the first axis that is normalised.
func inferNorm(c *op.Infer) (int, error) {
	axis, err := c.Axis("axis", c.Rank(0))
	if err != nil {
		return 0, err
	}
	if err := c.SameElem(0, 1, 2); err != nil {
		return 0, err
	}
	for i := 1; i < c.NumIn(); i++ {
		if !c.Has(i) {
			continue
		}
		s, err := c.Broadcast(c.Shape(0), c.Shape(i))
		if err != nil {
			return 0, err
		}
		if len(s) != c.Rank(0) {
			return 0, fmt.Errorf("operand %d: %v does not broadcast to %v", i, c.In(i).Type, c.In(0).Type)
		}
		for k, e := range s {
			if v, ok := c.Shape(0)[k].Int(); ok && !e.IsConst(v) {
				return 0, fmt.Errorf("operand %d: %v does not broadcast to %v", i, c.In(i).Type, c.In(0).Type)
			}
		}
	}
	return axis, c.Same(0, 0)
}

// formNorm is a group of rows: two passes over each, then a map with scale and b.
func formNorm(f *op.Form, center bool) error {
	axis, err := f.Axis("axis", f.Rank(0))
	if err != nil {
		return err
	}
	f.Anchor = anchor.Rows
	f.Par(f.Shape(0))
	count := dim.Const(1)
	for k := axis; k < len(f.Space); k++ {
		f.Space[k].Red = true
		count = dim.Mul(count, f.Space[k].Extent)
	}
	f.Dims = []dim.Expr{count}
	t := f.Elem(0)
	b := tile.NewBuilder()
	c := tile.ClassOf(t)
	n := b.Cast(c, b.Dim(0))
	f.Maps = append(f.Maps, f.Broadcast(f.Shape(0), len(f.Space)))
	d := b.Load(0, t)
	if center {
		d = b.Op2(tile.Sub, d, b.Op2(tile.Div, b.Op1(tile.RSum, d), n))
	}
	v := b.Op2(tile.Div, b.Op1(tile.RSum, b.Op2(tile.Mul, d, d)), n)
	inv := b.Op1(tile.Recip, b.Op1(tile.Sqrt, b.Op2(tile.Add, v, b.Float(c, f.Float("epsilon")))))
	y := b.Op2(tile.Mul, d, inv)
	for i, code := range []tile.Op{tile.Mul, tile.Add} {
		if !f.Has(i + 1) {
			if i+1 < f.NumIn() {
				f.Maps = append(f.Maps, nil)
			}
			continue
		}
		f.Maps = append(f.Maps, f.Broadcast(f.Shape(i+1), len(f.Space)))
		y = b.Op2(code, y, b.Load(i+1, t))
	}
	f.Maps = append(f.Maps, f.Broadcast(f.OutShape(0), len(f.Space)))
	b.Store(f.Out(0), b.Narrow(t, y))
	f.Prog = b.Program()
	return b.Err()
}

func expandNorm(b *op.Build, center bool) ([]*ir.Value, error) {
	axis, err := b.Axis("axis", b.Rank(0))
	if err != nil {
		return nil, err
	}
	var axes []int
	for k := axis; k < b.Rank(0); k++ {
		axes = append(axes, k)
	}
	d := widen(b, b.In(0))
	var mean *ir.Value
	if center {
		mean = b.Reduce("mean", d, axes...)
		d = b.Call("sub", d, mean)
	}
	v := b.Reduce("mean", b.Call("mul", d, d), axes...)
	inv := b.Call("recip", b.Call("sqrt", b.Call("add", v, b.Like(d, b.Float("epsilon")))))
	y := b.Call("mul", b.Call("mul", d, inv), widen(b, b.In(1)))
	if b.Has(2) {
		y = b.Call("add", y, widen(b, b.In(2)))
	}
	out := []*ir.Value{b.Cast(y, b.Elem(0))}
	if b.Bool("stats") {
		out = append(out, b.Cast(mean, dtype.F32), b.Cast(inv, dtype.F32))
	}
	return out, b.Err()
}

// normList reads the attributes that both norms have.
func normList(c *op.Import) (attr.List, error) {
	l := named()
	for _, name := range []string{"axis", "epsilon"} {
		if a, ok := c.Model.Attr(name); ok {
			l = l.Set(name, a)
		}
	}
	if a, ok := c.Model.Attr("stash_type"); ok && onnxElem[a.I] != dtype.F32 && onnxElem[a.I] != dtype.F64 {
		return nil, fmt.Errorf("%w: attribute stash_type %d", ir.ErrUnsupported, a.I)
	}
	return l, nil
}

func importLayerNorm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 3); err != nil {
		return nil, err
	}
	l, err := normList(c)
	if err != nil {
		return nil, err
	}
	in := []*ir.Value{c.In(0), c.In(1), c.In(2)}
	return c.Do("layer_norm", in, l.Set("stats", attr.OfBool(c.NumOuts > 1))), c.Err()
}

// importRMSNorm: the result has the type of scale, which may be another than that of x.
func importRMSNorm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	l, err := normList(c)
	if err != nil {
		return nil, err
	}
	x, scale := c.In(0), c.In(1)
	t := scale.Type.Elem
	if x.Type.Elem != t && op.Float.Has(t) && op.Float.Has(x.Type.Elem) {
		wide := dtype.F32
		if t == dtype.F64 || x.Type.Elem == dtype.F64 {
			wide = dtype.F64
		}
		x, scale = c.Cast(x, wide), c.Cast(scale, wide)
	}
	return []*ir.Value{c.Cast(c.CallWith("rms_norm", l, x, scale), t)}, c.Err()
}
