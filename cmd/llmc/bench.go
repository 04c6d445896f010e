package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/runtime/exec"
)

// benchFlags are the flags of llmc bench.
type benchFlags struct {
	in      inputFlags
	threads []string
	runs    int
	time    time.Duration
	worker  bool
}

func (a *app) benchCommand() *cobra.Command {
	f := benchFlags{}
	c := &cobra.Command{
		Use:   "bench MODEL | bench --worker",
		Short: "Measure how long a model runs",
		Long: `Bench runs a model as often as fits in --time, for each number of threads, and writes the shortest time, the median, the
90th percentile, and GFLOP/s: twice the multiply-adds of products, convolutions and attention, by the median. Inputs that
are not given are made up from a seed; dimensions without a value are 1, and a total length the sum of the past and what is new.

With --worker it speaks the protocol "onnxbench 1" on standard input and output, as an engine for a benchmark harness
that times several engines in turn.`,
		Example: `  llmc bench model.onnx --threads 1,2
  llmc bench bert.onnx --dim batch=1,sequence=128 --json
  llmc bench model.onnx --data test_data_set_0`,
		Args: func(_ *cobra.Command, args []string) error {
			if f.worker && len(args) > 0 || !f.worker && len(args) != 1 {
				return fmt.Errorf("want one MODEL, or --worker")
			}
			return nil
		},
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.worker {
				return a.worker(cmd.Context(), &f)
			}
			return a.bench(cmd.Context(), &f, args[0])
		},
	}
	fl := c.Flags()
	f.in.model.addOpening(c)
	fl.StringSliceVar(&f.threads, "threads", []string{"0"}, "numbers of processors, one measurement each; 0 is all")
	f.in.add(c, "data")
	fl.IntVar(&f.runs, "runs", 0, "run this often; 0 is as often as fits in --time, at least 5 times")
	fl.DurationVar(&f.time, "time", 2*time.Second, "time for each measurement")
	fl.BoolVar(&f.worker, "worker", false, `speak "onnxbench 1" on standard input and output`)
	return c
}

// measurement is one line of bench.
type measurement struct {
	Model   string        `json:"model"`
	Threads int           `json:"threads"`
	Tier    string        `json:"tier"`
	Dims    string        `json:"dims,omitempty"`
	Runs    int           `json:"runs"`
	Min     time.Duration `json:"min_ns"`
	Median  time.Duration `json:"median_ns"`
	P90     time.Duration `json:"p90_ns"`
	FLOP    int64         `json:"flop"`
	GFLOPS  float64       `json:"gflop_per_s"`
	Arena   int64         `json:"arena_bytes"`
	Weights int64         `json:"weight_bytes"`
	Load    time.Duration `json:"load_ns"`
}

func parseThreads(l []string) ([]int, error) {
	var out []int
	for _, s := range l {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 0 || n > 1024 {
			return nil, usagef("--threads: want numbers, got %q", s)
		}
		out = append(out, n)
	}
	return out, nil
}

func (a *app) bench(ctx context.Context, f *benchFlags, path string) error {
	threads, err := parseThreads(f.threads)
	if err != nil {
		return err
	}
	if f.runs < 0 || f.time <= 0 {
		return usagef("--runs and --time: want more than nothing")
	}
	f.in.random = true
	start := time.Now()
	l, inputs, err := a.ready(ctx, &f.in, path, nil)
	if err != nil {
		return err
	}
	defer l.close()
	load := time.Since(start)
	var list []measurement
	bar := a.stageProgress("measuring", len(threads))
	for _, n := range threads {
		m, err := measure(ctx, l, inputs, n, f)
		if err != nil {
			bar.stop()
			return l.guessed(err)
		}
		m.Model, m.Dims, m.Load = filepath.Base(path), dimText(l.dims), load
		list = append(list, *m)
		bar.add(1)
	}
	bar.stop()
	if a.json {
		return a.writeJSON(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "threads\tmin ms\tmedian ms\tp90 ms\tGFLOP/s\tarena\tweights\truns\t")
	for _, m := range list {
		ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 3, 64) }
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%.1f\t%s\t%s\t%d\t\n", m.Threads, ms(m.Min), ms(m.Median), ms(m.P90), m.GFLOPS, formatBytes(m.Arena), formatBytes(m.Weights), m.Runs)
	}
	return w.Flush()
}

// minRuns is how often a measurement runs at least.
const minRuns = 5

// measure times runs with n threads. Two runs go before: they lay memory out and fault it in.
func measure(ctx context.Context, l *loaded, inputs llmc.Values, n int, f *benchFlags) (*measurement, error) {
	opts := l.opts
	opts.Threads = n
	model, err := llmc.Load(l.model.Program(), nil, opts)
	if err != nil {
		return nil, err
	}
	defer model.Close() //nolint:errcheck // nothing to give back
	s, err := model.NewSession()
	if err != nil {
		return nil, err
	}
	run := repeated(s, model, inputs)
	var times []time.Duration
	begin := time.Now()
	for i := 0; ; i++ {
		start := time.Now()
		if err := run(ctx); err != nil {
			return nil, err
		}
		if i == 1 {
			begin = time.Now()
		}
		if i < 2 {
			continue
		}
		times = append(times, time.Since(start))
		if f.runs > 0 && len(times) >= f.runs || f.runs == 0 && len(times) >= minRuns && time.Since(begin) >= f.time || len(times) == 1<<20 {
			break
		}
	}
	slices.Sort(times)
	m := &measurement{Threads: model.Threads(), Runs: len(times), Min: times[0], Median: times[len(times)/2], P90: times[min(len(times)-1, len(times)*9/10)],
		Arena: s.ArenaBytes(), Weights: weightBytes(model.Program()), Tier: model.Tier()}
	s.Describe(func(st exec.StepInfo) {
		if st.FLOP <= math.MaxInt64-m.FLOP {
			m.FLOP += st.FLOP
		}
	})
	m.GFLOPS = float64(m.FLOP) / float64(max(1, m.Median))
	return m, nil
}
