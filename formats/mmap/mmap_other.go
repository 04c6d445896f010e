//go:build !unix

package mmap

import (
	"io"
	"os"
)

func load(f *os.File, size int) ([]byte, bool, error) {
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if n == size {
		err = nil
	} else if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return data, false, err
}

func unload([]byte) error { return nil }

func willNeed([]byte) {}
