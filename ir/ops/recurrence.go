package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/index"
	"github.com/llmc-go/llmc/ir/host/linear"
	"github.com/llmc-go/llmc/ir/op"
)

// recurrenceDefs carry something from one position to the next, or order and turn round positions.
func recurrenceDefs() []*op.Def {
	return []*op.Def{&LinearAttention, &Det, &Unique, &ReverseSequence, &CumProd}
}

func recurrenceSpellings() []op.Source {
	return []op.Source{
		{Op: "CausalConvWithState", Since: []int{27}, Import: importCausalConv},
		{Domain: microsoft, Op: "CausalConvWithState", Since: []int{1}, Import: importCausalConv},
	}
}

// LinearAttention is attention without a softmax, as a recurrence.
var LinearAttention = op.Def{
	Name: "linear_attention",
	Doc:  "S = exp(decay_t) * S; u = beta_t * (v_t - S^T k_t), or v_t without beta; S = S + k_t u^T; o_t = scale * S^T q_t, for each head of keys and the heads of queries that share it; scale 0 is 1/sqrt(d).",
	From: []op.Source{{Op: "LinearAttention", Since: []int{27}, Import: importLinearAttention}, {Domain: microsoft, Op: "LinearAttention", Since: []int{1}, Import: importLinearAttention}},
	Sig: op.Sig{In: []op.Arg{{Name: "q", Elem: op.Float}, {Name: "k", Elem: op.Float}, {Name: "v", Elem: op.Float}, {Name: "past", Elem: op.Float, Optional: true}, {Name: "decay", Elem: op.Float, Optional: true}, {Name: "beta", Elem: op.Float, Optional: true}},
		Out: []op.Arg{{Name: "o"}, {Name: "state"}}, Attrs: []op.Attr{{Name: "q_num_heads", Kind: attr.Int, Required: true}, {Name: "kv_num_heads", Kind: attr.Int, Required: true}, floatAttr("scale", 0)}},
	Infer: func(c *op.Infer) error {
		h, hk := c.Int("q_num_heads"), c.Int("kv_num_heads")
		if h < 1 || hk < 1 || h%hk != 0 {
			return fmt.Errorf("%d heads of queries, %d of keys", h, hk)
		}
		for i := range 3 {
			if c.Rank(i) != 3 {
				return fmt.Errorf("operand %d: want 3 axes, got %v", i, c.In(i).Type)
			}
		}
		q, k, v := c.Shape(0), c.Shape(1), c.Shape(2)
		d, e := dim.Div(q[2], dim.Const(h)), dim.Div(v[2], dim.Const(hk))
		for _, p := range []struct {
			a, b dim.Expr
			what string
		}{{q[0], k[0], "batch"}, {q[0], v[0], "batch"}, {q[1], k[1], "positions"}, {q[1], v[1], "positions"}, {dim.Mul(d, dim.Const(h)), q[2], "heads"},
			{dim.Mul(d, dim.Const(hk)), k[2], "heads"}, {dim.Mul(e, dim.Const(hk)), v[2], "heads"}} {
			if err := c.Guard(p.a, p.b, p.what); err != nil {
				return err
			}
		}
		t := c.Elem(0)
		c.Set(0, t, []dim.Expr{q[0], q[1], dim.Mul(dim.Const(h), e)})
		if c.Has(3) {
			t = c.Elem(3)
		}
		c.Set(1, t, []dim.Expr{q[0], dim.Const(hk), d, e})
		return nil
	},
	Host: linear.LinearAttention,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Range(-1, 1).With(named("q_num_heads", 4, "kv_num_heads", 2)).Shapes("[B, T, 12]", "[B, T, 6]", "[B, T, 8]").Shapes("[2, 3, 12]", "[2, 3, 6]", "[2, 3, 8]", "[2, 2, 3, 4]", "[2, 3, 6]", "[2, 3, 1]")
	},
}

func importLinearAttention(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 6); err != nil {
		return nil, err
	}
	rule := modelStr(c, "update_rule", "gated_delta")
	needs, ok := map[string][2]bool{"linear": {}, "gated": {true, false}, "delta": {false, true}, "gated_delta": {true, true}}[rule]
	if !ok || needs != [2]bool{c.Has(4), c.Has(5)} {
		return nil, fmt.Errorf("update_rule %q with decay: %v, beta: %v", rule, c.Has(4), c.Has(5))
	}
	l := named("q_num_heads", modelInt(c, "q_num_heads", 0), "kv_num_heads", modelInt(c, "kv_num_heads", 0), "scale", number(c, "scale", 0))
	return c.Do("linear_attention", c.N.In, l), c.Err()
}

// importCausalConv is a depthwise convolution over a state [b, c, k-1] and the input behind it; the last k-1 positions are the
// next state.
func importCausalConv(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 4); err != nil {
		return nil, err
	}
	b, x, w := c.Build, c.In(0), c.In(1)
	if x.Rank() != 3 || w.Rank() != 3 {
		return nil, fmt.Errorf("operands %v and %v, want 3 axes", x.Type, w.Type)
	}
	s := x.Type.Shape
	channels, ok := w.Type.Shape[0].Int()
	k, okK := w.Type.Shape[2].Int()
	if !ok || !okK || k < 1 {
		return nil, fmt.Errorf("%w: weights of shape %v", ir.ErrUnsupported, w.Type.Shape)
	}
	before := dim.Const(k - 1)
	past := c.In(3)
	if past == nil {
		past = b.ExpandTo(b.Like(x, 0), []dim.Expr{s[0], s[1], before})
	}
	whole := concat(b, 2, past, x)
	one, none := []int64{1}, []int64{0, 0}
	y := b.Do("conv", []*ir.Value{whole, w, c.In(2)}, named("kernel", []int64{k}, "strides", one, "dilations", one, "pads", none, "group", channels))[0]
	switch a := modelStr(c, "activation", "none"); a {
	case "none":
	case "silu", "swish":
		y = b.Call("silu", y)
	default:
		return nil, fmt.Errorf("activation: %q is not known", a)
	}
	return []*ir.Value{y, cut(b, whole, 2, s[2], 1, before)}, b.Err()
}

// Det is the determinant.
var Det = op.Def{
	Name: "det",
	Doc:  "y[...] = determinant of x[..., m, m].",
	From: []op.Source{{Op: "Det", Since: []int{11, 22}}},
	Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		r := c.Rank(0)
		if r < 2 {
			return fmt.Errorf("matrices of shape %v", c.Shape(0))
		}
		if err := c.Guard(c.Shape(0)[r-1], c.Shape(0)[r-2], "square"); err != nil {
			return err
		}
		c.Set(0, c.Elem(0), c.Shape(0)[:r-2])
		return nil
	},
	Host:  linear.Det,
	VJP:   todo,
	Cases: func(c *op.Cases) { c.Shapes("[B, 3, 3]").Shapes("[2, 2]").Elem(dtype.F64).Shapes("[2, 4, 4]") },
}

// Unique keeps one of equal slices.
var Unique = op.Def{
	Name: "unique",
	Doc:  "y = the different slices of x along axis, or its different elements, sorted or in the order of their first positions; indices: these positions; inverse: which one each slice is; counts: how many are the same.",
	From: []op.Source{{Op: "Unique", Since: []int{11, 28}, Import: func(c *op.Import) ([]*ir.Value, error) {
		l := named("sorted", modelInt(c, "sorted", 1) != 0)
		if a, ok := c.Model.Attr("axis"); ok {
			l = l.Set("axis", a)
		}
		return c.Do("unique", c.N.In, l), c.Err()
	}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Number | op.Bool | op.Set(dtype.String)}}, Out: []op.Arg{{Name: "y"}, {Name: "indices"}, {Name: "inverse"}, {Name: "counts"}},
		Attrs: []op.Attr{{Name: "axis", Kind: attr.Int}, boolAttr("sorted", true)}},
	Infer: func(c *op.Infer) error {
		shape, axis := []dim.Expr{dim.Product(c.Shape(0))}, 0
		if _, ok := c.N.Attrs.Get("axis"); ok {
			var err error
			if axis, err = c.Axis("axis", c.Rank(0)); err != nil {
				return err
			}
			shape = append([]dim.Expr(nil), c.Shape(0)...)
		}
		n := shape[axis]
		shape[axis] = c.Late(0, axis, n)
		c.Set(0, c.Elem(0), shape)
		c.Set(1, dtype.I64, []dim.Expr{shape[axis]})
		c.Set(2, dtype.I64, []dim.Expr{n})
		c.Set(3, dtype.I64, []dim.Expr{shape[axis]})
		return nil
	},
	Host: index.Unique,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.I64).Range(0, 3).With(nil, named("sorted", false)).Shapes("[B, 4]").With(named("axis", 1)).Shapes("[2, 5, S]").Elem(dtype.F16).Shapes("[2, 6]")
	},
}

// ReverseSequence turns rows round.
var ReverseSequence = op.Def{
	Name: "reverse_sequence",
	Doc:  "y = x with the first lengths[b] positions along time_axis in the opposite order, for each position b of batch_axis.",
	From: []op.Source{{Op: "ReverseSequence", Since: []int{10, 28}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "lengths", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("batch_axis", 1), intAttr("time_axis", 0)}},
	Infer: func(c *op.Infer) error {
		b, err := c.Axis("batch_axis", c.Rank(0))
		if err != nil {
			return err
		}
		t, err := c.Axis("time_axis", c.Rank(0))
		if err != nil {
			return err
		}
		if b == t || c.Rank(1) != 1 {
			return fmt.Errorf("axes %d and %d, lengths of shape %v", b, t, c.Shape(1))
		}
		if err := c.Guard(c.Shape(1)[0], c.Shape(0)[b], "lengths"); err != nil {
			return err
		}
		return c.Same(0, 0)
	},
	Host: index.ReverseSequence,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).Range(0, 3).Shapes("[T + 3, B, 2]", "[B]").With(named("batch_axis", 0, "time_axis", 1)).Shapes("[B, 4]", "[B]")
	},
}

// CumProd multiplies up.
var CumProd = op.Def{
	Name: "cumprod",
	Doc:  "y[i] = product of x[j] for j <= i along axis (an operand); exclusive: j < i; reverse counts from the end.",
	From: []op.Source{{Op: "CumProd", Since: []int{26}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Number}, {Name: "axis", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{boolAttr("exclusive", false), boolAttr("reverse", false)}},
	Infer: func(c *op.Infer) error { return c.Same(0, 0) },
	Host:  index.CumProd,
	VJP:   todo,
	Cases: func(c *op.Cases) {
		c.With(nil, named("exclusive", true), named("reverse", true), named("exclusive", true, "reverse", true))
		c.Elem(dtype.F32, dtype.I64).Range(0, 1.9).Shapes("[3, 4]", "[]").Shapes("[B, 4, 2]", "[1]").Elem(dtype.I32, dtype.I32).Shapes("[3, 4]", "[]")
	},
}
