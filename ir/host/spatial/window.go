// Package spatial holds convolutions and pooling over pictures of the form [batch, channels, spatial...] with any
// number of spatial axes, as plain loops with float64 accumulators.
package spatial

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/host"
)

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{Conv, ConvTranspose, ConvInteger, QLinearConv, MaxPool, MaxPoolIndices, AveragePool, LpPool, MaxUnpool, Resize, GridSample, RoiAlign, RoiPool, DeformConv, Col2Im}
}

// window is the geometry of a sliding window: one entry a spatial axis.
type window struct {
	kernel, stride, dilation, begin, end []int
	ceil                                 bool
}

// limit bounds every number of a window, so that products of two cannot overflow.
const limit = 1 << 31

// readWindow takes the geometry from the attributes kernel, strides, dilations, pads and ceil_mode; strides,
// dilations and pads may be absent. kernel is that of the weights where there are any.
func readWindow(c *host.Call, axes int, kernel []int) (*window, error) {
	w := &window{ceil: c.Attrs.Bool("ceil_mode")}
	var err error
	list := func(name string, n int, def, lo int64) []int {
		l := c.Attrs.Ints(name)
		out := make([]int, n)
		if len(l) != 0 && len(l) != n && err == nil {
			err = fmt.Errorf("%s: want %d values, got %d", name, n, len(l))
		}
		for i := range out {
			v := def
			if len(l) == n {
				v = l[i]
			}
			if (v < lo || v >= limit) && err == nil {
				err = fmt.Errorf("%s: value %d", name, v)
			}
			out[i] = int(v)
		}
		return out
	}
	if w.kernel = kernel; kernel == nil {
		w.kernel = list("kernel", axes, 0, 1)
	}
	w.stride, w.dilation = list("strides", axes, 1, 1), list("dilations", axes, 1, 1)
	pads := list("pads", 2*axes, 0, -limit)
	w.begin, w.end = pads[:axes], pads[axes:]
	return w, err
}

// out is the number of positions along axis i of an input of extent in. With ceil a window may reach over the end, but
// none starts behind the last element and the padding before it.
func (w *window) out(i, in int) (int, error) {
	room := in + w.begin[i] + w.end[i] - w.dilation[i]*(w.kernel[i]-1) - 1
	if room < 0 {
		return 0, fmt.Errorf("spatial axis %d: a window of %d elements does not fit into %d", i, w.dilation[i]*(w.kernel[i]-1)+1, in+w.begin[i]+w.end[i])
	}
	if !w.ceil {
		return room/w.stride[i] + 1, nil
	}
	return min((room+w.stride[i]-1)/w.stride[i]+1, (in+w.begin[i]+w.stride[i]-1)/w.stride[i]), nil
}

// outs is out for all axes.
func (w *window) outs(in []int) ([]int, error) {
	o := make([]int, len(in))
	for i := range in {
		var err error
		if o[i], err = w.out(i, in[i]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// strides of a row-major shape.
func strides(s []int) []int {
	out := make([]int, len(s))
	p := 1
	for i := len(s) - 1; i >= 0; i-- {
		out[i] = p
		p *= s[i]
	}
	return out
}
