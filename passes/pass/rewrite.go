package pass

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Rule is one local rewrite, tried on every node of one operator.
type Rule struct {
	Op   string // operator of the node that is replaced, or AnyOp
	Name string
	Doc  string // before => after
	// Run returns what stands for the node's results, or nil where the rule does not apply. What it built
	// before it found out is dead and goes away.
	Run func(*Site) []*ir.Value
}

// Site is a node at which rules are tried: a builder, and the node with operands already rewritten, so that a
// rule sees what earlier rules of the same sweep made of its operands.
type Site struct {
	*op.Build
	C    *Context
	RW   *ir.Rewriter
	Old  *ir.Node // in the graph before the sweep
	uses []int    // of the graph before the sweep
}

// NewSite makes a site for a node that a Rewrite visits; uses are those of the function before it.
func NewSite(c *Context, rw *ir.Rewriter, n *ir.Node, uses []int) *Site {
	return &Site{Build: op.NewBuild(rw.Builder, n, rw.MappedAll(n.In)), C: c, RW: rw, Old: n, uses: uses}
}

// Uses is how often operand i is read before the sweep.
func (s *Site) Uses(i int) int { return s.uses[s.Old.In[i].ID] }

// UsesOf is how often a value of the graph before the sweep is read there.
func (s *Site) UsesOf(old *ir.Value) int { return s.uses[old.ID] }

// From adds the places of nodes to those given to what the rule builds.
func (s *Site) From(nodes ...*ir.Node) {
	s.Locs = s.Locs[:len(s.Locs):len(s.Locs)]
	for _, n := range nodes {
		for _, l := range n.Locs {
			if !hasLoc(s.Locs, l) {
				s.Locs = append(s.Locs, l)
			}
		}
	}
}

func hasLoc(l []ir.Loc, x ir.Loc) bool {
	for _, have := range l {
		if have == x {
			return true
		}
	}
	return false
}

// ConstOf is the tensor where v is a constant, else nil.
func (s *Site) ConstOf(v *ir.Value) *tensor.Tensor { return s.Build.Node.M.ConstOf(v) }

// Splat is the one number that all elements of v are, where v is a constant of at most ir.FoldLimit elements
// or a view of one.
func (s *Site) Splat(v *ir.Value) (float64, bool) {
	for v != nil && v.Def != nil && v.Index == 0 && len(v.Def.In) > 0 {
		d := s.C.Table.Def(v.Def.Op)
		if d == nil || !d.View {
			break
		}
		v = v.Def.In[0]
	}
	t := s.ConstOf(v)
	if t == nil || t.Len() == 0 || t.Len() > ir.FoldLimit || !(t.Elem.IsFloat() || t.Elem.IsInt()) {
		return 0, false
	}
	x := t.Float(0)
	for i := 1; i < t.Len(); i++ {
		if t.Float(i) != x {
			return 0, false
		}
	}
	return x, true
}

// Constant reports whether v depends on nothing but constants.
func (s *Site) Constant(v *ir.Value) bool { return s.constant(v, 16) }

func (s *Site) constant(v *ir.Value, depth int) bool {
	if v == nil || v.Def == nil || depth == 0 {
		return false
	}
	n := v.Def
	if n.Op == ir.OpConst {
		return true
	}
	d := s.C.Table.Def(n.Op)
	if d == nil || d.Random || len(n.Regions) > 0 || len(n.In) == 0 {
		return false
	}
	for _, in := range n.In {
		if in != nil && !s.constant(in, depth-1) {
			return false
		}
	}
	return true
}

// AnyOp in a Rule stands for every operator; such rules are tried after those for the one at hand.
const AnyOp = "*"

func (t Rules) of(op string) []Rule {
	if len(t[AnyOp]) == 0 {
		return t[op]
	}
	return append(t[op][:len(t[op]):len(t[op])], t[AnyOp]...)
}

// Rules is a table of rules by operator. Each entry names the pass that has it.
type Rules map[string][]Rule

// NewRules indexes a list.
func NewRules(lists ...[]Rule) Rules {
	t := Rules{}
	for _, l := range lists {
		for _, r := range l {
			t[r.Op] = append(t[r.Op], r)
		}
	}
	return t
}

// Otherwise is what a Sweep does with a node at which no rule applies; nil copies it.
type Otherwise func(*Site) ([]*ir.Value, error)

// Sweep visits every node once, in order, and reports how often each rule applied.
func (t Rules) Sweep(c *Context, m *ir.Module, otherwise func() Otherwise) (map[string]int, error) {
	fired := map[string]int{}
	for _, f := range m.Funcs {
		uses := f.Uses()
		var rest Otherwise
		if otherwise != nil {
			rest = otherwise()
		}
		err := ir.Rewrite(m, f, c.Sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
			s := NewSite(c, rw, n, uses)
			for _, r := range t.of(n.Op) {
				out := r.Run(s)
				if err := s.Err(); err != nil {
					return nil, fmt.Errorf("rule %s: %w", r.Name, err)
				}
				s.Locs = n.Locs
				if out != nil {
					checkKinds(n, r, out)
					fired[r.Name]++
					return out, nil
				}
			}
			if rest != nil {
				return rest(s)
			}
			return nil, nil
		})
		if err != nil {
			return fired, err
		}
	}
	return fired, nil
}

// checkKinds catches rules that give a value of another type.
func checkKinds(n *ir.Node, r Rule, out []*ir.Value) {
	if len(out) != len(n.Out) {
		ir.Bugf(n, "rule %s gives %d results for %d", r.Name, len(out), len(n.Out))
	}
	for i, v := range out {
		if v != nil && (v.Type.Kind != n.Out[i].Type.Kind || v.Type.Elem != n.Out[i].Type.Elem || v.Rank() != n.Out[i].Rank()) {
			ir.Bugf(n, "rule %s gives %v for %v", r.Name, v.Type, n.Out[i].Type)
		}
	}
}

// Fixpoint sweeps until no rule applies, at most limit times, and reports the totals.
func (t Rules) Fixpoint(c *Context, m *ir.Module, limit int, otherwise func() Otherwise) (map[string]int, error) {
	total := map[string]int{}
	for i := 0; i < limit; i++ {
		fired, err := t.Sweep(c, m, otherwise)
		if err != nil {
			return total, err
		}
		for k, v := range fired {
			total[k] += v
		}
		if len(fired) == 0 {
			break
		}
	}
	return total, nil
}
