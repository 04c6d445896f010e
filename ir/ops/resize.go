package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/spatial"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

func resizeDefs() []*op.Def { return []*op.Def{&Resize} }

// resizeSpellings are older spellings of resize.
func resizeSpellings() []op.Source {
	return []op.Source{{Op: "Upsample", Since: []int{1, 7, 9}, Until: 10, Import: importUpsample}}
}

// Resize samples a tensor at a grid of other extents.
var Resize = op.Def{
	Name: "resize",
	Doc:  "y[q] = x sampled (nearest, linear, cubic) at the position that coordinate_transformation_mode gives q; extents floor(in*scale) or sizes.",
	From: []op.Source{{Op: "Resize", Since: []int{10}, Import: func(c *op.Import) ([]*ir.Value, error) { return importAsymmetric(c, c.In(1)) }},
		{Op: "Resize", Since: []int{11, 13, 18, 19}, Import: importResize}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Number | op.Small | op.Bool}, {Name: "roi", Elem: op.Float, Optional: true}, {Name: "scales", Elem: op.Float, Optional: true}, {Name: "sizes", Elem: i64Only, Optional: true}},
		Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("mode", "nearest"), strAttr("coordinate_transformation_mode", "half_pixel"), strAttr("nearest_mode", "round_prefer_floor"),
			floatAttr("cubic_coeff_a", -0.75), floatAttr("extrapolation_value", 0), boolAttr("exclude_outside", false), boolAttr("antialias", false), boolAttr("whole_length", false),
			{Name: "axes", Kind: attr.Ints}, strAttr("keep_aspect_ratio_policy", "stretch")}},
	Infer: inferResize,
	Host:  spatial.Resize,
	VJP:   todo,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.F32, dtype.F32, dtype.I64).Range(1, 3)
		c.With(named("mode", "linear", "axes", []int64{2, 3}), named("mode", "cubic", "axes", []int64{2, 3}, "coordinate_transformation_mode", "align_corners"),
			named("axes", []int64{2, 3}, "nearest_mode", "ceil"), named("mode", "linear", "axes", []int64{2, 3}, "antialias", true))
		c.Shapes("[1, 2, 4, 5]", "_", "[2]").Shapes("[B, 2, 4, 5]", "_", "_", "[2]")
	},
}

var resizeWords = map[string][]string{
	"mode":                           {"nearest", "linear", "cubic"},
	"coordinate_transformation_mode": {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"},
	"nearest_mode":                   {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "shrink_ceil"},
	"keep_aspect_ratio_policy":       {"stretch", "not_larger", "not_smaller"},
}

func inferResize(c *op.Infer) error {
	for name, words := range resizeWords {
		ok := false
		for _, w := range words {
			ok = ok || c.Str(name) == w
		}
		if !ok {
			return fmt.Errorf("%s: %q is not known", name, c.Str(name))
		}
	}
	axes := c.Ints("axes")
	if len(axes) == 0 {
		for i := range c.Rank(0) {
			axes = append(axes, int64(i))
		}
	} else {
		axes = append([]int64(nil), axes...)
		if _, err := normAxes(axes, c.Rank(0)); err != nil {
			return err
		}
	}
	for i := range axes {
		if axes[i] < 0 {
			axes[i] += int64(c.Rank(0))
		}
	}
	shape := append([]dim.Expr(nil), c.Shape(0)...)
	given := func(i int) bool { return c.Has(i) && !dim.Product(c.Shape(i)).IsConst(0) }
	if given(2) == given(3) {
		return fmt.Errorf("want scales or sizes")
	}
	var known []dim.Expr
	if given(2) {
		known = scaledExtents(shape, axes, c.Const(2))
	} else if sizes, ok := contents(c.Node, 3); ok {
		known = keptAspect(shape, axes, sizes, c.Str("keep_aspect_ratio_policy"))
	}
	if known != nil && len(known) != len(axes) {
		return fmt.Errorf("want %d scales or sizes, got %d", len(axes), len(known))
	}
	for i, a := range axes {
		switch {
		case known != nil:
			shape[a] = known[i]
		case given(2) && c.Const(2) != nil && c.Const(2).Len() == len(axes) && c.Const(2).Float(i) == 1:
		default:
			shape[a] = c.Late(0, int(a), unbounded)
		}
	}
	c.Set(0, c.Elem(0), shape)
	return nil
}

// scaledExtents is floor(in * scale), a product of f32, for constant scales; nil where an extent is unknown and no integer
// arithmetic says the same.
func scaledExtents(shape []dim.Expr, axes []int64, scales *tensor.Tensor) []dim.Expr {
	if scales == nil || scales.Len() != len(axes) {
		return nil
	}
	out := make([]dim.Expr, len(axes))
	for i, a := range axes {
		s := scales.Float(i)
		if v, ok := shape[a].Int(); ok {
			f := spatial.ScaledExtent(int(v), s)
			if !(f >= 0 && f < 1<<40) {
				return nil
			}
			out[i] = dim.Const(int64(f))
			continue
		}
		p, q := fraction(s)
		if q == 0 {
			return nil
		}
		out[i] = dim.Div(dim.Mul(shape[a], dim.Const(p)), dim.Const(q))
	}
	return out
}

// fraction is the p/q that s stands for, rounded to f32, where floor(n*p/q) is the floor of the f32 product n*s; q is 0 where there is
// none. What is no whole number is 1/q away from one, far more than the product can be wrong. What is one has to come
// out as it or more: s is p/q or more, or less by a share of 2^-25 at the most, which is half a step of f32 everywhere.
func fraction(s float64) (p, q int64) {
	for q := int64(1); q <= 64; q++ {
		n := math.Round(s * float64(q))
		if n < 1 || n > 1<<20 || float64(float32(n/float64(q))) != s {
			continue
		}
		if exact := n / float64(q); exact-s > exact*0x1p-25 {
			return 0, 0
		}
		return int64(n), q
	}
	return 0, 0
}

// keptAspect applies the policy to sizes; nil where it is not known which axis decides.
func keptAspect(shape []dim.Expr, axes []int64, sizes []dim.Expr, policy string) []dim.Expr {
	if policy == "stretch" || len(sizes) != len(axes) {
		return sizes
	}
	best := 0.0
	in := make([]int, len(axes))
	for i, a := range axes {
		n, ok1 := shape[a].Int()
		v, ok2 := sizes[i].Int()
		if !ok1 || !ok2 || n == 0 {
			return nil
		}
		in[i] = int(n)
		s := float64(v) / float64(n)
		if i == 0 || policy == "not_larger" && s < best || policy == "not_smaller" && s > best {
			best = s
		}
	}
	out := make([]dim.Expr, len(axes))
	for i := range out {
		out[i] = dim.Const(int64(spatial.AspectExtent(in[i], best)))
	}
	return out
}

func importResize(c *op.Import) ([]*ir.Value, error) {
	l := attr.List{}
	for _, name := range []string{"mode", "coordinate_transformation_mode", "nearest_mode", "keep_aspect_ratio_policy"} {
		if v := modelStr(c, name, ""); v != "" {
			l = append(l, named(name, v)...)
		}
	}
	l = append(l, named("cubic_coeff_a", modelFloat(c, "cubic_coeff_a", -0.75), "extrapolation_value", modelFloat(c, "extrapolation_value", 0),
		"exclude_outside", modelInt(c, "exclude_outside", 0) != 0, "antialias", modelInt(c, "antialias", 0) != 0)...)
	if c.Version < 19 { // whose text has no length that is a fraction
		l = append(l, named("whole_length", true)...)
	}
	if axes := modelInts(c, "axes"); len(axes) > 0 {
		l = append(l, named("axes", axes)...)
	}
	in := append([]*ir.Value(nil), c.N.In...)
	for i := 1; i < len(in); i++ { // an empty tensor stands for an absent one
		if in[i] != nil && dim.Product(in[i].Type.Shape).IsConst(0) {
			in[i] = nil
		}
	}
	if y := upscale(c, l, in); y != nil {
		return []*ir.Value{y}, c.Err()
	}
	return []*ir.Value{c.CallWith("resize", l, in...)}, c.Err()
}

// importAsymmetric is Resize 10 and Upsample: scales only, positions divided and rounded down, or up along an axis that shrinks: the
// standard's case test_resize_downsample_nearest of that version says so.
func importAsymmetric(c *op.Import, scales *ir.Value) ([]*ir.Value, error) {
	l := named("mode", modelStr(c, "mode", "nearest"), "coordinate_transformation_mode", "asymmetric", "nearest_mode", "shrink_ceil")
	if l[0].S == "bilinear" { // Upsample 1
		l[0].S = "linear"
	}
	in := []*ir.Value{c.In(0), nil, scales}
	if y := upscale(c, l, in); y != nil {
		return []*ir.Value{y}, c.Err()
	}
	return []*ir.Value{c.CallWith("resize", l, in...)}, c.Err()
}

func importUpsample(c *op.Import) ([]*ir.Value, error) {
	if c.Version >= 9 {
		return importAsymmetric(c, c.In(1))
	}
	var s []float32
	if v, ok := c.Model.Attr("scales"); ok {
		for _, f := range v.Floats {
			s = append(s, float32(f))
		}
	} else {
		s = []float32{1, 1, float32(modelFloat(c, "height_scale", 1)), float32(modelFloat(c, "width_scale", 1))}
	}
	return importAsymmetric(c, c.Builder.Const("", tensor.Of(dtype.F32, s, len(s))))
}

// upscale repeats elements where the mode is nearest, the scales are whole and the positions are such that each element
// covers a block: [.., n, ..] as [.., n, 1, ..], broadcast to [.., n, s, ..], as [.., n*s, ..]. nil where not.
func upscale(c *op.Import, l attr.List, in []*ir.Value) *ir.Value {
	x := in[0]
	if x == nil || l.Str("mode", "nearest") != "nearest" || len(in) < 3 || len(l.Ints("axes")) > 0 {
		return nil
	}
	switch l.Str("coordinate_transformation_mode", "half_pixel") {
	case "half_pixel", "pytorch_half_pixel":
		// (q + 1/2)/s - 1/2 is less than 1/2 away from floor(q/s)
		if m := l.Str("nearest_mode", "round_prefer_floor"); m != "round_prefer_floor" && m != "round_prefer_ceil" {
			return nil
		}
	case "asymmetric":
		if m := l.Str("nearest_mode", "round_prefer_floor"); m != "floor" && m != "shrink_ceil" {
			return nil
		}
	default:
		return nil
	}
	s := wholeScales(c, in)
	if s == nil {
		return nil
	}
	var split, wide, out []dim.Expr
	for i, e := range x.Type.Shape {
		out = append(out, dim.Mul(e, dim.Const(s[i])))
		split, wide = append(split, e), append(wide, e)
		if s[i] > 1 {
			split, wide = append(split, dim.Const(1)), append(wide, dim.Const(s[i]))
		}
	}
	return c.Reshape(c.ExpandTo(c.Reshape(x, split), wide), out)
}

// wholeScales is the scale of every axis, if all are whole numbers.
func wholeScales(c *op.Import, in []*ir.Value) []int64 {
	x := in[0]
	s := make([]int64, x.Rank())
	if t := c.Builder.M.ConstOf(in[2]); t != nil && t.Len() == len(s) {
		for i := range s {
			f := t.Float(i)
			if s[i] = int64(f); f != float64(s[i]) || f < 1 || f > 1<<20 {
				return nil
			}
		}
		return s
	}
	if len(in) < 4 || in[3] == nil || len(in[3].Elems) != len(s) {
		return nil
	}
	for i, e := range in[3].Elems {
		n, ok1 := x.Type.Shape[i].Int()
		v, ok2 := e.Int()
		switch {
		case dim.Equal(e, x.Type.Shape[i]):
			s[i] = 1
		case ok1 && ok2 && n > 0 && v%n == 0:
			s[i] = v / n
		default:
			return nil
		}
	}
	return s
}
