package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// microsoftSpellings are fused operators; importers take them apart again, so that passes see one form of everything.
func microsoftSpellings() []op.Source {
	row := func(name string, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Domain: microsoft, Op: name, Since: []int{1}, Import: f}
	}
	biased := func(f func(c *op.Import, x *ir.Value) *ir.Value) func(*op.Import) ([]*ir.Value, error) {
		return func(c *op.Import) ([]*ir.Value, error) {
			if err := tensors(c, 1, 2); err != nil {
				return nil, err
			}
			x := c.In(0)
			if c.Has(1) {
				x = c.Call("add", x, c.In(1))
			}
			return []*ir.Value{f(c, x)}, c.Err()
		}
	}
	gelu := func(approximate string) func(c *op.Import, x *ir.Value) *ir.Value {
		return func(c *op.Import, x *ir.Value) *ir.Value {
			return c.CallWith("gelu", named("approximate", approximate), x)
		}
	}
	return []op.Source{
		row("Gelu", biased(gelu("none"))), row("BiasGelu", biased(gelu("none"))), row("FastGelu", biased(gelu("tanh"))),
		row("QuickGelu", one(func(c *op.Import, x *ir.Value) *ir.Value { return swish(c, x, number(c, "alpha", 1.702)) })),
		row("BiasAdd", importBiasAdd), row("CDist", importCDist),
		row("Range", importRange), row("ExpandDims", importExpandDims),
		row("Pad", func(c *op.Import) ([]*ir.Value, error) {
			d := *c
			d.Version = 13
			return importPad(&d)
		}),
		row("GatherND", func(c *op.Import) ([]*ir.Value, error) {
			return []*ir.Value{c.Call("gather_nd", c.N.In...)}, c.Err()
		}),
		row("Trilu", func(c *op.Import) ([]*ir.Value, error) {
			return []*ir.Value{c.CallWith("trilu", named("upper", modelInt(c, "upper", 1) != 0), c.N.In...)}, c.Err()
		}),
		row("SkipLayerNormalization", importSkipNorm(true)), row("SkipSimplifiedLayerNormalization", importSkipNorm(false)),
		row("EmbedLayerNormalization", importEmbedNorm), row("GroupNorm", importGroupNormMS),
		row("FusedMatMul", importFusedMatMul), row("TransposeMatMul", importFusedMatMul),
		row("FusedConv", importFusedConv), row("FusedGemm", importFusedGemm),
		{Op: "SimplifiedLayerNormalization", Since: []int{1}, Import: importSimplified}, // not in the standard, though without a domain
		row("SimplifiedLayerNormalization", importSimplified),
		{Op: "LayerNormalization", Since: []int{1}, Until: 17, Import: importLayerNorm}, // before the standard had it: what fusing makes of older models
		row("LayerNormalization", importLayerNorm),
	}
}

// importSimplified gives y and, where it is named, 1/sqrt(mean(x^2) + epsilon).
func importSimplified(c *op.Import) ([]*ir.Value, error) {
	y, err := importRMSNorm(c)
	if err != nil || c.NumOuts < 2 || !c.Outs[1] {
		return y, err
	}
	axis := int(modelInt(c, "axis", -1))
	if axis < 0 {
		axis += c.In(0).Rank()
	}
	var axes []int
	for i := axis; i < c.In(0).Rank(); i++ {
		axes = append(axes, i)
	}
	x := widen(c.Build, c.In(0))
	v := c.Reduce("mean", c.Call("mul", x, x), axes...)
	if c.Err() != nil {
		return nil, c.Err()
	}
	return append(y, c.Call("recip", c.Call("sqrt", c.Call("add", v, c.Like(v, number(c, "epsilon", 1e-5)))))), c.Err()
}

// importExpandDims puts an axis of one element at a constant place.
func importExpandDims(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	at, ok := ints(c.Node, 1)
	r := c.In(0).Rank()
	if !ok || len(at) != 1 || at[0] < -int64(r)-1 || at[0] > int64(r) {
		return nil, fmt.Errorf("%w: axis %v of %v", ir.ErrUnsupported, at, c.In(0).Type)
	}
	if at[0] < 0 {
		at[0] += int64(r) + 1
	}
	s := c.In(0).Type.Shape
	shape := append(append(append([]dim.Expr(nil), s[:at[0]]...), dim.Const(1)), s[at[0]:]...)
	return []*ir.Value{c.Reshape(c.In(0), shape)}, c.Err()
}

// importCDist is the distance of every row of a to every row of b, or its square.
func importCDist(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	metric := modelStr(c, "metric", "sqeuclidean")
	if metric != "sqeuclidean" && metric != "euclidean" || c.In(0).Rank() != 2 || c.In(1).Rank() != 2 {
		return nil, fmt.Errorf("%w: metric %q of %v and %v", ir.ErrUnsupported, metric, c.In(0).Type, c.In(1).Type)
	}
	a, b, one := c.In(0).Type.Shape, c.In(1).Type.Shape, dim.Const(1)
	d := c.Call("sub", c.Reshape(c.In(0), []dim.Expr{a[0], one, a[1]}), c.Reshape(c.In(1), []dim.Expr{one, b[0], b[1]}))
	y := c.Reshape(c.Reduce("sum", c.Call("mul", d, d), 2), []dim.Expr{a[0], b[0]})
	if metric == "euclidean" {
		y = c.Call("sqrt", y)
	}
	return []*ir.Value{y}, c.Err()
}

// importBiasAdd is x + bias + skip.
func importBiasAdd(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 3); err != nil {
		return nil, err
	}
	return []*ir.Value{c.Call("add", c.Call("add", c.In(0), c.In(1)), c.In(2))}, c.Err()
}

// importSkipNorm normalises input + skip + bias; the sum is result 3. Operands input, skip, gamma, with center beta, bias.
func importSkipNorm(center bool) func(*op.Import) ([]*ir.Value, error) {
	bias := 3
	if center {
		bias = 4
	}
	return func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 3, bias+1); err != nil {
			return nil, err
		}
		x := c.In(0)
		if c.Has(bias) {
			x = c.Call("add", x, c.In(bias))
		}
		x = c.Call("add", x, c.In(1))
		epsilon := number(c, "epsilon", 1e-12)
		out := make([]*ir.Value, 4)
		if !center {
			out[0], out[3] = c.CallWith("rms_norm", named("epsilon", epsilon), x, c.In(2)), x
			return out, c.Err()
		}
		stats := c.NumOuts > 1 && (c.Outs[1] || c.NumOuts > 2 && c.Outs[2])
		copy(out, c.Do("layer_norm", []*ir.Value{x, c.In(2), c.In(3)}, named("epsilon", epsilon, "stats", stats)))
		out[3] = x
		return out, c.Err()
	}
}

// importEmbedNorm: ids, segments, tables of words, positions and segments, gamma, beta, mask, positions; results the norm
// of the sum of rows, the number of ones in each row of the mask, and the sum.
func importEmbedNorm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 9); err != nil {
		return nil, err
	}
	ids := c.In(0)
	if !c.Has(2) || !c.Has(3) || ids.Rank() != 2 || c.In(3).Rank() != 2 || !c.Has(5) {
		return nil, fmt.Errorf("ids of shape %v, tables of words and positions, and gamma are wanted", ids.Type.Shape)
	}
	pick := func(table, at *ir.Value) *ir.Value { return c.CallWith("gather", named("axis", 0), table, at) }
	x := pick(c.In(2), ids)
	if c.Has(8) {
		x = c.Call("add", x, pick(c.In(3), c.In(8)))
	} else {
		x = c.Call("add", x, cut(c.Build, c.In(3), 0, dim.Expr{}, 1, ids.Type.Shape[1]))
	}
	if c.Has(1) && c.Has(4) {
		x = c.Call("add", x, pick(c.In(4), c.In(1)))
	}
	y := c.CallWith("layer_norm", named("epsilon", number(c, "epsilon", 1e-12)), x, c.In(5), c.In(6))
	var n *ir.Value
	if c.NumOuts > 1 && c.Outs[1] {
		n = c.ExpandTo(c.Builder.Scalar(dtype.I32, 0), ids.Type.Shape[:1])
		if c.Has(7) {
			n = c.Reshape(c.Reduce("sum", c.Cast(c.In(7), dtype.I32), 1), ids.Type.Shape[:1])
		}
	}
	return []*ir.Value{y, n, x}[:max(1, min(3, c.NumOuts))], c.Err()
}

// importGroupNormMS has channels last unless channels_last is 0; activation 1 is silu.
func importGroupNormMS(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 3); err != nil {
		return nil, err
	}
	x := c.In(0)
	r := x.Rank()
	if r < 3 {
		return nil, fmt.Errorf("operand 0: want 3 axes or more, got %v", x.Type)
	}
	last := modelInt(c, "channels_last", 1) != 0
	forth, back := []int{0, r - 1}, []int{0}
	for i := 1; i < r-1; i++ {
		forth, back = append(forth, i), append(back, i+1)
	}
	back = append(back, 1)
	if last {
		x = c.Transpose(x, forth)
	}
	y := groupNorm(c.Build, x, c.In(1), c.In(2), modelInt(c, "groups", 0), number(c, "epsilon", 1e-5), stash(x))
	if last {
		y = c.Transpose(y, back)
	}
	if modelInt(c, "activation", 0) != 0 {
		y = c.Call("silu", y)
	}
	return []*ir.Value{y}, c.Err()
}

// importFusedMatMul is alpha * a' * b'. transA swaps the last two axes; transBatchA says that the first axis belongs before
// the last one.
func importFusedMatMul(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	turn := func(x *ir.Value, batch, swap string) *ir.Value {
		r := x.Rank()
		if r < 2 {
			return x
		}
		perm := make([]int, 0, r)
		for i := range r {
			perm = append(perm, i)
		}
		if modelInt(c, batch, 0) != 0 {
			perm = append(append(append([]int{}, perm[1:r-1]...), 0), r-1)
		}
		if modelInt(c, swap, 0) != 0 {
			perm[r-1], perm[r-2] = perm[r-2], perm[r-1]
		}
		return c.Transpose(x, perm)
	}
	y := c.Call("matmul", turn(c.In(0), "transBatchA", "transA"), turn(c.In(1), "transBatchB", "transB"))
	if alpha := number(c, "alpha", 1); alpha != 1 && c.Err() == nil {
		y = c.Call("mul", y, c.Like(y, alpha))
	}
	return []*ir.Value{y}, c.Err()
}

// with is the import of the same node with other operands.
func with(c *op.Import, in ...*ir.Value) *op.Import {
	d := *c
	d.Build = op.NewBuild(c.Builder, c.N, in)
	return &d
}

// importFusedConv is activation(conv(x, w, b) + z).
func importFusedConv(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 4); err != nil {
		return nil, err
	}
	in := c.N.In
	if len(in) > 3 {
		in = in[:3]
	}
	out, err := importConv(with(c, in...), "conv", 1, 0)
	if err != nil {
		return nil, err
	}
	y := out[0]
	if c.Has(3) {
		y = c.Call("add", y, c.In(3))
	}
	a, _ := c.Model.Attr("activation_params")
	return activated(c, y, a.Floats)
}

func importFusedGemm(c *op.Import) ([]*ir.Value, error) {
	y, err := importGemm(c)
	if err != nil {
		return nil, err
	}
	return activated(c, y[0], []float64{number(c, "activation_alpha", 0.01), number(c, "activation_beta", 0.5)})
}

// activated applies the activation that a fused operator names, with its parameters.
func activated(c *op.Import, x *ir.Value, p []float64) ([]*ir.Value, error) {
	if c.Err() != nil {
		return nil, c.Err()
	}
	param := func(i int, def float64) float64 {
		if i < len(p) {
			return p[i]
		}
		return def
	}
	switch name := modelStr(c, "activation", ""); name {
	case "":
	case "Relu", "Tanh", "Sigmoid", "Softplus":
		x = c.Call(map[string]string{"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softplus": "softplus"}[name], x)
	case "LeakyRelu":
		x = c.CallWith("leaky_relu", named("alpha", param(0, 0.01)), x)
	case "HardSigmoid":
		x = c.CallWith("hard_sigmoid", named("alpha", param(0, 0.2), "beta", param(1, 0.5)), x)
	case "Clip":
		x = c.Call("clip", x, c.Like(x, param(0, -3.4028235e38)), c.Like(x, param(1, 3.4028235e38)))
	default:
		return nil, fmt.Errorf("%w: activation %q", ir.ErrUnsupported, name)
	}
	return []*ir.Value{x}, c.Err()
}
