package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// microsoft is the domain of the operators that ONNX Runtime's optimiser and exporters make
// (docs/ContribOperators.md of that project).
const microsoft = "com.microsoft"

func microsoftAttentionSpellings() []op.Source {
	row := func(name string, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Domain: microsoft, Op: name, Since: []int{1}, Import: f}
	}
	return []op.Source{row("Attention", importAttentionMS), row("QAttention", importQAttention),
		row("MultiHeadAttention", importMultiHead), row("GroupQueryAttention", importGroupQuery)}
}

// unread refuses operands that an importer does not read.
func unread(c *op.Import, operands ...int) error {
	for _, i := range operands {
		if c.Has(i) {
			return fmt.Errorf("%w: operand %d", ir.ErrUnsupported, i)
		}
	}
	return nil
}

// zeroAttrs refuses attributes that ask for what is not done.
func zeroAttrs(c *op.Import, names ...string) error {
	for _, n := range names {
		if v, ok := c.Model.Attr(n); ok && (v.I != 0 || v.S != "" && v.S != "NONE") {
			return fmt.Errorf("%w: attribute %s", ir.ErrUnsupported, n)
		}
	}
	return nil
}

// filter is a mask of numbers as these operators add it: 0 where cond, else mask_filter_value.
func filter(c *op.Import, a *attend, cond *ir.Value) {
	if c.Err() != nil {
		return
	}
	t := a.q.Type.Elem
	a.bias(c.Call("where", cond, c.Builder.Scalar(t, 0), c.Builder.Scalar(t, number(c, "mask_filter_value", -10000))))
}

// bias adds to the scores.
func (a *attend) bias(x *ir.Value) {
	if a.mask != nil {
		x = a.Call("add", a.mask, x)
	}
	a.mask = x
}

// keyMask reads a mask of keys in the shapes that these operators take: [b] numbers of keys, [2b] ends and starts,
// [b, t] or [b, m, t] truth values, [b, 1, M, M] from which rows and columns are cut.
func keyMask(c *op.Import, a *attend, x *ir.Value, first dim.Expr) error {
	b := c.Build
	if b.Err() != nil {
		return b.Err()
	}
	one, batch := dim.Const(1), a.q.Type.Shape[0]
	m, t := a.q.Type.Shape[2], a.k.Type.Shape[2]
	s := x.Type.Shape
	zero := b.Like(x, 0)
	set := func(shape ...dim.Expr) { filter(c, a, b.Reshape(b.Call("not", b.Call("equal", x, zero)), shape)) }
	column := func(v *ir.Value) *ir.Value {
		return b.Reshape(b.Cast(v, dtype.I64), []dim.Expr{batch, one, one, one})
	}
	switch len(s) {
	case 1:
		if dim.Equal(s[0], dim.Mul(dim.Const(2), batch)) {
			ends, starts := cut(b, x, 0, dim.Expr{}, 1, batch), cut(b, x, 0, batch, 1, batch)
			filter(c, a, b.Call("and", b.Call("less", a.keys(), column(ends)), b.Call("greater_equal", a.keys(), column(starts))))
			return b.Err()
		}
		filter(c, a, b.Call("less", a.keys(), column(x)))
	case 2:
		set(s[0], one, one, s[1])
	case 3:
		set(s[0], one, s[1], s[2])
	case 4:
		x = cut(b, cut(b, x, 2, first, 1, m), 3, dim.Expr{}, 1, t)
		set(s[0], s[1], m, t)
	default:
		return fmt.Errorf("mask of shape %v", s)
	}
	return b.Err()
}

// pieces cuts the last axis into parts of the given extents.
func pieces(b *op.Build, x *ir.Value, n ...dim.Expr) []*ir.Value {
	out := make([]*ir.Value, len(n))
	at := dim.Expr{}
	for i, e := range n {
		if b.Err() == nil {
			out[i] = cut(b, x, x.Rank()-1, at, 1, e)
		}
		at = dim.Add(at, e)
	}
	return out
}

// importAttentionMS: input [b, m, i], weights [i, 3*h*d], bias, mask, past [2, b, h, p, d], bias of the scores; results
// output and present.
func importAttentionMS(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 7); err != nil {
		return nil, err
	}
	return projected(c, c.Call("matmul", c.In(0), c.In(1)), c.In(2), c.In(3), c.In(4), c.In(5))
}

// importQAttention is the same over quantised input and weights.
func importQAttention(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 5, 9); err != nil {
		return nil, err
	}
	x := dequantize(c.Build, c.In(0), c.In(3), c.In(6), 0)
	w := dequantize(c.Build, c.In(1), c.In(4), c.In(7), 1)
	return projected(c, c.Call("matmul", x, w), c.In(2), c.In(5), c.In(8), nil)
}

func projected(c *op.Import, x, bias, mask, past, scores *ir.Value) ([]*ir.Value, error) {
	if err := zeroAttrs(c, "do_rotary", "past_present_share_buffer"); err != nil {
		return nil, err
	}
	b := c.Build
	if bias != nil {
		x = b.Call("add", x, bias)
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	if x.Rank() != 3 {
		return nil, fmt.Errorf("input: want 3 axes, got %v", x.Type)
	}
	third := dim.Div(x.Type.Shape[2], dim.Const(3))
	sizes := []dim.Expr{third, third, third}
	if l := modelInts(c, "qkv_hidden_sizes"); len(l) == 3 {
		sizes = []dim.Expr{dim.Const(l[0]), dim.Const(l[1]), dim.Const(l[2])}
	}
	n := modelInt(c, "num_heads", 0)
	qkv := pieces(b, x, sizes...)
	a := &attend{Build: b, q: heads(b, qkv[0], n), k: heads(b, qkv[1], n), v: heads(b, qkv[2], n)}
	first := dim.Expr{}
	if past != nil && b.Err() == nil {
		if past.Rank() != 5 {
			return nil, fmt.Errorf("past: want 5 axes, got %v", past.Type)
		}
		s := past.Type.Shape
		first = s[3]
		half := func(i int64) *ir.Value {
			return b.Reshape(cut(b, past, 0, dim.Const(i), 1, dim.Const(1)), s[1:])
		}
		a.k, a.v = concat(b, 2, half(0), a.k), concat(b, 2, half(1), a.v)
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	if mask != nil {
		if err := keyMask(c, a, mask, first); err != nil {
			return nil, err
		}
	}
	if scores != nil {
		a.bias(scores)
	}
	out, err := finish(c, a, first)
	if err != nil || c.NumOuts < 2 {
		return out, err
	}
	pair := append([]dim.Expr{dim.Const(1)}, a.k.Type.Shape...)
	return append(out, concat(b, 0, b.Reshape(a.k, pair), b.Reshape(a.v, append([]dim.Expr{dim.Const(1)}, a.v.Type.Shape...)))), b.Err()
}

// finish reads scale and unidirectional, and gives [b, m, h*e].
func finish(c *op.Import, a *attend, first dim.Expr) ([]*ir.Value, error) {
	if a.scale = number(c, "scale", 0); a.scale == 0 {
		if err := a.defaultScale(); err != nil {
			return nil, err
		}
	}
	if modelInt(c, "unidirectional", 0) != 0 {
		a.past(first)
	}
	y, err := a.build()
	if err != nil {
		return nil, err
	}
	return []*ir.Value{unheads(c.Build, y)}, c.Err()
}

// importMultiHead: query, key and value, each [b, m, h*d]; or one or two operands that hold several; bias of all three, mask
// of keys, bias of the scores, past key and value; results output, present key and value.
func importMultiHead(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 10); err != nil {
		return nil, err
	}
	if err := unread(c, 9); err != nil {
		return nil, err
	}
	b, n := c.Build, modelInt(c, "num_heads", 0)
	a := &attend{Build: b, want: noScores}
	var bias [3]*ir.Value
	if c.Has(3) {
		bias = multiHeadBias(c, n)
	}
	if err := multiHeadOperands(c, a, n, bias); err != nil {
		return nil, err
	}
	first := dim.Expr{}
	if c.Has(6) && c.Has(7) {
		first = c.In(6).Type.Shape[2]
		a.k, a.v = concat(b, 2, c.In(6), a.k), concat(b, 2, c.In(7), a.v)
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	if c.Has(4) {
		if err := keyMask(c, a, c.In(4), first); err != nil {
			return nil, err
		}
	}
	if c.Has(5) {
		a.bias(c.In(5))
	}
	if c.NumOuts > 3 && c.Outs[3] {
		a.want = rawScores
	}
	out, err := finish(c, a, first)
	if err != nil {
		return nil, err
	}
	return append(out, a.k, a.v, a.qk)[:max(1, min(4, c.NumOuts))], nil
}

// multiHeadBias cuts the bias into its three parts; q and k have equally many elements.
func multiHeadBias(c *op.Import, n int64) [3]*ir.Value {
	b, total := c.Build, c.In(3).Type.Shape[max(c.In(3).Rank()-1, 0)]
	d := dim.Div(total, dim.Const(3))
	if q := c.In(0).Type.Shape; len(q) == 3 {
		d = q[2]
	}
	p := pieces(b, c.In(3), d, d, dim.Sub(total, dim.Mul(dim.Const(2), d)))
	return [3]*ir.Value{p[0], p[1], p[2]}
}

func multiHeadOperands(c *op.Import, a *attend, n int64, bias [3]*ir.Value) error {
	b := c.Build
	plain := func(x *ir.Value, i int) *ir.Value {
		if b.Err() != nil || x.Rank() == 4 {
			return x // [b, h, t, d] already
		}
		if bias[i] != nil {
			x = b.Call("add", x, bias[i])
		}
		return heads(b, x, n)
	}
	// packed takes part i of parts out of [b, t, h, parts, d].
	packed := func(x *ir.Value, i, parts int64, of int) *ir.Value {
		s := x.Type.Shape
		if len(s) != 5 || !s[3].IsConst(parts) {
			b.Fail(fmt.Errorf("%v: want %d operands in one of 5 axes", x.Type, parts))
			return x
		}
		y := b.Reshape(cut(b, x, 3, dim.Const(i), 1, dim.Const(1)), []dim.Expr{s[0], s[1], dim.Mul(s[2], s[4])})
		return plain(y, of)
	}
	q, k, v := c.In(0), c.In(1), c.In(2)
	switch {
	case k == nil && v == nil:
		a.q, a.k, a.v = packed(q, 0, 3, 0), packed(q, 1, 3, 1), packed(q, 2, 3, 2)
	case v == nil:
		a.q, a.k, a.v = plain(q, 0), packed(k, 0, 2, 1), packed(k, 1, 2, 2)
	case k == nil:
		return fmt.Errorf("value without key")
	default:
		a.q, a.k, a.v = plain(q, 0), plain(k, 1), plain(v, 2)
	}
	return b.Err()
}

// importGroupQuery: query, key, value (or all in the first), past key and value, for each entry of the batch the number
// of keys after this call less one, the largest such number, tables of cos and sin, positions, bias of the scores, one further
// score for each head. A new key of entry b goes behind the keys that b has, so that present is past with these
// rows written, longer where past has no room.
func importGroupQuery(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 14); err != nil {
		return nil, err
	}
	if err := unread(c, 12, 13); err != nil {
		return nil, err
	}
	if err := zeroAttrs(c, "k_quant_type", "v_quant_type", "kv_cache_bit_width"); err != nil {
		return nil, err
	}
	b := c.Build
	if !c.Has(5) || !c.Has(6) {
		return nil, fmt.Errorf("seqlens_k and total_sequence_length are missing")
	}
	g, err := newGroupQuery(c)
	if err != nil {
		return nil, err
	}
	a := g.attend
	if modelInt(c, "do_rotary", 0) != 0 {
		if !c.Has(7) || !c.Has(8) {
			return nil, fmt.Errorf("cos_cache and sin_cache are missing")
		}
		turn := modelInt(c, "rotary_interleaved", 0) != 0
		at := g.positions(c.In(9))
		cos, sin := angles(b, c.In(7), at, 1), angles(b, c.In(8), at, 1)
		a.q, a.k = rotary(b, a.q, cos, sin, turn), rotary(b, a.k, cos, sin, turn)
	}
	a.k, a.v = g.present(c.In(3), a.k), g.present(c.In(4), a.v)
	if b.Err() != nil {
		return nil, b.Err()
	}
	first := b.Reshape(g.first, []dim.Expr{a.q.Type.Shape[0], dim.Const(1), dim.Const(1), dim.Const(1)})
	a.only(b.Call("less_equal", a.keys(), a.positions(first)))
	a.only(b.Call("less_equal", a.keys(), b.Reshape(g.last, first.Type.Shape))) // rows of padding see no further
	if w := modelInt(c, "local_window_size", -1); w > 0 {
		a.only(b.Call("greater", a.keys(), b.Call("sub", a.positions(first), number64(b, dim.Const(w)))))
	}
	if c.Has(10) {
		a.bias(c.In(10))
	}
	if a.sink = c.In(11); a.sink == nil && modelInt(c, "smooth_softmax", 0) > 0 {
		a.sink = b.Builder.Scalar(a.q.Type.Elem, 0)
	}
	a.softcap = number(c, "softcap", 0)
	out, err := finish(c, a, dim.Expr{})
	if err != nil {
		return nil, err
	}
	return append(out, a.k, a.v)[:max(1, min(3, c.NumOuts))], nil
}

// groupQuery is a GroupQueryAttention node being imported.
type groupQuery struct {
	c      *op.Import
	attend *attend
	total  *ir.Value // the largest number of keys, an i64 scalar
	first  *ir.Value // for each entry of the batch, the position of its first query: i64 [b]
	last   *ir.Value // and of its last key
}

func newGroupQuery(c *op.Import) (*groupQuery, error) {
	b := c.Build
	h, hk := modelInt(c, "num_heads", 0), modelInt(c, "kv_num_heads", 0)
	if h <= 0 || hk <= 0 || h%hk != 0 {
		return nil, fmt.Errorf("%d heads of queries, %d of keys", h, hk)
	}
	q, k, v := c.In(0), c.In(1), c.In(2)
	if k == nil {
		if q.Rank() != 3 {
			return nil, fmt.Errorf("query: want 3 axes, got %v", q.Type)
		}
		d := dim.Div(q.Type.Shape[2], dim.Const(h+2*hk))
		p := pieces(b, q, dim.Mul(dim.Const(h), d), dim.Mul(dim.Const(hk), d), dim.Mul(dim.Const(hk), d))
		q, k, v = p[0], p[1], p[2]
	} else if v == nil {
		return nil, fmt.Errorf("value is missing")
	}
	g := &groupQuery{c: c, attend: &attend{Build: b, q: heads(b, q, h), k: heads(b, k, hk), v: heads(b, v, hk)}}
	if b.Err() != nil {
		return nil, b.Err()
	}
	batch, m := g.attend.q.Type.Shape[0], number64(b, g.attend.q.Type.Shape[2])
	g.total = b.Reshape(b.Cast(c.In(6), dtype.I64), nil)
	g.last = b.Reshape(b.Cast(c.In(5), dtype.I64), []dim.Expr{batch})
	// a prompt begins at 0, also where its rows are shorter than the longest
	g.first = b.Call("where", b.Call("equal", g.total, m), number64(b, dim.Expr{}), b.Call("sub", b.Call("add", g.last, number64(b, dim.Const(1))), m))
	g.first = b.ExpandTo(g.first, []dim.Expr{batch})
	return g, b.Err()
}

// positions are those of the queries, [b, m].
func (g *groupQuery) positions(given *ir.Value) *ir.Value {
	b, s := g.c.Build, g.attend.q.Type.Shape
	if given != nil {
		return given
	}
	return b.Call("add", b.Reshape(g.first, []dim.Expr{s[0], dim.Const(1)}), count(b, s[2], 1))
}

// present writes new rows into past, made longer where it must.
func (g *groupQuery) present(past, rows *ir.Value) *ir.Value {
	b := g.c.Build
	if b.Err() != nil {
		return nil
	}
	if past == nil {
		s := rows.Type.Shape
		past = b.ExpandTo(b.Builder.Scalar(rows.Type.Elem, 0), []dim.Expr{s[0], s[1], dim.Expr{}, s[3]})
	}
	if past.Rank() != 4 {
		b.Fail(fmt.Errorf("past: want 4 axes, got %v", past.Type))
		return nil
	}
	p := number64(b, past.Type.Shape[2])
	room := b.Call("sub", b.Call("max", g.total, p), p)
	if b.Err() != nil {
		return nil
	}
	l := named("mode", "constant")
	zero := b.Builder.Scalar(past.Type.Elem, 0)
	if len(room.Elems) == 1 {
		past = b.CallWith("pad", append(l, named("begins", make([]dim.Expr, 4), "ends", []dim.Expr{{}, {}, room.Elems[0], {}})...), past, zero)
	} else {
		pads := concat(b, 0, b.Builder.Ints(0, 0, 0, 0, 0, 0), b.Reshape(room, []dim.Expr{dim.Const(1)}), b.Builder.Ints(0))
		past = b.CallWith("pad", l, past, zero, pads)
	}
	return b.CallWith("tensor_scatter", named("axis", 2, "clear", true), past, rows, g.first)
}
