package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/linear"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tile"
)

func linearDefs() []*op.Def { return []*op.Def{matMulDef()} }

func linearSpellings() []op.Source {
	return []op.Source{{Op: "Gemm", Since: []int{1, 6, 7, 9, 11, 13}, Import: importGemm}}
}

var multiplied = op.Float | op.Set(dtype.I32, dtype.I64, dtype.U32, dtype.U64)

func matMulDef() *op.Def {
	return &op.Def{
		Name: "matmul",
		Doc:  "y[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]; leading axes broadcast; an operand of rank 1 lacks m or n.",
		From: []op.Source{{Op: "MatMul", Since: []int{1, 9, 13}}},
		Sig:  op.Sig{In: []op.Arg{{Name: "a", Elem: multiplied}, {Name: "b", Elem: multiplied}}, Out: []op.Arg{{Name: "y"}}},
		Infer: func(c *op.Infer) error {
			if err := c.SameElem(0, 1); err != nil {
				return err
			}
			a, b := c.Shape(0), c.Shape(1)
			if len(a) == 0 || len(b) == 0 {
				return fmt.Errorf("operands of rank %d and %d, want at least 1", len(a), len(b))
			}
			k := b[0]
			if len(b) > 1 {
				k = b[len(b)-2]
			}
			if err := c.Guard(a[len(a)-1], k, "axis k"); err != nil {
				return err
			}
			shape, err := c.Broadcast(a[:max(len(a)-2, 0)], b[:max(len(b)-2, 0)])
			if err != nil {
				return err
			}
			if len(a) > 1 {
				shape = append(shape, a[len(a)-2])
			}
			if len(b) > 1 {
				shape = append(shape, b[len(b)-1])
			}
			c.Set(0, c.Elem(0), shape)
			return nil
		},
		Form: formMatMul,
		Host: linear.MatMul,
		VJP:  todo,
		Cases: func(c *op.Cases) {
			c.Shapes("[3, 5]", "[5, 7]").Shapes("[B, M, K]", "[K, N]").Shapes("[0, 4]", "[4, 2]").Shapes("[3, 0]", "[0, 2]")
			c.Shapes("[B, 1, M, 3]", "[2, 3, 4]").Shapes("[K]", "[K]").Shapes("[K]", "[B, K, 2]").Shapes("[B, 2, K]", "[K]")
			c.Elem(dtype.F64).Shapes("[3, 5]", "[5, 7]").Elem(dtype.F16).Tol(2e-3).Shapes("[3, 5]", "[5, 7]").Tol(0)
			c.Elem(dtype.I32).Range(-9, 9).Shapes("[3, 5]", "[5, 7]").Elem(dtype.U64).Range(0, 9).Shapes("[2, 2]", "[2, 2]")
		},
	}
}

// accumulator is the class in which contractions of an element type are summed; integers have none yet.
func accumulator(f *op.Form, t dtype.Type) (tile.Class, error) {
	if !op.Float.Has(t) {
		return tile.NoClass, f.No("element type %v", t)
	}
	return tile.ClassOf(t), nil
}

func formMatMul(f *op.Form) error {
	acc, err := accumulator(f, f.Elem(0))
	if err != nil {
		return err
	}
	f.Anchor = anchor.Contract
	a, b, y := f.Shape(0), f.Shape(1), f.OutShape(0)
	rows, cols := len(a) > 1, len(b) > 1
	batch := len(y)
	if rows {
		batch--
	}
	if cols {
		batch--
	}
	for i, e := range y[:batch] {
		f.Space = append(f.Space, op.Axis{Name: fmt.Sprintf("b%d", i), Extent: e})
	}
	am, bm := f.Broadcast(a[:max(len(a)-2, 0)], batch), f.Broadcast(b[:max(len(b)-2, 0)], batch)
	ym := f.Broadcast(y[:batch], batch)
	add := func(name string, e dim.Expr, red bool) op.At {
		f.Space = append(f.Space, op.Axis{Name: name, Extent: e, Red: red})
		return op.At{Axis: len(f.Space) - 1}
	}
	if rows {
		m := add("m", a[len(a)-2], false)
		am, ym = append(am, m), append(ym, m)
	}
	var n op.At
	if cols {
		n = add("n", b[len(b)-1], false)
		ym = append(ym, n)
	}
	k := add("k", a[len(a)-1], true)
	am, bm = append(am, k), append(bm, k)
	if cols {
		bm = append(bm, n)
	}
	f.Maps = []op.Map{am, bm, ym}
	f.PostStore(acc)
	return nil
}

// importGemm is alpha * a' * b' + beta * c, where a' and b' may be transposed.
func importGemm(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 2, 3); err != nil {
		return nil, err
	}
	a, b := c.In(0), c.In(1)
	if a.Rank() != 2 || b.Rank() != 2 {
		return nil, fmt.Errorf("operands of rank %d and %d, want 2", a.Rank(), b.Rank())
	}
	if v, _ := c.Model.Attr("transA"); v.I != 0 {
		a = c.Transpose(a, []int{1, 0})
	}
	if v, _ := c.Model.Attr("transB"); v.I != 0 {
		b = c.Transpose(b, []int{1, 0})
	}
	y := c.Call("matmul", a, b)
	if alpha := number(c, "alpha", 1); alpha != 1 {
		y = c.Call("mul", y, c.Like(y, alpha))
	}
	beta := number(c, "beta", 1)
	if !c.Has(2) || beta == 0 {
		return []*ir.Value{y}, c.Err()
	}
	bias := c.In(2)
	if beta != 1 {
		bias = c.Call("mul", bias, c.Like(bias, beta))
	}
	return []*ir.Value{c.Call("add", y, bias)}, c.Err()
}
