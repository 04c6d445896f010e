package pass_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/passtest"
)

const text = `module m
func main(%x: f32[2, 3], %y: f32[2, 3]) -> f32[2, 3] {
  %a = mul(%y, %x)
  %b = add(%a, %x)
  %c = mul(%b, %b)
  return(%c)
}
`

// site runs fn at the last node.
func site(t *testing.T, text string, fn func(*pass.Site)) {
	t.Helper()
	c, _ := passtest.Context(t, pass.Options{})
	m := passtest.Load(t, c, text)
	f := m.Main()
	last, uses := f.Body.Results[0].Def, f.Uses()
	err := ir.Rewrite(m, f, c.Sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
		if n == last {
			fn(pass.NewSite(c, rw, n, uses))
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPatterns(t *testing.T) {
	ab := pass.Op("add", pass.Op("mul", pass.Var("y"), pass.Var("x")), pass.Var("x"))
	for _, c := range []struct {
		name string
		p    pass.Pattern
		want bool
	}{
		{"in order", pass.Op("mul", ab, pass.Var("z")), true},
		{"other order", pass.Op("mul", pass.Op("add", pass.Var("x"), pass.Op("mul", pass.Var("y"), pass.Var("x"))), pass.Var("z")), false},
		{"either order", pass.Op("mul", pass.Comm("add", pass.Var("x"), pass.Comm("mul", pass.Var("x"), pass.Var("y"))), pass.Var("z")), true},
		{"one value twice", pass.Op("mul", pass.Var("z"), pass.Var("z")), true},
		{"two values", pass.Op("mul", pass.Bind("z", ab), pass.Op("add", pass.Var("z"), pass.Var("w"))), false},
		{"through", pass.Op("mul", pass.Through(pass.Op("mul", pass.Var("y"), pass.Var("x")), "add"), pass.Var("z")), true},
		{"not a number", pass.Op("mul", pass.Num("n"), pass.Var("z")), false},
	} {
		site(t, text, func(s *pass.Site) {
			m, got := s.MatchNode(c.p)
			if got != c.want {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
			if got && len(m.Nodes) == 0 {
				t.Errorf("%s: no nodes", c.name)
			}
		})
	}
}

// A failed alternative leaves no binding behind: x must not stay bound to what the first order tried.
func TestCommForgets(t *testing.T) {
	p := pass.Op("mul", pass.Comm("add", pass.Var("x"), pass.Op("mul", pass.Var("y"), pass.Var("x"))), pass.Var("b"))
	site(t, text, func(s *pass.Site) {
		m, ok := s.MatchNode(p)
		if !ok || m.V["x"].Name != "x" || m.V["y"].Name != "y" {
			t.Errorf("matched %v, x is %v", ok, m.V["x"])
		}
	})
}

func TestSplat(t *testing.T) {
	const text = `module m
const #w0 : f32[1] = [2.0]
const #w1 : f32[2] = [2.0, 3.0]
func main(%c: bool[4, 1]) -> f32[4, 2] {
  %a = const(data: #w0) : f32[1]
  %b = const(data: #w1) : f32[2]
  %e = expand(%a, shape: ~[4, 2])
  %f = expand(%b, shape: ~[4, 2])
  %g = where(%c, %e, %f)
  return(%g)
}
`
	site(t, text, func(s *pass.Site) {
		if v, ok := s.Splat(s.In(1)); !ok || v != 2 {
			t.Errorf("an expanded 2 is %v, %v", v, ok)
		}
		if _, ok := s.Splat(s.In(2)); ok {
			t.Error("two numbers are not one")
		}
		if !s.Constant(s.In(2)) || s.Constant(s.In(0)) {
			t.Error("what depends on constants alone")
		}
	})
}

// A pass that leaves wrong types, or says what it does not keep, is caught by the runner and named.
func TestRunnerCatches(t *testing.T) {
	c, _ := passtest.Context(t, pass.Options{})
	for _, k := range []struct {
		name string
		p    pass.Pass
		want string
	}{
		{"types", pass.Pass{Name: "bad", Run: func(_ *pass.Context, m *ir.Module) error {
			m.Main().Body.Nodes[0].Out[0].Type.Shape = nil
			return nil
		}}, "pass bad: Typed does not hold after it"},
		{"claim", pass.Pass{Name: "bad", Gives: pass.Grouped, Run: func(*pass.Context, *ir.Module) error { return nil }}, "pass bad: Grouped does not hold after it"},
		{"no proof", pass.Pass{Name: "bad", Gives: pass.Layouted, Run: func(*pass.Context, *ir.Module) error { return nil }}, "pass bad: no proof of"},
		{"failure", pass.Pass{Name: "bad", Run: func(*pass.Context, *ir.Module) error { return errors.New("reason") }}, "pass bad: reason"},
	} {
		m := passtest.Load(t, c, text)
		_, err := passtest.Runner().Run(c, m, []*pass.Pass{&k.p}, pass.Typed)
		if err == nil || !strings.HasPrefix(err.Error(), k.want) {
			t.Errorf("%s: got %v, want %s", k.name, err, k.want)
		}
	}
}

func TestEvents(t *testing.T) {
	c, _ := passtest.Context(t, pass.Options{})
	m := passtest.Load(t, c, text)
	r := passtest.Runner()
	var got []bool
	r.After = func(e pass.Event) { got = append(got, e.Changed) }
	idle := &pass.Pass{Name: "idle", Run: func(*pass.Context, *ir.Module) error { return nil }}
	swap := &pass.Pass{Name: "swap", Run: func(_ *pass.Context, m *ir.Module) error {
		in := m.Main().Body.Nodes[0].In
		in[0], in[1] = in[1], in[0]
		return nil
	}}
	if _, err := r.Run(c, m, []*pass.Pass{idle, swap, idle}, pass.Typed); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] || !got[1] || got[2] {
		t.Errorf("changed: %v", got)
	}
	if f := r.Prove(c, m); f != pass.Typed|pass.Primitive {
		t.Errorf("proved %v", f)
	}
}

// Groups that no kernel could compute are refused, with the reason.
func TestCheckGroup(t *testing.T) {
	c, _ := passtest.Context(t, pass.Options{})
	for _, k := range []struct{ name, body, want string }{
		{"two anchors", "%a = matmul(%p, %q) : f32[4, 4]\n%b = matmul(%a, %q) : f32[4, 4]\nyield(%b)", "two anchors"},
		{"a view", "%a = transpose(%p, perm: [1, 0]) : f32[4, 4]\n%b = exp(%a) : f32[4, 4]\nyield(%b)", "is not a kernel"},
		{"read elsewhere", "%a = exp(%p) : f32[4, 4]\n%b = matmul(%a, %q) : f32[4, 4]\nyield(%b)", "operand 0 of matmul is made in the group"},
	} {
		m := passtest.Load(t, c, "module m\nfunc main(%x: f32[4, 4], %y: f32[4, 4]) -> f32[4, 4] {\n%g = group(%x, %y) : f32[4, 4] {\nbody(%p: f32[4, 4], %q: f32[4, 4]) {\n"+k.body+"\n}\n}\nreturn(%g)\n}\n")
		err := pass.CheckGroup(c, m, m.Main().Body.Nodes[0])
		if err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: got %v, want %q", k.name, err, k.want)
		}
	}
}
