package text

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Vocabulary is the n-grams of a TfIdfVectorizer: a tree whose edges are items.
type Vocabulary struct {
	Columns int // of the result
	root    gram
	weights []float64 // by column index in the list of n-grams
	columns []int64
	ints    bool
}

// gram is an n-gram; id is its place in the lists, or -1 where it is only the beginning of others.
type gram struct {
	id   int
	next map[string]*gram
}

// ReadVocabulary makes the tree from the attributes pool_strings or pool_int64s, ngram_counts, ngram_indexes, weights,
// min_gram_length and max_gram_length. ngram_counts[k] is where the grams of k+1 items begin in the pool.
func ReadVocabulary(l attr.List) (*Vocabulary, error) {
	v := &Vocabulary{root: gram{id: -1}, columns: l.Ints("ngram_indexes"), weights: l.Floats("weights")}
	pool := l.Strs("pool_strings")
	if nums := l.Ints("pool_int64s"); len(nums) > 0 {
		if len(pool) > 0 {
			return nil, fmt.Errorf("both pool_strings and pool_int64s are given")
		}
		v.ints = true
		pool = make([]string, len(nums))
		for i, n := range nums {
			pool[i] = strconv.FormatInt(n, 10)
		}
	}
	lo, hi := l.Int("min_gram_length", 1), l.Int("max_gram_length", 1)
	if lo < 1 || hi < lo || l.Int("max_skip_count", 0) < 0 {
		return nil, fmt.Errorf("grams of %d to %d items that skip %d", lo, hi, l.Int("max_skip_count", 0))
	}
	for i, c := range v.columns {
		if c < 0 || c >= 1<<31 {
			return nil, fmt.Errorf("ngram_indexes[%d] is %d", i, c)
		}
		v.Columns = max(v.Columns, int(c)+1)
	}
	if len(v.weights) > 0 && len(v.weights) != len(v.columns) {
		return nil, fmt.Errorf("%d weights for %d grams", len(v.weights), len(v.columns))
	}
	starts := l.Ints("ngram_counts")
	id := 0
	for k, start := range starts {
		end := int64(len(pool))
		if k+1 < len(starts) {
			end = starts[k+1]
		}
		n := int64(k + 1)
		if start < 0 || end < start || end > int64(len(pool)) || (end-start)%n != 0 {
			return nil, fmt.Errorf("ngram_counts %v of a pool of %d items", starts, len(pool))
		}
		for at := start; at < end; at += n {
			if id >= len(v.columns) {
				return nil, fmt.Errorf("%d ngram_indexes for more grams", len(v.columns))
			}
			if n >= lo && n <= hi {
				if err := v.add(pool[at:at+n], id); err != nil {
					return nil, err
				}
			}
			id++
		}
	}
	return v, nil
}

func (v *Vocabulary) add(items []string, id int) error {
	g := &v.root
	for _, s := range items {
		n := g.next[s]
		if n == nil {
			n = &gram{id: -1}
			if g.next == nil {
				g.next = map[string]*gram{}
			}
			g.next[s] = n
		}
		g = n
	}
	if g.id >= 0 {
		return fmt.Errorf("the gram %.100q is in the pool twice", strings.Join(items, " "))
	}
	g.id = id
	return nil
}

// TfIdf counts n-grams whose items stand apart by one to max_skip_count+1 positions. mode is TF: counts; IDF: the weight
// of each gram that occurs; TFIDF: counts times weights.
var TfIdf = host.Fn{Name: "tfidf", Run: func(c *host.Call) error {
	x := c.Val(0).Tensor
	if x == nil || len(x.Shape) > 2 {
		return fmt.Errorf("want a list or a matrix, got %v", c.Val(0))
	}
	p, err := c.Prepared(func() (any, error) { return ReadVocabulary(c.Attrs) })
	if err != nil {
		return err
	}
	v := p.(*Vocabulary)
	if v.ints == (x.Elem == dtype.String) && len(v.root.next) > 0 {
		return fmt.Errorf("items of type %v, which the pool does not hold", x.Elem)
	}
	rows, items := 1, x.Len()
	shape := []int{v.Columns}
	if len(x.Shape) == 2 {
		rows, items = x.Shape[0], x.Shape[1]
		shape = []int{rows, v.Columns}
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	if err := c.Temp(8*int64(len(v.columns)) + 24*int64(items)); err != nil {
		return err
	}
	count := make([]float64, len(v.columns))
	row := make([]string, items)
	out := y.F32()
	clear(out)
	for r := range rows {
		readRow(row, x, r*items)
		clear(count)
		v.count(row, count, int(c.Attrs.Int("max_skip_count", 0)), int(c.Attrs.Int("max_gram_length", 1)))
		for id, n := range count {
			if n == 0 {
				continue
			}
			w := 1.0
			if len(v.weights) > 0 {
				w = v.weights[id]
			}
			switch c.Attrs.Str("mode", "TF") {
			case "TF":
				w = n
			case "TFIDF":
				w *= n
			}
			out[r*v.Columns+int(v.columns[id])] += float32(w)
		}
	}
	return nil
}}

func readRow(row []string, x *tensor.Tensor, at int) {
	for i := range row {
		if x.Elem == dtype.String {
			row[i] = x.Str[at+i]
		} else {
			row[i] = strconv.FormatInt(x.Int(at+i), 10)
		}
	}
}

// count walks the tree from every position with every distance between items. Grams of one item know no distance.
func (v *Vocabulary) count(row []string, count []float64, skip, longest int) {
	for step := 1; step <= skip+1 && (step == 1 || step < len(row)); step++ {
		for from := range row {
			g := &v.root
			for n, at := 1, from; n <= longest && at < len(row); n, at = n+1, at+step {
				if g = g.next[row[at]]; g == nil {
					break
				}
				if g.id >= 0 && (n > 1 || step == 1) {
					count[g.id]++
				}
			}
		}
		if longest == 1 {
			return
		}
	}
}
