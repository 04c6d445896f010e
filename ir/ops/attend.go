package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// attend is attention as the fused operators of model formats state it. An importer fills it in and calls build, which makes
// an attention operator of it or, where that lacks something, products and a softmax. Axes as in attentionDefs.
type attend struct {
	*op.Build
	q, k, v *ir.Value // [b, h, m, d], [b, hk, t, d], [b, hk, t, e]
	scale   float64
	softcap float64   // scores become softcap * tanh(score / softcap)
	mask    *ir.Value // added to the scores, or of bool; broadcasts to [b, h, m, t]
	sees    *ir.Value // of bool: which keys a query may see; nil for all
	causal  bool      // hides keys t > m + T - M
	sink    *ir.Value // a further score, [] or [h], that no value goes with
	want    score     // what scores are a result besides
	probs   func(*ir.Value) (*ir.Value, error)
	scores  func(*ir.Value) (*ir.Value, error)
	stash   dtype.Type // of the scores, where they are changed by a function; else f32 or wider
	qk      *ir.Value  // that result
}

// score is a stage of the scores.
type score int

const (
	noScores score = iota
	rawScores
	cappedScores
	maskedScores
	probabilities
)

// index makes scalars and ranges of i64.
func number64(b *op.Build, e dim.Expr) *ir.Value {
	return b.Builder.Dims(ir.TensorType(dtype.I64), []dim.Expr{e})
}

// count is 0, 1, ... below n, shaped so that it runs along axis 0 of so many axes.
func count(b *op.Build, n dim.Expr, axes int) *ir.Value {
	shape := []dim.Expr{n}
	for len(shape) < axes {
		shape = append(shape, dim.Const(1))
	}
	return b.Reshape(b.Call("range", number64(b, dim.Expr{}), number64(b, n), number64(b, dim.Const(1))), shape)
}

// only adds a condition on the keys that a query sees.
func (a *attend) only(cond *ir.Value) {
	if a.sees != nil {
		cond = a.Call("and", a.sees, cond)
	}
	a.sees = cond
}

// positions are those of the queries among the keys, [m, 1] or with further axes before: the index plus a first position, which
// is a scalar or has shape [b, 1, 1, 1].
func (a *attend) positions(first *ir.Value) *ir.Value {
	return a.Call("add", count(a.Build, a.q.Type.Shape[2], 2), first)
}

// keys are the positions of the keys, [t].
func (a *attend) keys() *ir.Value { return count(a.Build, a.k.Type.Shape[2], 1) }

// past is causal attention where query m stands at position first + m.
func (a *attend) past(first dim.Expr) {
	if a.Err() != nil {
		return
	}
	if m, t := a.q.Type.Shape[2], a.k.Type.Shape[2]; dim.Equal(dim.Sub(t, m), first) {
		a.causal = true
		return
	}
	a.only(a.Call("less_equal", a.keys(), a.positions(number64(a.Build, first))))
}

// joined is the mask that says what mask and sees say together.
func (a *attend) joined() *ir.Value {
	switch {
	case a.Err() != nil || a.sees == nil:
		return a.mask
	case a.mask == nil:
		return a.sees
	case a.mask.Type.Elem == dtype.Bool:
		return a.Call("and", a.mask, a.sees)
	}
	return a.Call("where", a.sees, a.mask, a.Like(a.mask, math.Inf(-1)))
}

// build gives [b, h, m, e] of q's type.
func (a *attend) build() (*ir.Value, error) {
	if a.Err() != nil {
		return nil, a.Err()
	}
	for i, x := range []*ir.Value{a.q, a.k, a.v} {
		if !op.Float.Has(x.Type.Elem) || x.Rank() != 4 {
			return nil, fmt.Errorf("operand %d: want 4 axes of a floating-point type, got %v", i, x.Type)
		}
	}
	t := a.q.Type.Elem
	a.k, a.v = a.Cast(a.k, t), a.Cast(a.v, t)
	mask := a.joined()
	if a.want == noScores && a.softcap == 0 && a.sink == nil && a.scores == nil && a.probs == nil {
		if mask != nil && mask.Type.Elem != dtype.Bool {
			mask = a.Cast(mask, t)
		}
		return a.CallWith("attention", named("scale", a.scale, "causal", a.causal), a.q, a.k, a.v, mask), a.Err()
	}
	return a.spelled(mask)
}

// spelled is attention in products, with scores in f32 or f64.
func (a *attend) spelled(mask *ir.Value) (*ir.Value, error) {
	b, t := a.Build, a.q.Type.Elem
	if a.stash == dtype.Invalid {
		a.stash = dtype.F32
		if t == dtype.F64 {
			a.stash = dtype.F64
		}
	}
	heads := a.q.Type.Shape[1]
	q, k, v := widen(b, a.q), widen(b, repeatHeads(b, a.k, heads)), widen(b, repeatHeads(b, a.v, heads))
	s := b.Call("matmul", q, b.Transpose(k, []int{0, 1, 3, 2}))
	s = b.Cast(b.Call("mul", s, b.Like(s, a.scale)), a.stash)
	a.keep(rawScores, s)
	if a.softcap != 0 {
		s = b.Call("mul", b.Call("tanh", b.Call("div", s, b.Like(s, a.softcap))), b.Like(s, a.softcap))
	}
	a.keep(cappedScores, s)
	var err error
	if a.scores != nil && b.Err() == nil {
		if s, err = a.scores(s); err != nil {
			return nil, err
		}
	}
	low := b.Like(s, math.Inf(-1))
	hides := mask != nil || a.causal || a.scores != nil
	if a.causal {
		s = b.Call("where", visible(b, a.q.Type.Shape[2], a.k.Type.Shape[2]), s, low)
	}
	switch {
	case mask == nil || b.Err() != nil:
	case mask.Type.Elem == dtype.Bool:
		s = b.Call("where", mask, s, low)
	default:
		s = b.Call("add", s, b.Cast(mask, s.Type.Elem))
	}
	a.keep(maskedScores, s)
	p := a.softmax(s)
	if hides && a.sink == nil { // softmax of a row of -inf is NaN
		p = b.Call("where", b.Call("equal", b.Reduce("max", s, 3), low), b.Like(p, 0), p)
	}
	a.keep(probabilities, p)
	if a.probs != nil && b.Err() == nil {
		if p, err = a.probs(p); err != nil {
			return nil, err
		}
	}
	return b.Cast(b.Call("matmul", b.Cast(p, v.Type.Elem), v), t), b.Err()
}

// softmax over the keys, and the sink where there is one.
func (a *attend) softmax(s *ir.Value) *ir.Value {
	b := a.Build
	if a.sink == nil || b.Err() != nil {
		return b.CallWith("softmax", named("axis", -1), s)
	}
	shape := append([]dim.Expr(nil), s.Type.Shape...)
	keys, one := shape[3], dim.Const(1)
	shape[3] = one
	sink := b.Cast(a.sink, s.Type.Elem)
	if sink.Rank() > 0 {
		sink = b.Reshape(sink, []dim.Expr{one, shape[1], one, one})
	}
	p := b.CallWith("softmax", named("axis", -1), concat(b, 3, s, b.ExpandTo(sink, shape)))
	return cut(b, p, 3, dim.Expr{}, 1, keys)
}

func (a *attend) keep(stage score, s *ir.Value) {
	if a.want == stage && a.Err() == nil {
		a.qk = a.Cast(s, a.q.Type.Elem)
	}
}

// heads splits [b, m, h*d] into [b, h, m, d].
func heads(b *op.Build, x *ir.Value, n int64) *ir.Value {
	if b.Err() != nil {
		return x
	}
	if n <= 0 || x.Rank() != 3 {
		b.Fail(fmt.Errorf("%d heads of %v, want 3 axes", n, x.Type))
		return x
	}
	s := x.Type.Shape
	h := dim.Const(n)
	if !b.Builder.M.Dims.Guard(dim.Mul(dim.Div(s[2], h), h), s[2], false, "heads") {
		b.Fail(fmt.Errorf("%d heads of %v", n, x.Type))
		return x
	}
	return b.Transpose(b.Reshape(x, []dim.Expr{s[0], s[1], h, dim.Div(s[2], h)}), []int{0, 2, 1, 3})
}

// unheads is the inverse of heads.
func unheads(b *op.Build, x *ir.Value) *ir.Value {
	if b.Err() != nil {
		return x
	}
	s := x.Type.Shape
	return b.Reshape(b.Transpose(x, []int{0, 2, 1, 3}), []dim.Expr{s[0], s[2], dim.Mul(s[1], s[3])})
}

// concat joins along an axis.
func concat(b *op.Build, axis int, in ...*ir.Value) *ir.Value {
	return b.Do("concat", in, named("axis", axis))[0]
}

// cut is x[start : start+n : step] along one axis.
func cut(b *op.Build, x *ir.Value, axis int, start dim.Expr, step int64, n dim.Expr) *ir.Value {
	if b.Err() != nil {
		return x
	}
	shape := append([]dim.Expr(nil), x.Type.Shape...)
	starts, steps := make([]dim.Expr, len(shape)), make([]int64, len(shape))
	for i := range steps {
		steps[i] = 1
	}
	starts[axis], steps[axis], shape[axis] = start, step, n
	return b.CallWith("slice", named("starts", starts, "steps", steps, "shape", shape), x)
}

func attendSpellings() []op.Source {
	return []op.Source{
		{Op: "Attention", Since: []int{23, 24, 25}, Import: importAttention},
		{Domain: "ai.onnx.preview", Op: "FlexAttention", Since: []int{1}, Import: importFlexAttention},
	}
}

// importAttention is ONNX Attention: operands Q, K, V, mask, past key and value, number of keys that are no padding; results Y,
// present key and value, scores.
func importAttention(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 7); err != nil {
		return nil, err
	}
	b := c.Build
	a := &attend{Build: b, q: c.In(0), k: c.In(1), v: c.In(2), mask: c.In(3), softcap: number(c, "softcap", 0)}
	flat := a.q.Rank() == 3
	if flat {
		hk := modelInt(c, "kv_num_heads", 0)
		a.q, a.k, a.v = heads(b, a.q, modelInt(c, "q_num_heads", 0)), heads(b, a.k, hk), heads(b, a.v, hk)
	}
	if b.Err() == nil && (a.q.Rank() != 4 || a.k.Rank() != 4 || a.v.Rank() != 4) {
		return nil, fmt.Errorf("operands %v, %v, %v: want 3 or 4 axes", a.q.Type, a.k.Type, a.v.Type)
	}
	first := dim.Expr{}
	if c.Has(4) != c.Has(5) {
		return nil, fmt.Errorf("past key and past value go together")
	}
	if c.Has(4) {
		if c.In(4).Rank() != 4 || c.Has(6) {
			return nil, fmt.Errorf("past key %v", c.In(4).Type)
		}
		first = c.In(4).Type.Shape[2]
		a.k, a.v = concat(b, 2, c.In(4), a.k), concat(b, 2, c.In(5), a.v)
	}
	if err := b.Err(); err != nil {
		return nil, err
	}
	presentK, presentV := a.k, a.v
	if err := attentionScale(c, a); err != nil {
		return nil, err
	}
	if c.NumOuts > 3 && c.Outs[3] {
		a.want = rawScores + score(modelInt(c, "qk_matmul_output_mode", 0))
		if a.want < rawScores || a.want > probabilities {
			return nil, fmt.Errorf("qk_matmul_output_mode: %d is not known", a.want-rawScores)
		}
	}
	a.mask = padMask(b, a.mask, a.k.Type.Shape[2])
	attentionSees(c, a, first)
	y, err := a.build()
	if err != nil {
		return nil, err
	}
	if flat {
		y = unheads(b, y)
	}
	return []*ir.Value{y, presentK, presentV, a.qk}[:max(1, min(4, c.NumOuts))], b.Err()
}

// attentionScale reads scale, 1/sqrt(d) where it is missing.
func attentionScale(c *op.Import, a *attend) error {
	if v, ok := c.Model.Attr("scale"); ok {
		a.scale = v.F
		return nil
	}
	return a.defaultScale()
}

func (a *attend) defaultScale() error {
	d, ok := a.q.Type.Shape[3].Int()
	if !ok || d <= 0 {
		return fmt.Errorf("%w: attention over heads of %v elements without a scale", ir.ErrUnsupported, a.q.Type.Shape[3])
	}
	a.scale = 1 / math.Sqrt(float64(d))
	return nil
}

// attentionSees hides padding, keys behind a query, and those outside of its window.
func attentionSees(c *op.Import, a *attend, first dim.Expr) {
	b := c.Build
	at := number64(b, first)
	if c.Has(6) {
		n := b.Cast(c.In(6), dtype.I64)
		n = b.Reshape(n, []dim.Expr{a.q.Type.Shape[0], dim.Const(1), dim.Const(1), dim.Const(1)})
		a.only(b.Call("less", a.keys(), n))
		at = b.Call("sub", n, number64(b, a.q.Type.Shape[2]))
	}
	if modelInt(c, "is_causal", 0) != 0 {
		if c.Has(6) {
			a.only(b.Call("less_equal", a.keys(), a.positions(at)))
		} else {
			a.past(first)
		}
	}
	if left := modelInt(c, "left_window_size", -1); left >= 0 {
		a.only(b.Call("greater_equal", a.keys(), b.Call("sub", a.positions(at), number64(b, dim.Const(left)))))
	}
	if right := modelInt(c, "right_window_size", -1); right >= 0 {
		a.only(b.Call("less_equal", a.keys(), b.Call("add", a.positions(at), number64(b, dim.Const(right)))))
	}
}

// padMask hides the keys that a mask is too short for.
func padMask(b *op.Build, mask *ir.Value, t dim.Expr) *ir.Value {
	if b.Err() != nil || mask == nil || mask.Rank() == 0 {
		return mask
	}
	r := mask.Rank()
	last := mask.Type.Shape[r-1]
	if b.Builder.M.Dims.Prove(last, dim.Ge, t) == dim.Yes || b.Builder.M.Dims.Prove(last, dim.Lt, t) != dim.Yes {
		return mask // equal, or equal when bound
	}
	hide := b.Builder.Const("", tensor.New(dtype.Bool))
	if mask.Type.Elem != dtype.Bool {
		hide = b.Like(mask, math.Inf(-1))
	}
	ends := make([]dim.Expr, r)
	ends[r-1] = dim.Sub(t, last)
	return b.CallWith("pad", named("mode", "constant", "begins", make([]dim.Expr, r), "ends", ends), mask, hide)
}

// importFlexAttention calls the functions that the model gives for scores and for probabilities.
func importFlexAttention(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 3); err != nil {
		return nil, err
	}
	a := &attend{Build: c.Build, q: c.In(0), k: c.In(1), v: c.In(2), stash: dtype.F32}
	if a.q.Rank() != 4 || a.k.Rank() != 4 || a.v.Rank() != 4 {
		return nil, fmt.Errorf("operands %v, %v, %v: want 4 axes", a.q.Type, a.k.Type, a.v.Type)
	}
	if a.q.Type.Elem == dtype.F64 {
		a.stash = dtype.F64
	}
	if v, ok := c.Model.Attr("softmax_precision"); ok {
		t, known := onnxElem[v.I]
		if !known || !op.Float.Has(t) {
			return nil, fmt.Errorf("softmax_precision: %d is no floating-point type", v.I)
		}
		a.stash = t
	}
	if err := attentionScale(c, a); err != nil {
		return nil, err
	}
	a.scores, a.probs = modifier(c, "score_mod"), modifier(c, "prob_mod")
	y, err := a.build()
	return []*ir.Value{y}, err
}

// modifier is a graph of the model as a function; nil where it gives none.
func modifier(c *op.Import, name string) func(*ir.Value) (*ir.Value, error) {
	captures, err := c.Model.Captures(name)
	if err != nil {
		return nil // no such attribute
	}
	return func(x *ir.Value) (*ir.Value, error) {
		r, err := c.Model.Region(name, name, []ir.Type{x.Type}, captures)
		if err != nil {
			return nil, err
		}
		out := splice(c.Builder, r, append([]*ir.Value{x}, captures...))
		if len(out) != 1 || out[0].Type.Elem != x.Type.Elem || !dim.EqualAll(out[0].Type.Shape, x.Type.Shape) {
			return nil, fmt.Errorf("%s: want one result of type %v", name, x.Type)
		}
		return out[0], nil
	}
}
