//go:build !linux

package huge

// advise does nothing: the system decides.
func advise([]byte) {}
