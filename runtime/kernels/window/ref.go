package window

import (
	"math"
	"unsafe"
)

var inf = float32(math.Inf(1))

const (
	refLanes = 64 // pixels whose sums are kept together in the portable kernels
	refBlock = 32 // taps that are added in a running sum before they join the total
)

// dot is the portable form of the direct sum.
func dot(a *taps) {
	var total, part [refLanes]float32
	offs, w := unsafe.Slice(a.offs, a.count), unsafe.Slice(a.w, a.count)
	for y := range a.rows {
		for x := 0; x < a.n; x += refLanes {
			n := min(refLanes, a.n-x)
			set(total[:n], a.init)
			for t0 := 0; t0 < a.count; t0 += refBlock {
				clear(part[:n])
				for t := t0; t < min(t0+refBlock, a.count); t++ {
					f := w[t]
					for i, v := range a.source(offs[t], y, x, n) {
						part[i] += f * v
					}
				}
				for i, v := range part[:n] {
					total[i] += v
				}
			}
			a.store(total[:n], y, x)
		}
	}
}

// largest is the portable form of the direct maximum.
func largest(a *taps) {
	var most [refLanes]float32
	offs := unsafe.Slice(a.offs, a.count)
	for y := range a.rows {
		for x := 0; x < a.n; x += refLanes {
			n := min(refLanes, a.n-x)
			set(most[:n], a.init)
			for _, off := range offs {
				for i, v := range a.source(off, y, x, n) {
					if v > most[i] {
						most[i] = v
					}
				}
			}
			a.store(most[:n], y, x)
		}
	}
}

func (a *taps) source(off, y, x, n int) []float32 {
	p := unsafe.Add(unsafe.Pointer(a.src), off+y*int(a.srow)+4*x)
	return unsafe.Slice((*float32)(p), n)
}

func (a *taps) store(v []float32, y, x int) {
	off := y*int(a.drow) + 4*x
	out := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(a.dst), off)), len(v))
	if a.add != nil {
		add := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(a.add), off)), len(v))
		for i := range v {
			v[i] += add[i]
		}
	}
	if a.clamp != 0 {
		for i, e := range v {
			if e < a.lo {
				e = a.lo
			}
			if e > a.hi {
				e = a.hi
			}
			v[i] = e
		}
	}
	copy(out, v)
}
