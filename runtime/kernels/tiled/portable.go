package tiled

import (
	"math"
	"unsafe"

	"golang.org/x/exp/constraints"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
)

// portable runs one instruction on a line: the definition of correct for every row of the table, and the only code of classes other
// than f32.
func portable(st *step, a *args) {
	op := st.in.Op
	switch {
	case op == tile.Select:
		choose(st, a)
	case op == tile.Cast:
		cast(st.class, st.in.Class, a)
	case op == tile.Round:
		round(st, a)
	case op == tile.Wrap:
		wrap(st.in.Elem, a)
	case op == opExpSub:
		expSub(st.mode, a)
	case op.IsCompare():
		compare(op, st.class, st.mode, a)
	case op.IsBinary():
		binary(op, st.class, st.mode, a)
	default:
		unary(op, st.class, a)
	}
}

func view[T any](p unsafe.Pointer, n int) []T { return unsafe.Slice((*T)(p), n) }

// side is an operand with the bits of an index that it looks at: all, or none where it is one element.
func side[T any](p unsafe.Pointer, n int, one bool) ([]T, int) {
	if one {
		return view[T](p, 1), 0
	}
	return view[T](p, n), -1
}

func truth(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func binary(op tile.Op, class tile.Class, mode uint8, a *args) {
	switch class {
	case tile.F32:
		binaryFloat[float32](op, mode, a)
	case tile.F64:
		binaryFloat[float64](op, mode, a)
	case tile.I64:
		binaryInt(op, mode, a)
	default:
		binaryMask(op, mode, a)
	}
}

func binaryFloat[T constraints.Float](op tile.Op, mode uint8, a *args) {
	d := view[T](a.dst, a.n)
	x, mx := side[T](a.a, a.n, mode&modeSV != 0)
	y, my := side[T](a.b, a.n, mode&modeVS != 0)
	switch op {
	case tile.Add:
		for i := range d {
			d[i] = x[i&mx] + y[i&my]
		}
	case tile.Sub:
		for i := range d {
			d[i] = x[i&mx] - y[i&my]
		}
	case tile.Mul:
		for i := range d {
			d[i] = x[i&mx] * y[i&my]
		}
	case tile.Div:
		for i := range d {
			d[i] = x[i&mx] / y[i&my]
		}
	case tile.Min:
		for i := range d {
			d[i] = min(x[i&mx], y[i&my])
		}
	case tile.Max:
		for i := range d {
			d[i] = max(x[i&mx], y[i&my])
		}
	case tile.Pow:
		if my == 0 && (y[0] == 2 || y[0] == 3) {
			for i := range d {
				v := x[i&mx]
				w := v
				if y[0] == 3 {
					w *= v
				}
				d[i] = w * v
			}
			return
		}
		for i := range d {
			d[i] = T(math.Pow(float64(x[i&mx]), float64(y[i&my])))
		}
	case tile.Fmod:
		for i := range d {
			d[i] = T(math.Mod(float64(x[i&mx]), float64(y[i&my])))
		}
	case tile.Mod:
		for i := range d {
			d[i] = T(floorMod(float64(x[i&mx]), float64(y[i&my])))
		}
	}
}

// expSub rounds the difference to float32, as the two operations would.
func expSub(mode uint8, a *args) {
	d := view[float32](a.dst, a.n)
	x, mx := side[float32](a.a, a.n, mode&modeSV != 0)
	y, my := side[float32](a.b, a.n, mode&modeVS != 0)
	for i := range d {
		d[i] = float32(math.Exp(float64(x[i&mx] - y[i&my])))
	}
}

// floorMod has the sign of the divisor.
func floorMod(x, y float64) float64 {
	r := math.Mod(x, y)
	switch {
	case r == 0:
		return math.Copysign(0, y)
	case (r < 0) != (y < 0):
		return r + y
	}
	return r
}

func binaryInt(op tile.Op, mode uint8, a *args) {
	d := view[int64](a.dst, a.n)
	x, mx := side[int64](a.a, a.n, mode&modeSV != 0)
	y, my := side[int64](a.b, a.n, mode&modeVS != 0)
	switch op {
	case tile.Add:
		for i := range d {
			d[i] = x[i&mx] + y[i&my]
		}
	case tile.Sub:
		for i := range d {
			d[i] = x[i&mx] - y[i&my]
		}
	case tile.Mul:
		for i := range d {
			d[i] = x[i&mx] * y[i&my]
		}
	default:
		for i := range d {
			d[i] = scalarInt(op, x[i&mx], y[i&my])
		}
	}
}

func scalarInt(op tile.Op, x, y int64) int64 {
	switch op {
	case tile.Div:
		if y == 0 {
			return 0
		}
		return x / y
	case tile.Mod, tile.Fmod:
		if y == 0 {
			return 0
		}
		r := x % y
		if op == tile.Mod && r != 0 && (r < 0) != (y < 0) {
			r += y
		}
		return r
	case tile.Pow:
		return powInt(x, y)
	case tile.Min:
		return min(x, y)
	case tile.Max:
		return max(x, y)
	case tile.And:
		return x & y
	case tile.Or:
		return x | y
	case tile.Xor:
		return x ^ y
	case tile.Shl:
		return int64(uint64(x) << uint64(y)) // 0 where y is 64 or more
	}
	return int64(uint64(x) >> uint64(y))
}

// powInt is x to the power of y modulo 2^64; a negative power is truncated to an integer.
func powInt(x, y int64) int64 {
	if y < 0 {
		switch {
		case x == 1:
			return 1
		case x == -1:
			return 1 - 2*(y&1)
		}
		return 0
	}
	r := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 != 0 {
			r *= x
		}
		x *= x
	}
	return r
}

func binaryMask(op tile.Op, mode uint8, a *args) {
	d := view[uint8](a.dst, a.n)
	x, mx := side[uint8](a.a, a.n, mode&modeSV != 0)
	y, my := side[uint8](a.b, a.n, mode&modeVS != 0)
	for i := range d {
		p, q := truth(x[i&mx] != 0), truth(y[i&my] != 0)
		switch op {
		case tile.And:
			d[i] = p & q
		case tile.Or:
			d[i] = p | q
		default:
			d[i] = p ^ q
		}
	}
}

func compare(op tile.Op, class tile.Class, mode uint8, a *args) {
	switch class {
	case tile.F32:
		compareEach[float32](op, mode, a)
	case tile.F64:
		compareEach[float64](op, mode, a)
	case tile.I64:
		compareEach[int64](op, mode, a)
	default:
		compareEach[uint8](op, mode, a)
	}
}

func compareEach[T float32 | float64 | int64 | uint8](op tile.Op, mode uint8, a *args) {
	d := view[uint8](a.dst, a.n)
	x, mx := side[T](a.a, a.n, mode&modeSV != 0)
	y, my := side[T](a.b, a.n, mode&modeVS != 0)
	switch op {
	case tile.Eq:
		for i := range d {
			d[i] = truth(x[i&mx] == y[i&my])
		}
	case tile.Ne:
		for i := range d {
			d[i] = truth(x[i&mx] != y[i&my])
		}
	case tile.Lt:
		for i := range d {
			d[i] = truth(x[i&mx] < y[i&my])
		}
	case tile.Le:
		for i := range d {
			d[i] = truth(x[i&mx] <= y[i&my])
		}
	case tile.Gt:
		for i := range d {
			d[i] = truth(x[i&mx] > y[i&my])
		}
	default:
		for i := range d {
			d[i] = truth(x[i&mx] >= y[i&my])
		}
	}
}

func choose(st *step, a *args) {
	switch st.asize {
	case 1:
		chooseEach[uint8](st.mode, a)
	case 4:
		chooseEach[uint32](st.mode, a)
	default:
		chooseEach[uint64](st.mode, a)
	}
}

func chooseEach[T any](mode uint8, a *args) {
	d := view[T](a.dst, a.n)
	x, mx := side[T](a.a, a.n, mode&modeSV != 0)
	y, my := side[T](a.b, a.n, mode&modeVS != 0)
	for i, m := range view[uint8](a.c, a.n) {
		if m != 0 {
			d[i] = x[i&mx]
		} else {
			d[i] = y[i&my]
		}
	}
}

func unary(op tile.Op, class tile.Class, a *args) {
	switch class {
	case tile.F32:
		unaryFloat[float32](op, a)
	case tile.F64:
		unaryFloat[float64](op, a)
	case tile.I64:
		d, x := view[int64](a.dst, a.n), view[int64](a.a, a.n)
		for i, v := range x {
			d[i] = unaryInt(op, v)
		}
	default: // not
		d := view[uint8](a.dst, a.n)
		for i, v := range view[uint8](a.a, a.n) {
			d[i] = truth(v == 0)
		}
	}
}

func unaryInt(op tile.Op, v int64) int64 {
	switch op {
	case tile.Neg:
		return -v
	case tile.Abs:
		return max(v, -v)
	case tile.Relu:
		return max(v, 0)
	case tile.Not:
		return ^v
	}
	return min(max(v, -1), 1) // sign
}

func unaryFloat[T constraints.Float](op tile.Op, a *args) {
	x := view[T](a.a, a.n)
	if op == tile.IsNaN || op == tile.IsInf {
		d := view[uint8](a.dst, a.n)
		for i, v := range x {
			if op == tile.IsNaN {
				d[i] = truth(v != v)
			} else {
				d[i] = truth(math.IsInf(float64(v), 0))
			}
		}
		return
	}
	d := view[T](a.dst, a.n)
	switch op {
	case tile.Neg:
		for i, v := range x {
			d[i] = -v
		}
	case tile.Abs:
		for i, v := range x {
			d[i] = T(math.Abs(float64(v)))
		}
	case tile.Sqrt:
		for i, v := range x {
			d[i] = T(math.Sqrt(float64(v)))
		}
	case tile.Recip:
		for i, v := range x {
			d[i] = 1 / v
		}
	case tile.Relu:
		for i, v := range x {
			if v < 0 {
				v = 0
			}
			d[i] = v
		}
	default:
		f := floatFunc(op)
		for i, v := range x {
			d[i] = T(f(float64(v)))
		}
	}
}

func cast(from, to tile.Class, a *args) {
	switch from {
	case tile.F32:
		castFrom[float32](to, a)
	case tile.F64:
		castFrom[float64](to, a)
	case tile.I64:
		castFrom[int64](to, a)
	default:
		castFrom[uint8](to, a)
	}
}

func castFrom[S float32 | float64 | int64 | uint8](to tile.Class, a *args) {
	x := view[S](a.a, a.n)
	switch to {
	case tile.F32:
		d := view[float32](a.dst, a.n)
		for i, v := range x {
			d[i] = float32(v)
		}
	case tile.F64:
		d := view[float64](a.dst, a.n)
		for i, v := range x {
			d[i] = float64(v)
		}
	case tile.Mask:
		d := view[uint8](a.dst, a.n)
		for i, v := range x {
			d[i] = truth(v != 0)
		}
	default:
		d := view[int64](a.dst, a.n)
		var s S
		if s = 1; s/2 == 0 { // integers
			for i, v := range x {
				d[i] = int64(v)
			}
			return
		}
		for i, v := range x {
			d[i] = truncate(float64(v))
		}
	}
}

// truncate converts towards zero; what does not fit gives the smallest integer, as the processors' instruction does.
func truncate(f float64) int64 {
	if f >= -0x1p63 && f < 0x1p63 {
		return int64(f)
	}
	return math.MinInt64
}

func round(st *step, a *args) {
	t := st.in.Elem
	if st.class == tile.F64 {
		d := view[float64](a.dst, a.n)
		for i, v := range view[float64](a.a, a.n) {
			d[i] = dtype.DecodeFloat(t, dtype.EncodeFloat(t, v, false))
		}
		return
	}
	d, x := view[float32](a.dst, a.n), view[float32](a.a, a.n)
	switch t {
	case dtype.F16:
		for i, v := range x {
			d[i] = dtype.F16ToF32(dtype.F32ToF16(v))
		}
	case dtype.BF16:
		for i, v := range x {
			d[i] = dtype.BF16ToF32(dtype.F32ToBF16(v))
		}
	default:
		for i, v := range x {
			d[i] = float32(dtype.DecodeFloat(t, dtype.EncodeFloat(t, float64(v), false)))
		}
	}
}

func wrap(t dtype.Type, a *args) {
	d := view[int64](a.dst, a.n)
	shift := uint(64 - min(t.Bits(), 64))
	signed := t.IsSigned()
	for i, v := range view[int64](a.a, a.n) {
		if signed {
			d[i] = v << shift >> shift
		} else {
			d[i] = int64(uint64(v) << shift >> shift)
		}
	}
}
