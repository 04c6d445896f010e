package op

import (
	"fmt"
	"sort"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
)

// Table is a set of operators, looked up by name or by a model's spelling.
type Table struct {
	defs    []*Def
	byName  map[string]*Def
	imports map[[2]string][]entry
}

type entry struct {
	def *Def // nil for a spelling that is other operators
	src *Source
}

// NewTable makes a table of operators and of import-only spellings.
func NewTable(defs []*Def, spellings []Source) (*Table, error) {
	t := &Table{byName: map[string]*Def{}, imports: map[[2]string][]entry{}}
	for _, d := range defs {
		if t.byName[d.Name] != nil {
			return nil, fmt.Errorf("operator %q is defined twice", d.Name)
		}
		t.byName[d.Name] = d
		t.defs = append(t.defs, d)
		for i := range d.From {
			t.add(d, &d.From[i])
		}
	}
	for i := range spellings {
		t.add(nil, &spellings[i])
	}
	return t, nil
}

func (t *Table) add(d *Def, s *Source) {
	k := [2]string{s.Domain, s.Op}
	t.imports[k] = append(t.imports[k], entry{d, s})
}

// Def looks an operator up by name.
func (t *Table) Def(name string) *Def { return t.byName[name] }

// Defs lists the operators in the order of the table.
func (t *Table) Defs() []*Def { return t.defs }

// Lookup finds the definition that a model's node means at a version of its domain: the source with the
// newest revision not above it. def is nil where the spelling expands into other operators; known reports
// whether any version of the spelling exists.
func (t *Table) Lookup(domain, name string, version int) (def *Def, src *Source, known bool) {
	best := 0
	for _, e := range t.imports[[2]string{domain, name}] {
		known = true
		if e.src.Until > 0 && version >= e.src.Until {
			continue
		}
		for _, s := range e.src.Since {
			if s <= version && s > best {
				best, def, src = s, e.def, e.src
			}
		}
	}
	return def, src, known
}

// Spelling is a row of the support table.
type Spelling struct {
	Domain, Op string
	Versions   []int
	Name       string // the operator; "" where the importer makes others of it
}

// Spellings lists all that importers know, sorted.
func (t *Table) Spellings() []Spelling {
	var l []Spelling
	for k, es := range t.imports {
		s := Spelling{Domain: k[0], Op: k[1]}
		for _, e := range es {
			s.Versions = append(s.Versions, e.src.Since...)
			if e.def != nil {
				s.Name = e.def.Name
			}
		}
		sort.Ints(s.Versions)
		l = append(l, s)
	}
	sort.Slice(l, func(i, j int) bool {
		if l[i].Domain != l[j].Domain {
			return l[i].Domain < l[j].Domain
		}
		return l[i].Op < l[j].Op
	})
	return l
}

// NumOut implements ir.Semantics.
func (t *Table) NumOut(n *ir.Node) (int, error) {
	d := t.byName[n.Op]
	if d == nil {
		return 0, n.Errorf(ir.ErrUnsupported, "operator %q is not known", n.Op)
	}
	if err := d.Check(n); err != nil {
		return 0, n.Errorf(ir.ErrShape, "%v", err)
	}
	if d.NumOut != nil {
		return d.NumOut(n), nil
	}
	return len(d.Sig.Out), nil
}

// Infer implements ir.Semantics.
func (t *Table) Infer(m *ir.Module, n *ir.Node) error {
	d := t.byName[n.Op]
	if d == nil {
		return n.Errorf(ir.ErrUnsupported, "operator %q is not known", n.Op)
	}
	if err := d.Check(n); err != nil {
		return n.Errorf(ir.ErrShape, "%v", err)
	}
	if err := d.Infer(&Infer{Node{m, n}}); err != nil {
		if e, ok := err.(*ir.Error); ok {
			return e
		}
		e := n.Errorf(ir.ErrShape, "")
		e.Err = err
		return e
	}
	for _, o := range n.Out {
		if o.Type.Kind == ir.Tensor && !o.Type.Elem.Valid() {
			return n.Errorf(ir.ErrShape, "result %d has no element type", o.Index)
		}
		for _, e := range o.Type.Shape {
			if v, ok := e.Int(); ok && (v < 0 || v > 1<<48) {
				return n.Errorf(ir.ErrShape, "result %d would have shape %v", o.Index, o.Type)
			}
		}
	}
	return nil
}

// Check compares a node with the signature and puts defaults into its attributes, in the order of the signature.
func (d *Def) Check(n *ir.Node) error {
	if err := d.checkOperands(n); err != nil {
		return err
	}
	if len(n.Regions) != len(d.Sig.Regions) && d.Sig.Regions != nil {
		return fmt.Errorf("want %d regions, got %d", len(d.Sig.Regions), len(n.Regions))
	}
	l := make(attr.List, 0, len(d.Sig.Attrs))
	used := 0
	for _, a := range d.Sig.Attrs {
		v, ok := n.Attrs.Get(a.Name)
		switch {
		case ok:
			used++
		case a.Required:
			return fmt.Errorf("attribute %s is missing", a.Name)
		case a.Default.Kind == attr.None:
			continue
		default:
			v = a.Default
		}
		v, err := coerce(v, a.Kind)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", a.Name, err)
		}
		l = append(l, attr.Named{Name: a.Name, Value: v})
	}
	if used < len(n.Attrs) {
		for _, a := range n.Attrs {
			if _, ok := l.Get(a.Name); !ok {
				return fmt.Errorf("attribute %q is not known", a.Name)
			}
		}
	}
	n.Attrs = l
	return nil
}

// coerce accepts what model formats spell differently: integers for booleans and floats, constants for dims.
func coerce(v attr.Value, want attr.Kind) (attr.Value, error) {
	switch {
	case v.Kind == want || want == attr.None:
		return v, nil
	case v.Kind == attr.Int && want == attr.Bool:
		return attr.OfBool(v.I != 0), nil
	case v.Kind == attr.Int && want == attr.Float:
		return attr.OfFloat(float64(v.I)), nil
	case v.Kind == attr.Ints && len(v.Ints) == 0 && want == attr.Floats:
		return attr.OfFloats(nil), nil
	case v.Kind == attr.Ints && len(v.Ints) == 0 && want == attr.Strs:
		return attr.OfStrs(nil), nil
	}
	return v, fmt.Errorf("want %v, got %v", want, v.Kind)
}

func (d *Def) checkOperands(n *ir.Node) error {
	sig := d.Sig.In
	variadic := len(sig) > 0 && sig[len(sig)-1].Variadic
	if len(n.In) > len(sig) && !variadic {
		return fmt.Errorf("want at most %d operands, got %d", len(sig), len(n.In))
	}
	first := dtype.Invalid
	for i := 0; i < max(len(sig), len(n.In)); i++ {
		a := sig[min(i, len(sig)-1)]
		if i >= len(n.In) || n.In[i] == nil {
			if a.Optional || a.Variadic {
				continue
			}
			return fmt.Errorf("operand %s is missing", a.Name)
		}
		v := n.In[i]
		if v.Type.Kind != ir.Tensor {
			if !a.Any {
				return fmt.Errorf("operand %s: want a tensor, got %v", a.Name, v.Type)
			}
			continue
		}
		if a.Elem == 0 {
			continue
		}
		if !a.Elem.Has(v.Type.Elem) {
			return fmt.Errorf("operand %s: element type %v is not accepted", a.Name, v.Type.Elem)
		}
		if first == dtype.Invalid {
			first = v.Type.Elem
		}
	}
	return nil
}
