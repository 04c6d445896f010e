package ops

import (
	"errors"
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/op"
)

// blockSpellings rearrange pictures, or make tensors of positions.
func blockSpellings() []op.Source {
	return []op.Source{
		{Op: "DepthToSpace", Since: []int{1, 11, 13, 28}, Import: importDepthToSpace},
		{Op: "SpaceToDepth", Since: []int{1, 13, 28}, Import: importSpaceToDepth},
		{Op: "CenterCropPad", Since: []int{18}, Import: importCenterCropPad},
		{Op: "EyeLike", Since: []int{9, 22}, Import: importEyeLike},
		{Op: "AffineGrid", Since: []int{20}, Import: importAffineGrid},
	}
}

// blocked checks operand 0 [n, c, h, w] and the block size.
func blocked(c *op.Import) (x *ir.Value, k dim.Expr, err error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, k, err
	}
	x = c.In(0)
	n := modelInt(c, "blocksize", 0)
	if x.Rank() != 4 || n <= 0 || n > 1<<20 {
		return nil, k, fmt.Errorf("blocks of %d of shape %v", n, x.Type.Shape)
	}
	return x, dim.Const(n), nil
}

// importDepthToSpace splits channels into blocks: depth is the outermost part of a channel in mode DCR, the innermost but the
// block's in CRD.
func importDepthToSpace(c *op.Import) ([]*ir.Value, error) {
	x, k, err := blocked(c)
	if err != nil {
		return nil, err
	}
	s := x.Type.Shape
	depth := dim.Div(s[1], dim.Mul(k, k))
	if !c.Builder.M.Dims.Guard(dim.Mul(depth, dim.Mul(k, k)), s[1], false, "blocks") {
		return nil, fmt.Errorf("%v channels in blocks of %v by %v", s[1], k, k)
	}
	split, perm := []dim.Expr{s[0], k, k, depth, s[2], s[3]}, []int{0, 3, 4, 1, 5, 2}
	if modelStr(c, "mode", "DCR") == "CRD" {
		split, perm = []dim.Expr{s[0], depth, k, k, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	y := c.Transpose(c.Reshape(x, split), perm)
	return []*ir.Value{c.Reshape(y, []dim.Expr{s[0], depth, dim.Mul(s[2], k), dim.Mul(s[3], k)})}, c.Err()
}

func importSpaceToDepth(c *op.Import) ([]*ir.Value, error) {
	x, k, err := blocked(c)
	if err != nil {
		return nil, err
	}
	s := x.Type.Shape
	h, w := dim.Div(s[2], k), dim.Div(s[3], k)
	if !c.Builder.M.Dims.Guard(dim.Mul(h, k), s[2], false, "blocks") || !c.Builder.M.Dims.Guard(dim.Mul(w, k), s[3], false, "blocks") {
		return nil, fmt.Errorf("%v by %v in blocks of %v", s[2], s[3], k)
	}
	perm := []int{0, 3, 5, 1, 2, 4}
	if modelStr(c, "mode", "DCR") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	y := c.Transpose(c.Reshape(x, []dim.Expr{s[0], s[1], h, k, w, k}), perm)
	return []*ir.Value{c.Reshape(y, []dim.Expr{s[0], dim.Mul(s[1], dim.Mul(k, k)), h, w})}, c.Err()
}

// importCenterCropPad cuts or pads each axis to the extent asked for; of an odd number of elements the greater part goes behind.
func importCenterCropPad(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	b, x := c.Build, c.In(0)
	axes := modelInts(c, "axes")
	if axes == nil {
		axes = upTo(x.Rank())
	}
	k := int64(len(axes))
	var have []dim.Expr
	place := make([]int64, x.Rank()) // of an axis in axes, counted from 1
	for i, a := range axes {
		v, err := host.Axis(a, x.Rank())
		if err != nil {
			return nil, err
		}
		have, place[v] = append(have, x.Type.Shape[v]), int64(i+1)
	}
	want := b.Reshape(b64(b, c.In(1)), []dim.Expr{dim.Const(k)})
	is := b.Builder.Dims(ir.TensorType(dtype.I64, dim.Const(k)), have)
	zero, two := number64(b, dim.Expr{}), number64(b, dim.Const(2))
	starts := b.Call("div", b.Call("max", b.Call("sub", is, want), zero), two)
	ends := b.Call("add", starts, b.Call("min", is, want))
	y, err := importSlice(with(c, x, starts, ends, b.Builder.Ints(axes...)))
	if err != nil || b.Err() != nil {
		return nil, errors.Join(err, b.Err())
	}
	more := b.Call("max", b.Call("sub", want, is), zero)
	begins := b.Call("div", more, two)
	spread := func(v *ir.Value) *ir.Value { // over all axes, from [0, v...]
		return b.CallWith("gather", named("axis", 0), concat(b, 0, b.Builder.Ints(0), v), b.Builder.Ints(place...))
	}
	pads := concat(b, 0, spread(begins), spread(b.Call("sub", more, begins)))
	if b.Err() != nil {
		return nil, b.Err()
	}
	l := named("mode", "constant")
	if e := pads.Elems; len(e) == 2*x.Rank() {
		return []*ir.Value{b.CallWith("pad", append(l, named("begins", e[:x.Rank():x.Rank()], "ends", e[x.Rank():])...), y[0])}, b.Err()
	}
	return []*ir.Value{b.CallWith("pad", l, y[0], nil, pads)}, b.Err()
}

// importEyeLike has ones on the k-th diagonal.
func importEyeLike(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	s := c.In(0).Type.Shape
	to, err := modelType(c, "dtype")
	if err != nil {
		return nil, err
	}
	if to == dtype.Invalid {
		to = c.Elem(0)
	}
	if len(s) != 2 {
		return nil, fmt.Errorf("shape %v: want 2 axes", s)
	}
	rows := c.Call("add", count(c.Build, s[0], 2), number64(c.Build, dim.Const(modelInt(c, "k", 0))))
	return []*ir.Value{c.Cast(c.Call("equal", rows, count(c.Build, s[1], 1)), to)}, c.Err()
}

// importAffineGrid: theta [n, d, d+1] times the coordinates of a picture of size [n, c, ...], which run from -1 to 1 and are
// those of the outermost elements' centres with align_corners, else of their edges.
func importAffineGrid(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	b, theta := c.Build, c.In(0)
	n, ok := dim.Product(c.Shape(1)).Int()
	d := int(n) - 2
	if !ok || d != 2 && d != 3 || theta.Rank() != 3 {
		return nil, fmt.Errorf("theta of shape %v for a size of shape %v", theta.Type.Shape, c.Shape(1))
	}
	size := b64(b, c.In(1))
	column := func(i int) *ir.Value { // theta[:, :, i] over all positions
		shape := []dim.Expr{theta.Type.Shape[0]}
		for range d {
			shape = append(shape, dim.Const(1))
		}
		return b.Reshape(cut(b, theta, 2, dim.Const(int64(i)), 1, dim.Const(1)), append(shape, dim.Const(int64(d))))
	}
	y := column(d)
	for i := d - 1; i >= 0; i-- { // x, y, z
		n := b.CallWith("gather", named("axis", 0), size, number64(b, dim.Const(int64(2+i))))
		k := b.Call("range", number64(b, dim.Expr{}), n, number64(b, dim.Const(1)))
		if b.Err() != nil {
			return nil, b.Err()
		}
		shape := []dim.Expr{k.Type.Shape[0]}
		for range d - i {
			shape = append(shape, dim.Const(1))
		}
		at, m := b.Cast(b.Reshape(k, shape), theta.Type.Elem), b.Cast(n, theta.Type.Elem)
		one, two := b.Like(theta, 1), b.Like(theta, 2)
		if modelInt(c, "align_corners", 0) != 0 {
			at = b.Call("div", b.Call("mul", at, two), b.Call("max", b.Call("sub", m, one), one))
		} else {
			at = b.Call("div", b.Call("add", b.Call("mul", at, two), one), m)
		}
		y = b.Call("add", y, b.Call("mul", column(d-1-i), b.Call("sub", at, one)))
	}
	return []*ir.Value{y}, b.Err()
}
