// Package benchmarks measures whole models through the public API:
//
//	go test -run '^$' -bench Model -count 10 ./benchmarks
//
// The models are those of testdata. Kernels have benchmarks of their own beside their code. The command models measures larger
// ones beside other engines; those that are pure Go are run by the commands of purego, a module of its own so that what they
// depend on is not ours:
//
//	go run ./benchmarks/models --purego --peers venv/bin/python
package benchmarks
