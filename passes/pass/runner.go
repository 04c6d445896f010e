package pass

import (
	"fmt"
	"time"

	"github.com/llmc-go/llmc/ir"
)

// Runner executes passes in order.
type Runner struct {
	// Verify checks structure and types of a module; ir/verify has it.
	Verify func(*ir.Module, ir.Semantics) error
	// After, if not nil, is told of every pass that ran.
	After func(Event)
}

// Event is what one pass did.
type Event struct {
	Pass    *Pass
	Index   int // position in the list, from 0
	Module  *ir.Module
	Changed bool
	Before  int // nodes, those of regions included
	Nodes   int // after
	Took    time.Duration
	Checked time.Duration // verification
	Facts   Facts         // in force after the pass
}

// Error names the pass after which something was wrong.
type Error struct {
	Pass string
	Err  error
}

func (e *Error) Error() string { return "pass " + e.Pass + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Run executes the list on m. have are the facts that hold at the start.
func (r *Runner) Run(c *Context, m *ir.Module, list []*Pass, have Facts) (Facts, error) {
	var print uint64
	if r.After != nil {
		print = Fingerprint(m)
	}
	for i, p := range list {
		if missing := p.Needs &^ have; missing != 0 {
			return have, &Error{p.Name, fmt.Errorf("needs %v, which does not hold", missing)}
		}
		ev := Event{Pass: p, Index: i, Module: m, Before: CountNodes(m)}
		start := time.Now()
		if err := p.Run(c, m); err != nil {
			return have, &Error{p.Name, err}
		}
		ev.Took = time.Since(start)
		have = have&^p.Drops | p.Gives
		start = time.Now()
		if err := r.prove(c, m, have); err != nil {
			return have, &Error{p.Name, err}
		}
		ev.Checked = time.Since(start)
		if r.After != nil {
			now := Fingerprint(m)
			ev.Changed, print = now != print, now
			ev.Nodes, ev.Facts = CountNodes(m), have
			r.After(ev)
		}
	}
	return have, nil
}

// prove checks structure and every fact of the set.
func (r *Runner) prove(c *Context, m *ir.Module, have Facts) error {
	if have&^allFacts != 0 || have&Layouted != 0 {
		return fmt.Errorf("no proof of %v", have)
	}
	for _, p := range proofs {
		// Structure is checked whatever is claimed, and that includes types.
		if have&p.fact == 0 && p.fact != Typed {
			continue
		}
		if err := p.run(r, c, m); err != nil {
			return fmt.Errorf("%v does not hold after it: %w", p.fact, err)
		}
	}
	return nil
}

// Prove finds the facts that hold of m, as a parsed file needs them.
func (r *Runner) Prove(c *Context, m *ir.Module) Facts {
	var have Facts
	for _, p := range proofs {
		if p.run(r, c, m) == nil {
			have |= p.fact
		}
	}
	return have
}

// CountNodes counts the nodes of all entries, those of nested regions included, but not constants.
func CountNodes(m *ir.Module) int {
	n := 0
	for _, f := range m.Funcs {
		f.Body.Walk(func(x *ir.Node) {
			if x.Op != ir.OpConst && x.Op != ir.OpDims {
				n++
			}
		})
	}
	return n
}
