package tiled

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/operand" //nolint:revive,staticcheck // operands read like assembly

	"github.com/llmc-go/llmc/ir/tile"
)

var (
	negInf = math.Inf(-1)
	posInf = math.Inf(1)
)

// goName is how package tile spells an opcode in Go.
var goName = map[tile.Op]string{
	tile.Add: "Add", tile.Sub: "Sub", tile.Mul: "Mul", tile.Div: "Div", tile.Min: "Min", tile.Max: "Max", tile.Neg: "Neg", tile.Abs: "Abs",
	tile.Relu: "Relu", tile.Sqrt: "Sqrt", tile.Recip: "Recip", tile.Floor: "Floor", tile.Ceil: "Ceil", tile.RoundEven: "RoundEven",
	tile.Exp: "Exp", tile.Tanh: "Tanh", tile.Sigmoid: "Sigmoid", tile.Erf: "Erf", tile.Gelu: "Gelu", tile.GeluTanh: "GeluTanh",
	tile.Silu: "Silu", tile.Eq: "Eq", tile.Ne: "Ne", tile.Lt: "Lt", tile.Le: "Le", tile.Gt: "Gt", tile.Ge: "Ge", tile.Select: "Select",
	tile.RSum: "RSum", tile.RMax: "RMax", tile.RMin: "RMin",
}

// reduction writes *dst = a[0] op a[1] op ...: a vector of partial results for each of the unrolled steps, joined pairwise at the end. Maxima
// and minima remember apart whether a NaN was seen, as the instructions drop it.
func (e *emitter) reduction(name string, k kernel) {
	e.Func(name, fmt.Sprintf("does %v of n elements, %d a step.", k.op, k.unroll*e.lanes))
	e.pinned = nil
	a, n := e.LoadInt("a"), e.LoadInt("n")
	start := e.load(e.c(k.start))
	acc := make([]vec, k.unroll)
	for i := range acc {
		acc[i] = e.copyOf(start)
	}
	sum := k.op == tile.RSum
	var nans []vec // all ones in lanes that were NaN
	if !sum {
		for range 2 {
			v := e.vec()
			e.Zero(v)
			nans = append(nans, v)
		}
	}
	e.loops("", n, k.unroll, func(u int, mask Op) {
		x := e.fetch(Mem{Base: a, Disp: u * e.lanes * 4}, mask)
		if mask != nil && !sum {
			x = e.blend(mask, x, start)
		}
		if !sum {
			e.orNaN(x, nans[u%2])
		}
		e.VMOVAPS(k.fold(e, acc[u], x), acc[u])
	}, func(vecs int) { e.ADDQ(U32(vecs*e.lanes*4), a) })
	for w := len(acc) / 2; w > 0; w /= 2 {
		for i := range w {
			acc[i] = k.fold(e, acc[i], acc[i+w])
		}
	}
	r := e.across(k, acc[0])
	dst := e.LoadInt("dst")
	e.VMOVSS(r.AsX(), Mem{Base: dst})
	if !sum {
		e.anyNaN(e.or(nans[0], nans[1]), "store")
		bits := e.GP32()
		e.MOVL(U32(0x7fc00000), bits)
		e.MOVL(bits, Mem{Base: dst})
		e.Label("store")
	}
	e.End()
}

// orNaN sets the lanes of seen where x is NaN.
func (e *emitter) orNaN(x, seen vec) {
	m := e.compare(cmpUnord, x, x)
	if e.wide() {
		e.VMOVDQU32(e.constant(0xffffffff), m, seen)
		return
	}
	e.VPOR(m, seen, seen)
}

// anyNaN jumps to label if no lane is set.
func (e *emitter) anyNaN(seen vec, label string) {
	if e.wide() {
		k := e.K()
		e.VPTESTMD(seen, seen, k)
		e.KORTESTW(k, k)
	} else {
		e.VPTEST(seen, seen)
	}
	e.JZ(LabelRef(label))
}

// across joins the lanes of a vector: halves, quarters, pairs, one.
func (e *emitter) across(k kernel, v vec) vec {
	if e.wide() {
		hi := e.YMM()
		e.VEXTRACTF64X4(U8(1), v, hi)
		narrow := &emitter{Asm: e.Asm, lanes: 8, consts: e.consts}
		v = k.fold(narrow, v.AsY().(vec), hi)
	}
	hi, x := e.XMM(), e.XMM()
	e.VEXTRACTF128(U8(1), v.AsY(), hi)
	e.fold128(k.op, v.AsX(), hi, x)
	e.VPERMILPS(U8(0x0e), x, hi)
	e.fold128(k.op, x, hi, x)
	e.VPERMILPS(U8(0x01), x, hi)
	e.fold128(k.op, x, hi, x)
	return x
}

func (e *emitter) fold128(op tile.Op, x, y, d Op) {
	switch op {
	case tile.RSum:
		e.VADDPS(y, x, d)
	case tile.RMax:
		e.VMAXPS(y, x, d)
	default:
		e.VMINPS(y, x, d)
	}
}
