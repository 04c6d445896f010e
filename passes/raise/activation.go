package raise

import (
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/passes/pass"
)

var activations = []pass.Rule{
	{Op: "mul", Name: "gelu-erf", Doc: "0.5 * x * (1 + erf(x / sqrt 2)), in any association => gelu(x)", Run: gelu("none", erfPart)},
	{Op: "mul", Name: "gelu-tanh", Doc: "0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) => gelu(x, approximate: tanh)", Run: gelu("tanh", tanhPart)},
	{Op: "mul", Name: "silu", Doc: "x * sigmoid(x) => silu(x)", Run: silu},
}

func silu(s *pass.Site) []*ir.Value {
	m, ok := s.MatchNode(pass.Comm("mul", pass.Var("x"), pass.Op("sigmoid", pass.Var("x"))))
	if !ok {
		return nil
	}
	s.From(m.Nodes...)
	return one(s.Call("silu", m.V["x"]))
}

// erfPart is 1 + erf(x / sqrt 2).
var erfPart = pass.Comm("add", pass.Exactly(1), pass.Op("erf",
	pass.Or(pass.Op("div", pass.Var("x"), pass.Near(math.Sqrt2)), pass.Comm("mul", pass.Var("x"), pass.Near(1/math.Sqrt2)))))

var (
	square = pass.Or(pass.Op("mul", pass.Var("x"), pass.Var("x")), pass.Op("pow", pass.Var("x"), pass.Exactly(2)))
	cube   = pass.Or(pass.Comm("mul", pass.Var("x"), square), pass.Op("pow", pass.Var("x"), pass.Exactly(3)))
	// tanhPart is 1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)). Variable x is bound by the plain operand of the
	// sum before the cube is looked at, or by the cube.
	tanhPart = pass.Comm("add", pass.Exactly(1), pass.Op("tanh", pass.Or(
		pass.Comm("mul", pass.Near(gain), pass.Comm("add", pass.Var("x"), pass.Comm("mul", pass.Near(cubic), cube))),
		pass.Comm("mul", pass.Comm("mul", pass.Near(gain), pass.Var("x")), pass.Comm("add", pass.Exactly(1), pass.Comm("mul", pass.Near(cubic), square))),
		pass.Comm("mul", pass.Comm("mul", pass.Near(gain), pass.Var("x")), pass.Comm("add", pass.Exactly(1), pass.Comm("mul", pass.Comm("mul", pass.Near(cubic), pass.Var("x")), pass.Var("x")))),
	)))
)

const (
	gain  = 0.7978845608028654 // sqrt(2/pi)
	cubic = 0.044715
)

// gelu looks at the product whose factors are 0.5, x and the part that tells the kind.
func gelu(kind string, part pass.Pattern) func(*pass.Site) []*ir.Value {
	return func(s *pass.Site) []*ir.Value {
		m := findFactor(s, &ir.Value{ID: -1, Def: s.N}, part, 3)
		if m == nil {
			return nil
		}
		p := product{s: s, x: m.V["x"], part: part, scale: 1}
		p.factors(&ir.Value{ID: -1, Def: s.N}, 3)
		if p.parts != 1 || p.xs != 1 || p.other || p.scale != 0.5 {
			return nil
		}
		s.From(append(p.nodes, m.Nodes...)...)
		return one(s.CallWith("gelu", attr.List{{Name: "approximate", Value: attr.OfStr(kind)}}, p.x))
	}
}

// findFactor matches a pattern on one of the factors of a product of products.
func findFactor(s *pass.Site, v *ir.Value, part pass.Pattern, depth int) *pass.Match {
	n := pass.Is(v, "mul")
	if n == nil || depth == 0 {
		return nil
	}
	for _, in := range n.In {
		if m, ok := s.Match(part, in); ok {
			return m
		}
		if m := findFactor(s, in, part, depth-1); m != nil {
			return m
		}
	}
	return nil
}

// product collects the factors of a product.
type product struct {
	s         *pass.Site
	x         *ir.Value
	part      pass.Pattern
	scale     float64
	xs, parts int
	other     bool
	nodes     []*ir.Node
}

func (p *product) factors(v *ir.Value, depth int) {
	n := pass.Is(v, "mul")
	if n == nil || depth == 0 || v == p.x {
		p.other = true
		return
	}
	p.nodes = append(p.nodes, n)
	for _, in := range n.In {
		if in == p.x {
			p.xs++
			continue
		}
		if f, ok := p.s.Splat(in); ok {
			p.scale *= f
			continue
		}
		if m, ok := p.s.Match(p.part, in); ok && m.V["x"] == p.x {
			p.parts++
			continue
		}
		p.factors(in, depth-1)
	}
}
