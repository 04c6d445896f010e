package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/signal"
	"github.com/llmc-go/llmc/ir/op"
)

func signalDefs() []*op.Def { return []*op.Def{&DFT, &Mel} }

func signalSpellings() []op.Source {
	window := func(name string, a ...float64) op.Source {
		return op.Source{Op: name, Since: []int{17}, Import: func(c *op.Import) ([]*ir.Value, error) { return importWindowOf(c, a) }}
	}
	return []op.Source{
		{Op: "DFT", Since: []int{17, 20}, Import: importDFT},
		{Op: "STFT", Since: []int{17}, Import: importSTFT},
		window("HannWindow", 0.5, -0.5), window("HammingWindow", 25.0/46, -21.0/46), window("BlackmanWindow", 0.42, -0.5, 0.08),
	}
}

// DFT is the discrete Fourier transform.
var DFT = op.Def{
	Name: "dft",
	Doc:  "y[..., k, ...] = sum over j of x[..., j, ...] * e^(-2 pi i j k / n) along axis, n being length, to which x is cut or padded; complex numbers are the last axis; inverse: e^(+...) / n; onesided keeps n/2 + 1 results, or takes as many and gives real ones.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "length", Elem: op.Index, Optional: true}, {Name: "axis", Elem: op.Index, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("axis", -2), boolAttr("inverse", false), boolAttr("onesided", false), dimsAttr("length")}},
	Infer: func(c *op.Infer) error {
		axis, err := c.Axis("axis", c.Rank(0))
		if err != nil {
			return err
		}
		r := c.Rank(0)
		if r < 2 || axis == r-1 {
			return fmt.Errorf("axis %d of shape %v", axis, c.Shape(0))
		}
		if n, ok := c.Shape(0)[r-1].Int(); ok && n != 1 && n != 2 {
			return fmt.Errorf("complex numbers of %d parts", n)
		}
		inverse, onesided := c.Bool("inverse"), c.Bool("onesided")
		if c.Has(2) {
			return inferDFTAnywhere(c, inverse, onesided)
		}
		n := c.Shape(0)[axis]
		if inverse && onesided {
			n = dim.Mul(dim.Const(2), dim.Sub(n, dim.Const(1)))
		}
		switch l := c.Dims("length"); {
		case len(l) == 1:
			n = l[0]
		case len(l) > 1:
			return fmt.Errorf("length: %v", l)
		case c.Has(1):
			if e, ok := contents(c.Node, 1); ok && len(e) == 1 {
				n = e[0]
			} else {
				n = c.Late(0, axis, unbounded)
			}
		}
		shape := append([]dim.Expr(nil), c.Shape(0)...)
		shape[axis], shape[r-1] = n, dim.Const(2)
		switch {
		case inverse && onesided:
			shape[r-1] = dim.Const(1)
		case onesided:
			half := dim.Add(dim.Div(n, dim.Const(2)), dim.Const(1))
			if len(c.Dims("length")) == 0 && c.Has(1) && c.Scope().Late(n) {
				half = n // the extent itself is the late one
			}
			shape[axis] = half
		}
		c.Set(0, c.Elem(0), shape)
		return nil
	},
	Host: signal.DFT,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.With(nil, named("inverse", true), named("onesided", true)).Shapes("[B, 8, 1]").Shapes("[2, N + 4, 1]").With(named("axis", 0)).Shapes("[6, B, 2]")
		c.With(named("inverse", true, "onesided", true)).Shapes("[B, 5, 2]").With(named("length", dim.Consts([]int{6}))).Shapes("[B, 8, 2]").Shapes("[B, 3, 1]")
		c.With(nil).Elem(dtype.F64).Shapes("[1, 15, 2]")
	},
}

// inferDFTAnywhere is inference where the axis is data.
func inferDFTAnywhere(c *op.Infer, inverse, onesided bool) error {
	r := c.Rank(0)
	shape := append([]dim.Expr(nil), c.Shape(0)...)
	if _, given := c.N.Attrs.Get("length"); given || onesided || c.Has(1) {
		copy(shape, lateShape(c, 0, r-1, unbounded))
	}
	if shape[r-1] = dim.Const(2); inverse && onesided {
		shape[r-1] = dim.Const(1)
	}
	c.Set(0, c.Elem(0), shape)
	return nil
}

// importDFT: the axis is an attribute before version 20, then an operand.
func importDFT(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 3); err != nil {
		return nil, err
	}
	var at *ir.Value
	axis := modelInt(c, "axis", 1)
	if c.Version >= 20 {
		axis = -2
		if c.Has(2) {
			if l, ok := ints(c.Node, 2); ok && len(l) == 1 {
				axis = l[0]
			} else {
				at = c.In(2)
			}
		}
	}
	l := named("axis", axis, "inverse", modelInt(c, "inverse", 0) != 0, "onesided", modelInt(c, "onesided", 0) != 0)
	return []*ir.Value{dft(c.Build, c.In(0), c.In(1), at, l)}, c.Err()
}

func dft(b *op.Build, x, length, axis *ir.Value, l attr.List) *ir.Value {
	if length != nil && len(length.Elems) == 1 {
		l, length = append(l, named("length", length.Elems)...), nil
	}
	return b.CallWith("dft", l, x, length, axis)
}

// importSTFT gathers frames, which overlap, multiplies them by the window, and transforms them. Operands signal, frame_step, window,
// frame_length.
func importSTFT(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 4); err != nil {
		return nil, err
	}
	b, x := c.Build, c.In(0)
	if x.Rank() == 2 {
		x = b.Reshape(x, append(append([]dim.Expr(nil), x.Type.Shape...), dim.Const(1)))
	}
	if x.Rank() != 3 {
		return nil, fmt.Errorf("a signal %v, want 3 axes", x.Type)
	}
	step := b.Reshape(b64(b, c.In(1)), nil)
	all := number64(b, x.Type.Shape[1])
	length := all
	switch {
	case c.Has(3):
		length = b.Reshape(b64(b, c.In(3)), nil)
	case c.Has(2) && c.Rank(2) == 1:
		length = number64(b, c.Shape(2)[0])
	}
	zero, one := number64(b, dim.Expr{}), number64(b, dim.Const(1))
	frames := b.Call("add", b.Call("div", b.Call("sub", all, length), step), one)
	first, next := b.Call("range", zero, frames, one), b.Call("range", zero, length, one)
	if b.Err() != nil {
		return nil, b.Err()
	}
	first = b.Call("mul", b.Reshape(first, []dim.Expr{first.Type.Shape[0], dim.Const(1)}), step)
	y := b.CallWith("gather", named("axis", 1), x, b.Call("add", first, next))
	if c.Has(2) {
		y = b.Call("mul", y, b.Reshape(c.In(2), []dim.Expr{dim.Product(c.Shape(2)), dim.Const(1)}))
	}
	return []*ir.Value{dft(b, y, nil, nil, named("axis", 2, "onesided", modelInt(c, "onesided", 1) != 0))}, b.Err()
}

// importWindowOf is sum over j of a[j] * cos(2 pi j k / n), n being the size, or one less where the window is symmetric.
func importWindowOf(c *op.Import, a []float64) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	to, err := modelType(c, "output_datatype")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		to = dtype.F32
	}
	size := c.Reshape(c.Cast(c.In(0), dtype.I64), nil)
	k := c.Call("range", number64(c.Build, dim.Expr{}), size, number64(c.Build, dim.Const(1)))
	n := c.Cast(size, dtype.F64)
	f64 := func(v float64) *ir.Value { return c.Builder.Scalar(dtype.F64, v) }
	if modelInt(c, "periodic", 1) == 0 {
		n = c.Call("sub", n, f64(1))
	}
	angle := c.Call("div", c.Call("mul", c.Cast(k, dtype.F64), f64(2*math.Pi)), n)
	y := f64(a[0])
	for j, v := range a[1:] {
		y = c.Call("add", y, c.Call("mul", c.Call("cos", c.Call("mul", angle, f64(float64(j+1)))), f64(v)))
	}
	return []*ir.Value{c.Cast(y, to)}, c.Err()
}

// Mel is a matrix of triangles.
var Mel = op.Def{
	Name: "mel_weights",
	Doc:  "y[k, b] = the weight of frequency k of a transform of a length in bin b; bins are triangles of equal width on the mel scale between two frequencies.",
	From: []op.Source{{Op: "MelWeightMatrix", Since: []int{17}, Import: importMel}},
	Sig: op.Sig{In: []op.Arg{{Name: "bins", Elem: op.Index}, {Name: "length", Elem: op.Index}, {Name: "rate", Elem: op.Index}, {Name: "low", Elem: op.Float}, {Name: "high", Elem: op.Float}},
		Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "to", Kind: attr.Elem, Default: attr.OfElem(dtype.F32)}}},
	Infer: func(c *op.Infer) error {
		shape := []dim.Expr{{}, {}}
		for i := range shape {
			if e, ok := contents(c.Node, 1-i); ok && len(e) == 1 {
				shape[i] = e[0]
				if i == 0 {
					shape[0] = dim.Add(dim.Div(e[0], dim.Const(2)), dim.Const(1))
				}
			} else {
				shape[i] = c.Late(0, i, unbounded)
			}
		}
		to := c.N.Attrs.Elem("to")
		if !op.Number.Has(to) {
			return fmt.Errorf("to: element type %v", to)
		}
		c.Set(0, to, shape)
		return nil
	},
	Host: signal.Mel,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.I64, dtype.I64, dtype.I64, dtype.F32, dtype.F32).Range(20, 30).Shapes("[]", "[]", "[]", "[]", "[]")
	},
}

func importMel(c *op.Import) ([]*ir.Value, error) {
	to, err := modelType(c, "output_datatype")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		to = dtype.F32
	}
	return []*ir.Value{c.CallWith("mel_weights", named("to", to), c.N.In...)}, c.Err()
}
