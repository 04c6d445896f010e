package eval

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// errNoWay says that an operator lacks the definition that was asked for.
var errNoWay = errors.New("the operator is not defined this way")

// node evaluates n on operands. A way other than Any is tried first.
func (f *frame) node(n *ir.Node, in []Value, way Way) ([]Value, error) {
	switch n.Op {
	case ir.OpConst:
		t := f.m.ConstOf(n.Out[0])
		if t == nil {
			return nil, n.Errorf(ir.ErrMalformed, "the constant is not in the table")
		}
		return []Value{Of(t)}, nil
	case ir.OpDims:
		return f.dims(n)
	}
	d := f.ev.table.Def(n.Op)
	if d == nil {
		return nil, n.Errorf(ir.ErrUnsupported, "operator %q is not known", n.Op)
	}
	if len(n.Regions) > 0 {
		return f.regions(d, n, in)
	}
	if way != Any {
		out, err := f.by(d, n, in, way)
		if !errors.Is(err, errNoWay) && !errors.Is(err, op.ErrNoForm) {
			return out, err
		}
	}
	for _, way := range []Way{Host, Expand, Form} {
		out, err := f.by(d, n, in, way)
		if !errors.Is(err, errNoWay) {
			return out, err
		}
	}
	return nil, n.Errorf(ir.ErrUnsupported, "the operator has no definition")
}

// by evaluates a node by one definition of its operator; the error wraps errNoWay or op.ErrNoForm where it has none.
func (f *frame) by(d *op.Def, n *ir.Node, in []Value, way Way) ([]Value, error) {
	switch {
	case way == Host && d.Host.Run != nil:
		return f.host(d, n, in)
	case way == Expand && d.Expand != nil:
		return f.expand(d, n, in)
	case way == Form && d.Form != nil:
		return f.form(d, n, in)
	}
	return nil, errNoWay
}

// dims evaluates a small tensor of expressions.
func (f *frame) dims(n *ir.Node) ([]Value, error) {
	v := n.Out[0]
	shape, err := f.shape(v.Type.Shape)
	if err != nil {
		return nil, err
	}
	t, err := f.alloc(v.Type.Elem, shape)
	if err != nil {
		return nil, err
	}
	elems := n.Attrs.Dims("elems")
	if len(elems) != t.Len() {
		return nil, fmt.Errorf("want %d elements, got %d", t.Len(), len(elems))
	}
	for i, e := range elems {
		x, err := f.eval(e)
		if err != nil {
			return nil, err
		}
		t.SetInt(i, x)
	}
	return []Value{Of(t)}, nil
}

// tensors are the operands of a node that takes nothing else.
func tensors(n *ir.Node, in []Value) ([]*tensor.Tensor, error) {
	out := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		if v.Kind != ir.Tensor {
			return nil, n.Errorf(ir.ErrUnsupported, "operand %d is %v", i, v)
		}
		out[i] = v.Tensor
	}
	return out, nil
}

// attrs gives every Dims attribute its values.
func (f *frame) attrs(l attr.List) (attr.List, error) {
	out := append(attr.List(nil), l...)
	for i := range out {
		if out[i].Kind != attr.Dims {
			continue
		}
		v := make([]int64, len(out[i].Dims))
		for k, e := range out[i].Dims {
			x, err := f.eval(e)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", out[i].Name, err)
			}
			v[k] = x
		}
		out[i].Value = attr.OfInts(v)
	}
	return out, nil
}

func (f *frame) host(d *op.Def, n *ir.Node, in []Value) ([]Value, error) {
	attrs, err := f.attrs(n.Attrs)
	if err != nil {
		return nil, err
	}
	types := make([]dtype.Type, len(n.Out))
	for i, v := range n.Out {
		types[i] = v.Type.Elem // invalid for what is no tensor
	}
	b := f.opts.Budget
	var before int64
	if b != nil {
		before = b.Left
	}
	call := host.NewValueCall(in, attrs, make([]*tensor.Tensor, len(types)), types, b)
	if err := d.Host.Run(call); err != nil {
		return nil, err
	}
	out := make([]Value, len(types))
	for i := range out {
		out[i] = call.Value(i)
		if out[i].Absent() {
			ir.Bugf(n, "host function %s gave no result %d", d.Host.Name, i)
		}
		if t := out[i].Tensor; t != nil {
			before -= bytesOf(t)
			f.count(t)
		}
	}
	for _, t := range call.Made() {
		before -= bytesOf(t)
		f.count(t)
	}
	if b != nil {
		b.Left = before // scratch memory of the call is free again
	}
	return out, nil
}

// expand evaluates what a node expands to, over a module of its own in which every symbol that has a value is a number.
func (f *frame) expand(d *op.Def, n *ir.Node, in []Value) ([]Value, error) {
	if f.nested++; f.nested > maxNested {
		return nil, n.Errorf(ir.ErrUnsupported, "expansions nested too deep")
	}
	defer func() { f.nested-- }()
	m := &ir.Module{Name: f.m.Name, Dims: f.m.Dims.Clone(), Consts: f.m.Consts[:len(f.m.Consts):len(f.m.Consts)]}
	fn := m.NewFunc(n.Op)
	b := ir.NewBuilder(m, fn, fn.Body, f.ev)
	b.Locs = n.Locs
	operands := make([]*ir.Value, len(in))
	var args []Value
	for i, v := range n.In {
		switch {
		case v == nil:
			continue
		case v.Def != nil && v.Def.Op == ir.OpConst && f.m.ConstOf(v) == in[i].Tensor:
			a, _ := v.Def.Attrs.Get("data")
			operands[i] = b.ConstRef(int(a.I))
			continue
		}
		t := v.Type
		if t.Kind == ir.Tensor {
			t = ir.TensorType(t.Elem, dim.Consts(in[i].Tensor.Shape)...)
		}
		operands[i] = fn.AddParam(fn.Body, v.Name, t)
		if v.Elems != nil {
			operands[i].Elems = f.subst(v.Elems)
		}
		args = append(args, in[i])
	}
	bound := *n
	bound.Attrs = append(attr.List(nil), n.Attrs...)
	for i := range bound.Attrs {
		if bound.Attrs[i].Kind == attr.Dims {
			bound.Attrs[i].Dims = f.subst(bound.Attrs[i].Dims)
		}
	}
	bound.Out = make([]*ir.Value, len(n.Out))
	for i, v := range n.Out {
		c := *v
		c.Type.Shape = f.subst(v.Type.Shape)
		bound.Out[i] = &c
	}
	build := op.NewBuild(b, &bound, operands)
	res, err := d.Expand(build)
	if err == nil {
		err = build.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("expansion: %w", err)
	}
	if len(res) < len(n.Out) {
		return nil, fmt.Errorf("expansion: want %d results, got %d", len(n.Out), len(res))
	}
	fn.Body.Results = res[:len(n.Out)]
	for i, v := range fn.Body.Results {
		if v == nil {
			return nil, fmt.Errorf("expansion: result %d is missing", i)
		}
	}
	in2 := f.child()
	in2.m = m
	opts := f.opts
	f.opts.Way, f.opts.Hook = Any, nil
	defer func() { f.opts = opts }()
	return in2.region(fn.Body, args)
}

// regions evaluates control flow, which the anchor of the Form names, and groups, which are their region.
func (f *frame) regions(d *op.Def, n *ir.Node, in []Value) ([]Value, error) {
	form := &op.Form{Node: op.Node{M: f.m, N: n}}
	if d.Form != nil {
		if err := d.Form(form); err != nil {
			return nil, err
		}
	}
	switch form.Anchor {
	case anchor.Branch:
		return f.branch(n, in)
	case anchor.Loop:
		return f.loop(n, in)
	}
	if len(n.Regions) != 1 || d.Form != nil || d.Host.Run != nil {
		return nil, n.Errorf(ir.ErrUnsupported, "regions of this operator")
	}
	return f.call(n.Regions[0], in)
}

// call runs a region in a frame of its own.
func (f *frame) call(r *ir.Region, in []Value) ([]Value, error) {
	if len(in) != len(r.Params) {
		return nil, fmt.Errorf("region %s: want %d operands, got %d", r.Name, len(r.Params), len(in))
	}
	c := f.child()
	names := make([]string, len(in))
	for i := range names {
		names[i] = fmt.Sprintf("region %s: parameter %d", r.Name, i)
	}
	if err := c.bindParams(r.Params, in, names); err != nil {
		return nil, err
	}
	return c.region(r, in)
}
