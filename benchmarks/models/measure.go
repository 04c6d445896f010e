package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// python is an interpreter and the versions of what it has; "" where it lacks a package.
type python struct {
	path                              string
	version, numpy, onnx, onnxruntime string
}

// findPython asks an interpreter what it has; numpy and onnx are needed.
func findPython(ctx context.Context, path string) (python, error) {
	const script = `import sys, importlib.metadata as m
def v(p):
    try: return m.version(p)
    except Exception: return ""
print("\t".join([sys.version.split()[0], v("numpy"), v("onnx"), v("onnxruntime")]))`
	out, err := exec.CommandContext(ctx, path, "-c", script).Output()
	if err != nil {
		return python{}, fmt.Errorf("%w: python %s does not run: %w", errSkip, path, err)
	}
	f := strings.Split(strings.TrimRight(string(out), "\r\n"), "\t")
	if len(f) != 4 || f[1] == "" || f[2] == "" {
		return python{}, fmt.Errorf("%w: python %s has no numpy or no onnx", errSkip, path)
	}
	return python{path, f[0], f[1], f[2], f[3]}, nil
}

// machine is what every result says of where it was measured.
type machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Commit   string            `json:"commit"` // with + where the tree had changes
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"`
}

func describe(ctx context.Context, root string, py python) (machine, error) {
	m := machine{CPU: cpuName(), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Versions: map[string]string{"python": py.version, "numpy": py.numpy, "onnx": py.onnx, "onnxruntime": py.onnxruntime}}
	git := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, "git", args...)
		c.Dir = root
		out, err := c.Output()
		return strings.TrimSpace(string(out)), err
	}
	var err error
	if m.Commit, err = git("rev-parse", "--short=12", "HEAD"); err != nil {
		return m, fmt.Errorf("finding the commit: %w", err)
	}
	if changed, err := git("status", "--porcelain", "--untracked-files=no", "--", "*.go", "*.s", "go.mod"); err == nil && changed != "" {
		m.Commit += "+"
	}
	return m, nil
}

var modelName = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if m := modelName.FindSubmatch(b); err == nil && m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

// setup is what one run of the command shares among models.
type setup struct {
	options
	machine machine
	python  python
	temp    string
	llmc    string   // the binary
	others  []string // further arguments of the harness: engines in pure Go
}

// measure fills a model and has the harness time it. What goes wrong stands in the result.
func (s *setup) measure(ctx context.Context, name string) *result {
	r := &result{Model: name, Date: time.Now().UTC().Format(time.DateOnly), machine: s.machine}
	base, c, _ := strings.Cut(name, "/")
	if c == "" {
		c = "0"
	}
	if _, err := strconv.Atoi(c); err != nil || base != filepath.Base(base) {
		r.Error = fmt.Sprintf("want NAME or NAME/CASE, got %q", name)
		return r
	}
	dir, drop, err := s.folder(ctx, base)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer drop()
	peers := "ort"
	if s.python.onnxruntime == "" {
		peers = ""
	}
	file := filepath.Join(s.temp, "rows.json")
	_ = os.Remove(file) // of the model before
	args := []string{filepath.Join(s.shared, "bench", "peers.py"), filepath.Join(dir, "model.onnx"), "--data", filepath.Join(dir, "test_data_set_"+c),
		"--peers", peers, "--ours", s.llmc + " bench --worker", "--threads", s.threads, "--rounds", strconv.Itoa(s.rounds),
		"--budget-s", strconv.FormatFloat(s.budget, 'g', -1, 64), "--label", name, "--json", file}
	args = append(args, s.others...)
	if !s.purego && decodes(filepath.Join(s.shared, "models", "bench", base+".json"), c) { // as exported, and with the caches kept by the session
		args = append(args, "--cmd", statesEngine+"="+s.llmc+" bench --worker --state auto")
	}
	r.Command = s.command(args)
	cmd := exec.CommandContext(ctx, s.python.path, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = os.Stderr, &log
	if err := cmd.Run(); err != nil {
		r.Error = fmt.Sprintf("peers.py: %v: %s", err, lastLine(log.String()))
		return r
	}
	b, err := os.ReadFile(file)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	for line := range strings.Lines(string(b)) {
		var row row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			r.Error = fmt.Sprintf("peers.py: %v", err)
			return r
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

// statesEngine is this engine with caches as states.
const statesEngine = "ours-states"

// decodes reports whether a case of a benchmark model has caches that hold something.
func decodes(description, c string) bool {
	var d struct {
		Cases []struct {
			Inputs []struct {
				Name  string `json:"name"`
				Shape []int  `json:"shape"`
			} `json:"inputs"`
		} `json:"cases"`
	}
	b, err := os.ReadFile(description)
	k, err2 := strconv.Atoi(c)
	if err != nil || err2 != nil || json.Unmarshal(b, &d) != nil || k >= len(d.Cases) {
		return false
	}
	for _, in := range d.Cases[k].Inputs {
		if strings.HasPrefix(in.Name, "past") && !slices.Contains(in.Shape, 0) {
			return true
		}
	}
	return false
}

// command is what was run, without the folders of this machine.
func (s *setup) command(args []string) string {
	l := append([]string{"python"}, args...)
	text := strings.Join(l, " ")
	for _, dir := range []struct{ from, to string }{{s.temp, "$TMP"}, {s.work, "$WORK"}, {s.shared, "$SHARED"}} {
		if dir.from != "" {
			text = strings.ReplaceAll(text, dir.from+string(filepath.Separator), dir.to+"/")
		}
	}
	return text
}

func lastLine(s string) string {
	l := strings.Split(strings.TrimSpace(s), "\n")
	return l[len(l)-1]
}

// folder is where model.onnx and its inputs are: filled before, one that needs no filling, or filled now, which drop removes
// unless models are kept.
func (s *setup) folder(ctx context.Context, name string) (dir string, drop func(), err error) {
	drop = func() {}
	for _, dir := range []string{filepath.Join(s.work, name), filepath.Join(s.shared, "models", "real", name)} {
		if _, err := os.Stat(filepath.Join(dir, "model.onnx")); err == nil && (s.work != "" || dir != name) {
			return dir, drop, nil
		}
	}
	out := s.work
	if out == "" {
		out = s.temp
		drop = func() { _ = os.RemoveAll(filepath.Join(out, name)) }
	}
	cmd := exec.CommandContext(ctx, s.python.path, filepath.Join(s.shared, "models", "bench", "fill.py"), name, "--out", out)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = os.Stderr, &log
	if err := cmd.Run(); err != nil {
		drop()
		return "", nil, fmt.Errorf("fill.py: %w: %s", err, lastLine(log.String()))
	}
	return filepath.Join(out, name), drop, nil
}
