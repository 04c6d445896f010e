// Package onnxtest writes graphs of the typed IR as ONNX models, so that random graphs can be run by another engine and come
// back through the importer. It covers the operators that irtest.Mixed makes and is for tests alone: where the IR says more
// than ONNX does, what is written is a valid model near the graph, and whoever compares has both sides read the model.
package onnxtest

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// pb is a protobuf message under construction. Field numbers are those of onnx.proto.
type pb []byte

func (b pb) int(field protowire.Number, v int64) pb {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

func (b pb) str(field protowire.Number, v string) pb {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func (b pb) sub(field protowire.Number, v pb) pb {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func (b pb) f32(field protowire.Number, v float32) pb {
	return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), math.Float32bits(v))
}

// graph is a GraphProto under construction: one for the model, one for each branch and body.
type graph struct {
	w     *writer
	up    *graph
	nodes pb
	names map[*ir.Value]string
	syms  map[string]string  // name of the scalar that holds a symbol
	dims  map[string]string  // name of the scalar that holds an expression, by its key
	from  map[string]*source // where a symbol can be read off
}

// source is an axis of a value whose extent is a symbol.
type source struct {
	value string
	axis  int
}

type writer struct {
	m     *ir.Module
	opset int
	count int
}

// Model is the main entry of m as the bytes of a ModelProto of an opset, at least 18. The error tells what has no form there.
func Model(m *ir.Module, opset int) ([]byte, error) {
	w := &writer{m: m, opset: opset}
	f := m.Main()
	g := w.graph(nil)
	var inputs pb
	for i, p := range f.Body.Params {
		g.name(p, f.Inputs[i])
		inputs = inputs.sub(11, valueInfo(f.Inputs[i], p.Type, true))
	}
	if err := g.region(f.Body.Nodes); err != nil {
		return nil, err
	}
	var outputs pb
	for i, v := range f.Body.Results {
		n, err := g.ref(v)
		if err != nil {
			return nil, err
		}
		g.node("Identity", []string{n}, []string{f.Outputs[i]})
		outputs = outputs.sub(12, valueInfo(f.Outputs[i], v.Type, false))
	}
	body := append(g.nodes.str(2, m.Name), append(inputs, outputs...)...)
	ir := int64(8)
	if opset > 20 {
		ir = 10
	}
	return pb{}.int(1, ir).sub(8, pb{}.int(2, int64(opset))).sub(7, body), nil
}

func (w *writer) graph(up *graph) *graph {
	return &graph{w: w, up: up, names: map[*ir.Value]string{}, syms: map[string]string{}, dims: map[string]string{}, from: map[string]*source{}}
}

func (w *writer) fresh() string {
	w.count++
	return fmt.Sprintf("t%d", w.count)
}

// valueInfo is a ValueInfoProto. Extents that are no plain number or symbol stay open; of outputs all symbols do.
func valueInfo(name string, t ir.Type, symbols bool) pb {
	var shape pb
	for _, e := range t.Shape {
		d := pb{}
		if c, ok := e.Int(); ok {
			d = d.int(1, c)
		} else if s, ok := e.Symbol(); ok && symbols {
			d = d.str(2, s)
		}
		shape = shape.sub(1, d)
	}
	tensorType := pb{}.int(1, int64(onnxpb.DataTypeOf(t.Elem))).sub(2, shape)
	return pb{}.str(1, name).sub(2, pb{}.sub(1, tensorType))
}

// name says how a value is called, and what symbols can be read off it.
func (g *graph) name(v *ir.Value, name string) {
	g.names[v] = name
	for i, e := range v.Type.Shape {
		if s, ok := e.Symbol(); ok && g.from[s] == nil {
			g.from[s] = &source{name, i}
		}
	}
}

// node appends a NodeProto; attributes are AttributeProtos. An absent operand is "", the last ones are left out.
func (g *graph) node(op string, in, out []string, attrs ...pb) {
	for len(in) > 0 && in[len(in)-1] == "" {
		in = in[:len(in)-1]
	}
	n := pb{}
	for _, s := range in {
		n = n.str(1, s)
	}
	for _, s := range out {
		n = n.str(2, s)
	}
	n = n.str(4, op)
	for _, a := range attrs {
		n = n.sub(5, a)
	}
	g.nodes = g.nodes.sub(1, n)
}

// one appends a node of one result and returns its name.
func (g *graph) one(op string, in []string, attrs ...pb) string {
	out := g.w.fresh()
	g.node(op, in, []string{out}, attrs...)
	return out
}

func attrInt(name string, v int64) pb { return pb{}.str(1, name).int(3, v).int(20, 2) }

func attrFloat(name string, v float64) pb { return pb{}.str(1, name).f32(2, float32(v)).int(20, 1) }

func attrString(name, v string) pb { return pb{}.str(1, name).str(4, v).int(20, 3) }

func attrInts(name string, v []int64) pb {
	b := pb{}.str(1, name)
	for _, x := range v {
		b = b.int(8, x)
	}
	return b.int(20, 7)
}

func attrBool(name string, v bool) pb {
	if v {
		return attrInt(name, 1)
	}
	return attrInt(name, 0)
}

func attrGraph(name string, g pb) pb { return pb{}.str(1, name).sub(6, g).int(20, 5) }

// constant appends a Constant node.
func (g *graph) constant(t *tensor.Tensor) (string, error) {
	b, err := onnxpb.AppendTensor(nil, "", t)
	if err != nil {
		return "", err
	}
	return g.one("Constant", nil, pb{}.str(1, "value").sub(5, b).int(20, 4)), nil
}

// ints is a constant of rank 1.
func (g *graph) ints(v ...int64) string {
	s, err := g.constant(tensor.Of(dtype.I64, v, len(v)))
	if err != nil {
		panic(err) // a tensor of integers is well formed
	}
	return s
}

// ref is the name of a value, which may be one of an outer graph.
func (g *graph) ref(v *ir.Value) (string, error) {
	for at := g; at != nil; at = at.up {
		if s, ok := at.names[v]; ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("value %d is used before it is made", v.ID)
}

func (g *graph) refs(l []*ir.Value) ([]string, error) {
	out := make([]string, len(l))
	for i, v := range l {
		if v == nil {
			continue
		}
		s, err := g.ref(v)
		if err != nil {
			return nil, err
		}
		out[i] = s
	}
	return out, nil
}

// symbol is an i64 tensor of one element that holds a symbol, read off a shape.
func (g *graph) symbol(name string) (string, error) {
	for at := g; at != nil; at = at.up {
		if s, ok := at.syms[name]; ok {
			return s, nil
		}
	}
	for at := g; at != nil; at = at.up {
		if src := at.from[name]; src != nil {
			shape := g.one("Shape", []string{src.value})
			g.syms[name] = g.one("Gather", []string{shape, g.ints(int64(src.axis))})
			return g.syms[name], nil
		}
	}
	return "", fmt.Errorf("symbol %s is not an extent of any value", name)
}

// extents is an i64 tensor of rank 1 with the values of expressions.
func (g *graph) extents(l []dim.Expr) (string, error) {
	fixed := make([]int64, len(l))
	all := true
	for i, e := range l {
		c, ok := e.Int()
		fixed[i], all = c, all && ok
	}
	if all {
		return g.ints(fixed...), nil
	}
	parts := make([]string, len(l))
	for i, e := range l {
		s, err := g.extent(e)
		if err != nil {
			return "", err
		}
		parts[i] = s
	}
	return g.one("Concat", parts, attrInt("axis", 0)), nil
}

var dimOps = map[dim.Op]string{dim.OpAdd: "Add", dim.OpMul: "Mul", dim.OpDiv: "Div", dim.OpMod: "Mod", dim.OpMin: "Min", dim.OpMax: "Max", dim.OpBcast: "Max"}

// extent is an i64 tensor of one element with the value of an expression. Quotients of extents are of numbers that are not
// negative, so that rounding towards zero is rounding down; a broadcast that holds is the greater one, but for 0 and 1.
func (g *graph) extent(e dim.Expr) (string, error) {
	if s, ok := g.dims[e.Key()]; ok {
		return s, nil
	}
	b := dim.NewBuilder()
	last := b.Ref(e)
	vals := make([]string, len(b.Code))
	for i, in := range b.Code {
		switch op, known := dimOps[in.Op]; {
		case in.Op == dim.OpSym:
			s, err := g.symbol(b.Syms[in.Imm])
			if err != nil {
				return "", err
			}
			vals[i] = s
		case in.Op == dim.OpConst:
			vals[i] = g.ints(in.Imm)
		case known:
			vals[i] = g.one(op, []string{vals[in.A], vals[in.B]})
		default:
			return "", fmt.Errorf("extent %v", e)
		}
	}
	g.dims[e.Key()] = vals[last]
	return vals[last], nil
}
