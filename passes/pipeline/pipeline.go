// Package pipeline is the list of passes and their order.
package pipeline

import (
	"github.com/llmc-go/llmc/passes/expand"
	"github.com/llmc-go/llmc/passes/fold"
	"github.com/llmc-go/llmc/passes/fuse"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/simplify"
)

// List is the pipeline, in order.
func List() []*pass.Pass {
	return []*pass.Pass{&simplify.Pass, &fold.Pass, &expand.Pass, &fuse.Pass}
}
