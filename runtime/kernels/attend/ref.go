package attend

import (
	"math"
	"unsafe"
)

// portable holds the functions in Go: the definition of correct for the other rows.
var portable = functions{scale: refScale, max: refMax, maxMask: refMaxMask, exp: refExp, dot: refDot, axpy: refAxpy}

// sumBlock is the number of terms that are added in a plain running sum before they join the total.
const sumBlock = 32

func refScale(a *args) {
	dst := unsafe.Slice(a.dst, a.n)
	for i, v := range unsafe.Slice(a.a, a.n) {
		dst[i] = v * a.scale
	}
}

func refMax(a *args) {
	dst, most := unsafe.Slice(a.dst, a.n), float32(math.Inf(-1))
	for i, v := range unsafe.Slice(a.a, a.n) {
		v *= a.scale
		dst[i] = v
		most = max(most, v)
	}
	*a.out = most
}

func refMaxMask(a *args) {
	dst, mask, most := unsafe.Slice(a.dst, a.n), unsafe.Slice(a.b, a.n), float32(math.Inf(-1))
	for i, v := range unsafe.Slice(a.a, a.n) {
		v = float32(v*a.scale) + mask[i]
		dst[i] = v
		most = max(most, v)
	}
	*a.out = most
}

func refExp(a *args) {
	dst, sum := unsafe.Slice(a.dst, a.n), 0.0
	for i, v := range unsafe.Slice(a.a, a.n) {
		v = float32(math.Exp(float64(v - a.scale)))
		dst[i] = v
		sum += float64(v)
	}
	*a.out = float32(sum)
}

func refDot(a *args) {
	dst, x := unsafe.Slice(a.dst, a.n), unsafe.Slice(a.a, a.m)
	for t := range dst {
		row := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(a.b), t*int(a.stride))), a.m)
		var total float32
		for j0 := 0; j0 < len(x); j0 += sumBlock {
			var s float32
			for j := j0; j < min(j0+sumBlock, len(x)); j++ {
				s += x[j] * row[j]
			}
			total += s
		}
		dst[t] = total
	}
}

func refAxpy(a *args) {
	dst := unsafe.Slice(a.dst, a.m)
	for t, p := range unsafe.Slice(a.a, a.n) {
		row := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(a.b), t*int(a.stride))), a.m)
		for j, v := range row {
			dst[j] += p * v
		}
	}
}
