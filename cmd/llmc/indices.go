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
	from := map[int32]int{}
	for i, b := range e.Body.Params {
		if e.Inputs[i].Elem.IsInt() {
			from[b] = i
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

// body follows inputs through a body; from says which one a buffer holds elements of, the first of several.
func (t *indexTracer) body(b *program.Body, from map[int32]int) {
	for i := range b.Steps {
		s := &b.Steps[i]
		for k := range s.In {
			for _, via := range s.In[k].Via {
				input, ok := from[s.In[via.Operand].Buf]
				if n := t.vals[via.Extent]; ok && n != dim.Unset && n > 0 {
					t.bound(input, n)
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

func (t *indexTracer) bound(input int, n int64) {
	if old, ok := t.bounds[input]; !ok || n < old {
		t.bounds[input] = n
	}
}

// moved notes results that are operands, be it of another type of integers.
func (t *indexTracer) moved(s *program.Step, from map[int32]int) {
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
			follow(from, s.In[code[at].Arg].Buf, from, out)
		}
	}
}

// follow notes that a buffer holds what another one, perhaps outside of the body, does.
func follow(outer map[int32]int, b int32, inner map[int32]int, to int32) {
	input, ok := outer[b]
	if _, known := inner[to]; ok && !known {
		inner[to] = input
	}
}

// control follows operands into bodies: a branch has its condition before what its bodies take.
func (t *indexTracer) control(s *program.Step, from map[int32]int) {
	before := 0
	if s.Anchor == anchor.Branch {
		before = 1
	}
	for i := range s.Bodies {
		inner := map[int32]int{}
		k := 0 // of In, which holds the present operands only
		for j, present := range s.Present {
			if !present {
				continue
			}
			if p := j - before; p >= 0 && p < len(s.Bodies[i].Params) {
				follow(from, s.In[k].Buf, inner, s.Bodies[i].Params[p])
			}
			k++
		}
		t.body(&s.Bodies[i], inner)
	}
}
