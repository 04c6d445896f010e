package main

import (
	"strings"
	"testing"
)

// Every engine has a row beside ours, whichever order the harness had; one that failed says why in one clause.
func TestPureTable(t *testing.T) {
	m := machine{CPU: "Some CPU", Cores: 2, Commit: "abc", Go: "go1.26",
		Versions: map[string]string{"gomlx": "v1.2.3", "onnx-gomlx": "v0.1.0", "onnx-go": "v0.5.0", "gorgonia": "v0.9.4", "python": "3"}}
	dir := t.TempDir()
	for _, r := range []*result{
		{Model: "a", Date: "2026-01-02", machine: m, Rows: []row{
			{Engine: "ort", Version: "onnxruntime 1.2.3", Threads: 1, MedianNs: 2e6},
			{Engine: "gomlx", Threads: 1, MedianNs: 2e9, MaxRel: rel(1.5e-6)},
			{Engine: "onnx-go", Threads: 1, Error: "onnx: operator Clip not implemented ()"},
			{Engine: "ours", Threads: 1, MedianNs: 4e6, MaxRel: rel(1e-6)},
		}},
		{Model: "b", Date: "2026-01-02", machine: m, Error: "fill.py: exit status 1\nx"},
		{Model: "c", Date: "2026-01-02", machine: m, Rows: []row{
			{Engine: "gomlx", Threads: 1, MedianNs: 1e6, Loud: true, Check: "reference"},
			{Engine: "onnx-go", Threads: 1, MedianNs: 5e6, Check: "NaN in y"}, {Engine: "ours", Threads: 1, Error: "no | memory"},
		}},
		{Model: "d", Date: "2026-01-02", machine: m, Rows: []row{
			{Engine: "gomlx", Threads: 1, MedianNs: 1e6, Check: "reference"}, {Engine: "ours", Threads: 1, MedianNs: 2e6, MaxRel: rel(0)},
		}},
	} {
		if err := r.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	list, err := readResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := pureTable(list)
	for _, want := range []string{
		"| a | llmc | 4 | - | 1.0e-06 |\n| a | gomlx | 2e+03 | 500 times | 1.5e-06 |\n| a | onnx-go | failed: onnx: operator Clip not implemented | | |\n",
		"| b | | not measured: fill.py: exit status 1 x | | |\n",
		"| c | llmc | failed: no / memory | | |\n| c | gomlx | 1! | - | reference |\n| c | onnx-go | 5 | - | NaN in y |\n",
		"| d | llmc | 2 | - | 0.0e+00 |\n| d | gomlx | 1 | 0.5 times | reference |\n",
		"\nMeasured on Some CPU, 2 processors, 2026-01-02, commit abc, go1.26, gomlx v1.2.3 with onnx-gomlx v0.1.0, " +
			"onnx-go v0.5.0 with gorgonia v0.9.4; errors are relative to onnxruntime 1.2.3.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if got := pureTable(nil); got != "Nothing is measured yet.\n" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestClause(t *testing.T) {
	for in, want := range map[string]string{
		"onnx: operator Clip not implemented ()":         "onnx: operator Clip not implemented",
		"shape (1, 2) is wrong. See the manual":          "shape (1, 2) is wrong",
		"no op X; open an issue. Please":                 "no op X",
		"panic: index out of range [3] with length 3\nx": "panic: index out of range [3] with length 3",
	} {
		if got := clause(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
