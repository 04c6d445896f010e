package ir

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// InlineLimit is the number of elements up to which the text form of a constant holds its values.
const InlineLimit = 64

// Print writes the text form of a module; Parse reads it back. Names of values are those they prefer,
// made unique within their region; values without one are numbered. The text depends on nothing but m.
func Print(w io.Writer, m *Module) error {
	p := &printer{w: bufio.NewWriter(w), m: m}
	p.module()
	return p.w.Flush()
}

// String is the text form.
func (m *Module) String() string {
	var b strings.Builder
	_ = Print(&b, m) // a Builder never fails
	return b.String()
}

// String is the text form of the node with every value named by its ID, for messages.
func (n *Node) String() string {
	name := func(v *Value) string { return fmt.Sprintf("%%%d", v.ID) }
	var b strings.Builder
	w := bufio.NewWriter(&b)
	p := &printer{w: w}
	p.node(n, name, func(*Region) {})
	w.Flush()
	return b.String()
}

type printer struct {
	w      *bufio.Writer
	m      *Module
	indent int
}

func (p *printer) put(s ...string) {
	for _, x := range s {
		p.w.WriteString(x)
	}
}

func (p *printer) line() {
	p.w.WriteByte('\n')
	for i := 0; i < p.indent; i++ {
		p.w.WriteString("  ")
	}
}

func (p *printer) module() {
	p.put("module ", word(p.m.Name), "\n")
	for _, name := range p.m.Dims.Names() {
		in := p.m.Dims.Info(name)
		p.put("dim ", name)
		if in.Late {
			p.put(" late")
		}
		p.put(" in [", strconv.FormatInt(in.Lo, 10), ", ")
		if in.Hi == dim.Inf {
			p.put("inf]")
		} else {
			p.put(strconv.FormatInt(in.Hi, 10), "]")
		}
		if in.Step > 1 {
			p.put(" step ", strconv.FormatInt(in.Step, 10))
		}
		p.put("\n")
	}
	for _, g := range p.m.Dims.Guards {
		rel := " = "
		if g.Bcast {
			rel = " ~ "
		}
		p.put("guard ", g.A.Key(), rel, g.B.Key())
		if g.Why != "" {
			p.put(" ", strconv.Quote(g.Why))
		}
		p.put("\n")
	}
	for _, st := range p.m.States {
		p.put("state ", strconv.Quote(st.Input), " = ", strconv.Quote(st.Output))
		if st.Axis >= 0 {
			p.put(" axis ", strconv.Itoa(st.Axis))
		}
		if st.Cap > 0 {
			p.put(" cap ", strconv.FormatInt(st.Cap, 10))
		}
		p.put("\n")
	}
	for i, c := range p.m.Consts {
		p.constant(i, c)
	}
	for _, f := range p.m.Funcs {
		p.put("\n")
		p.fn(f)
	}
}

func (p *printer) constant(i int, c Const) {
	p.put("const #w", strconv.Itoa(i))
	if c.Name != "" {
		p.put(" ", strconv.Quote(c.Name))
	}
	t := c.Tensor
	p.put(" : ", TensorType(t.Elem, dim.Consts(t.Shape)...).String())
	if t.Len() <= InlineLimit && t.Check() == nil {
		p.put(" = [")
		for k := 0; k < t.Len(); k++ {
			if k > 0 {
				p.put(", ")
			}
			p.put(elemText(t, k))
		}
		p.put("]")
	}
	p.put("\n")
}

// elemText prints an element so that the same bits parse back: a number where it says all, else the bits in
// hexadecimal (payloads of NaN, bools that are neither 0 nor 1).
func elemText(t *tensor.Tensor, i int) string {
	switch {
	case t.Elem == dtype.String:
		return strconv.Quote(t.Str[i])
	case t.Elem == dtype.C64:
		h := &tensor.Tensor{Elem: dtype.F32, Data: t.Data}
		return "(" + elemText(h, 2*i) + ", " + elemText(h, 2*i+1) + ")"
	case t.Elem == dtype.C128:
		h := &tensor.Tensor{Elem: dtype.F64, Data: t.Data}
		return "(" + elemText(h, 2*i) + ", " + elemText(h, 2*i+1) + ")"
	case t.Elem == dtype.U64:
		return strconv.FormatUint(t.Bits(i), 10)
	case t.Elem.IsInt():
		return strconv.FormatInt(t.Int(i), 10)
	case t.Elem == dtype.Bool && t.Data[i] <= 1:
		return strconv.FormatBool(t.Data[i] == 1)
	case t.Elem.IsFloat():
		s := floatText(t.Elem, t.Float(i))
		if v, err := strconv.ParseFloat(s, 64); err == nil && dtype.EncodeFloat(t.Elem, v, false) == t.Bits(i) {
			return s
		}
	}
	return "0x" + strconv.FormatUint(t.Bits(i), 16)
}

func floatText(t dtype.Type, v float64) string {
	if t != dtype.F32 || math.IsNaN(v) || math.IsInf(v, 0) {
		return attr.FormatFloat(v)
	}
	s := strconv.FormatFloat(v, 'g', -1, 32)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

func (p *printer) fn(f *Func) {
	names := nameRegion(f.Body)
	p.put("func ", word(f.Name), "(")
	for i, v := range f.Body.Params {
		if i > 0 {
			p.put(", ")
		}
		in := names(v)[1:]
		if i < len(f.Inputs) {
			in = f.Inputs[i]
		}
		p.param(v, names(v), in)
	}
	p.put(") -> ")
	res := f.Body.Results
	if len(res) != 1 {
		p.put("(")
	}
	for i, v := range res {
		if i > 0 {
			p.put(", ")
		}
		if v == nil {
			p.put("undefined")
			continue
		}
		p.put(v.Type.String())
		if i < len(f.Outputs) && f.Outputs[i] != names(v)[1:] {
			p.put(" ", strconv.Quote(f.Outputs[i]))
		}
	}
	if len(res) != 1 {
		p.put(")")
	}
	p.put(" ")
	p.body(f.Body, names, "return")
	p.put("\n")
}

func (p *printer) param(v *Value, name, model string) {
	p.put(name)
	if model != name[1:] {
		p.put(" ", strconv.Quote(model))
	}
	p.put(": ", v.Type.String())
	p.elems(v)
	for _, s := range v.Is { // a comma would end the parameter
		p.put(" is ", strconv.Quote(s))
	}
}

// body prints the nodes and the results of a region in braces.
func (p *printer) body(r *Region, names func(*Value) string, last string) {
	p.put("{")
	p.indent++
	for _, n := range r.Nodes {
		p.line()
		p.node(n, names, p.region)
	}
	p.line()
	p.put(last, "(")
	for i, v := range r.Results {
		if i > 0 {
			p.put(", ")
		}
		p.put(names(v))
	}
	p.put(")")
	p.indent--
	p.line()
	p.put("}")
}

func (p *printer) region(r *Region) {
	names := nameRegion(r)
	p.put(word(r.Name), "(")
	for i, v := range r.Params {
		if i > 0 {
			p.put(", ")
		}
		p.param(v, names(v), names(v)[1:])
	}
	p.put(") ")
	p.body(r, names, "yield")
}

func (p *printer) node(n *Node, names func(*Value) string, region func(*Region)) {
	for i, v := range n.Out {
		if i > 0 {
			p.put(", ")
		}
		p.put(names(v))
	}
	if len(n.Out) > 0 {
		p.put(" = ")
	}
	p.put(word(n.Op), "(")
	sep := ""
	for _, v := range n.In {
		if v == nil {
			p.put(sep, "_")
		} else {
			p.put(sep, names(v))
		}
		sep = ", "
	}
	for _, a := range n.Attrs {
		p.put(sep, word(a.Name), ": ", a.Value.String())
		sep = ", "
	}
	p.put(")")
	p.results(n)
	for _, l := range n.Locs {
		p.put(" @", locText(l))
	}
	p.isAll(n.Out)
	if len(n.Regions) == 0 {
		return
	}
	p.put(" {")
	p.indent++
	for _, r := range n.Regions {
		p.line()
		region(r)
	}
	p.indent--
	p.line()
	p.put("}")
}

func (p *printer) results(n *Node) {
	for i, v := range n.Out {
		if i == 0 {
			p.put(" : ")
		} else {
			p.put(", ")
		}
		p.put(v.Type.String())
		if n.Op != OpConst && n.Op != OpDims { // theirs follow from the attribute
			p.elems(v)
		}
	}
}

func (p *printer) elems(v *Value) {
	if v.Elems == nil {
		return
	}
	p.put(" = [")
	for i, e := range v.Elems {
		if i > 0 {
			p.put(", ")
		}
		p.put(e.Key())
	}
	p.put("]")
}

// isAll prints the names of all results: those of one value separated by commas, values by bars.
func (p *printer) isAll(out []*Value) {
	last := -1
	for i, v := range out {
		if len(v.Is) > 0 {
			last = i
		}
	}
	if last < 0 {
		return
	}
	p.put(" is")
	for i, v := range out[:last+1] {
		if i > 0 {
			p.put(" |")
		}
		for k, s := range v.Is {
			if k > 0 {
				p.put(",")
			}
			p.put(" ", strconv.Quote(s))
		}
	}
}

// locText is "file#3:name", then the model's operator in parentheses. Where a file has a name that would
// split elsewhere, the parts stand apart.
func locText(l Loc) string {
	short := l.String()
	if file, index, name, ok := splitLoc(short); !ok || file != l.File || index != l.Index || name != l.Name {
		return "(" + strconv.Quote(l.File) + ", " + strconv.Itoa(l.Index) + ", " + strconv.Quote(l.Name) + ", " + strconv.Quote(l.Op) + ")"
	}
	s := strconv.Quote(short)
	if l.Op != "" {
		s += "(" + word(l.Op) + ")"
	}
	return s
}

// splitLoc is the inverse of Loc.String, splitting at the first # that a number and a colon follow.
func splitLoc(s string) (file string, index int, name string, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] != '#' {
			continue
		}
		j := i + 1
		for j < len(s) && (s[j] >= '0' && s[j] <= '9' || s[j] == '-' && j == i+1) {
			j++
		}
		if j < len(s) && s[j] == ':' && j > i+1 {
			if v, err := strconv.Atoi(s[i+1 : j]); err == nil {
				return s[:i], v, s[j+1:], true
			}
		}
	}
	return "", 0, "", false
}

// word prints a name bare where it reads back as one identifier. The words set apart are those that may
// stand where a node, an operand or an attribute begins; the others are told by their place.
func word(s string) string {
	if isIdent(s) && s != "_" && s != "return" && s != "yield" {
		return s
	}
	return strconv.Quote(s)
}

func isIdent(s string) bool {
	for i := 0; i < len(s); i++ {
		if !identByte(s[i]) || i == 0 && (s[i] == '.' || s[i] >= '0' && s[i] <= '9') {
			return false
		}
	}
	return s != ""
}

func identByte(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// valueByte is a byte of a value's name after the percent sign.
func valueByte(c byte) bool { return identByte(c) || c == '/' }

const maxName = 120 // longer preferred names are cut

// nameRegion gives the parameters and results in a region unique names, with the percent sign.
func nameRegion(r *Region) func(*Value) string {
	names := map[*Value]string{}
	taken := map[string]int{} // by base: how often it was wanted
	number := 0
	give := func(v *Value) {
		base := cleanName(v.Name)
		if base == "" {
			names[v] = "%" + strconv.Itoa(number)
			number++
			return
		}
		name := base
		for taken[name] > 0 {
			taken[base]++
			name = base[:min(len(base), maxName-10)] + "_" + strconv.Itoa(taken[base])
		}
		taken[name]++
		names[v] = "%" + name
	}
	for _, v := range r.Params {
		give(v)
	}
	for _, n := range r.Nodes {
		for _, v := range n.Out {
			give(v)
		}
	}
	return func(v *Value) string {
		if s, ok := names[v]; ok {
			return s
		}
		if v == nil { // a broken module still prints
			return "%undefined"
		}
		return fmt.Sprintf("%%undefined/%d", v.ID)
	}
}

// cleanName keeps what a value's name may hold. A name of digits only would look like a number.
func cleanName(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	b := []byte(s)
	digits := true
	for i, c := range b {
		if !valueByte(c) {
			b[i] = '_'
		}
		digits = digits && c >= '0' && c <= '9'
	}
	if digits && len(b) > 0 {
		return "v" + string(b)
	}
	return string(b)
}
