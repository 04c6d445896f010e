package program

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// EncodeStrings is how a constant of strings is stored: the length of each as a varint, then its bytes.
func EncodeStrings(l []string) []byte {
	n := 0
	for _, s := range l {
		n += len(s) + 2
	}
	b := make([]byte, 0, n)
	for _, s := range l {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// DecodeStrings is the inverse of EncodeStrings; n is how many there must be.
func DecodeStrings(b []byte, n int) ([]string, error) {
	if n < 0 || n > len(b) { // each takes a byte at least
		return nil, fmt.Errorf("%d bytes hold no %d strings", len(b), n)
	}
	l := make([]string, n)
	for i := range l {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, fmt.Errorf("string %d of %d ends outside its bytes", i, n)
		}
		l[i] = string(b[k : k+int(size)])
		b = b[k+int(size):]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes are left behind the last of %d strings", len(b), n)
	}
	return l, nil
}

// Type is the type of a value as the runtime checks it.
type Type struct {
	Kind tensor.Kind
	Elem dtype.Type // of a tensor
	Rank int        // of a tensor; -1 is any
	Key  dtype.Type // of a map
	Of   *Type      // what a sequence, optional or map holds
}

// ParseType reads the text form of a type that is no tensor's: seq(f32[3]), opt(any(f32)), seq(map(i64, f32[])).
func ParseType(text string) (Type, error) {
	if len(text) > 1<<12 {
		return Type{}, fmt.Errorf("a type of %d bytes", len(text))
	}
	t, rest, err := parseType(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("type %q ends in %q", clip(text), clip(rest))
	}
	return t, err
}

func parseType(s string) (t Type, rest string, err error) {
	bad := fmt.Errorf("type %q is not known", clip(s))
	i := strings.IndexAny(s, "([")
	if i < 0 {
		return t, "", bad
	}
	name := s[:i]
	if s[i] == '[' {
		end := strings.IndexByte(s, ']')
		elem, ok := dtype.Parse(name)
		if end < 0 || !ok {
			return t, "", bad
		}
		t.Elem = elem
		if list := s[i+1 : end]; list != "" {
			depth := 0
			t.Rank = 1
			for _, c := range list { // extents may be calls with commas
				switch c {
				case '(':
					depth++
				case ')':
					depth--
				case ',':
					if depth == 0 {
						t.Rank++
					}
				}
			}
		}
		return t, s[end+1:], nil
	}
	rest = s[i+1:]
	switch name {
	case "any", "none":
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return t, "", bad
		}
		elem, ok := dtype.Parse(rest[:end])
		if !ok {
			return t, "", bad
		}
		return Type{Elem: elem, Rank: -1}, rest[end+1:], nil
	case "seq":
		t.Kind = tensor.KindSequence
	case "opt":
		t.Kind = tensor.KindOptional
	case "map":
		t.Kind = tensor.KindMap
		key, after, found := strings.Cut(rest, ",")
		k, ok := dtype.Parse(key)
		if !found || !ok {
			return t, "", bad
		}
		t.Key, rest = k, strings.TrimPrefix(after, " ")
	default:
		return t, "", bad
	}
	of, rest, err := parseType(rest)
	if err != nil {
		return t, "", err
	}
	if !strings.HasPrefix(rest, ")") {
		return t, "", bad
	}
	t.Of = &of
	return t, rest[1:], nil
}

// Fits reports whether v is a value of type t.
func (t *Type) Fits(v tensor.Value) error {
	if err := v.Check(); err != nil {
		return err
	}
	return t.fits(v)
}

func (t *Type) fits(v tensor.Value) error {
	switch {
	case v.Kind != t.Kind:
		return fmt.Errorf("want a %v, got %v", t.Kind, v)
	case v.Kind == tensor.KindTensor && v.Tensor.Elem != t.Elem:
		return fmt.Errorf("want element type %v, got %v", t.Elem, v)
	case v.Kind == tensor.KindTensor && t.Rank >= 0 && len(v.Tensor.Shape) != t.Rank:
		return fmt.Errorf("want rank %d, got %v", t.Rank, v)
	case v.Kind == tensor.KindMap && v.Keys.Elem != t.Key:
		return fmt.Errorf("want keys of type %v, got %v", t.Key, v.Keys.Elem)
	}
	for i := range v.List {
		if err := t.Of.fits(v.List[i]); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}
