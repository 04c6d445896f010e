package exec

import "golang.org/x/sys/unix"

// hugePages asks for pages of 2 MiB under b: weights are read from end to end in every run, and with 4 KiB pages one
// processor waits for translations. Refusal costs speed only.
func hugePages(b []byte) {
	if b = align(b, hugePage); len(b) >= hugePage {
		_ = unix.Madvise(b[:len(b)&^(hugePage-1)], unix.MADV_HUGEPAGE)
	}
}
