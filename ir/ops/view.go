package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/movement"
	"github.com/llmc-go/llmc/ir/op"
)

func viewDefs() []*op.Def {
	return []*op.Def{reshapeDef(), transposeDef(), sliceDef(), sliceAtDef(), expandDef(), splitDef(),
		reaxisDef("squeeze", "x without the axes listed, whose extents are 1", -1), reaxisDef("unsqueeze", "x with axes of extent 1 inserted where they are listed", 1)}
}

// dimsAttr is a list of extents that is absent where an operand holds it.
func dimsAttr(name string) op.Attr { return op.Attr{Name: name, Kind: attr.Dims} }

func intsAttr(name string) op.Attr { return op.Attr{Name: name, Kind: attr.Ints, Required: true} }

// any1 is a signature with one operand of any element type.
func any1(attrs ...op.Attr) op.Sig {
	return op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}}, Out: []op.Arg{{Name: "y"}}, Attrs: attrs}
}

// anyAnd adds optional integer operands that hold what is not known before running.
func anyAnd(sig op.Sig, names ...string) op.Sig {
	for _, n := range names {
		sig.In = append(sig.In, op.Arg{Name: n, Elem: op.Index, Optional: true})
	}
	return sig
}

// fixed tells whether an attribute is present; else operand i must be.
func fixed(c op.Node, name string, i int) (bool, error) {
	_, ok := c.N.Attrs.Get(name)
	switch {
	case ok && c.Has(i):
		return false, fmt.Errorf("%s is given as attribute and as operand", name)
	case !ok && !c.Has(i):
		return false, fmt.Errorf("%s is missing", name)
	}
	return ok, nil
}

// length is the number of elements of a list operand, which decides ranks.
func length(c op.Node, i int) (int, error) {
	n, ok := dim.Product(c.Shape(i)).Int()
	if !ok || c.Rank(i) > 1 || n > 64 {
		return 0, fmt.Errorf("%w: a list of shape %v decides the rank of a result", ir.ErrUnsupported, c.Shape(i))
	}
	return int(n), nil
}

var unbounded = dim.Const(dim.Inf)

// lateShape is a shape of which nothing but the rank is known before running.
func lateShape(c *op.Infer, out, rank int, hi dim.Expr) []dim.Expr {
	s := make([]dim.Expr, rank)
	for i := range s {
		s[i] = c.Late(out, i, hi)
	}
	return s
}

// listedShape is a shape that operand i lists, of which extents that are data have limit hi.
func listedShape(c *op.Infer, out, i int, hi dim.Expr) ([]dim.Expr, error) {
	n, err := length(c.Node, i)
	if err != nil {
		return nil, err
	}
	known := parts(c.N.In[i], n, 16)
	s := make([]dim.Expr, n)
	for k := range s {
		if v, ok := known[k].Int(); ok && v > 0 {
			s[k] = known[k]
		} else {
			s[k] = c.Late(out, k, hi)
		}
	}
	return s, nil
}

// parts are the n elements of a list of which some are numbers, because it was joined of such; 0 stands for any that is not known.
func parts(v *ir.Value, n, depth int) []dim.Expr {
	out := make([]dim.Expr, n)
	switch {
	case len(v.Elems) == n:
		copy(out, v.Elems)
	case v.Def == nil || depth == 0:
	case v.Def.Op == "concat":
		at := 0
		for _, x := range v.Def.In {
			k, ok := dim.Product(x.Type.Shape).Int()
			if !ok || at+int(k) > n {
				return make([]dim.Expr, n)
			}
			copy(out[at:], parts(x, int(k), depth-1))
			at += int(k)
		}
	case v.Def.Op == "cast" || v.Def.Op == "reshape":
		if k, ok := dim.Product(v.Def.In[0].Type.Shape).Int(); ok && int(k) == n {
			return parts(v.Def.In[0], n, depth-1)
		}
	}
	return out
}

// viewable refuses element types that views cannot step through.
func viewable(f *op.Form, steps bool) error {
	switch t := f.Elem(0); {
	case t == dtype.String, t.IsComplex(), steps && t.IsSubByte():
		return f.No("element type %v", t)
	}
	return nil
}

func reshapeDef() *op.Def {
	return &op.Def{
		Name: "reshape",
		Doc:  "y = the elements of x in row-major order under another shape; where only operand shape has it, 0 copies an extent and -1 is what is left.",
		From: []op.Source{{Op: "Reshape", Since: []int{1, 5, 13, 14, 19, 21, 23, 24, 25}, Import: importReshape}},
		Sig:  anyAnd(any1(dimsAttr("shape"), boolAttr("allowzero", false)), "shape"),
		View: true,
		Infer: func(c *op.Infer) error {
			ok, err := fixed(c.Node, "shape", 1)
			if err != nil {
				return err
			}
			if !ok {
				hi := dim.Product(c.Shape(0))
				if c.Scope().Prove(hi, dim.Gt, dim.Expr{}) != dim.Yes {
					hi = unbounded // an empty tensor fits any extents beside a 0
				}
				shape, err := listedShape(c, 0, 1, hi)
				if err == nil {
					c.Set(0, c.Elem(0), shape)
				}
				return err
			}
			shape := c.Dims("shape")
			c.Set(0, c.Elem(0), shape)
			if err := c.Guard(dim.Product(c.Shape(0)), dim.Product(shape), "number of elements"); err != nil {
				return err
			}
			if e, ok := contents(c.Node, 0); ok {
				c.SetElems(0, e)
			}
			return nil
		},
		Form: func(f *op.Form) error {
			if f.Has(1) {
				return f.No("the shape is data")
			}
			f.Views = []op.View{{Kind: op.ViewReshape}}
			return viewable(f, false)
		},
		Host: movement.Reshape,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			shape := func(l ...dim.Expr) attr.List { return named("shape", l) }
			b, s := dim.Sym("B"), dim.Sym("S")
			c.With(shape(b, dim.Mul(dim.Const(3), s))).Shapes("[B, 3, S]").With(shape(dim.Const(1))).Shapes("[]").With(shape()).Shapes("[1, 1]")
			c.With(shape(dim.Const(0), dim.Const(7))).Shapes("[7, 0]")
			c.Elem(dtype.U4).With(shape(dim.Const(3))).Shapes("[3, 1]").Elem(dtype.I64).With(shape(dim.Const(2), dim.Const(2))).Shapes("[4]")
		},
	}
}

func transposeDef() *op.Def {
	return &op.Def{
		Name: "transpose",
		Doc:  "y[i_0, i_1, ...] = x with index i_k along its axis perm[k].",
		From: []op.Source{{Op: "Transpose", Since: []int{1, 13, 21, 23, 24, 25}, Import: importTranspose}},
		Sig:  any1(intsAttr("perm")),
		View: true,
		Infer: func(c *op.Infer) error {
			perm := c.Ints("perm")
			if l, err := normAxes(perm, c.Rank(0)); err != nil || len(l) != c.Rank(0) {
				return fmt.Errorf("perm: want a permutation of %d axes, got %v", c.Rank(0), perm)
			}
			shape := make([]dim.Expr, len(perm))
			for i, p := range perm {
				if p < 0 {
					return fmt.Errorf("perm: axis %d", p)
				}
				shape[i] = c.Shape(0)[p]
			}
			c.Set(0, c.Elem(0), shape)
			moved(c, movement.Transpose, 0)
			return nil
		},
		Form: func(f *op.Form) error {
			perm := make([]int, f.Rank(0))
			for i, p := range f.Ints("perm") {
				perm[i] = int(p)
			}
			f.Views = []op.View{{Kind: op.ViewPerm, Perm: perm}}
			return viewable(f, true)
		},
		Host: movement.Transpose,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			perm := func(p ...int64) attr.List { return named("perm", p) }
			c.With(perm(0, 2, 1, 3), perm(3, 1, 0, 2)).Shapes("[B, 2, S, 3]").With(perm()).Shapes("[]").With(perm(1, 0)).Shapes("[0, 3]")
			c.Elem(dtype.I4).With(perm(1, 0)).Shapes("[3, 5]").Elem(dtype.I64).Shapes("[2, 3]")
		},
	}
}

func sliceDef() *op.Def {
	return &op.Def{
		Name: "slice",
		Doc:  "y[k_0, ...] = x[starts_0 + k_0*steps_0, ...] for k below shape; one entry for each axis.",
		Sig: any1(op.Attr{Name: "starts", Kind: attr.Dims, Required: true}, intsAttr("steps"),
			op.Attr{Name: "shape", Kind: attr.Dims, Required: true}),
		View: true,
		Infer: func(c *op.Infer) error {
			starts, steps, shape := c.Dims("starts"), c.Ints("steps"), c.Dims("shape")
			if len(starts) != c.Rank(0) || len(steps) != c.Rank(0) || len(shape) != c.Rank(0) {
				return fmt.Errorf("want %d entries, got %d starts, %d steps, %d extents", c.Rank(0), len(starts), len(steps), len(shape))
			}
			for i := range starts {
				last := dim.Add(starts[i], dim.Mul(dim.Sub(shape[i], dim.Const(1)), dim.Const(steps[i])))
				n, ok := shape[i].Int()
				if ok && n > 0 && (c.Scope().Prove(starts[i], dim.Lt, dim.Const(0)) == dim.Yes || c.Scope().Prove(last, dim.Ge, c.Shape(0)[i]) == dim.Yes) {
					return fmt.Errorf("axis %d: elements %v to %v of %v", i, starts[i], last, c.Shape(0)[i])
				}
			}
			c.Set(0, c.Elem(0), shape)
			moved(c, movement.Slice, 0)
			return nil
		},
		Form: func(f *op.Form) error {
			f.Views = []op.View{{Kind: op.ViewSlice, Starts: f.Node.Dims("starts"), Steps: f.Ints("steps")}}
			return viewable(f, true)
		},
		Host: movement.Slice,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			list := func(starts []dim.Expr, steps []int64, shape []dim.Expr) attr.List {
				return named("starts", starts, "steps", steps, "shape", shape)
			}
			s := dim.Sym("S")
			c.With(list([]dim.Expr{dim.Const(1), {}}, []int64{2, 1}, []dim.Expr{dim.Const(2), s}),
				list([]dim.Expr{dim.Const(3), dim.Sub(s, dim.Const(1))}, []int64{-1, -1}, []dim.Expr{dim.Const(3), s})).Shapes("[4, S]")
			c.Elem(dtype.I64).With(list(dim.Consts([]int{1}), []int64{2}, dim.Consts([]int{2}))).Shapes("[5]")
			c.Elem(dtype.F16).With(list(dim.Consts([]int{0}), []int64{1}, dim.Consts([]int{0}))).Shapes("[5]")
		},
	}
}

func sliceAtDef() *op.Def {
	return &op.Def{
		Name: "slice_at",
		Doc:  "y = x cut along the axes listed from starts up to ends in steps, where these are data; negative ones count from the end.",
		Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "starts", Elem: op.Index}, {Name: "ends", Elem: op.Index},
			{Name: "axes", Elem: op.Index, Optional: true}, {Name: "steps", Elem: op.Index, Optional: true}}, Out: []op.Arg{{Name: "y"}}},
		Infer: func(c *op.Infer) error {
			cut := make([]bool, c.Rank(0))
			axes, known := ints(c.Node, 3)
			if n, err := length(c.Node, 1); !c.Has(3) && err == nil {
				for i := 0; i < n; i++ {
					axes = append(axes, int64(i))
				}
				known = true
			}
			if known {
				var err error
				if axes, err = normAxes(axes, c.Rank(0)); err != nil {
					return err
				}
			}
			for _, a := range axes {
				cut[a] = true
			}
			shape := append([]dim.Expr(nil), c.Shape(0)...)
			for i := range shape {
				if cut[i] || !known {
					shape[i] = c.Late(0, i, shape[i])
				}
			}
			c.Set(0, c.Elem(0), shape)
			return nil
		},
		Host: movement.SliceAt,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Elem(dtype.F32, dtype.I64).Range(0, 4).Shapes("[B, 4]", "[1]", "[1]").Shapes("[B, 4]", "[2]", "[2]")
		},
	}
}

func expandDef() *op.Def {
	return &op.Def{
		Name: "expand",
		Doc:  "y = x broadcast against a shape.",
		From: []op.Source{{Op: "Expand", Since: []int{8, 13}, Import: importExpand}},
		Sig:  anyAnd(any1(dimsAttr("shape")), "shape"),
		View: true,
		Infer: func(c *op.Infer) error {
			ok, err := fixed(c.Node, "shape", 1)
			if err != nil {
				return err
			}
			if !ok {
				return expanded(c)
			}
			shape, err := c.Broadcast(c.Shape(0), c.Dims("shape"))
			if err != nil {
				return err
			}
			c.Set(0, c.Elem(0), shape)
			moved(c, movement.Expand, 0)
			return nil
		},
		Form: func(f *op.Form) error {
			if f.Has(1) {
				return f.No("the shape is data")
			}
			f.Views = []op.View{{Kind: op.ViewExpand}}
			return viewable(f, true)
		},
		Host: movement.Expand,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			shape := func(l ...dim.Expr) attr.List { return named("shape", l) }
			c.With(shape(dim.Sym("B"), dim.Const(4), dim.Sym("S")), shape(dim.Const(1))).Shapes("[4, 1]").With(shape(dim.Const(3))).Shapes("[]")
			c.With(shape(dim.Const(0), dim.Const(2))).Shapes("[2]").Elem(dtype.I64).With(shape(dim.Const(2), dim.Const(2))).Shapes("[2, 1]")
		},
	}
}

// expanded is the type of a broadcast against extents that are data: an extent is known where the list has a number there that is
// not 1, or where it is 1 in x.
func expanded(c *op.Infer) error {
	n, err := length(c.Node, 1)
	if err != nil {
		return err
	}
	known, rank := parts(c.N.In[1], n, 16), max(n, c.Rank(0))
	shape := make([]dim.Expr, rank)
	for i := range shape {
		want, x := dim.Const(1), dim.Const(1)
		if k := i - (rank - n); k >= 0 {
			want = known[k]
		}
		if k := i - (rank - c.Rank(0)); k >= 0 {
			x = c.Shape(0)[k]
		}
		switch v, ok := want.Int(); {
		case ok && v == 1:
			shape[i] = x
		case ok && v > 1:
			shape[i] = want
		default:
			shape[i] = c.Late(0, i, unbounded)
		}
	}
	c.Set(0, c.Elem(0), shape)
	return nil
}

func splitDef() *op.Def {
	return &op.Def{
		Name: "split",
		Doc:  "x cut along axis into parts of the sizes listed.",
		From: []op.Source{{Op: "Split", Since: []int{1, 2, 11, 13, 18}, Import: importSplit}},
		Sig: anyAnd(op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}}, Out: []op.Arg{{Name: "y", Variadic: true}},
			Attrs: []op.Attr{intAttr("axis", 0), dimsAttr("sizes")}}, "sizes"),
		View:   true,
		NumOut: numSplit,
		Infer: func(c *op.Infer) error {
			axis, err := c.Axis("axis", c.Rank(0))
			if err != nil {
				return err
			}
			ok, err := fixed(c.Node, "sizes", 1)
			if err != nil {
				return err
			}
			sizes, sum := c.Dims("sizes"), dim.Expr{}
			for i := range c.N.Out {
				shape := append([]dim.Expr(nil), c.Shape(0)...)
				if ok {
					shape[axis] = sizes[i]
					sum = dim.Add(sum, sizes[i])
				} else {
					shape[axis] = c.Late(i, axis, shape[axis])
				}
				c.Set(i, c.Elem(0), shape)
			}
			if !ok {
				return nil
			}
			if err := c.Guard(sum, c.Shape(0)[axis], "sum of sizes"); err != nil {
				return err
			}
			moved(c, movement.Split, 0)
			return nil
		},
		Form: formSplit,
		Host: movement.Split,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			sizes := func(axis int, l ...dim.Expr) attr.List { return named("axis", axis, "sizes", l) }
			c.With(sizes(1, dim.Const(1), dim.Const(2), dim.Const(0))).Shapes("[B, 3]").With(sizes(-1, dim.Sym("S"), dim.Sym("S"))).Shapes("[2, 2*S]")
			c.Elem(dtype.I64).With(sizes(0, dim.Const(2), dim.Const(1))).Shapes("[3]")
		},
	}
}

// numSplit: as many results as sizes, or as many as the operand that lists them has.
func numSplit(n *ir.Node) int {
	if len(n.In) > 1 && n.In[1] != nil {
		if c, ok := dim.Product(n.In[1].Type.Shape).Int(); ok && c < 1024 {
			return int(c)
		}
		return 0
	}
	return len(n.Attrs.Dims("sizes"))
}

func formSplit(f *op.Form) error {
	if f.Has(1) {
		return f.No("the sizes are data")
	}
	axis, err := f.Axis("axis", f.Rank(0))
	if err != nil {
		return err
	}
	var first dim.Expr
	for _, s := range f.Node.Dims("sizes") {
		v := op.View{Kind: op.ViewSlice, Starts: make([]dim.Expr, f.Rank(0)), Steps: make([]int64, f.Rank(0))}
		for i := range v.Steps {
			v.Steps[i] = 1
		}
		v.Starts[axis] = first
		f.Views = append(f.Views, v)
		first = dim.Add(first, s)
	}
	return viewable(f, true)
}

// reaxisDef is squeeze or unsqueeze by axes that are data; with known axes importers use reshape.
func reaxisDef(name, doc string, sign int) *op.Def {
	fn := movement.Squeeze
	if sign > 0 {
		fn = movement.Unsqueeze
	}
	return &op.Def{
		Name: name,
		Doc:  "y = " + doc + ", where the list is data.",
		Sig:  op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "axes", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}}},
		Infer: func(c *op.Infer) error {
			n, err := length(c.Node, 1)
			if err != nil {
				return err
			}
			rank := c.Rank(0) + sign*n
			if rank < 0 {
				return fmt.Errorf("%d axes of a tensor of rank %d", n, c.Rank(0))
			}
			hi := dim.Const(1)
			for _, e := range c.Shape(0) {
				hi = dim.Max(hi, e)
			}
			c.Set(0, c.Elem(0), lateShape(c, 0, rank, hi))
			return nil
		},
		Host: fn,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Elem(dtype.F32, dtype.I64).Range(0, 0.5).Shapes("[1, B, 3]", "[1]")
		},
	}
}
