package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/exec"
)

// optional are the passes without which a program can still be made.
var optional = []string{"simplify", "fold", "raise", "state", "specialize"}

// failure says how a random graph failed; the kind stays the same while it shrinks.
type failure struct {
	kind string // compile, load, run, malformed, differs, threads
	err  error
}

func (f *failure) Error() string { return f.kind + ": " + f.err.Error() }

// fate counts what became of graphs.
type fate struct{ ran, invalid, unsupported int }

// differential compares the evaluator with the program compiled without some passes, on every tier, with one
// thread and two, at several extents. Nil where they agree.
func differential(text string, skip []string, n *fate) *failure {
	table, err := ops.Table()
	if err != nil {
		return &failure{"table", err}
	}
	sem := eval.New(table)
	before, err := irtest.Load(text, sem)
	if err != nil {
		return &failure{"parse", err}
	}
	type run struct{ in, want []*tensor.Tensor }
	var runs []run
	for seed, syms := range []map[string]int64{{"N": 2, "S": 3}, {"N": 1, "S": 1}, {"N": 5, "S": 17}, {"N": 0, "S": 4}} {
		in, err := randomInputs(before, int64(seed), syms)
		if err != nil {
			continue
		}
		want, err := reference(sem, before, in)
		if err != nil {
			continue // these extents break a guard
		}
		runs = append(runs, run{in, want})
		if before.Dims.Names() == nil {
			break
		}
	}
	if len(runs) == 0 {
		n.invalid++
		return nil
	}
	module, err := irtest.Load(text, sem)
	if err != nil {
		return &failure{"parse", err}
	}
	src := &Source{Path: "random", Table: table, Sem: sem, Module: module}
	res, err := Compile(context.Background(), src, Options{Skip: skip})
	if IsUnsupported(err) {
		n.unsupported++
		return nil
	}
	if err != nil {
		return &failure{"compile", err}
	}
	n.ran++
	for _, tier := range tiers() {
		var first [][]*tensor.Tensor
		for workers := 1; workers <= 2; workers++ {
			m, err := exec.Load(res.Program, exec.Options{Workers: workers, Tier: tier, MaxMemory: 1 << 30, Host: std.All()})
			if err != nil {
				return &failure{"load", fmt.Errorf("%s: %w", tier, err)}
			}
			s, err := m.NewSession("")
			for i := 0; i < len(runs) && err == nil; i++ {
				where := fmt.Sprintf("%s, %d threads, run %d", tier, workers, i)
				got, rerr := s.Run(context.Background(), runs[i].in, nil)
				if rerr != nil {
					err = &failure{"run", fmt.Errorf("%s: %w", where, rerr)}
				} else if workers == 1 {
					got = clones(got)
					first = append(first, got)
					err = agree(where, got, runs[i].want)
				} else {
					err = sameBits(where, got, first[i])
				}
			}
			m.Close()
			if f := (*failure)(nil); errors.As(err, &f) {
				return f
			}
			if err != nil {
				return &failure{"load", err}
			}
		}
	}
	return nil
}

// reference is what the evaluator makes of inputs, within a budget: larger graphs show nothing more.
func reference(sem *eval.Evaluator, m *ir.Module, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	vals := make([]eval.Value, len(in))
	for i, t := range in {
		vals[i] = eval.Of(t)
	}
	out, err := sem.Eval(context.Background(), m, m.Main(), vals, eval.Options{Budget: &host.Budget{Left: 64 << 20}})
	if err != nil {
		return nil, err
	}
	l := make([]*tensor.Tensor, len(out))
	for i, v := range out {
		l[i] = v.Tensor
	}
	return l, nil
}

func clones(l []*tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(l))
	for i, t := range l {
		out[i] = t.Clone()
	}
	return out
}

// agree bounds the difference by a part of the largest magnitude, or of 1 where that is less: sums may cancel.
func agree(where string, got, want []*tensor.Tensor) error {
	for i := range want {
		for _, t := range []*tensor.Tensor{got[i], want[i]} {
			if err := t.Check(); err != nil {
				return &failure{"malformed", fmt.Errorf("%s: result %d: %w", where, i, err)}
			}
		}
		d, err := irtest.Compare(got[i], want[i])
		if err != nil {
			return &failure{"differs", fmt.Errorf("%s: result %d: %w", where, i, err)}
		}
		tol, scale := 0.0, 1.0
		switch want[i].Elem {
		case dtype.F32:
			tol = 1e-3
		case dtype.F64:
			tol = 1e-3 // what went through f32 on the way
		}
		if d.MaxRel > 0 {
			scale = max(scale, d.MaxAbs/d.MaxRel)
		}
		if d.MaxAbs > tol*scale {
			return &failure{"differs", fmt.Errorf("%s: result %d, %v%v: element %d is %v, want %v", where, i, want[i].Elem, want[i].Shape, d.At, got[i].Float(d.At), want[i].Float(d.At))}
		}
	}
	return nil
}

func sameBits(where string, got, want []*tensor.Tensor) error {
	for i := range want {
		if !slices.Equal(got[i].Shape, want[i].Shape) || !bytes.Equal(got[i].Data, want[i].Data) {
			return &failure{"threads", fmt.Errorf("%s: result %d differs in bits from one thread's", where, i)}
		}
	}
	return nil
}

// randomInputs draws inputs: quarters as floats, so that equal ones occur, and small integers.
func randomInputs(m *ir.Module, seed int64, syms map[string]int64) ([]*tensor.Tensor, error) {
	for _, name := range m.Dims.Names() {
		v, ok := syms[name]
		if in := m.Dims.Info(name); ok && (v < in.Lo || v > in.Hi) {
			return nil, fmt.Errorf("%s is %d", name, v)
		}
	}
	in, err := irtest.Inputs(rand.New(rand.NewSource(seed)), m.Main(), syms, -irtest.InputBound, irtest.InputBound)
	for _, t := range in {
		for i := 0; t.Elem.IsFloat() && i < t.Len(); i++ {
			t.SetFloat(i, float64(int(t.Float(i)*4))/4)
		}
	}
	return in, err
}

// randomCase is a graph in text form and the passes to leave out, by a seed. Its loops run at least trips times.
func randomCase(seed int64, trips int) (text string, skip []string, err error) {
	r := rand.New(rand.NewSource(seed))
	table, err := ops.Table()
	if err != nil {
		return "", nil, err
	}
	m, err := irtest.Mixed(r, eval.New(table), irtest.MixedOptions{Nodes: 4 + r.Intn(24), Symbols: r.Intn(3), Depth: r.Intn(3), Trips: trips})
	if err != nil {
		return "", nil, err
	}
	for _, p := range optional {
		if r.Intn(3) == 0 {
			skip = append(skip, p)
		}
	}
	return m.String(), skip, nil
}

// A check says how a graph in text form, compiled without some passes, fails; nil where it does not.
type check func(text string, skip []string, n *fate) *failure

// A campaign tries random graphs, whose loops run at least trips times, and writes those that fail to testdata/random.
type campaign struct {
	test   check
	trips  int
	prefix string // of the files
}

var evaluated = campaign{test: differential, prefix: "seed"}

// shrink makes a failing case small: fewer passes left out, then a smaller graph.
func shrink(test check, text string, skip []string, kind string) (string, []string) {
	fails := func(text string, skip []string) bool {
		f := test(text, skip, &fate{})
		return f != nil && f.kind == kind
	}
	for i := len(skip) - 1; i >= 0; i-- {
		if less := append(skip[:i:i], skip[i+1:]...); fails(text, less) {
			skip = less
		}
	}
	table, err := ops.Table()
	if err != nil {
		return text, skip
	}
	sem := eval.New(table)
	return irtest.Shrink(text, sem, sem, 3000, func(text string) bool { return fails(text, skip) }), skip
}

// skipMark begins the comment of a case that lists the passes to leave out.
const skipMark = "// skip:"

// try runs one seed; a failure is shrunk and written to a file, to be committed with its correction.
func (c campaign) try(t *testing.T, seed int64, n *fate) {
	t.Helper()
	text, skip, err := randomCase(seed, c.trips)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	f := c.test(text, skip, n)
	if f == nil {
		return
	}
	small, less := shrink(c.test, text, skip, f.kind)
	if g := c.test(small, less, &fate{}); g != nil {
		f = g
	}
	file := filepath.Join("testdata", "random", fmt.Sprintf("%s%d.ir", c.prefix, seed))
	why := strings.ReplaceAll(strings.SplitN(f.Error(), "\n", 2)[0], "\n", " ")
	body := fmt.Sprintf("// %s\n%s %s\n%s", why, skipMark, strings.Join(less, " "), small)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err == nil {
		err = os.WriteFile(file, []byte(body), 0o644)
		if err != nil {
			t.Log(err)
		}
	}
	t.Errorf("seed %d, written to %s: %v\n%s", seed, file, f, body)
}

// Random graphs, compiled without random passes, compute what the evaluator does. LLMC_RANDOM=60s takes longer, with
// new seeds, or from LLMC_RANDOM_SEED on.
func TestRandomGraphs(t *testing.T) {
	n := evaluated.run(t)
	t.Logf("%d graphs ran, %d have no inputs for which they evaluate, %d are unsupported", n.ran, n.invalid, n.unsupported)
	if n.ran < 2*(n.invalid+n.unsupported) {
		t.Errorf("too few random graphs run: %+v", n)
	}
}

// run tries seeds for the time that LLMC_RANDOM says, 60 of them or 3 seconds where it says nothing.
func (c campaign) run(t *testing.T) fate {
	t.Helper()
	limit, seed, last := 3*time.Second, int64(1), int64(60)
	if s := os.Getenv("LLMC_RANDOM"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("LLMC_RANDOM: %v", err)
		}
		limit, seed, last = d, time.Now().UnixNano(), math.MaxInt64
		if s := os.Getenv("LLMC_RANDOM_SEED"); s != "" { // one that failed
			if _, err := fmt.Sscan(s, &seed); err != nil {
				t.Fatalf("LLMC_RANDOM_SEED: %v", err)
			}
		}
	}
	var n fate
	for end := time.Now().Add(limit); time.Now().Before(end) && seed <= last; seed++ {
		c.try(t, seed, &n)
	}
	return n
}

// FuzzRandomGraphs is the same for a fuzzer.
func FuzzRandomGraphs(f *testing.F) {
	f.Add(int64(1))
	f.Fuzz(func(t *testing.T, seed int64) { evaluated.try(t, seed, &fate{}) })
}

// Every graph that failed once is right now.
func TestRandomRegressions(t *testing.T) {
	files, err := filepath.Glob("testdata/random/*.ir")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".ir"), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var skip []string
			for line := range strings.Lines(string(raw)) {
				if rest, ok := strings.CutPrefix(line, skipMark); ok {
					skip = strings.Fields(rest)
				}
			}
			var n fate
			if f := differential(string(raw), skip, &n); f != nil {
				t.Error(f)
			}
			if n.ran == 0 {
				t.Errorf("the case does not run: %+v", n)
			}
		})
	}
}
