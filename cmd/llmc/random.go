package main

import (
	"math/rand/v2"
	"strings"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// randomInput makes values by name and type, as models of language and vision want them: floats from N(0, 1), or a
// tenth of that for caches, integers from 1 to 999, ones for masks, a range for positions, zeros for types of tokens.
func randomInput(info llmc.Info, shape []int, dims map[string]int64, seed uint64) (*tensor.Tensor, error) {
	if info.Elem == dtype.String || info.Elem.IsComplex() {
		return nil, usagef("input %q: %v%v cannot be made up; give it with --input", info.Name, info.Elem, shape)
	}
	t := tensor.New(info.Elem, shape...)
	n := t.Len()
	r := rand.New(rand.NewPCG(seed, hash(info.Name)))
	name := strings.ToLower(info.Name)
	has := func(s string) bool { return strings.Contains(name, s) }
	last, past := 1, int64(0)
	if len(shape) > 0 {
		last = max(1, shape[len(shape)-1])
	}
	for _, name := range []string{"past", "past_length", "past_sequence_length"} {
		past = max(past, dims[name])
	}
	scale := 1.0
	if has("past") || has("cache") {
		scale = 0.1
	}
	for i := range n {
		switch {
		case info.Elem.IsFloat():
			t.SetFloat(i, scale*r.NormFloat64())
		case info.Elem == dtype.Bool, has("mask"):
			t.SetInt(i, 1)
		case has("position"):
			t.SetInt(i, past+int64(i%last))
		case has("type"), has("segment"):
		case info.Elem.Bits() <= 8:
			t.SetInt(i, r.Int64N(min(127, int64(1)<<(info.Elem.Bits()-1))))
		default:
			t.SetInt(i, 1+r.Int64N(999))
		}
	}
	return t, nil
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
