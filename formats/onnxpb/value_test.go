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

func values() map[string]onnxpb.Value {
	f := onnxpb.TensorValue(tensor.Of(dtype.F32, []float32{1, 2, 3}, 3))
	s := onnxpb.TensorValue(&tensor.Tensor{Elem: dtype.String, Shape: []int{2}, Str: []string{"a", "b"}})
	seq := onnxpb.Value{Kind: onnxpb.KindSequence, Elem: 1, Elems: []onnxpb.Value{f, f}}
	m := onnxpb.Value{Kind: onnxpb.KindMap, Keys: tensor.Of(dtype.I64, []int64{7, -8}, 2), Vals: &seq}
	return map[string]onnxpb.Value{
		"tensor": f, "strings": s, "sequence": seq, "map": m,
		"empty sequence":    {Kind: onnxpb.KindSequence, Elem: 1},
		"sequence of maps":  {Kind: onnxpb.KindSequence, Elem: 4, Elems: []onnxpb.Value{m}},
		"nested sequence":   {Kind: onnxpb.KindSequence, Elem: 3, Elems: []onnxpb.Value{seq}},
		"optional":          {Kind: onnxpb.KindOptional, Elem: 1, Elems: []onnxpb.Value{f}},
		"none":              {Kind: onnxpb.KindOptional},
		"optional sequence": {Kind: onnxpb.KindOptional, Elem: 3, Elems: []onnxpb.Value{seq}},
		"string map": {Kind: onnxpb.KindMap, Keys: &tensor.Tensor{Elem: dtype.String, Shape: []int{2}, Str: []string{"x", "y"}},
			Vals: &seq},
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
		kind onnxpb.Kind
		data pb
		want string
	}{
		{onnxpb.KindTensor, tensorOf(7, 2).sub(7, varints(1)), "want 2 values, got 1"},
		{onnxpb.KindSequence, pb{}.int(2, 1).sub(3, tensorOf(1, 1)), "sequence[0]: tensor \"w\""},
		{onnxpb.KindSequence, pb{}.int(2, 1).sub(3, one).sub(5), "mixed kinds"},
		{onnxpb.KindSequence, pb{}.int(2, 3).sub(3, one), "elem_type 3, but the values are of kind tensor"},
		{onnxpb.KindSequence, pb{}.int(2, 2).sub(4), "sparse"},
		{onnxpb.KindSequence, deep, "nested more than 128"},
		{onnxpb.KindOptional, pb{}.int(2, 1).sub(3, one).sub(3, one), "two values"},
		{onnxpb.KindOptional, pb{}.sub(3, one), "elem_type 0"},
		{onnxpb.KindMap, pb{}.int(2, 7).sub(3, varints(1, 2)), "map of 2 keys and 0 values"},
		{onnxpb.KindMap, pb{}.int(2, 1).sub(3, varints(1)), "keys of type float"},
		{onnxpb.KindNone, nil, "kind none"},
	} {
		if _, err := onnxpb.ParseValue(c.data, c.kind); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %x: got %v, want %s", c.kind, []byte(c.data), err, c.want)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	f := onnxpb.TensorValue(tensor.New(dtype.F32, 2))
	for _, v := range []onnxpb.Value{
		{},
		onnxpb.TensorValue(&tensor.Tensor{Elem: dtype.F32, Shape: []int{3}, Data: []byte{1}}),
		{Kind: onnxpb.KindOptional, Elems: []onnxpb.Value{f, f}},
		{Kind: onnxpb.KindSequence, Elems: []onnxpb.Value{f, {Kind: onnxpb.KindOptional}}},
		{Kind: onnxpb.KindMap},
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
		v, err := onnxpb.ParseValue(data, onnxpb.Kind(kind%5))
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
					if _, err := onnxpb.ParseValue(data, info.Type.Kind); err != nil {
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
