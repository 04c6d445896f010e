package driver

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/ops"
	runtime "github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// Every host function that a compiled program may call is in the list that runtimes link.
func TestHostFunctionsAreListed(t *testing.T) {
	have := map[string]bool{}
	for _, f := range std.All() {
		if have[f.Name] {
			t.Errorf("host function %q is listed twice", f.Name)
		}
		have[f.Name] = true
	}
	for _, d := range ops.All() {
		if d.Host.Run != nil && !have[d.Host.Name] {
			t.Errorf("operator %s: host function %q is not listed", d.Name, d.Host.Name)
		}
	}
}

// runnerSource is a program that only runs compiled models.
const runnerSource = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

func main() {
	f, err := program.Open(os.Args[1])
	check(err)
	m, err := exec.Load(f.Program, exec.Options{Host: std.All()})
	check(err)
	s, err := m.NewSession("")
	check(err)
	b, err := os.ReadFile(os.Args[2])
	check(err)
	in, _, err := onnxpb.ParseTensor(b)
	check(err)
	out, err := s.Run(context.Background(), []*tensor.Tensor{in}, nil)
	check(err)
	best := 0
	for i, v := range out[0].F32() {
		if v > out[0].F32()[best] {
			best = i
		}
	}
	fmt.Println(best)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
`

// A program that imports only the runtime and leaves loads and runs a compiled model; it links no compiler and
// is small.
func TestRuntimeStandsAlone(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(filepath.Join(root, "codegen", "driver"), "_testrunner") // no test that walks the folders sees it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(runnerSource), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "runner")
	run := func(name string, args ...string) string {
		c := exec.Command(name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	for _, dep := range strings.Fields(run("go", "list", "-deps", ".")) {
		for _, wall := range []string{"ir", "ir/op", "ir/ops", "ir/eval", "frontend", "passes", "codegen"} {
			full := "github.com/llmc-go/llmc/" + wall
			if dep == full || strings.HasPrefix(dep, full+"/") && wall != "ir" && !strings.HasPrefix(dep, "github.com/llmc-go/llmc/codegen/driver/_testrunner") {
				t.Errorf("the runtime links %s", dep)
			}
		}
	}
	run("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	st, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() >= 6<<20 {
		t.Errorf("stripped binary of %d bytes, want under 6 MB", st.Size())
	}
	model := filepath.Join(t.TempDir(), "mnist.llmc")
	l := load(t, models(t, "mnist-cnn")["mnist-cnn"], "mnist-cnn")
	_, p, _ := compileModel(t, l, Options{})
	writeProgram(t, model, p)
	for digit, set := range []string{"0", "1", "2"} {
		in := filepath.Join(root, "testdata", "mnist-cnn", "test_data_set_"+set, "input_0.pb")
		if got := strings.TrimSpace(run(bin, model, in)); got != []string{"0", "1", "2"}[digit] {
			t.Errorf("set %s: digit %s", set, got)
		}
	}
}

// writeProgram writes a program to a file.
func writeProgram(t *testing.T, path string, p *program.Program) {
	t.Helper()
	if err := program.WriteFile(context.Background(), path, p, program.Options{Pack: runtime.PackConst}); err != nil {
		t.Fatal(err)
	}
}
