//go:build !amd64 || purego

package pool

// pause does nothing: the atomic load around it is the wait.
func pause() {}
