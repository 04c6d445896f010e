// Package norm holds the functions that normalise rows: softmax, layer norm, RMS norm.
package norm

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Softmax is exp(x - max(x)) / sum(exp(x - max(x))) along an axis; LogSoftmax is its logarithm.
var (
	Softmax = host.Fn{Name: "softmax", Run: func(c *host.Call) error {
		return alongAxis(c, func(row []float64) {
			sum := exponents(row)
			for i := range row {
				row[i] = math.Exp(row[i]) / sum
			}
		})
	}}
	LogSoftmax = host.Fn{Name: "log_softmax", Run: func(c *host.Call) error {
		return alongAxis(c, func(row []float64) {
			l := math.Log(exponents(row))
			for i := range row {
				row[i] -= l
			}
		})
	}}
)

// exponents subtracts the largest element from all, and returns the sum of what their exponentials then are.
func exponents(row []float64) float64 {
	top := math.Inf(-1)
	for _, v := range row {
		top = max(top, v)
	}
	sum := 0.0
	for i := range row {
		row[i] -= top
		sum += math.Exp(row[i])
	}
	return sum
}

func alongAxis(c *host.Call, f func(row []float64)) error {
	x := c.In[0]
	axis, err := host.Axis(c.Attrs.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	n, inner := x.Shape[axis], tensor.Strides(x.Shape)[axis]
	if err := c.Temp(8 * int64(n)); err != nil || x.Len() == 0 {
		return err
	}
	row, read, write := make([]float64, n), host.Reader(x), host.Writer(y)
	for p, rows := 0, x.Len()/n; p < rows; p++ {
		base := p/inner*inner*n + p%inner
		for i := range row {
			row[i] = read(base + i*inner)
		}
		f(row)
		for i, v := range row {
			write(base+i*inner, v)
		}
	}
	return nil
}

// Layer is layer normalisation (Ba, Kiros and Hinton, 2016) over the axes from axis on: y = (x - mean) / sqrt(var + epsilon) * scale + b,
// with results mean and 1/sqrt(var + epsilon) where the node has them. RMS is y = x / sqrt(mean(x^2) + epsilon) * scale (Zhang and Sennrich, 2019).
var (
	Layer = host.Fn{Name: "layer_norm", Run: func(c *host.Call) error { return rows(c, true) }}
	RMS   = host.Fn{Name: "rms_norm", Run: func(c *host.Call) error { return rows(c, false) }}
)

func rows(c *host.Call, center bool) error {
	x := c.In[0]
	axis, err := host.Axis(c.Attrs.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	stats, err := statistics(c, x.Shape, axis)
	if err != nil {
		return err
	}
	n, _ := tensor.Count(x.Shape[axis:])
	if err := c.Temp(8 * int64(x.Len())); err != nil || x.Len() == 0 {
		return err
	}
	norm, read, eps := make([]float64, x.Len()), host.Reader(x), c.Attrs.Float("epsilon", 1e-5)
	for r := 0; r < len(norm)/n; r++ {
		row := norm[r*n : r*n+n]
		for i := range row {
			row[i] = read(r*n + i)
		}
		mean, inv := normalise(row, eps, center)
		if len(stats) > 1 {
			stats[0].SetFloat(r, mean)
			stats[1].SetFloat(r, inv)
		}
	}
	return affine(c, y, norm)
}

// statistics are the results 1 and 2, where the node has them.
func statistics(c *host.Call, shape []int, axis int) ([]*tensor.Tensor, error) {
	var l []*tensor.Tensor
	for i := 1; i < c.NumOut(); i++ {
		s := append([]int(nil), shape[:axis]...)
		for range shape[axis:] {
			s = append(s, 1)
		}
		t, err := c.Out(i, s...)
		if err != nil {
			return nil, err
		}
		l = append(l, t)
	}
	return l, nil
}

func normalise(row []float64, eps float64, center bool) (mean, inv float64) {
	if center {
		for _, v := range row {
			mean += v
		}
		mean /= float64(len(row))
	}
	sum := 0.0
	for i := range row {
		row[i] -= mean
		sum += row[i] * row[i]
	}
	inv = 1 / math.Sqrt(sum/float64(len(row))+eps)
	for i := range row {
		row[i] *= inv
	}
	return mean, inv
}

// affine is y = norm * scale + b, both broadcast.
func affine(c *host.Call, y *tensor.Tensor, norm []float64) error {
	var strides [][]int
	var read []func(int) float64
	for i := 1; i < len(c.In); i++ {
		if c.In[i] == nil {
			continue
		}
		s, err := host.Broadcast(y.Shape, c.In[i].Shape)
		if n, ok := tensor.Count(s); err != nil || !ok || n != len(norm) || len(s) != len(y.Shape) {
			return fmt.Errorf("operand %d of shape %v does not broadcast to %v", i, c.In[i].Shape, y.Shape)
		}
		strides = append(strides, host.BroadcastStrides(c.In[i].Shape, y.Shape))
		read = append(read, host.Reader(c.In[i]))
	}
	write := host.Writer(y)
	host.Each(y.Shape, strides, func(at int, off []int) {
		v := norm[at]
		if len(off) > 0 {
			v *= read[0](off[0])
		}
		if len(off) > 1 {
			v += read[1](off[1])
		}
		write(at, v)
	})
	return nil
}

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{Softmax, LogSoftmax, Layer, RMS} }
