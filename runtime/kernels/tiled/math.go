package tiled

import (
	"math"

	"github.com/llmc-go/llmc/ir/tile"
)

// floatFunc is the function of an element-wise opcode in double precision: rounded to float32 its error is that of the rounding.
func floatFunc(op tile.Op) func(float64) float64 {
	switch op {
	case tile.Exp:
		return math.Exp
	case tile.Log:
		return math.Log
	case tile.Sin:
		return math.Sin
	case tile.Cos:
		return math.Cos
	case tile.Tan:
		return math.Tan
	case tile.Asin:
		return math.Asin
	case tile.Acos:
		return math.Acos
	case tile.Atan:
		return math.Atan
	case tile.Sinh:
		return math.Sinh
	case tile.Cosh:
		return math.Cosh
	case tile.Tanh:
		return math.Tanh
	case tile.Asinh:
		return math.Asinh
	case tile.Acosh:
		return math.Acosh
	case tile.Atanh:
		return math.Atanh
	case tile.Erf:
		return math.Erf
	case tile.Sigmoid:
		return sigmoid
	case tile.Softplus:
		return softplus
	case tile.Gelu:
		return func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) }
	case tile.GeluTanh:
		// (1 + tanh u)/2 is sigmoid(2u), without the cancellation.
		return func(x float64) float64 {
			return x * sigmoid(2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))
		}
	case tile.Silu:
		return func(x float64) float64 { return x * sigmoid(x) }
	case tile.Floor:
		return math.Floor
	case tile.Ceil:
		return math.Ceil
	case tile.RoundEven:
		return math.RoundToEven
	}
	return func(x float64) float64 { // sign
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1 + exp(x)) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
