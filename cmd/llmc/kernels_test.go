package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestKernelsBench(t *testing.T) {
	var k struct {
		Roof  roofline
		Cases []kernelCase
	}
	if err := json.Unmarshal([]byte(ok(t, "kernels", "--bench", "--json", "--family", "tiled", "--time", "1ms")), &k); err != nil {
		t.Fatal(err)
	}
	var listed struct{ Kernels []kernelInfo }
	if err := json.Unmarshal([]byte(ok(t, "kernels", "--json", "--family", "tiled")), &listed); err != nil {
		t.Fatal(err)
	}
	runs, used := 0, ""
	for _, r := range listed.Kernels {
		if r.Family != "tiled" {
			t.Errorf("--family tiled lists %+v", r)
		}
		if r.Runs {
			runs++
		}
		if r.Used {
			used = r.Name
		}
	}
	if len(k.Cases) < 10 || k.Roof.GFLOPS <= 0 || k.Roof.Memory <= 0 {
		t.Errorf("%d sizes, roof %+v", len(k.Cases), k.Roof)
	}
	for _, c := range k.Cases {
		if c.Family != "tiled" || len(c.Rows) != runs {
			t.Errorf("%s %s: %d rows, want %d", c.Family, c.Size, len(c.Rows), runs)
		}
		best, picked := int64(math.MaxInt64), int64(0)
		for _, r := range c.Rows {
			best = min(best, int64(r.Time))
			if r.Picked {
				picked = int64(r.Time)
			}
			if r.Picked != (r.Name == used) || r.Time <= 0 || r.OfRoof <= 0 || r.GBS <= 0 {
				t.Errorf("%s: %+v", c.Size, r)
			}
		}
		if loss := float64(picked)/float64(best) - 1; math.Abs(loss-c.Loss) > 1e-9 || c.Slow != (loss > mostLoss) {
			t.Errorf("%s: picked %d ns of %d, loss %v, slow %v", c.Size, picked, best, c.Loss, c.Slow)
		}
	}
	text := ok(t, "kernels", "--bench", "--family", "tiled", "--time", "1ms", "--cpu", "ref")
	if n := strings.Count(text, "_ref "); n != len(k.Cases) || strings.Contains(text, "avx") || !strings.Contains(text, "no pick takes more than 5% longer") {
		t.Errorf("on the tier ref:\n%s", text)
	}
	for _, args := range [][]string{{"--family", "pool"}, {"--bench", "--time", "0s"}} {
		if r := llmcRun(append([]string{"kernels"}, args...)...); r.code != exitUsage {
			t.Errorf("%v: exit code %d", args, r.code)
		}
	}
}
