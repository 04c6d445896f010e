package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/frontend/onnx/onnxtest"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/pipeline"
	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// models are the test cases of the repository, opened.
func models(t *testing.T, pattern string) map[string]*testcase.Case {
	t.Helper()
	dirs, err := filepath.Glob("../../testdata/" + pattern)
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no models %s: %v", pattern, err)
	}
	out := map[string]*testcase.Case{}
	for _, d := range dirs {
		if st, err := os.Stat(d); err != nil || !st.IsDir() {
			continue // archives and texts
		}
		s, err := testcase.Find(d)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(d)] = s.Cases[0]
	}
	return out
}

// loaded is a model with its inputs.
type loaded struct {
	*testcase.Open
	sets  []*testcase.Set
	name  string
	fixed bool // it has no symbolic form: a program is for the shapes of one set
}

func load(t *testing.T, c *testcase.Case, name string) *loaded {
	t.Helper()
	o, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	l := &loaded{Open: o, name: name}
	for k := range c.Sets {
		s, err := o.Set(k)
		if err != nil {
			t.Fatal(err)
		}
		l.sets = append(l.sets, s)
	}
	return l
}

// source imports the model; one that has no symbolic form is imported for the shapes of its first inputs.
func (l *loaded) source(t *testing.T) *Source {
	t.Helper()
	src, err := OpenModel(l.Model, l.External, l.name, OpenOptions{})
	if err != nil {
		src, err = OpenModel(l.Model, l.External, l.name, OpenOptions{Shapes: l.shapes(0)})
		l.fixed = true
	}
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// shapes are those of the inputs of one set.
func (l *loaded) shapes(set int) map[string][]int {
	out := map[string][]int{}
	inits := map[string]bool{}
	for i := range l.Model.Graph.Inits {
		inits[l.Model.Graph.Inits[i].Name] = true
	}
	k := 0
	for _, in := range l.Model.Graph.Inputs {
		if !inits[in.Name] && k < len(l.sets[set].Inputs) {
			out[in.Name] = l.sets[set].Inputs[k].Tensor.Shape
			k++
		}
	}
	return out
}

func tensors(l []tensor.Value) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(l))
	for i, v := range l {
		out[i] = v.Tensor
	}
	return out
}

func values(l []*tensor.Tensor) []tensor.Value {
	out := make([]tensor.Value, len(l))
	for i, v := range l {
		out[i] = tensor.ValueOf(v.Clone())
	}
	return out
}

func compileModel(t *testing.T, l *loaded, o Options) (*Source, *program.Program, Report) {
	t.Helper()
	src := l.source(t)
	r, err := Compile(context.Background(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return src, r.Program, r.Report
}

func session(t *testing.T, src *Source, p *program.Program, tier string, workers int) *exec.Session {
	t.Helper()
	m, err := exec.Load(p, exec.Options{Workers: workers, Tier: tier, Host: std.All()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	s, err := m.NewSession("")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The evaluator, and compiled programs on every tier that this machine has, give the published outputs; one
// thread and two give the same bits.
func TestModelsGivePublishedOutputs(t *testing.T) {
	for name, c := range models(t, "*") {
		t.Run(name, func(t *testing.T) {
			l := load(t, c, name)
			checkEvaluator(t, l, len(l.sets) > 0 && strings.HasPrefix(name, "tiny-") || name == "mnist-cnn")
			src, p, _ := compileModel(t, l, Options{})
			for _, tier := range tiers() {
				one, two := session(t, src, p, tier, 1), session(t, src, p, tier, 2)
				for k, set := range l.sets {
					if l.fixed && k > 0 && !reflect.DeepEqual(l.shapes(k), l.shapes(0)) {
						continue // another program, of the same model
					}
					a, err := one.Run(context.Background(), tensors(set.Inputs), nil)
					if err != nil {
						t.Fatalf("%s set %d: %v", tier, k, err)
					}
					if ok, why := testcase.CompareOutputs(values(a), set.Outputs, l.Tolerance); !ok {
						t.Fatalf("%s set %d: %s", tier, k, why)
					}
					b, err := two.Run(context.Background(), tensors(set.Inputs), nil)
					if err != nil {
						t.Fatalf("%s set %d, two threads: %v", tier, k, err)
					}
					for i := range a {
						if !bytes.Equal(a[i].Data, b[i].Data) || !reflect.DeepEqual(a[i].Shape, b[i].Shape) {
							t.Fatalf("%s set %d output %d: one thread and two differ in bits", tier, k, i)
						}
					}
				}
			}
		})
	}
}

// tiers are those that kernels exist for and this machine has.
func tiers() []string {
	l := []string{"ref"}
	for _, t := range []cpu.Tier{cpu.TierAVX2, cpu.TierAVX512} {
		if cpu.Host().Has(t.Features()) {
			l = append(l, t.String())
		}
	}
	return l
}

func checkEvaluator(t *testing.T, l *loaded, run bool) {
	t.Helper()
	if !run {
		return // larger models are evaluated by the command, against the same files
	}
	src := l.source(t)
	for k, set := range l.sets {
		in := make([]eval.Value, len(set.Inputs))
		for i, v := range set.Inputs {
			in[i] = eval.Of(v.Tensor)
		}
		out, err := src.Sem.Eval(context.Background(), src.Module, src.Module.Main(), in, eval.Options{})
		if err != nil {
			t.Fatalf("evaluator set %d: %v", k, err)
		}
		var got []tensor.Value
		for _, v := range out {
			got = append(got, tensor.ValueOf(v.Tensor))
		}
		if ok, why := testcase.CompareOutputs(got, set.Outputs, l.Tolerance); !ok {
			t.Fatalf("evaluator set %d: %s", k, why)
		}
	}
}

// After every pass the module prints to text that parses back to it.
func TestTextFormAfterEveryPass(t *testing.T) {
	for name, c := range models(t, "*") {
		t.Run(name, func(t *testing.T) {
			l := load(t, c, name)
			src := l.source(t)
			_, err := Compile(context.Background(), src, Options{Event: func(e pass.Event) {
				text := e.Module.String()
				back, err := ir.Parse(text, ir.ParseOptions{Semantics: src.Sem, Consts: constsOf(e.Module)})
				if err != nil {
					t.Fatalf("after %s: %v", e.Pass.Name, err)
				}
				if err := ir.Equal(e.Module, back); err != nil {
					t.Fatalf("after %s: %v", e.Pass.Name, err)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A model compiled twice gives the same program.
func TestCompileIsDeterministic(t *testing.T) {
	for name, c := range models(t, "tiny-*") {
		l := load(t, c, name)
		_, a, _ := compileModel(t, l, Options{})
		_, b, _ := compileModel(t, l, Options{})
		var x, y bytes.Buffer
		for _, w := range []struct {
			p *program.Program
			b *bytes.Buffer
		}{{a, &x}, {b, &y}} {
			if err := program.Write(w.b, w.p, program.Options{Pack: exec.PackConst}); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(x.Bytes(), y.Bytes()) {
			t.Errorf("%s: two compilations differ", name)
		}
	}
}

// Once warm, a session allocates nothing on models without host steps or sizes that depend on data.
func TestRunAllocatesNothing(t *testing.T) {
	for _, name := range []string{"mnist-cnn", "tiny-vit", "tiny-bert-classify", "tiny-resnet18-bn"} {
		l := load(t, models(t, name)[name], name)
		src, p, _ := compileModel(t, l, Options{})
		s := session(t, src, p, "", 2)
		in := tensors(l.sets[0].Inputs)
		ctx := context.Background()
		run := func() {
			if _, err := s.Run(ctx, in, nil); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s: %v allocations a run", name, n)
		}
	}
}

// The arena is at most 1.15 times the largest set of buffers alive at once.
func TestArenaIsTight(t *testing.T) {
	for name, c := range models(t, "*") {
		l := load(t, c, name)
		src, p, _ := compileModel(t, l, Options{})
		s := session(t, src, p, "", 1)
		if _, err := s.Run(context.Background(), tensors(l.sets[0].Inputs), nil); err != nil {
			t.Fatal(err)
		}
		m := s.Memory()
		if float64(m.Arena) > 1.15*float64(m.Live) {
			t.Errorf("%s: arena of %d bytes, largest live set %d", name, m.Arena, m.Live)
		}
	}
}

// Every pass earns its place: without it some model needs more steps or a larger arena, or does not compile.
func TestEveryPassMatters(t *testing.T) {
	type figure struct {
		steps int
		arena int64
	}
	measure := func(l *loaded, skip []string) (figure, error) {
		src := l.source(t)
		r, err := Compile(context.Background(), src, Options{Skip: skip})
		if err != nil {
			return figure{}, err
		}
		s := session(t, src, r.Program, "", 1)
		if _, err := s.Run(context.Background(), tensors(l.sets[0].Inputs), nil); err != nil {
			return figure{}, err
		}
		return figure{r.Report.Steps, s.Memory().Arena}, nil
	}
	seen := map[string]bool{}
	for _, p := range pipeline.List() {
		if seen[p.Name] || p.Name == "state" || p.Name == "specialize" {
			continue // those two act on options, and have tests of their own below
		}
		seen[p.Name] = true
		matters := ""
		for name, c := range models(t, "tiny-*") {
			l := load(t, c, name)
			with, err := measure(l, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			without, err := measure(l, []string{p.Name})
			switch {
			case err != nil:
				matters = fmt.Sprintf("%s does not compile: %v", name, err)
			case without.steps > with.steps || without.arena > with.arena:
				matters = fmt.Sprintf("%s: %d steps and %d bytes instead of %d and %d", name, without.steps, without.arena, with.steps, with.arena)
			}
			if matters != "" {
				break
			}
		}
		if matters == "" {
			t.Errorf("pass %s can be left out of every model", p.Name)
		}
		t.Logf("without %s, %s", p.Name, matters)
	}
}

// --dim gives numbers to symbols: fewer inputs bind them, and the answers stay.
func TestSpecialize(t *testing.T) {
	l := load(t, models(t, "tiny-bert-classify")["tiny-bert-classify"], "bert")
	shape := l.sets[0].Inputs[0].Tensor.Shape
	src, p, _ := compileModel(t, l, Options{Dims: map[string]int64{"batch": int64(shape[0]), "sequence": int64(shape[1])}})
	if len(p.Symbols) != 0 {
		t.Errorf("symbols left: %v", p.Dims.Syms)
	}
	out, err := session(t, src, p, "", 1).Run(context.Background(), tensors(l.sets[0].Inputs), nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := testcase.CompareOutputs(values(out), l.sets[0].Outputs, l.Tolerance); !ok {
		t.Error(why)
	}
	if math.Abs(float64(len(p.Entries)-1)) > 0 {
		t.Errorf("want one entry, got %d", len(p.Entries))
	}
}

// A given shape of one input gives numbers to the symbols of all, unless shapes contradict each other.
func TestShapesGiveSymbols(t *testing.T) {
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	m, err := irtest.Load("module pair\ndim N in [1, 64]\ndim S in [1, 64]\nfunc main(%x: f32[N, S], %y: f32[N, S], %z: f32[S]) -> f32[N, S] {\n"+
		"  %a = add(%x, %z) : f32[N, S]\n  %c = add(%a, %y) : f32[N, S]\n  return(%c)\n}\n", eval.New(table))
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxtest.Model(m, 21)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := onnxpb.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		shapes map[string][]int
		want   string
	}{
		{map[string][]int{"x": {2, 3}}, "f32[2, 3] f32[2, 3] f32[3]"},
		{map[string][]int{"z": {5}}, "f32[N, 5] f32[N, 5] f32[5]"},
		{map[string][]int{"x": {2, 3}, "z": {1}}, "f32[2, 3] f32[2, S] f32[1]"},
	} {
		src, err := OpenModel(pb, nil, "pair", OpenOptions{Shapes: c.shapes})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range src.Module.Main().Body.Params {
			got = append(got, p.Type.String())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v: inputs of shapes %s, want %s", c.shapes, s, c.want)
		}
	}
}

// A cancelled context ends a compilation and a run with its error.
func TestContext(t *testing.T) {
	l := load(t, models(t, "mnist-cnn")["mnist-cnn"], "mnist")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compile(ctx, l.source(t), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("compile: %v", err)
	}
	src, p, _ := compileModel(t, l, Options{})
	if _, err := session(t, src, p, "", 1).Run(ctx, tensors(l.sets[0].Inputs), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}

// Inputs that do not fit are refused with the input's name and what was wanted.
func TestBadInputs(t *testing.T) {
	l := load(t, models(t, "tiny-bert-classify")["tiny-bert-classify"], "bert")
	src, p, _ := compileModel(t, l, Options{})
	s := session(t, src, p, "", 1)
	good := tensors(l.sets[0].Inputs)
	for _, c := range []struct {
		name string
		edit func(in []*tensor.Tensor) []*tensor.Tensor
		want string
	}{
		{"missing", func(in []*tensor.Tensor) []*tensor.Tensor { return in[:1] }, "want 3 inputs, got 1"},
		{"nil", func(in []*tensor.Tensor) []*tensor.Tensor { in[1] = nil; return in }, `input "attention_mask" is missing`},
		{"type", func(in []*tensor.Tensor) []*tensor.Tensor {
			in[0] = tensor.New(1, in[0].Shape...)
			return in
		}, `input "input_ids": want element type i64, got bool`},
		{"rank", func(in []*tensor.Tensor) []*tensor.Tensor {
			in[0] = tensor.New(in[0].Elem, 3)
			return in
		}, "want rank 2"},
		{"extent", func(in []*tensor.Tensor) []*tensor.Tensor {
			in[1] = tensor.New(in[1].Elem, in[1].Shape[0], in[1].Shape[1]+1)
			return in
		}, `input "attention_mask" axis 1`},
	} {
		in := c.edit(append([]*tensor.Tensor(nil), good...))
		_, err := s.Run(context.Background(), in, nil)
		if !errors.Is(err, exec.ErrBinding) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if _, err := s.Run(context.Background(), good, nil); err != nil {
			t.Errorf("%s: the session does not run any more: %v", c.name, err)
		}
	}
}

// constsOf supplies a module's own large constants to the parser.
func constsOf(m *ir.Module) func(int, string, dtype.Type, []int) (*tensor.Tensor, error) {
	return func(i int, _ string, _ dtype.Type, _ []int) (*tensor.Tensor, error) {
		if i >= len(m.Consts) {
			return nil, fmt.Errorf("constant %d of %d", i, len(m.Consts))
		}
		return m.Consts[i].Tensor, nil
	}
}

// With --state the caches of a decoder stay in the session: token by token it gives what the plain program gives
// with the caches fed back, without copying them.
func TestStates(t *testing.T) {
	const name = "tiny-gpt2-kv"
	l := load(t, models(t, name)[name], name)
	src, plain, _ := compileModel(t, l, Options{})
	_, stateful, _ := compileModel(t, l, Options{States: []string{"auto@64"}})
	if n := len(stateful.Entries[0].States); n != 4 {
		t.Fatalf("%d states, want 4", n)
	}
	a, b := session(t, src, plain, "", 1), session(t, src, stateful, "", 1)
	past := map[string]*tensor.Tensor{}
	for step := range 9 {
		feed := func(s *exec.Session, withPast bool) []*tensor.Tensor {
			var in []*tensor.Tensor
			for i := range s.Entry().Inputs {
				io := &s.Entry().Inputs[i]
				n := 1
				if step == 0 {
					n = 5 // a prompt
				}
				seen := step + 5 - n
				if step > 0 {
					seen = 4 + step
				}
				switch {
				case io.Name == "attention_mask":
					v := make([]int64, seen+n)
					for j := range v {
						v[j] = 1
					}
					in = append(in, tensor.Of(dtype.I64, v, 1, seen+n))
				case io.Name == "position_ids", io.Name == "input_ids":
					v := make([]int64, n)
					for j := range v {
						v[j] = int64(seen + j)
						if io.Name == "input_ids" {
							v[j] = int64((7*(seen+j) + 3) % 50)
						}
					}
					in = append(in, tensor.Of(dtype.I64, v, 1, n))
				case !withPast:
					in = append(in, nil)
				case past[io.Name] == nil:
					in = append(in, tensor.New(dtype.F32, 1, 4, 0, 12))
				default:
					in = append(in, past[io.Name])
				}
			}
			return in
		}
		x, err := a.Run(context.Background(), feed(a, true), nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Run(context.Background(), feed(b, false), nil)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if !bytes.Equal(x[0].Data, y[0].Data) {
			t.Fatalf("step %d: logits differ", step)
		}
		if step == 8 {
			// the last step again: in a session that gets the cache, and after the cache was shortened
			c := session(t, src, stateful, "", 1)
			for i := range c.Entry().Inputs {
				if held := past[c.Entry().Inputs[i].Name]; held != nil {
					if err := c.SetState(i, held); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := b.TruncateStates(4 + step); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*exec.Session{b, c} {
				z, err := s.Run(context.Background(), feed(s, false), nil)
				if err != nil || !bytes.Equal(x[0].Data, z[0].Data) {
					t.Fatalf("again: %v, or logits differ", err)
				}
			}
		}
		for i := range a.Entry().Outputs {
			if n := a.Entry().Outputs[i].Name; n != "logits" {
				past[strings.Replace(n, "present", "past_key_values", 1)] = x[i].Clone()
			}
		}
		if b.StateLength() != 5+step {
			t.Fatalf("step %d: the cache holds %d positions", step, b.StateLength())
		}
	}
	for i := range b.Entry().Inputs {
		want := past[b.Entry().Inputs[i].Name]
		if want == nil {
			if _, err := b.State(i); err == nil {
				t.Errorf("input %d is read as a state", i)
			}
			continue
		}
		if got, err := b.State(i); err != nil || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("state %d is not what was made: %v", i, err)
		}
		if err := b.SetState(i, tensor.New(dtype.F64, want.Shape...)); !errors.Is(err, exec.ErrBinding) {
			t.Errorf("a state of another type: %v", err)
		}
	}
	if err := b.TruncateStates(14); !errors.Is(err, exec.ErrBinding) {
		t.Errorf("14 positions of 13: %v", err)
	}
	b.ResetStates()
	if b.StateLength() != 0 {
		t.Error("the cache is not empty after a reset")
	}
	long := tensor.New(dtype.I64, 1, 65)
	mask := tensor.New(dtype.I64, 1, 65)
	in := []*tensor.Tensor{long, mask, tensor.New(dtype.I64, 1, 65), nil, nil, nil, nil}
	if _, err := b.Run(context.Background(), in, nil); !errors.Is(err, exec.ErrBinding) || !strings.Contains(err.Error(), "capacity is 64") {
		t.Errorf("65 positions in a cache of 64: %v", err)
	}
}
