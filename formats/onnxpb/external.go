package onnxpb

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/llmc-go/llmc/formats/mmap"
	"github.com/llmc-go/llmc/ir/dtype"
)

// external finds the bytes that external_data describes.
func (t *Tensor) external(ext ExternalResolver, elem dtype.Type, n int) ([]byte, error) {
	location, offset, length := "", int64(0), int64(-1)
	for _, e := range t.External {
		var err error
		switch e.Key {
		case "location":
			location = e.Value
		case "offset":
			offset, err = strconv.ParseInt(e.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.Value, 10, 64)
		}
		if err != nil || offset < 0 || e.Key == "length" && length < 0 {
			return nil, t.errorf(ErrMalformed, "external data: %s %s is not a size", e.Key, quote(e.Value))
		}
	}
	if elem == dtype.String {
		return nil, t.errorf(ErrMalformed, "strings in external data")
	}
	want := int64(elem.Bytes(n))
	if length < 0 {
		length = want
	}
	if err := t.checkBytes("external data", elem, n, int(min(length, int64(^uint(0)>>1)))); err != nil {
		return nil, err
	}
	if ext == nil {
		return nil, t.errorf(ErrUnsupported, "external data %s, but the model was not opened from a folder", quote(location))
	}
	b, err := ext.External(location, offset, length)
	if err != nil {
		return nil, &Error{Offset: t.Offset, Where: "tensor " + quote(t.Name), Msg: err.Error(), Kind: err}
	}
	return b, nil
}

// Folder resolves external data inside one folder, and nowhere else: the operating system is asked through
// os.Root, which follows no link and no ".." out of it. Each file is mapped once. It is safe for concurrent use.
type Folder struct {
	dir string

	mu    sync.Mutex
	root  *os.Root
	files map[string]*mmap.File
}

// NewFolder resolves relative to dir, which is opened at the first use.
func NewFolder(dir string) *Folder { return &Folder{dir: dir, files: map[string]*mmap.File{}} }

// External implements ExternalResolver. The bytes are valid until Close.
func (f *Folder) External(location string, offset, length int64) ([]byte, error) {
	name, err := localName(location)
	if err != nil {
		return nil, err
	}
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	size := int64(len(file.Data()))
	if length < 0 {
		length = size - offset
	}
	if offset < 0 || offset > size || length < 0 || length > size-offset {
		return nil, fmt.Errorf("external data %s: bytes %d+%d of a file of %d bytes: %w", quote(location), offset, length, size, ErrMalformed)
	}
	return file.Data()[offset : offset+length : offset+length], nil
}

// localName refuses every spelling that could leave the folder on any system, so that a model is judged alike on all.
func localName(location string) (string, error) {
	bad := ""
	switch {
	case location == "":
		bad = "is empty"
	case strings.ContainsRune(location, 0):
		bad = "has a NUL byte"
	case strings.ContainsRune(location, '\\'):
		bad = "has a backslash"
	case strings.HasPrefix(location, "/"), len(location) > 1 && location[1] == ':':
		bad = "is absolute"
	}
	for part := range strings.SplitSeq(location, "/") {
		if part == ".." {
			bad = `contains ".."`
		}
	}
	name := path.Clean(location)
	if bad == "" && !filepath.IsLocal(filepath.FromSlash(name)) {
		bad = "is not a local path"
	}
	if bad != "" {
		return "", fmt.Errorf("external data location %s %s: %w", quote(location), bad, ErrMalformed)
	}
	return name, nil
}

func (f *Folder) open(name string) (*mmap.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.files[name]; m != nil {
		return m, nil
	}
	if f.root == nil {
		root, err := os.OpenRoot(f.dir)
		if err != nil {
			return nil, fmt.Errorf("external data: %w", err)
		}
		f.root = root
	}
	st, err := f.root.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if !st.Mode().IsRegular() { // opening a pipe would block
		return nil, fmt.Errorf("external data %s: not a regular file: %w", quote(name), ErrMalformed)
	}
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	defer file.Close()
	m, err := mmap.Map(file)
	if err != nil {
		return nil, err
	}
	f.files[name] = m
	return m, nil
}

// Close unmaps all files; every tensor over them dies.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first error
	for name, m := range f.files {
		if err := m.Close(); err != nil && first == nil {
			first = err
		}
		delete(f.files, name)
	}
	if f.root != nil {
		if err := f.root.Close(); err != nil && first == nil {
			first = err
		}
		f.root = nil
	}
	return first
}

// File is a model file that is open: mapped and decoded. Its tensors refer to the mapping and to the folder's.
type File struct {
	*Model
	*Folder // resolves the model's external data
	Path    string
	file    *mmap.File
}

// Open maps and decodes a model file. External data is looked for in the file's own folder.
func Open(name string) (*File, error) {
	f, err := mmap.Open(name)
	if err != nil {
		return nil, err
	}
	m, err := Parse(f.Data())
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &File{Model: m, Folder: NewFolder(filepath.Dir(name)), Path: name, file: f}, nil
}

// Data is the whole file.
func (f *File) Data() []byte { return f.file.Data() }

// Close unmaps the model and its external data.
func (f *File) Close() error {
	err := f.Folder.Close()
	if e := f.file.Close(); err == nil {
		err = e
	}
	return err
}
