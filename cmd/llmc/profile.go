package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/runtime/exec"
)

// profileFlags are the flags of llmc profile.
type profileFlags struct {
	in    inputFlags
	time  time.Duration
	by    string
	most  int
	trace string
}

func (a *app) profileCommand() *cobra.Command {
	f := profileFlags{}
	c := &cobra.Command{
		Use:   "profile MODEL",
		Short: "Measure where a model's time goes",
		Long: `Profile runs a model as often as fits in --time and writes the time of each step under the name of the model's node, with
its share, the kernel that did it, GFLOP/s of products, convolutions and attention, and GB/s of what the step writes.
Times are medians. Inputs that are not given are made up, as for llmc bench.`,
		Example: `  llmc profile model.onnx --threads 1
  llmc profile bert.onnx --dim batch=1,sequence=128 --by op
  llmc profile model.onnx --trace trace.json     # for chrome://tracing or Perfetto`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.profile(cmd.Context(), &f, args[0])
		},
	}
	fl := c.Flags()
	f.in.model.add(c)
	f.in.add(c, "data")
	fl.DurationVar(&f.time, "time", 2*time.Second, "time for the measurement")
	fl.StringVar(&f.by, "by", "step", `one line for each "step", or for each "op" or "kernel"`)
	fl.IntVar(&f.most, "most", 40, "lines at the most; 0 is all")
	fl.StringVar(&f.trace, "trace", "", "write the last run as a Chrome trace")
	return c
}

// stepTime is a line of profile.
type stepTime struct {
	Step   int           `json:"step"`
	Node   string        `json:"node,omitempty"`
	Op     string        `json:"op"`
	Anchor string        `json:"anchor"`
	Kernel string        `json:"kernel,omitempty"`
	Space  string        `json:"space,omitempty"`
	Time   time.Duration `json:"time_ns"`
	Share  float64       `json:"share"`
	GFLOPS float64       `json:"gflop_per_s,omitempty"`
	GBS    float64       `json:"gb_per_s_written,omitempty"`
	Count  int           `json:"count"`

	flop, bytes int64
}

// traceEvent is an event of the Chrome trace format.
type traceEvent struct {
	Name string  `json:"name"`
	Cat  string  `json:"cat"`
	Ph   string  `json:"ph"`
	TS   float64 `json:"ts"` // microseconds
	Dur  float64 `json:"dur"`
	PID  int     `json:"pid"`
	TID  int     `json:"tid"`
}

func (a *app) profile(ctx context.Context, f *profileFlags, path string) error {
	if f.by != "step" && f.by != "op" && f.by != "kernel" {
		return usagef(`--by: want "step", "op" or "kernel", got %q`, f.by)
	}
	f.in.random = true
	l, inputs, err := a.ready(ctx, &f.in, path, nil)
	if err != nil {
		return err
	}
	defer l.close()
	list, total, events, err := profileSteps(ctx, l, inputs, f.time)
	if err != nil {
		return err
	}
	if f.trace != "" {
		b, err := json.Marshal(map[string]any{"traceEvents": events, "displayTimeUnit": "ms"})
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.trace, b, 0o644); err != nil {
			return err
		}
	}
	list = groupTimes(list, f.by)
	for i := range list {
		t := &list[i]
		t.Share = float64(t.Time) / float64(max(total, 1))
		t.GFLOPS, t.GBS = float64(t.flop)/float64(max(t.Time, 1)), float64(t.bytes)/float64(max(t.Time, 1))
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Time > list[j].Time })
	if a.json {
		return a.writeJSON(map[string]any{"model": filepath.Base(path), "total_ns": total, "steps": list})
	}
	return a.printProfile(list, total, f.most)
}

// profileSteps runs the model and returns the median time of each step.
func profileSteps(ctx context.Context, l *loaded, inputs llmc.Values, budget time.Duration) ([]stepTime, time.Duration, []traceEvent, error) {
	s, err := l.model.NewSession()
	if err != nil {
		return nil, 0, nil, err
	}
	once := repeated(s, l.model, inputs)
	steps := l.model.Program().Entries[0].Body.Steps
	times := make([][]time.Duration, len(steps))
	var events []traceEvent
	var totals []time.Duration
	begin := time.Now()
	for run := 0; run < 3 || time.Since(begin) < budget && run < 10000; run++ {
		events = events[:0]
		start := time.Now()
		s.SetTrace(func(i int, at time.Time, took time.Duration) {
			if run >= 2 {
				times[i] = append(times[i], took)
			}
			events = append(events, traceEvent{stepName(&steps[i]), steps[i].Anchor.String(), "X", float64(at.Sub(start).Nanoseconds()) / 1e3, float64(took.Nanoseconds()) / 1e3, 1, 1})
		})
		if err := once(ctx); err != nil {
			return nil, 0, nil, err
		}
		if run >= 2 {
			totals = append(totals, time.Since(start))
		}
	}
	s.SetTrace(nil)
	var list []stepTime
	i := 0
	s.Describe(func(d exec.StepInfo) {
		if d.Depth > 0 {
			return
		}
		list = append(list, stepTime{Step: i, Node: d.Step.Node, Op: d.Step.Op, Anchor: d.Step.Anchor.String(), Kernel: d.Kernel, Space: strings.Join(d.Space, " "),
			Time: median(times[i]), Count: 1, flop: d.FLOP, bytes: d.Bytes})
		i++
	})
	return list, median(totals), events, nil
}

func median(l []time.Duration) time.Duration {
	if len(l) == 0 {
		return 0
	}
	s := append([]time.Duration(nil), l...)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s[len(s)/2]
}

// groupTimes adds the steps of one operator, or of one kernel, up.
func groupTimes(list []stepTime, by string) []stepTime {
	if by == "step" {
		return list
	}
	at := map[string]int{}
	var out []stepTime
	for _, t := range list {
		key := t.Op
		if by == "kernel" {
			key = t.Anchor + " " + t.Kernel
		}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, stepTime{Step: -1, Op: key, Anchor: t.Anchor, Kernel: t.Kernel})
		}
		out[i].Time += t.Time
		out[i].Count++
		out[i].flop += t.flop
		out[i].bytes += t.bytes
	}
	return out
}

func (a *app) printProfile(list []stepTime, total time.Duration, most int) error {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "time\tshare\tGFLOP/s\tGB/s\tsteps\twhat\tkernel\tspace")
	sum := time.Duration(0)
	for i, t := range list {
		sum += t.Time
		if most > 0 && i >= most {
			continue
		}
		flops := ""
		if t.flop > 0 {
			flops = fmt.Sprintf("%.1f", t.GFLOPS)
		}
		what := t.Op
		if t.Node != "" {
			what += " " + oneLine(t.Node)
		}
		kernel := t.Anchor
		if t.Kernel != "" {
			kernel = t.Kernel
		}
		fmt.Fprintf(w, "%.1f µs\t%.1f%%\t%s\t%.1f\t%d\t%s\t%s\t%s\n", float64(t.Time)/1e3, 100*t.Share, flops, t.GBS, t.Count, what, kernel, t.Space)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.printf("steps %v of a run of %v\n", sum.Round(time.Microsecond), total.Round(time.Microsecond))
	return nil
}
