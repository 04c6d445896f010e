package irtest

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
)

// matmul multiplies by a constant, by the value's own transpose, or by another value that fits.
func (x *mixer) matmul() error {
	v, ok := x.pick(func(v held) bool { return isFloat(v) && v.Rank() >= 2 })
	if !ok {
		return nil
	}
	n := v.Rank()
	k := v.Type.Shape[n-1]
	bound := v.bound * 64
	if c, fixed := k.Int(); fixed && x.r.Intn(3) != 0 {
		cols := 1 + x.r.Intn(8)
		if x.r.Intn(4) == 0 {
			cols = 16 + x.r.Intn(50)
		}
		shape := []int{int(c), cols}
		if b, fixed := v.Type.Shape[0].Int(); fixed && n > 2 && b < 6 && x.r.Intn(4) == 0 {
			shape = append([]int{int(b)}, shape...)
			for i := 3; i < n; i++ {
				shape = append([]int{shape[0], 1}, shape[1:]...)
			}
		}
		w := x.constant(v.Type.Elem, shape...)
		if x.r.Intn(4) == 0 && len(shape) == 2 {
			t, err := x.b.One("transpose", []*ir.Value{x.constant(v.Type.Elem, cols, int(c))}, attrs("perm", []int64{1, 0}))
			if err != nil {
				return err
			}
			w = t
		}
		y, err := x.one("matmul", nil, fact{bound: min(bound, 60)}, v.Value, w)
		if err == nil && y.Value != nil && x.r.Intn(2) == 0 {
			_, err = x.one("add", nil, fact{bound: 61}, y.Value, x.constant(v.Type.Elem, cols))
		}
		return err
	}
	if w, ok := x.pick(func(w held) bool {
		return w.Type.Elem == v.Type.Elem && w.Rank() == n && dim.Equal(w.Type.Shape[n-2], k) && dim.EqualAll(w.Type.Shape[:n-2], v.Type.Shape[:n-2])
	}); ok {
		_, err := x.one("matmul", nil, fact{bound: bound * w.bound}, v.Value, w.Value)
		return err
	}
	perm := make([]int64, n)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[n-1], perm[n-2] = perm[n-2], perm[n-1]
	t, err := x.b.One("transpose", []*ir.Value{v.Value}, attrs("perm", perm))
	if err != nil {
		return err
	}
	_, err = x.one("matmul", nil, fact{bound: bound * v.bound}, v.Value, t)
	return err
}

// window is a convolution, perhaps with a bias and relu, or a pool.
func (x *mixer) window() error {
	v, ok := x.pick(func(v held) bool {
		if !isFloat(v) || v.Rank() < 3 || v.Rank() > 4 {
			return false
		}
		_, fixed := v.Type.Shape[1].Int()
		return fixed
	})
	if !ok {
		return nil
	}
	n := v.Rank() - 2
	kernel, strides, dilations, pads := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, 2*n)
	for i := range kernel {
		c, fixed := v.Type.Shape[2+i].Int()
		if !fixed && x.b.M.Dims.Prove(v.Type.Shape[2+i], dim.Ge, dim.Const(1)) != dim.Yes {
			return nil
		}
		if !fixed {
			c = 1
		} else if c == 0 {
			return nil
		}
		kernel[i], strides[i], dilations[i] = 1+int64(x.r.Intn(int(min(c, 3)))), 1+int64(x.r.Intn(2)), 1
		if kernel[i] > 1 {
			pads[i], pads[n+i] = int64(x.r.Intn(int(kernel[i]))), int64(x.r.Intn(int(kernel[i])))
		}
		if c > 2*kernel[i] && x.r.Intn(4) == 0 {
			dilations[i] = 2
		}
	}
	a := attrs("kernel", kernel, "strides", strides, "dilations", dilations, "pads", pads)
	switch x.r.Intn(4) {
	case 0:
		_, err := x.one("max_pool", append(a, attrs("ceil_mode", x.r.Intn(4) == 0)...), v.fact, v.Value)
		return err
	case 1:
		_, err := x.one("average_pool", append(a, attrs("ceil_mode", false, "count_include_pad", x.r.Intn(2) == 0)...), fact{bound: v.bound}, v.Value)
		return err
	}
	c, _ := v.Type.Shape[1].Int()
	group, out := int64(1), 1+int64(x.r.Intn(9))
	if x.r.Intn(3) == 0 && c > 0 {
		group, out = c, c*int64(1+x.r.Intn(2))
	}
	if x.r.Intn(5) == 0 && group == 1 {
		out = 16 + int64(x.r.Intn(20))
	}
	shape := []int{int(out), int(c / group)}
	for _, k := range kernel {
		shape = append(shape, int(k))
	}
	in := []*ir.Value{v.Value, x.constant(v.Type.Elem, shape...), nil}
	if x.r.Intn(2) == 0 {
		in[2] = x.constant(v.Type.Elem, int(out))
	}
	y, err := x.one("conv", append(a, attrs("group", int(group))...), fact{bound: min(v.bound*64, 60)}, in...)
	if err == nil && y.Value != nil && x.r.Intn(2) == 0 {
		_, err = x.one("relu", nil, y.fact, y.Value)
	}
	return err
}

// gather looks up along an axis by small integers, brought into range.
func (x *mixer) gather() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 })
	if !ok {
		return nil
	}
	axis := x.r.Intn(v.Rank())
	hi := int64(0)
	if c, fixed := v.Type.Shape[axis].Int(); fixed && c > 0 {
		hi = c - 1
	} else if x.b.M.Dims.Prove(v.Type.Shape[axis], dim.Ge, dim.Const(1)) != dim.Yes {
		return nil
	}
	index, ok := x.pick(func(w held) bool { return w.Type.Elem == dtype.I64 || w.Type.Elem == dtype.I32 })
	if !ok || x.r.Intn(3) == 0 {
		index = held{x.b.Const("", Random(x.r, dtype.I64, float64(-hi-1), float64(hi), 1+x.r.Intn(4))), fact{}}
	}
	i, err := x.b.One("clip", []*ir.Value{index.Value, x.b.Scalar(index.Type.Elem, float64(-hi-1)), x.b.Scalar(index.Type.Elem, float64(hi))}, nil)
	if err != nil {
		return err
	}
	name := "gather"
	if i.Rank() == v.Rank() && x.r.Intn(2) == 0 {
		name = "gather_elements"
		for k := range i.Type.Shape {
			if k != axis && !dim.Equal(i.Type.Shape[k], v.Type.Shape[k]) {
				name = "gather"
			}
		}
	}
	_, err = x.one(name, attrs("axis", axis), v.fact, v.Value, i)
	return err
}

func (x *mixer) order() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 && v.exact && isNumber(v) })
	if !ok {
		return nil
	}
	axis := x.r.Intn(v.Rank())
	c, fixed := v.Type.Shape[axis].Int()
	if !fixed || c == 0 {
		return nil
	}
	out, err := x.b.Op("topk", []*ir.Value{v.Value, x.b.Ints(1 + int64(x.r.Intn(int(c))))}, attrs("axis", axis, "largest", x.r.Intn(2) == 0))
	if err != nil {
		return err
	}
	if _, err = x.keep(out[0], v.fact); err == nil {
		_, err = x.keep(out[1], fact{64, true})
	}
	return err
}

func (x *mixer) pad() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 && !isBool(v) })
	if !ok {
		return nil
	}
	begins, ends := make([]dim.Expr, v.Rank()), make([]dim.Expr, v.Rank())
	for i := range begins {
		begins[i], ends[i] = dim.Const(int64(x.r.Intn(3))), dim.Const(int64(x.r.Intn(2)))
	}
	_, err := x.one("pad", attrs("mode", "constant", "begins", begins, "ends", ends), fact{max(v.bound, 1), v.exact}, v.Value, x.b.Scalar(v.Type.Elem, 1))
	return err
}

func (x *mixer) cumsum() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 && isNumber(v) })
	if !ok {
		return nil
	}
	axis := x.b.Scalar(dtype.I64, float64(x.r.Intn(v.Rank())))
	_, err := x.one("cumsum", attrs("exclusive", x.r.Intn(2) == 0, "reverse", x.r.Intn(2) == 0), fact{v.bound * 1e4, isInt(v)}, v.Value, axis)
	return err
}

// nonzero makes extents that are data.
func (x *mixer) nonzero() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 && v.exact })
	if !ok || x.r.Intn(2) == 0 {
		return nil
	}
	_, err := x.one("nonzero", nil, fact{64, true}, v.Value)
	return err
}

func (x *mixer) attention() error {
	q, ok := x.pick(func(v held) bool { return v.Type.Elem == dtype.F32 && v.Rank() == 4 })
	if !ok {
		return nil
	}
	kv := q
	if w, ok := x.pick(func(w held) bool {
		return w.Type.Elem == dtype.F32 && w.Rank() == 4 && dim.EqualAll(w.Type.Shape[:2], q.Type.Shape[:2]) && dim.Equal(w.Type.Shape[3], q.Type.Shape[3])
	}); ok {
		kv = w
	}
	_, err := x.one("attention", attrs("scale", 0.25, "causal", x.r.Intn(2) == 0), fact{bound: kv.bound}, q.Value, kv.Value, kv.Value)
	return err
}

// inside makes a region over captures: a few nodes, and of each value of first one of the same type that depends on what
// was grown.
func (x *mixer) inside(name string, params []held, build func(in *mixer, p []held) ([]*ir.Value, error)) (*ir.Region, error) {
	types, names := make([]ir.Type, len(params)), make([]string, len(params))
	for i, p := range params {
		types[i] = p.Type
	}
	return x.b.Region(name, types, names, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
		in := &mixer{r: x.r, f: x.f, b: b, depth: x.depth - 1, trips: x.trips}
		l := make([]held, len(p))
		for i, v := range p {
			l[i] = in.add(v, params[i].fact)
		}
		return build(in, l)
	})
}

// alike turns v into a value of the same type that depends on the mixer's other values.
func (x *mixer) alike(v held) (held, error) {
	w, ok := x.pick(func(w held) bool { return isNumber(w) && w.Rank() > 0 })
	if isBool(v) {
		y, err := x.b.One("not", []*ir.Value{v.Value}, nil)
		return held{y, fact{1, true}}, err
	}
	y, err := x.b.One("neg", []*ir.Value{v.Value}, nil)
	if err != nil || !ok || x.r.Intn(4) == 0 {
		return held{y, v.fact}, err
	}
	if isInt(v) && !w.exact {
		return held{y, v.fact}, nil
	}
	axes := make([]int64, w.Rank())
	for i := range axes {
		axes[i] = int64(i)
	}
	s, err := x.b.One("reduce_max", []*ir.Value{w.Value}, attrs("axes", axes, "keepdims", false))
	if err == nil {
		s, err = x.b.One("clip", []*ir.Value{s, x.b.Scalar(w.Type.Elem, -2), x.b.Scalar(w.Type.Elem, 2)}, nil)
	}
	if err == nil && w.Type.Elem != v.Type.Elem {
		s, err = x.b.One("cast", []*ir.Value{s}, attrs("to", v.Type.Elem))
	}
	if err == nil {
		y, err = x.b.One("add", []*ir.Value{y, s}, nil)
	}
	return held{y, fact{v.bound + 2, isInt(v)}}, err
}

// truth is a scalar condition: one of an exact value's elements against a number.
func (x *mixer) truth() (*ir.Value, error) {
	v, ok := x.pick(func(v held) bool { return v.exact && isNumber(v) })
	if !ok {
		return nil, nil
	}
	s := v.Value
	if v.Rank() > 0 {
		axes := make([]int64, v.Rank())
		for i := range axes {
			axes[i] = int64(i)
		}
		var err error
		if s, err = x.b.One([]string{"reduce_max", "reduce_min"}[x.r.Intn(2)], []*ir.Value{v.Value}, attrs("axes", axes, "keepdims", false)); err != nil {
			return nil, err
		}
	}
	return x.b.One([]string{"less", "greater"}[x.r.Intn(2)], []*ir.Value{s, x.b.Scalar(v.Type.Elem, float64(x.r.Intn(3)-1))}, nil)
}

func (x *mixer) captures() []held {
	var l []held
	for k := 0; k <= x.r.Intn(4); k++ {
		if v, ok := x.pick(nil); ok {
			l = append(l, v)
		}
	}
	return l
}

func (x *mixer) branch() error {
	if x.depth <= 0 {
		return nil
	}
	cond, err := x.truth()
	if cond == nil || err != nil {
		return err
	}
	caps := x.captures()
	if len(caps) == 0 {
		return nil
	}
	var f fact
	build := func(in *mixer, p []held) ([]*ir.Value, error) {
		if err := in.grow(2 + in.r.Intn(5)); err != nil {
			return nil, err
		}
		y, err := in.alike(p[0])
		f = fact{max(f.bound, y.bound), y.exact}
		return []*ir.Value{y.Value}, err
	}
	then, err := x.inside("then", caps, build)
	if err != nil {
		return err
	}
	other, err := x.inside("else", caps, build)
	if err != nil {
		return err
	}
	in := []*ir.Value{cond}
	for _, c := range caps {
		in = append(in, c.Value)
	}
	out, err := x.b.Op("if", in, nil, then, other)
	if err != nil {
		return err
	}
	f.exact = f.exact && caps[0].exact && isInt(caps[0])
	_, err = x.keep(out[0], f)
	return err
}

// loop repeats a region a few times: one carried value, one scan output, and perhaps a condition on the iteration.
func (x *mixer) loop() error {
	caps := x.captures()
	if x.depth <= 0 || len(caps) == 0 {
		return nil
	}
	caps[0].fact = fact{64, caps[0].exact && !isFloat(caps[0])} // of every iteration
	params := append([]held{{&ir.Value{Type: ir.TensorType(dtype.I64)}, fact{4, true}}, {&ir.Value{Type: ir.TensorType(dtype.Bool)}, fact{1, true}}}, caps...)
	early := x.r.Intn(3) == 0
	var scan fact
	body, err := x.inside("body", params, func(in *mixer, p []held) ([]*ir.Value, error) {
		if err := in.grow(2 + in.r.Intn(5)); err != nil {
			return nil, err
		}
		y, err := in.alike(p[2])
		if err == nil && isNumber(y) {
			y.Value, err = in.b.One("clip", []*ir.Value{y.Value, in.b.Scalar(y.Type.Elem, -8), in.b.Scalar(y.Type.Elem, 8)}, nil)
		}
		if err != nil {
			return nil, err
		}
		go1 := p[1].Value
		if early {
			if go1, err = in.b.One("less", []*ir.Value{p[0].Value, in.b.Scalar(dtype.I64, float64(in.r.Intn(3)))}, nil); err != nil {
				return nil, err
			}
		}
		last := in.vals[len(in.vals)-1]
		scan = fact{last.bound, false}
		return []*ir.Value{go1, y.Value, last.Value}, nil
	})
	if err != nil {
		return err
	}
	in := []*ir.Value{x.b.Scalar(dtype.I64, float64(x.trips+x.r.Intn(4-x.trips))), x.b.Scalar(dtype.Bool, 1)}
	for _, c := range caps {
		in = append(in, c.Value)
	}
	out, err := x.b.Op("loop", in, attrs("carried", 1), body)
	if err != nil {
		return err
	}
	if _, err = x.keep(out[0], fact{max(8, caps[0].bound), isInt(caps[0]) && caps[0].exact}); err == nil {
		_, err = x.keep(out[1], scan)
	}
	return err
}
