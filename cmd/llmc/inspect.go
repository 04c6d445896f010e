package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/runtime/program"
)

// inspectFlags are the flags of llmc inspect.
type inspectFlags struct {
	modelFlags
	hash, profile bool
	html          string
}

func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Say what is in a model or program",
		Long: `Inspect lists inputs, outputs, named dimensions, operators, parameters and memory, what every pass did, and the steps
that no kernel computes. It reads the graph and leaves the weights where they are.

With --html it runs the program once on inputs that are made up, and draws it: steps with kernel, types, memory and, with
--profile, time, and which bytes of the arena each buffer holds when.`,
		Example: `  llmc inspect model.onnx
  llmc inspect --dim batch=8,sequence=128 bert.onnx
  llmc inspect --json model.llmc
  llmc inspect --html model.html --profile model.onnx`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.inspect(cmd.Context(), &f, args[0])
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.dims, "dim", nil, "value of a dimension, as batch=1; several by commas or by more flags")
	fl.StringArrayVar(&f.shapes, "shape", nil, "shape of an input, as x=1,3,224,224")
	fl.StringArrayVar(&f.states, "state", nil, `past=present pair of names, with *, that becomes a state; "auto" finds them`)
	fl.BoolVar(&f.hash, "hash", false, "compute the SHA-256 of the file, which reads all of it")
	fl.StringVar(&f.html, "html", "", "page to write, with pictures of the graph and of the arena")
	fl.BoolVar(&f.profile, "profile", false, "with --html: measure the time of each step")
	return c
}

// inspection is what inspect says.
type inspection struct {
	File      string              `json:"file"`
	Bytes     int64               `json:"bytes"`
	SHA256    string              `json:"sha256,omitempty"`
	Format    string              `json:"format"`
	Producer  string              `json:"producer,omitempty"`
	Opsets    map[string]int64    `json:"opsets,omitempty"`
	From      *program.Provenance `json:"compiled_from,omitempty"`
	Inputs    []ioInfo            `json:"inputs"`
	Outputs   []ioInfo            `json:"outputs"`
	Dims      []dimInfo           `json:"dims"`
	Nodes     int                 `json:"nodes,omitempty"`
	Operators []count             `json:"operators,omitempty"`
	Params    int64               `json:"parameters,omitempty"`
	Weights   int64               `json:"weight_bytes"`
	Passes    []driver.PassReport `json:"passes,omitempty"`
	Fused     []count             `json:"fused,omitempty"`
	Steps     []count             `json:"steps"`
	HostSteps []count             `json:"host_steps"`
	Arena     int64               `json:"arena_bytes"`
	Live      int64               `json:"live_bytes"`
	ArenaDims map[string]int64    `json:"arena_dims"`
	States    []string            `json:"states,omitempty"`
}

type ioInfo struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"`
}

type dimInfo struct {
	Name string   `json:"name"`
	Lo   int64    `json:"min"`
	Hi   int64    `json:"max,omitempty"` // 0: no bound
	Step int64    `json:"multiple_of,omitempty"`
	Late bool     `json:"depends_on_data,omitempty"`
	In   []string `json:"in,omitempty"`
}

func (a *app) inspect(ctx context.Context, f *inspectFlags, path string) error {
	if f.profile && f.html == "" {
		return usagef("--profile goes with --html; llmc profile writes a table")
	}
	l, err := openModel(path, &f.modelFlags)
	if err != nil {
		return err
	}
	defer l.close()
	in := &inspection{File: path, Inputs: ioInfos(l.inputs), Outputs: ioInfos(l.outputs)}
	if st, err := os.Stat(path); err == nil {
		in.Bytes = st.Size()
	}
	if f.hash {
		if in.SHA256, err = fileHash(path); err != nil {
			return err
		}
	}
	if l.model != nil {
		in.program(l)
		return a.inspected(ctx, f, l, in)
	}
	if l.why != nil {
		return fmt.Errorf("%w: give the sizes of its inputs with --dim or --shape", l.why)
	}
	in.model(l.src)
	in.Dims = moduleDims(l.src.Module, l.inputs)
	r, p, cerr := a.compileLoaded(ctx, l, &compileFlags{states: f.states})
	if cerr != nil {
		if err := a.printInspection(in); err != nil {
			return err
		}
		return cerr
	}
	in.compiled(r, p)
	if f.html != "" {
		if l.model, err = llmc.Load(p, l.src.Close, l.opts); err != nil {
			return err
		}
		l.src = nil
	}
	return a.inspected(ctx, f, l, in)
}

// inspected writes what was found, and the page where one is wanted.
func (a *app) inspected(ctx context.Context, f *inspectFlags, l *loaded, in *inspection) error {
	if err := a.printInspection(in); err != nil || f.html == "" {
		return err
	}
	budget := time.Duration(0)
	if f.profile {
		budget = time.Second
	}
	return a.writeModelPage(ctx, l, f.html, budget)
}

func ioInfos(l []llmc.Info) []ioInfo {
	out := []ioInfo{}
	for _, i := range l {
		if i.Type != "" {
			out = append(out, ioInfo{Name: i.Name, Type: i.Type})
			continue
		}
		out = append(out, ioInfo{i.Name, i.Elem.String(), append([]string{}, i.Shape...)})
	}
	return out
}

// model fills in what the ONNX file says.
func (in *inspection) model(src *driver.Source) {
	m := src.Model
	in.Format = fmt.Sprintf("ONNX, IR version %d", m.IRVersion)
	in.Producer = strings.TrimSpace(m.Producer + " " + m.ProducerVersion)
	in.Opsets = map[string]int64{}
	for _, o := range m.Opsets {
		d := o.Domain
		if d == "" {
			d = "ai.onnx"
		}
		in.Opsets[d] = o.Version
	}
	ops := map[string]int{}
	in.graph(m.Graph, ops)
	in.Operators = counted(ops)
}

// graph counts operators, nodes and initializers, those of subgraphs included.
func (in *inspection) graph(g *onnxpb.Graph, ops map[string]int) {
	for i := range g.Inits {
		if elem, _, n, err := g.Inits[i].Shape(); err == nil {
			in.Params += int64(n)
			in.Weights += int64(elem.Bytes(n))
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		in.Nodes++
		name := n.OpType
		if n.Domain != "" && n.Domain != "ai.onnx" {
			name = n.Domain + ":" + name
		}
		ops[name]++
		for j := range n.Attrs {
			if s := n.Attrs[j].G; s != nil {
				in.graph(s, ops)
			}
		}
	}
}

func moduleDims(m *ir.Module, inputs []llmc.Info) []dimInfo {
	out := []dimInfo{}
	for _, name := range m.Dims.Names() {
		s := m.Dims.Info(name)
		out = append(out, newDim(name, s.Lo, s.Hi, s.Step, s.Late, inputs))
	}
	return out
}

func newDim(name string, lo, hi, step int64, late bool, inputs []llmc.Info) dimInfo {
	d := dimInfo{Name: name, Lo: lo, Hi: hi, Step: step, Late: late}
	if hi == dim.Inf || hi == math.MaxInt64 {
		d.Hi = 0
	}
	for _, in := range inputs {
		for axis, text := range in.Shape {
			if e, err := dim.Parse(text); err == nil {
				e.Walk(func(s string) {
					if s == name {
						d.In = append(d.In, fmt.Sprintf("%s[%d]", in.Name, axis))
					}
				})
			}
		}
	}
	return d
}

func (in *inspection) compiled(r *compileReport, p *program.Program) {
	in.Passes, in.Fused, in.Steps, in.HostSteps = r.Passes, r.Fused, r.Kinds, r.HostSteps
	in.Arena, in.Live, in.ArenaDims = r.ArenaBytes, r.LiveBytes, r.Dims
	for _, s := range p.Entries[0].States {
		e := &p.Entries[0]
		in.States = append(in.States, e.Inputs[s.Input].Name+" = "+e.Outputs[s.Output].Name)
	}
}

// program fills in what a compiled program says.
func (in *inspection) program(l *loaded) {
	p := l.model.Program()
	in.Format = fmt.Sprintf("compiled program, version %d", program.Version)
	in.From = &p.Prov
	in.Nodes = p.Prov.Nodes
	in.Weights = weightBytes(p)
	in.Dims = []dimInfo{}
	for i, name := range p.Dims.Syms {
		s := p.Symbols[i]
		in.Dims = append(in.Dims, newDim(name, s.Lo, s.Hi, s.Step, s.Late, l.inputs))
	}
	r := &compileReport{Kinds: stepKinds(p), HostSteps: hostSteps(p)}
	r.ArenaBytes, r.LiveBytes, r.Dims, _ = needs(p, l.dims) // 0 where sizes depend on data
	in.compiled(r, p)
}

func (a *app) printInspection(in *inspection) error {
	if a.json {
		return a.writeJSON(in)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, name+"\t"+format+"\n", args...)
	}
	row("file", "%s, %s", in.File, formatBytes(in.Bytes))
	if in.SHA256 != "" {
		row("sha256", "%s", in.SHA256)
	}
	row("format", "%s", in.Format)
	if in.Producer != "" {
		row("producer", "%s", oneLine(in.Producer))
	}
	if in.From != nil {
		row("compiled from", "%s, %d nodes, by version %s %s", oneLine(in.From.Model), in.From.Nodes, oneLine(in.From.Version), oneLine(in.From.Options))
		if in.From.Hash != "" {
			row("", "sha256 %s", oneLine(in.From.Hash))
		}
	}
	if len(in.Opsets) > 0 {
		var l []string
		for d, v := range in.Opsets {
			l = append(l, fmt.Sprintf("%s %d", oneLine(d), v))
		}
		sort.Strings(l)
		row("opsets", "%s", strings.Join(l, ", "))
	}
	for _, g := range []struct {
		name string
		l    []ioInfo
	}{{"inputs", in.Inputs}, {"outputs", in.Outputs}} {
		for i, io := range g.l {
			name := g.name
			if i > 0 {
				name = ""
			}
			if io.Shape == nil {
				row(name, "%s\t%s", oneLine(io.Name), io.Type)
			} else {
				row(name, "%s\t%s[%s]", oneLine(io.Name), io.Type, strings.Join(io.Shape, ", "))
			}
		}
	}
	in.printDims(row)
	if len(in.Operators) > 0 {
		row("operators", "%d nodes: %s", in.Nodes, oneLine(countText(in.Operators)))
		row("parameters", "%d", in.Params)
	}
	row("weights", "%s (%d bytes)", formatBytes(in.Weights), in.Weights)
	in.printProgram(row)
	return w.Flush()
}

func (in *inspection) printDims(row func(name, format string, args ...any)) {
	for i, d := range in.Dims {
		name := ""
		if i == 0 {
			name = "dims"
		}
		s := fmt.Sprintf("%d or more", d.Lo)
		if d.Hi > 0 {
			s = fmt.Sprintf("%d to %d", d.Lo, d.Hi)
		}
		if d.Step > 1 {
			s += fmt.Sprintf(", multiple of %d", d.Step)
		}
		if d.Late {
			s += ", depends on data"
		}
		if len(d.In) > 0 {
			in, more := d.In, ""
			if len(in) > 6 {
				in, more = in[:6], fmt.Sprintf(" and %d more", len(in)-6)
			}
			s += ": " + oneLine(strings.Join(in, ", ")) + more
		}
		row(name, "%s\t%s", d.Name, s)
	}
}

func (in *inspection) printProgram(row func(name, format string, args ...any)) {
	for i, p := range in.Passes {
		name := ""
		if i == 0 {
			name = "passes"
		}
		what := "no change"
		if p.Changed {
			what = fmt.Sprintf("%d -> %d nodes", p.Before, p.After)
		}
		row(name, "%s\t%s, %v", p.Name, what, p.Took.Round(time.Microsecond))
	}
	if len(in.Fused) > 0 {
		row("fused", "%s", countText(in.Fused[:min(8, len(in.Fused))]))
	}
	if in.Steps == nil {
		return
	}
	row("steps", "%s", countText(in.Steps))
	if len(in.HostSteps) > 0 {
		row("host steps", "%s", countText(in.HostSteps))
	} else {
		row("host steps", "none")
	}
	for i, s := range in.States {
		name := ""
		if i == 0 {
			name = "states"
		}
		row(name, "%s", oneLine(s))
	}
	at := ""
	if len(in.ArenaDims) > 0 {
		at = " at " + dimText(in.ArenaDims)
	}
	row("memory", "%s of activations (%d bytes)%s; largest live set %d bytes", formatBytes(in.Arena), in.Arena, at, in.Live)
}
