package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// A model runs on inputs that nobody gave: integers index the tables that they look up, through casts, branches and loops, in a
// model as in a program, and the mask of a decoder is as long as the past and what is new.
func TestMadeUpInputs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tiny-bert-classify", "tiny-gpt2-kv", "tiny-gpt2-kv-dynamo", "tiny-llama-kv", "tiny-lstm-text", "tiny-mixtral-moe", "tiny-scripted-loop", "tiny-t5-decoder", "stories260k-lm"} {
		raw, err := os.ReadFile(models + name + "/model.onnx")
		if err != nil {
			t.Fatal(err)
		}
		model := put(t, dir, "model.onnx", raw) // no test data beside it
		ok(t, "bench", model, "--runs", "1")
		ok(t, "profile", model, "--time", "1ms")
		ok(t, "verify", model)
		ok(t, "run", model, "--random")
		program := filepath.Join(dir, "model.llmc")
		ok(t, "compile", "-q", model, "-o", program)
		ok(t, "bench", program, "--runs", "1", "--seed", "7")
	}
}

// Where made-up sizes do not suit a model, the error says which they were.
func TestMadeUpSizes(t *testing.T) {
	r := llmcRun("bench", models+"tiny-gpt2-kv/model.onnx", "--runs", "1", "--dim", "total_length=1,batch=1")
	if r.code != exitFailed || !strings.Contains(r.err, "nobody gave a value for sequence, past_length: --dim sequence=N does") {
		t.Errorf("%+v", r)
	}
}

// A program that copies a buffer onto itself again and again is followed in time and memory that grow with its steps alone.
func TestIndexBoundsOfCopies(t *testing.T) {
	b := tile.NewBuilder()
	b.Store(1, b.Load(0, dtype.I64))
	e := program.Entry{Inputs: []program.IO{{Elem: dtype.I64}}, Body: program.Body{Params: []int32{0}}}
	for range 64 {
		e.Body.Steps = append(e.Body.Steps, program.Step{Anchor: anchor.Map, In: make([]program.Use, 1), Out: make([]program.Use, 1)})
	}
	e.Body.Steps = append(e.Body.Steps, program.Step{Anchor: anchor.Host, In: []program.Use{{}, {Via: []program.Via{{Operand: 0}}}}})
	p := &program.Program{Progs: []tile.Program{*b.Program()}, Dims: dim.Program{Code: []dim.Instr{{Op: dim.OpConst, Imm: 7}}}}
	if got := indexBounds(p, &e); len(got) != 1 || got[0] != 7 {
		t.Errorf("got %v, want 7 for input 0", got)
	}
}
