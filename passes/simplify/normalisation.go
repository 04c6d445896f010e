package simplify

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/passes/pass"
)

// normalisation lists how per-channel arithmetic on constants becomes part of weights. Batch norm is a product and
// a sum per channel first, so that one without a convolution before it still becomes two operators that fuse.
var normalisation = []pass.Rule{
	{Op: "batch_norm", Name: "batch-norm", Doc: "batch_norm(x, s, t, m, v) => x*s' + t' where s, t, m, v are constants", Run: batchNorm},
	{Op: "mul", Name: "conv-mul", Doc: "conv(x, w, b) * c => conv(x, w*c, b*c), c a constant per channel", Run: foldConv("mul")},
	{Op: "div", Name: "conv-div", Doc: "conv(x, w, b) / c => conv(x, w/c, b/c)", Run: foldConv("div")},
	{Op: "add", Name: "conv-add", Doc: "conv(x, w, b) + c => conv(x, w, b + c)", Run: foldConv("add")},
	{Op: "sub", Name: "conv-sub", Doc: "conv(x, w, b) - c => conv(x, w, b - c)", Run: foldConv("sub")},
	{Op: "mul", Name: "matmul-mul", Doc: "matmul(x, w) * c => matmul(x, w*c), c a constant per column", Run: foldMatMul},
}

func batchNorm(s *pass.Site) []*ir.Value {
	x := s.In(0)
	for i := 1; i < 5; i++ {
		if !s.Has(i) || !s.Constant(s.In(i)) || s.Elem(i) != x.Type.Elem {
			return nil
		}
	}
	if x.Rank() < 2 || len(s.Old.Out) > 1 {
		return nil
	}
	scale := s.Call("div", s.In(1), s.Call("sqrt", s.Call("add", s.In(4), s.Like(s.In(4), s.Float("epsilon")))))
	shift := s.Call("sub", s.In(2), s.Call("mul", s.In(3), scale))
	return one(s.Call("add", s.Call("mul", x, channels(s, scale, x.Rank())), channels(s, shift, x.Rank())))
}

// channels gives a vector [C] the shape [C, 1, ...] that broadcasts along axis 1.
func channels(s *pass.Site, v *ir.Value, rank int) *ir.Value {
	if s.Err() != nil {
		return nil
	}
	shape := []dim.Expr{v.Type.Shape[0]}
	for i := 2; i < rank; i++ {
		shape = append(shape, dim.Const(1))
	}
	return s.Reshape(v, shape)
}

// perChannel reports whether c has one value, or one for each of count positions along axis, counted among rank.
func perChannel(c *ir.Value, rank, axis int, count dim.Expr) (dim.Expr, bool) {
	n := dim.Const(1)
	if c.Rank() > rank {
		return n, false
	}
	for i, e := range c.Type.Shape {
		switch at := rank - c.Rank() + i; {
		case e.IsConst(1):
		case at == axis && dim.Equal(e, count):
			n = e
		default:
			return n, false
		}
	}
	return n, true
}

// operandOf finds the operand of the site that is the only use of an op, and the other operand, a constant.
func operandOf(s *pass.Site, op string, either bool) (*ir.Node, *ir.Value) {
	for i := 0; i < 2; i++ {
		n := pass.Is(s.In(i), op)
		if n == nil || pass.Is(s.Old.In[i], op) == nil || s.Uses(i) != 1 || i == 1 && !either {
			continue
		}
		if c := s.In(1 - i); s.Constant(c) {
			return n, c
		}
	}
	return nil, nil
}

func foldConv(op string) func(*pass.Site) []*ir.Value {
	return func(s *pass.Site) []*ir.Value {
		conv, c := operandOf(s, "conv", op == "mul" || op == "add")
		if conv == nil || !s.Constant(conv.In[1]) || !dim.EqualAll(conv.Out[0].Type.Shape, s.Old.Out[0].Type.Shape) {
			return nil
		}
		w := conv.In[1]
		count := w.Type.Shape[0]
		n, ok := perChannel(c, conv.Out[0].Rank(), 1, count)
		if !ok {
			return nil
		}
		var bias *ir.Value
		if len(conv.In) > 2 {
			bias = conv.In[2]
		}
		if bias != nil && !s.Constant(bias) {
			return nil
		}
		s.From(conv)
		vector := s.Reshape(c, []dim.Expr{n})
		if op == "mul" || op == "div" {
			w = s.Call(op, w, s.Reshape(c, firstAxis(n, w.Rank())))
			if bias != nil {
				bias = s.Call(op, bias, vector)
			}
		} else {
			if bias == nil {
				bias = s.Like(c, 0)
			}
			bias = s.ExpandTo(s.Call(op, bias, vector), []dim.Expr{count})
		}
		return one(s.CallWith("conv", conv.Attrs, conv.In[0], w, bias))
	}
}

func firstAxis(n dim.Expr, rank int) []dim.Expr {
	shape := make([]dim.Expr, rank)
	for i := range shape {
		shape[i] = dim.Const(1)
	}
	shape[0] = n
	return shape
}

// foldMatMul takes vectors only: a scalar costs nothing after the product, and would cost a copy of the weights.
func foldMatMul(s *pass.Site) []*ir.Value {
	mm, c := operandOf(s, "matmul", true)
	if mm == nil || !s.Constant(mm.In[1]) || mm.In[1].Rank() != 2 || !dim.EqualAll(mm.Out[0].Type.Shape, s.Old.Out[0].Type.Shape) {
		return nil
	}
	rank := mm.Out[0].Rank()
	n, ok := perChannel(c, rank, rank-1, mm.In[1].Type.Shape[1])
	if !ok || n.IsConst(1) {
		return nil
	}
	s.From(mm)
	return one(s.Call("matmul", mm.In[0], s.Call("mul", mm.In[1], s.Reshape(c, []dim.Expr{n}))))
}
