package main

import (
	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

// boundIndices makes what was made up for inputs of integers index the tables that a program of the model looks up: the
// numbers of words of a vocabulary.
func (l *loaded) boundIndices(p *program.Program, in llmc.Values) {
	e := &p.Entries[0]
	for i, n := range indexBounds(p, e) {
		v, ok := in[e.Inputs[i].Name]
		if !ok || !l.invented[e.Inputs[i].Name] || v.Tensor == nil {
			continue
		}
		for k := range v.Tensor.Len() {
			v.Tensor.SetInt(k, v.Tensor.Int(k)%n)
		}
	}
}

// indexBounds finds the inputs whose integers select rows, and the number of rows of the smallest such table. Tables of a
// size that is not fixed have no bound.
func indexBounds(p *program.Program, e *program.Entry) map[int]int64 {
	syms := make([]int64, len(p.Dims.Syms))
	for i := range syms {
		syms[i] = dim.Unset
	}
	t := &indexTracer{p: p, vals: make([]int64, len(p.Dims.Code)), bounds: map[int]int64{}}
	if p.Dims.Eval(syms, t.vals) != nil {
		return nil
	}
	from := map[int32][]int{}
	for i, b := range e.Body.Params {
		if e.Inputs[i].Elem.IsInt() {
			from[b] = []int{i}
		}
	}
	t.body(&e.Body, from)
	return t.bounds
}

type indexTracer struct {
	p      *program.Program
	vals   []int64
	bounds map[int]int64
}

// body follows inputs through a body; from says which ones a buffer holds elements of.
func (t *indexTracer) body(b *program.Body, from map[int32][]int) {
	for i := range b.Steps {
		s := &b.Steps[i]
		for k := range s.In {
			for _, via := range s.In[k].Via {
				if n := t.vals[via.Extent]; n != dim.Unset && n > 0 {
					t.bound(from[s.In[via.Operand].Buf], n)
				}
			}
		}
		switch s.Anchor {
		case anchor.Map:
			t.moved(s, from)
		case anchor.Branch, anchor.Loop:
			t.control(s, from)
		}
	}
}

func (t *indexTracer) bound(inputs []int, n int64) {
	for _, i := range inputs {
		if old, ok := t.bounds[i]; !ok || n < old {
			t.bounds[i] = n
		}
	}
}

// moved notes results that are operands, be it of another type of integers.
func (t *indexTracer) moved(s *program.Step, from map[int32][]int) {
	code := t.p.Progs[s.Prog].Code
	for k := range code {
		if code[k].Op != tile.Store {
			continue
		}
		at := code[k].A
		for code[at].Op == tile.Cast || code[at].Op == tile.Wrap {
			at = code[at].A
		}
		if code[at].Op == tile.Load {
			out := s.Out[int(code[k].Arg)-len(s.In)].Buf
			from[out] = append(from[out], from[s.In[code[at].Arg].Buf]...)
		}
	}
}

// control follows operands into bodies: a branch has its condition before what its bodies take.
func (t *indexTracer) control(s *program.Step, from map[int32][]int) {
	var operands [][]int
	k := 0
	for _, present := range s.Present {
		var l []int
		if present {
			l = from[s.In[k].Buf]
			k++
		}
		operands = append(operands, l)
	}
	if s.Anchor == anchor.Branch {
		operands = operands[1:]
	}
	for i := range s.Bodies {
		inner := map[int32][]int{}
		for j, b := range s.Bodies[i].Params {
			if j < len(operands) {
				inner[b] = operands[j]
			}
		}
		t.body(&s.Bodies[i], inner)
	}
}
