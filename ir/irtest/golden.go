package irtest

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Update tells whether golden files are to be rewritten: the flag -update, which this package registers.
func Update() bool { return *update }

// GoldenOptions configures Golden.
type GoldenOptions struct {
	// Pass returns what a block's pass does to a module, or nil where the name is not known.
	Pass func(name string) func(*ir.Module) error
	// Semantics lets inputs leave out types.
	Semantics ir.Inference
	// Consts supplies large constants; where it is nil they hold numbers drawn from [-1, 1] by their index.
	Consts func(index int, name string, e dtype.Type, shape []int) (*tensor.Tensor, error)
	// Check, if set, sees every module before and after its pass.
	Check func(before, after *ir.Module) error
}

// Golden runs the blocks of the files that glob matches. A file has comment lines that say what it shows, then blocks
//
//	pass NAME
//	module ...
//	----
//	module ...
//
// with the input and the text that the pass must make of it, or "error: ..." where it must fail. With the
// flag -update the outputs are rewritten.
func Golden(t *testing.T, glob string, opts GoldenOptions) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file matches %s: %v", glob, err)
	}
	if opts.Consts == nil {
		opts.Consts = Weights
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), func(t *testing.T) { golden(t, name, opts) })
	}
}

// Weights makes a constant of numbers drawn from [-1, 1] by its index.
func Weights(index int, _ string, e dtype.Type, shape []int) (*tensor.Tensor, error) {
	if n, ok := tensor.Count(shape); !ok || n > 1<<24 {
		return nil, fmt.Errorf("constant of shape %v is too large for a test", shape)
	}
	return Random(rand.New(rand.NewSource(int64(index))), e, -1, 1, shape...), nil
}

// block is one case of a golden file.
type block struct {
	line      int
	pass      string
	in, out   string
	separated bool
}

func golden(t *testing.T, name string, opts GoldenOptions) {
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, blocks, err := split(string(raw))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var fresh strings.Builder
	fresh.WriteString(head)
	for i, b := range blocks {
		got := outcome(name, b, opts, t)
		if i > 0 {
			fresh.WriteString("\n")
		}
		fmt.Fprintf(&fresh, "pass %s\n%s----\n%s", b.pass, b.in, got)
		if want := strings.TrimRight(b.out, "\n") + "\n"; got != want && !*update {
			t.Errorf("%s:%d: pass %s gives\n%s\nwant\n%s\n%s", name, b.line, b.pass, got, want, firstDifference(got, want))
		}
	}
	if *update && fresh.String() != string(raw) {
		if err := os.WriteFile(name, []byte(fresh.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("first at line %d of the output: %s", i+1, g[i])
		}
	}
	return "the output is shorter"
}

// outcome runs one block.
func outcome(name string, b block, opts GoldenOptions, t *testing.T) string {
	t.Helper()
	parse := func() *ir.Module {
		m, err := ir.Parse(b.in, ir.ParseOptions{File: fmt.Sprintf("%s:%d", name, b.line), Consts: opts.Consts, Semantics: opts.Semantics})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	run := opts.Pass(b.pass)
	if run == nil {
		t.Fatalf("%s:%d: pass %q is not known", name, b.line, b.pass)
	}
	m := parse()
	if err := run(m); err != nil {
		return "error: " + err.Error() + "\n"
	}
	if opts.Check != nil {
		if err := opts.Check(parse(), m); err != nil {
			t.Errorf("%s:%d: pass %s: %v", name, b.line, b.pass, err)
		}
	}
	text := m.String()
	back, err := ir.Parse(text, ir.ParseOptions{Consts: func(i int, _ string, _ dtype.Type, _ []int) (*tensor.Tensor, error) { return m.Consts[i].Tensor, nil }})
	if err == nil {
		err = ir.Equal(m, back)
	}
	if err != nil {
		t.Errorf("%s:%d: the output does not parse back: %v\n%s", name, b.line, err, text)
	}
	return text
}

// split cuts a golden file into what stands before the first block, and the blocks.
func split(text string) (head string, blocks []block, err error) {
	var h strings.Builder
	for i, line := range strings.SplitAfter(text, "\n") {
		trim := strings.TrimRight(line, "\r\n")
		last := len(blocks) - 1
		switch {
		case strings.HasPrefix(trim, "pass "):
			if last >= 0 && !blocks[last].separated {
				return "", nil, fmt.Errorf("line %d: the block before has no ----", i+1)
			}
			blocks = append(blocks, block{line: i + 1, pass: strings.TrimSpace(trim[len("pass "):])})
		case last < 0:
			h.WriteString(line)
		case trim == "----" && !blocks[last].separated:
			blocks[last].separated = true
		case blocks[last].separated:
			blocks[last].out += line
		default:
			blocks[last].in += line
		}
	}
	if n := len(blocks); n == 0 || !blocks[n-1].separated {
		return "", nil, fmt.Errorf("want blocks of pass, input, ---- and output")
	}
	return h.String(), blocks, nil
}
