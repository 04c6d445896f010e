package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Exporters build short sequences only to index, join or count them. Where all elements are at hand, importers do that
// at once, so that nothing is left of the sequence.

func sequenceSpellings() []op.Source {
	return []op.Source{
		{Op: "SequenceConstruct", Since: []int{11}, Import: func(c *op.Import) ([]*ir.Value, error) {
			if c.NumIn() == 0 {
				return nil, fmt.Errorf("want an operand, got none")
			}
			return c.Do("sequence", c.N.In, nil)[:1], c.Err()
		}},
		{Op: "SequenceEmpty", Since: []int{11}, Import: importSequenceEmpty},
		{Op: "SequenceMap", Since: []int{17}, Import: importSequenceMap},
	}
}

// maxAtHand bounds the sequences that importers take apart.
const maxAtHand = 256

// atHand lists the elements of operand i where it is a short sequence made in this graph.
func atHand(c *op.Import, i int) ([]*ir.Value, bool) {
	if !c.Has(i) {
		return nil, false
	}
	d := c.In(i).Def
	if d == nil || d.Op != Sequence.Name || len(d.In) > maxAtHand {
		return nil, false
	}
	return d.In, true
}

// placeOf reads operand i as a position below n; known is false where it is data. Absent is def.
func placeOf(c *op.Import, i, n, def int) (p int, known bool, err error) {
	if !c.Has(i) {
		return def, true, nil
	}
	l, ok := ints(c.Node, i)
	if !ok {
		return 0, false, nil
	}
	if len(l) != 1 {
		return 0, false, fmt.Errorf("position: want one integer, got shape %v", c.Shape(i))
	}
	v := l[0]
	if v < 0 {
		v += int64(n)
	}
	if v < 0 || v > int64(n) || v == int64(n) && def != n {
		return 0, false, fmt.Errorf("position %d of %d elements", l[0], n)
	}
	return int(v), true, nil
}

func sequenceOf(c *op.Import, l []*ir.Value, like *ir.Value) ([]*ir.Value, error) {
	if len(l) == 0 {
		of := *like.Type.Of
		if of.Kind == ir.Tensor {
			of = ir.Type{Elem: of.Elem, Open: true, Empty: true}
		}
		return c.Do("sequence", nil, named("of", of.String()))[:1], c.Err()
	}
	return c.Do("sequence", l, nil)[:1], c.Err()
}

func importSequenceEmpty(c *op.Import) ([]*ir.Value, error) {
	t, err := elemAttr(c, "dtype")
	if err != nil {
		return nil, err
	}
	if t == dtype.Invalid {
		t = dtype.F32
	}
	return c.Do("sequence", nil, named("of", ir.Type{Elem: t, Open: true, Empty: true}.String()))[:1], c.Err()
}

func importSequenceAt(c *op.Import) ([]*ir.Value, error) {
	if l, ok := atHand(c, 0); ok && c.Has(1) {
		p, known, err := placeOf(c, 1, len(l), -1)
		if err != nil {
			return nil, err
		}
		if known {
			return []*ir.Value{l[p]}, nil
		}
	}
	return c.Do("sequence_at", c.N.In, nil)[:1], c.Err()
}

func importSequenceInsert(c *op.Import) ([]*ir.Value, error) {
	if l, ok := atHand(c, 0); ok && c.Has(1) && len(l) < maxAtHand {
		p, known, err := placeOf(c, 2, len(l), len(l))
		if err != nil {
			return nil, err
		}
		if _, err := joinBoxes(c.Builder.M.Dims, *c.In(0).Type.Of, BoxType(c.Builder.M.Dims, c.In(1).Type)); err != nil {
			return nil, err
		}
		if known {
			out := append(append([]*ir.Value(nil), l[:p]...), c.In(1))
			return sequenceOf(c, append(out, l[p:]...), c.In(0))
		}
	}
	return c.Do("sequence_insert", c.N.In, nil)[:1], c.Err()
}

func importSequenceErase(c *op.Import) ([]*ir.Value, error) {
	if l, ok := atHand(c, 0); ok {
		if len(l) == 0 {
			return nil, fmt.Errorf("the sequence is empty")
		}
		p := len(l) - 1
		known := true
		if c.Has(1) {
			var err error
			if p, known, err = placeOf(c, 1, len(l), -1); err != nil {
				return nil, err
			}
		}
		if known {
			return sequenceOf(c, append(append([]*ir.Value(nil), l[:p]...), l[p+1:]...), c.In(0))
		}
	}
	return c.Do("sequence_erase", c.N.In, nil)[:1], c.Err()
}

func importSequenceLength(c *op.Import) ([]*ir.Value, error) {
	if l, ok := atHand(c, 0); ok {
		return []*ir.Value{c.Scalar(dtype.I64, float64(len(l)))}, nil
	}
	return c.Do("sequence_length", c.N.In, nil)[:1], c.Err()
}

func importConcatFromSequence(c *op.Import) ([]*ir.Value, error) {
	axis, fresh := modelInt(c, "axis", 0), modelInt(c, "new_axis", 0) != 0
	if _, ok := c.Model.Attr("axis"); !ok {
		return nil, fmt.Errorf("attribute axis is missing")
	}
	l, ok := atHand(c, 0)
	if !ok || len(l) == 0 || l[0].Type.Kind != ir.Tensor {
		return c.Do("concat_sequence", c.N.In, named("axis", axis, "new_axis", fresh))[:1], c.Err()
	}
	if !fresh {
		return c.Do("concat", l, named("axis", axis))[:1], c.Err()
	}
	rank := l[0].Rank() + 1
	if axis < 0 {
		axis += int64(rank)
	}
	if axis < 0 || axis >= int64(rank) {
		return nil, fmt.Errorf("axis %d of a tensor of rank %d", axis, rank)
	}
	parts := make([]*ir.Value, len(l))
	for i, v := range l {
		if v.Type.Kind != ir.Tensor || v.Rank() != rank-1 {
			return nil, fmt.Errorf("element %d: %v does not match %v", i, v.Type, l[0].Type)
		}
		s := v.Type.Shape
		parts[i] = c.Reshape(v, append(append(append([]dim.Expr(nil), s[:axis]...), dim.Const(1)), s[axis:]...))
	}
	return c.Do("concat", parts, named("axis", axis))[:1], c.Err()
}

// importSplitToSequence cuts with split where the parts are known.
func importSplitToSequence(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 2); err != nil {
		return nil, err
	}
	x, axis, keep := c.In(0), modelInt(c, "axis", 0), modelInt(c, "keepdims", 1) != 0
	if axis < 0 {
		axis += int64(x.Rank())
	}
	if axis < 0 || axis >= int64(x.Rank()) {
		return nil, fmt.Errorf("axis %d of a tensor of rank %d", axis, x.Rank())
	}
	sizes, known, err := partSizes(c, x.Type.Shape[axis])
	if err != nil {
		return nil, err
	}
	if !known || len(sizes) == 0 {
		return c.Do("split_sequence", c.N.In, named("axis", axis, "keepdims", keep))[:1], c.Err()
	}
	parts := append([]*ir.Value(nil), c.Do("split", []*ir.Value{x}, named("axis", axis, "sizes", sizes))...)
	if c.Err() != nil {
		return nil, c.Err()
	}
	if !keep && !c.Has(1) {
		for i, v := range parts {
			s := v.Type.Shape
			parts[i] = c.Reshape(v, append(append([]dim.Expr(nil), s[:axis]...), s[axis+1:]...))
		}
	}
	return c.Do("sequence", parts, nil)[:1], c.Err()
}

// partSizes lists the extents of the parts where they are known and few.
func partSizes(c *op.Import, extent dim.Expr) (sizes []dim.Expr, known bool, err error) {
	if c.Has(1) && c.Rank(1) == 1 {
		l, ok := contents(c.Node, 1)
		return l, ok && len(l) <= maxAtHand, nil
	}
	n, fixed := extent.Int()
	size := int64(1)
	if c.Has(1) {
		l, ok := ints(c.Node, 1)
		if !ok {
			return nil, false, nil
		}
		if len(l) != 1 || l[0] < 1 {
			return nil, false, fmt.Errorf("split: %v", l)
		}
		size = l[0]
	}
	if !fixed || n > size*maxAtHand {
		return nil, false, nil
	}
	for ; n > 0; n -= size {
		sizes = append(sizes, dim.Const(min(n, size)))
	}
	return sizes, true, nil
}

func importOptional(c *op.Import) ([]*ir.Value, error) {
	if c.Has(0) {
		return c.Do("optional", c.N.In, nil)[:1], c.Err()
	}
	t, err := c.Model.TypeOf("type")
	if err != nil {
		return nil, err
	}
	return c.Do("optional", []*ir.Value{nil}, named("of", BoxType(c.Builder.M.Dims, t).String()))[:1], c.Err()
}

// importOptionalGet: from version 18 on what is no optional is itself.
func importOptionalGet(c *op.Import) ([]*ir.Value, error) {
	if c.NumIn() != 1 || !c.Has(0) {
		return nil, fmt.Errorf("want 1 operand, got %d", c.NumIn())
	}
	x := c.In(0)
	if x.Type.Kind != ir.Optional && c.Version >= 18 {
		return []*ir.Value{x}, nil
	}
	if d := x.Def; d != nil && d.Op == Optional.Name && len(d.In) == 1 && d.In[0] != nil {
		return []*ir.Value{d.In[0]}, nil
	}
	return c.Do("optional_get", c.N.In, nil)[:1], c.Err()
}

// importOptionalHas: from version 18 on what is no optional is there, and nothing is not.
func importOptionalHas(c *op.Import) ([]*ir.Value, error) {
	if c.NumIn() > 1 {
		return nil, fmt.Errorf("want at most 1 operand, got %d", c.NumIn())
	}
	known := func(has bool) ([]*ir.Value, error) {
		t := tensor.New(dtype.Bool)
		if has {
			t.SetInt(0, 1)
		}
		return []*ir.Value{c.Builder.Const("", t)}, nil
	}
	switch {
	case !c.Has(0) && c.Version >= 18:
		return known(false)
	case !c.Has(0):
		return nil, fmt.Errorf("operand input is missing")
	case c.In(0).Type.Kind != ir.Optional && c.Version >= 18:
		return known(true)
	}
	if d := c.In(0).Def; d != nil && d.Op == Optional.Name {
		return known(len(d.In) == 1 && d.In[0] != nil)
	}
	return c.Do("optional_has", c.N.In, nil)[:1], c.Err()
}

// importSequenceMap makes a loop over the positions of the first sequence. Other sequences give the element at the same
// position, tensors are the same in all iterations, and each result of the body is collected in a sequence.
func importSequenceMap(c *op.Import) ([]*ir.Value, error) {
	if _, err := boxOf(c.Node, 0, ir.Sequence); err != nil {
		return nil, err
	}
	captures, err := c.Model.Captures("body")
	if err != nil {
		return nil, err
	}
	given := append(append([]*ir.Value(nil), c.N.In...), captures...)
	i64, truth := ir.TensorType(dtype.I64), ir.TensorType(dtype.Bool)
	params := []ir.Type{i64, truth}
	formals := make([]ir.Type, len(c.N.In))
	for i, v := range c.N.In {
		if v == nil {
			return nil, fmt.Errorf("operand %d is missing", i)
		}
		if formals[i] = v.Type; v.Type.Kind == ir.Sequence {
			if formals[i], err = elementType(c, *v.Type.Of); err != nil {
				return nil, err
			}
		}
	}
	inner, err := c.Model.Region("body", "body", formals, captures)
	if err != nil {
		return nil, err
	}
	var first []*ir.Value
	for _, v := range inner.Results {
		of := BoxType(c.Builder.M.Dims, v.Type)
		params = append(params, ir.Type{Kind: ir.Sequence, Of: &of})
		first = append(first, c.Do("sequence", nil, named("of", of.String()))[0])
	}
	for _, v := range given {
		params = append(params, v.Type)
	}
	n := c.Call("sequence_length", c.In(0))
	if c.Err() != nil {
		return nil, c.Err()
	}
	r, err := c.Builder.Region("body", params, nil, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
		outs, rest := p[2:2+len(first)], p[2+len(first):]
		args := append([]*ir.Value(nil), rest...)
		for i := range c.N.In {
			if rest[i].Type.Kind != ir.Sequence {
				continue
			}
			if args[i], err = b.One("sequence_at", []*ir.Value{rest[i], p[0]}, nil); err != nil {
				return nil, err
			}
		}
		res := []*ir.Value{p[1]}
		for i, v := range splice(b, inner, args) {
			s, err := b.One("sequence_insert", []*ir.Value{outs[i], v}, nil)
			if err != nil {
				return nil, err
			}
			res = append(res, s)
		}
		return res, nil
	})
	if err != nil {
		return nil, err
	}
	in := append([]*ir.Value{n, nil}, first...)
	return c.Op("loop", append(in, given...), named("carried", len(first)), r)
}

// elementType is the type of an element with late extents of its own.
func elementType(c *op.Import, of ir.Type) (ir.Type, error) {
	if of.Open {
		return of, fmt.Errorf("%w: the rank of an element is known only while running", ir.ErrUnsupported)
	}
	shape := append([]dim.Expr(nil), of.Shape...)
	for i, e := range shape {
		if c.Builder.M.Dims.Late(e) {
			shape[i] = c.Builder.M.Dims.Fresh("late", dim.Info{Hi: dim.Inf, Late: true})
		}
	}
	of.Shape = shape
	return of, nil
}
