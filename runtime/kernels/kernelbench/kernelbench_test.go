package kernelbench

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/llmc-go/llmc/runtime/cpu"
)

func wait(d time.Duration, runs *int) Way {
	return Way{"wait", func() error {
		*runs++
		for start := time.Now(); time.Since(start) < d; {
		}
		return nil
	}}
}

func TestTime(t *testing.T) {
	var quick, slow int
	times, err := Time([]Way{wait(30*time.Millisecond, &slow), wait(20*time.Microsecond, &quick)}, 10*time.Millisecond)
	if err != nil || slow != 2 || quick < 20 {
		t.Errorf("ran %d and %d times, %v", slow, quick, err)
	}
	if times[0] < 30*time.Millisecond || times[1] < 20*time.Microsecond || times[1] > 10*time.Millisecond {
		t.Errorf("took %v", times)
	}
	broken := errors.New("broken")
	if _, err := Time([]Way{{"x", func() error { return broken }}}, time.Millisecond); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if l := Loss([]time.Duration{105, 100, 200}); math.Abs(l-0.05) > 1e-12 {
		t.Errorf("loss %v", l)
	}
}

// Every call runs, on every tier that this processor has, and no two have one name.
func TestCases(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Cases() {
		name := c.Family + " " + c.Size
		if names[name] || c.Bytes <= 0 || c.FLOP < 0 {
			t.Errorf("%s: %d operations, %d bytes", name, c.FLOP, c.Bytes)
		}
		names[name] = true
		ways, err := c.Ways(cpu.Host())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(ways) == 0 {
			t.Errorf("%s: no row runs", name)
		}
		for i, w := range ways {
			if c.FLOP > 1e8 && i > 0 {
				break // the portable rows take their time
			}
			if err := w.Run(); err != nil {
				t.Errorf("%s %s: %v", name, w.Name, err)
			}
		}
	}
}
