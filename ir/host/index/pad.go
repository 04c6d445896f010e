package index

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/host"
)

// Pad extends every axis by begins before and ends behind; negative numbers cut. Operands x, value?, pads? (begins,
// then ends: used where the attributes begins and ends are absent); attribute mode: constant, edge, reflect (the
// border is not repeated) or wrap. Cuts come first: what is cut is not read again.
var Pad = host.Fn{Name: "index.pad", Run: func(c *host.Call) error {
	x := c.In[0]
	r := len(x.Shape)
	begins, ends := c.Attrs.Ints("begins"), c.Attrs.Ints("ends")
	if p := operand(c, 2); p != nil {
		if p.Len() != 2*r {
			return fmt.Errorf("pads: want %d values, got %d", 2*r, p.Len())
		}
		all := make([]int64, 2*r)
		for i := range all {
			all[i] = p.Int(i)
		}
		begins, ends = all[:r], all[r:]
	}
	if len(begins) != r || len(ends) != r {
		return fmt.Errorf("pads: want %d and %d values, got %d and %d", r, r, len(begins), len(ends))
	}
	shape, from := make([]int, r), make([][]int, r)
	for i, n := range x.Shape {
		for _, v := range []int64{begins[i], ends[i]} {
			if v > 1<<48 || v < -1<<48 {
				return fmt.Errorf("axis %d: padding %d", i, v)
			}
		}
		if shape[i] = n + int(begins[i]) + int(ends[i]); shape[i] < 0 {
			return fmt.Errorf("axis %d: extent %d cut to %d", i, n, shape[i])
		}
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	if y.Len() == 0 {
		return nil
	}
	for i, n := range x.Shape {
		if err := c.Temp(8 * int64(shape[i])); err != nil {
			return err
		}
		if from[i], err = sources(c.Attrs.Str("mode", "constant"), n, int(begins[i]), int(ends[i]), shape[i]); err != nil {
			return fmt.Errorf("axis %d: %w", i, err)
		}
	}
	move, fill := mover(y, x), func(to int) { clearElem(y, to) }
	if v := operand(c, 1); v != nil {
		if v.Len() != 1 || v.Elem != x.Elem {
			return fmt.Errorf("value: want one element of type %v", x.Elem)
		}
		set := mover(y, v)
		fill = func(to int) { set(to, 0) }
	}
	p, i := make([]int, r), 0
	for ok := true; ok; ok = host.Next(p, shape) {
		at := 0
		for a, q := range p {
			s := from[a][q]
			if s < 0 {
				at = -1
				break
			}
			at = at*x.Shape[a] + s
		}
		if at < 0 {
			fill(i)
		} else {
			move(i, at)
		}
		i++
	}
	return nil
}}

// sources lists the input position of each result position along one axis of extent n, -1 for the constant.
func sources(mode string, n, begin, end, out int) ([]int, error) {
	lo, hi := max(0, -begin), n+min(0, end) // what cuts leave
	l := make([]int, out)
	for q := range l {
		p := q - begin
		switch {
		case p >= lo && p < hi:
		case mode == "constant":
			p = -1
		case hi <= lo:
			return nil, fmt.Errorf("mode %s pads an empty axis", mode)
		case mode == "edge":
			p = max(lo, min(hi-1, p))
		case mode == "wrap":
			p = lo + ((p-lo)%(hi-lo)+hi-lo)%(hi-lo)
		case mode == "reflect":
			period := max(2*(hi-lo-1), 1)
			if p = ((p-lo)%period + period) % period; p >= hi-lo {
				p = period - p
			}
			p += lo
		default:
			return nil, fmt.Errorf("mode %q is not known", mode)
		}
		l[q] = p
	}
	return l, nil
}
