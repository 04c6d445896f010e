package window_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/kerneltest"
	"github.com/llmc-go/llmc/runtime/kernels/window"
)

const eps = 1.0 / (1 << 24)

// drawGeometry draws everything but the extents ci, co, h, w; sometimes with a depth.
func drawGeometry(r *rand.Rand, ci, co, h, w int) (g window.Geometry, padEnd [3]int) {
	g = window.Geometry{N: 1 + r.IntN(2), Groups: 1, Ci: ci, Co: co, In: [3]int{1, h, w}, Out: [3]int{1, 1, 1},
		Kernel: [3]int{1, 1, 1}, Stride: [3]int{1, 1, 1}, Dilation: [3]int{1, 1, 1}}
	first := 1
	if r.IntN(5) == 0 {
		g.In[0], first = 1+r.IntN(4), 0
	}
	if r.IntN(4) == 0 {
		g.Groups = 1 + r.IntN(3)
	}
	pointwise := r.IntN(4) == 0
	for i := first; i < 3; i++ {
		if !pointwise {
			g.Kernel[i] = 1 + r.IntN(4)
			g.Stride[i] = 1 + r.IntN(2)*r.IntN(3)
			g.Dilation[i] = 1 + r.IntN(2)*r.IntN(2)
			g.PadBegin[i], padEnd[i] = r.IntN(3), r.IntN(3)
		}
		g.Out[i] = max(0, (g.In[i]+g.PadBegin[i]+padEnd[i]-g.Dilation[i]*(g.Kernel[i]-1)-1)/g.Stride[i]+1)
		if g.In[i]+g.PadBegin[i]+padEnd[i] < g.Dilation[i]*(g.Kernel[i]-1)+1 {
			g.Out[i] = 0
		}
	}
	return g, padEnd
}

func volume(e [3]int) int { return e[0] * e[1] * e[2] }

// eachTap calls f with the index of every input element, and tap number, that output point p of a plane sees.
func eachTap(g *window.Geometry, p int, f func(in, tap int)) {
	x, y, z := p%g.Out[2], p/g.Out[2]%g.Out[1], p/g.Out[2]/g.Out[1]
	tap := -1
	for kz := range g.Kernel[0] {
		for ky := range g.Kernel[1] {
			for kx := range g.Kernel[2] {
				tap++
				iz := z*g.Stride[0] + kz*g.Dilation[0] - g.PadBegin[0]
				iy := y*g.Stride[1] + ky*g.Dilation[1] - g.PadBegin[1]
				ix := x*g.Stride[2] + kx*g.Dilation[2] - g.PadBegin[2]
				if iz >= 0 && iz < g.In[0] && iy >= 0 && iy < g.In[1] && ix >= 0 && ix < g.In[2] {
					f((iz*g.In[1]+iy)*g.In[2]+ix, tap)
				}
			}
		}
	}
}

// conv is a problem's parameters; operands are x, w, y, bias, add.
type conv struct {
	window.Conv
	bias, add bool
}

// naive is the loop of the documentation in float64: the sums, and the sums of magnitudes.
func naive(c *window.Conv, x, w []float32) (sum, abs []float64) {
	plane, pixels, taps := volume(c.In), volume(c.Out), volume(c.Kernel)
	stride := c.WStride
	if stride == 0 {
		stride = c.Ci * taps
	}
	sum, abs = make([]float64, c.N*c.Groups*c.Co*pixels), make([]float64, c.N*c.Groups*c.Co*pixels)
	for i := range sum {
		p, channel := i%pixels, i/pixels
		image, co := channel/c.Co, channel%(c.Groups*c.Co)
		for ci := range c.Ci {
			eachTap(&c.Geometry, p, func(in, tap int) {
				v := float64(x[(image*c.Ci+ci)*plane+in]) * float64(w[co*stride+ci*taps+tap])
				sum[i] += v
				if a := math.Abs(v); a < 1e30 {
					abs[i] += a
				}
			})
		}
	}
	return sum, abs
}

func makeConv(r *rand.Rand, e []int) *kerneltest.Problem {
	c := &conv{bias: r.IntN(2) == 0, add: r.IntN(3) == 0}
	c.Geometry, _ = drawGeometry(r, e[0], e[1], e[2], e[3])
	c.Post, c.Lo, c.Hi = gemm.Post(r.IntN(3)), -1, 1.5
	terms := c.Ci * volume(c.Kernel)
	c.WStride = terms + r.IntN(2)*3
	x := kerneltest.Values(r, c.N*c.Groups*c.Ci*volume(c.In))
	w := kerneltest.Values(r, c.Groups*c.Co*c.WStride)
	y := kerneltest.Values(r, c.N*c.Groups*c.Co*volume(c.Out))
	bias, add := kerneltest.Values(r, c.Groups*c.Co), kerneltest.Values(r, len(y))
	_, bound := naive(&c.Conv, x, w)
	for i := range bound { // as for gemm: each side errs by at most (terms+3)*eps*(sum of magnitudes)
		bound[i] = 2*float64(terms+3)*eps*(bound[i]+3) + float64(terms)*1e-44
	}
	return &kerneltest.Problem{Name: fmt.Sprintf("conv %+v", c.Geometry), Params: c, Operands: []kerneltest.Operand{
		{Name: "x", Data: x}, {Name: "w", Data: w}, {Name: "y", Data: y, Bound: bound}, {Name: "bias", Data: bias}, {Name: "add", Data: add},
	}}
}

func first(s []float32) *float32 {
	if len(s) == 0 {
		return new(float32)
	}
	return &s[0]
}

// worker makes a worker whose scratch holds NaN.
func worker(n int) *window.Worker {
	w := &window.Worker{Scratch: make([]float32, n)}
	for i := range w.Scratch {
		w.Scratch[i] = float32(math.NaN())
	}
	return w
}

func convFamily() kerneltest.Family {
	f := kerneltest.Family{Large: []int{80, 70, 40, 60}, Make: makeConv}
	f.Sweep = func(int) []int { return []int{9, 17, 19, 35} }
	for _, row := range window.Table() {
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			src := p.Params.(*conv)
			c := src.Conv
			c.X, c.W, c.Y = first(mem[0]), first(mem[1]), first(mem[2])
			if src.bias {
				c.Bias = first(mem[3])
			}
			if src.add {
				c.Add = first(mem[4])
			}
			if err := c.Prepare(&row); err != nil {
				panic(err)
			}
			w := worker(c.ScratchLen())
			for i := range c.Chunks() {
				c.RunChunk(i, w)
			}
		}})
	}
	return f
}

func TestConvRows(t *testing.T) { kerneltest.Run(t, convFamily()) }
func FuzzConvRows(f *testing.F) { kerneltest.Fuzz(f, convFamily()) }

// TestConvAgainstFloat64 compares every row, the portable one included, with the naive loop.
func TestConvAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		p := makeConv(r, []int{r.IntN(20), 1 + r.IntN(20), 1 + r.IntN(12), 1 + r.IntN(30)})
		c := p.Params.(*conv)
		c.Post = gemm.None
		for i, op := range p.Operands { // no NaN here
			for j, v := range op.Data {
				if !(v >= -1 && v <= 1) {
					p.Operands[i].Data[j] = 0.5
				}
			}
		}
		want, _ := naive(&c.Conv, p.Operands[0].Data, p.Operands[1].Data)
		_, abs := naive(&c.Conv, p.Operands[0].Data, p.Operands[1].Data)
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			c := c.Conv
			y := make([]float32, len(want))
			c.X, c.W, c.Y = first(p.Operands[0].Data), first(p.Operands[1].Data), first(y)
			if err := c.Prepare(&row); err != nil {
				t.Fatal(err)
			}
			w := worker(c.ScratchLen())
			for i := range c.Chunks() {
				c.RunChunk(i, w)
			}
			for i := range y {
				if d := math.Abs(float64(y[i]) - want[i]); !(d <= float64(c.Ci*volume(c.Kernel)+1)*eps*abs[i]+1e-30) {
					t.Fatalf("%s %s: y[%d]: want %v, got %v", row.Name, p.Name, i, want[i], y[i])
				}
			}
		}
	}
}

// Chunks in any order, by any worker, give the same bits.
func TestChunksAreIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 4))
	for range 40 {
		p := makeConv(r, []int{1 + r.IntN(40), 1 + r.IntN(100), 1 + r.IntN(30), 1 + r.IntN(30)})
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			c := p.Params.(*conv).Conv
			c.X, c.W = first(p.Operands[0].Data), first(p.Operands[1].Data)
			if err := c.Prepare(&row); err != nil {
				t.Fatal(err)
			}
			var results [2][]float32
			order := r.Perm(c.Chunks())
			for run := range results {
				y := make([]float32, len(p.Operands[2].Data))
				c.Y = first(y)
				ws := []*window.Worker{worker(c.ScratchLen()), worker(c.ScratchLen() + 5)}
				for _, i := range order {
					c.RunChunk(i, ws[run*r.IntN(2)])
				}
				results[run] = y
				slices.Sort(order)
			}
			for i := range results[0] {
				if math.Float32bits(results[0][i]) != math.Float32bits(results[1][i]) {
					t.Fatalf("%s %s: y[%d] depends on the order: %v, %v", row.Name, p.Name, i, results[0][i], results[1][i])
				}
			}
		}
	}
}

type pooling struct{ window.Pool }

func makePool(r *rand.Rand, e []int) *kerneltest.Problem {
	p := &pooling{}
	g, padEnd := drawGeometry(r, 1, 1, e[1], e[2])
	g.Groups = e[0]
	p.Geometry, p.PadEnd = g, padEnd
	p.Kind, p.CountPad = window.Kind(r.IntN(2)), r.IntN(2) == 0
	x := kerneltest.Values(r, g.N*g.Groups*volume(g.In))
	y := kerneltest.Values(r, g.N*g.Groups*volume(g.Out))
	bound := make([]float64, len(y))
	if p.Kind == window.Average {
		for i := range bound { // at most taps*eps*(mean of magnitudes at most 1, over a count of at least 1)
			bound[i] = 2 * float64(volume(g.Kernel)+2) * eps * float64(volume(g.Kernel))
		}
	}
	return &kerneltest.Problem{Name: fmt.Sprintf("pool %d %+v", p.Kind, g), Params: p, Operands: []kerneltest.Operand{{Name: "x", Data: x}, {Name: "y", Data: y, Bound: bound}}}
}

func poolFamily() kerneltest.Family {
	f := kerneltest.Family{Large: []int{40, 60, 90}, Make: makePool}
	f.Sweep = func(int) []int { return []int{9, 19, 35} }
	for _, row := range window.Table() {
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			q := p.Params.(*pooling).Pool
			q.X, q.Y = first(mem[0]), first(mem[1])
			runPool(&q, &row)
		}})
	}
	return f
}

func runPool(q *window.Pool, row *window.Row) {
	if err := q.Prepare(row); err != nil {
		panic(err)
	}
	w := worker(q.ScratchLen())
	for i := range q.Chunks() {
		q.RunChunk(i, w)
	}
}

func TestPoolRows(t *testing.T) { kerneltest.Run(t, poolFamily()) }

// TestPoolAgainstNaive compares every row with loops that follow the definition.
func TestPoolAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 4))
	for range 200 {
		p := makePool(r, []int{1 + r.IntN(5), 1 + r.IntN(20), 1 + r.IntN(40)})
		x := p.Operands[0].Data
		for i := range x {
			x[i] = r.Float32()
		}
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			q := p.Params.(*pooling).Pool
			y := make([]float32, len(p.Operands[1].Data))
			q.X, q.Y = first(x), first(y)
			runPool(&q, &row)
			pixels := volume(q.Out)
			for i, got := range y {
				most, sum, count := math.Inf(-1), 0.0, 0
				eachTap(&q.Geometry, i%pixels, func(in, _ int) {
					v := float64(x[i/pixels*volume(q.In)+in])
					most, sum = max(most, v), sum+v
					count++
				})
				if q.CountPad {
					count = paddedCount(&q, i%pixels)
				}
				want := most
				if q.Kind == window.Average {
					want = sum / float64(count)
				}
				if !kerneltest.Close(got, float32(want), 1e-5) {
					t.Fatalf("%s %s count pad %v: y[%d]: want %v, got %v", row.Name, p.Name, q.CountPad, i, want, got)
				}
			}
		}
	}
}

// paddedCount counts the taps that lie on the picture or its padding: those on a picture that is larger by the pads.
func paddedCount(q *window.Pool, p int) int {
	g := q.Geometry
	for i := range 3 {
		g.In[i] += q.PadBegin[i] + q.PadEnd[i]
		g.PadBegin[i] = 0
	}
	n := 0
	eachTap(&g, p, func(int, int) { n++ })
	return n
}

func TestCheck(t *testing.T) {
	ok := window.Geometry{N: 1, Groups: 1, Ci: 1, Co: 1, In: [3]int{1, 1, 1}, Out: [3]int{1, 1, 1}, Kernel: [3]int{1, 1, 1}, Stride: [3]int{1, 1, 1}, Dilation: [3]int{1, 1, 1}}
	if err := ok.Check(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(*window.Geometry){
		func(g *window.Geometry) { g.N = -1 }, func(g *window.Geometry) { g.In[1] = -1 }, func(g *window.Geometry) { g.Stride[2] = 0 },
		func(g *window.Geometry) { g.Kernel[0] = 0 }, func(g *window.Geometry) { g.Dilation[1] = 0 },
	} {
		g := ok
		spoil(&g)
		if g.Check() == nil {
			t.Errorf("Check(%+v): want an error", g)
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, g := range []window.Geometry{square(8, 1, 16, 32, 28, 3, 1), square(1, 16, 1, 1, 28, 3, 2)} {
		c := newConv(g)
		if err := c.Prepare(window.Pick(cpu.Host())); err != nil {
			t.Fatal(err)
		}
		w := worker(c.ScratchLen())
		if got := testing.AllocsPerRun(5, func() {
			if err := c.Prepare(window.Pick(cpu.Host())); err != nil {
				t.Error(err)
			}
			for i := range c.Chunks() {
				c.RunChunk(i, w)
			}
		}); got != 0 {
			t.Errorf("%+v: %v allocations", g, got)
		}
	}
}

// square is a 2-D picture with "same" padding.
func square(n, groups, ci, co, size, kernel, stride int) window.Geometry {
	out := (size-1)/stride + 1
	return window.Geometry{N: n, Groups: groups, Ci: ci, Co: co, In: [3]int{1, size, size}, Out: [3]int{1, out, out}, Kernel: [3]int{1, kernel, kernel},
		Stride: [3]int{1, stride, stride}, Dilation: [3]int{1, 1, 1}, PadBegin: [3]int{0, kernel / 2, kernel / 2}}
}

func newConv(g window.Geometry) *window.Conv {
	terms := g.Ci * volume(g.Kernel)
	c := &window.Conv{Geometry: g, WStride: window.WeightStride(terms), Post: gemm.ReLU}
	c.X = first(make([]float32, g.N*g.Groups*g.Ci*volume(g.In)))
	c.W = first(make([]float32, g.Groups*g.Co*c.WStride))
	c.Y = first(make([]float32, g.N*g.Groups*g.Co*volume(g.Out)))
	c.Bias = first(make([]float32, g.Groups*g.Co))
	return c
}

func BenchmarkConv(b *testing.B) {
	for _, s := range []struct {
		name string
		g    window.Geometry
	}{
		{"stem7x7s2,3-64,224", square(1, 1, 3, 64, 224, 7, 2)},
		{"3x3,64-64,56", square(1, 1, 64, 64, 56, 3, 1)},
		{"3x3,128-128,28", square(1, 1, 128, 128, 28, 3, 1)},
		{"3x3s2,128-128,56", square(1, 1, 128, 128, 56, 3, 2)},
		{"3x3,256-256,14", square(1, 1, 256, 256, 14, 3, 1)},
		{"3x3,512-512,7", square(1, 1, 512, 512, 7, 3, 1)},
		{"1x1,64-256,56", square(1, 1, 64, 256, 56, 1, 1)},
		{"1x1,256-64,56", square(1, 1, 256, 64, 56, 1, 1)},
		{"1x1,2048-512,7", square(1, 1, 2048, 512, 7, 1, 1)},
		{"1x1,24-144,56", square(1, 1, 24, 144, 56, 1, 1)},
		{"depthwise3x3,144,56", square(1, 144, 1, 1, 56, 3, 1)},
		{"depthwise3x3s2,144,56", square(1, 144, 1, 1, 56, 3, 2)},
		{"depthwise3x3,960,7", square(1, 960, 1, 1, 7, 3, 1)},
	} {
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			b.Run(fmt.Sprintf("f32/%s/%s", s.name, kerneltest.Tier(row.Name)), func(b *testing.B) {
				c := newConv(s.g)
				if err := c.Prepare(&row); err != nil {
					b.Fatal(err)
				}
				w := worker(c.ScratchLen())
				for b.Loop() {
					for i := range c.Chunks() {
						c.RunChunk(i, w)
					}
				}
				flops := 2 * float64(s.g.N*s.g.Groups*s.g.Co*volume(s.g.Out)*s.g.Ci*volume(s.g.Kernel))
				b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
				b.ReportMetric(float64(c.Chunks()), "chunks")
			})
		}
	}
}

func BenchmarkPool(b *testing.B) {
	for _, kind := range []window.Kind{window.Max, window.Average} {
		g := square(1, 64, 1, 1, 112, 3, 2)
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			b.Run(fmt.Sprintf("f32/%d,3x3s2,64,112/%s", kind, kerneltest.Tier(row.Name)), func(b *testing.B) {
				p := &window.Pool{Geometry: g, Kind: kind, X: first(make([]float32, 64*112*112)), Y: first(make([]float32, 64*56*56))}
				if err := p.Prepare(&row); err != nil {
					b.Fatal(err)
				}
				w := worker(p.ScratchLen())
				for b.Loop() {
					for i := range p.Chunks() {
						p.RunChunk(i, w)
					}
				}
			})
		}
	}
}
