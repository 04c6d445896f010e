package attend

import (
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

//go:generate go run ../../../kernelsgen -root ../../..

// Tensor is a float32 operand of four axes: batch, head, query or key, element. Strides are in elements; 0 broadcasts.
type Tensor struct {
	Ptr     unsafe.Pointer
	Strides [4]int
}

// MaskKind is what a mask holds.
type MaskKind uint8

// The kinds of masks.
const (
	NoMask   MaskKind = iota
	AddMask           // float32, added to the scores
	BoolMask          // bytes; a key is seen where not 0
)

// Params describes one attention.
type Params struct {
	B, H, HK, M, T, D, DV int // batch, heads, heads of K and V, queries, keys, elements of a key, elements of a value
	Q, K, V, Out          Tensor
	Mask                  Tensor // axes batch, head, query, key
	MaskKind              MaskKind
	Scale                 float32
	Causal                bool
}

// Row is one set of functions.
type Row struct {
	Name  string
	Needs cpu.Features // what the processor must have; found by the generator
	id    int
}

// Table returns all rows, best first; the last one is the portable row.
func Table() []Row { return append([]Row(nil), rows[:]...) }

// Runs reports whether this build has the row's code and host its instructions.
func (r *Row) Runs(host cpu.Features) bool {
	return r.id == len(rows)-1 || host.Has(r.Needs) && r.id < len(assembly)
}

// Pick returns the best row that runs on host.
func Pick(host cpu.Features) *Row { return cpu.Best(rows[:], host) }

type functions struct{ scale, max, maxMask, exp, dot, axpy func(*args) }

// Sizes of blocks: scores of a block of queries by a block of keys stay in L2.
const (
	queryBlock = 70  // five tiles of 14 rows
	keyBlock   = 512 // a multiple of a panel
	fewQueries = 8   // from here on packing K and V pays
	chunkRows  = 256 // queries for which a chunk packs K and V once
	maxElems   = 1 << 48
)

// Call is an attention with its plan. The zero value is ready for Bind, which may be repeated without allocating. It is read-only while it runs.
type Call struct {
	Params Params // pointers may be changed between runs; everything else by Bind only

	f      functions
	gemm   *gemm.Row
	direct bool // few queries: no packing
	group  int  // heads that share one of K and V
	rows   int  // queries of one head in a chunk
	parts  int  // chunks for one b and hk
	tile   int  // queries of a block
	keys   int  // block of keys
	ld     int  // distance of rows of scores
}

// Bind plans an attention.
func (c *Call) Bind(p *Params, host cpu.Features) error {
	c.parts = 0
	for _, n := range []int{p.B, p.H, p.HK, p.M, p.T, p.D, p.DV} {
		if n < 0 {
			return fmt.Errorf("attend: extent %d is negative", n)
		}
	}
	if p.HK == 0 && p.H > 0 || p.HK > 0 && p.H%p.HK != 0 {
		return fmt.Errorf("attend: want heads a multiple of those of keys, got %d and %d", p.H, p.HK)
	}
	total := uint64(1)
	for _, n := range []int{p.B, p.H, max(p.M, 1), max(p.T, 1), max(p.D, p.DV, 1)} {
		hi, lo := bits.Mul64(total, uint64(max(n, 1)))
		if hi != 0 || lo > maxElems*1024 {
			return fmt.Errorf("attend: extents are too large")
		}
		total = lo
	}
	if p.MaskKind > BoolMask {
		return fmt.Errorf("attend: mask kind %d is not known", p.MaskKind)
	}
	if p.DV > 1 && p.Out.Strides[3] != 1 {
		return fmt.Errorf("attend: want adjacent elements of a result, got stride %d", p.Out.Strides[3])
	}
	for _, st := range p.Q.Strides {
		if st < 0 {
			return fmt.Errorf("attend: query stride %d is negative", st)
		}
	}
	c.Params = *p
	if p.B == 0 || p.H == 0 || p.M == 0 || p.DV == 0 {
		return nil
	}
	c.f, c.gemm = portable, gemm.Pick(host)
	if r := Pick(host); r.id < len(assembly) {
		c.f = assembly[r.id]
	}
	c.group = p.H / p.HK
	adjacent := (p.D <= 1 || p.K.Strides[3] == 1) && (p.DV <= 1 || p.V.Strides[3] == 1)
	c.direct = adjacent && p.M*c.group < fewQueries
	// A chunk does some queries of all heads of a group, so that K and V are packed, or read, once for them.
	c.rows = p.M
	if per := max(chunkRows/c.group, 64); !c.direct && p.M > per {
		n := (p.M + per - 1) / per
		c.rows = (p.M + n - 1) / n
	}
	c.parts = (p.M + c.rows - 1) / c.rows
	blocks := (c.rows + queryBlock - 1) / queryBlock
	c.tile = (c.rows + blocks - 1) / blocks
	c.keys = min(p.T, keyBlock)
	if c.direct {
		c.keys = min(p.T, 128)
	}
	c.ld = (c.keys + 15) &^ 15
	if c.ld*4%1024 == 0 {
		c.ld += 16
	}
	return nil
}

// Chunks is the number of independent parts.
func (c *Call) Chunks() int {
	if c.parts == 0 {
		return 0
	}
	return c.Params.B * c.Params.HK * c.parts
}

// sizes are the lengths of the pieces of scratch, in elements.
type sizes struct{ k, v, s, acc, stat, mask, gemm int }

func (c *Call) sizes() sizes {
	if c.parts == 0 {
		return sizes{}
	}
	p := &c.Params
	z := sizes{s: c.tile * c.ld, acc: c.group * c.rows * p.DV, stat: 2 * c.group * c.rows, mask: c.ld}
	if c.direct {
		z.s = c.ld
		z.k = p.D // one query, adjacent
		return z
	}
	z.k, z.v = gemm.PackedLen(p.D, c.keys), gemm.PackedLen(c.keys, p.DV)
	z.gemm = max(gemm.ScratchLen(c.tile, c.keys, p.D), gemm.ScratchLen(c.tile, p.DV, c.keys))
	return z
}

func (z sizes) total() int { return z.k + z.v + z.s + z.acc + z.stat + z.mask + z.gemm + 7*16 }

// ScratchBytes is the memory that a [Scratch] needs for this call.
func (c *Call) ScratchBytes() int { return c.sizes().total() * 4 }

// Scratch is the memory of one worker. The zero value is ready; it grows to what the calls that use it need.
type Scratch struct {
	mem                   []float32
	k, v, s, acc, mx, sum []float32
	mask, gemm            []float32
	a                     args
	g                     gemm.Args
	maskAt                unsafe.Pointer // the row of the mask that is in mask
	out                   float32
}

// Reserve makes room for a call, so that running it allocates nothing.
func (s *Scratch) Reserve(c *Call) {
	z := c.sizes()
	if n := z.total(); len(s.mem) < n {
		s.mem = make([]float32, n)
	}
	rest := s.mem
	take := func(n int) []float32 {
		x := rest[:n:n]
		rest = rest[(n+15)&^15:]
		return x
	}
	s.k, s.v, s.s, s.acc = take(z.k), take(z.v), take(z.s), take(z.acc)
	s.mx, s.sum = take(z.stat/2), take(z.stat/2)
	s.mask, s.gemm = take(z.mask), take(z.gemm)
}

// RunChunk does part i of [Call.Chunks].
func (c *Call) RunChunk(i int, s *Scratch) error {
	if i < 0 || i >= c.Chunks() {
		return fmt.Errorf("attend: chunk %d of %d", i, c.Chunks())
	}
	s.Reserve(c)
	p := &c.Params
	part, at := i%c.parts, i/c.parts
	w := work{c: c, s: s, b: at / p.HK, hk: at % p.HK, m0: part * c.rows}
	w.rows = min(c.rows, p.M-w.m0)
	if w.rows > 0 {
		w.run()
	}
	s.a, s.g, s.maskAt = args{}, gemm.Args{}, nil // keep nothing alive
	return nil
}

// work is one chunk: queries [m0, m0+rows) of the heads that share hk.
type work struct {
	c               *Call
	s               *Scratch
	b, hk, m0, rows int
}

func (t *Tensor) at(b, h, i int) *float32 {
	return (*float32)(unsafe.Add(t.Ptr, 4*(b*t.Strides[0]+h*t.Strides[1]+i*t.Strides[2])))
}

func (w *work) run() {
	c, s, p := w.c, w.s, &w.c.Params
	n := c.group * w.rows
	clear(s.acc[:n*p.DV])
	for r := range n {
		s.mx[r], s.sum[r] = float32(math.Inf(-1)), 0
	}
	last := p.T // keys that the last query sees
	if p.Causal {
		last = min(p.T, max(w.m0+w.rows+p.T-p.M, 0))
	}
	for t0 := 0; t0 < last; t0 += c.keys {
		t1 := min(t0+c.keys, last)
		if c.direct {
			w.rowsDirect(t0, t1)
		} else {
			w.block(t0, t1)
		}
	}
	w.finish()
}

// finish divides by the sums. A sum of zero is that of a query that sees no key, which gives zeros.
func (w *work) finish() {
	c, s, p := w.c, w.s, &w.c.Params
	for g := range c.group {
		h := w.hk*c.group + g
		for i := range w.rows {
			r := g*w.rows + i
			f := 1 / s.sum[r]
			if s.sum[r] == 0 {
				f = 0
			}
			s.a = args{dst: p.Out.at(w.b, h, w.m0+i), a: &s.acc[r*p.DV], n: p.DV, scale: f}
			c.f.scale(&s.a)
		}
	}
}

// seen is the number of keys of [t0, t1) that query m sees.
func (w *work) seen(m, t0, t1 int) int {
	if p := &w.c.Params; p.Causal {
		t1 = min(t1, m+p.T-p.M+1)
	}
	return max(t1-t0, 0)
}

// softmax turns scores x of query m and keys from t0 on into weights against the running maximum of row r, and returns the factor by which what was summed
// before shrinks.
func (w *work) softmax(x []float32, h, m, t0, r int) float32 {
	c, s, p := w.c, w.s, &w.c.Params
	s.a = args{dst: &x[0], a: &x[0], out: &s.out, n: len(x), scale: p.Scale}
	if p.MaskKind == NoMask {
		c.f.max(&s.a)
	} else {
		s.a.b = w.maskRow(h, m, t0, len(x))
		c.f.maxMask(&s.a)
	}
	before := s.mx[r]
	now := s.out
	if before > now || before != before {
		now = before
	}
	s.mx[r] = now
	shift := now
	if math.IsInf(float64(now), -1) {
		shift = 0 // nothing seen yet: all weights are zero
	}
	s.a = args{dst: &x[0], a: &x[0], out: &s.out, n: len(x), scale: shift}
	c.f.exp(&s.a)
	shrink := float32(1)
	switch {
	case math.IsInf(float64(before), -1):
		shrink = 0
	case before != now:
		shrink = float32(math.Exp(float64(before) - float64(shift)))
	}
	s.sum[r] = s.sum[r]*shrink + s.out
	return shrink
}

// maskRow is the mask of a query as numbers to add: where it lies, or in scratch.
func (w *work) maskRow(h, m, t0, n int) *float32 {
	s, p := w.s, &w.c.Params
	st := &p.Mask.Strides
	off := w.b*st[0] + h*st[1] + m*st[2] + t0*st[3]
	step := st[3]
	if p.MaskKind == AddMask {
		from := unsafe.Add(p.Mask.Ptr, 4*off)
		if step == 1 || n == 1 {
			return (*float32)(from)
		}
		for j := range n {
			s.mask[j] = *(*float32)(unsafe.Add(from, 4*j*step))
		}
		return &s.mask[0]
	}
	from := unsafe.Add(p.Mask.Ptr, off)
	for j := range n {
		v := float32(0)
		if *(*uint8)(unsafe.Add(from, j*step)) == 0 {
			v = float32(math.Inf(-1))
		}
		s.mask[j] = v
	}
	return &s.mask[0]
}

// rowsDirect does keys [t0, t1) of all the chunk's queries straight from K and V.
func (w *work) rowsDirect(t0, t1 int) {
	c, s, p := w.c, w.s, &w.c.Params
	k, v := p.K.at(w.b, w.hk, t0), p.V.at(w.b, w.hk, t0)
	afterK, afterV := k, v
	if p.K.Strides[2] == p.V.Strides[2] { // as kernels want it
		afterK = v
		switch {
		case t1 < p.T:
			afterV = p.K.at(w.b, w.hk, t1)
		case w.hk+1 < p.HK: // most often the worker's next chunk
			afterV = p.K.at(w.b, w.hk+1, 0)
		}
	}
	for g := range c.group {
		h := w.hk*c.group + g
		for i := range w.rows {
			m, r := w.m0+i, g*w.rows+i
			n := w.seen(m, t0, t1)
			if n == 0 {
				continue
			}
			x := s.s[:n]
			if p.D == 0 {
				clear(x)
			} else {
				s.a = args{dst: &x[0], a: w.query(h, m), b: k, next: afterK, stride: uintptr(4 * p.K.Strides[2]), n: n, m: p.D}
				c.f.dot(&s.a)
			}
			acc := s.acc[r*p.DV : (r+1)*p.DV]
			w.shrink(acc, w.softmax(x, h, m, t0, r))
			s.a = args{dst: &acc[0], a: &x[0], b: v, next: afterV, stride: uintptr(4 * p.V.Strides[2]), n: n, m: p.DV}
			c.f.axpy(&s.a)
		}
	}
}

func (w *work) query(h, m int) *float32 {
	p := &w.c.Params
	q, st := p.Q.at(w.b, h, m), p.Q.Strides[3]
	if st == 1 || p.D == 1 {
		return q
	}
	for j := range w.s.k {
		w.s.k[j] = *(*float32)(unsafe.Add(unsafe.Pointer(q), 4*j*st))
	}
	return &w.s.k[0]
}

func (w *work) shrink(acc []float32, f float32) {
	if f != 1 {
		w.s.a = args{dst: &acc[0], a: &acc[0], n: len(acc), scale: f}
		w.c.f.scale(&w.s.a)
	}
}

// block does keys [t0, t1) of all the chunk's queries by matrix products.
func (w *work) block(t0, t1 int) {
	c, s, p := w.c, w.s, &w.c.Params
	n := t1 - t0
	if p.D > 0 {
		w.pack(s.k, &p.K, t0, p.D, n, p.K.Strides[3], p.K.Strides[2])
	}
	w.pack(s.v, &p.V, t0, n, p.DV, p.V.Strides[2], p.V.Strides[3])
	for g := range c.group {
		for i0 := 0; i0 < w.rows; i0 += c.tile {
			w.tile(g, i0, min(c.tile, w.rows-i0), t0, t1)
		}
	}
}

// pack packs k x n elements of K or V from key t0 on.
func (w *work) pack(dst []float32, t *Tensor, t0, k, n, rs, cs int) {
	src := t.at(w.b, w.hk, t0)
	if rs < 0 || cs < 0 {
		w.packBackwards(dst, src, k, n, rs, cs)
		return
	}
	w.c.gemm.PackB(dst, unsafe.Slice(src, (k-1)*rs+(n-1)*cs+1), k, n, rs, cs)
}

func (w *work) packBackwards(dst []float32, src *float32, k, n, rs, cs int) {
	for j0 := 0; j0 < n; j0 += gemm.Panel {
		for i := range k {
			row := dst[j0*k+i*gemm.Panel:][:gemm.Panel]
			for j := range row {
				row[j] = 0
				if j0+j < n {
					row[j] = *(*float32)(unsafe.Add(unsafe.Pointer(src), 4*(i*rs+(j0+j)*cs)))
				}
			}
		}
	}
}

// tile does rows [i0, i0+rows) of head g of the group.
func (w *work) tile(g, i0, rows, t0, t1 int) {
	c, s, p := w.c, w.s, &w.c.Params
	h := w.hk*c.group + g
	n := w.seen(w.m0+i0+rows-1, t0, t1) // keys that the last of them sees
	if n == 0 {
		return
	}
	a := &s.g
	if p.D > 0 {
		*a = gemm.Args{M: rows, N: n, K: p.D, A: p.Q.at(w.b, h, w.m0+i0), RSA: p.Q.Strides[2], CSA: p.Q.Strides[3], B: &s.k[0], C: &s.s[0], LDC: c.ld, Scratch: s.gemm}
		c.gemm.Run(a)
	} else {
		clear(s.s)
	}
	for i := range rows {
		m, r := w.m0+i0+i, g*w.rows+i0+i
		x := s.s[i*c.ld : i*c.ld+n] // weights of keys that only later queries of the tile see are zero
		see := w.seen(m, t0, t1)
		clear(x[see:])
		if see == 0 {
			continue
		}
		if f := w.softmax(x[:see], h, m, t0, r); t0 > 0 {
			w.shrink(s.acc[r*p.DV:(r+1)*p.DV], f)
		}
	}
	to := s.acc[(g*w.rows+i0)*p.DV:]
	*a = gemm.Args{M: rows, N: p.DV, K: n, A: &s.s[0], RSA: c.ld, CSA: 1, B: &s.v[0], LDC: p.DV, LDAdd: p.DV, Scratch: s.gemm}
	if n == t1-t0 {
		if a.C = &to[0]; t0 > 0 {
			a.Add = &to[0]
		}
		c.gemm.Run(a)
		return
	}
	// Panels of V are as long as the block of keys; the product is shorter.
	for j := 0; j < p.DV; j += gemm.Panel {
		a.N, a.B = min(gemm.Panel, p.DV-j), &s.v[j*(t1-t0)]
		a.C, a.Add = &to[j], &to[j]
		c.gemm.Run(a)
	}
}
