package npy

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/llmc-go/llmc/ir/tensor"
)

// ErrTooLarge is what errors.Is finds where an archive holds more than its reader allows.
var ErrTooLarge = errors.New("npz too large")

// Archive is a file of arrays by name, as NumPy's savez writes it: a zip archive of NAME.npy.
type Archive struct {
	names []string
	files map[string]*zip.File
	left  int64
}

const suffix = ".npy"

// OpenArchive reads the directory of an archive. Its arrays may take limit bytes, all that are read together: a
// compressed file of a megabyte may stand for a gigabyte.
func OpenArchive(data []byte, limit int64) (*Archive, error) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	a := &Archive{files: map[string]*zip.File{}, left: limit}
	for _, f := range r.File {
		name, ok := strings.CutSuffix(f.Name, suffix)
		switch {
		case !ok:
			return nil, fmt.Errorf("%.80q in the archive is no array: %w", f.Name, ErrUnsupported)
		case a.files[name] != nil:
			return nil, fmt.Errorf("two arrays %.80q: %w", name, ErrMalformed)
		case f.Flags&1 != 0:
			return nil, fmt.Errorf("array %.80q is encrypted: %w", name, ErrUnsupported)
		}
		a.files[name] = f
		a.names = append(a.names, name)
	}
	return a, nil
}

// Names are those of the arrays, in the order of the file.
func (a *Archive) Names() []string { return slices.Clone(a.names) }

// Array reads one array; what it takes counts against the archive's limit. Memory follows from the bytes that are there,
// not from what the archive says of them.
func (a *Archive) Array(name string) (*tensor.Tensor, error) {
	f := a.files[name]
	if f == nil {
		return nil, fmt.Errorf("no array %.80q", name)
	}
	t, err := a.read(f)
	if err != nil {
		return nil, fmt.Errorf("array %.80q: %w", name, err)
	}
	return t, nil
}

func (a *Archive) read(f *zip.File) (*tensor.Tensor, error) {
	if f.UncompressedSize64 > uint64(max(a.left, 0)) {
		return nil, fmt.Errorf("%d bytes, of %d that are left: %w", f.UncompressedSize64, a.left, ErrTooLarge)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err) // a method of compression that is not known
	}
	defer r.Close() //nolint:errcheck // only read
	const atOnce = 16 << 20
	var b bytes.Buffer
	b.Grow(int(min(f.UncompressedSize64, atOnce)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, a.left+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if int64(b.Len()) > a.left {
		return nil, ErrTooLarge
	}
	a.left -= int64(b.Len())
	return Decode(b.Bytes())
}

// EncodeArchive writes arrays under their names, in the order of names, without compression.
func EncodeArchive(w io.Writer, names []string, arrays map[string]*tensor.Tensor) error {
	z := zip.NewWriter(w)
	for _, name := range names {
		h := &zip.FileHeader{Name: name + suffix, Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)} // the first day of zip archives
		f, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if arrays[name] == nil {
			return fmt.Errorf("no array %.80q", name)
		}
		if err := Encode(f, arrays[name]); err != nil {
			return fmt.Errorf("array %.80q: %w", name, err)
		}
	}
	return z.Close()
}
