// Package fuse wraps the nodes of each kernel in a group: one anchor (a contraction, a window, rows, attention) and
// the element-wise operators around it, or element-wise operators alone.
//
//	%a = matmul(%x, %w)                      %y = group(%x, %w, %b) {
//	%c = add(%a, %b)                           body(%x, %w, %b) {
//	%y = gelu(%c)                     =>         %a = matmul(%x, %w)
//	                                             %c = add(%a, %b)
//	                                             %y = gelu(%c)
//	                                             yield(%y)
//	                                           }
//	                                         }
//
// A group is grown backwards from its last node: a producer joins where everything that reads it is in the
// group already and reads it position for position, so a group has the results of its last node alone and stands where
// that stood. Views, concats, host functions and control flow stay outside; constants of one element move in
// and become immediates of the program.
package fuse

import (
	"sort"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "fuse",
	Doc:   "groups: one anchor and the element-wise operators around it, each one kernel",
	Needs: pass.Typed | pass.Primitive,
	Gives: pass.Typed | pass.Grouped,
	Run:   run,
}

func run(c *pass.Context, m *ir.Module) error {
	for _, f := range m.Funcs {
		p := &planner{c: c, m: m, f: f, uses: f.Uses(), forms: map[*ir.Node]*op.Form{}, owner: map[*ir.Node]*group{}}
		if err := p.region(f.Body); err != nil {
			return err
		}
		err := ir.Rewrite(m, f, c.Sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
			g := p.owner[n]
			switch {
			case g == nil:
				return nil, nil
			case n != g.last():
				return make([]*ir.Value, len(n.Out)), nil // made inside the group
			}
			return p.emit(rw, g)
		})
		if err != nil {
			return err
		}
		if len(p.groups) > 0 {
			c.Logf("fuse: %s: %d nodes in %d groups", f.Name, len(p.owner), len(p.groups))
		}
	}
	return nil
}

// group is a group in the making.
type group struct {
	nodes  []*ir.Node        // in dominance order, once finished
	in     map[*ir.Node]bool // the same as a set
	anchor *ir.Node          // the node that is not a map, or nil
	space  []dim.Expr        // extents of the result, which maps around the anchor share
	before map[*ir.Node]bool // maps that compute what an anchor of rows reads
}

func (g *group) last() *ir.Node { return g.nodes[len(g.nodes)-1] }

type planner struct {
	c      *pass.Context
	m      *ir.Module
	f      *ir.Func
	uses   []int
	forms  map[*ir.Node]*op.Form
	owner  map[*ir.Node]*group
	groups []*group
	order  map[*ir.Node]int
}

// region plans the groups of one region, then those of regions in it.
func (p *planner) region(r *ir.Region) error {
	for _, n := range r.Nodes {
		if n.Op == pass.GroupOp {
			continue
		}
		step, form, err := p.c.Classify(p.m, n)
		if err != nil {
			return err
		}
		if step == op.Kernel {
			p.forms[n] = form
		}
		for _, in := range n.Regions {
			if err := p.region(in); err != nil {
				return err
			}
		}
	}
	p.order = map[*ir.Node]int{}
	for i, n := range r.Nodes {
		p.order[n] = i
	}
	var made []*group
	for i := len(r.Nodes) - 1; i >= 0; i-- {
		if n := r.Nodes[i]; p.forms[n] != nil && p.owner[n] == nil {
			made = append(made, p.grow(n))
		}
	}
	p.joinBefore(made)
	for _, g := range made {
		if len(g.nodes) > 0 {
			sort.Slice(g.nodes, func(i, j int) bool { return p.order[g.nodes[i]] < p.order[g.nodes[j]] })
			p.groups = append(p.groups, g)
		}
	}
	return nil
}

// grow makes the group that ends in n, of n and what is computed for it alone.
func (p *planner) grow(n *ir.Node) *group {
	g := &group{in: map[*ir.Node]bool{}, before: map[*ir.Node]bool{}, space: n.Out[0].Type.Shape}
	p.add(g, n)
	if g.anchor == n { // what comes before an anchor is settled once all groups are made
		return g
	}
	for {
		best := p.candidate(g)
		if best == nil {
			return g
		}
		p.add(g, best)
	}
}

func (p *planner) add(g *group, n *ir.Node) {
	g.nodes, g.in[n] = append(g.nodes, n), true
	p.owner[n] = g
	if p.forms[n].Anchor != anchor.Map {
		g.anchor = n
	}
}

// candidate is the producer that gains most: a contraction or window, else other anchors, else maps; the later one
// among equals, so that the choice does not depend on anything but the graph.
func (p *planner) candidate(g *group) *ir.Node {
	var best *ir.Node
	for _, n := range g.nodes {
		if n == g.anchor {
			continue
		}
		for _, v := range n.In {
			if v == nil || v.Def == nil || p.forms[v.Def] == nil || p.owner[v.Def] != nil {
				continue
			}
			if d := v.Def; p.joins(g, d) && (best == nil || p.better(d, best)) {
				best = d
			}
		}
	}
	return best
}

func (p *planner) better(a, b *ir.Node) bool {
	if x, y := p.rank(a), p.rank(b); x != y {
		return x > y
	}
	return p.order[a] > p.order[b]
}

func (p *planner) rank(n *ir.Node) int {
	switch p.forms[n].Anchor {
	case anchor.Map:
		return 0
	case anchor.Contract, anchor.Window:
		return 2
	}
	return 1
}

// joins reports whether producer d may be computed inside g, right where its readers want it.
func (p *planner) joins(g *group, d *ir.Node) bool {
	form := p.forms[d]
	if form.Anchor != anchor.Map && g.anchor != nil || len(g.nodes) >= pass.MaxNodes {
		return false
	}
	if !dim.EqualAll(d.Out[0].Type.Shape, g.space) || !pass.IdentityResult(form, 0) {
		return false
	}
	return p.onlyFor(g, d) && p.operands(g, d) <= pass.MaxOperands
}

// onlyFor reports whether every reader of d's results is a map of g that reads result 0 position for position.
func (p *planner) onlyFor(g *group, d *ir.Node) bool {
	for _, o := range d.Out[1:] {
		if p.uses[o.ID] > 0 {
			return false
		}
	}
	inside := 0
	for _, n := range g.nodes {
		for i, v := range n.In {
			if v != d.Out[0] {
				continue
			}
			if n == g.anchor || g.before[n] || !pass.IdentityOperand(p.forms[n], i) {
				return false
			}
			inside++
		}
	}
	return inside == p.uses[d.Out[0].ID]
}

// operands counts the buffers of g with d in it: what it reads from outside, and its result.
func (p *planner) operands(g *group, extra ...*ir.Node) int {
	in := map[*ir.Node]bool{}
	for n := range g.in {
		in[n] = true
	}
	for _, n := range extra {
		in[n] = true
	}
	seen := map[*ir.Value]bool{}
	for n := range in {
		for _, v := range n.In {
			if v != nil && !(v.Def != nil && in[v.Def]) && !p.immediate(v) {
				seen[v] = true
			}
		}
	}
	return len(seen) + 1
}

// immediate reports whether v is a constant of one element that programs can hold.
func (p *planner) immediate(v *ir.Value) bool { return immediate(p.m, v) }

// joinBefore puts groups of maps alone in front of the rows that alone read them: the rows load the operands
// and compute the elements in place of loading them. Rows read their input once per phase, so only short
// programs are worth it.
func (p *planner) joinBefore(made []*group) {
	const short = 6
	byLast := map[*ir.Node]*group{}
	for _, g := range made {
		byLast[g.nodes[0]] = g // grow puts the last node first
	}
	for _, g := range made {
		if g.anchor == nil || p.forms[g.anchor].Anchor != anchor.Rows {
			continue
		}
		for i, v := range g.anchor.In {
			if v == nil || v.Def == nil || byLast[v.Def] == nil || p.uses[v.ID] != 1 || !pass.IdentityOperand(p.forms[g.anchor], i) {
				continue
			}
			b := byLast[v.Def]
			if b.anchor != nil || len(b.nodes) == 0 || len(b.nodes) > short || len(g.nodes)+len(b.nodes) > pass.MaxNodes || p.operands(g, b.nodes...) > pass.MaxOperands {
				continue
			}
			if !dim.EqualAll(v.Type.Shape, b.space) || hasIndirect(p, b) {
				continue
			}
			for _, n := range b.nodes {
				g.before[n] = true
				p.add(g, n)
			}
			delete(byLast, v.Def)
			b.nodes = nil
		}
	}
}

// hasIndirect reports whether a map of the group goes through integers: gathering a row twice costs more than
// storing it.
func hasIndirect(p *planner, g *group) bool {
	for _, n := range g.nodes {
		for _, m := range p.forms[n].Maps {
			for _, at := range m {
				if at.Via > 0 {
					return true
				}
			}
		}
	}
	return false
}
