package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/op"
)

// groups is the operator that pass fuse makes.
var groups = []*op.Def{&group}

var group = op.Def{
	Name:   "group",
	Doc:    "The results of its region, whose nodes become one kernel: one anchor and what is done to its elements.",
	Sig:    op.Sig{In: []op.Arg{{Name: "x", Variadic: true}}, Out: []op.Arg{{Name: "y", Variadic: true}}, Regions: []string{"body"}},
	Infer:  inferGroup,
	NumOut: func(n *ir.Node) int { return len(n.Regions[0].Results) },
	VJP:    op.VJP{None: "groups are made after gradients are"},
}

func inferGroup(c *op.Infer) error {
	r := c.N.Regions[0]
	if len(r.Params) != len(c.N.In) {
		return fmt.Errorf("want %d operands for the region's parameters, got %d", len(r.Params), len(c.N.In))
	}
	for i, p := range r.Params {
		if c.In(i) == nil || !ir.EqualTypes(p.Type, c.In(i).Type) {
			return fmt.Errorf("operand %d: want %v as the region's parameter", i, p.Type)
		}
	}
	for i, v := range r.Results {
		c.SetType(i, v.Type)
	}
	return nil
}
