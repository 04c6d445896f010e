package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func batchNormDefs() []*op.Def { return []*op.Def{&BatchNorm, &InstanceNorm} }

// BatchNorm is batch normalisation with given statistics.
var BatchNorm = op.Def{
	Name: "batch_norm",
	Doc:  "y[n, c, p] = (x[n, c, p] - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + b[c].",
	From: []op.Source{{Op: "BatchNormalization", Since: []int{1, 6, 7, 9, 14, 15}, Import: importBatchNorm}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "scale", Elem: op.Float}, {Name: "b", Elem: op.Float}, {Name: "mean", Elem: op.Float}, {Name: "var", Elem: op.Float}},
		Out: []op.Arg{{Name: "y"}}, Attrs: []op.Attr{floatAttr("epsilon", 1e-5)}},
	Infer: func(c *op.Infer) error {
		if c.Rank(0) < 1 {
			return fmt.Errorf("x: want rank 1 or more")
		}
		for i := 1; i < 5; i++ {
			if c.Rank(i) != 1 {
				return fmt.Errorf("operand %d: want rank 1, got shape %v", i, c.Shape(i))
			}
			if err := c.Guard(c.Shape(i)[0], channels(c.Shape(0)), "channels"); err != nil {
				return err
			}
		}
		return c.Same(0, 0)
	},
	Expand: func(b *op.Build) ([]*ir.Value, error) {
		y, _, _ := normalise(b, b.In(0), b.In(1), b.In(2), perChannel(b, b.In(3), b.Rank(0)), perChannel(b, b.In(4), b.Rank(0)), b.Float("epsilon"))
		return []*ir.Value{y}, b.Err()
	},
	VJP: todo,
	Cases: func(c *op.Cases) {
		c.Range(0.1, 2).Shapes("[2, 3, 4, 5]", "[3]", "[3]", "[3]", "[3]").Shapes("[B, 3]", "[3]", "[3]", "[3]", "[3]")
		c.Elem(dtype.F64).Shapes("[B, 3, 2]", "[3]", "[3]", "[3]", "[3]")
	},
}

// channels is the extent of axis 1; a tensor of rank 1 has one channel.
func channels(shape []dim.Expr) dim.Expr {
	if len(shape) < 2 {
		return dim.Const(1)
	}
	return shape[1]
}

// stash is the element type that a norm is computed in: f32 for narrower operands.
func stash(x *ir.Value) dtype.Type {
	if x.Type.Elem.Bits() < 32 {
		return dtype.F32
	}
	return x.Type.Elem
}

// perChannel gives a vector the shape [C, 1, ...] that broadcasts along axis 1 of a tensor of that rank.
func perChannel(b *op.Build, v *ir.Value, rank int) *ir.Value {
	if b.Err() != nil || rank < 2 {
		return v
	}
	shape := []dim.Expr{v.Type.Shape[0]}
	for len(shape) < rank-1 {
		shape = append(shape, dim.Const(1))
	}
	return b.Reshape(v, shape)
}

// normalise is (x - mean) * (scale / sqrt(variance + epsilon)) + shift: scale and shift are vectors over axis 1, mean and
// variance broadcast to x.
func normalise(b *op.Build, x, scale, shift, mean, variance *ir.Value, epsilon float64) (y, m, v *ir.Value) {
	t := stash(x)
	rank := x.Rank()
	x0 := x
	x, mean, variance = b.Cast(x, t), b.Cast(mean, t), b.Cast(variance, t)
	scale, shift = perChannel(b, b.Cast(scale, t), rank), perChannel(b, b.Cast(shift, t), rank)
	k := b.Call("div", scale, b.Call("sqrt", b.Call("add", variance, b.Scalar(t, epsilon))))
	y = b.Call("add", b.Call("mul", b.Call("sub", x, mean), k), shift)
	return b.Cast(y, x0.Type.Elem), mean, variance
}

// importBatchNorm: the node computes its own statistics where training_mode says so (14 and up), more than one result is
// asked for (7, 9) or is_test is 0 (1, 6). spatial 0 (up to 7) has statistics for every element of a picture.
func importBatchNorm(c *op.Import) ([]*ir.Value, error) {
	for i := range 5 {
		if !c.Has(i) {
			return nil, fmt.Errorf("want 5 operands")
		}
	}
	epsilon := modelFloat(c, "epsilon", 1e-5)
	used := 0
	for i := range c.NumOuts {
		if i >= len(c.Outs) || c.Outs[i] {
			used++
		}
	}
	training := modelInt(c, "training_mode", 0) != 0
	switch {
	case c.Version < 7:
		training = modelInt(c, "is_test", 0) == 0 && used > 1
	case c.Version < 14:
		training = used > 1
	}
	x := c.In(0)
	if c.Version < 9 && modelInt(c, "spatial", 1) == 0 && x.Rank() > 2 {
		if training {
			return nil, c.N.Errorf(ir.ErrUnsupported, "spatial 0 in training")
		}
		k := c.Call("div", c.In(1), c.Call("sqrt", c.Call("add", c.In(4), c.Like(c.In(4), epsilon))))
		return []*ir.Value{c.Call("add", c.Call("mul", c.Call("sub", x, c.In(3)), k), c.In(2))}, c.Err()
	}
	if !training {
		return []*ir.Value{c.CallWith("batch_norm", named("epsilon", epsilon), c.N.In[:5]...)}, c.Err()
	}
	return trainBatchNorm(c, x, epsilon)
}

// trainBatchNorm normalises by the statistics of the batch; results 1 and 2 are momentum*running + (1-momentum)*batch,
// 3 and 4 (up to version 9) those of the batch.
func trainBatchNorm(c *op.Import, x *ir.Value, epsilon float64) ([]*ir.Value, error) {
	b := c.Build
	t := stash(x)
	xt := b.Cast(x, t)
	axes := []int{0}
	for i := 2; i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	mean := b.Reduce("mean", xt, axes...)
	d := b.Call("sub", xt, mean)
	variance := b.Reduce("mean", b.Call("mul", d, d), axes...)
	y, _, _ := normalise(b, x, c.In(1), c.In(2), mean, variance, epsilon)
	if b.Err() != nil {
		return nil, b.Err()
	}
	momentum := modelFloat(c, "momentum", 0.9)
	out := []*ir.Value{y}
	for i, v := range []*ir.Value{mean, variance} {
		old := c.In(3 + i)
		v = b.Cast(b.Reshape(v, old.Type.Shape), old.Type.Elem)
		out = append(out, b.Call("add", b.Call("mul", old, b.Like(old, momentum)), b.Call("mul", v, b.Like(v, 1-momentum))))
	}
	if c.Version < 14 {
		for i, v := range []*ir.Value{mean, variance} {
			out = append(out, b.Reshape(v, c.In(3+i).Type.Shape))
		}
	}
	return out, b.Err()
}

// InstanceNorm normalises each channel of each picture by its own statistics.
var InstanceNorm = op.Def{
	Name: "instance_norm",
	Doc:  "y[n, c, p] = (x[n, c, p] - m[n, c]) / sqrt(v[n, c] + epsilon) * scale[c] + b[c], m and v the mean and variance over p.",
	From: []op.Source{{Op: "InstanceNormalization", Since: []int{1, 6, 22}, Import: func(c *op.Import) ([]*ir.Value, error) {
		return []*ir.Value{c.CallWith("instance_norm", named("epsilon", modelFloat(c, "epsilon", 1e-5)), c.N.In...)}, c.Err()
	}}},
	Sig: op.Sig{In: []op.Arg{{Name: "x", Elem: op.Float}, {Name: "scale", Elem: op.Float}, {Name: "b", Elem: op.Float}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "epsilon", Kind: attr.Float, Default: attr.OfFloat(1e-5)}}},
	Infer: func(c *op.Infer) error {
		if err := c.SameElem(0, 1, 2); err != nil {
			return err
		}
		if c.Rank(0) < 3 {
			return fmt.Errorf("x: want rank 3 or more, got shape %v", c.Shape(0))
		}
		for i := 1; i < 3; i++ {
			if c.Rank(i) != 1 {
				return fmt.Errorf("operand %d: want rank 1, got shape %v", i, c.Shape(i))
			}
			if err := c.Guard(c.Shape(i)[0], c.Shape(0)[1], "channels"); err != nil {
				return err
			}
		}
		return c.Same(0, 0)
	},
	Form: formInstanceNorm,
	Expand: func(b *op.Build) ([]*ir.Value, error) {
		x := b.In(0)
		var axes []int
		for i := 2; i < x.Rank(); i++ {
			axes = append(axes, i)
		}
		xt := b.Cast(x, stash(x))
		mean := b.Reduce("mean", xt, axes...)
		d := b.Call("sub", xt, mean)
		y, _, _ := normalise(b, x, b.In(1), b.In(2), mean, b.Reduce("mean", b.Call("mul", d, d), axes...), b.Float("epsilon"))
		return []*ir.Value{y}, b.Err()
	},
	VJP: todo,
	Cases: func(c *op.Cases) {
		c.Shapes("[2, 3, 4, 5]", "[3]", "[3]").Shapes("[B, 3, L]", "[3]", "[3]").Elem(dtype.F16).Tol(5e-3).Shapes("[1, 2, 6]", "[2]", "[2]")
	},
}

// formInstanceNorm is one row per channel: the positions are Red.
func formInstanceNorm(f *op.Form) error {
	if t := f.Elem(0); t != dtype.F32 && t != dtype.F16 && t != dtype.BF16 {
		return f.No("element type %v", t)
	}
	f.Anchor = anchor.Rows
	x := f.Shape(0)
	m := make(op.Map, len(x))
	for i, e := range x {
		f.Space = append(f.Space, op.Axis{Name: fmt.Sprintf("i%d", i), Extent: e, Red: i >= 2})
		m[i] = op.At{Axis: i}
	}
	f.Maps = []op.Map{m, {{Axis: 1}}, {{Axis: 1}}, m}
	f.Dims = []dim.Expr{dim.Product(x[2:])}
	b := tile.NewBuilder()
	v := b.Load(0, f.Elem(0))
	n := b.Cast(tile.F32, b.Dim(0))
	d := b.Op2(tile.Sub, v, b.Op2(tile.Div, b.Op1(tile.RSum, v), n))
	variance := b.Op2(tile.Div, b.Op1(tile.RSum, b.Op2(tile.Mul, d, d)), n)
	s := b.Op1(tile.Sqrt, b.Op2(tile.Add, variance, b.Float(tile.F32, f.Float("epsilon"))))
	y := b.Op2(tile.Mul, d, b.Op2(tile.Div, b.Load(1, f.Elem(1)), s))
	y = b.Op2(tile.Add, y, b.Load(2, f.Elem(2)))
	b.Store(f.Out(0), b.Narrow(f.OutElem(0), y))
	f.Prog = b.Program()
	return b.Err()
}
