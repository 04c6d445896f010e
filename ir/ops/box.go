package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
)

// BoxType is a type as what a box holds: extents that are not the same in every run of a step may be different in
// every element, and become ir.AnyExtent.
func BoxType(s *dim.Scope, t ir.Type) ir.Type {
	if t.Kind != ir.Tensor {
		if t.Of != nil {
			of := BoxType(s, *t.Of)
			t.Of = &of
		}
		return t
	}
	shape := make([]dim.Expr, len(t.Shape))
	for i, e := range t.Shape {
		if shape[i] = e; s.Late(e) {
			shape[i] = anyExtent(s)
		}
	}
	t.Shape, t.Layout = shape, ""
	return t
}

func anyExtent(s *dim.Scope) dim.Expr {
	s.Declare(ir.AnyExtent, dim.Info{Hi: dim.Inf, Late: true})
	return dim.Sym(ir.AnyExtent)
}

// joinBoxes is the type of what may be of either type; an empty sequence says nothing of its elements.
func joinBoxes(s *dim.Scope, a, b ir.Type) (ir.Type, error) {
	switch {
	case a.Kind != b.Kind || a.Elem != b.Elem || a.Key != b.Key || (a.Of == nil) != (b.Of == nil):
		return a, fmt.Errorf("elements of %v and %v", a, b)
	case a.Of != nil:
		of, err := joinBoxes(s, *a.Of, *b.Of)
		a.Of = &of
		return a, err
	case a.Empty:
		return b, nil
	case b.Empty:
		return a, nil
	case a.Open || b.Open || len(a.Shape) != len(b.Shape):
		return ir.Type{Elem: a.Elem, Open: true}, nil
	}
	shape := append([]dim.Expr(nil), a.Shape...)
	for i, e := range shape {
		if !dim.Equal(e, b.Shape[i]) {
			shape[i] = anyExtent(s)
		}
	}
	a.Shape = shape
	return a, nil
}

// boxesFit reports whether a value of type t may be one of type p, as far as it is known.
func boxesFit(p, t ir.Type) bool {
	switch {
	case p.Kind != t.Kind || p.Elem != t.Elem || p.Key != t.Key || (p.Of == nil) != (t.Of == nil):
		return false
	case p.Of != nil:
		return boxesFit(*p.Of, *t.Of)
	}
	return p.Open || t.Open || len(p.Shape) == len(t.Shape)
}

// unboxed is the type of what is taken out of a box as result i.
func unboxed(c *op.Infer, i int, t ir.Type) error {
	if t.Kind != ir.Tensor {
		c.SetType(i, t)
		return nil
	}
	if t.Open {
		return fmt.Errorf("%w: the rank of an element is known only while running", ir.ErrUnsupported)
	}
	shape := append([]dim.Expr(nil), t.Shape...)
	for k, e := range shape {
		if c.Scope().Late(e) {
			shape[k] = c.Late(i, k, unbounded)
		}
	}
	c.Set(i, t.Elem, shape)
	return nil
}

// boxOf is the type of what operand i, of a kind, holds.
func boxOf(c op.Node, i int, k ir.Kind) (ir.Type, error) {
	if !c.Has(i) {
		return ir.Type{}, fmt.Errorf("operand %d is missing", i)
	}
	if t := c.In(i).Type; t.Kind != k || t.Of == nil {
		return t, fmt.Errorf("operand %d: want a %v, got %v", i, k, t)
	}
	return *c.In(i).Type.Of, nil
}
