package elementwise

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/host"
)

// BitCast reads the bits of a tensor as another element type (attribute to). Where widths differ, the last axis is as much
// longer or shorter; lower bits come first.
var BitCast = host.Fn{Name: "bit_cast", Run: func(c *host.Call) error {
	x := c.In[0]
	from, to := x.Elem.Bits(), c.OutElem(0).Bits()
	shape := append([]int(nil), x.Shape...)
	if from != to {
		r := len(shape) - 1
		if r < 0 || shape[r]*from%to != 0 {
			return fmt.Errorf("%v of shape %v as %v", x.Elem, x.Shape, c.OutElem(0))
		}
		shape[r] = shape[r] * from / to
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	if len(y.Data) != len(x.Data) {
		return fmt.Errorf("%d bytes as %d", len(x.Data), len(y.Data))
	}
	copy(y.Data, x.Data)
	return nil
}}
