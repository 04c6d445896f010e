package pass

import (
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/op"
)

// Facts is a set of properties of a module.
type Facts uint8

// The facts.
const (
	Typed     Facts = 1 << iota // inference gives the types that values have
	Primitive                   // no node needs to be expanded
	Layouted                    // activations have the layouts that the target wants
	Grouped                     // every kernel node lies in a group with at most one anchor
	allFacts  = Typed | Primitive | Layouted | Grouped
)

var factNames = []string{"Typed", "Primitive", "Layouted", "Grouped"}

// String lists the names, joined by +.
func (f Facts) String() string {
	var l []string
	for i, n := range factNames {
		if f&(1<<i) != 0 {
			l = append(l, n)
		}
	}
	if l == nil {
		return "none"
	}
	return strings.Join(l, "+")
}

// proof is how one fact is shown to hold.
type proof struct {
	fact Facts
	run  func(*Runner, *Context, *ir.Module) error
}

// No layout other than row-major exists before the issue that makes passes/layout, so Layouted has no proof
// and nobody may give it.
var proofs = []proof{
	{Typed, func(r *Runner, c *Context, m *ir.Module) error { return r.Verify(m, c.Sem) }},
	{Primitive, provePrimitive},
	{Grouped, proveGrouped},
}

func provePrimitive(_ *Runner, c *Context, m *ir.Module) error {
	return eachNode(m, func(n *ir.Node) error {
		s, _, err := c.Classify(m, n)
		switch {
		case err != nil:
			return err
		case s == op.Composite:
			return n.Errorf(nil, "%s is a composite", n.Op)
		case s == op.NoStep:
			return n.Errorf(ir.ErrUnsupported, "%s of these types has no kernel and no host function", n.Op)
		}
		return nil
	})
}

func proveGrouped(_ *Runner, c *Context, m *ir.Module) error {
	var visit func(r *ir.Region, inside bool) error
	visit = func(r *ir.Region, inside bool) error {
		for _, n := range r.Nodes {
			if n.Op == GroupOp {
				if inside {
					return n.Errorf(nil, "a group inside a group")
				}
				if err := CheckGroup(c, m, n); err != nil {
					return err
				}
				continue
			}
			for _, in := range n.Regions {
				if err := visit(in, inside); err != nil {
					return err
				}
			}
			s, _, err := c.Classify(m, n)
			if err != nil {
				return err
			}
			if s == op.Kernel {
				return n.Errorf(nil, "%s lies outside a group", n.Op)
			}
		}
		return nil
	}
	for _, f := range m.Funcs {
		if err := visit(f.Body, false); err != nil {
			return err
		}
	}
	return nil
}

func eachNode(m *ir.Module, fn func(*ir.Node) error) error {
	var first error
	for _, f := range m.Funcs {
		f.Body.Walk(func(n *ir.Node) {
			if first == nil {
				if err := fn(n); err != nil {
					first = fmt.Errorf("func %s: %w", f.Name, err)
				}
			}
		})
	}
	return first
}
