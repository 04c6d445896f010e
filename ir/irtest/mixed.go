package irtest

import (
	"fmt"
	"math/rand"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
)

// MixedOptions configures Mixed.
type MixedOptions struct {
	Nodes   int // how many nodes are tried; 0 is 16
	Symbols int // 0 to 2 symbolic extents, N and S
	Depth   int // how deep if and loop nest
	Trips   int // least number of iterations of a loop
}

// Mixed makes a random valid module of one function over many operators and element types: broadcasting, movement,
// reductions, norms, products, windows, look-ups, comparisons, and if and loop regions. What it makes is well
// conditioned, so that two right evaluations agree closely: magnitudes stay small, and an operator with jumps
// (comparison, rounding, ordering) reads only what both compute without rounding. The same random numbers give
// the same module. Constants of more elements than the text form shows are those that Weights makes.
func Mixed(r *rand.Rand, sem ir.Semantics, opts MixedOptions) (*ir.Module, error) {
	if opts.Nodes == 0 {
		opts.Nodes = 16
	}
	m := ir.NewModule("random")
	f := m.NewFunc("main")
	x := &mixer{r: r, f: f, b: ir.NewBuilder(m, f, f.Body, sem), depth: opts.Depth, trips: opts.Trips}
	ext := []dim.Expr{dim.Const(1), dim.Const(2), dim.Const(3), dim.Const(4), dim.Const(6), dim.Const(int64(5 + r.Intn(30)))}
	for i, name := range []string{"N", "S"}[:min(opts.Symbols, 2)] {
		m.Dims.Declare(name, dim.Info{Lo: int64(r.Intn(2)), Hi: 1 << 20})
		for k := 0; k < 3-i; k++ {
			ext = append(ext, dim.Sym(name))
		}
	}
	elems := []dtype.Type{dtype.F32, dtype.F32, dtype.F32, dtype.F32, dtype.F64, dtype.I64, dtype.I32, dtype.Bool}
	base := make([]dim.Expr, 4)
	for i := range base {
		base[i] = ext[r.Intn(len(ext))]
	}
	for i := 0; i < 2+r.Intn(3); i++ {
		e := elems[r.Intn(len(elems))]
		shape := append([]dim.Expr(nil), base[r.Intn(len(base)):]...)
		for k := range shape {
			if r.Intn(6) == 0 {
				shape[k] = dim.Const(1)
			}
		}
		name := fmt.Sprintf("x%d", i)
		v := f.AddParam(f.Body, name, ir.TensorType(e, shape...))
		f.Inputs = append(f.Inputs, name)
		x.add(v, fact{bound: InputBound, exact: true})
	}
	if err := x.grow(opts.Nodes); err != nil {
		return nil, err
	}
	x.results()
	f.RemoveDead()
	return m, nil
}

// InputBound is the largest magnitude that inputs of a Mixed module may have.
const InputBound = 3

// fact is what is known of a value: the largest magnitude, and that no rounding went into it.
type fact struct {
	bound float64
	exact bool
}

type held struct {
	*ir.Value
	fact
}

// mixer grows one region.
type mixer struct {
	r     *rand.Rand
	f     *ir.Func
	b     *ir.Builder
	vals  []held
	depth int
	trips int
	count int
}

func (x *mixer) add(v *ir.Value, f fact) held {
	h := held{v, f}
	x.vals = append(x.vals, h)
	return h
}

// recipe tries to make one node; nothing where the dice do not fit. An error of the builder says the same: the
// node was refused, and none was made.
type recipe struct {
	weight int
	make   func(x *mixer) error
}

func (x *mixer) grow(nodes int) error {
	total := 0
	for _, p := range recipes() {
		total += p.weight
	}
	for i := 0; i < nodes; i++ {
		x.b.Locs = []ir.Loc{{File: "random", Index: i, Name: fmt.Sprintf("n%d", i), Op: "random"}}
		at := x.r.Intn(total)
		for _, p := range recipes() {
			if at -= p.weight; at < 0 {
				_ = p.make(x)
				break
			}
		}
		if len(x.vals) > 400 {
			return fmt.Errorf("%d values of %d nodes", len(x.vals), nodes)
		}
	}
	return nil
}

// pick chooses a value that fits, a recent one half of the time, so that graphs grow deep.
func (x *mixer) pick(fits func(held) bool) (held, bool) {
	n := len(x.vals)
	for try := 0; try < 12; try++ {
		i := x.r.Intn(n)
		if n > 4 && x.r.Intn(2) == 0 {
			i = n - 1 - x.r.Intn(4)
		}
		if v := x.vals[i]; fits == nil || fits(v) {
			return v, true
		}
	}
	return held{}, false
}

func isFloat(v held) bool  { return v.Type.Elem.IsFloat() }
func isNumber(v held) bool { return v.Type.Elem != dtype.Bool }
func isExact(v held) bool  { return v.exact }
func isBool(v held) bool   { return v.Type.Elem == dtype.Bool }
func isInt(v held) bool    { return v.Type.Elem.IsInt() }

// one appends a node of one result, tamed where its magnitudes grow.
func (x *mixer) one(op string, attrs attr.List, f fact, in ...*ir.Value) (held, error) {
	v, err := x.b.One(op, in, attrs)
	if err != nil {
		return held{}, err
	}
	return x.keep(v, f)
}

// keep makes a result a value that later nodes may read, unless it has too many elements. Magnitudes that grew are cut.
func (x *mixer) keep(v *ir.Value, f fact) (held, error) {
	if v.Type.Kind != ir.Tensor || v.Rank() > 5 {
		return held{}, nil
	}
	size := 1.0
	for _, e := range v.Type.Shape {
		n, err := e.Eval(func(string) (int64, bool) { return 4, true })
		if err != nil || n > 4096 {
			return held{}, nil
		}
		size *= float64(max(n, 1))
	}
	if size > 1<<14 {
		return held{}, nil
	}
	if f.bound > 64 && v.Type.Elem != dtype.Bool {
		y, err := x.b.One("clip", []*ir.Value{v, x.b.Scalar(v.Type.Elem, -16), x.b.Scalar(v.Type.Elem, 16)}, nil)
		if err != nil {
			return held{}, err
		}
		v, f.bound = y, 16
	}
	x.count++
	v.Is = append(v.Is, fmt.Sprintf("v%d", x.count))
	return x.add(v, f), nil
}

// constant is a tensor with elements in [-1, 1], or 0, 1 and -1 as integers.
func (x *mixer) constant(e dtype.Type, shape ...int) *ir.Value {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n > ir.InlineLimit {
		t, _ := Weights(len(x.b.M.Consts), "", e, shape)
		return x.b.Const("", t)
	}
	return x.b.Const("", Random(x.r, e, -1, 1, shape...))
}

// partner finds or makes a value of x's element type that broadcasts with it.
func (x *mixer) partner(v held, fits func(held) bool) held {
	if w, ok := x.pick(func(w held) bool {
		return w.Type.Elem == v.Type.Elem && (fits == nil || fits(w)) && broadcasts(v.Value, w.Value)
	}); ok && x.r.Intn(4) != 0 {
		return w
	}
	shape := []int{}
	for i := v.Rank() - 1; i >= 0 && len(shape) < 2; i-- {
		c, ok := v.Type.Shape[i].Int()
		if !ok || x.r.Intn(5) == 0 {
			c = 1
		}
		shape = append([]int{int(c)}, shape...)
	}
	return held{x.constant(v.Type.Elem, shape...), fact{1, true}}
}

// results are the values that nothing reads, and the last.
func (x *mixer) results() {
	f, uses := x.f, x.f.Uses()
	want := 1 + x.r.Intn(4)
	for i := len(x.vals) - 1; i >= 0 && len(f.Outputs) < want; i-- {
		v := x.vals[i].Value
		if uses[v.ID] > 0 && i < len(x.vals)-1 || seen(f.Body.Results, v) {
			continue
		}
		f.Outputs = append(f.Outputs, fmt.Sprintf("y%d", len(f.Outputs)))
		f.Body.Results = append(f.Body.Results, v)
	}
}

func seen(l []*ir.Value, v *ir.Value) bool {
	for _, w := range l {
		if w == v {
			return true
		}
	}
	return false
}

// attrs makes an attribute list from pairs of a name and a value.
func attrs(pairs ...any) attr.List {
	var l attr.List
	for i := 0; i+1 < len(pairs); i += 2 {
		var v attr.Value
		switch a := pairs[i+1].(type) {
		case int:
			v = attr.OfInt(int64(a))
		case float64:
			v = attr.OfFloat(a)
		case bool:
			v = attr.OfBool(a)
		case string:
			v = attr.OfStr(a)
		case []int64:
			v = attr.OfInts(a)
		case []dim.Expr:
			v = attr.OfDims(a)
		case dtype.Type:
			v = attr.OfElem(a)
		}
		l = append(l, attr.Named{Name: pairs[i].(string), Value: v})
	}
	return l
}
