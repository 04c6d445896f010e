package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/codegen/driver"
)

// Exit codes. Usage and noInput are those of BSD's sysexits.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUnsupported = 3 // run --inputs, where the model is valid and something in it is not handled
	exitUsage       = 64
	exitNoInput     = 66
)

// exitError ends the command with a code; without err, nothing more is said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what all subcommands share: where to write and how much.
type app struct {
	in       io.Reader
	out, err io.Writer
	json     bool
	quiet    bool
	verbose  bool
	started  bool // a subcommand has begun: errors are no longer about usage
}

// execute runs one command line and returns its exit code. A panic is a bug of ours, and scripts that call the command
// still get one line and exit code 1; -v adds the stack.
func execute(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) (code int) {
	a := &app{in: in, out: out, err: errw}
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(errw, "llmc: bug: %s\n", oneLine(fmt.Sprint(r)))
			if a.verbose {
				fmt.Fprintf(errw, "%s\n", debug.Stack())
			}
			code = exitFailed
		}
	}()
	root := a.root()
	root.SetArgs(longFlags(root, args))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		fmt.Fprintln(errw, "llmc: interrupted")
		return exitFailed
	}
	code = exitFailed
	var e *exitError
	switch {
	case errors.As(err, &e):
		code = e.code
		if e.err == nil {
			return code
		}
	case !a.started:
		code = exitUsage
	}
	fmt.Fprintf(errw, "llmc: %s\n", oneLine(err.Error()))
	if code == exitUsage {
		fmt.Fprintln(errw, `run "llmc --help" for usage`)
	}
	return code
}

// oneLine keeps the first line of a message and nothing unprintable.
func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "llmc",
		Short: "Compile and run neural networks",
		Long: `llmc compiles ONNX models to programs and runs them, on nothing but this one binary.

Exit codes: 0 done, 1 refused or failed, 64 wrong usage, 66 a path cannot be read.`,
		Example: `  llmc compile model.onnx -o model.llmc
  llmc run model.llmc --input image=cat.jpg --top 5 --labels labels.json
  llmc inspect model.onnx`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
		Version: driver.Version,
	}
	f := c.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "write JSON")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "write results only")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "write more")
	c.AddCommand(a.commands()...)
	return c
}

// longFlags lets long flags begin with one dash, as in -run: the conformance suite's command line is that of go test.
func longFlags(root *cobra.Command, args []string) []string {
	known := map[string]bool{"help": true}
	for _, c := range root.Commands() {
		for _, name := range []string{"run", "timeout"} {
			if c.Flags().Lookup(name) != nil {
				known[name] = true
			}
		}
	}
	out := append([]string(nil), args...)
	for i, s := range out {
		if s == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(s, "-"), "=")
		if strings.HasPrefix(s, "-") && known[name] {
			out[i] = "-" + s
		}
	}
	return out
}

// readable reports a path given by the user that cannot be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return &exitError{exitNoInput, pathError(err)}
	}
	return f.Close()
}

// pathError spells a file system error as path: cause.
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// notef writes a remark, which -q leaves out.
func (a *app) notef(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, "llmc: "+format+"\n", args...)
	}
}

// writeJSON writes one value, indented.
func (a *app) writeJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
