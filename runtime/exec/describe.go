package exec

import (
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/kernels/tiled"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/program"
)

// StepInfo describes a step at the extents of a session's last run.
type StepInfo struct {
	Step   *program.Step
	Depth  int      // of bodies around it
	Kernel string   // the kernel row that does its inner work
	Space  []string // axes as name=extent, with ! where reduced
	FLOP   int64    // twice the multiply-adds of a product, window or attention
	Ops    int64    // float operations of a tile program that is a step of its own, one for each opcode
	Reads  int64    // bytes of operands and weights, each element once
	Bytes  int64    // that it writes
}

// Describe calls visit for every step, those of nested bodies after the step that holds them. Extents that
// belong to a nested body or to data not seen yet are written as expressions.
func (s *Session) Describe(visit func(StepInfo)) {
	s.describe(&s.entry.Body, 0, visit)
}

func (s *Session) describe(b *program.Body, depth int, visit func(StepInfo)) {
	for i := range b.Steps {
		st := &b.Steps[i]
		in := StepInfo{Step: st, Depth: depth, Kernel: s.kernel(st), FLOP: max(0, s.flop(st))}
		for _, a := range st.Space {
			t := a.Name + "="
			if v := s.vals[a.Extent]; v != dim.Unset {
				t += fmt.Sprint(v)
			} else {
				t += s.m.Program.Dims.Text(a.Extent)
			}
			if a.Red {
				t += "!"
			}
			in.Space = append(in.Space, t)
		}
		in.Ops, in.Reads, in.Bytes = s.ops(st), s.touched(b, st, st.In), s.touched(b, st, st.Out)
		visit(in)
		for j := range st.Bodies {
			s.describe(&st.Bodies[j], depth+1, visit)
		}
	}
}

// kernel names the row that a step runs on.
func (s *Session) kernel(st *program.Step) string {
	switch st.Anchor {
	case anchor.Map, anchor.Rows:
		return tiled.Pick(s.m.features).Name
	case anchor.Contract, anchor.Attend:
		return s.m.gemm.Name
	case anchor.Window:
		return window.Pick(s.m.features).Name
	case anchor.Host:
		return st.Host
	}
	return st.Anchor.String()
}

// mostCounted bounds what is added up, so that no sum overflows.
const mostCounted = 1 << 44

// touched is the number of bytes that a step sees of the buffers of uses, each element once. What is not known counts as nothing.
func (s *Session) touched(b *program.Body, st *program.Step, uses []program.Use) int64 {
	var total int64
	for i := range uses {
		buf := &b.Bufs[uses[i].Buf]
		if buf.Boxed() || slices.ContainsFunc(uses[:i], func(u program.Use) bool { return u.Buf == uses[i].Buf }) {
			continue
		}
		var n int64 // seen by all uses of the buffer: where they are the same elements, once
		for j := i; j < len(uses); j++ {
			if u := &uses[j]; u.Buf == uses[i].Buf && !slices.ContainsFunc(uses[i:j], func(v program.Use) bool { return s.same(u, &v) }) {
				n = min(n+s.seen(st, u), mostCounted)
			}
		}
		if all := s.vals[buf.Count]; all != dim.Unset {
			n = min(n, all)
		}
		if n > 0 && total < mostCounted {
			total += int64(buf.Elem.Bytes(int(n)))
		}
	}
	return total
}

// same reports whether two uses see the same elements of one buffer.
func (s *Session) same(u, v *program.Use) bool {
	equal := func(x, y []dim.Ref) bool {
		return slices.EqualFunc(x, y, func(a, b dim.Ref) bool { return s.vals[a] == s.vals[b] })
	}
	return u.Buf == v.Buf && s.vals[u.Off] == s.vals[v.Off] && len(u.Via) == 0 && len(v.Via) == 0 && equal(u.Stride, v.Stride) && equal(u.Shape, v.Shape)
}

// seen is the number of elements that one use sees.
func (s *Session) seen(st *program.Step, u *program.Use) int64 {
	n := int64(1)
	if len(u.Shape) > 0 {
		for _, r := range u.Shape {
			n = s.times(n, r)
		}
		return n
	}
	for i, a := range st.Space {
		if len(u.Via) > 0 || i < len(u.Stride) && s.vals[u.Stride[i]] != 0 {
			n = s.times(n, a.Extent)
		}
	}
	return n
}

// times is n times an extent, nothing where that is not known.
func (s *Session) times(n int64, r dim.Ref) int64 {
	v := s.vals[r]
	if v == dim.Unset || v <= 0 {
		return 0
	}
	if n > mostCounted/v {
		return mostCounted
	}
	return n * v
}

// ops counts the float operations of a map or rows step: each opcode but conversions as often as its value differs, a reduction once
// for each element.
func (s *Session) ops(st *program.Step) int64 {
	if st.Anchor != anchor.Map && st.Anchor != anchor.Rows || len(st.Space) > 64 {
		return 0
	}
	code := s.m.Program.Progs[st.Prog].Code
	along := make([]uint64, len(code)) // axes that a register differs along
	uses := append(slices.Clone(st.In), st.Out...)
	var red uint64
	for i, a := range st.Space {
		if a.Red {
			red |= 1 << i
		}
	}
	var total int64
	for k := range code {
		in := &code[k]
		switch in.Op {
		case tile.Imm, tile.Dim, tile.Store, tile.Acc:
			continue
		case tile.Index:
			along[k] = 1 << in.Arg
			continue
		case tile.Load:
			for i := range st.Space {
				if u := &uses[in.Arg]; len(u.Via) > 0 || i < len(u.Stride) && s.vals[u.Stride[i]] != 0 {
					along[k] |= 1 << i
				}
			}
			continue
		}
		for _, r := range in.Regs() {
			along[k] |= along[r]
		}
		if in.Op.IsReduce() {
			along[k] |= red
		}
		if c := code[in.A].Class; (c == tile.F32 || c == tile.F64) && in.Op != tile.Cast && in.Op != tile.Round {
			n := int64(1)
			for i, a := range st.Space {
				if along[k]&(1<<i) != 0 {
					n = s.times(n, a.Extent)
				}
			}
			total = min(total+n, mostCounted)
		}
		if in.Op.IsReduce() {
			along[k] &^= red
		}
	}
	return total
}

// flop counts what schedulers and benchmarks compare machines by: two operations per multiply-add. It is
// negative where an extent is not known.
func (s *Session) flop(st *program.Step) int64 {
	n := int64(2)
	mul := func(refs ...dim.Ref) {
		for _, r := range refs {
			v := s.vals[r]
			if v == dim.Unset || v < 0 || v > 0 && n > (1<<62)/v {
				n = -1
				return
			}
			n *= v
		}
	}
	switch {
	case st.Anchor == anchor.Contract:
		for _, a := range st.Space {
			mul(a.Extent)
		}
	case st.Anchor == anchor.Window && st.Window.Combine == anchor.Dot:
		mul(st.Out[0].Shape...)
		mul(st.In[1].Shape[1:]...)
	case st.Anchor == anchor.Attend:
		q, k, v := st.In[0].Shape, st.In[1].Shape, st.In[2].Shape
		mul(q[0], q[1], q[2], k[2])
		d, dv := s.vals[q[3]], s.vals[v[3]]
		if n < 0 || d < 0 || dv < 0 || d+dv > 1<<20 {
			return -1
		}
		n *= d + dv
	default:
		return 0
	}
	return n
}

// Needs is the memory for activations that one run of an entry takes when symbols have these values: arena as the
// session would lay it out, and live, the largest set of buffers alive at once, below which no layout can go. Nested bodies
// and buffers whose size depends on data are not in it; results are, at the caller's side.
func Needs(p *program.Program, entry *program.Entry, symbol func(name string) (int64, bool)) (arena, live int64, err error) {
	syms, vals := make([]int64, len(p.Dims.Syms)), make([]int64, len(p.Dims.Code))
	for i, name := range p.Dims.Syms {
		syms[i] = dim.Unset
		if v, ok := symbol(name); ok && !p.Symbols[i].Late {
			syms[i] = v
		}
	}
	if err := p.Dims.Eval(syms, vals); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrBinding, err)
	}
	s := &Session{m: &Model{Program: p}, entry: entry, vals: vals}
	f := &frame{s: s, b: &entry.Body}
	for i := range entry.Body.Bufs {
		b := &entry.Body.Bufs[i]
		if b.Kind != program.BufTemp || b.Last < 0 || b.Alias >= 0 {
			continue
		}
		n, err := f.size(b)
		if err != nil {
			return 0, 0, fmt.Errorf("%w: %w", ErrBinding, err)
		}
		f.placer.add(i, n, int(b.First), f.lastOf(i))
	}
	return int64(f.placer.solve()), int64(f.placer.live()), nil
}
