package benchmarks

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/testcase"
)

// models are folders of testdata: the trained ones, and a tiny one of each kind. The tiny ones show what a step costs when
// there is nothing to compute.
var models = []string{"mnist-cnn", "squeezenet", "ultraface-rfb320", "silero-vad", "stories260k-lm", "tiny-bert-classify", "tiny-vit", "tiny-gpt2-kv", "tiny-mixtral-moe", "tiny-lstm-text"}

// shapes are those of the inputs of models that have no symbolic form.
var shapes = map[string]map[string][]int{"silero-vad": {"input": {1, 576}, "state": {2, 1, 128}, "sr": {}}}

// BenchmarkModel times one run of a warm session on the published inputs.
func BenchmarkModel(b *testing.B) {
	for _, name := range models {
		b.Run(name, func(b *testing.B) {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) { benchmark(b, name, threads) })
			}
		})
	}
}

func benchmark(b *testing.B, name string, threads int) {
	dir := filepath.Join("..", "testdata", name)
	inputs := inputsOf(b, dir)
	model, err := llmc.Open(filepath.Join(dir, "model.onnx"), llmc.Options{Threads: threads, Shapes: shapes[name]})
	if err != nil {
		b.Fatal(err)
	}
	session, err := model.NewSession()
	if err != nil {
		b.Fatal(err)
	}
	outputs := make([]*llmc.Tensor, len(model.Outputs()))
	defer func() {
		if err := model.Close(); err != nil {
			b.Error(err)
		}
	}()
	run := func() {
		if err := session.RunInto(context.Background(), inputs, outputs); err != nil {
			b.Fatal(err)
		}
	}
	run()
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(session.ArenaBytes()), "arena-bytes")
}

// inputsOf reads the first data set of a test case.
func inputsOf(b *testing.B, dir string) []*llmc.Tensor {
	suite, err := testcase.Find(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = suite.Close() })
	if len(suite.Cases) != 1 {
		b.Fatalf("%s: want one case, got %d", dir, len(suite.Cases))
	}
	c := suite.Cases[0]
	open, err := c.Open()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = open.Close() })
	set, err := open.Set(c.Sets[0])
	if err != nil {
		b.Fatal(err)
	}
	var l []*llmc.Tensor
	for _, v := range set.Inputs {
		l = append(l, v.Tensor)
	}
	return l
}
