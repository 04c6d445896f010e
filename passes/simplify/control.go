package simplify

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/passes/pass"
)

// control lists rewrites of operators with regions.
var control = []pass.Rule{
	{Op: "if", Name: "if-known", Doc: "a branch whose condition is known => the nodes of the branch taken", Run: ifKnown},
}

// ifKnown reads regions then and else, whose parameters are the operands behind the condition.
func ifKnown(s *pass.Site) []*ir.Value {
	l := s.Elems(0)
	if len(l) != 1 {
		return nil
	}
	c, ok := l[0].Int()
	if !ok {
		return nil
	}
	taken := s.Old.Regions[0]
	if c == 0 {
		taken = s.Old.Regions[1]
	}
	for i, v := range taken.Results {
		if o := s.Old.Out[i]; v.Type.Kind != o.Type.Kind || v.Type.Elem != o.Type.Elem || v.Rank() != o.Rank() {
			return nil // the branches differ, and what follows was inferred for both
		}
	}
	out, err := s.RW.Inline(taken, s.N.In[1:])
	if err != nil {
		s.Fail(err)
		return nil
	}
	return out
}
