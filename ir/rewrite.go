package ir

import (
	"github.com/llmc-go/llmc/ir/dim"
)

// Rewrite rebuilds f node by node through a Builder, so that every type is inferred again, and replaces
// f's body. For each node, visit may return the values that stand for its results (built with b, reading
// operands through Mapped), or nil to copy the node. Nested regions are rebuilt first; parameters keep their
// types. Names (Is), preferred names and locations pass on to what replaces a value; a rule whose result is
// something else must return values with Is set already.
func Rewrite(m *Module, f *Func, sem Semantics, visit func(rw *Rewriter, n *Node) ([]*Value, error)) error {
	rw := &Rewriter{M: m, F: f, sem: sem, visit: visit, from: make([]*Value, f.nextVal)}
	rw.old = f.nextVal
	f.nextVal, f.nextNode = 0, 0
	body, err := rw.region(f.Body)
	if err != nil {
		return err
	}
	f.Body = body
	f.RemoveDead()
	return nil
}

// Rewriter is the state of a Rewrite.
type Rewriter struct {
	*Builder // of the region being built
	M        *Module
	F        *Func
	sem      Semantics
	visit    func(*Rewriter, *Node) ([]*Value, error)
	from     []*Value // new value by old ID
	old      int
}

// Mapped is the new value for an old one; nil stays nil.
func (rw *Rewriter) Mapped(v *Value) *Value {
	if v == nil {
		return nil
	}
	return rw.from[v.ID]
}

// MappedAll maps a list.
func (rw *Rewriter) MappedAll(l []*Value) []*Value {
	out := make([]*Value, len(l))
	for i, v := range l {
		out[i] = rw.Mapped(v)
	}
	return out
}

func (rw *Rewriter) region(r *Region) (*Region, error) {
	outer := rw.Builder
	defer func() { rw.Builder = outer }()
	nr := &Region{Name: r.Name}
	rw.Builder = NewBuilder(rw.M, rw.F, nr, rw.sem)
	for _, p := range r.Params {
		v := rw.F.AddParam(nr, p.Name, p.Type)
		v.Is, v.Elems = p.Is, p.Elems
		rw.from[p.ID] = v
	}
	for _, n := range r.Nodes {
		if err := rw.node(n); err != nil {
			return nil, err
		}
	}
	nr.Results = rw.MappedAll(r.Results)
	return nr, nil
}

func (rw *Rewriter) node(n *Node) error {
	rw.Locs = n.Locs
	out, err := rw.visit(rw, n)
	if err != nil {
		return err
	}
	if out == nil {
		if out, err = rw.Copy(n); err != nil {
			return err
		}
	}
	for i, v := range n.Out {
		if out[i] == nil {
			continue // a result that nobody reads
		}
		rw.from[v.ID] = out[i]
		PassNames(v, out[i])
	}
	return nil
}

// Copy appends the node with mapped operands and rebuilt regions.
func (rw *Rewriter) Copy(n *Node) ([]*Value, error) {
	switch n.Op {
	case OpConst:
		a, _ := n.Attrs.Get("data")
		return []*Value{rw.ConstAt(int(a.I))}, nil
	case OpDims:
		return []*Value{rw.Dims(n.Out[0].Type, n.Attrs.Dims("elems"))}, nil
	}
	regions := make([]*Region, len(n.Regions))
	for i, r := range n.Regions {
		var err error
		if regions[i], err = rw.region(r); err != nil {
			return nil, err
		}
	}
	rw.Locs = n.Locs
	return rw.redo(n, rw.MappedAll(n.In), regions)
}

// Inline appends the nodes of a nested region of the old graph to the region being built, with args (of the
// new graph) for its parameters, and returns its results.
func (rw *Rewriter) Inline(r *Region, args []*Value) ([]*Value, error) {
	for i, p := range r.Params {
		rw.from[p.ID] = args[i]
	}
	for _, n := range r.Nodes {
		if err := rw.node(n); err != nil {
			return nil, err
		}
	}
	return rw.MappedAll(r.Results), nil
}

// redo makes the node again. Late symbols of the old results stay the same symbols.
func (rw *Rewriter) redo(n *Node, in []*Value, regions []*Region) ([]*Value, error) {
	rw.Builder.like = n
	defer func() { rw.Builder.like = nil }()
	return rw.Op(n.Op, in, n.Attrs, regions...)
}

// PassNames gives the model's names of one value to the value that replaces it.
func PassNames(from, to *Value) {
	for _, name := range from.Is {
		dup := false
		for _, have := range to.Is {
			dup = dup || have == name
		}
		if !dup {
			to.Is = append(to.Is[:len(to.Is):len(to.Is)], name)
		}
	}
	if to.Name == "" {
		to.Name = from.Name
	}
}

// SubstDims replaces symbols in every type, attribute and content of the module; callers rebuild with
// Rewrite afterwards so that inference sees the new extents.
func SubstDims(m *Module, f func(string) (dim.Expr, bool)) {
	var region func(r *Region)
	value := func(v *Value) {
		v.Type = substType(v.Type, f)
		if v.Elems != nil {
			v.Elems = dim.SubstAll(v.Elems, f)
		}
	}
	region = func(r *Region) {
		for _, p := range r.Params {
			value(p)
		}
		for _, n := range r.Nodes {
			for i := range n.Attrs {
				if n.Attrs[i].Dims != nil {
					n.Attrs[i].Dims = dim.SubstAll(n.Attrs[i].Dims, f)
				}
			}
			for _, v := range n.Out {
				value(v)
			}
			for _, in := range n.Regions {
				region(in)
			}
		}
	}
	for _, fn := range m.Funcs {
		region(fn.Body)
	}
}

func substType(t Type, f func(string) (dim.Expr, bool)) Type {
	if t.Shape != nil {
		t.Shape = dim.SubstAll(t.Shape, f)
	}
	if t.Of != nil {
		of := substType(*t.Of, f)
		t.Of = &of
	}
	return t
}
