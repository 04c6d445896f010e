package roof

import (
	"math"
	"unsafe"
)

// portable is the portable row and the definition of correct.
var portable = functions{fma: multiplyAdd, read: read, write: write}

// multiplyAdd is x = x*mul + add, n times, for each of the sums; 12 at a time stay in registers.
func multiplyAdd(a *args) {
	x := unsafe.Slice(a.x, sums)
	m, d, n := a.mul, a.add, a.n
	for ; len(x) >= 12; x = x[12:] {
		s0, s1, s2, s3, s4, s5 := x[0], x[1], x[2], x[3], x[4], x[5]
		t0, t1, t2, t3, t4, t5 := x[6], x[7], x[8], x[9], x[10], x[11]
		for range n {
			s0 = s0*m + d
			s1 = s1*m + d
			s2 = s2*m + d
			s3 = s3*m + d
			s4 = s4*m + d
			s5 = s5*m + d
			t0 = t0*m + d
			t1 = t1*m + d
			t2 = t2*m + d
			t3 = t3*m + d
			t4 = t4*m + d
			t5 = t5*m + d
		}
		x[0], x[1], x[2], x[3], x[4], x[5] = s0, s1, s2, s3, s4, s5
		x[6], x[7], x[8], x[9], x[10], x[11] = t0, t1, t2, t3, t4, t5
	}
}

// read is the exclusive or of all lines, element by element.
func read(a *args) {
	var or [lineBytes / 8]uint64
	if a.n > 0 {
		x := unsafe.Slice((*[lineBytes / 8]uint64)(unsafe.Pointer(a.x)), a.n)
		for i := range x {
			for j, w := range &x[i] {
				or[j] ^= w
			}
		}
	}
	*(*[lineBytes / 8]uint64)(unsafe.Pointer(a.out)) = or
}

// write fills all lines with one element.
func write(a *args) {
	if a.n <= 0 {
		return
	}
	w := uint64(math.Float32bits(a.add))
	w |= w << 32
	x := unsafe.Slice((*[lineBytes / 8]uint64)(unsafe.Pointer(a.x)), a.n)
	for i := range x {
		for j := range &x[i] {
			x[i][j] = w
		}
	}
}
