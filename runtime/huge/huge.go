// Package huge allocates memory that is read from end to end: on pages of 2 MiB, if the system lends them. With 4 KiB pages one
// processor waits for translations.
package huge

import (
	"unsafe"

	"github.com/llmc-go/llmc/ir/tensor"
)

const (
	page = 2 << 20
	line = 64
)

// Alloc returns n zeroed bytes that begin at a cache line, and where they fill a large page, at a large page.
func Alloc(n int) []byte {
	if n < page {
		return align(tensor.Alloc(n+line), line)[:n:n]
	}
	b := align(tensor.Alloc(n+page), page)[:n:n]
	advise(b[:n&^(page-1)])
	return b
}

func align(b []byte, to uintptr) []byte {
	return b[-uintptr(unsafe.Pointer(&b[0]))&(to-1):]
}
