package index

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// TensorScatter is operand 0, a cache [b, ..., T, ...], with operand 1 [b, ..., t, ...] written along an axis from position
// start[b] of operand 2 on (from 0 without it). In mode circular positions are taken modulo T; attribute
// clear zeroes what is behind the last row written.
var TensorScatter = host.Fn{Name: "index.tensor_scatter", Run: func(c *host.Call) error {
	x, u := c.In[0], c.In[1]
	axis, err := host.Axis(c.Attrs.Int("axis", -2), len(x.Shape))
	if err != nil {
		return err
	}
	if len(u.Shape) != len(x.Shape) || axis == 0 {
		return fmt.Errorf("shapes %v and %v along axis %d", x.Shape, u.Shape, axis)
	}
	for i, n := range u.Shape {
		if n != x.Shape[i] && i != axis {
			return fmt.Errorf("updates of shape %v for a cache of shape %v", u.Shape, x.Shape)
		}
	}
	start := operand(c, 2)
	if start != nil && start.Len() != x.Shape[0] {
		return fmt.Errorf("%d positions for a batch of %d", start.Len(), x.Shape[0])
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	copyAll(y, x)
	if u.Len() == 0 {
		return nil
	}
	circular := c.Attrs.Str("mode", "linear") == "circular"
	n, rows, inner := x.Shape[axis], u.Shape[axis], host.Product(x.Shape[axis+1:])
	middle := host.Product(x.Shape[1:axis])
	for o := range x.Shape[0] * middle {
		at := int64(0)
		if start != nil {
			at = start.Int(o / middle)
		}
		if at < 0 || at > int64(n) || !circular && at+int64(rows) > int64(n) {
			return fmt.Errorf("%d rows from position %d on, in an axis of extent %d", rows, at, n)
		}
		for r := range rows {
			to := int(at) + r
			if circular {
				to %= n
			}
			copyRange(y, (o*n+to)*inner, u, (o*rows+r)*inner, inner)
		}
		if c.Attrs.Bool("clear") && !circular {
			for i := (o*n + int(at) + rows) * inner; i < (o+1)*n*inner; i++ {
				clearElem(y, i)
			}
		}
	}
	return nil
}}

// copyRange copies n elements of one type.
func copyRange(dst *tensor.Tensor, to int, src *tensor.Tensor, from, n int) {
	if b := src.Elem.Bits(); b >= 8 {
		w := b / 8
		copy(dst.Data[to*w:(to+n)*w], src.Data[from*w:(from+n)*w])
		return
	}
	move := mover(dst, src)
	for i := range n {
		move(to+i, from+i)
	}
}
