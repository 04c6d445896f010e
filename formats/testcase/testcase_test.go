package testcase_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir/tensor"
)

// message encodes length-delimited fields and, for a negative number, a varint field.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		num := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	return b
}

// model has inputs x, a tensor, and s, a sequence, and an output y; more is appended to the graph.
func model(more ...any) []byte {
	tensorType := message(1, message(1, 7))
	seqType := message(4, message(1, tensorType))
	graph := message(1, message(4, "Identity", 1, "x", 2, "y"), 11, message(1, "x", 2, tensorType), 11, message(1, "s", 2, seqType),
		12, message(1, "y", 2, tensorType))
	return message(1, 10, 8, message(2, 21), 7, append(graph, message(more...)...))
}

func value(t *testing.T, v tensor.Value) []byte {
	t.Helper()
	b, err := onnxpb.AppendValue(nil, "other name", v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tree is a set of files that holds three cases and some that are none.
func tree(t *testing.T) map[string][]byte {
	external := message(5, message(1, 1, 2, 7, 8, "w", 14, 1, 13, message(1, "location", 2, "w.bin")))
	x, y := value(t, i64(1, 2)), value(t, i64(3))
	s := value(t, tensor.Value{Kind: tensor.KindSequence, List: []tensor.Value{i64(5)}})
	files := map[string][]byte{
		"node/b/model.onnx": model(), "node/b/data.json": []byte(`{"rtol": 0.5, "compare": "shape"}`),
		"node/a/model.onnx": model(5, external[2:]), "node/a/w.bin": []byte("\x09\x00\x00\x00\x00\x00\x00\x00"),
		"deep/er/c/model.onnx": model(), "deep/er/c/expect.json": []byte("{}"),
		"node/none/model.onnx": model(),                                     // no data set
		"node/late/model.onnx": model(), "node/late/test_data_set_1/x": {1}, // no data set 0
		"readme": {1},
	}
	for _, c := range []string{"node/a", "node/b", "deep/er/c"} {
		for _, k := range []string{"0", "1", "10"} {
			files[c+"/test_data_set_"+k+"/input_0.pb"] = x
			files[c+"/test_data_set_"+k+"/input_1.pb"] = s
			files[c+"/test_data_set_"+k+"/output_0.pb"] = y
		}
	}
	return files
}

func writeFolder(t *testing.T, files map[string][]byte) string {
	dir := t.TempDir()
	for name, data := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeZip(t *testing.T, files map[string][]byte) string {
	name := filepath.Join(t.TempDir(), "cases.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, data := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFindAndOpen(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for kind, p := range map[string]string{"folder": writeFolder(t, tree(t)), "zip": writeZip(t, tree(t))} {
		s, err := testcase.Find(p)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range s.Cases {
			names = append(names, c.Name)
			if !reflect.DeepEqual(c.Sets, []int{0, 1, 10}) {
				t.Errorf("%s %s: sets %v", kind, c.Name, c.Sets)
			}
			checkCase(t, kind, c)
		}
		if want := []string{"deep/er/c", "node/a", "node/b"}; !reflect.DeepEqual(names, want) {
			t.Errorf("%s: cases %v, want %v", kind, names, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	left, err := fs.Glob(os.DirFS(temp), "llmc-case-*")
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func checkCase(t *testing.T, kind string, c *testcase.Case) {
	t.Helper()
	o, err := c.Open()
	if err != nil {
		t.Fatalf("%s %s: %v", kind, c.Name, err)
	}
	defer o.Close()
	set, err := o.Set(10)
	if err != nil {
		t.Fatalf("%s %s: %v", kind, c.Name, err)
	}
	if len(set.Inputs) != 2 || set.Inputs[0].Tensor.Int(1) != 2 || set.Inputs[1].Kind != tensor.KindSequence || set.Outputs[0].Tensor.Int(0) != 3 {
		t.Errorf("%s %s: set %+v", kind, c.Name, set)
	}
	want := testcase.DefaultTolerance()
	switch c.Name {
	case "node/b":
		want.RTol, want.Compare = .5, "shape"
	case "deep/er/c":
		want.ExactInts = true
	case "node/a":
		v, err := o.Model.Graph.Inits[0].Value(o.External)
		if err != nil || v.Int(0) != 9 {
			t.Errorf("%s: external data %v %v", kind, v, err)
		}
	}
	if o.Tolerance != want {
		t.Errorf("%s %s: tolerance %+v, want %+v", kind, c.Name, o.Tolerance, want)
	}
}

func TestFindCaseItself(t *testing.T) {
	p := writeFolder(t, tree(t))
	s, err := testcase.Find(filepath.Join(p, "node", "b"), filepath.Join(p, "deep"))
	if err != nil || len(s.Cases) != 2 || s.Cases[0].Name != "b" || s.Cases[1].Name != "er/c" {
		t.Errorf("got %+v %v", s, err)
	}
	if _, err := testcase.Find(filepath.Join(p, "missing")); !os.IsNotExist(err) {
		t.Errorf("missing: %v", err)
	}
	if _, err := testcase.Find(filepath.Join(p, "readme")); err == nil {
		t.Error("a file that is no archive")
	}
}

func TestOpenErrors(t *testing.T) {
	for name, c := range map[string]struct {
		file, want string
		data       []byte
	}{
		"model":            {"m/model.onnx", "field tag: truncated", []byte{0xff}},
		"unknown key":      {"m/data.json", "colour", []byte(`{"colour": 1}`)},
		"comparison":       {"m/data.json", `got "near"`, []byte(`{"compare": "near"}`)},
		"negative":         {"m/data.json", "-1 is no tolerance", []byte(`{"atol": -1}`)},
		"value":            {"m/test_data_set_0/input_0.pb", "input_0.pb", []byte{0xff}},
		"gap":              {"m/test_data_set_0/input_2.pb", "input_1.pb", nil},
		"too many outputs": {"m/test_data_set_0/output_1.pb", "graph has 1 outputs", nil},
	} {
		files := map[string][]byte{"m/model.onnx": model(), "m/test_data_set_0/input_0.pb": value(t, i64(1)), "m/test_data_set_0/output_0.pb": value(t, i64(1))}
		files[c.file] = c.data
		s, err := testcase.Find(writeZip(t, files))
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Cases[0].Open()
		if err == nil {
			_, err = o.Set(0)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// TestShared loads every case below LLMC_SHARED and checks that each expected output agrees with itself.
func TestShared(t *testing.T) {
	root := os.Getenv("LLMC_SHARED")
	if root == "" {
		t.Skip("LLMC_SHARED is not set: the large test data is not part of the repository")
	}
	s, err := testcase.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sets := 0
	for _, c := range s.Cases {
		o, err := c.Open()
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		for _, k := range c.Sets {
			set, err := o.Set(k)
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			if ok, reason := testcase.CompareOutputs(set.Outputs, set.Outputs, o.Tolerance); !ok || len(set.Outputs) != len(o.Model.Graph.Outputs) {
				t.Errorf("%s set %d: %d outputs of %d: %s", c.Name, k, len(set.Outputs), len(o.Model.Graph.Outputs), reason)
			}
			sets++
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d cases, %d data sets", len(s.Cases), sets)
	if len(s.Cases) == 0 {
		t.Error("no case found")
	}
}
