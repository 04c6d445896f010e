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

// layout is where the elements of a picture with the channels last lie.
type layout struct{ pixel, image int }

func drawLayout(r *rand.Rand, channels, pixels int) layout {
	l := layout{pixel: channels + r.IntN(2)*r.IntN(20)}
	l.image = pixels*l.pixel + r.IntN(2)*r.IntN(9)
	return l
}

// size is the number of elements from the first to the last one.
func (l layout) size(n, pixels, channels int) int {
	if n*pixels*channels == 0 {
		return 0
	}
	return (n-1)*l.image + (pixels-1)*l.pixel + channels
}

// last is a problem's parameters; operands are x, w (packed), y, bias, add.
type last struct {
	window.Last
	w         []float32 // in the usual order
	bias, add bool
}

// naiveLast is the documented loop in float64: sums and sums of magnitudes for each image, pixel, channel of the output.
func naiveLast(c *window.Last, x, w []float32) (sum, abs []float64) {
	pixels, taps, channels := volume(c.Out), volume(c.Kernel), c.Groups*c.Co
	sum, abs = make([]float64, c.N*pixels*channels), make([]float64, c.N*pixels*channels)
	for n := range c.N {
		for p := range pixels {
			eachTap(&c.Geometry, p, func(in, tap int) {
				for co := range channels {
					i := (n*pixels+p)*channels + co
					for ci := range c.Ci {
						v := float64(x[n*c.XImage+in*c.XPixel+co/c.Co*c.Ci+ci]) * float64(w[(co*c.Ci+ci)*taps+tap])
						sum[i] += v
						if a := math.Abs(v); a < 1e30 {
							abs[i] += a
						}
					}
				}
			})
		}
	}
	return sum, abs
}

// winoGrowth is how much larger than the plain sum of magnitudes the error of Winograd's algorithm is allowed to be.
var winoGrowth = map[window.Algorithm]float64{window.LastDirect: 1, window.LastDepthwise: 1, window.LastWino2: 30, window.LastWino4: 1000}

func makeLast(algorithm window.Algorithm) func(r *rand.Rand, e []int) *kerneltest.Problem {
	return func(r *rand.Rand, e []int) *kerneltest.Problem {
		c := &last{bias: r.IntN(2) == 0, add: r.IntN(3) == 0}
		c.Geometry, _ = drawGeometry(r, e[0], e[1], e[2], e[3])
		c.Algorithm = algorithm
		switch algorithm {
		case window.LastDepthwise:
			c.Groups, c.Ci, c.Co = e[0], 1, 1
			if r.IntN(2) == 0 { // what networks have
				c.Kernel[2], c.Dilation[2], c.Stride[2], c.PadBegin[2] = 3, 1+r.IntN(5)/4, 1+r.IntN(2), 1
				c.Out[2] = max(0, (c.In[2]+r.IntN(2)-2*c.Dilation[2])/c.Stride[2]+1)
			}
		case window.LastWino2, window.LastWino4:
			c.Kernel, c.Stride, c.Dilation = [3]int{1, 3, 3}, [3]int{1, 1, 1}, [3]int{1, 1, 1}
			for i, k := range c.Kernel {
				c.PadBegin[i] = min(r.IntN(3), k-1)
				c.Out[i] = max(0, c.In[i]+c.PadBegin[i]+min(r.IntN(2), k-1)-k+1)
			}
		}
		if r.IntN(6) == 0 && c.In[2] > 2 { // cropped
			c.PadBegin[2] = -1
			c.Out[2] = max(0, c.Out[2]-1)
		}
		c.Post, c.Lo, c.Hi = gemm.Post(r.IntN(3)), -1, 1.5
		in, out, pixels := c.Groups*c.Ci, c.Groups*c.Co, volume(c.Out)
		lx, ly, la := drawLayout(r, in, volume(c.In)), drawLayout(r, out, pixels), drawLayout(r, out, pixels)
		c.XPixel, c.XImage, c.YPixel, c.YImage, c.AddPixel, c.AddImage = lx.pixel, lx.image, ly.pixel, ly.image, la.pixel, la.image
		values := kerneltest.Values
		if algorithm == window.LastWino2 || algorithm == window.LastWino4 { // infinities spread over tiles
			values = plain
		}
		x := values(r, lx.size(c.N, volume(c.In), in))
		c.w = values(r, out*c.Ci*volume(c.Kernel))
		packed := make([]float32, window.PackedLast(algorithm, &c.Geometry))
		window.PackLast(algorithm, packed, c.w, &c.Geometry)
		y := values(r, ly.size(c.N, pixels, out))
		bias, add := values(r, out), values(r, la.size(c.N, pixels, out))
		bound := make([]float64, len(y))
		for i := range bound {
			bound[i] = -1
		}
		_, abs := naiveLast(&c.Last, x, c.w)
		terms := c.Ci * volume(c.Kernel)
		largest := 0.0
		for _, a := range abs {
			largest = max(largest, a)
		}
		for i, a := range abs { // each side errs by at most (terms+3)*eps*(sum of magnitudes)
			if winoGrowth[algorithm] > 1 { // every output of a tile sees the errors of all
				a = largest
			}
			at := i / (pixels * out) * c.YImage
			at += i/out%pixels*c.YPixel + i%out
			bound[at] = 2*float64(terms+3)*eps*(a+3)*winoGrowth[algorithm] + float64(terms)*1e-44
		}
		return &kerneltest.Problem{Name: fmt.Sprintf("last %d %+v x %v y %v add %v", algorithm, c.Geometry, lx, ly, la), Params: c, Operands: []kerneltest.Operand{
			{Name: "x", Data: x}, {Name: "w", Data: packed}, {Name: "y", Data: y, Bound: bound}, {Name: "bias", Data: bias}, {Name: "add", Data: add},
		}}
	}
}

// plain draws values in [-1, 1).
func plain(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	return s
}

func (c *last) bind(mem [][]float32) window.Last {
	l := c.Last
	l.X, l.W, l.Y = first(mem[0]), first(mem[1]), first(mem[2])
	if c.bias {
		l.Bias = first(mem[3])
	}
	if c.add {
		l.Add = first(mem[4])
	}
	return l
}

func runLast(l *window.Last, row *window.Row) {
	if err := l.Prepare(row); err != nil {
		panic(err)
	}
	w := worker(l.ScratchLen())
	for i := range l.Chunks() {
		l.RunChunk(i, w)
	}
}

var lastAlgorithms = []window.Algorithm{window.LastDirect, window.LastDepthwise, window.LastWino4, window.LastWino2}

func lastFamily(algorithm window.Algorithm) kerneltest.Family {
	f := kerneltest.Family{Large: []int{90, 80, 30, 40}, Make: makeLast(algorithm)}
	f.Sweep = func(int) []int { return []int{35, 35, 11, 19} }
	if algorithm == window.LastDepthwise {
		f.Large[0] = 300
	}
	for _, row := range window.Table() {
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			l := p.Params.(*last).bind(mem)
			runLast(&l, &row)
		}})
	}
	return f
}

func TestLastRows(t *testing.T) {
	for _, a := range lastAlgorithms {
		t.Run(fmt.Sprint(a), func(t *testing.T) { kerneltest.Run(t, lastFamily(a)) })
	}
}

func FuzzLastRows(f *testing.F)  { kerneltest.Fuzz(f, lastFamily(window.LastDirect)) }
func FuzzWino4Rows(f *testing.F) { kerneltest.Fuzz(f, lastFamily(window.LastWino4)) }

// TestLastAgainstFloat64 compares every row and algorithm with the naive loop, bias, addition and bounds included.
func TestLastAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	for trial := range 240 {
		algorithm := lastAlgorithms[trial%len(lastAlgorithms)]
		p := makeLast(algorithm)(r, []int{r.IntN(40), 1 + r.IntN(40), 1 + r.IntN(12), 1 + r.IntN(20)})
		c := p.Params.(*last)
		mem := make([][]float32, len(p.Operands))
		for i, op := range p.Operands {
			mem[i] = plain(r, len(op.Data))
		}
		c.w = plain(r, len(c.w))
		window.PackLast(algorithm, mem[1], c.w, &c.Geometry)
		sum, _ := naiveLast(&c.Last, mem[0], c.w)
		pixels, out := volume(c.Out), c.Groups*c.Co
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			mem[2] = plain(r, len(mem[2]))
			before := slices.Clone(mem[2])
			l := c.bind(mem)
			runLast(&l, &row)
			for i, want := range sum {
				n, px, ch := i/(pixels*out), i/out%pixels, i%out
				at := n*c.YImage + px*c.YPixel + ch
				if c.bias {
					want += float64(mem[3][ch])
				}
				if c.add {
					want += float64(mem[4][n*c.AddImage+px*c.AddPixel+ch])
				}
				switch c.Post {
				case gemm.ReLU:
					want = max(want, 0)
				case gemm.Clamp:
					want = min(max(want, float64(c.Lo)), float64(c.Hi))
				}
				if d := math.Abs(float64(mem[2][at]) - want); !(d <= p.Operands[2].Bound[at]) {
					t.Fatalf("%s %s: y[%d]: want %v, got %v", row.Name, p.Name, at, want, mem[2][at])
				}
			}
			for i, b := range p.Operands[2].Bound {
				if b < 0 && mem[2][i] != before[i] {
					t.Fatalf("%s %s: y[%d] is not to be written", row.Name, p.Name, i)
				}
			}
		}
	}
}

// Chunks in any order, by any worker, give the same bits.
func TestLastChunksAreIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 9))
	for trial := range 60 {
		algorithm := lastAlgorithms[trial%len(lastAlgorithms)]
		p := makeLast(algorithm)(r, []int{1 + r.IntN(90), 1 + r.IntN(150), 1 + r.IntN(20), 1 + r.IntN(30)})
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) || row.Needs == 0 && trial > 20 {
				continue
			}
			var results [2][]float32
			var order []int
			for run := range results {
				mem := make([][]float32, len(p.Operands))
				for i, op := range p.Operands {
					mem[i] = slices.Clone(op.Data)
				}
				l := p.Params.(*last).bind(mem)
				if err := l.Prepare(&row); err != nil {
					t.Fatal(err)
				}
				if run == 0 {
					order = r.Perm(l.Chunks())
				} else {
					slices.Sort(order)
				}
				ws := []*window.Worker{worker(l.ScratchLen()), worker(l.ScratchLen() + 5)}
				for _, i := range order {
					l.RunChunk(i, ws[run*r.IntN(2)])
				}
				results[run] = mem[2]
			}
			for i := range results[0] {
				if math.Float32bits(results[0][i]) != math.Float32bits(results[1][i]) {
					t.Fatalf("%s %s: y[%d] depends on the order: %v, %v", row.Name, p.Name, i, results[0][i], results[1][i])
				}
			}
		}
	}
}

// Add may be Y itself.
func TestLastInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 9))
	for trial := range 40 {
		algorithm := lastAlgorithms[trial%len(lastAlgorithms)]
		p := makeLast(algorithm)(r, []int{1 + r.IntN(60), 1 + r.IntN(60), 1 + r.IntN(14), 1 + r.IntN(20)})
		c := p.Params.(*last)
		c.add, c.AddPixel, c.AddImage = true, c.YPixel, c.YImage
		mem := make([][]float32, len(p.Operands))
		for i, op := range p.Operands {
			mem[i] = plain(r, len(op.Data))
		}
		mem[4] = slices.Clone(mem[2])
		row := window.Pick(cpu.Host())
		l := c.bind(mem)
		runLast(&l, row)
		l.Y, l.Add = first(mem[4]), first(mem[4])
		runLast(&l, row)
		if !slices.Equal(mem[2], mem[4]) {
			t.Fatalf("%s: adding to Y itself differs", p.Name)
		}
	}
}

type poolingLast struct{ window.PoolLast }

func makePoolLast(r *rand.Rand, e []int) *kerneltest.Problem {
	p := &poolingLast{}
	g, padEnd := drawGeometry(r, 1, 1, e[1], e[2])
	g.Groups = e[0]
	p.Geometry, p.PadEnd = g, padEnd
	p.Kind, p.CountPad = window.Kind(r.IntN(2)), r.IntN(2) == 0
	lx, ly := drawLayout(r, g.Groups, volume(g.In)), drawLayout(r, g.Groups, volume(g.Out))
	p.XPixel, p.XImage, p.YPixel, p.YImage = lx.pixel, lx.image, ly.pixel, ly.image
	x := kerneltest.Values(r, lx.size(g.N, volume(g.In), g.Groups))
	y := kerneltest.Values(r, ly.size(g.N, volume(g.Out), g.Groups))
	bound := make([]float64, len(y))
	for i := range bound {
		n, rest := i/ly.image, i%ly.image
		switch {
		case n >= g.N || rest/ly.pixel >= volume(g.Out) || rest%ly.pixel >= g.Groups:
			bound[i] = -1
		case p.Kind == window.Average: // at most taps*eps*(mean of magnitudes at most 1, over a count of at least 1)
			bound[i] = 2 * float64(volume(g.Kernel)+2) * eps * float64(volume(g.Kernel))
		}
	}
	return &kerneltest.Problem{Name: fmt.Sprintf("pool %d %+v x %v y %v", p.Kind, g, lx, ly), Params: p,
		Operands: []kerneltest.Operand{{Name: "x", Data: x}, {Name: "y", Data: y, Bound: bound}}}
}

func runPoolLast(q *window.PoolLast, row *window.Row) {
	if err := q.Prepare(row); err != nil {
		panic(err)
	}
	w := worker(q.ScratchLen())
	for i := range q.Chunks() {
		q.RunChunk(i, w)
	}
}

func TestPoolLastRows(t *testing.T) {
	f := kerneltest.Family{Large: []int{300, 30, 40}, Make: makePoolLast}
	f.Sweep = func(int) []int { return []int{70, 9, 15} }
	for _, row := range window.Table() {
		f.Rows = append(f.Rows, kerneltest.Row{Name: row.Name, Needs: row.Needs, Runs: row.Runs(cpu.Host()), Run: func(p *kerneltest.Problem, mem [][]float32) {
			q := p.Params.(*poolingLast).PoolLast
			q.X, q.Y = first(mem[0]), first(mem[1])
			runPoolLast(&q, &row)
		}})
	}
	kerneltest.Run(t, f)
}

// TestPoolLastAgainstNaive compares every row with loops that follow the definition.
func TestPoolLastAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for range 200 {
		p := makePoolLast(r, []int{1 + r.IntN(40), 1 + r.IntN(20), 1 + r.IntN(20)})
		x := plain(r, len(p.Operands[0].Data))
		for _, row := range window.Table() {
			if !row.Runs(cpu.Host()) {
				continue
			}
			q := p.Params.(*poolingLast).PoolLast
			y := make([]float32, len(p.Operands[1].Data))
			q.X, q.Y = first(x), first(y)
			runPoolLast(&q, &row)
			for i := range q.N * volume(q.Out) * q.Groups {
				n, px, ch := i/q.Groups/volume(q.Out), i/q.Groups%volume(q.Out), i%q.Groups
				most, sum, count := math.Inf(-1), 0.0, 0
				eachTap(&q.Geometry, px, func(in, _ int) {
					v := float64(x[n*q.XImage+in*q.XPixel+ch])
					most, sum = max(most, v), sum+v
					count++
				})
				if q.CountPad {
					count = paddedCount(&window.Pool{Geometry: q.Geometry, PadEnd: q.PadEnd}, px)
				}
				want := most
				if q.Kind == window.Average {
					want = sum / float64(count)
				}
				if got := y[n*q.YImage+px*q.YPixel+ch]; !kerneltest.Close(got, float32(want), 1e-5) {
					t.Fatalf("%s %s count pad %v: y[%d, %d, %d]: want %v, got %v", row.Name, p.Name, q.CountPad, n, px, ch, want, got)
				}
			}
		}
	}
}

// The error of Winograd's algorithm on the layers of ResNet-50, relative to the largest magnitude.
func TestWinogradError(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, s := range []struct{ channels, size int }{{64, 56}, {128, 28}, {256, 14}, {512, 7}} {
		for _, algorithm := range []window.Algorithm{window.LastWino4, window.LastWino2} {
			l := newLast(square(1, 1, s.channels, 8, s.size, 3, 1), algorithm, 1)
			x, w := plain(r, s.size*s.size*s.channels), plain(r, 8*9*s.channels)
			packed := make([]float32, window.PackedLast(algorithm, &l.Geometry))
			window.PackLast(algorithm, packed, w, &l.Geometry)
			y := make([]float32, s.size*s.size*8)
			l.X, l.W, l.Y, l.Post = first(x), first(packed), first(y), gemm.None
			runLast(&l.Last, window.Pick(cpu.Host()))
			want, _ := naiveLast(&l.Last, x, w)
			worst, largest := 0.0, 0.0
			for i, v := range want {
				worst, largest = max(worst, math.Abs(v-float64(y[i]))), max(largest, math.Abs(v))
			}
			if worst/largest > 1e-5 {
				t.Errorf("%d channels, %d pixels, algorithm %d: error %.2g", s.channels, s.size, algorithm, worst/largest)
			}
			t.Logf("%d channels, %d pixels, algorithm %d: error %.2g", s.channels, s.size, algorithm, worst/largest)
		}
	}
}

func TestChooseLast(t *testing.T) {
	free := square(1, 1, 64, 64, 14, 3, 1)
	free.Out = [3]int{1, -1, 0}
	for _, c := range []struct {
		name string
		g    window.Geometry
		want window.Algorithm
	}{
		{"pointwise", square(1, 1, 64, 256, 56, 1, 1), window.LastDirect},
		{"stem", square(1, 1, 3, 64, 224, 7, 2), window.LastDirect},
		{"depthwise", square(1, 144, 1, 1, 56, 3, 1), window.LastDepthwise},
		{"large picture", square(1, 1, 64, 64, 56, 3, 1), window.LastWino4},
		{"small picture", square(1, 1, 512, 512, 7, 3, 1), window.LastWino2},
		{"tiny picture", square(1, 1, 512, 512, 2, 3, 1), window.LastDirect},
		{"strided", square(1, 1, 128, 128, 56, 3, 2), window.LastDirect},
		{"unknown extents", free, window.LastWino4},
	} {
		if got := window.ChooseLast(&c.g); got != c.want {
			t.Errorf("%s: want %d, got %d", c.name, c.want, got)
		}
		if !c.want.Admits(&c.g) {
			t.Errorf("%s: %d does not admit it", c.name, c.want)
		}
	}
}

func TestLastAllocatesNothing(t *testing.T) {
	for _, g := range []window.Geometry{square(1, 1, 16, 32, 14, 3, 1), square(1, 16, 1, 1, 28, 3, 2), square(1, 1, 3, 16, 30, 7, 2), square(1, 1, 32, 32, 7, 3, 1)} {
		l := newLast(g, window.ChooseLast(&g), 1)
		w := worker(1 << 20)
		if got := testing.AllocsPerRun(5, func() {
			if err := l.Prepare(window.Pick(cpu.Host())); err != nil {
				t.Error(err)
			}
			for i := range l.Chunks() {
				l.RunChunk(i, w)
			}
		}); got != 0 {
			t.Errorf("%+v: %v allocations", g, got)
		}
	}
}

// lastBench is a convolution with several copies of its weights: in a network, weights come from memory, not from a cache.
type lastBench struct {
	window.Last
	weights []*float32
}

func newLast(g window.Geometry, algorithm window.Algorithm, copies int) *lastBench {
	l := &lastBench{}
	l.Geometry, l.Algorithm, l.Post = g, algorithm, gemm.ReLU
	l.XPixel, l.YPixel = g.Groups*g.Ci, g.Groups*g.Co
	l.XImage, l.YImage = l.XPixel*volume(g.In), l.YPixel*volume(g.Out)
	l.X, l.Y = first(make([]float32, g.N*l.XImage)), first(make([]float32, g.N*l.YImage))
	for range copies {
		l.weights = append(l.weights, first(make([]float32, window.PackedLast(algorithm, &g))))
	}
	l.W = l.weights[0]
	l.Bias = first(make([]float32, g.Groups*g.Co))
	return l
}

func BenchmarkLast(b *testing.B) {
	for _, s := range []struct {
		name string
		g    window.Geometry
	}{
		{"stem7x7s2,3-64,224", square(1, 1, 3, 64, 224, 7, 2)},
		{"3x3,64-64,56", square(1, 1, 64, 64, 56, 3, 1)},
		{"3x3,128-128,28", square(1, 1, 128, 128, 28, 3, 1)},
		{"3x3,256-256,14", square(1, 1, 256, 256, 14, 3, 1)},
		{"3x3,512-512,7", square(1, 1, 512, 512, 7, 3, 1)},
		{"3x3s2,128-128,56", square(1, 1, 128, 128, 56, 3, 2)},
		{"3x3s2,256-256,28", square(1, 1, 256, 256, 28, 3, 2)},
		{"3x3s2,512-512,14", square(1, 1, 512, 512, 14, 3, 2)},
		{"1x1,64-64,56", square(1, 1, 64, 64, 56, 1, 1)},
		{"1x1,64-256,56", square(1, 1, 64, 256, 56, 1, 1)},
		{"1x1,256-64,56", square(1, 1, 256, 64, 56, 1, 1)},
		{"1x1,128-512,28", square(1, 1, 128, 512, 28, 1, 1)},
		{"1x1,512-128,28", square(1, 1, 512, 128, 28, 1, 1)},
		{"1x1,256-1024,14", square(1, 1, 256, 1024, 14, 1, 1)},
		{"1x1,1024-256,14", square(1, 1, 1024, 256, 14, 1, 1)},
		{"1x1,512-2048,7", square(1, 1, 512, 2048, 7, 1, 1)},
		{"1x1,2048-512,7", square(1, 1, 2048, 512, 7, 1, 1)},
		{"1x1s2,1024-2048,14", square(1, 1, 1024, 2048, 14, 1, 2)},
		{"stem3x3s2,3-32,224", square(1, 1, 3, 32, 224, 3, 2)},
		{"1x1,16-96,112", square(1, 1, 16, 96, 112, 1, 1)},
		{"1x1,24-144,56", square(1, 1, 24, 144, 56, 1, 1)},
		{"1x1,144-24,56", square(1, 1, 144, 24, 56, 1, 1)},
		{"1x1,32-192,28", square(1, 1, 32, 192, 28, 1, 1)},
		{"1x1,64-384,14", square(1, 1, 64, 384, 14, 1, 1)},
		{"1x1,160-960,7", square(1, 1, 160, 960, 7, 1, 1)},
		{"1x1,320-1280,7", square(1, 1, 320, 1280, 7, 1, 1)},
		{"depthwise3x3,32,112", square(1, 32, 1, 1, 112, 3, 1)},
		{"depthwise3x3s2,96,112", square(1, 96, 1, 1, 112, 3, 2)},
		{"depthwise3x3,144,56", square(1, 144, 1, 1, 56, 3, 1)},
		{"depthwise3x3s2,144,56", square(1, 144, 1, 1, 56, 3, 2)},
		{"depthwise3x3,192,28", square(1, 192, 1, 1, 28, 3, 1)},
		{"depthwise3x3,576,14", square(1, 576, 1, 1, 14, 3, 1)},
		{"depthwise3x3,960,7", square(1, 960, 1, 1, 7, 3, 1)},
	} {
		algorithms := []window.Algorithm{window.ChooseLast(&s.g)}
		switch algorithms[0] {
		case window.LastWino4:
			algorithms = append(algorithms, window.LastWino2, window.LastDirect)
		case window.LastWino2:
			algorithms = append(algorithms, window.LastWino4, window.LastDirect)
		}
		for _, algorithm := range algorithms {
			for _, row := range window.Table() {
				if !row.Runs(cpu.Host()) {
					continue
				}
				b.Run(fmt.Sprintf("f32/%s/%d/%s", s.name, algorithm, kerneltest.Tier(row.Name)), func(b *testing.B) {
					copies := max(1, min(50, 64<<20/(4*window.PackedLast(algorithm, &s.g))))
					l := newLast(s.g, algorithm, copies)
					if err := l.Prepare(&row); err != nil {
						b.Fatal(err)
					}
					w := worker(l.ScratchLen())
					for turn := 0; b.Loop(); turn++ {
						l.W = l.weights[turn%copies]
						for i := range l.Chunks() {
							l.RunChunk(i, w)
						}
					}
					flops := 2 * float64(s.g.N*s.g.Groups*s.g.Co*volume(s.g.Out)*s.g.Ci*volume(s.g.Kernel))
					b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
					b.ReportMetric(float64(l.Chunks()), "chunks")
				})
			}
		}
	}
}
