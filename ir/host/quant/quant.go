// Package quant holds quantisation and products of quantised matrices, as plain loops.
package quant

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{Quantize, Dequantize, MatMulInteger, QLinearMatMul}
}

// Quantize is y = saturate(round_even(x / scale) + zero_point), or for floating-point results y = cast(x / scale).
// Operands x, scale, zero_point?; the attributes axis and block_size say which scale belongs to which element,
// precision is the element type of the quotient (that of scale where it is absent), saturate is cast's.
var Quantize = host.Fn{Name: "quant.quantize", Run: func(c *host.Call) error {
	x, s, z := c.In[0], c.In[1], zeroPoint(c)
	at, err := newScales(c, x, s, z)
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	precision := c.Attrs.Elem("precision")
	if precision == dtype.Invalid {
		precision = s.Elem
	}
	if !precision.IsFloat() || precision.Bits() < 16 {
		precision = dtype.F32
		if s.Elem.IsInt() {
			precision = dtype.F64
		}
	}
	sat := c.Attrs.Int("saturate", 1) != 0
	for i := range x.Len() {
		k := at.of(i)
		q := roundTo(precision, x.Float(i)/s.Float(k))
		if y.Elem.IsFloat() {
			y.SetBits(i, dtype.EncodeFloat(y.Elem, q, sat))
			continue
		}
		zp := int64(0)
		if z != nil {
			zp = z.Int(k)
		}
		y.SetInt(i, Saturate(y.Elem, math.RoundToEven(q)+float64(zp)))
	}
	return nil
}}

// Dequantize is y = (x - zero_point) * scale. Operands and attributes are those of Quantize.
var Dequantize = host.Fn{Name: "quant.dequantize", Run: func(c *host.Call) error {
	x, s, z := c.In[0], c.In[1], zeroPoint(c)
	at, err := newScales(c, x, s, z)
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	if dequantizeRuns(y, x, s, z, at) {
		return nil
	}
	for i := range x.Len() {
		k := at.of(i)
		v := x.Float(i)
		if z != nil {
			v -= z.Float(k)
		}
		y.SetBits(i, dtype.EncodeFloat(y.Elem, v*s.Float(k), false))
	}
	return nil
}}

// Saturate brings a whole number into the range of an integer type; NaN gives the least.
func Saturate(t dtype.Type, v float64) int64 {
	lo, hi := t.IntRange()
	switch {
	case math.IsNaN(v), v <= float64(lo):
		return lo
	case t != dtype.U64 && v >= float64(hi):
		return hi
	}
	return int64(v)
}

func roundTo(t dtype.Type, v float64) float64 {
	if t == dtype.F64 {
		return v
	}
	return dtype.DecodeFloat(t, dtype.EncodeFloat(t, v, false))
}

func zeroPoint(c *host.Call) *tensor.Tensor {
	if len(c.In) > 2 {
		return c.In[2]
	}
	return nil
}

// scales finds the scale of an element: outer, axis and inner are the extents before, along and after the axis; a block
// of the axis has one scale of the scales' extent along it.
type scales struct {
	axis, inner, block, count int
	one                       bool // one scale for all
	vector                    bool // one for each position along the axis
}

func newScales(c *host.Call, x, s, z *tensor.Tensor) (*scales, error) {
	if z != nil && z.Len() != s.Len() {
		return nil, fmt.Errorf("zero point of shape %v for scales of shape %v", z.Shape, s.Shape)
	}
	block := c.Attrs.Int("block_size", 0)
	if block == 0 && s.Len() == 1 && len(s.Shape) <= 1 {
		return &scales{one: true}, nil
	}
	axis, err := host.Axis(c.Attrs.Int("axis", 1), len(x.Shape))
	if err != nil {
		return nil, err
	}
	a := &scales{axis: x.Shape[axis], inner: 1, block: 1}
	for _, d := range x.Shape[axis+1:] {
		a.inner *= d
	}
	if block == 0 {
		if len(s.Shape) != 1 || s.Shape[0] != a.axis {
			return nil, fmt.Errorf("scales of shape %v for axis %d of shape %v", s.Shape, axis, x.Shape)
		}
		a.vector = true
		return a, nil
	}
	if block < 0 || len(s.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("scales of shape %v for blocks of %d in shape %v", s.Shape, block, x.Shape)
	}
	for i, d := range x.Shape {
		if i == axis {
			d = (d + int(block) - 1) / int(block)
		}
		if s.Shape[i] != d {
			return nil, fmt.Errorf("scales of shape %v for blocks of %d in shape %v", s.Shape, block, x.Shape)
		}
	}
	a.block, a.count = int(block), s.Shape[axis]
	return a, nil
}

func (a *scales) of(i int) int {
	if a.one {
		return 0
	}
	in := i % a.inner
	i /= a.inner
	p := i % a.axis
	if a.vector {
		return p
	}
	return (i/a.axis*a.count+p/a.block)*a.inner + in
}
