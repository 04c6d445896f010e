package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/runtime/program"
)

// verifyFlags are the flags of llmc verify.
type verifyFlags struct {
	in   inputFlags
	tol  float64
	most int
	prog string

	passes []*pass.Pass           // in place of the pipeline
	plant  func(*program.Program) // changes every program before it runs
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify MODEL.onnx [--data DIR] [--input NAME=VALUE]... [--tol T]",
		Short: "Compare a compiled model with the reference, step by step",
		Long: `Verify runs the compiled program and the reference evaluator on the same inputs and compares every value that a step of
the program writes: with what the model's own graph gives (error), and with what the reference makes of the values that
this step was given (own), so that a step's own error is told from what it inherited. Errors are relative to the largest
magnitude in the value.

Where something diverges, it says which of the model's nodes does so first, and whether a kernel, a weight or a pass is
at fault, with exit code 1. Inputs are as for llmc run; where neither they nor sizes are given, those of test_data_set_0 beside
the model, else made up.`,
		Example: `  llmc verify model.onnx
  llmc verify model.onnx --data test_data_set_0 -v
  llmc verify model.onnx --program model.llmc
  llmc verify bert.onnx --dim batch=1,sequence=16 --tol 1e-4 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), &f, args[0])
		},
	}
	fl := c.Flags()
	f.in.model.addFor(c)
	fl.StringVar(&f.in.model.tier, "cpu", "", "use no more of the processor than this tier has: see llmc kernels")
	f.in.add(c, "data")
	fl.Float64Var(&f.tol, "tol", 0, "error that is allowed; 0 is 1e-3, or 2e-2 for f16 and bf16 and 5e-2 for quantised models")
	fl.StringVar(&f.prog, "program", "", "run this program, which the model was compiled to, in place of a new one")
	fl.IntVar(&f.most, "most", 20, "rows at the most, the worst; -v writes all, in the order of the steps")
	return c
}

// verifyRow is one value that a step wrote.
type verifyRow struct {
	Step     int     `json:"step"`
	Value    string  `json:"value"`
	Type     string  `json:"type"`
	Op       string  `json:"op"`
	Nodes    string  `json:"nodes,omitempty"`
	Abs      float64 `json:"max_abs_error"`
	Rel      float64 `json:"max_rel_error"`
	OwnAbs   float64 `json:"own_abs_error"`
	OwnRel   float64 `json:"own_rel_error"`
	Against  string  `json:"against"` // "model", or "passes" where the model has no such value
	Unknown  string  `json:"own_unknown,omitempty"`
	Diverges bool    `json:"diverges"`

	tol, ownTol float64
	id          int
}

// fault is the verdict where something diverges.
type fault struct {
	Kind  string `json:"kind"` // kernel, weight, pass or sum
	Pass  string `json:"pass,omitempty"`
	Step  int    `json:"step"`
	Node  string `json:"node"`
	Op    string `json:"op,omitempty"`
	Value string `json:"value"`
	Text  string `json:"text"`
}

// verification is what verify says.
type verification struct {
	Model string      `json:"model"`
	OK    bool        `json:"ok"`
	Fault *fault      `json:"fault,omitempty"`
	Rows  []verifyRow `json:"rows"`
	Notes []string    `json:"notes,omitempty"`

	Outputs int `json:"outputs"`
}

func (a *app) verify(ctx context.Context, f *verifyFlags, path string) error {
	if !(f.tol >= 0) || math.IsInf(f.tol, 0) {
		return usagef("--tol: want a number from 0, got %v", f.tol)
	}
	if llmc.IsProgram(path) {
		return usagef("%s is a program: verify wants the model it was compiled from, and the program after --program", path)
	}
	if f.prog != "" {
		if err := readable(f.prog); err != nil {
			return err
		}
	}
	f.in.random = true
	if f.in.dir == "" && len(f.in.values)+len(f.in.model.dims)+len(f.in.model.shapes) == 0 {
		dir := filepath.Join(filepath.Dir(path), "test_data_set_0")
		if _, err := os.Stat(dir); err == nil {
			f.in.dir = dir
		}
	}
	l, inputs, err := openFor(&f.in, path, nil)
	if err != nil {
		return err
	}
	l.close()
	v := &verifier{f: f, l: l, inputs: inputs}
	defer v.close()
	if err := v.run(ctx); err != nil {
		return err
	}
	v.out.Model = filepath.Base(path)
	if err := a.printVerification(f, &v.out); err != nil {
		return err
	}
	if !v.out.OK {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (a *app) printVerification(f *verifyFlags, v *verification) error {
	rows := v.Rows
	total, worst := len(rows), 0.0
	for i := range rows {
		worst = max(worst, finite(rows[i].Rel))
	}
	if !a.verbose {
		rows = append([]verifyRow(nil), rows...)
		sort.SliceStable(rows, func(i, j int) bool { return rows[i].bad() > rows[j].bad() })
		rows = rows[:min(max(f.most, 0), total)]
	}
	if a.json {
		out := *v
		out.Rows = append([]verifyRow{}, rows...)
		for i := range out.Rows { // JSON has no infinity
			r := &out.Rows[i]
			r.Abs, r.Rel, r.OwnAbs, r.OwnRel = finite(r.Abs), finite(r.Rel), finite(r.OwnAbs), finite(r.OwnRel)
		}
		return a.writeJSON(out)
	}
	if !a.quiet {
		w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "step\terror\tabs\town\town abs\t\ttype\tvalue\tof")
		for _, r := range rows {
			mark, own, abs := "", fmt.Sprintf("%.1e", r.OwnRel), fmt.Sprintf("%.1e", r.OwnAbs)
			if r.Diverges {
				mark = "diverges"
			}
			if r.Unknown != "" {
				own, abs = "?", "?"
			}
			fmt.Fprintf(w, "%d\t%.1e\t%.1e\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Step, r.Rel, r.Abs, own, abs, mark, r.Type, oneLine(r.Value), oneLine(r.Op+" "+r.Nodes))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, n := range v.Notes {
			a.notef("%s", oneLine(n))
		}
	}
	if v.OK {
		a.printf("%s: %d values of steps and %d outputs agree, largest error %.1e\n", oneLine(v.Model), total, v.Outputs, worst)
		return nil
	}
	a.printf("%s: diverges at %s\n", oneLine(v.Model), oneLine(v.Fault.Text))
	return nil
}

func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return math.MaxFloat64
	}
	return x
}

// bad orders rows: by the part of what is allowed that they take.
func (r *verifyRow) bad() float64 {
	b := r.Rel / max(r.tol, 1e-30)
	if r.Unknown == "" {
		b = max(b, r.OwnRel/max(r.ownTol, 1e-30))
	}
	if math.IsNaN(b) {
		return math.Inf(1)
	}
	return b
}

// open reads the model, for all sizes, or for those of the inputs where it must be.
func (v *verifier) open() (*driver.Source, error) {
	if !v.fixed {
		return driver.Open(v.l.path, driver.OpenOptions{Shapes: v.l.shapes})
	}
	return v.l.openSized(v.inputs)
}

// nodesOf writes the model's nodes that something came from.
func nodesOf(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}
