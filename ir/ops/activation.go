package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
)

// activationSpellings are element-wise operators that importers spell out; fuse makes one group of each.
func activationSpellings() []op.Source {
	return []op.Source{
		{Op: "Elu", Since: []int{1, 6, 22}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // x where x > 0, else alpha*(e^x - 1)
			return choose(c, x, x, c.Call("mul", c.Like(x, number(c, "alpha", 1)), expm1(c, x)))
		})},
		{Op: "Selu", Since: []int{1, 6, 22}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // gamma * elu(x)
			alpha, gamma := 1.67326319217681884765625, 1.05070102214813232421875
			if c.Version < 6 {
				alpha, gamma = 1.6732, 1.0507
			}
			alpha, gamma = number(c, "alpha", alpha), number(c, "gamma", gamma)
			return choose(c, x, c.Call("mul", c.Like(x, gamma), x), c.Call("mul", c.Like(x, gamma*alpha), expm1(c, x)))
		})},
		{Op: "Celu", Since: []int{12, 28}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // max(0, x) + min(0, alpha*(e^(x/alpha) - 1))
			alpha := c.Like(x, number(c, "alpha", 1))
			low := c.Call("mul", alpha, expm1(c, c.Call("div", x, alpha)))
			return c.Call("add", c.Call("max", c.Like(x, 0), x), c.Call("min", c.Like(x, 0), low))
		})},
		{Op: "ThresholdedRelu", Since: []int{10, 22}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // x where x > alpha, else 0
			return c.Call("where", c.Call("greater", x, c.Like(x, number(c, "alpha", 1))), x, c.Like(x, 0))
		})},
		{Op: "HardSwish", Since: []int{14, 22}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // x * max(0, min(1, x/6 + 1/2))
			return c.Call("mul", x, c.CallWith("hard_sigmoid", named("alpha", 1.0/6, "beta", 0.5), x))
		})},
		{Op: "Mish", Since: []int{18, 22}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // x * tanh(softplus(x))
			return c.Call("mul", x, c.Call("tanh", c.Call("softplus", x)))
		})},
		{Op: "Swish", Since: []int{24}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { return swish(c, x, number(c, "alpha", 1)) })},
		{Op: "SwiGLU", Since: []int{28}, Import: importSwiGLU},
		{Op: "Softsign", Since: []int{1, 22}, Import: one(func(c *op.Import, x *ir.Value) *ir.Value { // x / (1 + |x|)
			return c.Call("div", x, c.Call("add", c.Like(x, 1), c.Call("abs", x)))
		})},
		{Op: "Shrink", Since: []int{9}, Import: one(shrink)},
		{Op: "PRelu", Since: []int{1, 6, 7, 9, 16}, Import: importPRelu},
		{Op: "BitShift", Since: []int{11, 28}, Import: importBitShift},
		{Op: "Max", Since: []int{1, 6, 8, 12, 13}, Import: chain("max")},
		{Op: "Min", Since: []int{1, 6, 8, 12, 13}, Import: chain("min")},
		{Op: "Sum", Since: []int{1, 6, 8, 13}, Import: chain("add")},
		{Op: "Mean", Since: []int{1, 6, 8, 13}, Import: importMean},
	}
}

// one wraps an importer of one operand and one result.
func one(f func(c *op.Import, x *ir.Value) *ir.Value) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if c.NumIn() != 1 || !c.Has(0) || c.In(0).Type.Kind != ir.Tensor {
			return nil, fmt.Errorf("want 1 tensor as operand, got %d", c.NumIn())
		}
		if t := c.In(0).Type.Elem; !t.IsFloat() && !t.IsInt() {
			return nil, fmt.Errorf("element type %v is not accepted", t)
		}
		y := f(c, c.In(0))
		return []*ir.Value{y}, c.Err()
	}
}

// number reads a float attribute.
func number(c *op.Import, name string, def float64) float64 {
	if a, ok := c.Model.Attr(name); ok && a.Kind == attr.Float {
		return a.F
	}
	return def
}

func choose(c *op.Import, x, pos, neg *ir.Value) *ir.Value {
	if c.Err() != nil {
		return nil
	}
	return c.Call("where", c.Call("greater", x, c.Like(x, 0)), pos, neg)
}

// expm1 is e^x - 1.
func expm1(c *op.Import, x *ir.Value) *ir.Value {
	if c.Err() != nil {
		return nil
	}
	return c.Call("sub", c.Call("exp", x), c.Like(x, 1))
}

// swish is x * sigmoid(alpha*x).
func swish(c *op.Import, x *ir.Value, alpha float64) *ir.Value {
	if alpha == 1 {
		return c.Call("silu", x)
	}
	return c.Call("mul", x, c.Call("sigmoid", c.Call("mul", c.Like(x, alpha), x)))
}

// importSwiGLU is swish(a) * b (Shazeer, 2020).
func importSwiGLU(c *op.Import) ([]*ir.Value, error) {
	if c.NumIn() != 2 || !c.Has(0) || !c.Has(1) {
		return nil, fmt.Errorf("want 2 operands, got %d", c.NumIn())
	}
	y := c.Call("mul", swish(c, c.In(0), number(c, "alpha", 1)), c.In(1))
	return []*ir.Value{y}, c.Err()
}

// shrink moves x towards zero by bias where |x| > lambd; what is nearer becomes 0.
func shrink(c *op.Import, x *ir.Value) *ir.Value {
	bias, lambd := number(c, "bias", 0), number(c, "lambd", 0.5)
	if x.Type.Elem.IsInt() {
		lambd = math.Floor(lambd) // the same comparison among integers
	}
	high := c.Call("greater", x, c.Like(x, lambd))
	near := c.Call("where", high, c.Call("sub", x, c.Like(x, bias)), c.Like(x, 0))
	if x.Type.Elem.IsUnsigned() {
		return near
	}
	return c.Call("where", c.Call("less", x, c.Like(x, -lambd)), c.Call("add", x, c.Like(x, bias)), near)
}

// importPRelu is x where x >= 0, else slope*x. Before version 7 a slope of rank 1 belongs to axis 1.
func importPRelu(c *op.Import) ([]*ir.Value, error) {
	if c.NumIn() != 2 || !c.Has(0) || !c.Has(1) {
		return nil, fmt.Errorf("want 2 operands, got %d", c.NumIn())
	}
	x, slope := c.In(0), c.In(1)
	if c.Version < 7 && slope.Rank() == 1 && x.Rank() > 1 {
		shape := []dim.Expr{slope.Type.Shape[0]}
		for i := 2; i < x.Rank(); i++ {
			shape = append(shape, dim.Const(1))
		}
		slope = c.Reshape(slope, shape)
	}
	y := c.Call("where", c.Call("less", x, c.Like(x, 0)), c.Call("mul", slope, x), x)
	return []*ir.Value{y}, c.Err()
}

func importBitShift(c *op.Import) ([]*ir.Value, error) {
	a, _ := c.Model.Attr("direction")
	name, ok := map[string]string{"LEFT": "shl", "RIGHT": "shr"}[a.S]
	if !ok {
		return nil, fmt.Errorf("attribute direction: want LEFT or RIGHT, got %q", a.S)
	}
	if c.NumIn() != 2 || !c.Has(0) || !c.Has(1) {
		return nil, fmt.Errorf("want 2 operands, got %d", c.NumIn())
	}
	return []*ir.Value{c.Call(name, c.In(0), c.In(1))}, c.Err()
}

// chain applies an operator of two operands along a list.
func chain(name string) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		y, err := fold(c, name)
		return []*ir.Value{y}, err
	}
}

func fold(c *op.Import, name string) (*ir.Value, error) {
	if c.NumIn() == 0 {
		return nil, fmt.Errorf("want at least 1 operand")
	}
	y := c.In(0)
	for i := 0; i < c.NumIn(); i++ {
		if !c.Has(i) {
			return nil, fmt.Errorf("operand %d is missing", i)
		}
		if i > 0 {
			y = c.Call(name, y, c.In(i))
		}
	}
	return y, c.Err()
}

func importMean(c *op.Import) ([]*ir.Value, error) {
	y, err := fold(c, "add")
	if err != nil || c.NumIn() == 1 {
		return []*ir.Value{y}, err
	}
	if y.Type.Elem == dtype.Invalid {
		return nil, fmt.Errorf("want tensors")
	}
	return []*ir.Value{c.Call("div", y, c.Like(y, float64(c.NumIn())))}, c.Err()
}
