package exec

import (
	"math/rand"
	"testing"
)

// No two buffers alive at once share a byte, and the arena is close to the largest live set.
func TestPlacement(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	tight := 0
	const rounds = 300
	for round := range rounds {
		var p placer
		n, steps := 5+r.Intn(60), 5+r.Intn(60)
		for i := range n {
			first := r.Intn(steps)
			p.add(i, 1+r.Intn(1<<uint(4+r.Intn(12))), first, min(first+1+r.Intn(6), steps))
		}
		total := p.solve()
		for i := range p.items {
			a := &p.items[i]
			if a.off%lineBytes != 0 || a.off+a.size > total {
				t.Fatalf("round %d: item at %d of %d bytes in an arena of %d", round, a.off, a.size, total)
			}
			for j := range i {
				b := &p.items[j]
				if a.first <= b.last && b.first <= a.last && a.off < b.off+b.size && b.off < a.off+a.size {
					t.Fatalf("round %d: items %d and %d overlap", round, i, j)
				}
			}
		}
		live := p.live()
		if total < live {
			t.Fatalf("round %d: arena of %d below the live set of %d", round, total, live)
		}
		if float64(total) <= 1.15*float64(live) {
			tight++
		}
		if float64(total) > 1.35*float64(live) {
			t.Errorf("round %d: arena of %d, live set %d", round, total, live)
		}
	}
	if tight < rounds*9/10 {
		t.Errorf("only %d of %d arenas within 1.15 of the live set", tight, rounds)
	}
}

func TestPlacementIsRepeatable(t *testing.T) {
	var a, b placer
	for i := range 40 {
		a.add(i, 64*(i%7+1), i, i+i%5)
		b.add(i, 64*(i%7+1), i, i+i%5)
	}
	if a.solve() != b.solve() {
		t.Fatal("sizes differ")
	}
	for i := range a.items {
		if a.items[i] != b.items[i] {
			t.Fatalf("item %d: %v and %v", i, a.items[i], b.items[i])
		}
	}
}
