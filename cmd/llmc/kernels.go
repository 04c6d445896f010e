package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/tiled"
	"github.com/llmc-go/llmc/runtime/kernels/window"
)

func (a *app) kernelsCommand() *cobra.Command {
	tier := ""
	c := &cobra.Command{
		Use:   "kernels",
		Short: "List the kernels and which of them run here",
		Long: `Kernels lists the rows of every kernel family, best first, with what each needs of the processor. The first row of a
family that runs here is the one that is used. The environment variable LLMC_TIER lowers what the processor has.`,
		Example: `  llmc kernels
  llmc kernels --cpu avx2`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.kernels(tier) },
	}
	c.Flags().StringVar(&tier, "cpu", "", "use no more of the processor than this tier has: ref, avx2, avx512, vnni, bf16 or amx")
	return c
}

type kernelInfo struct {
	Family string `json:"family"`
	Name   string `json:"name"`
	Needs  string `json:"needs"`
	Runs   bool   `json:"runs"`
	Used   bool   `json:"used"`
}

func (a *app) kernels(tier string) error {
	if err := cpu.Override(); err != nil {
		return err
	}
	f, err := cpu.Lower(cpu.Host(), tier)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	var list []kernelInfo
	add := func(family, name string, needs cpu.Features, runs bool, used string) {
		list = append(list, kernelInfo{family, name, needs.String(), runs, name == used})
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
