package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	models = "../../testdata/"
	mnist  = models + "mnist-cnn/model.onnx"
	seven  = models + "mnist-cnn/seven.png"
	bert   = models + "tiny-bert-classify/model.onnx"
)

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

func llmcIn(in string, args ...string) result {
	var out, errw bytes.Buffer
	code := execute(context.Background(), args, strings.NewReader(in), &out, &errw)
	return result{code, out.String(), errw.String()}
}

func llmcRun(args ...string) result { return llmcIn("", args...) }

// ok runs a command line that must succeed, and returns what it wrote.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := llmcRun(args...)
	if r.code != 0 {
		t.Fatalf("llmc %s: exit code %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// golden compares text with testdata/NAME.txt.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestHelp(t *testing.T) {
	golden(t, "help/llmc", ok(t, "--help"))
	a := &app{}
	for _, c := range a.commands() {
		text := ok(t, c.Name(), "--help")
		golden(t, "help/"+c.Name(), text)
		if !strings.Contains(text, "Examples:\n") {
			t.Errorf("%s: help has no examples", c.Name())
		}
	}
}

func TestErrorsAndExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model, err := os.ReadFile(mnist)
	if err != nil {
		t.Fatal(err)
	}
	half, absent := file("half.onnx", model[:10000]), filepath.Join(dir, "absent.onnx")
	gradient := "testdata/cases/node/test_gradient_of_add/model.onnx"
	for _, c := range []struct {
		args []string
		code int
		want string // the first line on standard error contains it
	}{
		{[]string{"fly"}, 64, `unknown command "fly" for "llmc"`},
		{[]string{"run"}, 64, "accepts 1 arg(s), received 0"},
		{[]string{"run", "--speed", "9", mnist}, 64, "unknown flag: --speed"},
		{[]string{"run", "--threads", "many", mnist}, 64, `invalid argument "many" for "--threads" flag`},
		{[]string{"run", "--max-memory", "much", mnist}, 64, "want a number of bytes such as 512MB"},
		{[]string{"run", mnist}, 64, "no value for Input3: f32[1, 1, 28, 28]: give --input NAME=VALUE, --random or --zeros"},
		{[]string{"run", mnist, "--input", "y=1"}, 64, `the model has no input "y"; its inputs are "Input3"`},
		{[]string{"run", mnist, "--input", "Input3=[1, 2"}, 64, `input "Input3"`},
		{[]string{"run", mnist, "--input", "Input3=@x.zip"}, 64, "x.zip: want a file .npy, .npz, .pb, .json, .txt, .png, .jpg or .wav"},
		{[]string{"run", mnist, "--input", "Input3=@absent.npy"}, 66, "absent.npy: no such file or directory"},
		{[]string{"run", mnist, "--input", "absent.png"}, 66, "absent.png: no such file or directory"},
		{[]string{"run", mnist, "--input", seven, "-o", "y.txt"}, 64, "want a file .npy, .npz, .json or .pb"},
		{[]string{"run", mnist, "--input", seven, "-o", "z=y.npy"}, 64, `the model has no output "z"`},
		{[]string{"run", mnist, "--input", seven, "--resize", "squash"}, 64, "resize: want stretch, letterbox or crop, got squash"},
		{[]string{"run", mnist, "--input", seven, "--mean", "1,2"}, 64, "--mean: want 3 numbers"},
		{[]string{"run", mnist, "--input", seven, "--preset", "nothing"}, 64, `--preset: "nothing" is not known`},
		{[]string{"run", mnist, "--input", "[1, 2, 3]"}, 1, `input "Input3": want rank 4`},
		{[]string{"run", mnist, "--random", "--dim", "batch=2"}, 64, `the model has no dimension "batch": all its sizes are fixed`},
		{[]string{"run", bert, "--random", "--dim", "words=2"}, 64, `the model has no dimension "words"; it has batch, sequence`},
		{[]string{"run", bert, "--random", "--dim", "batch"}, 64, `--dim: want NAME=N, got "batch"`},
		{[]string{"run", absent}, 66, absent + ": no such file or directory"},
		{[]string{"run", half}, 1, "half.onnx: "},
		{[]string{"run", gradient}, 1, "operator ai.onnx.preview.training:Gradient"},
		{[]string{"run", gradient, "--inputs", filepath.Dir(gradient) + "/test_data_set_0"}, 3, "operator ai.onnx.preview.training:Gradient"},
		{[]string{"run", mnist, "--inputs", absent}, 66, absent + ": no such file or directory"},
		{[]string{"compile", absent}, 66, absent + ": no such file or directory"},
		{[]string{"compile", mnist, "--skip", "nothing"}, 64, `pass "nothing" does not exist`},
		{[]string{"compile", mnist, "--stop", "fuse", "-o", "x.llmc"}, 64, "--stop ends before there is a program"},
		{[]string{"compile", file("text.onnx", []byte("hello, world"))}, 1, "text.onnx: "},
		{[]string{"inspect", file("text.llmc", []byte("hello, world"))}, 1, "text.llmc: malformed program"},
		{[]string{"test"}, 64, "requires at least 1 arg(s)"},
		{[]string{"test", "-run", "(", "testdata/cases"}, 64, "-run: error parsing regexp"},
		{[]string{"test", absent}, 66, absent + ": no such file or directory"},
		{[]string{"test", mnist}, 66, "want a folder or a zip archive"},
		{[]string{"test", "--engine", "steam", "testdata/cases"}, 64, "--engine: want compiled or eval"},
		{[]string{"opt", "--passes", "nothing", mnist}, 64, `pass "nothing" does not exist`},
		{[]string{"opt", file("bad.ir", []byte("module m\nfunc main( {"))}, 1, "bad.ir"},
		{[]string{"bench"}, 64, "want one MODEL, or --worker"},
		{[]string{"bench", mnist, "--threads", "x"}, 64, "--threads: want numbers"},
		{[]string{"kernels", "--cpu", "mmx"}, 64, "mmx"},
	} {
		r := llmcRun(c.args...)
		line, rest, _ := strings.Cut(r.err, "\n")
		if r.code != c.code || !strings.Contains(line, c.want) {
			t.Errorf("llmc %s: want exit code %d and %q, got %d and %q", strings.Join(c.args, " "), c.code, c.want, r.code, line)
		}
		if !strings.HasPrefix(line, "llmc: ") || rest != "" && (c.code != 64 || strings.Count(rest, "\n") != 1) {
			t.Errorf("llmc %s: want one line, got %q", strings.Join(c.args, " "), r.err)
		}
		if r.out != "" {
			t.Errorf("llmc %s: wrote %q", strings.Join(c.args, " "), r.out)
		}
	}
}

func TestConformance(t *testing.T) {
	want := `pass	node/test_abs
pass	node/test_add_bcast
pass	node/test_argmax_default_axis_example
unsupported	node/test_gradient_of_add	model.onnx: operator ai.onnx.preview.training:Gradient
pass	node/test_matmul_2d
pass	node/test_nonzero_example
pass	node/test_softmax_axis_1
conformance: 6 passed, 0 failed, 1 skipped
`
	for _, args := range [][]string{nil, {"-j", "3"}, {"-j1", "--engine", "eval"}, {"--cpu", "ref", "-timeout=1m"}} {
		if got := ok(t, append([]string{"test", "testdata/cases"}, args...)...); got != want {
			t.Errorf("%v: got\n%swant\n%s", args, got, want)
		}
	}
	if got := ok(t, "test", "-run", "abs|softmax", "testdata/cases"); !strings.HasSuffix(got, "conformance: 2 passed, 0 failed, 0 skipped\n") {
		t.Errorf("-run: got %s", got)
	}
	verbose := ok(t, "test", "-v", "-run", "abs", "testdata/cases")
	if !regexp.MustCompile(`(?m)^pass\tnode/test_abs\t\t[0-9.]+.?s$`).MatchString(verbose) {
		t.Errorf("-v: want the time as a fourth field, got %q", verbose)
	}
}

// copyCase copies a case and lets edit change its files.
func copyCase(t *testing.T, name string, edit func(dir string)) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, name)
	if err := os.CopyFS(dir, os.DirFS("testdata/cases/node/"+name)); err != nil {
		t.Fatal(err)
	}
	edit(dir)
	return root
}

func TestConformanceFailures(t *testing.T) {
	replace := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what string
		edit func(dir string)
		want string
	}{
		{"a wrong value", func(dir string) {
			path := filepath.Join(dir, "test_data_set_0", "output_0.pb")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			x, name, err := onnxpb.ParseTensor(data)
			if err != nil {
				t.Fatal(err)
			}
			x = x.Clone()
			x.SetFloat(0, 100)
			if data, err = onnxpb.AppendTensor(nil, name, x); err != nil {
				t.Fatal(err)
			}
			replace(path, data)
		}, `^fail\ttest_abs\toutput 0 \[3,4,5\] float: 1 of 60 differ, worst at \[0,0,0\]: got [0-9.]+ want 100\n`},
		{"a damaged model", func(dir string) { replace(filepath.Join(dir, "model.onnx"), []byte{0xff, 1, 2}) }, `^fail\ttest_abs\t[^\t\n]+\n`},
		{"a damaged value", func(dir string) { replace(filepath.Join(dir, "test_data_set_0", "input_0.pb"), []byte{8, 200}) }, `^fail\ttest_abs\tdata set 0: input_0.pb: [^\t\n]+\n|^fail\ttest_abs\tdata set 0: test_data_set_0/input_0.pb: [^\t\n]+\n`},
		{"a missing value", func(dir string) {
			if err := os.Remove(filepath.Join(dir, "test_data_set_0", "input_0.pb")); err != nil {
				t.Fatal(err)
			}
		}, `^fail\ttest_abs\tinput "x": the data set has no value\n`},
	} {
		r := llmcRun("test", copyCase(t, "test_abs", c.edit))
		if r.code != 1 || r.err != "" || !regexp.MustCompile(c.want+`conformance: 0 passed, 1 failed, 0 skipped\n$`).MatchString(r.out) {
			t.Errorf("%s: exit code %d, got %q %q", c.what, r.code, r.out, r.err)
		}
	}
}

// A case that takes longer than it may fails, and the rest goes on.
func TestConformanceTimeout(t *testing.T) {
	r := llmcRun("test", "-timeout", "1ns", "-run", "abs", "testdata/cases")
	if want := "fail\tnode/test_abs\ttimed out after 1ns\nconformance: 0 passed, 1 failed, 0 skipped\n"; r.code != 1 || r.out != want {
		t.Errorf("exit code %d: want %q, got %q", r.code, want, r.out)
	}
}

func TestRunPicture(t *testing.T) {
	for _, args := range [][]string{
		{"--input", seven},
		{"--input", "Input3=" + seven},
		{"--input", "Input3=@" + seven, "--preset", "mnist"},
		{"-i", seven, "--order", "gray", "--scale", "1", "--size", "28x28", "--threads", "1", "--cpu", "ref"},
	} {
		var top []ranked
		if err := json.Unmarshal([]byte(ok(t, append([]string{"run", mnist, "--json", "--top", "3"}, args...)...)), &top); err != nil {
			t.Fatal(err)
		}
		if len(top) != 3 || top[0].Index != 7 || top[0].Value < 1.5*top[1].Value {
			t.Errorf("%v: want a seven, got %+v", args, top)
		}
	}
	out := ok(t, "run", models+"squeezenet/model.onnx", "--input", models+"squeezenet/chelsea.png", "--top", "2", "--labels", models+"squeezenet/labels.json")
	if !regexp.MustCompile(`^285\t[0-9.]+\tEgyptian cat\n281\t[0-9.]+\ttabby, tabby cat\n$`).MatchString(out) {
		t.Errorf("squeezenet: got %q", out)
	}
}

func TestRunDirectory(t *testing.T) {
	for _, name := range []string{"mnist-cnn", "tiny-scripted-loop", "tiny-lstm-text"} {
		dir := t.TempDir()
		set := models + name + "/test_data_set_1"
		ok(t, "run", models+name+"/model.onnx", "--inputs", set, "--outputs", dir)
		for k := 0; ; k++ {
			file := "output_" + string(rune('0'+k)) + ".pb"
			wantData, err := os.ReadFile(filepath.Join(set, file))
			if err != nil {
				break
			}
			gotData, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := onnxpb.ParseTensor(wantData)
			if err != nil {
				t.Fatal(err)
			}
			got, gotName, err := onnxpb.ParseTensor(gotData)
			if err != nil {
				t.Fatal(err)
			}
			if same, why := testcase.Compare(tensor.ValueOf(got), tensor.ValueOf(want), testcase.Tolerance{RTol: 1e-3, ATol: 1e-2, Compare: "close"}); !same || gotName == "" {
				t.Errorf("%s %s %q: %s", name, file, gotName, why)
			}
		}
	}
}

// Values go in and out in every form, and come out the same.
func TestRunForms(t *testing.T) {
	dir := t.TempDir()
	abs := "testdata/cases/node/test_add_bcast/model.onnx"
	var x []string
	for range 60 {
		x = append(x, "0.5")
	}
	lit := "[" + strings.Join(x, ",") + "]" // 60 values for [3, 4, 5]
	want := ok(t, "run", abs, "--input", "x="+lit, "--input", "y=[1, 2, 3, 4, 5]")
	if !strings.HasPrefix(want, "{\n  \"sum\": [[[1.5,2.5,3.5,4.5,5.5],[1.5,") {
		t.Fatalf("got %s", want)
	}
	for _, ext := range []string{"npy", "pb", "json"} {
		file := filepath.Join(dir, "sum."+ext)
		if out := ok(t, "run", abs, "--input", "x="+lit, "--input", "y=[1, 2, 3, 4, 5]", "-o", file); out != "" {
			t.Errorf("-o %s: wrote %q", ext, out)
		}
		// back in, with zero added
		if got := ok(t, "run", abs, "--input", "x=@"+file, "--input", "y=[0, 0, 0, 0, 0]"); got != want {
			t.Errorf("%s: got %s", ext, got)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "sum.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := npy.Decode(data); err != nil || v.Len() != 60 || v.Float(59) != 5.5 {
		t.Errorf("npy: got %v, %v", v, err)
	}
}

func TestRunSaysWhatItDid(t *testing.T) {
	r := llmcRun("run", mnist, "--random", "--explain", "-v")
	if r.code != 0 || !strings.HasPrefix(r.out, "{\n  \"Plus214_Output_0\": [[") {
		t.Fatalf("exit code %d, got %q %q", r.code, r.out, r.err)
	}
	for _, want := range []string{"made ready in ", "window ", "contract ", "_gemm_", "MFLOP"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("want %q in %s", want, r.err)
		}
	}
	if other := llmcRun("run", mnist, "--random", "--seed", "2"); other.out == r.out {
		t.Error("another seed gives the same values")
	}
	if again := llmcRun("run", mnist, "--random", "--seed", "1"); again.out != r.out {
		t.Error("the same seed gives other values")
	}
}

// A model that cannot be compiled for all sizes is compiled for those at hand, and that is said.
func TestRunForActualSizes(t *testing.T) {
	silero := models + "silero-vad/"
	r := llmcRun("run", silero+"model.onnx", "--inputs", silero+"test_data_set_0", "--outputs", t.TempDir())
	if r.code != 0 || !strings.HasPrefix(r.err, "llmc: compiled for these sizes only: ") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("exit code %d, got %q", r.code, r.err)
	}
	r = llmcRun("compile", silero+"model.onnx", "-q")
	if r.code != 1 || !strings.Contains(r.err, "--dim") || !strings.Contains(r.err, "If_0") {
		t.Errorf("compile: want exit code 1, the node and --dim, got %d, %q", r.code, r.err)
	}
}

func TestCompileAndRunProgram(t *testing.T) {
	dir := t.TempDir()
	prog, dump := filepath.Join(dir, "m.llmc"), filepath.Join(dir, "dump")
	var rep compileReport
	if err := json.Unmarshal([]byte(ok(t, "compile", mnist, "-o", prog, "--dump", dump, "--json")), &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Nodes != 12 || rep.Steps >= 12 || len(rep.Fused) == 0 || rep.ArenaBytes < rep.LiveBytes || rep.LiveBytes == 0 || rep.WeightBytes < 4*5998 {
		t.Errorf("got %+v", rep)
	}
	files, err := filepath.Glob(filepath.Join(dump, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f)[3:])
	}
	for _, want := range []string{"import.ir", "simplify.ir", "fuse.ir", "lower.kir", "schedule.kir", "memory.kir"} {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+want+" ") {
			t.Errorf("dump: want %s, got %v", want, names)
		}
	}
	want, got := ok(t, "run", mnist, "-i", seven), ok(t, "run", prog, "-i", seven, "--preset", "mnist")
	if got != want {
		t.Errorf("the program gives %s, the model %s", got, want)
	}
	var of, in inspection
	for path, v := range map[string]*inspection{mnist: &of, prog: &in} {
		if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", "--hash", path)), v); err != nil {
			t.Fatal(err)
		}
	}
	if in.From == nil || in.From.Hash != of.SHA256 || in.From.Model != "model.onnx" || in.From.Nodes != 12 || in.Arena != of.Arena {
		t.Errorf("the program says it was made of %+v", in.From)
	}
	r := llmcRun("run", prog, "-i", seven, "--dim", "n=1")
	if r.code != 64 {
		t.Errorf("--dim of a program: exit code %d", r.code)
	}
	text := ok(t, "compile", mnist)
	for _, want := range []string{"nodes", "12 before", "fused", "weights", "peak arena", "time"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in %s", want, text)
		}
	}
	if out := ok(t, "compile", mnist, "-q"); out != "" {
		t.Errorf("-q: got %q", out)
	}
}

// What inspect says of a model is what its README and other tools say of it.
func TestInspect(t *testing.T) {
	var in inspection
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", "--hash", mnist)), &in); err != nil {
		t.Fatal(err)
	}
	if in.Bytes != 26627 || in.Params != 5998 || in.Nodes != 12 || in.Opsets["ai.onnx"] != 7 || in.Producer != "CNTK 2.5.1" || len(in.SHA256) != 64 || in.Weights < 4*5000 {
		t.Errorf("got %+v", in)
	}
	if got, want := countText(in.Operators), "Add x3, Conv x2, MaxPool x2, Relu x2, Reshape x2, MatMul x1"; got != want {
		t.Errorf("operators: want %s, got %s", want, got)
	}
	if len(in.Inputs) != 1 || in.Inputs[0].Name != "Input3" || strings.Join(in.Inputs[0].Shape, ",") != "1,1,28,28" || len(in.HostSteps) != 0 {
		t.Errorf("inputs %+v, host steps %v", in.Inputs, in.HostSteps)
	}
	in = inspection{}
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", bert)), &in); err != nil {
		t.Fatal(err)
	}
	if len(in.Dims) < 2 || in.Dims[0].Name != "batch" || len(in.Dims[0].In) != 3 || in.ArenaDims["sequence"] != 1 {
		t.Errorf("dims %+v at %v", in.Dims, in.ArenaDims)
	}
	small := in.Arena
	in = inspection{}
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", "--dim", "batch=4,sequence=32", bert)), &in); err != nil {
		t.Fatal(err)
	}
	if in.Arena < 50*small {
		t.Errorf("arena: %d bytes at 1x1, %d at 4x32", small, in.Arena)
	}
	text := ok(t, "inspect", bert)
	for _, want := range []string{"inputs", "outputs", "dims", "operators", "parameters", "passes", "simplify", "steps", "host steps", "memory"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in %s", want, text)
		}
	}
}

// The text form goes out and in again without a change, and passes run on it.
func TestOpt(t *testing.T) {
	text := ok(t, "opt", "testdata/cases/node/test_softmax_axis_1/model.onnx")
	if r := llmcIn(text, "opt", "-"); r.code != 0 || r.out != text {
		t.Errorf("exit code %d %s, got %s, want %s", r.code, r.err, r.out, text)
	}
	file := filepath.Join(t.TempDir(), "f.ir")
	ok(t, "opt", "--passes", "simplify,fold", "-o", file, "testdata/cases/node/test_softmax_axis_1/model.onnx")
	out := ok(t, "opt", "--facts", "--passes", "expand,fuse", file)
	if !strings.HasPrefix(out, "// facts: ") || !strings.Contains(out, "// facts after fuse: ") || !strings.Contains(out, "Grouped") {
		t.Errorf("got %s", out)
	}
	if r := llmcIn(out, "opt", "--facts", "-"); r.code != 0 || !strings.Contains(r.out, "Grouped") {
		t.Errorf("facts of the fused text: exit code %d %s, got %s", r.code, r.err, r.out)
	}
}

func TestLists(t *testing.T) {
	passes := ok(t, "passes")
	for _, p := range []string{"simplify", "fold", "raise", "state", "expand", "fuse", "needs ", "before "} {
		if !strings.Contains(passes, p) {
			t.Errorf("passes: want %q in %s", p, passes)
		}
	}
	ops := ok(t, "ops", "softmax")
	if !strings.HasPrefix(ops, "softmax") || strings.Count(ops, "\n") != 1 {
		t.Errorf("ops: got %s", ops)
	}
	if s := ok(t, "ops", "--spellings", "Gemm"); !strings.Contains(s, "ai.onnx") || !strings.Contains(s, "Gemm") {
		t.Errorf("spellings: got %s", s)
	}
	var k struct{ Kernels []kernelInfo }
	if err := json.Unmarshal([]byte(ok(t, "kernels", "--json", "--cpu", "ref")), &k); err != nil {
		t.Fatal(err)
	}
	for _, r := range k.Kernels {
		if r.Runs != (r.Needs == "") || r.Used != r.Runs {
			t.Errorf("on the tier ref: %+v", r)
		}
	}
	if v := ok(t, "version"); !strings.HasPrefix(v, "llmc ") {
		t.Errorf("version: got %q", v)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if s := ok(t, "completion", shell); !strings.Contains(s, "llmc") {
			t.Errorf("completion for %s: got %d bytes", shell, len(s))
		}
	}
	if s := ok(t, "__complete", "compile", "--stop", ""); !strings.Contains(s, "simplify\n") || !strings.Contains(s, "fuse\n") {
		t.Errorf("completion of --stop: got %q", s)
	}
}

func TestBench(t *testing.T) {
	var list []measurement
	if err := json.Unmarshal([]byte(ok(t, "bench", mnist, "--threads", "1,2", "--runs", "7", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	// Multiply-adds by hand: 8 maps of 28x28 with 5x5 taps, 16 of 14x14 with 8*5*5, and 256 x 10.
	const flop = 2 * (8*28*28*25 + 16*14*14*200 + 2560)
	for i, m := range list {
		if m.Threads != i+1 || m.Runs != 7 || m.Min <= 0 || m.Median < m.Min || m.P90 < m.Median || m.FLOP != flop || m.GFLOPS <= 0 || m.Arena <= 0 {
			t.Errorf("want %d operations, got %+v", flop, m)
		}
	}
	if len(list) != 2 {
		t.Errorf("got %d measurements", len(list))
	}
	if text := ok(t, "bench", mnist, "--time", "1ms", "--data", models+"mnist-cnn/test_data_set_1"); !strings.Contains(text, "GFLOP/s") {
		t.Errorf("got %s", text)
	}
}

// An ended context ends the command with one line.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range [][]string{{"run", mnist, "-i", seven}, {"compile", mnist}, {"test", "testdata/cases"}, {"bench", mnist}} {
		var out, errw bytes.Buffer
		if code := execute(ctx, args, strings.NewReader(""), &out, &errw); code != 1 || errw.String() != "llmc: interrupted\n" || out.String() != "" {
			t.Errorf("%v: exit code %d, %q, %q", args, code, errw.String(), out.String())
		}
	}
}
