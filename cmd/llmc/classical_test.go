package main

import (
	"strings"
	"testing"
)

// The operators of ai.onnx.ml and those on strings, sequences and maps give what ONNX Runtime gives, in both engines.
func TestClassicalOperators(t *testing.T) {
	for _, engine := range []string{"compiled", "eval"} {
		got := ok(t, "test", "--engine", engine, "../../testdata/classical.zip")
		if !strings.HasSuffix(got, "conformance: 287 passed, 0 failed, 0 skipped\n") {
			t.Errorf("%s: %s", engine, got)
		}
	}
}
