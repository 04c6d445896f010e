// Package gemm multiplies fp32 matrices. Its meaning is the naive loop over [Args]:
//
//	for m, n:  s = sum over k of A[m*RSA + k*CSA] * B(k, n)    (with groups of rows and runs of terms: see there)
//	           C[m*LDC + n] = post(s + biasN[n] + biasM[m] + add[m*LDAdd + n])
//
// where absent terms are skipped, B is packed in the layout p32 ([PackB]) and post bounds the value from below and above. Rows of the
// table differ in the tile that stays in registers and in the order of the sum; every row sums one element of C in an order that
// depends on K alone, so that cutting M and N among threads, anywhere, changes no bit.
//
// Blocking follows Goto and van de Geijn (Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34, 2008): a block of A stays in
// L2, a panel of B streams through L1, a tile of C lives in registers.
package gemm

import (
	"math"
	"unsafe"

	"github.com/llmc-go/llmc/runtime/cpu"
)

//go:generate go run ../../../kernelsgen -root ../../..

// Panel is the number of columns in a panel of the layout p32.
const Panel = 32

// BlockM is the number of rows of A that stay in L2: 16 tiles of 14. Larger products are cut there.
const BlockM = 224

const (
	blockK = 768 // terms summed in registers before C is touched again
	// Rows at multiples of 4 KiB share a set of L1, which has 12 ways or fewer: so many rows leave two to B. On Zen 5 such products run
	// at 94 % of the roof with tiles of 10 rows, 93 of 8, 92 of 13; a copy of A at other distances takes more time than it saves.
	crowded = 10
)

// Unit is the number of columns of which parts of a product of m rows should have a multiple: one panel, or where rows are few, as many
// as are read at a time if n columns still come in several parts.
func Unit(m, n int) int {
	switch {
	case m > wideRows:
		return Panel
	case n < 16*widePanels*Panel:
		return widePanels / 2 * Panel
	default:
		return widePanels * Panel
	}
}

// Post is what happens to an element of C before it is stored.
type Post uint8

// The post operations.
const (
	None  Post = iota
	ReLU       // max(v, 0); NaN stays NaN
	Clamp      // min(max(v, Lo), Hi); NaN stays NaN
)

// Args describes one product. It belongs to the caller, who keeps it between calls: kernels read it through a pointer, so on a heap
// that outlives the call nothing is allocated. All strides are in elements and non-negative.
type Args struct {
	M, N, K int

	A        *float32
	RSA, CSA int // from a row of A to the next, from a term to the next; CSA is 1 for a row-major matrix

	// A may lie in pieces, as the patches of a picture do. Per, where not 0, divides M: every Per rows are a group, and groups are GSA
	// apart. Runs, where not nil, has a length that divides K: the terms are runs of K/len(Runs), and run i begins at Runs[i] in a row.
	Per, GSA int
	Runs     []int

	B *float32 // packed, layout p32 of K x N; a part that starts at column n0 (a multiple of Panel) is at B + n0*K

	// Next is nil, or packed columns that the next product reads: they are fetched into L2 on the way. Results do not depend on it.
	Next *float32

	C   *float32
	LDC int // from a row of C to the next; columns are contiguous

	Add          *float32 // nil, or a matrix to add, which may be C itself: C += A*B
	LDAdd        int
	BiasN, BiasM *float32 // nil, or one value for each column, for each row
	Post         Post
	Lo, Hi       float32 // for Clamp

	// Scratch, of ScratchLen elements, lets the driver copy A where its terms lie apart. Results do not depend on it.
	Scratch []float32

	t tile
}

// Row is one kernel of the table.
type Row struct {
	Name   string
	Needs  cpu.Features // what the processor must have; found by the generator
	MR, NR int          // the register tile
	Layout string       // of B
	Order  string       // of the sum
	id     int
}

// Table returns all rows, best first; the last one is the portable row. Rows without machine code on this platform are included:
// see [Row.Runs].
func Table() []Row { return append([]Row(nil), rows[:]...) }

// Runs reports whether this build has the row's code and host its instructions.
func (r *Row) Runs(host cpu.Features) bool {
	return host.Has(r.Needs) && (r.Needs == 0 || kernels[r.id] != nil)
}

// Pick returns the best row that runs on host.
func Pick(host cpu.Features) *Row { return cpu.Best(rows[:], host) }

// ScratchLen is the number of elements of [Args.Scratch] that a product of this size can use.
func ScratchLen(m, n, k int) int {
	if m <= 0 || n <= 0 || k <= 0 {
		return 0
	}
	mc, kc := evenly(m, BlockM, 1), evenly(k, blockK, 8)
	return max(mc*padded(kc), kc*padded(mc))
}

// evenly cuts extent into the fewest blocks of at most limit, as equal as multiples of unit allow, and returns the size of one.
func evenly(extent, limit, unit int) int {
	blocks := (extent + limit - 1) / limit
	size := (extent + blocks - 1) / blocks
	return min((size+unit-1)/unit*unit, limit)
}

// padded is a row length of at least n elements that is a multiple of a cache line but not of 1 KiB: rows at such distances would
// fight for the same sets of L1.
func padded(n int) int {
	n = (n + 15) &^ 15
	if n*4%1024 == 0 {
		n += 16
	}
	return n
}

// Run computes one product on the calling goroutine. It allocates nothing.
func (r *Row) Run(a *Args) {
	if a.M <= 0 || a.N <= 0 {
		return
	}
	if r.Needs == 0 {
		reference(a)
		return
	}
	mc := evenly(a.M, BlockM, 1)
	per := mc
	if a.grouped() { // blocks of rows are blocks of whole groups
		per = a.Per
		mc = evenly(a.M/per, max(BlockM/per, 1), 1) * per
	}
	a.t.ldc = uintptr(a.LDC) * 4
	k, run := max(a.K, 0), 0
	if len(a.Runs) > 1 && k > 0 {
		run = k / len(a.Runs)
	}
	kc := k
	switch {
	case run > 0:
		kc = evenly(len(a.Runs), max(blockK/run, 1), 1) * run
	case k > 0:
		kc = evenly(k, blockK, 8)
	}
	for k0 := 0; ; k0 += kc {
		terms := min(kc, k-k0)
		a.t.k, a.t.runs, a.t.offs = terms, 1, &origin
		if run > 0 {
			a.t.k, a.t.runs, a.t.offs = run, terms/run, &a.Runs[k0/run]
		} else if len(a.Runs) == 1 {
			a.t.offs = &a.Runs[0]
		}
		last := k0+kc >= k
		for m0 := 0; m0 < a.M; m0 += mc {
			r.block(a, m0, min(mc, a.M-m0), min(per, a.M-m0), k0, last)
		}
		if last {
			break
		}
	}
	a.t = tile{} // keeps nothing alive
}

func (a *Args) grouped() bool { return a.Per > 0 && a.Per < a.M }

// row is where row m of A begins.
func (a *Args) row(m int) int {
	if a.grouped() {
		return m/a.Per*a.GSA + m%a.Per*a.RSA
	}
	return m * a.RSA
}

// origin is the offset of the only run.
var origin int

// block computes rows [m0, m0+m), in groups of per, for the runs of terms from k0 on that a.t has, all columns.
func (r *Row) block(a *Args, m0, m, per, k0 int, last bool) {
	t := &a.t
	var base *float32
	var rs, cs int
	switch {
	case t.k > 0 && !a.grouped() && len(a.Runs) == 0:
		base, rs, cs = a.source(m0, m, k0)
	case t.k > 0:
		base, rs, cs = at(a.A, a.row(m0)), a.RSA, a.CSA
		if len(a.Runs) <= 1 {
			base = at(base, k0*a.CSA)
		}
	}
	t.rsa, t.csa = uintptr(rs)*4, uintptr(cs)*4
	t.clamp = 0
	if last && a.Post != None {
		t.clamp, t.lo, t.hi = 1, a.Lo, a.Hi
		if a.Post == ReLU {
			t.lo, t.hi = 0, float32(math.Inf(1))
		}
	}
	t.panel = uintptr(a.K) * Panel * 4
	first := k0 == 0
	for n0, cols := 0, 0; n0 < a.N; n0 += cols {
		t.n = a.N - n0
		t.b = nil
		if t.k > 0 { // a pointer past the end of an object is not allowed to exist
			t.b = at(a.B, (n0&^(Panel-1))*a.K+k0*Panel+n0%Panel)
		}
		next := a.Next
		if n := n0&^(Panel-1) + Panel; n < a.N && t.k > 0 {
			next = at(a.B, n*a.K+k0*Panel)
		}
		t.biasN = nil
		if first && a.BiasN != nil {
			t.biasN = at(a.BiasN, n0)
		}
		cols = r.column(a, base, next, m0, m, per, n0, first)
	}
}

// column computes rows [m0, m0+m), in groups of per, of as many columns from n0 on as a tile is wide, and returns their number. Tiles
// have equal heights. Together they fetch the panel at next, so that it comes while the panel before it is used; a single tile does
// not: it would read two streams at a time, and one comes faster (8 rows: 37 GB/s against 31).
func (r *Row) column(a *Args, base, next *float32, m0, m, per, n0 int, first bool) int {
	t := &a.t
	code, cols := r.code(m, per, n0, t.n)
	most := r.MR
	if t.rsa%4096 == 0 {
		most = min(most, crowded)
	}
	tiles := (per + most - 1) / most
	height, more := per/tiles, per%tiles
	all := tiles * (m / per)
	parts, part := all*(Panel/r.NR), n0%Panel/r.NR*all
	t.pace = uintptr(4 * Panel * 4 / parts)
	if next == nil || all == 1 {
		next = nil
		t.next, t.pace = t.b, 0
	}
	for i, row := 0, 0; i < all; i++ {
		h := height
		if i%tiles < more {
			h++
		}
		t.a = nil
		if base != nil {
			t.a = (*float32)(unsafe.Add(unsafe.Pointer(base), uintptr(row%per)*t.rsa+uintptr(row/per*a.GSA)*4))
		}
		if next != nil {
			t.next = at(next, t.k*t.runs*Panel/parts*(part+i))
		}
		t.c = at(a.C, (m0+row)*a.LDC+n0)
		t.biasM, t.add = nil, nil
		if first {
			if a.BiasM != nil {
				t.biasM = at(a.BiasM, m0+row)
			}
			if a.Add != nil {
				t.add, t.ldadd = at(a.Add, (m0+row)*a.LDAdd+n0), uintptr(a.LDAdd)*4
			}
		} else {
			t.add, t.ldadd = t.c, t.ldc
		}
		code[h-1](t)
		row += h
	}
	return cols
}

// width is what one call may compute: so many columns of up to len(code) rows.
type width struct {
	cols int
	code []func(*tile)
}

// code returns the functions for m rows, in groups of per, of columns from n0 on, of which there are n: those of several panels where
// one call does all rows, those of half a panel where there are no more columns.
func (r *Row) code(m, per, n0, n int) (code []func(*tile), cols int) {
	if m == per && n0%Panel == 0 {
		for _, w := range wide[r.id] {
			if m <= len(w.code) && w.cols <= n {
				return w.code, w.cols
			}
		}
	}
	if n <= Panel/2 && len(narrow[r.id]) > 0 {
		return narrow[r.id], r.NR
	}
	return kernels[r.id], r.NR
}

func at(p *float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), i*4))
}

// source returns where the block of A of m rows from m0, k terms from k0, is read, and its strides: in place, or copied to scratch
// where its terms lie apart and would waste cache lines.
func (a *Args) source(m0, m, k0 int) (base *float32, rs, cs int) {
	from := at(a.A, m0*a.RSA+k0*a.CSA)
	k := a.t.k
	if a.CSA == 1 || k < 16 || a.N < 2*Panel {
		return from, a.RSA, a.CSA
	}
	src := unsafe.Slice(from, (m-1)*a.RSA+(k-1)*a.CSA+1)
	switch {
	case a.RSA == 1:
		ld := padded(m)
		if len(a.Scratch) < k*ld {
			return from, a.RSA, a.CSA
		}
		for i := range k {
			copy(a.Scratch[i*ld:i*ld+m], src[i*a.CSA:])
		}
		return &a.Scratch[0], 1, ld
	default:
		ld := padded(k)
		if len(a.Scratch) < m*ld {
			return from, a.RSA, a.CSA
		}
		for i := range m {
			row := a.Scratch[i*ld : i*ld+k]
			for j, s := 0, i*a.RSA; j < k; j, s = j+1, s+a.CSA {
				row[j] = src[s]
			}
		}
		return &a.Scratch[0], ld, 1
	}
}
