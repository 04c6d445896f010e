package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/spatial"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func poolDefs() []*op.Def {
	return []*op.Def{&MaxPool, &MaxPoolIndices, &AveragePool, &LpPool, &MaxUnpool}
}

// poolSpellings are the pools over whole pictures, which are reductions.
func poolSpellings() []op.Source {
	return []op.Source{
		{Op: "GlobalAveragePool", Since: []int{1, 22}, Import: func(c *op.Import) ([]*ir.Value, error) { return importGlobalPool(c, "mean") }},
		{Op: "GlobalMaxPool", Since: []int{1, 22}, Import: func(c *op.Import) ([]*ir.Value, error) { return importGlobalPool(c, "max") }},
		{Op: "GlobalLpPool", Since: []int{1, 2, 22}, Import: importGlobalLpPool},
		{Op: "LRN", Since: []int{1, 13}, Import: importLRN},
	}
}

func importGlobalPool(c *op.Import, kind string) ([]*ir.Value, error) {
	axes, err := spatialAxes(c)
	if err != nil {
		return nil, err
	}
	y := c.Reduce(kind, c.In(0), axes...)
	return []*ir.Value{y}, c.Err()
}

func importGlobalLpPool(c *op.Import) ([]*ir.Value, error) {
	axes, err := spatialAxes(c)
	if err != nil {
		return nil, err
	}
	x := c.In(0)
	p := modelFloat(c, "p", float64(modelInt(c, "p", 2)))
	sum := c.Reduce("sum", c.Call("pow", c.Call("abs", x), c.Like(x, p)), axes...)
	return []*ir.Value{c.Call("pow", sum, c.Like(x, 1/p))}, c.Err()
}

// importLRN: y = x / (bias + alpha * mean)^beta, the mean of squares being over size neighbouring channels, those
// outside counted as zeros: an average pool of [n, 1, channels, positions].
func importLRN(c *op.Import) ([]*ir.Value, error) {
	x, n := c.In(0), modelInt(c, "size", 0)
	if x == nil || x.Rank() < 2 || n < 1 || n >= windowLimit {
		return nil, fmt.Errorf("size %d, and an operand of rank 2 or more wanted", n)
	}
	s := x.Type.Shape
	v := c.Reshape(c.Call("mul", x, x), []dim.Expr{s[0], dim.Const(1), s[1], dim.Product(s[2:])})
	v = c.CallWith("average_pool", named("kernel", []int64{n, 1}, "strides", []int64{1, 1}, "dilations", []int64{1, 1},
		"pads", []int64{(n - 1) / 2, 0, n / 2, 0}, "count_include_pad", true), v)
	v = c.Call("mul", c.Reshape(v, s), c.Like(x, modelFloat(c, "alpha", 1e-4)))
	v = c.Call("pow", c.Call("add", v, c.Like(x, modelFloat(c, "bias", 1))), c.Like(x, modelFloat(c, "beta", 0.75)))
	return []*ir.Value{c.Call("div", x, v)}, c.Err()
}

func spatialAxes(c *op.Import) ([]int, error) {
	x := c.In(0)
	if x == nil || x.Rank() < 3 {
		return nil, fmt.Errorf("operand 0: want rank 3 or more")
	}
	var axes []int
	for i := 2; i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	return axes, nil
}

var poolable = op.Float | op.Set(dtype.I8, dtype.U8)

// MaxPool is the largest element of each window.
var MaxPool = op.Def{
	Name: "max_pool",
	Doc:  "y[n, c, p] = max over t of x[n, c, p*stride + t*dilation - pad], elements outside x left out.",
	From: []op.Source{{Op: "MaxPool", Since: []int{1, 8, 10, 11, 12, 22}, Import: importMaxPool}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: poolable}}, Out: []op.Arg{{Name: "y"}},
		Attrs: windowAttrs(boolAttr("ceil_mode", false))},
	Infer: func(c *op.Infer) error { return inferPool(c) },
	Form:  func(f *op.Form) error { return formPool(f, anchor.Max) },
	Host:  spatial.MaxPool,
	VJP:   todo,
	Cases: func(c *op.Cases) { poolCases(c, named("ceil_mode", false), named("ceil_mode", true)) },
}

// MaxPoolIndices is max_pool with the positions of the maxima.
var MaxPoolIndices = op.Def{
	Name: "max_pool_indices",
	Doc:  "max_pool, and the flat position in x of each maximum (of the first of equal ones); storage_order 1 counts spatial positions column-major.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: poolable}}, Out: []op.Arg{{Name: "y"}, {Name: "indices"}},
		Attrs: windowAttrs(boolAttr("ceil_mode", false), intAttr("storage_order", 0))},
	Infer: func(c *op.Infer) error {
		if err := inferPool(c); err != nil {
			return err
		}
		c.Set(1, dtype.I64, c.N.Out[0].Type.Shape)
		return nil
	},
	Host:  spatial.MaxPoolIndices,
	VJP:   todo,
	Cases: func(c *op.Cases) { poolCases(c, named("storage_order", 0), named("storage_order", 1)) },
}

// AveragePool is the mean of each window.
var AveragePool = op.Def{
	Name: "average_pool",
	Doc:  "y[n, c, p] = mean over t of x[n, c, p*stride + t*dilation - pad], over elements of x, or with count_include_pad of padded x.",
	From: []op.Source{{Op: "AveragePool", Since: []int{1, 7, 10, 11, 19, 22}, Import: importAveragePool}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}},
		Attrs: windowAttrs(boolAttr("ceil_mode", false), boolAttr("count_include_pad", false))},
	Infer: func(c *op.Infer) error { return inferPool(c) },
	Form: func(f *op.Form) error {
		if f.Bool("count_include_pad") {
			return formPool(f, anchor.AvgPad)
		}
		return formPool(f, anchor.Avg)
	},
	Host: spatial.AveragePool,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		poolCases(c, named("ceil_mode", true), named("count_include_pad", true), named("ceil_mode", true, "count_include_pad", true))
	},
}

// LpPool is the p-norm of each window.
var LpPool = op.Def{
	Name: "lp_pool",
	Doc:  "y[n, c, q] = (sum over t of |x[n, c, q*stride + t*dilation - pad]|^p)^(1/p).",
	From: []op.Source{{Op: "LpPool", Since: []int{1, 2, 11, 18, 22}, Import: importLpPool}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}},
		Attrs: windowAttrs(boolAttr("ceil_mode", false), intAttr("p", 2))},
	Infer: func(c *op.Infer) error { return inferPool(c) },
	Host:  spatial.LpPool,
	VJP:   todo,
	Cases: func(c *op.Cases) { poolCases(c, named("p", 1), named("p", 2)) },
}

// poolCases pools with several geometries, each with several further attributes.
func poolCases(c *op.Cases, more ...attr.List) {
	geo := func(kernel, strides, dilations, pads []int64) []attr.List {
		base := named("kernel", kernel, "strides", strides, "dilations", dilations, "pads", pads)
		var l []attr.List
		for _, m := range more {
			l = append(l, append(base[:len(base):len(base)], m...))
		}
		return l
	}
	c.With(geo([]int64{3, 2}, []int64{2, 2}, []int64{1, 1}, []int64{1, 0, 1, 1})...).Shapes("[2, 3, 7, 6]").Shapes("[B, 3, H + 4, W + 4]")
	c.With(geo([]int64{3}, []int64{1}, []int64{2}, []int64{0, 0})...).Shapes("[1, 2, 9]")
	c.With(geo([]int64{2}, []int64{1}, []int64{1}, []int64{-1, 1})...).Shapes("[1, 2, 9]")
	c.With(geo([]int64{2, 2, 2}, []int64{2, 1, 2}, []int64{1, 1, 1}, []int64{0, 0, 0, 0, 1, 0})...).Shapes("[1, 2, 4, 3, 4]")
}

func inferPool(c *op.Infer) error {
	x := c.Shape(0)
	if len(x) < 3 {
		return fmt.Errorf("shape %v: want rank 3 or more", x)
	}
	g, err := readGeometry(c.Node, len(x)-2)
	if err != nil {
		return err
	}
	sp, err := g.outs(x[2:])
	if err != nil {
		return err
	}
	c.Set(0, c.Elem(0), append([]dim.Expr{x[0], x[1]}, sp...))
	return nil
}

// formPool: axes n, c and the output positions are Par, then the taps are Red. x is mapped along n and c; its
// positions follow from the window's geometry. Groups is the number of channels.
func formPool(f *op.Form, combine anchor.Combine) error {
	if f.Elem(0) != dtype.F32 {
		return f.No("element type %v", f.Elem(0))
	}
	sp := f.Rank(0) - 2
	g, err := readGeometry(f.Node, sp)
	if err != nil {
		return err
	}
	y := f.OutShape(0)
	channels, ok := y[1].Int()
	if !ok {
		return f.No("unknown number of channels")
	}
	if g.crops() {
		return f.No("pads of less than 0")
	}
	f.Anchor, f.Window = anchor.Window, g.window(combine, int(channels))
	f.Space = []op.Axis{{Name: "n", Extent: y[0]}, {Name: "c", Extent: y[1]}}
	mx, my := op.Map{{Axis: 0}, {Axis: 1}}, op.Map{{Axis: 0}, {Axis: 1}}
	for i := range sp {
		f.Space = append(f.Space, op.Axis{Name: fmt.Sprintf("p%d", i), Extent: y[2+i]})
		mx, my = append(mx, op.At{Axis: -1}), append(my, op.At{Axis: 2 + i})
	}
	for i := range sp {
		f.Space = append(f.Space, op.Axis{Name: fmt.Sprintf("t%d", i), Extent: dim.Const(g.kernel[i]), Red: true})
	}
	f.Maps = []op.Map{mx, my}
	f.PostStore(tile.F32)
	return nil
}

// importPool reads the window. Padding that depends on unknown extents goes in front as a pad operator.
func importPool(c *op.Import) (*modelWindow, attr.List, error) {
	w, err := importWindow(c, nil)
	if err != nil {
		return nil, nil, err
	}
	return w, append(w.attrs(), attr.Named{Name: "ceil_mode", Value: attr.OfBool(modelInt(c, "ceil_mode", 0) != 0 && samePadding(c) == "")}), nil
}

// samePadding is the auto_pad mode, which makes ceil_mode meaningless, or "".
func samePadding(c *op.Import) string {
	if m := modelStr(c, "auto_pad", "NOTSET"); m == "SAME_UPPER" || m == "SAME_LOWER" {
		return m
	}
	return ""
}

func importMaxPool(c *op.Import) ([]*ir.Value, error) {
	w, l, err := importPool(c)
	if err != nil {
		return nil, err
	}
	x := c.In(0)
	if c.NumOuts > 1 && (len(c.Outs) < 2 || c.Outs[1]) {
		if w.padding != nil {
			return nil, c.N.Errorf(ir.ErrUnsupported, "indices with auto_pad of unknown extents")
		}
		return c.Do("max_pool_indices", []*ir.Value{x}, append(l, attr.Named{Name: "storage_order", Value: attr.OfInt(modelInt(c, "storage_order", 0))})), c.Err()
	}
	if w.padding != nil {
		low := math.Inf(-1)
		if x.Type.Elem.IsInt() {
			v, _ := x.Type.Elem.IntRange()
			low = float64(v)
		}
		x = w.pad(c, c.Like(x, low))
	}
	return []*ir.Value{c.CallWith("max_pool", l, x)}, c.Err()
}

// importAveragePool: where padding depends on unknown extents, the mean of what lies inside is the mean over the
// padded picture, divided by that of a padded picture of ones.
func importAveragePool(c *op.Import) ([]*ir.Value, error) {
	w, l, err := importPool(c)
	if err != nil {
		return nil, err
	}
	include := modelInt(c, "count_include_pad", 0) != 0
	x := c.In(0)
	if w.padding == nil {
		l = append(l, attr.Named{Name: "count_include_pad", Value: attr.OfBool(include)})
		return []*ir.Value{c.CallWith("average_pool", l, x)}, c.Err()
	}
	zero := c.Like(x, 0)
	y := c.CallWith("average_pool", l, w.pad(c, zero))
	if !include {
		shape := append([]dim.Expr{dim.Const(1), dim.Const(1)}, x.Type.Shape[2:]...)
		ones := c.ExpandTo(c.Like(x, 1), shape)
		y = c.Call("div", y, c.CallWith("average_pool", l, w.padValue(c, ones, zero)))
	}
	return []*ir.Value{y}, c.Err()
}

func importLpPool(c *op.Import) ([]*ir.Value, error) {
	w, l, err := importPool(c)
	if err != nil {
		return nil, err
	}
	x := c.In(0)
	if w.padding != nil {
		x = w.pad(c, c.Like(x, 0))
	}
	p := modelFloat(c, "p", float64(modelInt(c, "p", 2)))
	if p != float64(int64(p)) || p < 1 {
		return nil, c.N.Errorf(ir.ErrUnsupported, "p: value %v", p)
	}
	return []*ir.Value{c.CallWith("lp_pool", append(l, attr.Named{Name: "p", Value: attr.OfInt(int64(p))}), x)}, c.Err()
}

// MaxUnpool is the inverse of max_pool_indices, zeros elsewhere.
var MaxUnpool = op.Def{
	Name: "max_unpool",
	Doc:  "zeros, and x[i] at the flat position indices[i] of a tensor of spatial extents (in-1)*stride + kernel - pads, or output_shape.",
	From: []op.Source{{Op: "MaxUnpool", Since: []int{9, 11, 22}, Import: func(c *op.Import) ([]*ir.Value, error) {
		w, err := importWindow(c, nil)
		if err != nil {
			return nil, err
		}
		return []*ir.Value{c.Do("max_unpool", c.N.In, w.attrs())[0]}, c.Err()
	}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "indices", Elem: op.Set(dtype.I64)}, {Name: "output_shape", Elem: op.Set(dtype.I64), Optional: true}},
		Out: []op.Arg{{Name: "y"}}, Attrs: windowAttrs()},
	Infer: func(c *op.Infer) error {
		x := c.Shape(0)
		if len(x) < 3 {
			return fmt.Errorf("shape %v: want rank 3 or more", x)
		}
		g, err := readGeometry(c.Node, len(x)-2)
		if err != nil {
			return err
		}
		out := []dim.Expr{x[0], x[1]}
		for i, e := range x[2:] {
			n := dim.Mul(dim.Sub(e, dim.Const(1)), dim.Const(g.strides[i]))
			out = append(out, dim.Add(n, dim.Const(g.kernel[i]-g.begin[i]-g.end[i])))
		}
		if c.Has(2) {
			if l, ok := contents(c.Node, 2); ok && len(l) == len(x) {
				out = l
			} else {
				for i := range out {
					out[i] = c.Late(0, i, dim.Const(dim.Inf))
				}
			}
		}
		c.Set(0, c.Elem(0), out)
		return nil
	},
	Host: spatial.MaxUnpool,
	VJP:  todo,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).Range(0, 3.9).With(named("kernel", []int64{2, 2}, "strides", []int64{2, 2}, "dilations", []int64{1, 1}, "pads", []int64{0, 0, 0, 0})).
			Shapes("[1, B, 2, 2]", "[1, B, 2, 2]")
	},
}
