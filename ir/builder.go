package ir

import (
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Semantics is what a Builder must know of operators.
type Semantics interface {
	// Infer checks a node's operands, attributes and regions and fills in the types, and where possible the
	// contents (Elems), of its results, which the builder has allocated: NumOut of them.
	Infer(m *Module, n *Node) error
	// NumOut is the number of results of a node, given operands and attributes.
	NumOut(n *Node) (int, error)
	// Fold evaluates a node whose operands are constants; false where it cannot or should not.
	Fold(m *Module, n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, bool)
}

// FoldLimit is the number of elements up to which the builder folds at once: importers need ranks and values.
const FoldLimit = 64

// Builder appends nodes to a region. It infers each node as it is made, replaces results whose contents are
// known by constants or dims, and folds small constants.
type Builder struct {
	M    *Module
	F    *Func
	R    *Region
	Sem  Semantics
	Locs []Loc // given to every node made

	memo map[string]*Value // constants and dims already in R
	like *Node             // the node being made again: its late symbols are kept
}

// NewBuilder builds into a region of f.
func NewBuilder(m *Module, f *Func, r *Region, sem Semantics) *Builder {
	return &Builder{M: m, F: f, R: r, Sem: sem, memo: map[string]*Value{}}
}

// Op appends a node and returns its results.
func (b *Builder) Op(op string, in []*Value, attrs attr.List, regions ...*Region) ([]*Value, error) {
	n := b.F.NewNode(op)
	n.In, n.Attrs, n.Regions, n.Locs = in, attrs, regions, b.Locs
	count, err := b.Sem.NumOut(n)
	if err != nil {
		return nil, err
	}
	n.Out = make([]*Value, count)
	for i := range n.Out {
		n.Out[i] = &Value{ID: -1, Def: n, Index: i}
		if b.like != nil && i < len(b.like.Out) {
			n.Out[i].Type = b.like.Out[i].Type
		}
	}
	if err := b.Sem.Infer(b.M, n); err != nil {
		return nil, err
	}
	if out := b.known(n); out != nil {
		return out, nil
	}
	if out := b.fold(n); out != nil {
		return out, nil
	}
	for _, v := range n.Out {
		v.ID = b.F.nextVal
		b.F.nextVal++
	}
	b.R.Nodes = append(b.R.Nodes, n)
	return n.Out, nil
}

// One is Op for an operator with one result.
func (b *Builder) One(op string, in []*Value, attrs attr.List) (*Value, error) {
	out, err := b.Op(op, in, attrs)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// known replaces a node all of whose results have known contents.
func (b *Builder) known(n *Node) []*Value {
	if n.Op == OpConst || n.Op == OpDims || len(n.Out) == 0 {
		return nil
	}
	for _, v := range n.Out {
		if v.Elems == nil {
			return nil
		}
	}
	out := make([]*Value, len(n.Out))
	for i, v := range n.Out {
		out[i] = b.Dims(v.Type, v.Elems)
	}
	return out
}

func (b *Builder) fold(n *Node) []*Value {
	if n.Op == OpConst || n.Op == OpDims || len(n.Regions) > 0 {
		return nil
	}
	in := make([]*tensor.Tensor, len(n.In))
	for i, v := range n.In {
		if v == nil {
			continue
		}
		if in[i] = b.M.ConstOf(v); in[i] == nil {
			return nil
		}
	}
	for _, v := range n.Out {
		c, ok := dim.Product(v.Type.Shape).Int()
		if v.Type.Kind != Tensor || !ok || c > FoldLimit || b.M.Dims.Late(dim.Product(v.Type.Shape)) {
			return nil
		}
	}
	res, ok := b.Sem.Fold(b.M, n, in)
	if !ok {
		return nil
	}
	out := make([]*Value, len(res))
	for i, t := range res {
		out[i] = b.Const("", t)
	}
	return out
}

// Const appends a constant; equal small ones of a region are made once.
func (b *Builder) Const(name string, t *tensor.Tensor) *Value {
	small := t.Len() <= FoldLimit && t.Elem != dtype.String
	if small {
		if v, ok := b.memo[constKey(t)]; ok {
			return v
		}
	}
	v := b.ConstRef(b.M.AddConst(name, t))
	if small {
		b.memo[constKey(t)] = v
	}
	return v
}

func constKey(t *tensor.Tensor) string {
	return "c" + t.Elem.String() + shapeKey(t.Shape) + string(t.Data)
}

func shapeKey(s []int) string {
	l := make([]string, len(s))
	for i, d := range s {
		l[i] = dim.Const(int64(d)).Key()
	}
	return "[" + strings.Join(l, ",") + "]"
}

// ConstRef appends a const node for an entry of the constant table.
func (b *Builder) ConstRef(index int) *Value {
	c := b.M.Consts[index]
	n := b.F.NewNode(OpConst)
	n.Attrs = attr.List{{Name: "data", Value: attr.OfConst(index)}}
	n.Locs = b.Locs
	v := b.F.NewValue(c.Name, TensorType(c.Tensor.Elem, dim.Consts(c.Tensor.Shape)...))
	v.Def = n
	v.Elems = constElems(c.Tensor)
	n.Out = []*Value{v}
	b.R.Nodes = append(b.R.Nodes, n)
	return v
}

// constElems lists a small integer or bool constant as expressions.
func constElems(t *tensor.Tensor) []dim.Expr {
	if n := t.Len(); n > FoldLimit || !(t.Elem.IsInt() || t.Elem == dtype.Bool) {
		return nil
	}
	l := make([]dim.Expr, t.Len())
	for i := range l {
		l[i] = dim.Const(t.Int(i))
	}
	return l
}

// Dims appends a small tensor whose elements are expressions: a constant where all are numbers.
func (b *Builder) Dims(t Type, elems []dim.Expr) *Value {
	shape := make([]int, len(t.Shape))
	for i, e := range t.Shape {
		c, _ := e.Int()
		shape[i] = int(c)
	}
	ct := tensor.New(t.Elem, shape...)
	all := true
	for i, e := range elems {
		c, ok := e.Int()
		if !ok {
			all = false
			break
		}
		ct.SetInt(i, c)
	}
	if all {
		return b.Const("", ct)
	}
	key := "d" + t.String() + attr.OfDims(elems).String()
	if v, ok := b.memo[key]; ok {
		return v
	}
	n := b.F.NewNode(OpDims)
	n.Attrs = attr.List{{Name: "type", Value: attr.OfElem(t.Elem)}, {Name: "shape", Value: attr.OfDims(t.Shape)}, {Name: "elems", Value: attr.OfDims(elems)}}
	n.Locs = b.Locs
	v := b.F.NewValue("", t)
	v.Def, v.Elems = n, elems
	n.Out = []*Value{v}
	b.R.Nodes = append(b.R.Nodes, n)
	b.memo[key] = v
	return v
}

// Ints appends an i64 constant of rank 1.
func (b *Builder) Ints(v ...int64) *Value { return b.Const("", tensor.Of(dtype.I64, v, len(v))) }

// Scalar appends a constant of rank 0 and any real type.
func (b *Builder) Scalar(t dtype.Type, v float64) *Value {
	c := tensor.New(t)
	if t == dtype.Bool {
		if v != 0 {
			c.SetInt(0, 1)
		}
	} else {
		c.SetFloat(0, v)
	}
	return b.Const("", c)
}

// Region builds a nested region with parameters of the given types.
func (b *Builder) Region(name string, params []Type, names []string, build func(*Builder, []*Value) ([]*Value, error)) (*Region, error) {
	r := &Region{Name: name}
	for i, t := range params {
		pn := ""
		if i < len(names) {
			pn = names[i]
		}
		b.F.AddParam(r, pn, t)
	}
	in := NewBuilder(b.M, b.F, r, b.Sem)
	in.Locs = b.Locs
	res, err := build(in, r.Params)
	if err != nil {
		return nil, err
	}
	r.Results = res
	return r, nil
}

// ConstAt is ConstRef, memoised like Const.
func (b *Builder) ConstAt(index int) *Value {
	t := b.M.Consts[index].Tensor
	if t.Len() > FoldLimit || t.Elem == dtype.String {
		return b.ConstRef(index)
	}
	if v, ok := b.memo[constKey(t)]; ok {
		return v
	}
	v := b.ConstRef(index)
	b.memo[constKey(t)] = v
	return v
}
