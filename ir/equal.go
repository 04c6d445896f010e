package ir

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Equal compares two modules in all that the text form says, but for IDs and the names that values prefer.
// The error tells the first difference; nil where there is none.
func Equal(a, b *Module) error {
	if a.Name != b.Name {
		return fmt.Errorf("module names %q and %q differ", a.Name, b.Name)
	}
	if err := equalDims(a.Dims, b.Dims); err != nil {
		return err
	}
	if !slices.Equal(a.States, b.States) {
		return fmt.Errorf("states %v and %v differ", a.States, b.States)
	}
	if len(a.Consts) != len(b.Consts) {
		return fmt.Errorf("%d and %d constants", len(a.Consts), len(b.Consts))
	}
	for i := range a.Consts {
		if a.Consts[i].Name != b.Consts[i].Name || !equalTensors(a.Consts[i].Tensor, b.Consts[i].Tensor) {
			return fmt.Errorf("constants #w%d %q and %q differ", i, a.Consts[i].Name, b.Consts[i].Name)
		}
	}
	if len(a.Funcs) != len(b.Funcs) {
		return fmt.Errorf("%d and %d functions", len(a.Funcs), len(b.Funcs))
	}
	for i, f := range a.Funcs {
		g := b.Funcs[i]
		if f.Name != g.Name || !slices.Equal(f.Inputs, g.Inputs) || !slices.Equal(f.Outputs, g.Outputs) {
			return fmt.Errorf("functions %q and %q differ in name, inputs or outputs", f.Name, g.Name)
		}
		c := comparer{}
		if err := c.region(f.Body, g.Body); err != nil {
			return fmt.Errorf("function %s: %w", f.Name, err)
		}
	}
	return nil
}

func equalDims(a, b *dim.Scope) error {
	if x, y := a.Names(), b.Names(); !slices.Equal(x, y) {
		return fmt.Errorf("dimensions %v and %v differ", x, y)
	}
	for _, n := range a.Names() {
		x, y := a.Info(n), b.Info(n)
		x.Step, y.Step = max(x.Step, 1), max(y.Step, 1)
		if x != y {
			return fmt.Errorf("dimension %s: %+v and %+v differ", n, x, y)
		}
	}
	if len(a.Guards) != len(b.Guards) {
		return fmt.Errorf("%d and %d guards", len(a.Guards), len(b.Guards))
	}
	for i, g := range a.Guards {
		h := b.Guards[i]
		if g.Bcast != h.Bcast || g.Why != h.Why || !dim.Equal(g.A, h.A) || !dim.Equal(g.B, h.B) {
			return fmt.Errorf("guard %d differs", i)
		}
	}
	return nil
}

func equalTensors(a, b *tensor.Tensor) bool {
	if a == b {
		return true
	}
	if a.Elem != b.Elem || !slices.Equal(a.Shape, b.Shape) || !slices.Equal(a.Str, b.Str) {
		return false
	}
	if a.Elem.IsSubByte() && a.Len() <= InlineLimit { // what fills the last byte says nothing
		for i := 0; i < a.Len(); i++ {
			if a.Bits(i) != b.Bits(i) {
				return false
			}
		}
		return true
	}
	return a.Elem == dtype.String || bytes.Equal(a.Data, b.Data)
}

// comparer maps the values of one function to those of the other.
type comparer map[*Value]*Value

func (c comparer) define(a, b *Value) error {
	if !EqualTypes(a.Type, b.Type) {
		return fmt.Errorf("types %v and %v differ", a.Type, b.Type)
	}
	if !slices.Equal(a.Is, b.Is) {
		return fmt.Errorf("names %q and %q differ", a.Is, b.Is)
	}
	if (a.Elems == nil) != (b.Elems == nil) || !dim.EqualAll(a.Elems, b.Elems) {
		return fmt.Errorf("contents %v and %v differ", a.Elems, b.Elems)
	}
	c[a] = b
	return nil
}

func (c comparer) uses(a, b []*Value) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d values", len(a), len(b))
	}
	for i := range a {
		if a[i] == nil && b[i] == nil {
			continue
		}
		if a[i] == nil || b[i] == nil || c[a[i]] != b[i] {
			return fmt.Errorf("value %d is another one", i)
		}
	}
	return nil
}

func (c comparer) region(a, b *Region) error {
	if a.Name != b.Name || len(a.Params) != len(b.Params) || len(a.Nodes) != len(b.Nodes) {
		return fmt.Errorf("regions %q and %q: %d and %d parameters, %d and %d nodes", a.Name, b.Name, len(a.Params), len(b.Params), len(a.Nodes), len(b.Nodes))
	}
	for i := range a.Params {
		if err := c.define(a.Params[i], b.Params[i]); err != nil {
			return fmt.Errorf("parameter %d: %w", i, err)
		}
	}
	for i := range a.Nodes {
		if err := c.node(a.Nodes[i], b.Nodes[i]); err != nil {
			return fmt.Errorf("node %d, %v: %w", i, a.Nodes[i], err)
		}
	}
	if err := c.uses(a.Results, b.Results); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

func (c comparer) node(a, b *Node) error {
	if a.Op != b.Op {
		return fmt.Errorf("operators %s and %s", a.Op, b.Op)
	}
	if err := c.uses(a.In, b.In); err != nil {
		return fmt.Errorf("operands: %w", err)
	}
	if len(a.Attrs) != len(b.Attrs) || len(a.Regions) != len(b.Regions) || len(a.Out) != len(b.Out) || !slices.Equal(a.Locs, b.Locs) {
		return fmt.Errorf("attributes, regions, results or locations differ: %v", b)
	}
	for i := range a.Attrs {
		if a.Attrs[i].Name != b.Attrs[i].Name || !attr.Equal(a.Attrs[i].Value, b.Attrs[i].Value) {
			return fmt.Errorf("attributes %s and %s differ", a.Attrs[i].Name, b.Attrs[i].Name)
		}
	}
	for i := range a.Regions {
		if err := c.region(a.Regions[i], b.Regions[i]); err != nil {
			return err
		}
	}
	for i := range a.Out {
		if err := c.define(a.Out[i], b.Out[i]); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
	}
	return nil
}
