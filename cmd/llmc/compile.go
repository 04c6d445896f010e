package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/formats/atomicfile"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/pipeline"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// compileFlags are the flags of llmc compile.
type compileFlags struct {
	dims, shapes, states, skip []string
	out, stop, dump            string
}

func (a *app) compileCommand() *cobra.Command {
	var f compileFlags
	c := &cobra.Command{
		Use:   "compile MODEL.onnx [-o MODEL.llmc]",
		Short: "Compile a model to a program",
		Long: `Compile writes an .llmc file: steps over packed weights, which "llmc run" and the Go package load at once. It says how
many nodes the model had and how many steps are left, what was fused, and what the weights and the activations take.

Without -o nothing is written. A program serves all sizes that the model leaves open; --dim fixes some of them.`,
		Example: `  llmc compile model.onnx -o model.llmc
  llmc compile bert.onnx --dim batch=1,sequence=128 -o bert.llmc
  llmc compile gpt2.onnx --state 'past_key_values.*=present.*' -o gpt2.llmc
  llmc compile model.onnx --stop fuse --dump dump/`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.compile(cmd.Context(), &f, args[0])
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "program to write")
	fl.StringArrayVar(&f.dims, "dim", nil, "value of a dimension, as batch=1; several by commas or by more flags")
	fl.StringArrayVar(&f.shapes, "shape", nil, "shape of an input, as x=1,3,224,224")
	fl.StringArrayVar(&f.states, "state", nil, `past=present pair of names, with *, that becomes a state; "auto" finds them`)
	fl.StringSliceVar(&f.skip, "skip", nil, "passes to leave out")
	fl.StringVar(&f.stop, "stop", "", "pass after which to stop")
	fl.StringVar(&f.dump, "dump", "", "folder for the text after every pass and stage, and for a page index.html that shows them side by side")
	must(c.RegisterFlagCompletionFunc("skip", passNames))
	must(c.RegisterFlagCompletionFunc("stop", passNames))
	return c
}

// must panics on errors that only a wrong program can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func passNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var l []string
	for _, p := range pipeline.List() {
		l = append(l, p.Name)
	}
	return l, cobra.ShellCompDirectiveNoFileComp
}

// compileReport is what compile says.
type compileReport struct {
	driver.Report
	Fused       []count          `json:"fused"`
	Kinds       []count          `json:"step_kinds"`
	HostSteps   []count          `json:"host_steps"`
	WeightBytes int64            `json:"weight_bytes"`
	ArenaBytes  int64            `json:"arena_bytes"`
	LiveBytes   int64            `json:"live_bytes"`
	Dims        map[string]int64 `json:"arena_dims"`
	Output      string           `json:"output,omitempty"`
	OutputBytes int64            `json:"output_bytes,omitempty"`
	WroteNS     time.Duration    `json:"wrote_ns,omitempty"`
}

func (a *app) compile(ctx context.Context, f *compileFlags, path string) error {
	if f.stop != "" && f.out != "" {
		return usagef("--stop ends before there is a program: leave out -o")
	}
	for _, s := range append(append([]string(nil), f.skip...), f.stop) {
		if s != "" && pipeline.Named(s) == nil {
			return usagef("pass %q does not exist: see llmc passes", s)
		}
	}
	l, err := openModel(path, &modelFlags{dims: f.dims, shapes: f.shapes, states: f.states})
	if err != nil {
		return err
	}
	defer l.close()
	switch {
	case l.model != nil:
		return usagef("%s is a program already", path)
	case l.why != nil:
		return fmt.Errorf("%w: give the sizes of its inputs with --dim or --shape", l.why)
	}
	if f.out != "" { // the program says what it was made of
		if l.src.Hash, err = fileHash(path); err != nil {
			return err
		}
	}
	r, p, err := a.compileLoaded(ctx, l, f)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := a.writeProgram(ctx, r, f.out, p); err != nil {
			return err
		}
	}
	if a.json {
		return a.writeJSON(r)
	}
	if !a.quiet {
		a.printCompiled(r, p)
	}
	return nil
}

// compileLoaded compiles what l has opened and reports on it.
func (a *app) compileLoaded(ctx context.Context, l *loaded, f *compileFlags) (*compileReport, *program.Program, error) {
	d, err := newDump(f.dump, filepath.Base(l.path), l.src.Module)
	if err != nil {
		return nil, nil, err
	}
	syms := symbols(l.src.Module)
	r := &compileReport{Fused: []count{}}
	bar := a.stageProgress("compiling "+filepath.Base(l.path), len(pipeline.List()))
	res, err := driver.Compile(ctx, l.src, driver.Options{
		Dims: l.compileDims(), States: f.states, Skip: f.skip, Stop: f.stop,
		Event: func(e pass.Event) {
			bar.add(1)
			d.pass(e)
			if e.Facts&pass.Grouped != 0 {
				r.Fused = groups(e.Module)
			}
		},
		Kir: d.stage,
	})
	bar.stop()
	if err == nil {
		err = d.finish()
	}
	if err != nil {
		if needsSizes(err) && len(syms) > len(l.dims) {
			err = fmt.Errorf("%w (sizes can be given with --dim: %s)", err, strings.Join(syms, ", "))
		}
		return nil, nil, err
	}
	r.Report = res.Report
	p := res.Program
	if p == nil {
		return r, nil, nil
	}
	r.Kinds, r.HostSteps, r.WeightBytes = stepKinds(p), hostSteps(p), weightBytes(p)
	r.ArenaBytes, r.LiveBytes, r.Dims, err = needs(p, l.dims)
	if a.verbose && err != nil {
		a.notef("arena: %v", err)
	}
	return r, p, nil
}

// needs is the memory of the first entry; dimensions without a value are 1, or as small as they may be.
func needs(p *program.Program, dims map[string]int64) (arena, live int64, used map[string]int64, err error) {
	used = map[string]int64{}
	for i, name := range p.Dims.Syms {
		if s := p.Symbols[i]; !s.Late {
			used[name] = min(max(1, s.Lo), s.Hi)
			if v, ok := dims[name]; ok {
				used[name] = v
			}
		}
	}
	arena, live, err = exec.Needs(p, &p.Entries[0], func(name string) (int64, bool) {
		v, ok := used[name]
		return v, ok
	})
	return arena, live, used, err
}

// writeProgram writes the program and adds that to the report.
func (a *app) writeProgram(ctx context.Context, r *compileReport, path string, p *program.Program) error {
	start := time.Now()
	bar := a.byteProgress("writing "+filepath.Base(path), r.WeightBytes)
	err := program.WriteFile(ctx, path, p, program.Options{
		Pack:  exec.PackConst,
		Wrote: bar.add,
	})
	bar.stop()
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return pathError(err)
	}
	r.Output, r.OutputBytes, r.WroteNS = path, st.Size(), time.Since(start)
	return nil
}

func (a *app) printCompiled(r *compileReport, p *program.Program) {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("model", "%s", r.Model)
	if p == nil {
		row("nodes", "%d before, %d after %s", r.Nodes, lastNodes(r.Passes, r.Nodes), r.Passes[len(r.Passes)-1].Name)
	} else {
		row("nodes", "%d before, %d steps after: %s", r.Nodes, r.Steps, countText(r.Kinds))
	}
	for _, ps := range r.Passes {
		if ps.Changed || a.verbose {
			row("  "+ps.Name, "%d -> %d\t%v, checked in %v", ps.Before, ps.After, ps.Took.Round(time.Microsecond), ps.Checked.Round(time.Microsecond))
		}
	}
	n := len(r.Fused)
	if !a.verbose {
		n = min(n, 12)
	}
	for i, c := range r.Fused[:n] {
		name := ""
		if i == 0 {
			name = "fused"
		}
		row(name, "%s x%d", c.Name, c.Count)
	}
	if n < len(r.Fused) {
		row("", "and %d more; -v lists them", len(r.Fused)-n)
	}
	if p != nil {
		if len(r.HostSteps) > 0 {
			row("host steps", "%s", countText(r.HostSteps))
		}
		row("weights", "%s (%d bytes)", formatBytes(r.WeightBytes), r.WeightBytes)
		at := ""
		if len(r.Dims) > 0 {
			at = " at " + dimText(r.Dims)
		}
		row("peak arena", "%s (%d bytes)%s; largest live set %d bytes", formatBytes(r.ArenaBytes), r.ArenaBytes, at, r.LiveBytes)
	}
	row("time", "%v", r.Took.Round(time.Microsecond))
	if r.Output != "" {
		row("wrote", "%s, %s, in %v", r.Output, formatBytes(r.OutputBytes), r.WroteNS.Round(time.Microsecond))
	}
	_ = w.Flush()
}

func lastNodes(l []driver.PassReport, n int) int {
	if len(l) > 0 {
		return l[len(l)-1].After
	}
	return n
}

// dump writes the text form after every pass and stage that changed something, and a page with all of them.
type dump struct {
	dir  string
	n    int
	last string
	page pageWriter
	from time.Time // the end of the pass or stage before
	err  error
}

// newDump prepares a folder and writes what the importer made; an empty name writes nothing.
func newDump(dir, title string, m *ir.Module) (*dump, error) {
	d := &dump{dir: dir, page: pageWriter{title: title}}
	if dir == "" {
		return d, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, pathError(err)
	}
	n := pass.CountNodes(m)
	d.add(column{Name: "import", Kind: "ir", Before: n, Nodes: n, Changed: true}, m.String())
	return d, d.err
}

func (d *dump) pass(e pass.Event) {
	if d.dir == "" {
		return
	}
	c := column{Name: e.Pass.Name, Kind: "ir", Before: e.Before, Nodes: e.Nodes, Took: e.Took, Checked: e.Checked, Changed: e.Changed}
	text := ""
	if e.Changed {
		text = e.Module.String()
	}
	d.add(c, text)
}

func (d *dump) stage(name string, m *kir.Module) {
	if d.dir == "" {
		return
	}
	took, text := time.Since(d.from), m.String()
	c := column{Name: name, Kind: "kir", Took: took, Changed: text != d.last}
	for _, e := range m.Entries {
		e.Body.Walk(func(*kir.Group) { c.Nodes++ })
	}
	d.last = text
	d.add(c, text)
}

// add writes a column's text, if it has changed, and keeps it for the page.
func (d *dump) add(c column, text string) {
	if d.err != nil {
		return
	}
	d.page.add(c, text)
	if c.Changed {
		path := filepath.Join(d.dir, fmt.Sprintf("%02d-%s.%s", d.n, c.Name, c.Kind))
		d.n++
		if err := atomicfile.WriteBytes(path, []byte(text)); err != nil {
			d.err = pathError(err)
		}
	}
	d.from = time.Now()
}

// finish writes the page.
func (d *dump) finish() error {
	if d.dir == "" || d.err != nil {
		return d.err
	}
	return writePage(filepath.Join(d.dir, "index.html"), d.page.write)
}

// writePage writes a file.
func writePage(path string, write func(io.Writer) error) error {
	return pathError(atomicfile.Write(context.Background(), path, write))
}
