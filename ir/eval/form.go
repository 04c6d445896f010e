package eval

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/ir/tile"
)

// group is a Form with numbers for everything symbolic, and storage for its operands: all inputs, then all results.
type group struct {
	*frame
	form   *op.Form
	space  []int
	red    []int // axes that are reduced
	par    []int // the others
	dims   []int64
	ops    []*tensor.Tensor
	stride [][]int // of each operand, per axis of the space; nil where a Map goes through integers
}

// form evaluates a node by one naive loop over its Form.
func (f *frame) form(d *op.Def, n *ir.Node, in []Value) ([]Value, error) {
	x, err := tensors(n, in)
	if err != nil {
		return nil, err
	}
	g := &group{frame: f, form: &op.Form{Node: op.Node{M: f.m, N: n}}}
	if err := d.Form(g.form); err != nil {
		return nil, err
	}
	g.ops = x
	out := make([]Value, len(n.Out))
	for i, v := range n.Out {
		shape, err := f.shape(v.Type.Shape)
		if err != nil {
			return nil, err
		}
		t, err := f.alloc(v.Type.Elem, shape)
		if err != nil {
			return nil, err
		}
		g.ops = append(g.ops, t)
		out[i] = Of(t)
	}
	switch {
	case g.form.Views != nil:
		err = g.views()
	case g.form.Concat:
		err = g.concat()
	default:
		if err = g.prepare(); err == nil {
			err = g.loop()
		}
	}
	return out, err
}

func (g *group) loop() error {
	switch g.form.Anchor {
	case anchor.Map:
		return g.runMap()
	case anchor.Rows:
		return g.runRows()
	case anchor.Contract:
		return g.runAcc(g.contract)
	case anchor.Window:
		return g.runAcc(g.window)
	case anchor.Attend:
		return g.runAcc(g.attend)
	}
	return fmt.Errorf("the evaluator has no loop for anchor %v", g.form.Anchor)
}

// prepare evaluates extents, dims and strides.
func (g *group) prepare() error {
	for a, x := range g.form.Space {
		s, err := g.shape(append(g.form.Dims[:0:0], x.Extent))
		if err != nil {
			return fmt.Errorf("axis %s: %w", x.Name, err)
		}
		g.space = append(g.space, s[0])
		if x.Red {
			g.red = append(g.red, a)
		} else {
			g.par = append(g.par, a)
		}
	}
	for _, e := range g.form.Dims {
		v, err := g.eval(e)
		if err != nil {
			return err
		}
		g.dims = append(g.dims, v)
	}
	for k, m := range g.form.Maps {
		s, err := g.strides(k, m)
		if err != nil {
			return fmt.Errorf("operand %d: %w", k, err)
		}
		g.stride = append(g.stride, s)
	}
	return nil
}

// strides of an operand along the axes of the space; nil where it has no Map or goes through integers.
func (g *group) strides(k int, m op.Map) ([]int, error) {
	if m == nil || k >= len(g.ops) || g.ops[k] == nil {
		return nil, nil
	}
	t := g.ops[k]
	if len(m) != len(t.Shape) {
		return nil, fmt.Errorf("a map of %d axes for shape %v", len(m), t.Shape)
	}
	s := make([]int, len(g.space))
	for i, st := range tensor.Strides(t.Shape) {
		switch at := m[i]; {
		case at.Via > 0:
			return nil, nil
		case at.Axis >= 0 && t.Shape[i] == 1: // broadcast
		case at.Axis >= 0:
			if t.Shape[i] != g.space[at.Axis] && !g.geometric(k) {
				return nil, fmt.Errorf("axis %d of %v runs over an axis of extent %d", i, t.Shape, g.space[at.Axis])
			}
			s[at.Axis] += st
		}
	}
	return s, nil
}

// geometric operands are read by the attributes of their anchor; their Maps only tell which axes they share.
func (g *group) geometric(k int) bool {
	return g.form.Anchor == anchor.Window && k < 2 || g.form.Anchor == anchor.Attend && k < 4
}

// offset is the element of an operand at a position of the space.
func (g *group) offset(k int, pos []int) (int, error) {
	if k >= len(g.stride) || g.ops[k] == nil {
		return 0, fmt.Errorf("operand %d has no map", k)
	}
	if s := g.stride[k]; s != nil {
		off := 0
		for a, p := range pos {
			off += p * s[a]
		}
		return off, nil
	}
	m, t := g.form.Maps[k], g.ops[k]
	if m == nil {
		return 0, fmt.Errorf("operand %d has no map", k)
	}
	off := 0
	for i, st := range tensor.Strides(t.Shape) {
		p := 0
		switch at := m[i]; {
		case at.Via > 0:
			if at.Via-1 == k {
				return 0, fmt.Errorf("operand %d goes through itself", k)
			}
			o, err := g.offset(at.Via-1, pos)
			if err != nil {
				return 0, err
			}
			v := g.ops[at.Via-1].Int(o)
			if v < 0 {
				v += int64(t.Shape[i])
			}
			if v < 0 || v >= int64(t.Shape[i]) {
				return 0, fmt.Errorf("index %d of axis %d with extent %d", g.ops[at.Via-1].Int(o), i, t.Shape[i])
			}
			p = int(v)
		case at.Axis >= 0 && t.Shape[i] != 1:
			p = pos[at.Axis]
		}
		off += p * st
	}
	return off, nil
}

// reduced reports whether what operand k shows changes along a reduced axis.
func (g *group) reduced(k int) bool {
	for _, at := range g.form.Maps[k] {
		if at.Via > 0 && g.reduced(at.Via-1) || at.Via == 0 && at.Axis >= 0 && g.form.Space[at.Axis].Red {
			return true
		}
	}
	return false
}

// next advances a position along the listed axes, the last fastest; false after the last one.
func (g *group) next(pos []int, axes []int) bool {
	for i := len(axes) - 1; i >= 0; i-- {
		a := axes[i]
		if pos[a]++; pos[a] < g.space[a] {
			return true
		}
		pos[a] = 0
	}
	return false
}

func (g *group) empty(axes []int) bool {
	for _, a := range axes {
		if g.space[a] == 0 {
			return true
		}
	}
	return false
}

// block is how many points a program sees at once.
const block = 1024

// points collects up to block positions, walking the listed axes from pos on; more is false after the last.
func (g *group) points(pos []int, axes []int, limit int) (l [][]int, more bool) {
	more = true
	for more && len(l) < limit {
		l = append(l, append([]int(nil), pos...))
		more = g.next(pos, axes)
	}
	return l, more
}

// each calls fn for blocks of positions of the Par axes.
func (g *group) each(fn func(l [][]int) error) error {
	if g.empty(g.par) {
		return nil
	}
	pos := make([]int, len(g.space))
	for more := true; more; {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		var l [][]int
		l, more = g.points(pos, g.par, block)
		if err := fn(l); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) runMap() error {
	if len(g.red) > 0 {
		return fmt.Errorf("a map with reduced axes")
	}
	return g.each(func(l [][]int) error { return exec(g.form.Prog, g.io(l, nil)) })
}

// io connects a program with the operands at the given positions.
func (g *group) io(l [][]int, acc *reg) *io {
	return &io{points: len(l), dims: g.dims, acc: acc,
		load: func(in *tile.Instr) (*reg, error) {
			r := newReg(in.Class, len(l))
			for i, pos := range l {
				if err := g.loadAt(int(in.Arg), pos, r, i); err != nil {
					return nil, err
				}
			}
			return r, nil
		},
		store: func(arg int, r *reg) error {
			for i, pos := range l {
				if err := g.storeAt(arg, pos, r, r.at(i)); err != nil {
					return err
				}
			}
			return nil
		},
		index: func(axis int) (*reg, error) {
			r := newReg(tile.I64, len(l))
			for i, pos := range l {
				r.i[i] = int64(pos[axis])
			}
			return r, nil
		},
	}
}

func (g *group) loadAt(k int, pos []int, r *reg, i int) error {
	off, err := g.offset(k, pos)
	if err != nil {
		return err
	}
	t := g.ops[k]
	switch {
	case r.class != tile.ClassOf(t.Elem):
		return fmt.Errorf("operand %d of type %v loads as %v", k, t.Elem, r.class)
	case r.float():
		r.f[i] = t.Float(off)
	case r.class == tile.Mask:
		r.i[i] = b2i(t.Bits(off) != 0)
	default:
		r.i[i] = t.Int(off)
	}
	return nil
}

func (g *group) storeAt(k int, pos []int, r *reg, i int) error {
	off, err := g.offset(k, pos)
	if err != nil {
		return err
	}
	t := g.ops[k]
	switch {
	case k < len(g.form.N.In) || r.class != tile.ClassOf(t.Elem):
		return fmt.Errorf("class %v is stored to operand %d of type %v", r.class, k, t.Elem)
	case r.float():
		t.SetFloat(off, r.f[i])
	default:
		t.SetInt(off, r.i[i])
	}
	return nil
}

// runRows runs the program once for each position of the Par axes, over all positions of the Red ones. What does
// not depend on these is one value, so that rows without elements give their neutral results.
func (g *group) runRows() error {
	return g.each(func(l [][]int) error {
		for _, base := range l {
			var points [][]int
			if !g.empty(g.red) {
				points, _ = g.points(append([]int(nil), base...), g.red, 1<<62)
			}
			if err := exec(g.form.Prog, g.rowIO(base, points)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (g *group) rowIO(base []int, points [][]int) *io {
	row := g.io([][]int{base}, nil)
	all := g.io(points, nil)
	return &io{points: len(points), dims: g.dims,
		load: func(in *tile.Instr) (*reg, error) {
			if int(in.Arg) < len(g.form.Maps) && !g.reduced(int(in.Arg)) {
				return row.load(in)
			}
			return all.load(in)
		},
		store: func(arg int, r *reg) error {
			if arg < len(g.form.Maps) && !g.reduced(arg) {
				if r.len() != 1 {
					return fmt.Errorf("one value a row is stored, got one an element")
				}
				return row.store(arg, r)
			}
			return all.store(arg, r)
		},
		index: func(axis int) (*reg, error) {
			if !g.form.Space[axis].Red {
				return row.index(axis)
			}
			return all.index(axis)
		},
	}
}

// views copies operand 0 into each result as its view sees it.
func (g *group) views() error {
	x := g.ops[0]
	for i, v := range g.form.Views {
		y := g.ops[len(g.form.N.In)+i]
		if v.Kind == op.ViewReshape {
			if x.Len() != y.Len() {
				return fmt.Errorf("reshape of %v to %v", x.Shape, y.Shape)
			}
			for k := 0; k < y.Len(); k++ {
				copyElem(y, k, x, k)
			}
			continue
		}
		start, step, err := g.seen(x, y, v)
		if err != nil {
			return err
		}
		pos := make([]int, len(y.Shape))
		for k := 0; k < y.Len(); k++ {
			off := start
			for a, p := range pos {
				off += p * step[a]
			}
			if off < 0 || off >= x.Len() {
				return fmt.Errorf("view of %v leaves the operand %v", y.Shape, x.Shape)
			}
			copyElem(y, k, x, off)
			for a := len(pos) - 1; a >= 0; a-- {
				if pos[a]++; pos[a] < y.Shape[a] {
					break
				}
				pos[a] = 0
			}
		}
	}
	return nil
}

// seen gives a view as a first element and a distance for each axis of the result.
func (g *group) seen(x, y *tensor.Tensor, v op.View) (start int, step []int, err error) {
	step = make([]int, len(y.Shape))
	st := tensor.Strides(x.Shape)
	switch v.Kind {
	case op.ViewPerm:
		if len(v.Perm) != len(step) || len(st) != len(step) {
			return 0, nil, fmt.Errorf("permutation %v of %v", v.Perm, x.Shape)
		}
		for a, p := range v.Perm {
			step[a] = st[p]
		}
	case op.ViewSlice:
		if len(v.Starts) != len(st) || len(v.Steps) != len(st) || len(st) != len(step) {
			return 0, nil, fmt.Errorf("slice of %v to %v", x.Shape, y.Shape)
		}
		for a, e := range v.Starts {
			s, err := g.eval(e)
			if err != nil {
				return 0, nil, err
			}
			if last := s + v.Steps[a]*int64(y.Shape[a]-1); y.Len() > 0 && (min(s, last) < 0 || max(s, last) >= int64(x.Shape[a])) {
				return 0, nil, fmt.Errorf("axis %d: elements %d to %d of %d", a, s, last, x.Shape[a])
			}
			start += int(s) * st[a]
			step[a] = int(v.Steps[a]) * st[a]
		}
	case op.ViewExpand:
		lead := len(step) - len(st)
		for a, d := range x.Shape {
			if lead < 0 || d != 1 && d != y.Shape[lead+a] {
				return 0, nil, fmt.Errorf("%v does not broadcast to %v", x.Shape, y.Shape)
			}
			if d != 1 {
				step[lead+a] = st[a]
			}
		}
	default:
		return 0, nil, fmt.Errorf("view %d is not known", v.Kind)
	}
	return start, step, nil
}

// concat copies the operands one after the other along an axis.
func (g *group) concat() error {
	ins := len(g.form.N.In)
	y, axis := g.ops[ins], g.form.ConcatAxis
	inner, _ := tensor.Count(y.Shape[axis+1:])
	outer, _ := tensor.Count(y.Shape[:axis])
	at := 0
	for k := 0; k < ins; k++ {
		x := g.ops[k]
		if x == nil {
			continue
		}
		if len(x.Shape) != len(y.Shape) || at+x.Shape[axis] > y.Shape[axis] || x.Len() != outer*inner*x.Shape[axis] {
			return fmt.Errorf("operand %d of shape %v does not fit into %v", k, x.Shape, y.Shape)
		}
		run := x.Shape[axis] * inner
		for o := 0; o < outer; o++ {
			for i := 0; i < run; i++ {
				copyElem(y, (o*y.Shape[axis]+at)*inner+i, x, o*run+i)
			}
		}
		at += x.Shape[axis]
	}
	if at != y.Shape[axis] {
		return fmt.Errorf("operands have %d elements along axis %d, the result %d", at, axis, y.Shape[axis])
	}
	return nil
}
