package ops

import (
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/spatial"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

// Names in this file: n batch, o output channel, i input channel within a group, t tap, p position.

func convDefs() []*op.Def { return []*op.Def{&Conv, &ConvTranspose, &ConvInteger, &QLinearConv} }

// windowAttrs are the attributes of sliding windows: one entry a spatial axis, pads all begins, then all ends.
func windowAttrs(more ...op.Attr) []op.Attr {
	return append([]op.Attr{
		{Name: "kernel", Kind: attr.Ints, Required: true},
		{Name: "strides", Kind: attr.Ints, Required: true},
		{Name: "dilations", Kind: attr.Ints, Required: true},
		{Name: "pads", Kind: attr.Ints, Required: true},
	}, more...)
}

func convAttrs() []op.Attr {
	return windowAttrs(op.Attr{Name: "group", Kind: attr.Int, Default: attr.OfInt(1)})
}

// Conv is convolution.
var Conv = op.Def{
	Name: "conv",
	Doc:  "y[n, o, p] = b[o] + sum over i, t of x[n, g*I + i, p*stride + t*dilation - pad] * w[o, i, t], g = o / (O / group).",
	From: []op.Source{{Op: "Conv", Since: []int{1, 11, 22}, Import: func(c *op.Import) ([]*ir.Value, error) { return importConv(c, "conv", 1, 0) }}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "w", Elem: op.Float}, {Name: "b", Elem: op.Float, Optional: true}},
		Out: []op.Arg{{Name: "y"}}, Attrs: convAttrs()},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1, 2); err != nil {
			return err
		}
		if c.Has(2) {
			if c.Rank(2) != 1 {
				return fmt.Errorf("b: want rank 1, got shape %v", c.Shape(2))
			}
			if c.Rank(1) > 0 {
				if err := c.Guard(c.Shape(2)[0], c.Shape(1)[0], "bias"); err != nil {
					return err
				}
			}
		}
		return inferConv(c, 0, 1, c.Elem(0))
	},
	Form: formConv,
	Host: spatial.Conv,
	VJP:  op.VJP{Todo: true},
	Cases: func(c *op.Cases) {
		c.With(convCase([]int64{3, 3}, []int64{1, 1}, []int64{1, 1}, []int64{0, 0, 0, 0}, 1),
			convCase([]int64{3, 3}, []int64{2, 1}, []int64{1, 2}, []int64{1, 2, 0, 1}, 1)).Shapes("[2, 3, 7, 6]", "[4, 3, 3, 3]", "[4]")
		c.With(convCase([]int64{3, 3}, []int64{1, 1}, []int64{1, 1}, []int64{1, 1, 1, 1}, 1)).Shapes("[B, 3, H + 3, W + 3]", "[5, 3, 3, 3]")
		c.With(convCase([]int64{3, 3}, []int64{2, 2}, []int64{1, 1}, []int64{1, 1, 1, 1}, 4)).Shapes("[1, 4, 9, 9]", "[8, 1, 3, 3]", "[8]")
		c.With(convCase([]int64{3}, []int64{1}, []int64{2}, []int64{2, 2}, 2)).Shapes("[2, 4, 10]", "[6, 2, 3]", "[6]")
		c.With(convCase([]int64{3}, []int64{1}, []int64{1}, []int64{-1, -2}, 1)).Shapes("[1, 4, 10]", "[6, 4, 3]")
		c.With(convCase([]int64{2, 2, 2}, []int64{1, 2, 1}, []int64{1, 1, 1}, []int64{0, 1, 0, 0, 0, 1}, 1)).Shapes("[1, 2, 4, 5, 4]", "[3, 2, 2, 2, 2]")
		c.With(convCase([]int64{1, 1}, []int64{1, 1}, []int64{1, 1}, []int64{0, 0, 0, 0}, 1)).Shapes("[2, 5, 4, 4]", "[7, 5, 1, 1]", "[7]").Shapes("[0, 5, 4, 4]", "[7, 5, 1, 1]")
	},
}

func convCase(kernel, strides, dilations, pads []int64, group int64) attr.List {
	return attr.List{{Name: "kernel", Value: attr.OfInts(kernel)}, {Name: "strides", Value: attr.OfInts(strides)}, {Name: "dilations", Value: attr.OfInts(dilations)},
		{Name: "pads", Value: attr.OfInts(pads)}, {Name: "group", Value: attr.OfInt(group)}}
}

// geometry is a window's attributes, checked.
type geometry struct {
	kernel, strides, dilations, begin, end []int64
	ceil                                   bool
}

// windowLimit bounds every number of a window, so that sums and products stay far from overflow.
const windowLimit = 1 << 31

func readGeometry(c op.Node, axes int) (*geometry, error) {
	g := &geometry{kernel: c.Ints("kernel"), strides: c.Ints("strides"), dilations: c.Ints("dilations"), ceil: c.Bool("ceil_mode")}
	pads := c.Ints("pads")
	for _, l := range []struct {
		name string
		v    []int64
		n    int
		lo   int64
	}{{"kernel", g.kernel, axes, 1}, {"strides", g.strides, axes, 1}, {"dilations", g.dilations, axes, 1}, {"pads", pads, 2 * axes, 1 - windowLimit}} {
		if len(l.v) != l.n {
			return nil, fmt.Errorf("%s: want %d values, got %d", l.name, l.n, len(l.v))
		}
		for _, v := range l.v {
			if v < l.lo || v >= windowLimit {
				return nil, fmt.Errorf("%s: value %d", l.name, v)
			}
		}
	}
	g.begin, g.end = pads[:axes], pads[axes:]
	return g, nil
}

// out is the extent of result axis i. In ceil mode the last window may reach over the end, but none starts behind the
// last element and the padding before it.
func (g *geometry) out(i int, in dim.Expr) dim.Expr {
	room := dim.Add(in, dim.Const(g.begin[i]+g.end[i]-g.dilations[i]*(g.kernel[i]-1)-1))
	s := dim.Const(g.strides[i])
	if !g.ceil {
		return dim.Add(dim.Div(room, s), dim.Const(1))
	}
	return dim.Min(dim.Add(dim.CeilDiv(room, s), dim.Const(1)), dim.CeilDiv(dim.Add(in, dim.Const(g.begin[i])), s))
}

func (g *geometry) outs(in []dim.Expr) ([]dim.Expr, error) {
	out := make([]dim.Expr, len(in))
	for i, e := range in {
		out[i] = g.out(i, e)
		if v, ok := e.Int(); ok && v+g.begin[i]+g.end[i] <= g.dilations[i]*(g.kernel[i]-1) {
			return nil, fmt.Errorf("spatial axis %d: a window of %d elements does not fit into %d", i, g.dilations[i]*(g.kernel[i]-1)+1, v+g.begin[i]+g.end[i])
		}
	}
	return out, nil
}

// crops reports whether a pad is less than 0: windows begin inside. Kernels know no such thing.
func (g *geometry) crops() bool {
	less := func(v int64) bool { return v < 0 }
	return slices.ContainsFunc(g.begin, less) || slices.ContainsFunc(g.end, less)
}

// window is the geometry as a form has it.
func (g *geometry) window(combine anchor.Combine, groups int) *anchor.WindowAttr {
	ints := func(l []int64) []int {
		out := make([]int, len(l))
		for i, v := range l {
			out[i] = int(v)
		}
		return out
	}
	return &anchor.WindowAttr{Combine: combine, Groups: groups, Kernel: ints(g.kernel), Stride: ints(g.strides), Dilation: ints(g.dilations), PadBegin: ints(g.begin), PadEnd: ints(g.end)}
}

// inferConv types result 0 from operands x and w of the given numbers.
func inferConv(c *op.Infer, xi, wi int, elem dtype.Type) error {
	x, w := c.Shape(xi), c.Shape(wi)
	if len(x) < 2 || len(w) != len(x) {
		return fmt.Errorf("shapes %v and %v: want one rank of at least 2", x, w)
	}
	g, err := readGeometry(c.Node, len(x)-2)
	if err != nil {
		return err
	}
	group := c.Int("group")
	if group < 1 || group >= windowLimit {
		return fmt.Errorf("group: value %d", group)
	}
	if err := c.Guard(x[1], dim.Mul(w[1], dim.Const(group)), "channels"); err != nil {
		return err
	}
	if v, ok := w[0].Int(); ok && v%group != 0 {
		return fmt.Errorf("%d output channels in %d groups", v, group)
	}
	for i, k := range g.kernel {
		if err := c.Guard(w[2+i], dim.Const(k), "kernel"); err != nil {
			return err
		}
	}
	sp, err := g.outs(x[2:])
	if err != nil {
		return err
	}
	c.Set(0, elem, append([]dim.Expr{x[0], w[0]}, sp...))
	return nil
}

// formConv: axes n, co and the output positions are Par, then ci and the taps are Red. x is mapped along n only: its
// channels and positions follow from the window's geometry.
func formConv(f *op.Form) error {
	if f.Elem(0) != dtype.F32 {
		return f.No("element type %v", f.Elem(0))
	}
	sp := f.Rank(0) - 2
	g, err := readGeometry(f.Node, sp)
	if err != nil {
		return err
	}
	if sp == 0 {
		return f.No("no spatial axis")
	}
	y, w := f.OutShape(0), f.Shape(1)
	if g.crops() {
		return f.No("pads of less than 0")
	}
	f.Anchor, f.Window = anchor.Window, g.window(anchor.Dot, int(f.Int("group")))
	f.Space = []op.Axis{{Name: "n", Extent: y[0]}, {Name: "co", Extent: y[1]}}
	mx, mw, my := op.Map{{Axis: 0}, {Axis: -1}}, op.Map{{Axis: 1}, {Axis: 2 + sp}}, op.Map{{Axis: 0}, {Axis: 1}}
	for i := range sp {
		f.Space = append(f.Space, op.Axis{Name: fmt.Sprintf("p%d", i), Extent: y[2+i]})
		mx, my = append(mx, op.At{Axis: -1}), append(my, op.At{Axis: 2 + i})
	}
	f.Space = append(f.Space, op.Axis{Name: "ci", Extent: w[1], Red: true})
	for i := range sp {
		f.Space = append(f.Space, op.Axis{Name: fmt.Sprintf("t%d", i), Extent: dim.Const(g.kernel[i]), Red: true})
		mw = append(mw, op.At{Axis: 3 + sp + i})
	}
	f.Maps = []op.Map{mx, mw}
	b := tile.NewBuilder()
	acc := b.Acc(tile.F32)
	if f.NumIn() > 2 {
		f.Maps = append(f.Maps, nil)
		if f.Has(2) {
			f.Maps[2] = op.Map{{Axis: 1}}
			acc = b.Op2(tile.Add, acc, b.Load(2, f.Elem(2)))
		}
	}
	f.Maps = append(f.Maps, my)
	b.Store(f.Out(0), acc)
	f.Prog = b.Program()
	return b.Err()
}

// importConv reads operands x (0) and w, and the window's attributes; SAME padding of unknown extents becomes a pad
// operator where strides make it depend on them.
func importConv(c *op.Import, name string, w int, pad float64) ([]*ir.Value, error) {
	wt := c.In(w)
	if wt == nil || wt.Rank() < 2 {
		return nil, fmt.Errorf("operand %d: want weights of rank 2 or more", w)
	}
	var kernel []int64
	for _, e := range wt.Type.Shape[2:] {
		k, ok := e.Int()
		if !ok {
			kernel = nil
			break
		}
		kernel = append(kernel, k)
	}
	win, err := importWindow(c, kernel)
	if err != nil {
		return nil, err
	}
	in := append([]*ir.Value(nil), c.N.In...)
	if win.padding != nil {
		in[0] = win.pad(c, c.Like(in[0], pad))
	}
	y := c.Do(name, in, append(win.attrs(), attr.Named{Name: "group", Value: attr.OfInt(modelInt(c, "group", 1))}))
	return y[:1], c.Err()
}

// modelWindow is a window as a model states it, with auto_pad resolved: into pads where extents allow, else into
// padding, the numbers for a pad operator in front (begins, then ends, spatial axes only).
type modelWindow struct {
	kernel, strides, dilations, pads []int64
	padding                          []dim.Expr
}

func (w *modelWindow) attrs() attr.List {
	return attr.List{{Name: "kernel", Value: attr.OfInts(w.kernel)}, {Name: "strides", Value: attr.OfInts(w.strides)},
		{Name: "dilations", Value: attr.OfInts(w.dilations)}, {Name: "pads", Value: attr.OfInts(w.pads)}}
}

// pad puts the padding around operand 0.
func (w *modelWindow) pad(c *op.Import, value *ir.Value) *ir.Value {
	return w.padValue(c, c.In(0), value)
}

func (w *modelWindow) padValue(c *op.Import, x, value *ir.Value) *ir.Value {
	n := len(w.kernel)
	zero := make([]dim.Expr, x.Rank()-n)
	return c.CallWith("pad", attr.List{{Name: "mode", Value: attr.OfStr("constant")},
		{Name: "begins", Value: attr.OfDims(append(zero[:len(zero):len(zero)], w.padding[:n]...))},
		{Name: "ends", Value: attr.OfDims(append(zero[:len(zero):len(zero)], w.padding[n:]...))}}, x, value)
}

func importWindow(c *op.Import, kernel []int64) (*modelWindow, error) {
	x := c.In(0)
	if x == nil || x.Rank() < 2 {
		return nil, fmt.Errorf("operand 0: want rank 2 or more")
	}
	n := x.Rank() - 2
	if l := modelInts(c, "kernel_shape"); l != nil {
		kernel = l
	}
	w := &modelWindow{kernel: kernel, strides: modelInts(c, "strides"), dilations: modelInts(c, "dilations"), pads: modelInts(c, "pads")}
	ones := func(l []int64) []int64 {
		for len(l) < n {
			l = append(l[:len(l):len(l)], 1)
		}
		return l
	}
	if len(w.strides) == 0 {
		w.strides = ones(nil)
	}
	if len(w.dilations) == 0 {
		w.dilations = ones(nil)
	}
	mode := modelStr(c, "auto_pad", "NOTSET")
	if len(w.pads) == 0 || mode != "NOTSET" {
		w.pads = make([]int64, 2*n)
	}
	if len(w.kernel) != n || len(w.strides) != n || len(w.dilations) != n || len(w.pads) != 2*n {
		return nil, fmt.Errorf("want %d values of kernel_shape, strides and dilations and %d of pads, got %d, %d, %d and %d", n, 2*n, len(w.kernel), len(w.strides), len(w.dilations), len(w.pads))
	}
	for i := range n {
		if w.kernel[i] < 1 || w.kernel[i] >= windowLimit || w.strides[i] < 1 || w.strides[i] >= windowLimit || w.dilations[i] < 1 || w.dilations[i] >= windowLimit {
			return nil, fmt.Errorf("kernel %v, strides %v, dilations %v", w.kernel, w.strides, w.dilations)
		}
	}
	switch mode {
	case "NOTSET", "VALID", "":
		return w, nil
	case "SAME_UPPER", "SAME_LOWER":
		w.same(x.Type.Shape[2:], mode == "SAME_LOWER")
		return w, nil
	}
	return nil, fmt.Errorf("auto_pad: %q is not known", mode)
}

// same pads so that the result has ceil(in / stride) positions; the odd element goes to the end, or with lower to the
// beginning.
func (w *modelWindow) same(in []dim.Expr, lower bool) {
	n := len(in)
	l := make([]dim.Expr, 2*n)
	known := true
	for i, e := range in {
		s := dim.Const(w.strides[i])
		reach := dim.Const(w.dilations[i]*(w.kernel[i]-1) + 1)
		total := dim.Max(dim.Sub(dim.Add(dim.Mul(dim.Sub(dim.CeilDiv(e, s), dim.Const(1)), s), reach), e), dim.Const(0))
		if w.strides[i] == 1 {
			total = dim.Sub(reach, dim.Const(1))
		}
		half := dim.Div(total, dim.Const(2))
		l[i], l[n+i] = half, dim.Sub(total, half)
		if lower {
			l[i], l[n+i] = l[n+i], l[i]
		}
		a, oka := l[i].Int()
		b, okb := l[n+i].Int()
		w.pads[i], w.pads[n+i] = a, b
		known = known && oka && okb
	}
	if !known {
		w.pads, w.padding = make([]int64, 2*n), l
	}
}

// modelAttr reads an attribute of the model's node; another kind than the operator has is an error of the import.
func modelAttr(c *op.Import, name string, want attr.Kind) (attr.Value, bool) {
	v, ok := c.Model.Attr(name)
	if ok && v.Kind == attr.Int && want == attr.Float { // older versions of some operators
		v = attr.OfFloat(float64(v.I))
	}
	if ok && v.Kind != want {
		c.Fail(fmt.Errorf("attribute %s: want %v, got %v", name, want, v.Kind))
		return attr.Value{}, false
	}
	return v, ok
}

func modelInt(c *op.Import, name string, def int64) int64 {
	if v, ok := modelAttr(c, name, attr.Int); ok {
		return v.I
	}
	return def
}

func modelInts(c *op.Import, name string) []int64 {
	v, _ := modelAttr(c, name, attr.Ints)
	return v.Ints
}

func modelStr(c *op.Import, name, def string) string {
	if v, ok := modelAttr(c, name, attr.Str); ok {
		return v.S
	}
	return def
}

func modelFloat(c *op.Import, name string, def float64) float64 {
	if v, ok := modelAttr(c, name, attr.Float); ok {
		return v.F
	}
	return def
}

// ConvTranspose is the gradient of conv by its input.
var ConvTranspose = op.Def{
	Name: "conv_transpose",
	Doc:  "y[n, g*O + o, q*stride + t*dilation - pad] += x[n, i, q] * w[i, o, t] over i of group g; + b.",
	From: []op.Source{{Op: "ConvTranspose", Since: []int{1, 11, 22}, Import: importConvTranspose}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "w", Elem: op.Float}, {Name: "b", Elem: op.Float, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: append(convAttrs(), op.Attr{Name: "output_padding", Kind: attr.Ints, Required: true})},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1, 2); err != nil {
			return err
		}
		x, w := c.Shape(0), c.Shape(1)
		if len(x) < 3 || len(w) != len(x) {
			return fmt.Errorf("shapes %v and %v: want one rank of at least 3", x, w)
		}
		g, err := readGeometry(c.Node, len(x)-2)
		if err != nil {
			return err
		}
		group, extra := c.Int("group"), c.Ints("output_padding")
		if group < 1 || group >= windowLimit || len(extra) != len(x)-2 {
			return fmt.Errorf("group %d, output_padding %v", group, extra)
		}
		if err := c.Guard(x[1], w[0], "channels"); err != nil {
			return err
		}
		if v, ok := x[1].Int(); ok && v%group != 0 {
			return fmt.Errorf("%d channels in %d groups", v, group)
		}
		out := []dim.Expr{x[0], dim.Mul(w[1], dim.Const(group))}
		for i, e := range x[2:] {
			if extra[i] < 0 || extra[i] >= windowLimit {
				return fmt.Errorf("output_padding: value %d", extra[i])
			}
			if err := c.Guard(w[2+i], dim.Const(g.kernel[i]), "kernel"); err != nil {
				return err
			}
			n := dim.Mul(dim.Sub(e, dim.Const(1)), dim.Const(g.strides[i]))
			out = append(out, dim.Add(n, dim.Const(extra[i]+g.dilations[i]*(g.kernel[i]-1)+1-g.begin[i]-g.end[i])))
		}
		c.Set(0, c.Elem(0), out)
		return nil
	},
	Host: spatial.ConvTranspose,
	VJP:  op.VJP{Todo: true},
	Cases: func(c *op.Cases) {
		l := convCase([]int64{3, 2}, []int64{2, 1}, []int64{1, 2}, []int64{1, 0, 0, 1}, 2)
		c.With(append(l, attr.Named{Name: "output_padding", Value: attr.OfInts([]int64{1, 0})})).Shapes("[B, 4, 3, 5]", "[4, 3, 3, 2]", "[6]")
	},
}

// importConvTranspose resolves auto_pad and output_shape: with either, the pads are what makes the result that large,
// half of it at each end, the odd element at the end only for SAME_UPPER.
func importConvTranspose(c *op.Import) ([]*ir.Value, error) {
	x, wt := c.In(0), c.In(1)
	if x == nil || wt == nil || x.Rank() < 3 || wt.Rank() != x.Rank() {
		return nil, fmt.Errorf("want operands of one rank of at least 3")
	}
	n := x.Rank() - 2
	w := &modelWindow{kernel: modelInts(c, "kernel_shape"), strides: modelInts(c, "strides"), dilations: modelInts(c, "dilations"), pads: modelInts(c, "pads")}
	extra, shape, mode := modelInts(c, "output_padding"), modelInts(c, "output_shape"), modelStr(c, "auto_pad", "NOTSET")
	fill := func(l *[]int64, n int, v int64) {
		if len(*l) == 0 {
			for range n {
				*l = append(*l, v)
			}
		}
	}
	if len(w.kernel) == 0 {
		for _, e := range wt.Type.Shape[2:] {
			k, _ := e.Int()
			w.kernel = append(w.kernel, k)
		}
	}
	fill(&w.strides, n, 1)
	fill(&w.dilations, n, 1)
	fill(&w.pads, 2*n, 0)
	fill(&extra, n, 0)
	if len(shape) == n+2 {
		shape = shape[2:]
	}
	if len(w.kernel) != n || len(w.strides) != n || len(w.dilations) != n || len(w.pads) != 2*n || len(extra) != n || len(shape) != 0 && len(shape) != n {
		return nil, fmt.Errorf("attributes do not fit %d spatial axes", n)
	}
	w.pads = append([]int64(nil), w.pads...)
	for i := range n {
		var total int64
		reach := w.dilations[i]*(w.kernel[i]-1) + 1
		switch {
		case len(shape) > 0:
			in, ok := x.Type.Shape[2+i].Int()
			if !ok {
				return nil, c.N.Errorf(ir.ErrUnsupported, "output_shape for the unknown extent %v", x.Type.Shape[2+i])
			}
			total = w.strides[i]*(in-1) + extra[i] + reach - shape[i]
		case mode == "SAME_UPPER" || mode == "SAME_LOWER":
			total = extra[i] + reach - w.strides[i] // extent in*stride
		case mode == "VALID":
			w.pads[i], w.pads[n+i] = 0, 0
			continue
		default:
			continue
		}
		if total < 0 { // the result is larger than the windows reach
			extra = append([]int64(nil), extra...)
			extra[i], total = extra[i]-total, 0
		}
		half := total / 2
		if w.pads[i], w.pads[n+i] = total-half, half; mode == "SAME_UPPER" {
			w.pads[i], w.pads[n+i] = half, total-half
		}
	}
	y := c.Do("conv_transpose", c.N.In, append(w.attrs(), attr.Named{Name: "group", Value: attr.OfInt(modelInt(c, "group", 1))},
		attr.Named{Name: "output_padding", Value: attr.OfInts(extra)}))
	return y[:1], c.Err()
}

var byteInts = op.Set(dtype.I8, dtype.U8)

// ConvInteger is conv of integers with zero points.
var ConvInteger = op.Def{
	Name: "conv_integer",
	Doc:  "conv of x - x_zero_point and w - w_zero_point in i32; w_zero_point is one value or one per output channel.",
	From: []op.Source{{Op: "ConvInteger", Since: []int{10}, Import: func(c *op.Import) ([]*ir.Value, error) {
		if modelStr(c, "auto_pad", "NOTSET") != "NOTSET" && !staticSpatial(c.In(0)) {
			return nil, c.N.Errorf(ir.ErrUnsupported, "auto_pad of unknown extents")
		}
		return importConv(c, "conv_integer", 1, 0)
	}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: byteInts}, {Name: "w", Elem: byteInts}, {Name: "x_zero_point", Elem: byteInts, Optional: true}, {Name: "w_zero_point", Elem: byteInts, Optional: true}},
		Out: []op.Arg{{Name: "y"}}, Attrs: convAttrs()},
	Infer: func(c *op.Infer) error { return inferConv(c, 0, 1, dtype.I32) },
	Host:  spatial.ConvInteger,
	VJP:   op.VJP{None: "integers"},
	Cases: func(c *op.Cases) {
		c.Elem(dtype.U8, dtype.I8, dtype.U8, dtype.I8).Range(0, 100).With(convCase([]int64{3, 3}, []int64{1, 2}, []int64{1, 1}, []int64{1, 0, 1, 0}, 1)).Shapes("[B, 2, 5, 5]", "[3, 2, 3, 3]", "[]", "[3]")
	},
}

// QLinearConv is conv between quantised tensors.
var QLinearConv = op.Def{
	Name: "qlinear_conv",
	Doc:  "quantize_linear of (conv_integer of x and w + b) * x_scale * w_scale, by y_scale and y_zero_point.",
	From: []op.Source{{Op: "QLinearConv", Since: []int{10}, Import: importQLinearConv}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: byteInts}, {Name: "x_scale", Elem: op.Set(dtype.F32)}, {Name: "x_zero_point", Elem: byteInts},
		{Name: "w", Elem: byteInts}, {Name: "w_scale", Elem: op.Set(dtype.F32)}, {Name: "w_zero_point", Elem: byteInts},
		{Name: "y_scale", Elem: op.Set(dtype.F32)}, {Name: "y_zero_point", Elem: byteInts}, {Name: "b", Elem: op.Set(dtype.I32), Optional: true}},
		Out: []op.Arg{{Name: "y"}}, Attrs: convAttrs()},
	Infer: func(c *op.Infer) error { return inferConv(c, 0, 3, c.Elem(7)) },
	Host:  spatial.QLinearConv,
	VJP:   op.VJP{None: "integers"},
	Cases: func(c *op.Cases) {
		c.Elem(dtype.U8, dtype.F32, dtype.U8, dtype.I8, dtype.F32, dtype.I8, dtype.F32, dtype.U8, dtype.I32).Range(1, 50).
			With(convCase([]int64{3, 3}, []int64{1, 1}, []int64{1, 1}, []int64{1, 1, 1, 1}, 1)).
			Shapes("[B, 2, 5, 5]", "[]", "[]", "[3, 2, 3, 3]", "[3]", "[3]", "[]", "[]", "[3]")
	},
}

func importQLinearConv(c *op.Import) ([]*ir.Value, error) {
	if modelStr(c, "auto_pad", "NOTSET") != "NOTSET" && !staticSpatial(c.In(0)) {
		return nil, c.N.Errorf(ir.ErrUnsupported, "auto_pad of unknown extents")
	}
	return importConv(c, "qlinear_conv", 3, 0)
}

func staticSpatial(x *ir.Value) bool {
	if x == nil || x.Rank() < 2 {
		return false
	}
	for _, e := range x.Type.Shape[2:] {
		if _, ok := e.Int(); !ok {
			return false
		}
	}
	return true
}
