// Package pipeline is the list of passes and its order.
package pipeline

import (
	"github.com/llmc-go/llmc/passes/expand"
	"github.com/llmc-go/llmc/passes/fold"
	"github.com/llmc-go/llmc/passes/fuse"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/raise"
	"github.com/llmc-go/llmc/passes/simplify"
	"github.com/llmc-go/llmc/passes/specialize"
	"github.com/llmc-go/llmc/passes/state"
)

// List returns the pipeline, first to last.
func List() []*pass.Pass {
	return []*pass.Pass{
		&simplify.Pass,
		&fold.Pass,
		&raise.Pass,
		&state.Pass,
		&specialize.Pass,
		&simplify.Pass,
		&fold.Pass,
		&expand.Pass,
		&fuse.Pass,
	}
}

// Reason says why a pass comes before another where no fact does.
type Reason struct {
	First, Then string
	Because     string
}

// Reasons are checked against List: some First stands before every last Then.
var Reasons = []Reason{
	{"simplify", "raise", "patterns are written for powers as products, and for values that are computed once"},
	{"fold", "raise", "a scale or an epsilon that is computed from constants must be one to be read"},
	{"raise", "simplify", "what raise leaves of reshapes and transposes around a composite joins with its neighbours"},
	{"state", "specialize", "a state's length is a symbol of the file, which may be given a value after"},
	{"specialize", "simplify", "extents that became numbers decide branches, broadcasts and shapes"},
	{"simplify", "fold", "simplify writes the arithmetic on weights that fold evaluates"},
	{"raise", "expand", "a composite that has a kernel must not have been taken apart"},
	{"fold", "fuse", "a constant that is computed would become a kernel of its own"},
}

// Named finds a pass by its name; nil where there is none.
func Named(name string) *pass.Pass {
	for _, p := range List() {
		if p.Name == name {
			return p
		}
	}
	return nil
}
