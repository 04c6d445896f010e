// Package llmc compiles neural networks and runs them in this process, without cgo and without anything installed.
//
//	model, err := llmc.Open("model.onnx", llmc.Options{})
//	...
//	out, err := model.Run(ctx, llmc.Tensors{"x": llmc.Float32(pixels, 1, 3, 224, 224)})
//
// Open takes an .onnx file, which it compiles in memory, or an .llmc file, which [Compiled.WriteFile] or the command
// "llmc compile" has written and which loads at once.
//
// A [Model] is immutable and may be used by any number of goroutines. Each [Session] of it owns the memory of one run at
// a time; a program that runs one model many times keeps one session per goroutine, and once a session has seen its
// inputs' shapes, [Session.RunInto] allocates nothing.
package llmc
