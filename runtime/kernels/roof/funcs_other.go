//go:build !amd64 || purego

package roof

// kernels is empty: only the portable row runs.
var kernels [len(rows)]functions
