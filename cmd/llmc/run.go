package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/exec"
)

// runFlags are the flags of llmc run.
type runFlags struct {
	inputFlags
	outputs []string
	outDir  string
	top     int
	labels  string
	explain bool
	timeout time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run MODEL [--input NAME=VALUE]... [-o NAME=FILE]...",
		Short: "Run a model or program once",
		Long: `Run takes an .onnx file, which it compiles in memory, or an .llmc file.

The value of an input is a literal as in JSON, a picture (.png, .jpg), a sound (.wav), or a file after @:
  .npy, .pb, .json  a tensor
  .npz              the array of the input's name, or the only one; x=@all.npz:KEY picks one, and @all.npz without a name
                    gives every input its array
  .txt              for strings a line each, or all of the text where the input takes one string; for u8 the bytes of the
                    file; for other types rows of numbers
Literals and text take the rank of the input where their elements fill it; a list for several open axes, as [batch,
length], goes along the last.

How pictures and sounds become tensors is said by flags, by a preset, or by a JSON file MODEL.preprocess.json beside the
model. Sounds go from -1 to 1, or stay integers where the input has the file's type:
  {"resize": "crop", "short_side": 256, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
  {"sound": {"rate": 16000, "mono": true, "samples": 16000}}

Outputs go to files (.npy, .npz, .pb, .json), all of them to one file .npz without a name, or to standard output as JSON;
--top writes the largest values instead.
With --inputs and --outputs, input_K.pb is the K-th input of the graph and output_K.pb the K-th output; the exit code
is 3 where something in the model is not supported.`,
		Example: `  llmc run mnist.onnx --input digit.png --top 3
  llmc run model.llmc --input image=cat.jpg --preset imagenet --top 5 --labels labels.json
  llmc run model.onnx --input x=@x.npy --input 'scale=[0.5, 2]' -o y=y.npy
  llmc run speech.onnx --input audio=speech.wav --rate 16000 --mono -o out.npz
  llmc run model.onnx --input @inputs.npz -o outputs.npz
  llmc run model.onnx --inputs test_data_set_0 --outputs out
  llmc run model.onnx --random --dim batch=2 --explain -q`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: modelFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if f.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, f.timeout)
				defer cancel()
			}
			err := a.run(ctx, &f, args[0])
			var e *exitError
			if err != nil && f.dir != "" && driver.IsUnsupported(err) && !errors.As(err, &e) {
				return &exitError{exitUnsupported, err}
			}
			return err
		},
	}
	fl := c.Flags()
	fl.StringArrayVarP(&f.outputs, "output", "o", nil, "NAME=FILE, where NAME may be missing if there is one output, or a file .npz for all")
	fl.StringVar(&f.outDir, "outputs", "", "folder for output_K.pb")
	fl.IntVar(&f.top, "top", 0, "write the K largest values of the first output, with their positions")
	fl.StringVar(&f.labels, "labels", "", "names for --top: a JSON array, a JSON object, or a name a line")
	fl.BoolVar(&f.explain, "explain", false, "write every step with its kernel to standard error")
	fl.BoolVar(&f.random, "random", false, "make up values for inputs that are not given")
	fl.BoolVar(&f.zeros, "zeros", false, "zeros for inputs that are not given")
	fl.DurationVar(&f.timeout, "timeout", 0, "time for all of it; 0 is no limit")
	f.model.add(c)
	f.add(c, "inputs")
	return c
}

func modelFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"onnx", "llmc"}, cobra.ShellCompDirectiveFilterFileExt
}

func (a *app) run(ctx context.Context, f *runFlags, path string) error {
	var outputs []outputFile
	var labels []string
	start := time.Now()
	l, inputs, err := a.ready(ctx, &f.inputFlags, path, func(l *loaded) (err error) {
		if outputs, err = outputFiles(f.outputs, l.outputs); err == nil && f.labels != "" {
			labels, err = readLabels(f.labels)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer l.close()
	built := time.Since(start)
	s, err := l.model.NewSession()
	if err != nil {
		return err
	}
	start = time.Now()
	res, err := s.RunValues(ctx, inputs)
	if err != nil {
		return err
	}
	if a.verbose {
		a.notef("made ready in %v, ran in %v, %s of activations", built.Round(time.Microsecond), time.Since(start).Round(time.Microsecond), formatBytes(s.ArenaBytes()))
	}
	if f.explain {
		a.explain(s)
	}
	return a.emit(f, l.model.Outputs(), res, outputs, labels)
}

// outputFile is an output that goes to a file, or several that go to an archive.
type outputFile struct {
	names []string
	path  string
}

func outputFiles(l []string, infos []llmc.Info) ([]outputFile, error) {
	var out []outputFile
	for _, s := range l {
		name, path, ok := cutLast(s)
		ext := strings.ToLower(filepath.Ext(path))
		if !ok && ext == ".npz" {
			out = append(out, outputFile{nil, path}) // all of them
			continue
		}
		if !ok && len(infos) == 1 {
			name, path = infos[0].Name, s
		} else if !ok {
			return nil, usagef("-o %q: want NAME=FILE, or one file .npz", s)
		}
		if len(infos) > 0 && !slices.ContainsFunc(infos, func(i llmc.Info) bool { return i.Name == name }) {
			return nil, usagef("-o: the model has no output %q; its outputs are %s", name, names(infos))
		}
		switch ext {
		case ".npy", ".npz", ".json", ".pb":
		default:
			return nil, usagef("-o %s: want a file .npy, .npz, .json or .pb", path)
		}
		out = append(out, outputFile{[]string{name}, path})
	}
	return out, nil
}

func cutLast(s string) (name, value string, ok bool) {
	i := strings.LastIndexByte(s, '=')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// emit writes results where they are wanted.
func (a *app) emit(f *runFlags, infos []llmc.Info, res llmc.Values, files []outputFile, labels []string) error {
	for _, o := range files {
		if o.names == nil {
			o.names = nameList(infos)
		}
		for _, name := range o.names {
			if _, ok := res[name]; !ok {
				return usagef("-o: the model has no output %q; its outputs are %s", name, names(infos))
			}
		}
		var err error
		if strings.ToLower(filepath.Ext(o.path)) == ".npz" {
			err = writeArchive(o.path, o.names, res)
		} else {
			err = writeValue(o.path, o.names[0], res[o.names[0]])
		}
		if err != nil {
			return err
		}
	}
	if f.outDir != "" {
		if err := os.MkdirAll(f.outDir, 0o777); err != nil {
			return pathError(err)
		}
		for k, info := range infos {
			if err := writeValue(filepath.Join(f.outDir, fmt.Sprintf("output_%d.pb", k)), info.Name, res[info.Name]); err != nil {
				return err
			}
		}
	}
	if f.top > 0 && len(infos) > 0 {
		return a.top(res[infos[0].Name].Tensor, f.top, labels)
	}
	if len(files) > 0 || f.outDir != "" {
		return nil
	}
	return a.printValues(infos, res)
}

// printValues writes one JSON object, an output a line.
func (a *app) printValues(infos []llmc.Info, res llmc.Values) error {
	buf := []byte("{")
	for i, info := range infos {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = fmt.Appendf(buf, "\n  %s: ", jsonString(info.Name))
		var err error
		if buf, err = appendValue(buf, res[info.Name]); err != nil {
			return fmt.Errorf("output %q: %w; -o writes it to a file", info.Name, err)
		}
	}
	_, err := a.out.Write(append(buf, "\n}\n"...))
	return err
}

// ranked is one line of --top.
type ranked struct {
	Row   int     `json:"row"`
	Index int     `json:"index"`
	Value float64 `json:"value"`
	Label string  `json:"label,omitempty"`
}

// top writes the k largest values along the last axis of more than one, for every row.
func (a *app) top(t *tensor.Tensor, k int, labels []string) error {
	if t == nil {
		return usagef("--top: the output is no tensor")
	}
	if t.Str != nil || t.Elem.IsComplex() || t.Len() == 0 {
		return usagef("--top: the output is %v%v", t.Elem, t.Shape)
	}
	n := 1 // of the last axis that is longer than 1, which may be followed by such as are not
	for i := len(t.Shape) - 1; i >= 0 && n == 1; i-- {
		n = t.Shape[i]
	}
	var list []ranked
	for row := range t.Len() / n {
		line := make([]ranked, n)
		for i := range line {
			line[i] = ranked{Row: row, Index: i, Value: t.Float(row*n + i)}
			if i < len(labels) {
				line[i].Label = labels[i]
			}
		}
		slices.SortStableFunc(line, func(x, y ranked) int { return cmp.Compare(y.Value, x.Value) })
		list = append(list, line[:min(k, n)]...)
	}
	if a.json {
		return a.writeJSON(list)
	}
	for _, r := range list {
		if t.Len() > n {
			a.printf("%d\t", r.Row)
		}
		a.printf("%d\t%.6g", r.Index, r.Value)
		if r.Label != "" {
			a.printf("\t%s", r.Label)
		}
		a.printf("\n")
	}
	return nil
}

// explain lists the steps of the last run.
func (a *app) explain(s *llmc.Session) {
	i := 0
	s.Describe(func(st exec.StepInfo) {
		fmt.Fprintf(a.err, "%4d  %s%-8v %-24s [%s]  %s  %s", i, strings.Repeat("  ", st.Depth), st.Step.Anchor, st.Kernel, strings.Join(st.Space, " "), formatBytes(st.Bytes), stepName(st.Step))
		if st.FLOP > 0 {
			fmt.Fprintf(a.err, "  %.3g MFLOP", float64(st.FLOP)/1e6)
		}
		fmt.Fprintln(a.err)
		i++
	})
}
