package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func rel(v float64) *float64 { return &v }

// Won, lost, broken and unmeasured rows all stand in the table, and survive being stored.
func TestTable(t *testing.T) {
	m := machine{CPU: "Some CPU", Cores: 2, Commit: "abc", Go: "go1.26"}
	dir := t.TempDir()
	for _, r := range []*result{
		{Model: "b", Date: "2026-01-02", machine: m, Rows: []row{
			{Engine: "ort", Version: "onnxruntime 1.2.3", Threads: 1, MedianNs: 2e6}, {Engine: "ours", Threads: 1, MedianNs: 4e6, Speedup: 0.5, SpeedupMin: 0.55, SpeedupPaired: 0.52, MaxRel: rel(1.5e-6)},
			{Engine: "ours-states", Threads: 1, MedianNs: 1e6, Speedup: 2, SpeedupMin: 2, SpeedupPaired: 2, MaxRel: rel(2e-6)},
			{Engine: "ort", Threads: 2, MedianNs: 2e6, Loud: true}, {Engine: "ours", Threads: 2, Error: "no | memory"},
		}},
		{Model: "a/1", Date: "2026-01-02", machine: m, Error: "fill.py: exit status 1\nx"},
		{Model: "c", Date: "2026-01-02", machine: m, Rows: []row{{Engine: "ours", Threads: 1, MedianNs: 1234567, Check: "reference"}}},
	} {
		if err := r.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	list, err := readResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := table(list)
	for _, want := range []string{
		"| a/1 | | not measured: fill.py: exit status 1 x | | | |\n",
		"| b | 1 | 4 | 2 | 0.50, 0.55, 0.52 | 1.5e-06 |\n| b, caches as states | 1 | 1 | 2 | 2.00, 2.00, 2.00 | 2.0e-06 |\n| b | 2 | failed: no / memory | 2! | | |\n",
		"| c | 1 | 1.23 | - | - | reference |\n",
		"Measured on Some CPU, 2 processors, 2026-01-02, commit abc, go1.26, onnxruntime 1.2.3.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

// The README has the lines, and the tables of what is stored.
func TestReadmeIsCurrent(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := writeTables(string(b), filepath.Join("..", "results"))
	if err != nil {
		t.Fatal(err)
	}
	if want != string(b) {
		t.Error("the README's tables are not those of benchmarks/results: run go run ./benchmarks/models --table")
	}
}

// Without an interpreter nothing is measured, and that is no failure.
func TestNoPython(t *testing.T) {
	if _, err := findPython(context.Background(), filepath.Join(t.TempDir(), "python")); !errors.Is(err, errSkip) {
		t.Errorf("want a skip, got %v", err)
	}
}

// What a result says of its command holds no folder of the machine.
func TestCommandHasNoFolders(t *testing.T) {
	s := &setup{options: options{shared: "/some/shared", work: "/some/work"}, temp: "/tmp/x1"}
	got := s.command([]string{"/some/shared/bench/peers.py", "/some/work/a/model.onnx", "--ours", "/tmp/x1/llmc bench --worker"})
	if want := "python $SHARED/bench/peers.py $WORK/a/model.onnx --ours $TMP/llmc bench --worker"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
