package driver

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// boxes is a module in which sequences, optionals and strings go through loops and branches: a loop collects products that
// its arena writes over in every iteration, in a sequence and as rows of strings.
const boxes = `module boxes
dim B in [1, 64]
dim any_extent late
const #w0 : i64[] = [-1]

func main(%x: f32[B, 3], %s: seq(any(f32)), %t: string[B], %c: bool[], %n: i64[]) -> (seq(any(f32)) "all", f32[B, 3] "last", opt(seq(any(f32))) "maybe", i64[] "count") {
  %all = loop(%n, _, %s, %x, carried: 1) : seq(any(f32)) {
    body(%i: i64[], %go: bool[], %a: seq(any(f32)), %y: f32[B, 3]) {
      %f = cast(%i, to: f32) : f32[]
      %p = mul(%y, %f) : f32[B, 3]
      %q = exp(%p) : f32[B, 3]
      %b = sequence_insert(%a, %q) : seq(any(f32))
      yield(%go, %b)
    }
  }
  %maybe = if(%c, %all) : opt(seq(any(f32))) {
    then(%a: seq(any(f32))) {
      %o = optional(%a) : opt(seq(any(f32)))
      yield(%o)
    }
    else(%a: seq(any(f32))) {
      %o = optional(_, of: "seq(any(f32))") : opt(seq(any(f32)))
      yield(%o)
    }
  }
  %one = const(data: #w0) : i64[]
  %typed = sequence(%x) : seq(f32[B, 3])
  %last = sequence_at(%typed, %one) : f32[B, 3]
  %count = sequence_length(%all) : i64[]
  return(%all, %last, %maybe, %count)
}
`

// words loops over strings: a scan output, a carried tensor, and a branch.
const words = `module words
dim B in [1, 64]
dim T late

func main(%x: string[B], %c: bool[], %n: i64[]) -> (string[B] "last", string[T, B] "all", string[B] "either") {
  %last, %all = loop(%n, _, %x, %x, carried: 1) : string[B], string[T, B] {
    body(%i: i64[], %go: bool[], %a: string[B], %y: string[B]) {
      %b = string_concat(%a, %y) : string[B]
      yield(%go, %b, %b)
    }
  }
  %either = if(%c, %x, %last) : string[B] {
    then(%p: string[B], %q: string[B]) {
      yield(%p)
    }
    else(%p: string[B], %q: string[B]) {
      yield(%q)
    }
  }
  return(%last, %all, %either)
}
`

func parsed(t *testing.T, text string) (*ir.Module, *eval.Evaluator) {
	t.Helper()
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	sem := eval.New(table)
	m, err := ir.Parse(text, ir.ParseOptions{Semantics: sem})
	if err != nil {
		t.Fatal(err)
	}
	return m, sem
}

func compileText(t *testing.T, text string) *program.Program {
	t.Helper()
	m, sem := parsed(t, text)
	r, err := Compile(context.Background(), &Source{Path: m.Name, Module: m, Table: sem.Table(), Sem: sem}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Verify(r.Program); err != nil {
		t.Fatal(err)
	}
	return r.Program
}

func boxSession(t *testing.T, p *program.Program, o exec.Options) *exec.Session {
	t.Helper()
	o.Host = std.All()
	m, err := exec.Load(p, o)
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

func boolOf(v bool) tensor.Value {
	t := tensor.New(dtype.Bool)
	if v {
		t.SetInt(0, 1)
	}
	return tensor.ValueOf(t)
}

func intOf(v int64) tensor.Value {
	t := tensor.New(dtype.I64)
	t.SetInt(0, v)
	return tensor.ValueOf(t)
}

func rows(n int) tensor.Value {
	t := tensor.New(dtype.F32, n, 3)
	for i := range 3 * n {
		t.SetFloat(i, float64(i%5)/4-0.5)
	}
	return tensor.ValueOf(t)
}

func strs(l ...string) tensor.Value {
	return tensor.ValueOf(&tensor.Tensor{Elem: dtype.String, Shape: []int{len(l)}, Str: l})
}

// written is p after a way through a file.
func written(t *testing.T, p *program.Program) *program.Program {
	t.Helper()
	var b bytes.Buffer
	if err := program.Write(&b, p, program.Options{}); err != nil {
		t.Fatal(err)
	}
	q, err := program.Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// Compiled, also from a file, values that are no tensors are what the evaluator makes of them; and what a run has given
// stays as it is when the session runs again.
func TestBoxes(t *testing.T) {
	inputs := map[string][][]tensor.Value{
		boxes: {
			{rows(4), tensor.SequenceOf(rows(1)), strs("a", "b", "c", "d"), boolOf(true), intOf(5)},
			{rows(2), tensor.SequenceOf(), strs("a", "b"), boolOf(false), intOf(3)},
			{rows(2), tensor.SequenceOf(), strs("a", "b"), boolOf(true), intOf(0)},
		},
		words: {
			{strs("a", "b"), boolOf(true), intOf(3)},
			{strs("x", "", "z"), boolOf(false), intOf(2)},
			{strs("x"), boolOf(false), intOf(0)},
		},
	}
	for text, sets := range inputs {
		p := compileText(t, text)
		m, sem := parsed(t, text)
		for _, q := range []*program.Program{p, written(t, p)} {
			s := boxSession(t, q, exec.Options{Workers: 2})
			var first, kept []tensor.Value
			for k, in := range sets {
				want, err := sem.Eval(context.Background(), m, m.Main(), in, eval.Options{})
				if err != nil {
					t.Fatalf("%s set %d: evaluator: %v", m.Name, k, err)
				}
				got, err := s.RunValues(context.Background(), in)
				if err != nil {
					t.Fatalf("%s set %d: %v", m.Name, k, err)
				}
				if ok, why := testcase.CompareOutputs(got, want, testcase.DefaultTolerance()); !ok {
					t.Errorf("%s set %d: %s", m.Name, k, why)
				}
				if k == 0 {
					for _, v := range got {
						if v.Kind != tensor.KindTensor {
							first, kept = append(first, v), append(kept, v.Clone())
						}
					}
				}
			}
			if ok, why := testcase.CompareOutputs(first, kept, testcase.DefaultTolerance()); !ok {
				t.Errorf("%s: a later run changed a result: %s", m.Name, why)
			}
		}
	}
}

// What does not fit the declared types is refused, and leaves the session usable.
func TestBoxInputs(t *testing.T) {
	s := boxSession(t, compileText(t, boxes), exec.Options{})
	good := []tensor.Value{rows(2), tensor.SequenceOf(), strs("a", "b"), boolOf(false), intOf(1)}
	for _, c := range []struct {
		at   int
		v    tensor.Value
		want string
	}{
		{0, tensor.SequenceOf(), `input "x": want a tensor`},
		{0, tensor.Value{}, `input "x" is missing`},
		{1, rows(2), "want seq(any(f32)): want a sequence"},
		{1, tensor.Value{Kind: tensor.KindSequence, List: []tensor.Value{{}}}, "a value is missing"},
		{1, tensor.SequenceOf(intOf(1)), "want element type f32"},
		{1, tensor.SequenceOf(tensor.ValueOf(&tensor.Tensor{Elem: dtype.F32, Shape: []int{3}})), "want 12 bytes"},
		{2, strs("a"), `input "t" axis 0: want B = 2, got 1`},
		{2, rows(2), "want element type string"},
	} {
		in := append([]tensor.Value(nil), good...)
		in[c.at] = c.v
		if _, err := s.RunValues(context.Background(), in); !errors.Is(err, exec.ErrBinding) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("input %d %v: got %v, want %s", c.at, c.v, err, c.want)
		}
	}
	if _, err := s.Run(context.Background(), make([]*tensor.Tensor, 5), nil); !errors.Is(err, exec.ErrBinding) {
		t.Errorf("Run: %v", err)
	}
	if _, err := s.RunValues(context.Background(), good); err != nil {
		t.Error(err)
	}
}

// Boxes count against the memory limit: a loop that collects without end is stopped.
func TestBoxMemory(t *testing.T) {
	in := []tensor.Value{rows(64), tensor.SequenceOf(), strs(make([]string, 64)...), boolOf(true), intOf(1 << 40)}
	s := boxSession(t, compileText(t, boxes), exec.Options{MaxMemory: 1 << 20})
	if _, err := s.RunValues(context.Background(), in); !errors.Is(err, exec.ErrMemory) {
		t.Errorf("got %v, want the memory limit", err)
	}
}
