package raise

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/passes/pass"
)

// The letters: b batch, h query heads, hk key and value heads, m queries, t keys, d and dv head widths.

// attentions finds softmax(scale * q.k^T + mask).v. The scale may stand on q, on k, on both or on the scores, as a product or a quotient;
// masks are added, or chosen by where; k and v may be repeated for grouped queries; a guard by isnan may follow. Where
// all keys of a query are hidden by -inf and nothing guards, the exporter's spelling gives NaN, attention 0.
var attentions = []pass.Rule{
	{Op: "matmul", Name: "attention", Doc: "softmax(scale * q.k^T + mask).v => attention(q, k, v, mask)", Run: attention},
}

// scores is what the operand of a softmax was found to be.
type scores struct {
	s     *pass.Site
	q, kt *ir.Value // kt is k with its last two axes swapped
	scale float64
	mask  *ir.Value // nil, or what is added to the scaled scores
	nodes []*ir.Node
}

func attention(s *pass.Site) []*ir.Value {
	p, v := s.In(0), s.In(1)
	if p.Rank() != v.Rank() || p.Rank() < 3 || p.Rank() > 4 || p.Type.Elem != dtype.F32 {
		return nil
	}
	soft := softmaxOf(s, p)
	if soft == nil {
		return nil
	}
	a := scores{s: s, scale: 1}
	a.nodes = append(a.nodes, s.N, soft)
	if !a.peel(soft.In[0], soft.In[0].Type.Shape, 8) {
		return nil
	}
	q, k := a.q, swapLast(s, a.kt)
	if p.Rank() == 3 {
		q, k, v, a.mask = lead(s, q), lead(s, k), lead(s, v), lead(s, a.mask)
	} else {
		k, v = unrepeat(s, k, v, q.Type.Shape[1])
	}
	if s.Err() != nil || !a.fits(q, k, v) {
		return nil
	}
	s.From(a.nodes...)
	in := []*ir.Value{q, k, v}
	if a.mask != nil {
		in = append(in, a.mask)
	}
	y := s.CallWith("attention", attr.List{{Name: "scale", Value: attr.OfFloat(a.scale)}}, in...)
	if s.Err() == nil && p.Rank() == 3 {
		y = s.Reshape(y, y.Type.Shape[1:])
	}
	return one(y)
}

// softmaxOf finds the softmax over the last axis that p is. A guard that sets rows that are not numbers to 0 goes: a
// query all of whose keys are hidden by -inf gives 0 in attention.
func softmaxOf(s *pass.Site, p *ir.Value) *ir.Node {
	if w := pass.Is(p, "where"); w != nil {
		m, ok := s.Match(pass.Op("where", pass.Op("isnan", pass.Var("p")), pass.Exactly(0), pass.Var("p")), p)
		if !ok {
			return nil
		}
		p = m.V["p"]
	}
	n := pass.Is(p, "softmax")
	if n == nil {
		return nil
	}
	if axis := n.Attrs.Int("axis", -1); axis != -1 && axis != int64(p.Rank()-1) {
		return nil
	}
	return n
}

// peel takes masks and scales off the scores, from the outside in, down to the product.
func (a *scores) peel(v *ir.Value, shape []dim.Expr, depth int) bool {
	if v == nil || v.Def == nil || depth == 0 || !dim.EqualAll(v.Type.Shape, shape) {
		return false
	}
	n := v.Def
	was := *a
	a.nodes = append(a.nodes[:len(a.nodes):len(a.nodes)], n)
	try := func(next *ir.Value) bool {
		if a.peel(next, shape, depth-1) {
			return true
		}
		nodes := a.nodes
		*a = was
		a.nodes = nodes[:len(was.nodes)+1]
		return false
	}
	switch n.Op {
	case "matmul":
		a.q, a.kt = a.unscale(n.In[0], 3), a.unscale(n.In[1], 3)
		return true
	case "mul", "div":
		for i := 0; i < 2; i++ {
			f, ok := a.s.Splat(n.In[1-i])
			if !ok || n.Op == "div" && (i == 1 || f == 0) {
				continue
			}
			if n.Op == "div" {
				f = 1 / f
			}
			a.scale *= f
			if try(n.In[i]) {
				return true
			}
		}
	case "add":
		for i := 0; i < 2; i++ {
			if a.addMask(n.In[1-i]) && try(n.In[i]) {
				return true
			}
		}
	case "where":
		for i := 1; i <= 2; i++ {
			f, ok := a.s.Splat(n.In[3-i])
			if !ok || f > -1e30 {
				continue // a small penalty is not what adding it would give where all keys are masked
			}
			zero, low := a.s.Like(v, 0), a.s.Like(v, f)
			pick := []*ir.Value{n.In[0], zero, low}
			if i == 2 {
				pick[1], pick[2] = low, zero
			}
			if a.addMask(a.s.Call("where", pick...)) && try(n.In[i]) {
				return true
			}
		}
	}
	return false
}

// addMask adds one more mask, unless a scale follows it.
func (a *scores) addMask(m *ir.Value) bool {
	if m == nil || a.scale != 1 || m.Type.Elem != dtype.F32 {
		return false
	}
	if a.mask != nil {
		m = a.s.Call("add", m, a.mask)
	}
	a.mask = m
	return a.s.Err() == nil
}

// unscale takes scalar factors off q or k.
func (a *scores) unscale(v *ir.Value, depth int) *ir.Value {
	if v.Def == nil || depth == 0 || v.Def.Op != "mul" && v.Def.Op != "div" {
		return v
	}
	n := v.Def
	for i := 0; i < 2; i++ {
		f, ok := a.s.Splat(n.In[1-i])
		if !ok || n.Op == "div" && (i == 1 || f == 0) || !dim.EqualAll(n.In[i].Type.Shape, v.Type.Shape) {
			continue
		}
		if n.Op == "div" {
			f = 1 / f
		}
		a.scale *= f
		a.nodes = append(a.nodes, n)
		return a.unscale(n.In[i], depth-1)
	}
	return v
}

// swapLast gives v with its last two axes swapped, without a transpose where that undoes one.
func swapLast(s *pass.Site, v *ir.Value) *ir.Value {
	r := v.Rank()
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-1], perm[r-2] = r-2, r-1
	if n := pass.Is(v, "transpose"); n != nil {
		inner := n.Attrs.Ints("perm")
		same := true
		for i := range perm {
			p := int(inner[perm[i]])
			same = same && p == i
			perm[i] = p
		}
		v = n.In[0]
		if same {
			return v
		}
	}
	return s.Transpose(v, perm)
}

// lead adds a first axis of extent 1.
func lead(s *pass.Site, v *ir.Value) *ir.Value {
	if v == nil || v.Rank() != 3 {
		return v
	}
	return s.Reshape(v, append([]dim.Expr{dim.Const(1)}, v.Type.Shape...))
}

// unrepeat takes off k and v what repeats each of their heads for a group of query heads: both or neither.
func unrepeat(s *pass.Site, k, v *ir.Value, heads dim.Expr) (*ir.Value, *ir.Value) {
	k2, gk := repeated(k)
	v2, gv := repeated(v)
	if k2 == nil || v2 == nil || !dim.Equal(gk, gv) || !dim.Equal(k.Type.Shape[1], heads) {
		return k, v
	}
	if !dim.Equal(k2.Type.Shape[1], v2.Type.Shape[1]) {
		return k, v
	}
	return s.Reshape(k2, without(k.Type.Shape, k2)), s.Reshape(v2, without(v.Type.Shape, v2))
}

// without is the shape of a repeated tensor [b, h, t, d] with the heads that x has on axis 1.
func without(shape []dim.Expr, x *ir.Value) []dim.Expr {
	s := append([]dim.Expr(nil), shape...)
	s[1] = x.Type.Shape[1]
	return s
}

// repeated finds x of [b, hk, 1, t, d] in reshape(expand(x) to [b, hk, g, t, d]) to [b, hk*g, t, d].
func repeated(v *ir.Value) (*ir.Value, dim.Expr) {
	r := pass.Is(v, "reshape")
	if r == nil || v.Rank() != 4 || len(r.In) > 1 && r.In[1] != nil {
		return nil, dim.Expr{}
	}
	e := pass.Is(r.In[0], "expand")
	if e == nil || e.Out[0].Rank() != 5 || len(e.In) > 1 && e.In[1] != nil || e.In[0].Rank() != 5 {
		return nil, dim.Expr{}
	}
	x, wide := e.In[0], e.Out[0].Type.Shape
	want := []dim.Expr{wide[0], dim.Mul(wide[1], wide[2]), wide[3], wide[4]}
	if !x.Type.Shape[2].IsConst(1) || !dim.EqualAll(v.Type.Shape, want) {
		return nil, dim.Expr{}
	}
	for _, i := range []int{0, 1, 3, 4} {
		if !dim.Equal(x.Type.Shape[i], wide[i]) {
			return nil, dim.Expr{}
		}
	}
	return x, wide[2]
}

// fits checks what attention wants: q [b, h, m, d], k [b, hk, t, d], v [b, hk, t, dv], h a multiple of hk, and a mask
// that broadcasts to [b, h, m, t].
func (a *scores) fits(q, k, v *ir.Value) bool {
	if q.Rank() != 4 || k.Rank() != 4 || v.Rank() != 4 || q.Type.Elem != dtype.F32 {
		return false
	}
	qs, ks, vs := q.Type.Shape, k.Type.Shape, v.Type.Shape
	if !dim.Equal(qs[0], ks[0]) || !dim.Equal(qs[3], ks[3]) || !dim.EqualAll(ks[:3], vs[:3]) {
		return false
	}
	if !dim.Equal(qs[1], ks[1]) {
		h, okh := qs[1].Int()
		hk, okk := ks[1].Int()
		if !okh || !okk || hk == 0 || h%hk != 0 {
			return false
		}
	}
	if a.mask == nil {
		return true
	}
	full := []dim.Expr{qs[0], qs[1], qs[2], ks[2]}
	if a.mask.Rank() > 4 {
		return false
	}
	for i, e := range a.mask.Type.Shape {
		if f := full[4-a.mask.Rank()+i]; !e.IsConst(1) && !dim.Equal(e, f) {
			return false
		}
	}
	return true
}
