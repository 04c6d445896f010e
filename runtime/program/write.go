package program

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/llmc-go/llmc/formats/atomicfile"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Options of writing. The zero value is the recommended setting.
type Options struct {
	// Pack makes the stored bytes of a constant whose Pack is set, in dst, which has their length and is zero; nil is a portable
	// packing of f32, f16 and bf16 sources, slower than what kernels bring. It is called for one constant at a time, by another
	// goroutine than the one that writes.
	Pack func(dst []byte, c *Const) error

	// Wrote, where not nil, is told of the bytes of constants that have been written since it was last called.
	Wrote func(n int)
}

// chunkBytes is how much is written between looks at the context.
const chunkBytes = 1 << 20

// stored is what a file says of a constant: a packed one is an f32 matrix of shape [K, N], whatever its source.
type stored struct {
	elem      dtype.Type
	shape     []int
	off, size uint64
	first     bool // the constant that brings the bytes; others share them
}

// Write writes p in the .llmc format. Equal constants are stored once. The bytes depend on p alone; memory is
// bounded by the description and two packed constants: one is packed while the one before it is written.
func Write(w io.Writer, p *Program, o Options) error {
	if err := Verify(p); err != nil {
		return err
	}
	if o.Pack == nil {
		o.Pack = pack
	}
	places, dataLen, paged := layOut(p)
	desc := describe(p, places)
	h := header{descOff: headerBytes, descLen: uint64(len(desc)), dataLen: dataLen}
	h.dataOff = alignUp(headerBytes+h.descLen, lineBytes)
	if paged {
		h.dataOff = alignUp(h.dataOff, pageBytes)
	}
	out := &counter{w: bufio.NewWriterSize(w, chunkBytes)}
	if err := errors.Join(out.write(h.encode()), out.write(desc)); err != nil {
		return err
	}
	if err := out.constants(p, places, h.dataOff, o); err != nil {
		return err
	}
	if err := out.pad(h.dataOff + h.dataLen); err != nil {
		return err
	}
	return out.w.Flush()
}

// layOut gives every constant its place: large ones on pages, then small ones on lines, equal ones together.
func layOut(p *Program) (l []stored, total uint64, paged bool) {
	l = make([]stored, len(p.Consts))
	for i := range l {
		c, s := &p.Consts[i], &l[i]
		s.elem, s.shape, s.size, s.first = c.Elem, c.Shape, uint64(len(c.Data)), true
		if c.Pack != nil {
			s.elem, s.shape = dtype.F32, c.Pack.Shape()
			s.size = 4 * uint64(c.Pack.Stored(c.Layout))
		}
	}
	same := shareEqual(p.Consts, l)
	for _, i := range inOrder(l) {
		s, align := &l[i], uint64(lineBytes)
		if s.size >= pageBytes {
			align, paged = pageBytes, true
		}
		s.off = alignUp(total, align)
		total = s.off + s.size
	}
	for i := range l {
		l[i].off = l[same[i]].off
	}
	return l, total, paged
}

// shareEqual finds for every constant the first one with the same stored bytes. Only constants that agree in size and
// in samples are read for it.
func shareEqual(consts []Const, l []stored) []int {
	type alike struct {
		size   uint64
		sample [sha256.Size]byte
	}
	like := make([]alike, len(l))
	count := map[alike]int{}
	for i := range l {
		like[i] = alike{l[i].size, sample(consts[i].Data)}
		count[like[i]]++
	}
	type source struct {
		data *byte
		n    int
	}
	sums := map[source][sha256.Size]byte{}
	seen := map[string]int{}
	same := make([]int, len(l))
	for i := range l {
		same[i] = i
		if count[like[i]] < 2 {
			continue
		}
		c := &consts[i]
		src := source{unsafe.SliceData(c.Data), len(c.Data)}
		sum, ok := sums[src]
		if !ok {
			sum = sha256.Sum256(c.Data)
			sums[src] = sum
		}
		key := fmt.Sprintf("%x", sum)
		if c.Pack != nil {
			key += fmt.Sprintf(" %v %v %+v", c.Layout, c.Elem, *c.Pack)
			if c.Pack.Conv != nil {
				key = fmt.Sprintf("%x %v %v %+v", sum, c.Layout, c.Elem, *c.Pack.Conv)
			}
		}
		if first, ok := seen[key]; ok {
			same[i], l[i].first = first, false
		} else {
			seen[key] = i
		}
	}
	return same
}

// sample is a sum of a few pieces of data, which tells most constants of one size apart.
func sample(data []byte) (sum [sha256.Size]byte) {
	const pieces, piece = 16, 256
	if len(data) <= pieces*piece {
		return sha256.Sum256(data)
	}
	h := sha256.New()
	for i := range pieces {
		at := (len(data) - piece) / (pieces - 1) * i
		h.Write(data[at : at+piece])
	}
	h.Sum(sum[:0])
	return sum
}

// pack is the portable packing.
func pack(dst []byte, c *Const) error {
	if c.Pack.Conv != nil {
		return fmt.Errorf("layout %q is packed by the kernels: Options.Pack is missing", c.Layout)
	}
	t := c.Tensor()
	out := tensor.Tensor{Elem: dtype.F32, Shape: []int{len(dst) / 4}, Data: dst}
	c.Pack.PackF32(out.F32(), func(i int) float32 { return float32(t.Float(i)) })
	return nil
}

// counter writes at known positions.
type counter struct {
	w     *bufio.Writer
	at    uint64
	wrote func(n int) // or nil
}

func (c *counter) write(b []byte) error {
	for len(b) > 0 {
		n, err := c.w.Write(b[:min(len(b), chunkBytes)])
		c.at += uint64(n)
		if c.wrote != nil {
			c.wrote(n)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

var zeros [pageBytes]byte

func (c *counter) pad(to uint64) error {
	if to < c.at || to-c.at > pageBytes {
		return fmt.Errorf("bug: at byte %d instead of %d", c.at, to)
	}
	return c.write(zeros[:to-c.at])
}

// constants writes the constants in the order of their places, behind base.
func (c *counter) constants(p *Program, places []stored, base uint64, o Options) error {
	type ready struct {
		i    int
		data []byte
		err  error
	}
	next, stop := make(chan ready), make(chan struct{})
	free := make(chan []byte, 2) // buffers of packed constants
	free <- nil
	free <- nil
	go func() {
		defer close(next)
		for _, i := range inOrder(places) {
			k, r := &p.Consts[i], ready{i: i}
			if r.data = k.Data; k.Pack != nil {
				select {
				case r.data = <-free:
				case <-stop:
					return
				}
				r.data = slices.Grow(r.data[:0], int(places[i].size))[:places[i].size]
				clear(r.data)
				r.err = o.Pack(r.data, k)
			}
			select {
			case next <- r:
			case <-stop:
				return
			}
		}
	}()
	defer func() { // whoever called has the constants to himself again
		close(stop)
		for range next {
		}
	}()
	c.wrote = o.Wrote
	for r := range next {
		k := &p.Consts[r.i]
		err := r.err
		if err == nil {
			err = c.pad(base + places[r.i].off)
		}
		if err == nil {
			err = c.write(r.data)
		}
		if err != nil {
			return fmt.Errorf("constant %d %q: %w", r.i, clip(k.Name), err)
		}
		if k.Pack != nil {
			free <- r.data
		}
	}
	return nil
}

// inOrder lists the constants that bring bytes by their places: large ones, which begin pages, then small ones.
func inOrder(places []stored) []int {
	var l []int
	for _, large := range []bool{true, false} {
		for i := range places {
			if s := &places[i]; s.first && s.size > 0 && large == (s.size >= pageBytes) {
				l = append(l, i)
			}
		}
	}
	return l
}

// WriteFile writes p to a file, all or nothing: where anything fails, or ctx ends, the old file stays as it was.
func WriteFile(ctx context.Context, path string, p *Program, o Options) error {
	return atomicfile.Write(ctx, path, func(w io.Writer) error { return Write(w, p, o) })
}
