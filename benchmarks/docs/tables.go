package main

import (
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/passes/pipeline"
)

// operators is the table of what models may contain, as the importers know it.
func operators() (string, error) {
	t, err := ops.Table()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	domain := ""
	for i, s := range t.Spellings() {
		if i == 0 || s.Domain != domain {
			domain = s.Domain
			name := domain
			if name == "" {
				name = "ai.onnx"
			}
			fmt.Fprintf(&b, "\n| `%s` | versions | computed by |\n| --- | --- | --- |\n", name)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.Op, versions(s.Versions), way(t, s))
	}
	return b.String() + "\n", nil
}

func versions(l []int) string {
	var b strings.Builder
	for i, v := range l {
		switch {
		case i > 0 && v == l[i-1]:
			continue
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprint(&b, v)
	}
	return b.String()
}

// way says how a spelling is computed, in the order in which the compiler tries.
func way(t *op.Table, s op.Spelling) string {
	if s.Name == "" {
		return "other operators"
	}
	d := t.Def(s.Name)
	switch {
	case len(d.Sig.Regions) > 0:
		return "control step"
	case d.View:
		return "view"
	case d.Form != nil:
		return "kernel"
	case d.Expand != nil:
		return "other operators"
	}
	return "host function"
}

// passList is the pipeline with what each pass does.
func passList() (string, error) {
	var b strings.Builder
	b.WriteString("\n| pass | what it does |\n| --- | --- |\n")
	seen := map[string]bool{}
	for _, p := range pipeline.List() {
		doc := p.Doc
		if seen[p.Name] {
			doc = "again"
		}
		seen[p.Name] = true
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.Name, doc)
	}
	return b.String() + "\n", nil
}
