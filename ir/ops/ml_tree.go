package ops

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/ml"
	"github.com/llmc-go/llmc/ir/op"
	"github.com/llmc-go/llmc/ir/tensor"
)

// treeArgs are the tables of an ml.Forest after x.
var treeArgs = []op.Arg{{Name: "x", Elem: features}, {Name: "roots", Elem: op.Set(dtype.I64)}, {Name: "nodes", Elem: op.Set(dtype.I32)},
	{Name: "splits", Elem: op.Set(dtype.F64)}, {Name: "targets", Elem: op.Set(dtype.I64)}, {Name: "weights", Elem: op.Set(dtype.F64)}}

// TreeEnsemble adds up the leaves of trees.
var TreeEnsemble = op.Def{
	Name: "tree_ensemble",
	Doc:  "y[n, t] = post_transform(base[t] + the sum (aggregate: SUM, AVERAGE, MIN, MAX) over the trees of the weights of target t at the leaf that row n of x leads to).",
	Sig: op.Sig{In: treeArgs, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{{Name: "targets", Kind: attr.Int, Required: true}, strAttr("aggregate", "SUM"), listAttr("base", attr.Floats), strAttr("post_transform", "NONE"),
			{Name: "to", Kind: attr.Elem, Default: attr.OfElem(dtype.F32)}}},
	Infer: func(c *op.Infer) error {
		switch how := c.Str("aggregate"); how {
		case "SUM", "AVERAGE", "MIN", "MAX":
		default:
			return fmt.Errorf("aggregate: %q", how)
		}
		if err := checkTransform(c.Str("post_transform")); err != nil {
			return err
		}
		rows, err := treeRows(c, "targets")
		if err != nil {
			return err
		}
		c.Set(0, c.N.Attrs.Elem("to"), []dim.Expr{rows, dim.Const(c.Int("targets"))})
		return nil
	},
	Host: ml.TreeEnsemble,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		for _, how := range []string{"SUM", "AVERAGE", "MIN", "MAX"} {
			c.With(named("targets", 2, "aggregate", how, "base", attr.OfFloats([]float64{1, 2})))
			treeCases(c)
		}
	},
}

// TreeClassifier is TreeEnsemble with a class for each row.
var TreeClassifier = op.Def{
	Name: "tree_classifier",
	Doc:  "scores as tree_ensemble with SUM, class = the position of the largest one in each row; two classes with weights of one: as LinearClassifier with one row of coefficients.",
	Sig: op.Sig{In: treeArgs, Out: []op.Arg{{Name: "class"}, {Name: "scores"}},
		Attrs: []op.Attr{{Name: "classes", Kind: attr.Int, Required: true}, listAttr("base", attr.Floats), strAttr("post_transform", "NONE")}},
	Infer: func(c *op.Infer) error {
		if err := checkTransform(c.Str("post_transform")); err != nil {
			return err
		}
		rows, err := treeRows(c, "classes")
		if err != nil {
			return err
		}
		c.Set(0, dtype.I64, []dim.Expr{rows})
		c.Set(1, dtype.F32, []dim.Expr{rows, dim.Const(c.Int("classes"))})
		return nil
	},
	Host: ml.TreeClassifier,
	VJP:  constant,
	Cases: func(c *op.Cases) {
		for _, how := range ml.Transforms {
			c.With(named("classes", 2, "post_transform", how))
			treeCases(c)
		}
	},
}

// treeCases: no nodes, since drawn ones would lead nowhere; published cases and the tests of package ml have trees.
func treeCases(c *op.Cases) {
	c.Elem(dtype.F32, dtype.I64, dtype.I32, dtype.F64, dtype.I64, dtype.F64).Shapes("[B, 3]", "[0]", "[0, 5]", "[0]", "[0]", "[0]")
}

func treeRows(c *op.Infer, count string) (dim.Expr, error) {
	n := c.Int(count)
	if n < 1 || n > 1<<24 {
		return dim.Expr{}, fmt.Errorf("%s: %d", count, n)
	}
	return matrixRows(c.Node)
}

// matrixRows is the number of rows of operand 0; one list is one row.
func matrixRows(c op.Node) (dim.Expr, error) {
	switch c.Rank(0) {
	case 1:
		return dim.Const(1), nil
	case 2:
		return c.Shape(0)[0], nil
	}
	return dim.Expr{}, fmt.Errorf("x of shape %v, want [N, F]", c.Shape(0))
}

func treeSpellings() []op.Source {
	return []op.Source{
		{Domain: mlDomain, Op: "TreeEnsemble", Since: []int{5}, Import: importTreeEnsemble},
		{Domain: mlDomain, Op: "TreeEnsembleRegressor", Since: []int{1, 3, 5}, Import: importTreeRegressor},
		{Domain: mlDomain, Op: "TreeEnsembleClassifier", Since: []int{1, 3, 5}, Import: importTreeClassifier},
	}
}

// forest appends the operator name over the tables of f.
func forest(c *op.Import, name string, f *ml.Forest, targets int, attrs attr.List) ([]*ir.Value, error) {
	if err := f.Check(targets); err != nil {
		return nil, err
	}
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	in := []*ir.Value{c.In(0)}
	for _, t := range f.Tensors() {
		in = append(in, c.Builder.Const("", t))
	}
	return c.Do(name, in, attrs), c.Err()
}

// treeKey names a node in the older spelling: trees and nodes have numbers of their own.
type treeKey struct{ tree, node int64 }

// listed reads a list of integers that must have n entries; absent is all zeros where that is allowed.
func listed(c *op.Import, name string, n int, must bool) ([]int64, error) {
	a, ok := modelAttr(c, name, attr.Ints)
	if !ok && !must {
		return make([]int64, n), nil
	}
	if len(a.Ints) != n {
		if !must && len(a.Ints) == 0 {
			return make([]int64, n), nil
		}
		return nil, fmt.Errorf("%s: want %d entries, got %d", name, n, len(a.Ints))
	}
	return a.Ints, nil
}

var treeModes = map[string]ml.Mode{"BRANCH_LEQ": ml.LessEqual, "BRANCH_LT": ml.Less, "BRANCH_GTE": ml.GreaterEqual, "BRANCH_GT": ml.Greater,
	"BRANCH_EQ": ml.Equal, "BRANCH_NEQ": ml.NotEqual, "LEAF": ml.Leaf}

// oldForest reads the spelling in which nodes are named by tree and node; prefix is target or class.
func oldForest(c *op.Import, prefix string) (*ml.Forest, error) {
	modes, _ := modelAttr(c, "nodes_modes", attr.Strs)
	n := len(modes.Strs)
	splits, _, err := modelFloats(c, "nodes_values")
	if err != nil {
		return nil, err
	}
	if n == 0 || len(splits) != n {
		return nil, fmt.Errorf("%d nodes_values for %d nodes_modes", len(splits), n)
	}
	lists := map[string][]int64{}
	for name, must := range map[string]bool{"nodes_treeids": true, "nodes_nodeids": true, "nodes_featureids": true, "nodes_truenodeids": true,
		"nodes_falsenodeids": true, "nodes_missing_value_tracks_true": false} {
		if lists[name], err = listed(c, name, n, must); err != nil {
			return nil, err
		}
	}
	index := make(map[treeKey]int32, n)
	for i := range n {
		k := treeKey{lists["nodes_treeids"][i], lists["nodes_nodeids"][i]}
		if _, dup := index[k]; dup {
			return nil, fmt.Errorf("node %d of tree %d is listed twice", k.node, k.tree)
		}
		index[k] = int32(i)
	}
	f := &ml.Forest{Nodes: make([]ml.Node, n), Splits: splits}
	child := make([]bool, n)
	for i := range n {
		mode, ok := treeModes[modes.Strs[i]]
		if !ok {
			return nil, fmt.Errorf("nodes_modes[%d]: %.40q", i, modes.Strs[i])
		}
		d := &f.Nodes[i]
		if d.Mode = mode; mode == ml.Leaf {
			continue
		}
		if v := lists["nodes_featureids"][i]; v < 0 || v > ml.MaxFeature {
			return nil, fmt.Errorf("nodes_featureids[%d]: %d", i, v)
		}
		d.Feature, d.MissingYes = int32(lists["nodes_featureids"][i]), int32(lists["nodes_missing_value_tracks_true"][i]&1)
		for _, side := range []struct {
			name string
			to   *int32
		}{{"nodes_truenodeids", &d.True}, {"nodes_falsenodeids", &d.False}} {
			k := treeKey{lists["nodes_treeids"][i], lists[side.name][i]}
			at, ok := index[k]
			if !ok {
				return nil, fmt.Errorf("%s[%d]: tree %d has no node %d", side.name, i, k.tree, k.node)
			}
			*side.to, child[at] = at, true
		}
	}
	f.Roots = roots(lists["nodes_treeids"], child)
	if err := f.Check(1); err != nil {
		return nil, err
	}
	return f, oldWeights(c, f, prefix, index)
}

// roots lists for each tree, in the order in which they come, the first node that no other branches to; a tree that is
// a circle has none, and any of its nodes will do to find that out.
func roots(trees []int64, child []bool) []int64 {
	at := map[int64]int{}
	var l []int64
	for i, t := range trees {
		k, seen := at[t]
		switch {
		case !seen:
			at[t] = len(l)
			l = append(l, int64(i))
		case child[l[k]] && !child[i]:
			l[k] = int64(i)
		}
	}
	return l
}

// oldWeights gives every leaf its weights, which the model lists in any order.
func oldWeights(c *op.Import, f *ml.Forest, prefix string, index map[treeKey]int32) error {
	weights, _, err := modelFloats(c, prefix+"_weights")
	if err != nil {
		return err
	}
	n := len(weights)
	lists := map[string][]int64{}
	for _, name := range []string{"_treeids", "_nodeids", "_ids"} {
		if lists[name], err = listed(c, prefix+name, n, true); err != nil {
			return err
		}
	}
	of := make([]int32, n)
	count := make([]int32, len(f.Nodes)+1)
	for i := range n {
		k := treeKey{lists["_treeids"][i], lists["_nodeids"][i]}
		at, ok := index[k]
		if !ok {
			return fmt.Errorf("%s_weights[%d]: tree %d has no node %d", prefix, i, k.tree, k.node)
		}
		if of[i] = at; f.Nodes[at].Mode == ml.Leaf { // some exporters give inner nodes weights, which mean nothing
			count[at+1]++
		}
	}
	for i := range f.Nodes {
		count[i+1] += count[i]
		if f.Nodes[i].Mode == ml.Leaf {
			f.Nodes[i].True, f.Nodes[i].False = count[i], count[i]
		}
	}
	f.Weights, f.Targets = make([]float64, n), make([]int64, n)
	for i := range n {
		d := &f.Nodes[of[i]]
		if d.Mode != ml.Leaf {
			continue
		}
		f.Weights[d.False], f.Targets[d.False] = weights[i], lists["_ids"][i]
		d.False++
	}
	used := count[len(f.Nodes)]
	f.Weights, f.Targets = f.Weights[:used], f.Targets[:used]
	return nil
}

// baseAttrs are base values and transform as the model states them.
func baseAttrs(c *op.Import) (attr.List, error) {
	base, given, err := modelFloats(c, "base_values")
	l := named("post_transform", modelStr(c, "post_transform", "NONE"))
	if given && len(base) > 0 {
		l = l.Set("base", attr.OfFloats(base))
	}
	return l, err
}

func importTreeRegressor(c *op.Import) ([]*ir.Value, error) {
	f, err := oldForest(c, "target")
	if err != nil {
		return nil, err
	}
	l, err := baseAttrs(c)
	if err != nil {
		return nil, err
	}
	n := modelInt(c, "n_targets", 1)
	if n < 1 || n > 1<<24 {
		return nil, fmt.Errorf("n_targets: %d", n)
	}
	l = append(l, named("targets", n, "aggregate", modelStr(c, "aggregate_function", "SUM"))...)
	out, err := forest(c, "tree_ensemble", f, int(n), l)
	return out[:min(1, len(out))], err
}

func importTreeClassifier(c *op.Import) ([]*ir.Value, error) {
	f, err := oldForest(c, "class")
	if err != nil {
		return nil, err
	}
	names, err := labels(c, "classlabels_int64s")
	if err != nil {
		return nil, err
	}
	l, err := baseAttrs(c)
	if err != nil {
		return nil, err
	}
	n := names.Len()
	out, err := forest(c, "tree_classifier", f, n, append(l, named("classes", n)...))
	if err != nil {
		return nil, err
	}
	return []*ir.Value{gatherLabels(c, names, out[0]), out[1]}, c.Err()
}

// importTreeEnsemble reads the spelling of version 5: inner nodes and leaves are lists of their own, and a node may test
// membership of a set, which is a chain of tests for equality here.
func importTreeEnsemble(c *op.Import) ([]*ir.Value, error) {
	if err := tensors(c, 1, 1); err != nil {
		return nil, err
	}
	t := &newTrees{c: c}
	f, err := t.forest()
	if err != nil {
		return nil, err
	}
	aggregate, how := modelInt(c, "aggregate_function", 1), modelInt(c, "post_transform", 0)
	if aggregate < 0 || aggregate > 3 || how < 0 || how >= int64(len(ml.Transforms)) {
		return nil, fmt.Errorf("aggregate_function %d, post_transform %d", aggregate, how)
	}
	n := modelInt(c, "n_targets", 1)
	if n < 1 || n > 1<<24 {
		return nil, fmt.Errorf("n_targets: %d", n)
	}
	l := named("targets", n, "aggregate", []string{"AVERAGE", "SUM", "MIN", "MAX"}[aggregate], "post_transform", ml.Transforms[how], "to", c.In(0).Type.Elem)
	out, err := forest(c, "tree_ensemble", f, int(n), l)
	return out[:min(1, len(out))], err
}

type newTrees struct {
	c     *op.Import
	lists map[string][]int64
	f     *ml.Forest
	leafs int32 // where leaves begin among the nodes
}

func (t *newTrees) tensor(name string, must bool) (*tensor.Tensor, error) {
	x, err := t.c.Model.Tensor(name)
	if err == nil && x == nil && must {
		err = fmt.Errorf("attribute %s is missing", name)
	}
	return x, err
}

func (t *newTrees) forest() (*ml.Forest, error) {
	modes, err := t.tensor("nodes_modes", true)
	if err != nil {
		return nil, err
	}
	splits, err := t.tensor("nodes_splits", true)
	if err != nil {
		return nil, err
	}
	weights, err := t.tensor("leaf_weights", true)
	if err != nil {
		return nil, err
	}
	n := modes.Len()
	if modes.Elem != dtype.U8 || splits.Len() != n {
		return nil, fmt.Errorf("%d nodes_modes of type %v, %d nodes_splits", n, modes.Elem, splits.Len())
	}
	t.f = &ml.Forest{Nodes: make([]ml.Node, n, n+weights.Len())}
	if t.f.Splits, err = floatList(splits, "nodes_splits"); err != nil {
		return nil, err
	}
	if t.f.Weights, err = floatList(weights, "leaf_weights"); err != nil {
		return nil, err
	}
	if t.f.Targets, err = listed(t.c, "leaf_targetids", weights.Len(), true); err != nil {
		return nil, err
	}
	t.lists = map[string][]int64{}
	for name, must := range map[string]bool{"nodes_featureids": true, "nodes_truenodeids": true, "nodes_falsenodeids": true, "nodes_trueleafs": true,
		"nodes_falseleafs": true, "nodes_missing_value_tracks_true": false} {
		if t.lists[name], err = listed(t.c, name, n, must); err != nil {
			return nil, err
		}
	}
	t.f.Roots = modelInts(t.c, "tree_roots")
	t.leafs = int32(n)
	for i := range weights.Len() {
		t.f.Nodes = append(t.f.Nodes, ml.Node{Mode: ml.Leaf, True: int32(i), False: int32(i) + 1})
		t.f.Splits = append(t.f.Splits, 0)
	}
	sets, err := t.sets()
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := t.node(i, ml.Mode(modes.Int(i)), &sets); err != nil {
			return nil, err
		}
	}
	return t.f, nil
}

// sets are the members of membership tests, in the order of the nodes that make them; NaN ends each.
func (t *newTrees) sets() ([][]float64, error) {
	x, err := t.tensor("membership_values", false)
	if err != nil || x == nil {
		return nil, err
	}
	l, err := floatList(x, "membership_values")
	if err != nil {
		return nil, err
	}
	var out [][]float64
	var set []float64
	for _, v := range l {
		if math.IsNaN(v) {
			out, set = append(out, set), nil
			continue
		}
		set = append(set, v)
	}
	if len(set) > 0 {
		out = append(out, set)
	}
	return out, nil
}

func (t *newTrees) node(i int, mode ml.Mode, sets *[][]float64) error {
	d := &t.f.Nodes[i]
	v := t.lists["nodes_featureids"][i]
	if v < 0 || v > ml.MaxFeature {
		return fmt.Errorf("nodes_featureids[%d]: %d", i, v)
	}
	*d = ml.Node{Mode: mode, Feature: int32(v), MissingYes: int32(t.lists["nodes_missing_value_tracks_true"][i] & 1)}
	for _, side := range []struct {
		ids, leaf string
		to        *int32
	}{{"nodes_truenodeids", "nodes_trueleafs", &d.True}, {"nodes_falsenodeids", "nodes_falseleafs", &d.False}} {
		at, n, first := t.lists[side.ids][i], int64(t.leafs), int64(0)
		if t.lists[side.leaf][i] != 0 {
			n, first = int64(len(t.f.Weights)), int64(t.leafs)
		}
		if at < 0 || at >= n {
			return fmt.Errorf("%s[%d]: %d of %d", side.ids, i, at, n)
		}
		*side.to = int32(first + at)
	}
	if mode != ml.Member {
		if mode > ml.Member || mode < 0 {
			return fmt.Errorf("nodes_modes[%d]: %d", i, mode)
		}
		return nil
	}
	if len(*sets) == 0 {
		return fmt.Errorf("node %d: membership_values has no set left", i)
	}
	t.chain(i, (*sets)[0])
	*sets = (*sets)[1:]
	return nil
}

// chain makes node i, a membership test, a chain of tests for equality; the empty set is a test that fails.
func (t *newTrees) chain(i int, set []float64) {
	d := t.f.Nodes[i]
	d.Mode = ml.Equal
	if len(set) == 0 {
		set = []float64{math.NaN()}
	}
	no := d.False
	for k, v := range set {
		at := i
		if k > 0 {
			at = len(t.f.Nodes)
			t.f.Nodes = append(t.f.Nodes, ml.Node{})
			t.f.Splits = append(t.f.Splits, 0)
		}
		n := d
		if n.False = no; k+1 < len(set) {
			n.False = int32(len(t.f.Nodes))
		}
		t.f.Nodes[at], t.f.Splits[at] = n, v
	}
}
