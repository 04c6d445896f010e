// Package driver joins the stages: it is the only package that knows frontend, passes, code generation and
// program at once.
package driver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sort"
	"strings"
	"time"

	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/codegen/lower"
	"github.com/llmc-go/llmc/codegen/memory"
	"github.com/llmc-go/llmc/codegen/plan"
	"github.com/llmc-go/llmc/codegen/schedule"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/frontend/onnx"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/verify"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/pipeline"
	"github.com/llmc-go/llmc/runtime/program"
)

// Version of the compiler, written into programs.
const Version = "0.1.0"

// Options of a compilation. The zero value is the recommended setting.
type Options struct {
	Dims   map[string]int64 // values of symbols
	States []string         // past=present pairs of names, with *; or "auto"
	Skip   []string         // names of passes to leave out
	Stop   string           // name of the pass after which to stop; the result has no program then
	// Passes run instead of those of the pipeline; nil is the pipeline.
	Passes []*pass.Pass
	// Event is told of every pass.
	Event func(pass.Event)
	// Kir is told of the kernel-level IR after each stage of code generation.
	Kir func(stage string, m *kir.Module)
	// SkipVerify leaves out the checks after every pass.
	SkipVerify bool
}

// Source is a model that is open, as the typed IR.
type Source struct {
	Path   string
	Module *ir.Module
	Table  *op.Table
	Sem    *eval.Evaluator
	Nodes  int // of the model's graph
	Hash   string
	// Model is the file's content, for reports.
	Model *onnxpb.Model
	close func() error
}

// Close releases the model file. Programs compiled from it refer to its bytes and must not be used after.
func (s *Source) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// OpenOptions say what is known of a model's inputs before it is read.
type OpenOptions = onnx.Options

// Open reads a model file. Its format is found from its contents.
func Open(path string, o OpenOptions) (*Source, error) {
	table, err := ops.Table()
	if err != nil {
		return nil, err
	}
	sem := eval.New(table)
	f, err := onnxpb.Open(path)
	if err != nil {
		return nil, err
	}
	src := &Source{Path: path, Table: table, Sem: sem, Nodes: len(f.Graph.Nodes), Model: f.Model, close: f.Close}
	err = guard("import", func() (err error) {
		src.Module, err = onnx.Import(f, table, sem, o)
		return err
	})
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return src, nil
}

// OpenModel takes a decoded model; ext resolves its external data and may be nil.
func OpenModel(pb *onnxpb.Model, ext onnxpb.ExternalResolver, name string, o OpenOptions) (*Source, error) {
	table, err := ops.Table()
	if err != nil {
		return nil, err
	}
	src := &Source{Path: name, Table: table, Sem: eval.New(table), Nodes: len(pb.Graph.Nodes), Model: pb}
	err = guard("import", func() (err error) {
		src.Module, err = onnx.ImportModel(pb, ext, name, table, src.Sem, o)
		return err
	})
	return src, err
}

// Report is what a compilation did.
type Report struct {
	Model  string        `json:"model"`
	Nodes  int           `json:"nodes"`
	Steps  int           `json:"steps"`
	Passes []PassReport  `json:"passes"`
	Took   time.Duration `json:"took_ns"`
}

// PassReport is what one pass did.
type PassReport struct {
	Name    string        `json:"name"`
	Before  int           `json:"before"`
	After   int           `json:"after"`
	Changed bool          `json:"changed"`
	Took    time.Duration `json:"took_ns"`
	Checked time.Duration `json:"checked_ns"`
}

// Result of a compilation.
type Result struct {
	Program *program.Program // nil where Options.Stop ended it before code generation
	Report  Report
}

// Compile lowers the source's module, which it changes, to a program.
func Compile(ctx context.Context, src *Source, o Options) (*Result, error) {
	start := time.Now()
	res := &Result{Report: Report{Model: filepath.Base(src.Path), Nodes: src.Nodes}}
	err := guard("compile", func() error { return compile(ctx, src, o, res) })
	res.Report.Took = time.Since(start)
	if err != nil {
		return nil, err
	}
	return res, nil
}

func compile(ctx context.Context, src *Source, o Options, res *Result) error {
	list, err := pipelineFor(o)
	if err != nil {
		return err
	}
	c := &pass.Context{Sem: src.Sem, Table: src.Table, Target: CPU(), Options: pass.Options{Dims: o.Dims, States: o.States}}
	r := &pass.Runner{After: func(e pass.Event) {
		res.Report.Passes = append(res.Report.Passes, PassReport{e.Pass.Name, e.Before, e.Nodes, e.Changed, e.Took, e.Checked})
		if o.Event != nil {
			o.Event(e)
		}
	}}
	if o.SkipVerify {
		r.Verify = func(*ir.Module, ir.Semantics) error { return nil }
	} else {
		r.Verify = func(m *ir.Module, sem ir.Semantics) error { return verify.Module(m, sem) }
	}
	for i, p := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.Stop == p.Name {
			list = list[:i+1]
			break
		}
	}
	var have pass.Facts
	if len(o.Skip) > 0 { // what a pass that is left out would give may hold already
		have = r.Prove(c, src.Module)
	}
	if _, err := r.Run(c, src.Module, list, have); err != nil {
		return err
	}
	if o.Stop != "" {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return generate(src, c.Target, o, res)
}

// pipelineFor is the pass list less the passes to skip.
func pipelineFor(o Options) ([]*pass.Pass, error) {
	skip := map[string]bool{}
	for _, s := range o.Skip {
		skip[s] = true
	}
	var list []*pass.Pass
	known := map[string]bool{}
	all := o.Passes
	if all == nil {
		all = pipeline.List()
	}
	for _, p := range all {
		known[p.Name] = true
		if !skip[p.Name] {
			list = append(list, p)
		}
	}
	for _, s := range append(append([]string(nil), o.Skip...), o.Stop) {
		if s != "" && !known[s] {
			return nil, fmt.Errorf("pass %q does not exist", s)
		}
	}
	return list, nil
}

// Generate makes a program of a module that is as the passes leave one.
func Generate(src *Source, o Options) (*program.Program, error) {
	res := &Result{}
	err := guard("generate", func() error { return generate(src, CPU(), o, res) })
	return res.Program, err
}

// generate runs the stages after the passes.
func generate(src *Source, target *op.Target, o Options, res *Result) error {
	k, err := lower.Module(src.Module, src.Table, lower.Options{Supports: target.Takes})
	if err != nil {
		return err
	}
	see := func(stage string) {
		if err := k.Verify(); err != nil {
			ir.Bugf(nil, "after %s: %v", stage, err)
		}
		if o.Kir != nil {
			o.Kir(stage, k)
		}
	}
	see("lower")
	schedule.Run(k)
	see("schedule")
	memory.Run(k)
	see("memory")
	p, err := plan.Build(k, program.Provenance{Model: filepath.Base(src.Path), Hash: src.Hash, Version: Version, Options: optionText(o), Nodes: src.Nodes})
	if err != nil {
		return err
	}
	if err := program.Verify(p); err != nil {
		ir.Bugf(nil, "the program is not valid: %v", err)
	}
	for i := range p.Entries {
		res.Report.Steps += len(p.Entries[i].Body.Steps)
	}
	res.Program = p
	return nil
}

func optionText(o Options) string {
	var l []string
	for k, v := range o.Dims {
		l = append(l, fmt.Sprintf("--dim %s=%d", k, v))
	}
	sort.Strings(l)
	for _, s := range o.States {
		l = append(l, "--state "+s)
	}
	for _, s := range o.Skip {
		l = append(l, "--skip "+s)
	}
	return strings.Join(l, " ")
}

// HashBytes is the hash that provenance records.
func HashBytes(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// guard turns a panic of the stages into an error: the one place of the compiler that recovers.
func guard(stage string, f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case ir.Bug:
			err = fmt.Errorf("%s: %w", stage, r)
		case error:
			err = fmt.Errorf("%s: bug: %w\n%s", stage, r, debug.Stack())
		default:
			err = fmt.Errorf("%s: bug: %v\n%s", stage, r, debug.Stack())
		}
	}()
	return f()
}

// IsUnsupported reports whether err means that the model is valid and this version does not handle it.
func IsUnsupported(err error) bool {
	return errors.Is(err, ir.ErrUnsupported) || errors.Is(err, onnxpb.ErrUnsupported)
}
