package llmc_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/llmc-go/llmc"
)

// Texts come in and labels go out as strings.
func TestSpam(t *testing.T) {
	dir := modelDir(t, "sms-spam-tfidf")
	m := open(t, dir, llmc.Options{})
	var e struct {
		Expect struct {
			PerSet      []string  `json:"per_set"`
			Probability []float64 `json:"probability"`
		} `json:"expect"`
	}
	readExpect(t, dir, &e)
	for k, want := range e.Expect.PerSet {
		out := run(t, m, inputsOf(t, m, dir, k))
		if got := out["label"].Str[0]; got != want {
			t.Errorf("set %d: %s, want %s", k, got, want)
		}
		if got := float64(out["probability"].F32()[0]); math.Abs(got-e.Expect.Probability[k]) > 1e-4 {
			t.Errorf("set %d: probability %v, want %v", k, got, e.Expect.Probability[k])
		}
	}
}

// Gradient-boosted trees behind a scaler.
func TestTumours(t *testing.T) {
	dir := modelDir(t, "breast-cancer-gbt")
	m := open(t, dir, llmc.Options{})
	var e struct {
		Expect struct {
			PerSet [][]int64 `json:"per_set"`
		} `json:"expect"`
	}
	readExpect(t, dir, &e)
	for k, want := range e.Expect.PerSet {
		got := run(t, m, inputsOf(t, m, dir, k))["label"].I64()
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("set %d: %v, want %v", k, got, want)
			}
		}
	}
}

// A random forest whose second output is a sequence of maps from class to probability.
func TestFlowers(t *testing.T) {
	dir := modelDir(t, "iris-random-forest")
	m := open(t, dir, llmc.Options{})
	var e struct {
		Expect struct {
			PerSet        [][]int64            `json:"per_set"`
			Probabilities []map[string]float64 `json:"probabilities"`
		} `json:"expect"`
	}
	readExpect(t, dir, &e)
	in := llmc.Values{}
	for name, x := range inputsOf(t, m, dir, 0) {
		in[name] = llmc.Value{Tensor: x}
	}
	out, err := m.RunValues(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	labels, rows := out["output_label"].Tensor.I64(), out["output_probability"].List
	for i, want := range e.Expect.PerSet[0] {
		if labels[i] != want {
			t.Errorf("flower %d: class %d, want %d", i, labels[i], want)
		}
		for k, v := range rows[i].List {
			key := strconv.FormatInt(rows[i].Keys.Int(k), 10)
			if p := e.Expect.Probabilities[i][key]; math.Abs(v.Tensor.Float(0)-p) > 1e-5 {
				t.Errorf("flower %d class %s: %v, want %v", i, key, v.Tensor.Float(0), p)
			}
		}
	}
	if _, err := m.Run(context.Background(), inputsOf(t, m, dir, 0)); err == nil {
		t.Error("Run gave an output that is no tensor")
	}
}

func readExpect(t *testing.T, dir string, e any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expect.json"))
	if err == nil {
		err = json.Unmarshal(b, e)
	}
	if err != nil {
		t.Fatal(err)
	}
}
