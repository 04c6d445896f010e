package ops

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/control"
	"github.com/llmc-go/llmc/ir/op"
)

func controlDefs() []*op.Def { return []*op.Def{&If, &Loop, &Fail} }

// controlSpellings are loops that become loop.
func controlSpellings() []op.Source {
	return []op.Source{
		{Op: "Scan", Since: []int{9, 11, 16, 19, 21, 23, 24, 25}, Import: importScan},
		{Op: "Scan", Since: []int{8}, Import: importBatchScan},
	}
}

// If runs one of two regions. Operands are the condition and captures; both regions take the captures, and their
// results are the node's. A result whose extent differs between the regions has a late one.
var If = op.Def{
	Name: "if",
	Doc:  "the results of region then on the captures where cond holds, else of region else.",
	From: []op.Source{{Op: "If", Since: []int{1, 11, 13, 16, 19, 21, 23, 24, 25}, Import: importIf}},
	Sig: op.Sig{In: []op.Arg{{Name: "cond", Elem: op.Bool}, {Name: "captures", Variadic: true, Any: true}}, Out: []op.Arg{{Name: "y", Variadic: true}},
		Regions: []string{"then", "else"}},
	NumOut: func(n *ir.Node) int { return len(n.Regions[0].Results) },
	Infer:  inferIf,
	Form:   func(f *op.Form) error { f.Anchor = anchor.Branch; return nil },
	VJP:    todo,
}

// Loop repeats a region. Operands are the trip count (optional), the condition (optional), as many carried values as
// attribute carried says, and captures. The region takes the iteration i64[], the condition bool[], carried values and
// captures, and yields the next condition, carried values, and elements of scan outputs. Results are the last
// carried values and the scan outputs, whose first axis is the iteration. It runs while the condition holds and the
// trip count is not reached.
var Loop = op.Def{
	Name: "loop",
	Doc:  "region body, while its condition holds and for at most the trip count: last carried values, then scan outputs stacked.",
	From: []op.Source{{Op: "Loop", Since: []int{1, 11, 13, 16, 19, 21, 23, 24, 25}, Import: importLoop}},
	Sig: op.Sig{In: []op.Arg{{Name: "max_trip", Elem: op.Index, Optional: true}, {Name: "cond", Elem: op.Bool, Optional: true}, {Name: "values", Variadic: true, Any: true}},
		Out: []op.Arg{{Name: "y", Variadic: true}}, Attrs: []op.Attr{{Name: "carried", Kind: attr.Int, Required: true}}, Regions: []string{"body"}},
	NumOut: func(n *ir.Node) int { return max(len(n.Regions[0].Results)-1, 0) },
	Infer:  inferLoop,
	Form:   func(f *op.Form) error { f.Anchor = anchor.Loop; return nil },
	VJP:    todo,
}

// Fail stands for the result of a branch that has no type: an error where it is reached, and nothing where the
// branch is not taken.
var Fail = op.Def{
	Name: "fail",
	Doc:  "an error with the message, if it is reached.",
	Sig: op.Sig{Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "message", Kind: attr.Str, Required: true},
		{Name: "type", Kind: attr.Elem, Required: true}, {Name: "shape", Kind: attr.Dims, Required: true}}},
	Infer: func(c *op.Infer) error {
		c.Set(0, c.N.Attrs.Elem("type"), c.Dims("shape"))
		return nil
	},
	Host:   control.Fail,
	Random: true,
	VJP:    op.VJP{None: "it has no value"},
}

// passes checks that a value of type t may be given to a parameter of type p.
func passes(c *op.Infer, p, t ir.Type) error {
	if p.Kind != ir.Tensor && boxesFit(p, t) {
		return nil
	}
	if p.Kind != ir.Tensor || t.Kind != ir.Tensor || p.Elem != t.Elem || len(p.Shape) != len(t.Shape) {
		return fmt.Errorf("want %v, got %v", p, t)
	}
	for i, e := range p.Shape {
		if c.Scope().Prove(e, dim.Ne, t.Shape[i]) == dim.Yes && !c.Scope().Late(e) {
			return fmt.Errorf("want %v, got %v", p, t)
		}
	}
	return nil
}

// outside tells whether an extent can be known where a node stands: its late symbols are those of operands, not of
// what happens in the node's regions.
func outside(c *op.Infer) func(dim.Expr) bool {
	seen := map[string]bool{}
	var visit func(t ir.Type)
	visit = func(t ir.Type) {
		for _, e := range t.Shape {
			e.Walk(func(s string) { seen[s] = true })
		}
		if t.Of != nil {
			visit(*t.Of)
		}
	}
	for _, v := range c.N.In {
		if v == nil {
			continue
		}
		visit(v.Type)
		for _, e := range v.Elems {
			e.Walk(func(s string) { seen[s] = true })
		}
	}
	return func(e dim.Expr) bool {
		ok := true
		e.Walk(func(s string) { ok = ok && (seen[s] || !c.Scope().Info(s).Late) })
		return ok
	}
}

func inferIf(c *op.Infer) error {
	a, b := c.N.Regions[0], c.N.Regions[1]
	if len(a.Results) != len(b.Results) {
		return fmt.Errorf("regions with %d and %d results", len(a.Results), len(b.Results))
	}
	for _, r := range c.N.Regions {
		if len(r.Params) != len(c.N.In)-1 {
			return fmt.Errorf("want %d operands for the parameters of region %s, got %d", len(r.Params), r.Name, len(c.N.In)-1)
		}
		for i, p := range r.Params {
			if c.In(i+1) == nil {
				return fmt.Errorf("operand %d is missing", i+1)
			}
			if err := passes(c, p.Type, c.In(i+1).Type); err != nil {
				return fmt.Errorf("operand %d: %w", i+1, err)
			}
		}
	}
	known := outside(c)
	for i := range a.Results {
		t, err := join(c, i, known, a.Results[i].Type, b.Results[i].Type)
		if err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		c.SetType(i, t)
	}
	return nil
}

// join is the type of result i that may be of either type: extents that differ, or that only a region knows, are late.
func join(c *op.Infer, i int, known func(dim.Expr) bool, a, b ir.Type) (ir.Type, error) {
	if a.Kind != ir.Tensor && a.Kind == b.Kind {
		return joinBoxes(c.Scope(), a, b)
	}
	if a.Kind != b.Kind || a.Elem != b.Elem || a.Key != b.Key || len(a.Shape) != len(b.Shape) || (a.Of == nil) != (b.Of == nil) {
		return a, fmt.Errorf("the regions give %v and %v", a, b)
	}
	t := a
	t.Shape = append([]dim.Expr(nil), a.Shape...)
	for k := range t.Shape {
		if !dim.Equal(a.Shape[k], b.Shape[k]) || !known(a.Shape[k]) {
			t.Shape[k] = c.Late(i, k, dim.Max(a.Shape[k], b.Shape[k]))
		}
	}
	return t, nil
}

func inferLoop(c *op.Infer) error {
	n, r := int(c.Int("carried")), c.N.Regions[0]
	if n < 0 || len(c.N.In) < 2+n || len(r.Params) != len(c.N.In) || len(r.Results) < 1+n {
		return fmt.Errorf("%d operands and %d carried values for a region of %d parameters and %d results", len(c.N.In), n, len(r.Params), len(r.Results))
	}
	if t := r.Params[0].Type; t.Kind != ir.Tensor || t.Elem != dtype.I64 {
		return fmt.Errorf("parameter 0: want i64[], got %v", t)
	}
	for _, t := range []ir.Type{r.Params[1].Type, r.Results[0].Type} {
		if t.Kind != ir.Tensor || t.Elem != dtype.Bool {
			return fmt.Errorf("condition: want bool[], got %v", t)
		}
	}
	for i := 2; i < len(c.N.In); i++ {
		if c.In(i) == nil {
			return fmt.Errorf("operand %d is missing", i)
		}
		if err := passes(c, r.Params[i].Type, c.In(i).Type); err != nil {
			return fmt.Errorf("operand %d: %w", i, err)
		}
	}
	known := outside(c)
	for i := range n {
		first, param, next := c.In(2+i).Type, r.Params[2+i].Type, r.Results[1+i].Type
		if err := passes(c, param, next); err != nil {
			return fmt.Errorf("carried value %d: %w", i, err)
		}
		if first.Kind != ir.Tensor {
			t, err := joinBoxes(c.Scope(), first, next)
			if err != nil {
				return fmt.Errorf("carried value %d: %w", i, err)
			}
			c.SetType(i, t)
			continue
		}
		t := next
		t.Shape = append([]dim.Expr(nil), first.Shape...)
		for k, e := range first.Shape {
			if !dim.Equal(e, param.Shape[k]) || !dim.Equal(e, next.Shape[k]) {
				t.Shape[k] = c.Late(i, k, unbounded)
			}
		}
		c.SetType(i, t)
	}
	trips, exact := tripCount(c, r)
	for i := n; i < len(c.N.Out); i++ {
		t := r.Results[1+i].Type
		if t.Kind != ir.Tensor {
			return fmt.Errorf("scan output %d: want a tensor, got %v", i-n, t)
		}
		shape := []dim.Expr{trips}
		if !exact {
			shape[0] = c.Late(i, 0, trips)
		}
		for k, e := range t.Shape {
			if !known(e) {
				e = c.Late(i, 1+k, e)
			}
			shape = append(shape, e)
		}
		c.Set(i, t.Elem, shape)
	}
	return nil
}

// tripCount is the number of iterations, exact where the condition never ends the loop, else an upper bound.
func tripCount(c *op.Infer, r *ir.Region) (n dim.Expr, exact bool) {
	n = unbounded
	if l, ok := contents(c.Node, 0); ok && len(l) == 1 {
		if n = l[0]; c.Scope().Prove(n, dim.Ge, dim.Const(0)) != dim.Yes {
			n = dim.Max(n, dim.Const(0))
		}
		exact = true
	}
	always := func(v *ir.Value) bool { return len(v.Elems) == 1 && v.Elems[0].IsConst(1) }
	if next := r.Results[0]; next != r.Params[1] && !always(next) {
		exact = false
	}
	return n, exact && (!c.Has(1) || always(c.In(1)))
}

// importIf imports both branches, or only the taken one where the condition's contents are known.
func importIf(c *op.Import) ([]*ir.Value, error) {
	graphs := []string{"then_branch", "else_branch"}
	if l, ok := ints(c.Node, 0); ok && len(l) == 1 {
		g := graphs[1]
		if l[0] != 0 {
			g = graphs[0]
		}
		captures, err := c.Model.Captures(g)
		if err != nil {
			return nil, err
		}
		r, err := c.Model.Region(g, g, nil, captures)
		if err != nil {
			return nil, err
		}
		return splice(c.Builder, r, captures), nil
	}
	captures, err := c.Model.Captures(graphs...)
	if err != nil {
		return nil, err
	}
	regions := make([]*ir.Region, 2)
	var errs [2]error
	names := [2]string{"then", "else"}
	for i, name := range names {
		regions[i], errs[i] = c.Model.Region(graphs[i], name, nil, captures)
		if errs[i] != nil && !errors.Is(errs[i], ir.ErrShape) {
			return nil, errs[i]
		}
	}
	for i, err := range errs {
		switch {
		case err == nil:
		case errs[1-i] != nil:
			return nil, errs[0]
		default:
			if regions[i], err = failing(c, names[i], captures, regions[1-i], err); err != nil {
				return nil, err
			}
		}
	}
	if err := alignRanks(c, regions[0], regions[1]); err != nil {
		return nil, err
	}
	return c.Op("if", append([]*ir.Value{c.In(0)}, captures...), nil, regions...)
}

// failing is the region of a branch that cannot be typed: an error of the types that the other branch gives.
func failing(c *op.Import, name string, captures []*ir.Value, other *ir.Region, why error) (*ir.Region, error) {
	var types []ir.Type
	for _, v := range captures {
		types = append(types, v.Type)
	}
	return c.Region(name, types, nil, func(b *ir.Builder, _ []*ir.Value) ([]*ir.Value, error) {
		var out []*ir.Value
		for _, v := range other.Results {
			if v.Type.Kind != ir.Tensor {
				return nil, why
			}
			y, err := b.One("fail", nil, named("message", why.Error(), "type", v.Type.Elem, "shape", append([]dim.Expr{}, v.Type.Shape...)))
			if err != nil {
				return nil, err
			}
			out = append(out, y)
		}
		return out, nil
	})
}

// alignRanks gives results of one element, which exporters write as [] in one branch and as [1] in the other, the larger
// rank; other results of different ranks have no type.
func alignRanks(c *op.Import, a, b *ir.Region) error {
	for i := range min(len(a.Results), len(b.Results)) {
		x, y := a.Results[i].Type, b.Results[i].Type
		if x.Kind != ir.Tensor || y.Kind != ir.Tensor || len(x.Shape) == len(y.Shape) {
			continue
		}
		if !dim.Product(x.Shape).IsConst(1) || !dim.Product(y.Shape).IsConst(1) {
			return c.N.Errorf(ir.ErrUnsupported, "result %d is %v in one branch and %v in the other", i, x, y)
		}
		r, shape := a, y.Shape
		if len(x.Shape) > len(y.Shape) {
			r, shape = b, x.Shape
		}
		v, err := ir.NewBuilder(c.Builder.M, c.F, r, c.Sem).One("reshape", []*ir.Value{r.Results[i]}, named("shape", shape))
		if err != nil {
			return err
		}
		r.Results[i] = v
	}
	return nil
}

// splice moves the nodes of a region, which is used nowhere else, to where b builds, with args for its parameters.
func splice(b *ir.Builder, r *ir.Region, args []*ir.Value) []*ir.Value {
	to := map[*ir.Value]*ir.Value{}
	for i, p := range r.Params {
		to[p] = args[i]
	}
	replace := func(l []*ir.Value) []*ir.Value {
		out := append([]*ir.Value(nil), l...)
		for i, v := range out {
			if a := to[v]; a != nil {
				out[i] = a
			}
		}
		return out
	}
	for _, n := range r.Nodes {
		n.In = replace(n.In)
		b.R.Nodes = append(b.R.Nodes, n)
	}
	return replace(r.Results)
}

func importLoop(c *op.Import) ([]*ir.Value, error) {
	captures, err := c.Model.Captures("body")
	if err != nil {
		return nil, err
	}
	var first []*ir.Value
	if len(c.N.In) > 2 {
		first = c.N.In[2:]
	}
	r, err := fitBody(c, first, func(types []ir.Type) (*ir.Region, error) {
		return c.Model.Region("body", "body", append([]ir.Type{ir.TensorType(dtype.I64), ir.TensorType(dtype.Bool)}, types...), captures)
	})
	if err != nil {
		return nil, err
	}
	in := append([]*ir.Value{c.In(0), c.In(1)}, first...)
	return c.Op("loop", append(in, captures...), named("carried", len(first)), r)
}

// fitBody imports a loop's body for types of the carried values that the body keeps. It begins with those of the
// first values; an extent that the body changes, or all of them where the body cannot be imported like that, become
// late symbols, until nothing changes.
func fitBody(c *op.Import, first []*ir.Value, build func([]ir.Type) (*ir.Region, error)) (*ir.Region, error) {
	types := make([]ir.Type, len(first))
	for i, v := range first {
		if v == nil {
			return nil, fmt.Errorf("carried value %d is missing", i)
		}
		types[i] = v.Type
	}
	free := false
	for round := 0; ; round++ {
		guards := len(c.Builder.M.Dims.Guards)
		r, err := build(types)
		if err != nil && (free || round > 8) {
			return nil, err
		}
		if err == nil && len(r.Results) < 1+len(first) {
			return nil, fmt.Errorf("body: want %d results or more, got %d", 1+len(first), len(r.Results))
		}
		changed := err != nil
		for i := range types {
			if err != nil || round > 8 {
				free = true
				types[i] = loosen(c, types[i], nil)
				continue
			}
			t := r.Results[1+i].Type
			if ir.EqualTypes(t, types[i]) {
				continue
			}
			if t.Kind != types[i].Kind || t.Elem != types[i].Elem || t.Kind == ir.Tensor && len(t.Shape) != len(types[i].Shape) {
				return nil, fmt.Errorf("carried value %d is %v before and %v after an iteration", i, types[i], t)
			}
			if t.Kind != ir.Tensor {
				joined, err := joinBoxes(c.Builder.M.Dims, types[i], BoxType(c.Builder.M.Dims, t))
				if err != nil {
					return nil, fmt.Errorf("carried value %d: %w", i, err)
				}
				t = joined
			}
			if w := loosen(c, types[i], &t); !ir.EqualTypes(w, types[i]) {
				types[i], changed = w, true
			}
		}
		if !changed {
			return r, nil
		}
		// What an abandoned attempt relied on need not hold.
		c.Builder.M.Dims.Guards = c.Builder.M.Dims.Guards[:guards]
		if round > 16 {
			return nil, fmt.Errorf("extents of carried values do not settle")
		}
	}
}

// loosen makes extents of t that differ from those of next (nil: all) late symbols, unless they are already.
func loosen(c *op.Import, t ir.Type, next *ir.Type) ir.Type {
	if t.Kind != ir.Tensor {
		if next != nil {
			return *next // what a list holds is checked while running
		}
		return t
	}
	shape := append([]dim.Expr(nil), t.Shape...)
	for k, e := range shape {
		if next != nil && dim.Equal(e, next.Shape[k]) {
			continue
		}
		if s, ok := e.Symbol(); ok && c.Builder.M.Dims.Info(s).Late {
			continue
		}
		shape[k] = c.Builder.M.Dims.Fresh("late", dim.Info{Lo: 0, Hi: dim.Inf, Late: true})
	}
	t.Shape = shape
	return t
}
