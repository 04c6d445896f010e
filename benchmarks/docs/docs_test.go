package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCurrent(t *testing.T) {
	for _, d := range documents {
		old, err := os.ReadFile(filepath.Join("..", "..", d.file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := d.render(string(old))
		if err != nil {
			t.Fatal(err)
		}
		if text != string(old) {
			t.Errorf("%s is not current: run go generate ./benchmarks/docs", d.file)
		}
	}
}

func TestRenderNeedsMarkers(t *testing.T) {
	for _, text := range []string{"", "<!-- begin operators -->\n", "<!-- end operators -->\n"} {
		if _, err := documents[0].render(text); err == nil {
			t.Errorf("%q has no generated part, and is rendered", text)
		}
	}
}
