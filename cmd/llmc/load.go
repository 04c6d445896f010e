package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
)

// modelFlags are what run and bench say about a model.
type modelFlags struct {
	dims    []string
	shapes  []string
	states  []string
	threads int
	tier    string
	memory  byteSize
}

// parseDims reads NAME=N pairs, also several joined by commas.
func parseDims(l []string) (map[string]int64, error) {
	m := map[string]int64{}
	for _, s := range l {
		for _, p := range strings.Split(s, ",") {
			name, text, ok := strings.Cut(strings.TrimSpace(p), "=")
			v, err := strconv.ParseInt(text, 10, 64)
			if !ok || name == "" || err != nil || v < 0 {
				return nil, usagef("--dim: want NAME=N, got %q", p)
			}
			m[name] = v
		}
	}
	return m, nil
}

// parseShapes reads NAME=1,3,224,224.
func parseShapes(l []string) (map[string][]int, error) {
	m := map[string][]int{}
	for _, s := range l {
		i := strings.LastIndexByte(s, '=')
		if i < 1 {
			return nil, usagef("--shape: want NAME=N,N..., got %q", s)
		}
		shape := []int{}
		for _, t := range strings.Split(s[i+1:], ",") {
			if t == "" && i+1 == len(s) {
				break // a scalar
			}
			v, err := strconv.Atoi(strings.TrimSpace(t))
			if err != nil || v < 0 {
				return nil, usagef("--shape: want NAME=N,N..., got %q", s)
			}
			shape = append(shape, v)
		}
		m[s[:i]] = shape
	}
	return m, nil
}

func (f *modelFlags) add(c *cobra.Command) {
	f.addOpening(c)
	c.Flags().IntVar(&f.threads, "threads", 0, "processors to use; 0 is all")
}

// addOpening adds all flags but --threads.
func (f *modelFlags) addOpening(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.dims, "dim", nil, "value of a dimension, as batch=1; several by commas or by more flags")
	fl.StringArrayVar(&f.shapes, "shape", nil, "shape of an input, as x=1,3,224,224")
	fl.StringArrayVar(&f.states, "state", nil, `past=present pair of names, with *, that becomes a state; "auto" finds them`)
	fl.StringVar(&f.tier, "cpu", "", "use no more of the processor than this tier has: see llmc kernels")
	fl.Var(&f.memory, "max-memory", "bytes of activations that may be held, as in 2GB; 0 is no limit")
}

// loaded is a model file on the way to a model: its interface is known before it is compiled, so that inputs can be
// read first.
type loaded struct {
	path    string
	dims    map[string]int64
	shapes  map[string][]int // by --shape
	opts    llmc.Options
	src     *driver.Source // of an .onnx file; nil where it could not be imported without the sizes of its inputs:
	why     error          // then this is the reason
	fixed   bool           // dims have been given to the importer
	inputs  []llmc.Info
	outputs []llmc.Info
	files   []string // names by position of input_K.pb: graph.input with what has an initializer
	model   *llmc.Model

	invented map[string]bool // inputs whose values are random
}

// openModel opens a model or program.
func openModel(path string, f *modelFlags) (*loaded, error) {
	dims, err := parseDims(f.dims)
	if err != nil {
		return nil, err
	}
	shapes, err := parseShapes(f.shapes)
	if err != nil {
		return nil, err
	}
	if err := readable(path); err != nil {
		return nil, err
	}
	l := &loaded{path: path, dims: dims, shapes: shapes, opts: llmc.Options{Threads: f.threads, Tier: f.tier, MaxMemory: int64(f.memory), States: f.states, Dims: dims}}
	if llmc.IsProgram(path) {
		return l, l.openProgram()
	}
	if err := l.open(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *loaded) openProgram() error {
	if len(l.dims) > 0 || len(l.shapes) > 0 || len(l.opts.States) > 0 {
		return usagef("--dim, --shape and --state are decided when a model is compiled, and %s is a program", l.path)
	}
	var err error
	if l.model, err = llmc.Open(l.path, l.opts); err != nil {
		return err
	}
	l.inputs, l.outputs = l.model.Inputs(), l.model.Outputs()
	for _, in := range l.inputs {
		l.files = append(l.files, in.Name)
	}
	return nil
}

// open imports the model, for all sizes if it can be.
func (l *loaded) open() error {
	var err error
	l.src, err = driver.Open(l.path, driver.OpenOptions{Shapes: l.shapes})
	if err == nil {
		err = l.checkDims()
	} else if needsSizes(err) && len(l.dims) > 0 {
		l.src, err = driver.Open(l.path, driver.OpenOptions{Dims: l.dims, Shapes: l.shapes})
		l.fixed = true
	}
	if err != nil && needsSizes(err) {
		l.why = err
		return l.declared()
	}
	if err != nil {
		return err
	}
	fn := l.src.Module.Main()
	l.inputs, l.outputs = irInfos(fn.Inputs, fn.Body.Params), irInfos(fn.Outputs, fn.Body.Results)
	for i := range l.src.Model.Graph.Inputs {
		l.files = append(l.files, l.src.Model.Graph.Inputs[i].Name)
	}
	return err
}

// declared takes the inputs from their declarations in the file.
func (l *loaded) declared() error {
	f, err := onnxpb.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	inits := map[string]bool{}
	for i := range f.Graph.Inits {
		inits[f.Graph.Inits[i].Name] = true
	}
	for i := range f.Graph.Inputs {
		in := &f.Graph.Inputs[i]
		l.files = append(l.files, in.Name)
		if inits[in.Name] {
			continue
		}
		if text, ok := boxText(in.Type); ok {
			l.inputs = append(l.inputs, llmc.Info{Name: in.Name, Type: text})
			continue
		}
		if in.Type == nil || in.Type.Kind != onnxpb.KindTensor {
			return l.why
		}
		elem, ok := in.Type.Elem.Elem()
		if !ok {
			return l.why
		}
		info := llmc.Info{Name: in.Name, Elem: elem}
		for k, d := range in.Type.Dims {
			text := d.Param
			if d.Known {
				text = strconv.FormatInt(d.Value, 10)
			} else if text == "" {
				text = fmt.Sprintf("%s_%d", in.Name, k)
			}
			info.Shape = append(info.Shape, text)
		}
		l.inputs = append(l.inputs, info)
	}
	return nil
}

// checkDims refuses names that are no dimension of the model.
func (l *loaded) checkDims() error {
	known := map[string]bool{}
	have := symbols(l.src.Module)
	for _, n := range have {
		known[n] = true
	}
	var unknown []string
	for n := range l.dims {
		if !known[n] {
			unknown = append(unknown, n)
		}
	}
	if unknown == nil {
		return nil
	}
	sort.Strings(unknown)
	if len(have) == 0 {
		return usagef("--dim: the model has no dimension %q: all its sizes are fixed", unknown[0])
	}
	return usagef("--dim: the model has no dimension %q; it has %s", unknown[0], strings.Join(have, ", "))
}

func irInfos(names []string, vals []*ir.Value) []llmc.Info {
	out := make([]llmc.Info, len(vals))
	for i, v := range vals {
		if v.Type.Kind != ir.Tensor {
			out[i] = llmc.Info{Name: names[i], Type: v.Type.String()}
			continue
		}
		out[i] = llmc.Info{Name: names[i], Elem: v.Type.Elem}
		for _, e := range v.Type.Shape {
			out[i].Shape = append(out[i].Shape, e.Key())
		}
	}
	return out
}

func (l *loaded) input(name string) (int, bool) {
	for i := range l.inputs {
		if l.inputs[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// build compiles an .onnx file. Where the model cannot be compiled for all sizes, it is compiled for those of
// inputs, and that is said.
func (l *loaded) build(ctx context.Context, a *app, inputs llmc.Values) error {
	if l.model != nil {
		return nil
	}
	err := l.why
	if err == nil {
		err = l.compile(ctx)
		if err == nil || ctx.Err() != nil || !needsSizes(err) || len(symbols(l.src.Module)) == 0 {
			return err
		}
	}
	if e := l.reopen(inputs); e != nil {
		return e
	}
	if e := l.compile(ctx); e != nil {
		return e
	}
	a.notef("compiled for these sizes only: %s", oneLine(err.Error()))
	return nil
}

// reopen reads the model again, for inputs of these shapes.
func (l *loaded) reopen(inputs llmc.Values) error {
	l.close()
	l.fixed = true
	var err error
	l.src, err = l.openSized(inputs)
	return err
}

// openSized imports the model for inputs of these shapes.
func (l *loaded) openSized(inputs llmc.Values) (*driver.Source, error) {
	shapes := maps.Clone(l.shapes)
	for name, v := range inputs {
		if s, ok := sharedShape(v); ok {
			shapes[name] = s
		}
	}
	return driver.Open(l.path, driver.OpenOptions{Dims: l.dims, Shapes: shapes})
}

// compileDims are the values of dimensions that are left to the passes.
func (l *loaded) compileDims() map[string]int64 {
	if l.fixed {
		return nil
	}
	return l.dims
}

func (l *loaded) compile(ctx context.Context) error {
	res, err := driver.Compile(ctx, l.src, driver.Options{Dims: l.compileDims(), States: l.opts.States})
	if err != nil {
		return err
	}
	src := l.src
	l.model, err = llmc.Load(res.Program, src.Close, l.opts)
	if err == nil {
		l.src = nil
	}
	return err
}

func (l *loaded) close() {
	if l.model != nil {
		_ = l.model.Close()
		l.model = nil
	}
	if l.src != nil {
		_ = l.src.Close()
		l.src = nil
	}
}

// dim is the value of a dimension: what was asked for, else 1; of a total length, which decoders have beside the length of
// the past, their sum.
func (l *loaded) dim(name string) int64 {
	if v, ok := l.dims[name]; ok {
		return v
	}
	if rest, ok := strings.CutPrefix(name, "total_"); ok {
		past, now := "past_"+rest, ""
		for _, in := range l.inputs {
			for _, text := range in.Shape {
				switch text {
				case rest, "sequence", "sequence_length":
					now = text
				}
			}
		}
		if now != "" && slices.ContainsFunc(l.inputs, func(in llmc.Info) bool { return slices.Contains(in.Shape, past) }) {
			return l.dim(past) + l.dim(now)
		}
	}
	return 1
}

// guessed says beside an error of a run on inputs that are made up which sizes nobody gave.
func (l *loaded) guessed(err error) error {
	var names []string
	for _, in := range l.inputs {
		for _, text := range in.Shape {
			e, bad := dim.Parse(text)
			if bad != nil || !l.invented[in.Name] || l.shapes[in.Name] != nil {
				continue
			}
			e.Walk(func(s string) {
				if _, ok := l.dims[s]; !ok && !slices.Contains(names, s) {
					names = append(names, s)
				}
			})
		}
	}
	if names == nil {
		return err
	}
	return fmt.Errorf("%w; nobody gave a value for %s: --dim %s=N does", err, strings.Join(names, ", "), names[0])
}

// shape evaluates an input's shape.
func (l *loaded) shape(info llmc.Info) ([]int, error) {
	shape := make([]int, len(info.Shape))
	for i, text := range info.Shape {
		e, err := dim.Parse(text)
		if err != nil {
			return nil, err
		}
		v, err := e.Eval(func(s string) (int64, bool) { return l.dim(s), true })
		if err != nil {
			return nil, err
		}
		if v < 0 || v > 1<<32 {
			return nil, fmt.Errorf("input %q: extent %s is %d", info.Name, text, v)
		}
		shape[i] = int(v)
	}
	return shape, nil
}

// dimText writes values of dimensions in the order of their names.
func dimText(dims map[string]int64) string {
	var l []string
	for n, v := range dims {
		l = append(l, fmt.Sprintf("%s=%d", n, v))
	}
	sort.Strings(l)
	return strings.Join(l, ",")
}
