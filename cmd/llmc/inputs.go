package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/tensor"
)

// inputFlags say which model runs on which inputs, in all commands that run one.
type inputFlags struct {
	model         modelFlags
	pre           preprocessFlags
	values        []string
	dir           string
	random, zeros bool
	seed          uint64
}

// add adds the flags of inputs; folder is the name of the one for a data set.
func (f *inputFlags) add(c *cobra.Command, folder string) {
	fl := c.Flags()
	fl.StringArrayVarP(&f.values, "input", "i", nil, "NAME=VALUE, where NAME may be missing if there is one input, or @all.npz")
	fl.StringVar(&f.dir, folder, "", "folder of input_K.pb")
	fl.Uint64Var(&f.seed, "seed", 1, "of inputs that are made up")
	f.pre.add(c)
	must(c.RegisterFlagCompletionFunc("input", inputNames))
	must(c.MarkFlagDirname(folder))
}

// inputNames completes NAME= of the model on the command line, and then files.
func inputNames(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 || strings.Contains(begun, "=") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	l, err := openModel(args[0], &modelFlags{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	defer l.close()
	var out []string
	for _, info := range l.inputs {
		out = append(out, info.Name+"=")
	}
	return out, cobra.ShellCompDirectiveNoSpace
}

// openFor opens a model and reads its inputs. check, where there is one, sees the model before they are read.
func openFor(f *inputFlags, path string, check func(*loaded) error) (*loaded, llmc.Values, error) {
	l, err := openModel(path, &f.model)
	if err != nil {
		return nil, nil, err
	}
	if check != nil {
		err = check(l)
	}
	var in llmc.Values
	if err == nil {
		in, err = l.readInputs(f)
	}
	if err != nil {
		l.close()
		return nil, nil, err
	}
	return l, in, nil
}

// ready opens a model, reads its inputs and compiles it for them.
func (a *app) ready(ctx context.Context, f *inputFlags, path string, check func(*loaded) error) (*loaded, llmc.Values, error) {
	l, in, err := openFor(f, path, check)
	if err != nil {
		return nil, nil, err
	}
	bar := a.stageProgress("compiling "+filepath.Base(path), 1)
	err = l.build(ctx, a, in)
	bar.stop()
	if err != nil {
		l.close()
		return nil, nil, err
	}
	l.boundIndices(l.model.Program(), in)
	return l, in, nil
}

// repeated makes runs of a session on the same inputs. Where nothing but tensors goes in and out, a run allocates nothing.
func repeated(s *llmc.Session, m *llmc.Model, inputs llmc.Values) func(context.Context) error {
	boxed := func(i llmc.Info) bool { return i.Type != "" }
	if slices.ContainsFunc(m.Inputs(), boxed) || slices.ContainsFunc(m.Outputs(), boxed) {
		return func(ctx context.Context) error {
			_, err := s.RunValues(ctx, inputs)
			return err
		}
	}
	var in []*llmc.Tensor
	for _, info := range m.Inputs() {
		in = append(in, inputs[info.Name].Tensor)
	}
	out := make([]*llmc.Tensor, len(m.Outputs()))
	return func(ctx context.Context) error {
		clear(out) // the session's own memory, whatever size the results have
		return s.RunInto(ctx, in, out)
	}
}

// readInputs makes the values of all inputs.
func (l *loaded) readInputs(f *inputFlags) (llmc.Values, error) {
	in := llmc.Values{}
	if f.dir != "" {
		if err := l.readDir(f.dir, in); err != nil {
			return nil, err
		}
	}
	pre, err := f.pre.options(l.path)
	if err != nil {
		return nil, err
	}
	r := &reader{l.dims, pre, map[string]*npy.Archive{}}
	archive := "" // which must have an array for each input that nothing else gives
	for _, s := range f.values {
		if path, ok := strings.CutPrefix(s, "@"); ok {
			if file, key, ok := cutArchive(path); ok && key == "" {
				archive = file
				if err := r.readArchive(file, l.inputs, in); err != nil {
					return nil, err
				}
				continue
			}
		}
		info, value, err := splitInput(s, l.inputs)
		if err != nil {
			return nil, err
		}
		if info.Type != "" {
			if in[info.Name], err = readBox(strings.TrimPrefix(value, "@"), info); err != nil {
				return nil, inputError(info.Name, err)
			}
			continue
		}
		t, err := r.read(value, info)
		if err != nil {
			return nil, err
		}
		in[info.Name] = tensor.ValueOf(t)
	}
	var missing []llmc.Info
	for _, info := range l.inputs {
		if _, ok := in[info.Name]; ok {
			continue
		}
		if archive != "" {
			return nil, usagef("%s has no array %q, and no other --input gives it", archive, info.Name)
		}
		if !f.random && !f.zeros {
			missing = append(missing, info)
			continue
		}
		if in[info.Name], err = f.madeUp(l, info); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 && l.why != nil {
		return nil, l.why
	}
	if len(missing) > 0 {
		var list []string
		for _, m := range missing {
			list = append(list, m.String())
		}
		return nil, usagef("no value for %s: give --input NAME=VALUE, --random or --zeros", strings.Join(list, ", "))
	}
	return in, nil
}

func inputError(name string, err error) error {
	var e *exitError
	if errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("input %q: %w", name, err)
}

// madeUp is the value of an input that nobody gave.
func (f *inputFlags) madeUp(l *loaded, info llmc.Info) (tensor.Value, error) {
	if info.Type != "" {
		return emptyBox(info)
	}
	shape, err := l.shape(info)
	if err != nil {
		return tensor.Value{}, err
	}
	n, ok := tensor.Count(shape)
	if limit := int64(f.model.memory); !ok || n > maxMadeUp || limit > 0 && int64(info.Elem.Bytes(n)) > limit {
		return tensor.Value{}, fmt.Errorf("input %q: %v%v does not fit into memory", info.Name, info.Elem, shape)
	}
	if !f.random {
		return tensor.ValueOf(tensor.New(info.Elem, shape...)), nil
	}
	t, err := randomInput(info, shape, l.dims, f.seed)
	if l.invented == nil {
		l.invented = map[string]bool{}
	}
	l.invented[info.Name] = true
	return tensor.ValueOf(t), err
}

// maxMadeUp bounds an input that nobody gave, in elements.
const maxMadeUp = 1 << 28

// readDir reads input_K.pb. Files for inputs with an initializer are read past.
func (l *loaded) readDir(dir string, in llmc.Values) error {
	if _, err := os.Stat(dir); err != nil {
		return &exitError{exitNoInput, pathError(err)}
	}
	for k, name := range l.files {
		path := filepath.Join(dir, fmt.Sprintf("input_%d.pb", k))
		at, ok := l.input(name)
		if !ok {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			continue // reported as missing, unless --input gives it
		}
		var err error
		if info := l.inputs[at]; info.Type != "" {
			in[name], err = readBox(path, info)
		} else {
			in[name], err = readProto(path, tensor.KindTensor)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readProto reads a value of a kind from a .pb file.
func readProto(path string, kind tensor.Kind) (tensor.Value, error) {
	data, err := readBytes(path)
	if err != nil {
		return tensor.Value{}, err
	}
	v, err := onnxpb.ParseValue(data, kind)
	if err != nil {
		return v, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}
