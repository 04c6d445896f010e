package kerneltest

import (
	"fmt"
	"math"
	"testing"
)

// place is where an operand lies in its guarded region.
type place struct {
	atEnd bool // ends at the unmapped page behind the region
	shift int  // otherwise: elements after the region's beginning, which follows an unmapped page
}

func (p place) String() string {
	if p.atEnd {
		return "ending at a guard page"
	}
	return fmt.Sprintf("%d elements after a guard page", p.shift)
}

// places holds one guarded region for each operand of a problem, grown when needed and used again.
type places struct {
	t       testing.TB
	regions [][]float32
}

func newPlaces(t testing.TB) *places { return &places{t: t} }

const margin = 64 // elements beside an operand that must not change

// canary is an unlikely NaN, so that a computation with it is noticed as well.
var canary = math.Float32frombits(0x7fc0dead)

func (ps *places) at(p *Problem, pl place) [][]float32 {
	mem := make([][]float32, len(p.Operands))
	for i, op := range p.Operands {
		if i == len(ps.regions) {
			ps.regions = append(ps.regions, nil)
		}
		if need := len(op.Data) + 2*margin; len(ps.regions[i]) < need {
			ps.regions[i] = guarded(ps.t, need*3/2)
		}
		from, to := pl.span(ps.regions[i], op)
		region := ps.regions[i]
		for j := max(0, from-margin); j < min(len(region), to+margin); j++ {
			region[j] = canary
		}
		mem[i] = region[from:to:to]
		copy(mem[i], op.Data)
	}
	return mem
}

func (pl place) span(region []float32, op Operand) (from, to int) {
	if pl.atEnd {
		return len(region) - len(op.Data), len(region)
	}
	return pl.shift, pl.shift + len(op.Data)
}

// canaries checks the elements around each operand.
func (ps *places) canaries(p *Problem, pl place) error {
	for i, op := range p.Operands {
		region := ps.regions[i]
		from, to := pl.span(region, op)
		for j := max(0, from-margin); j < min(len(region), to+margin); j++ {
			if (j < from || j >= to) && math.Float32bits(region[j]) != math.Float32bits(canary) {
				return fmt.Errorf("%s: element %d, outside [0, %d), was written: %v", op.Name, j-from, to-from, region[j])
			}
		}
	}
	return nil
}
