// Package simplify makes what a module computes smaller without looking at constants' contents beyond a few
// elements: inference again, algebra, batch norm as part of the convolution before it, duplicates and dead
// code.
//
//	%a = conv(%x, %w) : f32[N, 8, H, W]                          %v = mul(%w, %s1)
//	%b = batch_norm(%a, %s, %t, %m, %v) : f32[N, 8, H, W]   =>   %b = conv(%x, %v, %t1) : f32[N, 8, H, W]
//
// What it builds on constants, like %v, is left for fold.
package simplify

import (
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "simplify",
	Doc:   "infers again; identities, batch norm into weights, branches that are decided, duplicates, dead code",
	Gives: pass.Typed,
	Drops: pass.Primitive | pass.Grouped,
	Run:   run,
}

// Rules lists all rewrites of the pass.
func Rules() []pass.Rule {
	var l []pass.Rule
	l = append(l, elementwise()...)
	l = append(l, movement...)
	l = append(l, sinks...)
	l = append(l, normalisation...)
	return append(l, control...)
}

// limit bounds sweeps; models settle in three to five.
const limit = 12

func run(c *pass.Context, m *ir.Module) error {
	fired, err := pass.NewRules(Rules()).Fixpoint(c, m, limit, func() pass.Otherwise { return merger(c) })
	if err != nil {
		return err
	}
	for name, n := range fired {
		c.Logf("simplify: %s x%d", name, n)
	}
	return nil
}

// merger makes nodes that a region has already computed once.
func merger(c *pass.Context) pass.Otherwise {
	seen := map[*ir.Region]map[string][]*ir.Value{}
	return func(s *pass.Site) ([]*ir.Value, error) {
		n := s.Old
		if len(n.Regions) > 0 || n.Op == ir.OpDims {
			return nil, nil
		}
		if d := c.Table.Def(n.Op); n.Op != ir.OpConst && (d == nil || d.Random) {
			return nil, nil
		}
		in := seen[s.R]
		if in == nil {
			in = map[string][]*ir.Value{}
			seen[s.R] = in
		}
		key := nodeKey(s.N)
		if out, ok := in[key]; ok {
			return out, nil
		}
		out, err := s.RW.Copy(n)
		if err != nil {
			return nil, err
		}
		if !late(s.RW.M.Dims, out) {
			in[key] = out
		}
		return out, nil
	}
}

func nodeKey(n *ir.Node) string {
	var b strings.Builder
	b.WriteString(n.Op)
	for _, v := range n.In {
		b.WriteByte(' ')
		if v != nil {
			b.WriteString(strconv.Itoa(v.ID))
		}
	}
	for _, a := range n.Attrs {
		b.WriteString(";" + a.Name + "=" + a.Value.String())
	}
	return b.String()
}

// late reports whether a result has an extent that only running tells: the second of two such nodes defines a
// symbol of its own, which others use.
func late(s *dim.Scope, out []*ir.Value) bool {
	for _, v := range out {
		for _, e := range v.Type.Shape {
			if s.Late(e) {
				return true
			}
		}
	}
	return false
}

// same returns x in place of result 0 where it has exactly its type.
func same(s *pass.Site, x *ir.Value) []*ir.Value {
	if x == nil || !ir.EqualTypes(x.Type, s.Old.Out[0].Type) {
		return nil
	}
	return []*ir.Value{x}
}

func one(v *ir.Value) []*ir.Value {
	if v == nil {
		return nil
	}
	return []*ir.Value{v}
}
