package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/spatial"
	"github.com/llmc-go/llmc/ir/op"
)

// visionDefs read pictures at places that are data.
func visionDefs() []*op.Def { return []*op.Def{&GridSample, &RoiAlign, &RoiPool, &DeformConv, &Col2Im} }

func visionSpellings() []op.Source {
	return []op.Source{{Op: "Col2Im", Since: []int{18}, Import: importCol2Im}}
}

// GridSample reads pictures at the places of a grid.
var GridSample = op.Def{
	Name: "grid_sample",
	Doc:  "y[n, c, p] = x[n, c] between pixels at grid[n, p], whose coordinates (the last axis first) run from -1 to 1; mode linear, nearest or cubic, padding_mode zeros, border or reflection.",
	From: []op.Source{{Op: "GridSample", Since: []int{16, 20, 22}, Import: importGridSample},
		{Domain: microsoft, Op: "GridSample", Since: []int{1}, Import: importGridSample}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "grid", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("mode", "linear"), strAttr("padding_mode", "zeros"), boolAttr("align_corners", false)}},
	Infer: func(c *op.Infer) error {
		d := c.Rank(0) - 2
		if d < 1 || c.Rank(1) != d+2 {
			return fmt.Errorf("a grid of shape %v for pictures of shape %v", c.Shape(1), c.Shape(0))
		}
		switch m := c.Str("mode"); m {
		case "linear", "nearest", "cubic":
		default:
			return fmt.Errorf("mode: %q is not known", m)
		}
		switch m := c.Str("padding_mode"); m {
		case "zeros", "border", "reflection":
		default:
			return fmt.Errorf("padding_mode: %q is not known", m)
		}
		if err := c.Guard(c.Shape(0)[0], c.Shape(1)[0], "batch"); err != nil {
			return err
		}
		if err := c.Guard(c.Shape(1)[d+1], dim.Const(int64(d)), "coordinates"); err != nil {
			return err
		}
		c.Set(0, c.Elem(0), append(append([]dim.Expr{}, c.Shape(0)[:2]...), c.Shape(1)[1:d+1]...))
		return nil
	},
	Host: spatial.GridSample,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Range(-1.2, 1.2).With(nil, named("mode", "nearest", "padding_mode", "border"), named("mode", "cubic", "padding_mode", "reflection"), named("align_corners", true))
		c.Shapes("[B, 2, 4, 5]", "[B, 3, H, 2]").Shapes("[1, 2, 3, 4, 5]", "[1, 2, 2, 2, 3]")
	},
}

func importGridSample(c *op.Import) ([]*ir.Value, error) {
	mode := modelStr(c, "mode", "linear")
	switch mode {
	case "bilinear":
		mode = "linear"
	case "bicubic":
		mode = "cubic"
	}
	l := named("mode", mode, "padding_mode", modelStr(c, "padding_mode", "zeros"), "align_corners", modelInt(c, "align_corners", 0) != 0)
	return []*ir.Value{c.CallWith("grid_sample", l, c.N.In...)}, c.Err()
}

// RoiAlign pools regions of pictures.
var RoiAlign = op.Def{
	Name: "roi_align",
	Doc:  "y[r, c, i, j] = mean (mode max: the largest) of samples between pixels of picture batch[r] in cell i, j of region r, [x1, y1, x2, y2] * spatial_scale; half_pixel takes pixels to have their centres at halves.",
	From: []op.Source{{Op: "RoiAlign", Since: []int{10, 16, 22}, Import: importRoiAlign}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "rois", Elem: op.Float}, {Name: "batch", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("mode", "avg"), intAttr("output_height", 1), intAttr("output_width", 1), intAttr("sampling_ratio", 0), floatAttr("spatial_scale", 1), boolAttr("half_pixel", false)}},
	Infer: func(c *op.Infer) error {
		if c.Rank(0) != 4 || c.Rank(1) != 2 || c.Rank(2) != 1 {
			return fmt.Errorf("shapes %v, %v, %v", c.Shape(0), c.Shape(1), c.Shape(2))
		}
		if m := c.Str("mode"); m != "avg" && m != "max" {
			return fmt.Errorf("mode: %q is not known", m)
		}
		h, w := c.Int("output_height"), c.Int("output_width")
		if h < 1 || w < 1 || c.Int("sampling_ratio") > 1<<9 {
			return fmt.Errorf("cells: %d by %d of %d samples", h, w, c.Int("sampling_ratio"))
		}
		if err := c.Guard(c.Shape(1)[1], dim.Const(4), "regions"); err != nil {
			return err
		}
		if err := c.Guard(c.Shape(1)[0], c.Shape(2)[0], "regions"); err != nil {
			return err
		}
		c.Set(0, c.Elem(0), []dim.Expr{c.Shape(1)[0], c.Shape(0)[1], dim.Const(h), dim.Const(w)})
		return nil
	},
	Host: spatial.RoiAlign,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Range(0, 3).Elem(dtype.F32, dtype.F32, dtype.I64).With(named("output_height", 2, "output_width", 3), named("sampling_ratio", 2, "half_pixel", true), named("mode", "max", "spatial_scale", 0.5))
		c.Shapes("[4, 2, H + 2, 5]", "[R, 4]", "[R]")
	},
}

func importRoiAlign(c *op.Import) ([]*ir.Value, error) {
	how := "half_pixel"
	if c.Version < 16 {
		how = "output_half_pixel"
	}
	l := named("mode", modelStr(c, "mode", "avg"), "output_height", modelInt(c, "output_height", 1), "output_width", modelInt(c, "output_width", 1),
		"sampling_ratio", modelInt(c, "sampling_ratio", 0), "spatial_scale", modelFloat(c, "spatial_scale", 1), "half_pixel", modelStr(c, "coordinate_transformation_mode", how) == "half_pixel")
	return []*ir.Value{c.CallWith("roi_align", l, c.N.In...)}, c.Err()
}

// RoiPool takes the largest elements of regions of pictures.
var RoiPool = op.Def{
	Name: "roi_pool",
	Doc:  "y[r, c, i, j] = the largest element of picture rois[r, 0] in cell i, j of region r, [x1, y1, x2, y2] = rois[r, 1:] * spatial_scale, rounded; 0 where the cell has none.",
	From: []op.Source{{Op: "MaxRoiPool", Since: []int{1, 22}, Import: importRoiPool}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "rois", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("output_height", 1), intAttr("output_width", 1), floatAttr("spatial_scale", 1)}},
	Infer: func(c *op.Infer) error {
		if c.Rank(0) != 4 || c.Rank(1) != 2 {
			return fmt.Errorf("shapes %v, %v", c.Shape(0), c.Shape(1))
		}
		h, w := c.Int("output_height"), c.Int("output_width")
		if h < 1 || w < 1 {
			return fmt.Errorf("cells: %d by %d", h, w)
		}
		if err := c.Guard(c.Shape(1)[1], dim.Const(5), "regions"); err != nil {
			return err
		}
		c.Set(0, c.Elem(0), []dim.Expr{c.Shape(1)[0], c.Shape(0)[1], dim.Const(h), dim.Const(w)})
		return nil
	},
	Host: spatial.RoiPool,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Range(0, 3).Elem(dtype.F32).With(named("output_height", 2, "output_width", 3), named("spatial_scale", 0.5)).Shapes("[4, 2, H + 2, 5]", "[R, 5]")
	},
}

func importRoiPool(c *op.Import) ([]*ir.Value, error) {
	s := modelInts(c, "pooled_shape")
	if len(s) != 2 {
		return nil, fmt.Errorf("pooled_shape: want 2 entries, got %v", s)
	}
	l := named("output_height", s[0], "output_width", s[1], "spatial_scale", modelFloat(c, "spatial_scale", 1))
	return []*ir.Value{c.CallWith("roi_pool", l, c.N.In...)}, c.Err()
}

// DeformConv is a convolution whose taps are moved.
var DeformConv = op.Def{
	Name: "deform_conv",
	Doc:  "y[n, o, p] = b[o] + sum over c, t of w[o, c, t] * mask[n, t, p] * x[n, c] between pixels at p*stride + t*dilation - pad + offset[n, t, p].",
	From: []op.Source{{Op: "DeformConv", Since: []int{19, 22}, Import: importDeformConv}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "w", Elem: op.Float}, {Name: "offset", Elem: op.Float}, {Name: "b", Elem: op.Float, Optional: true}, {Name: "mask", Elem: op.Float, Optional: true}},
		Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{intsAttr("strides"), intsAttr("dilations"), intsAttr("pads"), intAttr("group", 1), intAttr("offset_group", 1)}},
	Infer: func(c *op.Infer) error {
		if c.Rank(0) != 4 || c.Rank(1) != 4 || c.Rank(2) != 4 {
			return fmt.Errorf("%w: shapes %v, %v, %v: want 4 axes", ir.ErrUnsupported, c.Shape(0), c.Shape(1), c.Shape(2))
		}
		shape := []dim.Expr{c.Shape(0)[0], c.Shape(1)[0]}
		strides, dilations, pads := c.Ints("strides"), c.Ints("dilations"), c.Ints("pads")
		if len(strides) != 2 || len(dilations) != 2 || len(pads) != 4 || strides[0] < 1 || strides[1] < 1 || dilations[0] < 1 || dilations[1] < 1 {
			return fmt.Errorf("strides %v, dilations %v, pads %v", strides, dilations, pads)
		}
		for i := range 2 {
			span := dim.Mul(dim.Sub(c.Shape(1)[2+i], dim.Const(1)), dim.Const(dilations[i]))
			e := dim.Sub(dim.Add(c.Shape(0)[2+i], dim.Const(pads[i]+pads[2+i])), dim.Add(span, dim.Const(1)))
			e = dim.Add(dim.Div(e, dim.Const(strides[i])), dim.Const(1))
			if err := c.Guard(c.Shape(2)[2+i], e, "offsets"); err != nil {
				return err
			}
			shape = append(shape, e)
		}
		c.Set(0, c.Elem(0), shape)
		return nil
	},
	Host: spatial.DeformConv,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		l := func(pads []int64, stride, groups int64) attr.List {
			return named("strides", []int64{stride, stride}, "dilations", []int64{1, 1}, "pads", pads, "offset_group", groups)
		}
		c.With(l([]int64{0, 0, 0, 0}, 1, 1)).Shapes("[B, 2, 4, 4]", "[3, 2, 2, 2]", "[B, 8, 3, 3]", "[3]", "[B, 4, 3, 3]")
		c.With(l([]int64{1, 1, 1, 1}, 2, 2)).Shapes("[1, 2, 5, 5]", "[3, 2, 3, 3]", "[1, 36, 3, 3]")
	},
}

func importDeformConv(c *op.Import) ([]*ir.Value, error) {
	or := func(name string, def ...int64) []int64 {
		if l := modelInts(c, name); l != nil {
			return l
		}
		return def
	}
	l := named("strides", or("strides", 1, 1), "dilations", or("dilations", 1, 1), "pads", or("pads", 0, 0, 0, 0), "group", modelInt(c, "group", 1), "offset_group", modelInt(c, "offset_group", 1))
	return []*ir.Value{c.CallWith("deform_conv", l, c.N.In...)}, c.Err()
}

// Col2Im adds columns into pictures.
var Col2Im = op.Def{
	Name: "col2im",
	Doc:  "y[n, c, p*stride + t*dilation - pad] += x[n, c*taps + t, p] for every tap t of a block and place p.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "image", Elem: op.Index, Optional: true}, {Name: "block", Elem: op.Index, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "image", Kind: attr.Dims}, {Name: "block", Kind: attr.Ints}, {Name: "strides", Kind: attr.Ints}, {Name: "dilations", Kind: attr.Ints}, {Name: "pads", Kind: attr.Ints}}},
	Infer: inferCol2Im,
	Host:  spatial.Col2Im,
	VJP:   todo,
	Cases: func(c *op.Cases) {
		one := []int64{1, 1}
		c.With(named("image", dim.Consts([]int{5, 5}), "block", []int64{1, 5}, "strides", one, "dilations", one, "pads", []int64{0, 0, 0, 0})).Shapes("[B, 10, 5]")
		c.With(named("image", dim.Consts([]int{4, 4}), "block", []int64{2, 2}, "strides", []int64{2, 1}, "dilations", []int64{1, 2}, "pads", []int64{0, 1, 0, 1})).Shapes("[1, 8, 8]")
	},
}

// inferCol2Im: image and block are attributes where they are known.
func inferCol2Im(c *op.Infer) error {
	known, err := fixed(c.Node, "image", 1)
	if err != nil {
		return err
	}
	blocks, err := fixed(c.Node, "block", 2)
	if err != nil {
		return err
	}
	if c.Rank(0) != 3 {
		return fmt.Errorf("columns of shape %v", c.Shape(0))
	}
	image := c.Dims("image")
	if !known {
		n, err := length(c.Node, 1)
		if err != nil {
			return err
		}
		image = make([]dim.Expr, n)
		for i := range image {
			image[i] = c.Late(0, 2+i, unbounded)
		}
	}
	r := len(image)
	for name, want := range map[string]int{"strides": r, "dilations": r, "pads": 2 * r} {
		if l := c.Ints(name); len(l) != 0 && len(l) != want {
			return fmt.Errorf("%s: want %d entries, got %v", name, want, l)
		}
	}
	var ch dim.Expr
	if blocks {
		taps := int64(1)
		for _, b := range c.Ints("block") {
			if b < 1 || b > 1<<24 || taps > 1<<24 {
				return fmt.Errorf("blocks of %v", c.Ints("block"))
			}
			taps *= b
		}
		if len(c.Ints("block")) != r {
			return fmt.Errorf("blocks of %v, pictures of %d axes", c.Ints("block"), r)
		}
		ch = dim.Div(c.Shape(0)[1], dim.Const(taps))
		if err := c.Guard(dim.Mul(ch, dim.Const(taps)), c.Shape(0)[1], "blocks"); err != nil {
			return err
		}
	} else {
		ch = c.Late(0, 1, c.Shape(0)[1])
	}
	c.Set(0, c.Elem(0), append([]dim.Expr{c.Shape(0)[0], ch}, image...))
	return nil
}

func importCol2Im(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 3); err != nil {
		return nil, err
	}
	in := []*ir.Value{c.In(0), c.In(1), c.In(2)}
	l := named()
	if image, ok := contents(c.Node, 1); ok {
		l, in[1] = append(l, named("image", image)...), nil
	}
	if block, ok := ints(c.Node, 2); ok {
		l, in[2] = append(l, named("block", block)...), nil
	}
	for _, name := range []string{"strides", "dilations", "pads"} {
		if v := modelInts(c, name); v != nil {
			l = append(l, named(name, v)...)
		}
	}
	return []*ir.Value{c.CallWith("col2im", l, in...)}, c.Err()
}
