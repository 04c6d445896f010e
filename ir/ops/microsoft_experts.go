package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// microsoftExpertSpellings are mixtures of experts. Every expert sees every row, and the weight of a row that did not choose
// it is 0.
func microsoftExpertSpellings() []op.Source {
	return []op.Source{
		{Domain: microsoft, Op: "MoE", Since: []int{1}, Import: importMoE},
		{Domain: microsoft, Op: "QMoE", Since: []int{1}, Import: importQMoE},
	}
}

// experts is the feed-forward nets of a mixture: w [experts, out, in], biases [experts, out] or nil.
type experts struct {
	w1, b1, w2, b2, w3, b3 *ir.Value
	router, weights        *ir.Value // scores that choose, and those that weigh where they are others
	chosen                 bool      // the softmax is that of the chosen scores
}

// importMoE: rows, scores of the router, then weights and bias of each layer.
func importMoE(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 8); err != nil {
		return nil, err
	}
	return mixture(c, experts{w1: c.In(2), b1: c.In(3), w2: c.In(4), b2: c.In(5), w3: c.In(6), b3: c.In(7), router: c.In(1), chosen: modelInt(c, "normalize_routing_weights", 0) != 0})
}

// importQMoE has weights as integers, several a byte, with a scale for each row or block of one: rows, scores of the router,
// then weights, scales and bias of each layer, then zero points, then scores that weigh. Zero points of rows lie several a
// byte along the rows.
func importQMoE(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 15); err != nil {
		return nil, err
	}
	if kind := modelStr(c, "quant_type", "int"); kind != "int" || modelInt(c, "weights_prepacked", -1) == 1 {
		return nil, fmt.Errorf("%w: weights of type %q, or packed for a processor", ir.ErrUnsupported, kind)
	}
	bits := modelInt(c, "expert_weight_bits", 4)
	var w [3]*ir.Value
	for i := range w {
		x, scale := c.In(2+3*i), c.In(3+3*i)
		if x == nil {
			continue
		}
		own := modelInt(c, fmt.Sprintf("fc%d_expert_weight_bits", i+1), bits)
		elem, ok := map[int64]dtype.Type{2: dtype.U2, 4: dtype.U4, 8: dtype.U8}[own]
		if !ok || scale == nil || x.Rank() != 3 || x.Type.Elem != dtype.U8 || scale.Rank() < 2 || scale.Rank() > 3 {
			return nil, fmt.Errorf("%w: experts of %d bits, %v", ir.ErrUnsupported, own, x.Type)
		}
		n := dim.Mul(x.Type.Shape[2], dim.Const(8/own))
		if own < 8 {
			x = unpackLast(c.Build, x, elem, n)
		}
		block := modelInt(c, "block_size", 0)
		zero := c.In(11 + i)
		if scale.Rank() == 2 {
			if zero != nil && zero.Rank() == 2 && own < 8 {
				zero = unpackLast(c.Build, zero, elem, scale.Type.Shape[1])
			}
			width, ok := n.Int()
			if !ok {
				return nil, fmt.Errorf("%w: experts of %v", ir.ErrUnsupported, c.In(2+3*i).Type)
			}
			block = width
			scale = c.Reshape(scale, append(append([]dim.Expr(nil), scale.Type.Shape...), dim.Const(1)))
		}
		if block < 1 {
			return nil, fmt.Errorf("%w: blocks of %d", ir.ErrUnsupported, block)
		}
		switch {
		case zero == nil:
			zero = c.ExpandTo(c.Builder.Scalar(elem, float64(int(1)<<(own-1))), scale.Type.Shape)
		case zero.Type.Elem != elem:
			zero = unpackLast(c.Build, zero, elem, scale.Type.Shape[2])
		default:
			zero = c.Reshape(zero, scale.Type.Shape)
		}
		w[i] = c.CallWith("dequantize_linear", named("to", scale.Type.Elem, "axis", 2, "block_size", block), x, scale, zero)
		if c.Err() != nil {
			return nil, c.Err()
		}
	}
	return mixture(c, experts{w1: w[0], b1: c.In(4), w2: w[1], b2: c.In(7), w3: w[2], b3: c.In(10), router: c.In(1), weights: c.In(14), chosen: true})
}

// mixture is the sum over the k experts of a row with the largest scores of their results times their weights: the softmax of
// the scores, of all of them or of the chosen ones.
func mixture(c *op.Import, e experts) ([]*ir.Value, error) {
	b, x := c.Build, c.In(0)
	if x == nil || e.router == nil || e.router.Rank() != 2 || e.w1 == nil || e.w2 == nil || e.w1.Rank() != 3 || e.w2.Rank() != 3 || x.Rank() < 2 || x.Rank() > 3 {
		return nil, fmt.Errorf("rows, scores and two layers of experts are wanted")
	}
	if modelInt(c, "use_sparse_mixer", 0) != 0 {
		return nil, fmt.Errorf("%w: a sparse mixer", ir.ErrUnsupported)
	}
	shape, rows, hidden := x.Type.Shape, e.router.Type.Shape[0], e.w1.Type.Shape[2]
	count := e.router.Type.Shape[1]
	weight, err := routed(c, e, modelInt(c, "k", 1))
	if err != nil {
		return nil, err
	}
	one := dim.Const(1)
	layer := func(x, w, bias *ir.Value) *ir.Value {
		y := b.Call("matmul", x, b.Transpose(w, []int{0, 2, 1}))
		if bias != nil {
			y = b.Call("add", y, b.Reshape(bias, []dim.Expr{bias.Type.Shape[0], one, bias.Type.Shape[1]}))
		}
		return y
	}
	flat := b.Reshape(x, []dim.Expr{one, rows, hidden})
	h := layer(flat, e.w1, e.b1)
	if b.Err() != nil {
		return nil, b.Err()
	}
	if h, err = expertActivation(c, h); err != nil {
		return nil, err
	}
	if e.w3 != nil {
		h = b.Call("mul", h, layer(flat, e.w3, e.b3))
	}
	y := layer(h, e.w2, e.b2)
	y = b.Call("mul", y, b.Reshape(b.Transpose(weight, []int{1, 0}), []dim.Expr{count, rows, one}))
	return []*ir.Value{b.Reshape(b.Reduce("sum", y, 0), shape)}, b.Err()
}

// routed is the weight of every expert for every row, [rows, experts].
func routed(c *op.Import, e experts, k int64) (*ir.Value, error) {
	b, one := c.Build, dim.Const(1)
	rows, count := e.router.Type.Shape[0], e.router.Type.Shape[1]
	scores := e.router
	top := b.Do("topk", []*ir.Value{scores, b.Builder.Ints(k)}, named("axis", -1, "largest", true, "sorted", true))
	if b.Err() != nil {
		return nil, b.Err()
	}
	chosen, at := top[0], top[1]
	switch {
	case e.weights != nil:
		chosen = b.CallWith("gather_elements", named("axis", 1), e.weights, at)
		if modelInt(c, "normalize_routing_weights", 0) != 0 {
			chosen = b.Call("div", chosen, b.Reduce("sum", chosen, 1))
		}
	case e.chosen:
		chosen = b.CallWith("softmax", named("axis", 1), chosen)
	default:
		chosen = b.CallWith("gather_elements", named("axis", 1), b.CallWith("softmax", named("axis", 1), scores), at)
	}
	n, ok := count.Int()
	if !ok {
		return nil, fmt.Errorf("%w: an unknown number of experts", ir.ErrUnsupported)
	}
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = int64(i)
	}
	all := b.Reshape(b.Builder.Ints(numbers...), []dim.Expr{one, one, count})
	hit := b.Call("equal", b.Reshape(at, []dim.Expr{rows, dim.Const(k), one}), all)
	weight := b.Call("mul", b.Cast(hit, chosen.Type.Elem), b.Reshape(chosen, []dim.Expr{rows, dim.Const(k), one}))
	return b.Reshape(b.Reduce("sum", weight, 1), []dim.Expr{rows, count}), b.Err()
}

// expertActivation is the function between the layers. The gated one has gate and value in one layer, alternating or one
// half after the other.
func expertActivation(c *op.Import, h *ir.Value) (*ir.Value, error) {
	b := c.Build
	switch name := modelStr(c, "activation_type", "relu"); name {
	case "relu", "silu":
		return b.Call(name, h), b.Err()
	case "gelu":
		return b.CallWith("gelu", named("approximate", "tanh"), h), b.Err()
	case "identity":
		return h, b.Err()
	case "swiglu":
	default:
		return nil, fmt.Errorf("%w: activation %q", ir.ErrUnsupported, name)
	}
	half := dim.Div(h.Type.Shape[2], dim.Const(2))
	var gate, value *ir.Value
	switch modelInt(c, "swiglu_fusion", 0) {
	case 0:
		return swish(c, h, number(c, "activation_alpha", 1)), b.Err()
	case 1:
		gate, value = cut(b, h, 2, dim.Expr{}, 2, half), cut(b, h, 2, dim.Const(1), 2, half)
	default:
		gate, value = cut(b, h, 2, dim.Expr{}, 1, half), cut(b, h, 2, half, 1, half)
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	if _, ok := c.Model.Attr("swiglu_limit"); ok {
		limit := number(c, "swiglu_limit", 0)
		gate = b.Call("min", gate, b.Like(gate, limit))
		value = b.Call("max", b.Call("min", value, b.Like(value, limit)), b.Like(value, -limit))
	}
	if beta := number(c, "activation_beta", 0); beta != 0 {
		value = b.Call("add", value, b.Like(value, beta))
	}
	return b.Call("mul", swish(c, gate, number(c, "activation_alpha", 1)), value), b.Err()
}
