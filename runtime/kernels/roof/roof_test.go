package roof

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/kerneltest"
)

// family tests one of the loops; every extent is a number of rounds or lines.
func family(pick func(*functions) func(*args), most int, problem func(r *rand.Rand, n int) *kerneltest.Problem, set func(a *args, mem [][]float32)) kerneltest.Family {
	f := kerneltest.Family{Large: []int{4 * most}, Sweep: func(int) []int { return []int{most} }}
	f.Make = func(r *rand.Rand, e []int) *kerneltest.Problem { return problem(r, e[0]) }
	for _, row := range rows {
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			a := p.Params.(args)
			set(&a, mem)
			pick(row.code())(&a)
		}})
	}
	return f
}

func first(x []float32) *float32 {
	if len(x) == 0 {
		return nil
	}
	return &x[0]
}

func TestMultiplyAdd(t *testing.T) {
	kerneltest.Run(t, family(func(f *functions) func(*args) { return f.fma }, 40, func(r *rand.Rand, n int) *kerneltest.Problem {
		x, bound := kerneltest.Values(r, sums), make([]float64, sums)
		a := args{n: n, mul: r.Float32()*2 - 1, add: r.Float32()}
		// A round of a product and a sum makes two errors of at most half a unit of what is less than 2 + n.
		for i := range bound {
			bound[i] = float64(n) * float64(n+2) * 0x1p-23
		}
		return &kerneltest.Problem{Name: "fma", Params: a, Operands: []kerneltest.Operand{{Name: "x", Data: x, Bound: bound}}}
	}, func(a *args, mem [][]float32) { a.x = first(mem[0]) }))
}

func TestRead(t *testing.T) {
	kerneltest.Run(t, family(func(f *functions) func(*args) { return f.read }, 20, func(r *rand.Rand, n int) *kerneltest.Problem {
		x := make([]float32, 16*n)
		for i := range x {
			x[i] = math.Float32frombits(r.Uint32())
		}
		return &kerneltest.Problem{Name: "read", Params: args{n: n}, Operands: []kerneltest.Operand{
			{Name: "x", Data: x}, {Name: "out", Data: make([]float32, 16), Bound: make([]float64, 16)}}}
	}, func(a *args, mem [][]float32) { a.x, a.out = first(mem[0]), first(mem[1]) }))
}

func TestWrite(t *testing.T) {
	kerneltest.Run(t, family(func(f *functions) func(*args) { return f.write }, 20, func(r *rand.Rand, n int) *kerneltest.Problem {
		return &kerneltest.Problem{Name: "write", Params: args{n: n, add: r.Float32()}, Operands: []kerneltest.Operand{
			{Name: "x", Data: kerneltest.Values(r, 16*n), Bound: make([]float64, 16*n)}}}
	}, func(a *args, mem [][]float32) { a.x = first(mem[0]) }))
}

// Every line is read and every line is written, by each worker in its part.
func TestMeter(t *testing.T) {
	start := time.Now()
	m := New(cpu.Host(), 2)
	defer m.Close()
	for range 2 { // remembered, the second time
		if f := m.FLOPS(); f < 1e6 || f > 1e13 {
			t.Errorf("%g multiply-adds a second", f)
		}
		for _, size := range []int{0, 100 << 10, 1 << 20} {
			if r, w := m.Read(size), m.Write(size); r < 1e6 || w < 1e6 || r > 1e13 || w > 1e13 {
				t.Errorf("%d bytes: read %g, written %g", size, r, w)
			}
		}
	}
	for i, b := range m.buf[:1<<20] {
		if want := byte(math.Float32bits(0.001) >> (i % 4 * 8)); b != want {
			t.Fatalf("byte %d of what was written is %d, want %d", i, b, want)
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func BenchmarkRoof(b *testing.B) {
	for _, row := range Table() {
		if !row.Runs(cpu.Host()) {
			continue
		}
		for workers := 1; workers <= 2; workers++ {
			b.Run(fmt.Sprintf("%s/threads=%d", row.Name, workers), func(b *testing.B) {
				var flops, l2, memory, write float64
				for b.Loop() {
					m := New(row.Needs, workers)
					flops, l2 = max(flops, m.FLOPS()), max(l2, m.Read(256<<10))
					memory, write = max(memory, m.Read(Memory)), max(write, m.Write(Memory))
					m.Close()
				}
				b.ReportMetric(flops/1e9, "GFLOP/s")
				b.ReportMetric(l2/1e9, "GB/s-256K")
				b.ReportMetric(memory/1e9, "GB/s-memory")
				b.ReportMetric(write/1e9, "GB/s-written")
			})
		}
	}
}
