package dim

import (
	"math/rand"
	"testing"
)

func mustParse(t *testing.T, s string) Expr {
	t.Helper()
	e, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"S + B - S", "B"},
		{"2*(B + S)*3", "6*B + 6*S"},
		{"(4*B*S)/(2*S)", "2*B"},
		{"(B*S + B)/(S + 1)", "B"},
		{"(S + 7)/4", "((S + 3)/4) + 1"},
		{"S/2/3", "(S/6)"},
		{"(4*S + 1)%4", "1"},
		{"min(S, S + 1)", "S"},
		{"max(S, S + 1)", "S + 1"},
		{"bc(1, S)", "S"},
		{"bc(S, 4)", "4"},
		{"bc(bc(S, B), S)", "bc(B, S)"},
		{"bc(min(64, S), S)", "S"},
		{"min(min(S, B), S)", "min(B, S)"},
		{"-S", "-1*S"},
		{"1 - S", "-1*S + 1"},
		{"-7/2", "-4"},
		{"(S - 1)/2", "((S + 1)/2) - 1"},
	} {
		e := mustParse(t, c.in)
		if e.Key() != c.want {
			t.Errorf("%s: got %s want %s", c.in, e.Key(), c.want)
		}
		if back := mustParse(t, e.Key()); !Equal(back, e) {
			t.Errorf("%s: %s parses back as %s", c.in, e.Key(), back.Key())
		}
	}
}

func TestProve(t *testing.T) {
	s := NewScope()
	s.Declare("B", Info{Lo: 1, Hi: 64})
	s.Declare("S", Info{Lo: 0, Hi: Inf})
	for _, c := range []struct {
		a    string
		rel  Relation
		b    string
		want Answer
	}{
		{"B", Ne, "-1", Yes}, {"S", Ne, "-1", Yes}, {"B", Gt, "0", Yes}, {"S", Gt, "0", Unknown},
		{"B*S", Ge, "0", Yes}, {"S/2", Ge, "0", Yes}, {"B", Le, "64", Yes}, {"B", Eq, "65", No}, {"S + 1", Gt, "S", Yes},
		{"min(S, 512)", Le, "512", Yes}, {"B % 4", Lt, "4", Yes},
	} {
		if got := s.Prove(mustParse(t, c.a), c.rel, mustParse(t, c.b)); got != c.want {
			t.Errorf("%s %d %s: got %d want %d", c.a, c.rel, c.b, got, c.want)
		}
	}
}

// A random expression, its parsed key, its program and its substitution by constants agree in value.
func TestEvalAgrees(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	var gen func(d int) Expr
	gen = func(d int) Expr {
		if d == 0 || r.Intn(4) == 0 {
			if r.Intn(2) == 0 {
				return Const(int64(r.Intn(9) - 2))
			}
			return Sym(string(rune('A' + r.Intn(3))))
		}
		a, b := gen(d-1), gen(d-1)
		switch r.Intn(7) {
		case 0:
			return Add(a, b)
		case 1:
			return Mul(a, b)
		case 2:
			return Sub(a, b)
		case 3:
			return Div(a, Const(int64(r.Intn(5)+1)))
		case 4:
			return Mod(a, Const(int64(r.Intn(5)+1)))
		case 5:
			return Min(a, b)
		}
		return Max(a, b)
	}
	for i := 0; i < 3000; i++ {
		e := gen(4)
		vals := map[string]int64{"A": int64(r.Intn(20)), "B": int64(r.Intn(20)), "C": int64(r.Intn(20))}
		env := func(n string) (int64, bool) { v, ok := vals[n]; return v, ok }
		want, err := e.Eval(env)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(e.Key())
		if err != nil || !Equal(p, e) {
			t.Fatalf("%s parses as %s, %v", e, p, err)
		}
		sub := e.Subst(func(n string) (Expr, bool) { return Const(vals[n]), true })
		if !sub.IsConst(want) {
			t.Fatalf("%s with %v: substituted %s, evaluated %d", e, vals, sub, want)
		}
		b := NewBuilder()
		ref := b.Ref(e)
		syms := make([]int64, len(b.Syms))
		for i, n := range b.Syms {
			syms[i] = vals[n]
		}
		out := make([]int64, len(b.Code))
		if err := b.Verify(); err != nil {
			t.Fatal(err)
		}
		if err := b.Eval(syms, out); err != nil || out[ref] != want {
			t.Fatalf("%s: program gives %d, %v; want %d", e, out[ref], err, want)
		}
		lo, hi := (&Scope{syms: map[string]Info{"A": {Lo: 0, Hi: 19}, "B": {Lo: 0, Hi: 19}, "C": {Lo: 0, Hi: 19}}}).Range(e)
		if want < lo || want > hi {
			t.Fatalf("%s = %d lies outside [%d, %d]", e, want, lo, hi)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("4*B*S + (S + 1)/2")
	f.Add("min(a, bc(b, c))%3")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 200 {
			return
		}
		e, err := Parse(s)
		if err != nil {
			return
		}
		if p, err := Parse(e.Key()); err != nil || !Equal(p, e) {
			t.Fatalf("%q prints %q, parses as %v, %v", s, e.Key(), p, err)
		}
	})
}
