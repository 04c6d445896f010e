package main

import (
	"archive/zip"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// unpack writes a test case of an archive beside the repository's models into a folder.
func unpack(t *testing.T, archive, name string) string {
	t.Helper()
	z, err := zip.OpenReader(models + archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	part, err := fs.Sub(z, name)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, part); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every command that runs a model takes what is no tensor: maps go in here, sequences and maps come out.
func TestBoxesInEveryCommand(t *testing.T) {
	for _, name := range []string{"castmap_TO_FLOAT", "sequence_loop_2", "iris-random-forest"} {
		dir := unpack(t, "classical.zip", name)
		model, set := filepath.Join(dir, "model.onnx"), filepath.Join(dir, "test_data_set_0")
		ok(t, "run", model, "--inputs", set, "--outputs", filepath.Join(dir, "out"))
		ok(t, "bench", model, "--data", set, "--runs", "1")
		ok(t, "profile", model, "--data", set, "--time", "1ms")
		ok(t, "verify", model, "--data", set)
	}
}
