package irtest

import (
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
)

// surely reports whether an extent is at least 1, and its number where that is fixed.
func (x *mixer) surely(e dim.Expr) (c int, fixed, ok bool) {
	n, fixed := e.Int()
	return int(n), fixed, fixed && n > 0 || x.b.M.Dims.Prove(e, dim.Ge, dim.Const(1)) == dim.Yes
}

// power raises what is at least 1/2 to a small power.
func (x *mixer) power() error {
	v, ok := x.pick(func(v held) bool { return isFloat(v) && v.bound <= 3 })
	if !ok {
		return nil
	}
	a, err := x.b.One("abs", []*ir.Value{v.Value}, nil)
	if err == nil {
		a, err = x.b.One("add", []*ir.Value{a, x.b.Scalar(v.Type.Elem, 0.5)}, nil)
	}
	if err != nil {
		return err
	}
	p := []float64{-2, -1, -0.5, 0, 0.5, 1, 2, 3, 1.25}[x.r.Intn(9)]
	_, err = x.one("pow", nil, fact{bound: max(4, math.Pow(v.bound+0.5, max(p, 0)))}, a, x.b.Scalar(v.Type.Elem, p))
	return err
}

func (x *mixer) trilu() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() >= 2 })
	if !ok {
		return nil
	}
	_, err := x.one("trilu", attrs("upper", x.r.Intn(2) == 0), v.fact, v.Value, x.b.Scalar(dtype.I64, float64(x.r.Intn(5)-2)))
	return err
}

func (x *mixer) oneHot() error {
	v, ok := x.pick(func(v held) bool { return isInt(v) && v.Rank() > 0 && v.Rank() < 4 })
	if !ok {
		return nil
	}
	e := []dtype.Type{dtype.F32, dtype.I64}[x.r.Intn(2)]
	_, err := x.one("one_hot", attrs("axis", x.r.Intn(v.Rank()+1)), fact{1, true}, v.Value, x.b.Scalar(dtype.I64, float64(1+x.r.Intn(5))), x.b.Const("", Random(x.r, e, 0, 1, 2)))
	return err
}

// scatter writes a constant's elements to positions that differ, so that their order does not matter.
func (x *mixer) scatter() error {
	v, ok := x.pick(func(v held) bool { return v.Rank() > 0 && isNumber(v) })
	if !ok {
		return nil
	}
	axis := x.r.Intn(v.Rank())
	shape := make([]int, v.Rank())
	for i, e := range v.Type.Shape {
		c, fixed, ok := x.surely(e)
		if !ok {
			return nil
		}
		shape[i] = 1
		if fixed && i != axis {
			shape[i] = 1 + x.r.Intn(c)
		}
	}
	index := Random(x.r, dtype.I64, 0, 0, shape...)
	if index.Len() > ir.InlineLimit {
		return nil
	}
	if c, fixed := v.Type.Shape[axis].Int(); fixed {
		for i := range index.Len() {
			index.SetInt(i, int64(x.r.Intn(2*int(c)))-c)
		}
	}
	names := []string{"none", "add", "mul", "min", "max"}
	name := names[x.r.Intn(len(names))]
	f := fact{v.bound + 1, v.exact && isInt(v)}
	_, err := x.one("scatter_elements", attrs("axis", axis, "reduction", name), f, v.Value, x.b.Const("", index), x.constant(v.Type.Elem, shape...))
	return err
}

// channelNorm normalizes a picture or a row of channels by given statistics, or by its own.
func (x *mixer) channelNorm() error {
	v, ok := x.pick(func(v held) bool { return isFloat(v) && v.Rank() >= 2 })
	if !ok {
		return nil
	}
	c, fixed, ok := x.surely(v.Type.Shape[1])
	if !fixed || !ok || c > ir.InlineLimit {
		return nil
	}
	scale, b := x.constant(v.Type.Elem, c), x.constant(v.Type.Elem, c)
	if v.Rank() > 2 && x.r.Intn(2) == 0 {
		for _, e := range v.Type.Shape[2:] {
			if _, _, ok := x.surely(e); !ok {
				return nil
			}
		}
		_, err := x.one("instance_norm", attrs("epsilon", 0.5), fact{bound: 8}, v.Value, scale, b)
		return err
	}
	mean, variance := x.constant(v.Type.Elem, c), x.b.Const("", Random(x.r, v.Type.Elem, 0.5, 2, c))
	_, err := x.one("batch_norm", attrs("epsilon", 0.25), fact{bound: 2*v.bound + 4}, v.Value, scale, b, mean, variance)
	return err
}

// transposed is a convolution's gradient as a layer.
func (x *mixer) transposed() error {
	v, ok := x.pick(func(v held) bool { return v.Type.Elem == dtype.F32 && (v.Rank() == 3 || v.Rank() == 4) })
	if !ok {
		return nil
	}
	c, fixed, ok := x.surely(v.Type.Shape[1])
	if !fixed || !ok {
		return nil
	}
	n := v.Rank() - 2
	kernel, strides, dilations, pads, extra := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, 2*n), make([]int64, n)
	group, out := 1, 1+x.r.Intn(5)
	if x.r.Intn(4) == 0 {
		group = c
	}
	shape := []int{c, out}
	for i := range kernel {
		if _, _, ok := x.surely(v.Type.Shape[2+i]); !ok {
			return nil
		}
		kernel[i], strides[i], dilations[i] = 1+int64(x.r.Intn(3)), 1+int64(x.r.Intn(3)), 1
		if kernel[i] == 3 {
			pads[i], pads[n+i] = int64(x.r.Intn(2)), int64(x.r.Intn(2))
		}
		extra[i] = int64(x.r.Intn(int(strides[i])))
		shape = append(shape, int(kernel[i]))
	}
	in := []*ir.Value{v.Value, x.constant(v.Type.Elem, shape...), nil}
	if x.r.Intn(2) == 0 {
		in[2] = x.constant(v.Type.Elem, group*out)
	}
	a := attrs("kernel", kernel, "strides", strides, "dilations", dilations, "pads", pads, "group", group, "output_padding", extra)
	_, err := x.one("conv_transpose", a, fact{bound: min(64*v.bound, 60)}, in...)
	return err
}

// quantized rounds quarters to 8 bits by a scale that is a power of two, and back: no rounding on the way can differ.
func (x *mixer) quantized() error {
	v, ok := x.pick(func(v held) bool { return v.Type.Elem == dtype.F32 && v.exact })
	if !ok {
		return nil
	}
	to := []dtype.Type{dtype.I8, dtype.U8}[x.r.Intn(2)]
	axis, shape := 0, []int{}
	if v.Rank() > 0 {
		axis = x.r.Intn(v.Rank())
		if c, fixed := v.Type.Shape[axis].Int(); fixed && c > 0 && c <= ir.InlineLimit && x.r.Intn(2) == 0 {
			shape = []int{int(c)}
		}
	}
	scale := Random(x.r, dtype.F32, 0, 0, shape...)
	for i := range scale.Len() {
		scale.SetFloat(i, []float64{0.25, 0.5, 1}[x.r.Intn(3)])
	}
	in := []*ir.Value{v.Value, x.b.Const("", scale), nil}
	if x.r.Intn(3) != 0 {
		in[2] = x.b.Const("", Random(x.r, to, 0, 20, shape...))
	}
	a := attrs("axis", axis)
	if in[2] == nil {
		to = dtype.U8 // as the standard has it
	}
	q, err := x.b.One("quantize_linear", in, append(a, attrs("to", to)...))
	if err != nil {
		return err
	}
	_, err = x.one("dequantize_linear", append(a, attrs("to", dtype.F32)...), fact{v.bound + 1, true}, q, in[1], in[2])
	return err
}

// recurrent runs a short recurrent layer over a value of rank 3: sequence, batch, features.
func (x *mixer) recurrent() error {
	v, ok := x.pick(func(v held) bool { return v.Type.Elem == dtype.F32 && v.Rank() == 3 })
	if !ok {
		return nil
	}
	in, fixed, ok := x.surely(v.Type.Shape[2])
	if _, _, filled := x.surely(v.Type.Shape[0]); !fixed || !ok || !filled {
		return nil
	}
	direction, dirs := []string{"forward", "reverse", "bidirectional"}[x.r.Intn(3)], 1
	if direction == "bidirectional" {
		dirs = 2
	}
	name, gates, a := "lstm", 4, attrs("direction", direction)
	switch x.r.Intn(3) {
	case 0:
		name, gates = "gru", 3
		a = append(a, attrs("linear_before_reset", x.r.Intn(2) == 0)...)
	case 1:
		name, gates = "rnn", 1
	}
	h := 1 + x.r.Intn(5)
	args := []*ir.Value{v.Value, x.constant(dtype.F32, dirs, gates*h, in), x.constant(dtype.F32, dirs, gates*h, h)}
	if x.r.Intn(2) == 0 {
		args = append(args, x.constant(dtype.F32, dirs, 2*gates*h))
	}
	out, err := x.b.Op(name, args, a)
	if err != nil {
		return err
	}
	for _, o := range out[:2] {
		if _, err := x.keep(o, fact{bound: 1}); err != nil {
			return err
		}
	}
	return nil
}

// resize widens the last axes of a picture by whole factors, or takes it to other extents.
func (x *mixer) resize() error {
	v, ok := x.pick(func(v held) bool { return v.Type.Elem == dtype.F32 && v.Rank() == 4 })
	if !ok {
		return nil
	}
	scales := Random(x.r, dtype.F32, 1, 1, 4)
	var sizes []int64
	for i, e := range v.Type.Shape {
		c, fixed, ok := x.surely(e)
		if !ok {
			return nil
		}
		if i < 2 && !fixed {
			c = 1
		}
		sizes = append(sizes, int64(c))
		if i >= 2 {
			scales.SetFloat(i, float64(1+x.r.Intn(3)))
			sizes[i] = 1 + int64(x.r.Intn(7))
		}
	}
	mode := []string{"nearest", "linear", "cubic"}[x.r.Intn(3)]
	a := attrs("mode", mode, "coordinate_transformation_mode", []string{"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"}[x.r.Intn(4)])
	f := fact{2 * v.bound, v.exact && mode == "nearest"}
	_, batch := v.Type.Shape[0].Int()
	_, channels := v.Type.Shape[1].Int()
	if batch && channels && x.r.Intn(2) == 0 && mode != "nearest" { // positions of the nearest may be halves, which round either way
		_, err := x.one("resize", a, f, v.Value, nil, nil, x.b.Ints(sizes...))
		return err
	}
	_, err := x.one("resize", a, f, v.Value, nil, x.b.Const("", scales))
	return err
}

func moreRecipes() []recipe {
	return []recipe{{2, (*mixer).power}, {1, (*mixer).trilu}, {1, (*mixer).oneHot}, {2, (*mixer).scatter}, {2, (*mixer).channelNorm}, {1, (*mixer).transposed},
		{2, (*mixer).quantized}, {4, (*mixer).recurrent}, {1, (*mixer).resize}}
}

// heads computes several matrices in one product, as attention does: it takes the columns of each, splits them into heads, turns
// those, and appends them to others.
func (x *mixer) heads() error {
	v, ok := x.pick(func(v held) bool {
		if v.Rank() < 2 || v.Rank() > 4 || !isFloat(v) {
			return false
		}
		c, fixed := v.Type.Shape[v.Rank()-1].Int()
		return fixed && c > 0 && c <= 64
	})
	if !ok {
		return nil
	}
	k, _ := v.Type.Shape[v.Rank()-1].Int()
	parts, h, d := 1+x.r.Intn(3), 1+x.r.Intn(3), []int{1, 4, 12, 16, 32, 64}[x.r.Intn(6)]
	size := h * d
	if k*int64(parts*size) > 1<<14 {
		return nil
	}
	var err error
	op := func(name string, in []*ir.Value, kv ...any) *ir.Value { // nil once something failed
		if err != nil {
			return nil
		}
		var y *ir.Value
		if y, err = x.b.One(name, in, attrs(kv...)); err == nil && x.r.Intn(16) == 0 {
			_, err = x.keep(y, fact{bound: 62}) // for other readers
		}
		return y
	}
	y, lead := v.Value, v.Type.Shape[:v.Rank()-1]
	flat := x.r.Intn(2) == 0
	if flat {
		y = op("reshape", []*ir.Value{y}, "shape", []dim.Expr{dim.Product(lead), dim.Const(k)})
	}
	y = op("matmul", []*ir.Value{y, x.constant(v.Type.Elem, int(k), parts*size)})
	if x.r.Intn(3) != 0 {
		y = op("add", []*ir.Value{y, x.constant(v.Type.Elem, parts*size)})
	}
	if x.r.Intn(3) == 0 {
		y = op("tanh", []*ir.Value{y})
	}
	if flat {
		y = op("reshape", []*ir.Value{y}, "shape", append(append([]dim.Expr(nil), lead...), dim.Const(int64(parts*size))))
	}
	if err != nil {
		return err
	}
	axis := y.Rank() - 1
	var cols []*ir.Value
	if x.r.Intn(2) == 0 {
		sizes := make([]dim.Expr, parts)
		for i := range sizes {
			sizes[i] = dim.Const(int64(size))
		}
		if cols, err = x.b.Op("split", []*ir.Value{y}, attrs("axis", axis, "sizes", sizes)); err != nil {
			return err
		}
	} else {
		for i := range parts {
			starts, steps, shape := make([]dim.Expr, axis+1), make([]int64, axis+1), append([]dim.Expr(nil), y.Type.Shape...)
			for a := range steps {
				steps[a] = 1
			}
			starts[axis], shape[axis] = dim.Const(int64(i*size)), dim.Const(int64(size))
			if x.r.Intn(8) == 0 { // some columns of the next or of the one before
				starts[axis] = dim.Const(int64(x.r.Intn((parts-1)*size + 1)))
			}
			cols = append(cols, op("slice", []*ir.Value{y}, "starts", starts, "steps", steps, "shape", shape))
		}
	}
	perm := make([]int64, axis+2)
	for i := range perm {
		perm[i] = int64(i)
	}
	if at := x.r.Intn(axis + 1); x.r.Intn(4) != 0 {
		perm[at], perm[axis] = perm[axis], perm[at]
	}
	join := x.r.Intn(axis + 2)
	for _, c := range cols {
		c = op("reshape", []*ir.Value{c}, "shape", append(append([]dim.Expr(nil), lead...), dim.Const(int64(h)), dim.Const(int64(d))))
		c = op("transpose", []*ir.Value{c}, "perm", perm)
		if err != nil {
			return err
		}
		if x.r.Intn(3) != 0 {
			before := op("neg", []*ir.Value{c})
			if w, ok := x.pick(func(w held) bool { return w.Type.Elem == c.Type.Elem && dim.EqualAll(w.Type.Shape, c.Type.Shape) }); ok {
				before = w.Value
			}
			c = op("concat", []*ir.Value{before, c}, "axis", join)
		}
		if err != nil {
			return err
		}
		if _, err = x.keep(c, fact{bound: 62}); err != nil {
			return err
		}
	}
	return nil
}
