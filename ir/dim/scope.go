package dim

import (
	"fmt"
	"math"
	"sort"
)

// Info is what is known of a symbol.
type Info struct {
	Lo, Hi int64 // inclusive; Hi is Inf where nothing bounds it
	Step   int64 // a multiple of Step; 0 and 1 say nothing
	Late   bool  // known only while running: the size of a data-dependent result
}

// Inf is the upper end of an unbounded range.
const Inf = math.MaxInt64

// Scope holds the symbols of a module and the guards that inference relied on.
type Scope struct {
	syms   map[string]Info
	order  []string
	Guards []Guard
	fresh  int
}

// Guard is a condition that must hold when symbols are bound: A = B, or, where Bcast is set, A = B or one
// of them is 1. Why names the model's node and operand.
type Guard struct {
	A, B  Expr
	Bcast bool
	Why   string
}

// NewScope returns an empty scope.
func NewScope() *Scope { return &Scope{syms: map[string]Info{}} }

// Declare adds a symbol or narrows what is known of it.
func (s *Scope) Declare(name string, in Info) {
	if old, ok := s.syms[name]; ok {
		in.Lo, in.Hi = max(in.Lo, old.Lo), min(in.Hi, old.Hi)
		in.Step = max(in.Step, old.Step)
		in.Late = in.Late || old.Late
	} else {
		s.order = append(s.order, name)
	}
	s.syms[name] = in
}

// Info looks a symbol up; unknown symbols are unbounded extents.
func (s *Scope) Info(name string) Info {
	if s != nil {
		if in, ok := s.syms[name]; ok {
			return in
		}
	}
	return Info{Lo: 0, Hi: Inf}
}

// Has reports whether the symbol is declared.
func (s *Scope) Has(name string) bool { _, ok := s.syms[name]; return ok }

// Names lists the symbols in order of declaration.
func (s *Scope) Names() []string { return append([]string(nil), s.order...) }

// Fresh declares a new symbol whose name starts with prefix.
func (s *Scope) Fresh(prefix string, in Info) Expr {
	for {
		s.fresh++
		name := fmt.Sprintf("%s%d", prefix, s.fresh)
		if !s.Has(name) {
			s.Declare(name, in)
			return Sym(name)
		}
	}
}

// Clone copies the scope.
func (s *Scope) Clone() *Scope {
	c := NewScope()
	c.order = append(c.order, s.order...)
	for k, v := range s.syms {
		c.syms[k] = v
	}
	c.Guards = append(c.Guards, s.Guards...)
	c.fresh = s.fresh
	return c
}

// Keep drops the symbols that keep refuses.
func (s *Scope) Keep(keep func(name string) bool) {
	var order []string
	for _, n := range s.order {
		if keep(n) {
			order = append(order, n)
		} else {
			delete(s.syms, n)
		}
	}
	s.order = order
}

// Guard records that a = b must hold (bcast: or one of them is 1) unless it is provable; it reports false
// where it cannot hold.
func (s *Scope) Guard(a, b Expr, bcast bool, why string) bool {
	if Equal(a, b) {
		return true
	}
	if bcast && (a.IsConst(1) || b.IsConst(1)) {
		return true
	}
	x, ax := a.Int()
	y, by := b.Int()
	if ax && by {
		return x == y
	}
	if !bcast && s.Prove(a, Ne, b) == Yes {
		return false
	}
	for _, g := range s.Guards {
		if g.Bcast == bcast && (Equal(g.A, a) && Equal(g.B, b) || Equal(g.A, b) && Equal(g.B, a)) {
			return true
		}
	}
	s.Guards = append(s.Guards, Guard{a, b, bcast, why})
	return true
}

// Late reports whether e depends on a symbol known only while running.
func (s *Scope) Late(e Expr) bool {
	late := false
	e.Walk(func(n string) { late = late || s.Info(n).Late })
	return late
}

// Relation is what Prove is asked.
type Relation uint8

// The relations.
const (
	Eq Relation = iota
	Ne
	Lt
	Le
	Gt
	Ge
)

// Answer of a proof. Unknown never licenses a rewrite.
type Answer uint8

// The answers.
const (
	Unknown Answer = iota
	No
	Yes
)

func answer(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

// Prove decides a rel b from the ranges of symbols.
func (s *Scope) Prove(a Expr, rel Relation, b Expr) Answer {
	lo, hi := s.Range(Sub(a, b))
	switch rel {
	case Eq, Ne:
		switch {
		case lo == 0 && hi == 0:
			return answer(rel == Eq)
		case lo > 0 || hi < 0:
			return answer(rel == Ne)
		}
		return Unknown
	case Lt:
		return decide(hi < 0, lo >= 0)
	case Le:
		return decide(hi <= 0, lo > 0)
	case Gt:
		return decide(lo > 0, hi <= 0)
	}
	return decide(lo >= 0, hi < 0)
}

func decide(yes, no bool) Answer {
	switch {
	case yes:
		return Yes
	case no:
		return No
	}
	return Unknown
}

const negInf = math.MinInt64

// Range bounds e by interval arithmetic; Inf and MinInt64 stand for no bound.
func (s *Scope) Range(e Expr) (lo, hi int64) {
	for _, t := range e.terms {
		l, h := t.c, t.c
		for _, a := range t.atoms {
			al, ah := s.atomRange(a)
			l, h = mulRange(l, h, al, ah)
		}
		lo, hi = infAdd(lo, l), infAdd(hi, h)
	}
	return lo, hi
}

func infAdd(a, b int64) int64 {
	switch {
	case a == negInf || b == negInf:
		return negInf
	case a == Inf || b == Inf:
		return Inf
	}
	return satAdd(a, b)
}

func infMul(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	neg := (a < 0) != (b < 0)
	if a == Inf || a == negInf || b == Inf || b == negInf {
		if neg {
			return negInf
		}
		return Inf
	}
	v := satMul(a, b)
	if v == saturated && neg {
		return negInf
	}
	return v
}

func mulRange(a, b, c, d int64) (lo, hi int64) {
	p := [4]int64{infMul(a, c), infMul(a, d), infMul(b, c), infMul(b, d)}
	sort.Slice(p[:], func(i, j int) bool { return p[i] < p[j] })
	return p[0], p[3]
}

func (s *Scope) atomRange(a *atom) (lo, hi int64) {
	if a.op == OpSym {
		in := s.Info(a.name)
		return in.Lo, in.Hi
	}
	al, ah := s.Range(a.a)
	bl, bh := s.Range(a.b)
	switch a.op {
	case OpDiv:
		if bl <= 0 {
			return negInf, Inf
		}
		lo, hi = al, ah
		if lo != negInf && lo != Inf {
			if lo >= 0 {
				lo = divBound(lo, bh)
			} else {
				lo = floorDiv(lo, bl)
			}
		}
		if hi != Inf && hi != negInf {
			if hi >= 0 {
				hi = floorDiv(hi, bl)
			} else {
				hi = divBound(hi, bh)
			}
		}
		return lo, hi
	case OpMod:
		if bl <= 0 {
			return negInf, Inf
		}
		if bh == Inf {
			return 0, Inf
		}
		return 0, bh - 1
	case OpMin:
		return min(al, bl), min(ah, bh)
	case OpMax:
		return max(al, bl), max(ah, bh)
	case OpBcast:
		return min(al, bl), max(ah, bh)
	}
	return min(0, bl), max(0, bh)
}

func divBound(a, b int64) int64 {
	if b == Inf {
		if a < 0 {
			return -1
		}
		return 0
	}
	return floorDiv(a, b)
}
