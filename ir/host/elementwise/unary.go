// Package elementwise holds the functions that map elements to elements, with broadcasting: arithmetic,
// comparisons, logic, selection and conversion.
package elementwise

import (
	"math"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// unary makes a function of one operand: f for real types, g for integers and bool, either may be nil.
func unary(name string, f func(x float64) float64, g func(t dtype.Type, x int64) int64) host.Fn {
	return host.Fn{Name: name, Run: func(c *host.Call) error {
		return apply(c, f, g)
	}}
}

// param makes a function of one operand that depends on attributes.
func param(name string, f func(a attr.List) func(x float64) float64) host.Fn {
	return host.Fn{Name: name, Run: func(c *host.Call) error {
		return apply(c, f(c.Attrs), nil)
	}}
}

func apply(c *host.Call, f func(float64) float64, g func(dtype.Type, int64) int64) error {
	x := c.In[0]
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	n := x.Len()
	if g != nil && !x.Elem.IsFloat() {
		for i := 0; i < n; i++ {
			y.SetInt(i, g(x.Elem, x.Int(i)))
		}
		return nil
	}
	read, write := host.Reader(x), host.Writer(y)
	for i := 0; i < n; i++ {
		write(i, f(read(i)))
	}
	return nil
}

// predicate makes a function from real numbers to bool.
func predicate(name string, f func(a attr.List) func(x float64) bool) host.Fn {
	return host.Fn{Name: name, Run: func(c *host.Call) error {
		x := c.In[0]
		y, err := c.Out(0, x.Shape...)
		if err != nil {
			return err
		}
		test, out := f(c.Attrs), tensor.View[bool](y)
		for i := range out {
			out[i] = test(x.Float(i))
		}
		return nil
	}}
}

// The functions of one operand.
var (
	Neg   = unary("neg", func(x float64) float64 { return -x }, func(_ dtype.Type, x int64) int64 { return -x })
	Abs   = unary("abs", math.Abs, absInt)
	Sign  = unary("sign", signFloat, signInt)
	Relu  = unary("relu", func(x float64) float64 { return max(x, 0) }, func(_ dtype.Type, x int64) int64 { return max(x, 0) })
	Not   = unary("not", nil, notInt)
	Sqrt  = unary("sqrt", math.Sqrt, nil)
	Recip = unary("recip", func(x float64) float64 { return 1 / x }, nil)
	Exp   = unary("exp", math.Exp, nil)
	Log   = unary("log", math.Log, nil)
	Sin   = unary("sin", math.Sin, nil)
	Cos   = unary("cos", math.Cos, nil)
	Tan   = unary("tan", math.Tan, nil)
	Asin  = unary("asin", math.Asin, nil)
	Acos  = unary("acos", math.Acos, nil)
	Atan  = unary("atan", math.Atan, nil)
	Sinh  = unary("sinh", math.Sinh, nil)
	Cosh  = unary("cosh", math.Cosh, nil)
	Tanh  = unary("tanh", math.Tanh, nil)
	Asinh = unary("asinh", math.Asinh, nil)
	Acosh = unary("acosh", math.Acosh, nil)
	Atanh = unary("atanh", math.Atanh, nil)
	Erf   = unary("erf", math.Erf, nil)
	Floor = unary("floor", math.Floor, nil)
	Ceil  = unary("ceil", math.Ceil, nil)
	Round = unary("round", math.RoundToEven, nil)

	Sigmoid  = unary("sigmoid", sigmoid, nil)
	Softplus = unary("softplus", softplus, nil)
	Silu     = unary("silu", func(x float64) float64 { return x * sigmoid(x) }, nil)

	LeakyRelu   = param("leaky_relu", leakyRelu)
	HardSigmoid = param("hard_sigmoid", hardSigmoid)
	Gelu        = param("gelu", gelu)

	IsNaN = predicate("isnan", func(attr.List) func(float64) bool { return math.IsNaN })
	IsInf = predicate("isinf", isInf)
)

func absInt(t dtype.Type, x int64) int64 {
	if x < 0 && t.IsSigned() {
		return -x
	}
	return x
}

func signFloat(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zero, NaN
}

func signInt(t dtype.Type, x int64) int64 {
	switch {
	case x == 0:
		return 0
	case x < 0 && t.IsSigned():
		return -1
	}
	return 1
}

func notInt(t dtype.Type, x int64) int64 {
	if t == dtype.Bool {
		return x ^ 1
	}
	return ^x
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1 + exp(x)) without overflow.
func softplus(x float64) float64 {
	if math.IsNaN(x) {
		return x
	}
	return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
}

func leakyRelu(a attr.List) func(float64) float64 {
	alpha := a.Float("alpha", 0.01)
	return func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}
}

func hardSigmoid(a attr.List) func(float64) float64 {
	alpha, beta := a.Float("alpha", 0.2), a.Float("beta", 0.5)
	return func(x float64) float64 { return max(0, min(1, alpha*x+beta)) }
}

// gelu is x*Phi(x) (Hendrycks and Gimpel, 2016), exactly or by the paper's approximation with tanh.
func gelu(a attr.List) func(float64) float64 {
	if a.Str("approximate", "none") == "tanh" {
		k := math.Sqrt(2 / math.Pi)
		return func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(k*(x+0.044715*x*x*x))) }
	}
	return func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }
}

func isInf(a attr.List) func(float64) bool {
	neg, pos := a.Int("detect_negative", 1) != 0, a.Int("detect_positive", 1) != 0
	return func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) }
}
