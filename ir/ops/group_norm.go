package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// normSpellings are norms that importers make of layer_norm, or of reductions.
func normSpellings() []op.Source {
	return []op.Source{
		{Op: "GroupNormalization", Since: []int{18, 21}, Import: importGroupNorm},
		{Op: "MeanVarianceNormalization", Since: []int{9, 13}, Import: importMeanVariance},
		{Op: "LpNormalization", Since: []int{1, 22}, Import: importLpNorm},
	}
}

// groupNorm normalises x [n, c, ...] over groups of channels and all positions (Wu and He, 2018). scale and shift have an
// entry for each channel.
func groupNorm(b *op.Build, x, scale, shift *ir.Value, groups int64, epsilon float64, t dtype.Type) *ir.Value {
	if b.Err() != nil {
		return nil
	}
	s := x.Type.Shape
	if groups <= 0 || len(s) < 2 || scale.Rank() != 1 || shift.Rank() != 1 {
		b.Fail(fmt.Errorf("%d groups of %v, scale %v", groups, x.Type, scale.Type))
		return nil
	}
	g := dim.Const(groups)
	part := append([]dim.Expr{s[0], g, dim.Div(s[1], g)}, s[2:]...)
	if !b.Builder.M.Dims.Guard(dim.Mul(part[2], g), s[1], false, "groups") {
		b.Fail(fmt.Errorf("%d groups of %v channels", groups, s[1]))
		return nil
	}
	y := b.Reshape(b.Cast(x, t), []dim.Expr{s[0], g, dim.Product(part[2:])})
	mean := b.Reduce("mean", y, 2)
	d := b.Call("sub", y, mean)
	v := b.Reduce("mean", b.Call("mul", d, d), 2)
	y = b.Call("mul", d, b.Call("recip", b.Call("sqrt", b.Call("add", v, b.Like(d, epsilon)))))
	y = b.Call("mul", b.Reshape(y, s), perChannel(b, b.Cast(scale, t), len(s)))
	return b.Cast(b.Call("add", y, perChannel(b, b.Cast(shift, t), len(s))), x.Type.Elem)
}

// importGroupNorm: scale and bias have an entry for each group before version 21.
func importGroupNorm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 3); err != nil {
		return nil, err
	}
	b, groups := c.Build, modelInt(c, "num_groups", 0)
	x, scale, shift := c.In(0), c.In(1), c.In(2)
	if x.Rank() < 2 || groups <= 0 {
		return nil, fmt.Errorf("%d groups of %v", groups, x.Type)
	}
	t := stash(x)
	if e, ok := onnxElem[modelInt(c, "stash_type", 1)]; ok && c.Version >= 21 && op.Float.Has(e) && e.Bits() > t.Bits() {
		t = e
	}
	if c.Version < 21 {
		each := func(v *ir.Value) *ir.Value {
			g := dim.Const(groups)
			n := dim.Div(x.Type.Shape[1], g)
			return b.Reshape(b.ExpandTo(b.Reshape(v, []dim.Expr{g, dim.Const(1)}), []dim.Expr{g, n}), []dim.Expr{dim.Mul(g, n)})
		}
		scale, shift = each(scale), each(shift)
	}
	return []*ir.Value{groupNorm(b, x, scale, shift, groups, number(c, "epsilon", 1e-5), t)}, c.Err()
}

// importMeanVariance is (x - mean) / (sqrt(E[x^2] - mean^2) + 1e-9) over the axes.
func importMeanVariance(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	list := []int64{0, 2, 3}
	if a, ok := c.Model.Attr("axes"); ok && a.Kind == attr.Ints {
		list = a.Ints
	}
	list, err := normAxes(list, c.In(0).Rank())
	if err != nil {
		return nil, err
	}
	var axes []int
	for _, a := range list {
		axes = append(axes, int(a))
	}
	x := widen(c.Build, c.In(0))
	d := c.Call("sub", x, c.Reduce("mean", x, axes...))
	s := c.Call("sqrt", c.Reduce("mean", c.Call("mul", d, d), axes...))
	if c.Err() != nil {
		return nil, c.Err()
	}
	return []*ir.Value{c.Cast(c.Call("div", d, c.Call("add", s, c.Like(s, 1e-9))), c.Elem(0))}, c.Err()
}

// importLpNorm divides by the norm along an axis; a norm of 0 gives 0.
func importLpNorm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	axis := int(modelInt(c, "axis", -1))
	if axis < 0 {
		axis += c.In(0).Rank()
	}
	x := widen(c.Build, c.In(0))
	var n *ir.Value
	switch p := modelInt(c, "p", 2); p {
	case 1:
		n = c.Reduce("sum", c.Call("abs", x), axis)
	case 2:
		n = c.Call("sqrt", c.Reduce("sum", c.Call("mul", x, x), axis))
	default:
		return nil, fmt.Errorf("p: want 1 or 2, got %d", p)
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	zero := c.Call("equal", n, c.Like(n, 0))
	y := c.Call("where", zero, c.Like(x, 0), c.Call("div", x, c.Call("where", zero, c.Like(n, 1), n)))
	return []*ir.Value{c.Cast(y, c.Elem(0))}, c.Err()
}
