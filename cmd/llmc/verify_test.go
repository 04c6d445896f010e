package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/pipeline"
	"github.com/llmc-go/llmc/runtime/program"
)

func TestVerify(t *testing.T) {
	for _, name := range []string{"mnist-cnn", "tiny-bert-classify", "tiny-gpt2-kv", "tiny-lstm-text", "tiny-scripted-loop", "tiny-resnet-qdq", "tiny-mixtral-moe", "tiny-resnet18-bn", "tiny-vit"} {
		var v verification
		if err := json.Unmarshal([]byte(ok(t, "verify", models+name+"/model.onnx", "--json", "-v")), &v); err != nil {
			t.Fatal(err)
		}
		if !v.OK || len(v.Rows) < 3 || v.Fault != nil {
			t.Errorf("%s: got %+v", name, v)
		}
		compared, unknown := 0, 0
		for i, r := range v.Rows {
			if r.Against == "model" {
				compared++
			}
			if r.Unknown != "" {
				unknown++
			}
			if i > 0 && r.Step < v.Rows[i-1].Step || r.Diverges {
				t.Errorf("%s: row %d: %+v", name, i, r)
			}
		}
		if compared*2 < len(v.Rows) || unknown > 0 {
			t.Errorf("%s: %d of %d values compared with the model's, %d steps not evaluated", name, compared, len(v.Rows), unknown)
		}
	}
	text := ok(t, "verify", bert, "--dim", "batch=3,sequence=5", "--seed", "7", "--input", "input_ids=[[1,2,3,4,5],[5,4,3,2,1],[9,9,9,9,9]]", "--most", "2")
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "step ") || !strings.Contains(lines[3], " outputs agree, largest error ") {
		t.Errorf("got %s", text)
	}
	if r := llmcRun("verify", mnist, "--tol", "1e-12"); r.code != 1 || !strings.Contains(r.out, "model.onnx: diverges at node ") {
		t.Errorf("--tol 1e-12: exit code %d, %s", r.code, r.out)
	}
	prog := filepath.Join(t.TempDir(), "m.llmc")
	ok(t, "compile", mnist, "-q", "-o", prog)
	if r := llmcRun("verify", prog); r.code != exitUsage {
		t.Errorf("a program: exit code %d, %s", r.code, r.err)
	}
}

// verifyWith verifies a model under flags that only tests set.
func verifyWith(t *testing.T, path string, f *verifyFlags) verification {
	t.Helper()
	var out, errw bytes.Buffer
	a := &app{out: &out, err: &errw, json: true, verbose: true}
	err := a.verify(context.Background(), f, path)
	var v verification
	if e := json.Unmarshal(out.Bytes(), &v); e != nil {
		t.Fatalf("%v: %v: %s", err, e, out.String())
	}
	if v.OK != (err == nil) || v.OK != (v.Fault == nil) {
		t.Errorf("ok %v with %v, %v", v.OK, v.Fault, err)
	}
	if v.Fault == nil {
		v.Fault = &fault{}
	}
	return v
}

// A kernel that computes tanh wrongly is found in the middle of a fused step.
func TestVerifyFindsKernel(t *testing.T) {
	broken := func(p *program.Program) {
		for i := range p.Progs {
			for j := range p.Progs[i].Code {
				if in := &p.Progs[i].Code[j]; in.Op == tile.Tanh {
					in.Op = tile.Sigmoid
				}
			}
		}
	}
	v := verifyWith(t, bert, &verifyFlags{plant: broken})
	if v.Fault.Kind != "kernel" || v.Fault.Node != "/model/bert/pooler/activation/Tanh" || v.Fault.Op != "Tanh" {
		t.Errorf("tanh: got %+v", v.Fault)
	}
	// the error that follows is inherited
	last := v.Rows[len(v.Rows)-1]
	if last.Value != "logits" || !(last.Rel > 1e-3) || !(last.OwnRel < 1e-5) {
		t.Errorf("after it: got %+v", last)
	}
	// wrong in one program only: the step is named, and that its nodes are right by themselves
	once := false
	v = verifyWith(t, bert, &verifyFlags{plant: func(p *program.Program) {
		if !once {
			once = true
			broken(p)
		}
	}})
	if v.Fault.Kind != "kernel" || !strings.Contains(v.Fault.Text, "/model/bert/pooler/dense/Gemm") || !strings.Contains(v.Fault.Text, "right in a program of its own") {
		t.Errorf("one program: got %+v", v.Fault)
	}
}

// A pool that takes the mean instead of the largest is found at the node that it computes.
func TestVerifyFindsStep(t *testing.T) {
	v := verifyWith(t, mnist, &verifyFlags{plant: func(p *program.Program) {
		for i := range p.Entries[0].Body.Steps {
			if st := &p.Entries[0].Body.Steps[i]; st.Window != nil && st.Window.Combine == anchor.Max && st.Node == "Pooling160" {
				w := *st.Window
				w.Combine = anchor.Avg
				st.Window = &w
			}
		}
	}})
	if v.Fault.Kind != "kernel" || v.Fault.Node != "Pooling160" {
		t.Errorf("got %+v", v.Fault)
	}
}

// A pass that turns one addition into a subtraction is found, and the node whose value it changed.
func TestVerifyFindsPass(t *testing.T) {
	const node = "/model/bert/encoder/layer.1/attention/self/key/Add"
	broken := &pass.Pass{Name: "break", Doc: "breaks the graph", Needs: pass.Typed, Gives: pass.Typed, Run: func(c *pass.Context, m *ir.Module) error {
		return ir.Rewrite(m, m.Main(), c.Sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
			if n.Op != "add" || len(n.Locs) == 0 || n.Locs[0].Name != node {
				return nil, nil
			}
			return rw.Op("sub", rw.MappedAll(n.In), nil)
		})
	}}
	var list []*pass.Pass
	for _, p := range pipeline.List() {
		list = append(list, p)
		if p.Name == "raise" {
			list = append(list, broken)
		}
	}
	v := verifyWith(t, bert, &verifyFlags{passes: list})
	if v.Fault.Kind != "pass" || v.Fault.Pass != "break" || v.Fault.Node != node {
		t.Errorf("got %+v", v.Fault)
	}
	for _, r := range v.Rows {
		if !(r.OwnRel < 1e-5) {
			t.Errorf("the steps are right, but %+v", r)
		}
	}
}

// A weight that is another than the model's is found, however little it changes.
func TestVerifyFindsWeight(t *testing.T) {
	for _, c := range []struct {
		what string
		flip func(b []byte)
	}{
		{"the exponent of all values", func(b []byte) {
			for i := 3; i < len(b); i += 4 {
				b[i] ^= 1
			}
		}},
		{"the last bit of one", func(b []byte) { b[0] ^= 1 }},
	} {
		name := ""
		v := verifyWith(t, bert, &verifyFlags{plant: func(p *program.Program) {
			body := &p.Entries[0].Body
			for i := range body.Steps {
				if body.Steps[i].Node != "/model/classifier/Gemm" || name != "" {
					continue
				}
				for _, u := range body.Steps[i].In {
					if b := &body.Bufs[u.Buf]; b.Kind == program.BufConst && len(p.Consts[b.Index].Shape) == 2 && name == "" {
						k := &p.Consts[b.Index]
						k.Data = bytes.Clone(k.Data)
						c.flip(k.Data)
						name = fmt.Sprintf("%v%v", k.Elem, k.Shape) // folding left it without a name
					}
				}
			}
		}})
		if v.Fault.Kind != "weight" || name == "" || v.Fault.Node != "/model/classifier/Gemm" || !strings.Contains(v.Fault.Text, name) {
			t.Errorf("%s of %q: got %+v", c.what, name, v.Fault)
		}
	}
}

// A program in a file is compared with the model that it was made of, down to its packed weights.
func TestVerifyProgram(t *testing.T) {
	dir := t.TempDir()
	prog, torn := filepath.Join(dir, "m.llmc"), filepath.Join(dir, "torn.llmc")
	ok(t, "compile", bert, "-q", "-o", prog)
	if out := ok(t, "verify", bert, "--program", prog, "-q"); !strings.Contains(out, " outputs agree") {
		t.Errorf("got %s", out)
	}
	f, err := program.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	node, at := "", -1
	file, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	body := &f.Program.Entries[0].Body
	for i := range body.Steps {
		st := &body.Steps[i]
		if st.Anchor != anchor.Contract || node != "" {
			continue
		}
		if b := &body.Bufs[st.In[1].Buf]; b.Kind == program.BufConst {
			node, at = st.Node, bytes.Index(file, f.Program.Consts[b.Index].Data)
		}
	}
	if err := f.Close(); err != nil || at < 0 {
		t.Fatalf("no weights of a product in the file: %v", err)
	}
	for i := range 256 {
		file[at+4*i+3] ^= 1
	}
	if err := os.WriteFile(torn, file, 0o600); err != nil {
		t.Fatal(err)
	}
	v := verifyWith(t, bert, &verifyFlags{prog: torn})
	if v.Fault.Kind != "weight" || v.Fault.Node != node {
		t.Errorf("got %+v, want a weight of %s", v.Fault, node)
	}
	if r := llmcRun("verify", mnist, "--program", prog); r.code != 1 || !strings.Contains(r.err, "is not what this version makes of") {
		t.Errorf("of another model: exit code %d, %s", r.code, r.err)
	}
}

func TestDiffer(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	of := func(v ...float32) *tensor.Tensor { return tensor.Of(dtype.F32, v, len(v)) }
	for _, c := range []struct {
		got, want *tensor.Tensor
		operands  float64
		abs, rel  float64
	}{
		{of(1, 2), of(1, 2), 0, 0, 0},
		{of(1, 2.5), of(1, 2), 0, 0.5, 0.25},
		{of(1, nan), of(1, nan), 0, 0, 0},
		{of(1, nan), of(1, 2), 0, math.Inf(1), math.Inf(1)},
		{of(1, inf), of(1, -inf), 0, math.Inf(1), math.Inf(1)},
		{of(1, -3e38), of(1, -inf), 0, 0, 0}, // both are masks
		{of(1.5, -3e38), of(1, -3e38), 0, 0.5, 0.5},
		{of(0.5), of(0), 1000, 0.5, 0.5}, // what is left of thousands
		{of(1, 2), of(1), 0, math.Inf(1), math.Inf(1)},
	} {
		if e := differ(c.got, c.want, c.operands); e.abs != c.abs || e.rel != c.rel {
			t.Errorf("%v for %v: want %g and %g, got %+v", c.got, c.want, c.abs, c.rel, e)
		}
	}
}

// Every tiny and real model of the shared set.
func TestVerifyShared(t *testing.T) {
	root := os.Getenv("LLMC_SHARED")
	if root == "" || testing.Short() {
		t.Skip("LLMC_SHARED is not set, or -short is")
	}
	for _, kind := range []string{"tiny", "real"} {
		list, err := filepath.Glob(filepath.Join(root, "models", kind, "*", "model.onnx"))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v", kind, err)
		}
		for _, path := range list {
			if r := llmcRun("verify", "-q", path); r.code != 0 {
				t.Errorf("%s: %s%s", filepath.Base(filepath.Dir(path)), r.out, r.err)
			}
		}
	}
}
