// Package ir is what a program is: typed SSA with symbolic shapes and regions. To this package an operator
// is a name; what operators mean arrives as a Semantics.
//
// Tensors are immutable and nodes are pure. A region sees only its parameters: what it needs from outside is
// an operand of its node. Values and nodes carry dense integer IDs within their Func, so that side tables
// are slices.
package ir

import (
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Kind is the kind of a value.
type Kind = tensor.Kind

// The kinds.
const (
	Tensor   = tensor.KindTensor
	Sequence = tensor.KindSequence
	Optional = tensor.KindOptional
	Map      = tensor.KindMap
)

// AnyExtent is the symbol of an extent that may be another for every element of a box: seq(f32[any_extent, 3]).
// Nothing binds it.
const AnyExtent = "any_extent"

// Type is the type of a value. Elem and Shape belong to tensors, Of to the other kinds, Key to maps. Layout
// is "" for row-major. Open says of what a box holds that it may have any rank, Empty besides that the box holds none.
type Type struct {
	Kind   Kind
	Elem   dtype.Type
	Shape  []dim.Expr
	Open   bool
	Empty  bool
	Of     *Type
	Key    dtype.Type
	Layout string
}

// TensorType makes a tensor type.
func TensorType(elem dtype.Type, shape ...dim.Expr) Type { return Type{Elem: elem, Shape: shape} }

// String is the text form: f32[B, 64], seq(f32[3]), seq(any(f32)), seq(none(f32)), opt(...), map(i64, f32[]).
func (t Type) String() string {
	switch t.Kind {
	case Sequence:
		return "seq(" + t.Of.String() + ")"
	case Optional:
		return "opt(" + t.Of.String() + ")"
	case Map:
		return "map(" + t.Key.String() + ", " + t.Of.String() + ")"
	}
	if t.Empty {
		return "none(" + t.Elem.String() + ")"
	}
	if t.Open {
		return "any(" + t.Elem.String() + ")"
	}
	s := make([]string, len(t.Shape))
	for i, e := range t.Shape {
		s[i] = e.Key()
	}
	l := ""
	if t.Layout != "" {
		l = " :" + t.Layout
	}
	return t.Elem.String() + "[" + strings.Join(s, ", ") + "]" + l
}

// EqualTypes compares two types.
func EqualTypes(a, b Type) bool {
	if a.Kind != b.Kind || a.Elem != b.Elem || a.Key != b.Key || a.Layout != b.Layout || a.Open != b.Open || a.Empty != b.Empty || (a.Of == nil) != (b.Of == nil) {
		return false
	}
	return dim.EqualAll(a.Shape, b.Shape) && (a.Of == nil || EqualTypes(*a.Of, *b.Of))
}

// Loc is a place in the model a node came from.
type Loc struct {
	File  string
	Index int    // of the node in its graph
	Name  string // of the node, or of its first output
	Op    string // as the model spells it
}

// String is the text form without quotes: file#index:name.
func (l Loc) String() string { return fmt.Sprintf("%s#%d:%s", l.File, l.Index, l.Name) }

// Value is defined once: by a node, or as a parameter of a region (Def is nil then).
type Value struct {
	ID    int
	Name  string // preferred name in the text form; may repeat or be empty
	Type  Type
	Def   *Node
	Index int        // among Def.Out or the region's Params
	Is    []string   // the model's names for exactly this value
	Elems []dim.Expr // contents of a small integer or bool tensor in row-major order, where known
}

// Rank is the number of axes.
func (v *Value) Rank() int { return len(v.Type.Shape) }

// Node applies an operator.
type Node struct {
	ID      int
	Op      string
	In      []*Value // nil is an absent optional operand
	Attrs   attr.List
	Regions []*Region
	Out     []*Value
	Locs    []Loc
}

// Region is a list of nodes in dominance order with parameters and results.
type Region struct {
	Name    string
	Params  []*Value
	Nodes   []*Node
	Results []*Value
}

// Func is an entry of a module. The names of parameters and results are those of the model's inputs and
// outputs.
type Func struct {
	Name     string
	Body     *Region
	Inputs   []string
	Outputs  []string
	nextVal  int
	nextNode int
}

// Const is an entry of the constant table. The tensor is shared with the model's file, never copied.
type Const struct {
	Name   string // the model's name, if any
	Tensor *tensor.Tensor
}

// State is an input and an output of the main entry that are one buffer from run to run: the output becomes the input of
// the next run. The graph stays as it is.
type State struct {
	Input, Output string
	Axis          int   // along which the output is the input and more behind it; -1 where both have one shape
	Cap           int64 // extent to reserve along Axis; 0 where nothing bounds it, and where Axis is -1
}

// Module is a program: entries over shared constants and symbols.
type Module struct {
	Name   string
	Dims   *dim.Scope
	States []State
	Consts []Const
	Funcs  []*Func
}

// NewModule returns an empty module.
func NewModule(name string) *Module { return &Module{Name: name, Dims: dim.NewScope()} }

// Main returns the entry "main", or the first.
func (m *Module) Main() *Func {
	for _, f := range m.Funcs {
		if f.Name == "main" {
			return f
		}
	}
	if len(m.Funcs) > 0 {
		return m.Funcs[0]
	}
	return nil
}

// NewFunc adds an empty entry.
func (m *Module) NewFunc(name string) *Func {
	f := &Func{Name: name, Body: &Region{}}
	m.Funcs = append(m.Funcs, f)
	return f
}

// AddConst appends to the constant table and returns the index.
func (m *Module) AddConst(name string, t *tensor.Tensor) int {
	m.Consts = append(m.Consts, Const{name, t})
	return len(m.Consts) - 1
}

// ConstOf returns the tensor where v is a constant, else nil.
func (m *Module) ConstOf(v *Value) *tensor.Tensor {
	if v == nil || v.Def == nil || v.Def.Op != OpConst {
		return nil
	}
	a, ok := v.Def.Attrs.Get("data")
	if !ok || a.Kind != attr.Const || a.I < 0 || a.I >= int64(len(m.Consts)) {
		return nil
	}
	return m.Consts[a.I].Tensor
}

// The operators that this package makes itself: a constant (attribute data), and a small integer tensor
// whose elements are expressions over symbols (attribute elems).
const (
	OpConst = "const"
	OpDims  = "dims"
)

// NewValue makes a value with the next ID.
func (f *Func) NewValue(name string, t Type) *Value {
	v := &Value{ID: f.nextVal, Name: name, Type: t}
	f.nextVal++
	return v
}

// NewNode makes a node with the next ID.
func (f *Func) NewNode(op string) *Node {
	n := &Node{ID: f.nextNode, Op: op}
	f.nextNode++
	return n
}

// NumValues is one more than the largest value ID.
func (f *Func) NumValues() int { return f.nextVal }

// NumNodes is one more than the largest node ID.
func (f *Func) NumNodes() int { return f.nextNode }

// AddParam appends a parameter to a region of f.
func (f *Func) AddParam(r *Region, name string, t Type) *Value {
	v := f.NewValue(name, t)
	v.Index = len(r.Params)
	r.Params = append(r.Params, v)
	return v
}

// Walk calls fn for every node of the region and, before it, of its nested regions.
func (r *Region) Walk(fn func(*Node)) {
	for _, n := range r.Nodes {
		for _, in := range n.Regions {
			in.Walk(fn)
		}
		fn(n)
	}
}

// Count is the number of nodes, nested ones included.
func (r *Region) Count() int {
	c := 0
	r.Walk(func(*Node) { c++ })
	return c
}

// Uses counts how often each value (by ID) is read in the region and nested ones; results count.
func (f *Func) Uses() []int {
	uses := make([]int, f.nextVal)
	var visit func(r *Region)
	visit = func(r *Region) {
		for _, n := range r.Nodes {
			for _, v := range n.In {
				if v != nil {
					uses[v.ID]++
				}
			}
			for _, in := range n.Regions {
				visit(in)
			}
		}
		for _, v := range r.Results {
			uses[v.ID]++
		}
	}
	visit(f.Body)
	return uses
}

// RemoveDead drops nodes none of whose results are used, nested regions included, and reports how many. A node that
// gives an extent its value, which others mention, is used.
func (f *Func) RemoveDead() int {
	uses := f.Uses()
	removed := 0
	extents := map[string]bool{} // symbols that nodes which stay mention
	var visit func(r *Region)
	visit = func(r *Region) {
		keep := make([]bool, len(r.Nodes))
		for i := len(r.Nodes) - 1; i >= 0; i-- {
			n := r.Nodes[i]
			for _, o := range n.Out {
				keep[i] = keep[i] || uses[o.ID] > 0
			}
			keep[i] = keep[i] || n.defines(extents)
			if keep[i] {
				n.mentions(func(s string) { extents[s] = true })
				for _, in := range n.Regions {
					visit(in)
				}
				continue
			}
			removed++
			drop(n, uses)
		}
		out := r.Nodes[:0]
		for i, n := range r.Nodes {
			if keep[i] {
				out = append(out, n)
			}
		}
		clear(r.Nodes[len(out):])
		r.Nodes = out
	}
	visit(f.Body)
	return removed
}

// mentions calls fn with the symbols of a node's attributes and results.
func (n *Node) mentions(fn func(string)) {
	for i := range n.Attrs {
		walkAll(n.Attrs[i].Dims, fn)
	}
	for _, v := range n.Out {
		walkAll(v.Type.Shape, fn)
	}
}

// defines reports whether one of the symbols gets its value from n: it stands in the type of a result, and neither in an
// attribute nor in what is known of an operand.
func (n *Node) defines(symbols map[string]bool) bool {
	var own []string
	for _, v := range n.Out {
		walkAll(v.Type.Shape, func(s string) {
			if symbols[s] {
				own = append(own, s)
			}
		})
	}
	if own == nil {
		return false
	}
	given := map[string]bool{}
	see := func(s string) { given[s] = true }
	for i := range n.Attrs {
		walkAll(n.Attrs[i].Dims, see)
	}
	for _, v := range n.In {
		if v != nil {
			walkAll(v.Type.Shape, see)
			walkAll(v.Elems, see)
		}
	}
	for _, s := range own {
		if !given[s] {
			return true
		}
	}
	return false
}

func walkAll(l []dim.Expr, fn func(string)) {
	for _, e := range l {
		e.Walk(fn)
	}
}

// drop takes back the uses that a dead node makes.
func drop(n *Node, uses []int) {
	for _, v := range n.In {
		if v != nil {
			uses[v.ID]--
		}
	}
	for _, r := range n.Regions {
		for _, m := range r.Nodes {
			drop(m, uses)
		}
		for _, v := range r.Results {
			uses[v.ID]--
		}
	}
}
