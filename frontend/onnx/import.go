// Package onnx brings ONNX models in: it decides versions of operators and names of symbols, inlines model-local
// functions, and copies no weight.
package onnx

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sort"
	"strings"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// MaxOpset is the newest version of the ai.onnx domain whose changes the operators know.
const MaxOpset = 28

// Bounds on what a hostile model may make the importer do.
const (
	maxDepth = 32      // of function calls and of subgraphs in each other
	maxNodes = 2000000 // after inlining
)

// Options of an import.
type Options struct {
	Dims   map[string]int64 // values of symbols
	Shapes map[string][]int // whole shapes of inputs, or of the tensors that a box holds, by name; -1 is any. They give symbols values, too
}

// Import builds the module of a model. Constants refer to the file's bytes, so the file must stay open as long
// as the module, or a program made of it without packing, is in use.
func Import(f *onnxpb.File, table *op.Table, sem ir.Semantics, o Options) (*ir.Module, error) {
	return ImportModel(f.Model, f.Folder, filepath.Base(f.Path), table, sem, o)
}

// ImportModel is Import of a decoded model; ext resolves external data and may be nil.
func ImportModel(pb *onnxpb.Model, ext onnxpb.ExternalResolver, name string, table *op.Table, sem ir.Semantics, o Options) (*ir.Module, error) {
	im := &importer{opts: o, pb: pb, ext: ext, file: name, table: table, sem: sem, m: ir.NewModule(moduleName(name)), functions: map[[3]string]*onnxpb.Function{}}
	for i := range pb.Functions {
		fn := &pb.Functions[i]
		im.functions[[3]string{domain(fn.Domain), fn.Name, fn.Overload}] = fn
	}
	ops, err := versions(pb.Opsets)
	if err != nil {
		return nil, im.fail(ir.ErrMalformed, "%v", err)
	}
	if len(pb.Opsets) == 0 {
		return nil, im.fail(ir.ErrMalformed, "opset_import is missing")
	}
	im.implied(ops)
	if err := im.survey(ops); err != nil {
		return nil, err
	}
	if err := im.main(ops); err != nil {
		return nil, err
	}
	return im.m, nil
}

type importer struct {
	opts      Options
	pb        *onnxpb.Model
	ext       onnxpb.ExternalResolver
	file      string
	table     *op.Table
	sem       ir.Semantics
	m         *ir.Module
	f         *ir.Func
	functions map[[3]string]*onnxpb.Function
	nodes     int
}

func (im *importer) fail(kind error, format string, args ...any) error {
	return &ir.Error{Kind: kind, Loc: ir.Loc{File: im.file}, Msg: fmt.Sprintf(format, args...)}
}

func moduleName(file string) string {
	s := strings.TrimSuffix(file, filepath.Ext(file))
	return sanitize(s)
}

// sanitize makes a symbol of any string.
func sanitize(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !(c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			b[i] = '_'
		}
	}
	if len(b) > 64 {
		b = b[:64]
	}
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' {
		b = append([]byte{'_'}, b...)
	}
	return string(b)
}

// domain spells the default domain one way.
func domain(s string) string {
	if s == "ai.onnx" {
		return ""
	}
	return s
}

// versions is the opset version by domain.
func versions(l []onnxpb.Opset) (map[string]int, error) {
	v := map[string]int{}
	for _, o := range l {
		d := domain(o.Domain)
		if o.Version < 1 || o.Version > 1<<20 {
			return nil, fmt.Errorf("opset version %d of domain %q", o.Version, o.Domain)
		}
		if old, ok := v[d]; ok && old != int(o.Version) {
			return nil, fmt.Errorf("domain %q is imported in versions %d and %d", o.Domain, old, o.Version)
		}
		v[d] = int(o.Version)
	}
	return v, nil
}

// implied adds the newest version of the domains beside the standard's that a model may use without an import: the
// transformer optimizer of ONNX Runtime writes such models, and ONNX Runtime runs them.
func (im *importer) implied(ops map[string]int) {
	newest := map[string]int{}
	for _, s := range im.table.Spellings() {
		if n := len(s.Versions); s.Domain != "" && n > 0 {
			newest[s.Domain] = max(newest[s.Domain], s.Versions[n-1])
		}
	}
	for d, v := range newest {
		if _, ok := ops[d]; !ok {
			ops[d] = v
		}
	}
}

// survey looks at every node before anything is built, so that all that is not supported is said at once.
func (im *importer) survey(ops map[string]int) error {
	if v := ops[""]; v > MaxOpset {
		return im.fail(ir.ErrUnsupported, "opset %d; the newest that is known is %d", v, MaxOpset)
	}
	missing := map[string]int{}
	seen := map[*onnxpb.Function]bool{}
	var graph func(nodes []onnxpb.Node, ops map[string]int) error
	graph = func(nodes []onnxpb.Node, ops map[string]int) error {
		for i := range nodes {
			n := &nodes[i]
			if fn := im.function(n); fn != nil {
				if !seen[fn] {
					seen[fn] = true
					inner, err := im.functionOps(fn, ops)
					if err != nil {
						return err
					}
					if err := graph(fn.Nodes, inner); err != nil {
						return err
					}
				}
			} else if why := im.unsupported(n, ops); why != "" {
				missing[why]++
			}
			for j := range n.Attrs {
				if g := n.Attrs[j].G; g != nil {
					if err := graph(g.Nodes, ops); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	if err := graph(im.pb.Graph.Nodes, ops); err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	var l []string
	for k, n := range missing {
		if n > 1 {
			k += fmt.Sprintf(" x%d", n)
		}
		l = append(l, k)
	}
	sort.Strings(l)
	if len(l) > 20 {
		l = append(l[:20], fmt.Sprintf("and %d more", len(l)-20))
	}
	what := "operator "
	if len(l) > 1 {
		what = "operators "
	}
	return im.fail(ir.ErrUnsupported, "%s%s", what, strings.Join(l, ", "))
}

func (im *importer) function(n *onnxpb.Node) *onnxpb.Function {
	return im.functions[[3]string{domain(n.Domain), n.OpType, n.Overload}]
}

// functionOps is the opset versions inside a function: its own imports over the caller's.
func (im *importer) functionOps(fn *onnxpb.Function, ops map[string]int) (map[string]int, error) {
	own, err := versions(fn.Opsets)
	if err != nil {
		return nil, im.fail(ir.ErrMalformed, "function %q: %v", fn.Name, err)
	}
	out := map[string]int{}
	for k, v := range ops {
		out[k] = v
	}
	for k, v := range own {
		out[k] = v
	}
	return out, nil
}

func (im *importer) unsupported(n *onnxpb.Node, ops map[string]int) string {
	d := domain(n.Domain)
	name := n.OpType
	if name == "" {
		return "" // malformed: reported with its node
	}
	shown := strings.ToValidUTF8(name, "?")
	if len(shown) > 80 {
		shown = shown[:80]
	}
	if d != "" {
		shown = d + ":" + shown
	} else {
		shown = "ai.onnx:" + shown
	}
	v, ok := ops[d]
	if !ok {
		if _, _, known := im.table.Lookup(d, name, MaxOpset); !known {
			return shown
		}
		return "" // the domain is not imported: reported with its node
	}
	_, src, known := im.table.Lookup(d, name, v)
	switch {
	case !known:
		return shown
	case src == nil:
		return fmt.Sprintf("%s (of opset %d)", shown, v)
	}
	return ""
}

// scope is the names of one graph or function body.
type scope struct {
	im     *importer
	b      *ir.Builder
	vals   map[string]*ir.Value
	inits  map[string]*onnxpb.Tensor
	sparse map[string]*onnxpb.SparseTensor
	outer  *scope
	ops    map[string]int
	attrs  map[string]*onnxpb.Attr // of the call, inside a function
	absent map[string]bool         // optional operands that the call does not give, inside a function
	depth  int
}

func (im *importer) newScope(b *ir.Builder, g *onnxpb.Graph, ops map[string]int) (*scope, error) {
	s := &scope{im: im, b: b, vals: map[string]*ir.Value{}, inits: map[string]*onnxpb.Tensor{}, sparse: map[string]*onnxpb.SparseTensor{}, ops: ops}
	if g == nil {
		return s, nil
	}
	for i := range g.Inits {
		t := &g.Inits[i]
		if s.inits[t.Name] != nil {
			return nil, im.fail(ir.ErrMalformed, "two initializers are named %q", t.Name)
		}
		s.inits[t.Name] = t
	}
	for i := range g.SparseInits {
		t := &g.SparseInits[i]
		s.sparse[t.Values.Name] = t
	}
	return s, nil
}

// main imports the model's graph as the entry "main".
func (im *importer) main(ops map[string]int) error {
	g := im.pb.Graph
	im.f = im.m.NewFunc("main")
	b := ir.NewBuilder(im.m, im.f, im.f.Body, im.sem)
	s, err := im.newScope(b, g, ops)
	if err != nil {
		return err
	}
	var infos []*onnxpb.ValueInfo
	for i := range g.Inputs {
		in := &g.Inputs[i]
		if s.inits[in.Name] == nil && s.sparse[in.Name] == nil {
			infos = append(infos, in)
		}
	}
	types, err := im.inputTypes(infos)
	if err != nil {
		return err
	}
	for i, in := range infos {
		if s.vals[in.Name] != nil {
			return im.fail(ir.ErrMalformed, "two inputs are named %q", in.Name)
		}
		v := im.f.AddParam(im.f.Body, in.Name, types[i])
		v.Is = []string{in.Name}
		s.vals[in.Name] = v
		im.f.Inputs = append(im.f.Inputs, in.Name)
	}
	if err := s.nodes(g.Nodes); err != nil {
		return err
	}
	if len(g.Outputs) == 0 {
		return im.fail(ir.ErrMalformed, "the graph has no outputs")
	}
	for i := range g.Outputs {
		o := &g.Outputs[i]
		v, err := s.value(o.Name)
		if err != nil {
			return im.fail(ir.ErrMalformed, "graph output %q: %v", o.Name, err)
		}
		if err := im.checkOutput(o, v); err != nil {
			return err
		}
		im.f.Body.Results = append(im.f.Body.Results, v)
		im.f.Outputs = append(im.f.Outputs, o.Name)
	}
	im.f.RemoveDead()
	return nil
}

// checkOutput compares a declared output with what inference found; declared shapes are often wrong in real
// files, so only element types count, and extents that can never be.
func (im *importer) checkOutput(o *onnxpb.ValueInfo, v *ir.Value) error {
	if o.Type == nil || o.Type.Kind != onnxpb.KindTensor || v.Type.Kind != ir.Tensor {
		return nil
	}
	if t, ok := o.Type.Elem.Elem(); ok && t != v.Type.Elem {
		return im.fail(ir.ErrShape, "graph output %q is declared %v, and is %v", o.Name, t, v.Type.Elem)
	}
	return nil
}

// value resolves a name: a value of this graph, an initializer, or one of an enclosing graph that needs no
// operand to be seen here.
func (s *scope) value(name string) (*ir.Value, error) {
	if v := s.vals[name]; v != nil {
		return v, nil
	}
	if t, ok := s.inits[name]; ok {
		c, err := t.Value(s.im.ext)
		if err != nil {
			return nil, s.formatError(err)
		}
		return s.constant(name, c), nil
	}
	if t, ok := s.sparse[name]; ok {
		c, err := t.Dense(s.im.ext, 1<<30)
		if err != nil {
			return nil, s.formatError(err)
		}
		return s.constant(name, c), nil
	}
	if s.outer != nil {
		v, err := s.outer.value(name)
		if err != nil {
			return nil, err
		}
		if in := s.sink(v); in != nil {
			s.vals[name] = in
			return in, nil
		}
	}
	return nil, fmt.Errorf("value %q is not defined", clip(name))
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 100 {
		return s[:97] + "..."
	}
	return s
}

func (s *scope) constant(name string, t *tensor.Tensor) *ir.Value {
	v := s.b.Const(name, t)
	name1(v, name)
	s.vals[name] = v
	return v
}

// sink makes a constant, or a value of known contents, of the enclosing graph again in this one.
func (s *scope) sink(v *ir.Value) *ir.Value {
	if c := s.im.m.ConstOf(v); c != nil {
		a, _ := v.Def.Attrs.Get("data")
		return s.b.ConstAt(int(a.I))
	}
	if v.Elems != nil {
		return s.b.Dims(v.Type, v.Elems)
	}
	return nil
}

// name1 records a model's name for a value.
func name1(v *ir.Value, name string) {
	if v.Name == "" {
		v.Name = name
	}
	for _, n := range v.Is {
		if n == name {
			return
		}
	}
	v.Is = append(v.Is, name)
}

// formatError keeps the kind of an error of the file format.
func (s *scope) formatError(err error) error {
	kind := ir.ErrMalformed
	if errors.Is(err, onnxpb.ErrUnsupported) {
		kind = ir.ErrUnsupported
	}
	return &ir.Error{Kind: kind, Loc: ir.Loc{File: s.im.file}, Err: err}
}

// inputTypes turns declared types into ours. A dim_param may be any string: expressions are parsed, and
// where they determine nothing they become symbols of their own.
func (im *importer) inputTypes(infos []*onnxpb.ValueInfo) ([]ir.Type, error) {
	types := make([]ir.Type, len(infos))
	for i, in := range infos {
		if in.Type == nil {
			return nil, im.fail(ir.ErrMalformed, "input %q has no type", in.Name)
		}
		t, err := im.typeOf(in.Type, in.Name)
		if err != nil {
			return nil, err
		}
		types[i] = t
	}
	im.implyDims(infos, types)
	for i, in := range infos {
		var err error
		if types[i], err = im.concrete(types[i], in.Name); err != nil {
			return nil, err
		}
	}
	im.settle(types)
	return types, nil
}

// implyDims gives symbols the values that they have in the caller's shapes, for the inputs whose shapes he left open: unless two shapes
// contradict each other, because models do call unlike extents by one name.
func (im *importer) implyDims(infos []*onnxpb.ValueInfo, types []ir.Type) {
	given := map[string]int64{}
	unlike := map[string]bool{}
	for i, t := range types {
		shape := im.opts.Shapes[infos[i].Name]
		if t.Kind != ir.Tensor || len(shape) != len(t.Shape) {
			continue
		}
		for a, e := range t.Shape {
			name, ok := e.Symbol()
			if !ok || shape[a] < 0 {
				continue
			}
			if v, ok := given[name]; ok && v != int64(shape[a]) {
				unlike[name] = true
			}
			given[name] = int64(shape[a])
		}
	}
	maps.DeleteFunc(given, func(name string, _ int64) bool { return unlike[name] })
	maps.Copy(given, im.opts.Dims)
	im.opts.Dims = given
}

// concrete applies the caller's shapes and values of symbols to an input's type.
func (im *importer) concrete(t ir.Type, name string) (ir.Type, error) {
	if shape, ok := im.opts.Shapes[name]; ok && t.Kind != ir.Tensor {
		im.element(t.Of, shape)
		return t, nil
	}
	if shape, ok := im.opts.Shapes[name]; ok && t.Kind == ir.Tensor {
		if len(shape) != len(t.Shape) {
			return t, im.fail(ir.ErrShape, "input %q: want rank %d, got shape %v", name, len(t.Shape), shape)
		}
		for i, d := range shape {
			if v, ok := t.Shape[i].Int(); ok && v != int64(d) {
				return t, im.fail(ir.ErrShape, "input %q axis %d: want %d, got %d", name, i, v, d)
			}
			t.Shape[i] = dim.Const(int64(d))
		}
	}
	for i, e := range t.Shape {
		t.Shape[i] = e.Subst(func(s string) (dim.Expr, bool) {
			v, ok := im.opts.Dims[s]
			return dim.Const(v), ok
		})
		if v, ok := t.Shape[i].Int(); ok && v < 0 {
			return t, im.fail(ir.ErrShape, "input %q axis %d: extent %d", name, i, v)
		}
	}
	return t, nil
}

// element gives the tensors of a box a shape, in which -1 is an extent that differs between them.
func (im *importer) element(t *ir.Type, shape []int) {
	for ; t.Kind != ir.Tensor; t = t.Of {
		if t.Of == nil {
			return
		}
	}
	if !t.Open && len(t.Shape) != len(shape) {
		return
	}
	t.Open, t.Shape = false, make([]dim.Expr, len(shape))
	for i, d := range shape {
		if t.Shape[i] = dim.Const(int64(d)); d < 0 {
			t.Shape[i] = im.anyExtent()
		}
	}
}

// settle replaces extents that no input determines: an expression over symbols that occur nowhere by
// themselves.
func (im *importer) settle(types []ir.Type) {
	known := map[string]bool{}
	unknowns := func(e dim.Expr) int {
		set := map[string]bool{}
		e.Walk(func(n string) {
			if !known[n] {
				set[n] = true
			}
		})
		return len(set)
	}
	for again := true; again; {
		again = false
		for i := range types {
			for _, e := range types[i].Shape {
				if unknowns(e) != 1 || !linear(e, known) {
					continue
				}
				e.Walk(func(n string) { known[n] = true })
				again = true
			}
		}
	}
	for i := range types {
		for a, e := range types[i].Shape {
			if unknowns(e) > 0 {
				types[i].Shape[a] = im.m.Dims.Fresh(sanitize(e.Key())+"_", dim.Info{Hi: dim.Inf})
			}
		}
	}
	for i := range types {
		for _, e := range types[i].Shape {
			e.Walk(func(n string) { im.m.Dims.Declare(n, dim.Info{Hi: dim.Inf}) })
		}
	}
}

// linear reports whether the one unknown symbol of e can be found from its value.
func linear(e dim.Expr, known map[string]bool) bool {
	var sym string
	e.Walk(func(n string) {
		if !known[n] {
			sym = n
		}
	})
	at := func(v int64) dim.Expr {
		return e.Subst(func(s string) (dim.Expr, bool) { return dim.Const(v), s == sym })
	}
	rest := at(0)
	c, ok := dim.Sub(at(1), rest).Int()
	return ok && c != 0 && dim.Equal(dim.Add(dim.Mul(dim.Const(c), dim.Sym(sym)), rest), e)
}

// typeOf is a declared type. In a box an extent that is no number may be another for every element.
func (im *importer) typeOf(t *onnxpb.TypeProto, name string) (ir.Type, error) {
	return im.typeIn(t, name, false)
}

func (im *importer) typeIn(t *onnxpb.TypeProto, name string, boxed bool) (ir.Type, error) {
	kinds := map[onnxpb.Kind]ir.Kind{onnxpb.KindSequence: ir.Sequence, onnxpb.KindOptional: ir.Optional, onnxpb.KindMap: ir.Map}
	if k, ok := kinds[t.Kind]; ok {
		out := ir.Type{Kind: k}
		if k == ir.Map {
			if out.Key, ok = t.Elem.Elem(); !ok {
				return out, im.fail(ir.ErrMalformed, "%q: map of keys of type %v", name, t.Elem)
			}
		}
		if t.Of == nil {
			return out, im.fail(ir.ErrMalformed, "%q: a %v of no type", name, k)
		}
		of, err := im.typeIn(t.Of, name, true)
		out.Of = &of
		if k == ir.Map && of.Open {
			of.Open = false // the values of maps are numbers
		}
		return out, err
	}
	if t.Kind != onnxpb.KindTensor {
		return ir.Type{}, im.fail(ir.ErrUnsupported, "%q: type %v", name, t.Kind)
	}
	elem, ok := t.Elem.Elem()
	if !ok {
		return ir.Type{}, im.fail(ir.ErrMalformed, "%q: element type %v", name, t.Elem)
	}
	switch given, ok := im.opts.Shapes[name]; {
	case t.HasShape:
	case ok && !boxed: // concrete takes it
		return ir.TensorType(elem, dim.Consts(given)...), nil
	case boxed:
		return ir.Type{Elem: elem, Open: true}, nil
	default:
		return ir.Type{}, im.fail(ir.ErrUnsupported, "%q: a tensor of unknown rank", name)
	}
	shape := make([]dim.Expr, len(t.Dims))
	for i, d := range t.Dims {
		switch {
		case !boxed:
			shape[i] = im.extent(d, name, i)
		case d.Known && d.Value >= 0:
			shape[i] = dim.Const(d.Value)
		default:
			shape[i] = im.anyExtent()
		}
	}
	return ir.TensorType(elem, shape...), nil
}

func (im *importer) anyExtent() dim.Expr {
	im.m.Dims.Declare(ir.AnyExtent, dim.Info{Hi: dim.Inf, Late: true})
	return dim.Sym(ir.AnyExtent)
}

// extent reads one dimension: a number, an expression, or a fresh symbol for "", "?" and negative numbers.
func (im *importer) extent(d onnxpb.Dim, name string, axis int) dim.Expr {
	if d.Known && d.Value >= 0 {
		return dim.Const(d.Value)
	}
	if d.Param != "" && d.Param != "?" && sanitize(d.Param) != ir.AnyExtent && len(d.Param) < 200 {
		if e, err := dim.Parse(d.Param); err == nil {
			if _, number := e.Int(); !number {
				return e
			}
		} else {
			return dim.Sym(sanitize(d.Param))
		}
	}
	return im.m.Dims.Fresh(fmt.Sprintf("%s_%d_", sanitize(name), axis), dim.Info{Hi: dim.Inf})
}
