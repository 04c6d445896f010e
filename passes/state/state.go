// Package state declares that pairs of inputs and outputs are states: the caller asks for it, since the file's signature
// changes.
//
//	func main(%past: f32[B, H, P, D], ...) -> (f32[B, H, P + S, D] "present", ...)      state "past" = "present" axis 2 cap 512
//	  %present = concat(%past, %new, axis: 2)                                      =>   (the graph stays)
//	  return(..., %present)
//
// An output that is its input with more behind it grows along an axis up to a capacity; memory then gives both
// one buffer, and the concat writes the new part alone. A pair of one type is replaced as a whole.
package state

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "state",
	Doc:   "pairs of inputs and outputs that the caller names become states",
	Needs: pass.Typed,
	Run:   run,
}

// Auto asks for every output that is an input with more behind it.
const Auto = "auto"

func run(c *pass.Context, m *ir.Module) error {
	f := m.Main()
	if f == nil || len(c.Options.States) == 0 {
		return nil
	}
	taken := map[string]bool{}
	for _, s := range m.States {
		taken[s.Input], taken[s.Output] = true, true
	}
	for _, spec := range c.Options.States {
		pairs, capacity, err := match(f, spec)
		if err != nil {
			return fmt.Errorf("state %q: %w", spec, err)
		}
		for _, p := range pairs {
			if taken[f.Inputs[p[0]]] || taken[f.Outputs[p[1]]] {
				return fmt.Errorf("state %q: input %q or output %q is in another pair", spec, f.Inputs[p[0]], f.Outputs[p[1]])
			}
			s, err := declare(m, f, p[0], p[1], capacity)
			if err != nil {
				return fmt.Errorf("state %q: input %q and output %q: %w", spec, s.Input, s.Output, err)
			}
			taken[s.Input], taken[s.Output] = true, true
			m.States = append(m.States, s)
		}
		if len(pairs) == 0 {
			return fmt.Errorf("state %q: no input and output match", spec)
		}
		c.Logf("state: %s: %d pairs", spec, len(pairs))
	}
	return nil
}

// match lists the pairs (input, output) that a specification names, with the capacity that it may end in: "a.*=b.*@512".
func match(f *ir.Func, spec string) (pairs [][2]int, capacity int64, err error) {
	pattern, after, ok := strings.Cut(spec, "@")
	if ok {
		if capacity, err = strconv.ParseInt(after, 10, 64); err != nil || capacity < 1 {
			return nil, 0, fmt.Errorf("capacity: want a positive number, got %q", after)
		}
	}
	if pattern == Auto {
		for i := range f.Outputs {
			if k, _ := appended(f, i); k >= 0 {
				pairs = append(pairs, [2]int{k, i})
			}
		}
		return pairs, capacity, nil
	}
	in, out, ok := strings.Cut(pattern, "=")
	if !ok || strings.Count(in, "*") < strings.Count(out, "*") {
		return nil, 0, fmt.Errorf("want INPUT=OUTPUT, with no more * on the right than on the left, or %s", Auto)
	}
	outputs := map[string]int{}
	for i, n := range f.Outputs {
		outputs[n] = i
	}
	for i, n := range f.Inputs {
		parts, ok := glob(in, n)
		if !ok {
			continue
		}
		want := fill(out, parts)
		k, ok := outputs[want]
		if !ok {
			return nil, 0, fmt.Errorf("input %q: there is no output %q", n, want)
		}
		pairs = append(pairs, [2]int{i, k})
	}
	return pairs, capacity, nil
}

// glob matches s against a pattern in which * stands for any text, as short as possible, and returns what each *
// stands for.
func glob(pattern, s string) ([]string, bool) {
	pieces := strings.Split(pattern, "*")
	if !strings.HasPrefix(s, pieces[0]) {
		return nil, false
	}
	s = s[len(pieces[0]):]
	var parts []string
	for i, p := range pieces[1:] {
		at := strings.Index(s, p)
		if i == len(pieces)-2 { // the last piece ends the name
			if at = len(s) - len(p); at < 0 || s[at:] != p {
				return nil, false
			}
		}
		if at < 0 {
			return nil, false
		}
		parts = append(parts, s[:at])
		s = s[at+len(p):]
	}
	return parts, s == ""
}

// fill puts the parts in place of the stars.
func fill(pattern string, parts []string) string {
	pieces := strings.Split(pattern, "*")
	var b strings.Builder
	for i, p := range pieces {
		b.WriteString(p)
		if i < len(pieces)-1 && i < len(parts) {
			b.WriteString(parts[i])
		}
	}
	return b.String()
}

// appended finds the input that an output is with more behind it along an axis; -1 where there is none.
func appended(f *ir.Func, output int) (input, axis int) {
	n := pass.Is(f.Body.Results[output], "concat")
	if n == nil || len(n.In) < 2 || n.In[0] == nil || n.In[0].Def != nil {
		return -1, 0
	}
	for i, p := range f.Body.Params {
		if p == n.In[0] {
			axis = int(n.Attrs.Int("axis", 0))
			if axis < 0 {
				axis += p.Rank()
			}
			return i, axis
		}
	}
	return -1, 0
}

func declare(m *ir.Module, f *ir.Func, input, output int, capacity int64) (ir.State, error) {
	s := ir.State{Input: f.Inputs[input], Output: f.Outputs[output], Axis: -1}
	p, r := f.Body.Params[input], f.Body.Results[output]
	if k, axis := appended(f, output); k == input {
		s.Axis = axis
		_, hi := m.Dims.Range(r.Type.Shape[axis])
		if capacity > 0 && capacity < hi {
			hi = capacity
			limit(m, p.Type.Shape[axis], capacity)
		}
		if hi < dim.Inf {
			s.Cap = hi
		}
		return s, nil
	}
	if !ir.EqualTypes(p.Type, r.Type) {
		return s, fmt.Errorf("want an output that is the input with more behind it, or has its type: got %v and %v", p.Type, r.Type)
	}
	return s, nil
}

// limit bounds the symbol that counts what a state holds.
func limit(m *ir.Module, e dim.Expr, capacity int64) {
	if name, ok := e.Symbol(); ok {
		in := m.Dims.Info(name)
		if in.Lo <= capacity {
			in.Hi = min(in.Hi, capacity)
			m.Dims.Declare(name, in)
		}
	}
}
