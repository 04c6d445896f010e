package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
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
	x := c.In(0)
	want, ok := contents(c.Node, 1)
	if !ok {
		return nil, fmt.Errorf("%w: a shape that is data", ir.ErrUnsupported)
	}
	axes := modelInts(c, "axes")
	if axes == nil {
		axes = upTo(x.Rank())
	}
	if len(axes) != len(want) {
		return nil, fmt.Errorf("%d extents for %d axes", len(want), len(axes))
	}
	two := dim.Const(2)
	starts, shape := make([]dim.Expr, x.Rank()), append([]dim.Expr(nil), x.Type.Shape...)
	steps, begins, ends := make([]int64, x.Rank()), make([]dim.Expr, x.Rank()), make([]dim.Expr, x.Rank())
	for i, a := range axes {
		if a < 0 {
			a += int64(x.Rank())
		}
		if a < 0 || a >= int64(x.Rank()) {
			return nil, fmt.Errorf("axis %d of shape %v", axes[i], x.Type.Shape)
		}
		more, less := dim.Max(dim.Sub(want[i], shape[a]), dim.Expr{}), dim.Max(dim.Sub(shape[a], want[i]), dim.Expr{})
		starts[a], shape[a] = dim.Div(less, two), dim.Min(shape[a], want[i])
		begins[a] = dim.Div(more, two)
		ends[a] = dim.Sub(more, begins[a])
	}
	for i := range steps {
		steps[i] = 1
	}
	y := c.CallWith("slice", named("starts", starts, "steps", steps, "shape", shape), x)
	return []*ir.Value{c.CallWith("pad", named("mode", "constant", "begins", begins, "ends", ends), y)}, c.Err()
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
	size, ok := contents(c.Node, 1)
	if !ok {
		n, known := dim.Product(c.Shape(1)).Int()
		if !known || n != 4 && n != 5 {
			return nil, fmt.Errorf("size of shape %v", c.Shape(1))
		}
		return nil, fmt.Errorf("%w: a size that is data", ir.ErrUnsupported)
	}
	d := len(size) - 2
	if d != 2 && d != 3 || theta.Rank() != 3 {
		return nil, fmt.Errorf("theta of shape %v for a size of %d numbers", theta.Type.Shape, len(size))
	}
	space := size[2:]
	one := dim.Const(1)
	var cols []*ir.Value
	for i := d - 1; i >= 0; i-- { // x, y, z
		at := b.Cast(count(b, space[i], d-i), theta.Type.Elem)
		n := b.Cast(number64(b, space[i]), theta.Type.Elem)
		if modelInt(c, "align_corners", 0) != 0 {
			last := b.Call("max", b.Call("sub", n, b.Like(n, 1)), b.Like(n, 1))
			at = b.Call("sub", b.Call("div", b.Call("mul", at, b.Like(at, 2)), last), b.Like(at, 1))
		} else {
			at = b.Call("sub", b.Call("div", b.Call("add", b.Call("mul", at, b.Like(at, 2)), b.Like(at, 1)), n), b.Like(at, 1))
		}
		cols = append(cols, b.Reshape(b.ExpandTo(at, space), append(append([]dim.Expr(nil), space...), one)))
	}
	ones := b.ExpandTo(b.Like(theta, 1), append(append([]dim.Expr(nil), space...), one))
	grid := b.Reshape(concat(b, d, append(cols, ones)...), []dim.Expr{dim.Product(space), dim.Const(int64(d + 1))})
	y := b.Call("matmul", grid, b.Transpose(theta, []int{0, 2, 1}))
	shape := append(append([]dim.Expr{size[0]}, space...), dim.Const(int64(d)))
	return []*ir.Value{b.Reshape(y, shape)}, b.Err()
}
