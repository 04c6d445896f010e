// Package ml holds the functions of classical machine learning: the operators of domain ai.onnx.ml that are no
// arithmetic on tensors.
package ml

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Transforms lists what may happen to scores at last.
var Transforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func probit(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// transform changes the scores of one row.
func transform(s []float64, how string) {
	switch how {
	case "LOGISTIC":
		for i, x := range s {
			s[i] = logistic(x)
		}
	case "PROBIT":
		for i, x := range s {
			s[i] = probit(x)
		}
	case "SOFTMAX", "SOFTMAX_ZERO":
		top, sum := math.Inf(-1), 0.0
		for _, x := range s {
			top = math.Max(top, x)
		}
		for i, x := range s {
			if how == "SOFTMAX_ZERO" && math.Abs(x) <= 1e-7 { // a score of zero stays near it
				s[i] = x * math.Exp(-top)
				continue
			}
			s[i] = math.Exp(x - top)
			sum += s[i]
		}
		if sum == 0 {
			return
		}
		for i := range s {
			s[i] /= sum
		}
	}
}

// Transform applies attribute how, one of Transforms, to every row of a matrix.
var Transform = host.Fn{Name: "score_transform", Run: func(c *host.Call) error {
	x, rows, n, err := matrix(c)
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	read, write, row := host.Reader(x), host.Writer(y), make([]float64, n)
	for r := range rows {
		for i := range row {
			row[i] = read(r*n + i)
		}
		transform(row, c.Attrs.Str("how", "NONE"))
		for i, v := range row {
			write(r*n+i, v)
		}
	}
	return nil
}}

// Second says how one score becomes those of two classes.
type Second uint8

// The ways: no second score; the score is the probability of the second class; it is its log odds, or signed distance.
const (
	OneScore Second = iota
	Complement
	Opposite
)

// finish applies a transform to the scores of a row, of which there may be one for two classes.
func finish(s []float64, how string, second Second) []float64 {
	switch {
	case len(s) != 1 || second == OneScore:
		transform(s, how)
		return s
	case how == "PROBIT":
		return []float64{1 - probit(s[0]), probit(s[0])}
	case how == "LOGISTIC":
		return []float64{logistic(-s[0]), logistic(s[0])}
	case second == Complement:
		return []float64{1 - s[0], s[0]}
	}
	return []float64{-s[0], s[0]}
}

// largest is the first position of the largest score.
func largest(s []float64) int {
	best := 0
	for i, x := range s {
		if x > s[best] {
			best = i
		}
	}
	return best
}

// matrix is operand 0 as rows of features; one list is one row.
func matrix(c *host.Call) (x *tensor.Tensor, rows, features int, err error) {
	x = c.Val(0).Tensor
	switch {
	case x == nil:
		return nil, 0, 0, fmt.Errorf("want numbers, got %v", c.Val(0))
	case len(x.Shape) == 1:
		return x, 1, x.Shape[0], nil
	case len(x.Shape) == 2:
		return x, x.Shape[0], x.Shape[1], nil
	}
	return nil, 0, 0, fmt.Errorf("shape %v, want [N, F]", x.Shape)
}
