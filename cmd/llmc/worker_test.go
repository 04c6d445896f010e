package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir/tensor"
)

// tensorFile reads a value of the mnist model's data sets.
func tensorFile(t *testing.T, set int, name string) *tensor.Tensor {
	t.Helper()
	return valueFile(t, fmt.Sprintf("mnist-cnn/test_data_set_%d/%s.pb", set, name))
}

func valueFile(t *testing.T, name string) *tensor.Tensor {
	t.Helper()
	data, err := os.ReadFile(models + name)
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := onnxpb.ParseTensor(data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// A whole session, line by line: an answer must come before the next request is sent.
func TestWorkerSession(t *testing.T) {
	dir := t.TempDir()
	for k := range 2 {
		if err := writeTensor(filepath.Join(dir, fmt.Sprintf("in%d.npy", k)), "x", tensorFile(t, k, "input_0")); err != nil {
			t.Fatal(err)
		}
	}
	reqR, reqW := io.Pipe()
	ansR, ansW := io.Pipe()
	done := make(chan int)
	go func() {
		code := execute(context.Background(), []string{"bench", "--worker"}, reqR, ansW, io.Discard)
		_ = ansW.Close()
		done <- code
	}()
	answers := bufio.NewReader(ansR)
	read := func(want string) {
		t.Helper()
		line, err := answers.ReadString('\n')
		if err != nil || !regexp.MustCompile("^"+want+"\n$").MatchString(line) {
			t.Fatalf("want %q, got %q, %v", want, line, err)
		}
	}
	ask := func(request, want string) {
		t.Helper()
		if _, err := io.WriteString(reqW, request+"\n"); err != nil {
			t.Fatal(err)
		}
		read(want)
	}
	outputs := func(set int) {
		t.Helper()
		ask("outputs "+dir, "ok Plus214_Output_0")
		data, err := os.ReadFile(filepath.Join(dir, "0.npy"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := npy.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		want := tensorFile(t, set, "output_0")
		if same, why := testcase.Compare(tensor.ValueOf(got), tensor.ValueOf(want), testcase.Tolerance{RTol: 1e-4, ATol: 1e-2, Compare: "close"}); !same {
			t.Errorf("data set %d: %s", set, why)
		}
	}
	read("hello onnxbench 1 llmc-[0-9.]+")
	ask("threads 2", "ok")
	ask("run 1", "err run: no model is loaded")
	ask("outputs "+dir, "err outputs: nothing has run")
	ask("load "+mnist, `err input "Input3" has no value`)
	ask("input Input3 "+dir+"/in0.npy", "ok")
	ask("load "+mnist, "ok [0-9]+")
	ask("run 3", "ok [0-9]+ [0-9]+ [0-9]+")
	outputs(0)
	ask("input Input%33 "+dir+"/in1.npy", "ok") // names are percent-encoded
	ask("run 2", "ok [0-9]+ [0-9]+")
	outputs(1)
	ask("input y "+dir+"/in1.npy", `err the model has no input "y"`)
	ask("input Input3 "+dir+"/absent.npy", "err .*absent.npy: no such file or directory")
	ask("run 0", "err run: want a number from 1 to .*")
	ask("dance", `err unknown request "dance"`)
	ask("reset", "ok")
	ask("run 1", "err run: no model is loaded")
	ask("quit", "ok")
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// With states, the caches that are given are there when each run begins, and come out as if they were outputs.
func TestWorkerStates(t *testing.T) {
	const set = "tiny-gpt2-kv/test_data_set_0/"
	dir := t.TempDir()
	var requests strings.Builder
	for k, name := range []string{"input_ids", "attention_mask", "position_ids", "past_key_values.0.key", "past_key_values.0.value", "past_key_values.1.key", "past_key_values.1.value"} {
		file := filepath.Join(dir, fmt.Sprintf("in%d.npy", k))
		if err := writeTensor(file, name, valueFile(t, fmt.Sprintf("%sinput_%d.pb", set, k))); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&requests, "input %s %s\n", name, file)
	}
	fmt.Fprintf(&requests, "load %stiny-gpt2-kv/model.onnx\nrun 3\noutputs %s\nquit\n", models, dir)
	r := llmcIn(requests.String(), "bench", "--worker", "--state", "auto")
	if r.code != 0 || strings.Contains(r.out, "err ") {
		t.Fatalf("exit code %d, got %q", r.code, r.out)
	}
	for k := range 5 {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.npy", k)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := npy.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		want := valueFile(t, fmt.Sprintf("%soutput_%d.pb", set, k))
		if same, why := testcase.Compare(tensor.ValueOf(got), tensor.ValueOf(want), testcase.Tolerance{RTol: 1e-3, ATol: 2e-4, Compare: "close"}); !same {
			t.Errorf("output %d: %s", k, why)
		}
	}
}

// The engine ends when its input does.
func TestWorkerEndsWithItsInput(t *testing.T) {
	r := llmcIn("threads 1\n", "bench", "--worker")
	if r.code != 0 || strings.Count(r.out, "\n") != 2 || !strings.HasSuffix(r.out, "\nok\n") {
		t.Errorf("exit code %d, got %q", r.code, r.out)
	}
}

// A signal ends an engine that waits for its next request.
func TestWorkerEndsWithItsContext(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int)
	go func() { done <- execute(ctx, []string{"bench", "--worker"}, in, io.Discard, io.Discard) }()
	cancel()
	if code := <-done; code != 1 {
		t.Errorf("exit code %d", code)
	}
}
