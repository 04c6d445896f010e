package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pureModels are measured beside other engines in pure Go where none is named: one that all of them run, and one of the size
// of models that people use.
var pureModels = []string{"mnist-cnn", "mobilenetv2"}

// pureEngines are the commands of the module benchmarks/purego under the engines' names, and the modules that each is made of.
var pureEngines = []struct {
	name, command string
	modules       []string
}{
	{"gomlx", "gomlx", []string{"github.com/gomlx/gomlx", "github.com/gomlx/onnx-gomlx"}},
	{"onnx-go", "onnxgo", []string{"github.com/owulveryck/onnx-go", "gorgonia.org/gorgonia"}},
}

// buildPure builds the engines, so that every model is measured with them, and notes their versions.
func (s *setup) buildPure(ctx context.Context) error {
	dir := filepath.Join(s.root, "benchmarks", "purego")
	for _, e := range pureEngines {
		file := filepath.Join(s.temp, e.command)
		build := exec.CommandContext(ctx, "go", "build", "-C", dir, "-trimpath", "-o", file, "./"+e.command)
		build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building %s: %w", e.name, err)
		}
		s.others = append(s.others, "--cmd", e.name+"="+file)
		list := exec.CommandContext(ctx, "go", append([]string{"list", "-C", dir, "-m", "-f", "{{.Path}} {{.Version}}"}, e.modules...)...)
		out, err := list.Output()
		if err != nil {
			return fmt.Errorf("finding the version of %s: %w", e.name, err)
		}
		for line := range strings.Lines(string(out)) {
			module, version, _ := strings.Cut(strings.TrimSpace(line), " ")
			s.machine.Versions[lastName(module)] = version
		}
	}
	return nil
}

// lastName is a module's name without the folders before it.
func lastName(module string) string { return module[strings.LastIndexByte(module, '/')+1:] }

// pureTable has a row for every model and engine, llmc first, the broken ones too.
func pureTable(list []*result) string {
	if len(list) == 0 {
		return "Nothing is measured yet.\n"
	}
	var b, notes strings.Builder
	b.WriteString("| model | engine | ms (median) | llmc is faster by | largest relative error |\n| --- | --- | --- | --- | --- |\n")
	told := map[string]bool{}
	for _, r := range list {
		if r.Error != "" || len(r.Rows) == 0 {
			fmt.Fprintf(&b, "| %s | | not measured: %s | | |\n", r.Model, cell(cmp.Or(r.Error, "the harness gave no rows")))
			continue
		}
		var ours row
		for _, x := range r.Rows {
			if x.Engine == "ours" {
				ours = x
				b.WriteString(pureLine(r.Model, "llmc", x, ours))
			}
		}
		for _, e := range pureEngines {
			for _, x := range r.Rows {
				if x.Engine == e.name {
					b.WriteString(pureLine(r.Model, e.name, x, ours))
				}
			}
		}
		note := r.where(pureVersions(r.Versions))
		if v := versionOf(r.Rows); v != "" {
			note += "; errors are relative to " + v
		}
		if !told[note] {
			told[note] = true
			fmt.Fprintf(&notes, "\nMeasured on %s.", note)
		}
	}
	return b.String() + notes.String() + "\n"
}

func pureLine(model, name string, x, ours row) string {
	if x.Error != "" {
		return fmt.Sprintf("| %s | %s | %s | | |\n", model, name, cell("failed: "+clause(x.Error)))
	}
	ratio := "-"
	if x.Engine != "ours" && ours.MedianNs > 0 {
		ratio = times(x.MedianNs / ours.MedianNs)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", model, name, ms(x), ratio, relative(x))
}

// times has two digits or more, and no exponent.
func times(ratio float64) string {
	if ratio < 10 {
		return fmt.Sprintf("%.1f times", ratio)
	}
	return fmt.Sprintf("%.0f times", ratio)
}

// clause is what an engine's error says first: the rest tells where in its code, or what to do.
func clause(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	for _, end := range []string{"; ", ". "} {
		s, _, _ = strings.Cut(s, end)
	}
	return strings.TrimSuffix(s, " ()")
}

// pureVersions names the engines and what they are made of.
func pureVersions(versions map[string]string) string {
	var l []string
	for _, e := range pureEngines {
		for i, m := range e.modules {
			name := lastName(m)
			text := strings.TrimSpace(name + " " + versions[name])
			if i > 0 {
				l[len(l)-1] += " with " + text
				continue
			}
			l = append(l, text)
		}
	}
	return strings.Join(l, ", ")
}
