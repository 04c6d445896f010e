package verify

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
)

func table(t testing.TB) *op.Table {
	t.Helper()
	tb, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

const good = `module m
dim B in [1, 8]
const #w0 : i64[2] = [1, -1]
func main(%x: f32[B, 4], %y: f32[B, 4]) -> (f32[B, 4], f32[B, 2, 2]) {
  %w = const(data: #w0)
  %d = dims(type: i64, shape: ~[2], elems: ~[B, 4])
  %s = add(%x, %y)
  %g = group(%s) {
    body(%a: f32[B, 4]) {
      %n = neg(%a)
      yield(%n)
    }
  }
  %r = reshape(%g, shape: ~[B, 2, 2])
  return(%g, %r)
}`

func module(t testing.TB) *ir.Module {
	t.Helper()
	m, err := ir.Parse(good, ir.ParseOptions{Semantics: table(t)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each way to break a good module is noticed.
func TestModule(t *testing.T) {
	tb := table(t)
	m := module(t)
	if err := Module(m, tb); err != nil {
		t.Fatal(err)
	}
	if err := Module(m, nil); err != nil {
		t.Fatal(err)
	}
	node := func(m *ir.Module, op string) *ir.Node {
		var found *ir.Node
		m.Main().Body.Walk(func(n *ir.Node) {
			if n.Op == op {
				found = n
			}
		})
		return found
	}
	for _, c := range []struct {
		name, want string
		structure  bool // found without semantics
		change     func(m *ir.Module, f *ir.Func)
	}{
		{"names of inputs", "2 parameters", true, func(m *ir.Module, f *ir.Func) { f.Inputs = f.Inputs[:1] }},
		{"names of outputs", "2 results", true, func(m *ir.Module, f *ir.Func) { f.Outputs = nil }},
		{"functions", "defined twice", true, func(m *ir.Module, f *ir.Func) {
			m.NewFunc("main").Outputs = []string{}
		}},
		{"order", "not defined before", true, func(m *ir.Module, f *ir.Func) {
			n := f.Body.Nodes
			n[2], n[3] = n[3], n[2]
		}},
		{"capture", "must be an operand", true, func(m *ir.Module, f *ir.Func) { node(m, "neg").In[0] = f.Body.Params[0] }},
		{"escape", "must be an operand", true, func(m *ir.Module, f *ir.Func) { f.Body.Results[0] = node(m, "neg").Out[0] }},
		{"same node twice", "given twice", true, func(m *ir.Module, f *ir.Func) { f.Body.Nodes = append(f.Body.Nodes, node(m, "add")) }},
		{"same ID twice", "defined twice", true, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].ID = 0 }},
		{"ID out of range", "value ID 99", true, func(m *ir.Module, f *ir.Func) { node(m, "reshape").Out[0].ID = 99 }},
		{"node ID", "node ID -1", true, func(m *ir.Module, f *ir.Func) { node(m, "add").ID = -1 }},
		{"another function's value", "not the one defined", true, func(m *ir.Module, f *ir.Func) { v := *f.Body.Params[0]; node(m, "add").In[0] = &v }},
		{"result of another", "something else", true, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].Index = 1 }},
		{"parameter", "something else", true, func(m *ir.Module, f *ir.Func) { f.Body.Params[1].Index = 0 }},
		{"no result", "no value", true, func(m *ir.Module, f *ir.Func) { f.Body.Results[1] = nil }},
		{"constant of no table", "does not name a constant", true, func(m *ir.Module, f *ir.Func) {
			n := node(m, "const")
			n.Attrs = n.Attrs.Set("data", attr.OfConst(1))
		}},
		{"constant's type", "the table has", true, func(m *ir.Module, f *ir.Func) { node(m, "const").Out[0].Type.Elem = dtype.I32 }},
		{"constant's contents", "the table has", true, func(m *ir.Module, f *ir.Func) {
			node(m, "const").Out[0].Elems = []dim.Expr{dim.Const(1), dim.Const(1)}
		}},
		{"constant's bytes", "want 16 bytes", true, func(m *ir.Module, f *ir.Func) { m.Consts[0].Tensor.Data = m.Consts[0].Tensor.Data[:15] }},
		{"dims", "not those of the attributes", true, func(m *ir.Module, f *ir.Func) { node(m, "dims").Out[0].Elems = dim.Consts([]int{2, 4}) }},
		{"no type", "no element type", true, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].Type = ir.Type{} }},
		{"kind", "kind 9", true, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].Type.Kind = 9 }},
		{"negative extent", "has extent -1", true, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].Type.Shape = dim.Consts([]int{-1, 4}) }},
		{"contents of floats", "elements are known", true, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].Elems = dim.Consts([]int{1}) }},
		{"attribute twice", "given twice", true, func(m *ir.Module, f *ir.Func) {
			n := node(m, "reshape")
			n.Attrs = append(n.Attrs, n.Attrs[0])
		}},
		{"operator", "not known", false, func(m *ir.Module, f *ir.Func) { node(m, "add").Op = "plus" }},
		{"attribute", "not known", false, func(m *ir.Module, f *ir.Func) {
			n := node(m, "add")
			n.Attrs = n.Attrs.Set("beta", attr.OfInt(1))
		}},
		{"operands", "missing", false, func(m *ir.Module, f *ir.Func) { n := node(m, "add"); n.In = n.In[:1] }},
		{"too many operands", "at most 2", false, func(m *ir.Module, f *ir.Func) { n := node(m, "add"); n.In = append(n.In, n.In[0]) }},
		{"element type", "differ", false, func(m *ir.Module, f *ir.Func) { f.Body.Params[0].Type.Elem = dtype.F64 }},
		{"type", "inference gives f32[B, 4]", false, func(m *ir.Module, f *ir.Func) { node(m, "add").Out[0].Type.Shape = dim.Consts([]int{2, 4}) }},
		{"region's type", "inference gives", false, func(m *ir.Module, f *ir.Func) { node(m, "group").Out[0].Type.Elem = dtype.F64 }},
		{"regions", "regions", false, func(m *ir.Module, f *ir.Func) { node(m, "group").Regions = nil }},
		{"results", "results", false, func(m *ir.Module, f *ir.Func) {
			n := node(m, "add")
			v := f.NewValue("", n.Out[0].Type)
			v.Def, v.Index = n, 1
			n.Out = append(n.Out, v)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := module(t)
			c.change(m, m.Main())
			before := m.String()
			err := Module(m, tb)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if without := Module(m, nil); (without != nil) != c.structure {
				t.Errorf("without semantics: got %v", without)
			}
			if m.String() != before {
				t.Error("the module was changed")
			}
		})
	}
}

// Contents that inference does not confirm are an error, even if the type is right.
func TestContents(t *testing.T) {
	m, err := ir.Parse("module m\ndim B in [1, 8]\nfunc main(%x: i64[2] = [B, 2]) -> i64[2] {\n%y = neg(%x) : i64[2] = [-1*B, -2]\nreturn(%y)\n}", ir.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tb := table(t)
	if err := Module(m, tb); err != nil {
		t.Fatal(err)
	}
	m.Main().Body.Nodes[0].Out[0].Elems[1] = dim.Const(2)
	if err := Module(m, tb); err == nil || !strings.Contains(err.Error(), "contents") {
		t.Fatalf("got %v", err)
	}
}

func TestLocations(t *testing.T) {
	m := module(t)
	if err := Locations(m); err == nil {
		t.Fatal("nodes without locations pass")
	}
	m.Main().Body.Walk(func(n *ir.Node) {
		if n.Op != ir.OpConst && n.Op != ir.OpDims {
			n.Locs = []ir.Loc{{File: "m", Name: n.Op}}
		}
	})
	if err := Locations(m); err != nil {
		t.Fatal(err)
	}
}

// Random modules are well formed as made and as parsed back.
func TestRandomGraphs(t *testing.T) {
	tb := table(t)
	for seed := int64(0); seed < 50; seed++ {
		m := random(t, tb, seed, 30, 0)
		if err := Module(m, tb); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, m)
		}
		if err := Locations(m); err != nil {
			t.Fatal(err)
		}
	}
}

func random(t testing.TB, tb *op.Table, seed int64, nodes, outputs int) *ir.Module {
	t.Helper()
	m, err := irtest.Graph(rand.New(rand.NewSource(seed)), foldless{tb}, irtest.GraphOptions{Nodes: nodes, Outputs: outputs, Has: func(n string) bool { return tb.Def(n) != nil }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// foldless is a table that folds nothing.
type foldless struct{ *op.Table }

func (foldless) Fold(*ir.Module, *ir.Node, []*tensor.Tensor) ([]*tensor.Tensor, bool) {
	return nil, false
}

// BenchmarkModule reports the time for 1,000 nodes; the budget is 10 ms.
func BenchmarkModule(b *testing.B) {
	tb := table(b)
	m := random(b, tb, 1, 6000, 1<<30)
	count := m.Main().Body.Count()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := Module(m, tb); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(count), "ms/1000nodes")
}
