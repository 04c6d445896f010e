package ir

import (
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// node reads one node. Its results come into sight after its operands and regions.
func (p *parser) node(r *Region, names map[string]*Value) {
	at := p.at
	var outs []string
	var outAt []int
	if p.kind == tokValue {
		for p.err == nil {
			outAt = append(outAt, p.at)
			outs = append(outs, p.take(tokValue, "a result"))
			if !p.accept(",") {
				break
			}
		}
		p.expect("=")
	}
	n := p.f.NewNode(p.word("an operator"))
	p.args(n, names)
	for i, name := range outs {
		n.Out = append(n.Out, &Value{ID: -1, Name: valueName(name), Def: n, Index: i})
	}
	typed := p.accept(":")
	if typed {
		p.types(n)
	}
	for p.err == nil && p.accept("@") {
		n.Locs = append(n.Locs, p.loc())
	}
	if p.acceptWord("is") {
		p.isNames(n)
	}
	if p.is("{") {
		p.regions(n)
	}
	if p.err == nil && !typed {
		p.infer(n, at)
	}
	if p.err == nil {
		p.known(n, at)
	}
	if p.err != nil {
		return
	}
	for i, v := range n.Out {
		v.ID = p.f.nextVal
		p.f.nextVal++
		p.define(names, outs[i], v, outAt[i])
	}
	r.Nodes = append(r.Nodes, n)
}

func (p *parser) args(n *Node, names map[string]*Value) {
	p.expect("(")
	for p.err == nil && !p.is(")") {
		at := p.at
		switch {
		case p.kind == tokValue && n.Attrs == nil:
			_, v := p.use(names)
			n.In = append(n.In, v)
		case p.isWord("_") && n.Attrs == nil:
			p.next()
			n.In = append(n.In, nil)
		default:
			name := p.word("an operand or attribute")
			p.expect(":")
			if _, ok := n.Attrs.Get(name); ok || len(n.Attrs) >= maxAttrs {
				p.fail(at, "attribute %s is given twice, or is one of more than %d", clip(name), maxAttrs)
			}
			n.Attrs = append(n.Attrs, attr.Named{Name: name, Value: p.attribute()})
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
}

func (p *parser) types(n *Node) {
	for i := 0; p.err == nil; i++ {
		at := p.at
		t := p.typ(0)
		elems := p.contents()
		if i >= len(n.Out) {
			p.fail(at, "more types than the %d results", len(n.Out))
			return
		}
		n.Out[i].Type, n.Out[i].Elems = t, elems
		if !p.accept(",") {
			if i+1 < len(n.Out) {
				p.fail(p.at, "want %d types, got %d", len(n.Out), i+1)
			}
			return
		}
	}
}

func (p *parser) isNames(n *Node) {
	for i := 0; p.err == nil; i++ {
		if i >= len(n.Out) {
			p.fail(p.at, "more names than results")
			return
		}
		if p.kind == tokString {
			n.Out[i].Is = p.strings()
		}
		if !p.accept("|") {
			return
		}
	}
}

func (p *parser) regions(n *Node) {
	if p.depth++; p.depth > maxRegions {
		p.fail(p.at, "regions nested too deep")
		return
	}
	p.expect("{")
	for p.err == nil && !p.is("}") {
		r := &Region{Name: p.word("a region")}
		names := map[string]*Value{}
		p.params(r, names, false)
		p.body(r, names, "yield")
		n.Regions = append(n.Regions, r)
	}
	p.expect("}")
	p.depth--
}

// infer fills in the types that the text leaves out.
func (p *parser) infer(n *Node, at int) {
	if len(n.Out) == 0 && p.opts.Semantics == nil {
		return
	}
	switch {
	case n.Op == OpConst && len(n.Out) == 1:
		if a, ok := n.Attrs.Get("data"); ok && a.Kind == attr.Const {
			t := p.m.Consts[a.I].Tensor
			n.Out[0].Type = TensorType(t.Elem, dim.Consts(t.Shape)...)
		}
		return
	case n.Op == OpDims && len(n.Out) == 1:
		n.Out[0].Type = TensorType(n.Attrs.Elem("type"), n.Attrs.Dims("shape")...)
		return
	case p.opts.Semantics == nil:
		p.fail(p.at, "want the types of the results of %s", clip(n.Op))
		return
	}
	count, err := p.opts.Semantics.NumOut(n)
	if err == nil && count != len(n.Out) {
		p.fail(at, "%s has %d results, got %d names", clip(n.Op), count, len(n.Out))
		return
	}
	if err == nil {
		err = p.opts.Semantics.Infer(p.m, n)
	}
	p.errorAt(at, err)
}

// known checks const and dims, and gives them their contents.
func (p *parser) known(n *Node, at int) {
	if n.Op != OpConst && n.Op != OpDims {
		return
	}
	if len(n.Out) != 1 || len(n.In) > 0 || len(n.Regions) > 0 {
		p.fail(at, "%s has one result and no operands", n.Op)
		return
	}
	out := n.Out[0]
	if n.Op == OpConst {
		a, ok := n.Attrs.Get("data")
		if !ok || a.Kind != attr.Const {
			p.fail(at, "const: attribute data is missing")
			return
		}
		t := p.m.Consts[a.I].Tensor
		if !EqualTypes(out.Type, TensorType(t.Elem, dim.Consts(t.Shape)...)) {
			p.fail(at, "const: #w%d has type %v%v, not %v", a.I, t.Elem, t.Shape, out.Type)
			return
		}
		out.Elems = constElems(t)
		return
	}
	elems, ok := n.Attrs.Get("elems")
	shape, err := shapeInts(out.Type)
	count, _ := tensor.Count(shape)
	if !ok || elems.Kind != attr.Dims || err != nil || count != len(elems.Dims) || count > FoldLimit || out.Type.Kind != Tensor ||
		!EqualTypes(out.Type, TensorType(n.Attrs.Elem("type"), n.Attrs.Dims("shape")...)) || !(out.Type.Elem.IsInt() || out.Type.Elem == dtype.Bool) {
		p.fail(at, "dims: attributes type, shape and elems do not fit the result %v", out.Type)
		return
	}
	out.Elems = elems.Dims
}

func (p *parser) constant() {
	p.next()
	at := p.at
	if s := p.take(tokConst, "a constant"); p.err == nil && s != strconv.Itoa(len(p.m.Consts)) {
		p.fail(at, "want #w%d, got #w%s", len(p.m.Consts), clip(s))
	}
	name := ""
	if p.kind == tokString {
		name = p.take(tokString, "")
	}
	p.expect(":")
	typ := p.typ(0)
	if p.err != nil {
		return
	}
	shape, err := shapeInts(typ)
	if err != nil || typ.Kind != Tensor || typ.Layout != "" {
		p.fail(at, "want a tensor of constant shape, got %v", typ)
		return
	}
	var t *tensor.Tensor
	if p.accept("=") {
		t = p.elements(typ.Elem, shape)
	} else if p.opts.Consts == nil {
		p.fail(at, "the values of constant %s are not in the text", clip(name))
	} else {
		t, err = p.opts.Consts(len(p.m.Consts), name, typ.Elem, shape)
		if err == nil {
			err = t.Check()
		}
		p.errorAt(at, err)
		if p.err == nil && (t.Elem != typ.Elem || !EqualTypes(TensorType(t.Elem, dim.Consts(t.Shape)...), typ)) {
			p.fail(at, "constant %s: want %v, got %v%v", clip(name), typ, t.Elem, t.Shape)
		}
	}
	if p.err == nil {
		p.m.AddConst(name, t)
	}
}

// elements reads the values of a constant.
func (p *parser) elements(e dtype.Type, shape []int) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	if n > InlineLimit {
		p.fail(p.at, "%d values, at most %d stand in the text", n, InlineLimit)
		return nil
	}
	t := tensor.New(e, shape...)
	p.expect("[")
	for i := 0; i < n && p.err == nil; i++ {
		if i > 0 {
			p.expect(",")
		}
		p.element(t, i)
	}
	if p.err == nil && !p.is("]") {
		p.fail(p.at, "want %d values, got %s", n, p.shown())
	}
	p.expect("]")
	return t
}

func (p *parser) element(t *tensor.Tensor, i int) {
	at := p.at
	switch {
	case t.Elem == dtype.String:
		t.Str[i] = p.take(tokString, "a string")
		return
	case t.Elem.IsComplex():
		h := &tensor.Tensor{Elem: dtype.F32, Data: t.Data}
		if t.Elem == dtype.C128 {
			h.Elem = dtype.F64
		}
		p.expect("(")
		p.element(h, 2*i)
		p.expect(",")
		p.element(h, 2*i+1)
		p.expect(")")
		return
	case t.Elem == dtype.Bool && (p.isWord("true") || p.isWord("false")):
		if p.acceptWord("true") {
			t.SetBits(i, 1)
			return
		}
		p.next()
		return
	}
	s := p.text
	if p.kind != tokNumber && !p.isWord("nan") && !p.isWord("inf") {
		p.fail(at, "want a value of type %v, got %s", t.Elem, p.shown())
		return
	}
	p.next()
	if !setElement(t, i, s) {
		p.fail(at, "%q is not a value of type %v", clip(s), t.Elem)
	}
}

func setElement(t *tensor.Tensor, i int, s string) bool {
	bits := t.Elem.Bits()
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		v, err := strconv.ParseUint(hex, 16, bits)
		t.SetBits(i, v)
		return err == nil
	}
	switch {
	case t.Elem.IsFloat():
		size := 64
		if t.Elem == dtype.F32 {
			size = 32 // the text is the shortest that gives this float32
		}
		v, err := strconv.ParseFloat(s, size)
		t.SetFloat(i, v)
		return err == nil
	case t.Elem.IsUnsigned():
		v, err := strconv.ParseUint(s, 10, bits)
		t.SetBits(i, v)
		return err == nil
	case t.Elem.IsSigned():
		v, err := strconv.ParseInt(s, 10, bits)
		t.SetInt(i, v)
		return err == nil
	}
	return false
}
