package specialize_test

import (
	"testing"

	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/passtest"
	"github.com/llmc-go/llmc/passes/specialize"
)

func TestGolden(t *testing.T) {
	passtest.Golden(t, "testdata/*.txt", pass.Options{Dims: map[string]int64{"B": 1, "S": 8}}, &specialize.Pass)
}
