// Package worker makes a command of an engine of somebody else's: one that speaks the protocol "onnxbench 1" of the
// harness on stdin and stdout. A request is a line, and so is its answer.
//
// An engine that panics answers with an error, so that the table has a row that says why. That holds for panics in the
// goroutine that called the engine; one in a goroutine of the engine's own ends the process.
package worker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Engine is what a command wraps. One value serves one model.
type Engine interface {
	// Load reads and prepares a model for inputs of the shapes of these, which are also the values of the first run.
	Load(path string, threads int, inputs map[string]*tensor.Tensor) error
	// Input gives an input another value of the same shape.
	Input(name string, t *tensor.Tensor) error
	// Run is one inference. It is what the clock measures, and ends when the outputs can be read.
	Run() error
	// Outputs are the results of the last run, in the graph's order.
	Outputs() ([]Output, error)
}

// Output is a result under its name.
type Output struct {
	Name  string
	Value *tensor.Tensor
}

// Main speaks for the engines that open makes, of a module among the command's dependencies. What an engine prints goes
// to stderr, since stdout belongs to the protocol.
func Main(module string, open func() Engine) {
	out := os.Stdout
	os.Stdout = os.Stderr
	if err := Serve(os.Stdin, out, versionOf(module), open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// versionOf is the last name of a module's path and the version that is linked.
func versionOf(module string) string {
	name := module[strings.LastIndexByte(module, '/')+1:]
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == module {
				return name + " " + d.Version
			}
		}
	}
	return name
}

// maxRuns bounds one request.
const maxRuns = 1 << 20

// session is what the requests so far have set.
type session struct {
	open    func() Engine
	threads int
	inputs  map[string]*tensor.Tensor
	engine  Engine // nil until a model is loaded
	ran     bool
}

// Serve answers requests until the input ends or one says quit.
func Serve(in io.Reader, out io.Writer, version string, open func() Engine) error {
	s := &session{open: open, threads: 1, inputs: map[string]*tensor.Tensor{}}
	if _, err := fmt.Fprintf(out, "hello onnxbench 1 %s\n", version); err != nil {
		return err
	}
	for r := bufio.NewReader(in); ; {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		request, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if request == "quit" {
			_, err := fmt.Fprintln(out, "ok")
			return err
		}
		answer, err := s.answer(request, arg)
		if err != nil {
			answer = "err " + oneLine(err.Error())
		} else {
			answer = strings.TrimSuffix("ok "+answer, " ")
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
}

// answer carries out one request; what it returns follows "ok".
func (s *session) answer(request, arg string) (answer string, err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", p, debug.Stack())
			answer, err = "", fmt.Errorf("panic: %v", p)
		}
	}()
	switch request {
	case "threads":
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return "", fmt.Errorf("threads: want a number from 1, got %q", arg)
		}
		s.threads = n
		return "", nil
	case "input":
		return "", s.input(arg)
	case "load":
		return s.load(arg)
	case "run":
		return s.run(arg)
	case "outputs":
		return s.outputs(arg)
	case "reset":
		s.engine, s.ran = nil, false
		clear(s.inputs)
		return "", nil
	}
	return "", fmt.Errorf("unknown request %q", request)
}

func (s *session) input(arg string) error {
	name, path, ok := strings.Cut(arg, " ")
	if !ok {
		return errors.New("input: want NAME PATH")
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	t, err := npy.Decode(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if s.engine == nil {
		s.inputs[name] = t
		return nil
	}
	old := s.inputs[name]
	if old == nil {
		return fmt.Errorf("input %q: not given before the model was loaded", name)
	}
	if old.Elem != t.Elem || !slices.Equal(old.Shape, t.Shape) {
		return fmt.Errorf("input %q: want %v%v, got %v%v", name, old.Elem, old.Shape, t.Elem, t.Shape)
	}
	return s.engine.Input(name, t)
}

func (s *session) load(path string) (string, error) {
	s.engine, s.ran = nil, false
	start := time.Now()
	e := s.open()
	if err := e.Load(path, s.threads, s.inputs); err != nil {
		return "", err
	}
	s.engine = e
	return strconv.FormatInt(time.Since(start).Nanoseconds(), 10), nil
}

func (s *session) run(arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	switch {
	case err != nil || n < 1 || n > maxRuns:
		return "", fmt.Errorf("run: want a number from 1 to %d, got %q", maxRuns, arg)
	case s.engine == nil:
		return "", errors.New("run: no model is loaded")
	}
	s.ran = false
	times := make([]byte, 0, 12*n)
	for range n {
		start := time.Now()
		err := s.engine.Run()
		took := time.Since(start).Nanoseconds()
		if err != nil {
			return "", err
		}
		times = strconv.AppendInt(append(times, ' '), took, 10)
	}
	s.ran = true
	return string(times[1:]), nil
}

func (s *session) outputs(dir string) (string, error) {
	if !s.ran {
		return "", errors.New("outputs: nothing has run")
	}
	list, err := s.engine.Outputs()
	if err != nil {
		return "", err
	}
	var names []string
	for k, o := range list {
		var b bytes.Buffer
		if err := npy.Encode(&b, o.Value); err != nil {
			return "", fmt.Errorf("output %q: %w", o.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.npy", k)), b.Bytes(), 0o644); err != nil {
			return "", err
		}
		names = append(names, url.PathEscape(o.Name))
	}
	return strings.Join(names, " "), nil
}

// oneLine makes a message fit into an answer.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:497], "") + "..."
	}
	return s
}
