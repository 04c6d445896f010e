package tiled

// lives finds the first and last step of every register.
func (c *Call) lives() {
	b := &c.plan
	define := func(r int32, i int) {
		if b.regs[r].def < 0 {
			b.regs[r].def, b.regs[r].last = int32(i), int32(i)
		}
	}
	visit := func(from, to int, body bool) {
		for i := from; i < to; i++ {
			st := &b.steps[i]
			use := func(r int32) {
				g := &b.regs[r]
				if body && int(g.def) < from {
					g.last, g.loops = int32(to-1), true
				} else if int(g.last) < i {
					g.last = int32(i)
				}
			}
			switch st.kind {
			case stepCompute:
				use(st.a)
				use(st.b)
				use(st.c)
			case stepExpand, stepStore, stepReduce, stepFinal:
				use(st.a)
			}
			switch st.kind {
			case stepStore:
			case stepReduce:
				use(st.dst)
			default:
				define(st.dst, i)
			}
		}
	}
	visit(b.hoist.from, b.hoist.to, false)
	for k := range b.phases {
		l := &b.phases[k]
		visit(l.pre.from, l.pre.to, false)
		visit(l.body.from, l.body.to, true)
		visit(l.fin.from, l.fin.to, false)
	}
	visit(b.post.from, b.post.to, false)
	for i := range b.regs { // hoisted values serve all tiles
		if int(b.regs[i].def) < b.hoist.to {
			b.regs[i].last, b.regs[i].loops = int32(len(b.steps)), true
		}
	}
}

// allocate gives registers their place in scratch: a register takes over the place of an operand that ends where it begins, or a place that is free.
func (c *Call) allocate() {
	b := &c.plan
	b.bytes, b.free = 0, b.free[:0]
	b.ends, b.next = sized(b.ends, len(b.steps)+1), sized(b.next, len(b.regs))
	for i := range b.ends {
		b.ends[i] = -1
	}
	for i := range b.regs {
		g := &b.regs[i]
		n := 1
		if g.mask&bitO != 0 {
			n *= c.bo
		}
		if g.mask&bitI != 0 {
			n *= c.bi
		}
		if g.kind == regRow {
			n = c.bo * c.ni
			if c.red == bitO {
				n = c.no * c.bi
			}
		}
		g.size = (n*int(g.esize) + 63) &^ 63
		if g.kind == regRow {
			g.off = b.bytes
			b.bytes += g.size
		}
		if g.last >= 0 {
			b.next[i], b.ends[g.last] = b.ends[g.last], int32(i)
		}
	}
	for i := range b.steps {
		st := &b.steps[i]
		if st.kind != stepStore && st.kind != stepReduce {
			if g := &b.regs[st.dst]; g.kind == regSlot && int(g.def) == i {
				c.give(i, st, g)
			}
		}
		for r := b.ends[i]; r >= 0; r = b.next[r] {
			if g := &b.regs[r]; g.kind == regSlot && g.size > 0 {
				b.free = append(b.free, block{g.off, g.size})
			}
		}
	}
}

func (c *Call) give(i int, st *step, g *register) {
	b := &c.plan
	if st.kind == stepCompute {
		for _, r := range [...]int32{st.a, st.b, st.c} {
			o := &b.regs[r]
			if o.kind == regSlot && int(o.last) == i && !o.loops && o.mask == g.mask && o.esize == g.esize && o.size > 0 {
				g.off = o.off
				o.size = 0 // moved: nothing to free
				return
			}
		}
	}
	for k, f := range b.free {
		if f.size == g.size {
			g.off = f.off
			b.free[k] = b.free[len(b.free)-1]
			b.free = b.free[:len(b.free)-1]
			return
		}
	}
	g.off = b.bytes
	b.bytes += g.size
}
