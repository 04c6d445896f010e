package npy

import (
	"fmt"
	"math"
	"strings"
)

// header is the dictionary at the beginning of a file, a Python literal:
// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
type header struct {
	descr   string
	fortran bool
	shape   []int
}

type scanner struct {
	s  string
	at int
}

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("header, character %d: %s: %w", s.at, fmt.Sprintf(format, args...), ErrMalformed)
}

func (s *scanner) space() {
	for s.at < len(s.s) && strings.IndexByte(" \t\r\n", s.s[s.at]) >= 0 {
		s.at++
	}
}

// eat consumes a token if it stands here.
func (s *scanner) eat(token string) bool {
	s.space()
	if strings.HasPrefix(s.s[s.at:], token) {
		s.at += len(token)
		return true
	}
	return false
}

func (s *scanner) str() (string, error) {
	s.space()
	if s.at < len(s.s) && (s.s[s.at] == '\'' || s.s[s.at] == '"') {
		quote := s.s[s.at : s.at+1]
		if text, _, ok := strings.Cut(s.s[s.at+1:], quote); ok && !strings.Contains(text, `\`) {
			s.at += len(text) + 2
			return text, nil
		}
	}
	return "", s.errorf("want a string")
}

func parseHeader(text string) (*header, error) {
	s := &scanner{s: text}
	h := &header{}
	if !s.eat("{") {
		return nil, s.errorf("want {")
	}
	seen := map[string]bool{}
	for !s.eat("}") {
		key, err := s.str()
		if err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, s.errorf("%q is given twice", key)
		}
		seen[key] = true
		if !s.eat(":") {
			return nil, s.errorf("want :")
		}
		switch key {
		case "descr":
			if s.space(); strings.HasPrefix(s.s[s.at:], "[") {
				return nil, fmt.Errorf("records: %w", ErrUnsupported)
			}
			h.descr, err = s.str()
		case "fortran_order":
			h.fortran = s.eat("True")
			if !h.fortran && !s.eat("False") {
				err = s.errorf("want True or False")
			}
		case "shape":
			h.shape, err = s.tuple()
		default:
			err = s.errorf("unknown key %.40q", key)
		}
		if err != nil {
			return nil, err
		}
		if !s.eat(",") && !strings.HasPrefix(s.s[s.at:], "}") {
			return nil, s.errorf("want , or }")
		}
	}
	if s.space(); s.at != len(s.s) {
		return nil, s.errorf("text after }")
	}
	if len(seen) != 3 {
		return nil, s.errorf("want descr, fortran_order and shape, got %d keys", len(seen))
	}
	return h, nil
}

func (s *scanner) tuple() ([]int, error) {
	if !s.eat("(") {
		return nil, s.errorf("want (")
	}
	shape := []int{}
	for !s.eat(")") {
		s.space()
		from := s.at
		for s.at < len(s.s) && s.s[s.at] >= '0' && s.s[s.at] <= '9' {
			s.at++
		}
		n, ok := parseSize(s.s[from:s.at])
		if !ok {
			return nil, s.errorf("want an extent")
		}
		if shape = append(shape, n); len(shape) > maxRank {
			return nil, s.errorf("rank over %d", maxRank)
		}
		s.eat("L") // a Python 2 long
		if !s.eat(",") && !strings.HasPrefix(s.s[s.at:], ")") {
			return nil, s.errorf("want , or )")
		}
	}
	return shape, nil
}

// parseSize reads decimal digits that fit an int.
func parseSize(s string) (int, bool) {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' || n > (math.MaxInt-9)/10 {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, s != ""
}
