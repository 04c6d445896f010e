package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
