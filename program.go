package llmc

import (
	"io"
	"os"
	"path/filepath"
	"strings"
)

// programMagic begins an .llmc file.
const programMagic = "\x89LLMC\r\n\x1a"

// IsProgram reports whether a file is a compiled program rather than a model, by its first bytes, and by its name
// where those are missing.
func IsProgram(path string) bool {
	if strings.EqualFold(filepath.Ext(path), ".llmc") {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	var b [len(programMagic)]byte
	_, err = io.ReadFull(f, b[:])
	return err == nil && string(b[:]) == programMagic
}
