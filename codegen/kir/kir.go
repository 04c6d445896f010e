// Package kir is the kernel-level IR: what each kernel call computes, over which storage, in which order;
// never how a kernel loops inside.
//
// It is a list of groups: one anchor, one tile program, one affine map per operand. The naive loop of an
// anchor is its definition; with p a position of the Par axes and r one of the Red axes,
//
//	map       prog(in[p]) -> out[p]
//	rows      the same with reductions over r inside prog
//	contract  acc[b,m,n] = sum over k of in0[b,m,k] * in1[b,k,n]; prog(acc, in2...) -> out
//	window    acc = combine over taps r and channels of in0 (* in1); prog(acc, ...) -> out
//	attend    acc = softmax(scale * in0 . in1 + mask) . in2; prog(acc, ...) -> out
//	host      a function of ir/host
//	branch    a body per branch; loop: a body per iteration
//
// Extents, strides and offsets are expressions here, so that later stages can compare and prove; plan turns them
// into one flat dim program.
package kir

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// Module is a program before it is written.
type Module struct {
	Name    string
	Dims    *dim.Scope
	Consts  []*Const
	Entries []*Entry
}

// Const is a constant of the model, or a packed form of one.
type Const struct {
	Name   string
	Tensor *tensor.Tensor // the source
	Layout layout.Name
	Pack   *layout.Packing
}

// Buf is a piece of storage of a body.
type Buf struct {
	ID    int // dense within the body
	Kind  program.BufKind
	Elem  dtype.Type
	Shape []dim.Expr
	Const *Const
	Index int        // of the input or output
	Seen  []dim.Expr // of an end of a state: the extents that the caller sees of storage of a capacity
	Alias *Buf
	First int
	Last  int
	Name  string
	Of    *ir.Type // the type of what is no tensor
}

// Boxed reports whether b holds strings or what is no tensor.
func (b *Buf) Boxed() bool { return b.Elem == dtype.String || b.Elem == dtype.Invalid }

// NewValueBuf adds a buffer for a value of type t: a box, unless bytes hold it, or the body's inputs and outputs do.
func (b *Body) NewValueBuf(kind program.BufKind, t ir.Type, name string) *Buf {
	n := b.NewBuf(kind, t.Elem, t.Shape, name)
	if t.Kind != ir.Tensor {
		n.Of = &t
	}
	if n.Boxed() && kind == program.BufTemp {
		n.Kind = program.BufBox
	}
	return n
}

// Extents are those that the caller sees of an input or output.
func (b *Buf) Extents() []dim.Expr {
	if b.Seen != nil {
		return b.Seen
	}
	return b.Shape
}

// Count is the number of elements of b.
func (b *Buf) Count() dim.Expr { return dim.Product(b.Shape) }

// Use is a buffer seen through the space of a group.
type Use struct {
	Buf    *Buf
	Off    dim.Expr
	Stride []dim.Expr
	Via    []Via
	Shape  []dim.Expr // of the tensor seen, where the step wants it whole: host and control steps, anchor operands
}

// Via sends one axis of an operand through the integers of input operand Operand.
type Via struct {
	Operand int
	Extent  dim.Expr
	Stride  dim.Expr
}

// Axis of a group's space.
type Axis struct {
	Name   string
	Extent dim.Expr
	Red    bool
}

// Group is one step.
type Group struct {
	Anchor  anchor.Kind
	Space   []Axis
	In, Out []Use
	Prog    *tile.Program
	Dims    []dim.Expr
	Window  *anchor.WindowAttr
	Attend  *anchor.AttendAttr
	Host    string
	Attrs   attr.List
	Present []bool // host, branch, loop: which operands of the node are present
	Bodies  []*Body
	Carried int
	Masked  bool // of attend: operand 3 is a mask
	Moves   bool // the program moves bits: it is written for integers as wide as the operands
	Defs    []LateDef
	Pick    program.Pick
	Locs    []ir.Loc
	Op      string   // the IR operator, where Locs is empty
	Is      []string // the model's name of each result
}

// LateDef says that axis Axis of output (of a body: parameter) Out defines a late symbol.
type LateDef struct {
	Sym       string
	Out, Axis int
}

// Body is a list of groups with its storage.
type Body struct {
	Bufs    []*Buf
	Params  []*Buf
	Results []*Buf
	Groups  []*Group
	Defs    []LateDef
}

// NewBuf adds a buffer.
func (b *Body) NewBuf(kind program.BufKind, elem dtype.Type, shape []dim.Expr, name string) *Buf {
	n := &Buf{ID: len(b.Bufs), Kind: kind, Elem: elem, Shape: shape, Name: name}
	b.Bufs = append(b.Bufs, n)
	return n
}

// Entry is a callable function.
type Entry struct {
	Name    string
	Inputs  []string
	Outputs []string
	Body    *Body
	States  []program.State
}

// Walk calls f for every group of the body, nested ones after their group.
func (b *Body) Walk(f func(*Group)) {
	for _, g := range b.Groups {
		f(g)
		for _, n := range g.Bodies {
			n.Walk(f)
		}
	}
}

// Touches calls f for every buffer that the group reads or writes.
func (g *Group) Touches(f func(b *Buf, write bool)) {
	for i := range g.In {
		f(g.In[i].Buf, false)
	}
	for i := range g.Out {
		f(g.Out[i].Buf, true)
	}
}

// Exprs calls f for every expression of the group but those of nested bodies.
func (g *Group) Exprs(f func(dim.Expr)) {
	for _, a := range g.Space {
		f(a.Extent)
	}
	for _, l := range [2][]Use{g.In, g.Out} {
		for _, u := range l {
			f(u.Off)
			for _, s := range u.Stride {
				f(s)
			}
			for _, e := range u.Shape {
				f(e)
			}
			for _, v := range u.Via {
				f(v.Extent)
				f(v.Stride)
			}
			for _, e := range u.Buf.Shape {
				f(e)
			}
		}
	}
	for _, e := range g.Dims {
		f(e)
	}
	for _, a := range g.Attrs {
		for _, e := range a.Dims {
			f(e)
		}
	}
}
