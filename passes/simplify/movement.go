package simplify

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/passes/pass"
)

// movement lists rewrites of operators that only move elements.
var movement = []pass.Rule{
	{Op: "transpose", Name: "transpose-none", Doc: "a transpose that leaves the axes in order => x", Run: transposeNone},
	{Op: "transpose", Name: "transpose-transpose", Doc: "transpose(transpose(x)) => transpose(x)", Run: transposeTwice},
	{Op: "reshape", Name: "reshape-none", Doc: "a reshape to the shape that x has => x", Run: func(s *pass.Site) []*ir.Value { return same(s, s.In(0)) }},
	{Op: "reshape", Name: "reshape-reshape", Doc: "reshape(reshape(x)) => reshape(x)", Run: viewTwice("reshape")},
	{Op: "reshape", Name: "reshape-transpose", Doc: "reshape(transpose(x)) => transpose(reshape(x)) where the last two axes swap, and the reshape leaves them", Run: beforeTranspose},
	{Op: "reshape", Name: "reshape-known", Doc: "a reshape to an operand whose contents are known => a reshape to those", Run: knownShape},
	{Op: "expand", Name: "expand-known", Doc: "an expand to an operand whose contents are known => an expand to those", Run: knownShape},
	{Op: "expand", Name: "expand-none", Doc: "an expand to the shape that x has => x", Run: func(s *pass.Site) []*ir.Value { return same(s, s.In(0)) }},
	{Op: "expand", Name: "expand-expand", Doc: "expand(expand(x)) => expand(x)", Run: viewTwice("expand")},
	{Op: "slice", Name: "slice-all", Doc: "a slice of everything => x", Run: sliceAll},
	{Op: "concat", Name: "concat-one", Doc: "concat(x) => x", Run: single},
	{Op: "split", Name: "split-one", Doc: "a split into one part => x", Run: single},
	{Op: "gather", Name: "gather-slice", Doc: "gather(x, i) with a constant scalar i => a view", Run: gatherSlice},
}

func transposeNone(s *pass.Site) []*ir.Value {
	for i, p := range s.N.Attrs.Ints("perm") {
		if p != int64(i) {
			return nil
		}
	}
	return same(s, s.In(0))
}

func transposeTwice(s *pass.Site) []*ir.Value {
	n := pass.Is(s.In(0), "transpose")
	if n == nil {
		return nil
	}
	inner, outer := n.Attrs.Ints("perm"), s.N.Attrs.Ints("perm")
	perm := make([]int, len(outer))
	for i, p := range outer {
		perm[i] = int(inner[p])
	}
	return one(s.Transpose(n.In[0], perm))
}

// viewTwice joins two views of one kind where neither has a run-time operand.
func viewTwice(op string) func(*pass.Site) []*ir.Value {
	return func(s *pass.Site) []*ir.Value {
		n := pass.Is(s.In(0), op)
		if n == nil || n.In[0] == nil || s.Has(1) || len(n.In) > 1 && n.In[1] != nil {
			return nil
		}
		return one(s.CallWith(op, s.N.Attrs, n.In[0]))
	}
}

// beforeTranspose puts a reshape that leaves the last two axes alone before the transpose that swaps them. Exporters
// write a transpose of rank 3 between two reshapes; the reshapes then join, or go.
func beforeTranspose(s *pass.Site) []*ir.Value {
	t := pass.Is(s.In(0), "transpose")
	if t == nil || s.Has(1) {
		return nil
	}
	x, mid, out := t.In[0], t.Out[0].Type.Shape, s.Old.Out[0].Type.Shape
	n, k := len(out), len(mid)
	if n < 2 || k < 2 || !dim.EqualAll(mid[k-2:], out[n-2:]) {
		return nil
	}
	for i, p := range t.Attrs.Ints("perm") {
		if want := swapped(k)[i]; p != int64(want) {
			return nil
		}
	}
	shape := append(append([]dim.Expr(nil), out[:n-2]...), x.Type.Shape[k-2:]...)
	return one(s.Transpose(s.Reshape(x, shape), swapped(n)))
}

// swapped is the permutation of n axes that swaps the last two.
func swapped(n int) []int {
	perm := make([]int, n)
	for i := range perm {
		perm[i] = i
	}
	perm[n-2], perm[n-1] = n-1, n-2
	return perm
}

// knownShape reads contents that were data when the operator was made, and became known since. An extent of 0 or -1
// has a meaning of its own, so every one must be proved to be more; expand takes any.
func knownShape(s *pass.Site) []*ir.Value {
	shape := s.Elems(1)
	if shape == nil || s.N.Attrs.Bool("allowzero") {
		return nil
	}
	if len(shape) != s.Old.Out[0].Rank() {
		return nil
	}
	for _, e := range shape {
		if s.Build.Node.M.Dims.Prove(e, dim.Gt, dim.Const(0)) != dim.Yes {
			return nil
		}
	}
	return one(s.CallWith(s.N.Op, attr.List{{Name: "shape", Value: attr.OfDims(shape)}}, s.In(0)))
}

func sliceAll(s *pass.Site) []*ir.Value {
	if s.NumIn() != 1 {
		return nil
	}
	for _, st := range s.N.Attrs.Ints("steps") {
		if st != 1 {
			return nil
		}
	}
	for _, e := range s.Build.Node.Dims("starts") {
		if !e.IsConst(0) {
			return nil
		}
	}
	return same(s, s.In(0))
}

func single(s *pass.Site) []*ir.Value {
	if s.NumIn() != 1 || len(s.Old.Out) != 1 {
		return nil
	}
	return same(s, s.In(0))
}

// gatherSlice needs the index proved to lie inside: a gather checks when it runs, a view does not.
func gatherSlice(s *pass.Site) []*ir.Value {
	x := s.In(0)
	t := s.ConstOf(s.In(1))
	if t == nil || len(t.Shape) != 0 || x.Rank() == 0 || s.Elems(0) != nil {
		return nil
	}
	axis, err := s.Axis("axis", x.Rank())
	if err != nil {
		return nil
	}
	scope := s.Build.Node.M.Dims
	at, extent := dim.Const(t.Int(0)), x.Type.Shape[axis]
	if t.Int(0) < 0 {
		at = dim.Add(extent, at)
	}
	if scope.Prove(at, dim.Ge, dim.Const(0)) != dim.Yes || scope.Prove(at, dim.Lt, extent) != dim.Yes {
		return nil
	}
	starts, steps := make([]dim.Expr, x.Rank()), make([]int64, x.Rank())
	shape := append([]dim.Expr(nil), x.Type.Shape...)
	for i := range steps {
		steps[i] = 1
	}
	starts[axis], shape[axis] = at, dim.Const(1)
	v := s.CallWith("slice", attr.List{
		{Name: "starts", Value: attr.OfDims(starts)},
		{Name: "steps", Value: attr.OfInts(steps)},
		{Name: "shape", Value: attr.OfDims(shape)},
	}, x)
	return one(s.Reshape(v, s.Old.Out[0].Type.Shape))
}
