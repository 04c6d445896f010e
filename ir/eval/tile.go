package eval

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
)

// reg is a register at some points: one value a point, or a single value that all points share. Floats are in
// F, integers and truth values in I.
type reg struct {
	class tile.Class
	f     []float64
	i     []int64
}

func (r *reg) float() bool { return r.class == tile.F32 || r.class == tile.F64 }

func (r *reg) len() int {
	if r.float() {
		return len(r.f)
	}
	return len(r.i)
}

func newReg(c tile.Class, n int) *reg {
	r := &reg{class: c}
	if r.float() {
		r.f = make([]float64, n)
	} else {
		r.i = make([]int64, n)
	}
	return r
}

// at is the index of point p in a register.
func (r *reg) at(p int) int {
	if r.len() == 1 {
		return 0
	}
	return p
}

// io is what a program reads and writes.
type io struct {
	points int
	load   func(in *tile.Instr) (*reg, error)
	store  func(arg int, r *reg) error
	index  func(axis int) (*reg, error)
	dims   []int64
	acc    *reg
}

// exec interprets a program one instruction after the other, each at all points. The result of each is
// computed in float64 and, in class f32, rounded to it: where a program decides (rounds, compares), it decides as kernels do.
func exec(p *tile.Program, x *io) error {
	regs := make([]*reg, len(p.Code))
	for i := range p.Code {
		r, err := step(&p.Code[i], regs, x)
		if err != nil {
			return fmt.Errorf("tile instruction %d (%v): %w", i, p.Code[i].Op, err)
		}
		if r != nil && r.class == tile.F32 {
			for k, v := range r.f {
				r.f[k] = float64(float32(v))
			}
		}
		regs[i] = r
	}
	return nil
}

func step(in *tile.Instr, regs []*reg, x *io) (*reg, error) {
	switch in.Op {
	case tile.Load:
		return x.load(in)
	case tile.Store:
		return nil, x.store(int(in.Arg), regs[in.A])
	case tile.Index:
		return x.index(int(in.Arg))
	case tile.Acc:
		if x.acc == nil || x.acc.class != in.Class {
			return nil, fmt.Errorf("there is no accumulator of class %v", in.Class)
		}
		return x.acc, nil
	case tile.Dim:
		if int(in.Arg) >= len(x.dims) {
			return nil, fmt.Errorf("dim %d of %d", in.Arg, len(x.dims))
		}
		return &reg{class: tile.I64, i: x.dims[in.Arg : in.Arg+1]}, nil
	case tile.Imm:
		r := newReg(in.Class, 1)
		if r.float() {
			r.f[0] = in.F
		} else {
			r.i[0] = in.I
		}
		return r, nil
	}
	a := regs[in.A]
	switch {
	case in.Op.IsReduce():
		return reduce(in, a, x.points), nil
	case in.Op == tile.Select:
		return choose(regs[in.C], a, regs[in.B]), nil
	case in.Op == tile.Cast:
		return convert(in.Class, a), nil
	case in.Op == tile.Round:
		return map1(a, a.class, func(v float64) float64 {
			return dtype.DecodeFloat(in.Elem, dtype.EncodeFloat(in.Elem, v, false))
		}, nil)
	case in.Op == tile.Wrap:
		return map1(a, a.class, nil, func(v int64) int64 { return wrap64(in.Elem, v) })
	case in.Op == tile.IsNaN:
		return test(a, math.IsNaN), nil
	case in.Op == tile.IsInf:
		return test(a, func(v float64) bool { return math.IsInf(v, 0) }), nil
	case in.Op == tile.Not && a.class == tile.Mask:
		return map1(a, a.class, nil, func(v int64) int64 { return v ^ 1 })
	case in.Op.IsUnary():
		return map1(a, a.class, floatUnary[in.Op], intUnary[in.Op])
	case in.Op.IsCompare():
		return compare(in.Op, a, regs[in.B]), nil
	case in.Op.IsBinary():
		return map2(a, regs[in.B], floatBinary[in.Op], intBinary[in.Op])
	}
	return nil, fmt.Errorf("the opcode is not known")
}

func map1(a *reg, c tile.Class, f func(float64) float64, g func(int64) int64) (*reg, error) {
	r := newReg(c, a.len())
	if a.float() {
		if f == nil {
			return nil, fmt.Errorf("not defined for class %v", a.class)
		}
		for i, v := range a.f {
			r.f[i] = f(v)
		}
		return r, nil
	}
	if g == nil {
		return nil, fmt.Errorf("not defined for class %v", a.class)
	}
	for i, v := range a.i {
		r.i[i] = g(v)
	}
	return r, nil
}

func map2(a, b *reg, f func(x, y float64) float64, g func(x, y int64) int64) (*reg, error) {
	if a.class != b.class || a.float() && f == nil || !a.float() && g == nil {
		return nil, fmt.Errorf("not defined for classes %v and %v", a.class, b.class)
	}
	n := pairLen(a, b)
	r := newReg(a.class, n)
	for i := 0; i < n; i++ {
		if a.float() {
			r.f[i] = f(a.f[a.at(i)], b.f[b.at(i)])
		} else {
			r.i[i] = g(a.i[a.at(i)], b.i[b.at(i)])
		}
	}
	return r, nil
}

// pairLen is the number of values of an operation on two registers: a single one goes with any number.
func pairLen(a, b *reg) int {
	if a.len() == 1 {
		return b.len()
	}
	return a.len()
}

func test(a *reg, f func(float64) bool) *reg {
	r := newReg(tile.Mask, a.len())
	for i, v := range a.f {
		r.i[i] = b2i(f(v))
	}
	return r
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func holds[T float64 | int64](op tile.Op, x, y T) bool {
	switch op {
	case tile.Eq:
		return x == y
	case tile.Ne:
		return x != y
	case tile.Lt:
		return x < y
	case tile.Le:
		return x <= y
	case tile.Gt:
		return x > y
	}
	return x >= y
}

func compare(op tile.Op, a, b *reg) *reg {
	n := pairLen(a, b)
	r := newReg(tile.Mask, n)
	for i := 0; i < n; i++ {
		if a.float() {
			r.i[i] = b2i(holds(op, a.f[a.at(i)], b.f[b.at(i)]))
		} else {
			r.i[i] = b2i(holds(op, a.i[a.at(i)], b.i[b.at(i)]))
		}
	}
	return r
}

func choose(c, a, b *reg) *reg {
	n := pairLen(a, b)
	if n == 1 {
		n = c.len()
	}
	r := newReg(a.class, n)
	for i := 0; i < n; i++ {
		from := b
		if c.i[c.at(i)] != 0 {
			from = a
		}
		if a.float() {
			r.f[i] = from.f[from.at(i)]
		} else {
			r.i[i] = from.i[from.at(i)]
		}
	}
	return r
}

// convert is the cast between classes: floats truncate to integers, and anything but zero is true.
func convert(c tile.Class, a *reg) *reg {
	r := newReg(c, a.len())
	for i := 0; i < a.len(); i++ {
		switch {
		case a.float() && r.float():
			r.f[i] = a.f[i]
		case r.float():
			r.f[i] = float64(a.i[i])
		case a.float() && c == tile.Mask:
			r.i[i] = b2i(a.f[i] != 0)
		case a.float():
			r.i[i] = int64(a.f[i])
		case c == tile.Mask:
			r.i[i] = b2i(a.i[i] != 0)
		default:
			r.i[i] = a.i[i]
		}
	}
	return r
}

// wrap64 keeps the low bits of v that an integer type holds, with its sign.
func wrap64(t dtype.Type, v int64) int64 {
	s := 64 - t.Bits()
	if t.IsSigned() {
		return v << s >> s
	}
	return int64(uint64(v) << s >> s)
}

// reduce ends a phase: one value from those at all points.
func reduce(in *tile.Instr, a *reg, points int) *reg {
	r := newReg(in.Class, 1)
	switch in.Op {
	case tile.RArgMax, tile.RArgMin:
		best := 0
		for p := 1; p < points; p++ {
			if better(in.Op == tile.RArgMax, a, p, best) {
				best = p
			}
		}
		r.i[0] = int64(best)
		return r
	case tile.RAny, tile.RAll:
		r.i[0] = b2i(in.Op == tile.RAll)
		for p := 0; p < points; p++ {
			if v := a.i[a.at(p)]; (v != 0) == (in.Op == tile.RAny) {
				r.i[0] = b2i(in.Op == tile.RAny)
			}
		}
		return r
	}
	if a.float() {
		r.f[0] = fold(points, func(p int) float64 { return a.f[a.at(p)] }, floatReduce[in.Op])
	} else {
		r.i[0] = fold(points, func(p int) int64 { return a.i[a.at(p)] }, intReduce[in.Op])
	}
	return r
}

// better reports whether point p beats the best so far: the first of equals wins, and a NaN beats numbers.
func better(largest bool, a *reg, p, best int) bool {
	if !a.float() {
		x, y := a.i[a.at(p)], a.i[a.at(best)]
		return largest && x > y || !largest && x < y
	}
	x, y := a.f[a.at(p)], a.f[a.at(best)]
	if math.IsNaN(x) || math.IsNaN(y) {
		return !math.IsNaN(y)
	}
	return largest && x > y || !largest && x < y
}

// reducer is a neutral element and an operation.
type reducer[T any] struct {
	zero T
	op   func(x, y T) T
}

func fold[T any](n int, at func(int) T, r reducer[T]) T {
	v := r.zero
	for i := 0; i < n; i++ {
		v = r.op(v, at(i))
	}
	return v
}

func add[T float64 | int64](x, y T) T     { return x + y }
func mul[T float64 | int64](x, y T) T     { return x * y }
func smaller[T float64 | int64](x, y T) T { return min(x, y) } // NaN if either is
func larger[T float64 | int64](x, y T) T  { return max(x, y) }

var floatReduce = map[tile.Op]reducer[float64]{
	tile.RSum: {0, add[float64]}, tile.RProd: {1, mul[float64]}, tile.RMin: {math.Inf(1), smaller[float64]}, tile.RMax: {math.Inf(-1), larger[float64]},
}

var intReduce = map[tile.Op]reducer[int64]{
	tile.RSum: {0, add[int64]}, tile.RProd: {1, mul[int64]}, tile.RMin: {math.MaxInt64, smaller[int64]}, tile.RMax: {math.MinInt64, larger[int64]},
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zeros and NaN
}

var floatUnary = map[tile.Op]func(float64) float64{
	tile.Neg: func(x float64) float64 { return -x }, tile.Abs: math.Abs, tile.Sqrt: math.Sqrt, tile.Recip: func(x float64) float64 { return 1 / x },
	tile.Exp: math.Exp, tile.Log: math.Log, tile.Sin: math.Sin, tile.Cos: math.Cos, tile.Tan: math.Tan, tile.Asin: math.Asin, tile.Acos: math.Acos, tile.Atan: math.Atan,
	tile.Sinh: math.Sinh, tile.Cosh: math.Cosh, tile.Tanh: math.Tanh, tile.Asinh: math.Asinh, tile.Acosh: math.Acosh, tile.Atanh: math.Atanh,
	tile.Erf: math.Erf, tile.Sigmoid: sigmoid,
	tile.Softplus: func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) },
	tile.Gelu:     func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 },
	tile.GeluTanh: func(x float64) float64 { return x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2 },
	tile.Silu:     func(x float64) float64 { return x * sigmoid(x) },
	tile.Relu:     func(x float64) float64 { return max(x, 0) },
	tile.Floor:    math.Floor, tile.Ceil: math.Ceil, tile.RoundEven: math.RoundToEven, tile.Sign: sign,
}

var intUnary = map[tile.Op]func(int64) int64{
	tile.Neg: func(x int64) int64 { return -x },
	tile.Abs: func(x int64) int64 {
		if x < 0 {
			return -x
		}
		return x
	},
	tile.Relu: func(x int64) int64 { return max(x, 0) },
	tile.Sign: func(x int64) int64 { return b2i(x > 0) - b2i(x < 0) },
	tile.Not:  func(x int64) int64 { return ^x },
}

var floatBinary = map[tile.Op]func(x, y float64) float64{
	tile.Add: add[float64], tile.Sub: func(x, y float64) float64 { return x - y }, tile.Mul: mul[float64], tile.Div: func(x, y float64) float64 { return x / y },
	tile.Fmod: math.Mod, tile.Pow: math.Pow, tile.Min: smaller[float64], tile.Max: larger[float64],
	tile.Mod: func(x, y float64) float64 {
		r := math.Mod(x, y)
		switch {
		case r == 0:
			r = math.Copysign(0, y)
		case (r < 0) != (y < 0):
			r += y
		}
		return r
	},
}

var intBinary = map[tile.Op]func(x, y int64) int64{
	tile.Add: add[int64], tile.Sub: func(x, y int64) int64 { return x - y }, tile.Mul: mul[int64], tile.Min: smaller[int64], tile.Max: larger[int64],
	tile.Div: func(x, y int64) int64 {
		if y == 0 {
			return 0
		}
		return x / y
	},
	tile.Fmod: func(x, y int64) int64 {
		if y == 0 {
			return 0
		}
		return x % y
	},
	tile.Mod: func(x, y int64) int64 {
		if y == 0 {
			return 0
		}
		r := x % y
		if r != 0 && (r < 0) != (y < 0) {
			r += y
		}
		return r
	},
	tile.Pow: powInt,
	tile.And: func(x, y int64) int64 { return x & y }, tile.Or: func(x, y int64) int64 { return x | y }, tile.Xor: func(x, y int64) int64 { return x ^ y },
	tile.Shl: func(x, y int64) int64 { return int64(uint64(x) << uint64(y)) },
	tile.Shr: func(x, y int64) int64 { return int64(uint64(x) >> uint64(y)) },
}

// powInt is x to the power y, modulo 2^64; a negative power is what truncating the fraction gives.
func powInt(x, y int64) int64 {
	if y < 0 {
		switch x {
		case 1:
			return 1
		case -1:
			return 1 - 2*(y&1)
		}
		return 0
	}
	r := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 == 1 {
			r *= x
		}
		x *= x
	}
	return r
}
