// Package specialize gives symbols the values that the caller knows.
//
//	func main(%x: f32[B, S, 8])        =>   func main(%x: f32[1, S, 8])        with B = 1
package specialize

import (
	"fmt"
	"sort"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "specialize",
	Doc:   "symbols whose values the caller knows become numbers",
	Needs: pass.Typed,
	Gives: pass.Typed,
	Drops: pass.Grouped,
	Run:   run,
}

func run(c *pass.Context, m *ir.Module) error {
	if len(c.Options.Dims) == 0 {
		return nil
	}
	if err := check(c, m); err != nil {
		return err
	}
	value := func(name string) (dim.Expr, bool) {
		v, ok := c.Options.Dims[name]
		return dim.Const(v), ok
	}
	ir.SubstDims(m, value)
	m.Dims.Keep(func(name string) bool { _, ok := value(name); return !ok })
	guards := m.Dims.Guards
	m.Dims.Guards = nil
	for _, g := range guards {
		if a, b := g.A.Subst(value), g.B.Subst(value); !m.Dims.Guard(a, b, g.Bcast, g.Why) {
			return fmt.Errorf("%s: extents %v and %v do not fit", g.Why, a, b)
		}
	}
	for _, f := range m.Funcs {
		err := ir.Rewrite(m, f, c.Sem, func(*ir.Rewriter, *ir.Node) ([]*ir.Value, error) { return nil, nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// check compares the values with what is known of the symbols.
func check(c *pass.Context, m *ir.Module) error {
	names := make([]string, 0, len(c.Options.Dims))
	for name := range c.Options.Dims {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		v := c.Options.Dims[name]
		if !m.Dims.Has(name) {
			return fmt.Errorf("dimension %q: the model has %v", name, given(m))
		}
		in := m.Dims.Info(name)
		switch {
		case in.Late:
			return fmt.Errorf("dimension %q is known only while running", name)
		case v < in.Lo || v > in.Hi || in.Step > 1 && v%in.Step != 0:
			return fmt.Errorf("dimension %s = %d: want %d to %d, a multiple of %d", name, v, in.Lo, in.Hi, max(in.Step, 1))
		}
	}
	return nil
}

// given lists the symbols that inputs bind.
func given(m *ir.Module) []string {
	var l []string
	for _, n := range m.Dims.Names() {
		if !m.Dims.Info(n).Late {
			l = append(l, n)
		}
	}
	return l
}
