package irtest

import (
	"fmt"
	"math/rand"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// GraphOptions configures Graph.
type GraphOptions struct {
	Nodes    int                  // roughly how many nodes are made; 0 is 20
	Elem     dtype.Type           // of all activations; Invalid is f32
	Has      func(op string) bool // which operators the table has; nil is all
	Constant bool                 // no symbolic extents
	Outputs  int                  // how many unused values become results, the last first; 0 is 1 to 3
}

// Graph makes a random module of one function: element-wise operators, matrix products with constants, reductions,
// transposes, reshapes and concatenations over one or two inputs with a symbolic batch. Each node is given a
// location. The same random numbers give the same module.
func Graph(r *rand.Rand, sem ir.Semantics, opts GraphOptions) (*ir.Module, error) {
	if opts.Nodes == 0 {
		opts.Nodes = 20
	}
	if opts.Elem == dtype.Invalid {
		opts.Elem = dtype.F32
	}
	m := ir.NewModule("random")
	batch := dim.Const(3)
	if !opts.Constant {
		m.Dims.Declare("B", dim.Info{Lo: 1, Hi: 64})
		batch = dim.Sym("B")
	}
	f := m.NewFunc("main")
	g := &grower{r: r, opts: opts, batch: batch, b: ir.NewBuilder(m, f, f.Body, sem)}
	for i := 0; i <= r.Intn(2); i++ {
		shape := []dim.Expr{batch}
		for k := 0; k <= r.Intn(3); k++ {
			shape = append(shape, dim.Const(int64(1+r.Intn(6))))
		}
		name := fmt.Sprintf("x%d", i)
		g.vals = append(g.vals, f.AddParam(f.Body, name, ir.TensorType(opts.Elem, shape...)))
		f.Inputs = append(f.Inputs, name)
	}
	for i := 0; i < opts.Nodes; i++ {
		g.b.Locs = []ir.Loc{{File: "random", Index: i, Name: fmt.Sprintf("n%d", i), Op: "random"}}
		v, err := g.grow()
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		if v == nil {
			continue
		}
		v.Is = append(v.Is, fmt.Sprintf("v%d", i))
		g.vals = append(g.vals, v)
	}
	g.results(f)
	f.RemoveDead()
	return m, nil
}

// Inputs draws the inputs of a function, all of constant or symbolic shape, with symbols at the given values.
func Inputs(r *rand.Rand, f *ir.Func, syms map[string]int64, lo, hi float64) ([]*tensor.Tensor, error) {
	var l []*tensor.Tensor
	for i, p := range f.Body.Params {
		shape := make([]int, p.Rank())
		for k, e := range p.Type.Shape {
			v, err := e.Eval(func(s string) (int64, bool) { v, ok := syms[s]; return v, ok })
			if err != nil {
				return nil, fmt.Errorf("input %d: extent %v: %w", i, e, err)
			}
			if v < 0 || v > 1<<24 {
				return nil, fmt.Errorf("input %d: extent %v is %d", i, e, v)
			}
			shape[k] = int(v)
		}
		l = append(l, Random(r, p.Type.Elem, lo, hi, shape...))
	}
	return l, nil
}

type grower struct {
	r     *rand.Rand
	opts  GraphOptions
	batch dim.Expr
	b     *ir.Builder
	vals  []*ir.Value
}

func (g *grower) has(op string) bool { return g.opts.Has == nil || g.opts.Has(op) }

// pick chooses a value, a recent one half of the time, so that graphs grow deep.
func (g *grower) pick() *ir.Value {
	n := len(g.vals)
	if n > 4 && g.r.Intn(2) == 0 {
		return g.vals[n-1-g.r.Intn(4)]
	}
	return g.vals[g.r.Intn(n)]
}

func (g *grower) one(op string, attrs attr.List, in ...*ir.Value) (*ir.Value, error) {
	if !g.has(op) {
		return nil, nil
	}
	return g.b.One(op, in, attrs)
}

// grow appends one node; nil where the dice give one that does not fit.
func (g *grower) grow() (*ir.Value, error) {
	x := g.pick()
	switch g.r.Intn(8) {
	case 0, 1:
		names := []string{"tanh", "sigmoid", "neg", "abs", "relu", "erf"}
		return g.one(names[g.r.Intn(len(names))], nil, x)
	case 2:
		return g.binary(x)
	case 3:
		return g.matmul(x)
	case 4:
		return g.reduce(x)
	case 5:
		return g.transpose(x)
	case 6:
		return g.reshape(x)
	}
	return g.concat(x)
}

func (g *grower) constant(lo, hi float64, shape ...int) *ir.Value {
	return g.b.Const("", Random(g.r, g.opts.Elem, lo, hi, shape...))
}

// binary combines x with another value that broadcasts, or with a constant along the last axis.
func (g *grower) binary(x *ir.Value) (*ir.Value, error) {
	names := []string{"add", "sub", "mul", "min", "max"}
	y := g.pick()
	if !broadcasts(x, y) {
		last := 1
		if n := x.Rank(); n > 0 {
			if c, ok := x.Type.Shape[n-1].Int(); ok {
				last = int(c)
			}
		}
		y = g.constant(-1, 1, last)
	}
	return g.one(names[g.r.Intn(len(names))], nil, x, y)
}

// broadcasts tells whether the axes of two values are equal or 1, aligned at the last.
func broadcasts(x, y *ir.Value) bool {
	a, b := x.Type.Shape, y.Type.Shape
	for i := 1; i <= min(len(a), len(b)); i++ {
		p, q := a[len(a)-i], b[len(b)-i]
		if !dim.Equal(p, q) && !p.IsConst(1) && !q.IsConst(1) {
			return false
		}
	}
	return true
}

func (g *grower) matmul(x *ir.Value) (*ir.Value, error) {
	n := x.Rank()
	if n < 2 {
		return nil, nil
	}
	k, ok := x.Type.Shape[n-1].Int()
	if !ok {
		return nil, nil
	}
	return g.one("matmul", nil, x, g.constant(-0.5, 0.5, int(k), 1+g.r.Intn(8)))
}

func (g *grower) reduce(x *ir.Value) (*ir.Value, error) {
	if x.Rank() < 2 {
		return nil, nil
	}
	names := []string{"reduce_sum", "reduce_max", "reduce_mean"}
	axis := 1 + g.r.Intn(x.Rank()-1)
	return g.one(names[g.r.Intn(len(names))], attr.List{{Name: "axes", Value: attr.OfInts([]int64{int64(axis)})},
		{Name: "keepdims", Value: attr.OfBool(g.r.Intn(2) == 0)}}, x)
}

func (g *grower) transpose(x *ir.Value) (*ir.Value, error) {
	perm := make([]int64, x.Rank())
	for i, p := range g.r.Perm(x.Rank()) {
		perm[i] = int64(p)
	}
	return g.one("transpose", attr.List{{Name: "perm", Value: attr.OfInts(perm)}}, x)
}

// reshape joins two neighbouring axes, or cuts an even one in half.
func (g *grower) reshape(x *ir.Value) (*ir.Value, error) {
	n := x.Rank()
	if n == 0 {
		return nil, nil
	}
	var shape []dim.Expr
	at := g.r.Intn(n)
	if c, ok := x.Type.Shape[at].Int(); ok && c > 0 && c%2 == 0 {
		shape = append(append(append(shape, x.Type.Shape[:at]...), dim.Const(2), dim.Const(c/2)), x.Type.Shape[at+1:]...)
	} else if at > 0 {
		shape = append(append(append(shape, x.Type.Shape[:at-1]...), dim.Mul(x.Type.Shape[at-1], x.Type.Shape[at])), x.Type.Shape[at+1:]...)
	} else {
		shape = append(append(shape, dim.Const(1)), x.Type.Shape...)
	}
	return g.one("reshape", attr.List{{Name: "shape", Value: attr.OfDims(shape)}}, x)
}

// concat joins x with a value of the same shape, itself if need be.
func (g *grower) concat(x *ir.Value) (*ir.Value, error) {
	if x.Rank() == 0 {
		return nil, nil
	}
	y := x
	for _, v := range g.vals {
		if dim.EqualAll(v.Type.Shape, x.Type.Shape) && g.r.Intn(2) == 0 {
			y = v
		}
	}
	return g.one("concat", attr.List{{Name: "axis", Value: attr.OfInt(int64(g.r.Intn(x.Rank())))}}, x, y)
}

// results makes values that nothing uses the results, the last ones first.
func (g *grower) results(f *ir.Func) {
	count := g.opts.Outputs
	if count == 0 {
		count = 1 + g.r.Intn(3)
	}
	uses := f.Uses()
	seen := map[*ir.Value]bool{}
	for i := len(g.vals) - 1; i >= 0 && len(f.Outputs) < count; i-- {
		v := g.vals[i]
		if seen[v] || uses[v.ID] > 0 && i < len(g.vals)-1 {
			continue
		}
		seen[v] = true
		f.Outputs = append(f.Outputs, fmt.Sprintf("y%d", len(f.Outputs)))
		f.Body.Results = append(f.Body.Results, v)
	}
}
