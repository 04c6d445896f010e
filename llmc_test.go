package llmc_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir/tensor"
)

// published opens a model of testdata and its published values.
func published(t *testing.T, name string, o llmc.Options) (*llmc.Model, []*testcase.Set, testcase.Tolerance) {
	t.Helper()
	m, err := llmc.Open(filepath.Join("testdata", name, "model.onnx"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	suite, err := testcase.Find(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = suite.Close() })
	c := suite.Cases[0]
	open, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })
	var sets []*testcase.Set
	for _, k := range c.Sets {
		s, err := open.Set(k)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, s)
	}
	return m, sets, open.Tolerance
}

func named(infos []llmc.Info, vals []tensor.Value) llmc.Tensors {
	in := llmc.Tensors{}
	for i, info := range infos {
		in[info.Name] = vals[i].Tensor
	}
	return in
}

func compare(t *testing.T, m *llmc.Model, got llmc.Tensors, want *testcase.Set, tol testcase.Tolerance) {
	t.Helper()
	var l []tensor.Value
	for _, info := range m.Outputs() {
		l = append(l, tensor.ValueOf(got[info.Name]))
	}
	if ok, why := testcase.CompareOutputs(l, want.Outputs, tol); !ok {
		t.Errorf("data set %d: %s", want.Number, why)
	}
}

// One session of each model sees all data sets, whose sizes differ, twice.
func TestPublishedValuesInOneSession(t *testing.T) {
	for _, name := range []string{"mnist-cnn", "tiny-bert-classify", "tiny-gpt2-kv", "tiny-scripted-loop", "tiny-lstm-text"} {
		t.Run(name, func(t *testing.T) {
			m, sets, tol := published(t, name, llmc.Options{})
			s, err := m.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				for _, set := range sets {
					got, err := s.Run(context.Background(), named(m.Inputs(), set.Inputs))
					if err != nil {
						t.Fatal(err)
					}
					compare(t, m, got, set, tol)
				}
			}
		})
	}
}

func TestModelIsSharedByGoroutines(t *testing.T) {
	m, sets, tol := published(t, "tiny-bert-classify", llmc.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 6 {
				set := sets[(i+k)%len(sets)]
				got, err := m.Run(context.Background(), named(m.Inputs(), set.Inputs))
				if err != nil {
					t.Error(err)
					return
				}
				compare(t, m, got, set, tol)
			}
		})
	}
	wg.Wait()
}

// What Run of a model returns is the caller's: later runs do not change it.
func TestModelRunResultsStay(t *testing.T) {
	m, sets, tol := published(t, "mnist-cnn", llmc.Options{})
	var results []llmc.Tensors
	for _, set := range sets {
		got, err := m.Run(context.Background(), named(m.Inputs(), set.Inputs))
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, got)
	}
	for i, set := range sets {
		compare(t, m, results[i], set, tol)
	}
}

func TestRunIntoAllocatesNothing(t *testing.T) {
	for _, name := range []string{"mnist-cnn", "tiny-bert-classify", "tiny-resnet18-bn", "tiny-gpt2-kv"} {
		t.Run(name, func(t *testing.T) {
			m, sets, tol := published(t, name, llmc.Options{Threads: 2})
			s, err := m.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			var in, out []*llmc.Tensor
			got := llmc.Tensors{}
			for i, info := range m.Inputs() {
				_ = info
				in = append(in, sets[0].Inputs[i].Tensor)
			}
			for i, info := range m.Outputs() {
				o := sets[0].Outputs[i].Tensor.Clone()
				clear(o.Data)
				out = append(out, o)
				got[info.Name] = o
			}
			run := func() {
				if err := s.RunInto(context.Background(), in, out); err != nil {
					t.Fatal(err)
				}
			}
			run()
			if n := testing.AllocsPerRun(20, run); n != 0 {
				t.Errorf("want no allocations, got %v in a run", n)
			}
			compare(t, m, got, sets[0], tol)
		})
	}
}

// A program from a file gives the same bits as one compiled in memory, and is written the same every time.
func TestProgramFile(t *testing.T) {
	ctx := context.Background()
	for _, name := range []string{"mnist-cnn", "tiny-bert-classify"} {
		t.Run(name, func(t *testing.T) {
			m, sets, tol := published(t, name, llmc.Options{})
			var files [2][]byte
			path := ""
			for i := range files {
				c, err := llmc.Compile(ctx, filepath.Join("testdata", name, "model.onnx"), llmc.Options{})
				if err != nil {
					t.Fatal(err)
				}
				path = filepath.Join(t.TempDir(), "m.llmc")
				if err := c.WriteFile(ctx, path); err != nil {
					t.Fatal(err)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				if files[i], err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(files[0], files[1]) {
				t.Error("compiled twice, the files differ")
			}
			p, err := llmc.Open(path, llmc.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for _, set := range sets {
				want, err := m.Run(ctx, named(m.Inputs(), set.Inputs))
				if err != nil {
					t.Fatal(err)
				}
				got, err := p.Run(ctx, named(p.Inputs(), set.Inputs))
				if err != nil {
					t.Fatal(err)
				}
				compare(t, p, got, set, tol)
				for n := range want {
					if !bytes.Equal(got[n].Data, want[n].Data) {
						t.Errorf("data set %d: output %q has other bits than in memory", set.Number, n)
					}
				}
			}
		})
	}
}

func TestWrongInputs(t *testing.T) {
	m, _, _ := published(t, "tiny-bert-classify", llmc.Options{})
	ids := func(shape ...int) *llmc.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return llmc.Int64(make([]int64, n), shape...)
	}
	good := llmc.Tensors{"input_ids": ids(1, 4), "attention_mask": ids(1, 4), "token_type_ids": ids(1, 4)}
	for _, c := range []struct {
		name, input string
		value       *llmc.Tensor
		want        string
	}{
		{"missing", "attention_mask", nil, `input "attention_mask" is missing`},
		{"other type", "input_ids", llmc.Float32(make([]float32, 4), 1, 4), `input "input_ids": want element type i64, got f32`},
		{"other rank", "input_ids", ids(4), `input "input_ids": want rank 2`},
		{"other length", "attention_mask", ids(1, 5), `input "attention_mask" axis 1`},
		{"short data", "input_ids", llmc.Int64(make([]int64, 3), 1, 4), `input "input_ids": i64[1 4]: want 32 bytes, got 24`},
		{"negative extent", "input_ids", llmc.Int64(nil, 1, -4), `input "input_ids"`},
		{"stray", "positions", ids(1, 4), `the model has no input "positions"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := llmc.Tensors{}
			for k, v := range good {
				in[k] = v
			}
			if in[c.input] = c.value; c.value == nil {
				delete(in, c.input)
			}
			_, err := m.Run(context.Background(), in)
			if !errors.Is(err, llmc.ErrInput) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want ErrInput and %q, got %v", c.want, err)
			}
			if _, err := m.Run(context.Background(), good); err != nil {
				t.Errorf("good inputs after that: %v", err)
			}
		})
	}
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model, err := os.ReadFile(digits)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		write("empty.onnx", nil),
		write("half.onnx", model[:len(model)/2]),
		write("text.onnx", []byte("this is no model")),
		write("model.llmc", model),
		filepath.Join(dir, "absent.onnx"),
		filepath.Join(dir, "absent.llmc"),
		dir,
	} {
		if m, err := llmc.Open(path, llmc.Options{}); err == nil {
			_ = m.Close()
			t.Errorf("%s: want an error", filepath.Base(path))
		} else if s := err.Error(); strings.Contains(s, "\n") || len(s) > 400 {
			t.Errorf("%s: want one line, got %q", filepath.Base(path), s)
		}
	}
	if _, err := llmc.Open(digits, llmc.Options{Tier: "mmx"}); err == nil {
		t.Error("an unknown tier is accepted")
	}
}

func TestContextEndsRuns(t *testing.T) {
	m, sets, tol := published(t, "mnist-cnn", llmc.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := llmc.OpenContext(ctx, digits, llmc.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenContext: want context.Canceled, got %v", err)
	}
	s, err := m.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in := named(m.Inputs(), sets[0].Inputs)
	if _, err := s.Run(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: want context.Canceled, got %v", err)
	}
	got, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatalf("after a run that was ended: %v", err)
	}
	compare(t, m, got, sets[0], tol)
}

func TestClosedModel(t *testing.T) {
	m, err := llmc.Open(digits, llmc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Run(context.Background(), nil); !errors.Is(err, llmc.ErrClosed) {
		t.Errorf("Run: want ErrClosed, got %v", err)
	}
	if _, err := m.NewSession(); !errors.Is(err, llmc.ErrClosed) {
		t.Errorf("NewSession: want ErrClosed, got %v", err)
	}
}

// A limit on memory is kept, and named in the error.
func TestMaxMemory(t *testing.T) {
	m, sets, _ := published(t, "mnist-cnn", llmc.Options{MaxMemory: 1000})
	if _, err := m.Run(context.Background(), named(m.Inputs(), sets[0].Inputs)); err == nil || !strings.Contains(err.Error(), "the limit is 1000") {
		t.Errorf("want an error about the limit, got %v", err)
	}
}

func TestDimsAreFixed(t *testing.T) {
	m, _, _ := published(t, "tiny-bert-classify", llmc.Options{Dims: map[string]int64{"sequence": 4}})
	if got := m.Inputs()[0].String(); got != "input_ids: i64[batch, 4]" {
		t.Errorf("input 0: got %s", got)
	}
}
