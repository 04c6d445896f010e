package simplify

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/passes/pass"
)

// sinks moves reshapes behind element-wise operators. Exporters flatten the operands of a product to rank 2 and
// restore the rank after; with the reshape out of the way activation and residual join the product's group.
//
//	%a = matmul(%x, %w) : f32[B*S, 8]                    %a = matmul(%x, %w) : f32[B*S, 8]
//	%r = reshape(%a, shape: ~[B, S, 8])            =>    %h = gelu(%a) : f32[B*S, 8]
//	%y = gelu(%r) : f32[B, S, 8]                         %y = reshape(%h, shape: ~[B, S, 8])
var sinks = []pass.Rule{
	{Op: pass.AnyOp, Name: "reshape-sink", Doc: "f(reshape(x)) => reshape(f(x)), f element-wise, x of a product that nothing else reads", Run: sinkReshape},
}

func sinkReshape(s *pass.Site) []*ir.Value {
	n := s.Old
	if len(n.Regions) > 0 || len(n.Out) != 1 {
		return nil
	}
	at := -1
	for i, v := range s.N.In {
		if r := pass.Is(v, "reshape"); r != nil && !(len(r.In) > 1 && r.In[1] != nil) && onlyReader(s, i) && product(s, r.In[0], 8) {
			at = i
			break
		}
	}
	if at < 0 {
		return nil
	}
	step, form, err := s.C.Classify(s.Build.Node.M, n)
	if err != nil || step != op.Kernel || form.Anchor != anchor.Map || positional(form.Prog) || !pass.IdentityOperand(form, at) {
		return nil
	}
	x := s.In(at).Def.In[0]
	in := make([]*ir.Value, len(s.N.In))
	for i, v := range s.N.In {
		switch {
		case v == nil:
		case i == at:
			in[i] = x
		default:
			if in[i] = follow(s, v, x, n.Out[0].Type.Shape); in[i] == nil {
				return nil
			}
		}
	}
	return one(s.Reshape(s.CallWith(n.Op, n.Attrs, in...), n.Out[0].Type.Shape))
}

// onlyReader reports whether operand i is a reshape that is read here alone, of a value read there alone.
func onlyReader(s *pass.Site, i int) bool {
	r := pass.Is(s.Old.In[i], "reshape")
	return r != nil && s.Uses(i) == 1 && s.UsesOf(r.In[0]) == 1
}

// product reports whether v is what a contraction gives, or is computed from it element by element.
func product(s *pass.Site, v *ir.Value, depth int) bool {
	if v == nil || v.Def == nil || depth == 0 {
		return false
	}
	step, form, err := s.C.Classify(s.Build.Node.M, v.Def)
	if err != nil || step != op.Kernel {
		return false
	}
	if form.Anchor != anchor.Map {
		return form.Anchor == anchor.Contract
	}
	for i, in := range v.Def.In {
		if in != nil && pass.IdentityOperand(form, i) && product(s, in, depth-1) {
			return true
		}
	}
	return false
}

// positional reports whether a program looks at where an element stands.
func positional(p *tile.Program) bool {
	for i := range p.Code {
		if p.Code[i].Op == tile.Index {
			return true
		}
	}
	return false
}

// follow gives another operand the shape that broadcasts to that of x; nil where a reshape alone cannot. out is the
// shape of the result before.
func follow(s *pass.Site, v, x *ir.Value, out []dim.Expr) *ir.Value {
	xs := x.Type.Shape
	single := true
	for _, e := range v.Type.Shape {
		single = single && e.IsConst(1)
	}
	switch {
	case single:
		return s.Reshape(v, nil)
	case dim.EqualAll(v.Type.Shape, out):
		if v.Def != nil && v.Def.Op != "reshape" {
			if d := s.C.Table.Def(v.Def.Op); d != nil && d.View {
				return nil // to reshape a strided view is to copy it
			}
		}
		return s.Reshape(v, xs)
	case v.Rank() == 1 && len(xs) > 0 && dim.Equal(xs[len(xs)-1], v.Type.Shape[0]):
		return v
	}
	return nil
}
