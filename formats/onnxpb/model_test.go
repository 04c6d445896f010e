package onnxpb_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/llmc-go/llmc/formats/onnxpb"
)

// The facts come from the model's published description.
func TestOpenMNIST(t *testing.T) {
	f, err := onnxpb.Open("testdata/mnist-cnn.onnx")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.IRVersion != 3 || f.Producer != "CNTK" || f.ProducerVersion != "2.5.1" || !reflect.DeepEqual(f.Opsets, []onnxpb.Opset{{Version: 7}}) {
		t.Errorf("header: %d %q %q %v", f.IRVersion, f.Producer, f.ProducerVersion, f.Opsets)
	}
	ops := map[string]int{}
	for _, n := range f.Graph.Nodes {
		ops[n.OpType]++
	}
	if want := map[string]int{"Add": 3, "Conv": 2, "MatMul": 1, "MaxPool": 2, "Relu": 2, "Reshape": 2}; !reflect.DeepEqual(ops, want) {
		t.Errorf("operators %v, want %v", ops, want)
	}
	values := 0
	for i := range f.Graph.Inits {
		v, err := f.Graph.Inits[i].Value(f)
		if err != nil {
			t.Fatal(err)
		}
		values += v.Len()
	}
	if values != 5998 {
		t.Errorf("%d values in initializers, want 5998", values)
	}
	in := f.Graph.Inputs[0]
	want := []onnxpb.Dim{{Value: 1, Known: true}, {Value: 1, Known: true}, {Value: 28, Known: true}, {Value: 28, Known: true}}
	if in.Name != "Input3" || in.Type.Kind != onnxpb.KindTensor || in.Type.Elem.String() != "float" || !reflect.DeepEqual(in.Type.Dims, want) {
		t.Errorf("input: %+v %+v", in, in.Type)
	}
	conv := f.Graph.Nodes[0]
	for _, n := range f.Graph.Nodes {
		if n.OpType == "Conv" {
			conv = n
			break
		}
	}
	if a := conv.Attr("kernel_shape"); a == nil || a.Type != onnxpb.AttrInts || !reflect.DeepEqual(a.Ints, []int64{5, 5}) {
		t.Errorf("kernel_shape: %+v", a)
	}
	if conv.Attr("nothing") != nil {
		t.Error("attribute that is not there")
	}
}

// Every field of every message, once.
func TestEveryField(t *testing.T) {
	floatType := pb{}.sub(1, pb{}.int(1, 1).sub(2, pb{}.sub(1, pb{}.int(1, 3)), pb{}.sub(1, pb{}.str(2, "batch")), pb{}.sub(1, pb{})))
	inner := pb{}.str(2, "body").sub(1, pb{}.str(4, "Relu").str(1, "x").str(2, "y"))
	attr := func(name string, ty int64, value pb) pb {
		return pb{}.sub(5, pb{}.str(1, name).int(20, ty).str(13, "doc"), value)
	}
	node := pb{}.str(1, "a").str(1, "").str(1, "b").str(2, "c").str(3, "n1").str(4, "Op").str(7, "my.domain").str(8, "v2").str(6, "doc")
	for _, a := range []pb{
		attr("f", 1, pb{}.f32(2, 1.5)), attr("i", 2, pb{}.int(3, -7)), attr("s", 3, pb{}.str(4, "text")),
		attr("t", 4, pb{}.sub(5, tensorOf(1, 1).str(9, "\x00\x00\x80\x3f"))), attr("g", 5, pb{}.sub(6, inner)),
		attr("floats", 6, pb{}.sub(7, floats(1, 2)).f32(7, 3)), attr("ints", 7, pb{}.sub(8, varints(4, -5)).int(8, 6)),
		attr("strings", 8, pb{}.str(9, "p").str(9, "q")), attr("tensors", 9, pb{}.sub(10, tensorOf(1, 0))),
		attr("graphs", 10, pb{}.sub(11, inner).sub(11, inner)), attr("sparse", 11, pb{}.sub(22, pb{}.sub(3, varints(2, 2)))),
		attr("tp", 13, pb{}.sub(14, floatType)), attr("tps", 14, pb{}.sub(15, floatType)), attr("sps", 12, pb{}.sub(23, pb{})),
		pb{}.sub(5, pb{}.str(1, "ref").int(20, 2).str(21, "outer")),
		pb{}.sub(5, pb{}.str(1, "old").int(3, 9)), // no type, as before IR version 2
	} {
		node = append(node, a...)
	}
	graph := pb{}.sub(1, node).str(2, "main").sub(5, tensorOf(7, 2).sub(7, varints(1, 2))).sub(15, pb{}.sub(3, varints(4))).
		sub(11, pb{}.str(1, "a").sub(2, floatType)).sub(12, pb{}.str(1, "c")).sub(13, pb{}.str(1, "m").sub(2, floatType)).
		sub(14, pb{}).sub(16, pb{})
	function := pb{}.str(1, "F").str(4, "x").str(5, "y").str(6, "alpha").sub(7, pb{}.str(4, "Exp")).sub(9, pb{}.int(2, 18)).
		str(10, "my").str(13, "o").sub(11, pb{}.str(1, "beta").int(20, 1).f32(2, 0.5)).sub(12, pb{}.str(1, "x"))
	data := pb{}.int(1, 10).str(2, "me").str(3, "1.0").str(4, "dom").int(5, 42).str(6, "doc").sub(7, graph).
		sub(8, pb{}.int(2, 21)).sub(8, pb{}.str(1, "my.domain").int(2, 1)).sub(14, pb{}.str(1, "k").str(2, "v")).sub(20, pb{}).sub(25, function).
		sub(999, pb{})

	m, err := onnxpb.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	equal := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v want %v", what, got, want)
		}
	}
	equal("model", []any{m.IRVersion, m.Producer, m.ProducerVersion, m.Domain, m.ModelVersion, m.TrainingInfo}, []any{int64(10), "me", "1.0", "dom", int64(42), 1})
	equal("opsets", m.Opsets, []onnxpb.Opset{{"", 21}, {"my.domain", 1}})
	equal("metadata", m.Metadata, []onnxpb.Entry{{"k", "v"}})
	n := &m.Graph.Nodes[0]
	equal("node", []string{n.Name, n.OpType, n.Domain, n.Overload}, []string{"n1", "Op", "my.domain", "v2"})
	equal("inputs", n.Inputs, []string{"a", "", "b"})
	equal("outputs", n.Outputs, []string{"c"})
	equal("f", n.Attr("f").F, float32(1.5))
	equal("i", n.Attr("i").I, int64(-7))
	equal("s", string(n.Attr("s").S), "text")
	equal("t", n.Attr("t").T.Dims, []int64{1})
	equal("g", n.Attr("g").G.Nodes[0].OpType, "Relu")
	equal("floats", n.Attr("floats").Floats, []float32{1, 2, 3})
	equal("ints", n.Attr("ints").Ints, []int64{4, -5, 6})
	equal("strings", n.Attr("strings").Strings, [][]byte{[]byte("p"), []byte("q")})
	equal("tensors", len(n.Attr("tensors").Tensors), 1)
	equal("graphs", n.Attr("graphs").Graphs[1].Name, "body")
	equal("sparse", n.Attr("sparse").Sparse.Dims, []int64{2, 2})
	equal("sps", len(n.Attr("sps").SparseTensors), 1)
	equal("tps", n.Attr("tps").TypeProtos[0].Kind, onnxpb.KindTensor)
	equal("ref", n.Attr("ref").RefAttrName, "outer")
	equal("old", n.Attr("old").Type, onnxpb.AttrInt)
	ty := m.Graph.Inputs[0].Type
	equal("dims", ty.Dims, []onnxpb.Dim{{Value: 3, Known: true}, {Param: "batch"}, {}})
	equal("attr type", n.Attr("tp").TypeProto, ty)
	equal("output without type", m.Graph.Outputs[0].Type == nil, true)
	equal("value info", m.Graph.ValueInfo[0].Name, "m")
	equal("sparse init", m.Graph.SparseInits[0].Dims, []int64{4})
	f := m.Functions[0]
	equal("function", []string{f.Name, f.Domain, f.Overload, f.Nodes[0].OpType}, []string{"F", "my", "o", "Exp"})
	equal("function names", [][]string{f.Inputs, f.Outputs, f.AttrNames}, [][]string{{"x"}, {"y"}, {"alpha"}})
	equal("function attr", f.AttrProtos[0].F, float32(0.5))
	equal("function opset", f.Opsets, []onnxpb.Opset{{"", 18}})
	if data[n.Offset] != 0x0a {
		t.Errorf("node offset %d is not its tag", n.Offset)
	}
}

func TestTypeKinds(t *testing.T) {
	tensor := pb{}.sub(1, pb{}.int(1, 7))
	for _, c := range []struct {
		proto pb
		want  onnxpb.TypeProto
	}{
		{tensor, onnxpb.TypeProto{Kind: onnxpb.KindTensor, Elem: 7}},
		{pb{}.sub(1, pb{}.int(1, 7).sub(2)), onnxpb.TypeProto{Kind: onnxpb.KindTensor, Elem: 7, HasShape: true}},
		{pb{}.sub(4, pb{}.sub(1, tensor)), onnxpb.TypeProto{Kind: onnxpb.KindSequence, Of: &onnxpb.TypeProto{Kind: onnxpb.KindTensor, Elem: 7}}},
		{pb{}.sub(9, pb{}.sub(1, tensor)), onnxpb.TypeProto{Kind: onnxpb.KindOptional, Of: &onnxpb.TypeProto{Kind: onnxpb.KindTensor, Elem: 7}}},
		{pb{}.sub(5, pb{}.int(1, 8).sub(2, tensor)), onnxpb.TypeProto{Kind: onnxpb.KindMap, Elem: 8, Of: &onnxpb.TypeProto{Kind: onnxpb.KindTensor, Elem: 7}}},
		{pb{}.sub(8, pb{}.int(1, 1)), onnxpb.TypeProto{Kind: onnxpb.KindSparse, Elem: 1}},
		{pb{}.sub(7, pb{}.str(1, "d")), onnxpb.TypeProto{Kind: onnxpb.KindOpaque}},
		{pb{}.str(6, "denotation"), onnxpb.TypeProto{}},
	} {
		m, err := onnxpb.Parse(model(pb{}.sub(11, pb{}.str(1, "x").sub(2, c.proto))))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Graph.Inputs[0].Type; !reflect.DeepEqual(*got, c.want) {
			t.Errorf("got %+v want %+v", *got, c.want)
		}
	}
}

func TestMalformedModels(t *testing.T) {
	node := pb{}.str(4, "Relu")
	deep := pb{}
	for range 2000 {
		deep = pb{}.sub(1, pb{}.str(4, "If").sub(5, pb{}.str(1, "g").int(20, 5).sub(6, deep)))
	}
	deepType := pb{}
	for range 1000 {
		deepType = pb{}.sub(4, pb{}.sub(1, deepType))
	}
	for _, c := range []struct {
		name string
		data pb
		want string
	}{
		{"empty", nil, "byte 0: model has no graph"},
		{"graph as varint", pb{}.int(7, 1), "field 7: want a length, got wire type 0"},
		{"graph twice", pb{}.sub(7).sub(7), "graph is given twice"},
		{"length beyond the end", pb{0x3a, 0x05, 0x00}, "length 5, but 1 bytes are left"},
		{"length near 2^64", pb{0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "length 18446744073709551615"},
		{"overlong varint", pb{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, "overflow"},
		{"truncated tag", pb{0x80}, "truncated"},
		{"tag without value", pb{0x0a}, "want a varint"},
		{"field number 0", pb{0, 0}, "invalid field number"},
		{"reserved wire type", pb{0x0f}, "wire type"},
		{"stray end of group", pb{0x0c}, "group"},
		{"name not UTF-8", model(pb{}.sub(1, node.str(1, "\xff\xfe"))), `graph.node[0]: field 1: "\xff\xfe" is not UTF-8`},
		{"no op type", model(pb{}.sub(1, pb{}.str(3, "n"))), `node "n" has no op_type`},
		{"nested graphs", model(deep), "nested more than 128 levels deep"},
		{"nested types", model(pb{}.sub(11, pb{}.sub(2, deepType))), "nested more than 128 levels deep"},
		{"odd packed floats", model(pb{}.sub(1, node.sub(5, pb{}.str(1, "a").str(7, "12345")))), "multiple of 4 bytes, got 5"},
		{"truncated packed ints", model(pb{}.sub(1, node.sub(5, pb{}.str(1, "a").str(8, "\x01\x80")))), "packed varint: truncated"},
		{"attribute type 99", model(pb{}.sub(1, node.sub(5, pb{}.str(1, "a").int(20, 99)))), `attribute "a": unknown type 99`},
		{"attribute without value", model(pb{}.sub(1, node.sub(5, pb{}.str(1, "a")))), "neither type nor value"},
		{"attribute of two values", model(pb{}.sub(1, node.sub(5, pb{}.str(1, "a").int(3, 1).f32(2, 1)))), "both float and int"},
		{"tensor attribute without tensor", model(pb{}.sub(1, node.sub(5, pb{}.str(1, "a").int(20, 4)))), "type tensor, but no such value"},
		{"tensor twice", model(pb{}.sub(1, node.sub(5, pb{}.sub(5).sub(5)))), "t is given twice"},
		{"data location", model(pb{}.sub(5, pb{}.int(14, 7))), "data_location: unknown value 7"},
	} {
		_, err := onnxpb.Parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, onnxpb.ErrMalformed) {
			t.Errorf("%s: got %.300v, want %s", c.name, err, c.want)
		}
	}
}

// Whatever is cut off or flipped: no panic, and errors that can be printed.
func TestDamagedModel(t *testing.T) {
	data, err := os.ReadFile("testdata/mnist-cnn.onnx")
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) {
		t.Helper()
		m, err := onnxpb.Parse(b)
		if err == nil {
			readAll(m.Graph)
			return
		}
		var e *onnxpb.Error
		if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) || len(err.Error()) > 4000 || !utf8.ValidString(err.Error()) {
			t.Fatalf("error %.500q", err)
		}
	}
	for cut := 0; cut < len(data); cut += 1 + cut/40 {
		check(data[:cut:cut])
	}
	for i := 0; i < len(data); i += 1 + i/60 {
		for _, x := range []byte{1, 0x10, 0x80, 0xff} {
			b := append([]byte(nil), data...)
			b[i] ^= x
			check(b)
		}
	}
}

// readAll reads every tensor; errors are fine.
func readAll(g *onnxpb.Graph) {
	for i := range g.Inits {
		_, _ = g.Inits[i].Value(nil)
	}
	for i := range g.SparseInits {
		_, _ = g.SparseInits[i].Dense(nil, 1<<20)
	}
	for _, n := range g.Nodes {
		for _, a := range n.Attrs {
			if a.T != nil {
				_, _ = a.T.Value(nil)
			}
			if a.G != nil {
				readAll(a.G)
			}
		}
	}
}

// A file of nothing but empty messages must not be blown up.
func TestDecodedSizeIsBounded(t *testing.T) {
	node := pb{}.str(4, "R").sub(5, pb(strings.Repeat("\x22\x00", 4<<20))) // one attribute, its value given again and again: fine
	if _, err := onnxpb.Parse(model(pb{}.sub(1, node))); err != nil {
		t.Error(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	data := model(pb(strings.Repeat("\x2a\x00", 4<<20)))
	_, err := onnxpb.Parse(data)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "too much memory") {
		t.Errorf("got %v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 300<<20 {
		t.Errorf("allocated %d MB for an %d MB file", got>>20, len(data)>>20)
	}
}

// bigModel has one 32 MB weight and a thousand nodes.
func bigModel() pb {
	g := pb{}.sub(5, tensorOf(1, 8<<20).str(9, strings.Repeat("\x00", 32<<20)))
	for i := range 1000 {
		g = g.sub(1, pb{}.str(1, fmt.Sprintf("v%d", i)).str(2, fmt.Sprintf("v%d", i+1)).str(4, "Relu").sub(5, pb{}.str(1, "axis").int(20, 2).int(3, 1)))
	}
	return model(g)
}

func TestParseDoesNotCopyWeights(t *testing.T) {
	data := bigModel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := onnxpb.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Graph.Inits[0].Value(nil)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
		t.Errorf("allocated %d bytes", got)
	}
	if &v.Data[0] != &m.Graph.Inits[0].Raw[0] {
		t.Error("value is a copy")
	}
}

func BenchmarkParse(b *testing.B) {
	data := bigModel()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := onnxpb.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(model(pb{}.sub(1, pb{}.str(4, "Relu").str(1, "x").str(2, "y").sub(5, pb{}.str(1, "a").int(3, 1))).
		sub(5, tensorOf(1, 2).sub(4, floats(1, 2))).sub(5, tensorOf(21, 3).sub(5, varints(1, 2))).sub(5, tensorOf(8, 1).str(6, "s")).
		sub(15, pb{}.sub(1, tensorOf(1, 1).str(9, "0123")).sub(2, tensorOf(7, 1).sub(7, varints(3))).sub(3, varints(2, 2))).
		sub(11, pb{}.str(1, "x").sub(2, pb{}.sub(1, pb{}.int(1, 1).sub(2, pb{}.sub(1, pb{}.int(1, 3)))))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnxpb.Parse(data)
		if err != nil {
			if !utf8.ValidString(err.Error()) || len(err.Error()) > 4000 {
				t.Errorf("error %.300q", err)
			}
			return
		}
		readAll(m.Graph)
	})
}

func ExampleOpen() {
	f, err := onnxpb.Open("testdata/mnist-cnn.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, n := range f.Graph.Nodes[:3] {
		fmt.Println(n.OpType, n.Inputs, "->", n.Outputs)
	}
	// Output:
	// Reshape [Parameter193 Parameter193_reshape1_shape] -> [Parameter193_reshape1]
	// Conv [Input3 Parameter5] -> [Convolution28_Output_0]
	// Add [Convolution28_Output_0 Parameter6] -> [Plus30_Output_0]
}
