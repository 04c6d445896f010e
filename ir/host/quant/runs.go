package quant

import (
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// dequantizeRuns does integers of 4 and 8 bits to f32 where neighbours share a scale, run by run: weights, which may be large. It
// reports false where it does not apply.
func dequantizeRuns(y, x, s, z *tensor.Tensor, at *scales) bool {
	if y.Elem != dtype.F32 || !x.Elem.IsInt() || x.Elem.Bits() != 4 && x.Elem.Bits() != 8 || x.Len() == 0 {
		return false
	}
	run := x.Len() // elements that share a scale
	switch {
	case at.one:
	case at.vector:
		run = at.inner
	case at.inner == 1:
		run = at.block
	default:
		return false
	}
	row := x.Len() // runs do not go over the end of a row
	if !at.one {
		row = at.axis * at.inner
	}
	out := y.F32()
	for i := 0; i < len(out); {
		n := min(run, row-i%row)
		k := at.of(i)
		zero := int64(0)
		if z != nil {
			zero = z.Int(k)
		}
		if x.Elem.Bits() == 8 {
			bytesRun(out[i:i+n], x, i, zero, s.Float(k))
		} else {
			nibblesRun(out[i:i+n], x, i, zero, s.Float(k))
		}
		i += n
	}
	return true
}

func bytesRun(out []float32, x *tensor.Tensor, from int, zero int64, scale float64) {
	data := x.Data[from : from+len(out)]
	if x.Elem.IsSigned() {
		for i, b := range data {
			out[i] = float32(float64(int64(int8(b))-zero) * scale)
		}
		return
	}
	for i, b := range data {
		out[i] = float32(float64(int64(b)-zero) * scale)
	}
}

func nibblesRun(out []float32, x *tensor.Tensor, from int, zero int64, scale float64) {
	var table [16]float32
	for v := range table {
		n := int64(v)
		if x.Elem.IsSigned() && v > 7 {
			n -= 16
		}
		table[v] = float32(float64(n-zero) * scale)
	}
	i := 0
	if from%2 != 0 && len(out) > 0 {
		out[0] = table[x.Data[from/2]>>4]
		i = 1
	}
	data := x.Data[(from+i)/2:]
	for ; i+1 < len(out); i += 2 {
		b := data[0]
		data = data[1:]
		out[i], out[i+1] = table[b&15], table[b>>4]
	}
	if i < len(out) {
		out[i] = table[data[0]&15]
	}
}
