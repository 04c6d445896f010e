package main

import (
	"strings"
	"testing"
)

// The operators of com.microsoft give what ONNX Runtime gives, in both engines.
func TestMicrosoftOperators(t *testing.T) {
	for _, engine := range []string{"compiled", "eval"} {
		got := ok(t, "test", "--engine", engine, "../../testdata/microsoft.zip")
		if !strings.HasSuffix(got, "conformance: 86 passed, 0 failed, 0 skipped\n") {
			t.Errorf("%s: %s", engine, got)
		}
	}
}
