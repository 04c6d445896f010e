package ops

import (
	"errors"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// An extent that is data is late; those beside it that are numbers are known.
func TestListsKnownInPart(t *testing.T) {
	b := newBuild(t)
	count := b.F.AddParam(b.F.Body, "n", ir.TensorType(dtype.I64, dim.Const(1)))
	x := b.F.AddParam(b.F.Body, "x", ir.TensorType(dtype.F32, dim.Const(2), dim.Const(1)))
	list, err := b.Builder.One("concat", []*ir.Value{count, b.Builder.Ints(2, 3)}, named("axis", 0))
	if err != nil {
		t.Fatal(err)
	}
	late := func(e dim.Expr) bool { return b.Builder.M.Dims.Late(e) }
	for _, name := range []string{"expand", "reshape"} {
		y, err := b.Builder.One(name, []*ir.Value{x, list}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s := y.Type.Shape; len(s) != 3 || !late(s[0]) || !s[1].IsConst(2) || !s[2].IsConst(3) {
			t.Errorf("%s: %v, want [late, 2, 3]", name, y.Type)
		}
	}
}

// A squeeze without axes takes what is 1, keeps what is late behind a guard, and refuses what inputs decide.
func TestSqueezeWithoutAxes(t *testing.T) {
	b := newBuild(t)
	b.Builder.M.Dims.Declare("N", dim.Info{Lo: 0, Hi: 9})
	rows, err := b.Builder.One("nonzero", []*ir.Value{b.F.AddParam(b.F.Body, "x", ir.TensorType(dtype.F32, dim.Const(4)))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	squeeze := func(x *ir.Value) ([]*ir.Value, error) {
		n := b.F.NewNode("Squeeze")
		return importSqueeze(&op.Import{Build: op.NewBuild(b.Builder, n, []*ir.Value{x}), Model: body{b: b}})
	}
	guards := len(b.Builder.M.Dims.Guards)
	y, err := squeeze(rows) // [1, late]
	if err != nil || y[0].Rank() != 1 || len(b.Builder.M.Dims.Guards) != guards+1 {
		t.Fatalf("%v: got %v with %d new guards", err, y, len(b.Builder.M.Dims.Guards)-guards)
	}
	g := b.Builder.M.Dims.Guards[guards]
	for n, holds := range map[int64]bool{0: true, 1: false, 2: true, 4: true} {
		v, err := g.A.Eval(func(string) (int64, bool) { return n, true })
		if err != nil || (v == 1) != holds {
			t.Errorf("extent %d: the guard's side is %d, %v", n, v, err)
		}
	}
	if _, err := squeeze(b.F.AddParam(b.F.Body, "y", ir.TensorType(dtype.F32, dim.Sym("N"), dim.Const(1)))); !errors.Is(err, ir.ErrUnsupported) {
		t.Errorf("got %v, want a refusal", err)
	}
}
