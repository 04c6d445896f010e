package llmc

import (
	"context"
	"errors"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// Compiled is a model that has been compiled and not loaded yet. It refers to the model's file until it is closed.
type Compiled struct {
	Program *program.Program
	Report  driver.Report

	source *driver.Source
}

// Compile reads a model and compiles it. Close the result, unless it is loaded.
func Compile(ctx context.Context, path string, o Options) (*Compiled, error) {
	dims := o.Dims
	src, err := driver.Open(path, driver.OpenOptions{Shapes: o.Shapes})
	if len(dims) > 0 && (driver.IsUnsupported(err) || errors.Is(err, ir.ErrShape)) {
		// what cannot be typed for all sizes may be for these
		src, err = driver.Open(path, driver.OpenOptions{Shapes: o.Shapes, Dims: dims})
		dims = nil
	}
	if err != nil {
		return nil, err
	}
	res, err := driver.Compile(ctx, src, driver.Options{Dims: dims, States: o.States})
	if err != nil {
		_ = src.Close()
		return nil, err
	}
	return &Compiled{Program: res.Program, Report: res.Report, source: src}, nil
}

// WriteFile writes the program as an .llmc file, with the weights in it, as kernels want them. The file appears when it
// is complete.
func (c *Compiled) WriteFile(ctx context.Context, path string) error {
	return program.WriteFile(ctx, path, c.Program, program.Options{Pack: exec.PackConst})
}

// Load makes a model of the program; closing the model then closes c too.
func (c *Compiled) Load(o Options) (*Model, error) { return load(c.Program, c.Close, o) }

// Close gives back the model's file.
func (c *Compiled) Close() error { return c.source.Close() }

// Load makes a model of a program that is in memory; closing the model calls free, which may be nil.
func Load(p *program.Program, free func() error, o Options) (*Model, error) {
	if free == nil {
		free = func() error { return nil }
	}
	return load(p, free, o)
}
