// Package kernelbench lists what the kernels of all families are timed with: calls of representative sizes, each on every row, and where
// there are several algorithms, with each of them. The benchmarks of the packages and `llmc kernels --bench` share it.
package kernelbench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/llmc-go/llmc/runtime/cpu"
)

// Case is a call of one size.
type Case struct {
	Family, Size string
	FLOP         int64 // twice the multiply-adds; 0 where bytes are what counts
	Bytes        int64 // of all operands and results, each element once
	// Ways makes the ways to compute it. A model would use the first on host.
	Ways func(host cpu.Features) ([]Way, error)
}

// Way is a row with an algorithm, on operands of its own.
type Way struct {
	Name string // the row's, and the algorithm's where there is a choice
	Run  func() error
}

// Cases lists all families, one after another.
func Cases() []Case {
	var all []Case
	for _, f := range [][]Case{Attend(), GEMM(), Tiled(), Window()} {
		all = append(all, f...)
	}
	return all
}

// batch is how long calls are timed together: clocks are read far less often than once a microsecond.
const batch = 200 * time.Microsecond

// Time measures the shortest time of a call of each way: in turn, each for that long and at least twice. Others who use the machine
// hit them alike, and can only make a time longer.
func Time(ways []Way, each time.Duration) ([]time.Duration, error) {
	best, spent, calls := make([]time.Duration, len(ways)), make([]time.Duration, len(ways)), make([]int, len(ways))
	for i := range ways {
		best[i], calls[i] = time.Hour, 1
	}
	for turn, more := 0, true; more; turn++ {
		more = turn < 2
		for i := range ways {
			if turn >= 2 && spent[i] >= each {
				continue
			}
			more = true
			start := time.Now()
			for range calls[i] {
				if err := ways[i].Run(); err != nil {
					return nil, fmt.Errorf("%s: %w", ways[i].Name, err)
				}
			}
			took := max(time.Since(start), 1)
			spent[i] += took
			best[i] = min(best[i], max(took/time.Duration(calls[i]), 1))
			if took < batch {
				calls[i] = min(calls[i]*int(1+batch/took), 1<<20)
			}
		}
	}
	return best, nil
}

// Loss is how much longer the first way takes than the best: 0.05 is 5%.
func Loss(times []time.Duration) float64 {
	return float64(times[0])/float64(slices.Min(times)) - 1
}

// values are n numbers from -1 to 1.
func values(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, max(n, 1))
	for i := range x {
		x[i] = r.Float32()*2 - 1
	}
	return x
}

// ways makes a way of each row that runs. The first is the one that is picked: tables say the best first.
func ways[R any](table []R, runs func(*R) bool, name func(*R) string, make func(*R) (func() error, error)) ([]Way, error) {
	var all []Way
	for i := range table {
		if !runs(&table[i]) {
			continue
		}
		run, err := make(&table[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name(&table[i]), err)
		}
		all = append(all, Way{name(&table[i]), run})
	}
	return all, nil
}
