package exec

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
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
		for j := range st.Out {
			buf := &b.Bufs[st.Out[j].Buf]
			if n := s.vals[buf.Count]; n != dim.Unset && n >= 0 && n < 1<<44 {
				in.Bytes += int64(buf.Elem.Bytes(int(n)))
			}
		}
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
