package op

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Build is the context of Def.Expand and of importers: a builder with operands mapped, and short calls for the
// operators that expansions use. The first error sticks; Expand returns it through Err.
type Build struct {
	*ir.Builder
	Node
	in  []*ir.Value
	err error
}

// NewBuild prepares a Build for node n, whose operands are in (of the function being built).
func NewBuild(b *ir.Builder, n *ir.Node, in []*ir.Value) *Build {
	c := *n
	c.In = in
	return &Build{Builder: b, Node: Node{b.M, &c}, in: in}
}

// Err is the first error of the short calls.
func (b *Build) Err() error { return b.err }

// Fail records an error, unless there is one already.
func (b *Build) Fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Do appends an operator with any number of results; nil values after an error.
func (b *Build) Do(op string, in []*ir.Value, attrs attr.List) []*ir.Value {
	if b.err != nil {
		return make([]*ir.Value, 8)
	}
	out, err := b.Op(op, in, attrs)
	if err != nil {
		b.err = err
		return make([]*ir.Value, 8)
	}
	return out
}

// Call appends an operator of one result without attributes.
func (b *Build) Call(op string, in ...*ir.Value) *ir.Value { return b.Do(op, in, nil)[0] }

// CallWith is Call with attributes.
func (b *Build) CallWith(op string, attrs attr.List, in ...*ir.Value) *ir.Value {
	return b.Do(op, in, attrs)[0]
}

// Cast converts to an element type; the same type costs nothing.
func (b *Build) Cast(x *ir.Value, t dtype.Type) *ir.Value {
	if b.err != nil || x.Type.Elem == t {
		return x
	}
	return b.CallWith("cast", attr.List{{Name: "to", Value: attr.OfElem(t)}}, x)
}

// Reshape gives x a shape.
func (b *Build) Reshape(x *ir.Value, shape []dim.Expr) *ir.Value {
	if b.err != nil || dim.EqualAll(x.Type.Shape, shape) {
		return x
	}
	return b.CallWith("reshape", attr.List{{Name: "shape", Value: attr.OfDims(shape)}}, x)
}

// Transpose permutes axes.
func (b *Build) Transpose(x *ir.Value, perm []int) *ir.Value {
	p := make([]int64, len(perm))
	for i, v := range perm {
		p[i] = int64(v)
	}
	return b.CallWith("transpose", attr.List{{Name: "perm", Value: attr.OfInts(p)}}, x)
}

// ExpandTo broadcasts x to a shape.
func (b *Build) ExpandTo(x *ir.Value, shape []dim.Expr) *ir.Value {
	if b.err != nil || dim.EqualAll(x.Type.Shape, shape) {
		return x
	}
	return b.CallWith("expand", attr.List{{Name: "shape", Value: attr.OfDims(shape)}}, x)
}

// Reduce applies reduce_sum, reduce_max, ... over axes, keeping them with extent 1.
func (b *Build) Reduce(kind string, x *ir.Value, axes ...int) *ir.Value {
	l := make([]int64, len(axes))
	for i, a := range axes {
		l[i] = int64(a)
	}
	return b.CallWith("reduce_"+kind, attr.List{{Name: "axes", Value: attr.OfInts(l)}, {Name: "keepdims", Value: attr.OfBool(true)}}, x)
}

// Like is a scalar constant of x's element type.
func (b *Build) Like(x *ir.Value, v float64) *ir.Value {
	if b.err != nil {
		return nil
	}
	if t := x.Type.Elem; !t.IsFloat() && !t.IsInt() && t != dtype.Bool {
		b.err = fmt.Errorf("%w: a number of type %v is asked for", ir.ErrShape, x.Type)
		return nil
	}
	return b.Scalar(x.Type.Elem, v)
}

// Import is the context of Source.Import: the node of a model with its operands already in the graph.
type Import struct {
	*Build
	OnnxOp  string
	Version int    // of the operator's domain that the model imports
	NumOuts int    // results that the model names; trailing ones may be unused
	Outs    []bool // which results the model names
	Model   ModelNode
}

// ModelNode gives an importer the attributes and subgraphs as the model states them.
type ModelNode interface {
	// Attr returns an attribute; tensors come as constants (kind Const) of the module.
	Attr(name string) (attr.Value, bool)
	// Tensor returns a tensor attribute, or nil.
	Tensor(name string) (*tensor.Tensor, error)
	// TypeOf returns a type attribute. Extents that the model does not state are ir.AnyExtent.
	TypeOf(name string) (ir.Type, error)
	// Captures lists the values of the enclosing graph that the named subgraphs read, each once.
	Captures(graphs ...string) ([]*ir.Value, error)
	// Region imports a subgraph. params are the types of its formal inputs, captures become further parameters.
	Region(graph, name string, params []ir.Type, captures []*ir.Value) (*ir.Region, error)
	// Formals lists the declared types of a subgraph's inputs; shapes may be nil where undeclared.
	Formals(graph string) ([]ir.Type, error)
}
