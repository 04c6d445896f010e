package mmap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/mmap"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.bin")
	want := strings.Repeat("0123456789abcdef", 1000)
	if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f.WillNeed()
	if string(f.Data()) != want {
		t.Errorf("bytes differ")
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if f.Data() != nil {
		t.Error("data after close")
	}
}

func TestOpenEdges(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := mmap.Open(empty)
	if err != nil || len(f.Data()) != 0 || f.Close() != nil {
		t.Errorf("empty file: %v", err)
	}
	if _, err := mmap.Open(dir); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("folder: got %v", err)
	}
	if _, err := mmap.Open(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("missing: got %v", err)
	}
}

func ExampleOpen() {
	name := filepath.Join(os.TempDir(), "llmc-mmap-example")
	_ = os.WriteFile(name, []byte("weights"), 0o600)
	defer os.Remove(name)
	f, err := mmap.Open(name)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	fmt.Printf("%s\n", f.Data())
	// Output: weights
}
