package program

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tensor"
)

// body checks a body: its buffers, then its steps in order.
func (v *verifier) body(b *Body, depth int) error {
	if depth > maxBodies {
		return fmt.Errorf("bodies are nested more than %d deep", maxBodies)
	}
	for i := range b.Bufs {
		if err := v.buf(b, &b.Bufs[i]); err != nil {
			return fmt.Errorf("buffer %d %q: %w", i, clip(b.Bufs[i].Name), err)
		}
	}
	if err := aliases(b); err != nil {
		return err
	}
	if err := ends(b, b.Params, BufInput, "parameter"); err != nil {
		return err
	}
	if err := ends(b, b.Results, BufOutput, "result"); err != nil {
		return err
	}
	for i, d := range b.Defs {
		if d.Out < 0 || int(d.Out) >= len(b.Params) {
			return fmt.Errorf("late symbol %d: parameter %d of %d", i, d.Out, len(b.Params))
		}
		if err := v.def(d, len(b.Bufs[b.Params[d.Out]].Shape)); err != nil {
			return fmt.Errorf("late symbol %d: %w", i, err)
		}
	}
	written := make([]bool, len(b.Bufs)) // of roots
	roots := rootsOf(b)
	for i := range b.Steps {
		s := &b.Steps[i]
		err := v.step(b, s, i, depth)
		if err == nil {
			err = flow(b, s, roots, written)
		}
		if err != nil {
			return fmt.Errorf("step %d %w", i, err)
		}
	}
	for i, r := range b.Results {
		if !written[r] {
			return fmt.Errorf("result %d is written by no step", i)
		}
	}
	return nil
}

// buf checks a buffer by itself.
func (v *verifier) buf(b *Body, f *Buf) error {
	n := len(b.Steps)
	switch {
	case f.Kind == BufInvalid || f.Kind >= numBufKinds:
		return fmt.Errorf("kind %d is not known", f.Kind)
	case !f.Elem.Valid() && (f.Elem != dtype.Invalid || len(f.Shape) > 0):
		return fmt.Errorf("element type %d is not known", uint8(f.Elem))
	case f.Kind == BufBox && !f.Boxed(), f.Boxed() && (f.Kind == BufTemp || f.Kind == BufHeap):
		return fmt.Errorf("kind %d of element type %v", f.Kind, f.Elem)
	case f.First < -1 || int(f.First) > n+1 || f.Last < -1 || int(f.Last) > n:
		return fmt.Errorf("lives from step %d to %d of %d", f.First, f.Last, n)
	}
	if err := v.shape(f.Shape); err != nil {
		return err
	}
	if err := v.refs(f.Count); err != nil {
		return err
	}
	if err := v.count(f); err != nil {
		return err
	}
	if f.Last >= 0 { // the size of a buffer that no step touches is never asked for
		for _, r := range append([]dim.Ref{f.Count}, f.Shape...) {
			if v.when[r] == unbound {
				return fmt.Errorf("extent %s does not follow from the inputs", v.p.Dims.Text(r))
			}
			if v.when[r] == late && f.Kind == BufTemp {
				return fmt.Errorf("extent %s is known only while running, its place before", v.p.Dims.Text(r))
			}
		}
	}
	if f.Kind == BufConst && (f.Index != -1 || f.Last >= 0) {
		return v.constBuf(f)
	}
	return nil
}

// count compares the number of elements with the extents where all are constants; Bounds compares the others.
func (v *verifier) count(f *Buf) error {
	code := v.p.Dims.Code
	shape := make([]int, 0, 8)
	for _, r := range f.Shape {
		if code[r].Op != dim.OpConst {
			return nil
		}
		shape = append(shape, int(code[r].Imm))
	}
	n, ok := tensor.Count(shape)
	if c := code[f.Count]; !ok || c.Op != dim.OpConst || c.Imm != int64(n) {
		return fmt.Errorf("%s elements for shape %s", v.p.Dims.Text(f.Count), clipInts(shape))
	}
	return nil
}

func (v *verifier) constBuf(f *Buf) error {
	if f.Index < 0 || int(f.Index) >= len(v.p.Consts) {
		return fmt.Errorf("constant %d of %d", f.Index, len(v.p.Consts))
	}
	c := &v.p.Consts[f.Index]
	elem, n := c.Elem, 0
	switch {
	case c.Layout != layout.RowMajor && c.Pack != nil:
		elem, n = dtype.F32, c.Pack.Stored(c.Layout)
	case c.Layout != layout.RowMajor:
		n = len(c.Data) / 4
	default:
		n, _ = tensor.Count(c.Shape)
	}
	code := v.p.Dims.Code[f.Count]
	if f.Elem != elem || code.Op != dim.OpConst || code.Imm != int64(n) {
		return fmt.Errorf("%s of %v, constant %d has %d of %v", v.p.Dims.Text(f.Count), f.Elem, f.Index, n, elem)
	}
	return nil
}

// aliases checks that a buffer takes over storage that was placed before, large enough and dead by then.
func aliases(b *Body) error {
	for i := range b.Bufs {
		f := &b.Bufs[i]
		if f.Alias < 0 {
			if f.Alias != -1 {
				return fmt.Errorf("buffer %d: alias %d", i, f.Alias)
			}
			continue
		}
		if int(f.Alias) >= len(b.Bufs) {
			return fmt.Errorf("buffer %d: alias %d of %d buffers", i, f.Alias, len(b.Bufs))
		}
		t := &b.Bufs[f.Alias]
		if f.Kind != BufTemp || t.Kind != BufTemp {
			return fmt.Errorf("buffer %d: takes over buffer %d, which the arena does not hold", i, f.Alias)
		}
		if f.Count != t.Count || f.Elem.Bits() != t.Elem.Bits() {
			return fmt.Errorf("buffer %d: takes over buffer %d of another size", i, f.Alias)
		}
		if f.Last >= 0 && (t.Last < 0 || f.First < t.Last) {
			return fmt.Errorf("buffer %d: takes over buffer %d at step %d, which lives to step %d", i, f.Alias, f.First, t.Last)
		}
	}
	state := make([]uint8, len(b.Bufs)) // 1: on the present chain, 2: ends at a root
	for i := range b.Bufs {
		j := i
		for state[j] == 0 {
			state[j] = 1
			if b.Bufs[j].Alias < 0 {
				break
			}
			j = int(b.Bufs[j].Alias)
			if state[j] == 1 {
				return fmt.Errorf("buffer %d: aliases form a circle", i)
			}
		}
		for j = i; state[j] == 1; j = int(b.Bufs[j].Alias) {
			state[j] = 2
			if b.Bufs[j].Alias < 0 {
				break
			}
		}
	}
	return nil
}

// rootsOf gives every buffer the one whose storage it lives in.
func rootsOf(b *Body) []int32 {
	root := make([]int32, len(b.Bufs))
	for i := range root {
		root[i] = -1
	}
	for i := range b.Bufs {
		r := int32(i)
		for root[r] < 0 && b.Bufs[r].Alias >= 0 {
			r = b.Bufs[r].Alias
		}
		if root[r] >= 0 {
			r = root[r]
		}
		for j := int32(i); root[j] < 0; j = b.Bufs[j].Alias {
			root[j] = r
			if b.Bufs[j].Alias < 0 {
				break
			}
		}
	}
	return root
}

// ends checks that parameters or results and the buffers of their kind name each other.
func ends(b *Body, l []int32, kind BufKind, what string) error {
	for i, id := range l {
		if id < 0 || int(id) >= len(b.Bufs) {
			return fmt.Errorf("%s %d: buffer %d of %d", what, i, id, len(b.Bufs))
		}
		if f := &b.Bufs[id]; f.Kind != kind || int(f.Index) != i {
			return fmt.Errorf("%s %d: buffer %d is of kind %d with index %d", what, i, id, f.Kind, f.Index)
		}
	}
	for i := range b.Bufs {
		f := &b.Bufs[i]
		if f.Kind == kind && (f.Index < 0 || int(f.Index) >= len(l) || l[f.Index] != int32(i)) {
			return fmt.Errorf("buffer %d is no %s", i, what)
		}
	}
	return nil
}

// def checks a late symbol that an axis of a tensor defines, and takes note of it.
func (v *verifier) def(d LateDef, rank int) error {
	if d.Sym < 0 || int(d.Sym) >= len(v.p.Symbols) || !v.p.Symbols[d.Sym].Late {
		return fmt.Errorf("symbol %d is not a late one", d.Sym)
	}
	if d.Axis < 0 || int(d.Axis) >= rank {
		return fmt.Errorf("axis %d of rank %d", d.Axis, rank)
	}
	v.lates[d.Sym] = true
	return nil
}

// flow checks that a step reads what was written, and writes what may be.
func flow(b *Body, s *Step, roots []int32, written []bool) error {
	for i := range s.In {
		id := s.In[i].Buf
		switch b.Bufs[id].Kind {
		case BufConst, BufInput:
		default:
			if !written[roots[id]] {
				return fmt.Errorf("in[%d]: buffer %d is read before it is written", i, id)
			}
		}
	}
	for i := range s.Out {
		id := s.Out[i].Buf
		switch b.Bufs[id].Kind {
		case BufConst, BufInput:
			return fmt.Errorf("out[%d]: buffer %d is a constant or parameter", i, id)
		}
		written[roots[id]] = true
	}
	return nil
}

// control checks that the bodies of a branch or loop fit its operands and results.
func (v *verifier) control(b *Body, s *Step, depth int) error {
	for i, p := range s.Present {
		if !p && (s.Anchor == anchor.Branch || i > 1) {
			return fmt.Errorf("operand %d is absent", i)
		}
	}
	bodies, fixed, results := 2, 1, len(s.Out)
	if s.Anchor == anchor.Loop {
		bodies, fixed, results = 1, 2, 1+len(s.Out)
		if s.Carried < 0 || int(s.Carried) > len(s.Out) || len(s.Present) < 2+int(s.Carried) {
			return fmt.Errorf("carries %d of %d operands and %d results", s.Carried, len(s.Present), len(s.Out))
		}
	}
	if len(s.Bodies) != bodies || len(s.Present) < fixed {
		return fmt.Errorf("has %d bodies and %d operands", len(s.Bodies), len(s.Present))
	}
	if s.Anchor == anchor.Branch && b.Bufs[s.In[0].Buf].Elem != dtype.Bool {
		return fmt.Errorf("in[0]: a condition of type %v", b.Bufs[s.In[0].Buf].Elem)
	}
	if s.Anchor == anchor.Loop {
		if err := loopHead(b, s); err != nil {
			return err
		}
	}
	for i := range s.Bodies {
		n := &s.Bodies[i]
		if err := v.body(n, depth+1); err != nil {
			return fmt.Errorf("body %d %w", i, err)
		}
		params := len(s.Present) - fixed
		if s.Anchor == anchor.Loop {
			params = len(s.Present)
		}
		if len(n.Params) != params || len(n.Results) != results {
			return fmt.Errorf("body %d: %d parameters and %d results, want %d and %d", i, len(n.Params), len(n.Results), params, results)
		}
		if err := fits(b, s, n); err != nil {
			return fmt.Errorf("body %d: %w", i, err)
		}
	}
	return nil
}

// loopHead checks the trip count and condition that come into a loop.
func loopHead(b *Body, s *Step) error {
	k := 0
	if s.Present[0] {
		if e := b.Bufs[s.In[k].Buf].Elem; !e.IsInt() {
			return fmt.Errorf("in[%d]: a trip count of type %v", k, e)
		}
		k++
	}
	if s.Present[1] {
		if e := b.Bufs[s.In[k].Buf].Elem; e != dtype.Bool {
			return fmt.Errorf("in[%d]: a condition of type %v", k, e)
		}
	}
	return nil
}

// fits compares element types and ranks of a body's parameters and results with the step's.
func fits(b *Body, s *Step, n *Body) error {
	param := func(i int, e dtype.Type, rank int) error {
		f := &n.Bufs[n.Params[i]]
		if f.Elem != e || len(f.Shape) != rank {
			return fmt.Errorf("parameter %d: %v of rank %d, want %v of rank %d", i, f.Elem, len(f.Shape), e, rank)
		}
		return nil
	}
	result := func(i int, e dtype.Type, rank int) error {
		f := &n.Bufs[n.Results[i]]
		if f.Elem != e || len(f.Shape) != rank {
			return fmt.Errorf("result %d: %v of rank %d, want %v of rank %d", i, f.Elem, len(f.Shape), e, rank)
		}
		return nil
	}
	in, firstParam, firstResult, carried := 1, 0, 0, len(s.Out)
	if s.Anchor == anchor.Loop {
		if err := param(0, dtype.I64, 0); err != nil {
			return err
		}
		if err := param(1, dtype.Bool, 0); err != nil {
			return err
		}
		if f := &n.Bufs[n.Results[0]]; f.Elem != dtype.Bool {
			return fmt.Errorf("result 0: a condition of type %v", f.Elem)
		}
		firstParam, firstResult, carried = 2, 1, int(s.Carried)
		in = len(s.In) - (len(s.Present) - 2)
	}
	for i := in; i < len(s.In); i++ {
		u := &s.In[i]
		if err := param(firstParam+i-in, b.Bufs[u.Buf].Elem, len(u.Shape)); err != nil {
			return err
		}
	}
	for i := range s.Out {
		rank := len(s.Out[i].Shape)
		if s.Anchor == anchor.Loop && i >= carried && b.Bufs[s.Out[i].Buf].Elem == dtype.Invalid {
			return fmt.Errorf("out[%d]: what is no tensor is not stacked", i)
		}
		if i >= carried { // a scan output is stacked along a new axis
			if rank--; rank < 0 {
				return fmt.Errorf("out[%d]: a stacked result of rank 0", i)
			}
		}
		if err := result(firstResult+i, b.Bufs[s.Out[i].Buf].Elem, rank); err != nil {
			return err
		}
	}
	if s.Anchor == anchor.Loop { // carried values come back as they went in
		for i := 0; i < carried; i++ {
			u := &s.In[in+i]
			if err := result(firstResult+i, b.Bufs[u.Buf].Elem, len(u.Shape)); err != nil {
				return err
			}
		}
	}
	return nil
}
