package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// lossSpellings are losses and optimisers, made of element-wise operators and reductions.
func lossSpellings() []op.Source {
	training := func(name string, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Domain: "ai.onnx.preview.training", Op: name, Since: []int{1}, Import: f}
	}
	return []op.Source{
		{Op: "NegativeLogLikelihoodLoss", Since: []int{12, 13, 22}, Import: importNLL},
		{Op: "SoftmaxCrossEntropyLoss", Since: []int{12, 13}, Import: importCrossEntropy},
		{Op: "Hardmax", Since: []int{1, 11, 13}, Import: importHardmax},
		training("Adagrad", importAdagrad), training("Adam", importAdam), training("Momentum", importMomentum),
	}
}

// importNLL: scores [n, c, ...], labels [n, ...], weights of the classes [c].
func importNLL(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 3); err != nil {
		return nil, err
	}
	y, err := likelihood(c, c.In(0))
	return []*ir.Value{y}, err
}

// importCrossEntropy is that of the logarithm of softmax, which is result 1.
func importCrossEntropy(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 3); err != nil {
		return nil, err
	}
	if c.Rank(0) < 2 {
		return nil, fmt.Errorf("scores of shape %v", c.Shape(0))
	}
	log := c.CallWith("log_softmax", named("axis", 1), c.In(0))
	y, err := likelihood(c, log)
	return []*ir.Value{y, log}, err
}

// likelihood is -x[n, label, ...] * weight[label], or its mean by weights or sum; labels of ignore_index weigh nothing.
func likelihood(c *op.Import, x *ir.Value) (*ir.Value, error) {
	b, labels := c.Build, b64(c.Build, c.In(1))
	if b.Err() != nil {
		return nil, b.Err()
	}
	s := x.Type.Shape
	if len(s) < 2 || labels.Rank() != len(s)-1 {
		return nil, fmt.Errorf("scores of shape %v, labels of shape %v", s, labels.Type.Shape)
	}
	at := labels
	var ignored, weight *ir.Value
	if a, ok := c.Model.Attr("ignore_index"); ok {
		ignored = b.Call("equal", labels, number64(b, dim.Const(a.I)))
		at = b.Call("where", ignored, number64(b, dim.Expr{}), labels)
		weight = b.Cast(b.Call("not", ignored), x.Type.Elem)
	}
	if c.Has(2) {
		weight = b.CallWith("gather", named("axis", 0), c.In(2), at)
		if ignored != nil {
			weight = b.Call("where", ignored, b.Like(c.In(2), 0), weight)
		}
	}
	column := append([]dim.Expr{s[0], dim.Const(1)}, s[2:]...)
	y := b.CallWith("gather_elements", named("axis", 1), x, b.Reshape(at, column))
	y = b.Call("neg", b.Reshape(y, append([]dim.Expr{s[0]}, s[2:]...)))
	if weight != nil {
		y = b.Call("mul", y, weight)
	}
	if ignored != nil { // scores there may be infinite
		y = b.Call("where", ignored, b.Like(x, 0), y)
	}
	all := func(kind string, v *ir.Value) *ir.Value {
		axes := make([]int, len(s)-1)
		for i := range axes {
			axes[i] = i
		}
		return b.Reshape(b.Reduce(kind, v, axes...), nil)
	}
	switch r := modelStr(c, "reduction", "mean"); {
	case r == "none":
		return y, b.Err()
	case r == "sum":
		return all("sum", y), b.Err()
	case r != "mean":
		return nil, fmt.Errorf("reduction: %q is not known", r)
	case weight == nil:
		return all("mean", y), b.Err()
	}
	return b.Call("div", all("sum", y), all("sum", weight)), b.Err()
}

func b64(b *op.Build, x *ir.Value) *ir.Value { return b.Cast(x, dtype.I64) }

// importHardmax is 1 at the first largest element along an axis, else 0. Before version 13 all axes from axis on are one.
func importHardmax(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	x, def := c.In(0), int64(-1)
	if c.Version < 13 {
		def = 1
	}
	axis := int(modelInt(c, "axis", def))
	if axis < 0 {
		axis += x.Rank()
	}
	if axis < 0 || axis >= x.Rank() {
		return nil, fmt.Errorf("axis %d of shape %v", axis, x.Type.Shape)
	}
	shape := x.Type.Shape
	if c.Version < 13 {
		x = c.Reshape(x, []dim.Expr{dim.Product(shape[:axis]), dim.Product(shape[axis:])})
		axis = 1
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	top := c.CallWith("argmax", named("axis", axis, "keepdims", true), x)
	y := c.Call("equal", count(c.Build, x.Type.Shape[axis], x.Rank()-axis), top)
	return []*ir.Value{c.Reshape(c.Cast(y, x.Type.Elem), shape)}, c.Err()
}

// update applies f to each tensor that an optimiser trains: operands rate, step, then the lists of all tensors, of all gradients, and of
// each state; results the lists of tensors and of states.
func update(c *op.Import, states int, f func(rate, step, x, g *ir.Value, s []*ir.Value) []*ir.Value) ([]*ir.Value, error) {
	n := (c.NumIn() - 2) / (2 + states)
	if c.NumIn() < 2 || n*(2+states)+2 != c.NumIn() || n == 0 {
		return nil, fmt.Errorf("%d operands", c.NumIn())
	}
	if err := tensors(c, c.NumIn(), c.NumIn()); err != nil {
		return nil, err
	}
	out := make([]*ir.Value, n*(1+states))
	for i := range n {
		x := c.In(2 + i)
		var s []*ir.Value
		for k := range states {
			s = append(s, c.In(2+(2+k)*n+i))
		}
		for k, v := range f(c.Cast(c.In(0), x.Type.Elem), c.Cast(c.In(1), x.Type.Elem), x, c.In(2+n+i), s) {
			out[k*n+i] = v
		}
		if c.Err() != nil {
			return nil, c.Err()
		}
	}
	return out, nil
}

// scaled is k*x.
func scaled(c *op.Import, k float64, x *ir.Value) *ir.Value {
	if c.Err() != nil {
		return nil
	}
	return c.Call("mul", c.Like(x, k), x)
}

// regular is g + norm_coefficient*x.
func regular(c *op.Import, x, g *ir.Value) *ir.Value {
	if k := number(c, "norm_coefficient", 0); k != 0 {
		return c.Call("add", scaled(c, k, x), g)
	}
	return g
}

// importAdagrad is Duchi, Hazan and Singer (2011).
func importAdagrad(c *op.Import) ([]*ir.Value, error) {
	return update(c, 1, func(rate, step, x, g *ir.Value, s []*ir.Value) []*ir.Value {
		rate = c.Call("div", rate, c.Call("add", c.Like(x, 1), scaled(c, number(c, "decay_factor", 0), step)))
		g = regular(c, x, g)
		h := c.Call("add", s[0], c.Call("mul", g, g))
		root := c.Call("add", c.Call("sqrt", h), c.Like(x, number(c, "epsilon", 0)))
		return []*ir.Value{c.Call("sub", x, c.Call("div", c.Call("mul", rate, g), root)), h}
	})
}

// importAdam is Kingma and Ba (2015); the rate is corrected from step 1 on.
func importAdam(c *op.Import) ([]*ir.Value, error) {
	alpha, beta := number(c, "alpha", 0.9), number(c, "beta", 0.999)
	return update(c, 2, func(rate, step, x, g *ir.Value, s []*ir.Value) []*ir.Value {
		one := c.Like(x, 1)
		g = regular(c, x, g)
		v := c.Call("add", scaled(c, alpha, s[0]), scaled(c, 1-alpha, g))
		h := c.Call("add", scaled(c, beta, s[1]), scaled(c, 1-beta, c.Call("mul", g, g)))
		root := c.Call("add", c.Call("sqrt", h), c.Like(x, number(c, "epsilon", 0)))
		power := func(k float64) *ir.Value { return c.Call("sub", one, c.Call("pow", c.Like(x, k), step)) }
		fixed := c.Call("div", c.Call("mul", rate, c.Call("sqrt", power(beta))), power(alpha))
		rate = c.Call("where", c.Call("greater", step, c.Like(x, 0)), fixed, rate)
		y := c.Call("sub", x, c.Call("mul", rate, c.Call("div", v, root)))
		if k := number(c, "norm_coefficient_post", 0); k != 0 {
			y = scaled(c, 1-k, y)
		}
		return []*ir.Value{y, v, h}
	})
}

// importMomentum is Polyak's method, or Nesterov's.
func importMomentum(c *op.Import) ([]*ir.Value, error) {
	alpha := number(c, "alpha", 0)
	return update(c, 1, func(rate, step, x, g *ir.Value, s []*ir.Value) []*ir.Value {
		g = regular(c, x, g)
		beta := c.Call("where", c.Call("greater", step, c.Like(x, 0)), c.Like(x, number(c, "beta", 0)), c.Like(x, 1))
		v := c.Call("add", scaled(c, alpha, s[0]), c.Call("mul", beta, g))
		by := v
		if modelStr(c, "mode", "standard") == "nesterov" {
			by = c.Call("add", g, scaled(c, alpha, v))
		}
		return []*ir.Value{c.Call("sub", x, c.Call("mul", rate, by)), v}
	})
}
