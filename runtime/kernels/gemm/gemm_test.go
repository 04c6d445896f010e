package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/runtime/cpu"
)

func random(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	return s
}

func TestQuick(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, row := range Table() {
		if !row.Runs(cpu.Host()) {
			continue
		}
		for range 300 {
			m, n, k := r.IntN(40)+1, r.IntN(80)+1, r.IntN(70)
			if r.IntN(30) == 0 {
				k = 1000 + r.IntN(2000)
				m = r.IntN(400) + 1
			}
			A, B := random(r, m*k+1), random(r, n*k+1)
			packed := make([]float32, PackedLen(k, n))
			row.PackB(packed, B, k, n, n, 1)
			C := make([]float32, m*n)
			packed = append(packed, 0)
			row.Run(&Args{M: m, N: n, K: k, A: &A[0], RSA: k, CSA: 1, B: &packed[0], C: &C[0], LDC: n})
			for i := range m {
				for j := range n {
					var s, abs float64
					for p := range k {
						x := float64(A[i*k+p]) * float64(B[p*n+j])
						s += x
						abs += math.Abs(x)
					}
					if d := math.Abs(s - float64(C[i*n+j])); d > 1e-6*abs+1e-9 {
						t.Fatalf("%s %dx%dx%d: C[%d,%d] = %v, want %v", row.Name, m, n, k, i, j, C[i*n+j], s)
					}
				}
			}
		}
	}
}

func BenchmarkGEMM(b *testing.B) {
	for _, s := range [][3]int{{512, 512, 512}, {128, 768, 3072}, {128, 3072, 768}, {128, 768, 768}, {1, 768, 3072}, {4, 768, 3072}, {8, 768, 3072}, {64, 3136, 576}, {1024, 1024, 1024}} {
		m, n, k := s[0], s[1], s[2]
		r := rand.New(rand.NewPCG(1, 2))
		A, B := random(r, m*k), random(r, n*k)
		packed := make([]float32, PackedLen(k, n))
		PackB(packed, B, k, n, n, 1)
		C := make([]float32, m*n)
		for _, row := range Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			tier := row.Name[strings.LastIndexByte(row.Name, '_')+1:]
			b.Run(fmt.Sprintf("f32/m=%d,n=%d,k=%d/%s", m, n, k, tier), func(b *testing.B) {
				args := &Args{M: m, N: n, K: k, A: &A[0], RSA: k, CSA: 1, B: &packed[0], C: &C[0], LDC: n, Scratch: make([]float32, ScratchLen(m, n, k))}
				for b.Loop() {
					row.Run(args)
				}
				b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}
