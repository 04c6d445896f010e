package ops

import (
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
)

func einsumSpellings() []op.Source {
	return []op.Source{{Op: "Einsum", Since: []int{12, 28}, Import: importEinsum}}
}

// labelled is an operand whose axes have labels: letters, and digits for the axes of an ellipsis, the last axis being 0.
type labelled struct {
	v      *ir.Value
	labels string
}

func (t labelled) axis(l byte) int { return strings.IndexByte(t.labels, l) }

// importEinsum contracts operands from left to right: an axis is summed as soon as neither the result nor a later operand has
// its label, in a matrix product where both operands have it.
func importEinsum(c *op.Import) ([]*ir.Value, error) {
	n := c.NumIn()
	if err := tensors(c, 1, n); err != nil {
		return nil, err
	}
	e := &einsum{b: c.Build}
	terms, out, err := e.parse(modelStr(c, "equation", ""))
	if err != nil {
		return nil, err
	}
	for i := range terms {
		later := out
		for _, t := range terms[i+1:] {
			later += t.labels
		}
		terms[i] = e.diagonal(terms[i])
		if i == 0 {
			terms[0] = e.sum(terms[0], later)
			continue
		}
		terms[i] = e.product(terms[i-1], terms[i], later)
	}
	y := e.arrange(terms[n-1], out)
	return []*ir.Value{y.v}, c.Err()
}

type einsum struct {
	b *op.Build
}

// parse labels the axes of the operands and of the result.
func (e *einsum) parse(eq string) (terms []labelled, out string, err error) {
	eq = strings.ReplaceAll(eq, " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	parts := strings.Split(left, ",")
	if len(parts) != e.b.NumIn() {
		return nil, "", fmt.Errorf("equation %q has %d terms for %d operands", eq, len(parts), e.b.NumIn())
	}
	widest := 0
	for i, p := range parts {
		before, after, dots := strings.Cut(p, "...")
		rest := e.b.Rank(i) - len(before) - len(after)
		if rest < 0 || rest > 9 || !dots && rest != 0 || !letters(before+after) {
			return nil, "", fmt.Errorf("equation %q: term %q for shape %v", eq, p, e.b.Shape(i))
		}
		widest = max(widest, rest)
		terms = append(terms, labelled{e.b.In(i), before + digits(rest) + after})
	}
	if !explicit {
		return terms, implied(terms, widest), nil
	}
	before, after, dots := strings.Cut(right, "...")
	out = before + after
	if dots {
		out = before + digits(widest) + after
	}
	all := ""
	for _, t := range terms {
		all += t.labels
	}
	for i := range out {
		if strings.IndexByte(all, out[i]) < 0 || strings.IndexByte(out[i+1:], out[i]) >= 0 {
			return nil, "", fmt.Errorf("equation %q: axis %q of the result", eq, out[i])
		}
	}
	return terms, out, nil
}

func letters(s string) bool {
	for i := range len(s) {
		if l := s[i] | 0x20; l < 'a' || l > 'z' {
			return false
		}
	}
	return true
}

// digits are the labels of an ellipsis of n axes.
func digits(n int) string { return "876543210"[9-n:] }

// implied is the result of an equation without one: the ellipsis, then the labels that occur once, sorted.
func implied(terms []labelled, widest int) string {
	var times [128]int
	for _, t := range terms {
		for i := range t.labels {
			times[t.labels[i]]++
		}
	}
	out := digits(widest)
	for l := byte('A'); l <= 'z'; l++ {
		if times[l] == 1 {
			out += string(l)
		}
	}
	return out
}

// diagonal keeps the elements whose positions along axes of one label are equal.
func (e *einsum) diagonal(t labelled) labelled {
	for i := 0; i < len(t.labels); i++ {
		k := strings.IndexByte(t.labels[i+1:], t.labels[i])
		if k < 0 || e.b.Err() != nil {
			continue
		}
		k += i + 1
		s := t.v.Type.Shape
		if !e.b.Builder.M.Dims.Guard(s[i], s[k], false, "einsum") {
			e.b.Fail(fmt.Errorf("axis %q has extents %v and %v", t.labels[i], s[i], s[k]))
			return t
		}
		rank := len(s)
		at := e.b.Call("equal", count(e.b, s[i], rank-i), count(e.b, s[k], rank-k))
		y := e.b.Reduce("sum", e.b.Call("where", at, t.v, e.b.Like(t.v, 0)), k)
		t = labelled{e.drop(y, k), t.labels[:k] + t.labels[k+1:]}
		i--
	}
	return t
}

// drop removes an axis of extent 1.
func (e *einsum) drop(x *ir.Value, axis int) *ir.Value {
	if e.b.Err() != nil {
		return x
	}
	s := x.Type.Shape
	return e.b.Reshape(x, append(append([]dim.Expr(nil), s[:axis]...), s[axis+1:]...))
}

// sum adds up the axes whose labels are not in keep.
func (e *einsum) sum(t labelled, keep string) labelled {
	var axes []int
	left := ""
	for i := range t.labels {
		if strings.IndexByte(keep, t.labels[i]) < 0 {
			axes = append(axes, i)
		} else {
			left += t.labels[i : i+1]
		}
	}
	if axes == nil || e.b.Err() != nil {
		return t
	}
	y := e.b.Reduce("sum", t.v, axes...)
	for i := len(axes) - 1; i >= 0; i-- {
		y = e.drop(y, axes[i])
	}
	return labelled{y, left}
}

// arrange orders the axes.
func (e *einsum) arrange(t labelled, order string) labelled {
	if t.labels == order || e.b.Err() != nil {
		return labelled{t.v, order}
	}
	perm := make([]int, len(order))
	for i := range order {
		perm[i] = t.axis(order[i])
	}
	return labelled{e.b.Transpose(t.v, perm), order}
}

// product multiplies two terms and sums over what only they have.
func (e *einsum) product(x, y labelled, later string) labelled {
	x, y = e.sum(x, y.labels+later), e.sum(y, x.labels+later)
	if e.b.Err() != nil {
		return x
	}
	var batch, rows, cols, inner string
	for i := range x.labels {
		l := x.labels[i : i+1]
		switch other, kept := y.axis(l[0]) >= 0, strings.Contains(later, l); {
		case other && kept:
			batch += l
		case other:
			inner += l
		default:
			rows += l
		}
	}
	for i := range y.labels {
		if l := y.labels[i : i+1]; x.axis(l[0]) < 0 {
			cols += l
		}
	}
	x, y = e.arrange(x, batch+rows+inner), e.arrange(y, batch+inner+cols)
	if e.b.Err() != nil {
		return x
	}
	nb, nr, ni := len(batch), len(rows), len(inner)
	xs, ys := x.v.Type.Shape, y.v.Type.Shape
	for i := range ni {
		if !e.b.Builder.M.Dims.Guard(xs[nb+nr+i], ys[nb+i], false, "einsum") {
			e.b.Fail(fmt.Errorf("axis %q has extents %v and %v", inner[i], xs[nb+nr+i], ys[nb+i]))
			return x
		}
	}
	flat := func(s []dim.Expr, parts ...[]dim.Expr) []dim.Expr {
		out := append([]dim.Expr(nil), s[:nb]...)
		for _, p := range parts {
			out = append(out, dim.Product(p))
		}
		return out
	}
	var z *ir.Value
	if a, b := xs[nb:nb+nr], ys[nb+ni:]; ni == 0 || !multiplied.Has(x.v.Type.Elem) {
		// an outer product, or integers that matmul does not take
		z = e.b.Call("mul", e.b.Reshape(x.v, flat(xs, a, nil, xs[nb+nr:])), e.b.Reshape(e.b.Transpose(y.v, turnInner(nb, ni, len(ys))), flat(ys, nil, b, ys[nb:nb+ni])))
		z = e.drop(e.b.Reduce("sum", z, nb+2), nb+2)
	} else {
		z = e.b.Call("matmul", e.b.Reshape(x.v, flat(xs, a, xs[nb+nr:])), e.b.Reshape(y.v, flat(ys, ys[nb:nb+ni], b)))
	}
	if e.b.Err() != nil {
		return x
	}
	shape := append(append([]dim.Expr(nil), z.Type.Shape[:nb]...), xs[nb:nb+nr]...)
	return labelled{e.b.Reshape(z, append(shape, ys[nb+ni:]...)), batch + rows + cols}
}

// turnInner moves ni axes behind the first nb to the end.
func turnInner(nb, ni, rank int) []int {
	var p []int
	for i := range rank {
		if i < nb || i >= nb+ni {
			p = append(p, i)
		}
	}
	for i := range ni {
		p = append(p, nb+i)
	}
	return p
}
