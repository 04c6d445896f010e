package ml

import (
	"fmt"
	"math"
	"sort"
	"strconv"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// places finds elements of a list: strings, or numbers as bits of one width.
type places struct {
	strs map[string]int
	nums map[uint64]int
}

// bits is a number as a key: all NaNs are one, and so are the zeros.
func bits(t *tensor.Tensor, i int) uint64 {
	if !t.Elem.IsFloat() {
		return uint64(t.Int(i))
	}
	switch v := t.Float(i); {
	case math.IsNaN(v):
		return math.Float64bits(math.NaN())
	case v == 0:
		return 0
	default:
		return math.Float64bits(v)
	}
}

// newPlaces indexes a list; of equal elements the last counts.
func newPlaces(keys *tensor.Tensor) *places {
	p := &places{strs: map[string]int{}, nums: map[uint64]int{}}
	for i := range keys.Len() {
		if keys.Elem == dtype.String {
			p.strs[keys.Str[i]] = i
		} else {
			p.nums[bits(keys, i)] = i
		}
	}
	return p
}

func (p *places) find(t *tensor.Tensor, i int) (int, bool) {
	if t.Elem == dtype.String {
		k, ok := p.strs[t.Str[i]]
		return k, ok
	}
	k, ok := p.nums[bits(t, i)]
	return k, ok
}

// listOf is operand i, a list of constants, with its index.
func listOf(c *host.Call, i int) (*tensor.Tensor, *places, error) {
	keys := c.Val(i).Tensor
	if keys == nil || len(keys.Shape) != 1 {
		return nil, nil, fmt.Errorf("operand %d: want a list, got %v", i, c.Val(i))
	}
	p, err := c.Prepared(func() (any, error) {
		if err := c.Temp(48 * int64(keys.Len())); err != nil {
			return nil, err
		}
		return newPlaces(keys), nil
	})
	if err != nil {
		return nil, nil, err
	}
	return keys, p.(*places), nil
}

// Lookup replaces every element of x that is in keys (operand 1, constant) by the value (operand 2) at its place, and
// others by a default (operand 3).
var Lookup = host.Fn{Name: "lookup", Run: func(c *host.Call) error {
	keys, p, err := listOf(c, 1)
	if err != nil {
		return err
	}
	x, values, other := c.In[0], c.Val(2).Tensor, c.Val(3).Tensor
	if x == nil || values == nil || other == nil || values.Len() != keys.Len() || other.Len() != 1 || x.Elem != keys.Elem ||
		values.Elem != c.OutElem(0) || other.Elem != c.OutElem(0) {
		return fmt.Errorf("keys %v, values %v and default %v do not belong together", c.Val(1), c.Val(2), c.Val(3))
	}
	y, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	for i := range x.Len() {
		if k, ok := p.find(x, i); ok {
			host.CopyElem(y, i, values, k)
		} else {
			host.CopyElem(y, i, other, 0)
		}
	}
	return nil
}}

// OneHot puts 1 at the place of every element of x in a list of categories (operand 1, constant), along a new last axis.
// What is in no category is all zeros where attribute zeros is set, else an error.
var OneHot = host.Fn{Name: "one_hot_encode", Run: func(c *host.Call) error {
	cats, p, err := listOf(c, 1)
	if err != nil {
		return err
	}
	x := c.In[0]
	if x == nil || (x.Elem == dtype.String) != (cats.Elem == dtype.String) {
		return fmt.Errorf("categories of type %v for %v", cats.Elem, c.Val(0))
	}
	n := cats.Len()
	y, err := c.Out(0, append(append([]int(nil), x.Shape...), n)...)
	if err != nil {
		return err
	}
	clear(y.Data)
	one := tensor.New(dtype.I64)
	for i := range x.Len() {
		k, ok := 0, false
		if x.Elem.IsFloat() { // numbers are cut to integers
			one.SetFloat(0, math.Trunc(x.Float(i)))
			k, ok = p.find(one, 0)
		} else {
			k, ok = p.find(x, i)
		}
		switch {
		case ok:
			y.SetFloat(i*n+k, 1)
		case !c.Attrs.Bool("zeros"):
			return fmt.Errorf("element %d is in no category", i)
		}
	}
	return nil
}}

// mapping is operand 0, a map whose values are numbers or strings, one each.
func mapping(c *host.Call) (tensor.Value, error) {
	v, err := c.Box(0, tensor.KindMap)
	if err != nil {
		return v, err
	}
	for i := range v.List {
		if t := v.List[i].Tensor; t == nil || t.Len() != 1 {
			return v, fmt.Errorf("value %d of the map: want one element, got %v", i, v.List[i])
		}
	}
	return v, nil
}

// Vectorize places the values of a map by their keys in a vocabulary (operand 1, constant); what the map lacks is 0 or "".
var Vectorize = host.Fn{Name: "dict_vectorize", Run: func(c *host.Call) error {
	v, err := mapping(c)
	if err != nil {
		return err
	}
	words, p, err := listOf(c, 1)
	if err != nil {
		return err
	}
	if words.Elem != v.Keys.Elem {
		return fmt.Errorf("vocabulary of type %v for keys of type %v", words.Elem, v.Keys.Elem)
	}
	y, err := c.Out(0, 1, words.Len())
	if err != nil {
		return err
	}
	clear(y.Data)
	clear(y.Str)
	for i := range v.List {
		t := v.List[i].Tensor
		if t.Elem != y.Elem {
			return fmt.Errorf("value %d of the map: want %v, got %v", i, y.Elem, v.List[i])
		}
		if k, ok := p.find(v.Keys, i); ok {
			host.CopyElem(y, k, t, 0)
		}
	}
	return nil
}}

// CastMap gives the values of a map with integer keys in the order of the keys; with form SPARSE at the keys as positions
// below size.
var CastMap = host.Fn{Name: "cast_map", Run: func(c *host.Call) error {
	v, err := mapping(c)
	if err != nil {
		return err
	}
	if !v.Keys.Elem.IsInt() {
		return fmt.Errorf("keys of type %v", v.Keys.Elem)
	}
	n := len(v.List)
	sparse := c.Attrs.Str("form", "DENSE") == "SPARSE"
	if sparse {
		n = int(c.Attrs.Int("size", 1))
	}
	y, err := c.Out(0, 1, n)
	if err != nil {
		return err
	}
	clear(y.Data)
	clear(y.Str)
	order := make([]int, len(v.List))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return v.Keys.Int(order[a]) < v.Keys.Int(order[b]) })
	if sparse && y.Elem == dtype.String {
		for i := range y.Str {
			y.Str[i] = "0.f"
		}
	}
	for at, i := range order {
		if sparse {
			k := v.Keys.Int(i)
			if k < 0 || k >= int64(n) {
				return fmt.Errorf("key %d of a list of %d", k, n)
			}
			at = int(k)
		}
		if err := castTo(y, at, v.List[i].Tensor); err != nil {
			return fmt.Errorf("value %d of the map: %w", i, err)
		}
	}
	return nil
}}

// castTo stores a float or string as element i of another type.
func castTo(y *tensor.Tensor, i int, x *tensor.Tensor) error {
	switch {
	case y.Elem == dtype.String && x.Elem == dtype.String:
		y.Str[i] = x.Str[0]
	case y.Elem == dtype.String:
		y.Str[i] = strconv.FormatFloat(x.Float(0), 'f', 6, 64)
	case x.Elem == dtype.String:
		f, err := strconv.ParseFloat(x.Str[0], 64)
		if err != nil {
			return fmt.Errorf("%.40q is no number", x.Str[0])
		}
		y.SetFloat(i, f)
	default:
		y.SetFloat(i, x.Float(0))
	}
	return nil
}

// ZipMap makes a map of every row of x: the keys are the labels of attribute ints or strs.
var ZipMap = host.Fn{Name: "zip_map", Run: func(c *host.Call) error {
	x, rows, n, err := matrix(c)
	if err != nil {
		return err
	}
	keys := tensor.Of(dtype.I64, c.Attrs.Ints("ints"), len(c.Attrs.Ints("ints")))
	if s := c.Attrs.Strs("strs"); len(s) > 0 {
		keys = &tensor.Tensor{Elem: dtype.String, Shape: []int{len(s)}, Str: s}
	}
	if keys.Len() != n {
		return fmt.Errorf("%d keys for %d columns", keys.Len(), n)
	}
	all, err := c.New(x.Elem, rows, n)
	if err != nil {
		return err
	}
	if err := c.Temp(int64(rows) * int64(48+n*(48+80))); err != nil {
		return err
	}
	host.Copy(all, x)
	size := x.Elem.Bits() / 8
	cells := make([]tensor.Tensor, rows*n)
	values := make([]tensor.Value, rows*n)
	list := make([]tensor.Value, rows)
	for i := range cells {
		cells[i] = tensor.Tensor{Elem: x.Elem, Data: all.Data[size*i : size*(i+1) : size*(i+1)]}
		values[i] = tensor.ValueOf(&cells[i])
	}
	for r := range list {
		list[r] = tensor.Value{Kind: tensor.KindMap, Keys: keys, List: values[r*n : (r+1)*n : (r+1)*n]}
	}
	c.SetBox(0, tensor.SequenceOf(list...))
	return nil
}}
