//go:build !amd64 || purego

package gemm

// kernels is empty: only the portable row runs.
var kernels [len(rows)][]func(*tile)

var narrow [len(rows)][]func(*tile)

var wide [len(rows)][]width

func packStrip(*strip) { panic("gemm: no assembly in this build") }
