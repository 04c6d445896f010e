//go:build !amd64 || purego

package attend

// assembly is empty: only the portable row runs.
var assembly = [0]functions{}
