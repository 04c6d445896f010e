package tiled

import (
	"fmt"
	"testing"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/cpu"
)

const (
	layerNorm = "x = load %0; s = rsum x; n = imm f32 0.0013020833333333333; m = mul s, n; d = sub x, m; q = mul d, d; v = rsum q; w = mul v, n; " +
		"e = imm f32 1e-5; a = add w, e; r = sqrt a; i = recip r; y = mul d, i; g = load %1; b = load %2; z = mul y, g; o = add z, b; store %3, o"
	softmax = "x = load %0; m = rmax x; d = sub x, m; e = exp d; z = rsum e; y = div e, z; store %1, y"
)

type benchCase struct {
	name, src string
	par, red  []int
	strides   [][]int
}

var benchCases = []benchCase{
	{"layernorm/128x768", layerNorm, []int{128}, []int{768}, [][]int{{768, 1}, {0, 1}, {0, 1}, {768, 1}}},
	{"softmax/12x128x128", softmax, []int{12, 128}, []int{128}, [][]int{{128 * 128, 128, 1}, {128 * 128, 128, 1}}},
	{"gelu/128x3072", "x = load %0; y = gelu x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"biasgelu/128x3072", "x = load %0; b = load %1; s = add x, b; y = gelu s; store %2, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {0, 1}, {3072, 1}}},
	{"tanh/128x3072", "x = load %0; y = tanh x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"sigmoid/128x3072", "x = load %0; y = sigmoid x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"erf/128x3072", "x = load %0; y = erf x; store %1, y", []int{128, 3072}, nil, [][]int{{3072, 1}, {3072, 1}}},
	{"add/1M", "x = load %0; y = load %1; z = add x, y; store %2, z", []int{1 << 20}, nil, [][]int{{1}, {1}, {1}}},
	{"biasreluresidual/64x56x56", "x = load %0; b = load %1; r = load %2; s = add x, b; t = add s, r; y = relu t; store %3, y", []int{64, 56 * 56}, nil, [][]int{{3136, 1}, {1, 0}, {3136, 1}, {3136, 1}}},
	{"mean/2048x7x7", "x = load %0; s = rsum x; n = imm f32 0.02040816; m = mul s, n; store %1, m", []int{2048}, []int{49}, [][]int{{49, 1}, {1, 0}}},
	{"sumcolumns/512x768", "x = load %0; s = rsum x; store %1, s", []int{768}, []int{512}, [][]int{{1, 768}, {1, 0}}},
	{"transpose/128x12x64", "x = load %0; store %1, x", []int{12, 128, 64}, nil, [][]int{{64, 768, 1}, {128 * 64, 64, 1}}},
	{"transpose/768x768", "x = load %0; store %1, x", []int{768, 768}, nil, [][]int{{1, 768}, {768, 1}}},
	{"where/12x128x128", "c = load %0:mask; x = load %1; n = imm f32 -3e38; y = select x, n, c; store %2, y", []int{12, 128, 128}, nil, [][]int{{0, 128, 1}, {16384, 128, 1}, {16384, 128, 1}}},
}

func BenchmarkTiled(b *testing.B) {
	for _, row := range Table() {
		if !row.Runs(cpu.Host()) {
			continue
		}
		for _, c := range benchCases {
			b.Run(fmt.Sprintf("%s/%s", c.name, row.Name), func(b *testing.B) { c.run(b, row.Needs) })
		}
	}
}

func (c *benchCase) run(b *testing.B, host cpu.Features) {
	p, err := tile.Parse(c.src, tile.F32)
	if err != nil {
		b.Fatal(err)
	}
	var elems []dtype.Type
	var ops []Operand
	n := product(c.par) * product(c.red)
	for k := range c.strides {
		elems = append(elems, dtype.F32)
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i%17)/4 - 2
		}
		ops = append(ops, Operand{Ptr: ptr(x), Strides: c.strides[k]})
	}
	for i := range p.Code {
		if p.Code[i].Op == tile.Load && p.Code[i].Class == tile.Mask {
			elems[p.Code[i].Arg] = dtype.Bool
		}
	}
	q, err := Compile(p, elems, len(elems)-1, host)
	if err != nil {
		b.Fatal(err)
	}
	var call Call
	var s Scratch
	if err := q.Bind(&call, c.par, c.red, ops, nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(n) * 4)
	for b.Loop() {
		for k := range call.Chunks() {
			if err := call.RunChunk(k, &s); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(call.Chunks()), "chunks")
}
