//go:build !linux

package exec

// hugePages does nothing: the system decides.
func hugePages([]byte) {}
