// Command docs writes the generated parts of README.md and ARCHITECTURE.md: what stands between the lines
//
//	<!-- begin NAME -->
//	<!-- end NAME -->
//
// Its test fails where a file is not current.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/llmc-go/llmc/benchmarks/internal/section"
	"github.com/llmc-go/llmc/formats/atomicfile"
)

//go:generate go run . ../..

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	for _, d := range documents {
		if err := d.update(root); err != nil {
			fmt.Fprintln(os.Stderr, "docs:", err)
			os.Exit(1)
		}
	}
}

// document is a file with a generated part.
type document struct {
	file, part string
	body       func() (string, error)
}

var documents = []document{
	{"README.md", "operators", operators},
	{"ARCHITECTURE.md", "passes", passList},
}

func (d document) update(root string) error {
	path := filepath.Join(root, d.file)
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := d.render(string(old))
	if err != nil || text == string(old) {
		return err
	}
	return atomicfile.WriteBytes(path, []byte(text))
}

// render replaces the generated part of a text.
func (d document) render(text string) (string, error) {
	body, err := d.body()
	if err != nil {
		return "", err
	}
	text, err = section.Replace(text, d.part, body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", d.file, err)
	}
	return text, nil
}
