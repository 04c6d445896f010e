package benchmarks

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/onnxpb"
)

// sample is what the description of a benchmark model tells of an output of onnxruntime.
type sample struct {
	Name   string    `json:"name"`
	Shape  []int     `json:"shape"`
	AbsMax float64   `json:"absmax"`
	Index  []int     `json:"index"`
	Value  []float64 `json:"value"`
}

type description struct {
	Name   string `json:"name"`
	Family string `json:"family"`
	Cases  []struct {
		Case    string   `json:"case"`
		Outputs []sample `json:"outputs"`
	} `json:"cases"`
}

// tolerance is a part of an output's largest magnitude, as the models' README sets it.
func (d *description) tolerance() float64 {
	switch {
	case d.Family == "quantised", strings.Contains(d.Name, "int4"):
		return 5e-2
	case strings.HasSuffix(d.Name, "fp16"):
		return 2e-2
	}
	return 1e-3
}

// The full-size models give the outputs of onnxruntime. LLMC_SHARED names the folder with models/bench, LLMC_BENCH the one where
// fill.py wrote the models; one that is not there is skipped by name.
func TestPublishedOutputs(t *testing.T) {
	shared, filled := os.Getenv("LLMC_SHARED"), os.Getenv("LLMC_BENCH")
	if shared == "" || filled == "" {
		t.Skip("LLMC_SHARED and LLMC_BENCH name no folders with the large models")
	}
	files, err := filepath.Glob(filepath.Join(shared, "models", "bench", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no descriptions: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d description
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		t.Run(d.Name, func(t *testing.T) {
			dir := filepath.Join(filled, d.Name)
			if _, err := os.Stat(filepath.Join(dir, "model.onnx")); err != nil {
				t.Skip(err)
			}
			m, err := llmc.Open(filepath.Join(dir, "model.onnx"), llmc.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
			for k, c := range d.Cases {
				in := llmc.Tensors{}
				for i, info := range m.Inputs() {
					b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("test_data_set_%d", k), fmt.Sprintf("input_%d.pb", i)))
					if err != nil {
						t.Fatal(err)
					}
					if in[info.Name], _, err = onnxpb.ParseTensor(b); err != nil {
						t.Fatal(err)
					}
				}
				out, err := m.Run(context.Background(), in)
				if err != nil {
					t.Fatal(err)
				}
				worst := 0.0
				for _, want := range c.Outputs {
					worst = max(worst, distance(t, out[want.Name], want))
				}
				t.Logf("%s: at most %.2g of the largest magnitude", c.Case, worst)
				if !(worst <= d.tolerance()) {
					t.Errorf("%s: %.3g, at most %.3g", c.Case, worst, d.tolerance())
				}
			}
		})
	}
}

// distance is the largest difference to the sampled values, as a part of the output's largest magnitude.
func distance(t *testing.T, got *llmc.Tensor, want sample) float64 {
	t.Helper()
	if got == nil || !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("%s: got %v, want shape %v", want.Name, got, want.Shape)
	}
	worst := 0.0
	for i, at := range want.Index {
		worst = max(worst, math.Abs(got.Float(at)-want.Value[i])/max(want.AbsMax, math.SmallestNonzeroFloat32))
	}
	return worst
}
