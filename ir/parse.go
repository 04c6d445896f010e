package ir

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Inference is the part of a Semantics that gives types.
type Inference interface {
	Infer(m *Module, n *Node) error
	NumOut(n *Node) (int, error)
}

// ParseOptions configures Parse.
type ParseOptions struct {
	// File names the text in errors.
	File string
	// Consts supplies the constants whose values the text does not hold. Where it is nil they are an error.
	Consts func(index int, name string, elem dtype.Type, shape []int) (*tensor.Tensor, error)
	// Semantics infers the results of nodes that state no types; where it is nil, only const and dims may
	// leave them out.
	Semantics Inference
}

// Parse reads the text form of a module:
//
//	module = "module" word { dim | guard | state | const } { func }
//	dim    = "dim" ident [ "late" ] [ "in" "[" int "," ( int | "inf" ) "]" ] [ "step" int ]
//	guard  = "guard" extent ( "=" | "~" ) extent [ string ]          ~ broadcasts
//	state  = "state" string "=" string [ "axis" int ] [ "cap" int ]
//	const  = "const" #wN [ string ] ":" type [ "=" "[" elements "]" ]
//	func   = "func" word "(" params ")" "->" ( result | "(" results ")" ) body
//	param  = %name [ string ] ":" type [ "=" contents ] { "is" string }
//	result = type [ string ]
//	body   = "{" { node } ( "return" | "yield" ) "(" values ")" "}"
//	node   = [ %name { "," %name } "=" ] word "(" [ operands ] [ attributes ] ")"
//	         [ ":" type [ "=" contents ] { "," type [ "=" contents ] } ] { "@" loc } [ "is" strings { "|" strings } ] [ regions ]
//	region = word "(" params ")" body
//	loc    = string [ "(" word ")" ] | "(" string "," int "," string "," string ")"
//
// A word is an identifier or a quoted string. The string of a parameter or result is the model's name where
// that is not the value's. Malformed text gives an Error of kind ErrMalformed with line and column.
func Parse(text string, opts ParseOptions) (*Module, error) {
	p := &parser{lexer: lexer{src: text, file: opts.File}, opts: opts, m: NewModule(""), funcs: map[string]bool{}}
	p.next()
	p.module()
	if p.err != nil {
		return nil, p.err
	}
	return p.m, nil
}

type parser struct {
	lexer
	opts  ParseOptions
	m     *Module
	f     *Func
	funcs map[string]bool
	depth int
}

const (
	maxRegions = 64   // nesting
	maxKinds   = 16   // nesting of types
	maxExtent  = 4096 // bytes of an expression
	maxAttrs   = 256  // of a node
)

func (p *parser) is(s string) bool { return p.kind == tokPunct && p.text == s }

func (p *parser) accept(s string) bool {
	if p.is(s) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(s string) {
	if !p.accept(s) {
		p.fail(p.at, "want %q, got %s", s, p.shown())
	}
}

func (p *parser) isWord(s string) bool { return p.kind == tokIdent && p.text == s }

func (p *parser) acceptWord(s string) bool {
	if p.isWord(s) {
		p.next()
		return true
	}
	return false
}

// take returns the text of a token of one kind.
func (p *parser) take(kind token, what string) string {
	s := p.text
	if p.kind != kind {
		p.fail(p.at, "want %s, got %s", what, p.shown())
		return ""
	}
	p.next()
	return s
}

func (p *parser) word(what string) string {
	if p.kind == tokString {
		return p.take(tokString, what)
	}
	return p.take(tokIdent, what)
}

func (p *parser) int(what string) int64 {
	at := p.at
	v, err := strconv.ParseInt(p.take(tokNumber, what), 10, 64)
	if err != nil {
		p.fail(at, "want %s", what)
	}
	return v
}

func (p *parser) module() {
	if !p.acceptWord("module") {
		p.fail(p.at, "want module, got %s", p.shown())
		return
	}
	p.m.Name = p.word("a module name")
	for p.err == nil && p.kind != tokEOF {
		funcs := len(p.m.Funcs) > 0
		switch {
		case p.isWord("func"):
			p.fn()
		case p.isWord("dim") && !funcs:
			p.dim()
		case p.isWord("guard") && !funcs:
			p.guard()
		case p.isWord("state") && !funcs:
			p.state()
		case p.isWord("const") && !funcs:
			p.constant()
		default:
			p.fail(p.at, "want dim, guard, state, const or func, got %s", p.shown())
		}
	}
}

func (p *parser) state() {
	p.next()
	at := p.at
	st := State{Axis: -1}
	st.Input = p.take(tokString, "the name of an input")
	p.expect("=")
	st.Output = p.take(tokString, "the name of an output")
	if p.acceptWord("axis") {
		a := p.int("an axis")
		if a < 0 || a > 64 {
			p.fail(at, "axis %d", a)
		}
		st.Axis = int(a)
	}
	if p.acceptWord("cap") {
		if st.Cap = p.int("a capacity"); st.Cap < 1 || st.Axis < 0 {
			p.fail(at, "capacity %d along axis %d", st.Cap, st.Axis)
		}
	}
	if p.err == nil {
		p.m.States = append(p.m.States, st)
	}
}

func (p *parser) dim() {
	p.next()
	at := p.at
	name := p.take(tokIdent, "a symbol")
	in := dim.Info{Lo: 0, Hi: dim.Inf}
	if p.m.Dims.Has(name) {
		p.fail(at, "dimension %s is declared twice", name)
	}
	in.Late = p.acceptWord("late")
	if p.acceptWord("in") {
		p.expect("[")
		in.Lo = p.int("the least value")
		p.expect(",")
		if !p.acceptWord("inf") {
			in.Hi = p.int("the largest value or inf")
		}
		p.expect("]")
	}
	if p.acceptWord("step") {
		if in.Step = p.int("a step"); in.Step < 1 {
			p.fail(at, "step %d", in.Step)
		}
	}
	if in.Lo > in.Hi {
		p.fail(at, "dimension %s has the empty range [%d, %d]", name, in.Lo, in.Hi)
	}
	if p.err == nil {
		p.m.Dims.Declare(name, in)
	}
}

// extent parses the text of one expression that begins at an offset.
func (p *parser) extent(text string, at int) dim.Expr {
	if p.err != nil {
		return dim.Expr{}
	}
	if len(text) > maxExtent {
		p.fail(at, "expression of %d bytes, at most %d are read", len(text), maxExtent)
		return dim.Expr{}
	}
	at += len(text) - len(strings.TrimLeft(text, " \t"))
	e, err := dim.Parse(text)
	if err != nil {
		p.fail(at, "%v", err)
	}
	return e
}

// extents reads a list in brackets; the current token is the opening one.
func (p *parser) extents() []dim.Expr {
	l := []dim.Expr{}
	if !p.is("[") {
		p.expect("[")
		return l
	}
	for p.err == nil {
		text, at := p.raw(",]")
		if p.pos >= len(p.src) || p.src[p.pos] != ',' && p.src[p.pos] != ']' {
			p.fail(at, "list of extents without end")
			break
		}
		end := p.src[p.pos] == ']'
		p.pos++
		if !end || len(l) > 0 || strings.TrimSpace(text) != "" {
			l = append(l, p.extent(text, at))
		}
		if end {
			p.next()
			break
		}
	}
	return l
}

func (p *parser) guard() {
	text, at := p.raw("=~")
	g := dim.Guard{A: p.extent(text, at)}
	if p.err != nil {
		return
	}
	if p.pos >= len(p.src) || p.src[p.pos] != '=' && p.src[p.pos] != '~' {
		p.fail(p.pos, "want = or ~ in a guard")
		return
	}
	g.Bcast = p.src[p.pos] == '~'
	p.pos++
	text, at = p.raw("")
	if i := strings.Index(text, "//"); i >= 0 {
		text = text[:i]
	}
	g.B = p.extent(strings.TrimRight(text, "\r"), at)
	p.next()
	if p.kind == tokString {
		g.Why = p.text
		p.next()
	}
	if p.err == nil {
		p.m.Dims.Guards = append(p.m.Dims.Guards, g)
	}
}

// ParseType reads the text form of a type.
func ParseType(text string) (Type, error) {
	p := &parser{lexer: lexer{src: text}, m: NewModule("")}
	p.next()
	t := p.typ(0)
	if p.err == nil && p.kind != tokEOF {
		p.fail(p.at, "want the end of a type, got %s", p.shown())
	}
	if p.err != nil {
		return Type{}, p.err
	}
	return t, nil
}

func (p *parser) typ(depth int) Type {
	at := p.at
	if depth > maxKinds {
		p.fail(at, "type nested too deep")
		return Type{}
	}
	name := p.take(tokIdent, "a type")
	switch {
	case (name == "any" || name == "none") && depth > 0 && p.accept("("):
		e := p.elem()
		p.expect(")")
		return Type{Elem: e, Open: true, Empty: name == "none"}
	case (name == "seq" || name == "opt") && p.accept("("):
		of := p.typ(depth + 1)
		p.expect(")")
		if name == "seq" {
			return Type{Kind: Sequence, Of: &of}
		}
		return Type{Kind: Optional, Of: &of}
	case name == "map" && p.accept("("):
		key := p.elem()
		p.expect(",")
		of := p.typ(depth + 1)
		p.expect(")")
		return Type{Kind: Map, Key: key, Of: &of}
	}
	e, ok := dtype.Parse(name)
	if !ok && p.err == nil {
		p.fail(at, "element type %q is not known", clip(name))
	}
	t := Type{Elem: e, Shape: p.extents()}
	if p.accept(":") {
		t.Layout = p.take(tokIdent, "a layout")
	}
	return t
}

func (p *parser) elem() dtype.Type {
	at := p.at
	name := p.take(tokIdent, "an element type")
	e, ok := dtype.Parse(name)
	if !ok && p.err == nil {
		p.fail(at, "element type %q is not known", clip(name))
	}
	return e
}

// contents reads [ "=" list ] after a type.
func (p *parser) contents() []dim.Expr {
	if p.accept("=") {
		return p.extents()
	}
	return nil
}

func (p *parser) strings() []string {
	l := []string{p.take(tokString, "a name in quotes")}
	for p.err == nil && p.accept(",") {
		l = append(l, p.take(tokString, "a name in quotes"))
	}
	return l
}

func (p *parser) fn() {
	p.next()
	at := p.at
	name := p.word("a function name")
	if p.funcs[name] {
		p.fail(at, "function %s is defined twice", clip(name))
	}
	p.funcs[name] = true
	p.f = p.m.NewFunc(name)
	names := map[string]*Value{}
	p.f.Inputs = p.params(p.f.Body, names, true)
	if p.kind != tokArrow {
		p.fail(p.at, "want ->, got %s", p.shown())
	}
	p.next()
	var types []Type
	var outs []string
	var named []bool
	result := func() {
		types = append(types, p.typ(0))
		named = append(named, p.kind == tokString)
		if p.kind == tokString {
			outs = append(outs, p.take(tokString, ""))
		} else {
			outs = append(outs, "")
		}
	}
	if p.accept("(") {
		for p.err == nil && !p.is(")") {
			result()
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	} else {
		result()
	}
	at = p.at
	res := p.body(p.f.Body, names, "return")
	if p.err != nil {
		return
	}
	if len(res) != len(types) {
		p.fail(at, "function %s: want %d results, got %d", clip(name), len(types), len(res))
		return
	}
	for i, v := range p.f.Body.Results {
		if !EqualTypes(v.Type, types[i]) {
			p.fail(at, "function %s: result %d: want %v, got %v", clip(name), i, types[i], v.Type)
			return
		}
		if !named[i] {
			outs[i] = res[i]
		}
	}
	p.f.Outputs = outs
}

// params reads a list of parameters and returns the model's names.
func (p *parser) params(r *Region, names map[string]*Value, model bool) []string {
	l := []string{}
	p.expect("(")
	for p.err == nil && !p.is(")") {
		at := p.at
		name := p.take(tokValue, "a parameter")
		in := name
		if model && p.kind == tokString {
			in = p.take(tokString, "")
		}
		p.expect(":")
		t := p.typ(0)
		elems := p.contents()
		if p.err != nil {
			return l
		}
		v := p.f.AddParam(r, valueName(name), t)
		v.Elems = elems
		for p.err == nil && p.acceptWord("is") {
			v.Is = append(v.Is, p.take(tokString, "a name in quotes"))
		}
		p.define(names, name, v, at)
		l = append(l, in)
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	return l
}

// valueName is the preferred name of a value: numbers stand for none.
func valueName(s string) string {
	if strings.Trim(s, "0123456789") == "" {
		return ""
	}
	return s
}

func (p *parser) define(names map[string]*Value, name string, v *Value, at int) {
	if _, ok := names[name]; ok {
		p.fail(at, "%%%s is defined twice", clip(name))
		return
	}
	names[name] = v
}

func (p *parser) use(names map[string]*Value) (string, *Value) {
	at := p.at
	name := p.take(tokValue, "a value")
	v := names[name]
	if v == nil && p.err == nil {
		p.fail(at, "%%%s is not defined here", clip(name))
	}
	return name, v
}

// body reads nodes and results, and returns the names of the results.
func (p *parser) body(r *Region, names map[string]*Value, last string) []string {
	p.expect("{")
	for p.err == nil && !p.isWord("return") && !p.isWord("yield") {
		p.node(r, names)
	}
	if !p.acceptWord(last) {
		p.fail(p.at, "want %s, got %s", last, p.shown())
	}
	var l []string
	p.expect("(")
	for p.err == nil && !p.is(")") {
		name, v := p.use(names)
		l = append(l, name)
		r.Results = append(r.Results, v)
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	p.expect("}")
	return l
}

// errorAt reports a cause that arises outside the text.
func (p *parser) errorAt(at int, err error) {
	if err != nil && p.err == nil {
		p.fail(at, "")
		p.err.Msg = strings.TrimSuffix(p.err.Msg, ": ")
		p.err.Err = err
	}
}

func (p *parser) constAttr() attr.Value {
	at := p.at
	i, err := strconv.Atoi(p.take(tokConst, "a constant"))
	if p.err == nil && (err != nil || i >= len(p.m.Consts)) {
		p.fail(at, "constant #w%d of %d", i, len(p.m.Consts))
	}
	return attr.OfConst(i)
}

func (p *parser) attribute() attr.Value {
	switch p.kind {
	case tokString:
		return attr.OfStr(p.take(tokString, ""))
	case tokConst:
		return p.constAttr()
	case tokNumber:
		return p.number()
	case tokIdent:
		return p.named()
	}
	switch {
	case p.accept("~"):
		return attr.OfDims(p.extents())
	case p.accept("["):
		return p.list()
	}
	p.fail(p.at, "want an attribute's value, got %s", p.shown())
	return attr.Value{}
}

func (p *parser) number() attr.Value {
	at, s := p.at, p.take(tokNumber, "a number")
	if p.err != nil {
		return attr.Value{}
	}
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return attr.OfInt(v)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		p.fail(at, "number %q", clip(s))
	}
	return attr.OfFloat(v)
}

// named reads values that are words: truth values, special floats, element types, empty lists.
func (p *parser) named() attr.Value {
	at, s := p.at, p.take(tokIdent, "")
	empty := func(v attr.Value) attr.Value {
		p.expect("[")
		p.expect("]")
		return v
	}
	switch s {
	case "true", "false":
		return attr.OfBool(s == "true")
	case "nan", "inf":
		v, _ := strconv.ParseFloat(s, 64)
		return attr.OfFloat(v)
	case "none":
		return attr.Value{}
	case "ints":
		return empty(attr.OfInts(nil))
	case "floats":
		return empty(attr.OfFloats(nil))
	case "strings":
		return empty(attr.OfStrs(nil))
	}
	e, ok := dtype.Parse(s)
	if !ok {
		p.fail(at, "value %q is not known", clip(s))
	}
	return attr.OfElem(e)
}

// list reads the rest of a list whose elements are all of one kind.
func (p *parser) list() attr.Value {
	var out attr.Value
	for n := 0; p.err == nil; n++ {
		at := p.at
		v := p.attribute()
		kind := map[attr.Kind]attr.Kind{attr.Int: attr.Ints, attr.Float: attr.Floats, attr.Str: attr.Strs}[v.Kind]
		if p.err == nil && (kind == attr.None || n > 0 && kind != out.Kind) {
			p.fail(at, "list of %v holds %v", out.Kind, v.Kind)
		}
		out.Kind = kind
		switch kind {
		case attr.Ints:
			out.Ints = append(out.Ints, v.I)
		case attr.Floats:
			out.Floats = append(out.Floats, v.F)
		case attr.Strs:
			out.Strs = append(out.Strs, v.S)
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect("]")
	return out
}

func (p *parser) loc() Loc {
	if p.accept("(") {
		l := Loc{File: p.take(tokString, "a file in quotes")}
		p.expect(",")
		l.Index = int(p.int("a node number"))
		p.expect(",")
		l.Name = p.take(tokString, "a name in quotes")
		p.expect(",")
		l.Op = p.take(tokString, "an operator in quotes")
		p.expect(")")
		return l
	}
	at := p.at
	s := p.take(tokString, "a location in quotes")
	file, index, name, ok := splitLoc(s)
	if !ok {
		p.fail(at, "location %q: want file#number:name", clip(s))
	}
	l := Loc{File: file, Index: index, Name: name}
	if p.accept("(") {
		l.Op = p.word("an operator")
		p.expect(")")
	}
	return l
}

func shapeInts(t Type) ([]int, error) {
	s := make([]int, len(t.Shape))
	for i, e := range t.Shape {
		v, ok := e.Int()
		if !ok || v < 0 || v > 1<<48 {
			return nil, fmt.Errorf("shape %v of a constant", t)
		}
		s[i] = int(v)
	}
	if n, ok := tensor.Count(s); !ok || n > 1<<48 {
		return nil, fmt.Errorf("shape %v is too large", t)
	}
	return s, nil
}
