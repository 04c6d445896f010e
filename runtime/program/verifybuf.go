package program

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxDepth bounds how deep tables nest: two for every nested body, and the few around them.
const maxDepth = 2*maxBodies + 8

// bufferVerifier checks that a FlatBuffer holds what the schema says before anything reads it: every offset,
// virtual table, vector and string lies within the buffer. Every byte may be referred to by one offset only,
// as our writer does: it is charged to a budget of the buffer's length, so that tables that share parts cannot
// unfold into more than the buffer holds.
// (Format: "FlatBuffer Internals", flatbuffers.dev.)
type bufferVerifier struct {
	buf  []byte
	left int64
}

// verifyBuffer checks the whole of buf.
func verifyBuffer(buf []byte) error {
	if len(buf) > math.MaxInt32 {
		return fmt.Errorf("the description has %d bytes, want at most 2 GiB", len(buf))
	}
	v := &bufferVerifier{buf, int64(len(buf))}
	at, err := v.indirect(0)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return v.table(rootTable(), at, 0)
}

// span checks that n bytes at position at lie within the buffer, aligned.
func (v *bufferVerifier) span(at, n int64, align uint32) error {
	if at < 0 || n < 0 || at > int64(len(v.buf))-n {
		return fmt.Errorf("byte %d: %d bytes end outside the %d of the description", at, n, len(v.buf))
	}
	if align > 1 && at%int64(align) != 0 {
		return fmt.Errorf("byte %d is not aligned to %d", at, align)
	}
	return nil
}

func (v *bufferVerifier) charge(at, n int64) error {
	if v.left -= n; v.left < 0 {
		return fmt.Errorf("byte %d: parts of the description overlap", at)
	}
	return nil
}

// indirect follows the offset at a position.
func (v *bufferVerifier) indirect(at int64) (int64, error) {
	if err := v.span(at, 4, 4); err != nil {
		return 0, err
	}
	off := int64(binary.LittleEndian.Uint32(v.buf[at:]))
	if off == 0 || off > math.MaxInt32 {
		return 0, fmt.Errorf("byte %d: offset %d", at, off)
	}
	return at + off, v.span(at+off, 4, 4)
}

// table checks a table and all that it refers to.
func (v *bufferVerifier) table(t *tableDef, at int64, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("byte %d: tables are nested more than %d deep", at, maxDepth)
	}
	if err := v.span(at, 4, 4); err != nil {
		return err
	}
	vt := at - int64(int32(binary.LittleEndian.Uint32(v.buf[at:])))
	if err := v.span(vt, 4, 2); err != nil {
		return fmt.Errorf("virtual table of %s: %w", t.name, err)
	}
	size := int64(binary.LittleEndian.Uint16(v.buf[vt:]))
	inline := int64(binary.LittleEndian.Uint16(v.buf[vt+2:]))
	if size < 4 || size%2 != 0 || inline < 4 {
		return fmt.Errorf("byte %d: virtual table of %s has sizes %d and %d", vt, t.name, size, inline)
	}
	if n := (size - 4) / 2; n > int64(len(t.fields)) {
		return fmt.Errorf("byte %d: %s has %d fields, want at most %d", vt, t.name, n, len(t.fields))
	}
	if err := v.span(vt, size, 2); err != nil {
		return fmt.Errorf("virtual table of %s: %w", t.name, err)
	}
	if err := v.charge(at, 4); err != nil {
		return err
	}
	for i := int64(0); i < (size-4)/2; i++ {
		off := int64(binary.LittleEndian.Uint16(v.buf[vt+4+2*i:]))
		if off == 0 {
			continue
		}
		f := &t.fields[i]
		width, align := f.size, f.align
		if f.kind != scalar {
			width, align = 4, 4
		}
		// Builders share virtual tables of equal offsets between objects of different sizes, so that the size
		// of the object in it says little: a field must lie within the buffer and is charged by itself.
		if off < 4 {
			return fmt.Errorf("byte %d: field %s.%s lies at offset %d", at, t.name, f.name, off)
		}
		if err := v.charge(at+off, int64(width)); err != nil {
			return err
		}
		if err := v.span(at+off, int64(width), align); err != nil {
			return fmt.Errorf("%s.%s: %w", t.name, f.name, err)
		}
		if f.kind == scalar {
			continue
		}
		if err := v.field(f, t.refs[i], at+off, depth); err != nil {
			return under(f.name, err)
		}
	}
	return nil
}

// field checks what a field at a position refers to.
func (v *bufferVerifier) field(f *field, ref *tableDef, at int64, depth int) error {
	to, err := v.indirect(at)
	switch {
	case err != nil:
		return err
	case f.kind == table:
		return v.table(ref, to, depth+1)
	case f.kind == text:
		return v.text(to)
	}
	n := int64(binary.LittleEndian.Uint32(v.buf[to:]))
	align := f.align
	if n == 0 { // there is no element to align
		align = 1
	}
	if err := v.span(to+4, n*int64(f.size), align); err != nil {
		return fmt.Errorf("vector of %d: %w", n, err)
	}
	if err := v.charge(to, 4+n*int64(f.size)); err != nil || f.kind == scalars {
		return err
	}
	for i := range n {
		el, err := v.indirect(to + 4 + 4*i)
		switch {
		case err != nil:
		case f.kind == texts:
			err = v.text(el)
		default:
			err = v.table(ref, el, depth+1)
		}
		if err != nil {
			return under(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

// text checks a string: its length, bytes and the zero after them.
func (v *bufferVerifier) text(at int64) error {
	n := int64(binary.LittleEndian.Uint32(v.buf[at:]))
	if err := v.span(at+4, n+1, 1); err != nil {
		return fmt.Errorf("string of %d bytes: %w", n, err)
	}
	if v.buf[at+4+n] != 0 {
		return fmt.Errorf("byte %d: a string does not end in zero", at+4+n)
	}
	return v.charge(at, 4+n+1)
}

// pathError is an error at a path of fields: entries[0].body.steps[12].ins[1].
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// under puts a segment before the path of an error.
func under(segment string, err error) error {
	p, ok := err.(*pathError)
	switch {
	case !ok:
		return &pathError{segment, err}
	case p.path[0] == '[':
		p.path = segment + p.path
	default:
		p.path = segment + "." + p.path
	}
	return p
}
