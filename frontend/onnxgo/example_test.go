package onnxgo_test

import (
	"fmt"
	"log"
	"os"

	gorgonnx "github.com/llmc-go/llmc/frontend/onnxgo" // was github.com/owulveryck/onnx-go/backend/x/gorgonnx
	onnx "github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"
)

// A program for onnx-go, with one import changed.
func Example() {
	backend := gorgonnx.NewGraph()
	model := onnx.NewModel(backend)
	b, err := os.ReadFile("../../testdata/mnist-cnn/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	if err := model.UnmarshalBinary(b); err != nil {
		log.Fatal(err)
	}
	input, err := os.ReadFile("../../testdata/mnist-cnn/test_data_set_2/input_0.pb")
	if err != nil {
		log.Fatal(err)
	}
	t, err := onnx.NewTensor(input)
	if err != nil {
		log.Fatal(err)
	}
	if err := model.SetInput(0, t); err != nil {
		log.Fatal(err)
	}
	if err := backend.Run(); err != nil {
		log.Fatal(err)
	}
	out, err := model.GetOutputTensors()
	if err != nil {
		log.Fatal(err)
	}
	best, err := tensor.Argmax(out[0], 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(best.Data())
	// Output: 2
}
