// Package memory decides how long every buffer lives and which of them are one: results that take over an
// operand's storage. Placement itself happens when extents are known.
package memory

import (
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/runtime/program"
)

// Run plans every entry of m.
func Run(m *kir.Module) {
	for _, e := range m.Entries {
		body(e.Body, m.Dims)
	}
}

func body(b *kir.Body, scope *dim.Scope) {
	for _, buf := range b.Bufs {
		buf.First, buf.Last = len(b.Groups)+1, -1
		if buf.Kind == program.BufTemp && late(scope, buf.Shape) {
			buf.Kind = program.BufHeap
		}
	}
	for i, g := range b.Groups {
		g.Touches(func(buf *kir.Buf, _ bool) {
			buf.First = min(buf.First, i)
			buf.Last = max(buf.Last, i)
		})
		for _, n := range g.Bodies {
			body(n, scope)
		}
	}
	for _, buf := range b.Results {
		buf.Last = len(b.Groups)
	}
	for i, g := range b.Groups {
		if g.Anchor == anchor.Map {
			inPlace(g, i)
		}
	}
}

// late reports whether any extent is known only while running, be the number of elements known or not: it may be zero.
func late(scope *dim.Scope, shape []dim.Expr) bool {
	for _, e := range shape {
		if scope.Late(e) {
			return true
		}
	}
	return false
}

// inPlace lets a result of a map group take over an operand that dies there: the same positions of as many
// elements of the same width, read through no other strides.
func inPlace(g *kir.Group, step int) {
	for o := range g.Out {
		out := &g.Out[o]
		if out.Buf.Kind != program.BufTemp || out.Buf.Alias != nil || out.Buf.First != step {
			continue
		}
		for i := range g.In {
			in := &g.In[i]
			if canTake(g, in, out, step) {
				out.Buf.Alias = in.Buf
				break
			}
		}
	}
}

func canTake(g *kir.Group, in, out *kir.Use, step int) bool {
	b := in.Buf
	if b.Kind != program.BufTemp || b.Last != step || b == out.Buf || b.Elem.Bits() != out.Buf.Elem.Bits() || !dim.Equal(b.Count(), out.Buf.Count()) {
		return false
	}
	if !sameUse(in, out) || len(in.Via) > 0 {
		return false
	}
	for i := range g.In {
		other := &g.In[i]
		if (root(other.Buf) == root(b)) && (len(other.Via) > 0 || !sameUse(other, out)) {
			return false
		}
	}
	for i := range g.Out {
		if other := &g.Out[i]; other != out && root(other.Buf) == root(b) {
			return false
		}
	}
	return true
}

func root(b *kir.Buf) *kir.Buf {
	for b.Alias != nil {
		b = b.Alias
	}
	return b
}

func sameUse(a, b *kir.Use) bool {
	return dim.Equal(a.Off, b.Off) && dim.EqualAll(a.Stride, b.Stride)
}
