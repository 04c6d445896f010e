package simplify

import (
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/passes/pass"
)

// elementwise lists identities of arithmetic. In floating point x + 0 gives +0 for x = -0; nothing else changes.
func elementwise() []pass.Rule {
	l := []pass.Rule{
		neutral("add", "add-0", 0, true), neutral("sub", "sub-0", 0, false),
		neutral("mul", "mul-1", 1, true), neutral("div", "div-1", 1, false), neutral("pow", "pow-1", 1, false),
		{Op: "pow", Name: "pow-n", Doc: "pow(x, 2) => x*x; so with 3, 0.5, -1", Run: smallPower},
		{Op: "div", Name: "div-2^n", Doc: "x / 2^n => x * 2^-n, which is exact", Run: divPower},
		{Op: "neg", Name: "neg-neg", Doc: "neg(neg(x)) => x", Run: involution("neg")},
		{Op: "not", Name: "not-not", Doc: "not(not(x)) => x", Run: involution("not")},
		{Op: "relu", Name: "relu-relu", Doc: "relu(relu(x)) => relu(x)", Run: idempotent("relu")},
		{Op: "abs", Name: "abs-abs", Doc: "abs(abs(x)) => abs(x)", Run: idempotent("abs")},
		{Op: "cast", Name: "cast-same", Doc: "cast to the type that x has => x", Run: func(s *pass.Site) []*ir.Value { return same(s, s.In(0)) }},
		{Op: "cast", Name: "cast-cast", Doc: "cast(cast(x)) => cast(x) where the inner one loses nothing", Run: castCast},
		{Op: "where", Name: "where-known", Doc: "where(true, x, y) => x; where(false, x, y) => y", Run: whereKnown},
		{Op: "where", Name: "where-not", Doc: "where(not c, x, y) => where(c, y, x)", Run: whereNot},
		{Op: "clip", Name: "clip-relu", Doc: "clip(x, 0) => relu(x)", Run: clipRelu},
	}
	for _, o := range []string{"add", "sub", "mul", "div", "pow", "min", "max", "where", "equal", "less", "less_equal", "greater", "greater_equal", "and", "or"} {
		l = append(l, pass.Rule{Op: o, Name: o + "-expand", Doc: o + "(expand(x), y) => " + o + "(x, y) where y has the result's shape", Run: dropExpand})
	}
	return l
}

func neutral(op, name string, value float64, both bool) pass.Rule {
	return pass.Rule{Op: op, Name: name, Doc: "a neutral operand is dropped", Run: func(s *pass.Site) []*ir.Value {
		if f, ok := s.Splat(s.In(1)); ok && f == value {
			return same(s, s.In(0))
		}
		if f, ok := s.Splat(s.In(0)); both && ok && f == value {
			return same(s, s.In(1))
		}
		return nil
	}}
}

func smallPower(s *pass.Site) []*ir.Value {
	x := s.In(0)
	f, ok := s.Splat(s.In(1))
	if !ok || !dim.EqualAll(x.Type.Shape, s.Old.Out[0].Type.Shape) || !x.Type.Elem.IsFloat() {
		return nil
	}
	switch f {
	case 2:
		return one(s.Call("mul", x, x))
	case 3:
		return one(s.Call("mul", s.Call("mul", x, x), x))
	case 0.5:
		return one(s.Call("sqrt", x))
	case -1:
		return one(s.Call("recip", x))
	}
	return nil
}

func divPower(s *pass.Site) []*ir.Value {
	x, y := s.In(0), s.In(1)
	f, ok := s.Splat(y)
	if !ok || x.Type.Elem != dtype.F32 && x.Type.Elem != dtype.F64 || y.Rank() > x.Rank() || f == 1 {
		return nil
	}
	if m, e := math.Frexp(math.Abs(f)); m != 0.5 || e < -60 || e > 60 {
		return nil
	}
	for _, e := range y.Type.Shape {
		if !e.IsConst(1) {
			return nil
		}
	}
	return one(s.Call("mul", x, s.Like(x, 1/f)))
}

func involution(op string) func(*pass.Site) []*ir.Value {
	return func(s *pass.Site) []*ir.Value {
		if n := pass.Is(s.In(0), op); n != nil {
			return same(s, n.In[0])
		}
		return nil
	}
}

func idempotent(op string) func(*pass.Site) []*ir.Value {
	return func(s *pass.Site) []*ir.Value {
		if pass.Is(s.In(0), op) != nil {
			return same(s, s.In(0))
		}
		return nil
	}
}

func castCast(s *pass.Site) []*ir.Value {
	n := pass.Is(s.In(0), "cast")
	if n == nil || !exact(n.In[0].Type.Elem, n.Out[0].Type.Elem) {
		return nil
	}
	to := s.Old.Out[0].Type.Elem
	if to == n.In[0].Type.Elem {
		return same(s, n.In[0])
	}
	return one(s.CallWith("cast", s.N.Attrs.Set("to", attr.OfElem(to)), n.In[0]))
}

// exact reports whether every value of type a is a value of type b.
func exact(a, b dtype.Type) bool {
	mantissa := map[dtype.Type]int{dtype.F16: 11, dtype.BF16: 8, dtype.F32: 24, dtype.F64: 53}
	switch {
	case a == b:
		return true
	case a == dtype.Bool:
		return b.IsInt() || mantissa[b] > 0
	case a.IsInt() && b.IsInt():
		return a.Bits() < b.Bits() && (b.IsSigned() || a.IsUnsigned())
	case a.IsInt():
		return b != dtype.F16 && a.Bits() <= mantissa[b]
	case mantissa[a] > 0:
		return mantissa[b] >= 24 && mantissa[b] >= mantissa[a]
	}
	return false
}

// whereKnown looks at the contents of the condition: a constant, or known elements.
func whereKnown(s *pass.Site) []*ir.Value {
	l := s.Elems(0)
	if len(l) == 0 {
		return nil
	}
	first, ok := l[0].Int()
	for _, e := range l {
		if !ok || !e.IsConst(first) {
			return nil
		}
	}
	if first != 0 {
		return same(s, s.In(1))
	}
	return same(s, s.In(2))
}

func whereNot(s *pass.Site) []*ir.Value {
	if n := pass.Is(s.In(0), "not"); n != nil {
		return one(s.Call("where", n.In[0], s.In(2), s.In(1)))
	}
	return nil
}

func clipRelu(s *pass.Site) []*ir.Value {
	if s.Has(2) || !s.Has(1) || !s.Elem(0).IsFloat() {
		return nil
	}
	if f, ok := s.Splat(s.In(1)); ok && f == 0 {
		return one(s.Call("relu", s.In(0)))
	}
	return nil
}

// dropExpand reads an operand where it was before it was broadcast: the operator broadcasts anyway.
func dropExpand(s *pass.Site) []*ir.Value {
	out := s.Old.Out[0].Type.Shape
	for i, v := range s.N.In {
		n := pass.Is(v, "expand")
		if n == nil {
			continue
		}
		full := false
		for j, w := range s.N.In {
			full = full || j != i && dim.EqualAll(w.Type.Shape, out)
		}
		if !full {
			continue
		}
		in := append([]*ir.Value(nil), s.N.In...)
		in[i] = n.In[0]
		return one(s.CallWith(s.N.Op, s.N.Attrs, in...))
	}
	return nil
}
