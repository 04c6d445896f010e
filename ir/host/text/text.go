// Package text holds the functions over strings.
package text

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// str is operand i, a tensor of strings.
func str(c *host.Call, i int) (*tensor.Tensor, error) {
	t := c.Val(i).Tensor
	if t == nil || t.Elem != dtype.String {
		return nil, fmt.Errorf("operand %d: want strings, got %v", i, c.Val(i))
	}
	return t, nil
}

// Normalize takes stop words out of a list of strings, and changes the case of what is left: case_change is NONE, LOWER
// or UPPER. Nothing left is one empty string.
var Normalize = host.Fn{Name: "string_normalize", Run: func(c *host.Call) error {
	x, err := str(c, 0)
	if err != nil {
		return err
	}
	if r := len(x.Shape); r != 1 && (r != 2 || x.Shape[0] != 1) {
		return fmt.Errorf("shape %v, want one list", x.Shape)
	}
	exact := c.Attrs.Bool("is_case_sensitive")
	stop := map[string]bool{}
	for _, s := range c.Attrs.Strs("stopwords") {
		if !exact {
			s = strings.ToLower(s)
		}
		stop[s] = true
	}
	change := func(s string) string { return s }
	switch c.Attrs.Str("case_change", "NONE") {
	case "LOWER":
		change = strings.ToLower
	case "UPPER":
		change = strings.ToUpper
	}
	var out []string
	for _, s := range x.Str {
		k := s
		if !exact && len(stop) > 0 {
			k = strings.ToLower(s)
		}
		if !stop[k] {
			out = append(out, change(s))
		}
	}
	if len(out) == 0 {
		out = []string{""}
	}
	shape := append([]int(nil), x.Shape...)
	shape[len(shape)-1] = len(out)
	y, err := c.Out(0, shape...)
	if err == nil {
		copy(y.Str, out)
	}
	return err
}}

// Concat joins the strings of two tensors, broadcast.
var Concat = host.Fn{Name: "string_concat", Run: func(c *host.Call) error {
	x, err := str(c, 0)
	if err != nil {
		return err
	}
	y, err := str(c, 1)
	if err != nil {
		return err
	}
	shape, err := host.Broadcast(x.Shape, y.Shape)
	if err != nil {
		return err
	}
	z, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	total := int64(0)
	strides := [][]int{host.BroadcastStrides(x.Shape, shape), host.BroadcastStrides(y.Shape, shape)}
	host.Each(shape, strides, func(_ int, off []int) { total += int64(len(x.Str[off[0]]) + len(y.Str[off[1]])) })
	if err := c.Temp(total); err != nil {
		return err
	}
	host.Each(shape, strides, func(at int, off []int) { z.Str[at] = x.Str[off[0]] + y.Str[off[1]] })
	return nil
}}

// Split cuts every string at a delimiter, or at white space where that is empty, at most maxsplit times where that is
// not negative. Result 0 holds the parts along a new last axis, filled up with empty strings; result 1 how many there are.
var Split = host.Fn{Name: "string_split", Run: func(c *host.Call) error {
	x, err := str(c, 0)
	if err != nil {
		return err
	}
	delimiter, most := c.Attrs.Str("delimiter", ""), c.Attrs.Int("maxsplit", -1)
	if err := c.Temp(24 * int64(len(x.Str))); err != nil {
		return err
	}
	parts := make([][]string, len(x.Str))
	longest := 0
	for i, s := range x.Str {
		parts[i] = cut(s, delimiter, most)
		longest = max(longest, len(parts[i]))
	}
	y, err := c.Out(0, append(append([]int(nil), x.Shape...), longest)...)
	if err != nil {
		return err
	}
	n, err := c.Out(1, x.Shape...)
	if err != nil {
		return err
	}
	for i, l := range parts {
		clear(y.Str[i*longest+copy(y.Str[i*longest:], l) : (i+1)*longest])
		n.SetInt(i, int64(len(l)))
	}
	return nil
}}

// cut splits as the standard's reference does: runs of white space count once and are dropped at both ends, but not
// at the end of what a limit leaves whole; other delimiters count one by one.
func cut(s, delimiter string, most int64) []string {
	if delimiter != "" {
		if most < 0 || most > int64(len(s)) {
			return strings.Split(s, delimiter)
		}
		return strings.SplitN(s, delimiter, int(most)+1)
	}
	if most < 0 {
		return strings.Fields(s)
	}
	var l []string
	for {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
		if s == "" {
			return l
		}
		end := strings.IndexFunc(s, unicode.IsSpace)
		if int64(len(l)) == most || end < 0 {
			return append(l, s)
		}
		l, s = append(l, s[:end]), s[end:]
	}
}

// FullMatch tells which strings a regular expression of RE2's syntax matches as a whole.
var FullMatch = host.Fn{Name: "regex_full_match", Run: func(c *host.Call) error {
	x, err := str(c, 0)
	if err != nil {
		return err
	}
	re, err := c.Prepared(func() (any, error) { return Pattern(c.Attrs.Str("pattern", "")) })
	if err != nil {
		return err
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	for i, s := range x.Str {
		v := int64(0)
		if re.(*regexp.Regexp).MatchString(s) {
			v = 1
		}
		y.SetInt(i, v)
	}
	return nil
}}

// Pattern compiles a regular expression that must match a whole string.
func Pattern(s string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(s); err != nil { // a stray parenthesis must not pair with ours
		return nil, fmt.Errorf("pattern: %w", err)
	}
	return regexp.Compile(`\A(?:` + s + `)\z`)
}

// Expressions compiles what Tokenize looks for: a token, or separators. Of matches that begin together the longest counts.
func Expressions(token string, separators []string) ([]*regexp.Regexp, error) {
	if (token == "") == (len(separators) == 0) {
		return nil, fmt.Errorf("want a token or separators")
	}
	l := separators
	if token != "" {
		l = []string{token}
	}
	var out []*regexp.Regexp
	for _, s := range l {
		e, err := regexp.Compile(s)
		if err != nil {
			return nil, fmt.Errorf("expression: %w", err)
		}
		e.Longest()
		out = append(out, e)
	}
	return out, nil
}

// Tokenize cuts every string: into what token matches, or at separators, one after the other. Parts of fewer characters than
// mincharnum are dropped, and empty ones.
var Tokenize = host.Fn{Name: "tokenize", Run: func(c *host.Call) error {
	x, err := str(c, 0)
	if err != nil {
		return err
	}
	token, separators := c.Attrs.Str("token", ""), c.Attrs.Strs("separators")
	p, err := c.Prepared(func() (any, error) { return Expressions(token, separators) })
	if err != nil {
		return err
	}
	expressions := p.([]*regexp.Regexp)
	least := int(c.Attrs.Int("mincharnum", 1))
	characters := len(separators) == 1 && separators[0] == ""
	if err := c.Temp(24 * int64(len(x.Str))); err != nil {
		return err
	}
	parts, longest := make([][]string, len(x.Str)), 0
	for i, s := range x.Str {
		l := []string{s}
		switch {
		case characters:
			l = strings.Split(s, "")
		case token != "":
			l = expressions[0].FindAllString(s, -1)
		default:
			for _, e := range expressions {
				var next []string
				for _, part := range l {
					next = append(next, between(e, part)...)
				}
				l = next
			}
		}
		for _, part := range l {
			if part != "" && utf8.RuneCountInString(part) >= least {
				parts[i] = append(parts[i], part)
			}
		}
		if c.Attrs.Bool("mark") {
			parts[i] = append(append([]string{"\x02"}, parts[i]...), "\x03")
		}
		longest = max(longest, len(parts[i]))
	}
	y, err := c.Out(0, append(append([]int(nil), x.Shape...), longest)...)
	if err != nil {
		return err
	}
	pad := c.Attrs.Str("pad", "")
	for i, l := range parts {
		for k := i*longest + copy(y.Str[i*longest:], l); k < (i+1)*longest; k++ {
			y.Str[k] = pad
		}
	}
	return nil
}}

// between is what lies between matches that are not empty.
func between(e *regexp.Regexp, s string) []string {
	var l []string
	at := 0
	for _, m := range e.FindAllStringIndex(s, -1) {
		if m[1] > m[0] {
			l, at = append(l, s[at:m[0]]), m[1]
		}
	}
	return append(l, s[at:])
}

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{Normalize, Concat, Split, FullMatch, TfIdf, Tokenize} }
