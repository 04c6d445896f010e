package llmc_test

import (
	"context"
	"fmt"
	"image/color"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"github.com/llmc-go/llmc"
)

const digits = "testdata/mnist-cnn/model.onnx"

// pixels reads a picture of a digit as grey values, which is what the model wants.
func pixels(path string) []float32 {
	f, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		log.Fatal(err)
	}
	var out []float32
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			out = append(out, float32(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y))
		}
	}
	return out
}

func largest(v []float32) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

// A model is opened, which compiles it, and run.
func Example() {
	model, err := llmc.Open(digits, llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	out, err := model.Run(context.Background(), llmc.Tensors{
		"Input3": llmc.Float32(pixels("testdata/mnist-cnn/seven.png"), 1, 1, 28, 28),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the digit is", largest(out["Plus214_Output_0"].F32()))
	// Output: the digit is 7
}

// Inputs and outputs say what a model takes and gives.
func ExampleModel_Inputs() {
	model, err := llmc.Open("testdata/tiny-bert-classify/model.onnx", llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	for _, in := range model.Inputs() {
		fmt.Println(in)
	}
	for _, out := range model.Outputs() {
		fmt.Println("->", out)
	}
	// Output:
	// input_ids: i64[batch, sequence]
	// attention_mask: i64[batch, sequence]
	// token_type_ids: i64[batch, sequence]
	// -> logits: f32[batch, 3]
}

// One session serves inputs of any size that the model takes.
func ExampleSession_Run() {
	model, err := llmc.Open("testdata/tiny-bert-classify/model.onnx", llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	session, err := model.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	for _, words := range []int{5, 12} {
		ids, ones := make([]int64, words), make([]int64, words)
		for i := range ids {
			ids[i], ones[i] = int64(10+i), 1
		}
		out, err := session.Run(context.Background(), llmc.Tensors{
			"input_ids":      llmc.Int64(ids, 1, words),
			"attention_mask": llmc.Int64(ones, 1, words),
			"token_type_ids": llmc.Int64(make([]int64, words), 1, words),
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(words, "words ->", out["logits"].Shape)
	}
	// Output:
	// 5 words -> [1 3]
	// 12 words -> [1 3]
}

// RunInto reads and writes the caller's memory, and allocates nothing once it is warm.
func ExampleSession_RunInto() {
	model, err := llmc.Open(digits, llmc.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	session, err := model.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	picture, scores := make([]float32, 28*28), make([]float32, 10)
	in := []*llmc.Tensor{llmc.Float32(picture, 1, 1, 28, 28)}
	out := []*llmc.Tensor{llmc.Float32(scores, 1, 10)}
	copy(picture, pixels("testdata/mnist-cnn/seven.png"))
	if err := session.RunInto(context.Background(), in, out); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the digit is", largest(scores))
	// Output: the digit is 7
}

// A program in a file needs no compiling when it is opened.
func ExampleCompile() {
	ctx := context.Background()
	compiled, err := llmc.Compile(ctx, digits, llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer compiled.Close()
	dir, err := os.MkdirTemp("", "llmc-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "digits.llmc")
	if err := compiled.WriteFile(ctx, path); err != nil {
		log.Fatal(err)
	}
	model, err := llmc.Open(path, llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	fmt.Println(compiled.Report.Nodes, "nodes became", compiled.Report.Steps, "steps;", model.Inputs()[0])
	// Output: 12 nodes became 6 steps; Input3: f32[1, 1, 28, 28]
}

// Load runs a program that was compiled in this process, without a file.
func ExampleLoad() {
	compiled, err := llmc.Compile(context.Background(), digits, llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	model, err := llmc.Load(compiled.Program, compiled.Close, llmc.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	fmt.Println(model.Threads(), "thread")
	// Output: 1 thread
}

// Tensors share the caller's memory.
func ExampleFloat32() {
	data := []float32{1, 2, 3, 4, 5, 6}
	t := llmc.Float32(data, 2, 3)
	data[4] = 50
	fmt.Println(t.Shape, t.F32())
	// Output: [2 3] [1 2 3 4 50 6]
}

// IsProgram tells compiled programs from models.
func ExampleIsProgram() {
	fmt.Println(llmc.IsProgram(digits), llmc.IsProgram("model.llmc"))
	// Output: false true
}

// Models may take and give strings.
func ExampleStrings() {
	model, err := llmc.Open("testdata/sms-spam-tfidf/model.onnx", llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	out, err := model.Run(context.Background(), llmc.Tensors{"text": llmc.Strings([]string{"Winner! Call now to claim your free prize"})})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out["label"].Str)
	// Output: [spam]
}

// What is no tensor goes in and out as a Value.
func ExampleModel_RunValues() {
	model, err := llmc.Open("testdata/sms-spam-tfidf/model.onnx", llmc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	out, err := model.RunValues(context.Background(), llmc.Values{"text": {Tensor: llmc.Strings([]string{"see you at home"})}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out["label"], out["label"].Tensor.Str)
	// Output: string[1] [ham]
}
