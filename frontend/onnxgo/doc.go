// Package onnxgo is a backend of github.com/owulveryck/onnx-go that compiles the graph with llmc and runs it. A program
// written for that project's own backend changes one import:
//
//	import gorgonnx "github.com/llmc-go/llmc/frontend/onnxgo" // was github.com/owulveryck/onnx-go/backend/x/gorgonnx
//
// The project hands a backend operators without the version of the operator set that the model imports, and values
// without saying which are inputs and outputs. So the graph is read as a version that it is valid in, the first of
// Versions unless Graph.Opset says which; what was set when the model was decoded is constant until it is set again; and
// what no operator reads, or GetTensor has been asked for, is an output. Operators with subgraphs never reach a backend.
package onnxgo
