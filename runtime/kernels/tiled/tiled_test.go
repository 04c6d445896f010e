package tiled

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/cpu"
)

// randomProgram builds a program of a few loads, operations and stores; reductions only if reduce. All operations are exact on the values of layout,
// so comparisons and conversions cannot tip over.
func randomProgram(r *rand.Rand, reduce bool, nAxes int) (p *tile.Program, elems []dtype.Type, ins int) {
	b := tile.NewBuilder()
	ins = 1 + r.IntN(3)
	types := []dtype.Type{dtype.F32, dtype.F32, dtype.F32, dtype.F32, dtype.I64, dtype.I32, dtype.Bool, dtype.F16, dtype.BF16, dtype.F64, dtype.I8, dtype.U16}
	var regs []tile.Reg
	for k := range ins {
		elems = append(elems, types[r.IntN(len(types))])
		regs = append(regs, b.Load(k, elems[k]))
	}
	regs = append(regs, b.Float(tile.F32, 0.5))
	if nAxes > 0 && r.IntN(3) == 0 {
		regs = append(regs, b.Index(r.IntN(nAxes)))
	}
	if r.IntN(4) == 0 {
		regs = append(regs, b.Dim(0))
	}
	same := func(c tile.Class) tile.Reg {
		x := regs[r.IntN(len(regs))]
		return b.Cast(c, x)
	}
	for range 1 + r.IntN(7) {
		x := regs[r.IntN(len(regs))]
		c := b.Class(x)
		var y tile.Reg
		switch k := r.IntN(10); {
		case k < 4 && c != tile.Mask:
			ops := []tile.Op{tile.Add, tile.Sub, tile.Max, tile.Min, tile.Mul}
			y = b.Op2(ops[r.IntN(len(ops))], x, same(c))
		case k < 5:
			ops := []tile.Op{tile.Lt, tile.Ge, tile.Eq, tile.Ne}
			y = b.Op2(ops[r.IntN(len(ops))], x, same(c))
		case k < 6:
			y = b.Select(same(tile.Mask), x, same(c))
		case k < 8 && reduce:
			ops := []tile.Op{tile.RSum, tile.RMax, tile.RMin, tile.RArgMax, tile.RArgMin}
			if c == tile.Mask {
				ops = []tile.Op{tile.RAny, tile.RAll}
			}
			y = b.Op1(ops[r.IntN(len(ops))], x)
		case c == tile.Mask:
			y = b.Op1(tile.Not, x)
		default:
			ops := []tile.Op{tile.Neg, tile.Abs, tile.Relu}
			y = b.Op1(ops[r.IntN(len(ops))], x)
		}
		regs = append(regs, y)
	}
	for k := range 1 + r.IntN(2) {
		x := regs[len(regs)-1-r.IntN(min(3, len(regs)))]
		t := map[tile.Class]dtype.Type{tile.F32: dtype.F32, tile.F64: dtype.F64, tile.I64: dtype.I64, tile.Mask: dtype.Bool}[b.Class(x)]
		elems = append(elems, t)
		b.Store(ins+k, x)
	}
	return b.Program(), elems, ins
}

func TestRandomPrograms(t *testing.T) {
	for _, row := range Table() {
		if !row.Runs(cpu.Host()) {
			t.Logf("%s does not run here", row.Name)
			continue
		}
		t.Run(row.Name, func(t *testing.T) {
			var c Call
			var s Scratch
			for seed := range uint64(400) {
				if err := oneRandom(seed, row.Needs, &c, &s); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

func randomExtents(r *rand.Rand, most int) (par, red []int) {
	for range r.IntN(4) {
		par = append(par, 1+r.IntN(7))
	}
	for range r.IntN(3) {
		red = append(red, 1+r.IntN(6))
	}
	// Let one axis be long enough for several tiles.
	if e := [][]int{par, red}[r.IntN(2)]; len(e) > 0 {
		e[r.IntN(len(e))] = 1 + r.IntN(most)
	}
	if r.IntN(20) == 0 && len(red) > 0 {
		red[0] = 0
	}
	return par, red
}

func oneRandom(seed uint64, host cpu.Features, c *Call, s *Scratch) error {
	r := rand.New(rand.NewPCG(seed, 1))
	most := 60
	if seed%16 == 0 {
		most = 3000
	}
	par, red := randomExtents(r, most)
	reduce := r.IntN(3) > 0
	if !reduce && len(red) > 0 && red[0] == 0 {
		red[0] = 1
	}
	ext := append(append([]int(nil), par...), red...)
	prog, elems, ins := randomProgram(r, reduce, len(ext))
	dims := []int64{int64(r.IntN(9))}
	q, err := Compile(prog, elems, ins, host)
	if err != nil {
		return err
	}
	var bufs []*buffer
	var ops []Operand
	varies := redMasks(prog, len(par), red, func(k int) []int { return bufs[k].op.Strides })
	for k, e := range elems {
		bufs = append(bufs, layout(r, e, ext, func(a int) bool {
			if k < ins {
				return r.IntN(4) == 0
			}
			return prog.Reduces() && a >= len(par) && perRow(prog, k, varies) && seed%3 != 0
		}))
		ops = append(ops, bufs[k].op)
	}
	text := fmt.Sprintf("%v par %v red %v elems %v", prog, par, red, elems)
	for _, b := range bufs {
		text += fmt.Sprint(" ", b.op.Strides)
	}
	want := naive(prog, par, red, bufs, ins, dims)
	if err := q.Bind(c, par, red, ops, dims); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	for k := range c.Chunks() {
		if err := c.RunChunk(k, s); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	nRed := product(red)
	for k := ins; k < len(elems); k++ {
		if !stores(prog, k) {
			continue
		}
		for f := range product(par) * nRed {
			at := append(unflatten(f/max(nRed, 1), par), unflatten(f%max(nRed, 1), red)...)
			got, w := bufs[k].get(offset(bufs, k, at)), want[k][f]
			tol := 1e-5 * max(1, math.Abs(w)) * float64(max(1, nRed/64))
			if math.Abs(got-w) > tol && got != w && !(got != got && w != w) && math.Abs(w) < 1e15 {
				return fmt.Errorf("%s: operand %d at %v: got %v want %v", text, k, at, got, w)
			}
		}
	}
	return nil
}

func stores(p *tile.Program, k int) bool {
	for i := range p.Code {
		if p.Code[i].Op == tile.Store && int(p.Code[i].Arg) == k {
			return true
		}
	}
	return false
}

// redMasks tells, when asked later, whether a register varies along the Red axes.
func redMasks(p *tile.Program, nPar int, red []int, strides func(int) []int) func(int32) bool {
	var f func(int32) bool
	f = func(i int32) bool {
		in := &p.Code[i]
		switch {
		case in.Op.IsReduce():
			return false
		case in.Op == tile.Load:
			return moves(strides(int(in.Arg))[nPar:])
		case in.Op == tile.Index:
			return int(in.Arg) >= nPar
		}
		for _, r := range in.Regs() {
			if f(r) {
				return true
			}
		}
		return false
	}
	return f
}

func perRow(p *tile.Program, k int, varies func(int32) bool) bool {
	for i := range p.Code {
		if in := &p.Code[i]; in.Op == tile.Store && int(in.Arg) == k {
			return !varies(in.A)
		}
	}
	return true
}
