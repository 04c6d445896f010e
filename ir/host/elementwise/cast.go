package elementwise

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Cast converts between any two element types but the complex ones, by the rules of ONNX Cast-28. The
// attributes saturate and round_mode matter for 8-bit floats. What the standard leaves undefined: a real
// number out of the range of an integer type is truncated to 64 bits and then wrapped, NaN gives 0.
var Cast = host.Fn{Name: "cast", Run: func(c *host.Call) error {
	x := c.In[0]
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	saturate := c.Attrs.Int("saturate", 1) != 0
	mode := c.Attrs.Str("round_mode", "up")
	switch {
	case x.Elem == y.Elem:
		host.Copy(y, x)
	case x.Elem.IsComplex() || y.Elem.IsComplex():
		return fmt.Errorf("cast from %v to %v", x.Elem, y.Elem)
	case y.Elem == dtype.String:
		for i := range y.Str {
			y.Str[i] = format(x, i)
		}
	case x.Elem == dtype.String:
		for i, s := range x.Str {
			if err := parse(y, i, s, saturate, mode); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
	case x.Elem.IsFloat():
		read := host.Reader(x)
		for i, n := 0, x.Len(); i < n; i++ {
			putFloat(y, i, read(i), saturate, mode)
		}
	default:
		for i, n := 0, x.Len(); i < n; i++ {
			putInt(y, i, x.Elem, x.Int(i), saturate, mode)
		}
	}
	return nil
}}

func putFloat(y *tensor.Tensor, i int, v float64, saturate bool, mode string) {
	switch {
	case y.Elem == dtype.Bool:
		y.SetInt(i, truth(v != 0))
	case y.Elem == dtype.F8E8M0:
		y.SetBits(i, encodeScale(v, saturate, mode))
	case y.Elem.IsFloat():
		y.SetBits(i, dtype.EncodeFloat(y.Elem, v, saturate && y.Elem.Bits() <= 8))
	default:
		y.SetInt(i, truncate(v))
	}
}

// putInt stores integer v, the bits of which are of type from.
func putInt(y *tensor.Tensor, i int, from dtype.Type, v int64, saturate bool, mode string) {
	switch {
	case y.Elem == dtype.Bool:
		y.SetInt(i, truth(v != 0))
	case !y.Elem.IsFloat():
		y.SetInt(i, v)
	case y.Elem == dtype.F32: // rounded once: 64 bits do not fit into float64
		f := float32(v)
		if from == dtype.U64 {
			f = float32(uint64(v))
		}
		y.SetBits(i, uint64(math.Float32bits(f)))
	case y.Elem == dtype.F64:
		f := float64(v)
		if from == dtype.U64 {
			f = float64(uint64(v))
		}
		y.SetBits(i, math.Float64bits(f))
	default:
		putFloat(y, i, oddFloat(v, from == dtype.U64), saturate, mode)
	}
}

// oddFloat converts to float64 with what does not fit into 52 bits folded into the lowest one, so that rounding
// again to 16 bits or fewer is as good as rounding once.
func oddFloat(v int64, unsigned bool) float64 {
	neg := v < 0 && !unsigned
	u := uint64(v)
	if neg {
		u = -u
	}
	f := float64(u)
	if n := 64 - bits.LeadingZeros64(u); n > 52 {
		low := uint64(1)<<(n-51) - 1
		if u&low != 0 {
			u |= low + 1
		}
		f = float64(u &^ low)
	}
	if neg {
		return -f
	}
	return f
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// truncate is the integer part; numbers from 2^63 on keep the bits that an unsigned 64-bit integer has.
func truncate(v float64) int64 {
	switch {
	case math.IsNaN(v):
		return 0
	case v >= 1<<64:
		return -1
	case v >= 1<<63:
		return int64(uint64(v))
	case v < -(1 << 63):
		return math.MinInt64
	}
	return int64(v)
}

// encodeScale rounds to a power of two: mode is up, down or nearest (ties up). Without saturate whatever is out of
// range is NaN.
func encodeScale(v float64, saturate bool, mode string) uint64 {
	const nan, top = 255, 254
	out := func(code uint64) uint64 {
		if saturate {
			return code
		}
		return nan
	}
	v = math.Abs(v)
	switch {
	case math.IsNaN(v):
		return nan
	case math.IsInf(v, 0):
		return out(top)
	case v == 0:
		return out(0)
	}
	fr, e := math.Frexp(v) // v = fr * 2^e with fr in [0.5, 1)
	p := e - 1 + 127
	if mode == "up" && fr > 0.5 || mode == "nearest" && fr >= 0.75 {
		p++
	}
	switch {
	case p > top:
		return out(top)
	case p < 0:
		return out(0)
	}
	return uint64(p)
}

// format prints as ONNX asks: the shortest decimal that reads back as the same number.
func format(x *tensor.Tensor, i int) string {
	switch {
	case x.Elem == dtype.Bool:
		return [...]string{"False", "True"}[x.Int(i)&1]
	case x.Elem == dtype.U64:
		return strconv.FormatUint(x.Bits(i), 10)
	case !x.Elem.IsFloat():
		return strconv.FormatInt(x.Int(i), 10)
	}
	v := x.Float(i)
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "INF"
	case math.IsInf(v, -1):
		return "-INF"
	}
	size := 32
	if x.Elem == dtype.F64 {
		size = 64
	}
	return strconv.FormatFloat(v, 'g', -1, size)
}

func parse(y *tensor.Tensor, i int, s string, saturate bool, mode string) error {
	t := strings.TrimSpace(s)
	if !y.Elem.IsFloat() && y.Elem != dtype.Bool {
		if v, err := strconv.ParseInt(t, 10, 64); err == nil {
			y.SetInt(i, v)
			return nil
		}
		if v, err := strconv.ParseUint(t, 10, 64); err == nil {
			y.SetBits(i, v)
			return nil
		}
	}
	v, err := strconv.ParseFloat(t, 64)
	if err != nil && !math.IsInf(v, 0) {
		return fmt.Errorf("%.40q is no number", s)
	}
	putFloat(y, i, v, saturate, mode)
	return nil
}
