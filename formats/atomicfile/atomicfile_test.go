package atomicfile_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/atomicfile"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := atomicfile.WriteBytes(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Fatalf("holds %q, %v; want %q", got, err, text)
	}
}

// A write that fails, or is given up, leaves the old file and nothing beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	write(t, path, "one")
	write(t, path, "two")
	no := errors.New("no")
	if err := atomicfile.Write(context.Background(), path, func(w io.Writer) error {
		_, _ = w.Write([]byte("thr"))
		return no
	}); !errors.Is(err, no) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := atomicfile.Write(ctx, path, func(w io.Writer) error {
		_, err := w.Write([]byte("thr"))
		cancel()
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := atomicfile.WriteBytes(filepath.Join(dir, "none", "a"), nil); !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "two" {
		t.Errorf("holds %q, %v", got, err)
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) != 1 {
		t.Errorf("%v beside it, %v", l, err)
	}
}

// A link stays a link, and what is no file is written to.
func TestWriteElsewhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need rights there")
	}
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, path, "one")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	write(t, link, "two")
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v, %v: want a link", st, err)
	}
	if got, _ := os.ReadFile(path); string(got) != "two" {
		t.Errorf("the file behind the link holds %q", got)
	}
	if err := atomicfile.WriteBytes(os.DevNull, []byte("x")); err != nil {
		t.Error(err)
	}
}
