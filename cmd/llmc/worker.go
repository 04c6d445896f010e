package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// maxRuns bounds one request.
const maxRuns = 1 << 20

// worker is an engine of the protocol "onnxbench 1": one request a line, one answer a line.
type worker struct {
	a       *app
	flags   *modelFlags
	threads int
	given   llmc.Values
	l       *loaded
	s       *llmc.Session
	in, out []*llmc.Tensor
	states  []held
}

func (a *app) worker(ctx context.Context, f *benchFlags) error {
	w := &worker{a: a, flags: &f.in.model, given: llmc.Values{}}
	defer w.reset()
	a.printf("hello onnxbench 1 llmc-%s\n", driver.Version)
	requests := readLines(ctx, a.in)
	for {
		var line string
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-requests:
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			if r.err != nil {
				return r.err
			}
			line = strings.TrimRight(r.line, "\r\n")
		}
		if line == "quit" {
			a.printf("ok\n")
			return nil
		}
		answer, err := w.answer(ctx, line)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.printf("err %s\n", clean(err.Error()))
			continue
		}
		a.printf("%s\n", strings.TrimSuffix("ok "+answer, " "))
	}
}

// request is a line of input, or why there is none.
type request struct {
	line string
	err  error
}

// readLines reads beside the worker, so that the end of ctx is seen while nothing comes in.
func readLines(ctx context.Context, r io.Reader) <-chan request {
	c := make(chan request)
	go func() {
		in := bufio.NewReaderSize(r, 1<<16)
		for {
			line, err := in.ReadString('\n')
			select {
			case c <- request{line, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// answer carries out one request; what it returns follows "ok".
func (w *worker) answer(ctx context.Context, line string) (string, error) {
	cmd, arg, _ := strings.Cut(line, " ")
	switch cmd {
	case "threads":
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return "", fmt.Errorf("threads: want a number from 1, got %q", arg)
		}
		if w.s != nil {
			return "", errors.New("threads: the model is loaded already")
		}
		w.threads = n
		return "", nil
	case "input":
		return "", w.input(arg)
	case "load":
		start := time.Now()
		if err := w.load(ctx, arg); err != nil {
			w.unload()
			return "", err
		}
		return strconv.FormatInt(time.Since(start).Nanoseconds(), 10), nil
	case "run":
		return w.run(ctx, arg)
	case "outputs":
		return w.outputs(arg)
	case "reset":
		w.reset()
		return "", nil
	}
	return "", fmt.Errorf("unknown request %q", cmd)
}

func (w *worker) reset() {
	w.unload()
	w.given = llmc.Values{}
}

func (w *worker) unload() {
	if w.l != nil {
		w.l.close()
	}
	w.l, w.s, w.in, w.out, w.states = nil, nil, nil, nil, nil
}

func (w *worker) input(arg string) error {
	name, path, ok := strings.Cut(arg, " ")
	if !ok {
		return errors.New("input: want NAME PATH")
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return err
	}
	t, err := readTensor(path, dtype.Invalid)
	if err != nil {
		return err
	}
	if w.s == nil {
		w.given[name] = tensor.ValueOf(t)
		return nil
	}
	for i, in := range w.l.model.Inputs() {
		if in.Name != name {
			continue
		}
		for k := range w.states {
			if h := &w.states[k]; h.input == name {
				return w.replace(h, t)
			}
		}
		if old := w.in[i]; old.Elem != t.Elem || !slices.Equal(old.Shape, t.Shape) {
			return fmt.Errorf("input %q: want %v%v, got %v%v", name, old.Elem, old.Shape, t.Elem, t.Shape)
		}
		w.in[i] = t
		return nil
	}
	return fmt.Errorf("the model has no input %q", name)
}

// replace gives a state another value, of the same shape.
func (w *worker) replace(h *held, t *llmc.Tensor) error {
	if !slices.Equal(h.value.Shape, t.Shape) {
		return fmt.Errorf("input %q: want shape %v, got %v", h.input, h.value.Shape, t.Shape)
	}
	h.value = t
	return w.s.SetState(h.input, t)
}

func (w *worker) load(ctx context.Context, path string) error {
	w.unload()
	f := *w.flags
	f.threads = w.threads
	var err error
	if w.l, err = openModel(path, &f); err != nil {
		return err
	}
	if err := w.l.build(ctx, w.a, w.given); err != nil {
		return err
	}
	for _, info := range w.l.model.Inputs() {
		v, ok := w.given[info.Name]
		if !ok {
			return fmt.Errorf("input %q has no value", info.Name)
		}
		w.in = append(w.in, v.Tensor)
	}
	w.out = make([]*llmc.Tensor, len(w.l.model.Outputs()))
	if w.s, err = w.l.model.NewSession(); err != nil {
		return err
	}
	for _, st := range w.l.model.Program().Entries[0].States {
		i := int(st.Input)
		h := held{input: w.l.model.Inputs()[i].Name, output: int(st.Output), value: w.in[i], axis: int(st.Axis)}
		if err := w.s.SetState(h.input, h.value); err != nil {
			return err
		}
		w.states = append(w.states, h)
		w.in[i] = nil // the session has it
	}
	return nil
}

// held is a state: the value of its input, which the session holds when a run begins.
type held struct {
	input  string
	output int
	value  *llmc.Tensor
	axis   int
}

// rewind makes the states what they are to be when a run begins. What grows is cut; only other states are copied.
func (w *worker) rewind() error {
	for _, h := range w.states {
		if h.axis < 0 {
			if err := w.s.SetState(h.input, h.value); err != nil {
				return err
			}
			continue
		}
		if err := w.s.TruncateStates(h.value.Shape[h.axis]); err != nil { // all that grow: they hold one number of positions
			return err
		}
	}
	return nil
}

func (w *worker) run(ctx context.Context, arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	switch {
	case err != nil || n < 1 || n > maxRuns:
		return "", fmt.Errorf("run: want a number from 1 to %d, got %q", maxRuns, arg)
	case w.s == nil:
		return "", errors.New("run: no model is loaded")
	}
	times := make([]byte, 0, 12*n)
	for i := range n {
		clear(w.out) // the session's own memory, whatever size the results have
		if err := w.rewind(); err != nil {
			return "", err
		}
		start := time.Now()
		err := w.s.RunInto(ctx, w.in, w.out)
		took := time.Since(start).Nanoseconds()
		if err != nil {
			return "", err
		}
		if i > 0 {
			times = append(times, ' ')
		}
		times = strconv.AppendInt(times, took, 10)
	}
	return string(times), nil
}

func (w *worker) outputs(dir string) (string, error) {
	if w.s == nil || len(w.out) == 0 || w.out[0] == nil {
		return "", errors.New("outputs: nothing has run")
	}
	var names []string
	for k, info := range w.l.model.Outputs() {
		t := w.out[k]
		for _, h := range w.states {
			if h.output != k || h.axis < 0 {
				continue
			}
			var err error
			if t, err = w.s.State(h.input); err != nil {
				return "", err
			}
		}
		if err := writeTensor(filepath.Join(dir, fmt.Sprintf("%d.npy", k)), info.Name, t); err != nil {
			return "", err
		}
		names = append(names, url.PathEscape(info.Name))
	}
	return strings.Join(names, " "), nil
}
