// Command models times whole models against ONNX Runtime, in turns on the same inputs, stores what was measured under
// benchmarks/results and writes the README's tables of it:
//
//	go run ./benchmarks/models --peers venv/bin/python                # everything; a quiet machine, and hours
//	go run ./benchmarks/models --models resnet50,gpt2-124m/1          # some, /1 for the second case of inputs
//	go run ./benchmarks/models --purego                               # a few, beside other engines in pure Go
//	go run ./benchmarks/models --table                                # the README's tables from what is stored
//
// Models are skeletons under SHARED/models/bench, which fill.py there fills, or whole ones under SHARED/models/real. The
// harness is SHARED/bench/peers.py. Without onnxruntime in that Python, only this engine is timed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/llmc-go/llmc/formats/atomicfile"
)

// options are the flags.
type options struct {
	root    string // of the module
	shared  string
	models  string
	python  string
	work    string
	threads string
	rounds  int
	budget  float64
	purego  bool
	table   bool
}

func main() {
	var o options
	flag.StringVar(&o.shared, "shared", "../shared", "`folder` with models/bench and bench/peers.py")
	flag.StringVar(&o.models, "models", "", "`names`, with commas; all where it is empty")
	flag.StringVar(&o.python, "peers", "python3", "`python` that has numpy, onnx, and perhaps onnxruntime")
	flag.StringVar(&o.work, "work", "", "`folder` where filled models are, and are kept")
	flag.StringVar(&o.threads, "threads", "1,2", "`numbers` of threads, with commas")
	flag.IntVar(&o.rounds, "rounds", 12, "turns that every engine has")
	flag.Float64Var(&o.budget, "budget", 60, "`seconds` after which no new round begins")
	flag.BoolVar(&o.table, "table", false, "only write the README's tables from what is stored")
	flag.BoolVar(&o.purego, "purego", false, "beside other engines in pure Go, on one thread; of models, "+strings.Join(pureModels, " and ")+" where none is named")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "models:", err)
		os.Exit(1)
	}
}

// errSkip says that this machine lacks what measuring needs.
var errSkip = errors.New("skipped")

func run(ctx context.Context, o options) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("finding the module: %w", err)
	}
	o.root = strings.TrimSpace(string(out))
	for _, dir := range []*string{&o.shared, &o.work} { // the harness takes a path that begins with a dot for an extension
		if *dir == "" {
			continue
		}
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	results := filepath.Join(o.root, "benchmarks", "results")
	if !o.table {
		into := results
		if o.purego {
			into, o.threads = filepath.Join(results, "purego"), "1"
		}
		if err := measureAll(ctx, o, into); errors.Is(err, errSkip) {
			fmt.Fprintln(os.Stderr, "models:", err)
			return nil
		} else if err != nil {
			return err
		}
	}
	readme := filepath.Join(o.root, "README.md")
	b, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	text, err := writeTables(string(b), results)
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return atomicfile.WriteBytes(readme, []byte(text))
}

func measureAll(ctx context.Context, o options, results string) error {
	py, err := findPython(ctx, o.python)
	if err != nil {
		return err
	}
	for _, f := range []string{"bench/peers.py", "models/bench/fill.py"} {
		if _, err := os.Stat(filepath.Join(o.shared, f)); err != nil {
			return fmt.Errorf("%w: %s is not in %s", errSkip, f, o.shared)
		}
	}
	names := strings.Split(o.models, ",")
	if o.models == "" && o.purego {
		names = pureModels
	} else if o.models == "" {
		if names, err = allModels(o.shared); err != nil {
			return err
		}
	}
	temp, err := os.MkdirTemp("", "models")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	s := &setup{options: o, python: py, temp: temp, llmc: filepath.Join(temp, "llmc")}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.llmc, "./cmd/llmc")
	build.Dir, build.Env, build.Stderr = o.root, append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the command: %w", err)
	}
	if s.machine, err = describe(ctx, o.root, py); err != nil {
		return err
	}
	if o.purego {
		if err := s.buildPure(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		r := s.measure(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.Error != "" {
			fmt.Fprintf(os.Stderr, "models: %s: %s\n", name, r.Error)
		}
		if err := r.write(results); err != nil {
			return err
		}
	}
	return nil
}

// allModels are the skeletons' names in their own order, the second case of the decoder, and a small trained one.
func allModels(shared string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(shared, "models", "bench", "models.tsv"))
	if err != nil {
		return nil, err
	}
	var names []string
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		name, _, _ := strings.Cut(line, "\t")
		if i == 0 {
			continue // the heading
		}
		names = append(names, name)
		if name == "gpt2-124m" {
			names = append(names, name+"/1")
		}
	}
	return append(names, "mnist-cnn"), nil
}
