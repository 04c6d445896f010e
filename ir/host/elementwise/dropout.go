package elementwise

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Dropout zeroes elements of x with a probability and scales the rest up, where operand 2 is true. The
// generator is SplitMix64 (Steele, Lea and Flood, 2014) from the attribute seed: the same call gives the same mask.
var Dropout = host.Fn{Name: "dropout", Run: func(c *host.Call) error {
	x := c.In[0]
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	m, err := c.Out(1, x.Shape...)
	if err != nil {
		return err
	}
	ratio := 0.5
	if c.In[1] != nil {
		if c.In[1].Len() != 1 {
			return fmt.Errorf("ratio of shape %v, want a scalar", c.In[1].Shape)
		}
		ratio = c.In[1].Float(0)
	}
	if c.In[2].Len() != 1 {
		return fmt.Errorf("training mode of shape %v, want a scalar", c.In[2].Shape)
	}
	if c.In[2].Int(0) == 0 {
		ratio = 0
	}
	if !(ratio >= 0 && ratio < 1) {
		return fmt.Errorf("ratio %v, want a number from 0 up to 1", ratio)
	}
	state := uint64(c.Attrs.Int("seed", 0))
	mask := tensor.View[bool](m)
	for i := range mask {
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		mask[i] = float64(z>>11)/(1<<53) >= ratio
		v := 0.0
		if mask[i] {
			v = x.Float(i) / (1 - ratio)
		}
		y.SetFloat(i, v)
	}
	return nil
}}
