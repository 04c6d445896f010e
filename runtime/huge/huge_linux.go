package huge

import "golang.org/x/sys/unix"

// advise asks for large pages. Refusal costs speed only.
func advise(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
