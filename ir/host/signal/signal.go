// Package signal holds Fourier transforms and what is around them.
package signal

import (
	"fmt"
	"math"
	"math/bits"
	"math/cmplx"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{DFT, Mel} }

// DFT is the discrete Fourier transform of x [..., n, ..., 1 or 2] along an axis; the last axis is the real and the imaginary part. Attribute
// length, or operand 1, cuts or pads with zeros; attribute axis, or operand 2. onesided keeps the first half; with inverse it takes that half and gives real numbers.
var DFT = host.Fn{Name: "signal.dft", Run: func(c *host.Call) error {
	x := c.In[0]
	r := len(x.Shape)
	at := c.Attrs.Int("axis", -2)
	if len(c.In) > 2 && c.In[2] != nil {
		if c.In[2].Len() != 1 {
			return fmt.Errorf("axis of shape %v", c.In[2].Shape)
		}
		at = c.In[2].Int(0)
	}
	axis, err := host.Axis(at, r)
	if err != nil {
		return err
	}
	if r < 2 || axis == r-1 || x.Shape[r-1] != 1 && x.Shape[r-1] != 2 {
		return fmt.Errorf("axis %d of shape %v", axis, x.Shape)
	}
	inverse, onesided := c.Attrs.Bool("inverse"), c.Attrs.Bool("onesided")
	length, err := dftLength(c, x.Shape[axis], inverse && onesided)
	if err != nil {
		return err
	}
	shape := append([]int(nil), x.Shape...)
	shape[axis], shape[r-1] = length, 2
	switch {
	case onesided && inverse:
		shape[r-1] = 1
	case onesided:
		shape[axis] = length/2 + 1
	}
	y, err := c.Out(0, shape...)
	if err != nil || y.Len() == 0 {
		return err
	}
	t := newTransform(length, inverse)
	if err := c.Temp(16 * int64(t.size()+length)); err != nil {
		return err
	}
	t.init()
	read, write, row := host.Reader(x), host.Writer(y), make([]complex128, length)
	parts, outer, inner := x.Shape[r-1], 1, 1
	for i, n := range x.Shape[:r-1] {
		if i < axis {
			outer *= n
		} else if i > axis {
			inner *= n
		}
	}
	for o := range outer {
		for in := range inner {
			at := func(i int) complex128 {
				p := ((o*x.Shape[axis]+i)*inner + in) * parts
				if parts == 1 {
					return complex(read(p), 0)
				}
				return complex(read(p), read(p+1))
			}
			fill(row, x.Shape[axis], at, inverse && onesided)
			t.run(row)
			for i := range shape[axis] {
				p := ((o*shape[axis]+i)*inner + in) * shape[r-1]
				write(p, real(row[i]))
				if shape[r-1] == 2 {
					write(p+1, imag(row[i]))
				}
			}
		}
	}
	return nil
}}

func dftLength(c *host.Call, n int, half bool) (int, error) {
	v := int64(n)
	if half {
		v = 2 * (v - 1)
	}
	if l := c.Attrs.Ints("length"); len(l) == 1 {
		v = l[0]
	} else if len(c.In) > 1 && c.In[1] != nil {
		if c.In[1].Len() != 1 {
			return 0, fmt.Errorf("length of shape %v", c.In[1].Shape)
		}
		v = c.In[1].Int(0)
	}
	if v < 1 || v > 1<<32 {
		return 0, fmt.Errorf("a transform of length %d", v)
	}
	return int(v), nil
}

// fill reads a row of n elements, cut or padded; of a half, the other one is its mirror image.
func fill(row []complex128, n int, at func(int) complex128, half bool) {
	clear(row)
	if !half {
		for i := range min(n, len(row)) {
			row[i] = at(i)
		}
		return
	}
	for i := range min(n, len(row)/2+1) {
		v := at(i)
		if i == 0 || 2*i == len(row) {
			v = complex(real(v), 0)
		}
		row[i] = v
		if i > 0 {
			row[len(row)-i] = cmplx.Conj(v)
		}
	}
}

// transform is a Fourier transform of one length: by halves where that is a power of two (Cooley and Tukey, 1965), else as a
// convolution of such a length (Bluestein, 1970).
type transform struct {
	n, m    int
	inverse bool
	turn    []complex128 // e^(-2 pi i k / m)
	chirp   []complex128 // e^(-pi i k^2 / n)
	filter  []complex128 // transform of the chirp's inverse
	work    []complex128
}

func newTransform(n int, inverse bool) *transform {
	t := &transform{n: n, m: n, inverse: inverse}
	if n&(n-1) != 0 {
		t.m = 1 << bits.Len(uint(2*n-1))
	}
	return t
}

// size is the number of complex numbers that it needs.
func (t *transform) size() int {
	if t.m == t.n {
		return t.n / 2
	}
	return t.m/2 + t.n + 2*t.m
}

func (t *transform) init() {
	t.turn = make([]complex128, t.m/2)
	for k := range t.turn {
		t.turn[k] = unit(-2 * math.Pi * float64(k) / float64(t.m))
	}
	if t.m == t.n {
		return
	}
	t.chirp, t.filter, t.work = make([]complex128, t.n), make([]complex128, t.m), make([]complex128, t.m)
	for k := range t.chirp {
		sq := uint64(k) * uint64(k) % uint64(2*t.n) // keeps the angle small
		t.chirp[k] = unit(-math.Pi * float64(sq) / float64(t.n))
		t.filter[k] = cmplx.Conj(t.chirp[k])
		t.filter[(t.m-k)%t.m] = t.filter[k]
	}
	t.halves(t.filter)
}

func unit(angle float64) complex128 { return complex(math.Cos(angle), math.Sin(angle)) }

// run transforms a row in place.
func (t *transform) run(x []complex128) {
	if t.inverse {
		conjugate(x)
	}
	if t.m == t.n {
		t.halves(x)
	} else {
		t.bluestein(x)
	}
	if t.inverse {
		conjugate(x)
		for i := range x {
			x[i] /= complex(float64(t.n), 0)
		}
	}
}

func conjugate(x []complex128) {
	for i, v := range x {
		x[i] = cmplx.Conj(v)
	}
}

func (t *transform) bluestein(x []complex128) {
	clear(t.work)
	for k, v := range x {
		t.work[k] = v * t.chirp[k]
	}
	t.halves(t.work)
	for k := range t.work {
		t.work[k] = cmplx.Conj(t.work[k] * t.filter[k])
	}
	t.halves(t.work) // of the conjugate: the inverse's conjugate
	for k := range x {
		x[k] = cmplx.Conj(t.work[k]) * t.chirp[k] / complex(float64(t.m), 0)
	}
}

// halves transforms a power of two of elements in place.
func (t *transform) halves(x []complex128) {
	n := len(x)
	if n < 2 {
		return
	}
	shift := 64 - bits.Len(uint(n-1))
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); j > i {
			x[i], x[j] = x[j], x[i]
		}
	}
	for half := 1; half < n; half *= 2 {
		step := n / (2 * half)
		for i := 0; i < n; i += 2 * half {
			for k := range half {
				a, b := x[i+k], x[i+k+half]*t.turn[k*step]
				x[i+k], x[i+k+half] = a+b, a-b
			}
		}
	}
}

// Mel is the matrix [length/2+1, bins] that turns a spectrum into bins of equal width on the mel scale, each a triangle. Operands bins,
// length of the transform, sample rate, lowest and highest frequency.
var Mel = host.Fn{Name: "signal.mel", Run: func(c *host.Call) error {
	var v [5]float64
	for i := range v {
		if c.In[i].Len() != 1 {
			return fmt.Errorf("operand %d of shape %v", i, c.In[i].Shape)
		}
		v[i] = c.In[i].Float(0)
	}
	bins, length := int(v[0]), int(v[1])
	if v[0] < 0 || v[1] < 1 || v[0] > 1<<24 || v[1] > 1<<40 || v[2] <= 0 {
		return fmt.Errorf("%v bins of a transform of %v at rate %v", v[0], v[1], v[2])
	}
	rows := length/2 + 1
	y, err := c.Out(0, rows, bins)
	if err != nil {
		return err
	}
	clear(y.Data)
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	low := mel(v[3])
	step := (mel(v[4]) - low) / float64(bins+2)
	edge := func(i int) int {
		hz := 700 * (math.Pow(10, (low+float64(i)*step)/2595) - 1)
		return int(math.Floor(float64(length+1) * hz / v[2]))
	}
	triangles(y, rows, bins, edge)
	return nil
}}

// triangles draws each bin between its edges; what lies outside of the spectrum is cut.
func triangles(y *tensor.Tensor, rows, bins int, edge func(int) int) {
	for i := range bins {
		lo, mid, hi := edge(i), edge(i+1), edge(i+2)
		set := func(j int, v float64) {
			if j >= 0 && j < rows {
				y.SetFloat(j*bins+i, v)
			}
		}
		if lo == mid {
			set(mid, 1)
		} else {
			for j := max(lo, 0); j <= min(mid, rows-1); j++ {
				set(j, float64(j-lo)/float64(mid-lo))
			}
		}
		for j := max(mid, 0); j < min(hi, rows); j++ {
			set(j, float64(hi-j)/float64(hi-mid))
		}
	}
}
