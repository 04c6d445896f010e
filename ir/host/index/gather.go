package index

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// GatherElements is y[p] = x[p with its entry along axis replaced by indices[p]].
var GatherElements = host.Fn{Name: "index.gather_elements", Run: func(c *host.Call) error {
	x, idx := c.In[0], c.In[1]
	e, err := newElementwise(c, x, idx)
	if err != nil {
		return err
	}
	y, err := c.Out(0, idx.Shape...)
	if err != nil {
		return err
	}
	move := mover(y, x)
	return e.each(func(i, at int) { move(i, at) })
}}

// elementwise walks indices that select along one axis of a tensor.
type elementwise struct {
	x, idx  *tensor.Tensor
	axis    int
	strides []int
}

func newElementwise(c *host.Call, x, idx *tensor.Tensor) (*elementwise, error) {
	axis, err := host.Axis(c.Attrs.Int("axis", 0), len(x.Shape))
	if err != nil {
		return nil, err
	}
	if len(idx.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("shapes %v and %v: ranks differ", x.Shape, idx.Shape)
	}
	for i, d := range idx.Shape {
		if i != axis && d > x.Shape[i] {
			return nil, fmt.Errorf("indices of shape %v for a tensor of shape %v", idx.Shape, x.Shape)
		}
	}
	return &elementwise{x, idx, axis, tensor.Strides(x.Shape)}, nil
}

// each calls fn with each index's own position and the one it selects.
func (e *elementwise) each(fn func(i, at int)) error {
	if e.idx.Len() == 0 {
		return nil
	}
	p, i := make([]int, len(e.idx.Shape)), 0
	for ok := true; ok; ok = host.Next(p, e.idx.Shape) {
		v, err := within(e.idx.Int(i), e.x.Shape[e.axis])
		if err != nil {
			return err
		}
		at := 0
		for a, q := range p {
			if a == e.axis {
				q = v
			}
			at += q * e.strides[a]
		}
		fn(i, at)
		i++
	}
	return nil
}

// GatherND is y[b..., i...] = x[b..., indices[b..., i..., :]...]: the first batch_dims axes are shared, and the
// last axis of the indices lists positions along the axes that follow.
var GatherND = host.Fn{Name: "index.gather_nd", Run: func(c *host.Call) error {
	x, idx := c.In[0], c.In[1]
	batch := int(c.Attrs.Int("batch_dims", 0))
	t, err := newTuples(x, idx, batch)
	if err != nil {
		return err
	}
	y, err := c.Out(0, append(append([]int{}, idx.Shape[:len(idx.Shape)-1]...), x.Shape[batch+t.k:]...)...)
	if err != nil {
		return err
	}
	if w := x.Elem.Bits() / 8; w > 0 && x.Elem != dtype.String {
		size := t.slice * w
		return t.each(func(i, at int) { copy(y.Data[i*size:(i+1)*size], x.Data[at*w:]) })
	}
	move := mover(y, x)
	return t.each(func(i, at int) {
		for j := range t.slice {
			move(i*t.slice+j, at+j)
		}
	})
}}

// tuples walks indices whose last axis lists positions along the leading axes of a tensor.
type tuples struct {
	x, idx                     *tensor.Tensor
	batch, k, slice            int
	count, perBatch, batchSize int
}

func newTuples(x, idx *tensor.Tensor, batch int) (*tuples, error) {
	if len(idx.Shape) == 0 || len(x.Shape) == 0 || batch < 0 || batch >= len(idx.Shape) || batch > len(x.Shape) {
		return nil, fmt.Errorf("shapes %v and %v with %d shared axes", x.Shape, idx.Shape, batch)
	}
	k := idx.Shape[len(idx.Shape)-1]
	if k > len(x.Shape)-batch {
		return nil, fmt.Errorf("indices of shape %v for a tensor of shape %v", idx.Shape, x.Shape)
	}
	for i := range batch {
		if x.Shape[i] != idx.Shape[i] {
			return nil, fmt.Errorf("shapes %v and %v: extents of shared axis %d differ", x.Shape, idx.Shape, i)
		}
	}
	t := &tuples{x: x, idx: idx, batch: batch, k: k, slice: host.Product(x.Shape[batch+k:])}
	t.count = host.Product(idx.Shape[:len(idx.Shape)-1])
	t.perBatch = host.Product(idx.Shape[batch : len(idx.Shape)-1])
	t.batchSize = host.Product(x.Shape[batch:])
	return t, nil
}

// each calls fn with the number of each tuple and the flat position of the slice that it selects.
func (t *tuples) each(fn func(i, at int)) error {
	if t.k == 1 && t.batch == 0 && t.idx.Elem == dtype.I64 { // as boolean masks come
		for i, v := range t.idx.I64() {
			p, err := within(v, t.x.Shape[0])
			if err != nil {
				return err
			}
			fn(i, p*t.slice)
		}
		return nil
	}
	for i := range t.count {
		at := 0
		for j := range t.k {
			n := t.x.Shape[t.batch+j]
			v, err := within(t.idx.Int(i*t.k+j), n)
			if err != nil {
				return err
			}
			at = at*n + v
		}
		fn(i, i/t.perBatch*t.batchSize+at*t.slice)
	}
	return nil
}
