package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/sequence"
	"github.com/llmc-go/llmc/ir/op"
)

// sequenceDefs are operators on sequences and optionals.
func sequenceDefs() []*op.Def {
	return []*op.Def{&Sequence, &SequenceAt, &SequenceInsert, &SequenceErase, &SequenceLength, &ConcatSequence, &SplitSequence,
		&Optional, &OptionalGet, &OptionalHas}
}

var (
	anyKind  = op.Arg{Name: "x", Any: true}
	boxedVJP = op.VJP{None: "the gradient of a sequence has no form yet"}
)

// Sequence makes a sequence; without operands the attribute says of what.
var Sequence = op.Def{
	Name: "sequence",
	Doc:  "y = the sequence of the operands; of is the type of the elements where there are none.",
	Sig: op.Sig{In: []op.Arg{{Name: "x", Any: true, Variadic: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "of", Kind: attr.Str}}},
	Infer: func(c *op.Infer) error {
		var of ir.Type
		for i, v := range c.N.In {
			if v == nil {
				return fmt.Errorf("operand %d is missing", i)
			}
			t := BoxType(c.Scope(), v.Type)
			if i == 0 {
				of = t
				continue
			}
			var err error
			if of, err = joinBoxes(c.Scope(), of, t); err != nil {
				return err
			}
		}
		if c.NumIn() == 0 {
			t, err := ofAttr(c)
			if err != nil {
				return err
			}
			of = t
		}
		c.SetType(0, ir.Type{Kind: ir.Sequence, Of: &of})
		return nil
	},
	Host: sequence.Construct,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.Shapes("[2, 3]", "[1, 3]").Shapes("[B]").Shapes("[2]", "[2, 1]").Elem(dtype.String).Shapes("[2]", "[]").Elem(dtype.F32).Shapes("seq([2])", "seq([3])")
		c.With(named("of", "f32[3]"), named("of", "none(string)"), named("of", "seq(i64[])")).Shapes()
	},
}

// ofAttr reads a type from the attribute of.
func ofAttr(c *op.Infer) (ir.Type, error) {
	t, err := ir.ParseType("seq(" + c.Str("of") + ")")
	if err != nil {
		return t, fmt.Errorf("of: %w", err)
	}
	return BoxType(c.Scope(), *t.Of), nil
}

// SequenceAt takes an element.
var SequenceAt = op.Def{
	Name: "sequence_at",
	Doc:  "y = element position of x; negative positions count from the end.",
	From: []op.Source{{Op: "SequenceAt", Since: []int{11}, Import: importSequenceAt}},
	Sig:  op.Sig{In: []op.Arg{anyKind, {Name: "position", Elem: op.Index}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		of, err := boxOf(c.Node, 0, ir.Sequence)
		if err != nil {
			return err
		}
		return unboxed(c, 0, of)
	},
	Host: sequence.At,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).Range(-2, 1.9).Shapes("seq([2, 3])", "[]").Shapes("seq([B])", "[1]").Shapes("seq(seq([2]))", "[]")
		c.Elem(dtype.String, dtype.I32).Shapes("seq([2])", "[]")
	},
}

// SequenceInsert adds an element.
var SequenceInsert = op.Def{
	Name: "sequence_insert",
	Doc:  "y = x with value before element position, or at the end.",
	From: []op.Source{{Op: "SequenceInsert", Since: []int{11}, Import: importSequenceInsert}},
	Sig:  op.Sig{In: []op.Arg{anyKind, {Name: "value", Any: true}, {Name: "position", Elem: op.Index, Optional: true}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		of, err := boxOf(c.Node, 0, ir.Sequence)
		if err != nil {
			return err
		}
		if of, err = joinBoxes(c.Scope(), of, BoxType(c.Scope(), c.In(1).Type)); err != nil {
			return err
		}
		c.SetType(0, ir.Type{Kind: ir.Sequence, Of: &of})
		return nil
	},
	Host: sequence.Insert,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.F32, dtype.I64).Range(-2, 1.9).Shapes("seq([2, 3])", "[1, 3]", "[]").Shapes("seq([B])", "[B]").Shapes("seq([2])", "[]", "_")
	},
}

// SequenceErase removes an element.
var SequenceErase = op.Def{
	Name: "sequence_erase",
	Doc:  "y = x without element position, or without the last one.",
	From: []op.Source{{Op: "SequenceErase", Since: []int{11}, Import: importSequenceErase}},
	Sig:  op.Sig{In: []op.Arg{anyKind, {Name: "position", Elem: op.Index, Optional: true}}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		_, err := boxOf(c.Node, 0, ir.Sequence)
		c.SetType(0, c.In(0).Type)
		return err
	},
	Host: sequence.Erase,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).Range(-2, 1.9).Shapes("seq([2, 3])", "[]").Shapes("seq([B])")
	},
}

// SequenceLength counts the elements.
var SequenceLength = op.Def{
	Name: "sequence_length",
	Doc:  "y = the number of elements of x.",
	From: []op.Source{{Op: "SequenceLength", Since: []int{11}, Import: importSequenceLength}},
	Sig:  op.Sig{In: []op.Arg{anyKind}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		_, err := boxOf(c.Node, 0, ir.Sequence)
		c.Set(0, dtype.I64, nil)
		return err
	},
	Host:  sequence.Length,
	VJP:   discrete,
	Cases: func(c *op.Cases) { c.Shapes("seq([2, 3])").Shapes("seq(seq([B]))") },
}

// ConcatSequence joins the tensors of a sequence.
var ConcatSequence = op.Def{
	Name: "concat_sequence",
	Doc:  "y = the elements of x one after the other along axis; where new_axis is set, stacked along a new one.",
	From: []op.Source{{Op: "ConcatFromSequence", Since: []int{11}, Import: importConcatFromSequence}},
	Sig: op.Sig{In: []op.Arg{anyKind}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "axis", Kind: attr.Int, Required: true}, boolAttr("new_axis", false)}},
	Infer: func(c *op.Infer) error {
		of, err := boxOf(c.Node, 0, ir.Sequence)
		if err != nil {
			return err
		}
		if of.Kind != ir.Tensor {
			return fmt.Errorf("want a sequence of tensors, got %v", c.In(0).Type)
		}
		if of.Open {
			return fmt.Errorf("%w: the rank of an element is known only while running", ir.ErrUnsupported)
		}
		rank := len(of.Shape)
		if c.Bool("new_axis") {
			rank++
		}
		axis, err := c.Axis("axis", rank)
		if err != nil {
			return err
		}
		shape := append([]dim.Expr(nil), of.Shape...)
		if c.Bool("new_axis") {
			shape = append(shape[:axis:axis], append([]dim.Expr{{}}, of.Shape[axis:]...)...)
		}
		for k, e := range shape {
			if k == axis || c.Scope().Late(e) {
				shape[k] = c.Late(0, k, unbounded)
			}
		}
		c.Set(0, of.Elem, shape)
		return nil
	},
	Host: sequence.Concat,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.With(named("axis", 1), named("axis", -2)).Shapes("seq([2, 3])").With(named("axis", 0, "new_axis", true), named("axis", -1, "new_axis", true)).Shapes("seq([2, B])")
		c.Elem(dtype.String).With(named("axis", 0)).Shapes("seq([2])")
	},
}

// SplitSequence cuts a tensor into a sequence.
var SplitSequence = op.Def{
	Name: "split_sequence",
	Doc:  "y = the parts of x along axis, of the sizes of split, of size split, or of size 1, whose axis goes unless keepdims is set.",
	From: []op.Source{{Op: "SplitToSequence", Since: []int{11, 24}, Import: importSplitToSequence}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Tensors}, {Name: "split", Elem: op.Index, Optional: true}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{intAttr("axis", 0), boolAttr("keepdims", true)}},
	Infer: func(c *op.Infer) error {
		axis, err := c.Axis("axis", c.Rank(0))
		if err != nil {
			return err
		}
		of := BoxType(c.Scope(), c.In(0).Type)
		switch {
		case c.Has(1):
			of.Shape[axis] = anyExtent(c.Scope())
		case c.Bool("keepdims"):
			of.Shape[axis] = dim.Const(1)
		default:
			of.Shape = append(of.Shape[:axis], of.Shape[axis+1:]...)
		}
		c.SetType(0, ir.Type{Kind: ir.Sequence, Of: &of})
		return nil
	},
	Host: sequence.Split,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.Elem(dtype.F32, dtype.I64).With(nil, named("keepdims", false), named("axis", -1)).Shapes("[B, 3]").Range(2, 2.9).Shapes("[5, 3]", "[]").Shapes("[4, 4]", "[2]")
		c.Elem(dtype.String).Shapes("[3, 1]")
	},
}

// Optional wraps a value.
var Optional = op.Def{
	Name: "optional",
	Doc:  "y = an optional that holds x, or nothing, and then of is the type of what it might.",
	From: []op.Source{{Op: "Optional", Since: []int{15, 28}, Import: importOptional}},
	Sig:  op.Sig{In: []op.Arg{{Name: "x", Any: true, Optional: true}}, Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{{Name: "of", Kind: attr.Str}}},
	Infer: func(c *op.Infer) error {
		var of ir.Type
		if c.Has(0) {
			of = BoxType(c.Scope(), c.In(0).Type)
		} else {
			t, err := ofAttr(c)
			if err != nil {
				return err
			}
			of = t
		}
		c.SetType(0, ir.Type{Kind: ir.Optional, Of: &of})
		return nil
	},
	Host: sequence.Optional,
	VJP:  boxedVJP,
	Cases: func(c *op.Cases) {
		c.Shapes("[2, B]").Shapes("seq([2])").With(named("of", "seq(f32[2])"), named("of", "any(string)")).Shapes("_")
	},
}

// OptionalGet takes the value out.
var OptionalGet = op.Def{
	Name: "optional_get",
	Doc:  "y = what x holds.",
	From: []op.Source{{Op: "OptionalGetElement", Since: []int{15, 18, 28}, Import: importOptionalGet}},
	Sig:  op.Sig{In: []op.Arg{anyKind}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		of, err := boxOf(c.Node, 0, ir.Optional)
		if err != nil {
			return err
		}
		return unboxed(c, 0, of)
	},
	Host:  sequence.Get,
	VJP:   boxedVJP,
	Cases: func(c *op.Cases) { c.Shapes("opt([2, B])").Shapes("opt(seq([2]))") },
}

// OptionalHas tells whether there is a value.
var OptionalHas = op.Def{
	Name: "optional_has",
	Doc:  "y = whether x holds a value.",
	From: []op.Source{{Op: "OptionalHasElement", Since: []int{15, 18, 28}, Import: importOptionalHas}},
	Sig:  op.Sig{In: []op.Arg{anyKind}, Out: []op.Arg{{Name: "y"}}},
	Infer: func(c *op.Infer) error {
		_, err := boxOf(c.Node, 0, ir.Optional)
		c.Set(0, dtype.Bool, nil)
		return err
	},
	Host:  sequence.Has,
	VJP:   discrete,
	Cases: func(c *op.Cases) { c.Shapes("opt([2, B])").Shapes("opt(seq([2]))") },
}
