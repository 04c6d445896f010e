package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/atomicfile"
	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/kernels/roof"
	"github.com/llmc-go/llmc/runtime/program"
)

// profileFlags are the flags of llmc profile.
type profileFlags struct {
	in    inputFlags
	time  time.Duration
	by    string
	most  int
	trace string
	html  string
}

func (a *app) profileCommand() *cobra.Command {
	f := profileFlags{}
	c := &cobra.Command{
		Use:   "profile MODEL",
		Short: "Measure where a model's time goes",
		Long: `Profile runs a model as often as fits in --time and writes the time of each step under the name of the model's node, with
its share of the run and the kernel that did it. Times are medians. Inputs that are not given are made up, as for llmc
bench.

GFLOP/s counts two operations for each multiply-add of products, convolutions and attention; element-wise steps and
reductions count each operation on a float, an exponential too, as one. GB/s counts what a step reads, weights included,
and what it writes, each element once.

The roof is measured afterwards, with as many threads and the same instructions: independent multiply-adds, and reading
as many bytes again and again as a run of the model touches, so from a cache where the model fits into one. The column
"roof" is the time that a step's operations or its bytes would take there, whichever is longer, in percent of the time
that it took. It may pass 100%, where a step finds its operands in a nearer cache than the rest of the model, or a
convolution needs fewer multiplications than its definition.

--html writes one page without external parts: the last run as a timeline, the steps under the roof, and a table.`,
		Example: `  llmc profile model.onnx --threads 1
  llmc profile bert.onnx --dim batch=1,sequence=128 --by op
  llmc profile model.onnx --html profile.html
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
	fl.StringVar(&f.html, "html", "", "write a page with timeline, roofline and table of the steps")
	return c
}

// stepTime is a line of profile.
type stepTime struct {
	Step      int           `json:"step"`
	Node      string        `json:"node,omitempty"`
	Nodes     []string      `json:"nodes,omitempty"` // that the step computes, where they are several
	Op        string        `json:"op"`
	Anchor    string        `json:"anchor"`
	Kernel    string        `json:"kernel,omitempty"`
	Space     string        `json:"space,omitempty"`
	Time      time.Duration `json:"time_ns"`
	Share     float64       `json:"share"`
	FLOP      int64         `json:"flop,omitempty"`
	Read      int64         `json:"read_bytes"`
	Written   int64         `json:"written_bytes"`
	GFLOPS    float64       `json:"gflop_per_s,omitempty"`
	GBS       float64       `json:"gb_per_s"`
	Intensity float64       `json:"flop_per_byte,omitempty"`
	Least     time.Duration `json:"roof_ns"` // at the roof
	OfRoof    float64       `json:"of_roof"`
	Bound     string        `json:"bound,omitempty"` // which of the two roofs is the nearer one
	Count     int           `json:"count"`
}

// roofline is what the machine was measured to do at the most.
type roofline struct {
	Kernel  string  `json:"kernel"`
	Threads int     `json:"threads"`
	GFLOPS  float64 `json:"gflop_per_s"`
	Memory  float64 `json:"memory_gb_per_s"` // read
	Written float64 `json:"memory_gb_per_s_written"`
	Touched int64   `json:"touched_bytes"` // by a run
	GBS     float64 `json:"gb_per_s"`      // reading as much as that
}

func (r *roofline) String() string {
	return fmt.Sprintf("%.1f GFLOP/s, %.1f GB/s reading the %s that a run touches; memory: %.1f GB/s read, %.1f written (%s, %s)",
		r.GFLOPS, r.GBS, formatBytes(r.Touched), r.Memory, r.Written, r.Kernel, plural(r.Threads, "thread"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// measureRoof measures with the threads and the tier of a model, over as many bytes as a run of the steps touches.
func measureRoof(l *loaded, arena int64, steps []stepTime) (*roofline, error) {
	host, err := cpu.Lower(cpu.Host(), l.opts.Tier)
	if err != nil {
		return nil, err
	}
	var sum int64 // counts twice what two steps see, but nothing that no step sees
	for i := range steps {
		sum += steps[i].Read + steps[i].Written
	}
	m := roof.New(host, l.model.Threads())
	defer m.Close()
	r := &roofline{Kernel: m.Row().Name, Threads: m.Workers(), Touched: min(weightBytes(l.model.Program())+arena, sum)}
	r.GFLOPS, r.GBS = m.FLOPS()/1e9, m.Read(int(min(r.Touched, roof.Memory)))/1e9
	r.Memory, r.Written = m.Read(roof.Memory)/1e9, m.Write(roof.Memory)/1e9
	r.GBS = max(r.GBS, r.Memory) // less memory is no slower: somebody else was at work
	return r, nil
}

// under compares a line with the roof.
func (t *stepTime) under(r *roofline, total time.Duration) {
	ns := float64(max(t.Time, 1))
	bytes := float64(t.Read + t.Written)
	t.Share = float64(t.Time) / float64(max(total, 1))
	t.GFLOPS, t.GBS = float64(t.FLOP)/ns, bytes/ns
	if bytes > 0 {
		t.Intensity = float64(t.FLOP) / bytes
	}
	if t.Count == 1 { // lines of several steps have added theirs up
		compute, memory := float64(t.FLOP)/r.GFLOPS, bytes/r.GBS
		t.Least, t.Bound = time.Duration(max(compute, memory)), ""
		switch {
		case t.Least == 0:
		case compute > memory:
			t.Bound = "compute"
		default:
			t.Bound = "memory"
		}
	}
	t.OfRoof = float64(t.Least) / ns
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
	p, err := profileSteps(ctx, l, inputs, f.time)
	if err != nil {
		return l.guessed(err)
	}
	if f.trace != "" {
		b, err := json.Marshal(map[string]any{"traceEvents": p.trace(l.model.Program().Entries[0].Body.Steps), "displayTimeUnit": "ms"})
		if err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(f.trace, b); err != nil {
			return pathError(err)
		}
	}
	r, err := measureRoof(l, p.arena, p.steps)
	if err != nil {
		return err
	}
	for i := range p.steps {
		p.steps[i].under(r, p.total)
	}
	if f.html != "" {
		page := &profilePicture{title: filepath.Base(path), dims: l.pageDims(l.model.Program()), profile: p, roof: r}
		if err := writePage(f.html, page.write); err != nil {
			return err
		}
	}
	list := groupTimes(p.steps, f.by)
	for i := range list {
		list[i].under(r, p.total)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Time > list[j].Time })
	if a.json {
		return a.writeJSON(map[string]any{"model": filepath.Base(path), "total_ns": p.total, "roof": r, "steps": list})
	}
	if !a.quiet {
		a.printf("roof: %v\n", r)
	}
	return a.printProfile(list, p.total, f.most)
}

// profiled is what profileSteps measures.
type profiled struct {
	steps []stepTime // with median times
	total time.Duration
	arena int64
	last  []span // of each step, in the last run
	run   time.Duration
}

type span struct{ at, took time.Duration }

// trace gives the last run as events.
func (p *profiled) trace(steps []program.Step) []traceEvent {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	var events []traceEvent
	for i, s := range p.last {
		events = append(events, traceEvent{stepName(&steps[i]), steps[i].Anchor.String(), "X", us(s.at), us(s.took), 1, 1})
	}
	return events
}

// profileSteps runs the model and finds the median time of each step.
func profileSteps(ctx context.Context, l *loaded, inputs llmc.Values, budget time.Duration) (*profiled, error) {
	s, err := l.model.NewSession()
	if err != nil {
		return nil, err
	}
	once := repeated(s, l.model, inputs)
	steps := l.model.Program().Entries[0].Body.Steps
	p := &profiled{steps: []stepTime{}, last: make([]span, len(steps))}
	times := make([][]time.Duration, len(steps))
	var totals []time.Duration
	begin := time.Now()
	for run := 0; run < 3 || time.Since(begin) < budget && run < 10000; run++ {
		clear(p.last)
		start := time.Now()
		s.SetTrace(func(i int, at time.Time, took time.Duration) {
			if run >= 2 {
				times[i] = append(times[i], took)
			}
			p.last[i] = span{at.Sub(start), took}
		})
		if err := once(ctx); err != nil {
			return nil, err
		}
		p.run = time.Since(start)
		if run >= 2 {
			totals = append(totals, p.run)
		}
	}
	s.SetTrace(nil)
	s.Describe(func(d exec.StepInfo) {
		if d.Depth > 0 {
			return
		}
		i := len(p.steps)
		t := stepTime{Step: i, Node: d.Step.Node, Op: d.Step.Op, Anchor: d.Step.Anchor.String(), Kernel: d.Kernel, Space: strings.Join(d.Space, " "),
			Time: median(times[i]), Count: 1, FLOP: d.FLOP, Read: d.Reads, Written: d.Bytes}
		if len(d.Step.Locs) > 1 {
			t.Nodes = d.Step.Locs
		}
		if t.FLOP == 0 {
			t.FLOP = d.Ops
		}
		p.steps = append(p.steps, t)
	})
	p.total, p.arena = median(totals), s.ArenaBytes()
	return p, nil
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
		out[i].FLOP += t.FLOP
		out[i].Read += t.Read
		out[i].Written += t.Written
		out[i].Least += t.Least
	}
	return out
}

func (a *app) printProfile(list []stepTime, total time.Duration, most int) error {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "time\tshare\tGFLOP/s\tGB/s\troof\tsteps\twhat\tkernel\tspace")
	sum := time.Duration(0)
	for i, t := range list {
		sum += t.Time
		if most > 0 && i >= most {
			continue
		}
		flops := ""
		if t.FLOP > 0 {
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
		fmt.Fprintf(w, "%.1f µs\t%.1f%%\t%s\t%.1f\t%.0f%%\t%d\t%s\t%s\t%s\n", float64(t.Time)/1e3, 100*t.Share, flops, t.GBS, 100*t.OfRoof, t.Count, what, kernel, t.Space)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.printf("steps %v of a run of %v\n", sum.Round(time.Microsecond), total.Round(time.Microsecond))
	return nil
}
