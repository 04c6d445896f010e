// Package mmap maps files read-only into memory: opening costs the same for a kilobyte and for fifty gigabytes,
// and processes that open the same file share its pages. Where the system has no mapping the file is read.
//
// A mapped file must not be shortened by others while it is open: touching a page past the new end is a fault
// that no Go code can turn into an error.
package mmap

import (
	"fmt"
	"math"
	"os"
)

// File is an open mapping.
type File struct {
	data   []byte
	mapped bool
}

// Open maps the named file. It must be a regular file: a pipe or a device would block or never end.
func Open(name string) (*File, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := regular(name, st); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Map(f)
}

// Map maps an open file from its beginning; the mapping outlives f, which the caller closes.
func Map(f *os.File) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(f.Name(), st); err != nil {
		return nil, err
	}
	if st.Size() > math.MaxInt {
		return nil, fmt.Errorf("%s: %d bytes are more than the address space", f.Name(), st.Size())
	}
	if st.Size() == 0 {
		return &File{}, nil
	}
	data, mapped, err := load(f, int(st.Size()))
	if err != nil {
		return nil, fmt.Errorf("%s: map %d bytes: %w", f.Name(), st.Size(), err)
	}
	return &File{data: data, mapped: mapped}, nil
}

func regular(name string, st os.FileInfo) error {
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: want a regular file, got mode %s", name, st.Mode().Type())
	}
	return nil
}

// Data is the file's bytes: read-only memory, valid until Close. Writing to it is a fault.
func (f *File) Data() []byte { return f.data }

// Mapped reports whether the bytes are file pages rather than a copy on the heap.
func (f *File) Mapped() bool { return f.mapped }

// WillNeed asks the system to read the file ahead; a hint only.
func (f *File) WillNeed() {
	if f.mapped {
		willNeed(f.data)
	}
}

// Close unmaps. Every slice of Data dies with it. Closing twice is harmless.
func (f *File) Close() error {
	data, mapped := f.data, f.mapped
	f.data, f.mapped = nil, false
	if !mapped {
		return nil
	}
	return unload(data)
}
