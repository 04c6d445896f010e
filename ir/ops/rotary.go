package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

func rotarySpellings() []op.Source {
	return []op.Source{
		{Op: "RotaryEmbedding", Since: []int{23}, Import: importRotary},
		{Domain: microsoft, Op: "RotaryEmbedding", Since: []int{1}, Import: importRotaryMS},
	}
}

// rotary turns pairs of elements by the angles of their positions (Su et al., RoFormer, 2021): (x1, x2) -> (x1*cos - x2*sin, x1*sin + x2*cos).
// The first 2*n elements of the last axis are turned, n being the last extent of cos and sin; pairs are neighbours where
// interleaved, else n elements apart. cos and sin broadcast to x without the second half of its last axis.
func rotary(b *op.Build, x, cos, sin *ir.Value, interleaved bool) *ir.Value {
	if b.Err() != nil {
		return nil
	}
	r := x.Rank()
	d, n := x.Type.Shape[r-1], cos.Type.Shape[cos.Rank()-1]
	turned := dim.Mul(dim.Const(2), n)
	if b.Builder.M.Dims.Prove(turned, dim.Gt, d) == dim.Yes {
		b.Fail(fmt.Errorf("angles of %v pairs for %v elements", n, d))
		return nil
	}
	at, step := n, int64(1)
	if interleaved {
		at, step = dim.Const(1), 2
	}
	x1, x2 := cut(b, x, r-1, dim.Expr{}, step, n), cut(b, x, r-1, at, step, n)
	re := b.Call("sub", b.Call("mul", x1, cos), b.Call("mul", x2, sin))
	im := b.Call("add", b.Call("mul", x1, sin), b.Call("mul", x2, cos))
	if b.Err() != nil {
		return nil
	}
	var y *ir.Value
	if interleaved {
		pair := append(append([]dim.Expr(nil), re.Type.Shape...), dim.Const(1))
		y = concat(b, r, b.Reshape(re, pair), b.Reshape(im, pair))
		y = b.Reshape(y, append(append([]dim.Expr(nil), x.Type.Shape[:r-1]...), turned))
	} else {
		y = concat(b, r-1, re, im)
	}
	if !dim.Equal(turned, d) {
		y = concat(b, r-1, y, cut(b, x, r-1, turned, 1, dim.Sub(d, turned)))
	}
	return y
}

// angles picks rows of a table [positions, n] by positions [b, m], with an axis for heads behind axis `before`.
func angles(b *op.Build, table, positions *ir.Value, before int) *ir.Value {
	if positions != nil {
		table = b.CallWith("gather", named("axis", 0), table, positions)
	}
	if b.Err() != nil {
		return table
	}
	s := table.Type.Shape
	if len(s) != 3 {
		b.Fail(fmt.Errorf("angles of shape %v, want 3 axes", s))
		return table
	}
	shape := append(append(append([]dim.Expr(nil), s[:before]...), dim.Const(1)), s[before:]...)
	return b.Reshape(table, shape)
}

// importRotary reads X [b, h, m, d] or [b, m, h*d], cos, sin and, where these are tables, positions.
func importRotary(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 4); err != nil {
		return nil, err
	}
	y := rotate(c.Build, c.In(0), c.In(1), c.In(2), c.In(3), modelInt(c, "num_heads", 0), modelInt(c, "rotary_embedding_dim", 0), modelInt(c, "interleaved", 0) != 0)
	return []*ir.Value{y}, c.Err()
}

func rotate(b *op.Build, x, cos, sin, positions *ir.Value, headCount, turned int64, interleaved bool) *ir.Value {
	if b.Err() != nil {
		return nil
	}
	shape := x.Type.Shape
	before := 1
	switch x.Rank() {
	case 3:
		before = 2
		if headCount <= 0 {
			n, ok := cos.Type.Shape[cos.Rank()-1].Int()
			h, okH := dim.Div(shape[2], dim.Const(max(1, 2*n))).Int()
			if !ok || !okH || turned > 0 {
				b.Fail(fmt.Errorf("num_heads is missing"))
				return nil
			}
			headCount = h
		}
		h := dim.Const(headCount)
		x = b.Reshape(x, []dim.Expr{shape[0], shape[1], h, dim.Div(shape[2], h)})
	case 4:
	default:
		b.Fail(fmt.Errorf("operand 0: want 3 or 4 axes, got %v", x.Type))
		return nil
	}
	if n := cos.Type.Shape[max(cos.Rank()-1, 0)]; turned > 0 && !n.IsConst(turned/2) {
		b.Fail(fmt.Errorf("rotary_embedding_dim %d with angles of shape %v", turned, cos.Type.Shape))
		return nil
	}
	cos, sin = angles(b, cos, positions, before), angles(b, sin, positions, before)
	return b.Reshape(rotary(b, x, cos, sin, interleaved), shape)
}

// importRotaryMS reads input, positions (one for each token, or the first one), cos and sin tables.
func importRotaryMS(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 4, 4); err != nil {
		return nil, err
	}
	if modelInt(c, "is_packed_batching", 0) != 0 {
		return nil, fmt.Errorf("%w: packed batching", ir.ErrUnsupported)
	}
	b, x, at := c.Build, c.In(0), c.In(1)
	if x.Rank() < 3 {
		return nil, fmt.Errorf("operand 0: want 3 or 4 axes, got %v", x.Type)
	}
	batch, m := x.Type.Shape[0], x.Type.Shape[1]
	if x.Rank() == 4 {
		m = x.Type.Shape[2]
	}
	if at.Rank() < 2 {
		first := b.Reshape(b.Cast(at, dtype.I64), nil)
		at = b.ExpandTo(b.Call("add", count(b, m, 1), first), []dim.Expr{batch, m})
	}
	y := rotate(b, x, c.In(2), c.In(3), at, modelInt(c, "num_heads", 0), modelInt(c, "rotary_embedding_dim", 0), modelInt(c, "interleaved", 0) != 0)
	if s := number(c, "scale", 1); s != 1 && c.Err() == nil {
		y = c.Call("mul", y, c.Like(y, s))
	}
	return []*ir.Value{y}, c.Err()
}
