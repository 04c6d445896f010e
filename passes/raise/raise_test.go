package raise_test

import (
	"testing"

	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/passtest"
	"github.com/llmc-go/llmc/passes/raise"
)

func TestGolden(t *testing.T) {
	passtest.Golden(t, "testdata/*.txt", pass.Options{}, &raise.Pass)
}
