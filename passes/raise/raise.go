// Package raise finds composites in what exporters spelled out: normalisations, activations and attention. It
// looks at operators, attributes and constants alone; names and extents are the exporter's.
//
//	%m = reduce_mean(%x, axes: [2], keepdims: true)
//	%d = sub(%x, %m)
//	%q = mul(%d, %d)
//	%v = reduce_mean(%q, axes: [2], keepdims: true)    =>    %y, %_, %_ = layer_norm(%x, %g, %b, axis: 2, epsilon: 1e-05)
//	%s = sqrt(add(%v, 1e-05))
//	%n = div(%d, %s)
//	%y = add(mul(%n, %g), %b)
//
// What a composite leaves without a reader goes away; what else reads an inner value keeps it.
package raise

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "raise",
	Doc:   "normalisations, activations and attention that exporters spelled out, as composites",
	Needs: pass.Typed,
	Gives: pass.Typed,
	Drops: pass.Primitive | pass.Grouped,
	Run:   run,
}

// Rules lists all rewrites of the pass.
func Rules() []pass.Rule {
	var l []pass.Rule
	l = append(l, activations...)
	l = append(l, norms...)
	return append(l, attentions...)
}

// limit bounds sweeps: a norm takes three, one for each of its parts.
const limit = 6

func run(c *pass.Context, m *ir.Module) error {
	fired, err := pass.NewRules(Rules()).Fixpoint(c, m, limit, nil)
	for name, n := range fired {
		c.Logf("raise: %s x%d", name, n)
	}
	return err
}

func one(v *ir.Value) []*ir.Value {
	if v == nil {
		return nil
	}
	return []*ir.Value{v}
}
