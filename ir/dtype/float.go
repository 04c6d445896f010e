package dtype

import "math"

// floatFormat describes a small floating-point format: sign (if any), exp bits, man bits.
type floatFormat struct {
	exp, man, bias int
	signed         bool
	inf            bool // has infinities (IEEE-like top exponent)
	fnuz           bool // the negative zero code is the only NaN
	nan            bool // has any NaN
}

var formats = map[Type]floatFormat{
	F16:        {5, 10, 15, true, true, false, true},
	F8E4M3FN:   {4, 3, 7, true, false, false, true},
	F8E4M3FNUZ: {4, 3, 8, true, false, true, true},
	F8E5M2:     {5, 2, 15, true, true, false, true},
	F8E5M2FNUZ: {5, 2, 16, true, false, true, true},
	F4E2M1:     {2, 1, 1, true, false, false, false},
}

// F16ToF32 widens one half-precision value (IEEE 754 binary16); exact.
func F16ToF32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 31
	man := uint32(h) & 1023
	switch exp {
	case 0:
		f := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// F32ToF16 rounds to the nearest half-precision value, ties to even.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	a := b & 0x7fffffff
	switch {
	case a > 0x7f800000: // NaN: keep the top payload bits and stay a NaN
		return sign | 0x7c00 | uint16(a>>13)&0x3ff | 0x200
	case a >= 0x477ff000: // rounds to at least 2^16
		return sign | 0x7c00
	case a < 0x38800000: // subnormal in half: adding 2^-1*2^... aligns the mantissa so that the FPU rounds
		s := math.Float32frombits(a) + 0.5
		return sign | uint16(math.Float32bits(s)-0x3f000000)
	}
	a += 0xfff + (a>>13)&1
	return sign | uint16((a-112<<23)>>13)
}

// BF16ToF32 widens one bfloat16 value; exact.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16 value, ties to even.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}

// DecodeFloat turns the stored bits of a real floating-point type into its value; exact in float64.
func DecodeFloat(t Type, bits uint64) float64 {
	switch t {
	case F64:
		return math.Float64frombits(bits)
	case F32:
		return float64(math.Float32frombits(uint32(bits)))
	case F16:
		return float64(F16ToF32(uint16(bits)))
	case BF16:
		return float64(BF16ToF32(uint16(bits)))
	case F8E8M0:
		if bits == 255 {
			return math.NaN()
		}
		return math.Ldexp(1, int(bits)-127)
	}
	f := formats[t]
	w := f.exp + f.man
	neg := bits>>w&1 == 1
	e := int(bits>>f.man) & (1<<f.exp - 1)
	m := int(bits) & (1<<f.man - 1)
	top := e == 1<<f.exp-1
	if f.fnuz && neg && e == 0 && m == 0 {
		return math.NaN()
	}
	if top && f.inf {
		if m != 0 {
			return math.NaN()
		}
		return math.Inf(1 - 2*b2i(neg))
	}
	if top && f.nan && !f.inf && !f.fnuz && m == 1<<f.man-1 {
		return math.NaN()
	}
	var v float64
	if e == 0 {
		v = math.Ldexp(float64(m), 1-f.bias-f.man)
	} else {
		v = math.Ldexp(float64(m+1<<f.man), e-f.bias-f.man)
	}
	if neg {
		v = -v
	}
	return v
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// EncodeFloat rounds v to the nearest value of the type, ties to even, and returns its bits. A value beyond
// the largest finite one becomes that one where saturate is set, else infinity, or NaN in types without
// infinities (ONNX Cast). F4E2M1 always saturates. F8E8M0 rounds up to a power of two.
func EncodeFloat(t Type, v float64, saturate bool) uint64 {
	switch t {
	case F64:
		return math.Float64bits(v)
	case F32:
		return uint64(math.Float32bits(float32(v)))
	case BF16:
		return uint64(F32ToBF16(oddF32(v)))
	case F16:
		return uint64(F32ToF16(oddF32(v)))
	case F8E8M0:
		return encodeE8M0(v)
	}
	f := formats[t]
	w := f.exp + f.man
	var sign uint64
	if math.Signbit(v) {
		sign = 1 << w
	}
	maxCode := uint64(1)<<w - 1 // largest finite magnitude
	nan := sign | maxCode
	switch {
	case f.inf:
		maxCode -= 1 << f.man // the top exponent is taken
		nan = sign | (1<<w - 1)
	case f.fnuz:
		nan = 1 << w
	case f.nan:
		maxCode--
	}
	if t == F4E2M1 {
		saturate = true
		nan = 1 << w // the format has none: the published cases of ONNX Cast give a zero
	}
	if math.IsNaN(v) {
		return nan
	}
	over := nan
	if f.inf {
		over = sign | uint64(1<<f.exp-1)<<f.man
	}
	if saturate {
		over = sign | maxCode
	}
	a := math.Abs(v)
	if math.IsInf(v, 0) {
		return over
	}
	_, e := math.Frexp(a) // a = fr * 2^e, fr in [0.5, 1)
	lsb := max(e-1, 1-f.bias) - f.man
	q := math.RoundToEven(math.Ldexp(a, -lsb)) // in units of the last place
	if q == 0 {
		if f.fnuz {
			return 0
		}
		return sign
	}
	code := uint64(q)
	if lsb > 1-f.bias-f.man { // normal: add the exponent; a carry out of the mantissa moves it by itself
		code += uint64(lsb-(1-f.bias-f.man)) << f.man
	}
	if code > maxCode {
		return over
	}
	return sign | code
}

// oddF32 narrows to f32 rounding to odd, so that a second rounding to 16 bits is as good as one (Boldo and
// Melquiond, 2008).
func oddF32(v float64) float32 {
	f := float32(v)
	if float64(f) == v || math.IsNaN(v) || math.IsInf(float64(f), 0) {
		return f
	}
	b := math.Float32bits(f)
	if b&1 == 1 {
		return f
	}
	if math.Abs(v) > math.Abs(float64(f)) {
		return math.Float32frombits(b | 1)
	}
	return math.Float32frombits(b - 1)
}

func encodeE8M0(v float64) uint64 {
	switch {
	case math.IsNaN(v):
		return 255
	case v <= 0 || math.IsInf(v, 0):
		if math.IsInf(v, 1) {
			return 254
		}
		return 0
	}
	fr, e := math.Frexp(v)
	p := e - 1
	if fr > 0.5 {
		p++
	}
	return uint64(min(max(p+127, 0), 254))
}
