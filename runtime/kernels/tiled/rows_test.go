package tiled

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/kerneltest"
)

// call is one function of a row, with the step that the portable code needs.
type call struct {
	st step
	n  int
}

// errorBounds are the ulps that a function may differ from the rounded double-precision one, and the absolute difference on top of that.
// Zero where the operation is rounded correctly.
var errorBounds = map[tile.Op][2]float64{
	tile.Div: {1, 1e-44}, tile.Exp: {3, 2e-45}, opExpSub: {3, 2e-45}, tile.Sigmoid: {4, 1e-38}, tile.Tanh: {4, 0}, tile.Erf: {4, 1e-44},
	// The tail of the normal distribution is cut at -6, and its exponent is a polynomial whose terms cancel: 1e-6 of a value below 0.1.
	tile.Gelu: {6, 8e-9},
	// The rounding of the argument of exp, up to 89, is a relative error of the result.
	tile.Silu: {4, 1e-36}, tile.GeluTanh: {100, 1e-36},
}

var tested = []tile.Op{
	tile.Add, tile.Sub, tile.Mul, tile.Div, tile.Min, tile.Max, tile.Neg, tile.Abs, tile.Relu, tile.Sqrt, tile.Recip, tile.Floor, tile.Ceil,
	tile.RoundEven, tile.Exp, tile.Tanh, tile.Sigmoid, tile.Erf, tile.Gelu, tile.GeluTanh, tile.Silu, tile.Eq, tile.Ne, tile.Lt, tile.Le,
	tile.Gt, tile.Ge, tile.Select, tile.RSum, tile.RMax, tile.RMin, opExpSub,
}

func makeProblem(r *rand.Rand, extents []int) *kerneltest.Problem {
	op := tested[r.IntN(len(tested))]
	c := call{n: extents[0] + 1}
	c.st = step{in: &tile.Instr{Op: op, Class: tile.F32}, class: tile.F32, asize: 4}
	binary := op.Operands() > 1 || op == opExpSub
	if binary {
		c.st.mode = uint8(r.IntN(3))
	}
	if op == tile.Select || op.IsCompare() {
		c.n = (c.n + 3) / 4 * 4 // masks are bytes in words of float32
	}
	scale := []float32{1, 1, 3, 10, 100}[r.IntN(5)]
	values := func(n int) []float32 {
		x := kerneltest.Values(r, n)
		for i := range x {
			x[i] *= scale
		}
		return x
	}
	side := func(one bool) []float32 {
		if one {
			return values(1)
		}
		return values(c.n)
	}
	a, b := side(c.st.mode&modeSV != 0), side(c.st.mode&modeVS != 0)
	size := c.n
	if op.IsReduce() {
		size = 1
	} else if op.IsCompare() {
		size = c.n / 4
	}
	cond := make([]float32, c.n/4+1)
	for i := range unsafe.Slice((*uint8)(unsafe.Pointer(&cond[0])), c.n) {
		*elem[uint8](unsafe.Pointer(&cond[0]), i) = uint8(r.IntN(2))
	}
	p := &kerneltest.Problem{Name: op.String(), Params: c}
	p.Operands = append(p.Operands, kerneltest.Operand{Name: "dst", Data: make([]float32, size), Bound: make([]float64, size)}, kerneltest.Operand{Name: "a", Data: a})
	if binary {
		p.Operands = append(p.Operands, kerneltest.Operand{Name: "b", Data: b})
	}
	if op == tile.Select {
		p.Operands = append(p.Operands, kerneltest.Operand{Name: "c", Data: cond[:c.n/4]})
	}
	bound := p.Operands[0].Bound
	if op == tile.RSum { // both rows add along trees; each term passes at most n/64 + 40 additions
		sum := 0.0
		for _, v := range a {
			sum += math.Abs(float64(v))
		}
		bound[0] = float64(40+c.n/64) * 0x1p-24 * sum
		return p
	}
	mem := [][]float32{make([]float32, size), a, b, cond}
	if !binary {
		mem = mem[:2]
	}
	c.reference(mem)
	for i, v := range mem[0] {
		e := errorBounds[op]
		bound[i] = e[0]*0x1p-23*math.Abs(float64(v)) + e[1]
	}
	return p
}

func (c *call) pack(mem [][]float32) *args {
	a := &args{dst: ptr(mem[0]), a: ptr(mem[1]), n: c.n}
	if len(mem) > 2 {
		a.b = ptr(mem[2])
	}
	if len(mem) > 3 {
		a.c = ptr(mem[3])
	}
	return a
}

func (c *call) reference(mem [][]float32) {
	if c.st.in.Op.IsReduce() {
		mem[0][0] = reduceF32(c.st.in.Op, mem[1][:c.n])
		return
	}
	portable(&c.st, c.pack(mem))
}

func TestFunctions(t *testing.T) {
	f := kerneltest.Family{Sweep: func(int) []int { return []int{150} }, Large: []int{3000}, Make: makeProblem}
	for _, row := range Table() {
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			c := p.Params.(call)
			if fn := row.find(uint8(c.st.in.Op), c.st.mode); fn != nil {
				fn(c.pack(mem))
			} else {
				c.reference(mem)
			}
		}})
	}
	kerneltest.Run(t, f)
}

// Every function of every row against double precision, over the whole range of float32.
func TestAccuracy(t *testing.T) {
	var x []float32
	for b := uint32(0); b < 0x7f900000; b += 0x7a31 {
		v := math.Float32frombits(b)
		x = append(x, v, -v)
	}
	x = append(x, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 88.7228, -87.33655, -103.97, 89, 0.625, 0.9, 9, 6, -6)
	for v := float32(-12); v < 12; v += 0.00037 {
		x = append(x, v)
	}
	want, got := make([]float32, len(x)), make([]float32, len(x))
	for _, op := range tested {
		if op.Operands() != 1 || op.IsReduce() {
			continue
		}
		c := call{n: len(x), st: step{in: &tile.Instr{Op: op, Class: tile.F32}, class: tile.F32, asize: 4}}
		c.reference([][]float32{want, x})
		for _, row := range Table() {
			fn := row.find(uint8(op), modeVV)
			if fn == nil || !row.Runs(cpu.Host()) {
				continue
			}
			fn(c.pack([][]float32{got, x}))
			worst, at := 0.0, 0
			for i := range x {
				e := errorBounds[op]
				bound := e[0]*0x1p-23*math.Abs(float64(want[i])) + e[1]
				if !kerneltest.Close(got[i], want[i], bound) {
					t.Errorf("%s %v(%v): got %v want %v", row.Name, op, x[i], got[i], want[i])
					break
				}
				if d := math.Abs(float64(got[i])-float64(want[i])) / math.Abs(float64(want[i])) * 0x1p23; d > worst && math.Abs(float64(want[i])) > 1e-5 {
					worst, at = d, i
				}
			}
			t.Logf("%s %v: %.1f ulp at %v", row.Name, op, worst, x[at])
		}
	}
}
