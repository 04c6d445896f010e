package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
)

func (a *app) opsCommand() *cobra.Command {
	spellings := false
	c := &cobra.Command{
		Use:   "ops [NAME]...",
		Short: "List the operators",
		Long: `Ops lists what each operator computes and how: by kernels, in terms of other operators, or by a plain function of
the host. --spellings lists the operators of model formats instead, with the versions that are read.`,
		Example: `  llmc ops softmax
  llmc ops --spellings
  llmc ops --json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if spellings {
				return a.spellings(args)
			}
			return a.ops(args)
		},
	}
	c.Flags().BoolVar(&spellings, "spellings", false, "list spellings in model formats, with versions")
	return c
}

type opInfo struct {
	Name     string   `json:"name"`
	Doc      string   `json:"doc"`
	From     []string `json:"from,omitempty"`
	Ways     []string `json:"ways"`
	Gradient string   `json:"gradient"`
}

func wanted(args []string, names ...string) bool {
	if len(args) == 0 {
		return true
	}
	for _, arg := range args {
		for _, n := range names {
			if strings.EqualFold(arg, n) {
				return true
			}
		}
	}
	return false
}

func (a *app) ops(args []string) error {
	t, err := ops.Table()
	if err != nil {
		return err
	}
	var list []opInfo
	for _, d := range t.Defs() {
		i := describeOp(d)
		if wanted(args, append([]string{d.Name}, i.From...)...) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("no operator is called %s", strings.Join(args, " or "))
	}
	if a.json {
		return a.writeJSON(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", i.Name, strings.Join(i.Ways, ","), i.Doc)
	}
	return w.Flush()
}

func describeOp(d *op.Def) opInfo {
	i := opInfo{Name: d.Name, Doc: d.Doc, Ways: []string{}}
	seen := map[string]bool{}
	for _, s := range d.From {
		name := s.Op
		if s.Domain != "" {
			name = s.Domain + ":" + s.Op
		}
		if !seen[name] {
			seen[name] = true
			i.From = append(i.From, name)
		}
	}
	if d.Form != nil {
		i.Ways = append(i.Ways, "kernel")
	}
	if d.Expand != nil {
		i.Ways = append(i.Ways, "expand")
	}
	if d.Host.Run != nil {
		i.Ways = append(i.Ways, "host")
	}
	switch {
	case d.VJP.Rule != nil:
		i.Gradient = "rule"
	case d.VJP.None != "":
		i.Gradient = "none: " + d.VJP.None
	default:
		i.Gradient = "no rule yet"
	}
	return i
}

type spellingInfo struct {
	Domain   string `json:"domain"`
	Op       string `json:"op"`
	Versions []int  `json:"versions"`
	Name     string `json:"name,omitempty"`
}

func (a *app) spellings(args []string) error {
	t, err := ops.Table()
	if err != nil {
		return err
	}
	list := []spellingInfo{}
	for _, s := range t.Spellings() {
		if !wanted(args, s.Op, s.Name) {
			continue
		}
		i := spellingInfo{s.Domain, s.Op, s.Versions, s.Name}
		if i.Domain == "" {
			i.Domain = "ai.onnx"
		}
		list = append(list, i)
	}
	if a.json {
		return a.writeJSON(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, i := range list {
		name := i.Name
		if name == "" {
			name = "(other operators)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Domain, i.Op, strings.Trim(strings.ReplaceAll(fmt.Sprint(i.Versions), " ", ","), "[]"), name)
	}
	return w.Flush()
}
