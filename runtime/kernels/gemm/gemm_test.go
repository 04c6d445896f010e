package gemm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/kernelbench"
	"github.com/llmc-go/llmc/runtime/kernels/kerneltest"
)

// call is a product with its operands as indices into a problem's memory; -1 is absent. The order is a, b, c, biasN, biasM, add.
type call struct {
	args  gemm.Args
	biasN bool
	biasM bool
	add   int // 0 none, 1 a matrix, 2 the result itself
}

const eps = 1.0 / (1 << 24)

// makeProblem draws strides, terms and post operation for extents m, n, k.
func makeProblem(r *rand.Rand, e []int) *kerneltest.Problem {
	m, n, k := e[0], e[1], e[2]
	c := &call{biasN: r.IntN(3) == 0, biasM: r.IntN(3) == 0, add: r.IntN(3)}
	a := &c.args
	a.M, a.N, a.K = m, n, k
	a.RSA, a.CSA = k+r.IntN(2)*r.IntN(5), 1
	switch r.IntN(6) {
	case 0: // transposed
		a.RSA, a.CSA = 1, m+r.IntN(3)
	case 1: // neither
		a.RSA, a.CSA = 2*k+1, 2
	case 2: // a stride that makes the driver copy A
		a.RSA = (k + 511) / 512 * 512
	}
	size := span(m, k, a.RSA, a.CSA)
	if r.IntN(3) == 0 && k > 0 { // in pieces
		size = pieces(r, a)
	}
	a.LDC, a.LDAdd = n+r.IntN(4), n+r.IntN(4)
	if c.add == 2 {
		a.LDAdd = a.LDC
	}
	a.Post, a.Lo, a.Hi = gemm.Post(r.IntN(3)), -0.75, 0.5

	A := kerneltest.Values(r, size)
	B := kerneltest.Values(r, k*n)
	packed := make([]float32, gemm.PackedLen(k, n))
	gemm.PackB(packed, B, k, n, n, 1)
	C := kerneltest.Values(r, span(m, n, a.LDC, 1))
	biasN, biasM, add := kerneltest.Values(r, n), kerneltest.Values(r, m), kerneltest.Values(r, span(m, n, a.LDAdd, 1))

	bound := make([]float64, len(C))
	for i := range bound {
		bound[i] = -1
	}
	for i := range m {
		for j := range n {
			s := 3.0 // bias and addend, each at most 1 in magnitude
			for p := range k {
				x := math.Abs(float64(A[element(a, i, p)]) * float64(B[p*n+j]))
				if x < 1e30 {
					s += x
				}
			}
			// Each side errs by at most (k+3)*eps*s (Higham, Accuracy and Stability, section 3.1); underflow adds a denormal a term.
			bound[i*a.LDC+j] = 2*float64(k+3)*eps*s + float64(k)*1e-44
		}
	}
	return &kerneltest.Problem{Name: "gemm", Params: c, Operands: []kerneltest.Operand{
		{Name: "A", Data: A}, {Name: "B", Data: packed}, {Name: "C", Data: C, Bound: bound},
		{Name: "biasN", Data: biasN}, {Name: "biasM", Data: biasM}, {Name: "add", Data: add},
	}}
}

// pieces cuts the rows of A into groups and its terms into runs, which may overlap; it returns the number of elements.
func pieces(r *rand.Rand, a *gemm.Args) int {
	divisor := func(n int) int {
		for {
			if d := 1 + r.IntN(min(n, 20)); n%d == 0 {
				return d
			}
		}
	}
	a.Per = max(a.M, 1) / divisor(max(a.M, 1))
	a.GSA = r.IntN(a.Per*a.RSA + 3)
	if r.IntN(4) == 0 {
		a.Per, a.GSA = 0, 0
	}
	a.Runs = make([]int, divisor(a.K))
	last := 0
	for i := range a.Runs {
		a.Runs[i] = r.IntN(2*a.K + 1)
		last = max(last, a.Runs[i])
	}
	size := 0
	for i := range a.M {
		size = max(size, element(a, i, 0)-a.Runs[0]+last+(a.K-1)*a.CSA+1)
	}
	return size
}

// element is where A has term k of row m.
func element(a *gemm.Args, m, k int) int {
	at := m * a.RSA
	if a.Per > 0 {
		at = m/a.Per*a.GSA + m%a.Per*a.RSA
	}
	if len(a.Runs) == 0 {
		return at + k*a.CSA
	}
	run := a.K / len(a.Runs)
	return at + a.Runs[k/run] + k%run*a.CSA
}

// span is the number of elements that a rows x cols matrix of these strides touches.
func span(rows, cols, rs, cs int) int {
	if rows == 0 || cols == 0 {
		return 0
	}
	return (rows-1)*rs + (cols-1)*cs + 1
}

func first(s []float32) *float32 {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

func family() kerneltest.Family {
	f := kerneltest.Family{Large: []int{400, 300, 2500}, Make: makeProblem}
	rows := gemm.Table()
	f.Sweep = func(i int) []int { return []int{2*rows[i].MR + 3, 2*gemm.Panel + 3, 67} }
	for i := range rows {
		row := &rows[i]
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			c := p.Params.(*call)
			a := c.args
			a.A, a.B, a.C = first(mem[0]), first(mem[1]), first(mem[2])
			if c.biasN {
				a.BiasN = first(mem[3])
			}
			if c.biasM {
				a.BiasM = first(mem[4])
			}
			switch c.add {
			case 1:
				a.Add = first(mem[5])
			case 2:
				a.Add = a.C
			}
			if a.M%2 == 0 {
				a.Scratch = make([]float32, gemm.ScratchLen(a.M, a.N, a.K))
			}
			row.Run(&a)
		}})
	}
	return f
}

func TestRows(t *testing.T) { kerneltest.Run(t, family()) }
func FuzzRows(f *testing.F) { kerneltest.Fuzz(f, family()) }

// naive is the loop of the package's documentation in float64.
func naive(a, b []float32, m, n, k int) []float64 {
	c := make([]float64, m*n)
	for i := range m {
		for p := range k {
			x := float64(a[i*k+p])
			for j := range n {
				c[i*n+j] += x * float64(b[p*n+j])
			}
		}
	}
	return c
}

func random(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	return s
}

// The portable row itself is compared with a float64 loop, and so is every other.
func TestAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range [][3]int{{1, 1, 1}, {3, 33, 31}, {17, 70, 100}, {5, 40, 3000}, {200, 96, 257}} {
		m, n, k := s[0], s[1], s[2]
		A, B := random(r, m*k), random(r, k*n)
		want := naive(A, B, m, n, k)
		for _, row := range gemm.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			packed, C := make([]float32, gemm.PackedLen(k, n)), make([]float32, m*n)
			row.PackB(packed, B, k, n, n, 1)
			row.Run(&gemm.Args{M: m, N: n, K: k, A: &A[0], RSA: k, CSA: 1, B: &packed[0], C: &C[0], LDC: n})
			for i, w := range want {
				// Products of uniform numbers: the sum's rounding errors are independent, so they grow with the root of k.
				if tol := 16 * eps * (1 + math.Sqrt(float64(k))*math.Sqrt(float64(k))/8); math.Abs(float64(C[i])-w) > tol {
					t.Fatalf("%s %v: C[%d]: want %v within %g, got %v", row.Name, s, i, w, tol, C[i])
				}
			}
		}
	}
}

// However M and N are cut, no bit changes.
func TestCutsChangeNoBit(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	m, n, k := 61, 203, 2100
	A, B, bias := random(r, m*k), random(r, k*n), random(r, n)
	packed := make([]float32, gemm.PackedLen(k, n))
	gemm.PackB(packed, B, k, n, n, 1)
	for _, row := range gemm.Table() {
		if !row.Runs(cpu.Host()) {
			continue
		}
		whole, cut := make([]float32, m*n), make([]float32, m*n)
		row.Run(&gemm.Args{M: m, N: n, K: k, A: &A[0], RSA: k, CSA: 1, B: &packed[0], C: &whole[0], LDC: n, BiasN: &bias[0], Post: gemm.ReLU})
		for m0 := 0; m0 < m; {
			h := min(1+r.IntN(20), m-m0)
			for n0 := 0; n0 < n; {
				w := min(gemm.Panel*(1+r.IntN(3)), n-n0)
				row.Run(&gemm.Args{M: h, N: w, K: k, A: &A[m0*k], RSA: k, CSA: 1, B: &packed[n0*k], C: &cut[m0*n+n0], LDC: n, BiasN: &bias[n0], Post: gemm.ReLU,
					Scratch: make([]float32, gemm.ScratchLen(h, w, k))})
				n0 += w
			}
			m0 += h
		}
		for i := range whole {
			if whole[i] != cut[i] {
				t.Fatalf("%s: element %d: %v whole, %v cut", row.Name, i, whole[i], cut[i])
			}
		}
	}
}

// TestPack compares packing with its definition, for contiguous rows, contiguous columns, and neither.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	for range 300 {
		k, n := r.IntN(80), r.IntN(80)
		rs, cs := n+r.IntN(3), 1
		switch r.IntN(3) {
		case 0:
			rs, cs = 1, k+r.IntN(3)
		case 1:
			rs, cs = 2*n+1, 2
		}
		src := random(r, span(k, n, rs, cs))
		for _, row := range gemm.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			dst := random(r, gemm.PackedLen(k, n))
			row.PackB(dst, src, k, n, rs, cs)
			for j := range (n + 31) / 32 * 32 {
				for i := range k {
					want := float32(0)
					if j < n {
						want = src[i*rs+j*cs]
					}
					if got := dst[j/32*k*32+i*32+j%32]; got != want {
						t.Fatalf("%s k=%d n=%d rs=%d cs=%d: B[%d,%d]: want %v, got %v", row.Name, k, n, rs, cs, i, j, want, got)
					}
				}
			}
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m, n, k := 30, 70, 512
	A, packed, C := random(r, m*k), random(r, gemm.PackedLen(k, n)), make([]float32, m*n)
	for _, row := range gemm.Table() {
		if !row.Runs(cpu.Host()) {
			continue
		}
		args := &gemm.Args{M: m, N: n, K: k, A: &A[0], RSA: k, CSA: 1, B: &packed[0], C: &C[0], LDC: n, Scratch: make([]float32, gemm.ScratchLen(m, n, k))}
		if got := testing.AllocsPerRun(10, func() { row.Run(args) }); got != 0 {
			t.Errorf("%s: %v allocations", row.Name, got)
		}
	}
}

// A long product must not keep a stopped world waiting: the quickest of several stops is far below one product's time, which a kernel
// without safe points would take.
func TestPolite(t *testing.T) {
	m, n, k := 1500, 3000, 2048
	A, packed, C := make([]float32, m*k), make([]float32, gemm.PackedLen(k, n)), make([]float32, m*n)
	args := &gemm.Args{M: m, N: n, K: k, A: &A[0], RSA: k, CSA: 1, B: &packed[0], C: &C[0], LDC: n, Scratch: make([]float32, gemm.ScratchLen(m, n, k))}
	row := gemm.Pick(cpu.Host())
	if row.Needs == 0 {
		t.Skip("the portable row is Go, which is preempted anywhere")
	}
	done := make(chan time.Duration)
	go func() {
		start := time.Now()
		row.Run(args)
		done <- time.Since(start)
	}()
	best := time.Hour
	var stats runtime.MemStats
	for range 5 {
		time.Sleep(3 * time.Millisecond)
		start := time.Now()
		runtime.ReadMemStats(&stats) // stops the world
		best = min(best, time.Since(start))
	}
	whole := <-done
	if best > 20*time.Millisecond {
		t.Errorf("the world stopped after %v at best, beside a product of %v; want 20ms", best, whole)
	}
}

func ExamplePackB() {
	b := []float32{1, 2, 3, 4} // 2 x 2
	packed := make([]float32, gemm.PackedLen(2, 2))
	gemm.PackB(packed, b, 2, 2, 2, 1)
	a, c := []float32{1, 0, 1, 1}, make([]float32, 4)
	gemm.Pick(cpu.Host()).Run(&gemm.Args{M: 2, N: 2, K: 2, A: &a[0], RSA: 2, CSA: 1, B: &packed[0], C: &c[0], LDC: 2})
	fmt.Println(c)
	// Output: [1 2 4 6]
}

func BenchmarkGEMM(b *testing.B) {
	for _, c := range kernelbench.GEMM() {
		ways, err := c.Ways(cpu.Host())
		if err != nil {
			b.Fatal(err)
		}
		for _, w := range ways {
			b.Run(fmt.Sprintf("f32/%s/%s", c.Size, kerneltest.Tier(w.Name)), func(b *testing.B) {
				for b.Loop() {
					if err := w.Run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(c.FLOP)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}

func BenchmarkPack(b *testing.B) {
	k, n := 512, 512
	src, dst := make([]float32, k*n), make([]float32, gemm.PackedLen(k, n))
	row := gemm.Pick(cpu.Host())
	for name, strides := range map[string][2]int{"rows": {n, 1}, "columns": {1, k}} {
		b.Run(fmt.Sprintf("f32/%s,k=%d,n=%d/%s", name, k, n, kerneltest.Tier(row.Name)), func(b *testing.B) {
			b.SetBytes(int64(4 * k * n))
			for b.Loop() {
				row.PackB(dst, src, k, n, strides[0], strides[1])
			}
		})
	}
}
