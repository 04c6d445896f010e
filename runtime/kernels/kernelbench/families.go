package kernelbench

import (
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/attend"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/tiled"
	"github.com/llmc-go/llmc/runtime/kernels/window"
)

// GEMM is products of square and flat matrices, and those of a transformer with one, some and many rows.
func GEMM() []Case {
	var all []Case
	for _, s := range [][3]int{{8, 32, 32}, {64, 64, 64}, {512, 512, 512}, {1024, 1024, 1024}, {128, 768, 768}, {128, 768, 2048}, {128, 768, 3072}, {128, 768, 4096}, {128, 3072, 768},
		{1, 768, 3072}, {4, 768, 3072}, {8, 768, 3072}, {64, 3136, 576}} {
		m, n, k := s[0], s[1], s[2]
		all = append(all, Case{Family: "gemm", Size: fmt.Sprintf("m=%d,n=%d,k=%d", m, n, k), FLOP: 2 * int64(m) * int64(n) * int64(k), Bytes: 4 * int64(m*k+k*n+m*n),
			Ways: func(host cpu.Features) ([]Way, error) {
				a, b, packed, c := values(m*k), values(k*n), make([]float32, gemm.PackedLen(k, n)), make([]float32, m*n)
				gemm.PackB(packed, b, k, n, n, 1)
				return ways(gemm.Table(), func(r *gemm.Row) bool { return r.Runs(host) }, func(r *gemm.Row) string { return r.Name }, func(r *gemm.Row) (func() error, error) {
					args := &gemm.Args{M: m, N: n, K: k, A: &a[0], RSA: k, CSA: 1, B: &packed[0], C: &c[0], LDC: n, Scratch: make([]float32, gemm.ScratchLen(m, n, k))}
					return func() error { r.Run(args); return nil }, nil
				})
			}})
	}
	return all
}

// program is a tile program over a space.
type program struct {
	size, src string
	par, red  []int
	strides   [][]int
}

const (
	layerNorm = "x = load %0; s = rsum x; n = imm f32 0.0013020833333333333; m = mul s, n; d = sub x, m; q = mul d, d; v = rsum q; w = mul v, n; " +
		"e = imm f32 1e-5; a = add w, e; r = sqrt a; i = recip r; y = mul d, i; g = load %1; b = load %2; z = mul y, g; o = add z, b; store %3, o"
	softmax = "x = load %0; m = rmax x; d = sub x, m; e = exp d; z = rsum e; y = div e, z; store %1, y"
)

var programs = []program{
	{"layernorm/128x768", layerNorm, []int{128}, []int{768}, [][]int{{768, 1}, {0, 1}, {0, 1}, {768, 1}}},
	{"softmax/12x128x128", softmax, []int{12, 128}, []int{128}, [][]int{{128 * 128, 128, 1}, {128 * 128, 128, 1}}},
	{"gelu/128x3072", "x = load %0; y = gelu x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"biasgelu/128x3072", "x = load %0; b = load %1; s = add x, b; y = gelu s; store %2, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {0, 1}, {3072, 1}}},
	{"exp/128x3072", "x = load %0; y = exp x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"tanh/128x3072", "x = load %0; y = tanh x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"sigmoid/128x3072", "x = load %0; y = sigmoid x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"erf/128x3072", "x = load %0; y = erf x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"add/4K", "x = load %0; y = load %1; z = add x, y; store %2, z", []int{4 << 10}, nil, [][]int{{1}, {1}, {1}}},
	{"add/1M", "x = load %0; y = load %1; z = add x, y; store %2, z", []int{1 << 20}, nil, [][]int{{1}, {1}, {1}}},
	{"biasreluresidual/64x56x56", "x = load %0; b = load %1; r = load %2; s = add x, b; t = add s, r; y = relu t; store %3, y", []int{64, 56 * 56}, nil, [][]int{{3136, 1}, {1, 0}, {3136, 1}, {3136, 1}}},
	{"mean/2048x7x7", "x = load %0; s = rsum x; n = imm f32 0.02040816; m = mul s, n; store %1, m", []int{2048}, []int{49}, [][]int{{49, 1}, {1, 0}}},
	{"sumcolumns/512x768", "x = load %0; s = rsum x; store %1, s", []int{768}, []int{512}, [][]int{{1, 768}, {1, 0}}},
	{"transpose/128x12x64", "x = load %0; store %1, x", []int{12, 128, 64}, nil, [][]int{{64, 768, 1}, {128 * 64, 64, 1}}},
	{"transpose/768x768", "x = load %0; store %1, x", []int{768, 768}, nil, [][]int{{1, 768}, {768, 1}}},
	{"where/12x128x128", "c = load %0:mask; x = load %1; n = imm f32 -3e38; y = select x, n, c; store %2, y", []int{12, 128, 128}, nil, [][]int{{0, 128, 1}, {16384, 128, 1}, {16384, 128, 1}}},
}

// Tiled is element-wise programs, rows, reductions and copies.
func Tiled() []Case {
	var all []Case
	for _, p := range programs {
		space := append(append([]int(nil), p.par...), p.red...)
		seen, total := make([]int, len(p.strides)), int64(0) // elements
		for i, strides := range p.strides {
			seen[i] = 1
			for axis, s := range strides {
				if s != 0 {
					seen[i] *= space[axis]
				}
			}
			total += int64(4 * seen[i])
		}
		all = append(all, Case{Family: "tiled", Size: p.size, Bytes: total, Ways: func(host cpu.Features) ([]Way, error) {
			code, err := tile.Parse(p.src, tile.F32)
			if err != nil {
				return nil, err
			}
			elems, ops := make([]dtype.Type, len(seen)), make([]tiled.Operand, len(seen))
			for i := range seen {
				x := values(seen[i])
				elems[i], ops[i] = dtype.F32, tiled.Operand{Ptr: unsafe.Pointer(&x[0]), Strides: p.strides[i]}
			}
			for _, in := range code.Code {
				if in.Op == tile.Load && in.Class == tile.Mask {
					x := make([]bool, seen[in.Arg])
					for i := range x {
						x[i] = i%3 == 0
					}
					elems[in.Arg], ops[in.Arg].Ptr = dtype.Bool, unsafe.Pointer(&x[0])
				}
			}
			return ways(tiled.Table(), func(r *tiled.Row) bool { return r.Runs(host) }, func(r *tiled.Row) string { return r.Name }, func(r *tiled.Row) (func() error, error) {
				q, err := tiled.Compile(code, elems, len(elems)-1, r.Needs)
				if err != nil {
					return nil, err
				}
				call, scratch := new(tiled.Call), new(tiled.Scratch)
				if err := q.Bind(call, p.par, p.red, ops, nil); err != nil {
					return nil, err
				}
				return func() error {
					for i := range call.Chunks() {
						if err := call.RunChunk(i, scratch); err != nil {
							return err
						}
					}
					return nil
				}, nil
			})
		}})
	}
	return all
}

// Attend is attention of many queries and of one, with as many heads of keys and with fewer.
func Attend() []Case {
	var all []Case
	for _, s := range []struct {
		h, hk, m, t, d int
		causal         bool
	}{{12, 12, 128, 128, 64, false}, {12, 12, 512, 512, 64, false}, {12, 12, 512, 512, 64, true}, {12, 12, 1, 512, 64, false}, {32, 4, 1, 1024, 128, false}} {
		work := 4 * int64(s.h) * int64(s.m) * int64(s.t) * int64(s.d)
		size := fmt.Sprintf("h=%d,hk=%d,m=%d,t=%d,d=%d", s.h, s.hk, s.m, s.t, s.d)
		if s.causal {
			size, work = size+",causal", work*int64(s.t+1)/int64(2*s.t)
		}
		all = append(all, Case{Family: "attend", Size: size, FLOP: work, Bytes: int64(4 * s.d * (2*s.h*s.m + 2*s.hk*s.t)), Ways: func(host cpu.Features) ([]Way, error) {
			tensor := func(heads, rows int) attend.Tensor {
				return attend.Tensor{Ptr: unsafe.Pointer(&values(heads * rows * s.d)[0]), Strides: [4]int{0, s.d, heads * s.d, 1}}
			}
			p := &attend.Params{B: 1, H: s.h, HK: s.hk, M: s.m, T: s.t, D: s.d, DV: s.d, Scale: 0.125, Causal: s.causal}
			p.Q, p.K, p.V, p.Out = tensor(s.h, s.m), tensor(s.hk, s.t), tensor(s.hk, s.t), tensor(s.h, s.m)
			return ways(attend.Table(), func(r *attend.Row) bool { return r.Runs(host) }, func(r *attend.Row) string { return r.Name }, func(r *attend.Row) (func() error, error) {
				call, scratch := new(attend.Call), new(attend.Scratch)
				if err := call.Bind(p, r.Needs); err != nil {
					return nil, err
				}
				return func() error {
					for i := range call.Chunks() {
						if err := call.RunChunk(i, scratch); err != nil {
							return err
						}
					}
					return nil
				}, nil
			})
		}})
	}
	return all
}

// square is a picture of two dimensions with "same" padding.
func square(groups, ci, co, size, kernel, stride int) window.Geometry {
	out := (size-1)/stride + 1
	return window.Geometry{N: 1, Groups: groups, Ci: ci, Co: co, In: [3]int{1, size, size}, Out: [3]int{1, out, out}, Kernel: [3]int{1, kernel, kernel},
		Stride: [3]int{1, stride, stride}, Dilation: [3]int{1, 1, 1}, PadBegin: [3]int{0, kernel / 2, kernel / 2}}
}

func volume(e [3]int) int { return e[0] * e[1] * e[2] }

// Window is layers of ResNet-50 and MobileNetV2 with the channels last, where algorithms compete too; some with the channels first;
// and a pooling.
func Window() []Case {
	var all []Case
	add := func(size string, g window.Geometry, ways func(cpu.Features) ([]Way, error), dot bool) {
		in, out, weights := g.Groups*g.Ci*volume(g.In), g.Groups*g.Co*volume(g.Out), 0
		c := Case{Family: "window", Size: size, Ways: ways}
		if dot {
			weights = g.Groups * g.Co * g.Ci * volume(g.Kernel)
			c.FLOP = 2 * int64(out) * int64(g.Ci*volume(g.Kernel))
		}
		c.Bytes = 4 * int64(in+out+weights)
		all = append(all, c)
	}
	type layer struct {
		size string
		g    window.Geometry
	}
	for _, l := range []layer{
		{"7x7s2,3-64,224", square(1, 3, 64, 224, 7, 2)},
		{"3x3,64-64,56", square(1, 64, 64, 56, 3, 1)},
		{"3x3,256-256,14", square(1, 256, 256, 14, 3, 1)},
		{"3x3,512-512,7", square(1, 512, 512, 7, 3, 1)},
		{"3x3s2,128-128,56", square(1, 128, 128, 56, 3, 2)},
		{"1x1,64-256,56", square(1, 64, 256, 56, 1, 1)},
		{"1x1,1024-256,14", square(1, 1024, 256, 14, 1, 1)},
		{"1x1,24-144,56", square(1, 24, 144, 56, 1, 1)},
		{"depthwise3x3,144,56", square(144, 1, 1, 56, 3, 1)},
		{"depthwise3x3s2,144,56", square(144, 1, 1, 56, 3, 2)},
		{"depthwise3x3,960,7", square(960, 1, 1, 7, 3, 1)},
	} {
		add(l.size, l.g, func(host cpu.Features) ([]Way, error) { return lastWays(l.g, host) }, true)
	}
	for _, l := range []layer{
		{"first,3x3,64-64,56", square(1, 64, 64, 56, 3, 1)},
		{"first,1x1,64-256,56", square(1, 64, 256, 56, 1, 1)},
		{"first,depthwise3x3,144,56", square(144, 1, 1, 56, 3, 1)},
	} {
		add(l.size, l.g, func(host cpu.Features) ([]Way, error) { return convWays(l.g, host) }, true)
	}
	g := square(64, 1, 1, 112, 3, 2)
	add("first,max3x3s2,64,112", g, func(host cpu.Features) ([]Way, error) { return poolWays(g, host) }, false)
	return all
}

func windowWays(host cpu.Features, make func(*window.Row) (func() error, error)) ([]Way, error) {
	return ways(window.Table(), func(r *window.Row) bool { return r.Runs(host) }, func(r *window.Row) string { return r.Name }, make)
}

// chunked is what convolutions and poolings have in common.
type chunked interface {
	Prepare(*window.Row) error
	ScratchLen() int
	Chunks() int
	RunChunk(i int, w *window.Worker)
}

func prepared(c chunked, r *window.Row) (func() error, error) {
	if err := c.Prepare(r); err != nil {
		return nil, err
	}
	w := &window.Worker{Scratch: make([]float32, c.ScratchLen())}
	return func() error {
		for i := range c.Chunks() {
			c.RunChunk(i, w)
		}
		return nil
	}, nil
}

var algorithmNames = map[window.Algorithm]string{window.LastDirect: "direct", window.LastDepthwise: "depthwise", window.LastWino4: "winograd4", window.LastWino2: "winograd2"}

// lastWays adds the other algorithms to the rows, on the row that is picked.
func lastWays(g window.Geometry, host cpu.Features) ([]Way, error) {
	chosen := window.ChooseLast(&g)
	x, y, bias := values(g.Groups*g.Ci*volume(g.In)), make([]float32, g.Groups*g.Co*volume(g.Out)), values(g.Groups*g.Co)
	weights := values(g.Groups * g.Co * g.Ci * volume(g.Kernel))
	with := func(a window.Algorithm) func(*window.Row) (func() error, error) {
		w := make([]float32, window.PackedLast(a, &g))
		window.PackLast(a, w, weights, &g)
		return func(r *window.Row) (func() error, error) {
			return prepared(&window.Last{Geometry: g, X: &x[0], W: &w[0], Y: &y[0], XPixel: g.Groups * g.Ci, XImage: len(x), YPixel: g.Groups * g.Co, YImage: len(y),
				Bias: &bias[0], Post: gemm.ReLU, Algorithm: a}, r)
		}
	}
	all, err := windowWays(host, with(chosen))
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Name += " " + algorithmNames[chosen]
	}
	best := window.Pick(host)
	for _, a := range []window.Algorithm{window.LastDirect, window.LastDepthwise, window.LastWino4, window.LastWino2} {
		if a == chosen || !a.Admits(&g) || chosen == window.LastDepthwise { // as products, its panels are empty but for a column
			continue
		}
		run, err := with(a)(best)
		if err != nil {
			return nil, err
		}
		all = append(all, Way{best.Name + " " + algorithmNames[a], run})
	}
	return all, nil
}

func convWays(g window.Geometry, host cpu.Features) ([]Way, error) {
	terms := g.Ci * volume(g.Kernel)
	stride := window.WeightStride(terms)
	x, y, bias := values(g.Groups*g.Ci*volume(g.In)), make([]float32, g.Groups*g.Co*volume(g.Out)), values(g.Groups*g.Co)
	w := values(g.Groups * g.Co * stride)
	return windowWays(host, func(r *window.Row) (func() error, error) {
		return prepared(&window.Conv{Geometry: g, X: &x[0], W: &w[0], WStride: stride, Y: &y[0], Bias: &bias[0], Post: gemm.ReLU}, r)
	})
}

func poolWays(g window.Geometry, host cpu.Features) ([]Way, error) {
	x, y := values(g.Groups*volume(g.In)), make([]float32, g.Groups*volume(g.Out))
	return windowWays(host, func(r *window.Row) (func() error, error) {
		return prepared(&window.Pool{Geometry: g, Kind: window.Max, X: &x[0], Y: &y[0]}, r)
	})
}
