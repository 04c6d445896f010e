package driver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/codegen/lower"
	"github.com/llmc-go/llmc/codegen/memory"
	"github.com/llmc-go/llmc/codegen/schedule"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/fuse"
	"github.com/llmc-go/llmc/passes/pass"
)

// Each file of testdata/kir is headed by what it shows, then a module, a line ----, and the kernel-level IR that fuse,
// lower, schedule and memory make of it.
func TestKernelLevelIR(t *testing.T) {
	files, err := filepath.Glob("testdata/kir/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(b), "----\n")
			got := generateText(t, input)
			if irtest.Update() {
				if err := os.WriteFile(name, []byte(input+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func generateText(t *testing.T, text string) string {
	t.Helper()
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	sem := eval.New(table)
	m, err := ir.Parse(text, ir.ParseOptions{Semantics: sem, Consts: func(_ int, _ string, e dtype.Type, shape []int) (*tensor.Tensor, error) {
		return tensor.New(e, shape...), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := &pass.Context{Sem: sem, Table: table, Target: CPU()}
	if err := fuse.Pass.Run(c, m); err != nil {
		t.Fatal(err)
	}
	k, err := lower.Module(m, table, lower.Options{Supports: c.Target.Takes})
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range []struct {
		name string
		run  func(*kir.Module)
	}{{"lower", func(*kir.Module) {}}, {"schedule", schedule.Run}, {"memory", memory.Run}} {
		stage.run(k)
		if err := k.Verify(); err != nil {
			t.Fatalf("after %s: %v", stage.name, err)
		}
	}
	return k.String()
}
