// Command kernelsgen writes the assembly kernels and their tables. It is run by `go generate ./runtime/kernels/...`.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/llmc-go/llmc/kernelsgen/gemm"
	"github.com/llmc-go/llmc/kernelsgen/gen"
	"github.com/llmc-go/llmc/kernelsgen/pool"
	"github.com/llmc-go/llmc/kernelsgen/roof"
	"github.com/llmc-go/llmc/kernelsgen/tiled"
	"github.com/llmc-go/llmc/kernelsgen/window"
)

// families lists the generators, one for each package that holds assembly.
var families = []struct {
	dir   string
	files func() ([]gen.File, error)
}{
	{"runtime/kernels/attend", tiled.AttendFiles},
	{"runtime/kernels/gemm", gemm.Files},
	{"runtime/kernels/roof", roof.Files},
	{"runtime/kernels/tiled", tiled.Files},
	{"runtime/kernels/window", window.Files},
	{"runtime/pool", pool.Files},
}

func main() {
	root := flag.String("root", ".", "root of the repository")
	flag.Parse()
	if err := write(*root); err != nil {
		fmt.Fprintln(os.Stderr, "kernelsgen:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	for _, f := range families {
		files, err := f.files()
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(file.Path)), file.Data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
