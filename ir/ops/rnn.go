package ops

import (
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/recurrent"
	"github.com/llmc-go/llmc/ir/op"
)

func rnnDefs() []*op.Def { return []*op.Def{&RNN, &GRU, &LSTM} }

func recurrentArgs(more ...op.Arg) []op.Arg {
	return append([]op.Arg{{Name: "x", Elem: op.Float}, {Name: "w", Elem: op.Float}, {Name: "r", Elem: op.Float}, {Name: "b", Elem: op.Float, Optional: true},
		{Name: "sequence_lens", Elem: op.Set(dtype.I32), Optional: true}, {Name: "initial_h", Elem: op.Float, Optional: true}}, more...)
}

func recurrentAttrs(more ...op.Attr) []op.Attr {
	return append([]op.Attr{strAttr("direction", "forward"), {Name: "activations", Kind: attr.Strs}, {Name: "activation_alpha", Kind: attr.Floats},
		{Name: "activation_beta", Kind: attr.Floats}, floatAttr("clip", 0), intAttr("layout", 0)}, more...)
}

// RNN is the simple recurrent layer.
var RNN = op.Def{
	Name:  "rnn",
	Doc:   "h' = f(W x + R h + Wb + Rb) for each step of x; y lists the h', y_h is the last.",
	From:  []op.Source{{Op: "RNN", Since: []int{1, 7, 14, 22}, Import: func(c *op.Import) ([]*ir.Value, error) { return importRecurrent(c, "rnn", "", 2) }}},
	Sig:   op.Sig{In: recurrentArgs(), Out: []op.Arg{{Name: "y"}, {Name: "y_h"}}, Attrs: recurrentAttrs()},
	Infer: func(c *op.Infer) error { return inferRecurrent(c, 1) },
	Host:  recurrent.RNN,
	VJP:   todo,
	Cases: func(c *op.Cases) { recurrentCases(c, 1, nil) },
}

// GRU is the gated recurrent unit.
var GRU = op.Def{
	Name: "gru",
	Doc:  "z, r = f(W x + R h + b); h' = (1 - z) * g(Wh x + Rh (r*h) + b) + z*h; with linear_before_reset r multiplies Rh h + Rbh.",
	From: []op.Source{{Op: "GRU", Since: []int{1, 3, 7, 14, 22}, Import: func(c *op.Import) ([]*ir.Value, error) { return importRecurrent(c, "gru", "linear_before_reset", 2) }}},
	Sig: op.Sig{In: recurrentArgs(), Out: []op.Arg{{Name: "y"}, {Name: "y_h"}},
		Attrs: recurrentAttrs(boolAttr("linear_before_reset", false))},
	Infer: func(c *op.Infer) error { return inferRecurrent(c, 3) },
	Host:  recurrent.GRU,
	VJP:   todo,
	Cases: func(c *op.Cases) { recurrentCases(c, 3, named("linear_before_reset", true)) },
}

// LSTM is long short-term memory.
var LSTM = op.Def{
	Name: "lstm",
	Doc:  "i, o, f = s(W x + R h + p*c + b); c' = f*c + i*g(Wc x + Rc h + b); h' = o*h(c'); input_forget couples f = 1 - i; round_h rounds h to 8 bits in front of R.",
	From: []op.Source{{Op: "LSTM", Since: []int{1, 7, 14, 22}, Import: func(c *op.Import) ([]*ir.Value, error) { return importRecurrent(c, "lstm", "input_forget", 3) }}},
	Sig: op.Sig{In: recurrentArgs(op.Arg{Name: "initial_c", Elem: op.Float, Optional: true}, op.Arg{Name: "p", Elem: op.Float, Optional: true}),
		Out: []op.Arg{{Name: "y"}, {Name: "y_h"}, {Name: "y_c"}}, Attrs: recurrentAttrs(boolAttr("input_forget", false), boolAttr("round_h", false))},
	Infer: func(c *op.Infer) error { return inferRecurrent(c, 4) },
	Host:  recurrent.LSTM,
	VJP:   todo,
	Cases: func(c *op.Cases) { recurrentCases(c, 4, named("input_forget", true, "round_h", true)) },
}

func recurrentCases(c *op.Cases, gates int, more attr.List) {
	g := func(dirs, h, in int) (string, string, string) {
		return fmt.Sprintf("[%d, %d, %d]", dirs, gates*h, in), fmt.Sprintf("[%d, %d, %d]", dirs, gates*h, h), fmt.Sprintf("[%d, %d]", dirs, 2*gates*h)
	}
	w, r, b := g(1, 3, 4)
	c.With(nil, more, named("direction", "reverse", "clip", 0.5)).Shapes("[S, B, 4]", w, r, b).Shapes("[2, 3, 4]", w, r)
	c.With(named("layout", 1)).Shapes("[B, S, 4]", w, r, b, "_", "[B, 1, 3]")
	w, r, b = g(2, 2, 3)
	c.With(named("direction", "bidirectional")).Shapes("[3, B, 3]", w, r, b, "_", "[2, B, 2]")
}

// inferRecurrent: x [seq, batch, in], w [dirs, gates*hidden, in], r [dirs, gates*hidden, hidden] -> y [seq, dirs, batch, hidden] and
// states [dirs, batch, hidden]; layout 1 puts the batch first.
func inferRecurrent(c *op.Infer, gates int64) error {
	for i := range 3 {
		if c.Rank(i) != 3 {
			return fmt.Errorf("operand %d: want rank 3, got shape %v", i, c.Shape(i))
		}
	}
	if err := c.SameElem(0, 1, 2, 3, 5, 6, 7); err != nil {
		return err
	}
	dirs := dim.Const(1)
	switch d := c.Str("direction"); d {
	case "forward", "reverse":
	case "bidirectional":
		dirs = dim.Const(2)
	default:
		return fmt.Errorf("direction: %q is not known", d)
	}
	if v, ok := c.N.Attrs.Get("activations"); ok {
		for _, a := range v.Strs {
			if !recurrent.Activations(a) {
				return fmt.Errorf("activations: %q is not known", a)
			}
		}
	}
	x, r := c.Shape(0), c.Shape(2)
	seq, batch, hidden := x[0], x[1], r[2]
	first := c.Int("layout") == 1
	if first {
		seq, batch = batch, seq
	}
	rows := dim.Mul(hidden, dim.Const(gates))
	want := [][]dim.Expr{1: {dirs, rows, x[2]}, 2: {dirs, rows, hidden}, 3: {dirs, dim.Mul(rows, dim.Const(2))}, 4: {batch},
		5: {dirs, batch, hidden}, 6: {dirs, batch, hidden}, 7: {dirs, dim.Mul(hidden, dim.Const(3))}}
	state := want[5]
	y := []dim.Expr{seq, dirs, batch, hidden}
	if first {
		state = []dim.Expr{batch, dirs, hidden}
		want[5], want[6] = state, state
		y = []dim.Expr{batch, seq, dirs, hidden}
	}
	for i, s := range want {
		if i == 0 || !c.Has(i) {
			continue
		}
		if c.Rank(i) != len(s) {
			return fmt.Errorf("operand %d: want rank %d, got shape %v", i, len(s), c.Shape(i))
		}
		for k, e := range s {
			if err := c.Guard(c.Shape(i)[k], e, fmt.Sprintf("operand %d", i)); err != nil {
				return err
			}
		}
	}
	c.Set(0, c.Elem(0), y)
	for i := 1; i < len(c.N.Out); i++ {
		c.Set(i, c.Elem(0), state)
	}
	return nil
}

// importRecurrent copies the attributes that the operator has; hidden_size follows from the weights, and output_sequence
// (version 1) only said whether y is wanted.
func importRecurrent(c *op.Import, name, flag string, results int) ([]*ir.Value, error) {
	l := recurrentModelAttrs(c)
	if h, ok := modelAttr(c, "hidden_size", attr.Int); ok && c.Has(2) && c.Rank(2) == 3 {
		if own, known := c.Shape(2)[2].Int(); known && own != h.I {
			return nil, fmt.Errorf("hidden_size is %d, the recurrence weights are for %d", h.I, own)
		}
	}
	if flag != "" {
		l = append(l, named(flag, modelInt(c, flag, 0) != 0)...)
	}
	return recurrent1(c, name, c.N.In, l)[:results], c.Err()
}

// recurrent1 is one call; sequence_lens may have come in another integer type.
func recurrent1(c *op.Import, name string, in []*ir.Value, l attr.List) []*ir.Value {
	if len(in) > 4 && in[4] != nil && in[4].Type.Elem != dtype.I32 {
		in = append([]*ir.Value(nil), in...)
		in[4] = c.Cast(in[4], dtype.I32)
	}
	return c.Do(name, in, l)
}

func recurrentModelAttrs(c *op.Import) attr.List {
	l := named("direction", strings.ToLower(modelStr(c, "direction", "forward")), "clip", modelFloat(c, "clip", 0), "layout", modelInt(c, "layout", 0))
	for _, a := range []string{"activations", "activation_alpha", "activation_beta"} {
		if v, ok := c.Model.Attr(a); ok && len(v.Strs)+len(v.Floats) > 0 {
			l = append(l, attr.Named{Name: a, Value: v})
		}
	}
	return l
}

// importDynamicLSTM is LSTM of quantised weights that lie transposed, [dirs, in, 4*hidden]; what they meet is rounded to 8
// bits, as DynamicQuantizeLinear does, x once and h at every step. Operands are those of LSTM, then scale and zero point of w and of r.
func importDynamicLSTM(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 12); err != nil {
		return nil, err
	}
	q, err := importDynamicQuantize(with(c, c.In(0)))
	if err != nil {
		return nil, err
	}
	in := append([]*ir.Value(nil), c.N.In[:8]...)
	in[0] = dequantize(c.Build, q[0], q[1], q[2], 0)
	for i := range 2 {
		w, scale, zero := c.In(1+i), c.In(8+2*i), c.In(9+2*i)
		if w == nil || w.Rank() != 3 || scale == nil || scale.Rank() < 1 || scale.Rank() > 2 || zero == nil {
			return nil, fmt.Errorf("weights %d: want 3 axes, a scale and a zero point", i)
		}
		last := dim.Const(1)
		if scale.Rank() == 2 {
			last = w.Type.Shape[2]
		}
		table := []dim.Expr{w.Type.Shape[0], dim.Const(1), last}
		y := c.Call("sub", c.Cast(w, dtype.F32), c.Cast(c.Reshape(zero, table), dtype.F32))
		in[1+i] = c.Transpose(c.Call("mul", y, c.Reshape(scale, table)), []int{0, 2, 1})
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	l := recurrentModelAttrs(c)
	l = append(l, named("input_forget", modelInt(c, "input_forget", 0) != 0, "round_h", true)...)
	return recurrent1(c, "lstm", in, l), c.Err()
}
