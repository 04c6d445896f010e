package window

import "unsafe"

// atBytes returns n elements that begin off bytes after p. The offset may lead into another allocation, to the zeros that
// stand for what is outside a picture, which the pointer checks of the race detector would refuse.
//
//go:nocheckptr
func atBytes(p *float32, off, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(p), off)), n)
}

// moveRef is the portable form of the copy of runs.
func moveRef(a *move) {
	for i := range a.n {
		for r := range a.runs {
			copy(atBytes(a.dst, i*int(a.dstep)+r*int(a.drun), a.size), atBytes(a.src, i*int(a.sstep)+r*int(a.srun), a.size))
		}
	}
}

// spotRef is the portable form of the sum of taps over channels.
func spotRef(a *spots) {
	var total, part [refLanes]float32
	offs := unsafe.Slice(a.offs, 2*a.count)
	for i := range a.n {
		for c := 0; c < a.c; c += refLanes {
			n := min(refLanes, a.c-c)
			clear(total[:n])
			if a.bias != nil {
				copy(total[:n], atBytes(a.bias, 4*c, n))
			}
			for t0 := 0; t0 < a.count; t0 += refBlock {
				clear(part[:n])
				for t := t0; t < min(t0+refBlock, a.count); t++ {
					w := atBytes(a.w, offs[2*t+1]+4*c, n)
					for j, v := range atBytes(a.src, i*int(a.sstep)+offs[2*t]+4*c, n) {
						part[j] += w[j] * v
					}
				}
				for j, v := range part[:n] {
					total[j] += v
				}
			}
			a.store(total[:n], i, c)
		}
	}
}

// peakRef is the portable form of the maximum of taps over channels.
func peakRef(a *spots) {
	var most [refLanes]float32
	offs := unsafe.Slice(a.offs, 2*a.count)
	for i := range a.n {
		for c := 0; c < a.c; c += refLanes {
			n := min(refLanes, a.c-c)
			set(most[:n], a.init)
			for t := range a.count {
				for j, v := range atBytes(a.src, i*int(a.sstep)+offs[2*t]+4*c, n) {
					if v > most[j] {
						most[j] = v
					}
				}
			}
			a.store(most[:n], i, c)
		}
	}
}

// tripleRef is the portable form of the sum of rows of three taps.
func tripleRef(a *triple) {
	var total, sum [refLanes]float32
	from := 0
	for i := range a.left + a.n + a.right {
		k0, k1 := 0, 3
		if i == 0 && a.left != 0 {
			k0 = 1
		}
		if i == a.left+a.n {
			k1 = 2
		}
		for c := 0; c < a.c; c += refLanes {
			n := min(refLanes, a.c-c)
			clear(total[:n])
			if a.bias != nil {
				copy(total[:n], atBytes(a.bias, 4*c, n))
			}
			clear(sum[:n])
			for r := range a.rows {
				for k := k0; k < k1; k++ {
					w := atBytes(a.w, (3*r+k)*int(a.wstep)+4*c, n)
					for j, v := range atBytes(a.src, from+r*int(a.row)+(k-k0)*int(a.step)+4*c, n) {
						sum[j] += w[j] * v
					}
				}
			}
			for j, v := range sum[:n] {
				total[j] += v
			}
			if a.add != nil {
				for j, e := range atBytes(a.add, i*int(a.astep)+4*c, n) {
					total[j] += e
				}
			}
			bound(total[:n], a.lo, a.hi)
			copy(atBytes(a.dst, i*int(a.dstep)+4*c, n), total[:n])
		}
		from += int(a.pixel)
		if k0 > 0 {
			from -= int(a.step)
		}
	}
}

func (a *spots) store(v []float32, i, c int) {
	if a.add != nil {
		for j, e := range atBytes(a.add, i*int(a.astep)+4*c, len(v)) {
			v[j] += e
		}
	}
	if a.clamp != 0 {
		bound(v, a.lo, a.hi)
	}
	copy(atBytes(a.dst, i*int(a.dstep)+4*c, len(v)), v)
}

// bound applies bounds; NaN stays NaN.
func bound(v []float32, lo, hi float32) {
	for j, e := range v {
		if e < lo {
			e = lo
		}
		if e > hi {
			e = hi
		}
		v[j] = e
	}
}

// winoIn4 is Bt d of F(4, 3) for a column d: the coefficients of the product of (x - s) over the other points s.
func winoIn4(d *[mostSide]float32) {
	a, b := d[4]-winoQ2*d[2], d[3]-winoQ2*d[1]
	c, e := d[4]-winoP2*d[2], d[3]-winoP2*d[1]
	d[0] = d[4] - (winoP2+winoQ2)*d[2] + winoP2*winoQ2*d[0]
	d[5] = d[5] - (winoP2+winoQ2)*d[3] + winoP2*winoQ2*d[1]
	d[1], d[2], d[3], d[4] = a+winoP*b, a-winoP*b, c+winoQ*e, c-winoQ*e
}

// winoOut4 is At d of F(4, 3) for a column d: row i has the powers i of the points.
func winoOut4(d *[mostSide]float32) {
	a, b := d[1]+d[2], d[1]-d[2]
	c, e := d[3]+d[4], d[3]-d[4]
	d[0], d[1], d[2], d[3] = d[0]+a+c, winoP*b+winoQ*e, winoP2*a+winoQ2*c, winoP2*winoP*b+winoQ2*winoQ*e+d[5]
}

// winoIn2 is Bt d of F(2, 3) for a column d.
func winoIn2(d *[mostSide]float32) {
	d[0], d[1], d[2], d[3] = d[0]-d[2], d[1]+d[2], d[2]-d[1], d[1]-d[3]
}

// winoOut2 is At d of F(2, 3) for a column d.
func winoOut2(d *[mostSide]float32) {
	d[0], d[1] = d[0]+d[1]+d[2], d[1]-d[2]-d[3]
}

// step is one of the transforms of a column.
type step uint8

const (
	in4 step = iota
	in2
	out4
	out2
)

// on calls the transform: by its name, since what an unknown function is given escapes to the heap.
func (s step) on(d *[mostSide]float32) {
	switch s {
	case in4:
		winoIn4(d)
	case in2:
		winoIn2(d)
	case out4:
		winoOut4(d)
	default:
		winoOut2(d)
	}
}

// bothWays applies a transform to the columns, then to the rows, of a tile; it leaves to rows and columns.
func bothWays(d *[mostSide][mostSide]float32, side, to int, f step) {
	var col [mostSide]float32
	for j := range side {
		for i := range side {
			col[i] = d[i][j]
		}
		f.on(&col)
		for i := range to {
			d[i][j] = col[i]
		}
	}
	for i := range to {
		f.on(&d[i])
	}
}

func tileInRef(a *tileIn, side int, f step) {
	offs := unsafe.Slice(a.offs, side*side)
	var d [mostSide][mostSide]float32
	for c := range a.n {
		for k, off := range offs {
			d[k/side][k%side] = atBytes(a.src, off+4*c, 1)[0]
		}
		bothWays(&d, side, side, f)
		for k := range offs {
			atBytes(a.dst, k*int(a.dpos)+4*c, 1)[0] = d[k/side][k%side]
		}
	}
}

func tileOutRef(a *tileOut, side int, f step) {
	m := side - 2
	offs := unsafe.Slice(a.offs, m*m)
	var d [mostSide][mostSide]float32
	for c := range a.n {
		for k := range side * side {
			d[k/side][k%side] = atBytes(a.src, k*int(a.spos)+4*c, 1)[0]
		}
		bothWays(&d, side, m, f)
		for k, off := range offs {
			v := d[k/m][k%m]
			if a.bias != nil {
				v += atBytes(a.bias, 4*c, 1)[0]
			}
			if a.add != nil {
				v += atBytes(a.add, unsafe.Slice(a.aoffs, m*m)[k]+4*c, 1)[0]
			}
			if a.clamp != 0 {
				one := [1]float32{v}
				bound(one[:], a.lo, a.hi)
				v = one[0]
			}
			atBytes(a.dst, off+4*c, 1)[0] = v
		}
	}
}

func tileIn4Ref(a *tileIn)   { tileInRef(a, 6, in4) }
func tileIn2Ref(a *tileIn)   { tileInRef(a, 4, in2) }
func tileOut4Ref(a *tileOut) { tileOutRef(a, 6, out4) }
func tileOut2Ref(a *tileOut) { tileOutRef(a, 4, out2) }
