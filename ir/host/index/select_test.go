package index

import (
	"math"
	"math/rand"
	"sort"
	"testing"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// The selection agrees with a stable sort by the definition: NaN above all, both zeros equal, lower positions first.
func TestTopKIsStableSort(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, e := range []dtype.Type{dtype.F32, dtype.F64, dtype.F16, dtype.I64, dtype.U64, dtype.I8} {
		for range 60 {
			n := 1 + r.Intn(300)
			x := tensor.New(e, n)
			for i := range n {
				switch v := float64(r.Intn(40) - 20); {
				case e.IsFloat() && r.Intn(10) == 0:
					x.SetFloat(i, []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}[r.Intn(4)])
				case e == dtype.U64:
					x.SetBits(i, uint64(v)<<40)
				default:
					x.SetFloat(i, v)
				}
			}
			largest := r.Intn(2) == 0
			sign := 1
			if largest {
				sign = -1
			}
			want, less := make([]int64, n), comparer(x)
			for i := range want {
				want[i] = int64(i)
			}
			sort.SliceStable(want, func(a, b int) bool { return sign*less(int(want[a]), int(want[b])) < 0 })
			k := r.Intn(n + 1)
			l := attr.List{{Name: "largest", Value: attr.OfBool(largest)}}
			c := host.NewCall([]*tensor.Tensor{x, i64s(int64(k))}, l, make([]*tensor.Tensor, 2), []dtype.Type{e, dtype.I64}, &host.Budget{Left: 1 << 20})
			if err := TopK.Run(c); err != nil {
				t.Fatal(err)
			}
			check(t, e.String(), c.Result(1), want[:k]...)
		}
	}
}

// Boxes are compared by strips; what is picked is what comparing all with all picks.
func TestStripsMissNothing(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	for round := range 40 {
		n := 1 + r.Intn(200)
		boxes, scores := tensor.New(dtype.F32, 1, n, 4), tensor.New(dtype.F32, 1, 1, n)
		for i := range n {
			w := 1 + 20*r.Float64()
			switch r.Intn(12) {
			case 0:
				w = 500
			case 1:
				w = 0
			}
			x, y := 300*r.Float64()-50, 100*r.Float64()
			for j, v := range []float64{y, x, y + w, x + w} {
				boxes.SetFloat(4*i+j, v)
			}
			scores.SetFloat(i, math.Floor(20*r.Float64())/20)
			if round%8 == 7 && r.Intn(20) == 0 {
				boxes.SetFloat(4*i+r.Intn(4), []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e38}[r.Intn(4)])
			}
		}
		iou := 0.1 + 0.6*r.Float64()
		limit := tensor.New(dtype.F32, 1)
		limit.SetFloat(0, iou)
		c, err := call(NonMaxSuppression, 1, nil, boxes, scores, i64s(math.MaxInt64), limit)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "picked", c.Result(0), pickAll(boxes, scores, limit.Float(0))...)
	}
}

func pickAll(boxes, scores *tensor.Tensor, iou float64) (rows []int64) {
	n := boxes.Shape[1]
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return scores.Float(order[a]) > scores.Float(order[b]) })
	var picked []corner
	for _, i := range order {
		var b [4]float64
		for j := range b {
			b[j] = boxes.Float(4*i + j)
		}
		box := newCorner([4]float64{min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])})
		free := true
		for k := range picked {
			free = free && (!box.meets(&picked[k]) || box.overlap(&picked[k]) <= iou)
		}
		if free {
			picked, rows = append(picked, box), append(rows, 0, 0, int64(i))
		}
	}
	return rows
}
