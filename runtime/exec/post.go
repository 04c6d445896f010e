package exec

import (
	"math"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/program"
)

// role is how a kernel reads the operand that is added to the accumulators.
type role uint8

const (
	roleNone role = iota
	roleBiasN
	roleBiasM
	roleAdd
)

// simplePost is a program that gemm and convolution kernels can do themselves: store(bound(acc [+ operand])).
type simplePost struct {
	f32     bool // one f32 result is stored, so accumulators may lie in it
	ok      bool
	operand int // the input added, or -1
	second  int // a second input added, or -1: convolutions take a bias and a picture
	role    role
	kind    gemm.Post
	lo, hi  float32
}

// findPost reads the program of a step whose first own inputs belong to the anchor.
func findPost(s *Session, b *program.Body, st *program.Step, own int) simplePost {
	p := simplePost{operand: -1, second: -1}
	if len(st.Out) != 1 || b.Bufs[st.Out[0].Buf].Elem != dtype.F32 {
		return p
	}
	p.f32 = true
	for i := own; i < len(st.In); i++ { // what is read later must not lie in the accumulators
		if st.In[i].Buf == st.Out[0].Buf {
			p.f32 = false
		}
	}
	code := s.m.Program.Progs[st.Prog].Code
	val := code[len(code)-1]
	if val.Op != tile.Store {
		return p
	}
	at := val.A
	p.hi, p.lo = float32(math.Inf(1)), float32(math.Inf(-1))
	imm := func(r int32) (float32, bool) { return float32(code[r].F), code[r].Op == tile.Imm }
	for {
		in := &code[at]
		switch {
		case in.Op == tile.Relu && p.kind == gemm.None:
			p.kind = gemm.ReLU
			at = in.A
			continue
		case in.Op == tile.Min && p.hi == float32(math.Inf(1)):
			if v, ok := imm(in.B); ok && p.kind != gemm.ReLU {
				p.kind, p.hi = gemm.Clamp, v
				at = in.A
				continue
			}
		case in.Op == tile.Max && p.lo == float32(math.Inf(-1)):
			if v, ok := imm(in.B); ok && p.kind != gemm.ReLU {
				p.kind, p.lo = gemm.Clamp, v
				at = in.A
				continue
			}
		}
		break
	}
	p.ok = p.addends(b, st, code, at)
	return p
}

// addends reads acc, acc + x or acc + x + y.
func (p *simplePost) addends(b *program.Body, st *program.Step, code []tile.Instr, at int32) bool {
	load := func(r int32) int {
		if in := &code[r]; in.Op == tile.Load && b.Bufs[st.In[in.Arg].Buf].Elem == dtype.F32 && len(st.In[in.Arg].Via) == 0 {
			return int(in.Arg)
		}
		return -1
	}
	var found []int
	for code[at].Op == tile.Add {
		x, y := code[at].A, code[at].B
		if k := load(y); k >= 0 {
			found = append(found, k)
			at = x
		} else if k := load(x); k >= 0 {
			found = append(found, k)
			at = y
		} else {
			return false
		}
	}
	if code[at].Op != tile.Acc || code[at].Class != tile.F32 || len(found) > 2 {
		return false
	}
	switch len(found) { // the innermost first
	case 2:
		p.operand, p.second = found[1], found[0]
	case 1:
		p.operand = found[0]
	}
	return true
}
