package dim

import (
	"fmt"
	"strconv"
)

// Parse reads the text form of an expression: + - * / % with the usual precedence, parentheses, and
// min(a, b), max(a, b), bc(a, b), keep1(a, b). It is the inverse of Key.
func Parse(s string) (Expr, error) {
	p := &parser{s: s}
	e, err := p.sum(0)
	if err != nil {
		return Expr{}, err
	}
	p.space()
	if p.i < len(p.s) {
		return Expr{}, fmt.Errorf("dimension %q: unexpected %q at %d", s, p.s[p.i:p.i+1], p.i)
	}
	return e, nil
}

type parser struct {
	s string
	i int
}

const (
	maxDepth = 64           // of quotients, minima and so on in each other
	maxParen = 4 * maxDepth // how deep parentheses may stand in text; what has maxDepth prints less
	maxTerms = 256          // of a sum
	maxAtoms = 64           // of a term
)

func (p *parser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) eat(c byte) bool {
	p.space()
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) sum(depth int) (Expr, error) {
	e, err := p.product(depth)
	for err == nil {
		var x Expr
		switch {
		case p.eat('+'):
			x, err = p.product(depth)
			e = Add(e, x)
		case p.eat('-'):
			x, err = p.product(depth)
			e = Sub(e, x)
		default:
			return e, nil
		}
		if err == nil && len(e.terms) > maxTerms {
			err = p.large()
		}
	}
	return Expr{}, err
}

func (p *parser) large() error { return fmt.Errorf("dimension %.40q: too many terms", p.s) }

func (p *parser) deep() error { return fmt.Errorf("dimension %.40q: nested too deep", p.s) }

// nested refuses what would be printed with more parentheses than are read.
func (p *parser) nested(e Expr) (Expr, error) {
	if e.depth() > maxDepth {
		return Expr{}, p.deep()
	}
	return e, nil
}

func (p *parser) product(depth int) (Expr, error) {
	e, err := p.factor(depth)
	for err == nil {
		var x Expr
		switch {
		case p.eat('*'):
			if x, err = p.factor(depth); err == nil && len(e.terms)*len(x.terms) > maxTerms {
				err = p.large() // (a + b)*(c + d)*... doubles with each factor
			}
			if err == nil {
				e = Mul(e, x)
				if len(e.terms) > 0 && len(leading(e).atoms) > maxAtoms {
					err = p.large()
				}
			}
		case p.eat('/'):
			p.eat('/')
			if x, err = p.factor(depth); err == nil {
				e, err = p.nested(Div(e, x))
			}
		case p.eat('%'):
			if x, err = p.factor(depth); err == nil {
				e, err = p.nested(Mod(e, x))
			}
		default:
			return e, nil
		}
	}
	return Expr{}, err
}

func (p *parser) factor(depth int) (Expr, error) {
	if depth > maxParen {
		return Expr{}, p.deep()
	}
	p.space()
	if p.eat('-') {
		e, err := p.factor(depth + 1)
		return Neg(e), err
	}
	if p.eat('(') {
		e, err := p.sum(depth + 1)
		if err == nil && !p.eat(')') {
			err = fmt.Errorf("dimension %q: want ) at %d", p.s, p.i)
		}
		return e, err
	}
	start := p.i
	for p.i < len(p.s) && isWord(p.s[p.i]) {
		p.i++
	}
	w := p.s[start:p.i]
	switch {
	case w == "":
		return Expr{}, fmt.Errorf("dimension %q: want a symbol or number at %d", p.s, start)
	case w[0] >= '0' && w[0] <= '9':
		v, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return Expr{}, fmt.Errorf("dimension %q: %q is not a number", p.s, w)
		}
		return Const(v), nil
	case w[0] == '.':
		return Expr{}, fmt.Errorf("dimension %q: %q is not a symbol", p.s, w)
	}
	if p.eat('(') {
		return p.call(w, depth)
	}
	return Sym(w), nil
}

func (p *parser) call(name string, depth int) (Expr, error) {
	f, ok := map[string]func(a, b Expr) Expr{"min": Min, "max": Max, "bc": Bcast, "keep1": Keep1, "div": Div, "mod": Mod}[name]
	if !ok {
		return Expr{}, fmt.Errorf("dimension %q: function %q is not known", p.s, name)
	}
	a, err := p.sum(depth + 1)
	if err != nil {
		return Expr{}, err
	}
	if !p.eat(',') {
		return Expr{}, fmt.Errorf("dimension %q: want , at %d", p.s, p.i)
	}
	b, err := p.sum(depth + 1)
	if err != nil {
		return Expr{}, err
	}
	if !p.eat(')') {
		return Expr{}, fmt.Errorf("dimension %q: want ) at %d", p.s, p.i)
	}
	return p.nested(f(a, b))
}

func isWord(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
