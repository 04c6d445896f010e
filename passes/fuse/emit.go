package fuse

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/passes/pass"
)

// immediate reports whether v is a constant of one element that tile programs can hold.
func immediate(m *ir.Module, v *ir.Value) bool {
	t := m.ConstOf(v)
	return t != nil && t.Len() == 1 && tile.ClassOf(t.Elem) != tile.NoClass && !t.Elem.IsSubByte()
}

// emit builds the group node in place of its last node.
func (p *planner) emit(rw *ir.Rewriter, g *group) ([]*ir.Value, error) {
	var results []*ir.Value
	for _, v := range g.last().Out {
		if p.uses[v.ID] > 0 {
			results = append(results, v)
		}
	}
	var outside []*ir.Value // operands, in order of first reading
	anchored := map[*ir.Value]bool{}
	if g.anchor != nil {
		for _, v := range g.anchor.In {
			anchored[v] = true
		}
	}
	sunk := map[*ir.Value]bool{}
	seen := map[*ir.Value]bool{}
	for _, n := range g.nodes {
		for _, v := range n.In {
			if v == nil || seen[v] || v.Def != nil && g.in[v.Def] {
				continue
			}
			seen[v] = true
			if immediate(rw.M, v) && !anchored[v] {
				sunk[v] = true
				continue
			}
			outside = append(outside, v)
		}
	}
	var types []ir.Type
	var names []string
	for _, v := range outside {
		types = append(types, v.Type)
		names = append(names, v.Name)
	}
	rw.Locs = locs(g.nodes)
	region, err := rw.Region("body", types, names, func(b *ir.Builder, params []*ir.Value) ([]*ir.Value, error) {
		inside := map[*ir.Value]*ir.Value{nil: nil}
		for i, v := range outside {
			inside[v] = params[i]
			params[i].Elems = v.Elems // the group infers what was inferred outside
		}
		for _, n := range g.nodes {
			b.Locs = n.Locs
			in := make([]*ir.Value, len(n.In))
			for i, v := range n.In {
				if inside[v] == nil && sunk[v] {
					a, _ := v.Def.Attrs.Get("data")
					inside[v] = b.ConstRef(int(a.I))
				}
				in[i] = inside[v]
			}
			out, err := b.Op(n.Op, in, n.Attrs)
			if err != nil {
				return nil, err
			}
			for i, v := range n.Out {
				if !ir.EqualTypes(out[i].Type, v.Type) {
					return nil, fmt.Errorf("%s gives %v in a group, %v outside", n.Op, out[i].Type, v.Type)
				}
				ir.PassNames(v, out[i])
				inside[v] = out[i]
			}
		}
		var res []*ir.Value
		for _, v := range results {
			res = append(res, inside[v])
		}
		return res, nil
	})
	if err != nil {
		return nil, err
	}
	made, err := rw.Op(pass.GroupOp, rw.MappedAll(outside), nil, region)
	if err != nil {
		return nil, err
	}
	out := make([]*ir.Value, len(g.last().Out))
	for i, v := range results {
		out[v.Index] = made[i]
	}
	return out, nil
}

func locs(nodes []*ir.Node) []ir.Loc {
	var l []ir.Loc
	seen := map[ir.Loc]bool{}
	for _, n := range nodes {
		for _, x := range n.Locs {
			if !seen[x] {
				seen[x] = true
				l = append(l, x)
			}
		}
	}
	return l
}
