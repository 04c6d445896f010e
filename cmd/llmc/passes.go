package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/passes/pipeline"
)

func (a *app) passesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "passes",
		Short: "List the passes in order, and why they stand so",
		Example: `  llmc passes
  llmc passes --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.passes() },
	}
}

type passInfo struct {
	Name  string   `json:"name"`
	Doc   string   `json:"doc"`
	Needs string   `json:"needs"`
	Gives string   `json:"gives"`
	Drops string   `json:"drops"`
	Why   []string `json:"why,omitempty"`
}

func (a *app) passes() error {
	var list []passInfo
	for _, p := range pipeline.List() {
		i := passInfo{Name: p.Name, Doc: p.Doc, Needs: p.Needs.String(), Gives: p.Gives.String(), Drops: p.Drops.String()}
		for _, r := range pipeline.Reasons {
			if r.First == p.Name {
				i.Why = append(i.Why, fmt.Sprintf("before %s: %s", r.Then, r.Because))
			}
		}
		list = append(list, i)
	}
	if a.json {
		return a.writeJSON(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\n", p.Name, p.Doc)
		if a.quiet {
			continue
		}
		fmt.Fprintf(w, "\tneeds %s, gives %s, drops %s\n", p.Needs, p.Gives, p.Drops)
		for _, s := range p.Why {
			fmt.Fprintf(w, "\t%s\n", s)
		}
	}
	return w.Flush()
}
