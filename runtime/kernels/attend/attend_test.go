package attend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/llmc-go/llmc/runtime/cpu"
)

// tensor makes random storage for four axes, in one of the orders that models use, with gaps.
func tensor(r *rand.Rand, e [4]int, scale float32) (Tensor, []float32) {
	orders := [][4]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {2, 0, 1, 3}, {0, 1, 3, 2}}
	order := orders[r.IntN(len(orders))]
	var t Tensor
	n := 1
	for i := 3; i >= 0; i-- {
		a := order[i]
		t.Strides[a] = n
		n *= max(e[a], 1)
		if i > 0 && i < 3 && r.IntN(4) == 0 {
			n += r.IntN(20)
		}
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64()) * scale
	}
	t.Ptr = unsafe.Pointer(&x[0])
	return t, x
}

func (t *Tensor) get(b, h, i, j int) float64 {
	return float64(*(*float32)(unsafe.Add(t.Ptr, 4*(b*t.Strides[0]+h*t.Strides[1]+i*t.Strides[2]+j*t.Strides[3]))))
}

// naive is the loop of the package's doc in double precision; it gives the result and the sum of the magnitudes that make it up.
func naive(p *Params, b, h, m int) (out, size []float64) {
	hk := h * p.HK / p.H
	s := make([]float64, p.T)
	most := math.Inf(-1)
	for t := range s {
		for d := range p.D {
			s[t] += p.Q.get(b, h, m, d) * p.K.get(b, hk, t, d)
		}
		s[t] *= float64(p.Scale)
		switch p.MaskKind {
		case AddMask:
			s[t] = float64(float32(s[t]) + float32(p.Mask.get(b, h, m, t))) // a large mask swallows the score
		case BoolMask:
			st := p.Mask.Strides
			if *(*uint8)(unsafe.Add(p.Mask.Ptr, b*st[0]+h*st[1]+m*st[2]+t*st[3])) == 0 {
				s[t] = math.Inf(-1)
			}
		}
		if p.Causal && t > m+p.T-p.M {
			s[t] = math.Inf(-1)
		}
		most = math.Max(most, s[t])
	}
	sum := 0.0
	for t := range s {
		s[t] = math.Exp(s[t] - most)
		sum += s[t]
	}
	out, size = make([]float64, p.DV), make([]float64, p.DV)
	if math.IsInf(most, -1) {
		return out, size
	}
	for j := range out {
		for t := range s {
			v := s[t] / sum * p.V.get(b, hk, t, j)
			out[j] += v
			size[j] += math.Abs(v)
		}
	}
	return out, size
}

func check(r *rand.Rand, p *Params, row *Row, c *Call, s *Scratch) error {
	oe := [4]int{p.B, p.H, p.M, p.DV}
	for {
		p.Out, _ = tensor(r, oe, 1)
		if p.Out.Strides[3] == 1 {
			break
		}
	}
	if err := c.Bind(p, row.Needs); err != nil {
		return err
	}
	for i := range c.Chunks() {
		if err := c.RunChunk(i, s); err != nil {
			return err
		}
	}
	for b := range p.B {
		for h := range p.H {
			for m := range p.M {
				want, size := naive(p, b, h, m)
				for j, w := range want {
					got := p.Out.get(b, h, m, j)
					// Scores of about 10 carry an error of D*2^-24*10, which is relative in the weights.
					tol := 1e-5*size[j] + 1e-7
					if !(math.Abs(got-w) <= tol) && !(got != got && w != w) {
						return fmt.Errorf("b %d h %d m %d j %d: got %v want %v", b, h, m, j, got, w)
					}
				}
			}
		}
	}
	return nil
}

func randomParams(r *rand.Rand) *Params {
	p := &Params{B: 1 + r.IntN(2), HK: 1 + r.IntN(3), D: 1 + r.IntN(40), DV: 1 + r.IntN(70), T: 1 + r.IntN(40), M: 1 + r.IntN(12), Scale: 0.3, Causal: r.IntN(3) == 0}
	p.H = p.HK * (1 + r.IntN(3))
	if r.IntN(8) == 0 {
		p.T = 400 + r.IntN(400)
	}
	if r.IntN(8) == 0 {
		p.M = 30 + r.IntN(60)
	}
	p.Q, _ = tensor(r, [4]int{p.B, p.H, p.M, p.D}, 1)
	p.K, _ = tensor(r, [4]int{p.B, p.HK, p.T, p.D}, 1)
	p.V, _ = tensor(r, [4]int{p.B, p.HK, p.T, p.DV}, 1)
	switch p.MaskKind = MaskKind(r.IntN(3)); p.MaskKind {
	case AddMask:
		var x []float32
		p.Mask, x = tensor(r, [4]int{p.B, p.H, p.M, p.T}, 1)
		kind := r.IntN(3)
		for i := range x {
			if kind > 0 && r.IntN(2) == 0 {
				x[i] = []float32{0, float32(math.Inf(-1)), -3e38}[kind]
			}
		}
	case BoolMask:
		p.Mask, _ = tensor(r, [4]int{p.B, p.H, p.M, p.T}, 1)
		x := make([]uint8, p.B*p.H*p.M*p.T*3+4096)
		for i := range x {
			x[i] = uint8(min(r.IntN(4), 1))
		}
		p.Mask.Ptr = unsafe.Pointer(&x[0])
	}
	for i := range p.Mask.Strides {
		if r.IntN(4) == 0 {
			p.Mask.Strides[i] = 0
		}
	}
	return p
}

func TestAttention(t *testing.T) {
	for _, row := range Table() {
		if !row.Runs(cpu.Host()) {
			t.Logf("%s does not run here", row.Name)
			continue
		}
		t.Run(row.Name, func(t *testing.T) {
			var c Call
			var s Scratch
			for seed := range uint64(150) {
				r := rand.New(rand.NewPCG(seed, 5))
				p := randomParams(r)
				if err := check(r, p, &row, &c, &s); err != nil {
					t.Fatalf("seed %d: %+v: %v", seed, p, err)
				}
			}
		})
	}
}

// Rows whose keys are all hidden: by minus infinity zero, by a large finite number uniform, as softmax gives them; without keys zero.
func TestHiddenRows(t *testing.T) {
	for _, m := range []int{1, 20} {
		for _, c := range []struct {
			mask, want float32
			keys       int
		}{{float32(math.Inf(-1)), 0, 600}, {-3e38, 2, 600}, {0, 0, 0}} {
			q, v, mask, out := make([]float32, m*8), make([]float32, 601*8), make([]float32, 601), make([]float32, m*8)
			for i := range v {
				q[i%len(q)], v[i] = 1, 2
			}
			for i := range mask {
				mask[i] = c.mask
			}
			rows := [4]int{0, 0, 8, 1}
			p := Params{B: 1, H: 1, HK: 1, M: m, T: c.keys, D: 8, DV: 8, Scale: 1, MaskKind: AddMask, Q: Tensor{unsafe.Pointer(&q[0]), rows}, K: Tensor{unsafe.Pointer(&v[0]), rows},
				V: Tensor{unsafe.Pointer(&v[0]), rows}, Out: Tensor{unsafe.Pointer(&out[0]), rows}, Mask: Tensor{unsafe.Pointer(&mask[0]), [4]int{0, 0, 0, 1}}}
			var call Call
			var s Scratch
			if err := call.Bind(&p, cpu.Host()); err != nil {
				t.Fatal(err)
			}
			for i := range call.Chunks() {
				if err := call.RunChunk(i, &s); err != nil {
					t.Fatal(err)
				}
			}
			for _, g := range out {
				if !(math.Abs(float64(g-c.want)) < 1e-5) && !(g != g && c.want != c.want) {
					t.Fatalf("m %d mask %v: got %v want %v", m, c.mask, g, c.want)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	var c Call
	for name, p := range map[string]Params{
		"heads":    {B: 1, H: 3, HK: 2, M: 1, T: 1, D: 1, DV: 1},
		"negative": {B: -1, H: 1, HK: 1},
		"huge":     {B: 1 << 40, H: 1 << 40, HK: 1 << 40, M: 1, T: 1, D: 1, DV: 1},
		"result":   {B: 1, H: 1, HK: 1, M: 1, T: 1, D: 1, DV: 4, Out: Tensor{Strides: [4]int{1, 1, 1, 2}}},
	} {
		if c.Bind(&p, cpu.Host()) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if c.RunChunk(0, new(Scratch)) == nil {
		t.Error("a call that is not bound ran")
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, n := range [][6]int{{12, 12, 128, 128, 64, 0}, {12, 12, 512, 512, 64, 0}, {12, 12, 1024, 1024, 64, 1}, {12, 12, 1, 512, 64, 0}, {32, 4, 1, 1024, 128, 0}, {6, 6, 1500, 1500, 64, 0}} {
		for _, row := range Table() {
			if !row.Runs(cpu.Host()) || row.Needs == 0 {
				continue
			}
			b.Run(fmt.Sprintf("h=%d,hk=%d,m=%d,t=%d,d=%d,causal=%d/%s", n[0], n[1], n[2], n[3], n[4], n[5], row.Name), func(b *testing.B) {
				p := Params{B: 1, H: n[0], HK: n[1], M: n[2], T: n[3], D: n[4], DV: n[4], Scale: 0.125, Causal: n[5] == 1}
				make4 := func(h, m, d int) Tensor {
					x := make([]float32, h*m*d)
					for i := range x {
						x[i] = float32(i%7) / 7
					}
					return Tensor{unsafe.Pointer(&x[0]), [4]int{0, d, h * d, 1}}
				}
				p.Q, p.K, p.V, p.Out = make4(n[0], n[2], n[4]), make4(n[1], n[3], n[4]), make4(n[1], n[3], n[4]), make4(n[0], n[2], n[4])
				var c Call
				var s Scratch
				if err := c.Bind(&p, row.Needs); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					for i := range c.Chunks() {
						if err := c.RunChunk(i, &s); err != nil {
							b.Fatal(err)
						}
					}
				}
				flops := 4 * float64(n[0]*n[2]*n[3]*n[4])
				b.ReportMetric(flops/float64(b.Elapsed().Nanoseconds())*float64(b.N), "GFLOP/s")
				b.ReportMetric(float64(c.Chunks()), "chunks")
			})
		}
	}
}
