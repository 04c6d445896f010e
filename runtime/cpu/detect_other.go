//go:build !amd64 || purego

package cpu

// detect finds nothing: without assembly every kernel is the portable one.
func detect() Features { return 0 }
