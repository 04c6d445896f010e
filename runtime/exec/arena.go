package exec

import (
	"cmp"
	"slices"

	"github.com/llmc-go/llmc/ir/dtype"
)

// Placed is where a buffer of an entry's own body lies in the arena, and for how long.
type Placed struct {
	Name   string // the model's name of the value, if any
	Elem   dtype.Type
	Offset int64 // bytes from the arena's start
	Bytes  int64 // rounded up to lines of the cache
	First  int   // the step that writes it first
	Last   int   // the step that touches it last
}

// Arena lists the buffers that the session placed for the extents of its last run, by the step that writes them
// first and by offset. Buffers that take over the storage of another one are not listed.
func (s *Session) Arena() []Placed {
	var out []Placed
	for _, it := range s.top.placer.items {
		b := &s.top.b.Bufs[it.id]
		out = append(out, Placed{Name: b.Name, Elem: b.Elem, Offset: int64(it.off), Bytes: int64(it.size), First: it.first, Last: it.last})
	}
	slices.SortFunc(out, func(a, b Placed) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}
