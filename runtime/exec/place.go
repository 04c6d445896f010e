package exec

import "slices"

// placer lays buffers with lifetimes into one arena. Offline storage allocation is NP-hard (dynamic storage
// allocation, Garey and Johnson SR2); a first fit in a few orders, the best kept, comes close in practice.
type placer struct {
	items []item
	best  []int
	order []int
	seen  []int
}

type item struct {
	id, size, first, last int
	off                   int
}

const lineBytes = 64

func (p *placer) reset() { p.items = p.items[:0] }

func (p *placer) add(id, size, first, last int) {
	p.items = append(p.items, item{id: id, size: (size + lineBytes - 1) &^ (lineBytes - 1), first: first, last: last})
}

// solve assigns offsets and returns the size of the arena.
func (p *placer) solve() int {
	n := len(p.items)
	p.order = p.order[:0]
	for i := range n {
		p.order = append(p.order, i)
	}
	bestSize := -1
	for _, by := range []func(a, b *item) int{
		func(a, b *item) int { return b.size - a.size },
		func(a, b *item) int { return b.size*(b.last-b.first+1) - a.size*(a.last-a.first+1) },
		func(a, b *item) int { return a.first - b.first },
		func(a, b *item) int { return b.last - a.last },
	} {
		slices.SortStableFunc(p.order, func(i, j int) int {
			if c := by(&p.items[i], &p.items[j]); c != 0 {
				return c
			}
			return i - j
		})
		size := p.fit()
		if bestSize < 0 || size < bestSize {
			bestSize = size
			p.best = p.best[:0]
			for i := range p.items {
				p.best = append(p.best, p.items[i].off)
			}
		}
	}
	for i := range p.items {
		p.items[i].off = p.best[i]
	}
	return max(bestSize, 0)
}

// fit places the items in p.order, each at the lowest offset where no item alive at the same time lies.
func (p *placer) fit() int {
	p.seen = p.seen[:0] // placed items by offset
	total := 0
	for _, i := range p.order {
		it := &p.items[i]
		off := 0
		for _, j := range p.seen {
			o := &p.items[j]
			if o.last < it.first || it.last < o.first || o.size == 0 {
				continue
			}
			if off+it.size <= o.off {
				break
			}
			off = max(off, o.off+o.size)
		}
		it.off = off
		total = max(total, off+it.size)
		at, _ := slices.BinarySearchFunc(p.seen, off, func(j, off int) int { return p.items[j].off - off })
		p.seen = slices.Insert(p.seen, at, i)
	}
	return total
}

// Live is the size of the largest set of items alive at once: no placement is smaller.
func (p *placer) live() int {
	most := 0
	for i := range p.items {
		sum := 0
		for j := range p.items {
			if p.items[j].first <= p.items[i].first && p.items[j].last >= p.items[i].first {
				sum += p.items[j].size
			}
		}
		most = max(most, sum)
	}
	return most
}
