package main

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/kernelsgen/gen"
)

// TestCurrent compares every generated file with what its generator gives now, and looks for files that no generator owns.
func TestCurrent(t *testing.T) {
	root := ".."
	owned := map[string]bool{}
	for _, f := range families {
		files, err := f.files()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			owned[file.Path] = true
			got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file.Path)))
			if err != nil {
				t.Error(err)
			} else if !bytes.Equal(got, file.Data) {
				t.Errorf("%s is not what its generator writes; run go generate ./runtime/kernels/...", file.Path)
			}
		}
	}
	err := filepath.WalkDir(filepath.Join(root, "runtime"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Ext(p) != ".go" && path.Ext(p) != ".s" {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(filepath.ToSlash(p), root+"/")
		head, _, _ := bytes.Cut(text, []byte("\n\n"))
		generated := bytes.Contains(head, []byte(strings.TrimSpace(gen.Header)))
		if generated && !owned[rel] {
			t.Errorf("%s looks generated, but no generator writes it", rel)
		}
		if strings.HasSuffix(p, ".s") && !owned[rel] {
			t.Errorf("%s: assembly is generated, never written by hand", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// beyondAVX2 finds registers that the generator's allocator hands out without a word when the 16 of AVX2 are in use.
var beyondAVX2 = regexp.MustCompile(`\b([XY](1[6-9]|2[0-9]|3[01])|Z[0-9]+)\b`)

// TestPolite looks at the text of the assembly: a stack check in every prologue, upper halves cleared before every return, no register
// that the tier lacks.
func TestPolite(t *testing.T) {
	for _, f := range families {
		files, err := f.files()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file.Path, ".s") {
				continue
			}
			var last string
			for line := range strings.Lines(string(file.Data)) {
				line = strings.TrimSpace(line)
				switch {
				case strings.HasPrefix(line, "TEXT"):
					if strings.Contains(line, "NOSPLIT") || !strings.Contains(line, "$128") {
						t.Errorf("%s: %s: want a frame of 128 bytes and no NOSPLIT", file.Path, line)
					}
				case strings.HasSuffix(file.Path, "_avx2_amd64.s") && beyondAVX2.MatchString(line):
					t.Errorf("%s: %s: a register that only AVX-512 has", file.Path, line)
				case line == "RET" && last != "VZEROUPPER" && last != "PAUSE":
					t.Errorf("%s: RET after %s, want VZEROUPPER", file.Path, last)
				}
				if line != "" {
					last = line
				}
			}
		}
	}
}
