package eval

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tensor"
)

// scope gives symbols their values. A region has its own on top of the enclosing one: its late symbols may
// differ from one execution to the next.
type scope struct {
	outer *scope
	syms  map[string]int64
}

func newScope(outer *scope) scope { return scope{outer, map[string]int64{}} }

func (s *scope) get(name string) (int64, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.syms[name]; ok {
			return v, true
		}
	}
	return 0, false
}

func (s *scope) eval(e dim.Expr) (int64, error) { return e.Eval(s.get) }

// shape evaluates the extents of a shape.
func (s *scope) shape(l []dim.Expr) ([]int, error) {
	out := make([]int, len(l))
	for i, e := range l {
		v, err := s.eval(e)
		if err != nil {
			return nil, err
		}
		if v < 0 || v > 1<<48 {
			return nil, fmt.Errorf("axis %d: extent %v is %d", i, e, v)
		}
		out[i] = int(v)
	}
	if n, ok := tensor.Count(out); !ok || n > 1<<48 {
		return nil, fmt.Errorf("shape %v is too large", out)
	}
	return out, nil
}

// subst replaces symbols that have values.
func (s *scope) subst(l []dim.Expr) []dim.Expr {
	return dim.SubstAll(l, func(name string) (dim.Expr, bool) {
		v, ok := s.get(name)
		return dim.Const(v), ok
	})
}

// unbound returns a symbol of e without a value; n counts the distinct ones up to 2.
func (s *scope) unbound(e dim.Expr) (name string, n int) {
	e.Walk(func(sym string) {
		if _, ok := s.get(sym); !ok && (n == 0 || sym != name) {
			name = sym
			n = min(n+1, 2)
		}
	})
	return name, n
}

// match makes an expression equal to what an extent is: it binds the one symbol that has no value yet where the
// expression is linear in it. done is false where that must wait for other symbols.
func (f *frame) match(e dim.Expr, actual int64) (done bool, err error) {
	sym, n := f.unbound(e)
	switch n {
	case 0:
		v, err := f.eval(e)
		if err == nil && v != actual {
			err = unequal(e, v, actual)
		}
		return true, err
	case 1:
		v, ok := f.solve(e, sym, actual)
		if !ok {
			return false, nil
		}
		if v < 0 {
			return true, fmt.Errorf("%v is %d where %s is %d", e, actual, sym, v)
		}
		return true, f.bind(sym, v)
	}
	return false, nil
}

// unequal says that an expression with a value should be something else.
func unequal(e dim.Expr, want, got int64) error {
	if _, c := e.Int(); c {
		return fmt.Errorf("want %d, got %d", want, got)
	}
	return fmt.Errorf("want %v = %d, got %d", e, want, got)
}

// solve finds the value of sym that makes e equal to actual, if e is linear in it.
func (f *frame) solve(e dim.Expr, sym string, actual int64) (int64, bool) {
	if s, ok := e.Symbol(); ok && s == sym {
		return actual, true
	}
	at := func(x int64) (int64, bool) {
		v, err := e.Eval(func(name string) (int64, bool) {
			if name == sym {
				return x, true
			}
			return f.get(name)
		})
		return v, err == nil
	}
	a, okA := at(1)
	b, okB := at(2)
	c, okC := at(5)
	if !okA || !okB || !okC || b == a || c-a != 4*(b-a) || (actual-a)%(b-a) != 0 {
		return 0, false
	}
	x := 1 + (actual-a)/(b-a)
	v, ok := at(x)
	return x, ok && v == actual
}

// bind gives a symbol a value within its range.
func (f *frame) bind(sym string, v int64) error {
	in := f.m.Dims.Info(sym)
	switch {
	case v < in.Lo || v > in.Hi:
		if in.Hi == dim.Inf {
			return fmt.Errorf("%s is %d, want at least %d", sym, v, in.Lo)
		}
		return fmt.Errorf("%s is %d, want %d to %d", sym, v, in.Lo, in.Hi)
	case in.Step > 1 && v%in.Step != 0:
		return fmt.Errorf("%s is %d, want a multiple of %d", sym, v, in.Step)
	}
	f.syms[sym] = v
	return nil
}

// guards checks the module's conditions that have become known; with a symbol, only those that mention it.
func (f *frame) guards(sym string) error {
	for _, g := range f.m.Dims.Guards {
		if sym != "" {
			has := false
			see := func(s string) { has = has || s == sym }
			g.A.Walk(see)
			g.B.Walk(see)
			if !has {
				continue
			}
		}
		if _, n := f.unbound(dim.Add(g.A, g.B)); n > 0 {
			continue
		}
		a, err := f.eval(g.A)
		if err != nil {
			return err
		}
		b, err := f.eval(g.B)
		if err != nil {
			return err
		}
		if a != b && !(g.Bcast && (a == 1 || b == 1)) {
			return fmt.Errorf("%s: %v = %d and %v = %d do not fit", g.Why, g.A, a, g.B, b)
		}
	}
	return nil
}

// axis is an extent that waits to be matched.
type axis struct {
	e      dim.Expr
	actual int64
	what   string
}

// bindParams matches the types of parameters with values. Extents that are bare symbols come first, then those that
// can be solved with what is known.
func (f *frame) bindParams(params []*ir.Value, vals []Value, names []string) error {
	var wait []axis
	for i, p := range params {
		if err := fits(p.Type, vals[i]); err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		if p.Type.Kind != ir.Tensor {
			continue
		}
		for k, e := range p.Type.Shape {
			wait = append(wait, axis{e, int64(vals[i].Tensor.Shape[k]), fmt.Sprintf("%s: axis %d", names[i], k)})
		}
	}
	rest := wait[:0:0]
	for _, a := range wait {
		if _, bare := a.e.Symbol(); !bare {
			rest = append(rest, a)
			continue
		}
		if _, err := f.match(a.e, a.actual); err != nil {
			return fmt.Errorf("%s: %w", a.what, err)
		}
	}
	for progress := true; progress && len(rest) > 0; {
		progress = false
		left := rest[:0:0]
		for _, a := range rest {
			done, err := f.match(a.e, a.actual)
			if err != nil {
				return fmt.Errorf("%s: %w", a.what, err)
			}
			if done {
				progress = true
			} else {
				left = append(left, a)
			}
		}
		rest = left
	}
	return nil
}

// fits compares a value with a type, extents aside.
func fits(t ir.Type, v Value) error {
	if v.Absent() {
		return fmt.Errorf("want %v, got nothing", t)
	}
	if v.Kind != t.Kind {
		return fmt.Errorf("want %v, got %v", t, v)
	}
	switch t.Kind {
	case ir.Tensor:
		if v.Tensor.Elem != t.Elem {
			return fmt.Errorf("want element type %v, got %v", t.Elem, v.Tensor.Elem)
		}
		if !t.Open && len(v.Tensor.Shape) != len(t.Shape) {
			return fmt.Errorf("want %d axes as in %v, got shape %v", len(t.Shape), t, v.Tensor.Shape)
		}
		return v.Tensor.Check()
	case ir.Optional:
		if len(v.List) > 1 {
			return fmt.Errorf("optional of %d values", len(v.List))
		}
	case ir.Map:
		if v.Keys == nil || v.Keys.Elem != t.Key || len(v.Keys.Shape) != 1 || v.Keys.Shape[0] != len(v.List) {
			return fmt.Errorf("want %v, got other keys, or not as many as values", t)
		}
	}
	for i, x := range v.List {
		if err := fits(*t.Of, x); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// check compares results with what inference promised, and binds late symbols by them.
func (f *frame) check(n *ir.Node, out []Value) error {
	if len(out) != len(n.Out) {
		return fmt.Errorf("want %d results, got %d", len(n.Out), len(out))
	}
	for i, v := range n.Out {
		if err := fits(v.Type, out[i]); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		if v.Type.Kind != ir.Tensor {
			continue
		}
		for k, e := range v.Type.Shape {
			sym, open := f.unbound(e)
			if _, err := f.match(e, int64(out[i].Tensor.Shape[k])); err != nil {
				return fmt.Errorf("result %d: axis %d of %v: %w", i, k, v.Type, err)
			}
			if open == 1 {
				if err := f.guards(sym); err != nil {
					return err
				}
			}
		}
		if err := f.contents(v, out[i].Tensor); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
	}
	return nil
}

// contents compares the elements that inference knew.
func (f *frame) contents(v *ir.Value, t *tensor.Tensor) error {
	if v.Elems == nil {
		return nil
	}
	if len(v.Elems) != t.Len() {
		return fmt.Errorf("%d elements are known of %d", len(v.Elems), t.Len())
	}
	for i, e := range v.Elems {
		if _, open := f.unbound(e); open > 0 {
			continue
		}
		want, err := f.eval(e)
		if err != nil {
			return err
		}
		if got := t.Int(i); got != want {
			return fmt.Errorf("element %d: %w", i, unequal(e, want, got))
		}
	}
	return nil
}
