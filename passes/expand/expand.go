// Package expand replaces composites that the target has no kernel for by their definition in terms of other
// operators.
//
//	%y = softplus_norm(%x)   =>   %a = softplus(%x); %y = ...
package expand

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "expand",
	Doc:   "composites that the target has no kernel for, in terms of other operators",
	Needs: pass.Typed,
	Gives: pass.Typed | pass.Primitive,
	Drops: pass.Grouped,
	Run:   run,
}

// limit bounds how deep definitions nest.
const limit = 8

func run(c *pass.Context, m *ir.Module) error {
	for i := 0; i < limit; i++ {
		count := 0
		for _, f := range m.Funcs {
			err := ir.Rewrite(m, f, c.Sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
				out, err := expand(c, rw, n)
				if out != nil {
					count++
				}
				return out, err
			})
			if err != nil {
				return err
			}
		}
		if count == 0 {
			return nil
		}
		c.Logf("expand: %d nodes", count)
	}
	return fmt.Errorf("definitions nest deeper than %d", limit)
}

func expand(c *pass.Context, rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
	step, _, err := c.Classify(rw.M, n)
	if err != nil || step != op.Composite {
		return nil, err
	}
	b := op.NewBuild(rw.Builder, n, rw.MappedAll(n.In))
	out, err := c.Table.Def(n.Op).Expand(b)
	if err == nil {
		err = b.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("definition of %s: %w", n.Op, err)
	}
	if len(out) != len(n.Out) {
		ir.Bugf(n, "the definition of %s gives %d results, want %d", n.Op, len(out), len(n.Out))
	}
	return out, nil
}
