// Package eval is the reference evaluator: it computes what a module means, slowly and plainly, and
// everything else is compared with it. A node is evaluated by its Host function, else by its Expand, else by one naive
// loop per anchor over its Form. Sums are in float64; results are rounded when stored.
package eval

import (
	"context"
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Evaluator evaluates over a table of operators. It implements ir.Semantics, is immutable, and may be shared.
type Evaluator struct {
	table *op.Table
}

// New returns an evaluator.
func New(t *op.Table) *Evaluator { return &Evaluator{t} }

// Table is the table of operators.
func (e *Evaluator) Table() *op.Table { return e.table }

// NumOut implements ir.Semantics.
func (e *Evaluator) NumOut(n *ir.Node) (int, error) { return e.table.NumOut(n) }

// Infer implements ir.Semantics.
func (e *Evaluator) Infer(m *ir.Module, n *ir.Node) error { return e.table.Infer(m, n) }

// foldBytes bounds what folding of a small node may allocate on the way.
const foldBytes = 1 << 24

// Fold implements ir.Semantics: it evaluates n where it is deterministic and does not fail.
func (e *Evaluator) Fold(m *ir.Module, n *ir.Node, in []*tensor.Tensor) ([]*tensor.Tensor, bool) {
	out, err := e.FoldNode(m, n, in, foldBytes)
	return out, err == nil
}

// FoldNode evaluates a node whose operands have the values in (nil where absent), allocating at most limit bytes.
func (e *Evaluator) FoldNode(m *ir.Module, n *ir.Node, in []*tensor.Tensor, limit int64) ([]*tensor.Tensor, error) {
	random := false
	check := func(n *ir.Node) {
		if d := e.table.Def(n.Op); d != nil && d.Random {
			random = true
		}
	}
	check(n)
	for _, r := range n.Regions {
		r.Walk(check)
	}
	if random {
		return nil, n.Errorf(ir.ErrUnsupported, "the operator is random")
	}
	vals := make([]Value, len(in))
	for i, t := range in {
		if t != nil {
			vals[i] = Of(t)
		}
	}
	f := e.frame(context.Background(), m, Options{Budget: &host.Budget{Left: limit}})
	res, err := f.node(n, vals, Any)
	if err == nil {
		err = f.check(n, res)
	}
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(res))
	for i, v := range res {
		if out[i] = v.Tensor; v.Kind != ir.Tensor || v.Tensor == nil {
			return nil, n.Errorf(ir.ErrUnsupported, "result %d is not a tensor", i)
		}
	}
	return out, nil
}

// Value is what an evaluated value holds; the zero Value stands for an absent operand.
type Value = tensor.Value

// Of makes a tensor value.
func Of(t *tensor.Tensor) Value { return tensor.ValueOf(t) }

// Tensors makes tensor values.
func Tensors(l ...*tensor.Tensor) []Value { return tensor.ValuesOf(l...) }

// Way is one of the definitions of an operator.
type Way uint8

// The ways. Any takes Host, else Expand, else Form.
const (
	Any Way = iota
	Host
	Expand
	Form
)

// Options of an evaluation.
type Options struct {
	// Budget bounds the bytes that live at once, inputs and constants not counted; nil is no bound.
	Budget *host.Budget
	// Way is tried first for every node; nodes without it are evaluated as by Any.
	Way Way
	// Hook sees every result of every node as it is computed, those in regions as often as they run. It must not
	// keep or change the value's tensor without copying.
	Hook func(v *ir.Value, got Value) error
}

// Eval evaluates a function. Symbols are bound from the shapes of the inputs and checked against their ranges
// and the module's guards; one element of any rank is accepted for a scalar. Results may share memory with inputs and constants.
func (e *Evaluator) Eval(ctx context.Context, m *ir.Module, fn *ir.Func, inputs []Value, opts Options) ([]Value, error) {
	f := e.frame(ctx, m, opts)
	if len(inputs) != len(fn.Body.Params) {
		return nil, &ir.Error{Kind: ir.ErrShape, Msg: fmt.Sprintf("want %d inputs, got %d", len(fn.Body.Params), len(inputs))}
	}
	names := make([]string, len(inputs))
	for i := range names {
		names[i] = fmt.Sprintf("input %d", i)
		if i < len(fn.Inputs) {
			names[i] = fmt.Sprintf("input %q", fn.Inputs[i])
		}
	}
	inputs = append([]Value(nil), inputs...)
	for i, p := range fn.Body.Params { // a scalar may come with axes of extent 1
		if t := inputs[i].Tensor; t != nil && p.Type.Kind == ir.Tensor && p.Rank() == 0 && len(t.Shape) > 0 && t.Len() == 1 {
			s := *t
			s.Shape = nil
			inputs[i] = Of(&s)
		}
	}
	inputs = scalars(fn.Body.Params, inputs)
	if err := f.bindParams(fn.Body.Params, inputs, names); err != nil {
		return nil, &ir.Error{Kind: ir.ErrShape, Err: err}
	}
	if err := f.guards(""); err != nil {
		return nil, &ir.Error{Kind: ir.ErrShape, Err: err}
	}
	return f.region(fn.Body, inputs)
}

// scalars takes tensors of one element for scalars, as models exported with such inputs expect.
func scalars(params []*ir.Value, in []Value) []Value {
	out := append([]Value(nil), in...)
	for i, p := range params {
		if t := in[i].Tensor; t != nil && p.Type.Kind == ir.Tensor && p.Rank() == 0 && len(t.Shape) > 0 && t.Len() == 1 {
			c := *t
			c.Shape = nil
			out[i] = Of(&c)
		}
	}
	return out
}

// run is what the frames of one evaluation share.
type run struct {
	ctx    context.Context
	opts   Options
	refs   map[*tensor.Tensor]int // holders of each tensor that counts against the budget
	plans  map[*ir.Region][][]*ir.Value
	nested int
}

// frame is one execution of a region.
type frame struct {
	*run
	ev   *Evaluator
	m    *ir.Module
	vals map[*ir.Value]Value
	scope
}

func (e *Evaluator) frame(ctx context.Context, m *ir.Module, opts Options) *frame {
	r := &run{ctx: ctx, opts: opts, refs: map[*tensor.Tensor]int{}, plans: map[*ir.Region][][]*ir.Value{}}
	return &frame{run: r, ev: e, m: m, vals: map[*ir.Value]Value{}, scope: newScope(nil)}
}

// child is a frame for a region of the same module.
func (f *frame) child() *frame {
	return &frame{run: f.run, ev: f.ev, m: f.m, vals: map[*ir.Value]Value{}, scope: newScope(&f.scope)}
}

// maxNested bounds regions within regions and expansions within expansions.
const maxNested = 200

// region executes a region whose parameters are bound. Each value is let go after its last use.
func (f *frame) region(r *ir.Region, inputs []Value) ([]Value, error) {
	if f.nested++; f.nested > maxNested {
		return nil, &ir.Error{Kind: ir.ErrUnsupported, Msg: "regions nested too deep"}
	}
	defer func() { f.nested-- }()
	for i, p := range r.Params {
		f.set(p, inputs[i])
	}
	plan := f.plan(r)
	f.drop(plan[0])
	for i, n := range r.Nodes {
		if err := f.ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.step(n); err != nil {
			return nil, err
		}
		f.drop(plan[i+1])
	}
	out := make([]Value, len(r.Results))
	for i, v := range r.Results {
		out[i] = f.vals[v]
	}
	// The results outlive the frame, whose other values are gone: their holders are given to the caller unheld.
	for v, x := range f.vals {
		f.unhold(x)
		delete(f.vals, v)
	}
	return out, nil
}

// step evaluates one node and stores its results.
func (f *frame) step(n *ir.Node) error {
	in := make([]Value, len(n.In))
	for i, v := range n.In {
		if v != nil {
			x, ok := f.vals[v]
			if !ok {
				ir.Bugf(n, "operand %d has no value", i)
			}
			in[i] = x
		}
	}
	out, err := f.node(n, in, f.opts.Way)
	if err == nil {
		err = f.check(n, out)
	}
	if err != nil {
		return wrap(n, err)
	}
	for i, v := range n.Out {
		f.set(v, out[i])
		if f.opts.Hook != nil {
			if err := f.opts.Hook(v, out[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// wrap adds the node to an error that names none yet.
func wrap(n *ir.Node, err error) error {
	if e, ok := err.(*ir.Error); ok && (e.Loc.Op != "" || e.Loc.Name != "") {
		return err
	}
	e := n.Errorf(nil, "")
	e.Err = err
	return e
}

// plan lists, for the start of the region and for each node, the values that are not read later.
func (f *frame) plan(r *ir.Region) [][]*ir.Value {
	if p, ok := f.plans[r]; ok {
		return p
	}
	last := map[*ir.Value]int{}
	var order []*ir.Value
	define := func(v *ir.Value, at int) {
		last[v] = at
		order = append(order, v)
	}
	for _, p := range r.Params {
		define(p, 0)
	}
	for i, n := range r.Nodes {
		for _, v := range n.In {
			if v != nil {
				last[v] = i + 1
			}
		}
		for _, v := range n.Out {
			define(v, i+1)
		}
	}
	for _, v := range r.Results {
		delete(last, v)
	}
	p := make([][]*ir.Value, len(r.Nodes)+1)
	for _, v := range order {
		if at, ok := last[v]; ok {
			p[at] = append(p[at], v)
		}
	}
	f.plans[r] = p
	return p
}

func (f *frame) set(v *ir.Value, x Value) {
	f.hold(x)
	f.vals[v] = x
}

func (f *frame) drop(l []*ir.Value) {
	for _, v := range l {
		if x, ok := f.vals[v]; ok {
			delete(f.vals, v)
			f.release(x)
		}
	}
}

func (r *run) hold(x Value) {
	if n, ok := r.refs[x.Tensor]; ok {
		r.refs[x.Tensor] = n + 1
	}
	for _, v := range x.List {
		r.hold(v)
	}
}

// unhold takes a holder back without giving up the memory.
func (r *run) unhold(x Value) {
	if n, ok := r.refs[x.Tensor]; ok {
		r.refs[x.Tensor] = n - 1
	}
	for _, v := range x.List {
		r.unhold(v)
	}
}

// release takes a holder back; after the last one the bytes return to the budget.
func (r *run) release(x Value) {
	if n, ok := r.refs[x.Tensor]; ok {
		if n <= 1 {
			r.opts.Budget.Left += bytesOf(x.Tensor)
			delete(r.refs, x.Tensor)
		} else {
			r.refs[x.Tensor] = n - 1
		}
	}
	for _, v := range x.List {
		r.release(v)
	}
}

func bytesOf(t *tensor.Tensor) int64 {
	if t.Elem == dtype.String {
		return 16 * int64(len(t.Str))
	}
	return int64(len(t.Data))
}

// count begins to count a new tensor against the budget, which its bytes have been taken from.
func (r *run) count(t *tensor.Tensor) {
	if r.opts.Budget != nil {
		r.refs[t] = 0
	}
}

// alloc makes a tensor within the budget.
func (r *run) alloc(t dtype.Type, shape []int) (*tensor.Tensor, error) {
	call := host.NewCall(nil, nil, make([]*tensor.Tensor, 1), []dtype.Type{t}, r.opts.Budget)
	x, err := call.Out(0, shape...)
	if err == nil {
		r.count(x)
	}
	return x, err
}
