// Package benchmarks measures whole models through the public API:
//
//	go test -run '^$' -bench Model -count 10 ./benchmarks
//
// The models are those of testdata. Kernels have benchmarks of their own beside their code.
package benchmarks
