// Package host is how operators that are their own reference run: a Fn computes over host tensors with plain
// loops. The evaluator and the runtime call the same functions; this package and its topics are leaves.
package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Fn is a function of a host step. Name is written into compiled programs.
type Fn struct {
	Name string
	Run  func(*Call) error
}

// Call is one invocation. In holds nil for absent optional operands and for those that are no tensors. Attrs are
// those of the node; Dims attributes arrive as Ints. Functions never write to In.
type Call struct {
	In    []*tensor.Tensor
	Attrs attr.List

	vals   []tensor.Value // all operands, where some are no tensors
	outs   []*tensor.Tensor
	boxes  []tensor.Value   // results that are no tensors
	made   []*tensor.Tensor // what results hold that is new
	ready  any              // what Prepared made
	types  []dtype.Type
	budget *Budget
}

// ErrMemory is what [Budget.Take] refuses with.
var ErrMemory = errors.New("the memory limit")

// Budget bounds what host functions may allocate, in bytes; nil is no bound.
type Budget struct {
	Left int64
}

// Take reserves n bytes.
func (b *Budget) Take(n int64) error {
	if b == nil {
		return nil
	}
	if n < 0 || n > b.Left {
		return fmt.Errorf("needs %d bytes, and %w leaves %d", n, ErrMemory, b.Left)
	}
	b.Left -= n
	return nil
}

// NewCall prepares a call. outs has an entry per result: a tensor whose storage the result must fill, where
// its shape is known already, or nil. types are the element types of the results.
func NewCall(in []*tensor.Tensor, attrs attr.List, outs []*tensor.Tensor, types []dtype.Type, budget *Budget) *Call {
	c := &Call{}
	c.Reset(in, attrs, outs, types, budget)
	return c
}

// Reset prepares a call again, so that one that runs often is allocated once.
func (c *Call) Reset(in []*tensor.Tensor, attrs attr.List, outs []*tensor.Tensor, types []dtype.Type, budget *Budget) {
	*c = Call{ready: c.ready, In: in, Attrs: attrs, outs: append(c.outs[:0], outs...), types: types, budget: budget}
}

// NewValueCall prepares a call where some operands or results may be no tensors.
func NewValueCall(in []tensor.Value, attrs attr.List, outs []*tensor.Tensor, types []dtype.Type, budget *Budget) *Call {
	c := NewCall(make([]*tensor.Tensor, len(in)), attrs, outs, types, budget)
	c.SetValues(in)
	return c
}

// SetValues gives a call, after Reset, operands of which some are no tensors.
func (c *Call) SetValues(in []tensor.Value) {
	c.vals = in
	for i, v := range in {
		if c.In[i] = nil; v.Kind == tensor.KindTensor {
			c.In[i] = v.Tensor
		}
	}
}

// NumIn is the number of operands, absent ones included.
func (c *Call) NumIn() int { return len(c.In) }

// Val is operand i, whatever its kind; absent where there is none.
func (c *Call) Val(i int) tensor.Value {
	switch {
	case i >= len(c.In):
		return tensor.Value{}
	case c.vals != nil:
		return c.vals[i]
	}
	return tensor.ValueOf(c.In[i])
}

// Box is operand i, which must be of a kind.
func (c *Call) Box(i int, k tensor.Kind) (tensor.Value, error) {
	v := c.Val(i)
	if v.Kind != k || v.Absent() {
		return v, fmt.Errorf("operand %d: want a %v, got %v", i, k, v)
	}
	return v, nil
}

// SetBox gives result i a value that is no tensor. It may share tensors with operands; others come from New.
func (c *Call) SetBox(i int, v tensor.Value) {
	if c.boxes == nil {
		c.boxes = make([]tensor.Value, len(c.types))
	}
	c.boxes[i] = v
}

// Value returns result i after Run.
func (c *Call) Value(i int) tensor.Value {
	if c.boxes != nil && c.boxes[i].Kind != tensor.KindTensor {
		return c.boxes[i]
	}
	return tensor.ValueOf(c.outs[i])
}

// New makes a tensor within the budget, to be held by a result.
func (c *Call) New(t dtype.Type, shape ...int) (*tensor.Tensor, error) {
	n, ok := tensor.Count(shape)
	if !ok || n > 1<<48 {
		return nil, fmt.Errorf("shape %v is too large", shape)
	}
	size := int64(t.Bytes(n))
	if t == dtype.String {
		size = 16 * int64(n)
	}
	if err := c.budget.Take(size); err != nil {
		return nil, fmt.Errorf("a tensor of shape %v: %w", shape, err)
	}
	x := tensor.New(t, append([]int(nil), shape...)...)
	c.made = append(c.made, x)
	return x, nil
}

// Prepared gives what make made in an earlier run of the same step, or calls it: tables of attributes or of constant
// operands that are costly to make. Attributes that are dims, and other operands, differ from run to run.
func (c *Call) Prepared(make func() (any, error)) (any, error) {
	if c.ready == nil {
		r, err := make()
		if err != nil {
			return nil, err
		}
		c.ready = r
	}
	return c.ready, nil
}

// Made lists what New made.
func (c *Call) Made() []*tensor.Tensor { return c.made }

// NumOut is the number of results.
func (c *Call) NumOut() int { return len(c.types) }

// OutElem is the element type of result i.
func (c *Call) OutElem(i int) dtype.Type { return c.types[i] }

// Out returns the storage of result i at a shape: the caller's buffer where it gave one, which must then have
// that shape, or a new tensor within the budget. The contents are undefined in the first case; functions
// write every element.
func (c *Call) Out(i int, shape ...int) (*tensor.Tensor, error) {
	n, ok := tensor.Count(shape)
	if !ok || n > 1<<48 {
		return nil, fmt.Errorf("result %d: shape %v is too large", i, shape)
	}
	if t := c.outs[i]; t != nil {
		if !slices.Equal(t.Shape, shape) {
			return nil, fmt.Errorf("result %d: want shape %v, got %v", i, t.Shape, shape)
		}
		return t, nil
	}
	if !c.types[i].Valid() {
		return nil, fmt.Errorf("result %d is no tensor", i)
	}
	size := int64(c.types[i].Bytes(n))
	if c.types[i] == dtype.String {
		size = 16 * int64(n)
	}
	if err := c.budget.Take(size); err != nil {
		return nil, fmt.Errorf("result %d of shape %v: %w", i, shape, err)
	}
	t := tensor.New(c.types[i], append([]int(nil), shape...)...)
	c.outs[i] = t
	return t, nil
}

// Temp reserves scratch memory of n bytes against the budget before a function allocates it.
func (c *Call) Temp(n int64) error { return c.budget.Take(n) }

// Result returns result i after Run.
func (c *Call) Result(i int) *tensor.Tensor { return c.outs[i] }

// Axis normalises a possibly negative axis.
func Axis(axis int64, rank int) (int, error) {
	a := axis
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a tensor of rank %d", axis, rank)
	}
	return int(a), nil
}
