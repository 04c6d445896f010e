package onnxpb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func values() map[string]tensor.Value {
	f := tensor.ValueOf(tensor.Of(dtype.F32, []float32{1, 2, 3}, 3))
	s := tensor.ValueOf(&tensor.Tensor{Elem: dtype.String, Shape: []int{2}, Str: []string{"a", "b"}})
	seq := tensor.Value{Kind: tensor.KindSequence, List: []tensor.Value{f, f}}
	m := tensor.Value{Kind: tensor.KindMap, Keys: tensor.Of(dtype.I64, []int64{7, -8}, 2), List: seq.List}
	return map[string]tensor.Value{
		"tensor": f, "strings": s, "sequence": seq, "map": m,
		"empty sequence":    {Kind: tensor.KindSequence},
		"sequence of maps":  {Kind: tensor.KindSequence, List: []tensor.Value{m}},
		"nested sequence":   {Kind: tensor.KindSequence, List: []tensor.Value{seq}},
		"optional":          {Kind: tensor.KindOptional, List: []tensor.Value{f}},
		"none":              {Kind: tensor.KindOptional},
		"optional sequence": {Kind: tensor.KindOptional, List: []tensor.Value{seq}},
		"string map": {Kind: tensor.KindMap, Keys: &tensor.Tensor{Elem: dtype.String, Shape: []int{2}, Str: []string{"x", "y"}},
			List: seq.List},
	}
}

func TestValueRoundTrip(t *testing.T) {
	for name, v := range values() {
		b, err := onnxpb.AppendValue(nil, "v", v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := onnxpb.ParseValue(b, v.Kind)
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%s: got %+v %v, want %+v", name, got, err, v)
		}
		for cut := range b { // every prefix is an error or a smaller value, never a panic
			_, _ = onnxpb.ParseValue(b[:cut:cut], v.Kind)
		}
	}
}

func TestValueErrors(t *testing.T) {
	one := tensorOf(7, 1).sub(7, varints(1))
	var deep pb
	for range 500 {
		deep = pb{}.int(2, 3).sub(5, deep)
	}
	for _, c := range []struct {
		kind tensor.Kind
		data pb
		want string
	}{
		{tensor.KindTensor, tensorOf(7, 2).sub(7, varints(1)), "want 2 values, got 1"},
		{tensor.KindSequence, pb{}.int(2, 1).sub(3, tensorOf(1, 1)), "sequence[0]: tensor \"w\""},
		{tensor.KindSequence, pb{}.int(2, 1).sub(3, one).sub(5), "mixed kinds"},
		{tensor.KindSequence, pb{}.int(2, 3).sub(3, one), "elem_type 3, but the values are of kind tensor"},
		{tensor.KindSequence, pb{}.int(2, 2).sub(4), "sparse"},
		{tensor.KindSequence, deep, "nested more than 128"},
		{tensor.KindOptional, pb{}.int(2, 1).sub(3, one).sub(3, one), "two values"},
		{tensor.KindOptional, pb{}.sub(3, one), "elem_type 0"},
		{tensor.KindMap, pb{}.int(2, 7).sub(3, varints(1, 2)), "map of 2 keys and 0 values"},
		{tensor.KindMap, pb{}.int(2, 1).sub(3, varints(1)), "keys of type float"},
		{9, nil, "kind 9"},
	} {
		if _, err := onnxpb.ParseValue(c.data, c.kind); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %x: got %v, want %s", c.kind, []byte(c.data), err, c.want)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	f := tensor.ValueOf(tensor.New(dtype.F32, 2))
	for _, v := range []tensor.Value{
		{},
		tensor.ValueOf(&tensor.Tensor{Elem: dtype.F32, Shape: []int{3}, Data: []byte{1}}),
		{Kind: tensor.KindOptional, List: []tensor.Value{f, f}},
		{Kind: tensor.KindSequence, List: []tensor.Value{f, {Kind: tensor.KindOptional}}},
		{Kind: tensor.KindMap},
	} {
		if b, err := onnxpb.AppendValue(nil, "", v); err == nil {
			t.Errorf("%+v: wrote %x", v, b)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, v := range values() {
		if b, err := onnxpb.AppendValue(nil, "v", v); err == nil {
			f.Add(b, uint8(v.Kind))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		v, err := onnxpb.ParseValue(data, tensor.Kind(kind%5))
		if err != nil {
			return
		}
		b, err := onnxpb.AppendValue(nil, "", v)
		if err != nil {
			t.Fatalf("%v was read but not written: %v", v, err)
		}
		if again, err := onnxpb.ParseValue(b, v.Kind); err != nil || again.String() != v.String() {
			t.Fatalf("%v became %v: %v", v, again, err)
		}
	})
}

// TestShared decodes every model and value file below the folder that LLMC_SHARED names; its counts are printed, so
// that a run which found nothing is seen.
func TestShared(t *testing.T) {
	root := os.Getenv("LLMC_SHARED")
	if root == "" {
		t.Skip("LLMC_SHARED is not set: the large test data is not part of the repository")
	}
	models, files := 0, 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".onnx" || strings.Contains(path, "badmodels") {
			return err
		}
		f, err := onnxpb.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		models++
		for _, g := range []struct {
			pattern string
			infos   []onnxpb.ValueInfo
		}{{"input_%d.pb", f.Graph.Inputs}, {"output_%d.pb", f.Graph.Outputs}} {
			for i, info := range g.infos {
				sets, err := filepath.Glob(filepath.Join(filepath.Dir(path), "test_data_set_*", fmt.Sprintf(g.pattern, i)))
				if err != nil {
					return err
				}
				for _, name := range sets {
					data, err := os.ReadFile(name)
					if err != nil {
						return err
					}
					kind, _ := info.Type.Kind.Value()
					if _, err := onnxpb.ParseValue(data, kind); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					files++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if models < 100 || files < 500 {
		t.Errorf("found %d models and %d value files only", models, files)
	}
	t.Logf("%d models, %d value files", models, files)
}
