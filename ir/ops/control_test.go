package ops

import (
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// body is a model node with one subgraph, written as Go.
type body struct {
	b     *op.Build
	graph func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error)
}

func (body) Attr(string) (attr.Value, bool)          { return attr.Value{}, false }
func (body) Tensor(string) (*tensor.Tensor, error)   { return nil, nil }
func (body) TypeOf(string) (ir.Type, error)          { return ir.Type{}, nil }
func (body) Captures(...string) ([]*ir.Value, error) { return nil, nil }
func (body) Formals(string) ([]ir.Type, error)       { return nil, nil }
func (m body) Region(_, name string, params []ir.Type, _ []*ir.Value) (*ir.Region, error) {
	return m.b.Builder.Region(name, params, nil, m.graph)
}

// A loop's body keeps the extents that it does not change; those that it changes are late, and what an abandoned
// attempt relied on is forgotten.
func TestLoopExtents(t *testing.T) {
	b := newBuild(t)
	param := func(t ir.Type) *ir.Value { return b.F.AddParam(b.F.Body, "", t) }
	B, S := dim.Sym("B"), dim.Sym("S")
	grown, kept := param(ir.TensorType(dtype.F32, S, B)), param(ir.TensorType(dtype.F32, B))
	trips := b.Builder.Dims(ir.TensorType(dtype.I64), []dim.Expr{S})
	guards := len(b.Builder.M.Dims.Guards)
	n := b.F.NewNode("Loop")
	c := &op.Import{Build: op.NewBuild(b.Builder, n, []*ir.Value{trips, nil, grown, kept}), Model: body{b, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
		row, err := b.One("reshape", []*ir.Value{p[3]}, named("shape", []dim.Expr{dim.Const(1), B}))
		if err != nil {
			return nil, err
		}
		next, err := b.One("concat", []*ir.Value{p[2], row}, named("axis", 0))
		return []*ir.Value{p[1], next, p[3], p[3]}, err
	}}}
	out, err := importLoop(c)
	if err != nil {
		t.Fatal(err)
	}
	late := func(e dim.Expr) bool { return b.Builder.M.Dims.Late(e) }
	if s := out[0].Type.Shape; !late(s[0]) || !dim.Equal(s[1], B) {
		t.Errorf("grown value is %v, want a late extent, then B", out[0].Type)
	}
	if !dim.EqualAll(out[1].Type.Shape, []dim.Expr{B}) {
		t.Errorf("kept value is %v, want [B]", out[1].Type)
	}
	if !dim.EqualAll(out[2].Type.Shape, []dim.Expr{S, B}) {
		t.Errorf("scan output is %v, want [S, B]: the condition is passed through", out[2].Type)
	}
	if got := len(b.Builder.M.Dims.Guards); got != guards {
		t.Errorf("%d guards are left behind", got-guards)
	}
}

// Only extents in which the branches differ are late, and their bound is the larger one.
func TestIfExtents(t *testing.T) {
	b := newBuild(t)
	cond := b.F.AddParam(b.F.Body, "", ir.TensorType(dtype.Bool))
	x := b.F.AddParam(b.F.Body, "", ir.TensorType(dtype.F32, dim.Sym("B"), dim.Const(3)))
	region := func(name string, n int64) *ir.Region {
		r, err := b.Builder.Region(name, []ir.Type{x.Type}, nil, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
			v, err := b.One("expand", []*ir.Value{b.Scalar(dtype.F32, 0)}, named("shape", []dim.Expr{dim.Sym("B"), dim.Const(n)}))
			return []*ir.Value{v}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	out, err := b.Op("if", []*ir.Value{cond, x}, nil, region("then", 3), region("else", 5))
	if err != nil {
		t.Fatal(err)
	}
	s := out[0].Type.Shape
	if !dim.Equal(s[0], dim.Sym("B")) {
		t.Errorf("extent 0 is %v, want B", s[0])
	}
	if _, hi := b.Builder.M.Dims.Range(s[1]); !b.Builder.M.Dims.Late(s[1]) || hi != 5 {
		t.Errorf("extent 1 is %v, at most %d; want a late one, at most 5", s[1], hi)
	}
}

// Windows over unknown extents: out = (in + pads - reach)/stride + 1, and SAME padding is ceil(in/stride).
func TestWindowExtents(t *testing.T) {
	g := geometry{kernel: []int64{3}, strides: []int64{2}, dilations: []int64{2}, begin: []int64{1}, end: []int64{1}}
	for in, want := range map[int64]int64{4: 1, 5: 2, 6: 2, 7: 3} {
		e := g.out(0, dim.Sym("S")).Subst(func(string) (dim.Expr, bool) { return dim.Const(in), true })
		if !e.IsConst(want) {
			t.Errorf("%d elements give %v windows, want %d", in, e, want)
		}
	}
	for in, want := range map[int64][2]int64{7: {1, 1}, 8: {0, 1}, 1: {1, 1}} {
		w := modelWindow{kernel: []int64{3}, strides: []int64{2}, dilations: []int64{1}, pads: make([]int64, 2)}
		w.same([]dim.Expr{dim.Const(in)}, false)
		if w.pads[0] != want[0] || w.pads[1] != want[1] {
			t.Errorf("SAME_UPPER of %d elements pads %v, want %v", in, w.pads, want)
		}
	}
}
