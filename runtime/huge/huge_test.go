package huge

import (
	"testing"
	"unsafe"
)

func TestAlloc(t *testing.T) {
	for n, to := range map[int]uintptr{0: 1, 1: line, 63: line, page - 1: line, page: page, 3*page + 5: page} {
		b := Alloc(n)
		if len(b) != n || cap(b) != n {
			t.Fatalf("%d bytes: length %d, capacity %d", n, len(b), cap(b))
		}
		if n > 0 && uintptr(unsafe.Pointer(&b[0]))%to != 0 {
			t.Errorf("%d bytes begin at %p, want a multiple of %d", n, &b[0], to)
		}
		for i := 0; i < n; i += max(1, n/7) {
			if b[i] != 0 {
				t.Errorf("byte %d of %d is %d", i, n, b[i])
			}
		}
	}
}
