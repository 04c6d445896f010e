package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed pages/passes.html
var passesPage string

//go:embed pages/model.html
var modelPage string

//go:embed pages/profile.html
var profilePage string

// column is the text after one pass or stage.
type column struct {
	Name    string
	Kind    string // ir or kir
	Nodes   int    // steps, of kernel-level IR
	Before  int
	Took    time.Duration
	Checked time.Duration
	Changed bool
	Text    template.HTML
}

// pageWriter makes the columns of a page. Keys number values, so that one value has one key in all columns.
type pageWriter struct {
	title   string
	columns []column
	keys    map[string]int
	names   []string
}

// add makes a column of a text form.
func (p *pageWriter) add(c column, text string) {
	if c.Changed {
		m := &marker{p: p, column: len(p.columns)}
		c.Text = m.mark(text)
	}
	p.columns = append(p.columns, c)
}

func (p *pageWriter) key(name string) int {
	if p.keys == nil {
		p.keys = map[string]int{}
	}
	k, ok := p.keys[name]
	if !ok {
		k = len(p.names)
		p.keys[name] = k
		p.names = append(p.names, name)
	}
	return k
}

// write makes the page, which refers to nothing outside.
func (p *pageWriter) write(w io.Writer) error {
	names, err := json.Marshal(p.names) // escapes what could end a script
	if err != nil {
		return err
	}
	t, err := template.New("passes").Funcs(template.FuncMap{"round": func(d time.Duration) string { return d.Round(time.Microsecond).String() }}).Parse(passesPage)
	if err != nil {
		return err
	}
	return t.Execute(w, map[string]any{"Title": p.title, "Columns": p.columns, "Names": template.JS(names)})
}

// marker turns a text form into HTML in which every value carries its key. A value is known by the model's name of it where
// the text gives one, else by its preferred name; what is only numbered is known within its region and column.
type marker struct {
	p      *pageWriter
	column int
	regs   int
	scopes []scopeNames
}

type scopeNames struct {
	id    int
	names map[string]string // what a name in the text stands for
}

func (m *marker) mark(text string) template.HTML {
	lines := strings.Split(text, "\n")
	m.push()
	m.define(lines)
	var b strings.Builder
	for i, line := range lines {
		body := strings.TrimRight(line, " ")
		if strings.HasPrefix(strings.TrimSpace(body), "}") && len(m.scopes) > 1 {
			m.scopes = m.scopes[:len(m.scopes)-1]
		}
		if opens(body) {
			head, inner := m.cut(body)
			m.line(&b, head)
			m.push()
			m.define(lines[i+1:])
			m.line(&b, inner)
		} else {
			m.line(&b, line)
		}
		b.WriteByte('\n')
	}
	return template.HTML(b.String())
}

func opens(line string) bool { return strings.HasSuffix(line, "{") }

// cut parts a line that opens a region: parameters belong to the region inside, the results of a node to the one around.
func (m *marker) cut(line string) (head, inner string) {
	t := strings.TrimSpace(line)
	if strings.HasPrefix(t, "%") || strings.HasPrefix(t, "{") {
		return line, ""
	}
	return "", line
}

func (m *marker) push() {
	m.scopes = append(m.scopes, scopeNames{m.regs, map[string]string{}})
	m.regs++
}

// define reads the model's names of the values that the lines up to the end of the region define.
func (m *marker) define(lines []string) {
	depth := 0
	names := m.scopes[len(m.scopes)-1].names
	for _, line := range lines {
		t := strings.TrimSpace(line)
		if strings.HasPrefix(t, "}") {
			if depth--; depth < 0 {
				return
			}
		}
		if depth == 0 && strings.HasPrefix(t, "%") {
			for name, is := range defined(t) {
				names[name] = is
			}
		}
		if opens(t) {
			depth++
		}
	}
}

// defined gives the model's name of each value that a line defines, where it has one.
func defined(line string) map[string]string {
	left, right, ok := strings.Cut(line, " is \"")
	if !ok {
		return nil
	}
	end := strings.IndexAny(left, "=:")
	if end < 0 {
		return nil
	}
	out := map[string]string{}
	rest := `"` + right
	for _, name := range strings.Split(left[:end], ",") {
		name = strings.TrimSpace(name)
		rest = strings.TrimLeft(rest, " |,")
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return out
		}
		if is, err := strconv.Unquote(q); err == nil && strings.HasPrefix(name, "%") {
			out[name] = is
		}
		rest = rest[len(q):]
		for strings.HasPrefix(rest, ",") { // further names of the same value
			rest = strings.TrimLeft(rest, ", ")
			if q, err = strconv.QuotedPrefix(rest); err != nil {
				return out
			}
			rest = rest[len(q):]
		}
	}
	return out
}

func isValueByte(c byte) bool {
	return c == '_' || c == '.' || c == '/' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// line escapes a line and puts every value of it into an element of its own.
func (m *marker) line(b *strings.Builder, s string) {
	for i := 0; i < len(s); {
		switch {
		case s[i] == '"': // a quoted name is text
			q, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				q = s[i:]
			}
			b.WriteString(template.HTMLEscapeString(q))
			i += len(q)
		case s[i] == '%' && i+1 < len(s) && isValueByte(s[i+1]):
			j := i + 1
			for j < len(s) && isValueByte(s[j]) {
				j++
			}
			name := s[i:j]
			fmt.Fprintf(b, `<b data-k=%d>%s</b>`, m.p.key(m.resolve(name)), template.HTMLEscapeString(name))
			i = j
		default:
			j := i + 1
			for j < len(s) && s[j] != '"' && s[j] != '%' {
				j++
			}
			b.WriteString(template.HTMLEscapeString(s[i:j]))
			i = j
		}
	}
}

// resolve says what a name in the text stands for.
func (m *marker) resolve(name string) string {
	in := m.scopes[len(m.scopes)-1]
	if is, ok := in.names[name]; ok {
		return is
	}
	base := name[1:]
	if strings.Trim(base, "0123456789") == "" || m.numbered(base) {
		return fmt.Sprintf("%s (%s %d)", name, m.p.columnName(m.column), in.id)
	}
	return base
}

// numbered reports whether a name is one that kernel-level IR gives buffers: a kind and a number.
func (m *marker) numbered(base string) bool {
	for _, kind := range []string{"in", "out", "t", "c", "h", "b"} {
		if n, ok := strings.CutPrefix(base, kind); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			return true
		}
	}
	return false
}

func (p *pageWriter) columnName(i int) string { return "column " + strconv.Itoa(i+1) + " region" }
