package eval

import (
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// truth reads a bool tensor of one element.
func truth(v Value, what string) (bool, error) {
	if v.Tensor == nil || v.Tensor.Elem != dtype.Bool || v.Tensor.Len() != 1 {
		return false, fmt.Errorf("%s: want one bool, got %v", what, v)
	}
	return v.Tensor.Bits(0) != 0, nil
}

// branch runs the first region where operand 0 holds, else the second, on the other operands.
func (f *frame) branch(n *ir.Node, in []Value) ([]Value, error) {
	if len(in) == 0 || len(n.Regions) != 2 {
		return nil, n.Errorf(ir.ErrMalformed, "want a condition and two regions")
	}
	c, err := truth(in[0], "condition")
	if err != nil {
		return nil, err
	}
	r := n.Regions[1]
	if c {
		r = n.Regions[0]
	}
	return f.call(r, in[1:])
}

// loop runs its region while the condition holds and the trip count is not reached. Operands are the trip count and the
// condition, which may be absent, as many carried values as attribute carried says, and captures. The region
// takes the iteration, the condition, carried values and captures; it yields the next condition, the next carried values,
// and elements of the scan outputs. Results are the last carried values, then the scan outputs with a new first axis.
func (f *frame) loop(n *ir.Node, in []Value) ([]Value, error) {
	carried := int(n.Attrs.Int("carried", 0))
	if len(n.Regions) != 1 || carried < 0 || len(in) < 2+carried || len(n.Out) < carried || len(n.Regions[0].Results) != 1+len(n.Out) {
		return nil, n.Errorf(ir.ErrMalformed, "operands, results and region do not fit")
	}
	r := n.Regions[0]
	trips := int64(-1)
	if t := in[0].Tensor; t != nil {
		if t.Len() != 1 || !t.Elem.IsInt() {
			return nil, fmt.Errorf("trip count: want one integer, got %v", in[0])
		}
		trips = max(t.Int(0), 0)
	}
	going := true
	if !in[1].Absent() {
		var err error
		if going, err = truth(in[1], "condition"); err != nil {
			return nil, err
		}
	}
	state := append([]Value(nil), in[2:2+carried]...)
	f.holdAll(state)
	captures := in[2+carried:]
	scans := make([][]Value, len(n.Out)-carried)
	for i := int64(0); going && (trips < 0 || i < trips); i++ {
		if err := f.ctx.Err(); err != nil {
			return nil, err
		}
		iter, cond := tensor.New(dtype.I64), tensor.New(dtype.Bool)
		iter.SetInt(0, i)
		cond.SetInt(0, 1)
		args := append(append(Tensors(iter, cond), state...), captures...)
		out, err := f.call(r, args)
		if err != nil {
			return nil, fmt.Errorf("iteration %d: %w", i, err)
		}
		if going, err = truth(out[0], "condition"); err != nil {
			return nil, err
		}
		f.holdAll(out[1:])
		f.settle(out[0])
		for _, v := range state {
			f.release(v)
		}
		state = out[1 : 1+carried]
		for k := range scans {
			scans[k] = append(scans[k], out[1+carried+k])
		}
	}
	for _, v := range state {
		f.unhold(v)
	}
	results := append([]Value(nil), state...)
	for k, l := range scans {
		v, err := f.stack(n.Out[carried+k], l)
		if err != nil {
			return nil, err
		}
		results = append(results, v)
	}
	return results, nil
}

func (f *frame) holdAll(l []Value) {
	for _, v := range l {
		f.hold(v)
	}
}

// settle frees a value that nobody holds.
func (f *frame) settle(v Value) {
	f.hold(v)
	f.release(v)
}

// stack joins the tensors of all iterations along a new first axis, and lets them go.
func (f *frame) stack(out *ir.Value, l []Value) (Value, error) {
	var shape []int
	if len(l) > 0 {
		if l[0].Tensor == nil {
			return Value{}, fmt.Errorf("scan output of %v", l[0])
		}
		shape = append([]int{len(l)}, l[0].Tensor.Shape...)
	} else { // what is unknown of an element's shape without any element is empty
		shape = make([]int, max(out.Rank(), 1))
		for i := 1; i < out.Rank(); i++ {
			if v, err := f.eval(out.Type.Shape[i]); err == nil && v >= 0 && v < 1<<40 {
				shape[i] = int(v)
			}
		}
	}
	t, err := f.alloc(out.Type.Elem, shape)
	if err != nil {
		return Value{}, err
	}
	per := 0
	if len(l) > 0 {
		per = t.Len() / len(l)
	}
	for i, v := range l {
		x := v.Tensor
		if x == nil || x.Elem != t.Elem || !slices.Equal(x.Shape, shape[1:]) {
			return Value{}, fmt.Errorf("scan output of iteration %d: want %v%v, got %v", i, t.Elem, shape[1:], v)
		}
		for k := 0; k < per; k++ {
			copyElem(t, i*per+k, x, k)
		}
		f.release(v)
	}
	return Of(t), nil
}

// copyElem copies element j of x to element i of t; both have one type.
func copyElem(t *tensor.Tensor, i int, x *tensor.Tensor, j int) {
	switch {
	case t.Elem == dtype.String:
		t.Str[i] = x.Str[j]
	case t.Elem.IsSubByte():
		t.SetBits(i, x.Bits(j))
	default:
		size := t.Elem.Bits() / 8
		copy(t.Data[i*size:(i+1)*size], x.Data[j*size:])
	}
}
