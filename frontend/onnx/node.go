package onnx

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// nodes imports a list of nodes. Files should list them in order; those that do not are sorted, and a cycle
// is an error.
func (s *scope) nodes(list []onnxpb.Node) error {
	order, err := s.order(list)
	if err != nil {
		return err
	}
	for _, i := range order {
		if err := s.node(&list[i], i); err != nil {
			return err
		}
	}
	return nil
}

// order returns the nodes in an order in which every operand is made before it is read; the file's own order
// where that is one.
func (s *scope) order(list []onnxpb.Node) ([]int, error) {
	maker := map[string]int{}
	for i := range list {
		for _, o := range list[i].Outputs {
			if o == "" {
				continue
			}
			if _, ok := maker[o]; ok || s.vals[o] != nil {
				return nil, s.errorAt(&list[i], i, ir.ErrMalformed, "result %q is defined twice", clip(o))
			}
			maker[o] = i
		}
	}
	needs := make([][]int, len(list))
	for i := range list {
		for _, name := range freeNames(&list[i]) {
			if m, ok := maker[name]; ok {
				if m == i {
					return nil, s.errorAt(&list[i], i, ir.ErrMalformed, "reads its own result %q", clip(name))
				}
				needs[i] = append(needs[i], m)
			}
		}
	}
	const (
		fresh = iota
		open
		done
	)
	state := make([]uint8, len(list))
	order := make([]int, 0, len(list))
	type item struct{ node, next int }
	for i := range list {
		if state[i] == done {
			continue
		}
		stack := []item{{i, 0}}
		state[i] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(needs[top.node]) {
				state[top.node] = done
				order = append(order, top.node)
				stack = stack[:len(stack)-1]
				continue
			}
			m := needs[top.node][top.next]
			top.next++
			switch state[m] {
			case open:
				return nil, s.errorAt(&list[m], m, ir.ErrMalformed, "the graph has a cycle through this node")
			case fresh:
				state[m] = open
				stack = append(stack, item{m, 0})
			}
		}
	}
	return order, nil
}

// freeNames lists the names that a node reads: its operands, and what its subgraphs read from outside.
func freeNames(n *onnxpb.Node) []string {
	var l []string
	for _, x := range n.Inputs {
		if x != "" {
			l = append(l, x)
		}
	}
	for i := range n.Attrs {
		if g := n.Attrs[i].G; g != nil {
			l = append(l, graphFree(g)...)
		}
	}
	return l
}

// graphFree lists the names that a subgraph reads and does not define, each once, in order.
func graphFree(g *onnxpb.Graph) []string {
	defined := map[string]bool{"": true}
	for i := range g.Inputs {
		defined[g.Inputs[i].Name] = true
	}
	for i := range g.Inits {
		defined[g.Inits[i].Name] = true
	}
	for i := range g.SparseInits {
		defined[g.SparseInits[i].Values.Name] = true
	}
	for i := range g.Nodes {
		for _, o := range g.Nodes[i].Outputs {
			defined[o] = true
		}
	}
	var l []string
	add := func(name string) {
		if !defined[name] {
			defined[name] = true
			l = append(l, name)
		}
	}
	for i := range g.Nodes {
		for _, name := range freeNames(&g.Nodes[i]) {
			add(name)
		}
	}
	for i := range g.Outputs {
		add(g.Outputs[i].Name)
	}
	return l
}

func (s *scope) loc(n *onnxpb.Node, index int) ir.Loc {
	name := n.Name
	if name == "" {
		for _, o := range n.Outputs {
			if o != "" {
				name = o
				break
			}
		}
	}
	return ir.Loc{File: s.im.file, Index: index, Name: name, Op: n.OpType}
}

func (s *scope) errorAt(n *onnxpb.Node, index int, kind error, format string, args ...any) error {
	return &ir.Error{Kind: kind, Loc: s.loc(n, index), Msg: fmt.Sprintf(format, args...)}
}

// wrap gives an error of an importer or of inference the node's place.
func (s *scope) wrap(n *onnxpb.Node, index int, err error) error {
	var e *ir.Error
	if errors.As(err, &e) {
		if e.Loc.File == "" || e.Loc.Op == "" {
			c := *e
			c.Loc = s.loc(n, index)
			return &c
		}
		return err
	}
	kind := ir.ErrShape
	if errors.Is(err, ir.ErrUnsupported) {
		kind = ir.ErrUnsupported
	}
	return &ir.Error{Kind: kind, Loc: s.loc(n, index), Err: err}
}

func (s *scope) node(n *onnxpb.Node, index int) error {
	s.im.nodes++
	if s.im.nodes > maxNodes {
		return s.errorAt(n, index, ir.ErrMalformed, "the model has more than %d nodes after inlining functions", maxNodes)
	}
	if n.OpType == "" {
		return s.errorAt(n, index, ir.ErrMalformed, "op_type is empty")
	}
	inputs := n.Inputs
	for len(inputs) > 0 && inputs[len(inputs)-1] == "" {
		inputs = inputs[:len(inputs)-1]
	}
	in := make([]*ir.Value, len(inputs))
	for i, name := range inputs {
		if name == "" || s.absent[name] {
			continue
		}
		v, err := s.value(name)
		if err != nil {
			var e *ir.Error
			if errors.As(err, &e) {
				return err
			}
			return s.errorAt(n, index, ir.ErrMalformed, "%v", err)
		}
		in[i] = v
	}
	s.b.Locs = []ir.Loc{s.loc(n, index)}
	var out []*ir.Value
	var err error
	if fn := s.im.function(n); fn != nil {
		out, err = s.call(fn, n, in)
	} else {
		out, err = s.operator(n, index, in)
	}
	if err != nil {
		return s.wrap(n, index, err)
	}
	if len(n.Outputs) > len(out) {
		for _, o := range n.Outputs[len(out):] {
			if o != "" {
				return s.errorAt(n, index, ir.ErrMalformed, "want at most %d results, got %d", len(out), len(n.Outputs))
			}
		}
	}
	for i, name := range n.Outputs {
		if name == "" || i >= len(out) {
			continue
		}
		if out[i] == nil {
			return s.errorAt(n, index, ir.ErrUnsupported, "result %d is not computed", i)
		}
		s.vals[name] = out[i]
		name1(out[i], name)
	}
	return nil
}

// operator imports a node through its source in the table.
func (s *scope) operator(n *onnxpb.Node, index int, in []*ir.Value) ([]*ir.Value, error) {
	d := domain(n.Domain)
	v, ok := s.ops[d]
	if !ok {
		return nil, s.errorAt(n, index, ir.ErrMalformed, "domain %q is not imported", n.Domain)
	}
	def, src, _ := s.im.table.Lookup(d, n.OpType, v)
	if src == nil {
		return nil, s.errorAt(n, index, ir.ErrUnsupported, "operator %s:%s of opset %d", d, n.OpType, v)
	}
	mn := &modelNode{s: s, n: n, index: index}
	if src.Import == nil {
		attrs, err := mn.direct(def)
		if err != nil {
			return nil, err
		}
		return s.b.Op(def.Name, in, attrs)
	}
	node := &ir.Node{Op: n.OpType, Locs: s.b.Locs}
	c := &op.Import{Build: op.NewBuild(s.b, node, in), OnnxOp: n.OpType, Version: v, NumOuts: len(n.Outputs), Model: mn}
	for _, o := range n.Outputs {
		c.Outs = append(c.Outs, o != "")
	}
	out, err := src.Import(c)
	if err == nil {
		err = c.Err()
	}
	return out, err
}

// call inlines a model-local function.
func (s *scope) call(fn *onnxpb.Function, n *onnxpb.Node, in []*ir.Value) ([]*ir.Value, error) {
	if s.depth >= maxDepth {
		return nil, fmt.Errorf("function %q: calls nest deeper than %d, or without end", fn.Name, maxDepth)
	}
	if len(in) > len(fn.Inputs) {
		return nil, fmt.Errorf("function %q: want %d operands, got %d", fn.Name, len(fn.Inputs), len(in))
	}
	ops, err := s.im.functionOps(fn, s.ops)
	if err != nil {
		return nil, err
	}
	c, err := s.im.newScope(s.b, nil, ops)
	if err != nil {
		return nil, err
	}
	c.depth = s.depth + 1
	c.absent = map[string]bool{}
	for i, name := range fn.Inputs {
		if i < len(in) && in[i] != nil {
			c.vals[name] = in[i]
		} else {
			c.absent[name] = true
		}
	}
	c.attrs = map[string]*onnxpb.Attr{}
	for i := range fn.AttrProtos {
		c.attrs[fn.AttrProtos[i].Name] = &fn.AttrProtos[i]
	}
	for i := range n.Attrs {
		a := s.attribute(&n.Attrs[i])
		if a != nil {
			c.attrs[n.Attrs[i].Name] = a
		}
	}
	locs := s.b.Locs
	if err := c.nodes(fn.Nodes); err != nil {
		return nil, err
	}
	s.b.Locs = locs
	out := make([]*ir.Value, len(fn.Outputs))
	for i, name := range fn.Outputs {
		if i >= len(n.Outputs) || n.Outputs[i] == "" {
			continue
		}
		if out[i], err = c.value(name); err != nil {
			return nil, fmt.Errorf("function %q: %w", fn.Name, err)
		}
	}
	return out, nil
}

// attribute resolves a reference to an attribute of the calling node; nil where the caller has none.
func (s *scope) attribute(a *onnxpb.Attr) *onnxpb.Attr {
	if a.RefAttrName == "" {
		return a
	}
	return s.attrs[a.RefAttrName]
}

// modelNode implements op.ModelNode.
type modelNode struct {
	s     *scope
	n     *onnxpb.Node
	index int
}

func (m *modelNode) find(name string) *onnxpb.Attr {
	a := m.n.Attr(name)
	if a == nil {
		return nil
	}
	return m.s.attribute(a)
}

// direct converts all attributes for an operator that takes them as they are.
func (m *modelNode) direct(def *op.Def) (attr.List, error) {
	var l attr.List
	for i := range m.n.Attrs {
		name := m.n.Attrs[i].Name
		known := false
		for _, a := range def.Sig.Attrs {
			known = known || a.Name == name
		}
		if !known {
			return nil, fmt.Errorf("%w: attribute %q", ir.ErrUnsupported, clip(name))
		}
		if _, dup := l.Get(name); dup {
			return nil, fmt.Errorf("attribute %q is given twice", clip(name))
		}
		v, ok := m.Attr(name)
		if ok {
			l = append(l, attr.Named{Name: name, Value: v})
		}
	}
	return l, nil
}

// Attr implements op.ModelNode.
func (m *modelNode) Attr(name string) (attr.Value, bool) {
	a := m.find(name)
	if a == nil {
		return attr.Value{}, false
	}
	switch a.Type {
	case onnxpb.AttrInt:
		return attr.OfInt(a.I), true
	case onnxpb.AttrFloat:
		return attr.OfFloat(float64(a.F)), true
	case onnxpb.AttrString:
		return attr.OfStr(string(a.S)), true
	case onnxpb.AttrInts:
		return attr.OfInts(a.Ints), true
	case onnxpb.AttrFloats:
		f := make([]float64, len(a.Floats))
		for i, x := range a.Floats {
			f[i] = float64(x)
		}
		return attr.OfFloats(f), true
	case onnxpb.AttrStrings:
		l := make([]string, len(a.Strings))
		for i, x := range a.Strings {
			l[i] = string(x)
		}
		return attr.OfStrs(l), true
	case onnxpb.AttrTensor:
		if t, err := m.Tensor(name); err == nil && t != nil {
			return attr.OfConst(m.s.im.m.AddConst("", t)), true
		}
	}
	return attr.Value{}, false
}

// Tensor implements op.ModelNode.
func (m *modelNode) Tensor(name string) (*tensor.Tensor, error) {
	a := m.find(name)
	switch {
	case a == nil:
		return nil, nil
	case a.T != nil:
		t, err := a.T.Value(m.s.im.ext)
		if err != nil {
			return nil, m.s.formatError(err)
		}
		return t, nil
	case a.Sparse != nil:
		t, err := a.Sparse.Dense(m.s.im.ext, 1<<30)
		if err != nil {
			return nil, m.s.formatError(err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("attribute %s: want a tensor, got %v", name, a.Type)
}

func (m *modelNode) graph(name string) (*onnxpb.Graph, error) {
	a := m.find(name)
	if a == nil || a.G == nil {
		return nil, fmt.Errorf("attribute %s: want a graph", name)
	}
	return a.G, nil
}

// TypeOf implements op.ModelNode.
func (m *modelNode) TypeOf(name string) (ir.Type, error) {
	a := m.find(name)
	if a == nil || a.TypeProto == nil {
		return ir.Type{}, fmt.Errorf("attribute %s: want a type", name)
	}
	return m.s.im.typeIn(a.TypeProto, name, true)
}

// Captures implements op.ModelNode: what needs an operand; constants and shapes are made again inside.
func (m *modelNode) Captures(graphs ...string) ([]*ir.Value, error) {
	var l []*ir.Value
	seen := map[*ir.Value]bool{}
	for _, name := range graphs {
		g, err := m.graph(name)
		if err != nil {
			return nil, err
		}
		for _, free := range graphFree(g) {
			v, err := m.s.value(free)
			if err != nil {
				return nil, err
			}
			if seen[v] || m.s.im.m.ConstOf(v) != nil || v.Elems != nil {
				continue
			}
			seen[v] = true
			l = append(l, v)
		}
	}
	return l, nil
}

// Region implements op.ModelNode.
func (m *modelNode) Region(graph, name string, params []ir.Type, captures []*ir.Value) (*ir.Region, error) {
	g, err := m.graph(graph)
	if err != nil {
		return nil, err
	}
	if m.s.depth >= maxDepth {
		return nil, fmt.Errorf("subgraphs nest deeper than %d", maxDepth)
	}
	if len(g.Inputs) != len(params) {
		return nil, fmt.Errorf("subgraph %q: want %d inputs, got %d", graph, len(params), len(g.Inputs))
	}
	types := append([]ir.Type(nil), params...)
	var names []string
	for i := range g.Inputs {
		names = append(names, g.Inputs[i].Name)
	}
	for _, v := range captures {
		types = append(types, v.Type)
		names = append(names, v.Name)
	}
	return m.s.b.Region(name, types, names, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
		c, err := m.s.im.newScope(b, g, m.s.ops)
		if err != nil {
			return nil, err
		}
		c.outer, c.depth, c.attrs = m.s, m.s.depth+1, m.s.attrs
		for i := range g.Inputs {
			c.vals[g.Inputs[i].Name] = p[i]
		}
		for _, free := range graphFree(g) {
			v, err := m.s.value(free)
			if err != nil {
				return nil, err
			}
			for i, cap := range captures {
				if cap == v {
					c.vals[free] = p[len(params)+i]
				}
			}
		}
		if err := c.nodes(g.Nodes); err != nil {
			return nil, err
		}
		var res []*ir.Value
		for i := range g.Outputs {
			v, err := c.value(g.Outputs[i].Name)
			if err != nil {
				return nil, err
			}
			res = append(res, v)
		}
		return res, nil
	})
}

// Formals implements op.ModelNode.
func (m *modelNode) Formals(graph string) ([]ir.Type, error) {
	g, err := m.graph(graph)
	if err != nil {
		return nil, err
	}
	var l []ir.Type
	for i := range g.Inputs {
		t := g.Inputs[i].Type
		if t == nil || t.Kind != onnxpb.KindTensor {
			l = append(l, ir.Type{})
			continue
		}
		elem, ok := t.Elem.Elem()
		if !ok {
			elem = dtype.Invalid
		}
		ty := ir.Type{Elem: elem}
		if t.HasShape {
			for _, d := range t.Dims {
				if d.Known && d.Value >= 0 {
					ty.Shape = append(ty.Shape, dim.Const(d.Value))
				} else {
					ty.Shape = append(ty.Shape, dim.Sym(sanitize("formal_"+d.Param)))
				}
			}
			if ty.Shape == nil {
				ty.Shape = []dim.Expr{}
			}
		}
		l = append(l, ty)
	}
	return l, nil
}
