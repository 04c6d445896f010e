package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// fake doubles x, and fails where the model's name says so.
type fake struct {
	path    string
	threads int
	x       *tensor.Tensor
	y       []float32
}

func (f *fake) Load(path string, threads int, inputs map[string]*tensor.Tensor) error {
	f.path, f.threads, f.x = path, threads, inputs["x y"]
	switch {
	case path == "panics":
		panic("no such\noperator")
	case path == "fails":
		return errors.New("a reason\nof two lines")
	case f.x == nil:
		return errors.New("no input")
	}
	return nil
}

func (f *fake) Input(_ string, t *tensor.Tensor) error {
	f.x = t
	return nil
}

func (f *fake) Run() error {
	if f.path == "panics later" {
		var none []int
		_ = none[f.threads]
	}
	f.y = nil
	for _, v := range tensor.View[float32](f.x) {
		f.y = append(f.y, 2*v)
	}
	return nil
}

func (f *fake) Outputs() ([]Output, error) {
	return []Output{{"a b", tensor.Of(dtype.F32, f.y, len(f.y))}, {"threads", tensor.Of(dtype.I64, []int64{int64(f.threads)})}}, nil
}

// talk sends requests and returns the answers, the greeting first.
func talk(t *testing.T, requests ...string) []string {
	t.Helper()
	var out bytes.Buffer
	if err := Serve(strings.NewReader(strings.Join(requests, "\n")+"\n"), &out, "fake v1", func() Engine { return &fake{} }); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// store writes an array, and returns its path.
func store(t *testing.T, dir, name string, x *tensor.Tensor) string {
	t.Helper()
	var b bytes.Buffer
	if err := npy.Encode(&b, x); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func floats(v ...float32) *tensor.Tensor { return tensor.Of(dtype.F32, v, len(v)) }

// A whole session: times of every run, results of the values that were given last, under names that have spaces.
func TestSession(t *testing.T) {
	dir := t.TempDir()
	first, second := store(t, dir, "in0.npy", floats(1, 2)), store(t, dir, "in1.npy", floats(3, 4))
	got := talk(t, "threads 2", "input x%20y "+first, "load model with spaces.onnx", "run 3", "input x%20y "+second, "run 1", "outputs "+dir, "reset", "run 1", "quit", "run 1")
	if len(got) != 11 {
		t.Fatalf("%d answers: %q", len(got), got)
	}
	for i, want := range map[int]string{0: "hello onnxbench 1 fake v1", 1: "ok", 2: "ok", 5: "ok", 7: "ok a%20b threads", 8: "ok", 9: "err run: no model is loaded", 10: "ok"} {
		if got[i] != want {
			t.Errorf("answer %d: got %q, want %q", i, got[i], want)
		}
	}
	for i, n := range map[int]int{3: 1, 4: 3, 6: 1} {
		times := make([]int64, n)
		args := make([]any, n)
		for k := range times {
			args[k] = &times[k]
		}
		if _, err := fmt.Sscanf(got[i], "ok"+strings.Repeat(" %d", n), args...); err != nil || strings.Count(got[i], " ") != n {
			t.Errorf("answer %d: want %d times, got %q", i, n, got[i])
		}
	}
	for k, want := range []*tensor.Tensor{floats(6, 8), tensor.Of(dtype.I64, []int64{2})} {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.npy", k)))
		if err != nil {
			t.Fatal(err)
		}
		y, err := npy.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if y.Elem != want.Elem || fmt.Sprint(y.Shape) != fmt.Sprint(want.Shape) || !bytes.Equal(y.Data, want.Data) {
			t.Errorf("output %d: got %v, want %v", k, y, want)
		}
	}
}

// What goes wrong is an answer of one line, a panic too, and the next request is answered.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	x, longer := store(t, dir, "x.npy", floats(1, 2)), store(t, dir, "longer.npy", floats(1, 2, 3))
	for _, c := range []struct {
		requests []string
		want     string // of the last answer
	}{
		{[]string{"threads none"}, `err threads: want a number from 1, got "none"`},
		{[]string{"dance"}, `err unknown request "dance"`},
		{[]string{"input x"}, "err input: want NAME PATH"},
		{[]string{"input x " + filepath.Join(dir, "none.npy")}, "err open "},
		{[]string{"run 1"}, "err run: no model is loaded"},
		{[]string{"outputs " + dir}, "err outputs: nothing has run"},
		{[]string{"load fails"}, "err a reason of two lines"},
		{[]string{"load panics"}, "err panic: no such operator"},
		{[]string{"load panics", "run 1"}, "err run: no model is loaded"},
		{[]string{"input x%20y " + x, "load m", "run 0"}, "err run: want a number from 1 to 1048576, got \"0\""},
		{[]string{"input x%20y " + x, "load m", "outputs " + dir}, "err outputs: nothing has run"},
		{[]string{"input x%20y " + x, "load m", "input z " + x}, `err input "z": not given`},
		{[]string{"input x%20y " + x, "load m", "input x%20y " + longer}, `err input "x y": want f32[2], got f32[3]`},
		{[]string{"input x%20y " + x, "load panics later", "run 2"}, "err panic: runtime error: index out of range"},
		{[]string{"input x%20y " + x, "load panics later", "run 2", "outputs " + dir}, "err outputs: nothing has run"},
	} {
		got := talk(t, append(c.requests, "threads 1")...)
		if len(got) != len(c.requests)+2 || got[len(got)-1] != "ok" {
			t.Errorf("%q: an answer for each request, and ok at last: got %q", c.requests, got)
			continue
		}
		if last := got[len(got)-2]; !strings.HasPrefix(last, c.want) {
			t.Errorf("%q: got %q, want %q", c.requests, last, c.want)
		}
	}
}

// A message of any length is one line that is not too long.
func TestOneLine(t *testing.T) {
	if got := oneLine(strings.Repeat("ä\n", 1000)); len(got) > 500 || strings.Contains(got, "\n") || !strings.HasSuffix(got, "...") {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}
