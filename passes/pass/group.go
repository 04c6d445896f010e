package pass

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
)

// GroupOp is the operator that wraps the nodes of one kernel.
const GroupOp = "group"

// Bounds of a group: an anchor takes at most MaxOperands buffers, and a longer program gains nothing over two.
const (
	MaxOperands = 12
	MaxNodes    = 48
)

// CheckGroup reports why a group is not one kernel. A legal group has kernel nodes only (and constants of one element); at
// most one of them is not a map; and a value made inside is read inside only in the position in which it was
// made: by a map over the same extents, never broadcast, and by an anchor only as IdentityOperand says.
func CheckGroup(c *Context, m *ir.Module, g *ir.Node) error {
	r := g.Regions[0]
	if len(g.In) > MaxOperands {
		return g.Errorf(nil, "group of %d operands, more than %d", len(g.In), MaxOperands)
	}
	var anchored *ir.Node
	var space []dim.Expr
	for _, n := range r.Nodes {
		s, f, err := c.Classify(m, n)
		if err != nil {
			return err
		}
		if s == op.Held {
			if t := m.ConstOf(n.Out[0]); t == nil || t.Len() != 1 {
				return n.Errorf(nil, "%s in a group", n.Op)
			}
			continue
		}
		if s != op.Kernel {
			return n.Errorf(nil, "%s in a group is not a kernel", n.Op)
		}
		if f.Anchor != anchor.Map {
			if anchored != nil {
				return n.Errorf(nil, "a group of two anchors, %s and %s", anchored.Op, n.Op)
			}
			anchored = n
		}
		if space == nil || f.Anchor != anchor.Map {
			space = n.Out[0].Type.Shape
		}
		for i, v := range n.In {
			if v == nil || v.Def == nil || v.Def.Op == ir.OpConst {
				continue
			}
			if !IdentityOperand(f, i) {
				return n.Errorf(nil, "operand %d of %s is made in the group and read elsewhere than it is made", i, n.Op)
			}
		}
	}
	for _, n := range r.Nodes {
		if n.Op != ir.OpConst && len(n.Out) > 0 && anchored == nil && !dim.EqualAll(n.Out[0].Type.Shape, space) {
			return n.Errorf(nil, "a group over %v and %v", space, n.Out[0].Type.Shape)
		}
	}
	return nil
}

// IdentityOperand reports whether a form reads operand i exactly where a map would have written it: position
// for position over the axes of its space, in order, with no axis broadcast.
func IdentityOperand(f *op.Form, i int) bool {
	if i >= len(f.Maps) || f.Maps[i] == nil || f.Anchor != anchor.Map && f.Anchor != anchor.Rows {
		return false
	}
	for _, m := range f.Maps {
		for _, a := range m {
			if a.Via == i+1 {
				return false // it addresses another operand, so it must lie in memory
			}
		}
	}
	return identity(f, f.Maps[i], f.N.In[i].Type.Shape)
}

// IdentityResult reports whether a form writes result i position for position over its space, so that what
// follows can be done to the element before it is stored.
func IdentityResult(f *op.Form, i int) bool {
	k := f.Out(i)
	if k >= len(f.Maps) || f.Maps[k] == nil {
		return false
	}
	at := -1
	for j, a := range f.Maps[k] {
		e := f.N.Out[i].Type.Shape[j]
		if a.Via > 0 || a.Axis >= 0 && a.Axis <= at || a.Axis < 0 && !e.IsConst(1) {
			return false
		}
		if a.Axis >= 0 {
			at = a.Axis
		}
	}
	return true
}

func identity(f *op.Form, m op.Map, shape []dim.Expr) bool {
	if len(m) != len(f.Space) {
		return false
	}
	for j, a := range m {
		if a.Via > 0 || !dim.Equal(shape[j], f.Space[j].Extent) || a.Axis != j {
			return false
		}
	}
	return true
}
