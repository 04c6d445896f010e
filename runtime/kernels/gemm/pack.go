package gemm

// PackedLen is the number of elements of a packed k x n matrix.
func PackedLen(k, n int) int { return (n + Panel - 1) / Panel * Panel * k }

// PackB packs B into the layout p32: panels of 32 columns, in each of them row after row, so that a kernel reads B as one stream:
//
//	dst[(n/32)*k*32 + i*32 + n%32] = src[i*rs + n*cs]
//
// Columns that do not exist are zeros. It panics if dst is shorter than [PackedLen] or src ends early.
func PackB(dst, src []float32, k, n, rs, cs int) { pack(dst, src, k, n, rs, cs, false) }

// PackB is the package's PackB with the instructions of the row's tier.
func (r *Row) PackB(dst, src []float32, k, n, rs, cs int) {
	pack(dst, src, k, n, rs, cs, r.Needs.Has(packNeeds))
}

func pack(dst, src []float32, k, n, rs, cs int, strips bool) {
	dst = dst[:PackedLen(k, n)]
	if k <= 0 || n <= 0 {
		return
	}
	_ = src[(k-1)*rs+(n-1)*cs]
	for n0 := 0; n0 < n; n0 += Panel {
		panel, from := dst[n0*k:n0*k+k*Panel], src[n0*cs:]
		cols := min(Panel, n-n0)
		switch {
		case cs == 1:
			packRows(panel, from, k, cols, rs)
		case rs == 1 && strips:
			packColumns(panel, from, k, cols, cs)
		default:
			packAny(panel, from, 0, k, 0, cols, rs, cs)
		}
		if cols < Panel {
			for i := range k {
				clear(panel[i*Panel+cols : (i+1)*Panel])
			}
		}
	}
}

func packRows(panel, src []float32, k, cols, rs int) {
	if cols == Panel {
		for i := range k {
			*(*[Panel]float32)(panel[i*Panel:]) = *(*[Panel]float32)(src[i*rs:])
		}
		return
	}
	for i := range k {
		copy(panel[i*Panel:i*Panel+cols], src[i*rs:])
	}
}

// packColumns transposes groups of 8 columns that are contiguous along k.
func packColumns(panel, src []float32, k, cols, cs int) {
	const most = 8192 // terms a call: keeps it far below the time a goroutine may run without a safe point
	whole, terms := cols&^7, k&^7
	for j := 0; j < whole && terms > 0; j += 8 {
		for i := 0; i < terms; i += most {
			s := strip{src: &src[j*cs+i], stride: uintptr(cs) * 4, dst: &panel[i*Panel+j], k: min(most, terms-i)}
			packStrip(&s)
		}
	}
	packAny(panel, src, terms, k, 0, whole, 1, cs)
	packAny(panel, src, 0, k, whole, cols, 1, cs)
}

// packAny packs terms [k0, k1) of columns [c0, c1); blocks of 16 terms keep the written lines in L1 whatever the source's order.
func packAny(panel, src []float32, k0, k1, c0, c1, rs, cs int) {
	for i0 := k0; i0 < k1; i0 += 16 {
		i1 := min(i0+16, k1)
		for j := c0; j < c1; j++ {
			s := i0*rs + j*cs
			for i := i0; i < i1; i++ {
				panel[i*Panel+j] = src[s]
				s += rs
			}
		}
	}
}
