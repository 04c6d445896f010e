package raise

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/pass"
)

// norms are raised in parts, since scale and bias come in any order and may be missing: first what is
// divided, with a scale of ones; then the product with the scale; then the sum with the bias.
var norms = []pass.Rule{
	{Op: "div", Name: "layer-norm", Doc: "(x - mean x) / sqrt(mean (x - mean x)^2 + eps) => layer_norm(x, 1)", Run: layerNorm("div")},
	{Op: "mul", Name: "layer-norm-recip", Doc: "(x - mean x) * recip(sqrt(...)) => layer_norm(x, 1)", Run: layerNorm("mul")},
	{Op: "div", Name: "rms-norm", Doc: "x / sqrt(mean x^2 + eps) => rms_norm(x, 1)", Run: rmsNorm("div")},
	{Op: "mul", Name: "rms-norm-recip", Doc: "x * recip(sqrt(mean x^2 + eps)) => rms_norm(x, 1)", Run: rmsNorm("mul")},
	{Op: "mul", Name: "norm-scale", Doc: "layer_norm(x, 1) * g => layer_norm(x, g); so for rms_norm", Run: normScale},
	{Op: "add", Name: "norm-bias", Doc: "layer_norm(x, g) + b => layer_norm(x, g, b)", Run: normBias},
}

// root is sqrt(mean of squares + eps) of what squares names.
func root(squares pass.Pattern) pass.Pattern {
	return pass.Op("sqrt", pass.Comm("add", pass.Num("eps"), pass.Bind("ms", pass.Op("reduce_mean", squares))))
}

// divided is a over b, as one of two spellings.
func divided(op string, a, b pass.Pattern) pass.Pattern {
	if op == "div" {
		return pass.Op("div", a, b)
	}
	return pass.Comm("mul", a, pass.Or(pass.Op("recip", b), pass.Op("div", pass.Exactly(1), b)))
}

func layerNorm(op string) func(*pass.Site) []*ir.Value {
	centred := pass.Bind("d", pass.Op("sub", pass.Var("x"), pass.Bind("mean", pass.Op("reduce_mean", pass.Var("x")))))
	squares := pass.Or(pass.Op("mul", pass.Var("d"), pass.Var("d")), pass.Op("pow", pass.Var("d"), pass.Exactly(2)))
	pattern := divided(op, centred, root(squares))
	return func(s *pass.Site) []*ir.Value {
		m, ok := s.MatchNode(pattern)
		if !ok {
			return nil
		}
		axis, ok := trailing(m.V["mean"], m.V["x"])
		if !ok || !sameMean(m.V["mean"], m.V["ms"]) {
			return nil
		}
		return normalised(s, m, "layer_norm", axis)
	}
}

func rmsNorm(op string) func(*pass.Site) []*ir.Value {
	squares := pass.Or(pass.Op("mul", pass.Var("x"), pass.Var("x")), pass.Op("pow", pass.Var("x"), pass.Exactly(2)))
	pattern := divided(op, pass.Var("x"), root(squares))
	return func(s *pass.Site) []*ir.Value {
		m, ok := s.MatchNode(pattern)
		if !ok {
			return nil
		}
		axis, ok := trailing(m.V["ms"], m.V["x"])
		if !ok {
			return nil
		}
		return normalised(s, m, "rms_norm", axis)
	}
}

// trailing is the first of the axes that a reduce_mean of x reduces, where these are the last ones and stay with extent 1.
func trailing(mean, x *ir.Value) (int, bool) {
	axes := mean.Def.Attrs.Ints("axes")
	if !mean.Def.Attrs.Bool("keepdims") || len(axes) == 0 {
		return 0, false
	}
	seen := make([]bool, x.Rank())
	first := x.Rank()
	for _, a := range axes {
		if a < 0 || a >= int64(x.Rank()) || seen[a] {
			return 0, false
		}
		seen[a] = true
		first = min(first, int(a))
	}
	return first, len(axes) == x.Rank()-first
}

func sameMean(a, b *ir.Value) bool {
	x, okx := a.Def.Attrs.Get("axes")
	y, oky := b.Def.Attrs.Get("axes")
	return okx && oky && attr.Equal(x, y) && a.Def.Attrs.Bool("keepdims") == b.Def.Attrs.Bool("keepdims")
}

// normalised makes the norm with a scale of ones.
func normalised(s *pass.Site, m *pass.Match, name string, axis int) []*ir.Value {
	x := m.V["x"]
	if x.Type.Elem != dtype.F32 || !dim.EqualAll(x.Type.Shape, s.Old.Out[0].Type.Shape) {
		return nil
	}
	shape := make([]int, 0, x.Rank()-axis)
	for _, e := range x.Type.Shape[axis:] {
		n, ok := e.Int()
		if !ok || n <= 0 || n > 1<<20 {
			return nil
		}
		shape = append(shape, int(n))
	}
	if n, ok := tensor.Count(shape); !ok || n > 1<<20 {
		return nil
	}
	ones := tensor.New(x.Type.Elem, shape...)
	for i := 0; i < ones.Len(); i++ {
		ones.SetFloat(i, 1)
	}
	s.From(m.Nodes...)
	return s.Do(name, []*ir.Value{x, s.Builder.Const("", ones)}, attr.List{
		{Name: "axis", Value: attr.OfInt(int64(axis))}, {Name: "epsilon", Value: attr.OfFloat(m.F["eps"])}})[:1]
}

// normOf finds the norm that operand i of the site is the first result of, and that nothing else reads.
func normOf(s *pass.Site, i int) *ir.Node {
	n := pass.Is(s.In(i), "layer_norm")
	if n == nil {
		n = pass.Is(s.In(i), "rms_norm")
	}
	if n == nil || s.Uses(i) != 1 {
		return nil
	}
	return n
}

// parameter gives v the shape of the normalised axes, where that is what it has but for leading ones.
func parameter(s *pass.Site, n *ir.Node, v *ir.Value) *ir.Value {
	x := n.In[0]
	axis := int(n.Attrs.Int("axis", -1))
	if axis < 0 {
		axis += x.Rank()
	}
	want := x.Type.Shape[axis:]
	if v.Rank() < len(want) || v.Rank() > x.Rank() || v.Type.Elem != x.Type.Elem || !dim.EqualAll(v.Type.Shape[v.Rank()-len(want):], want) {
		return nil
	}
	for _, e := range v.Type.Shape[:v.Rank()-len(want)] {
		if !e.IsConst(1) {
			return nil
		}
	}
	return s.Reshape(v, want)
}

func normScale(s *pass.Site) []*ir.Value {
	for i := 0; i < 2; i++ {
		n := normOf(s, i)
		if n == nil || len(n.In) > 2 && n.In[2] != nil || !isOnes(s, n.In[1]) {
			continue
		}
		if g := parameter(s, n, s.In(1-i)); g != nil {
			s.From(n)
			return s.Do(n.Op, []*ir.Value{n.In[0], g}, n.Attrs)[:1]
		}
	}
	return nil
}

// isOnes reads constants of any size: only those that normalised made are asked for.
func isOnes(s *pass.Site, v *ir.Value) bool {
	t := s.ConstOf(v)
	if t == nil || t.Elem != dtype.F32 {
		return false
	}
	for _, f := range t.F32() {
		if f != 1 {
			return false
		}
	}
	return true
}

func normBias(s *pass.Site) []*ir.Value {
	for i := 0; i < 2; i++ {
		n := normOf(s, i)
		if n == nil || n.Op != "layer_norm" || len(n.In) > 2 && n.In[2] != nil {
			continue
		}
		if b := parameter(s, n, s.In(1-i)); b != nil {
			s.From(n)
			return s.Do(n.Op, []*ir.Value{n.In[0], n.In[1], b}, n.Attrs)[:1]
		}
	}
	return nil
}
