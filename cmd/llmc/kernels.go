package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/attend"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/kernelbench"
	"github.com/llmc-go/llmc/runtime/kernels/roof"
	"github.com/llmc-go/llmc/runtime/kernels/tiled"
	"github.com/llmc-go/llmc/runtime/kernels/window"
)

// kernelsFlags are the flags of llmc kernels.
type kernelsFlags struct {
	tier, family string
	bench        bool
	time         time.Duration
}

func (a *app) kernelsCommand() *cobra.Command {
	f := kernelsFlags{}
	c := &cobra.Command{
		Use:   "kernels",
		Short: "List the kernels and which of them run here",
		Long: `Kernels lists the rows of every kernel family, best first, with what each needs of the processor. The first row of a
family that runs here is the one that is used. The environment variable LLMC_TIER lowers what the processor has.

--bench times every row that runs here on representative sizes, one processor for each, and where a convolution has
several algorithms, the others too. The column "roof" is what the machine was measured to need for the operations or
for the bytes, whichever is longer, in percent of the time: see llmc profile. Times are the shortest of many. A pick
that is more than 5% slower than the best is measured three times before it is called slow.`,
		Example: `  llmc kernels
  llmc kernels --cpu avx2
  llmc kernels --bench --family gemm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.time <= 0 {
				return usagef("--time: want more than nothing")
			}
			if !slices.Contains(kernelFamilies, f.family) && f.family != "" {
				return usagef("--family: want one of %s, got %q", strings.Join(kernelFamilies, ", "), f.family)
			}
			return a.kernels(cmd.Context(), &f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.tier, "cpu", "", "use no more of the processor than this tier has: ref, avx2, avx512, vnni, bf16 or amx")
	fl.StringVar(&f.family, "family", "", "this family only: "+strings.Join(kernelFamilies, ", "))
	fl.BoolVar(&f.bench, "bench", false, "time every row that runs here")
	fl.DurationVar(&f.time, "time", 200*time.Millisecond, "with --bench: time for each row and size")
	must(c.RegisterFlagCompletionFunc("family", cobra.FixedCompletions(kernelFamilies, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

var kernelFamilies = []string{"attend", "gemm", "tiled", "window"}

type kernelInfo struct {
	Family string `json:"family"`
	Name   string `json:"name"`
	Needs  string `json:"needs"`
	Runs   bool   `json:"runs"`
	Used   bool   `json:"used"`
}

func (a *app) kernels(ctx context.Context, o *kernelsFlags) error {
	if err := cpu.Override(); err != nil {
		return err
	}
	f, err := cpu.Lower(cpu.Host(), o.tier)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.bench {
		return a.benchKernels(ctx, f, o)
	}
	list := []kernelInfo{}
	add := func(family, name string, needs cpu.Features, runs bool, used string) {
		if o.family != "" && o.family != family {
			return
		}
		list = append(list, kernelInfo{family, name, needs.String(), runs, name == used})
	}
	for _, r := range attend.Table() {
		add("attend", r.Name, r.Needs, r.Runs(f), attend.Pick(f).Name)
	}
	for _, r := range gemm.Table() {
		add("gemm", r.Name, r.Needs, r.Runs(f), gemm.Pick(f).Name)
	}
	for _, r := range tiled.Table() {
		add("tiled", r.Name, r.Needs, r.Runs(f), tiled.Pick(f).Name)
	}
	for _, r := range window.Table() {
		add("window", r.Name, r.Needs, r.Runs(f), window.Pick(f).Name)
	}
	if a.json {
		return a.writeJSON(struct {
			Tier     string       `json:"tier"`
			Features string       `json:"features"`
			Kernels  []kernelInfo `json:"kernels"`
		}{f.Tier().String(), f.String(), list})
	}
	if !a.quiet {
		a.printf("processor: tier %s (%s)\n", f.Tier(), f)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, k := range list {
		runs := "no"
		switch {
		case k.Used:
			runs = "used"
		case k.Runs:
			runs = "runs"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Family, k.Name, runs, k.Needs)
	}
	return w.Flush()
}

// kernelCase is a size that kernels are timed with.
type kernelCase struct {
	Family string      `json:"family"`
	Size   string      `json:"size"`
	FLOP   int64       `json:"flop,omitempty"`
	Bytes  int64       `json:"bytes"`
	Rows   []kernelRow `json:"rows"`
	Loss   float64     `json:"loss"` // of the row that is picked: 0.05 where it takes 5% longer than the best
	Slow   bool        `json:"slow"`
}

type kernelRow struct {
	Name   string        `json:"name"`
	Time   time.Duration `json:"time_ns"`
	GFLOPS float64       `json:"gflop_per_s,omitempty"`
	GBS    float64       `json:"gb_per_s"`
	OfRoof float64       `json:"of_roof"`
	Picked bool          `json:"picked"`
	Best   bool          `json:"best"`
}

const mostLoss = 0.05 // of a pick

// benchKernels times every row on every size.
func (a *app) benchKernels(ctx context.Context, host cpu.Features, o *kernelsFlags) error {
	m := roof.New(host, 1)
	defer m.Close()
	top := roofline{Kernel: m.Row().Name, Threads: 1, GFLOPS: m.FLOPS() / 1e9, GBS: m.Read(roof.Memory) / 1e9, Memory: m.Read(roof.Memory) / 1e9,
		Written: m.Write(roof.Memory) / 1e9, Touched: roof.Memory}
	cases := kernelbench.Cases()
	if o.family != "" {
		cases = slices.DeleteFunc(cases, func(c kernelbench.Case) bool { return c.Family != o.family })
	}
	list, slow := []kernelCase{}, 0
	bar := a.stageProgress("measuring", len(cases))
	for _, c := range cases {
		k, err := timeCase(ctx, &c, host, m, o.time)
		if err != nil {
			bar.stop()
			return fmt.Errorf("%s %s: %w", c.Family, c.Size, err)
		}
		if k.Slow {
			slow++
		}
		list = append(list, *k)
		bar.add(1)
	}
	bar.stop()
	if a.json {
		return a.writeJSON(map[string]any{"tier": host.Tier().String(), "roof": top, "cases": list})
	}
	if !a.quiet {
		a.printf("processor: tier %s; %.1f GFLOP/s, memory: %.1f GB/s read, %.1f written (%s)\n", host.Tier(), top.GFLOPS, top.Memory, top.Written, top.Kernel)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "family\tsize\trow\ttime\tGFLOP/s\tGB/s\troof\t")
	for i := range list {
		list[i].print(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if slow > 0 {
		a.printf("of %d sizes, %d are picked a row that takes more than %.0f%% longer than the best\n", len(list), slow, 100*mostLoss)
	} else {
		a.printf("%d sizes, and no pick takes more than %.0f%% longer than the best row\n", len(list), 100*mostLoss)
	}
	return nil
}

func (k *kernelCase) print(w *tabwriter.Writer) {
	for _, r := range k.Rows {
		note := ""
		switch {
		case r.Picked && k.Slow:
			note = fmt.Sprintf("picked, WARNING: %.0f%% slower than the best", 100*k.Loss)
		case r.Picked:
			note = "picked"
		case r.Best:
			note = "best"
		}
		flops := ""
		if r.GFLOPS > 0 {
			flops = fmt.Sprintf("%.1f", r.GFLOPS)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f µs\t%s\t%.1f\t%.0f%%\t%s\n", k.Family, k.Size, r.Name, float64(r.Time)/1e3, flops, r.GBS, 100*r.OfRoof, note)
	}
}

// timeCase times one size.
func timeCase(ctx context.Context, c *kernelbench.Case, host cpu.Features, m *roof.Meter, each time.Duration) (*kernelCase, error) {
	ways, err := c.Ways(host)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for try := 0; try < 3 && (try == 0 || kernelbench.Loss(times) > mostLoss); try++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		again, err := kernelbench.Time(ways, each)
		if err != nil {
			return nil, err
		}
		for i := range times {
			again[i] = min(again[i], times[i])
		}
		times = again
	}
	k := &kernelCase{Family: c.Family, Size: c.Size, FLOP: c.FLOP, Bytes: c.Bytes, Loss: kernelbench.Loss(times)}
	k.Slow = k.Loss > mostLoss
	least := max(float64(c.FLOP)/m.FLOPS(), float64(c.Bytes)/m.Read(int(c.Bytes))) // seconds
	for i, w := range ways {
		ns := float64(times[i])
		k.Rows = append(k.Rows, kernelRow{Name: w.Name, Time: times[i], GFLOPS: float64(c.FLOP) / ns, GBS: float64(c.Bytes) / ns, OfRoof: least * 1e9 / ns,
			Picked: i == 0, Best: times[i] == slices.Min(times)})
	}
	return k, nil
}
