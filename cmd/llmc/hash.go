package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
)

// fileHash is the SHA-256 of a file.
func fileHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", pathError(err)
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", pathError(err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
