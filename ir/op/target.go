package op

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Target is what passes need to know of a target: the anchors that it has kernels for and, for each, the
// element types that operands and results may have. Views, concats, host functions and control flow need no
// kernel and are taken everywhere.
type Target struct {
	Name    string
	Anchors []AnchorElems
}

// AnchorElems says which element types one anchor takes.
type AnchorElems struct {
	Anchor anchor.Kind
	In     Elems
	Out    Elems
}

// Takes reports whether the target has a kernel for a form, or the form needs none.
func (t *Target) Takes(f *Form) bool {
	if f.Views != nil || f.Concat {
		return true
	}
	for _, a := range t.Anchors {
		if a.Anchor == f.Anchor {
			return f.elems(a)
		}
	}
	return false
}

func (f *Form) elems(a AnchorElems) bool {
	for i, v := range f.N.In {
		if v != nil && i < len(f.Maps) && f.Maps[i] != nil && !(v.Type.Kind == ir.Tensor && a.In.Has(v.Type.Elem)) {
			return false
		}
	}
	for i, v := range f.N.Out {
		if k := f.Out(i); k < len(f.Maps) && f.Maps[k] != nil && !a.Out.Has(v.Type.Elem) {
			return false
		}
	}
	return true
}

// Step is how the compiler carries out a node.
type Step uint8

// The steps, in the order in which they are tried.
const (
	NoStep    Step = iota // nothing says how
	Held                  // a constant or dims: storage, no work
	Control               // a node with regions: branch, loop, group
	Viewed                // a view: no work, an operand seen differently
	Joined                // a concat: its writers write into parts of one buffer
	Kernel                // a group of the target
	Composite             // to be expanded
	Hosted                // a host function
)

// Classify says how a node is carried out on a target, with its form for Viewed, Joined and Kernel.
func (t *Table) Classify(m *ir.Module, n *ir.Node, target *Target) (Step, *Form, error) {
	if n.Op == ir.OpConst || n.Op == ir.OpDims {
		return Held, nil, nil
	}
	if len(n.Regions) > 0 {
		return Control, nil, nil
	}
	d := t.Def(n.Op)
	if d == nil {
		return NoStep, nil, n.Errorf(ir.ErrUnsupported, "operator %q is not known", n.Op)
	}
	if d.Form != nil {
		f := &Form{Node: Node{M: m, N: n}}
		err := d.Form(f)
		switch {
		case err == nil && f.Views != nil:
			return Viewed, f, nil
		case err == nil && f.Concat:
			return Joined, f, nil
		case err == nil && target.Takes(f):
			return Kernel, f, nil
		case err != nil && !errors.Is(err, ErrNoForm):
			return NoStep, nil, fmt.Errorf("form of %s: %w", n.Op, err)
		}
	}
	switch {
	case d.Expand != nil && (d.Host.Run == nil || t.expands(m, d, n)):
		return Composite, nil, nil
	case d.Host.Run != nil:
		return Hosted, nil, nil
	}
	return NoStep, nil, nil
}

// expands tries the definition of a node on a module of its own: a definition may refuse, with ErrNoForm, what the host
// function does.
func (t *Table) expands(m *ir.Module, d *Def, n *ir.Node) bool {
	scratch := &ir.Module{Dims: m.Dims.Clone(), Consts: m.Consts[:len(m.Consts):len(m.Consts)]}
	f := scratch.NewFunc(n.Op)
	in := make([]*ir.Value, len(n.In))
	for i, v := range n.In {
		if v != nil {
			in[i] = f.AddParam(f.Body, v.Name, v.Type)
			in[i].Elems = v.Elems
		}
	}
	b := NewBuild(ir.NewBuilder(scratch, f, f.Body, noFold{t}), n, in)
	_, err := d.Expand(b)
	return !errors.Is(err, ErrNoForm) && !errors.Is(b.Err(), ErrNoForm)
}

// noFold is a Table as Semantics that folds nothing.
type noFold struct{ *Table }

func (noFold) Fold(*ir.Module, *ir.Node, []*tensor.Tensor) ([]*tensor.Tensor, bool) {
	return nil, false
}
