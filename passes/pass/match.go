package pass

import (
	"math"

	"github.com/llmc-go/llmc/ir"
)

// Pattern matches the expression that defines a value. Patterns look at operators, attributes and constants,
// never at names or at how long an axis is.
type Pattern func(*Match, *ir.Value) bool

// Match is what a pattern has bound so far.
type Match struct {
	S     *Site
	V     map[string]*ir.Value
	F     map[string]float64
	Nodes []*ir.Node // that were matched
}

// Match tries a pattern on a value.
func (s *Site) Match(p Pattern, v *ir.Value) (*Match, bool) {
	m := &Match{S: s, V: map[string]*ir.Value{}, F: map[string]float64{}}
	return m, p(m, v)
}

// MatchNode tries a pattern for the operands of the site's own node: an operator, as Op and Comm make them.
func (s *Site) MatchNode(p Pattern) (*Match, bool) {
	v := &ir.Value{ID: -1, Def: s.N}
	if len(s.Old.Out) > 0 {
		v.Type = s.Old.Out[0].Type
	}
	return s.Match(p, v)
}

// Is is the node that defines v as its first result, where it applies op.
func Is(v *ir.Value, op string) *ir.Node {
	if v == nil || v.Def == nil || v.Index != 0 || v.Def.Op != op {
		return nil
	}
	return v.Def
}

type mark struct {
	v     map[string]*ir.Value
	f     map[string]float64
	nodes int
}

func (m *Match) mark() mark {
	k := mark{map[string]*ir.Value{}, map[string]float64{}, len(m.Nodes)}
	for n, v := range m.V {
		k.v[n] = v
	}
	for n, f := range m.F {
		k.f[n] = f
	}
	return k
}

func (m *Match) reset(k mark) {
	m.V, m.F, m.Nodes = map[string]*ir.Value{}, map[string]float64{}, m.Nodes[:k.nodes]
	for n, v := range k.v {
		m.V[n] = v
	}
	for n, f := range k.f {
		m.F[n] = f
	}
}

// Var matches any value, and the same value wherever the name is used again.
func Var(name string) Pattern {
	return func(m *Match, v *ir.Value) bool {
		if old, ok := m.V[name]; ok {
			return old == v
		}
		m.V[name] = v
		return v != nil
	}
}

// Bind names what another pattern matches.
func Bind(name string, p Pattern) Pattern {
	return func(m *Match, v *ir.Value) bool {
		if !p(m, v) {
			return false
		}
		m.V[name] = v
		return true
	}
}

// Num matches a constant all of whose elements are one number.
func Num(name string) Pattern {
	return func(m *Match, v *ir.Value) bool {
		f, ok := m.S.Splat(v)
		if ok {
			m.F[name] = f
		}
		return ok
	}
}

// Near matches a constant equal to a number up to what f32 and f16 constants lose: exporters round
// sqrt(2/pi) differently.
func Near(want float64) Pattern {
	return func(m *Match, v *ir.Value) bool {
		f, ok := m.S.Splat(v)
		return ok && math.Abs(f-want) <= 1e-3*math.Abs(want) && (want != 0 || f == 0)
	}
}

// Exactly matches a constant that is a number.
func Exactly(want float64) Pattern {
	return func(m *Match, v *ir.Value) bool {
		f, ok := m.S.Splat(v)
		return ok && f == want
	}
}

// Op matches an operator with operands in order; patterns beyond those given match anything.
func Op(op string, in ...Pattern) Pattern {
	return func(m *Match, v *ir.Value) bool {
		n := Is(v, op)
		if n == nil || len(n.In) < len(in) {
			return false
		}
		k := m.mark()
		m.Nodes = append(m.Nodes, n)
		for i, p := range in {
			if !p(m, n.In[i]) {
				m.reset(k)
				return false
			}
		}
		return true
	}
}

// Comm matches an operator of two operands in either order.
func Comm(op string, a, b Pattern) Pattern { return Or(Op(op, a, b), swapped(op, a, b)) }

// swapped tries a on the second operand first, so that a binds before b reads.
func swapped(op string, a, b Pattern) Pattern {
	return func(m *Match, v *ir.Value) bool {
		n := Is(v, op)
		if n == nil || len(n.In) < 2 {
			return false
		}
		k := m.mark()
		m.Nodes = append(m.Nodes, n)
		if a(m, n.In[1]) && b(m, n.In[0]) {
			return true
		}
		m.reset(k)
		return false
	}
}

// Or matches the first alternative that matches.
func Or(l ...Pattern) Pattern {
	return func(m *Match, v *ir.Value) bool {
		k := m.mark()
		for _, p := range l {
			if p(m, v) {
				return true
			}
			m.reset(k)
		}
		return false
	}
}

// And matches a value that all patterns match.
func And(l ...Pattern) Pattern {
	return func(m *Match, v *ir.Value) bool {
		for _, p := range l {
			if !p(m, v) {
				return false
			}
		}
		return true
	}
}

// Where matches what a function accepts.
func Where(f func(*Match, *ir.Value) bool) Pattern { return f }

// Through matches p on v, or on the operand of any chain of the given operators above it.
func Through(p Pattern, ops ...string) Pattern {
	return func(m *Match, v *ir.Value) bool {
		for depth := 0; depth < 4; depth++ {
			k := m.mark()
			if p(m, v) {
				return true
			}
			m.reset(k)
			var n *ir.Node
			for _, o := range ops {
				if d := Is(v, o); d != nil {
					n = d
				}
			}
			if n == nil {
				return false
			}
			m.Nodes = append(m.Nodes, n)
			v = n.In[0]
		}
		return false
	}
}
