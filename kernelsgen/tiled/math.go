package tiled

import "math"

// The polynomials are minimax fits (Remez exchange in 40 digits) of the functions named; the bound is the relative error before rounding.

var (
	// (exp(r) - 1 - r)/r^2 for |r| <= ln(2)/2; 3.1e-9 of exp.
	expPoly = []float64{0.499999934, 0.1666651997, 0.04166839578, 0.008368796608, 0.001381443332}
	// erf(x)/x in x^2 for |x| <= 0.9; 1.2e-8.
	erfPoly = []float64{1.128379154, -0.3761252328, 0.1128214081, -0.02677890885, 0.00501196271, -0.0006090359355}
	// log(erfc(x)) for x in [0.9, 4]; 1.7e-9 of erf.
	erfcPoly = []float64{-0.0001664486328, -1.127797238, -0.6369760923, -0.1041136697, 0.02231520804, -0.003065488844, 0.0001982194835}
	// log(erfc(x/sqrt(2))/2) for x in [0, 6], weighted by the root of erfc: 3.6e-8/sqrt(p) of p, the tail of the normal distribution.
	tailPoly = []float64{
		-0.6931471301, -0.7978875103, -0.3182822443, -0.0364330903, 0.004950827668, -0.0001231191886, -0.0001273058062, 3.116367872e-5,
		-3.348843079e-6, 1.442953491e-7,
	}
)

// exp clamps arguments to where the result is infinite or 0; NaN stays.
func (e *emitter) exp(x vec) vec {
	x = e.minOf(e.load(e.c(89)), x)
	return e.expIn(e.maxOf(e.load(e.c(-104.5)), x))
}

// reduceExp splits x times scale into k ln 2 + r with an integer k.
func (e *emitter) reduceExp(x vec, scale float64) (k, r vec) {
	k = e.rounded(e.mul(x, e.c(scale*math.Log2E)), toNearest)
	// ln 2 in two parts; the first has few enough bits that k times it is exact.
	const hi = 0.693359375
	r = e.copyOf(x)
	e.VFNMADD231PS(e.c(hi/scale), k, r)
	e.VFNMADD231PS(e.c((math.Ln2-hi)/scale), k, r)
	if scale != 1 {
		r = e.mul(r, e.c(scale))
	}
	return k, r
}

// expIn is 2^k * exp(r) for arguments in [-104.5, 89].
func (e *emitter) expIn(x vec) vec {
	k, r := e.reduceExp(x, 1)
	p := e.horner(r, append([]float64{1, 1}, expPoly...)...)
	if e.wide() {
		d := e.vec()
		e.VSCALEFPS(k, p, d)
		return d
	}
	// Two factors, as 2^k alone leaves the range of normal numbers.
	i, half := e.vec(), e.vec()
	e.VCVTPS2DQ(k, i)
	e.VPSRAD(imm(1), i, half)
	e.VPSUBD(half, i, i)
	return e.mul(e.mul(p, e.power(half)), e.power(i))
}

// power is 2^i for small integers.
func (e *emitter) power(i vec) vec {
	e.VPADDD(e.bits(127), i, i)
	e.VPSLLD(imm(23), i, i)
	return i
}

func (e *emitter) sigmoid(x vec) vec { return e.div(e.load(e.c(1)), e.onePlusExpNeg(x)) }

func (e *emitter) onePlusExpNeg(x vec) vec { return e.add(e.exp(e.xor(x, e.bits(1<<31))), e.c(1)) }

func (e *emitter) silu(x vec) vec { return e.div(x, e.onePlusExpNeg(x)) }

func (e *emitter) geluTanh(x vec) vec {
	a := 2 * math.Sqrt(2/math.Pi)
	u := e.horner(e.mul(x, x), a, a*0.044715)
	return e.div(x, e.onePlusExpNeg(e.mul(u, x)))
}

// tanh is m/(m + 2) with m = exp(2x) - 1 = 2^k (exp(r) - 1) + (2^k - 1), which keeps the digits of small arguments. From 9.02 on it is 1.
func (e *emitter) tanh(x vec) vec {
	x = e.minOf(e.load(e.c(9.02)), x)
	x = e.maxOf(e.load(e.c(-9.02)), x)
	k, r := e.reduceExp(x, 2)
	p := e.mul(e.horner(r, append([]float64{1}, expPoly...)...), r)
	s := e.load(e.c(1))
	if e.wide() {
		d := e.vec()
		e.VSCALEFPS(k, s, d)
		s = d
	} else {
		i := e.vec()
		e.VCVTPS2DQ(k, i)
		s = e.power(i)
	}
	m := e.sub(s, e.c(1))
	e.VFMADD231PS(p, s, m)
	return e.div(m, e.add(m, e.c(2)))
}

func (e *emitter) erf(x vec) vec {
	t := e.abs(x)
	y := e.expIn(e.horner(e.minOf(e.load(e.c(4)), t), erfcPoly...))
	y = e.sub(e.load(e.c(1)), y)
	y = e.or(y, e.and(x, e.bits(1<<31)))
	s := e.mul(e.horner(e.mul(x, x), erfPoly...), x)
	return e.blend(e.compare(cmpLT, t, e.c(0.9)), s, y)
}

// gelu is x times the normal distribution, by its tail at |x|. Below -6 that is less than 1e-9 and taken as 0.
func (e *emitter) gelu(x vec) vec {
	t := e.abs(x)
	q := e.expIn(e.horner(e.minOf(e.load(e.c(6)), t), tailPoly...))
	zero := e.vec()
	e.Zero(zero)
	q = e.blend(e.compare(cmpGT, t, e.c(6)), zero, q)
	return e.mul(x, e.blend(e.compare(cmpLT, x, zero), q, e.sub(e.load(e.c(1)), q)))
}

func (e *emitter) relu(x vec) vec {
	zero := e.vec()
	e.Zero(zero)
	return e.maxOf(zero, x)
}

// minNaN and maxNaN give NaN where either is.
func (e *emitter) minNaN(x, y vec) vec { return e.blend(e.compare(cmpUnord, x, x), x, e.minOf(x, y)) }
func (e *emitter) maxNaN(x, y vec) vec { return e.blend(e.compare(cmpUnord, x, x), x, e.maxOf(x, y)) }

// quotient is x/d for a divisor d that serves many x: the product with r = 1/d, corrected by its remainder, which is exact (Markstein,
// IBM Journal of Research and Development 34, 1990). Where the remainder is NaN the product is the quotient.
func (e *emitter) quotient(x, d, r vec) vec {
	q := e.mul(x, r)
	rem, better := e.copyOf(x), e.copyOf(q)
	e.VFNMADD231PS(d, q, rem)
	e.VFMADD231PS(r, rem, better)
	return e.blend(e.compare(cmpUnord, rem, rem), q, better)
}
