package eval

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sort"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/ops"
)

// Every definition of every operator agrees with every other on the operator's cases, with symbols bound three
// ways; what was inferred of types, extents and contents is what comes out; and an expansion made while symbols
// are open gives the same.
func TestOperatorsAgree(t *testing.T) {
	table, err := ops.Table()
	if err != nil {
		t.Fatal(err)
	}
	e := New(table)
	for _, d := range table.Defs() {
		if d.Sig.Regions != nil {
			continue // cases have no regions: see TestBranch and TestLoop
		}
		if d.Name == "fail" {
			continue // it never has a result
		}
		t.Run(d.Name, func(t *testing.T) {
			if d.Cases == nil {
				t.Fatal("no cases")
			}
			var c op.Cases
			d.Cases(&c)
			if c.Why != "" {
				t.Skip(c.Why)
			}
			if len(c.List) == 0 {
				t.Fatal("no cases")
			}
			for i, k := range c.List {
				cs, err := newCase(e, d, k)
				if err != nil {
					t.Fatalf("case %d %v: %v", i, k.Shapes, err)
				}
				for round := 0; round < 3; round++ {
					if err := cs.run(round); err != nil {
						t.Errorf("case %d %v %v %v, symbols %v: %v", i, k.Shapes, k.Elems, cs.node, cs.bound, err)
					}
				}
			}
		})
	}
}

// opCase is a function of one node, its operands as parameters. Further parameters have every symbol as their extent, so
// that all are bound.
type opCase struct {
	e     *Evaluator
	d     *op.Def
	c     op.Case
	m     *ir.Module
	fn    *ir.Func
	node  *ir.Node
	syms  []string
	bound map[string]int64
}

func newCase(e *Evaluator, d *op.Def, c op.Case) (*opCase, error) {
	cs := &opCase{e: e, d: d, c: c, m: ir.NewModule(d.Name)}
	cs.fn = cs.m.NewFunc("main")
	n := cs.fn.NewNode(d.Name)
	seen := map[string]bool{}
	note := func(l []dim.Expr) {
		for _, x := range l {
			x.Walk(func(s string) { seen[s] = true })
		}
	}
	for i, text := range c.Shapes {
		if text == "_" {
			n.In = append(n.In, nil)
			continue
		}
		typ, err := parseOperand(text, c.Elems[min(i, len(c.Elems)-1)])
		if err != nil {
			return nil, err
		}
		leaf := typ
		for leaf.Of != nil {
			leaf = *leaf.Of
		}
		note(leaf.Shape)
		v := cs.fn.AddParam(cs.fn.Body, "", typ)
		n.In = append(n.In, v)
	}
	for _, a := range c.Attrs {
		note(a.Dims)
	}
	for s := range seen {
		cs.syms = append(cs.syms, s)
	}
	sort.Strings(cs.syms)
	for _, s := range cs.syms {
		cs.m.Dims.Declare(s, dim.Info{Lo: 1, Hi: dim.Inf})
		cs.fn.AddParam(cs.fn.Body, s, ir.TensorType(dtype.U8, dim.Sym(s)))
	}
	n.Attrs = append(attr.List(nil), c.Attrs...)
	count, err := e.NumOut(n)
	if err != nil {
		return nil, err
	}
	for i := 0; i < count; i++ {
		v := cs.fn.NewValue("", ir.Type{})
		v.Def, v.Index = n, i
		n.Out = append(n.Out, v)
	}
	if err := e.Infer(cs.m, n); err != nil {
		return nil, err
	}
	cs.node = n
	cs.fn.Body.Nodes = []*ir.Node{n}
	cs.fn.Body.Results = n.Out
	return cs, nil
}

// parseOperand reads the text of an operand: a shape, or one in the kinds of boxes: seq(opt([2, 3])).
func parseOperand(s string, elem dtype.Type) (ir.Type, error) {
	for name, kind := range map[string]ir.Kind{"seq(": ir.Sequence, "opt(": ir.Optional} {
		if in, ok := strings.CutPrefix(s, name); ok {
			of, err := parseOperand(strings.TrimSuffix(in, ")"), elem)
			return ir.Type{Kind: kind, Of: &of}, err
		}
	}
	if in, ok := strings.CutPrefix(s, "map("); ok {
		key, of, _ := strings.Cut(strings.TrimSuffix(in, ")"), ", ")
		k, _ := dtype.Parse(key)
		t, err := parseOperand(of, elem)
		return ir.Type{Kind: ir.Map, Key: k, Of: &t}, err
	}
	shape, err := parseShape(s)
	return ir.TensorType(elem, shape...), err
}

func parseShape(s string) ([]dim.Expr, error) {
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "["), "]")
	m, err := ir.Parse("module m\nfunc main(%x: f32["+s+"]) -> () { return() }", ir.ParseOptions{})
	if err != nil {
		return nil, fmt.Errorf("shape %q: %w", s, err)
	}
	return m.Funcs[0].Body.Params[0].Type.Shape, nil
}

// inputs binds the symbols and draws the operands.
func (cs *opCase) inputs(round int) ([]Value, error) {
	r := rand.New(rand.NewSource(int64(round)))
	cs.bound = map[string]int64{}
	for i, s := range cs.syms {
		cs.bound[s] = []int64{1, int64(2 + i), int64(4 - i%3)}[round]
	}
	env := func(s string) (int64, bool) { v, ok := cs.bound[s]; return v, ok }
	var in []Value
	for _, p := range cs.fn.Body.Params {
		v, err := cs.draw(r, p.Type, env)
		if err != nil {
			return nil, err
		}
		in = append(in, v)
	}
	return in, nil
}

// draw makes a value of a type; sequences have two elements.
func (cs *opCase) draw(r *rand.Rand, t ir.Type, env func(string) (int64, bool)) (Value, error) {
	if t.Kind != ir.Tensor {
		v := Value{Kind: t.Kind}
		for range map[ir.Kind]int{ir.Sequence: 2, ir.Optional: 1, ir.Map: 3}[t.Kind] {
			e, err := cs.draw(r, *t.Of, env)
			if err != nil {
				return v, err
			}
			v.List = append(v.List, e)
		}
		if t.Kind == ir.Map {
			v.Keys = irtest.Random(r, t.Key, 0, 3, 3)
		}
		return v, nil
	}
	shape := make([]int, len(t.Shape))
	for i, e := range t.Shape {
		v, err := e.Eval(env)
		if err != nil {
			return Value{}, err
		}
		shape[i] = int(v)
	}
	return Of(irtest.Random(r, t.Elem, cs.c.Lo, cs.c.Hi, shape...)), nil
}

// closeValues compares what two definitions give.
func closeValues(got, want Value, tol float64) error {
	if got.Kind != want.Kind || len(got.List) != len(want.List) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	if got.Kind == ir.Tensor {
		if tol == 0 {
			tol = irtest.Tolerance(got.Tensor.Elem)
		}
		return irtest.Close(got.Tensor, want.Tensor, tol)
	}
	for i := range got.List {
		if err := closeValues(got.List[i], want.List[i], tol); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func (cs *opCase) run(round int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	in, err := cs.inputs(round)
	if err != nil {
		return err
	}
	var want []Value
	var first string
	agree := func(name string, got []Value) error {
		if want == nil {
			want, first = got, name
			return nil
		}
		if cs.d.Random {
			return nil
		}
		for i := range got {
			if err := closeValues(got[i], want[i], cs.c.Tol); err != nil {
				return fmt.Errorf("%s differs from %s: result %d: %w", name, first, i, err)
			}
		}
		return nil
	}
	for i, name := range []string{"Host", "Expand", "Form"} {
		got, err := cs.only([]Way{Host, Expand, Form}[i], in)
		if errors.Is(err, errNoWay) || errors.Is(err, op.ErrNoForm) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := agree(name, got); err != nil {
			return err
		}
	}
	if want == nil {
		return errors.New("no definition applies")
	}
	if cs.d.Expand == nil {
		return nil
	}
	got, err := cs.expanded(in)
	if errors.Is(err, op.ErrNoForm) { // not with these attributes
		return nil
	}
	if err != nil {
		return fmt.Errorf("symbolic expansion: %w", err)
	}
	return agree("symbolic expansion", got)
}

// only evaluates the node one way, and checks the results against its types.
func (cs *opCase) only(way Way, in []Value) ([]Value, error) {
	f := cs.e.frame(context.Background(), cs.m, Options{})
	names := make([]string, len(in))
	for i := range names {
		names[i] = fmt.Sprint("operand ", i)
	}
	if err := f.bindParams(cs.fn.Body.Params, in, names); err != nil {
		return nil, err
	}
	if err := f.guards(""); err != nil {
		return nil, err
	}
	var args []Value
	k := 0
	for _, v := range cs.node.In {
		if v == nil {
			args = append(args, Value{})
			continue
		}
		args = append(args, in[k])
		k++
	}
	out, err := f.by(cs.d, cs.node, args, way)
	if err != nil {
		return nil, err
	}
	return out, f.check(cs.node, out)
}

// expanded evaluates the function after its node has been replaced by what it expands to.
func (cs *opCase) expanded(in []Value) ([]Value, error) {
	text := cs.m.String()
	m, err := ir.Parse(text, ir.ParseOptions{})
	if err != nil {
		return nil, err
	}
	fn := m.Main()
	err = ir.Rewrite(m, fn, cs.e, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
		if n.Op != cs.d.Name || rw.F != fn {
			return nil, nil
		}
		b := op.NewBuild(rw.Builder, n, rw.MappedAll(n.In))
		out, err := cs.d.Expand(b)
		if err == nil {
			err = b.Err()
		}
		return out, err
	})
	if err != nil {
		return nil, err
	}
	got, err := cs.e.Eval(context.Background(), m, fn, in, Options{})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, m)
	}
	for i, v := range got {
		if i < len(cs.node.Out) && v.Kind == ir.Tensor && v.Tensor.Elem != cs.node.Out[i].Type.Elem {
			return nil, fmt.Errorf("result %d has type %v, want %v", i, v.Tensor.Elem, cs.node.Out[i].Type)
		}
	}
	return got, nil
}
