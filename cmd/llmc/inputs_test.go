package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/picture"
	"github.com/llmc-go/llmc/formats/wav"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// unpack writes a test case of an archive beside the repository's models into a folder.
func unpack(t *testing.T, archive, name string) string {
	t.Helper()
	z, err := zip.OpenReader(models + archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	part, err := fs.Sub(z, name)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, part); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every command that runs a model takes what is no tensor: maps go in here, sequences and maps come out.
func TestBoxesInEveryCommand(t *testing.T) {
	for _, name := range []string{"castmap_TO_FLOAT", "sequence_loop_2", "iris-random-forest"} {
		dir := unpack(t, "classical.zip", name)
		model, set := filepath.Join(dir, "model.onnx"), filepath.Join(dir, "test_data_set_0")
		ok(t, "run", model, "--inputs", set, "--outputs", filepath.Join(dir, "out"))
		ok(t, "bench", model, "--data", set, "--runs", "1")
		ok(t, "profile", model, "--data", set, "--time", "1ms")
		ok(t, "verify", model, "--data", set)
	}
}

// addition is a model that adds y, f32[5], to x, f32[3, 4, 5].
const addition = "testdata/cases/node/test_add_bcast/model.onnx"

// put writes a file into a folder and returns its path.
func put(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// archived makes an archive of pairs of names and arrays.
func archived(t *testing.T, names []string, arrays ...*tensor.Tensor) []byte {
	t.Helper()
	all := map[string]*tensor.Tensor{}
	for i, name := range names {
		all[name] = arrays[i]
	}
	var b bytes.Buffer
	if err := npy.EncodeArchive(&b, names, all); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchives(t *testing.T) {
	dir := t.TempDir()
	x, y := llmc.Float32(make([]float32, 60), 3, 4, 5), llmc.Float32([]float32{1, 2, 3, 4, 5})
	both := put(t, dir, "both.npz", archived(t, []string{"y", "x"}, y, x))
	one := put(t, dir, "one.npz", archived(t, []string{"arr_0"}, y))
	more := put(t, dir, "more.npz", archived(t, []string{"x", "y", "z"}, x, y, y))
	want := ok(t, "run", addition, "--input", "x=[["+strings.Repeat("[0,0,0,0,0],", 3)+"[0,0,0,0,0]],"+
		"["+strings.Repeat("[0,0,0,0,0],", 3)+"[0,0,0,0,0]],["+strings.Repeat("[0,0,0,0,0],", 3)+"[0,0,0,0,0]]]", "--input", "y=[1,2,3,4,5]")
	for _, args := range [][]string{
		{"--input", "@" + both},
		{"--input", "x=@" + both, "--input", "y=@" + both},
		{"--input", "x=@" + both, "--input", "y=@" + one},
		{"--input", "x=@" + more + ":x", "--input", "y=@" + more + ":z"},
		{"--input", "@" + both, "--input", "y=@" + one}, // what comes later counts
	} {
		if got := ok(t, append([]string{"run", addition}, args...)...); got != want {
			t.Errorf("%v: %s, want %s", args, got, want)
		}
	}
	ok(t, "bench", addition, "--runs", "1", "--input", "@"+both)
	for _, c := range []struct{ input, want string }{
		{"@" + more, `more.npz has an array "z", and the model has no such input; its inputs are "x", "y"`},
		{"@" + one, `one.npz has an array "arr_0"`},
		{"y=@" + more + ":w", `more.npz has no array "w"; y=@FILE:KEY picks one of "x", "y", "z"`},
		{"@" + put(t, dir, "part.npz", archived(t, []string{"y"}, y)), `part.npz has no array "x", and no other --input gives it`},
		{"@" + put(t, dir, "bad.npz", []byte("PK")), "bad.npz: malformed npy"},
		{"x=@absent.npz", "absent.npz: no such file"},
	} {
		for _, command := range []string{"run", "bench"} { // bench makes up what is not given at all
			if r := llmcRun(command, addition, "--input", c.input); r.code == 0 || !strings.Contains(r.err, c.want) {
				t.Errorf("%s %s: exit code %d, %s, want %q", command, c.input, r.code, r.err, c.want)
			}
		}
	}
}

func TestOutputArchives(t *testing.T) {
	dir := t.TempDir()
	wine := models + "wine-lightgbm-tensors/"
	all, part := filepath.Join(dir, "all.npz"), filepath.Join(dir, "part.npz")
	if out := ok(t, "run", wine+"model.onnx", "--inputs", wine+"test_data_set_0", "-o", all, "-o", "output="+part); out != "" {
		t.Errorf("wrote %s", out)
	}
	for path, want := range map[string][]string{all: {"output", "probabilities"}, part: {"output"}} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a, err := npy.OpenArchive(data, 1<<20)
		if err != nil || !slices.Equal(a.Names(), want) {
			t.Fatalf("%s: %v, %v, want %v", path, a.Names(), err, want)
		}
		if v, err := a.Array("output"); err != nil || !slices.Equal(v.I64(), []int64{0, 0, 1, 1, 2, 2}) {
			t.Errorf("%s: %v, %v", path, v, err)
		}
	}
	iris := unpack(t, "classical.zip", "iris-random-forest")
	r := llmcRun("run", filepath.Join(iris, "model.onnx"), "--inputs", filepath.Join(iris, "test_data_set_0"), "-o", all)
	if r.code != exitUsage || !strings.Contains(r.err, `output "output_probability" is a sequence, which goes to a file .json or .pb`) {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
}

func TestSoundInputs(t *testing.T) {
	const mono, stereo = "y=../../formats/wav/testdata/s16.wav", "y=../../formats/wav/testdata/extensible.wav" // 6 samples
	file := put(t, t.TempDir(), "sound.json", []byte(`{"scale": 1, "sound": {"samples": 5, "mono": true}}`))
	run := func(args ...string) result {
		return llmcRun(append([]string{"run", addition, "--zeros", "--input"}, args...)...)
	}
	for _, c := range []struct {
		args []string
		same string
	}{
		{[]string{mono, "--samples", "5"}, "y=[0, 0.5, -0.5, 0.25, -1]"},
		{[]string{strings.Replace(mono, "=", "=@", 1), "--samples", "5", "--rate", "22050"}, "y=[0, 0.5, -0.5, 0.25, -1]"},
		{[]string{stereo, "--preprocess", file}, "y=[0.49609375, -0.25, -0.125, -0.125, -0.25]"},
	} {
		if got, want := run(c.args...), run(c.same); got.code != 0 || got != want {
			t.Errorf("%v: %+v, want %+v", c.args, got, want)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{mono}, exitFailed, "6 samples, and f32[5] takes 5; with samples 5 they are cut or filled up"},
		{[]string{mono, "--rate", "16000"}, exitFailed, "22050 samples a second, want 16000: resample the file first"},
		{[]string{stereo, "--preprocess", file, "--mono=false"}, exitFailed, "2 channels, and f32[5] has no place for them"},
		{[]string{mono, "--samples", "-1"}, exitUsage, "want 0 to"},
	} {
		if r := run(c.args...); r.code != c.code || !strings.Contains(r.err, c.want) {
			t.Errorf("%v: exit code %d, %s, want %d, %q", c.args, r.code, r.err, c.code, c.want)
		}
	}
}

func TestTextInputs(t *testing.T) {
	dir := t.TempDir()
	spam := models + "sms-spam-tfidf/model.onnx"
	mail := put(t, dir, "mail.txt", []byte("URGENT! Your mobile number has won £2000 cash.\nTxt CLAIM to 87066\n"))
	if got := ok(t, "run", spam, "--input", "@"+mail); !strings.Contains(got, `"label": ["spam"]`) {
		t.Errorf("got %s", got)
	}
	const row0 = "14.23,1.71,2.43,15.6,127,2.8,3.06,.28,2.29,5.64,1.04,3.92,1065\n"
	const row70 = "12.29 1.61 2.21 20.4 103 1.1 1.02 .37 1.46 3.05 .906 1.82 870\n"
	wine := models + "wine-lightgbm-tensors/model.onnx"
	for rows, want := range map[string]string{row0: `"output": [0]`, row0 + row70: `"output": [0,1]`} {
		if got := ok(t, "run", wine, "--input", "input=@"+put(t, dir, "rows.txt", []byte(rows))); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", rows, got, want)
		}
	}
}

// What a file of text becomes follows from what the input takes.
func TestTextByType(t *testing.T) {
	r := &reader{pre: preprocessing{picture.Options{}, wav.Options{}}}
	path := put(t, t.TempDir(), "x.txt", []byte("12\n7\n"))
	for _, c := range []struct {
		elem  dtype.Type
		shape []string
		want  string
	}{
		{dtype.String, []string{"lines"}, `[2] [12 7]`},
		{dtype.String, []string{"batch", "lines"}, `[1 2] [12 7]`},
		{dtype.String, []string{"1", "1"}, "[1 1] [12\n7]"},
		{dtype.String, nil, "[] [12\n7]"},
		{dtype.U8, []string{"batch", "length"}, `[1 5] [49 50 10 55 10]`},
		{dtype.I64, []string{"batch", "length"}, `[1 2] [12 7]`},
		{dtype.I64, []string{"2", "1"}, `[2 1] [12 7]`},
	} {
		v, err := r.read("@"+path, llmc.Info{Name: "x", Elem: c.elem, Shape: c.shape})
		if err != nil {
			t.Errorf("%v%v: %v", c.elem, c.shape, err)
			continue
		}
		list := fmt.Sprint(v.Str)
		if c.elem != dtype.String {
			var l []int64
			for i := range v.Len() {
				l = append(l, v.Int(i))
			}
			list = fmt.Sprint(l)
		}
		if got := fmt.Sprint(v.Shape) + " " + list; got != c.want {
			t.Errorf("%v%v: %s, want %s", c.elem, c.shape, got, c.want)
		}
	}
}

func TestInputCompletion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", addition, "--input", ""}, "x=\ny=\n:2\n"},
		{[]string{"verify", addition, "--input", ""}, "x=\ny=\n:2\n"},
		{[]string{"run", addition, "--input", "x=@"}, ":0\n"},
		{[]string{"run", "absent.onnx", "--input", ""}, ":0\n"},
		{[]string{"bench", addition, "--resize", ""}, "stretch\nletterbox\ncrop\n:4\n"},
		{[]string{"profile", addition, "--preprocess", ""}, "json\n:8\n"},
	} {
		if got := ok(t, append([]string{"__complete"}, c.args...)...); got != c.want {
			t.Errorf("%v: %q, want %q", c.args, got, c.want)
		}
	}
}
