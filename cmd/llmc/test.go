package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/formats/testcase"
)

// testFlags are the flags of llmc test.
type testFlags struct {
	jobs    int
	run     string
	timeout time.Duration
	engine  string
	threads int
	tier    string
	memory  byteSize
}

func (a *app) testCommand() *cobra.Command {
	var f testFlags
	c := &cobra.Command{
		Use:   "test [-j N] [-run REGEXP] [-timeout D] [-v] PATH...",
		Short: "Run ONNX test cases and compare their outputs",
		Long: `Test runs the cases below each PATH, a folder or a .zip. A case is a folder that holds model.onnx and
test_data_set_0; data.json beside the model may hold its tolerance.

It writes one line a case, in the order of their names: pass, fail or unsupported, the name, and the reason; -v adds
the time. Exit code 0 means that no case failed, 1 that one did, 66 that a PATH cannot be read.`,
		Example: `  llmc test onnx-node.zip
  llmc test -j 4 -run 'conv|pool' -timeout 10s models/
  llmc test --engine eval mycase/`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.test(cmd.Context(), f, args) },
	}
	fl := c.Flags()
	fl.IntVarP(&f.jobs, "jobs", "j", 0, "cases that run at once; 0 is one for each processor")
	fl.StringVar(&f.run, "run", "", "run the cases whose name matches this regular expression")
	fl.DurationVar(&f.timeout, "timeout", 10*time.Minute, "time for one case; 0 is no limit")
	fl.StringVar(&f.engine, "engine", "compiled", "compiled, or eval: the reference evaluator")
	fl.IntVar(&f.threads, "threads", 0, "processors for each case; 0 shares them among the jobs")
	fl.StringVar(&f.tier, "cpu", "", "use no more of the processor than this tier has")
	fl.Var(&f.memory, "max-memory", "bytes of activations that a case may hold, as in 2GB")
	return c
}

// outcome is how one case ended.
type outcome struct {
	word   string // pass, fail or unsupported
	reason string
	note   string // shown with -v
	took   time.Duration
}

func (a *app) test(ctx context.Context, f testFlags, paths []string) error {
	re, err := regexp.Compile(f.run)
	if err != nil {
		return usagef("-run: %v", err)
	}
	if f.engine != "compiled" && f.engine != "eval" {
		return usagef("--engine: want compiled or eval, got %q", f.engine)
	}
	switch {
	case f.jobs < 0:
		return usagef("-j: want a number, got %d", f.jobs)
	case f.jobs == 0:
		f.jobs = runtime.GOMAXPROCS(0)
	}
	suite, err := testcase.Find(paths...)
	if err != nil {
		return &exitError{exitNoInput, pathError(err)}
	}
	defer func() { _ = suite.Close() }()
	var cases []*testcase.Case
	for _, c := range suite.Cases {
		if re.MatchString(c.Name) {
			cases = append(cases, c)
		}
	}
	e := &engine{name: f.engine, threads: f.threads, tier: f.tier, memory: int64(f.memory)}
	if e.threads == 0 {
		e.threads = max(1, runtime.GOMAXPROCS(0)/f.jobs)
	}
	results := runCases(ctx, e, cases, f)
	bar := a.progress("cases", len(cases))
	var passed, failed, skipped int
	for i, c := range cases {
		var r outcome
		select {
		case r = <-results[i]:
		case <-ctx.Done():
			bar.stop()
			return ctx.Err()
		}
		switch r.word {
		case "pass":
			passed++
		case "unsupported":
			skipped++
		default:
			failed++
		}
		a.caseLine(clean(c.Name), r)
		bar.add(1)
	}
	bar.stop()
	a.printf("conformance: %d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (a *app) caseLine(name string, r outcome) {
	if r.reason == "" && a.verbose {
		r.reason = r.note
	}
	line := r.word + "\t" + name
	if r.reason != "" || a.verbose {
		line += "\t" + r.reason
	}
	if a.verbose {
		line += "\t" + r.took.Round(100*time.Microsecond).String()
	}
	a.printf("%s\n", line)
}

// runCases starts the jobs; the channel of each case gets its outcome.
func runCases(ctx context.Context, e *engine, cases []*testcase.Case, f testFlags) []chan outcome {
	results := make([]chan outcome, len(cases))
	next := make(chan int)
	for i := range results {
		results[i] = make(chan outcome, 1)
	}
	for range min(f.jobs, len(cases)) {
		go func() {
			for i := range next {
				results[i] <- guardCase(ctx, e, cases[i], f.timeout)
			}
		}()
	}
	go func() {
		defer close(next)
		for i := range cases {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	return results
}

// grace is how long a case that is out of time may take to notice.
const grace = 3 * time.Second

// guardCase bounds a case in time and turns its panic into a failure: one bad case must not end the suite. A case
// that does not notice the end of its time is left to itself.
func guardCase(ctx context.Context, e *engine, c *testcase.Case, timeout time.Duration) outcome {
	start := time.Now()
	var cancel context.CancelFunc
	var late <-chan time.Time
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
		timer := time.NewTimer(timeout + grace)
		defer timer.Stop()
		late = timer.C
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				_, where, _ := strings.Cut(string(debug.Stack()), "panic(")
				_, where, _ = strings.Cut(where, "\n\t")
				_, where, _ = strings.Cut(where, "\n\t")
				where, _, _ = strings.Cut(where, "\n")
				if i := strings.LastIndexByte(where, '/'); i >= 0 {
					where = where[i+1:]
				}
				done <- outcome{word: "fail", reason: clean(fmt.Sprintf("panic: %v at %s", r, where))}
			}
		}()
		done <- runCase(ctx, e, c)
	}()
	var r outcome
	select {
	case r = <-done:
		if r.word == "fail" && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			r.reason = fmt.Sprintf("timed out after %v", timeout)
		}
	case <-late:
		r = outcome{word: "fail", reason: fmt.Sprintf("timed out after %v", timeout)}
	}
	r.took = time.Since(start)
	return r
}

func runCase(ctx context.Context, e *engine, c *testcase.Case) outcome {
	fail := func(err error) outcome { return outcome{word: "fail", reason: clean(err.Error())} }
	refuse := func(err error) outcome {
		if driver.IsUnsupported(err) {
			return outcome{word: "unsupported", reason: clean(err.Error())}
		}
		return fail(err)
	}
	o, err := c.Open()
	if err != nil {
		return refuse(err)
	}
	defer func() { _ = o.Close() }()
	var m *caseModel
	for k, number := range c.Sets {
		set, err := o.Set(number)
		if err != nil {
			return fail(fmt.Errorf("data set %d: %w", number, err))
		}
		if k == 0 {
			if m, err = e.open(ctx, o, set); err != nil {
				return refuse(err)
			}
			defer m.close()
		}
		got, err := m.run(ctx, set, k == 0)
		if err != nil {
			return fail(err)
		}
		if ok, reason := testcase.CompareOutputs(got, set.Outputs, o.Tolerance); !ok {
			if len(c.Sets) > 1 {
				reason = fmt.Sprintf("data set %d: %s", number, reason)
			}
			return outcome{word: "fail", reason: clean(reason)}
		}
	}
	r := outcome{word: "pass"}
	if m != nil && m.fixed != nil {
		r.note = "compiled for the sizes of its inputs: " + clean(m.fixed.Error())
	}
	return r
}

// clean makes a field of a result line: one line without tabs, at most 500 bytes.
func clean(s string) string {
	s = oneLine(s)
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:497], "") + "..."
	}
	return s
}
