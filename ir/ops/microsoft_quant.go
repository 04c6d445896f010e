package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// microsoftQuantSpellings are operators over quantised tensors. Those whose operands and result are quantised one by one
// are computed between a dequantize_linear and a quantize_linear.
func microsoftQuantSpellings() []op.Source {
	row := func(name string, f func(*op.Import) ([]*ir.Value, error)) op.Source {
		return op.Source{Domain: microsoft, Op: name, Since: []int{1}, Import: f}
	}
	return []op.Source{
		row("MatMulNBits", importMatMulNBits),
		row("DynamicQuantizeMatMul", importDynamicMatMul), row("MatMulIntegerToFloat", importIntegerToFloat),
		row("QLinearAdd", importQBinary("add")), row("QLinearMul", importQBinary("mul")),
		row("QLinearSigmoid", importQUnary(func(c *op.Import, x *ir.Value) ([]*ir.Value, error) {
			return []*ir.Value{c.Call("sigmoid", x)}, nil
		})),
		row("QLinearLeakyRelu", importQUnary(func(c *op.Import, x *ir.Value) ([]*ir.Value, error) {
			return []*ir.Value{c.CallWith("leaky_relu", named("alpha", number(c, "alpha", 0.01)), x)}, nil
		})),
		row("QLinearSoftmax", importQSoftmax),
		row("QLinearGlobalAveragePool", importQUnary(qGlobalAverage)),
		row("QLinearAveragePool", importQUnary(func(c *op.Import, x *ir.Value) ([]*ir.Value, error) {
			d := with(c, x)
			d.Version = 11
			if modelInt(c, "channels_last", 0) != 0 {
				return channelsLast(d, importAveragePool)
			}
			return importAveragePool(d)
		})),
		row("NhwcMaxPool", func(c *op.Import) ([]*ir.Value, error) {
			if err := tensors(c, 1, 1); err != nil {
				return nil, err
			}
			return channelsLast(c, importMaxPool)
		}),
		row("QLinearConv", func(c *op.Import) ([]*ir.Value, error) {
			if err := tensors(c, 8, 9); err != nil {
				return nil, err
			}
			if modelInt(c, "channels_last", 0) != 0 {
				return channelsLast(c, importQLinearConv)
			}
			return importQLinearConv(c)
		}),
		row("QLinearWhere", importQWhere), row("GatherBlockQuantized", importGatherBlocks), row("MatMulBnb4", importMatMulBnb4),
		row("QEmbedLayerNormalization", importQEmbedNorm), row("DynamicQuantizeLSTM", importDynamicLSTM),
		row("QLinearConcat", importQConcat), row("QGemm", importQGemm),
		row("QuantizeLinear", importQuantize), row("DequantizeLinear", importDequantize),
	}
}

// dequantize is (x - zero) * scale in f32; scales of rank 1 run along an axis.
func dequantize(b *op.Build, x, scale, zero *ir.Value, axis int) *ir.Value {
	if b.Err() != nil || x == nil || scale == nil {
		b.Fail(fmt.Errorf("an operand is missing"))
		return nil
	}
	return b.CallWith("dequantize_linear", named("to", dtype.F32, "axis", axis), x, scale, zero)
}

// requantize is the way back; without a zero point the result is like x.
func requantize(b *op.Build, y, scale, zero *ir.Value, to dtype.Type) []*ir.Value {
	if zero != nil {
		to = zero.Type.Elem
	}
	return []*ir.Value{b.CallWith("quantize_linear", named("to", to), y, scale, zero)}
}

// importQBinary reads a, its scale and zero point, b with its own, scale and zero point of the result.
func importQBinary(name string) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 2, 8); err != nil {
			return nil, err
		}
		y := c.Call(name, dequantize(c.Build, c.In(0), c.In(1), c.In(2), 0), dequantize(c.Build, c.In(3), c.In(4), c.In(5), 0))
		return requantize(c.Build, y, c.In(6), c.In(7), c.Elem(0)), c.Err()
	}
}

func importQUnary(f func(c *op.Import, x *ir.Value) ([]*ir.Value, error)) func(*op.Import) ([]*ir.Value, error) {
	return func(c *op.Import) ([]*ir.Value, error) {
		if err := tensors(c, 2, 5); err != nil {
			return nil, err
		}
		x := dequantize(c.Build, c.In(0), c.In(1), c.In(2), 0)
		if c.Err() != nil {
			return nil, c.Err()
		}
		y, err := f(c, x)
		if err != nil {
			return nil, err
		}
		return requantize(c.Build, y[0], c.In(3), c.In(4), c.Elem(0)), c.Err()
	}
}

// importQSoftmax has as many steps between 0 and 1 as 1/scale of the result, a product of f32, has whole ones: the scale next
// to 1/255 makes 254.
func importQSoftmax(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 5); err != nil {
		return nil, err
	}
	y := c.CallWith("softmax", named("axis", modelInt(c, "axis", -1)), dequantize(c.Build, c.In(0), c.In(1), c.In(2), 0))
	if c.Err() != nil || !c.Has(3) {
		return nil, c.Err()
	}
	steps := c.Call("floor", c.Call("div", c.Like(c.In(3), 1), c.In(3)))
	return requantize(c.Build, y, c.Call("div", c.Like(c.In(3), 1), steps), c.In(4), c.Elem(0)), c.Err()
}

func qGlobalAverage(c *op.Import, x *ir.Value) ([]*ir.Value, error) {
	first, last := 2, x.Rank()
	if modelInt(c, "channels_last", 0) != 0 {
		first, last = 1, x.Rank()-1
	}
	var axes []int
	for i := first; i < last; i++ {
		axes = append(axes, i)
	}
	return []*ir.Value{c.Reduce("mean", x, axes...)}, c.Err()
}

// channelsLast imports a window over pictures whose channels come last.
func channelsLast(c *op.Import, f func(*op.Import) ([]*ir.Value, error)) ([]*ir.Value, error) {
	x := c.In(0)
	if x == nil || x.Rank() < 2 {
		return nil, fmt.Errorf("operand 0: want rank 2 or more")
	}
	n := x.Rank()
	first, last := []int{0, n - 1}, []int{0}
	for i := 1; i < n-1; i++ {
		first, last = append(first, i), append(last, i+1)
	}
	in := append([]*ir.Value(nil), c.N.In...)
	in[0] = c.Transpose(x, first)
	if c.Err() != nil {
		return nil, c.Err()
	}
	y, err := f(with(c, in...))
	if err != nil {
		return nil, err
	}
	return []*ir.Value{c.Transpose(y[0], append(last, 1))}, c.Err()
}

// importQWhere: condition, then x and y with scales and zero points, then those of the result.
func importQWhere(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 9, 9); err != nil {
		return nil, err
	}
	x, y := dequantize(c.Build, c.In(1), c.In(2), c.In(3), 0), dequantize(c.Build, c.In(4), c.In(5), c.In(6), 0)
	return requantize(c.Build, c.Call("where", c.In(0), x, y), c.In(7), c.In(8), c.Elem(1)), c.Err()
}

// importQEmbedNorm is EmbedLayerNormalization of quantised tables: ids, segments, tables of words, positions and segments, gamma,
// beta, mask, then the scales of these five, then their zero points.
func importQEmbedNorm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 18); err != nil {
		return nil, err
	}
	in := append([]*ir.Value(nil), c.N.In[:8]...)
	for i := range 5 {
		if c.Has(2 + i) {
			in[2+i] = dequantize(c.Build, c.In(2+i), c.In(8+i), c.In(13+i), 0)
		}
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	return importEmbedNorm(with(c, in...))
}

// importGatherBlocks picks rows of a table whose elements are quantised in blocks along another axis, and dequantises them.
// Elements of less than a byte may come as bytes that hold several, along the last axis.
func importGatherBlocks(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 4); err != nil {
		return nil, err
	}
	b, data, at, scale, zero := c.Build, c.In(0), c.In(1), c.In(2), c.In(3)
	r, block := data.Rank(), modelInt(c, "block_size", 128)
	axis, along := int(modelInt(c, "gather_axis", 0)), int(modelInt(c, "quantize_axis", 1))
	if axis < 0 {
		axis += r
	}
	if along < 0 {
		along += r
	}
	if axis < 0 || axis >= r || along < 0 || along >= r || scale.Rank() != r || block < 1 || zero != nil && zero.Rank() != r {
		return nil, fmt.Errorf("%w: blocks of %d along axis %d, rows along axis %d of %v", ir.ErrUnsupported, block, along, axis, data.Type)
	}
	if data.Type.Elem == dtype.U8 {
		bits := modelInt(c, "bits", 4)
		elem, ok := map[int64]dtype.Type{2: dtype.U2, 4: dtype.U4, 8: dtype.U8}[bits]
		if !ok {
			return nil, fmt.Errorf("%w: %d bits", ir.ErrUnsupported, bits)
		}
		if bits < 8 {
			data = unpackLast(b, data, elem, dim.Mul(data.Type.Shape[r-1], dim.Const(8/bits)))
		}
		switch {
		case zero != nil && bits < 8:
			zero = unpackLast(b, zero, elem, scale.Type.Shape[r-1])
		case zero == nil:
			zero = b.ExpandTo(b.Builder.Scalar(elem, float64(int(1)<<(bits-1))), scale.Type.Shape)
		}
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	l := named("to", scale.Type.Elem, "axis", along, "block_size", block)
	pick := func(v *ir.Value) *ir.Value {
		if v == nil {
			return nil
		}
		return b.CallWith("gather", named("axis", axis), v, at)
	}
	if axis == along {
		return []*ir.Value{pick(b.CallWith("dequantize_linear", l, data, scale, zero))}, b.Err()
	}
	if along > axis {
		l = named("to", scale.Type.Elem, "axis", along+at.Rank()-1, "block_size", block)
	}
	return []*ir.Value{b.CallWith("dequantize_linear", l, pick(data), pick(scale), pick(zero))}, b.Err()
}

// unpackLast reads bytes as elements of a narrower type, of which the last axis has n.
func unpackLast(b *op.Build, x *ir.Value, elem dtype.Type, n dim.Expr) *ir.Value {
	y := b.CallWith("bit_cast", named("to", elem), x)
	if b.Err() != nil {
		return nil
	}
	last := x.Rank() - 1
	per := dim.Const(int64(8 / elem.Bits()))
	full := append(append([]dim.Expr(nil), x.Type.Shape[:last]...), dim.Mul(x.Type.Shape[last], per))
	if y.Rank() != len(full) || !dim.EqualAll(y.Type.Shape, full) {
		y = b.Reshape(y, full)
	}
	if !dim.Equal(full[last], n) {
		y = cut(b, y, last, dim.Expr{}, 1, n)
	}
	return y
}

// The values of the two 4-bit types of MatMulBnb4: floating-point numbers of two exponent bits, and quantiles of the normal
// distribution (Dettmers et al., QLoRA, 2023).
var bnb4 = [2][]float32{
	{0, 0.00520833333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25, 0, -0.00520833333, -0.66666667, -1, -0.33333333, -0.5, -0.16666667, -0.25},
	{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
		0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1},
}

// importMatMulBnb4 is x * w', where w [n, k] lies as numbers of values, two a byte, the first in the high bits, and a factor
// for each block of them.
func importMatMulBnb4(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 3); err != nil {
		return nil, err
	}
	b := c.Build
	k, n, block, kind := modelInt(c, "K", 0), modelInt(c, "N", 0), modelInt(c, "block_size", 0), modelInt(c, "quant_type", 0)
	if k < 1 || n < 1 || k > 1<<31 || n > 1<<31 || block < 1 || kind < 0 || kind > 1 || modelInt(c, "transB", 1) != 1 {
		return nil, fmt.Errorf("%w: K %d, N %d, blocks of %d, type %d", ir.ErrUnsupported, k, n, block, kind)
	}
	count := k * n
	blocks := (count + block - 1) / block
	if count > 1<<40 || c.In(1).Type.Elem != dtype.U8 {
		return nil, fmt.Errorf("%w: %d elements of %v", ir.ErrUnsupported, count, c.In(1).Type)
	}
	if !c.Builder.M.Dims.Guard(dim.Product(c.In(1).Type.Shape), dim.Const((count+1)/2), false, "bytes") {
		return nil, fmt.Errorf("want %d bytes, got %v", (count+1)/2, c.In(1).Type)
	}
	pairs := unpackLast(b, b.Reshape(c.In(1), []dim.Expr{dim.Const((count + 1) / 2), dim.Const(1)}), dtype.U4, dim.Const(2))
	at := b.Cast(b.CallWith("gather", named("axis", 1), pairs, b.Builder.Ints(1, 0)), dtype.I32)
	at = b.Reshape(at, []dim.Expr{dim.Const((count + 1) / 2 * 2)})
	if (count+1)/2*2 != blocks*block {
		at = b.CallWith("pad", named("mode", "constant", "begins", make([]dim.Expr, 1), "ends", []dim.Expr{dim.Const(blocks*block - (count+1)/2*2)}), at, b.Like(at, 0))
	}
	w := b.CallWith("gather", named("axis", 0), b.Builder.Const("", tensor.Of(dtype.F32, bnb4[kind], 16)), at)
	w = b.Reshape(w, []dim.Expr{dim.Const(blocks), dim.Const(block)})
	w = b.Call("mul", w, b.Cast(b.Reshape(c.In(2), []dim.Expr{dim.Const(blocks), dim.Const(1)}), dtype.F32))
	w = b.Reshape(w, []dim.Expr{dim.Const(blocks * block)})
	if blocks*block != count {
		w = cut(b, w, 0, dim.Expr{}, 1, dim.Const(count))
	}
	w = b.Cast(b.Reshape(w, []dim.Expr{dim.Const(n), dim.Const(k)}), c.Elem(0))
	return []*ir.Value{b.Call("matmul", c.In(0), b.Transpose(w, []int{1, 0}))}, b.Err()
}

// importQConcat reads scale and zero point of the result, then three operands for each part.
func importQConcat(c *op.Import) ([]*ir.Value, error) {
	n := c.NumIn()
	if err := tensors(c, 5, n); err != nil {
		return nil, err
	}
	var parts []*ir.Value
	for i := 2; i+2 < n; i += 3 {
		parts = append(parts, dequantize(c.Build, c.In(i), c.In(i+1), c.In(i+2), 0))
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	axis := int(modelInt(c, "axis", 0))
	if axis < 0 {
		axis += parts[0].Rank()
	}
	return requantize(c.Build, concat(c.Build, axis, parts...), c.In(0), c.In(1), c.Elem(2)), c.Err()
}

// importQGemm: a, b with scales and zero points, c in i32 of scale alpha * a_scale * b_scale; without a scale of the
// result this is f32.
func importQGemm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 6, 9); err != nil {
		return nil, err
	}
	b, alpha := c.Build, number(c, "alpha", 1)
	column := 1
	if modelInt(c, "transB", 0) != 0 {
		column = 0
	}
	x, w := dequantize(b, c.In(0), c.In(1), c.In(2), 0), dequantize(b, c.In(3), c.In(4), c.In(5), column)
	if modelInt(c, "transA", 0) != 0 {
		x = b.Transpose(x, []int{1, 0})
	}
	if column == 0 {
		w = b.Transpose(w, []int{1, 0})
	}
	y := b.Call("matmul", x, w)
	if b.Err() != nil {
		return nil, b.Err()
	}
	if alpha != 1 {
		y = b.Call("mul", y, b.Like(y, alpha))
	}
	if c.Has(6) {
		scale := b.Call("mul", c.In(1), c.In(4))
		y = b.Call("add", y, b.Call("mul", b.Cast(c.In(6), dtype.F32), b.Call("mul", scale, b.Like(scale, alpha))))
	}
	if !c.Has(7) {
		return []*ir.Value{y}, b.Err()
	}
	return requantize(b, y, c.In(7), c.In(8), c.Elem(0)), b.Err()
}

// importDynamicMatMul quantises a as DynamicQuantizeLinear does: operands a, b, scale and zero point of b, bias.
func importDynamicMatMul(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 5); err != nil {
		return nil, err
	}
	q, err := importDynamicQuantize(with(c, c.In(0)))
	if err != nil {
		return nil, err
	}
	return integerProduct(c.Build, q[0], c.In(1), q[1], c.In(2), q[2], c.In(3), c.In(4))
}

// importIntegerToFloat: a, b, their scales, their zero points, bias.
func importIntegerToFloat(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 4, 7); err != nil {
		return nil, err
	}
	return integerProduct(c.Build, c.In(0), c.In(1), c.In(2), c.In(3), c.In(4), c.In(5), c.In(6))
}

func integerProduct(b *op.Build, x, w, xs, ws, xz, wz, bias *ir.Value) ([]*ir.Value, error) {
	y := b.Cast(b.Call("matmul_integer", x, w, xz, wz), dtype.F32)
	y = b.Call("mul", y, b.Call("mul", xs, ws))
	if bias != nil {
		y = b.Call("add", y, bias)
	}
	return []*ir.Value{y}, b.Err()
}

// importMatMulNBits is a * w' + bias, where w [n, k] holds integers of a few bits in blocks along k that have a scale and
// a zero point each. The weights stay as they are in the file: their bytes are read as a tensor of that integer type.
func importMatMulNBits(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 3, 6); err != nil {
		return nil, err
	}
	if err := unread(c, 4); err != nil {
		return nil, err
	}
	b := c.Build
	k, n := modelInt(c, "K", 0), modelInt(c, "N", 0)
	bits, block := modelInt(c, "bits", 4), modelInt(c, "block_size", 0)
	elem, ok := map[int64]dtype.Type{2: dtype.U2, 4: dtype.U4, 8: dtype.U8}[bits]
	if !ok || block <= 0 || block*bits%8 != 0 || k <= 0 || n <= 0 || k > 1<<31 || n > 1<<31 || block > 1<<20 {
		return nil, fmt.Errorf("%w: %d bits in blocks of %d, K %d, N %d", ir.ErrUnsupported, bits, block, k, n)
	}
	blocks := (k + block - 1) / block
	if n*blocks > 1<<28 {
		return nil, fmt.Errorf("%w: %d blocks", ir.ErrUnsupported, n*blocks)
	}
	w, err := narrow(b, c.In(1), elem, int(n), int(blocks*block))
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	table := dim.Consts([]int{int(n), int(blocks)})
	scale := b.Reshape(c.In(2), table)
	t := c.Elem(0)
	l := named("to", t, "axis", 1, "block_size", block)
	zero := c.In(3)
	switch {
	case zero != nil && zero.Type.Elem == dtype.U8:
		if zero, err = narrow(b, zero, elem, int(n), int(blocks)); err != nil {
			return nil, fmt.Errorf("zero points: %w", err)
		}
	case zero == nil:
		mid := tensor.New(elem, int(n), int(blocks))
		for i := range mid.Data {
			mid.Data[i] = map[int64]byte{2: 0xaa, 4: 0x88, 8: 0x80}[bits]
		}
		zero = b.Builder.Const("", mid)
	}
	if zero == nil || zero.Type.Elem == elem {
		w = b.CallWith("dequantize_linear", l, w, scale, zero)
	} else { // zero points of floating-point type
		w = b.CallWith("dequantize_linear", l, w, scale)
		split := []dim.Expr{table[0], table[1], dim.Const(block)}
		shift := b.Reshape(b.Cast(b.Call("mul", b.Reshape(zero, table), scale), t), []dim.Expr{table[0], table[1], dim.Const(1)})
		w = b.Reshape(b.Call("sub", b.Reshape(w, split), shift), dim.Consts([]int{int(n), int(blocks * block)}))
	}
	x := c.In(0)
	if blocks*block != k {
		w = cut(b, w, 1, dim.Expr{}, 1, dim.Const(k))
	}
	if modelInt(c, "accuracy_level", 0) == 4 {
		x = roundBlocks(b, x, k, block)
	}
	y := b.Call("matmul", x, b.Transpose(w, []int{1, 0}))
	if c.Has(5) {
		y = b.Call("add", y, c.In(5))
	}
	return []*ir.Value{y}, b.Err()
}

// roundBlocks rounds the elements of each block along the last axis to multiples of a 127th of its largest magnitude: the products
// of accuracy level 4 are those of 8-bit integers.
func roundBlocks(b *op.Build, x *ir.Value, k, block int64) *ir.Value {
	if b.Err() != nil || x.Rank() == 0 {
		return x
	}
	s, r := x.Type.Shape, x.Rank()
	blocks := (k + block - 1) / block
	y := x
	if blocks*block != k {
		ends := make([]dim.Expr, r)
		ends[r-1] = dim.Const(blocks*block - k)
		y = b.CallWith("pad", named("mode", "constant", "begins", make([]dim.Expr, r), "ends", ends), x, b.Like(x, 0))
	}
	y = widen(b, b.Reshape(y, append(append([]dim.Expr(nil), s[:r-1]...), dim.Const(blocks), dim.Const(block))))
	top := b.Reduce("max", b.Call("abs", y), r)
	step := b.Call("mul", top, b.Like(top, 1.0/127))
	none := b.Call("equal", top, b.Like(top, 0))
	inverse := b.Call("div", b.Like(top, 127), b.Call("where", none, b.Like(top, 1), top))
	y = b.Call("mul", b.Call("round", b.Call("mul", y, inverse)), step)
	y = b.Reshape(y, append(append([]dim.Expr(nil), s[:r-1]...), dim.Const(blocks*block)))
	if blocks*block != k {
		y = cut(b, y, r-1, dim.Expr{}, 1, dim.Const(k))
	}
	return b.Cast(y, x.Type.Elem)
}

// narrow reads a tensor of bytes as rows of a narrower integer type, of which each row begins with a byte. Constants keep
// their storage where rows fill theirs.
func narrow(b *op.Build, x *ir.Value, elem dtype.Type, rows, cols int) (*ir.Value, error) {
	if b.Err() != nil {
		return nil, b.Err()
	}
	per := 8 / elem.Bits()
	width := (cols + per - 1) / per
	if x.Type.Elem != dtype.U8 || !b.Builder.M.Dims.Guard(dim.Product(x.Type.Shape), dim.Const(int64(rows)*int64(width)), false, "bytes") {
		return nil, fmt.Errorf("want %d rows of %d bytes, got %v", rows, width, x.Type)
	}
	full := dim.Consts([]int{rows, width * per})
	if t := b.Builder.M.ConstOf(x); t != nil && width*per == cols {
		return b.Builder.ConstAt(b.Builder.M.AddConst("", &tensor.Tensor{Elem: elem, Shape: []int{rows, cols}, Data: t.Data})), nil
	}
	if elem == dtype.U8 {
		return b.Reshape(x, full), b.Err()
	}
	y := b.CallWith("bit_cast", named("to", elem), b.Reshape(x, dim.Consts([]int{rows, width})))
	if width*per != cols {
		y = cut(b, y, 1, dim.Expr{}, 1, dim.Const(int64(cols)))
	}
	return y, b.Err()
}
