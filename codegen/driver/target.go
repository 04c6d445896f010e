package driver

import (
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// CPU is what the runtime's kernels take. The anchors that sum products work in f32; narrower floats are
// widened on the way in and rounded on the way out.
func CPU() *op.Target {
	var elems op.Elems
	for _, t := range dtype.All() {
		if b := t.Bits(); b >= 8 && b <= 64 && !t.IsComplex() {
			elems |= op.Set(t)
		}
	}
	products := op.Set(dtype.F16, dtype.BF16, dtype.F32)
	return &op.Target{Name: "cpu", Anchors: []op.AnchorElems{
		{Anchor: anchor.Map, In: elems, Out: elems},
		{Anchor: anchor.Rows, In: elems, Out: elems},
		{Anchor: anchor.Contract, In: products, Out: elems},
		{Anchor: anchor.Window, In: products, Out: elems},
		{Anchor: anchor.Attend, In: products | op.Bool, Out: elems},
	}}
}
