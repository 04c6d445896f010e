package ml

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Mode is how a node of a tree decides.
type Mode int32

// The modes: x op split takes the true branch. A leaf has weights instead of branches.
const (
	LessEqual Mode = iota
	Less
	GreaterEqual
	Greater
	Equal
	NotEqual
	Member // of a list of values; importers spell it as a chain of Equal
	Leaf
)

// Node is a row of the table of nodes: operand 2 of the tree functions, i32[n, 5].
type Node struct {
	Mode       Mode
	Feature    int32
	True       int32 // next node where the test holds; of a leaf: its first weight
	False      int32 // next node where not; of a leaf: one after its last weight
	MissingYes int32 // not zero: NaN takes the true branch
}

// Forest is trees as tables.
type Forest struct {
	Roots   []int64
	Nodes   []Node
	Splits  []float64 // by node
	Targets []int64   // of each weight
	Weights []float64
}

// MaxFeature bounds the numbers of features, so that a row's check of it does not overflow.
const MaxFeature = 1<<31 - 1

// Check refuses nodes that lead nowhere or in a circle, and weights of targets that do not exist.
func (f *Forest) Check(targets int) error {
	n := len(f.Nodes)
	if len(f.Splits) != n || len(f.Targets) != len(f.Weights) {
		return fmt.Errorf("%d nodes with %d splits, %d weights of %d targets", n, len(f.Splits), len(f.Weights), len(f.Targets))
	}
	for _, r := range f.Roots {
		if r < 0 || r >= int64(n) {
			return fmt.Errorf("root %d of %d nodes", r, n)
		}
	}
	for i, t := range f.Targets {
		if t < 0 || t >= int64(targets) {
			return fmt.Errorf("weight %d is of target %d of %d", i, t, targets)
		}
	}
	for i := range f.Nodes {
		d := &f.Nodes[i]
		switch {
		case d.Mode == Leaf:
			if d.True < 0 || d.False < d.True || int(d.False) > len(f.Weights) {
				return fmt.Errorf("node %d: weights %d to %d of %d", i, d.True, d.False, len(f.Weights))
			}
		case d.Mode < LessEqual || d.Mode > NotEqual:
			return fmt.Errorf("node %d: mode %d", i, d.Mode)
		case d.True < 0 || int(d.True) >= n || d.False < 0 || int(d.False) >= n:
			return fmt.Errorf("node %d: branches to %d and %d of %d nodes", i, d.True, d.False, n)
		case d.Feature < 0:
			return fmt.Errorf("node %d: feature %d", i, d.Feature)
		}
	}
	return f.acyclic()
}

// acyclic follows all branches; a node that is met again on the way from a root to it closes a circle.
func (f *Forest) acyclic() error {
	const (
		fresh = iota
		open
		done
	)
	state := make([]uint8, len(f.Nodes))
	var stack []int32
	for _, r := range f.Roots {
		stack = append(stack[:0], int32(r))
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			d := &f.Nodes[i]
			if state[i] != fresh || d.Mode == Leaf {
				state[i] = done
				stack = stack[:len(stack)-1]
				continue
			}
			state[i] = open
			for _, next := range [2]int32{d.True, d.False} {
				switch state[next] {
				case open:
					return fmt.Errorf("the branches of node %d lead back to node %d", i, next)
				case fresh:
					stack = append(stack, next)
				}
			}
		}
	}
	return nil
}

// readForest reads the operands after x: roots, nodes, splits, targets, weights.
func readForest(c *host.Call, targets int) (*Forest, error) {
	var t [5]*tensor.Tensor
	for i := range t {
		if t[i] = c.Val(i + 1).Tensor; t[i] == nil {
			return nil, fmt.Errorf("operand %d is missing", i+1)
		}
	}
	if len(t[1].Shape) != 2 || t[1].Shape[1] != 5 {
		return nil, fmt.Errorf("nodes of shape %v", t[1].Shape)
	}
	size := int64(20*t[1].Shape[0] + 8*(t[0].Len()+t[2].Len()+t[3].Len()+t[4].Len()))
	if err := c.Temp(size); err != nil {
		return nil, err
	}
	f := &Forest{Roots: ints(t[0]), Nodes: make([]Node, t[1].Shape[0]), Splits: floats(t[2]), Targets: ints(t[3]), Weights: floats(t[4])}
	for i := range f.Nodes {
		v := func(k int) int32 { return int32(t[1].Int(5*i + k)) }
		f.Nodes[i] = Node{Mode(v(0)), v(1), v(2), v(3), v(4)}
	}
	return f, f.Check(targets)
}

// Tensors are the operands that readForest reads.
func (f *Forest) Tensors() []*tensor.Tensor {
	nodes := tensor.New(dtype.I32, len(f.Nodes), 5)
	for i, d := range f.Nodes {
		for k, v := range [5]int32{int32(d.Mode), d.Feature, d.True, d.False, d.MissingYes} {
			nodes.SetInt(5*i+k, int64(v))
		}
	}
	return []*tensor.Tensor{tensor.Of(dtype.I64, f.Roots, len(f.Roots)), nodes, tensor.Of(dtype.F64, f.Splits, len(f.Splits)),
		tensor.Of(dtype.I64, f.Targets, len(f.Targets)), tensor.Of(dtype.F64, f.Weights, len(f.Weights))}
}

func ints(t *tensor.Tensor) []int64 {
	l := make([]int64, t.Len())
	for i := range l {
		l[i] = t.Int(i)
	}
	return l
}

func floats(t *tensor.Tensor) []float64 {
	l := make([]float64, t.Len())
	for i := range l {
		l[i] = t.Float(i)
	}
	return l
}

// leaf walks from a root to a leaf.
func (f *Forest) leaf(root int64, x []float64) (*Node, error) {
	i := int32(root)
	for {
		d := &f.Nodes[i]
		if d.Mode == Leaf {
			return d, nil
		}
		if int(d.Feature) >= len(x) {
			return nil, fmt.Errorf("node %d: feature %d of %d", i, d.Feature, len(x))
		}
		v, s := x[d.Feature], f.Splits[i]
		yes := false
		switch d.Mode {
		case LessEqual:
			yes = v <= s
		case Less:
			yes = v < s
		case GreaterEqual:
			yes = v >= s
		case Greater:
			yes = v > s
		case Equal:
			yes = v == s
		case NotEqual:
			yes = v != s
		}
		if yes || d.MissingYes != 0 && math.IsNaN(v) {
			i = d.True
		} else {
			i = d.False
		}
	}
}

// score is what trees say of one target.
type score struct {
	v   float64
	has bool
}

// add collects the weights of all trees for one row. how is SUM, AVERAGE, MIN or MAX.
func (f *Forest) add(out []score, how string, x []float64) error {
	clear(out)
	for _, r := range f.Roots {
		d, err := f.leaf(r, x)
		if err != nil {
			return err
		}
		for w := d.True; w < d.False; w++ {
			s, v := &out[f.Targets[w]], f.Weights[w]
			switch {
			case !s.has:
				s.v = v
			case how == "MIN":
				s.v = math.Min(s.v, v)
			case how == "MAX":
				s.v = math.Max(s.v, v)
			default:
				s.v += v
			}
			s.has = true
		}
	}
	if how == "AVERAGE" {
		for i := range out {
			out[i].v /= float64(len(f.Roots))
		}
	}
	return nil
}

// forest is what a step keeps between runs.
func forest(c *host.Call, targets int) (*Forest, error) {
	p, err := c.Prepared(func() (any, error) { return readForest(c, targets) })
	if err != nil {
		return nil, err
	}
	return p.(*Forest), nil
}

// TreeEnsemble adds up (aggregate) the leaves of trees for each row of x, by target. Operands after x are the tables of a
// Forest, constants.
var TreeEnsemble = host.Fn{Name: "tree_ensemble", Run: func(c *host.Call) error {
	n := int(c.Attrs.Int("targets", 1))
	f, err := forest(c, n)
	if err != nil {
		return err
	}
	x, rows, features, err := matrix(c)
	if err != nil {
		return err
	}
	y, err := c.Out(0, rows, n)
	if err != nil {
		return err
	}
	base := c.Attrs.Floats("base")
	if len(base) != 0 && len(base) != n {
		return fmt.Errorf("%d base values for %d targets", len(base), n)
	}
	how, aggregate := c.Attrs.Str("post_transform", "NONE"), c.Attrs.Str("aggregate", "SUM")
	read, write := host.Reader(x), host.Writer(y)
	scores, row, buf := make([]score, n), make([]float64, n), make([]float64, features)
	for r := range rows {
		for i := range buf {
			buf[i] = read(r*features + i)
		}
		if err := f.add(scores, aggregate, buf); err != nil {
			return err
		}
		for i, s := range scores {
			if row[i] = s.v; len(base) == n {
				row[i] += base[i]
			}
		}
		transform(row, how)
		for i, v := range row {
			write(r*n+i, v)
		}
	}
	return nil
}}

// TreeClassifier is TreeEnsemble over classes: result 0 is the position of the class of each row, result 1 the scores.
var TreeClassifier = host.Fn{Name: "tree_classifier", Run: func(c *host.Call) error {
	n := int(c.Attrs.Int("classes", 1))
	f, err := forest(c, n)
	if err != nil {
		return err
	}
	x, rows, features, err := matrix(c)
	if err != nil {
		return err
	}
	labels, err := c.Out(0, rows)
	if err != nil {
		return err
	}
	y, err := c.Out(1, rows, n)
	if err != nil {
		return err
	}
	if b := len(c.Attrs.Floats("base")); b != 0 && b != n && !(b == 1 && n == 2) {
		return fmt.Errorf("%d base values for %d classes", b, n)
	}
	t := newClassifier(f, n, c.Attrs)
	read, write := host.Reader(x), host.Writer(y)
	scores, buf := make([]score, n), make([]float64, features)
	for r := range rows {
		for i := range buf {
			buf[i] = read(r*features + i)
		}
		if err := f.add(scores, "SUM", buf); err != nil {
			return err
		}
		class, row := t.row(scores)
		labels.SetInt(r, int64(class))
		for i := range n {
			v := 0.0
			if i < len(row) {
				v = row[i]
			}
			write(r*n+i, v)
		}
	}
	return nil
}}

// classifier turns the scores of a row into a class.
type classifier struct {
	base     []float64
	how      string
	binary   bool // two classes, and all weights are of one
	only     int  // that class
	positive bool // no weight is negative: scores are probabilities
}

func newClassifier(f *Forest, classes int, l attr.List) *classifier {
	t := &classifier{base: l.Floats("base"), how: l.Str("post_transform", "NONE"), positive: true, binary: classes == 2}
	for i, w := range f.Weights {
		t.positive = t.positive && w >= 0
		t.binary = t.binary && f.Targets[i] == f.Targets[0]
		t.only = int(f.Targets[0])
	}
	return t
}

// row gives the class and the scores of one row: that of the largest score among the classes that any leaf speaks of.
func (t *classifier) row(s []score) (class int, row []float64) {
	if t.binary {
		return t.two(s)
	}
	row = make([]float64, len(s))
	class = -1
	for i := range s {
		if row[i] = s[i].v; len(t.base) == len(s) {
			row[i] += t.base[i]
		}
		if s[i].has && (class < 0 || row[i] > row[class]) {
			class = i
		}
	}
	transform(row, t.how)
	return max(class, 0), row
}

// two is row for two classes of which only one has weights: its score decides against 1/2 as a probability, or against
// 0, and the other score follows from it where the one is of class 0.
func (t *classifier) two(s []score) (class int, row []float64) {
	one := s[t.only].v
	if t.only < len(t.base) {
		one += t.base[t.only]
	}
	second, limit := Opposite, 0.0
	if t.positive {
		second, limit = Complement, 0.5
	}
	if one > limit {
		class = 1
	}
	if row = []float64{one}; t.only == 1 {
		row = []float64{0, one}
	} else if len(t.base) == 2 {
		row = []float64{one, 0}
	}
	return class, finish(row, t.how, second)
}
