package driver

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// What costs memory or time and computes nothing must not be in a plan. The models of the repository stand for their families; with
// LLMC_BENCH, a folder of filled large models, those are looked at too.

// largeModels are those that are not shipped.
var largeModels = map[string]bool{"resnet50": true, "mobilenetv2": true, "bert-base": true, "gpt2-124m": true}

// leanModel compiles a model; nil is a large one that is not at hand.
func leanModel(t *testing.T, name string, o Options) *program.Program {
	t.Helper()
	folder := "../../testdata"
	if largeModels[name] {
		if folder = os.Getenv("LLMC_BENCH"); folder == "" {
			t.Logf("%s: not looked at without LLMC_BENCH", name)
			return nil
		}
	}
	path := filepath.Join(folder, name, "model.onnx")
	src, err := Open(path, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	r, err := Compile(context.Background(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Program
}

// extents gives the values of a program's extents.
func extents(t *testing.T, p *program.Program, syms map[string]int64) []int64 {
	t.Helper()
	in, out := make([]int64, len(p.Dims.Syms)), make([]int64, len(p.Dims.Code))
	for i, name := range p.Dims.Syms {
		v, ok := syms[name]
		if !ok {
			t.Fatalf("symbol %q: want a value", name)
		}
		in[i] = v
	}
	if err := p.Dims.Eval(in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Attention never holds the scores of all heads.
func TestNoScoresInMemory(t *testing.T) {
	for _, c := range []struct {
		model           string
		batch, sequence string
		seq             int64
	}{{"tiny-bert-classify", "batch", "sequence", 47}, {"bert-base", "batch_size", "sequence_length", 512}} {
		p := leanModel(t, c.model, Options{})
		if p == nil {
			continue
		}
		const batch = 3
		vals := extents(t, p, map[string]int64{c.batch: batch, c.sequence: c.seq})
		attends := 0
		for _, s := range p.Entries[0].Body.Steps {
			if s.Anchor == anchor.Attend {
				attends++
			}
		}
		if attends == 0 {
			t.Errorf("%s: attention is not fused", c.model)
		}
		for i, b := range p.Entries[0].Body.Bufs {
			n := len(b.Shape)
			if n < 2 || vals[b.Shape[n-1]] != c.seq || vals[b.Shape[n-2]] != c.seq {
				continue
			}
			if vals[b.Count] > batch*c.seq*c.seq {
				t.Errorf("%s: buffer %d %q has %d elements at %d positions of a batch of %d", c.model, i, b.Name, vals[b.Count], c.seq, batch)
			}
		}
	}
}

// From the first convolution of a net to its last one nothing but the convolutions' own layout is used.
func TestNoConversionsBetweenConvolutions(t *testing.T) {
	for _, name := range []string{"tiny-resnet18-bn", "squeezenet", "mnist-cnn", "resnet50", "mobilenetv2"} {
		p := leanModel(t, name, Options{})
		if p == nil {
			continue
		}
		steps := p.Entries[0].Body.Steps
		first, last := -1, -1
		for i := range steps {
			if w := steps[i].Window; w != nil && w.Combine == anchor.Dot {
				if last = i; first < 0 {
					first = i
				}
			}
		}
		if first < 0 {
			t.Fatalf("%s: no convolution", name)
		}
		for i := first; i < last; i++ {
			if steps[i].Moves {
				t.Errorf("%s: step %d %q moves data between the convolutions", name, i, steps[i].Node)
			}
		}
	}
}

// A program that comes from a file has its weights as kernels read them: loading packs nothing, and neither does a run.
func TestWeightsAreReadWhereTheyLie(t *testing.T) {
	for _, name := range []string{"tiny-resnet18-bn", "squeezenet", "mnist-cnn", "tiny-bert-classify", "tiny-vit", "tiny-gpt2-kv", "tiny-llama-kv",
		"stories260k-lm", "resnet50", "bert-base", "gpt2-124m"} {
		p := leanModel(t, name, Options{})
		if p == nil {
			continue
		}
		var b bytes.Buffer
		if err := program.Write(&b, p, program.Options{Pack: exec.PackConst}); err != nil {
			t.Fatal(err)
		}
		read, err := program.Decode(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for i := range read.Consts {
			if read.Consts[i].Pack != nil {
				t.Errorf("%s: constant %q is packed when it is loaded", name, read.Consts[i].Name)
			}
		}
		weights := 0
		body := &read.Entries[0].Body
		for i := range body.Steps {
			s := &body.Steps[i]
			if s.Anchor != anchor.Contract && (s.Window == nil || s.Window.Combine != anchor.Dot) {
				continue
			}
			if w := body.Bufs[s.In[1].Buf]; w.Kind == program.BufConst {
				weights++
				if read.Consts[w.Index].Layout == layout.RowMajor {
					t.Errorf("%s: step %d %q packs its weights in every run", name, i, s.Node)
				}
			}
		}
		if weights == 0 {
			t.Errorf("%s: no step has weights", name)
		}
	}
}

// A step of a decoder whose caches are states computes keys and values where they belong: nothing is moved after.
func TestDecodingMovesNothing(t *testing.T) {
	for _, name := range []string{"tiny-gpt2-kv", "gpt2-124m"} {
		p := leanModel(t, name, Options{States: []string{"auto"}})
		if p == nil {
			continue
		}
		if len(p.Entries[0].States) == 0 {
			t.Errorf("%s: no states", name)
		}
		for i := range p.Entries[0].Body.Steps {
			if s := &p.Entries[0].Body.Steps[i]; s.Moves {
				t.Errorf("%s: step %d %q moves data", name, i, s.Node)
			}
		}
	}
}
