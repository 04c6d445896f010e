package onnxtest

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// plain are the operators that ONNX has under another name, without attributes.
var plain = map[string]string{
	"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "min": "Min", "max": "Max", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf", "sin": "Sin",
	"cos": "Cos", "relu": "Relu", "abs": "Abs", "neg": "Neg", "leaky_relu": "LeakyRelu", "softplus": "Softplus", "atan": "Atan",
	"hard_sigmoid": "HardSigmoid", "asinh": "Asinh", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sqrt": "Sqrt", "log": "Log",
	"recip": "Reciprocal", "exp": "Exp", "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater",
	"greater_equal": "GreaterOrEqual", "not": "Not", "and": "And", "or": "Or", "xor": "Xor", "where": "Where", "clip": "Clip", "matmul": "MatMul",
	"nonzero": "NonZero", "pow": "Pow",
}

var reductions = map[string]string{"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum", "reduce_mean": "ReduceMean", "reduce_prod": "ReduceProd"}

// spelled are the operators with attributes: they append nodes that leave the results under the names out.
var spelled = map[string]func(g *graph, n *ir.Node, in, out []string) error{
	"cast":            castNode,
	"mod":             direct("Mod", func(n *ir.Node) []pb { return []pb{attrBool("fmod", n.Attrs.Bool("fmod"))} }),
	"softmax":         direct("Softmax", axis),
	"log_softmax":     direct("LogSoftmax", axis),
	"concat":          direct("Concat", axis),
	"gather":          direct("Gather", axis),
	"gather_elements": direct("GatherElements", axis),
	"transpose":       direct("Transpose", func(n *ir.Node) []pb { return []pb{attrInts("perm", n.Attrs.Ints("perm"))} }),
	"cumsum": direct("CumSum", func(n *ir.Node) []pb {
		return []pb{attrBool("exclusive", n.Attrs.Bool("exclusive")), attrBool("reverse", n.Attrs.Bool("reverse"))}
	}),
	"topk":         direct("TopK", func(n *ir.Node) []pb { return append(axis(n), attrBool("largest", n.Attrs.Bool("largest"))) }),
	"argmax":       direct("ArgMax", arg),
	"argmin":       direct("ArgMin", arg),
	"layer_norm":   layerNorm,
	"rms_norm":     rmsNode,
	"gelu":         geluNode,
	"silu":         siluNode,
	"conv":         direct("Conv", func(n *ir.Node) []pb { return append(window(n), attrInt("group", n.Attrs.Int("group", 1))) }),
	"max_pool":     direct("MaxPool", func(n *ir.Node) []pb { return append(window(n), attrBool("ceil_mode", n.Attrs.Bool("ceil_mode"))) }),
	"average_pool": averagePool,
	"reshape": func(g *graph, n *ir.Node, in, out []string) error {
		return g.shaped("Reshape", n.Attrs.Dims("shape"), in, out, attrInt("allowzero", 1))
	},
	"expand": func(g *graph, n *ir.Node, in, out []string) error {
		return g.shaped("Expand", n.Attrs.Dims("shape"), in, out)
	},
	"tile": func(g *graph, n *ir.Node, in, out []string) error {
		return g.shaped("Tile", n.Attrs.Dims("repeats"), in, out)
	},
	"split": func(g *graph, n *ir.Node, in, out []string) error {
		return g.shaped("Split", n.Attrs.Dims("sizes"), in, out, axis(n)...)
	},
	"pad": func(g *graph, n *ir.Node, in, out []string) error {
		ends, err := g.extents(append(append([]dim.Expr{}, n.Attrs.Dims("begins")...), n.Attrs.Dims("ends")...))
		g.node("Pad", []string{in[0], ends, in[1]}, out)
		return err
	},
	"slice":   sliceNode,
	"trilu":   direct("Trilu", func(n *ir.Node) []pb { return []pb{attrBool("upper", n.Attrs.Bool("upper"))} }),
	"one_hot": direct("OneHot", axis),
	"scatter_elements": direct("ScatterElements", func(n *ir.Node) []pb {
		return append(axis(n), attrString("reduction", n.Attrs.Str("reduction", "none")))
	}),
	"batch_norm":    direct("BatchNormalization", epsilon),
	"instance_norm": direct("InstanceNormalization", epsilon),
	"conv_transpose": direct("ConvTranspose", func(n *ir.Node) []pb {
		return append(window(n), attrInt("group", n.Attrs.Int("group", 1)), attrInts("output_padding", n.Attrs.Ints("output_padding")))
	}),
	"quantize_linear":   direct("QuantizeLinear", axis),
	"dequantize_linear": direct("DequantizeLinear", axis),
	"lstm":              recurrent("LSTM"), "gru": recurrent("GRU"), "rnn": recurrent("RNN"),
	"resize": direct("Resize", func(n *ir.Node) []pb {
		return []pb{attrString("mode", n.Attrs.Str("mode", "nearest")), attrString("coordinate_transformation_mode", n.Attrs.Str("coordinate_transformation_mode", "half_pixel")),
			attrString("nearest_mode", n.Attrs.Str("nearest_mode", "round_prefer_floor"))}
	}),
	"attention": attentionNode,
}

func axis(n *ir.Node) []pb { return []pb{attrInt("axis", n.Attrs.Int("axis", 0))} }

func arg(n *ir.Node) []pb {
	return append(axis(n), attrBool("keepdims", n.Attrs.Bool("keepdims")), attrBool("select_last_index", n.Attrs.Bool("select_last")))
}

func epsilon(n *ir.Node) []pb { return []pb{attrFloat("epsilon", n.Attrs.Float("epsilon", 1e-5))} }

func norm(n *ir.Node) []pb { return append(axis(n), epsilon(n)...) }

// recurrent is a layer with weights [dirs, gates*hidden, hidden] as its third operand.
func recurrent(op string) func(*graph, *ir.Node, []string, []string) error {
	return direct(op, func(n *ir.Node) []pb {
		hidden, _ := n.In[2].Type.Shape[2].Int()
		l := []pb{attrInt("hidden_size", hidden), attrString("direction", n.Attrs.Str("direction", "forward"))}
		if op == "GRU" {
			l = append(l, attrBool("linear_before_reset", n.Attrs.Bool("linear_before_reset")))
		}
		return l
	})
}

func window(n *ir.Node) []pb {
	return []pb{attrInts("kernel_shape", n.Attrs.Ints("kernel")), attrInts("strides", n.Attrs.Ints("strides")),
		attrInts("dilations", n.Attrs.Ints("dilations")), attrInts("pads", n.Attrs.Ints("pads"))}
}

// direct is a node of the same operands.
func direct(op string, attrs func(*ir.Node) []pb) func(*graph, *ir.Node, []string, []string) error {
	return func(g *graph, n *ir.Node, in, out []string) error {
		g.node(op, in, out, attrs(n)...)
		return nil
	}
}

// shaped is a node whose last operand are extents.
func (g *graph) shaped(op string, l []dim.Expr, in, out []string, attrs ...pb) error {
	s, err := g.extents(l)
	g.node(op, append(in, s), out, attrs...)
	return err
}

func castNode(g *graph, n *ir.Node, in, out []string) error {
	g.node("Cast", in, out, attrInt("to", int64(onnxpb.DataTypeOf(n.Attrs.Elem("to")))))
	return nil
}

// averagePool leaves out dilations of 1, which came with opset 19.
func averagePool(g *graph, n *ir.Node, in, out []string) error {
	a := []pb{attrInts("kernel_shape", n.Attrs.Ints("kernel")), attrInts("strides", n.Attrs.Ints("strides")), attrInts("pads", n.Attrs.Ints("pads")),
		attrBool("count_include_pad", n.Attrs.Bool("count_include_pad"))}
	for _, d := range n.Attrs.Ints("dilations") {
		if d != 1 {
			a = append(a, attrInts("dilations", n.Attrs.Ints("dilations")))
			if g.w.opset < 19 {
				return fmt.Errorf("average pool with dilations in opset %d", g.w.opset)
			}
			break
		}
	}
	g.node("AveragePool", in, out, a...)
	return nil
}

// scalar is a constant of rank 0.
func (g *graph) scalar(t dtype.Type, v float64) (string, error) {
	c := tensor.New(t)
	c.SetFloat(0, v)
	return g.constant(c)
}

// link is a node of a chain.
type link struct {
	op string
	by float64 // the second operand; NaN for none
}

// chain appends nodes in a row: each reads what the one before made, and perhaps a constant behind it.
func (g *graph) chain(x string, t dtype.Type, links ...link) (string, error) {
	for _, l := range links {
		in := []string{x}
		if !math.IsNaN(l.by) {
			c, err := g.scalar(t, l.by)
			if err != nil {
				return "", err
			}
			in = append(in, c)
		}
		x = g.one(l.op, in)
	}
	return x, nil
}

var none = math.NaN()

// geluNode writes the operator of opset 20, or what exporters spell before it: x * (erf(x/sqrt(2)) + 1) * 0.5.
func geluNode(g *graph, n *ir.Node, in, out []string) error {
	if g.w.opset >= 20 {
		g.node("Gelu", in, out, attrString("approximate", n.Attrs.Str("approximate", "none")))
		return nil
	}
	t := n.In[0].Type.Elem
	y, err := g.chain(in[0], t, link{"Div", math.Sqrt2}, link{"Erf", none}, link{"Add", 1})
	if err != nil {
		return err
	}
	y, err = g.chain(g.one("Mul", []string{in[0], y}), t, link{"Mul", 0.5})
	g.node("Identity", []string{y}, out)
	return err
}

func siluNode(g *graph, _ *ir.Node, in, out []string) error {
	g.node("Mul", []string{in[0], g.one("Sigmoid", in)}, out)
	return nil
}

// layerNorm gives scale and bias all the extents that are normalized over: onnxruntime reads no less, whatever the standard says.
func layerNorm(g *graph, n *ir.Node, in, out []string) error {
	shape := n.In[0].Type.Shape[n.Attrs.Int("axis", 0):]
	for i := 1; i < len(in) && len(shape) > 1; i++ {
		if in[i] == "" {
			continue
		}
		full := g.w.fresh()
		if err := g.shaped("Expand", shape, in[i:i+1:i+1], []string{full}); err != nil {
			return err
		}
		in[i] = full
	}
	g.node("LayerNormalization", in, out, norm(n)...)
	return nil
}

// rmsNode writes the operator of opset 23, or x / sqrt(mean(x*x) + epsilon) * scale.
func rmsNode(g *graph, n *ir.Node, in, out []string) error {
	if g.w.opset >= 23 {
		g.node("RMSNormalization", in, out, norm(n)...)
		return nil
	}
	t, rank := n.In[0].Type.Elem, int64(n.In[0].Rank())
	var axes []int64
	for a := n.Attrs.Int("axis", 0); a < rank; a++ {
		axes = append(axes, a)
	}
	two, err := g.scalar(t, 2)
	if err != nil {
		return err
	}
	mean := g.one("ReduceMean", []string{g.one("Pow", []string{in[0], two}), g.ints(axes...)})
	root, err := g.chain(mean, t, link{"Add", n.Attrs.Float("epsilon", 1e-5)}, link{"Sqrt", none})
	g.node("Mul", []string{g.one("Div", []string{in[0], root}), in[1]}, out)
	return err
}

// sliceNode turns starts, steps and extents into starts and ends.
func sliceNode(g *graph, n *ir.Node, in, out []string) error {
	starts, steps, shape := n.Attrs.Dims("starts"), n.Attrs.Ints("steps"), n.Attrs.Dims("shape")
	ends, axes := make([]dim.Expr, len(starts)), make([]int64, len(starts))
	for i := range starts {
		axes[i] = int64(i)
		ends[i] = dim.Add(starts[i], dim.Mul(shape[i], dim.Const(steps[i])))
		if c, ok := ends[i].Int(); ok && c < 0 || !ok && steps[i] < 0 {
			ends[i] = dim.Const(math.MinInt32)
		}
	}
	from, err := g.extents(starts)
	if err != nil {
		return err
	}
	to, err := g.extents(ends)
	g.node("Slice", []string{in[0], from, to, g.ints(axes...), g.ints(steps...)}, out)
	return err
}

// attentionNode writes what exporters do: softmax(q kᵀ scale + mask) v. Without a past the mask hides what is above the diagonal.
func attentionNode(g *graph, n *ir.Node, in, out []string) error {
	t := n.In[0].Type.Elem
	s, err := g.chain(g.one("MatMul", []string{in[0], g.one("Transpose", in[1:2], attrInts("perm", []int64{0, 1, 3, 2}))}), t, link{"Mul", n.Attrs.Float("scale", 1)})
	if err != nil {
		return err
	}
	if n.Attrs.Bool("causal") {
		shape, err := g.extents([]dim.Expr{n.In[0].Type.Shape[2], n.In[1].Type.Shape[2]})
		if err != nil {
			return err
		}
		low := tensor.New(t, 1)
		low.SetFloat(0, -1e9)
		b, err := onnxpb.AppendTensor(nil, "", low)
		if err != nil {
			return err
		}
		full := g.one("ConstantOfShape", []string{shape}, pb{}.str(1, "value").sub(5, b).int(20, 4))
		k, err := g.scalar(dtype.I64, 1)
		if err != nil {
			return err
		}
		s = g.one("Add", []string{s, g.one("Trilu", []string{full, k}, attrInt("upper", 1))})
	}
	if len(in) > 3 && in[3] != "" {
		return fmt.Errorf("attention with a mask")
	}
	g.node("MatMul", []string{g.one("Softmax", []string{s}, attrInt("axis", -1)), in[2]}, out)
	return nil
}

// inner writes a region as a graph of its own. Its first formal parameters are inputs of the graph, others the names of args.
func (g *graph) inner(r *ir.Region, formal int, args []string) (pb, error) {
	in := g.w.graph(g)
	var inputs, outputs pb
	for i, p := range r.Params {
		if i < formal {
			name := g.w.fresh()
			in.name(p, name)
			inputs = inputs.sub(11, valueInfo(name, p.Type, false))
			continue
		}
		in.name(p, args[i-formal])
	}
	if err := in.region(r.Nodes); err != nil {
		return nil, err
	}
	for _, v := range r.Results {
		n, err := in.ref(v)
		if err != nil {
			return nil, err
		}
		name := in.one("Identity", []string{n}) // a result is made in the graph itself, and once
		outputs = outputs.sub(12, valueInfo(name, ir.TensorType(v.Type.Elem, v.Type.Shape...), false))
	}
	return append(in.nodes.str(2, r.Name), append(inputs, outputs...)...), nil
}

func (g *graph) branches(n *ir.Node, in, out []string) error {
	then, err := g.inner(n.Regions[0], 0, in[1:])
	if err != nil {
		return err
	}
	other, err := g.inner(n.Regions[1], 0, in[1:])
	g.node("If", in[:1], out, attrGraph("then_branch", then), attrGraph("else_branch", other))
	return err
}

// loop gives the carried values to the Loop; the other operands are captured.
func (g *graph) loop(n *ir.Node, in, out []string) error {
	carried := int(n.Attrs.Int("carried", 0))
	body, err := g.inner(n.Regions[0], 2+carried, in[2+carried:])
	g.node("Loop", in[:2+carried], out, attrGraph("body", body))
	return err
}

// region appends the nodes of a region.
func (g *graph) region(nodes []*ir.Node) error {
	for _, n := range nodes {
		if err := g.add(n); err != nil {
			return fmt.Errorf("%s: %w", n.Op, err)
		}
	}
	return nil
}

func (g *graph) add(n *ir.Node) error {
	switch n.Op {
	case ir.OpConst:
		s, err := g.constant(g.w.m.ConstOf(n.Out[0]))
		g.name(n.Out[0], s)
		return err
	case ir.OpDims:
		flat, err := g.extents(n.Attrs.Dims("elems"))
		if err != nil {
			return err
		}
		s := g.w.fresh()
		if err := g.shaped("Reshape", n.Attrs.Dims("shape"), []string{flat}, []string{s}); err != nil {
			return err
		}
		if t := n.Attrs.Elem("type"); t != dtype.I64 {
			s = g.one("Cast", []string{s}, attrInt("to", int64(onnxpb.DataTypeOf(t))))
		}
		g.name(n.Out[0], s)
		return nil
	}
	in, err := g.refs(n.In)
	if err != nil {
		return err
	}
	out := make([]string, len(n.Out))
	for i := range out {
		out[i] = g.w.fresh()
	}
	switch op, reduces := plain[n.Op], reductions[n.Op]; {
	case op != "":
		g.node(op, in, out)
	case reduces != "":
		g.node(reduces, append(in, g.ints(n.Attrs.Ints("axes")...)), out, attrBool("keepdims", n.Attrs.Bool("keepdims")))
	case spelled[n.Op] != nil:
		err = spelled[n.Op](g, n, in, out)
	case n.Op == "if":
		err = g.branches(n, in, out)
	case n.Op == "loop":
		err = g.loop(n, in, out)
	default:
		err = fmt.Errorf("operator has no form in ONNX here")
	}
	for i, v := range n.Out {
		g.name(v, out[i])
	}
	return err
}
