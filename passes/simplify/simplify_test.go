package simplify_test

import (
	"testing"

	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/passtest"
	"github.com/llmc-go/llmc/passes/simplify"
)

func TestGolden(t *testing.T) {
	passtest.Golden(t, "testdata/*.txt", pass.Options{}, &simplify.Pass)
}
