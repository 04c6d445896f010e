package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/codegen/kir"
	"github.com/llmc-go/llmc/formats/testcase"
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/pipeline"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// verifier compares one run of a compiled model with the reference.
type verifier struct {
	f      *verifyFlags
	l      *loaded
	inputs llmc.Values
	fixed  bool // the model is compiled for the sizes of these inputs
	out    verification

	src     *driver.Source // as the passes left it
	kir     *kir.Module
	made    *program.Program // as compiled
	prog    *program.Program // what runs: the same, or one from a file
	names   map[int][]string // the model's names of a value of src, by ID
	seen    map[int]*tensor.Tensor
	order   []int // values in the order in which they were written
	step    map[int]int
	result  []tensor.Value
	want    []tensor.Value // what the model's graph gives
	quant   bool           // the model holds integers of 8 bits and less
	half    bool           // or floats of 16
	closers []func()
}

func (v *verifier) close() {
	for _, f := range v.closers {
		f()
	}
}

// keyMark begins the name that stands for a value's ID while a program is verified.
const keyMark = "\x01"

func (v *verifier) run(ctx context.Context) error {
	if err := v.compile(ctx); err != nil {
		if ctx.Err() != nil || !needsSizes(err) {
			return err
		}
		v.fixed = true
		if e := v.compile(ctx); e != nil {
			return err
		}
		v.out.Notes = append(v.out.Notes, "compiled for these sizes only: "+oneLine(err.Error()))
	}
	v.l.boundIndices(v.prog, v.inputs)
	if err := v.execute(ctx); err != nil {
		return v.l.guessed(err)
	}
	byID := map[int]*ir.Value{}
	for _, n := range v.src.Module.Main().Body.Nodes {
		for _, o := range n.Out {
			byID[o.ID] = o
		}
	}
	for _, id := range v.order {
		v.out.Rows = append(v.out.Rows, v.newRow(byID[id]))
	}
	if err := v.accumulated(ctx); err != nil {
		return err
	}
	if err := v.own(ctx, byID); err != nil {
		return err
	}
	v.out.Outputs = len(v.want)
	return v.judge(ctx, byID)
}

// passes are those that run.
func (v *verifier) passes() []*pass.Pass {
	if v.f.passes != nil {
		return v.f.passes
	}
	return pipeline.List()
}

// options of a compilation of the model.
func (v *verifier) options(event func(pass.Event)) driver.Options {
	o := driver.Options{Passes: v.passes(), Event: event}
	if !v.fixed {
		o.Dims = v.l.dims
	}
	return o
}

func (v *verifier) compile(ctx context.Context) error {
	var err error
	if v.src, err = v.open(); err != nil {
		return err
	}
	src := v.src
	v.closers = append(v.closers, func() { _ = src.Close() })
	last := len(v.passes()) - 1
	o := v.options(func(e pass.Event) {
		if e.Index == last {
			v.name(e.Module)
		}
	})
	o.Kir = func(_ string, m *kir.Module) { v.kir = m }
	res, err := driver.Compile(ctx, v.src, o)
	if err != nil {
		return err
	}
	v.made, v.prog = res.Program, res.Program
	if v.f.prog != "" {
		if err := v.read(v.f.prog); err != nil {
			return err
		}
	}
	if v.f.plant != nil {
		v.f.plant(v.prog)
	}
	return nil
}

// read takes a program from a file. It must be what the model is compiled to, step by step.
func (v *verifier) read(path string) error {
	f, err := program.Open(path)
	if err != nil {
		return err
	}
	v.closers = append(v.closers, func() { _ = f.Close() })
	other := func(what string) error {
		return fmt.Errorf("%s is not what this version makes of %s: %s", path, v.l.path, what)
	}
	if len(f.Program.Entries) != len(v.made.Entries) {
		return other("it has other entries")
	}
	got, want := f.Program.Entries[0].Body.Steps, v.made.Entries[0].Body.Steps
	if len(got) != len(want) {
		return other(fmt.Sprintf("%d steps, want %d", len(got), len(want)))
	}
	for i := range got {
		if got[i].Anchor != want[i].Anchor || got[i].Node != want[i].Node || len(got[i].In) != len(want[i].In) || len(got[i].Out) != len(want[i].Out) || len(got[i].Bodies) != len(want[i].Bodies) {
			return other(fmt.Sprintf("step %d is %v %q, want %v %q", i, got[i].Anchor, got[i].Node, want[i].Anchor, want[i].Node))
		}
		got[i].Is = want[i].Is
	}
	v.prog = f.Program
	return nil
}

// name gives every value of the entry a name of its own, so that what a step writes can be told.
func (v *verifier) name(m *ir.Module) {
	v.names = map[int][]string{}
	for _, n := range m.Main().Body.Nodes {
		for _, o := range n.Out {
			v.names[o.ID] = o.Is
			o.Is = []string{keyMark + strconv.Itoa(o.ID)}
		}
	}
	m.Main().Body.Walk(func(n *ir.Node) {
		for _, o := range n.Out {
			v.half = v.half || o.Type.Kind == ir.Tensor && o.Type.Elem.IsFloat() && o.Type.Elem.Bits() < 32
			v.quant = v.quant || n.Op == "quantize_linear" || o.Type.Kind == ir.Tensor && o.Type.Elem.IsInt() && o.Type.Elem.Bits() <= 8
		}
	})
	for _, c := range m.Consts {
		v.quant = v.quant || c.Tensor != nil && c.Tensor.Len() > 1 && c.Tensor.Elem.IsInt() && c.Tensor.Elem.Bits() <= 8
	}
}

// list is the inputs in the order of the entry.
func (v *verifier) list() ([]tensor.Value, error) {
	var l []tensor.Value
	for _, name := range v.src.Module.Main().Inputs {
		x, ok := v.inputs[name]
		if !ok {
			return nil, fmt.Errorf("input %q has no value", name)
		}
		l = append(l, x)
	}
	return l, nil
}

// execute runs the program and keeps what each step writes.
func (v *verifier) execute(ctx context.Context) error {
	s, err := v.session(v.prog)
	if err != nil {
		return err
	}
	in, err := v.list()
	if err != nil {
		return err
	}
	v.seen, v.step = map[int]*tensor.Tensor{}, map[int]int{}
	at := 0
	s.SetHook(func(names []string, res []*tensor.Tensor) {
		for i, name := range names {
			id, err := strconv.Atoi(string(bytes.TrimPrefix([]byte(name), []byte(keyMark))))
			if err != nil || len(name) < 2 || res[i].Data == nil {
				continue
			}
			if v.seen[id] == nil {
				v.order = append(v.order, id)
				v.step[id] = at
			}
			v.seen[id] = res[i]
		}
		at++
	})
	res, err := s.RunValues(ctx, in)
	for _, r := range res {
		if r.Kind == tensor.KindTensor && r.Tensor != nil {
			r = tensor.ValueOf(r.Tensor.Clone())
		}
		v.result = append(v.result, r)
	}
	return err
}

func (v *verifier) session(p *program.Program) (*exec.Session, error) {
	m, err := exec.Load(p, exec.Options{Workers: v.f.in.model.threads, Tier: v.f.in.model.tier, MaxMemory: int64(v.f.in.model.memory), Host: std.All()})
	if err != nil {
		return nil, err
	}
	v.closers = append(v.closers, m.Close)
	return m.NewSession("")
}

func (v *verifier) newRow(o *ir.Value) verifyRow {
	n := o.Def
	r := verifyRow{Step: v.step[o.ID], Value: "%" + strconv.Itoa(o.ID), Op: n.Op, id: o.ID, Type: fmt.Sprintf("%v%v", o.Type.Elem, v.seen[o.ID].Shape)}
	if l := v.names[o.ID]; len(l) > 0 {
		r.Value = l[0]
	} else if o.Name != "" {
		r.Value += " " + o.Name
	}
	if n.Op == pass.GroupOp {
		var ops []string
		for _, x := range n.Regions[0].Nodes {
			if x.Op != ir.OpConst {
				ops = append(ops, x.Op)
			}
		}
		r.Op = joinRuns(ops)
	}
	r.Nodes = nodesOf(locNames(n.Locs))
	r.tol = v.tolerance(v.seen[o.ID])
	r.ownTol = min(r.tol, v.ownTolerance())
	return r
}

func locNames(l []ir.Loc) []string {
	var names []string
	for _, x := range l {
		if !slices.Contains(names, x.Name) {
			names = append(names, x.Name)
		}
	}
	return names
}

// graphNames are the values of a module's entry by the model's names.
func graphNames(m *ir.Module) map[*ir.Value][]string {
	out := map[*ir.Value][]string{}
	for _, n := range m.Main().Body.Nodes {
		for _, o := range n.Out {
			if len(o.Is) > 0 {
				out[o] = o.Is
			}
		}
	}
	return out
}

// accumulated compares with what the model's graph gives, and what it has no name for with the graph after the passes.
func (v *verifier) accumulated(ctx context.Context) error {
	in, err := v.list()
	if err != nil {
		return err
	}
	rows := map[string][]*verifyRow{}
	unnamed := map[int]*verifyRow{}
	for i := range v.out.Rows {
		r := &v.out.Rows[i]
		unnamed[r.id] = r
		for _, n := range v.names[r.id] {
			rows[n] = append(rows[n], r)
		}
	}
	ref, err := v.open()
	if err != nil {
		return err
	}
	v.closers = append(v.closers, func() { _ = ref.Close() }) // results may be views of its constants
	named := graphNames(ref.Module)
	v.want, err = ref.Sem.Eval(ctx, ref.Module, ref.Module.Main(), in, eval.Options{Hook: func(x *ir.Value, got eval.Value) error {
		for _, n := range named[x] {
			for _, r := range rows[n] {
				if unnamed[r.id] != nil && got.Tensor != nil && got.Kind == tensor.KindTensor {
					delete(unnamed, r.id)
					e := differ(v.seen[r.id], got.Tensor, 0)
					r.Abs, r.Rel, r.Against = e.abs, e.rel, "model"
				}
			}
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	if len(unnamed) == 0 {
		return nil
	}
	_, err = v.src.Sem.Eval(ctx, v.src.Module, v.src.Module.Main(), in, eval.Options{Hook: func(x *ir.Value, got eval.Value) error {
		if len(x.Is) == 0 || x.Is[0] != keyMark+strconv.Itoa(x.ID) {
			return nil
		}
		if r := unnamed[x.ID]; r != nil && got.Tensor != nil {
			e := differ(v.seen[r.id], got.Tensor, 0)
			r.Abs, r.Rel, r.Against = e.abs, e.rel, "passes"
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("reference of the passes' result: %w", err)
	}
	return nil
}

// own finds what each step adds: its node is evaluated on the values that the program gave it.
func (v *verifier) own(ctx context.Context, byID map[int]*ir.Value) error {
	done := map[*ir.Node][]eval.Value{}
	for i := range v.out.Rows {
		r := &v.out.Rows[i]
		o := byID[r.id]
		if err := ctx.Err(); err != nil {
			return err
		}
		part := v.part(o.Def, o.Def, o.Def.Out)
		out, ok := done[o.Def]
		if !ok {
			var err error
			if out, err = v.src.Sem.Eval(ctx, part.m, part.fn, part.in, eval.Options{}); err != nil {
				r.Unknown = oneLine(err.Error())
				continue
			}
			done = map[*ir.Node][]eval.Value{o.Def: out} // the results of one step come one after another
		}
		if t := out[o.Index].Tensor; t != nil {
			e := differ(v.seen[r.id], t, part.magnitude())
			r.OwnAbs, r.OwnRel = e.abs, e.rel
			if t.Elem.IsInt() && t.Elem.Bits() <= 8 && e.abs <= 1 {
				r.OwnRel = min(r.OwnRel, r.ownTol) // a tie that is rounded the other way
			}
		}
	}
	return nil
}

// part is a piece of the entry as an entry of its own, on values that the program has computed.
type part struct {
	m     *ir.Module
	fn    *ir.Func
	in    []tensor.Value
	fresh int // inputs from here on are operands
}

// part cuts n out, with the views and constants before it that no step computes. as stands in its place and may
// be n itself.
func (v *verifier) part(n, as *ir.Node, results []*ir.Value) *part {
	main := v.src.Module.Main()
	fn := *main
	m := *v.src.Module
	m.States, m.Funcs = nil, []*ir.Func{&fn}
	p := &part{m: &m, fn: &fn}
	fn.Body = &ir.Region{Params: slices.Clone(main.Body.Params), Results: results}
	fn.Inputs = slices.Clone(main.Inputs)
	fn.Outputs = nil
	for i := range results {
		fn.Outputs = append(fn.Outputs, "r"+strconv.Itoa(i))
	}
	p.in, _ = v.list() // it was complete before
	p.fresh = len(p.in)
	have := map[*ir.Value]bool{}
	for _, x := range main.Body.Params {
		have[x] = true
	}
	var need func(x *ir.Value)
	need = func(x *ir.Value) {
		if x == nil || have[x] {
			return
		}
		have[x] = true
		if t := v.seen[x.ID]; t != nil {
			fn.Body.Params = append(fn.Body.Params, x)
			fn.Inputs = append(fn.Inputs, "p"+strconv.Itoa(x.ID))
			p.in = append(p.in, tensor.ValueOf(t))
			return
		}
		for _, y := range x.Def.In {
			need(y)
		}
		for _, y := range x.Def.Out {
			have[y] = true
		}
		fn.Body.Nodes = append(fn.Body.Nodes, x.Def)
	}
	for _, x := range n.In {
		need(x)
	}
	fn.Body.Nodes = append(fn.Body.Nodes, as)
	return p
}

// magnitude is the largest finite magnitude among the operands.
func (p *part) magnitude() float64 {
	big := 0.0
	for _, x := range p.in[p.fresh:] {
		big = max(big, magnitude(x.Tensor))
	}
	return big
}

// outputs compares results that no step has shown, such as what is no tensor.
func (v *verifier) outputs() *fault {
	for i, name := range v.src.Module.Main().Outputs {
		w, g := v.want[i], v.result[i]
		why := ""
		if w.Kind == tensor.KindTensor && w.Tensor != nil && w.Tensor.Str == nil && g.Kind == w.Kind && g.Tensor != nil {
			if e := differ(g.Tensor, w.Tensor, 0); !(e.rel <= v.tolerance(w.Tensor)) {
				why = fmt.Sprintf("error %.1e", e.rel)
			}
		} else if same, reason := testcase.Compare(g, w, testcase.DefaultTolerance()); !same {
			why = reason
		}
		if why != "" {
			return &fault{Kind: "sum", Step: -1, Value: name, Text: fmt.Sprintf("output %q: %s", name, why)}
		}
	}
	return nil
}
