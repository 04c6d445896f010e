package ir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func zeros(_ int, _ string, e dtype.Type, shape []int) (*tensor.Tensor, error) {
	if n, ok := tensor.Count(shape); !ok || n > 1<<20 {
		return nil, fmt.Errorf("too large")
	}
	return tensor.New(e, shape...), nil
}

// The files are in the canonical form: what parses prints as the same bytes, and equals itself.
func TestFilesRoundTrip(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.ir")
	if len(files) < 2 {
		t.Fatal("no files")
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(string(src), ParseOptions{File: f, Consts: zeros})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.String(); got != string(src) {
			t.Errorf("%s prints as\n%s", f, got)
		}
		n, err := Parse(m.String(), ParseOptions{Consts: zeros})
		if err != nil {
			t.Fatal(err)
		}
		if err := Equal(m, n); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// Names that values prefer may repeat, be digits, or hold anything; the text has them unique and stays the
// same when parsed and printed again.
func TestNames(t *testing.T) {
	m := NewModule("9 lives")
	f := m.NewFunc("main")
	for _, n := range []string{"a", "a", "a_2", "12", "", "x y:z", "a", "/layer.0/out", strings.Repeat("l", 300), strings.Repeat("l", 300), "µ"} {
		f.AddParam(f.Body, n, TensorType(dtype.F32))
		f.Inputs = append(f.Inputs, n)
	}
	f.Body.Results = f.Body.Params[:2]
	f.Outputs = []string{"", "a_2"}
	text := m.String()
	p, err := Parse(text, ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Equal(m, p); err != nil {
		t.Fatal(err)
	}
	if p.String() != text {
		t.Fatalf("%s\nprints again as\n%s", text, p)
	}
}

// Every bit pattern of the narrow floats, and odd ones of the wide, pass through the text.
func TestConstBits(t *testing.T) {
	for _, e := range dtype.All() {
		if e == dtype.String || e.IsComplex() {
			continue
		}
		m := NewModule("bits")
		for base := uint64(0); base < 1<<min(e.Bits(), 8); base += 64 {
			n := min(64, 1<<e.Bits())
			c := tensor.New(e, n)
			for i := 0; i < n; i++ {
				v := base + uint64(i)
				if e.Bits() > 8 { // spread over the width, all exponents included
					v = v<<(e.Bits()-8) | v*0x9e3779b97f4a7c15>>(72-e.Bits())
				}
				c.SetBits(i, v)
			}
			m.AddConst("", c)
		}
		p, err := Parse(m.String(), ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := Equal(m, p); err != nil {
			t.Errorf("%v: %v\n%s", e, err, m)
		}
	}
}

func TestParseErrors(t *testing.T) {
	head := "module m\ndim B in [1, 8]\nconst #w0 : f32[1] = [1.0]\n"
	deep := strings.Repeat("%a = f() : f32[] {\nr() {\n", 100)
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", "line 1, column 1: want module"},
		{"end", "module", "line 1, column 7: want a module name, got the end"},
		{"byte", "module m\n  $", `line 2, column 3: unexpected "$"`},
		{"string", "module m\nfunc \"a\n", "line 2, column 6: string without end"},
		{"escape", `module "\q"`, "column 8: string is not quoted"},
		{"twice", head + "dim B", "line 4, column 5: dimension B is declared twice"},
		{"range", "module m\ndim B in [3, 2]", "empty range"},
		{"extent", head + "func f(%x: f32[B, S +]) -> () { return() }", "line 4, column 19: "},
		{"brackets", head + "func f(%x: f32[B) -> () { return() }", "list of extents without end"},
		{"element", head + "func f(%x: f33[B]) -> () { return() }", `line 4, column 12: element type "f33" is not known`},
		{"undefined", head + "func f() -> () {\n %a = f(%b) : f32[]\n return() }", "line 5, column 9: %b is not defined here"},
		{"itself", head + "func f() -> () {\n %a = f(%a) : f32[]\n return() }", "%a is not defined here"},
		{"redefined", head + "func f(%a: f32[]) -> () {\n %a = f() : f32[]\n return() }", "line 5, column 2: %a is defined twice"},
		{"captured", head + "func f(%a: f32[]) -> () { g() { r() { yield(%a) } } return() }", "%a is not defined here"},
		{"types", head + "func f() -> () {\n %a, %b = f() : f32[]\n return() }", "want 2 types, got 1"},
		{"no types", head + "func f() -> () {\n %a = f()\n return() }", "want the types"},
		{"results", head + "func f() -> f32[] { return() }", "want 1 results, got 0"},
		{"result type", head + "func f(%a: f32[]) -> f64[] { return(%a) }", "want f64[], got f32[]"},
		{"const range", head + "func f() -> () {\n %a = const(data: #w1) : f32[]\n return() }", "line 5, column 19: constant #w1 of 1"},
		{"const order", head + "const #w2 : f32[0] = []", "want #w1, got #w2"},
		{"const count", head + "const #w1 : f32[3] = [1.0, 2.0]", `want ",", got "]"`},
		{"const more", head + "const #w1 : f32[1] = [1.0, 2.0]", "want 1 values"},
		{"const value", head + "const #w1 : u8[1] = [256]", `"256" is not a value of type u8`},
		{"const shape", head + "const #w1 : f32[B] = [1.0]", "want a tensor of constant shape"},
		{"const huge", head + "const #w1 : f32[1000000000000, 1000000000000]", "want a tensor of constant shape"},
		{"const absent", head + "const #w1 \"w\" : f32[100]", "the values of constant w are not in the text"},
		{"const type", head + "func f() -> () { %a = const(data: #w0) : f32[2]\n return() }", "#w0 has type f32[1], not f32[2]"},
		{"dims", head + "func f() -> () { %a = dims(type: i64, shape: ~[2], elems: ~[B]) : i64[2]\n return() }", "do not fit"},
		{"dims huge", head + "func f() -> () { %a = dims(type: i64, shape: ~[281474976710656], elems: ~[B])\n return() }", "do not fit"},
		{"location", head + "func f() -> () { f() @\"x\"\n return() }", "want file#number:name"},
		{"list", head + "func f() -> () { f(a: [1, \"x\"])\n return() }", "list of ints holds string"},
		{"attributes", head + "func f() -> () { f(a: 1, a: 2)\n return() }", "attribute a is given twice"},
		{"regions", head + "func f() -> () {\n" + deep, "regions nested too deep"},
		{"types deep", head + "func f(%a: " + strings.Repeat("seq(", 100), "type nested too deep"},
		{"terms", head + "func f(%a: f32[" + strings.Repeat("(a + b)*(c + d)*(e + f)*(g + h)*", 20) + "2]) -> () { return() }", "too many terms"},
		{"long sum", head + "func f(%a: f32[" + longSum(500) + "]) -> () { return() }", "too many terms"},
		{"long product", head + "func f(%a: f32[" + strings.Repeat("a*", 500) + "2]) -> () { return() }", "too many terms"},
		{"last", head + "func f() -> () { yield() }", "want return"},
		{"after", head + "func f() -> () { return() }\ndim S", "line 5, column 1: want dim, guard, state, const or func"},
	} {
		_, err := Parse(c.src, ParseOptions{File: "t.ir"})
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "t.ir: line ") {
			t.Errorf("%s: got %q, want %q", c.name, err, c.want)
		}
	}
}

func longSum(n int) string {
	s := "a0"
	for i := 1; i < n; i++ {
		s += fmt.Sprintf("+a%d", i)
	}
	return s
}

// A difference in any part is found.
func TestEqualFindsDifferences(t *testing.T) {
	src, err := os.ReadFile("testdata/all.ir")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"every form", "another"}, {"[1, 64]", "[1, 65]"}, {"step 8", "step 4"}, {" late in", " in"}, {"B = any", "B ~ any"}, {"[1, -2]", "[1, -3]"},
		{"0x7fc00001", "0x7fc00002"}, {"\"input.1\"", "\"input.2\""}, {"[B, S] is \"n\"", "[S, B] is \"n\""}, {"is \"n\" is \"m\"", "is \"m\""}, {"map(i64", "map(i32"},
		{":c16", ":c8"}, {"\"logits\"", "\"other\""}, {"Split_4\"(Split)", "Split_4\"(Spl)"}, {"-2, \"name\"", "-3, \"name\""}, {"\"b\", \"c\"", "\"b\""},
		{"odd op", "even op"}, {"(%a, _, %w", "(%b, _, %w"}, {"(%a, _, %w", "(%a, %w"}, {"g: -inf", "g: inf"}, {"yield(%z, %z)", "yield(%z, %x)"}, {"return(%y, %1", "return(%y, %n"},
		{"second entry", "third entry"}, {"sink(%1)", ""}, {"\"\"()", "r()"}, {"[1, S], f32", "[2, S], f32"},
	} {
		if !strings.Contains(string(src), c[0]) {
			t.Fatalf("%q is not in the file", c[0])
		}
		a, err := Parse(string(src), ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(strings.Replace(string(src), c[0], c[1], 1), ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if Equal(a, b) == nil {
			t.Errorf("%q for %q is not noticed", c[1], c[0])
		}
	}
}

// Without types in the text, Semantics gives them.
type double struct{}

func (double) NumOut(*Node) (int, error) { return 1, nil }
func (double) Infer(m *Module, n *Node) error {
	if n.Op != "double" {
		return n.Errorf(ErrUnsupported, "operator %q is not known", n.Op)
	}
	n.Out[0].Type = TensorType(n.In[0].Type.Elem, dim.Mul(dim.Const(2), n.In[0].Type.Shape[0]))
	return nil
}
func (double) Fold(*Module, *Node, []*tensor.Tensor) ([]*tensor.Tensor, bool) { return nil, false }

func TestParseInfers(t *testing.T) {
	m, err := Parse("module m\nconst #w0 : f32[3] = [1.0, 2.0, 3.0]\nfunc main() -> f32[6] {\n%w = const(data: #w0)\n%y = double(%w) return(%y) }", ParseOptions{Semantics: double{}})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Main().Body.Nodes[1].Out[0].Type.String(); got != "f32[6]" {
		t.Fatalf("got %s", got)
	}
	_, err = Parse("module m\nfunc main() -> () {\n%y = triple()\nreturn() }", ParseOptions{Semantics: double{}})
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "line 3, column 1: ") {
		t.Fatalf("got %v", err)
	}
}

func TestNodeString(t *testing.T) {
	m := NewModule("m")
	f := m.NewFunc("main")
	x := f.AddParam(f.Body, "x", TensorType(dtype.F32, dim.Sym("B")))
	n := f.NewNode("relu")
	n.In = []*Value{x}
	n.Attrs = attr.List{{Name: "alpha", Value: attr.OfFloat(1)}}
	n.Out = []*Value{f.NewValue("", x.Type)}
	if got := n.String(); got != "%1 = relu(%0, alpha: 1.0) : f32[B]" {
		t.Fatalf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.ir")
	for _, name := range files {
		src, _ := os.ReadFile(name)
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		m, err := Parse(src, ParseOptions{Consts: zeros})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v is not of kind malformed", err)
			}
			return
		}
		n, err := Parse(m.String(), ParseOptions{Consts: zeros})
		if err != nil {
			t.Fatalf("%v\n%s", err, m)
		}
		if err := Equal(m, n); err != nil {
			t.Fatalf("%v\n%s", err, m)
		}
		if m.String() != n.String() {
			t.Fatalf("%s\nprints again as\n%s", m, n)
		}
	})
}
