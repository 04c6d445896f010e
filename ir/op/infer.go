package op

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Node is what Infer, Form and Build see of a node: operands with types, attributes with defaults.
type Node struct {
	M *ir.Module
	N *ir.Node
}

// Has reports whether operand i is present.
func (c Node) Has(i int) bool { return i < len(c.N.In) && c.N.In[i] != nil }

// In is operand i, or nil.
func (c Node) In(i int) *ir.Value {
	if i < len(c.N.In) {
		return c.N.In[i]
	}
	return nil
}

// NumIn is the number of operands, absent ones included.
func (c Node) NumIn() int { return len(c.N.In) }

// Elem is the element type of operand i.
func (c Node) Elem(i int) dtype.Type { return c.N.In[i].Type.Elem }

// Shape is the shape of operand i.
func (c Node) Shape(i int) []dim.Expr { return c.N.In[i].Type.Shape }

// Rank is the rank of operand i.
func (c Node) Rank(i int) int { return len(c.N.In[i].Type.Shape) }

// Elems is the known contents of operand i, or nil.
func (c Node) Elems(i int) []dim.Expr {
	if !c.Has(i) {
		return nil
	}
	return c.N.In[i].Elems
}

// Const is the tensor where operand i is a constant, else nil.
func (c Node) Const(i int) *tensor.Tensor { return c.M.ConstOf(c.In(i)) }

// Axis is an axis attribute normalised to a rank.
func (c Node) Axis(name string, rank int) (int, error) {
	a := c.N.Attrs.Int(name, 0)
	v := a
	if v < 0 {
		v += int64(rank)
	}
	if v < 0 || v >= int64(rank) {
		return 0, fmt.Errorf("%s: axis %d of a tensor of rank %d", name, a, rank)
	}
	return int(v), nil
}

// Int, Float, Str, Bool, Ints and Dims read attributes; Table.Check has put the defaults in place.
func (c Node) Int(name string) int64       { return c.N.Attrs.Int(name, 0) }
func (c Node) Float(name string) float64   { return c.N.Attrs.Float(name, 0) }
func (c Node) Str(name string) string      { return c.N.Attrs.Str(name, "") }
func (c Node) Bool(name string) bool       { return c.N.Attrs.Bool(name) }
func (c Node) Ints(name string) []int64    { return c.N.Attrs.Ints(name) }
func (c Node) Dims(name string) []dim.Expr { return c.N.Attrs.Dims(name) }

// Infer is the context of Def.Infer.
type Infer struct {
	Node
}

// Scope is the module's symbols.
func (c *Infer) Scope() *dim.Scope { return c.M.Dims }

// Set gives result i a tensor type.
func (c *Infer) Set(i int, elem dtype.Type, shape []dim.Expr) {
	c.N.Out[i].Type = ir.TensorType(elem, shape...)
}

// SetType gives result i any type.
func (c *Infer) SetType(i int, t ir.Type) { c.N.Out[i].Type = t }

// SetElems records the contents of result i, which must be an integer or bool tensor of at most
// ir.FoldLimit elements; longer lists are ignored, and those that are not of the type's size.
func (c *Infer) SetElems(i int, elems []dim.Expr) {
	t := c.N.Out[i].Type
	if n, ok := dim.Product(t.Shape).Int(); !ok || n != int64(len(elems)) {
		return
	}
	if len(elems) <= ir.FoldLimit && (t.Elem.IsInt() || t.Elem == dtype.Bool) {
		if elems == nil {
			elems = []dim.Expr{}
		}
		c.N.Out[i].Elems = elems
	}
}

// Same gives result out the type of operand in, and its contents where keep is set by SetElems later.
func (c *Infer) Same(in, out int) error {
	c.N.Out[out].Type = c.N.In[in].Type
	return nil
}

// Late is a data-dependent extent: the size of an axis of result out, at most hi. Inferring the same node
// again gives the same symbol.
func (c *Infer) Late(out, axis int, hi dim.Expr) dim.Expr {
	if old := c.N.Out[out].Type.Shape; axis < len(old) {
		if s, ok := old[axis].Symbol(); ok && c.M.Dims.Info(s).Late {
			return old[axis]
		}
	}
	_, h := c.M.Dims.Range(hi)
	return c.M.Dims.Fresh("late", dim.Info{Lo: 0, Hi: max(h, 0), Late: true})
}

// Guard demands a = b: an error where that is impossible, a recorded condition where it is unknown.
func (c *Infer) Guard(a, b dim.Expr, what string) error {
	if !c.M.Dims.Guard(a, b, false, c.why(what)) {
		return fmt.Errorf("%s: extents %v and %v differ", what, a, b)
	}
	return nil
}

func (c *Infer) why(what string) string {
	if len(c.N.Locs) > 0 {
		return c.N.Locs[0].String() + ": " + what
	}
	return c.N.Op + ": " + what
}

// Broadcast is the shape of two shapes broadcast against each other.
func (c *Infer) Broadcast(a, b []dim.Expr) ([]dim.Expr, error) {
	n := max(len(a), len(b))
	out := make([]dim.Expr, n)
	for i := range out {
		x, y := dim.Const(1), dim.Const(1)
		if k := i - (n - len(a)); k >= 0 {
			x = a[k]
		}
		if k := i - (n - len(b)); k >= 0 {
			y = b[k]
		}
		if !c.M.Dims.Guard(x, y, true, c.why("broadcast")) {
			return nil, fmt.Errorf("shapes %v and %v do not broadcast", a, b)
		}
		out[i] = dim.Bcast(x, y)
	}
	return out, nil
}

// BroadcastAll broadcasts the shapes of operands from..to-1 that are present.
func (c *Infer) BroadcastAll(from, to int) ([]dim.Expr, error) {
	var s []dim.Expr
	var err error
	for i := from; i < to; i++ {
		if !c.Has(i) {
			continue
		}
		if s, err = c.Broadcast(s, c.Shape(i)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// SameElem demands that the operands listed have one element type.
func (c *Infer) SameElem(ops ...int) error {
	for _, i := range ops[1:] {
		if c.Has(i) && c.Elem(i) != c.Elem(ops[0]) {
			return fmt.Errorf("operands %d and %d: element types %v and %v differ", ops[0], i, c.Elem(ops[0]), c.Elem(i))
		}
	}
	return nil
}
