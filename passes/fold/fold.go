// Package fold evaluates what depends on constants alone.
//
//	%v = mul(%w, %s) : f32[8, 3, 3, 3]   =>   %v = const(data: #w5) : f32[8, 3, 3, 3]
//
// It never makes a constant larger than what it is made of, above 4 KiB, and never moves more than 1 MiB: a packed
// weight reads through views, so a transposed copy of it would be memory for nothing.
package fold

import (
	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/pass"
)

// Pass is the pass.
var Pass = pass.Pass{
	Name:  "fold",
	Doc:   "evaluates what depends on constants alone, where that takes no memory to speak of",
	Needs: pass.Typed,
	Gives: pass.Typed,
	Drops: pass.Grouped,
	Run:   run,
}

const (
	growLimit = 4 << 10
	moveLimit = 1 << 20
)

func run(c *pass.Context, m *ir.Module) error {
	count, bytes := 0, int64(0)
	for _, f := range m.Funcs {
		err := ir.Rewrite(m, f, c.Sem, func(rw *ir.Rewriter, n *ir.Node) ([]*ir.Value, error) {
			in := rw.MappedAll(n.In)
			res := evaluate(c, m, n, in)
			if res == nil {
				return nil, nil
			}
			out := make([]*ir.Value, len(res))
			for i, t := range res {
				out[i] = rw.Const(n.Out[i].Name, t)
				bytes += int64(len(t.Data))
			}
			count++
			return out, nil
		})
		if err != nil {
			return err
		}
	}
	prune(m)
	if count > 0 {
		c.Logf("fold: %d nodes, %d bytes", count, bytes)
	}
	return nil
}

// prune drops constants that no node reads from the table, and numbers the others again in their order.
func prune(m *ir.Module) {
	used := make([]bool, len(m.Consts))
	walk := func(fn func(v *attr.Value)) {
		for _, f := range m.Funcs {
			f.Body.Walk(func(n *ir.Node) {
				for i := range n.Attrs {
					if v := &n.Attrs[i].Value; v.Kind == attr.Const {
						fn(v)
					}
				}
			})
		}
	}
	walk(func(v *attr.Value) { used[v.I] = true })
	to := make([]int64, len(m.Consts))
	var kept []ir.Const
	for i, u := range used {
		if u {
			to[i] = int64(len(kept))
			kept = append(kept, m.Consts[i])
		}
	}
	if len(kept) == len(m.Consts) {
		return
	}
	m.Consts = kept
	// Lists of attributes may be shared by nodes, so each list is changed once, in a copy.
	for _, f := range m.Funcs {
		f.Body.Walk(func(n *ir.Node) {
			for _, a := range n.Attrs {
				if a.Kind == attr.Const {
					n.Attrs = n.Attrs.Set(a.Name, attr.OfConst(int(to[a.I])))
				}
			}
		})
	}
}

// evaluate returns the results of a node, or nil where it is to stay.
func evaluate(c *pass.Context, m *ir.Module, n *ir.Node, in []*ir.Value) []*tensor.Tensor {
	d := c.Table.Def(n.Op)
	if d == nil || d.Random || len(n.Regions) > 0 || len(n.In) == 0 {
		return nil
	}
	size, ok := resultBytes(m, n)
	if !ok || d.View && size > moveLimit {
		return nil
	}
	have := int64(0)
	vals := make([]*tensor.Tensor, len(in))
	for _, v := range in {
		if v == nil {
			continue
		}
		root, ok := source(c, m, v)
		if !ok {
			return nil
		}
		have += int64(len(root.Data))
	}
	if size > growLimit && size > have {
		return nil
	}
	for i, v := range in {
		if v == nil {
			continue
		}
		if vals[i] = value(c, m, v); vals[i] == nil {
			return nil
		}
	}
	node := *n
	node.In = in
	return eval(c, m, &node, vals, size)
}

// folder is a Semantics that can be told how much memory a node may take on the way.
type folder interface {
	FoldNode(m *ir.Module, n *ir.Node, in []*tensor.Tensor, limit int64) ([]*tensor.Tensor, error)
}

// workLimit is what a node may take on the way beside its results, counted a few times.
const workLimit = 16 << 20

func eval(c *pass.Context, m *ir.Module, n *ir.Node, in []*tensor.Tensor, size int64) []*tensor.Tensor {
	if f, ok := c.Sem.(folder); ok {
		res, err := f.FoldNode(m, n, in, workLimit+4*size)
		if err != nil {
			c.Logf("fold: %s stays: %v", n.Op, err)
			return nil
		}
		return res
	}
	res, ok := c.Sem.Fold(m, n, in)
	if !ok {
		return nil
	}
	return res
}

// source finds the constant that v is, or that it is a chain of views of.
func source(c *pass.Context, m *ir.Module, v *ir.Value) (*tensor.Tensor, bool) {
	for {
		if t := m.ConstOf(v); t != nil {
			return t, true
		}
		if v.Def == nil || len(v.Def.In) == 0 || v.Def.In[0] == nil {
			return nil, false
		}
		if d := c.Table.Def(v.Def.Op); d == nil || !d.View {
			return nil, false
		}
		v = v.Def.In[0]
	}
}

// value evaluates a chain of views for a moment: they were too large to keep.
func value(c *pass.Context, m *ir.Module, v *ir.Value) *tensor.Tensor {
	if t := m.ConstOf(v); t != nil {
		return t
	}
	n := v.Def
	in := make([]*tensor.Tensor, len(n.In))
	for i, o := range n.In {
		if o == nil {
			continue
		}
		if _, ok := source(c, m, o); !ok {
			return nil
		}
		if in[i] = value(c, m, o); in[i] == nil {
			return nil
		}
	}
	size, ok := resultBytes(m, n)
	if !ok {
		return nil
	}
	res := eval(c, m, n, in, size)
	if v.Index >= len(res) {
		return nil
	}
	return res[v.Index]
}

// resultBytes is the size of all results of a node, where it is known and plain.
func resultBytes(m *ir.Module, n *ir.Node) (int64, bool) {
	sum := int64(0)
	for _, v := range n.Out {
		count, ok := dim.Product(v.Type.Shape).Int()
		if v.Type.Kind != ir.Tensor || v.Type.Elem == dtype.String || !ok || count < 0 || count > 1<<40 {
			return 0, false
		}
		sum += int64(v.Type.Elem.Bytes(int(count)))
	}
	return sum, true
}
