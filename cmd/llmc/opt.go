package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/atomicfile"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/verify"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/pipeline"
)

type optFlags struct {
	passes, dims, states []string
	facts                bool
	out                  string
}

func (a *app) optCommand() *cobra.Command {
	var f optFlags
	c := &cobra.Command{
		Use:   "opt [--passes LIST] FILE",
		Short: "Run passes over the text form of a graph",
		Long: `Opt reads the IR's text form (or a model, or text from standard input where FILE is -), checks it, runs the passes
named, each verified, and writes the text.`,
		Example: `  llmc opt --passes simplify,fold f.ir
  llmc opt model.onnx > model.ir
  llmc opt --facts --passes simplify,fold,expand,fuse model.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.opt(cmd.Context(), &f, args[0])
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.passes, "passes", nil, "passes to run, in order: see llmc passes")
	fl.StringArrayVar(&f.dims, "dim", nil, "value of a dimension, for the pass specialize")
	fl.StringArrayVar(&f.states, "state", nil, "past=present pair of names, for the pass state")
	fl.BoolVar(&f.facts, "facts", false, "write, as comments, which facts hold at the start and after every pass")
	fl.StringVarP(&f.out, "output", "o", "", "file to write instead of standard output")
	must(c.RegisterFlagCompletionFunc("passes", passNames))
	return c
}

func (a *app) opt(ctx context.Context, f *optFlags, path string) error {
	var list []*pass.Pass
	for _, name := range f.passes {
		p := pipeline.Named(name)
		if p == nil {
			return usagef("pass %q does not exist: see llmc passes", name)
		}
		list = append(list, p)
	}
	dims, err := parseDims(f.dims)
	if err != nil {
		return err
	}
	src, err := a.readModule(path)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // only read
	c := &pass.Context{Sem: src.Sem, Table: src.Table, Target: driver.CPU(), Options: pass.Options{Dims: dims, States: f.states}}
	if a.verbose {
		c.Log = a.notef
	}
	var text strings.Builder
	r := &pass.Runner{Verify: func(m *ir.Module, sem ir.Semantics) error { return verify.Module(m, sem) }}
	if err := r.Verify(src.Module, src.Sem); err != nil {
		return err
	}
	have := r.Prove(c, src.Module)
	if f.facts {
		text.WriteString("// facts: " + have.String() + "\n")
	}
	r.After = func(e pass.Event) {
		if f.facts {
			text.WriteString("// facts after " + e.Pass.Name + ": " + e.Facts.String() + "\n")
		}
	}
	for _, p := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if have, err = r.Run(c, src.Module, []*pass.Pass{p}, have); err != nil {
			return err
		}
	}
	if err := ir.Print(&text, src.Module); err != nil {
		return err
	}
	if f.out != "" {
		return pathError(atomicfile.WriteBytes(f.out, []byte(text.String())))
	}
	_, err = io.WriteString(a.out, text.String())
	return err
}

// maxText bounds a text form, in bytes.
const maxText = 1 << 28

// readModule reads a model, or the text form.
func (a *app) readModule(path string) (*driver.Source, error) {
	if strings.HasSuffix(strings.ToLower(path), ".onnx") {
		if err := readable(path); err != nil {
			return nil, err
		}
		return driver.Open(path, driver.OpenOptions{})
	}
	in, name := a.in, "stdin"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, &exitError{exitNoInput, pathError(err)}
		}
		defer f.Close() //nolint:errcheck // only read
		in, name = f, path
	}
	data, err := io.ReadAll(io.LimitReader(in, maxText))
	if err != nil {
		return nil, pathError(err)
	}
	table, err := ops.Table()
	if err != nil {
		return nil, err
	}
	src := &driver.Source{Path: path, Table: table, Sem: eval.New(table)}
	src.Module, err = ir.Parse(string(data), ir.ParseOptions{File: name, Semantics: src.Sem})
	return src, err
}
