package irtest

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Shrink makes the module of text smaller while fails still holds of its text: fewer results, nodes cut out
// or replaced by an operand or by an input, fewer inputs, numbers for symbols, smaller extents. It gives up
// after tries candidates. fails gets only text that parses and infers.
func Shrink(text string, sem ir.Semantics, infer ir.Inference, tries int, fails func(text string) bool) string {
	s := &shrinker{sem: sem, infer: infer, left: tries, fails: fails, text: text}
	for s.left > 0 {
		before := s.text
		s.results()
		s.nodes()
		s.inputs()
		s.extents()
		if s.text == before {
			break
		}
	}
	return s.text
}

type shrinker struct {
	sem   ir.Semantics
	infer ir.Inference
	left  int
	fails func(string) bool
	text  string
}

// Load parses text as Mixed's constants need it.
func Load(text string, infer ir.Inference) (*ir.Module, error) {
	return ir.Parse(text, ir.ParseOptions{Consts: Weights, Semantics: infer})
}

// try keeps an edit if the edited module still fails; false where it does not, or cannot be made.
func (s *shrinker) try(edit func(m *ir.Module) error) (kept bool) {
	if s.left--; s.left < 0 {
		return false
	}
	defer func() {
		if recover() != nil { // an edit that breaks an invariant is no candidate
			kept = false
		}
	}()
	m, err := Load(s.text, s.infer)
	if err != nil || edit(m) != nil {
		return false
	}
	m.Main().RemoveDead()
	dropConsts(m)
	text := m.String()
	if text == s.text || len(text) > len(s.text)+200 {
		return false
	}
	if _, err := Load(text, s.infer); err != nil || !s.fails(text) {
		return false
	}
	s.text = text
	return true
}

// module is a copy to look at.
func (s *shrinker) module() *ir.Module {
	m, err := Load(s.text, s.infer)
	if err != nil {
		panic(fmt.Sprintf("a module that was parsed before: %v", err))
	}
	return m
}

func (s *shrinker) results() {
	for i := len(s.module().Main().Outputs) - 1; i >= 0; i-- {
		n := len(s.module().Main().Outputs)
		if n == 1 || i >= n {
			continue
		}
		s.try(func(m *ir.Module) error {
			f := m.Main()
			f.Outputs = append(f.Outputs[:i:i], f.Outputs[i+1:]...)
			f.Body.Results = append(f.Body.Results[:i:i], f.Body.Results[i+1:]...)
			return nil
		})
	}
}

// replace rebuilds the module; node number at is replaced by what with returns.
func (s *shrinker) replace(m *ir.Module, at int, with func(rw *ir.Rewriter, n *ir.Node) []*ir.Value) error {
	k := -1
	return ir.Rewrite(m, m.Main(), s.sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
		if k++; k != at || n.Op == ir.OpConst || n.Op == ir.OpDims {
			return nil, nil
		}
		return with(rw, n), nil
	})
}

// nodes replaces nodes, the last first: by an operand of the same type, or by a new input.
func (s *shrinker) nodes() {
	for at := s.module().Main().Body.Count() - 1; at >= 0; at-- {
		for k := 0; k < 3; k++ {
			if s.try(func(m *ir.Module) error { return s.replace(m, at, operand(k)) }) {
				break
			}
		}
		s.try(func(m *ir.Module) error { return s.input(m, at) })
		s.try(func(m *ir.Module) error { return s.bypass(m, at) })
	}
}

// operand replaces every result by the k-th operand of its type.
func operand(k int) func(rw *ir.Rewriter, n *ir.Node) []*ir.Value {
	return func(rw *ir.Rewriter, n *ir.Node) []*ir.Value {
		out := make([]*ir.Value, len(n.Out))
		for i, o := range n.Out {
			left := k
			for _, v := range n.In {
				if v != nil && ir.EqualTypes(v.Type, o.Type) {
					if left == 0 {
						out[i] = rw.Mapped(v)
						break
					}
					left--
				}
			}
			if out[i] == nil {
				return nil
			}
		}
		return out
	}
}

// input replaces the results of a node of the body by new inputs.
func (s *shrinker) input(m *ir.Module, at int) error {
	f, k := m.Main(), -1
	var target *ir.Node
	f.Body.Walk(func(n *ir.Node) {
		if k++; k == at {
			target = n
		}
	})
	outer := false
	for _, n := range f.Body.Nodes {
		outer = outer || n == target
	}
	if !outer || target.Op == ir.OpConst || target.Op == ir.OpDims {
		return fmt.Errorf("not in the body")
	}
	fresh := make([]*ir.Value, len(target.Out))
	for i, o := range target.Out {
		for _, e := range o.Type.Shape {
			if m.Dims.Late(e) {
				return fmt.Errorf("a late extent")
			}
		}
		name := fmt.Sprintf("c%d", len(f.Inputs))
		for contains(f.Inputs, name) {
			name += "_"
		}
		fresh[i] = f.AddParam(f.Body, name, o.Type)
		f.Inputs = append(f.Inputs, name)
	}
	return s.replace(m, at, func(rw *ir.Rewriter, _ *ir.Node) []*ir.Value { return rw.MappedAll(fresh) })
}

func contains(l []string, name string) bool {
	for _, x := range l {
		if x == name {
			return true
		}
	}
	return false
}

// bypass makes the operands of a result's node the results: what fails may lie above it.
func (s *shrinker) bypass(m *ir.Module, at int) error {
	f, k := m.Main(), -1
	var target *ir.Node
	f.Body.Walk(func(n *ir.Node) {
		if k++; k == at {
			target = n
		}
	})
	for i, v := range f.Body.Results {
		if v.Def != target {
			continue
		}
		var put []*ir.Value
		for _, o := range target.In {
			if o != nil && o.Def != nil && o.Def.Op != ir.OpConst {
				put = append(put, o)
			}
		}
		if len(put) == 0 {
			return fmt.Errorf("nothing above")
		}
		f.Body.Results = append(append(f.Body.Results[:i:i], put...), f.Body.Results[i+1:]...)
		f.Outputs = nil
		for k := range f.Body.Results {
			f.Outputs = append(f.Outputs, fmt.Sprintf("y%d", k))
		}
		return nil
	}
	return fmt.Errorf("not a result")
}

// inputs drops the parameters that nothing reads.
func (s *shrinker) inputs() {
	for i := len(s.module().Main().Inputs) - 1; i >= 0; i-- {
		s.try(func(m *ir.Module) error {
			f := m.Main()
			p := f.Body.Params[i]
			if f.Uses()[p.ID] > 0 {
				return fmt.Errorf("used")
			}
			f.Body.Params = append(f.Body.Params[:i:i], f.Body.Params[i+1:]...)
			f.Inputs = append(f.Inputs[:i:i], f.Inputs[i+1:]...)
			for k, q := range f.Body.Params {
				q.Index = k
			}
			return nil
		})
	}
}

// extents gives symbols numbers, then makes numbers smaller wherever they stand.
func (s *shrinker) extents() {
	for _, name := range s.module().Dims.Names() {
		for _, v := range []int64{1, 2, 3} {
			if s.try(func(m *ir.Module) error {
				ir.SubstDims(m, func(x string) (dim.Expr, bool) { return dim.Const(v), x == name })
				m.Dims.Keep(func(x string) bool { return x != name })
				return s.replace(m, -1, nil)
			}) {
				break
			}
		}
	}
	seen := map[int64]bool{}
	for _, p := range s.module().Main().Body.Params {
		for _, e := range p.Type.Shape {
			if c, ok := e.Int(); ok && c > 1 {
				seen[c] = true
			}
		}
	}
	for c := range seen {
		for _, to := range []int64{1, c / 2, c - 1} {
			if to > 0 && to < c && s.try(func(m *ir.Module) error { return s.resize(m, c, to) }) {
				break
			}
		}
	}
}

// resize puts another number for an extent in inputs, constants and attributes.
func (s *shrinker) resize(m *ir.Module, from, to int64) error {
	put := func(l []dim.Expr) []dim.Expr {
		out := append([]dim.Expr(nil), l...)
		for i, e := range out {
			if e.IsConst(from) {
				out[i] = dim.Const(to)
			}
		}
		return out
	}
	for _, p := range m.Main().Body.Params {
		p.Type.Shape = put(p.Type.Shape)
	}
	for i, c := range m.Consts {
		shape := append([]int(nil), c.Tensor.Shape...)
		for k, d := range shape {
			if int64(d) == from {
				shape[k] = int(to)
			}
		}
		t := tensor.New(c.Tensor.Elem, shape...)
		if t.Len() > ir.InlineLimit {
			t, _ = Weights(i, "", c.Tensor.Elem, shape)
		} else {
			copy(t.Data, c.Tensor.Data)
		}
		m.Consts[i].Tensor = t
	}
	m.Main().Body.Walk(func(n *ir.Node) {
		for i := range n.Attrs {
			if n.Attrs[i].Dims != nil {
				n.Attrs[i].Dims = put(n.Attrs[i].Dims)
			}
		}
		for _, r := range n.Regions {
			for _, p := range r.Params {
				p.Type.Shape = put(p.Type.Shape)
			}
		}
	})
	return s.replace(m, -1, nil)
}

// dropConsts takes the constants that nothing reads out of the table. Where one is drawn by its number, those in front of it stay.
func dropConsts(m *ir.Module) {
	used, last := map[int]bool{}, -1
	each := func(f func(n *ir.Node, at int)) {
		for _, fn := range m.Funcs {
			fn.Body.Walk(func(n *ir.Node) {
				if a, ok := n.Attrs.Get("data"); ok && n.Op == ir.OpConst {
					f(n, int(a.I))
				}
			})
		}
	}
	each(func(_ *ir.Node, at int) {
		used[at] = true
		if m.Consts[at].Tensor.Len() > ir.InlineLimit {
			last = max(last, at)
		}
	})
	to, kept := map[int]int{}, []ir.Const{}
	for i, c := range m.Consts {
		if used[i] || i <= last {
			to[i] = len(kept)
			kept = append(kept, c)
		}
	}
	m.Consts = kept
	each(func(n *ir.Node, at int) { n.Attrs = n.Attrs.Set("data", attr.OfConst(to[at])) })
}
