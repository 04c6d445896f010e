package gemm

import (
	"math"
	"unsafe"
)

// sumBlock is the number of terms that are added in a plain running sum before they join the total: a running sum over thousands of
// terms loses digits that real speech models need.
const sumBlock = 32

// reference is the portable row and the definition of correct: plain Go, tiles of 2x4 elements so that the sums stay in registers.
func reference(a *Args) {
	k := max(a.K, 0)
	runs := max(len(a.Runs), 1)
	lo, hi := a.bounds()
	var sums [2][4]float32
	for n0 := 0; n0 < a.N; n0 += 4 {
		// One panel is k*32 elements; this tile reads 4 adjacent columns of it.
		var b []float32
		if k > 0 {
			b = unsafe.Slice(at(a.B, (n0&^(Panel-1))*k), k*Panel)[n0%Panel:]
		}
		cols := min(4, a.N-n0)
		for m0 := 0; m0 < a.M; m0 += 2 {
			rows := min(2, a.M-m0)
			second := min(m0+1, a.M-1) // a lone last row is computed twice and stored once
			sums = [2][4]float32{}
			run := k / runs
			for i := 0; i < runs && run > 0; i++ {
				off := 0
				if len(a.Runs) > 0 {
					off = a.Runs[i]
				}
				x := unsafe.Slice(at(a.A, a.row(m0)+off), (run-1)*a.CSA+1)
				y := unsafe.Slice(at(a.A, a.row(second)+off), (run-1)*a.CSA+1)
				sum2x4(&sums, x, y, a.CSA, b[i*run*Panel:], run)
			}
			for i := range rows {
				for j := range cols {
					a.store(m0+i, n0+j, sums[i][j], lo, hi)
				}
			}
		}
	}
}

func sum2x4(total *[2][4]float32, x, y []float32, cs int, b []float32, k int) {
	for k0 := 0; k0 < k; k0 += sumBlock {
		var s00, s01, s02, s03, s10, s11, s12, s13 float32
		for i := k0; i < min(k0+sumBlock, k); i++ {
			r := b[i*Panel : i*Panel+4 : i*Panel+4]
			p, q := x[i*cs], y[i*cs]
			s00 += p * r[0]
			s01 += p * r[1]
			s02 += p * r[2]
			s03 += p * r[3]
			s10 += q * r[0]
			s11 += q * r[1]
			s12 += q * r[2]
			s13 += q * r[3]
		}
		total[0][0] += s00
		total[0][1] += s01
		total[0][2] += s02
		total[0][3] += s03
		total[1][0] += s10
		total[1][1] += s11
		total[1][2] += s12
		total[1][3] += s13
	}
}

// bounds returns the bounds of the post operation; with none, bounds that change nothing.
func (a *Args) bounds() (lo, hi float32) {
	switch a.Post {
	case ReLU:
		return 0, float32(math.Inf(1))
	case Clamp:
		return a.Lo, a.Hi
	}
	return float32(math.Inf(-1)), float32(math.Inf(1))
}

func (a *Args) store(m, n int, v, lo, hi float32) {
	if a.BiasN != nil {
		v += *at(a.BiasN, n)
	}
	if a.BiasM != nil {
		v += *at(a.BiasM, m)
	}
	if a.Add != nil {
		v += *at(a.Add, m*a.LDAdd+n)
	}
	if v < lo {
		v = lo
	}
	if v > hi {
		v = hi
	}
	*at(a.C, m*a.LDC+n) = v
}
