// Package kerneltest compares every row of a kernel family's table with the family's portable row.
//
// Operands lie in memory that ends where an unmapped page begins, or begins where one ends, at every misalignment: a stray read or
// write faults, and the fault is reported as a failure of that row and size. Inputs must be unchanged, gaps of outputs untouched, NaN
// and infinities where the portable row has them, and everything else within a bound that the family derives for each element.
//
// Rows that the host cannot run are skipped by name; the environment variable LLMC_REQUIRE=avx512 makes that a failure for every row
// of the named tier and below.
package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/runtime/cpu"
)

// Family is what the harness needs to know of a kernel family.
type Family struct {
	Rows  []Row // the last one is the reference
	Sweep func(row int) []int
	Large []int // largest extents of the random cases
	// Make draws a problem of the given extents. It is deterministic in r and extents.
	Make func(r *rand.Rand, extents []int) *Problem
}

// Row is one kernel.
type Row struct {
	Name  string
	Needs cpu.Features
	Runs  bool // on this host
	// Run calls the row on a problem whose operands are at mem, in their order.
	Run func(p *Problem, mem [][]float32)
}

// Problem is one call.
type Problem struct {
	Name     string
	Operands []Operand
	Params   any // for Row.Run
}

// Operand is one piece of memory.
type Operand struct {
	Name string
	Data []float32 // contents before the call
	// Bound is nil for an input. For an output it holds the largest allowed difference from the reference for each element; negative
	// where the element must not be written.
	Bound []float64
}

// Run tests all rows: every extent through its whole sweep while the others are drawn at random, then random larger problems.
func Run(t *testing.T, f Family) {
	places := newPlaces(t)
	for i, row := range f.Rows[:len(f.Rows)-1] {
		t.Run(row.Name, func(t *testing.T) {
			if !row.Runs {
				skip(t, row)
			}
			r := rand.New(rand.NewPCG(uint64(i), 7))
			sweep := f.Sweep(i)
			for axis, most := range sweep {
				for size := 0; size <= most; size++ {
					for range repeats(4) {
						e := make([]int, len(sweep))
						for j := range e {
							e[j] = r.IntN(sweep[j] + 1)
						}
						e[axis] = size
						f.check(t, places, i, e, r.Uint64())
					}
				}
			}
			for range repeats(60) {
				e := make([]int, len(f.Large))
				for j, most := range f.Large {
					// Sizes are drawn by magnitude, so that flat and long shapes occur.
					e[j] = int(math.Exp(r.Float64() * math.Log(float64(most)+0.5)))
				}
				f.check(t, places, i, e, r.Uint64())
			}
		})
	}
}

func repeats(n int) int {
	if testing.Short() {
		return max(1, n/4)
	}
	return n
}

// Fuzz makes a fuzz target of the family: extents and the seed of the contents are the input.
func Fuzz(f *testing.F, fam Family) {
	f.Add(uint64(1), uint16(15), uint16(33), uint16(40))
	f.Add(uint64(2), uint16(1), uint16(64), uint16(1025))
	f.Add(uint64(3), uint16(29), uint16(5), uint16(0))
	f.Fuzz(func(t *testing.T, seed uint64, a, b, c uint16) {
		places := newPlaces(t)
		raw := []uint16{a, b, c}
		e := make([]int, len(fam.Large))
		for j, most := range fam.Large {
			e[j] = int(raw[j%3]) % (min(most, 600) + 1)
		}
		for i, row := range fam.Rows[:len(fam.Rows)-1] {
			if row.Runs {
				fam.check(t, places, i, e, seed)
			}
		}
	})
}

// skip stops the test of a row that this host cannot run: as a failure if its tier is required.
func skip(t *testing.T, row Row) {
	t.Helper()
	want := os.Getenv("LLMC_REQUIRE")
	if want == "" {
		t.Skipf("needs %v, host has %v", row.Needs, cpu.Host())
	}
	tier, err := cpu.ParseTier(want)
	if err != nil {
		t.Fatalf("LLMC_REQUIRE: %v", err)
	}
	if tier.Features().Has(row.Needs) {
		t.Fatalf("LLMC_REQUIRE=%s: needs %v, host has %v", want, row.Needs, cpu.Host())
	}
	t.Skipf("needs %v, above the required tier %v", row.Needs, tier)
}

// check runs one problem on the reference and, in two placements, on the row.
func (f Family) check(t *testing.T, places *places, row int, extents []int, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	p := f.Make(r, extents)
	want := places.at(p, place{})
	if err := call(f.Rows[len(f.Rows)-1], p, want); err != nil {
		t.Fatalf("%s %v seed %#x: %v", p.Name, extents, seed, err)
	}
	want = clone(want)
	for _, pl := range []place{{atEnd: true}, {shift: r.IntN(17)}} {
		mem := places.at(p, pl)
		err := call(f.Rows[row], p, mem)
		if err == nil {
			err = compare(p, mem, want)
		}
		if err == nil {
			err = places.canaries(p, pl)
		}
		if err != nil {
			t.Fatalf("%s %v seed %#x %v: %v", p.Name, extents, seed, pl, err)
		}
	}
}

// call turns a memory fault inside the row into an error.
func call(row Row, p *Problem, mem [][]float32) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if f, ok := r.(interface{ Addr() uintptr }); ok {
				err = fmt.Errorf("%s: fault at address %#x: %v\n%s", row.Name, f.Addr(), r, debug.Stack())
				return
			}
			err = fmt.Errorf("%s: %v\n%s", row.Name, r, debug.Stack())
		}
	}()
	row.Run(p, mem)
	return nil
}

func compare(p *Problem, got, want [][]float32) error {
	for i, op := range p.Operands {
		for j, w := range want[i] {
			g := got[i][j]
			if op.Bound == nil || op.Bound[j] < 0 {
				if math.Float32bits(g) != math.Float32bits(op.Data[j]) {
					return fmt.Errorf("%s[%d] is not to be written: was %v, is %v", op.Name, j, op.Data[j], g)
				}
				continue
			}
			if !Close(g, w, op.Bound[j]) {
				return fmt.Errorf("%s[%d]: want %v within %g, got %v", op.Name, j, w, op.Bound[j], g)
			}
		}
	}
	return nil
}

// Close reports whether got is want within bound: NaN for NaN, the same infinity for an infinity.
func Close(got, want float32, bound float64) bool {
	g, w := float64(got), float64(want)
	switch {
	case math.IsNaN(w):
		return math.IsNaN(g)
	case math.IsInf(w, 0):
		return g == w
	}
	return math.Abs(g-w) <= bound
}

func clone(mem [][]float32) [][]float32 {
	c := make([][]float32, len(mem))
	for i := range mem {
		c[i] = slices.Clone(mem[i])
	}
	return c
}

// Values fills a new slice with numbers from -1 to 1. One slice in eight also gets NaN, infinities, zeros of both signs and denormals.
func Values(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	if n > 0 && r.IntN(8) == 0 {
		special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1)), 1e-41, -3e-45}
		for range 1 + r.IntN(3) {
			s[r.IntN(n)] = special[r.IntN(len(special))]
		}
	}
	return s
}

// Tier is the tier that ends a row's name.
func Tier(name string) string { return name[strings.LastIndexByte(name, '_')+1:] }
