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

func viewSpellings() []op.Source {
	return []op.Source{
		{Op: "Squeeze", Since: []int{1, 11, 13, 21, 23, 24, 25}, Import: importSqueeze},
		{Op: "Unsqueeze", Since: []int{1, 11, 13, 21, 23, 24, 25}, Import: importUnsqueeze},
		{Op: "Flatten", Since: []int{1, 9, 11, 13, 21, 23, 24, 25}, Import: importFlatten},
		{Op: "Slice", Since: []int{1}, Import: importSliceAttrs},
		{Op: "Slice", Since: []int{10, 11, 13}, Import: importSlice},
	}
}

// tensors demands between lo and hi operands, the first lo of them present, all of them tensors.
func tensors(c *op.Import, lo, hi int) error {
	if c.NumIn() > hi {
		return fmt.Errorf("want at most %d operands, got %d", hi, c.NumIn())
	}
	for i := 0; i < hi; i++ {
		switch {
		case !c.Has(i) && i < lo:
			return fmt.Errorf("operand %d is missing", i)
		case c.Has(i) && c.In(i).Type.Kind != ir.Tensor:
			return fmt.Errorf("operand %d: want a tensor, got %v", i, c.In(i).Type)
		}
	}
	return nil
}

// intList is an attribute of integers, or, where it is absent, the contents of operand i. given tells
// whether the model has either, known whether the numbers are known.
func intList(c *op.Import, name string, i int) (l []int64, given, known bool) {
	if a, ok := c.Model.Attr(name); ok && a.Kind == attr.Ints {
		return a.Ints, true, true
	}
	if !c.Has(i) {
		return nil, false, true
	}
	l, known = ints(c.Node, i)
	return l, true, known
}

func importReshape(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 2); err != nil {
		return nil, err
	}
	x := c.In(0)
	var want []dim.Expr
	known := false
	if a, ok := c.Model.Attr("shape"); ok && c.Version < 5 {
		for _, v := range a.Ints {
			want = append(want, dim.Const(v))
		}
		known = true
	} else if !c.Has(1) {
		return nil, fmt.Errorf("operand shape is missing")
	} else {
		want, known = contents(c.Node, 1)
	}
	a, _ := c.Model.Attr("allowzero")
	if !known {
		return c.Do("reshape", []*ir.Value{x, c.In(1)}, named("allowzero", a.I != 0))[:1], c.Err()
	}
	shape, err := reshapeDims(x.Type.Shape, want, a.I != 0)
	if err != nil {
		return nil, err
	}
	return []*ir.Value{c.Reshape(x, shape)}, c.Err()
}

// reshapeDims resolves 0 (the extent of x) and -1 (what is left).
func reshapeDims(x, want []dim.Expr, allowZero bool) ([]dim.Expr, error) {
	shape := append([]dim.Expr(nil), want...)
	free := -1
	rest := dim.Const(1)
	for i, e := range shape {
		v, isConst := e.Int()
		switch {
		case isConst && v == 0 && !allowZero:
			if i >= len(x) {
				return nil, fmt.Errorf("shape %v: axis %d of a tensor of rank %d", want, i, len(x))
			}
			shape[i] = x[i]
		case isConst && v == -1 && free < 0:
			free = i
			continue
		case isConst && v < 0:
			return nil, fmt.Errorf("shape %v", want)
		}
		rest = dim.Mul(rest, shape[i])
	}
	if free < 0 {
		return shape, nil
	}
	if rest.IsConst(0) {
		shape[free] = dim.Expr{}
		return shape, nil
	}
	shape[free] = leftOver(x, shape, free)
	return shape, nil
}

// leftOver divides the extents of x by those of shape but one. Equal extents cancel first, so that extents
// that may be 0 or a broadcast of symbols divide as well.
func leftOver(x, shape []dim.Expr, free int) dim.Expr {
	used := make([]bool, len(x))
	rest := dim.Const(1)
	for i, e := range shape {
		if i == free {
			continue
		}
		found := false
		for k := range x {
			if !used[k] && dim.Equal(x[k], e) {
				used[k], found = true, true
				break
			}
		}
		if !found {
			rest = dim.Mul(rest, e)
		}
	}
	all := dim.Const(1)
	for k, e := range x {
		if !used[k] {
			all = dim.Mul(all, e)
		}
	}
	return dim.Div(all, rest)
}

func importTranspose(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	x := c.In(0)
	var perm []int
	if a, ok := c.Model.Attr("perm"); ok && a.Kind == attr.Ints {
		for _, v := range a.Ints {
			perm = append(perm, int(v))
		}
	} else {
		for i := x.Rank() - 1; i >= 0; i-- {
			perm = append(perm, i)
		}
	}
	return []*ir.Value{c.Transpose(x, perm)}, c.Err()
}

func importExpand(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 2); err != nil {
		return nil, err
	}
	x := c.In(0)
	want, known := contents(c.Node, 1)
	if !known {
		return c.Do("expand", []*ir.Value{x, c.In(1)}, nil)[:1], c.Err()
	}
	for len(want) < x.Rank() {
		want = append([]dim.Expr{dim.Const(1)}, want...)
	}
	shape := append([]dim.Expr(nil), want...)
	for i, e := range x.Type.Shape {
		k := len(shape) - x.Rank() + i
		shape[k] = dim.Bcast(e, shape[k])
	}
	return []*ir.Value{c.ExpandTo(x, shape)}, c.Err()
}

func importSqueeze(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 2); err != nil {
		return nil, err
	}
	x := c.In(0)
	axes, given, known := intList(c, "axes", 1)
	if !known {
		return c.Do("squeeze", []*ir.Value{x, c.In(1)}, nil)[:1], c.Err()
	}
	if !given {
		for i, e := range x.Type.Shape {
			if e.IsConst(1) {
				axes = append(axes, int64(i))
			} else if err := keptBySqueeze(c, e); err != nil {
				return nil, err
			}
		}
	}
	axes, err := normAxes(axes, x.Rank())
	if err != nil {
		return nil, err
	}
	var shape []dim.Expr
	for i, e := range x.Type.Shape {
		if len(axes) > 0 && axes[0] == int64(i) {
			axes = axes[1:]
			if v, ok := e.Int(); ok && v != 1 {
				return nil, fmt.Errorf("axis %d of %v has not extent 1", i, x.Type)
			}
			continue
		}
		shape = append(shape, e)
	}
	return []*ir.Value{c.Reshape(x, shape)}, c.Err()
}

// keptBySqueeze demands that an extent is not 1, as ranks are fixed: a squeeze without axes would take it away. An extent that inputs
// decide is refused, since whoever knows the inputs can import the model for them; of one that data decide a guard says so, in
// equalities: 1 = min(|e-1|, 1).
func keptBySqueeze(c *op.Import, e dim.Expr) error {
	one, dims := dim.Const(1), c.Builder.M.Dims
	if _, ok := e.Int(); ok || dims.Prove(e, dim.Ne, one) == dim.Yes {
		return nil
	}
	if !dims.Late(e) {
		return fmt.Errorf("%w: squeeze without axes of extent %v, which may be 1", ir.ErrUnsupported, e)
	}
	apart := dim.Min(dim.Max(dim.Sub(e, one), dim.Sub(one, e)), one)
	why := fmt.Sprintf("squeeze without axes keeps extent %v, which must not be 1", e)
	if l := c.Builder.Locs; len(l) > 0 {
		why = l[0].String() + ": " + why
	}
	if !dims.Guard(apart, one, false, why) {
		return fmt.Errorf("squeeze without axes: extent %v is 1", e)
	}
	return nil
}

func importUnsqueeze(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 2); err != nil {
		return nil, err
	}
	x := c.In(0)
	axes, given, known := intList(c, "axes", 1)
	switch {
	case !given:
		return nil, fmt.Errorf("axes are missing")
	case !known:
		return c.Do("unsqueeze", []*ir.Value{x, c.In(1)}, nil)[:1], c.Err()
	case len(axes) > 64:
		return nil, fmt.Errorf("%d axes", len(axes))
	}
	axes, err := normAxes(axes, x.Rank()+len(axes))
	if err != nil {
		return nil, err
	}
	shape := append([]dim.Expr(nil), x.Type.Shape...)
	for _, a := range axes {
		shape = append(shape[:a], append([]dim.Expr{dim.Const(1)}, shape[a:]...)...)
	}
	return []*ir.Value{c.Reshape(x, shape)}, c.Err()
}

func importFlatten(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	x := c.In(0)
	a, ok := c.Model.Attr("axis")
	if !ok {
		a.I = 1
	}
	if a.I < 0 {
		a.I += int64(x.Rank())
	}
	if a.I < 0 || a.I > int64(x.Rank()) {
		return nil, fmt.Errorf("axis %d of a tensor of rank %d", a.I, x.Rank())
	}
	s := x.Type.Shape
	return []*ir.Value{c.Reshape(x, []dim.Expr{dim.Product(s[:a.I]), dim.Product(s[a.I:])})}, c.Err()
}

func importSplit(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 2); err != nil {
		return nil, err
	}
	x := c.In(0)
	a, _ := c.Model.Attr("axis")
	axis := a.I
	if axis < 0 {
		axis += int64(x.Rank())
	}
	if axis < 0 || axis >= int64(x.Rank()) {
		return nil, fmt.Errorf("axis %d of a tensor of rank %d", a.I, x.Rank())
	}
	d := x.Type.Shape[axis]
	var sizes []dim.Expr
	switch s, ok := c.Model.Attr("split"); {
	case ok:
		for _, v := range s.Ints {
			sizes = append(sizes, dim.Const(v))
		}
	case c.Has(1):
		var known bool
		if sizes, known = contents(c.Node, 1); !known {
			return c.Do("split", []*ir.Value{x, c.In(1)}, named("axis", axis)), c.Err()
		}
	default:
		n := int64(c.NumOuts)
		if v, ok := c.Model.Attr("num_outputs"); ok {
			n = v.I
		}
		if n <= 0 || n > 1<<16 {
			return nil, fmt.Errorf("split into %d parts", n)
		}
		each := dim.CeilDiv(d, dim.Const(n)) // the last part may be smaller
		for i := int64(1); i < n; i++ {
			sizes = append(sizes, each)
		}
		last := dim.Sub(d, dim.Mul(each, dim.Const(n-1)))
		if q := dim.Div(d, dim.Const(n)); dim.Equal(q, each) {
			last = q
		}
		sizes = append(sizes, last)
	}
	return c.Do("split", []*ir.Value{x}, named("axis", axis, "sizes", sizes)), c.Err()
}

// importSliceAttrs reads version 1, where the bounds are attributes.
func importSliceAttrs(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	read := func(name string) []dim.Expr {
		a, _ := c.Model.Attr(name)
		l := make([]dim.Expr, len(a.Ints))
		for i, v := range a.Ints {
			l[i] = dim.Const(v)
		}
		return l
	}
	starts, ends := read("starts"), read("ends")
	var axes []int64
	if a, ok := c.Model.Attr("axes"); ok {
		axes = a.Ints
	} else {
		axes = upTo(len(starts))
	}
	steps := make([]int64, len(starts))
	for i := range steps {
		steps[i] = 1
	}
	y, ok, err := staticSlice(c, starts, ends, axes, steps)
	if err == nil && !ok {
		err = fmt.Errorf("%w: slice of %v from %v to %v", ir.ErrUnsupported, c.In(0).Type, starts, ends)
	}
	return []*ir.Value{y}, err
}

func upTo(n int) []int64 {
	l := make([]int64, n)
	for i := range l {
		l[i] = int64(i)
	}
	return l
}

func importSlice(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 5); err != nil {
		return nil, err
	}
	starts, known := contents(c.Node, 1)
	ends, knownEnds := contents(c.Node, 2)
	axes, steps := upTo(len(starts)), make([]int64, len(starts))
	for i := range steps {
		steps[i] = 1
	}
	knownAxes, knownSteps := true, true
	if c.Has(3) {
		axes, knownAxes = ints(c.Node, 3)
	}
	if c.Has(4) {
		steps, knownSteps = ints(c.Node, 4)
	}
	if known && knownEnds && knownAxes && knownSteps {
		y, ok, err := staticSlice(c, starts, ends, axes, steps)
		if ok || err != nil {
			return []*ir.Value{y}, err
		}
	}
	in := []*ir.Value{c.In(0), c.In(1), c.In(2), c.In(3), c.In(4)}
	return c.Do("slice_at", in, nil)[:1], c.Err()
}

// staticSlice makes a slice whose bounds are known or provable; false where the sign of a bound is open.
func staticSlice(c *op.Import, starts, ends []dim.Expr, axes, steps []int64) (*ir.Value, bool, error) {
	x := c.In(0)
	if len(starts) != len(ends) || len(starts) != len(axes) || len(starts) != len(steps) {
		return nil, false, fmt.Errorf("%d starts, %d ends, %d axes, %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	if _, err := normAxes(axes, x.Rank()); err != nil {
		return nil, false, err
	}
	from, by := make([]dim.Expr, x.Rank()), make([]int64, x.Rank())
	shape := append([]dim.Expr(nil), x.Type.Shape...)
	for i := range by {
		by[i] = 1
	}
	for i, a := range axes {
		if a < 0 {
			a += int64(x.Rank())
		}
		if steps[i] == 0 {
			return nil, false, fmt.Errorf("axis %d: step 0", a)
		}
		var ok bool
		if from[a], shape[a], ok = sliceSpan(c.Builder.M.Dims, starts[i], ends[i], steps[i], shape[a]); !ok {
			return nil, false, nil
		}
		by[a] = steps[i]
	}
	if dim.EqualAll(shape, x.Type.Shape) && allOnes(by) && allZero(from) {
		return x, true, nil
	}
	y := c.CallWith("slice", named("starts", from, "steps", by, "shape", shape), x)
	return y, c.Err() == nil, c.Err()
}

func allOnes(l []int64) bool {
	for _, v := range l {
		if v != 1 {
			return false
		}
	}
	return true
}

func allZero(l []dim.Expr) bool {
	for _, e := range l {
		if !e.IsConst(0) {
			return false
		}
	}
	return true
}

// sliceSpan gives first element and extent of one axis of extent n.
func sliceSpan(s *dim.Scope, begin, end dim.Expr, step int64, n dim.Expr) (start, count dim.Expr, ok bool) {
	lo, hi := dim.Expr{}, n
	if step < 0 {
		lo, hi = dim.Const(-1), dim.Sub(n, dim.Const(1))
	}
	if start, ok = sliceBound(s, begin, n, dim.Expr{}, hi); !ok {
		return start, count, false
	}
	if c, fixed := end.Int(); fixed && step < 0 && movement.ToTheEnd(c) {
		end = lo
	} else if end, ok = sliceBound(s, end, n, lo, hi); !ok {
		return start, count, false
	}
	dist, by := dim.Sub(end, start), dim.Const(step)
	far := dim.Equal(end, hi) // start was clamped to hi, so the distance is not negative
	if step < 0 {
		dist, by = dim.Sub(start, end), dim.Const(-step)
		far = dim.Equal(end, lo)
	}
	if !far && s.Prove(dist, dim.Ge, dim.Expr{}) != dim.Yes {
		dist = dim.Max(dist, dim.Expr{})
	}
	return start, dim.CeilDiv(dist, by), true
}

// sliceBound resolves a negative bound and clamps to lo and hi; where the sign is open it gives false.
func sliceBound(s *dim.Scope, v, n, lo, hi dim.Expr) (dim.Expr, bool) {
	const far = 1<<31 - 1 // what exporters write for "to the end"
	if c, ok := v.Int(); ok && c >= far {
		return hi, true
	} else if ok && c <= -far {
		return atMost(s, lo, hi), true
	}
	switch s.Prove(v, dim.Ge, dim.Expr{}) {
	case dim.No:
		v = dim.Add(v, n)
	case dim.Unknown:
		if lo.IsConst(0) && dim.Add(v, n).IsConst(0) && s.Prove(v, dim.Le, lo) == dim.Yes {
			return lo, true // -n of n elements: the first one, also where n is 0
		}
		return v, false
	}
	if s.Prove(v, dim.Ge, lo) != dim.Yes {
		v = dim.Max(v, lo)
	}
	return atMost(s, v, hi), true // of no elements, what is before the first is more than what is behind the last
}

func atMost(s *dim.Scope, v, hi dim.Expr) dim.Expr {
	if s.Prove(v, dim.Le, hi) == dim.Yes {
		return v
	}
	return dim.Min(v, hi)
}

// importShape makes the extents from start to end a list.
func importShape(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	shape := c.In(0).Type.Shape
	n := int64(len(shape))
	bound := func(name string, def int64) int64 {
		a, ok := c.Model.Attr(name)
		if !ok {
			return def
		}
		if a.I < 0 {
			a.I += n
		}
		return min(max(a.I, 0), n)
	}
	start, end := bound("start", 0), bound("end", n)
	shape = shape[start:max(start, end)]
	return []*ir.Value{c.Builder.Dims(ir.TensorType(dtype.I64, dim.Const(int64(len(shape)))), shape)}, nil
}
