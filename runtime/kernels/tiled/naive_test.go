package tiled

import (
	"math"
	"math/rand/v2"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
)

// buffer is an operand's storage in a test: bytes with room on both sides, so that strides may be negative.
type buffer struct {
	elem   dtype.Type
	data   []byte
	origin int // element
	op     Operand
}

func (b *buffer) size() int { return b.elem.Bits() / 8 }

func (b *buffer) get(off int) float64 {
	p := unsafe.Pointer(&b.data[(b.origin+off)*b.size()])
	switch b.elem {
	case dtype.F32:
		return float64(*(*float32)(p))
	case dtype.F64:
		return *(*float64)(p)
	case dtype.F16:
		return float64(dtype.F16ToF32(*(*uint16)(p)))
	case dtype.BF16:
		return float64(dtype.BF16ToF32(*(*uint16)(p)))
	case dtype.I64:
		return float64(*(*int64)(p))
	case dtype.I32:
		return float64(*(*int32)(p))
	case dtype.I8:
		return float64(*(*int8)(p))
	case dtype.U16:
		return float64(*(*uint16)(p))
	}
	return float64(*(*uint8)(p))
}

func (b *buffer) set(off int, v float64) {
	p := unsafe.Pointer(&b.data[(b.origin+off)*b.size()])
	switch b.elem {
	case dtype.F32:
		*(*float32)(p) = float32(v)
	case dtype.F64:
		*(*float64)(p) = v
	case dtype.F16:
		*(*uint16)(p) = dtype.F32ToF16(float32(v))
	case dtype.BF16:
		*(*uint16)(p) = dtype.F32ToBF16(float32(v))
	case dtype.I64:
		*(*int64)(p) = int64(v)
	case dtype.I32:
		*(*int32)(p) = int32(int64(v))
	case dtype.I8:
		*(*int8)(p) = int8(int64(v))
	case dtype.U16:
		*(*uint16)(p) = uint16(int64(v))
	default:
		*(*uint8)(p) = uint8(int64(v))
	}
}

// layout makes random storage for an operand over a space: dense in a random order of axes, with gaps, broadcasts where allowed, and backward axes.
func layout(r *rand.Rand, t dtype.Type, ext []int, broadcast func(axis int) bool) *buffer {
	b := &buffer{elem: t, op: Operand{Strides: make([]int, len(ext))}}
	order := r.Perm(len(ext))
	if r.IntN(2) == 0 {
		for i := range order {
			order[i] = len(ext) - 1 - i
		}
	}
	n := 1
	if r.IntN(6) == 0 {
		n = 2
	}
	back := 0
	for _, a := range order {
		if broadcast(a) {
			continue
		}
		b.op.Strides[a] = n
		if r.IntN(12) == 0 {
			b.op.Strides[a] = -n
			back += n * max(ext[a]-1, 0)
		}
		n *= max(ext[a], 1)
		if r.IntN(8) == 0 {
			n += r.IntN(3)
		}
	}
	b.data = make([]byte, (n+2)*b.size())
	b.origin = back
	b.op.Ptr = unsafe.Pointer(&b.data[b.origin*b.size()])
	for i := range n {
		v := math.Round(r.NormFloat64()*64) / 16
		if t == dtype.Bool {
			v = float64(r.IntN(2))
		} else if t.IsInt() {
			v = float64(r.IntN(100))
			if t.IsSigned() {
				v -= 50
			}
		}
		b.set(i-b.origin, v)
	}
	return b
}

// naive evaluates a program position by position, one value at a time in double precision, rounded to float32 where the class is.
func naive(p *tile.Program, par, red []int, bufs []*buffer, ins int, dims []int64) [][]float64 {
	nPar, nRed := product(par), product(red)
	out := make([][]float64, len(bufs))
	for k := ins; k < len(bufs); k++ {
		out[k] = make([]float64, nPar*nRed)
	}
	vals := make([][]float64, len(p.Code)) // by position in the row
	for i := range vals {
		vals[i] = make([]float64, max(nRed, 1))
	}
	for pp := range nPar {
		for i := range p.Code {
			in := &p.Code[i]
			if in.Op.IsReduce() {
				v := naiveReduce(in.Op, vals[in.A][:nRed])
				for j := range vals[i] {
					vals[i][j] = v
				}
				continue
			}
			for j := range max(nRed, 1) {
				at := append(unflatten(pp, par), unflatten(j, red)...)
				var v float64
				switch in.Op {
				case tile.Load:
					if nRed > 0 || !moves(bufs[in.Arg].op.Strides[len(par):]) {
						v = bufs[in.Arg].get(offset(bufs, int(in.Arg), at))
					}
				case tile.Store:
					if nRed > 0 {
						out[in.Arg][pp*nRed+j] = vals[in.A][j]
					} else if j == 0 && len(out[in.Arg]) == 0 {
						out[in.Arg] = make([]float64, nPar)
						out[in.Arg][pp] = vals[in.A][0]
					} else {
						out[in.Arg][pp] = vals[in.A][0]
					}
				case tile.Imm:
					v = in.F + float64(in.I)
				case tile.Dim:
					v = float64(dims[in.Arg])
				case tile.Index:
					v = float64(at[in.Arg])
				default:
					var x, y, z float64
					x, y, z = vals[in.A][j], vals[in.B][j], vals[in.C][j]
					v = naiveOp(in, p.Code[in.A].Class, x, y, z)
				}
				if in.Class == tile.F32 {
					v = float64(float32(v))
				}
				vals[i][j] = v
			}
		}
	}
	return out
}

func moves(s []int) bool {
	for _, v := range s {
		if v != 0 {
			return true
		}
	}
	return false
}

func offset(bufs []*buffer, k int, at []int) int {
	off := 0
	for i, a := range at {
		off += a * bufs[k].op.Strides[i]
	}
	for _, v := range bufs[k].op.Via {
		x := int(bufs[v.Operand].get(offset(bufs, v.Operand, at)))
		if x < 0 {
			x += v.Extent
		}
		off += x * v.Stride
	}
	return off
}

func product(e []int) int {
	n := 1
	for _, v := range e {
		n *= v
	}
	return n
}

func unflatten(f int, ext []int) []int {
	at := make([]int, len(ext))
	for i := len(ext) - 1; i >= 0; i-- {
		if ext[i] > 0 {
			at[i] = f % ext[i]
			f /= ext[i]
		}
	}
	return at
}

func naiveReduce(op tile.Op, x []float64) float64 {
	acc, at := map[tile.Op]float64{tile.RMax: math.Inf(-1), tile.RMin: math.Inf(1), tile.RProd: 1, tile.RAll: 1}[op], 0
	for j, v := range x {
		switch op {
		case tile.RSum:
			acc += v
		case tile.RProd:
			acc *= v
		case tile.RMax:
			acc = math.Max(acc, v)
		case tile.RMin:
			acc = math.Min(acc, v)
		case tile.RAny:
			acc = math.Max(acc, v)
		case tile.RAll:
			acc = math.Min(acc, v)
		case tile.RArgMax:
			if v > x[at] {
				at = j
			}
		case tile.RArgMin:
			if v < x[at] {
				at = j
			}
		}
	}
	if op == tile.RArgMax || op == tile.RArgMin {
		return float64(at)
	}
	return acc
}

func naiveOp(in *tile.Instr, class tile.Class, x, y, z float64) float64 {
	b := func(c bool) float64 {
		if c {
			return 1
		}
		return 0
	}
	switch in.Op {
	case tile.Add:
		return x + y
	case tile.Sub:
		return x - y
	case tile.Mul:
		return x * y
	case tile.Max:
		return math.Max(x, y)
	case tile.Min:
		return math.Min(x, y)
	case tile.Neg:
		return -x
	case tile.Abs:
		return math.Abs(x)
	case tile.Relu:
		return math.Max(x, 0)
	case tile.Lt:
		return b(x < y)
	case tile.Ge:
		return b(x >= y)
	case tile.Eq:
		return b(x == y)
	case tile.Ne:
		return b(x != y)
	case tile.Select:
		if z != 0 {
			return x
		}
		return y
	case tile.Not:
		return 1 - x
	case tile.And:
		return math.Min(x, y)
	case tile.Or:
		return math.Max(x, y)
	case tile.Cast:
		switch in.Class {
		case tile.I64:
			return math.Trunc(x)
		case tile.Mask:
			return b(x != 0)
		}
		return x
	}
	panic(in.Op.String())
}
