// Package program is the compiled form of a model: plain structs that the compiler fills and the runtime
// executes, and their file format (.llmc, a FlatBuffer with page-aligned weight sections).
//
// Every extent, stride and offset is a reference into one dim program over the model's symbols, so that one
// Program serves all input shapes. Strides and offsets count elements.
package program

import (
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
)

// Program is a compiled model. It is immutable once made.
type Program struct {
	Dims    dim.Program
	Symbols []Symbol // one per Dims.Syms
	Guards  []Guard
	Consts  []Const
	Progs   []tile.Program
	Entries []Entry
	Prov    Provenance
}

// Provenance says where a program came from.
type Provenance struct {
	Model   string // base name of the model's file
	Hash    string // SHA-256 of the model file, hexadecimal
	Version string // of the compiler
	Options string // that changed the result, as flags
	Tier    string // the ISA tier that layouts were chosen for
	Nodes   int    // nodes of the model's graph
	Notes   []string
}

// Symbol is what is known of a symbol of the dim program.
type Symbol struct {
	Lo, Hi, Step int64
	Late         bool // known only while running
}

// Guard is checked when symbols are bound: A = B, or, where Bcast is set, one of them is 1.
type Guard struct {
	A, B  dim.Ref
	Bcast bool
	Why   string
}

// Const is a constant in the layout that its readers want.
type Const struct {
	Name   string
	Elem   dtype.Type
	Shape  []int // logical
	Layout layout.Name
	Data   []byte          // as stored: a view of the program's or the model's file
	Pack   *layout.Packing // where set, Data is still the source and is packed when the program is written or loaded
}

// BufKind says what owns a buffer.
type BufKind uint8

// The kinds. A Temp is placed in the arena; Heap is a buffer whose size is known only while running; a Box holds a
// value beside them that only host and control steps touch.
const (
	BufInvalid BufKind = iota
	BufConst
	BufInput
	BufOutput
	BufTemp
	BufHeap
	BufBox
	numBufKinds
)

// Buf is a piece of storage of a body.
type Buf struct {
	Kind  BufKind
	Elem  dtype.Type // Invalid for what is no tensor
	Shape []dim.Ref  // row-major extents
	Count dim.Ref    // elements
	Index int32      // of the constant, input (parameter) or output (result)
	Alias int32      // the buffer whose storage this one takes over, or -1
	First int32      // step that first writes it; -1 from the start
	Last  int32      // step that last touches it; the number of steps where it is a result
	Name  string     // the model's name of the value, for messages and verify
}

// Boxed reports whether the buffer holds strings or a value that is no tensor, instead of bytes.
func (b *Buf) Boxed() bool { return b.Elem == dtype.String || b.Elem == dtype.Invalid }

// Via sends one axis of an operand through integers: the offset is Index[...] * Stride, the index lies in
// [-Extent, Extent).
type Via struct {
	Operand int32 // number of the input operand that holds the indices
	Extent  dim.Ref
	Stride  dim.Ref
}

// Use is a buffer seen through the space of a step: Off + sum over axes of position * Stride.
type Use struct {
	Buf    int32
	Off    dim.Ref
	Stride []dim.Ref
	Via    []Via
	Shape  []dim.Ref // of the tensor seen, where the step wants it whole: host and control steps, anchor operands
}

// Axis of a step's space.
type Axis struct {
	Name   string
	Extent dim.Ref
	Red    bool
}

// Attr is an attribute of a host step; Dims are evaluated and arrive at the function as Ints.
type Attr struct {
	Name  string
	Value attr.Value
	Dims  []dim.Ref
}

// LateDef binds a late symbol to an extent of one of a step's outputs, or of a body's parameter.
type LateDef struct {
	Sym  int32
	Out  int32
	Axis int32
}

// Step is one kernel call, control construct or host function.
type Step struct {
	Anchor  anchor.Kind
	Space   []Axis
	In      []Use
	Out     []Use
	Prog    int32 // index in Progs, or -1
	Dims    []dim.Ref
	Window  *anchor.WindowAttr
	Attend  *anchor.AttendAttr
	Host    string // name of the function of a host step
	Attrs   []Attr
	Bodies  []Body // then and else of a branch; the body of a loop
	Carried int32  // of a loop: values carried between iterations
	Present []bool // host, branch, loop: which of the model's operands are present; In holds those only
	Masked  bool   // of attend: operand 3 is a mask
	Moves   bool   // the program moves bits: it is written for integers as wide as the operands
	Late    bool   // some reference depends on a late symbol
	Defs    []LateDef
	Pick    Pick
	Node    string   // the model's node, for messages
	Op      string   // as the model spells it
	Is      []string // the model's names of the values that Out holds, in order; "" for none
	Locs    []string // every model node that went into it
}

// Pick is what schedule decided for a step.
type Pick struct {
	Rows []string // admissible kernel rows, best first: hints
}

// Body is a list of steps with storage of its own.
type Body struct {
	Bufs    []Buf
	Params  []int32 // buffers of the parameters, in order
	Results []int32 // buffers of the results
	Steps   []Step
	Defs    []LateDef // late symbols that parameters define: Out is the parameter
}

// Bind finds a symbol from an input's extent: symbol = (extent - Rest) / Coef.
type Bind struct {
	Sym   int32
	Input int32
	Axis  int32
	Rest  dim.Ref
	Coef  int64
}

// IO is an input or output of an entry.
type IO struct {
	Name  string
	Elem  dtype.Type // Invalid for what is no tensor
	Shape []dim.Ref
	Text  []string // extents as expressions, for people; of what is no tensor, its type
}

// Entry is a function that can be called.
type Entry struct {
	Name    string
	Inputs  []IO
	Outputs []IO
	Binds   []Bind
	Body    Body
	States  []State
}

// State is a donated pair: the input that carries the old value and the output that carries the new one
// share one storage of a capacity.
type State struct {
	Input, Output int32
	Axis          int32 // along which it grows
}

// Tensor views a constant's stored bytes; those of strings, which must be valid, are copied.
func (c *Const) Tensor() *tensor.Tensor {
	if n, ok := tensor.Count(c.Shape); ok && c.Elem == dtype.String {
		s, _ := DecodeStrings(c.Data, n)
		return &tensor.Tensor{Elem: c.Elem, Shape: c.Shape, Str: s}
	}
	return &tensor.Tensor{Elem: c.Elem, Shape: c.Shape, Data: c.Data}
}

// CloneTile copies a tile program, so that a reader may renumber its operands.
func CloneTile(p *tile.Program) *tile.Program {
	return &tile.Program{Code: append([]tile.Instr(nil), p.Code...)}
}
