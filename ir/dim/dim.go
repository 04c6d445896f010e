// Package dim is the arithmetic of extents: integer expressions over named symbols, kept canonical so that
// equal expressions have equal keys, with ranges, proofs, and a flat program that evaluates many at once.
//
// An Expr is a sum of terms, a term is a coefficient times atoms, and an atom is a symbol or one of floor
// division, remainder, minimum, maximum and broadcast over expressions. Division rounds towards minus
// infinity and the remainder has the sign of the divisor.
package dim

import (
	"fmt"
	"math"
	"math/bits"
	"sort"
	"strconv"
	"strings"
)

// Expr is an immutable expression. The zero value is the constant 0.
type Expr struct {
	terms []term // sorted by key, no zero coefficients; the constant has key ""
}

type term struct {
	c     int64
	key   string  // of the atoms, joined by '*'
	atoms []*atom // sorted by key, with repetition
}

type atom struct {
	op   Op
	name string // of a symbol
	a, b Expr
	key  string // its text form
}

// Op is an operation of an atom or an instruction. The numbers are written into compiled programs.
type Op uint8

// The operations. Bcast is ONNX broadcasting: both equal or one of them 1, else evaluation fails.
// Keep1 gives 0 where its first operand is 1, else its second: the stride of a broadcast axis.
const (
	OpInvalid Op = iota
	OpSym
	OpConst
	OpAdd
	OpMul
	OpDiv
	OpMod
	OpMin
	OpMax
	OpBcast
	OpKeep1
	numOps
)

var opNames = [numOps]string{OpSym: "sym", OpConst: "const", OpAdd: "add", OpMul: "mul", OpDiv: "div", OpMod: "mod", OpMin: "min", OpMax: "max", OpBcast: "bc", OpKeep1: "keep1"}

func (o Op) String() string {
	if o < numOps {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// saturated stands for every integer too large to count with; checks on sizes refuse it.
const saturated = math.MaxInt64

// Const is a constant expression.
func Const(v int64) Expr {
	if v == 0 {
		return Expr{}
	}
	return Expr{[]term{{c: v}}}
}

// Consts makes constants of a shape.
func Consts(shape []int) []Expr {
	l := make([]Expr, len(shape))
	for i, d := range shape {
		l[i] = Const(int64(d))
	}
	return l
}

// Sym is a named symbol: a letter or underscore, then letters, digits, underscores and dots.
func Sym(name string) Expr { return atomExpr(&atom{op: OpSym, name: name, key: name}) }

func atomExpr(a *atom) Expr { return Expr{[]term{{1, a.key, []*atom{a}}}} }

// Int returns the value of a constant expression.
func (e Expr) Int() (int64, bool) {
	switch len(e.terms) {
	case 0:
		return 0, true
	case 1:
		if e.terms[0].key == "" {
			return e.terms[0].c, true
		}
	}
	return 0, false
}

// IsConst reports whether e is the constant v.
func (e Expr) IsConst(v int64) bool { c, ok := e.Int(); return ok && c == v }

// Symbol returns the name where e is a single symbol.
func (e Expr) Symbol() (string, bool) {
	if len(e.terms) == 1 && e.terms[0].c == 1 && len(e.terms[0].atoms) == 1 && e.terms[0].atoms[0].op == OpSym {
		return e.terms[0].atoms[0].name, true
	}
	return "", false
}

// Equal reports whether two expressions are the same after canonicalisation.
func Equal(a, b Expr) bool {
	if len(a.terms) != len(b.terms) {
		return false
	}
	for i := range a.terms {
		if a.terms[i].c != b.terms[i].c || a.terms[i].key != b.terms[i].key {
			return false
		}
	}
	return true
}

// EqualAll compares two shapes.
func EqualAll(a, b []Expr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func satAdd(a, b int64) int64 {
	if a == saturated || b == saturated {
		return saturated
	}
	s := a + b
	if (s > a) != (b > 0) && b != 0 {
		return saturated
	}
	return s
}

func satMul(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	hi, lo := bits.Mul64(absU(a), absU(b))
	if hi != 0 || lo > math.MaxInt64 || a == saturated || b == saturated {
		return saturated
	}
	if (a < 0) != (b < 0) {
		return -int64(lo)
	}
	return int64(lo)
}

func absU(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func fromTerms(l []term) Expr {
	sort.Slice(l, func(i, j int) bool { return l[i].key < l[j].key })
	out := l[:0]
	for _, t := range l {
		if n := len(out); n > 0 && out[n-1].key == t.key {
			out[n-1].c = satAdd(out[n-1].c, t.c)
		} else {
			out = append(out, t)
		}
	}
	w := out[:0]
	for _, t := range out {
		if t.c != 0 {
			w = append(w, t)
		}
	}
	return Expr{w}
}

// Add is a + b.
func Add(a, b Expr) Expr {
	return fromTerms(append(append(make([]term, 0, len(a.terms)+len(b.terms)), a.terms...), b.terms...))
}

// Neg is -a.
func Neg(a Expr) Expr { return Mul(Const(-1), a) }

// Sub is a - b.
func Sub(a, b Expr) Expr { return Add(a, Neg(b)) }

// Mul is a * b.
func Mul(a, b Expr) Expr {
	var l []term
	for _, x := range a.terms {
		for _, y := range b.terms {
			l = append(l, mulTerm(x, y))
		}
	}
	return fromTerms(l)
}

func mulTerm(x, y term) term {
	at := append(append(make([]*atom, 0, len(x.atoms)+len(y.atoms)), x.atoms...), y.atoms...)
	sort.Slice(at, func(i, j int) bool { return at[i].key < at[j].key })
	return term{satMul(x.c, y.c), atomsKey(at), at}
}

func atomsKey(at []*atom) string {
	switch len(at) {
	case 0:
		return ""
	case 1:
		return at[0].key
	}
	k := make([]string, len(at))
	for i, a := range at {
		k[i] = a.key
	}
	return strings.Join(k, "*")
}

// Product multiplies all extents of a shape.
func Product(l []Expr) Expr {
	p := Const(1)
	for _, e := range l {
		p = Mul(p, e)
	}
	return p
}

// divTerm divides one term by a one-term divisor where that is exact.
func divTerm(t, d term) (term, bool) {
	if d.c == 0 || t.c%d.c != 0 {
		return term{}, false
	}
	rest := append([]*atom(nil), t.atoms...)
	for _, a := range d.atoms {
		found := false
		for i, r := range rest {
			if r.key == a.key {
				rest = append(rest[:i], rest[i+1:]...)
				found = true
				break
			}
		}
		if !found {
			return term{}, false
		}
	}
	return term{t.c / d.c, atomsKey(rest), rest}, true
}

// splitDiv separates the terms of a that d divides (already divided) from the rest.
func splitDiv(a Expr, d term) (quot, rest Expr) {
	var q, r []term
	for _, t := range a.terms {
		if x, ok := divTerm(t, d); ok {
			q = append(q, x)
		} else {
			r = append(r, t)
		}
	}
	return fromTerms(q), fromTerms(r)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Div is floor(a / b). A divisor that is not a constant is taken to be positive, or, where everything
// cancels, non-zero: evaluation fails on zero.
func Div(a, b Expr) Expr {
	if b.IsConst(1) || len(a.terms) == 0 {
		return a
	}
	if x, ok := a.Int(); ok {
		if y, ok := b.Int(); ok && y != 0 && x != saturated {
			return Const(floorDiv(x, y))
		}
	}
	if Equal(a, b) {
		return Const(1)
	}
	if q, ok := exactDiv(a, b); ok {
		return q
	}
	if len(b.terms) == 1 {
		q, r := splitDiv(a, b.terms[0])
		if len(q.terms) > 0 {
			return Add(q, Div(r, b))
		}
		if d, ok := b.Int(); ok && d > 0 { // floor(floor(x/c)/d) = floor(x/(c*d))
			if len(a.terms) == 1 && a.terms[0].c == 1 && len(a.terms[0].atoms) == 1 && a.terms[0].atoms[0].op == OpDiv {
				in := a.terms[0].atoms[0]
				if c, ok := in.b.Int(); ok && c > 0 {
					return Div(in.a, Const(satMul(c, d)))
				}
			}
			if q, rest, ok := splitConstDiv(a, d); ok {
				return Add(q, Div(rest, b))
			}
		}
	}
	return binary(OpDiv, a, b)
}

// splitConstDiv pulls the multiple of d out of the constant of a sum: (x + 7)/4 = (x + 3)/4 + 1.
func splitConstDiv(a Expr, d int64) (q, rest Expr, ok bool) {
	for _, t := range a.terms {
		if t.key == "" && (t.c >= d || t.c < 0) && t.c != saturated {
			k := floorDiv(t.c, d)
			return Const(k), Sub(a, Const(k*d)), true
		}
	}
	return Expr{}, Expr{}, false
}

// exactDiv is polynomial division by the leading term; it succeeds only without remainder.
func exactDiv(a, b Expr) (Expr, bool) {
	if len(b.terms) == 0 {
		return Expr{}, false
	}
	var q Expr
	lead := leading(b)
	for steps := 0; len(a.terms) > 0; steps++ {
		t, ok := divTerm(leading(a), lead)
		if !ok || steps > 16 {
			return Expr{}, false
		}
		one := Expr{[]term{t}}
		q = Add(q, one)
		a = Sub(a, Mul(one, b))
	}
	return q, true
}

// leading is the term of highest degree, then largest key.
func leading(e Expr) term {
	best := e.terms[0]
	for _, t := range e.terms[1:] {
		if len(t.atoms) > len(best.atoms) || len(t.atoms) == len(best.atoms) && t.key > best.key {
			best = t
		}
	}
	return best
}

// CeilDiv is ceil(a / b).
func CeilDiv(a, b Expr) Expr { return Div(Add(a, Sub(b, Const(1))), b) }

// Mod is a - b*floor(a/b).
func Mod(a, b Expr) Expr {
	if x, ok := a.Int(); ok {
		if y, ok := b.Int(); ok && y != 0 {
			return Const(x - y*floorDiv(x, y))
		}
	}
	if b.IsConst(1) || Equal(a, b) {
		return Expr{}
	}
	if _, ok := exactDiv(a, b); ok {
		return Expr{}
	}
	if len(b.terms) == 1 {
		if q, r := splitDiv(a, b.terms[0]); len(q.terms) > 0 {
			return Mod(r, b)
		}
	}
	return binary(OpMod, a, b)
}

// Min is the smaller of a and b.
func Min(a, b Expr) Expr { return minmax(OpMin, a, b) }

// Max is the larger of a and b.
func Max(a, b Expr) Expr { return minmax(OpMax, a, b) }

func minmax(op Op, a, b Expr) Expr {
	if d, ok := Sub(a, b).Int(); ok {
		if (d <= 0) == (op == OpMin) {
			return a
		}
		return b
	}
	return join(op, a, b)
}

// members lists the operands of nested applications of op.
func members(op Op, e Expr, l []Expr) []Expr {
	if len(e.terms) == 1 && e.terms[0].c == 1 && len(e.terms[0].atoms) == 1 {
		if at := e.terms[0].atoms[0]; at.op == op {
			return members(op, at.b, members(op, at.a, l))
		}
	}
	return append(l, e)
}

// join applies an operation that is associative, commutative and idempotent: operands are sorted by key, each
// once; of two that differ by a constant min and max keep one.
func join(op Op, a, b Expr) Expr {
	var l []Expr
	for _, e := range members(op, b, members(op, a, nil)) {
		l = merge(op, l, e)
	}
	sort.Slice(l, func(i, j int) bool { return l[i].Key() < l[j].Key() })
	r := l[0]
	for _, e := range l[1:] {
		r = binary(op, r, e)
	}
	return r
}

func merge(op Op, l []Expr, e Expr) []Expr {
	for i, x := range l {
		d, ok := Sub(x, e).Int()
		switch {
		case !ok || op == OpBcast && d != 0:
			continue
		case d != 0 && (d < 0) != (op == OpMin):
			l[i] = e
		}
		return l
	}
	return append(l, e)
}

// Bcast is the extent of two axes broadcast against each other. Where one is a constant other than 1 the
// result is that constant; the caller records the guard.
func Bcast(a, b Expr) Expr {
	x, ax := a.Int()
	y, bx := b.Int()
	switch {
	case Equal(a, b) || bx && y == 1:
		return a
	case ax && x == 1:
		return b
	case ax && !bx:
		return a
	case bx && !ax:
		return b
	}
	if boundedBy(a, b) {
		return b
	}
	if boundedBy(b, a) {
		return a
	}
	return join(OpBcast, a, b)
}

// boundedBy reports whether a is min(c, b) with a constant c > 0. Broadcasting such a against b succeeds only
// where the result is b: a is b, or a is 1.
func boundedBy(a, b Expr) bool {
	l := members(OpMin, a, nil)
	if len(l) != 2 {
		return false
	}
	for i, e := range l {
		if c, ok := e.Int(); ok && c > 0 && Equal(l[1-i], b) {
			return true
		}
	}
	return false
}

// Keep1 is 0 where ext is 1 and stride elsewhere: the stride of an axis of that extent seen through a
// space that may be larger.
func Keep1(ext, stride Expr) Expr {
	if v, ok := ext.Int(); ok {
		if v == 1 {
			return Expr{}
		}
		return stride
	}
	return binary(OpKeep1, ext, stride)
}

func binary(op Op, a, b Expr) Expr {
	var k string
	switch op {
	case OpDiv:
		k = paren(a) + "/" + paren(b)
	case OpMod:
		k = paren(a) + "%" + paren(b)
	default:
		k = op.String() + "(" + a.Key() + ", " + b.Key() + ")"
	}
	if op == OpDiv || op == OpMod {
		k = "(" + k + ")"
	}
	return atomExpr(&atom{op: op, a: a, b: b, key: k})
}

func paren(e Expr) string {
	k := e.Key()
	if len(e.terms) > 1 || len(e.terms) == 1 && (e.terms[0].c != 1 || len(e.terms[0].atoms) != 1) && !isNumber(k) || strings.HasPrefix(k, "-") {
		return "(" + k + ")"
	}
	return k
}

func isNumber(s string) bool { _, err := strconv.ParseInt(s, 10, 64); return err == nil }

// Key is the text form; equal expressions have equal keys. The constant comes last: "4*B*S + 1".
func (e Expr) Key() string {
	if len(e.terms) == 0 {
		return "0"
	}
	if len(e.terms) == 1 && e.terms[0].c == 1 && e.terms[0].key != "" {
		return e.terms[0].key
	}
	var b strings.Builder
	put := func(i int, t term) {
		c := t.c
		switch {
		case i > 0 && c < 0 && c != math.MinInt64:
			b.WriteString(" - ")
			c = -c
		case i > 0:
			b.WriteString(" + ")
		}
		switch {
		case t.key == "":
			b.WriteString(strconv.FormatInt(c, 10))
		case c == 1:
			b.WriteString(t.key)
		case c == -1:
			b.WriteString("-1*" + t.key)
		default:
			b.WriteString(strconv.FormatInt(c, 10) + "*" + t.key)
		}
	}
	i := 0
	for _, t := range e.terms {
		if t.key != "" {
			put(i, t)
			i++
		}
	}
	if e.terms[0].key == "" {
		put(i, e.terms[0])
	}
	return b.String()
}

// String is Key.
func (e Expr) String() string { return e.Key() }

// Walk calls f with the name of every symbol in e, with repetition.
func (e Expr) Walk(f func(sym string)) {
	for _, t := range e.terms {
		for _, a := range t.atoms {
			if a.op == OpSym {
				f(a.name)
			} else {
				a.a.Walk(f)
				a.b.Walk(f)
			}
		}
	}
}

// depth is how deep quotients, remainders, minima and the like are nested.
func (e Expr) depth() int {
	deepest := 0
	for _, t := range e.terms {
		for _, a := range t.atoms {
			if a.op != OpSym {
				deepest = max(deepest, 1+a.a.depth(), 1+a.b.depth())
			}
		}
	}
	return deepest
}

// Subst replaces symbols: f returns the replacement and true, or false to keep the symbol.
func (e Expr) Subst(f func(sym string) (Expr, bool)) Expr {
	if _, ok := e.Int(); ok {
		return e
	}
	var sum Expr
	for _, t := range e.terms {
		p := Const(t.c)
		for _, a := range t.atoms {
			p = Mul(p, a.subst(f))
		}
		sum = Add(sum, p)
	}
	return sum
}

func (a *atom) subst(f func(string) (Expr, bool)) Expr {
	if a.op == OpSym {
		if r, ok := f(a.name); ok {
			return r
		}
		return atomExpr(a)
	}
	x, y := a.a.Subst(f), a.b.Subst(f)
	switch a.op {
	case OpDiv:
		return Div(x, y)
	case OpMod:
		return Mod(x, y)
	case OpMin:
		return Min(x, y)
	case OpMax:
		return Max(x, y)
	case OpBcast:
		return Bcast(x, y)
	}
	return Keep1(x, y)
}

// SubstAll applies Subst to a shape.
func SubstAll(l []Expr, f func(string) (Expr, bool)) []Expr {
	out := make([]Expr, len(l))
	for i, e := range l {
		out[i] = e.Subst(f)
	}
	return out
}

// Eval computes e; env gives the values of symbols. A constant is itself, the largest integer included: slices use
// it for "to the end".
func (e Expr) Eval(env func(sym string) (int64, bool)) (int64, error) {
	if c, ok := e.Int(); ok {
		return c, nil
	}
	var sum int64
	for _, t := range e.terms {
		p := t.c
		for _, a := range t.atoms {
			v, err := a.eval(env)
			if err != nil {
				return 0, err
			}
			p = satMul(p, v)
		}
		sum = satAdd(sum, p)
	}
	if sum == saturated {
		return 0, fmt.Errorf("%v is too large", e)
	}
	return sum, nil
}

func (a *atom) eval(env func(string) (int64, bool)) (int64, error) {
	if a.op == OpSym {
		v, ok := env(a.name)
		if !ok {
			return 0, fmt.Errorf("dimension %q has no value", a.name)
		}
		return v, nil
	}
	x, err := a.a.Eval(env)
	if err != nil {
		return 0, err
	}
	y, err := a.b.Eval(env)
	if err != nil {
		return 0, err
	}
	v, ok := apply(a.op, x, y)
	if !ok {
		return 0, fmt.Errorf("%s: %s", a.key, complain(a.op, x, y))
	}
	return v, nil
}

func complain(op Op, x, y int64) string {
	switch op {
	case OpBcast:
		return fmt.Sprintf("extents %d and %d do not broadcast", x, y)
	case OpDiv, OpMod:
		return fmt.Sprintf("%d divided by %d", x, y)
	}
	return "too large"
}

func apply(op Op, x, y int64) (int64, bool) {
	switch op {
	case OpAdd:
		v := satAdd(x, y)
		return v, v != saturated
	case OpMul:
		v := satMul(x, y)
		return v, v != saturated
	case OpDiv:
		if y == 0 {
			return 0, false
		}
		return floorDiv(x, y), true
	case OpMod:
		if y == 0 {
			return 0, false
		}
		return x - y*floorDiv(x, y), true
	case OpMin:
		return min(x, y), true
	case OpMax:
		return max(x, y), true
	case OpBcast:
		if x == y || y == 1 {
			return x, true
		}
		return y, x == 1
	case OpKeep1:
		if x == 1 {
			return 0, true
		}
		return y, true
	}
	return 0, false
}
