// Package atomicfile writes files all or nothing.
package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Write writes a file of what write writes: a temporary file in the same folder takes the name once it is complete and on disk.
// Where anything fails, or ctx ends, the old file stays as it was. What is no regular file, such as a pipe, is written to as it is.
func Write(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	if st, serr := os.Stat(path); serr == nil && !st.Mode().IsRegular() {
		return writeTo(ctx, path, write)
	}
	if target, lerr := filepath.EvalSymlinks(path); lerr == nil { // the file that the name stands for, not the link
		path = target
	}
	f, err := createTemp(path)
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			p.Path = path // whose name the user knows
		}
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := write(&writer{ctx, f}); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if d, derr := os.Open(filepath.Dir(path)); derr == nil { // the new name, too, should survive a crash; not every system can
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

// WriteBytes writes a file of data like Write.
func WriteBytes(path string, data []byte) error {
	return Write(context.Background(), path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func writeTo(ctx context.Context, path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = write(&writer{ctx, f})
	return errors.Join(err, f.Close())
}

// createTemp makes a file of a new name beside path, with the rights that a plain file would get.
func createTemp(path string) (*os.File, error) {
	for i := range 10000 {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d-%d.tmp", filepath.Base(path), os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("no free temporary name beside %s", path)
}

type writer struct {
	ctx context.Context
	w   io.Writer
}

func (c *writer) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}
