package ml

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Linear scores the rows of x by coefficients (operand 1, [classes, features]) and intercepts (operand 2): result 0 is
// the position of the class of each row, result 1 the scores. One row of coefficients for two classes is a score of
// the second class.
var Linear = host.Fn{Name: "linear_classifier", Run: func(c *host.Call) error {
	x, rows, features, err := matrix(c)
	if err != nil {
		return err
	}
	w, b := c.Val(1).Tensor, c.Val(2).Tensor
	if w == nil || b == nil || len(w.Shape) != 2 || w.Shape[1] != features || b.Len() != w.Shape[0] || b.Len() == 0 {
		return fmt.Errorf("coefficients %v and intercepts %v for %d features", c.Val(1), c.Val(2), features)
	}
	classes, n := int(c.Attrs.Int("classes", 1)), w.Shape[0]
	labels, err := c.Out(0, rows)
	if err != nil {
		return err
	}
	y, err := c.Out(1, rows, max(n, min(classes, 2)))
	if err != nil {
		return err
	}
	how := c.Attrs.Str("post_transform", "NONE")
	read, coef, bias, write := host.Reader(x), host.Reader(w), host.Reader(b), host.Writer(y)
	for r := range rows {
		s := make([]float64, n)
		for k := range s {
			s[k] = bias(k)
			for i := range features {
				s[k] += read(r*features+i) * coef(k*features+i)
			}
		}
		class := 0
		if n > 1 {
			class = largest(s)
		} else if limit := map[bool]float64{true: 0.5}[how == "LOGISTIC" && classes != 2]; s[0] > limit {
			class = 1
		}
		labels.SetInt(r, int64(class))
		second := OneScore
		if classes == 2 {
			second = Complement
		}
		for i, v := range finish(s, how, second) {
			write(r*y.Shape[1]+i, v)
		}
	}
	return nil
}}

// kernel compares two lists of features.
type kernel struct {
	kind                 string
	gamma, coef0, degree float64
}

func newKernel(l attr.List) kernel {
	k := kernel{kind: l.Str("kernel", "LINEAR")}
	if p := l.Floats("params"); len(p) == 3 {
		k.gamma, k.coef0, k.degree = p[0], p[1], p[2]
	}
	return k
}

func (k kernel) of(a, b []float64) float64 {
	sum := 0.0
	if k.kind == "RBF" {
		for i, v := range a {
			sum += (v - b[i]) * (v - b[i])
		}
		return math.Exp(-k.gamma * sum)
	}
	for i, v := range a {
		sum += v * b[i]
	}
	switch k.kind {
	case "POLY":
		return math.Pow(k.gamma*sum+k.coef0, k.degree)
	case "SIGMOID":
		return math.Tanh(k.gamma*sum + k.coef0)
	}
	return sum
}

// Vectors are the constants of a support vector machine: operand 1 the vectors or, where there are none, the
// coefficients of a linear one; operand 2 the coefficients of the vectors.
type vectors struct {
	kernel
	rows [][]float64
	coef []float64
}

func readVectors(c *host.Call) (*vectors, error) {
	p, err := c.Prepared(func() (any, error) {
		w := c.Val(1).Tensor
		if w == nil || len(w.Shape) != 2 {
			return nil, fmt.Errorf("vectors %v", c.Val(1))
		}
		if err := c.Temp(8*int64(w.Len()) + 24*int64(w.Shape[0])); err != nil {
			return nil, err
		}
		v := &vectors{kernel: newKernel(c.Attrs)}
		all, n := floats(w), w.Shape[1]
		for i := range w.Shape[0] {
			v.rows = append(v.rows, all[i*n:(i+1)*n])
		}
		if t := c.Val(2).Tensor; t != nil {
			v.coef = floats(t)
		}
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	return p.(*vectors), nil
}

// eachRow calls f with the features of every row of x, which must be as many as the vectors have.
func (v *vectors) eachRow(x *tensor.Tensor, rows, features int, f func(r int, x []float64) error) error {
	if len(v.rows) > 0 && len(v.rows[0]) != features {
		return fmt.Errorf("%d features, want %d", features, len(v.rows[0]))
	}
	read, buf := host.Reader(x), make([]float64, features)
	for r := range rows {
		for i := range buf {
			buf[i] = read(r*features + i)
		}
		if err := f(r, buf); err != nil {
			return err
		}
	}
	return nil
}

// SVMRegressor is the sum of kernels with the support vectors times their coefficients, or one product with the
// coefficients of a linear machine, plus rho; with one_class 1 where that is more than 0, else -1.
var SVMRegressor = host.Fn{Name: "svm_regressor", Run: func(c *host.Call) error {
	x, rows, features, err := matrix(c)
	if err != nil {
		return err
	}
	v, err := readVectors(c)
	if err != nil {
		return err
	}
	linear := v.coef == nil
	if linear && len(v.rows) != 1 || !linear && len(v.coef) != len(v.rows) {
		return fmt.Errorf("%d coefficients of %d vectors", len(v.coef), len(v.rows))
	}
	y, err := c.Out(0, rows, 1)
	if err != nil {
		return err
	}
	rho := c.Attrs.Float("rho", 0)
	return v.eachRow(x, rows, features, func(r int, x []float64) error {
		sum := rho
		for i, s := range v.rows {
			k := v.of(x, s)
			if !linear {
				k *= v.coef[i]
			}
			sum += k
		}
		if c.Attrs.Bool("one_class") {
			if sum > 0 {
				sum = 1
			} else {
				sum = -1
			}
		}
		one := []float64{sum}
		if c.Attrs.Str("post_transform", "NONE") != "NONE" {
			transform(one, c.Attrs.Str("post_transform", "NONE"))
		}
		y.SetFloat(r, one[0])
		return nil
	})
}}

// SVMClassifier: every two classes have a machine of their own, whose sign is a vote (Chang and Lin, LIBSVM, section 6);
// with prob_a and prob_b their outputs become probabilities of classes (section 8). Without support vectors operand 1
// holds a row of coefficients for each class. Result 0 is the position of the class, result 1 the scores.
var SVMClassifier = host.Fn{Name: "svm_classifier", Run: func(c *host.Call) error {
	x, rows, features, err := matrix(c)
	if err != nil {
		return err
	}
	v, err := readVectors(c)
	if err != nil {
		return err
	}
	m, err := newMachine(c.Attrs, v)
	if err != nil {
		return err
	}
	labels, err := c.Out(0, rows)
	if err != nil {
		return err
	}
	columns := m.columns()
	y, err := c.Out(1, rows, columns)
	if err != nil {
		return err
	}
	return v.eachRow(x, rows, features, func(r int, x []float64) error {
		class, row := m.row(x)
		labels.SetInt(r, int64(class))
		for i := range columns {
			s := 0.0
			if i < len(row) {
				s = row[i]
			}
			y.SetFloat(r*columns+i, s)
		}
		return nil
	})
}}

type machine struct {
	*vectors
	classes      int
	counts       []int64 // support vectors of each class; nil for a linear machine
	first        []int
	rho          []float64
	probA, probB []float64
	how          string
	positive     bool
}

// MaxClasses bounds the pairs of classes.
const MaxClasses = 1 << 12

func newMachine(l attr.List, v *vectors) (*machine, error) {
	m := &machine{vectors: v, classes: int(l.Int("classes", 1)), counts: l.Ints("counts"), rho: l.Floats("rho"), probA: l.Floats("prob_a"), probB: l.Floats("prob_b"),
		how: l.Str("post_transform", "NONE"), positive: true}
	if m.classes < 1 || m.classes > MaxClasses {
		return nil, fmt.Errorf("%d classes", m.classes)
	}
	if len(m.counts) == 0 {
		if len(v.rows) != m.classes || len(m.rho) != 1 {
			return nil, fmt.Errorf("%d rows of coefficients and %d rho for %d classes", len(v.rows), len(m.rho), m.classes)
		}
		for _, r := range v.rows {
			for _, w := range r {
				m.positive = m.positive && w >= 0
			}
		}
		return m, nil
	}
	n, pairs := 0, m.classes*(m.classes-1)/2
	for _, k := range m.counts {
		if k < 0 || k > int64(len(v.rows)) {
			return nil, fmt.Errorf("vectors_per_class %v", m.counts)
		}
		m.first = append(m.first, n)
		n += int(k)
	}
	if len(m.counts) != m.classes || n != len(v.rows) || len(v.coef) != (m.classes-1)*n || len(m.rho) != pairs ||
		len(m.probA) != len(m.probB) || len(m.probA) != 0 && len(m.probA) != pairs {
		return nil, fmt.Errorf("%d vectors, %d coefficients, %d rho, %d prob_a, %d prob_b of %d classes", len(v.rows), len(v.coef), len(m.rho), len(m.probA), len(m.probB), m.classes)
	}
	for _, w := range v.coef {
		m.positive = m.positive && w >= 0
	}
	return m, nil
}

// columns is the number of scores of a row.
func (m *machine) columns() int {
	if m.counts != nil && len(m.probA) == 0 && m.classes > 2 {
		return m.classes * (m.classes - 1) / 2
	}
	return m.classes
}

func (m *machine) row(x []float64) (class int, row []float64) {
	if len(m.counts) == 0 {
		s := make([]float64, m.classes)
		for k := range s {
			s[k] = m.of(x, m.rows[k]) + m.rho[0]
		}
		class = largest(s)
		return class, finish(s, m.how, OneScore)
	}
	k := make([]float64, len(m.rows))
	for i, s := range m.rows {
		k[i] = m.of(x, s)
	}
	votes := make([]int, m.classes)
	var s []float64
	for i := range m.classes {
		for j := i + 1; j < m.classes; j++ {
			d := m.rho[len(s)] + m.part(k, j-1, i) + m.part(k, i, j)
			s = append(s, d)
			if d > 0 {
				votes[i]++
			} else {
				votes[j]++
			}
		}
	}
	for i, n := range votes {
		if n > votes[class] {
			class = i
		}
	}
	if len(m.probA) > 0 {
		s = m.probabilities(s)
	}
	second := OneScore
	if len(s) == 1 {
		second = Opposite
		if m.how == "SOFTMAX" || m.how == "SOFTMAX_ZERO" { // of one score: that of a probability
			second = Complement
		}
	}
	return class, finish(s, m.how, second)
}

// part is what the vectors of one class add to a decision; row chooses their coefficients.
func (m *machine) part(k []float64, row, class int) float64 {
	sum, n := 0.0, len(m.rows)
	for i := m.first[class]; i < m.first[class]+int(m.counts[class]); i++ {
		sum += m.coef[row*n+i] * k[i]
	}
	return sum
}

// probabilities makes those of pairs by a logistic function, and couples them (Wu, Lin and Weng, Probability estimates
// for multi-class classification by pairwise coupling, 2004, algorithm 2).
func (m *machine) probabilities(s []float64) []float64 {
	n := m.classes
	r := make([][]float64, n)
	for i := range r {
		r[i] = make([]float64, n)
	}
	at := 0
	for i := range n {
		for j := i + 1; j < n; j++ {
			p := logistic(-(s[at]*m.probA[at] + m.probB[at]))
			p = math.Min(math.Max(p, 1e-7), 1-1e-7)
			r[i][j], r[j][i] = p, 1-p
			at++
		}
	}
	return couple(r)
}

func couple(r [][]float64) []float64 {
	n := len(r)
	q, p, qp := make([][]float64, n), make([]float64, n), make([]float64, n)
	for t := range n {
		p[t] = 1 / float64(n)
		q[t] = make([]float64, n)
		for j := range n {
			if j != t {
				q[t][t] += r[j][t] * r[j][t]
				q[t][j] = -r[j][t] * r[t][j]
			}
		}
	}
	for range max(100, n) {
		pqp, worst := 0.0, 0.0
		for t := range n {
			qp[t] = 0
			for j := range n {
				qp[t] += q[t][j] * p[j]
			}
			pqp += p[t] * qp[t]
		}
		for t := range n {
			worst = math.Max(worst, math.Abs(qp[t]-pqp))
		}
		if worst < 0.005/float64(n) {
			break
		}
		for t := range n {
			d := (-qp[t] + pqp) / q[t][t]
			p[t] += d
			pqp = (pqp + d*(d*q[t][t]+2*qp[t])) / ((1 + d) * (1 + d))
			for j := range n {
				qp[j] = (qp[j] + d*q[t][j]) / (1 + d)
				p[j] /= 1 + d
			}
		}
	}
	return p
}

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{Transform, TreeEnsemble, TreeClassifier, Lookup, OneHot, Vectorize, CastMap, ZipMap, Linear, SVMRegressor, SVMClassifier}
}
