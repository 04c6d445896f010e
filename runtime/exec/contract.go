package exec

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/program"
)

// Products of few rows are cut by the bytes of the second factor that a chunk reads.
const (
	fewRows    = 16
	chunkBytes = 256 << 10
)

// contractStep is a matrix product: a[b, m, k] times b[b, k, n] over a list of batches. A second factor that is
// not packed in the program is packed into scratch first; what a gemm kernel cannot do to its result is a sweep
// afterwards.
type contractStep struct {
	s      *Session
	st     *program.Step
	packed bool // the second factor is, in the program
	parted bool // columns that follow one another in the second factor do not in the result
	post   simplePost
	fused  bool // the kernel does all of post
	after  *sweep
	accOut bool // the accumulators lie in output 0

	m, n, k      int
	rsA, csA     int
	rsB, csB     int
	ldc          int
	ldAdd        int
	batch        []batchAxis
	batches      int
	bBatches     int // distinct second factors
	packedB      int // elements of one packed factor; where the program packed it, of one panel
	mc, nc       int
	mChunks      int
	nChunks      int
	accStrides   []int
	accBytes     int
	bias         gemm.Args // template: which pointers and strides are set
	a, b, c, add unsafe.Pointer
	bPack        unsafe.Pointer
	packing      bool
}

// batchAxis is an axis over which whole products repeat, with the strides of all operands that a product reads.
type batchAxis struct {
	n            int
	a, b, c, add int
	packB        int // packed factors, or panels, from one position to the next
	axis         int
}

func newContractStep(s *Session, b *program.Body, st *program.Step) (runner, error) {
	c := &contractStep{s: s, st: st}
	bi := b.Bufs[st.In[1].Buf]
	c.packed = bi.Kind == program.BufConst && s.m.Program.Consts[bi.Index].Layout == layout.P32
	c.post = findPost(s, b, st, 2)
	c.post.ok = c.post.ok && c.post.second < 0
	var err error
	c.after, err = newSweep(s, b, st, true)
	return c, err
}

func (c *contractStep) bytes() int64 { return 0 }

// bind classifies the axes of the space by which factor sees them.
func (c *contractStep) bind(f *frame) error {
	vals := f.s.vals
	st := c.st
	c.m, c.n, c.k = 1, 1, 1
	c.rsA, c.csA, c.rsB, c.csB, c.batch = 0, 1, 0, 0, c.batch[:0]
	haveM, haveN, haveK := -1, -1, -1
	kEmpty := false
	c.parted = false
	for i := len(st.Space) - 1; i >= 0; i-- {
		ext := int(vals[st.Space[i].Extent])
		sa, sb := int(vals[st.In[0].Stride[i]]), int(vals[st.In[1].Stride[i]])
		if st.Space[i].Red {
			switch {
			case ext == 0:
				kEmpty = true
			case ext == 1:
			case haveK < 0:
				haveK, c.k, c.csA, c.rsB = i, ext, sa, sb
			case sa == c.csA*c.k && sb == c.rsB*c.k:
				c.k *= ext
			default:
				return fmt.Errorf("summed axes do not form one")
			}
			continue
		}
		if ext == 1 {
			continue
		}
		switch {
		case sb != 0 && sa == 0 && haveN < 0:
			haveN, c.n, c.csB = i, ext, sb
		case sb != 0 && sa == 0 && sb == c.csB*c.n && (c.parted || c.merges(f, i, haveN, c.n)):
			c.n *= ext
		case sb != 0 && sa == 0 && sb == c.csB*c.n && c.packed && c.n%gemm.Panel != 0: // panels run over several positions
			c.n *= ext
			c.parted = true
		case sb == 0 && haveM < 0:
			haveM, c.m, c.rsA = i, ext, sa
		case sb == 0 && sa == c.rsA*c.m && c.merges(f, i, haveM, c.m):
			c.m *= ext
		default:
			c.batch = append(c.batch, batchAxis{n: ext, a: sa, b: sb, axis: i})
		}
	}
	if kEmpty {
		c.k = 0
	}
	if c.packed && haveN >= 0 {
		// the packing was made of these very axes: a position along an axis is so many columns further
		for i := range c.batch {
			c.batch[i].b /= c.csB
			if c.batch[i].b%gemm.Panel != 0 {
				return fmt.Errorf("products begin in the middle of a packed panel")
			}
		}
		c.csB = 1
	}
	c.layoutOut(f, haveM, haveN)
	if err := c.plan(f, haveM, haveN); err != nil {
		return err
	}
	if !c.fused {
		return c.after.bind(f, c.accStrides)
	}
	return nil
}

func (c *contractStep) outStride(f *frame, axis int) int {
	return int(f.s.vals[c.st.Out[0].Stride[axis]])
}

// merges reports whether axis i continues axis k, which has n positions, in the result and in all that post reads.
func (c *contractStep) merges(f *frame, i, k, n int) bool {
	if c.outStride(f, i) != c.outStride(f, k)*n {
		return false
	}
	for _, u := range c.st.In[2:] {
		if int(f.s.vals[u.Stride[i]]) != int(f.s.vals[u.Stride[k]])*n {
			return false
		}
	}
	return true
}

// layoutOut decides where accumulators lie and what the kernel itself can do after the sum.
func (c *contractStep) layoutOut(f *frame, m, n int) {
	vals := f.s.vals
	nOut, mOut := 1, c.n
	if n >= 0 {
		nOut = c.outStride(f, n)
	}
	if m >= 0 {
		mOut = c.outStride(f, m)
	}
	c.accOut = c.post.f32 && !c.parted && nOut == 1 && (m < 0 || mOut >= c.n)
	c.fused = c.accOut && c.post.ok
	c.bias = gemm.Args{}
	c.ldAdd = 0
	if c.fused && c.post.operand >= 0 {
		u := &c.st.In[c.post.operand]
		un, um := 0, 0
		if n >= 0 {
			un = int(vals[u.Stride[n]])
		}
		if m >= 0 {
			um = int(vals[u.Stride[m]])
		}
		switch {
		case (un == 1 || n < 0) && (um == 0 || m < 0) && c.n > 1:
			c.post.role = roleBiasN
		case un == 0 && um == 1 && c.n > 1:
			c.post.role = roleBiasM
		case un == 1 && um >= c.n:
			c.post.role, c.ldAdd = roleAdd, um
		default:
			c.fused = false
		}
	}
	if c.fused {
		c.bias = gemm.Args{Post: c.post.kind, Lo: c.post.lo, Hi: c.post.hi}
	}
	c.ldc = mOut
	if m < 0 {
		c.ldc = max(c.n, 1)
	}
	if !c.accOut {
		c.ldc = (c.n + 15) &^ 15
	}
}

// plan cuts the product into chunks: by extents alone.
func (c *contractStep) plan(f *frame, m, n int) error {
	st, vals := c.st, f.s.vals
	c.batches, c.bBatches = 1, 1
	for len(c.accStrides) < len(st.Space) {
		c.accStrides = append(c.accStrides, 0)
	}
	clear(c.accStrides)
	acc := c.m * c.ldc
	for i := range c.batch {
		b := &c.batch[i]
		c.batches *= b.n
		switch {
		case c.packed:
			b.packB = b.b / gemm.Panel
		case b.b != 0:
			b.packB = c.bBatches
			c.bBatches *= b.n
		}
		if c.accOut {
			b.c = c.outStride(f, b.axis)
		} else {
			b.c = acc
			acc *= b.n
		}
		if c.fused && c.post.operand >= 0 {
			b.add = int(vals[st.In[c.post.operand].Stride[b.axis]])
		}
		c.accStrides[b.axis] = b.c
	}
	c.accBytes = 0
	if !c.accOut {
		c.accBytes = (acc*4 + 63) &^ 63
	}
	c.mergedStrides(f, m, n)
	scratch := c.accBytes
	if c.packed {
		c.packedB = gemm.Panel * c.k
	} else {
		c.packedB = gemm.PackedLen(c.k, c.n)
		scratch += (c.bBatches*c.packedB + 16) * 4
	}
	if err := f.s.needScratch(scratch); err != nil {
		return err
	}
	// a chunk is about ten million operations, in whole panels
	c.mc = c.m
	if c.m > gemm.BlockM {
		blocks := (c.m + gemm.BlockM - 1) / gemm.BlockM
		c.mc = (c.m + blocks - 1) / blocks
	}
	c.mChunks = (c.m + c.mc - 1) / max(c.mc, 1)
	const chunkOps = 10e6
	per := max(int(chunkOps/2/float64(max(c.mc*c.k, 1))), 1)
	if c.m <= fewRows { // the stream of the second factor takes the time
		per = min(per, max(chunkBytes/4/max(c.k, 1), 1))
	}
	unit := gemm.Unit(c.m, c.n)
	c.nc = min((per+unit-1)/unit*unit, (c.n+gemm.Panel-1)/gemm.Panel*gemm.Panel)
	c.nChunks = (c.n + c.nc - 1) / max(c.nc, 1)
	need := gemm.ScratchLen(c.mc, c.nc, c.k)
	for i := range f.s.locals {
		if l := &f.s.locals[i]; len(l.f32) < need {
			l.f32 = make([]float32, need)
		}
	}
	return nil
}

// mergedStrides gives every axis that was joined into m or n its stride in the accumulators.
func (c *contractStep) mergedStrides(f *frame, m, n int) {
	isBatch := func(i int) bool {
		for _, b := range c.batch {
			if b.axis == i {
				return true
			}
		}
		return false
	}
	em, en := 1, 1
	for i := len(c.st.Space) - 1; i >= 0; i-- {
		ext := int(f.s.vals[c.st.Space[i].Extent])
		if c.st.Space[i].Red || ext == 1 || isBatch(i) {
			continue
		}
		if c.accOut {
			c.accStrides[i] = c.outStride(f, i)
			continue
		}
		if int(f.s.vals[c.st.In[1].Stride[i]]) == 0 {
			c.accStrides[i] = em * c.ldc
			em *= ext
		} else {
			c.accStrides[i] = en
			en *= ext
		}
	}
}

func (c *contractStep) run(f *frame, _ context.Context) error {
	if c.batches*c.m*c.n == 0 {
		return nil
	}
	c.a, c.b = f.pointer(&c.st.In[0]), f.pointer(&c.st.In[1])
	at := 0
	c.c = f.pointer(&c.st.Out[0])
	if !c.accOut {
		c.c = f.s.scratchAt(at)
		at += c.accBytes
	}
	c.add = nil
	if c.fused && c.post.operand >= 0 {
		c.add = f.pointer(&c.st.In[c.post.operand])
	}
	if c.packed {
		c.bPack = c.b
	} else {
		c.bPack = f.s.scratchAt(at)
		c.packing = true
		panels := (c.n + gemm.Panel - 1) / gemm.Panel
		f.s.m.pool.Run(c.bBatches*panels, c)
		c.packing = false
	}
	f.s.m.pool.Run(c.batches*c.mChunks*c.nChunks, c)
	if !c.fused {
		return c.after.run(f, c.c)
	}
	return nil
}

// Chunk implements pool.Job.
func (c *contractStep) Chunk(i, worker int) {
	if c.packing {
		c.packPanel(i)
		return
	}
	l := &c.s.locals[worker]
	nb := i % c.nChunks
	i /= c.nChunks
	mb := i % c.mChunks
	i /= c.mChunks
	var oa, oc, oadd, factor int
	for k := range c.batch {
		b := &c.batch[k]
		p := i % b.n
		i /= b.n
		oa += p * b.a
		oc += p * b.c
		oadd += p * b.add
		factor += p * b.packB
	}
	g := &l.gemm
	*g = c.bias
	m0, n0 := mb*c.mc, nb*c.nc
	g.M, g.N, g.K = min(c.mc, c.m-m0), min(c.nc, c.n-n0), c.k
	g.A, g.RSA, g.CSA = f32(c.a, oa+m0*c.rsA), c.rsA, c.csA
	base := factor * c.packedB
	g.B = f32(c.bPack, base+n0*c.k)
	if n1 := n0 + c.nc; n1 < c.n && c.k > 0 { // most often the worker's next chunk
		g.Next = f32(c.bPack, base+n1*c.k)
	}
	g.C, g.LDC = f32(c.c, oc+m0*c.ldc+n0), c.ldc
	if c.add != nil {
		switch c.post.role {
		case roleBiasN:
			g.BiasN = f32(c.add, oadd+n0)
		case roleBiasM:
			g.BiasM = f32(c.add, oadd+m0)
		case roleAdd:
			g.Add, g.LDAdd = f32(c.add, oadd+m0*c.ldAdd+n0), c.ldAdd
		}
	}
	g.Scratch = l.f32
	c.s.m.gemm.Run(g)
}

// packPanel packs one panel of one second factor.
func (c *contractStep) packPanel(i int) {
	panels := (c.n + gemm.Panel - 1) / gemm.Panel
	j, p := i/panels, i%panels
	factor, off := j, 0
	for k := range c.batch {
		b := &c.batch[k]
		if b.b == 0 {
			continue
		}
		off += j % b.n * b.b
		j /= b.n
	}
	cols := min(gemm.Panel, c.n-p*gemm.Panel)
	if c.k == 0 {
		return
	}
	span := (c.k-1)*c.rsB + (cols-1)*c.csB + 1
	src := unsafe.Slice(f32(c.b, off+p*gemm.Panel*c.csB), span)
	dst := unsafe.Slice(f32(c.bPack, factor*c.packedB+p*gemm.Panel*c.k), gemm.Panel*c.k)
	c.s.m.gemm.PackB(dst, src, c.k, cols, c.rsB, c.csB)
}

func f32(p unsafe.Pointer, i int) *float32 { return (*float32)(unsafe.Add(p, i*4)) }
