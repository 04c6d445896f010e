package irtest

import (
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
)

func recipes() []recipe {
	return append(moreRecipes(), []recipe{
		{6, (*mixer).unary}, {8, (*mixer).binary}, {2, (*mixer).divide}, {3, (*mixer).compare}, {2, (*mixer).logic}, {3, (*mixer).where},
		{2, (*mixer).clip}, {3, (*mixer).cast}, {4, (*mixer).reduce}, {2, (*mixer).rows}, {2, (*mixer).layerNorm},
		{4, (*mixer).transpose}, {4, (*mixer).reshape}, {3, (*mixer).slice}, {3, (*mixer).concat}, {2, (*mixer).split}, {3, (*mixer).expand},
		{5, (*mixer).matmul}, {2, (*mixer).heads}, {3, (*mixer).window}, {2, (*mixer).gather}, {1, (*mixer).order}, {1, (*mixer).pad}, {1, (*mixer).cumsum},
		{1, (*mixer).nonzero}, {1, (*mixer).tile}, {1, (*mixer).attention}, {2, (*mixer).branch}, {2, (*mixer).loop},
	}...)
}

// smooth are the operators of one float, with the bound of the result for a bound of the operand.
var smooth = []struct {
	op    string
	bound func(float64) float64
}{
	{"tanh", one}, {"sigmoid", one}, {"erf", one}, {"sin", one}, {"cos", one}, {"relu", same}, {"abs", same}, {"neg", same}, {"gelu", same}, {"silu", same},
	{"leaky_relu", same}, {"softplus", func(b float64) float64 { return b + 1 }}, {"atan", func(float64) float64 { return 1.6 }}, {"hard_sigmoid", one},
	{"asinh", same},
}

func one(float64) float64    { return 1 }
func same(b float64) float64 { return b }

func (x *mixer) unary() error {
	v, ok := x.pick(isNumber)
	if !ok {
		return nil
	}
	if isInt(v) || v.exact && x.r.Intn(3) == 0 {
		names := []string{"neg", "abs", "relu", "sign"}
		if isFloat(v) {
			names = append(names, "floor", "ceil", "round")
		}
		_, err := x.one(names[x.r.Intn(len(names))], nil, fact{v.bound + 1, v.exact}, v.Value)
		return err
	}
	switch x.r.Intn(8) {
	case 0: // of a sum that is at least 0.25
		a, err := x.b.One("abs", []*ir.Value{v.Value}, nil)
		if err == nil {
			a, err = x.b.One("add", []*ir.Value{a, x.b.Scalar(v.Type.Elem, 0.5)}, nil)
		}
		if err != nil {
			return err
		}
		name := []string{"sqrt", "log", "recip"}[x.r.Intn(3)]
		_, err = x.one(name, nil, fact{bound: v.bound + 2}, a)
		return err
	case 1:
		if v.bound <= 4 {
			_, err := x.one("exp", nil, fact{bound: math.Exp(v.bound)}, v.Value)
			return err
		}
	}
	s := smooth[x.r.Intn(len(smooth))]
	_, err := x.one(s.op, nil, fact{bound: s.bound(v.bound)}, v.Value)
	return err
}

func (x *mixer) binary() error {
	v, ok := x.pick(isNumber)
	if !ok {
		return nil
	}
	w := x.partner(v, nil)
	a, b := v, w
	if x.r.Intn(2) == 0 {
		a, b = w, v
	}
	i := x.r.Intn(5)
	exact := a.exact && b.exact && (i >= 3 || isInt(v))
	f := fact{[]float64{a.bound + b.bound, a.bound + b.bound, a.bound * b.bound, max(a.bound, b.bound), max(a.bound, b.bound)}[i], exact}
	_, err := x.one([]string{"add", "sub", "mul", "min", "max"}[i], nil, f, a.Value, b.Value)
	return err
}

// divide divides, or takes the remainder, by something that is not zero.
func (x *mixer) divide() error {
	v, ok := x.pick(isNumber)
	if !ok {
		return nil
	}
	w := x.partner(v, nil)
	d, err := x.b.One("abs", []*ir.Value{w.Value}, nil)
	if err == nil {
		d, err = x.b.One("add", []*ir.Value{d, x.b.Scalar(v.Type.Elem, 1)}, nil)
	}
	if err != nil {
		return err
	}
	if isInt(v) && x.r.Intn(2) == 0 {
		_, err = x.one("mod", attrs("fmod", x.r.Intn(2) == 0), fact{w.bound + 1, true}, v.Value, d)
		return err
	}
	_, err = x.one("div", nil, fact{v.bound, isInt(v)}, v.Value, d)
	return err
}

func (x *mixer) compare() error {
	v, ok := x.pick(func(v held) bool { return v.exact && isNumber(v) })
	if !ok {
		return nil
	}
	w := x.partner(v, isExact)
	name := []string{"equal", "less", "less_equal", "greater", "greater_equal"}[x.r.Intn(5)]
	_, err := x.one(name, nil, fact{1, true}, v.Value, w.Value)
	return err
}

func (x *mixer) logic() error {
	v, ok := x.pick(isBool)
	if !ok {
		return nil
	}
	if x.r.Intn(3) == 0 {
		_, err := x.one("not", nil, fact{1, true}, v.Value)
		return err
	}
	_, err := x.one([]string{"and", "or", "xor"}[x.r.Intn(3)], nil, fact{1, true}, v.Value, x.partner(v, nil).Value)
	return err
}

func (x *mixer) where() error {
	c, ok := x.pick(isBool)
	v, ok2 := x.pick(func(v held) bool { return ok && broadcasts(v.Value, c.Value) })
	if !ok || !ok2 {
		return nil
	}
	w := x.partner(v, func(w held) bool { return broadcasts(w.Value, c.Value) })
	_, err := x.one("where", nil, fact{max(v.bound, w.bound), v.exact && w.exact}, c.Value, v.Value, w.Value)
	return err
}

func (x *mixer) clip() error {
	v, ok := x.pick(isNumber)
	if !ok {
		return nil
	}
	lo, hi := x.b.Scalar(v.Type.Elem, float64(-x.r.Intn(3))), x.b.Scalar(v.Type.Elem, float64(1+x.r.Intn(3)))
	switch x.r.Intn(4) {
	case 0:
		lo = nil
	case 1:
		hi = nil
	}
	_, err := x.one("clip", nil, v.fact, v.Value, lo, hi)
	return err
}

func (x *mixer) cast() error {
	v, ok := x.pick(nil)
	if !ok {
		return nil
	}
	to := []dtype.Type{dtype.F32, dtype.F64, dtype.I32, dtype.I64, dtype.Bool, dtype.F16, dtype.U8, dtype.I8}[x.r.Intn(8)]
	if !to.IsFloat() && !v.exact || to == dtype.U8 && !isBool(v) {
		return nil
	}
	if to.Bits() < 32 && to != dtype.Bool { // there and back
		y, err := x.b.One("cast", []*ir.Value{v.Value}, attrs("to", to))
		if err != nil {
			return err
		}
		_, err = x.one("cast", attrs("to", dtype.F32), fact{v.bound, v.exact && isInt(v)}, y)
		return err
	}
	f := fact{max(v.bound, 1), v.exact && (to != dtype.F32 || v.Type.Elem != dtype.F64)}
	_, err := x.one("cast", attrs("to", to), f, v.Value)
	return err
}

// axes draws some axes, ascending.
func (x *mixer) axes(rank int) []int64 {
	l := []int64{}
	for i := 0; i < rank; i++ {
		if x.r.Intn(2) == 0 {
			l = append(l, int64(i))
		}
	}
	if len(l) == 0 && rank > 0 {
		l = append(l, int64(x.r.Intn(rank)))
	}
	return l
}

func (x *mixer) reduce() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 })
	if !ok {
		return nil
	}
	names := []string{"reduce_max", "reduce_min", "reduce_sum", "reduce_mean"}
	switch {
	case isBool(v):
		names = names[:2]
	case isInt(v):
		names = names[:3]
	case v.bound <= 1:
		names = append(names, "reduce_prod")
	}
	if v.exact && isNumber(v) && x.r.Intn(5) == 0 {
		a := attrs("axis", x.r.Intn(v.Rank()), "keepdims", x.r.Intn(2) == 0, "select_last", x.r.Intn(2) == 0)
		_, err := x.one([]string{"argmax", "argmin"}[x.r.Intn(2)], a, fact{64, true}, v.Value)
		return err
	}
	i := x.r.Intn(len(names))
	f := fact{v.bound, v.exact && (i < 2 && x.filled(v) || isInt(v))} // of nothing: infinities, and the ends of the type's range
	if i == 2 {
		f.bound = v.bound * 1e4
	}
	_, err := x.one(names[i], attrs("axes", x.axes(v.Rank()), "keepdims", x.r.Intn(2) == 0), f, v.Value)
	return err
}

// filled reports whether a value surely has elements.
func (x *mixer) filled(v held) bool {
	return x.b.M.Dims.Prove(dim.Product(v.Type.Shape), dim.Ge, dim.Const(1)) == dim.Yes
}

func (x *mixer) rows() error {
	v, ok := x.pick(func(v held) bool { return isFloat(v) && v.Rank() > 0 })
	if !ok {
		return nil
	}
	axis := v.Rank() - 1
	if x.r.Intn(3) == 0 {
		axis = x.r.Intn(v.Rank())
	}
	if x.r.Intn(4) == 0 {
		_, err := x.one("log_softmax", attrs("axis", axis), fact{bound: 2*v.bound + 8}, v.Value)
		return err
	}
	_, err := x.one("softmax", attrs("axis", axis), fact{bound: 1}, v.Value)
	return err
}

func (x *mixer) layerNorm() error {
	v, ok := x.pick(func(v held) bool { return isFloat(v) && v.Rank() > 0 })
	if !ok {
		return nil
	}
	last := 1
	if c, ok := v.Type.Shape[v.Rank()-1].Int(); ok {
		last = int(c)
	}
	axis := v.Rank() - 1
	if x.r.Intn(3) == 0 {
		axis = x.r.Intn(v.Rank())
	}
	a, scale := attrs("axis", axis, "epsilon", 0.5), x.constant(v.Type.Elem, last)
	if x.r.Intn(3) == 0 {
		_, err := x.one("rms_norm", a, fact{bound: 8}, v.Value, scale)
		return err
	}
	in := []*ir.Value{v.Value, scale, nil}
	if x.r.Intn(2) == 0 {
		in[2] = x.constant(v.Type.Elem, last)
	}
	_, err := x.one("layer_norm", a, fact{bound: 8}, in...)
	return err
}

func (x *mixer) transpose() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 1 })
	if !ok {
		return nil
	}
	perm := make([]int64, v.Rank())
	for i, p := range x.r.Perm(v.Rank()) {
		perm[i] = int64(p)
	}
	_, err := x.one("transpose", attrs("perm", perm), v.fact, v.Value)
	return err
}

// reshape joins two neighbouring axes, cuts one, or adds or takes an axis of extent 1.
func (x *mixer) reshape() error {
	v, ok := x.pick(nil)
	if !ok {
		return nil
	}
	s := v.Type.Shape
	at := 0
	if len(s) > 0 {
		at = x.r.Intn(len(s))
	}
	splice := func(cut int, put ...dim.Expr) []dim.Expr {
		out := append([]dim.Expr{}, s[:at]...)
		return append(append(out, put...), s[at+cut:]...)
	}
	shape := splice(0, dim.Const(1))
	if len(s) > 0 {
		c, fixed := s[at].Int()
		switch {
		case fixed && c == 1 && x.r.Intn(2) == 0:
			shape = splice(1)
		case fixed && c > 1 && c%2 == 0 && x.r.Intn(2) == 0:
			shape = splice(1, dim.Const(2), dim.Const(c/2))
		case fixed && c > 1 && c%3 == 0 && x.r.Intn(2) == 0:
			shape = splice(1, dim.Const(c/3), dim.Const(3))
		case at+1 < len(s) && x.r.Intn(3) != 0:
			shape = splice(2, dim.Mul(s[at], s[at+1]))
		}
	}
	_, err := x.one("reshape", attrs("shape", shape), v.fact, v.Value)
	return err
}

func (x *mixer) slice() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 })
	if !ok {
		return nil
	}
	starts, steps, shape := make([]dim.Expr, v.Rank()), make([]int64, v.Rank()), append([]dim.Expr(nil), v.Type.Shape...)
	for i, e := range shape {
		starts[i], steps[i] = dim.Const(0), 1
		c, fixed := e.Int()
		switch k := x.r.Intn(4); {
		case fixed && c > 1 && k == 0: // backwards
			starts[i], steps[i] = dim.Const(c-1), -1
		case fixed && c > 1 && k == 1:
			lo := int64(x.r.Intn(int(c)))
			starts[i], shape[i] = dim.Const(lo), dim.Const(1+int64(x.r.Intn(int(c-lo))))
		case fixed && c > 2 && k == 2:
			steps[i], shape[i] = 2, dim.Const((c+1)/2)
		case !fixed && k == 0 && x.b.M.Dims.Prove(e, dim.Ge, dim.Const(1)) == dim.Yes:
			starts[i], shape[i] = dim.Const(1), dim.Sub(e, dim.Const(1))
		case !fixed && k == 1 && x.b.M.Dims.Prove(e, dim.Ge, dim.Const(1)) == dim.Yes: // the last
			starts[i], shape[i] = dim.Sub(e, dim.Const(1)), dim.Const(1)
		}
	}
	_, err := x.one("slice", attrs("starts", starts, "steps", steps, "shape", shape), v.fact, v.Value)
	return err
}

// concat joins values that agree in all axes but one.
func (x *mixer) concat() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 })
	if !ok {
		return nil
	}
	axis := x.r.Intn(v.Rank())
	in, f := []*ir.Value{v.Value}, v.fact
	for k := 0; k <= x.r.Intn(3); k++ {
		w, ok := x.pick(func(w held) bool {
			if w.Type.Elem != v.Type.Elem || w.Rank() != v.Rank() {
				return false
			}
			for i := range w.Type.Shape {
				if i != axis && !dim.Equal(w.Type.Shape[i], v.Type.Shape[i]) {
					return false
				}
			}
			return true
		})
		if !ok {
			w = v
		}
		in = append(in, w.Value)
		f = fact{max(f.bound, w.bound), f.exact && w.exact}
	}
	_, err := x.one("concat", attrs("axis", axis), f, in...)
	return err
}

func (x *mixer) split() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 })
	if !ok {
		return nil
	}
	axis := x.r.Intn(v.Rank())
	c, fixed := v.Type.Shape[axis].Int()
	if !fixed || c < 2 {
		return nil
	}
	first := 1 + int64(x.r.Intn(int(c-1)))
	sizes := []dim.Expr{dim.Const(first), dim.Const(c - first)}
	if c%3 == 0 {
		sizes = []dim.Expr{dim.Const(c / 3), dim.Const(c / 3), dim.Const(c / 3)}
	}
	out, err := x.b.Op("split", []*ir.Value{v.Value}, attrs("axis", axis, "sizes", sizes))
	if err != nil {
		return err
	}
	for _, o := range out {
		if _, err := x.keep(o, v.fact); err != nil {
			return err
		}
	}
	return nil
}

func (x *mixer) expand() error {
	v, ok := x.pick(nil)
	w, ok2 := x.pick(func(w held) bool { return ok && broadcasts(v.Value, w.Value) && w.Rank() >= v.Rank() })
	if !ok || !ok2 {
		return nil
	}
	shape := append([]dim.Expr{}, w.Type.Shape...)
	for i := 1; i <= v.Rank(); i++ { // an extent of 1 widens, others stay
		if e := v.Type.Shape[v.Rank()-i]; !e.IsConst(1) {
			shape[len(shape)-i] = e
		}
	}
	_, err := x.one("expand", attrs("shape", shape), v.fact, v.Value)
	return err
}

func (x *mixer) tile() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 })
	if !ok {
		return nil
	}
	rep := make([]dim.Expr, v.Rank())
	for i := range rep {
		if v.Type.Shape[i].IsConst(0) {
			return nil // other guards than those of a right program are made of an extent that is surely 0
		}
		rep[i] = dim.Const(1 + int64(x.r.Intn(2)))
	}
	_, err := x.one("tile", attrs("repeats", rep), v.fact, v.Value)
	return err
}
