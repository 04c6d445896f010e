package tiled

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/tile"
)

// Steps are what a tile runs.
type stepKind uint8

const (
	stepImm     stepKind = iota // constant of the program, or of its dims
	stepIndex                   // positions along an axis
	stepLoad                    // copy and convert an operand
	stepAlias                   // use an operand where it lies
	stepCompute                 // one instruction
	stepExpand                  // repeat a register along the dimensions it lacks
	stepStore                   // copy and convert to an operand
	stepInit                    // identity of a reduction
	stepReduce                  // one tile's part
	stepFinal                   // the result of a reduction
)

type step struct {
	kind       stepKind
	mode       uint8
	class      tile.Class // of the operands
	mask       uint8      // of the result, without Q
	ma, mb, mc uint8      // of the operands
	flat       bool       // no operand is a line or a column of the result
	size       int32      // bytes of an element of the result
	asize      int32      // and of operands a and b
	dst        int32
	a, b, c    int32
	arg        int32
	in         *tile.Instr
	fn         func(*args)
}

type regKind uint8

const (
	regSlot  regKind = iota // in scratch, dense within the tile
	regAlias                // an operand's memory, set by a step in every tile
	regRow                  // in scratch, kept for the whole row
)

type register struct {
	kind      regKind
	mask      uint8
	esize     int32 // bytes of an element
	off       int
	size      int
	def, last int32
	loops     bool // read by a body that it was made before: lives to the body's end
}

// span is a range of steps.
type span struct{ from, to int }

// phaseLists are the steps between two ends of reductions: once before the row, once for every tile of it, once after.
type phaseLists struct{ pre, body, fin span }

// plan is a bound program: steps over registers.
type plan struct {
	steps  []step
	regs   []register
	hoist  span
	phases []phaseLists
	post   span
	rows   []int32 // registers kept for whole rows
	bytes  int

	// For building.
	mask    []uint8
	uniform []bool
	loc     []int32 // the register that holds an instruction's value now
	incl    []bool  // phase*len(code) + instruction: computed in the body of the phase
	keep    []bool
	done    []int32
	need    []bool
	acc     []int32
	stores  []bool // in the body of the last phase
	free    []block
	ends    []int32 // by step: the first register to free after it
	next    []int32 // by register: the next one to free there
	aliases []int32
	err     error
}

type block struct{ off, size int }

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// build makes the plan of a call whose tile is chosen.
func (c *Call) build() error {
	p, b := c.prog, &c.plan
	n := len(p.code)
	b.steps, b.regs, b.rows, b.phases = b.steps[:0], b.regs[:0], b.rows[:0], b.phases[:0]
	b.mask, b.uniform, b.loc = sized(b.mask, n), sized(b.uniform, n), sized(b.loc, n)
	b.keep, b.done, b.need = sized(b.keep, n), sized(b.done, n), sized(b.need, n)
	b.acc, b.stores = sized(b.acc, n), sized(b.stores, n)
	b.incl = sized(b.incl, n*p.phases)
	b.err = nil
	c.masks()
	c.include()

	for i := range p.code {
		if p.live[i] && b.uniform[i] {
			c.emit(i)
		}
	}
	b.hoist = span{0, len(b.steps)}
	for k := range p.phases {
		b.phases = append(b.phases, c.buildPhase(k))
	}
	from := len(b.steps)
	for i := range p.code {
		if p.code[i].Op == tile.Store && !b.stores[i] {
			c.emitStore(i)
		}
	}
	b.post = span{from, len(b.steps)}
	if b.err == nil {
		c.lives()
		c.allocate()
	}
	return b.err
}

// masks finds what every value depends on.
func (c *Call) masks() {
	p, b := c.prog, &c.plan
	for i := range p.code {
		in := &p.code[i]
		var m uint8
		switch in.Op {
		case tile.Load, tile.Index:
			m = c.ops[in.Arg].mask
		default:
			for _, r := range p.reads[i] {
				m |= b.mask[r]
			}
		}
		b.uniform[i] = m == 0 && p.phase[i] == 0 && in.Op != tile.Store
		if in.Op.IsReduce() {
			m &^= c.red
		}
		b.mask[i] = m
		if in.Op == tile.Store {
			b.stores[i] = c.red == 0 || (m|c.ops[in.Arg].mask)&c.red != 0
		}
	}
}

// inBody reports whether a value is computed tile by tile.
func (c *Call) inBody(i int) bool {
	return !c.plan.uniform[i] && (c.red == 0 || c.plan.mask[i]&c.red != 0)
}

// include decides which values each phase's body computes and which are kept for whole rows.
func (c *Call) include() {
	p, b := c.prog, &c.plan
	n := len(p.code)
	for i := range b.done {
		b.done[i] = -1
	}
	whole := c.bo * c.ni
	if c.red == bitO {
		whole = c.no * c.bi
	}
	for k := range p.phases {
		clear(b.need)
		for i := range p.code {
			in := &p.code[i]
			switch {
			case !p.live[i]:
			case in.Op.IsReduce() && int(p.phase[in.A]) == k, in.Op == tile.Store && b.stores[i] && k == p.phases-1:
				b.need[in.A] = true
			}
		}
		for i := n - 1; i >= 0; i-- {
			if !b.need[i] || !c.inBody(i) {
				continue
			}
			in := &p.code[i]
			if b.done[i] >= 0 && in.Op != tile.Load && in.Op != tile.Index && whole <= rowLimit {
				b.keep[i] = true
				continue
			}
			b.incl[k*n+i] = true
			b.done[i] = int32(k)
			if in.Op.IsReduce() {
				continue
			}
			for _, r := range p.reads[i] {
				b.need[r] = true
			}
		}
	}
}

func (c *Call) buildPhase(k int) phaseLists {
	p, b := c.prog, &c.plan
	n, last := len(p.code), k == p.phases-1
	var l phaseLists
	l.pre.from = len(b.steps)
	for i := range p.code {
		in := &p.code[i]
		if p.live[i] && !b.uniform[i] && !c.inBody(i) && int(p.phase[i]) == k && in.Op != tile.Store && !in.Op.IsReduce() {
			c.emit(i)
		}
	}
	for i := range p.code {
		if in := &p.code[i]; p.live[i] && in.Op.IsReduce() && int(p.phase[in.A]) == k {
			b.acc[i] = c.newReg(regSlot, b.mask[i], 24)
			b.steps = append(b.steps, step{kind: stepInit, in: in, class: p.code[in.A].Class, mask: b.mask[i], dst: b.acc[i]})
		}
	}
	l.pre.to = len(b.steps)
	l.body.from = len(b.steps)
	for i := range p.code {
		if b.incl[k*n+i] && (p.code[i].Op == tile.Load || p.code[i].Op == tile.Index) {
			c.emit(i)
		}
	}
	for i := range p.code {
		in := &p.code[i]
		if b.incl[k*n+i] && in.Op != tile.Load && in.Op != tile.Index {
			c.emit(i)
		}
		if p.live[i] && in.Op.IsReduce() && int(p.phase[in.A]) == k {
			c.emitReduce(i)
		}
	}
	if last {
		for i := range p.code {
			if p.code[i].Op == tile.Store && b.stores[i] {
				c.emitStore(i)
			}
		}
		c.direct(l.body.from)
	}
	l.body.to = len(b.steps)
	l.fin.from = len(b.steps)
	for i := range p.code {
		if in := &p.code[i]; p.live[i] && in.Op.IsReduce() && int(p.phase[in.A]) == k {
			b.loc[i] = c.newReg(regSlot, b.mask[i], classSize(in.Class))
			b.steps = append(b.steps, step{kind: stepFinal, in: in, class: p.code[in.A].Class, mask: b.mask[i], a: b.acc[i], dst: b.loc[i]})
		}
	}
	l.fin.to = len(b.steps)
	return l
}

func (c *Call) newReg(kind regKind, mask uint8, esize int) int32 {
	b := &c.plan
	b.regs = append(b.regs, register{kind: kind, mask: mask & bitOI, esize: int32(esize), def: -1, last: -1})
	r := int32(len(b.regs) - 1)
	if kind == regRow {
		b.rows = append(b.rows, r)
	}
	return r
}

// emit appends the steps that compute instruction i, and sets its register.
func (c *Call) emit(i int) {
	p, b := c.prog, &c.plan
	in := &p.code[i]
	m := b.mask[i] & bitOI
	kind := regSlot
	if b.keep[i] {
		kind = regRow
	}
	st := step{in: in, class: in.Class, mask: m, size: int32(classSize(in.Class))}
	switch in.Op {
	case tile.Imm, tile.Dim:
		st.kind = stepImm
	case tile.Index:
		st.kind, st.arg = stepIndex, in.Arg
	case tile.Load:
		st.kind, st.arg = stepLoad, in.Arg
		if c.aliasable(int(in.Arg), m, true) {
			st.kind, kind = stepAlias, regAlias
		}
	default:
		st.kind = stepCompute
		st.class = p.code[in.A].Class
		st.asize = int32(classSize(st.class))
		c.operands(&st, i)
	}
	st.dst = c.newReg(kind, m, classSize(in.Class))
	b.loc[i] = st.dst
	b.steps = append(b.steps, st)
}

// operands sets the registers of a computing step and how they are read.
func (c *Call) operands(st *step, i int) {
	b := &c.plan
	in := st.in
	read := func(r int32) (int32, uint8) { return b.loc[r], b.mask[r] & bitOI }
	line := st.mask // one element where an operand lacks all of these
	if st.mask == bitOI {
		line = bitI
	}
	n := len(c.prog.reads[i])
	st.a, st.ma = read(in.A)
	st.b, st.mb, st.c, st.mc = st.a, st.ma, st.a, st.ma
	if n > 1 {
		st.b, st.mb = read(in.B)
		if st.mask != 0 && st.ma&line == 0 {
			st.mode |= modeSV
		}
		if st.mask != 0 && st.mb&line == 0 {
			st.mode |= modeVS
		}
	}
	if n > 2 {
		st.c, st.mc = read(in.C)
		if st.mask != 0 && st.mc&line == 0 {
			st.c, st.mc = c.expand(st.c, st.mc, st.mask, classSize(tile.Mask)), st.mask
		}
	} else if n == 2 && st.mode == modeSS {
		// Neither has elements along the line: cannot happen, as the result has them from one of the two.
		st.mode = modeVV
	}
	full := func(m uint8) bool { return m == st.mask || m == 0 }
	st.flat = full(st.ma) && full(st.mb) && full(st.mc)
	if st.class == tile.F32 {
		st.fn = c.prog.row.find(uint8(in.Op), st.mode)
	}
}

// expand appends a step that repeats register r of mask m to mask to.
func (c *Call) expand(r int32, m, to uint8, esize int) int32 {
	dst := c.newReg(regSlot, to, esize)
	c.plan.steps = append(c.plan.steps, step{kind: stepExpand, a: r, ma: m, mask: to, size: int32(esize), dst: dst})
	return dst
}

func (c *Call) emitReduce(i int) {
	p, b := c.prog, &c.plan
	in := &p.code[i]
	class := p.code[in.A].Class
	a, m := b.loc[in.A], b.mask[in.A]&bitOI
	if m&c.red == 0 {
		a, m = c.expand(a, m, m|c.red, classSize(class)), m|c.red
	}
	st := step{kind: stepReduce, in: in, class: class, mask: b.mask[i] & bitOI, a: a, ma: m, asize: int32(classSize(class)), dst: b.acc[i]}
	if class == tile.F32 {
		if c.red == bitI {
			st.fn = p.row.find(uint8(in.Op), modeVV)
		} else {
			st.fn = p.row.find(uint8(lineOp(in.Op)), modeVV)
		}
	}
	b.steps = append(b.steps, st)
}

// lineOp is the binary operation that a reduction across lines repeats.
func lineOp(op tile.Op) tile.Op {
	switch op {
	case tile.RSum:
		return tile.Add
	case tile.RProd:
		return tile.Mul
	case tile.RMax:
		return tile.Max
	case tile.RMin:
		return tile.Min
	case tile.RAny:
		return tile.Or
	case tile.RAll:
		return tile.And
	}
	return tile.Nop
}

func (c *Call) emitStore(i int) {
	p, b := c.prog, &c.plan
	in := &p.code[i]
	class := p.code[in.A].Class
	r, m := b.loc[in.A], b.mask[in.A]&bitOI
	d := c.ops[in.Arg].mask & bitOI
	if m&c.red&^d != 0 {
		b.err = fmt.Errorf("operand %d: the value differs along the Red axes, where the result has stride 0", in.Arg)
	}
	if m|d != m {
		r, m = c.expand(r, m, m|d, classSize(class)), m|d
	}
	b.steps = append(b.steps, step{kind: stepStore, in: in, class: class, mask: m, a: r, ma: m, arg: in.Arg, asize: int32(classSize(class))})
}

// aliasable reports whether a register of mask m can be the operand's own memory.
func (c *Call) aliasable(k int, m uint8, read bool) bool {
	o := &c.ops[k]
	if !natural(o.elem) || m != o.mask&bitOI {
		return false
	}
	if v := o.vmsk & bitOI; v&bitI != 0 || v&bitO != 0 && c.bo > 1 {
		return false
	}
	inner, outer := &o.w[dimI], &o.w[dimO]
	switch m {
	case 0:
		return read
	case bitI:
		return inner.linear() && inner.stride() == 1
	case bitO:
		return c.bo == 1 || outer.linear() && outer.stride() == 1
	}
	return inner.linear() && inner.stride() == 1 && (c.bo == 1 || outer.linear())
}

// direct lets values be computed where they are stored, if that is the last thing that a body of steps does with operands' memory:
// a result may share storage with an input.
func (c *Call) direct(from int) {
	b := &c.plan
	steps := b.steps[from:]
	lastUse := -1
	for i := range steps {
		st := &steps[i]
		if st.kind == stepLoad {
			lastUse = i
		}
		if st.kind == stepCompute || st.kind == stepExpand || st.kind == stepReduce || st.kind == stepStore {
			for k, r := range [...]int32{st.a, st.b, st.c} {
				if (k == 0 || st.kind == stepCompute) && b.regs[r].kind == regAlias {
					lastUse = i
				}
			}
		}
	}
	// Walk back from the stores; the aliases go to the front of the body.
	b.aliases = b.aliases[:0]
	kept := len(steps)
	for kept > 0 && steps[kept-1].kind == stepStore || kept > 0 && steps[kept-1].kind == stepExpand {
		kept--
	}
	out := kept
	for i := kept; i < len(steps); i++ {
		st := steps[i]
		if st.kind == stepStore && c.place(steps[:kept], &st, lastUse) {
			b.aliases = append(b.aliases, st.arg, st.a)
			continue
		}
		steps[out] = st
		out++
	}
	b.steps = b.steps[:from+out]
	for i := 0; i < len(b.aliases); i += 2 {
		b.steps = append(b.steps, step{})
		copy(b.steps[from+1:], b.steps[from:])
		b.steps[from] = step{kind: stepAlias, arg: b.aliases[i], dst: b.aliases[i+1], mask: b.regs[b.aliases[i+1]].mask, in: nil}
	}
}

// place makes the register that st stores an alias of the operand, if it may be.
func (c *Call) place(steps []step, st *step, lastUse int) bool {
	r := &c.plan.regs[st.a]
	if r.kind != regSlot || r.mask != st.mask || r.mask == 0 || !c.aliasable(int(st.arg), r.mask, false) {
		return false
	}
	for i := range steps {
		if d := &steps[i]; d.dst == st.a && d.kind == stepCompute {
			if i < lastUse {
				return false
			}
			r.kind = regAlias
			return true
		}
	}
	return false
}
