package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/runtime/program"
)

// stepName says which of the model's nodes a step computes.
func stepName(st *program.Step) string {
	s := st.Op
	if st.Node != "" {
		s += " " + oneLine(st.Node)
	}
	if n := len(st.Locs); n > 1 {
		s += fmt.Sprintf(" (+%d)", n-1)
	}
	return s
}

func jsonString(s string) string {
	b, err := json.Marshal(strings.ToValidUTF8(s, "?"))
	if err != nil {
		return `""`
	}
	return string(b)
}

// walkSteps calls f for every step, those of nested bodies included.
func walkSteps(b *program.Body, f func(*program.Step)) {
	for i := range b.Steps {
		f(&b.Steps[i])
		for j := range b.Steps[i].Bodies {
			walkSteps(&b.Steps[i].Bodies[j], f)
		}
	}
}

// count is a name with how often it occurs.
type count struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// counted lists a map, most frequent first.
func counted(m map[string]int) []count {
	l := []count{}
	for k, n := range m {
		l = append(l, count{k, n})
	}
	sort.Slice(l, func(i, j int) bool {
		if l[i].Count != l[j].Count {
			return l[i].Count > l[j].Count
		}
		return l[i].Name < l[j].Name
	})
	return l
}

func countText(l []count) string {
	var s []string
	for _, c := range l {
		s = append(s, fmt.Sprintf("%s x%d", c.Name, c.Count))
	}
	return strings.Join(s, ", ")
}

// groups counts the groups of more than one node by what is in them.
func groups(m *ir.Module) []count {
	n := map[string]int{}
	for _, f := range m.Funcs {
		f.Body.Walk(func(g *ir.Node) {
			if g.Op != pass.GroupOp {
				return
			}
			var parts []string
			for _, x := range g.Regions[0].Nodes {
				if x.Op != ir.OpConst {
					parts = append(parts, x.Op)
				}
			}
			if len(parts) > 1 {
				n[joinRuns(parts)]++
			}
		})
	}
	return counted(n)
}

// joinRuns writes equal neighbours once, with their number, and shortens what is long.
func joinRuns(l []string) string {
	var out []string
	for i := 0; i < len(l); {
		j := i
		for j < len(l) && l[j] == l[i] {
			j++
		}
		if s := l[i]; j > i+1 {
			out = append(out, fmt.Sprintf("%s*%d", s, j-i))
		} else {
			out = append(out, s)
		}
		i = j
	}
	if len(out) > 8 {
		out = append(out[:7], fmt.Sprintf("... %d more", len(out)-7))
	}
	return strings.Join(out, "+")
}

// weightBytes is what a program's constants take as kernels read them.
func weightBytes(p *program.Program) int64 {
	var n int64
	for i := range p.Consts {
		c := &p.Consts[i]
		if c.Pack != nil {
			n += 4 * int64(c.Pack.Stored(c.Layout))
		} else {
			n += int64(len(c.Data))
		}
	}
	return n
}

// hostSteps counts the host functions that a program calls.
func hostSteps(p *program.Program) []count {
	n := map[string]int{}
	for i := range p.Entries {
		walkSteps(&p.Entries[i].Body, func(s *program.Step) {
			if s.Anchor == anchor.Host {
				n[s.Host]++
			}
		})
	}
	return counted(n)
}

// stepKinds counts steps by anchor.
func stepKinds(p *program.Program) []count {
	n := map[string]int{}
	for i := range p.Entries {
		walkSteps(&p.Entries[i].Body, func(s *program.Step) { n[s.Anchor.String()]++ })
	}
	return counted(n)
}
