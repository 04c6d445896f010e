// Package verify checks that a module is well formed: its structure, and its types by inferring them again
// rather than trusting what is stored.
package verify

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Module checks every function: each value is defined once, before its uses and in the region that uses it;
// IDs are in range and given once; operands, attributes and results fit the operators; and inference gives the types
// stored, and the contents wherever some are stored. A nil sem checks the structure alone. m is not changed.
func Module(m *ir.Module, sem ir.Inference) error {
	c := &checker{m: &ir.Module{Name: m.Name, Dims: m.Dims.Clone(), Consts: m.Consts, Funcs: m.Funcs}, sem: sem}
	for i, k := range m.Consts {
		if k.Tensor == nil {
			return fmt.Errorf("constant #w%d has no tensor", i)
		}
		if err := k.Tensor.Check(); err != nil {
			return fmt.Errorf("constant #w%d: %w", i, err)
		}
	}
	names := map[string]bool{}
	for _, f := range m.Funcs {
		if names[f.Name] {
			return fmt.Errorf("function %q is defined twice", f.Name)
		}
		names[f.Name] = true
		if err := c.fn(f); err != nil {
			return fmt.Errorf("function %s: %w", f.Name, err)
		}
	}
	return nil
}

// Locations checks that every node that is neither a constant nor made of expressions tells where it came from.
func Locations(m *ir.Module) error {
	var err error
	for _, f := range m.Funcs {
		f.Body.Walk(func(n *ir.Node) {
			if err == nil && len(n.Locs) == 0 && n.Op != ir.OpConst && n.Op != ir.OpDims {
				err = fmt.Errorf("function %s: node %v has no location", f.Name, n)
			}
		})
	}
	return err
}

type checker struct {
	m      *ir.Module // a copy whose scope takes what inference adds
	sem    ir.Inference
	f      *ir.Func
	region []*ir.Region // by value ID: where it is defined
	value  []*ir.Value  // by ID
	node   []bool
	depth  int
}

// maxDepth bounds regions within regions.
const maxDepth = 200

func (c *checker) fn(f *ir.Func) error {
	if f.Body == nil {
		return fmt.Errorf("it has no body")
	}
	if len(f.Inputs) != len(f.Body.Params) || len(f.Outputs) != len(f.Body.Results) {
		return fmt.Errorf("%d names of inputs for %d parameters, %d names of outputs for %d results", len(f.Inputs), len(f.Body.Params), len(f.Outputs), len(f.Body.Results))
	}
	c.f = f
	c.region = make([]*ir.Region, f.NumValues())
	c.value = make([]*ir.Value, f.NumValues())
	c.node = make([]bool, f.NumNodes())
	return c.body(f.Body)
}

func (c *checker) body(r *ir.Region) error {
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("regions nested too deep")
	}
	defer func() { c.depth-- }()
	for i, p := range r.Params {
		if p == nil || p.Def != nil || p.Index != i {
			return fmt.Errorf("region %q: parameter %d says that it is something else", r.Name, i)
		}
		if err := c.define(p, r); err != nil {
			return fmt.Errorf("region %q: parameter %d: %w", r.Name, i, err)
		}
	}
	for _, n := range r.Nodes {
		if err := c.check(n, r); err != nil {
			if e, ok := err.(*ir.Error); ok {
				return e
			}
			return fmt.Errorf("node %v: %w", n, err)
		}
	}
	for i, v := range r.Results {
		if err := c.use(v, r); err != nil {
			return fmt.Errorf("region %q: result %d: %w", r.Name, i, err)
		}
	}
	return nil
}

func (c *checker) define(v *ir.Value, r *ir.Region) error {
	if v.ID < 0 || v.ID >= len(c.value) {
		return fmt.Errorf("value ID %d of %d", v.ID, len(c.value))
	}
	if c.value[v.ID] != nil {
		return fmt.Errorf("value %d is defined twice", v.ID)
	}
	c.value[v.ID], c.region[v.ID] = v, r
	if err := validType(v.Type, 0); err != nil {
		return err
	}
	return validElems(v)
}

func validType(t ir.Type, depth int) error {
	if depth > 16 {
		return fmt.Errorf("type nested too deep")
	}
	switch t.Kind {
	case ir.Tensor:
		if !t.Elem.Valid() {
			return fmt.Errorf("type %v has no element type", t)
		}
		if t.Open && (depth == 0 || len(t.Shape) > 0) || t.Empty && !t.Open {
			return fmt.Errorf("type %v: only what a box holds may have any rank", t)
		}
		for i, e := range t.Shape {
			if v, ok := e.Int(); ok && v < 0 {
				return fmt.Errorf("type %v: axis %d has extent %d", t, i, v)
			}
		}
		return nil
	case ir.Map:
		if !t.Key.Valid() {
			return fmt.Errorf("map without type of keys")
		}
	}
	if t.Kind > ir.Map || t.Of == nil {
		return fmt.Errorf("kind %d is not known, or says not of what", t.Kind)
	}
	return validType(*t.Of, depth+1)
}

func validElems(v *ir.Value) error {
	if v.Elems == nil {
		return nil
	}
	if v.Type.Kind != ir.Tensor || !(v.Type.Elem.IsInt() || v.Type.Elem == dtype.Bool) || len(v.Elems) > ir.FoldLimit {
		return fmt.Errorf("%d elements are known of type %v", len(v.Elems), v.Type)
	}
	if n, ok := dim.Product(v.Type.Shape).Int(); !ok || n != int64(len(v.Elems)) {
		return fmt.Errorf("%d elements are known of type %v", len(v.Elems), v.Type)
	}
	return nil
}

func (c *checker) use(v *ir.Value, r *ir.Region) error {
	switch {
	case v == nil:
		return fmt.Errorf("no value")
	case v.ID < 0 || v.ID >= len(c.value) || c.value[v.ID] == nil:
		return fmt.Errorf("value %d is not defined before", v.ID)
	case c.value[v.ID] != v:
		return fmt.Errorf("value %d is not the one defined under this ID", v.ID)
	case c.region[v.ID] != r:
		return fmt.Errorf("value %d is defined in region %q: what a region needs from outside must be an operand of its node", v.ID, c.region[v.ID].Name)
	}
	return nil
}

func (c *checker) check(n *ir.Node, r *ir.Region) error {
	if n.ID < 0 || n.ID >= len(c.node) || c.node[n.ID] {
		return fmt.Errorf("node ID %d of %d is out of range or given twice", n.ID, len(c.node))
	}
	c.node[n.ID] = true
	for i, v := range n.In {
		if v == nil {
			continue
		}
		if err := c.use(v, r); err != nil {
			return fmt.Errorf("operand %d: %w", i, err)
		}
	}
	for i, a := range n.Attrs {
		for _, b := range n.Attrs[:i] {
			if a.Name == b.Name {
				return fmt.Errorf("attribute %s is given twice", a.Name)
			}
		}
	}
	for _, in := range n.Regions {
		if err := c.body(in); err != nil {
			return err
		}
	}
	for i, v := range n.Out {
		if v == nil || v.Def != n || v.Index != i {
			return fmt.Errorf("result %d says that it is something else", i)
		}
		if err := c.define(v, r); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
	}
	switch {
	case n.Op == ir.OpConst:
		return c.constant(n)
	case n.Op == ir.OpDims:
		return expressions(n)
	case c.sem != nil:
		return c.infer(n)
	}
	return nil
}

func (c *checker) constant(n *ir.Node) error {
	if len(n.In) > 0 || len(n.Out) != 1 || len(n.Regions) > 0 {
		return fmt.Errorf("a constant has one result and nothing else")
	}
	t := c.m.ConstOf(n.Out[0])
	if t == nil {
		return fmt.Errorf("attribute data does not name a constant of the table")
	}
	if want := ir.TensorType(t.Elem, dim.Consts(t.Shape)...); !ir.EqualTypes(n.Out[0].Type, want) {
		return fmt.Errorf("type %v, the table has %v", n.Out[0].Type, want)
	}
	for i, e := range n.Out[0].Elems {
		if !e.IsConst(t.Int(i)) {
			return fmt.Errorf("element %d is %v, the table has %d", i, e, t.Int(i))
		}
	}
	return nil
}

func expressions(n *ir.Node) error {
	a, ok := n.Attrs.Get("elems")
	if len(n.In) > 0 || len(n.Out) != 1 || len(n.Regions) > 0 || !ok || a.Kind != attr.Dims {
		return fmt.Errorf("dims has attribute elems, one result and nothing else")
	}
	v := n.Out[0]
	if !ir.EqualTypes(v.Type, ir.TensorType(n.Attrs.Elem("type"), n.Attrs.Dims("shape")...)) || !dim.EqualAll(v.Elems, a.Dims) {
		return fmt.Errorf("type and contents of the result are not those of the attributes")
	}
	shape := make([]int, len(v.Type.Shape))
	for i, e := range v.Type.Shape {
		x, ok := e.Int()
		if !ok || x < 0 || x > ir.FoldLimit {
			return fmt.Errorf("shape %v", v.Type)
		}
		shape[i] = int(x)
	}
	if count, ok := tensor.Count(shape); !ok || count != len(a.Dims) {
		return fmt.Errorf("%d elements for type %v", len(a.Dims), v.Type)
	}
	return nil
}

// infer compares what is stored with what inference says of a copy of the node.
func (c *checker) infer(n *ir.Node) error {
	again := *n
	count, err := c.sem.NumOut(&again)
	if err != nil {
		return err
	}
	if count != len(n.Out) {
		return fmt.Errorf("want %d results, got %d", count, len(n.Out))
	}
	outs := make([]ir.Value, count)
	again.Out = make([]*ir.Value, count)
	for i, v := range n.Out {
		outs[i] = ir.Value{ID: v.ID, Type: v.Type, Def: &again, Index: i} // late symbols are told by the old type
		again.Out[i] = &outs[i]
	}
	if err := c.sem.Infer(c.m, &again); err != nil {
		return err
	}
	for i, v := range n.Out {
		if !ir.EqualTypes(v.Type, outs[i].Type) {
			return fmt.Errorf("result %d: inference gives %v", i, outs[i].Type)
		}
		if v.Elems != nil && (outs[i].Elems == nil || !dim.EqualAll(v.Elems, outs[i].Elems)) {
			return fmt.Errorf("result %d: contents %v are stored, inference gives %v", i, v.Elems, outs[i].Elems)
		}
	}
	return nil
}
