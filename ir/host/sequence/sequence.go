// Package sequence holds the functions over sequences and optionals. They move values and look at no element.
package sequence

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Construct makes a sequence of its operands.
var Construct = host.Fn{Name: "sequence", Run: func(c *host.Call) error {
	l := make([]tensor.Value, c.NumIn())
	for i := range l {
		if l[i] = c.Val(i); l[i].Absent() {
			return fmt.Errorf("operand %d is missing", i)
		}
	}
	c.SetBox(0, tensor.SequenceOf(l...))
	return nil
}}

// position reads operand i, one integer, as a position below n; negative ones count from the end.
func position(c *host.Call, i, n int) (int, error) {
	t := c.Val(i).Tensor
	if t == nil || t.Len() != 1 || !t.Elem.IsInt() {
		return 0, fmt.Errorf("position: want one integer, got %v", c.Val(i))
	}
	p := t.Int(0)
	if p < 0 {
		p += int64(n)
	}
	if p < 0 || p >= int64(n) {
		return 0, fmt.Errorf("position %d of %d elements", t.Int(0), n)
	}
	return int(p), nil
}

// give makes v result 0.
func give(c *host.Call, v tensor.Value) error {
	if v.Kind != tensor.KindTensor {
		c.SetBox(0, v)
		return nil
	}
	x := v.Tensor
	if x == nil || x.Elem != c.OutElem(0) {
		return fmt.Errorf("want an element of type %v, got %v", c.OutElem(0), v)
	}
	y, err := c.Out(0, x.Shape...)
	if err == nil {
		host.Copy(y, x)
	}
	return err
}

// At gives the element at a position.
var At = host.Fn{Name: "sequence_at", Run: func(c *host.Call) error {
	s, err := c.Box(0, tensor.KindSequence)
	if err != nil {
		return err
	}
	p, err := position(c, 1, len(s.List))
	if err != nil {
		return err
	}
	return give(c, s.List[p])
}}

// Insert puts operand 1 before a position (operand 2), at the end where there is none.
var Insert = host.Fn{Name: "sequence_insert", Run: func(c *host.Call) error {
	s, err := c.Box(0, tensor.KindSequence)
	if err != nil {
		return err
	}
	v := c.Val(1)
	if v.Absent() {
		return fmt.Errorf("operand 1 is missing")
	}
	n := len(s.List)
	p := n
	if !c.Val(2).Absent() {
		if at := c.Val(2).Tensor; at != nil && at.Len() == 1 && at.Elem.IsInt() && at.Int(0) == int64(n) {
			p = n
		} else if p, err = position(c, 2, n); err != nil {
			return err
		}
	}
	if err := c.Temp(48 * int64(n+1)); err != nil {
		return err
	}
	l := make([]tensor.Value, 0, n+1)
	l = append(append(append(l, s.List[:p]...), v), s.List[p:]...)
	c.SetBox(0, tensor.SequenceOf(l...))
	return nil
}}

// Erase takes out the element at a position (operand 1), the last one where there is none.
var Erase = host.Fn{Name: "sequence_erase", Run: func(c *host.Call) error {
	s, err := c.Box(0, tensor.KindSequence)
	if err != nil {
		return err
	}
	n := len(s.List)
	if n == 0 {
		return fmt.Errorf("the sequence is empty")
	}
	p := n - 1
	if !c.Val(1).Absent() {
		if p, err = position(c, 1, n); err != nil {
			return err
		}
	}
	l := make([]tensor.Value, 0, n-1)
	l = append(append(l, s.List[:p]...), s.List[p+1:]...)
	c.SetBox(0, tensor.SequenceOf(l...))
	return nil
}}

// Length is the number of elements.
var Length = host.Fn{Name: "sequence_length", Run: func(c *host.Call) error {
	s, err := c.Box(0, tensor.KindSequence)
	if err != nil {
		return err
	}
	y, err := c.Out(0)
	if err == nil {
		y.SetInt(0, int64(len(s.List)))
	}
	return err
}}

// Concat joins the tensors of a sequence along an axis, or, where new_axis is set, stacks them along a new one.
var Concat = host.Fn{Name: "concat_sequence", Run: func(c *host.Call) error {
	s, err := c.Box(0, tensor.KindSequence)
	if err != nil {
		return err
	}
	if len(s.List) == 0 {
		return fmt.Errorf("the sequence is empty")
	}
	fresh := c.Attrs.Bool("new_axis")
	first := s.List[0].Tensor
	for i, v := range s.List {
		if v.Tensor == nil || v.Tensor.Elem != c.OutElem(0) || len(v.Tensor.Shape) != len(first.Shape) {
			return fmt.Errorf("element %d: want %v of rank %d, got %v", i, c.OutElem(0), len(first.Shape), v)
		}
	}
	rank := len(first.Shape)
	if fresh {
		rank++
	}
	axis, err := host.Axis(c.Attrs.Int("axis", 0), rank)
	if err != nil {
		return err
	}
	shape := append([]int(nil), first.Shape...)
	if fresh {
		shape = append(shape[:axis:axis], append([]int{len(s.List)}, first.Shape[axis:]...)...)
	} else {
		shape[axis] = 0
	}
	for i, v := range s.List {
		for k, d := range v.Tensor.Shape {
			if (fresh || k != axis) && d != first.Shape[k] {
				return fmt.Errorf("element %d: shape %v does not match %v", i, v.Tensor.Shape, first.Shape)
			}
		}
		if !fresh {
			shape[axis] += v.Tensor.Shape[axis]
		}
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	outer, _ := tensor.Count(shape[:axis])
	row, _ := tensor.Count(shape[axis:])
	if y.Len() == 0 {
		return nil
	}
	at := 0
	for _, v := range s.List {
		n := v.Tensor.Len() / outer
		for o := range outer {
			for k := range n {
				host.CopyElem(y, o*row+at+k, v.Tensor, o*n+k)
			}
		}
		at += n
	}
	return nil
}}

// Split cuts a tensor along an axis into a sequence: parts of the sizes of operand 1, of one size where that is a
// scalar (the last may be smaller), or of size 1, whose axis goes unless keepdims is set.
var Split = host.Fn{Name: "split_sequence", Run: func(c *host.Call) error {
	x := c.In[0]
	if x == nil {
		return fmt.Errorf("want a tensor, got %v", c.Val(0))
	}
	axis, err := host.Axis(c.Attrs.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	sizes, err := splitSizes(c, x.Shape[axis])
	if err != nil {
		return err
	}
	drop := c.Val(1).Absent() && !c.Attrs.Bool("keepdims")
	outer, _ := tensor.Count(x.Shape[:axis])
	inner, _ := tensor.Count(x.Shape[axis+1:])
	var l []tensor.Value
	first := 0
	for _, n := range sizes {
		shape := append([]int(nil), x.Shape...)
		if shape[axis] = n; drop {
			shape = append(shape[:axis], shape[axis+1:]...)
		}
		y, err := c.New(x.Elem, shape...)
		if err != nil {
			return err
		}
		if y.Len() > 0 {
			for o := range outer {
				for k := range n * inner {
					host.CopyElem(y, o*n*inner+k, x, (o*x.Shape[axis]+first)*inner+k)
				}
			}
		}
		first += n
		l = append(l, tensor.ValueOf(y))
	}
	c.SetBox(0, tensor.SequenceOf(l...))
	return nil
}}

func splitSizes(c *host.Call, extent int) ([]int, error) {
	t := c.Val(1).Tensor
	if t != nil && !t.Elem.IsInt() {
		return nil, fmt.Errorf("split of type %v", t.Elem)
	}
	if t == nil || len(t.Shape) == 0 {
		size := int64(1)
		if t != nil {
			size = t.Int(0)
		}
		if size < 1 {
			return nil, fmt.Errorf("parts of size %d", size)
		}
		var l []int
		for at := 0; at < extent; {
			n := int(min(size, int64(extent-at)))
			l = append(l, n)
			at += n
		}
		return l, c.Temp(160 * int64(len(l)))
	}
	sum := int64(0)
	l := make([]int, t.Len())
	for i := range l {
		v := t.Int(i)
		if v < 0 || v > int64(extent) {
			return nil, fmt.Errorf("a part of size %d of %d", v, extent)
		}
		l[i] = int(v)
		sum += v
	}
	if sum != int64(extent) {
		return nil, fmt.Errorf("parts of sizes %v of an axis of extent %d", l, extent)
	}
	return l, nil
}

// Optional holds its operand, or nothing.
var Optional = host.Fn{Name: "optional", Run: func(c *host.Call) error {
	if v := c.Val(0); c.NumIn() > 0 && !v.Absent() {
		c.SetBox(0, tensor.OptionalOf(v))
		return nil
	}
	c.SetBox(0, tensor.OptionalOf())
	return nil
}}

// Get gives what an optional holds.
var Get = host.Fn{Name: "optional_get", Run: func(c *host.Call) error {
	o, err := c.Box(0, tensor.KindOptional)
	if err != nil {
		return err
	}
	if len(o.List) != 1 {
		return fmt.Errorf("the optional holds no value")
	}
	return give(c, o.List[0])
}}

// Has tells whether an optional holds a value.
var Has = host.Fn{Name: "optional_has", Run: func(c *host.Call) error {
	o, err := c.Box(0, tensor.KindOptional)
	if err != nil {
		return err
	}
	y, err := c.Out(0)
	if err == nil {
		y.SetInt(0, int64(len(o.List)))
	}
	return err
}}

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{Construct, At, Insert, Erase, Length, Concat, Split, Optional, Get, Has}
}
