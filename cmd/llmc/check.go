package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

// checkFlags are the flags of llmc check.
type checkFlags struct {
	in      inputFlags
	timeout time.Duration
}

// checkGrace is how long a stage may take to see that its time is over, before it is left behind.
const checkGrace = 500 * time.Millisecond

func (a *app) checkCommand() *cobra.Command {
	f := checkFlags{timeout: 5 * time.Second}
	c := &cobra.Command{
		Use:   "check MODEL [--max-memory SIZE] [--timeout TIME]",
		Short: "Say whether a file is safe and able to run",
		Long: `Check reads a model or program that nobody vouches for, compiles it and runs it once on zeros, within a bound on memory
and one on time. Dimensions that the file leaves open are 1, unless --dim or --shape says otherwise.

Exit code 0 means that all of it worked, 1 that it did not: one line on standard error says why.`,
		Example: `  llmc check download.onnx
  llmc check upload.llmc --max-memory 256MiB --timeout 5s
  llmc check gpt2.onnx --max-memory 4GiB --timeout 1m --dim sequence=16`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.check(cmd.Context(), &f, args[0])
		},
	}
	f.in.model.memory = 256 << 20
	f.in.model.addFor(c)
	c.Flags().DurationVar(&f.timeout, "timeout", f.timeout, "time for all of it")
	return c
}

// addFor adds the flags that say for which sizes and within which limits a model runs.
func (f *modelFlags) addFor(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.dims, "dim", nil, "value of a dimension, as batch=1; several by commas or by more flags")
	fl.StringArrayVar(&f.shapes, "shape", nil, "shape of an input, as x=1,3,224,224")
	fl.Var(&f.memory, "max-memory", "bytes of activations that may be held, as in 2GB; 0 is no limit")
	fl.IntVar(&f.threads, "threads", 0, "processors to use; 0 is all")
}

// check does the work beside the command, so that a stage that never looks at its context ends with the process.
func (a *app) check(ctx context.Context, f *checkFlags, path string) error {
	if f.timeout <= 0 {
		return usagef("--timeout: want a time such as 5s, got %v", f.timeout)
	}
	f.in.zeros = true
	if err := readable(path); err != nil {
		return err
	}
	work := func(ctx context.Context) error { return a.checkOnce(ctx, &f.in, path) }
	err := watched(ctx, f.timeout, heapLimit(int64(f.in.model.memory), path), work)
	if err == nil {
		a.verdict(path, "")
		return nil
	}
	var e *exitError
	if a.json && !errors.As(err, &e) && ctx.Err() == nil {
		a.verdict(path, oneLine(err.Error()))
		return &exitError{code: exitFailed}
	}
	return err
}

// verdict is what check says on standard output.
func (a *app) verdict(path, reason string) {
	switch {
	case a.json:
		_ = a.writeJSON(struct { // standard output that is gone is nobody's loss
			File   string `json:"file"`
			OK     bool   `json:"ok"`
			Reason string `json:"reason,omitempty"`
		}{path, reason == "", reason})
	case !a.quiet && reason == "":
		a.printf("%s: ok\n", filepath.Base(path))
	}
}

// checkOnce loads, compiles and runs.
func (a *app) checkOnce(ctx context.Context, f *inputFlags, path string) error {
	quiet := *a // what it was compiled for is no part of the verdict
	quiet.quiet = true
	l, inputs, err := quiet.ready(ctx, f, path, func(*loaded) error { return ctx.Err() })
	if err != nil {
		return err
	}
	defer l.close()
	s, err := l.model.NewSession()
	if err != nil {
		return err
	}
	_, err = s.RunValues(ctx, inputs)
	return err
}

// heapLimit bounds the heap as a whole: activations, packed weights, which the size of the file bounds, and what the
// compiler itself needs. 0 is no limit.
func heapLimit(activations int64, path string) int64 {
	if activations <= 0 {
		return 0
	}
	limit := activations + 160<<20
	if st, err := os.Stat(path); err == nil {
		limit += 4 * st.Size()
	}
	if l, err := filepath.Glob(filepath.Join(filepath.Dir(path), filepath.Base(path)+"*data")); err == nil {
		for _, p := range l { // external data as exporters name it
			if st, err := os.Stat(p); err == nil {
				limit += 4 * st.Size()
			}
		}
	}
	return limit
}

// watched runs work, and returns an error where it panics, takes longer than timeout, or where the heap grows beyond
// limit. Work that does not end when its context does goes on until the process ends.
func watched(ctx context.Context, timeout time.Duration, limit int64, work func(context.Context) error) error {
	start := time.Now()
	inner, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("bug: %v", r)
			}
		}()
		done <- work(inner)
	}()
	over := time.NewTimer(timeout + checkGrace)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil && ctx.Err() == nil && errors.Is(inner.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("time limit of %v: %s", timeout, oneLine(err.Error()))
			}
			return err
		case <-over.C:
			return fmt.Errorf("time limit of %v: not done after %v", timeout, time.Since(start).Round(100*time.Millisecond))
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if n := heapInUse(); limit > 0 && n > limit {
				return fmt.Errorf("memory limit: the process holds %s, and the limit is %s", formatBytes(n), formatBytes(limit))
			}
		}
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
