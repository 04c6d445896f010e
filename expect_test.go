package llmc_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/onnxpb"
)

// The tests of the files expect_*_test.go read what trained models say the way their users do, and compare it with the
// answer that a person can check (expect.json).

// modelDir finds a real model: in the repository, or beside it where it is too large for that.
func modelDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("testdata", name)
	if _, err := os.Stat(filepath.Join(dir, "model.onnx")); err == nil {
		return dir
	}
	return beside(t, "models", "real", name)
}

// beside is a path in the folder of what is too large for the repository.
func beside(t *testing.T, path ...string) string {
	t.Helper()
	shared := os.Getenv("LLMC_SHARED")
	if shared == "" {
		t.Skipf("LLMC_SHARED names the folder that holds %s", filepath.Join(path...))
	}
	return filepath.Join(shared, filepath.Join(path...))
}

// expected reads the answer in expect.json.
func expected[T any](t *testing.T, dir string) T {
	t.Helper()
	return readJSON[struct{ Expect T }](t, filepath.Join(dir, "expect.json")).Expect
}

func readJSON[T any](t *testing.T, path string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(readFile(t, path), &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readLines reads a file of one entry a line.
func readLines(t *testing.T, path string) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(string(readFile(t, path)), "\n"), "\n")
}

// readTable reads a file of comma-separated numbers under a header: features, then the class.
func readTable(t *testing.T, path string) (rows [][]float32, classes []int64) {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(string(readFile(t, path)))).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, line := range lines[1:] {
		row := make([]float32, len(line))
		for i, text := range line {
			v, err := strconv.ParseFloat(text, 32)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			row[i] = float32(v)
		}
		last := len(row) - 1
		rows, classes = append(rows, row[:last]), append(classes, int64(row[last]))
	}
	return rows, classes
}

func open(t *testing.T, dir string, o llmc.Options) *llmc.Model {
	t.Helper()
	m, err := llmc.Open(filepath.Join(dir, "model.onnx"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// inputsOf reads a published data set, of which the repository may have only the first.
func inputsOf(t *testing.T, m *llmc.Model, dir string, set int) llmc.Tensors {
	t.Helper()
	folder := fmt.Sprintf("test_data_set_%d", set)
	if _, err := os.Stat(filepath.Join(dir, folder)); err != nil {
		dir = beside(t, "models", "real", filepath.Base(dir))
	}
	in := llmc.Tensors{}
	for k, info := range m.Inputs() {
		path := filepath.Join(dir, folder, fmt.Sprintf("input_%d.pb", k))
		var err error
		if in[info.Name], _, err = onnxpb.ParseTensor(readFile(t, path)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return in
}

func run(t *testing.T, m *llmc.Model, in llmc.Tensors) llmc.Tensors {
	t.Helper()
	out, err := m.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// first runs a model and returns its output number 0.
func first(t *testing.T, m *llmc.Model, in llmc.Tensors) *llmc.Tensor {
	t.Helper()
	return run(t, m, in)[m.Outputs()[0].Name]
}

// only names the one input of a model.
func only(m *llmc.Model, x *llmc.Tensor) llmc.Tensors { return llmc.Tensors{m.Inputs()[0].Name: x} }

func argmax(v []float32) int { return slices.Index(v, slices.Max(v)) }

// checkClasses compares the largest score of each published input with the class in want, -1 where it has no single
// one, and returns the scores.
func checkClasses(t *testing.T, m *llmc.Model, dir string, want []int) [][]float32 {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("no classes expected")
	}
	scores := make([][]float32, len(want))
	for k, class := range want {
		t.Run(fmt.Sprint("set", k), func(t *testing.T) {
			scores[k] = first(t, m, inputsOf(t, m, dir, k)).F32()
			if got := argmax(scores[k]); class >= 0 && got != class {
				t.Errorf("class %d, want %d", got, class)
			}
		})
	}
	return scores
}

// near reports a number that is further than tol from want, or no number.
func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
