package main

import (
	"strings"
	"testing"
)

// Operators give what ONNX Runtime gives, in both engines: those of com.microsoft, and ways of calling standard ones that
// the published cases leave out.
func TestOperatorsAgainstRuntime(t *testing.T) {
	for file, want := range map[string]string{"microsoft": "139 passed", "standard": "83 passed"} {
		for _, engine := range []string{"compiled", "eval"} {
			got := ok(t, "test", "--engine", engine, "../../testdata/"+file+".zip")
			if !strings.HasSuffix(got, "conformance: "+want+", 0 failed, 0 skipped\n") {
				t.Errorf("%s, %s: %s", file, engine, got)
			}
		}
	}
}
