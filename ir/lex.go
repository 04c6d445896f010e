package ir

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The text form is LL(1) over these tokens. White space, line ends and comments from // to the end of the
// line only separate. Extents are not tokens: the parser hands their text to package dim.
type token uint8

const (
	tokEOF    token = iota
	tokIdent        // letters, digits, _ and .
	tokNumber       // -1, 0.5, 1e-05, 0x7f, -inf
	tokString       // quoted as in Go
	tokValue        // %name
	tokConst        // #w3
	tokArrow        // ->
	tokPunct        // one byte
)

type lexer struct {
	src  string
	pos  int // after the current token
	kind token
	at   int    // where the current token begins
	text string // of the current token; unquoted for strings, without % or #w for values and constants
	err  *Error
	file string
}

// fail records the first error at an offset; every later token is the end.
func (l *lexer) fail(at int, format string, args ...any) {
	if l.err == nil {
		at = min(at, len(l.src))
		line := 1 + strings.Count(l.src[:at], "\n")
		col := 1 + utf8.RuneCountInString(l.src[strings.LastIndexByte(l.src[:at], '\n')+1:at])
		l.err = &Error{Kind: ErrMalformed, Loc: Loc{File: l.file}, Msg: fmt.Sprintf("line %d, column %d: %s", line, col, fmt.Sprintf(format, args...))}
	}
	l.pos = len(l.src)
	l.kind, l.text = tokEOF, ""
}

// shown is the current token for a message.
func (l *lexer) shown() string {
	if l.kind == tokEOF {
		return "the end"
	}
	return strconv.Quote(clip(l.src[l.at:l.pos]))
}

func (l *lexer) space() {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			l.pos++
		case c == '/' && strings.HasPrefix(l.src[l.pos:], "//"):
			if n := strings.IndexByte(l.src[l.pos:], '\n'); n >= 0 {
				l.pos += n
			} else {
				l.pos = len(l.src)
			}
		default:
			return
		}
	}
}

func (l *lexer) next() {
	if l.err != nil {
		return
	}
	l.space()
	l.at = l.pos
	if l.pos == len(l.src) {
		l.kind, l.text = tokEOF, ""
		return
	}
	c := l.src[l.pos]
	switch {
	case c == '"':
		l.quoted()
	case c == '%':
		l.pos++
		l.run(tokValue, valueByte)
	case strings.HasPrefix(l.src[l.pos:], "#w"):
		l.pos += 2
		l.run(tokConst, func(c byte) bool { return c >= '0' && c <= '9' })
	case strings.HasPrefix(l.src[l.pos:], "->"):
		l.pos += 2
		l.kind, l.text = tokArrow, "->"
	case c == '-' || c >= '0' && c <= '9':
		l.number()
	case identByte(c):
		l.run(tokIdent, identByte)
	case strings.IndexByte("()[]{},:=~@|", c) >= 0:
		l.pos++
		l.kind, l.text = tokPunct, l.src[l.at:l.pos]
	default:
		_, n := utf8.DecodeRuneInString(l.src[l.pos:])
		l.fail(l.at, "unexpected %q", l.src[l.pos:l.pos+n])
	}
}

func (l *lexer) run(kind token, in func(byte) bool) {
	start := l.pos
	for l.pos < len(l.src) && in(l.src[l.pos]) {
		l.pos++
	}
	l.kind, l.text = kind, l.src[start:l.pos]
	if l.text == "" {
		l.fail(l.at, "want a name after %q", l.src[l.at:start])
	}
}

func (l *lexer) number() {
	l.pos++
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		exp := (c == '-' || c == '+') && (l.src[l.pos-1] == 'e' || l.src[l.pos-1] == 'E') && !strings.Contains(l.src[l.at:l.pos], "x")
		if !identByte(c) && !exp {
			break
		}
		l.pos++
	}
	l.kind, l.text = tokNumber, l.src[l.at:l.pos]
}

func (l *lexer) quoted() {
	for i := l.pos + 1; i < len(l.src); i++ {
		switch l.src[i] {
		case '\\':
			i++
		case '\n':
			l.fail(l.at, "string without end")
			return
		case '"':
			s, err := strconv.Unquote(l.src[l.pos : i+1])
			if err != nil {
				l.fail(l.at, "string is not quoted as in Go")
				return
			}
			l.pos = i + 1
			l.kind, l.text = tokString, s
			return
		}
	}
	l.fail(l.at, "string without end")
}

// raw returns the text from the current position up to one of the bytes in stop outside parentheses, and
// leaves the position there. The current token must be the last one read.
func (l *lexer) raw(stop string) (text string, at int) {
	if l.err != nil {
		return "", l.pos
	}
	at = l.pos
	depth := 0
	for ; l.pos < len(l.src); l.pos++ {
		c := l.src[l.pos]
		if depth == 0 && strings.IndexByte(stop, c) >= 0 || c == '\n' || c == '"' || c == '{' {
			break
		}
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
	}
	return l.src[at:l.pos], at
}
