package state_test

import (
	"testing"

	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/passtest"
	"github.com/llmc-go/llmc/passes/state"
)

func TestGolden(t *testing.T) {
	passtest.Golden(t, "testdata/*.txt", pass.Options{States: []string{"past.*.key=present.*.key@64", "h=hn"}}, &state.Pass)
}
