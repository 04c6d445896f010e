package tiled

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/cpu"
)

// Bounds on what is accepted; compiled programs come from files.
const (
	maxCode     = 1 << 12
	maxOperands = 1 << 10
	maxAxes     = 16
)

// Program is a tile program that was verified and is ready to be bound. It is immutable and shared.
type Program struct {
	code    []tile.Instr
	elems   []dtype.Type
	ins     int
	idx     []int32 // axes of the idx instructions, each once: they are read like operands
	nDims   int
	nAxes   int
	reduces bool
	copies  bool // one load and one store of the same element type
	work    int  // instructions that compute
	phases  int
	phase   []int32 // number of reductions on the longest way to a value
	live    []bool
	reads   [][]int32 // the registers that an instruction reads
	row     *Row
}

// Compile verifies a program whose operand k has element type elems[k], the first ins of them inputs, and picks the functions that suit
// the features of the processor.
func Compile(p *tile.Program, elems []dtype.Type, ins int, host cpu.Features) (*Program, error) {
	if len(p.Code) > maxCode || len(elems) > maxOperands {
		return nil, fmt.Errorf("tile program of %d instructions and %d operands: want at most %d and %d", len(p.Code), len(elems), maxCode, maxOperands)
	}
	if ins < 0 || ins > len(elems) {
		return nil, fmt.Errorf("tile program: %d inputs of %d operands", ins, len(elems))
	}
	if err := p.Verify(elems, ins, 1<<16, maxAxes, tile.NoClass); err != nil {
		return nil, err
	}
	q := &Program{code: append([]tile.Instr(nil), p.Code...), elems: append([]dtype.Type(nil), elems...), ins: ins, row: Pick(host)}
	q.phase, q.live = make([]int32, len(q.code)), make([]bool, len(q.code))
	q.reads = make([][]int32, len(q.code))
	stored := make([]bool, len(elems))
	for i := range q.code {
		in := &q.code[i]
		switch in.Op {
		case tile.Load, tile.Store:
			if t := elems[in.Arg]; t.IsSubByte() || t.Bits() > 64 {
				return nil, fmt.Errorf("tile program: operand %d of type %v is not addressable by element", in.Arg, t)
			}
			if in.Op == tile.Store {
				if stored[in.Arg] {
					return nil, fmt.Errorf("tile program: operand %d is stored twice", in.Arg)
				}
				stored[in.Arg] = true
				q.live[i] = true
			}
		case tile.Dim:
			q.nDims = max(q.nDims, int(in.Arg)+1)
		case tile.Index:
			q.nAxes = max(q.nAxes, int(in.Arg)+1)
			in.Arg = q.virtual(in.Arg)
		case tile.Wrap, tile.Round:
			if in.Elem.IsSubByte() && in.Op == tile.Round && in.Elem != dtype.F4E2M1 {
				return nil, fmt.Errorf("tile program: %v to %v", in.Op, in.Elem)
			}
			q.work++
		default:
			q.work++
		}
		if in.Op.IsReduce() {
			q.reduces = true
		}
		q.reads[i] = in.Regs()
		for _, r := range q.reads[i] {
			q.phase[i] = max(q.phase[i], q.phase[r])
		}
		if in.Op.IsReduce() {
			q.phase[i]++
		}
	}
	q.joinExp()
	for i := len(q.code) - 1; i >= 0; i-- {
		if q.live[i] {
			q.phases = max(q.phases, int(q.phase[i])+1)
			for _, r := range q.reads[i] {
				q.live[r] = true
			}
		}
	}
	if q.phases*len(q.code) > 1<<20 {
		return nil, fmt.Errorf("tile program of %d instructions and %d phases is too large", len(q.code), q.phases)
	}
	if len(q.code) == 2 && q.code[0].Op == tile.Load && q.code[1].Op == tile.Store {
		q.copies = elems[q.code[0].Arg] == elems[q.code[1].Arg]
	}
	return q, nil
}

// opExpSub is exp(A - B), the heart of softmax, in one pass.
const opExpSub tile.Op = 120

// joinExp makes one instruction of an exp and the subtraction that only it reads.
func (p *Program) joinExp() {
	uses := make([]int, len(p.code))
	for i := range p.code {
		for _, r := range p.reads[i] {
			uses[r]++
		}
	}
	for i := range p.code {
		in := &p.code[i]
		if in.Op != tile.Exp || in.Class != tile.F32 {
			continue
		}
		if d := &p.code[in.A]; d.Op == tile.Sub && uses[in.A] == 1 {
			in.Op, in.A, in.B = opExpSub, d.A, d.B
			p.reads[i] = []int32{in.A, in.B}
			p.work--
		}
	}
}

// virtual numbers the distinct axes of idx instructions behind the real operands.
func (p *Program) virtual(axis int32) int32 {
	for k, a := range p.idx {
		if a == axis {
			return int32(len(p.elems) + k)
		}
	}
	p.idx = append(p.idx, axis)
	return int32(len(p.elems) + len(p.idx) - 1)
}

// Row is the row of the table that runs this program's float32 operations.
func (p *Program) Row() *Row { return p.row }

// Operands is the number of operands, inputs first.
func (p *Program) Operands() (ins, all int) { return p.ins, len(p.elems) }

func classSize(c tile.Class) int {
	switch c {
	case tile.F32:
		return 4
	case tile.Mask:
		return 1
	}
	return 8
}

// natural reports whether elements of type t are stored as registers hold them.
func natural(t dtype.Type) bool {
	switch t {
	case dtype.F32, dtype.F64, dtype.I64, dtype.U64, dtype.Bool:
		return true
	}
	return false
}
