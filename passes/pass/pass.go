// Package pass is what a pass is, the runner that executes a list of them, and what passes share: local
// rewrite rules and patterns.
//
// The runner checks structure and types after every pass and proves again every fact in force, so that a
// pass is checked by what it leaves behind, not by what it says.
package pass

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/op"
)

// Pass is one step of the pipeline.
type Pass struct {
	Name  string // stable, because flags, dumps and goldens use it
	Doc   string // one sentence
	Needs Facts  // must hold before
	Gives Facts  // proved after
	Drops Facts  // may be false after; all other facts must survive
	Run   func(*Context, *ir.Module) error
}

// Options is what a caller may ask of passes. The zero value changes no signature.
type Options struct {
	// Dims gives symbols a value.
	Dims map[string]int64
	// States names input and output pairs that become states: "auto", or "past.*=present.*", where each * of the
	// output stands for what the same * of the input matched.
	States []string
}

// Context is what a pass may read. All of it is set.
type Context struct {
	Sem     ir.Semantics
	Table   *op.Table
	Target  *op.Target
	Options Options
	Log     func(format string, args ...any)
}

// Logf reports what a pass did, where somebody listens.
func (c *Context) Logf(format string, args ...any) {
	if c.Log != nil {
		c.Log(format, args...)
	}
}

// Classify says how the target carries out a node.
func (c *Context) Classify(m *ir.Module, n *ir.Node) (op.Step, *op.Form, error) {
	return c.Table.Classify(m, n, c.Target)
}
