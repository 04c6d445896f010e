package program

import (
	"fmt"
	"sort"
	"strings"
	"unsafe"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
)

// Summary is what there is to say of a program at a glance.
type Summary struct {
	Model   string          `json:"model,omitempty"`
	Hash    string          `json:"hash,omitempty"`
	Version string          `json:"version,omitempty"`
	Options string          `json:"options,omitempty"`
	Tier    string          `json:"tier,omitempty"`
	Nodes   int             `json:"nodes"`
	Notes   []string        `json:"notes,omitempty"`
	Symbols []SymbolSummary `json:"symbols,omitempty"`
	Entries []EntrySummary  `json:"entries"`
	Consts  []ConstSummary  `json:"constants"`
}

// SymbolSummary is the range of a symbol.
type SymbolSummary struct {
	Name string `json:"name"`
	Lo   int64  `json:"lo"`
	Hi   int64  `json:"hi"`
	Step int64  `json:"step,omitempty"`
	Late bool   `json:"late,omitempty"`
}

// EntrySummary counts the steps of an entry, those of nested bodies included.
type EntrySummary struct {
	Name    string         `json:"name"`
	Inputs  []IOSummary    `json:"inputs"`
	Outputs []IOSummary    `json:"outputs"`
	States  []StateSummary `json:"states,omitempty"`
	Steps   int            `json:"steps"`
	Anchors []Count        `json:"anchors"`
	Host    []Count        `json:"host,omitempty"` // host functions
	Late    int            `json:"late_steps,omitempty"`
}

// IOSummary is an input or output with its extents as expressions.
type IOSummary struct {
	Name  string   `json:"name"`
	Elem  string   `json:"type"`
	Shape []string `json:"shape"`
}

// StateSummary is a donated pair.
type StateSummary struct {
	Input  string `json:"input"`
	Output string `json:"output"`
	Axis   int    `json:"axis"`
}

// Count is how often something occurs.
type Count struct {
	Name string `json:"name"`
	N    int    `json:"count"`
}

// ConstSummary is the constants of a layout; bytes that several share count once.
type ConstSummary struct {
	Layout string `json:"layout"`
	N      int    `json:"count"`
	Bytes  int64  `json:"bytes"`
}

// Summary describes p.
func (p *Program) Summary() *Summary {
	s := &Summary{Model: p.Prov.Model, Hash: p.Prov.Hash, Version: p.Prov.Version, Options: p.Prov.Options, Tier: p.Prov.Tier, Nodes: p.Prov.Nodes, Notes: p.Prov.Notes}
	for i, x := range p.Symbols {
		s.Symbols = append(s.Symbols, SymbolSummary{p.Dims.Syms[i], x.Lo, x.Hi, x.Step, x.Late})
	}
	for i := range p.Entries {
		s.Entries = append(s.Entries, p.Entries[i].summary())
	}
	s.Consts = p.constSummary()
	return s
}

func (e *Entry) summary() EntrySummary {
	out := EntrySummary{Name: e.Name, Inputs: ioSummary(e.Inputs), Outputs: ioSummary(e.Outputs)}
	for _, st := range e.States {
		out.States = append(out.States, StateSummary{e.Inputs[st.Input].Name, e.Outputs[st.Output].Name, int(st.Axis)})
	}
	anchors, hosts := map[anchor.Kind]int{}, map[string]int{}
	e.Body.Walk(func(s *Step) {
		out.Steps++
		anchors[s.Anchor]++
		if s.Anchor == anchor.Host {
			hosts[s.Host]++
		}
		if s.Late {
			out.Late++
		}
	})
	for k := anchor.Map; k.Valid(); k++ {
		if anchors[k] > 0 {
			out.Anchors = append(out.Anchors, Count{k.String(), anchors[k]})
		}
	}
	for name, n := range hosts {
		out.Host = append(out.Host, Count{name, n})
	}
	sort.Slice(out.Host, func(i, j int) bool { return out.Host[i].Name < out.Host[j].Name })
	return out
}

// Walk calls f for every step of the body, those of nested bodies after their step.
func (b *Body) Walk(f func(*Step)) {
	for i := range b.Steps {
		f(&b.Steps[i])
		for j := range b.Steps[i].Bodies {
			b.Steps[i].Bodies[j].Walk(f)
		}
	}
}

func ioSummary(l []IO) []IOSummary {
	out := make([]IOSummary, len(l))
	for i := range l {
		out[i] = IOSummary{l[i].Name, l[i].Elem.String(), append([]string{}, l[i].Text...)}
		if l[i].Elem == dtype.Invalid && len(l[i].Text) == 1 {
			out[i] = IOSummary{Name: l[i].Name, Elem: l[i].Text[0]}
		}
	}
	return out
}

func (p *Program) constSummary() []ConstSummary {
	type view struct {
		data *byte
		n    int
		pack string
	}
	seen := map[view]bool{}
	out := []ConstSummary{}
	for _, name := range layout.Names() {
		c := ConstSummary{Layout: string(name)}
		if name == layout.RowMajor {
			c.Layout = "row-major"
		}
		for i := range p.Consts {
			k := &p.Consts[i]
			if k.Layout != name {
				continue
			}
			c.N++
			v, bytes := view{unsafe.SliceData(k.Data), len(k.Data), ""}, len(k.Data)
			if k.Pack != nil {
				v.pack, bytes = fmt.Sprint(k.Pack.Shape(), k.Pack.Off, k.Pack.RowStride, k.Pack.ColStride, k.Layout), 4*k.Pack.Stored(k.Layout)
			}
			if !seen[v] {
				c.Bytes += int64(bytes)
				seen[v] = true
			}
		}
		if c.N > 0 {
			out = append(out, c)
		}
	}
	return out
}

// String is the summary for people.
func (s *Summary) String() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s "+format+"\n", append([]any{what}, args...)...)
	}
	line("model", "%s, %d nodes", clip(s.Model), s.Nodes)
	if s.Hash != "" {
		line("sha-256", "%s", clip(s.Hash))
	}
	if s.Version != "" {
		line("compiler", "%s", strings.TrimSpace(clip(s.Version)+" "+clip(s.Options)))
	}
	if s.Tier != "" {
		line("tier", "%s", clip(s.Tier))
	}
	for _, n := range s.Notes {
		line("note", "%s", clip(n))
	}
	for _, x := range s.Symbols {
		switch {
		case x.Late:
			line("symbol", "%s known while running, %d to %d", clip(x.Name), x.Lo, x.Hi)
		case x.Step > 1:
			line("symbol", "%s from %d to %d in steps of %d", clip(x.Name), x.Lo, x.Hi, x.Step)
		default:
			line("symbol", "%s from %d to %d", clip(x.Name), x.Lo, x.Hi)
		}
	}
	for _, c := range s.Consts {
		line("constants", "%d %s, %d bytes", c.N, c.Layout, c.Bytes)
	}
	for i := range s.Entries {
		e := &s.Entries[i]
		line("entry", "%s", clip(e.Name))
		for _, x := range e.Inputs {
			line("  input", "%s %s", clip(x.Name), x)
		}
		for _, x := range e.Outputs {
			line("  output", "%s %s", clip(x.Name), x)
		}
		for _, x := range e.States {
			line("  state", "%s becomes %s, grows along axis %d", clip(x.Input), clip(x.Output), x.Axis)
		}
		line("  steps", "%d: %s", e.Steps, counts(e.Anchors))
		if len(e.Host) > 0 {
			line("  host", "%s", counts(e.Host))
		}
	}
	return b.String()
}

// String is the type of the text form: f32[B, 3].
func (x IOSummary) String() string {
	if x.Shape == nil {
		return clip(x.Elem)
	}
	return x.Elem + "[" + clip(strings.Join(x.Shape, ", ")) + "]"
}

func counts(l []Count) string {
	s := make([]string, len(l))
	for i, c := range l {
		s[i] = fmt.Sprintf("%s %d", clip(c.Name), c.N)
	}
	return strings.Join(s, ", ")
}
