package kir

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// Verify checks a module between stages: buffers are dense and written before they are read, uses have a stride per
// axis, programs fit their operands, and what shares storage may.
func (m *Module) Verify() error {
	for _, e := range m.Entries {
		if err := e.Body.verify(); err != nil {
			return fmt.Errorf("entry %s: %w", e.Name, err)
		}
	}
	return nil
}

func (b *Body) verify() error {
	for i, buf := range b.Bufs {
		if buf.ID != i {
			return fmt.Errorf("buffer %d has ID %d", i, buf.ID)
		}
		if buf.Alias != nil && (buf.Alias.Kind != program.BufTemp || buf.Kind != program.BufTemp || !dim.Equal(buf.Count(), buf.Alias.Count())) {
			return fmt.Errorf("%s takes over %s", buf.bufName(), buf.Alias.bufName())
		}
	}
	written := make([]bool, len(b.Bufs))
	for i, g := range b.Groups {
		if err := g.verify(written); err != nil {
			return fmt.Errorf("group %d %v %s: %w", i, g.Anchor, g.Op, err)
		}
		for _, n := range g.Bodies {
			if err := n.verify(); err != nil {
				return fmt.Errorf("group %d: %w", i, err)
			}
		}
	}
	for i, buf := range b.Results {
		if !written[buf.ID] {
			return fmt.Errorf("result %d is never written", i)
		}
	}
	return nil
}

func (g *Group) verify(written []bool) error {
	whole := g.Anchor == anchor.Host || g.Anchor == anchor.Branch || g.Anchor == anchor.Loop
	var elems []dtype.Type
	for k, l := range [2][]Use{g.In, g.Out} {
		for i := range l {
			u := &l[i]
			elems = append(elems, u.Buf.Elem)
			if !whole && len(u.Stride) != len(g.Space) && u.Buf.Const == nil {
				return fmt.Errorf("operand %d has %d strides in a space of %d axes", i, len(u.Stride), len(g.Space))
			}
			for _, v := range u.Via {
				if v.Operand < 0 || v.Operand >= len(g.In) || !g.In[v.Operand].Buf.Elem.IsInt() {
					return fmt.Errorf("operand %d is addressed through operand %d", i, v.Operand)
				}
			}
			switch kind := u.Buf.Kind; {
			case k == 0 && kind != program.BufConst && kind != program.BufInput && !written[u.Buf.ID]:
				return fmt.Errorf("operand %d reads %s before it is written", i, u.Buf.bufName())
			case k == 1 && (kind == program.BufConst || kind == program.BufInput):
				return fmt.Errorf("writes %s", u.Buf.bufName())
			}
		}
	}
	for i := range g.Out {
		written[g.Out[i].Buf.ID] = true
	}
	if g.Prog == nil {
		return nil
	}
	if g.Moves {
		for i := range elems {
			elems[i] = elems[i].Bitwise()
		}
	}
	acc := tile.NoClass
	if g.Anchor == anchor.Contract || g.Anchor == anchor.Window || g.Anchor == anchor.Attend {
		acc = tile.F32
	}
	return g.Prog.Verify(elems, len(g.In), len(g.Dims), len(g.Space), acc)
}
