//go:build !linux && !darwin && !freebsd

package kerneltest

import "testing"

// guarded has no guard pages here; the elements around an operand are still checked for writes.
func guarded(_ testing.TB, n int) []float32 { return make([]float32, n) }
