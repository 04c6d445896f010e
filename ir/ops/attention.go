package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/linear"
	"github.com/llmc-go/llmc/ir/op"
)

// Axes: b batch, h query heads, hk heads of keys and values, m queries, t keys, d extent of a head of q and k, e that
// of v.

func attentionDefs() []*op.Def {
	return []*op.Def{{
		Name: "attention",
		Doc:  "o[b, h, m, e] = sum over t of softmax_t(scale * sum over d of q[b, h, m, d] * k[b, h*hk/heads, t, d] + mask[b, h, m, t]) * v[b, h*hk/heads, t, e]; a mask of bool hides where it is false, causal hides keys t > m + T - M; a query that sees no key gives 0.",
		Sig: op.Sig{In: []op.Arg{{Name: "q", Elem: op.Float}, {Name: "k", Elem: op.Float}, {Name: "v", Elem: op.Float}, {Name: "mask", Elem: op.Float | op.Bool, Optional: true}},
			Out: []op.Arg{{Name: "o"}}, Attrs: []op.Attr{{Name: "scale", Kind: attr.Float, Required: true}, boolAttr("causal", false)}},
		Infer:  inferAttention,
		Form:   formAttention,
		Expand: expandAttention,
		Host:   linear.Attention,
		VJP:    todo,
		Cases: func(c *op.Cases) {
			c.With(named("scale", 0.5), named("scale", 0.3, "causal", true)).Shapes("[B, 2, 3, 4]", "[B, 2, 3, 4]", "[B, 2, 3, 5]").Shapes("[2, 4, 3, 4]", "[2, 2, 5, 4]", "[2, 2, 5, 4]")
			c.Elem(dtype.F32, dtype.F32, dtype.F32, dtype.Bool).With(named("scale", 0.5, "causal", true)).Shapes("[1, 2, 3, 4]", "[1, 2, 5, 4]", "[1, 2, 5, 4]", "[3, 5]")
			c.Elem(dtype.F32).Shapes("[1, 1, 5, 4]", "[1, 1, 3, 4]", "[1, 1, 3, 4]")
			c.With(named("scale", 0.5)).Shapes("[B, 2, M, 4]", "[B, 2, S, 4]", "[B, 2, S, 4]", "[B, 1, 1, S]").Shapes("[1, 2, 3, 4]", "[1, 1, 5, 4]", "[1, 1, 5, 4]", "[3, 5]")
		},
	}}
}

func inferAttention(c *op.Infer) error {
	if err := c.SameElem(0, 1, 2); err != nil {
		return err
	}
	if c.Has(3) && c.Elem(3) != dtype.Bool && c.Elem(3) != c.Elem(0) {
		return fmt.Errorf("mask of element type %v, want %v or bool", c.Elem(3), c.Elem(0))
	}
	for i := 0; i < 3; i++ {
		if c.Rank(i) != 4 {
			return fmt.Errorf("operand %d: want rank 4, got %v", i, c.In(i).Type)
		}
	}
	q, k, v := c.Shape(0), c.Shape(1), c.Shape(2)
	for _, p := range []struct {
		a, b dim.Expr
		what string
	}{{q[0], k[0], "batch"}, {q[0], v[0], "batch"}, {q[3], k[3], "axis d"}, {k[1], v[1], "heads of k and v"}, {k[2], v[2], "axis t"}} {
		if err := c.Guard(p.a, p.b, p.what); err != nil {
			return err
		}
	}
	if err := c.Guard(dim.Mul(dim.Div(q[1], k[1]), k[1]), q[1], "heads"); err != nil {
		return err
	}
	if c.Has(3) {
		full := []dim.Expr{q[0], q[1], q[2], k[2]}
		if s, err := c.Broadcast(full, c.Shape(3)); err != nil || len(s) != 4 {
			return fmt.Errorf("mask %v does not broadcast to %v", c.In(3).Type, full)
		}
	}
	c.Set(0, c.Elem(0), []dim.Expr{q[0], q[1], q[2], v[3]})
	return nil
}

// formAttention names the axes b, h, m, e, t, d in this order. Where heads of k and v are shared, no axis of the space runs
// over them: AttendAttr says which is read.
func formAttention(f *op.Form) error {
	acc, err := accumulator(f, f.Elem(0))
	if err != nil {
		return err
	}
	q, k, v := f.Shape(0), f.Shape(1), f.Shape(2)
	f.Anchor = anchor.Attend
	f.Space = []op.Axis{{Name: "b", Extent: q[0]}, {Name: "h", Extent: q[1]}, {Name: "m", Extent: q[2]}, {Name: "e", Extent: v[3]},
		{Name: "t", Extent: k[2], Red: true}, {Name: "d", Extent: q[3], Red: true}}
	at := func(axes ...int) op.Map {
		m := make(op.Map, len(axes))
		for i, a := range axes {
			m[i] = op.At{Axis: a}
		}
		return m
	}
	head := 1
	if !dim.Equal(q[1], k[1]) {
		head = -1
	}
	f.Maps = []op.Map{at(0, 1, 2, 5), at(0, head, 4, 5), at(0, head, 4, 3)}
	if f.NumIn() > 3 {
		var mask op.Map
		if f.Has(3) {
			order := []int{0, 1, 2, 4}
			for i, e := range f.Shape(3) {
				a := order[4-f.Rank(3)+i]
				if e.IsConst(1) && !f.Space[a].Extent.IsConst(1) {
					a = -1
				}
				mask = append(mask, op.At{Axis: a})
			}
		}
		f.Maps = append(f.Maps, mask)
	}
	f.Maps = append(f.Maps, at(0, 1, 2, 3))
	f.Attend = &anchor.AttendAttr{Scale: f.Float("scale"), Causal: f.Bool("causal")}
	f.PostStore(acc)
	return nil
}

func expandAttention(b *op.Build) ([]*ir.Value, error) {
	q, k, v := b.In(0), repeatHeads(b, b.In(1), b.Shape(0)[1]), repeatHeads(b, b.In(2), b.Shape(0)[1])
	s := b.Call("matmul", q, b.Transpose(k, []int{0, 1, 3, 2}))
	s = b.Call("mul", s, b.Like(s, b.Float("scale")))
	low := b.Like(s, math.Inf(-1))
	hides := b.Has(3) || b.Bool("causal")
	if b.Has(3) && b.Elem(3) == dtype.Bool {
		s = b.Call("where", b.In(3), s, low)
	} else if b.Has(3) {
		s = b.Call("add", s, b.In(3))
	}
	if b.Bool("causal") {
		s = b.Call("where", visible(b, b.Shape(0)[2], b.Shape(1)[2]), s, low)
	}
	p := b.CallWith("softmax", named("axis", -1), s)
	if hides { // softmax of a row of -inf is NaN
		p = b.Call("where", b.Call("equal", b.Reduce("max", s, 3), low), b.Like(p, 0), p)
	}
	return []*ir.Value{b.Call("matmul", p, v)}, b.Err()
}

// repeatHeads gives each query head its head of keys or values.
func repeatHeads(b *op.Build, x *ir.Value, heads dim.Expr) *ir.Value {
	s := x.Type.Shape
	if b.Err() != nil || dim.Equal(s[1], heads) {
		return x
	}
	group := dim.Div(heads, s[1])
	x = b.Reshape(x, []dim.Expr{s[0], s[1], dim.Const(1), s[2], s[3]})
	x = b.ExpandTo(x, []dim.Expr{s[0], s[1], group, s[2], s[3]})
	return b.Reshape(x, []dim.Expr{s[0], heads, s[2], s[3]})
}

// visible is the mask of the keys that each query sees: t <= m + T - M.
func visible(b *op.Build, m, t dim.Expr) *ir.Value {
	i64 := func(e dim.Expr) *ir.Value { return b.Builder.Dims(ir.TensorType(dtype.I64), []dim.Expr{e}) }
	zero, one := i64(dim.Expr{}), i64(dim.Const(1))
	rows := b.Reshape(b.Call("range", zero, i64(m), one), []dim.Expr{m, dim.Const(1)})
	cols := b.Call("range", zero, i64(t), one)
	return b.Call("less_equal", cols, b.Call("add", rows, i64(dim.Sub(t, m))))
}
