package recurrent

import (
	"math"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

func fill(v float64, shape ...int) *tensor.Tensor {
	t := tensor.New(dtype.F64, shape...)
	for i := range t.Len() {
		t.SetFloat(i, v)
	}
	return t
}

func apply(t *testing.T, fn host.Fn, results int, attrs attr.List, in ...*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	types := make([]dtype.Type, results)
	for i := range types {
		types[i] = dtype.F64
	}
	call := host.NewCall(in, attrs, make([]*tensor.Tensor, results), types, nil)
	if err := fn.Run(call); err != nil {
		t.Fatal(err)
	}
	out := make([]*tensor.Tensor, results)
	for i := range out {
		out[i] = call.Result(i)
	}
	return out
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// One unit, two steps, written out.
func TestLSTM(t *testing.T) {
	x := tensor.Of(dtype.F64, []float64{1, -2}, 2, 1, 1)
	w, r := tensor.Of(dtype.F64, []float64{.1, .2, .3, .4}, 1, 4, 1), tensor.Of(dtype.F64, []float64{.5, .6, .7, .8}, 1, 4, 1)
	p := tensor.Of(dtype.F64, []float64{.9, 1, 1.1}, 1, 3)
	out := apply(t, LSTM, 3, nil, x, w, r, nil, nil, nil, nil, p)
	i := sigmoid(.1)
	c := i * math.Tanh(.4)
	h := sigmoid(.2+c) * math.Tanh(c)
	near(t, "y[0]", out[0].Float(0), h)
	i2, f2 := sigmoid(-.2+.5*h+.9*c), sigmoid(-.6+.7*h+1.1*c)
	c2 := f2*c + i2*math.Tanh(-.8+.8*h)
	h2 := sigmoid(-.4+.6*h+c2) * math.Tanh(c2)
	near(t, "y[1]", out[0].Float(1), h2)
	near(t, "y_h", out[1].Float(0), h2)
	near(t, "y_c", out[2].Float(0), c2)
}

// The reset gate multiplies the state before, or after the recurrent product with its bias.
func TestGRU(t *testing.T) {
	x, h0 := fill(1, 1, 1, 1), fill(.5, 1, 1, 1)
	w, r, b := fill(.2, 1, 3, 1), fill(.3, 1, 3, 1), fill(.1, 1, 6)
	g := sigmoid(.2 + .3*.5 + .2)
	for flag, v := range []float64{.2 + .3*g*.5 + .2, .2 + .1 + g*(.3*.5+.1)} {
		out := apply(t, GRU, 2, attr.List{{Name: "linear_before_reset", Value: attr.OfInt(int64(flag))}}, x, w, r, b, nil, h0)
		near(t, "y", out[0].Float(0), (1-g)*math.Tanh(v)+g*.5)
	}
}

// A short sequence leaves zeros behind its end, and reversed begins at its end.
func TestSequenceLens(t *testing.T) {
	x := tensor.Of(dtype.F64, []float64{1, 2, 3}, 3, 1, 1)
	l := attr.List{{Name: "direction", Value: attr.OfStr("bidirectional")}, {Name: "activations", Value: attr.OfStrs([]string{"Affine", "Affine"})}}
	out := apply(t, RNN, 2, l, x, fill(1, 2, 1, 1), fill(10, 2, 1, 1), nil, tensor.Of(dtype.I32, []int32{2}, 1))
	for i, want := range []float64{1, 21, 12, 2, 0, 0} { // [step, direction]
		near(t, "y", out[0].Float(i), want)
	}
	near(t, "y_h forward", out[1].Float(0), 12)
	near(t, "y_h reverse", out[1].Float(1), 21)
}
