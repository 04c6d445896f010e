package kerneltest

import (
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// double is a toy family: y[i] = 2*x[i] for i < n, in a y of n+3 elements.
func double(rows ...func(x, y []float32)) Family {
	f := Family{
		Sweep: func(int) []int { return []int{9} },
		Large: []int{2000},
		Make: func(r *rand.Rand, e []int) *Problem {
			n := e[0]
			bound := make([]float64, n+3)
			for i := n; i < len(bound); i++ {
				bound[i] = -1
			}
			return &Problem{Name: "double", Operands: []Operand{{Name: "x", Data: Values(r, n)}, {Name: "y", Data: make([]float32, n+3), Bound: bound}}}
		},
	}
	for _, fn := range append(rows, reference) {
		f.Rows = append(f.Rows, Row{Name: "row", Runs: true, Run: func(_ *Problem, mem [][]float32) { fn(mem[0], mem[1]) }})
	}
	return f
}

func reference(x, y []float32) {
	for i, v := range x {
		y[i] = 2 * v
	}
}

// A harness is worth what it catches: each wrong row must fail, with the reason named.
func TestCatches(t *testing.T) {
	at := func(s []float32, i int) *float32 {
		return (*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), i*4))
	}
	var sink float32
	for _, tc := range []struct {
		name, want string
		row        func(x, y []float32)
	}{
		{"right", "", reference},
		{"wrong value", "want", func(x, y []float32) {
			reference(x, y)
			if len(x) == 7 {
				y[6] += 1
			}
		}},
		{"writes its input", "not to be written", func(x, y []float32) { reference(x, y); x[0] = 5 }},
		{"writes a gap", "not to be written", func(x, y []float32) { reference(x, y); y[len(x)+1] = 5 }},
		{"writes behind", "", func(x, y []float32) { reference(x, y); *at(y, len(y)) = 5 }},
		{"writes before", "", func(x, y []float32) { reference(x, y); *at(y, -1) = 5 }},
		{"reads behind", "fault", func(x, y []float32) { reference(x, y); sink += *at(x, len(x)) }},
		{"reads before", "fault", func(x, y []float32) { reference(x, y); sink += *at(x, -1) }},
		{"loses NaN", "want NaN", func(x, y []float32) {
			reference(x, y)
			for i := range x {
				if y[i] != y[i] {
					y[i] = 0
				}
			}
		}},
	} {
		if runtime.GOOS != "linux" && strings.HasPrefix(tc.name, "reads") {
			continue
		}
		f := double(tc.row)
		ps := newPlaces(t)
		var failed error
		r := rand.New(rand.NewPCG(1, 1))
		for seed := uint64(1); seed < 60 && failed == nil; seed++ {
			p := f.Make(rand.New(rand.NewPCG(seed, 3)), []int{7})
			want := clone(ps.at(p, place{}))
			reference(want[0], want[1])
			for _, pl := range []place{{atEnd: true}, {shift: 0}, {shift: r.IntN(17)}} {
				mem := ps.at(p, pl)
				if err := call(f.Rows[0], p, mem); err != nil {
					failed = err
				} else if err := compare(p, mem, want); err != nil {
					failed = err
				} else if err := ps.canaries(p, pl); err != nil {
					failed = err
				}
				if failed != nil {
					break
				}
			}
		}
		if (failed == nil) != (tc.name == "right") {
			t.Errorf("%s: got %v", tc.name, failed)
		} else if failed != nil && !strings.Contains(failed.Error(), tc.want) {
			t.Errorf("%s: want a message with %q, got %v", tc.name, tc.want, failed)
		}
	}
}

func TestRun(t *testing.T) { Run(t, double(reference, reference)) }

func TestClose(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, tc := range []struct {
		got, want float32
		bound     float64
		ok        bool
	}{{1, 1, 0, true}, {1, 1.5, 0.4, false}, {nan, nan, 0, true}, {0, nan, 9, false}, {nan, 0, 9, false}, {inf, inf, 0, true}, {-inf, inf, 9, false}, {inf, 1, 1e30, false}} {
		if Close(tc.got, tc.want, tc.bound) != tc.ok {
			t.Errorf("Close(%v, %v, %v): want %v", tc.got, tc.want, tc.bound, tc.ok)
		}
	}
}
