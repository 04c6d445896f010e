package ops

import (
	"fmt"
	"hash/fnv"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/op"
)

func randomDefs() []*op.Def { return []*op.Def{&Random} }

func randomSpellings() []op.Source {
	row := func(name string, since []int, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Op: name, Since: since, Import: f}
	}
	old := []int{1, 22}
	return []op.Source{
		row("RandomUniform", old, importRandom("uniform", false)), row("RandomUniformLike", old, importRandom("uniform", true)),
		row("RandomNormal", old, importRandom("normal", false)), row("RandomNormalLike", old, importRandom("normal", true)),
		row("Bernoulli", []int{15, 22}, importBernoulli), row("Multinomial", []int{7, 22}, importMultinomial),
	}
}

// Random draws a tensor.
var Random = op.Def{
	Name: "random",
	Doc:  "y of a shape: kind uniform: from [a, b); kind normal: of mean a and deviation b; the same seed gives the same numbers.",
	Sig: op.Sig{Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "shape", Kind: attr.Dims, Required: true}, {Name: "to", Kind: attr.Elem, Default: attr.OfElem(dtype.F32)},
		strAttr("kind", "uniform"), floatAttr("a", 0), floatAttr("b", 1), intAttr("seed", 0)}},
	Infer: func(c *op.Infer) error {
		to := c.N.Attrs.Elem("to")
		if k := c.Str("kind"); !op.Float.Has(to) || k != "uniform" && k != "normal" {
			return fmt.Errorf("kind %q of element type %v", k, to)
		}
		c.Set(0, to, c.Dims("shape"))
		return nil
	},
	Host:   elementwise.Random,
	VJP:    op.VJP{None: "there are no operands"},
	Random: true,
	Cases: func(c *op.Cases) {
		s := []dim.Expr{dim.Const(4), dim.Const(3)}
		c.With(named("shape", s), named("shape", s, "kind", "normal", "to", dtype.F16)).Shapes()
	},
}

// seed is what a node draws from: its attribute, or a number of its own.
func seed(c *op.Import) int64 {
	if v, ok := c.Model.Attr("seed"); ok {
		return int64(math.Float64bits(v.F))
	}
	h := fnv.New64a()
	for _, l := range c.N.Locs {
		_, _ = fmt.Fprint(h, l.String())
	}
	return int64(h.Sum64())
}

func draw(c *op.Import, kind string, to dtype.Type, shape []dim.Expr, a, b float64) *ir.Value {
	return c.CallWith("random", named("kind", kind, "shape", shape, "to", to, "a", a, "b", b, "seed", seed(c)))
}

func importRandom(kind string, like bool) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		to, err := modelType(c, "dtype")
		if err != nil {
			return nil, err
		}
		var shape []dim.Expr
		if like {
			if err := tensors(c, 1, 1); err != nil {
				return nil, err
			}
			if shape = c.Shape(0); to == dtype.Invalid {
				to = c.Elem(0)
			}
		} else {
			for _, n := range modelInts(c, "shape") {
				shape = append(shape, dim.Const(n))
			}
		}
		if to == dtype.Invalid {
			to = dtype.F32
		}
		a, b := number(c, "low", 0), number(c, "high", 1)
		if kind == "normal" {
			a, b = number(c, "mean", 0), number(c, "scale", 1)
		}
		return []*ir.Value{draw(c, kind, to, shape, a, b)}, c.Err()
	}
}

// importBernoulli is 1 with the probability that the operand is.
func importBernoulli(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	to, err := modelType(c, "dtype")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		to = c.Elem(0)
	}
	u := draw(c, "uniform", c.Elem(0), c.Shape(0), 0, 1)
	return []*ir.Value{c.Cast(c.Call("less", u, c.In(0)), to)}, c.Err()
}

// importMultinomial draws classes by logarithms of probabilities [n, classes]: the largest after adding noise of Gumbel's
// distribution is drawn with its probability.
func importMultinomial(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	to, err := modelType(c, "dtype")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		to = dtype.I32
	}
	n := modelInt(c, "sample_size", 1)
	if c.Rank(0) != 2 || n < 0 {
		return nil, fmt.Errorf("%d samples of %v", n, c.In(0).Type)
	}
	s := c.Shape(0)
	u := draw(c, "uniform", dtype.F64, []dim.Expr{s[0], dim.Const(n), s[1]}, 1e-300, 1)
	noise := c.Call("neg", c.Call("log", c.Call("neg", c.Call("log", u))))
	x := c.Reshape(c.Cast(c.In(0), dtype.F64), []dim.Expr{s[0], dim.Const(1), s[1]})
	y := c.CallWith("argmax", named("axis", 2, "keepdims", false), c.Call("add", x, noise))
	return []*ir.Value{c.Cast(y, to)}, c.Err()
}
