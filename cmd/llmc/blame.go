package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// apart is how far two tensors lie from each other.
type apart struct {
	abs float64 // largest difference
	rel float64 // the same over the largest magnitude
}

// huge is what masks are made of: such numbers say nothing of the size of the others.
const huge = 1e30

// differ compares two tensors. Differences are relative to the largest magnitude in want, or to a thousandth of that of
// the operands where it is larger: what cancels out is not more exact than what it was made of.
func differ(got, want *tensor.Tensor, operands float64) apart {
	if got == nil || got.Elem != want.Elem || got.Len() != want.Len() {
		return apart{math.Inf(1), math.Inf(1)}
	}
	if want.Elem == dtype.String {
		for i := range want.Str {
			if want.Str[i] != got.Str[i] {
				return apart{math.Inf(1), math.Inf(1)}
			}
		}
		return apart{}
	}
	if bytes.Equal(got.Data, want.Data) {
		return apart{}
	}
	if want.Elem.IsComplex() {
		return apart{math.Inf(1), math.Inf(1)} // no kernel computes them, so they are equal to the bit
	}
	var d apart
	for i := range want.Len() {
		g, w := got.Float(i), want.Float(i)
		switch {
		case g == w || g != g && w != w:
		case math.Abs(w) >= huge && math.Abs(g) >= huge && (w < 0) == (g < 0):
		case g != g || w != w || math.IsInf(g, 0) || math.IsInf(w, 0):
			return apart{math.Inf(1), math.Inf(1)}
		default:
			d.abs = max(d.abs, math.Abs(g-w))
		}
	}
	if d.abs == 0 {
		return d
	}
	d.rel = d.abs / max(magnitude(want), 1e-3*operands, 1e-30)
	return d
}

// magnitude is the largest of a tensor's numbers that are not huge.
func magnitude(t *tensor.Tensor) float64 {
	big := 0.0
	if t == nil || t.Elem == dtype.String || t.Elem.IsComplex() {
		return 0
	}
	for i := range t.Len() {
		if x := math.Abs(t.Float(i)); x < huge {
			big = max(big, x)
		}
	}
	return big
}

// tolerance is the relative error that a value may have.
func (v *verifier) tolerance(t *tensor.Tensor) float64 {
	switch {
	case v.f.tol > 0:
		return v.f.tol
	case v.quant:
		return 5e-2
	case t.Elem.IsFloat() && t.Elem.Bits() < 32 || v.half:
		return 2e-2
	}
	return 1e-3
}

// ownTolerance is what one step may add: f32 kernels stay far below it, but those that multiply by fewer products than a
// convolution has lose some digits.
func (v *verifier) ownTolerance() float64 {
	if v.f.tol > 0 || v.quant || v.half {
		return math.Inf(1)
	}
	return 2e-4
}

// judge finds the first value that diverges, and why it does.
func (v *verifier) judge(ctx context.Context, byID map[int]*ir.Value) error {
	first := -1
	for i := range v.out.Rows {
		r := &v.out.Rows[i]
		own := r.Unknown == "" && !(r.OwnRel <= r.ownTol)
		r.Diverges = own || !(r.Rel <= r.tol)
		if r.Diverges && (first < 0 || own && v.inherits(&v.out.Rows[first])) {
			first = i
		}
	}
	bad := v.weight()
	if first < 0 {
		if bad == nil {
			bad = v.outputs()
		}
		v.out.OK, v.out.Fault = bad == nil, bad
		return nil
	}
	r := &v.out.Rows[first]
	switch {
	case !v.inherits(r):
		v.out.Fault = v.blameStep(ctx, r, byID[r.id])
	default:
		f, err := v.blamePass(ctx)
		if err != nil {
			return err
		}
		if f == nil && bad == nil && v.outputs() == nil {
			v.out.OK = true
			v.out.Notes = append(v.out.Notes, fmt.Sprintf("value %q has error %.1e: every step and pass is right, and small errors grow there; the outputs agree", r.Value, r.Rel))
			for i := range v.out.Rows {
				v.out.Rows[i].Diverges = false
			}
			return nil
		}
		if f == nil {
			f = &fault{Kind: "sum", Step: r.Step, Node: firstOf(byID[r.id].Def.Locs).Name, Op: firstOf(byID[r.id].Def.Locs).Op, Value: r.Value}
			f.Text = fmt.Sprintf("node %q (%s): value %q has error %.1e, the sum of small errors of the steps before", f.Node, f.Op, f.Value, r.Rel)
		}
		f.Step = r.Step
		v.out.Fault = f
	}
	if bad != nil && v.out.Fault.Kind != "pass" {
		v.out.Fault.Kind = bad.Kind
		v.out.Fault.Text += "; " + bad.Text
	}
	return nil
}

// inherits reports whether a row's step is right itself.
func (v *verifier) inherits(r *verifyRow) bool { return r.Unknown != "" || r.OwnRel <= r.ownTol }

func firstOf(l []ir.Loc) ir.Loc {
	if len(l) == 0 {
		return ir.Loc{}
	}
	return l[0]
}

// weight compares the constants of the program with those of the model.
func (v *verifier) weight() *fault {
	var find func(k *kir.Body, b, made *program.Body) *fault
	find = func(k *kir.Body, b, made *program.Body) *fault {
		for i, g := range k.Groups {
			st := &b.Steps[i]
			for j := range g.In {
				c := g.In[j].Buf.Const
				if c == nil || c.Tensor == nil || c.Tensor.Str != nil || g.In[j].Buf.Last < 0 || v.sameConst(c, made.Bufs[made.Steps[i].In[j].Buf].Index, b.Bufs[st.In[j].Buf].Index) {
					continue
				}
				f := &fault{Kind: "weight", Step: i, Node: st.Node, Op: st.Op, Value: c.Name}
				if f.Value == "" { // it was folded from others
					f.Value = fmt.Sprintf("%v%v", c.Tensor.Elem, c.Tensor.Shape)
				}
				f.Text = fmt.Sprintf("weight %q, which node %q (%s) reads, is not the model's", f.Value, st.Node, st.Op)
				return f
			}
			for j, inner := range g.Bodies {
				if j >= len(st.Bodies) || len(st.Bodies[j].Steps) != len(inner.Groups) {
					continue // of a file; the step's results show what is wrong
				}
				if f := find(inner, &st.Bodies[j], &made.Steps[i].Bodies[j]); f != nil {
					return f
				}
			}
		}
		return nil
	}
	for i, e := range v.kir.Entries {
		if f := find(e.Body, &v.prog.Entries[i].Body, &v.made.Entries[i].Body); f != nil {
			return f
		}
	}
	return nil
}

// sameConst reports whether constant n of the program that runs is c, which is constant made of the one that was compiled.
func (v *verifier) sameConst(c *kir.Const, made, n int32) bool {
	if n < 0 || int(n) >= len(v.prog.Consts) || made < 0 {
		return n == made
	}
	got, want := &v.prog.Consts[n], &v.made.Consts[made]
	if v.prog == v.made || want.Pack == nil {
		return bytes.Equal(got.Data, c.Tensor.Data)
	}
	if got.Layout != want.Layout {
		return false
	}
	packed := make([]byte, 4*want.Pack.Stored(want.Layout))
	return exec.PackConst(packed, want) == nil && bytes.Equal(got.Data, packed)
}

// blameStep says which of the model's nodes in a step is computed wrongly.
func (v *verifier) blameStep(ctx context.Context, r *verifyRow, o *ir.Value) *fault {
	n := o.Def
	f := &fault{Kind: "kernel", Step: r.Step, Value: r.Value, Node: firstOf(n.Locs).Name, Op: firstOf(n.Locs).Op}
	if f.Op == "" {
		f.Op = n.Op
	}
	f.Text = fmt.Sprintf("node %q (%s): step %d adds an error of %.1e to value %q", f.Node, f.Op, r.Step, r.OwnRel, r.Value)
	if n.Op != pass.GroupOp || len(locNames(n.Locs)) < 2 {
		return f
	}
	bad, e := v.split(ctx, n)
	if bad == nil {
		f.Text = fmt.Sprintf("a step of the nodes %s: it adds an error of %.1e to value %q, and each of them is right in a program of its own", nodesOf(locNames(n.Locs)), r.OwnRel, r.Value)
		return f
	}
	if l := firstOf(bad.Locs); l.Name != "" {
		f.Node, f.Op = l.Name, l.Op
	}
	f.Text = fmt.Sprintf("node %q (%s): in step %d with %d others, %s is the first that is wrong, by %.1e", f.Node, f.Op, r.Step, len(locNames(n.Locs))-1, bad.Op, e.rel)
	return f
}

// split compiles a group up to each of its nodes in turn, and finds the first that is not what the reference makes of
// the same operands.
func (v *verifier) split(ctx context.Context, g *ir.Node) (*ir.Node, apart) {
	r := g.Regions[0]
	for i, x := range r.Nodes {
		fn := *v.src.Module.Main() // each of the pieces numbers its values from here
		if x.Op == ir.OpConst || len(x.Out) == 0 {
			continue
		}
		out := fn.NewValue("", x.Out[0].Type)
		as := &ir.Node{ID: g.ID, Op: g.Op, In: g.In, Attrs: g.Attrs, Locs: x.Locs, Out: []*ir.Value{out},
			Regions: []*ir.Region{{Name: r.Name, Params: r.Params, Nodes: r.Nodes[:i+1], Results: x.Out[:1]}}}
		out.Def = as
		p := v.part(g, as, as.Out)
		p.fn.NewValue("", out.Type) // so that IDs up to that of out are counted
		want, err := v.src.Sem.Eval(ctx, p.m, p.fn, p.in, eval.Options{})
		if err != nil {
			continue
		}
		src := *v.src
		src.Module = p.m
		prog, err := driver.Generate(&src, driver.Options{})
		if err != nil {
			continue
		}
		if v.f.plant != nil {
			v.f.plant(prog)
		}
		s, err := v.session(prog)
		if err != nil {
			continue
		}
		got, err := s.RunValues(ctx, p.in)
		if err != nil {
			continue
		}
		if e := differ(got[0].Tensor, want[0].Tensor, p.magnitude()); !(e.rel <= min(v.tolerance(want[0].Tensor), v.ownTolerance())) {
			return x, e
		}
	}
	return nil, apart{}
}

// blamePass finds the first pass after which the graph gives something else than before.
func (v *verifier) blamePass(ctx context.Context) (*fault, error) {
	in, err := v.list()
	if err != nil {
		return nil, err
	}
	src, err := v.open()
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // only read
	want, where := map[string]*tensor.Tensor{}, map[string]ir.Loc{}
	names := graphNames(src.Module)
	_, err = src.Sem.Eval(ctx, src.Module, src.Module.Main(), in, eval.Options{Hook: func(x *ir.Value, got eval.Value) error {
		for _, n := range names[x] {
			if got.Kind == tensor.KindTensor && got.Tensor != nil {
				want[n], where[n] = got.Tensor.Clone(), firstOf(x.Def.Locs)
			}
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	var found *fault
	_, err = driver.Compile(ctx, src, v.options(func(e pass.Event) {
		if found == nil && e.Changed && ctx.Err() == nil {
			found = v.differs(ctx, src, e, in, want, where)
		}
	}))
	if found == nil && err != nil {
		return nil, err
	}
	return found, nil
}

// differs evaluates the graph after a pass, and reports the first value that is not what it was.
func (v *verifier) differs(ctx context.Context, src *driver.Source, e pass.Event, in []tensor.Value, want map[string]*tensor.Tensor, where map[string]ir.Loc) *fault {
	names := graphNames(e.Module)
	var f *fault
	stop := fmt.Errorf("found")
	_, err := src.Sem.Eval(ctx, e.Module, e.Module.Main(), in, eval.Options{Hook: func(x *ir.Value, got eval.Value) error {
		for _, n := range names[x] {
			w := want[n]
			if w == nil || got.Tensor == nil {
				continue
			}
			d := differ(got.Tensor, w, 0)
			if d.rel <= v.tolerance(w) {
				continue
			}
			l := where[n]
			f = &fault{Kind: "pass", Pass: e.Pass.Name, Value: n, Node: l.Name, Op: l.Op}
			f.Text = fmt.Sprintf("node %q (%s): pass %s changes value %q by %.1e", l.Name, l.Op, e.Pass.Name, n, d.rel)
			return stop
		}
		return nil
	}})
	if f == nil && err != nil && ctx.Err() == nil {
		f = &fault{Kind: "pass", Pass: e.Pass.Name, Text: fmt.Sprintf("pass %s: the graph after it cannot be evaluated: %s", e.Pass.Name, strings.TrimSpace(err.Error()))}
	}
	return f
}
