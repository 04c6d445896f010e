package op

import (
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
)

// Case is one entry of an operator's test corpus: operand shapes in the text form of extents (symbols are
// bound three ways), attributes, and the values to draw.
type Case struct {
	Shapes []string     // one per operand: "[B, 3]"; "_" is absent
	Elems  []dtype.Type // one per operand; the last repeats
	Attrs  attr.List
	Lo, Hi float64
	Tol    float64 // relative to the largest magnitude; 0 is the test's default
}

// Cases collects them.
type Cases struct {
	List   []Case
	Why    string // why there are none
	elems  []dtype.Type
	attrs  []attr.List
	lo, hi float64
	tol    float64
}

// None says why values cannot be drawn; such operators have published cases, or tests of their own.
func (c *Cases) None(why string) { c.Why = why }

// Elem sets the element types of the cases that follow.
func (c *Cases) Elem(t ...dtype.Type) *Cases { c.elems = t; return c }

// Range sets the range that values are drawn from, [-2, 2] where unset.
func (c *Cases) Range(lo, hi float64) *Cases { c.lo, c.hi = lo, hi; return c }

// Tol sets the tolerance.
func (c *Cases) Tol(t float64) *Cases { c.tol = t; return c }

// With makes the cases that follow repeat for each of these attribute lists.
func (c *Cases) With(l ...attr.List) *Cases { c.attrs = l; return c }

// Shapes adds a case (one for each attribute list) with an operand per argument.
func (c *Cases) Shapes(operands ...string) *Cases {
	attrs := c.attrs
	if len(attrs) == 0 {
		attrs = []attr.List{nil}
	}
	lo, hi := c.lo, c.hi
	if lo == 0 && hi == 0 {
		lo, hi = -2, 2
	}
	elems := c.elems
	if len(elems) == 0 {
		elems = []dtype.Type{dtype.F32}
	}
	for _, a := range attrs {
		c.List = append(c.List, Case{operands, elems, a, lo, hi, c.tol})
	}
	return c
}
