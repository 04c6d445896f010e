package index

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/llmc-go/llmc/ir/host"
)

// NonMaxSuppression picks, per batch and class, boxes in the order of their scores, leaving out those that overlap a
// picked one by more than iou_threshold, and those that score no more than score_threshold. Operands boxes [batch, n, 4],
// scores [batch, classes, n], max_output_boxes_per_class?, iou_threshold?, score_threshold?; with center_point_box a
// box is (x, y, width, height), else any two opposite corners (y, x, y, x). A row of the result is (batch, class, box).
var NonMaxSuppression = host.Fn{Name: "index.nms", Run: func(c *host.Call) error {
	boxes, scores := c.In[0], c.In[1]
	bs, ss := boxes.Shape, scores.Shape
	if len(bs) != 3 || bs[2] != 4 || len(ss) != 3 || ss[0] != bs[0] || ss[2] != bs[1] {
		return fmt.Errorf("boxes of shape %v and scores of shape %v", bs, ss)
	}
	number := func(i int, def float64) float64 {
		if t := operand(c, i); t != nil && t.Len() > 0 {
			return t.Float(0)
		}
		return def
	}
	limit, iou := int(min(max(number(2, 0), 0), 1<<31)), number(3, 0) // exporters write the largest integer for no limit
	hasMin := operand(c, 4) != nil && c.In[4].Len() > 0
	floor := number(4, 0)
	n := bs[1]
	if err := c.Temp(32*int64(bs[0]*n) + 16*int64(n)); err != nil {
		return err
	}
	corners := make([][4]float64, bs[0]*n)
	for i := range corners {
		var b [4]float64
		for j := range b {
			b[j] = boxes.Float(4*i + j)
		}
		if c.Attrs.Bool("center_point_box") {
			b = [4]float64{b[1] - b[3]/2, b[0] - b[2]/2, b[1] + b[3]/2, b[0] + b[2]/2}
		}
		corners[i] = [4]float64{min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])}
	}
	var rows [][3]int
	var picked []corner // of one class
	order, score := make([]int, 0, n), make([]float64, n)
	for b := range bs[0] {
		for class := range ss[1] {
			at := (b*ss[1] + class) * n
			order = order[:0]
			for i := range n {
				if score[i] = scores.Float(at + i); !hasMin || score[i] > floor {
					order = append(order, i)
				}
			}
			slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(score[j], score[i]) })
			picked = picked[:0]
			for _, i := range order {
				if len(picked) >= limit {
					break
				}
				free := true
				box := newCorner(corners[b*n+i])
				for k := len(picked) - 1; free && k >= 0; k-- {
					free = !box.meets(&picked[k]) || box.overlap(&picked[k]) <= iou
				}
				if free {
					rows = append(rows, [3]int{b, class, i})
					picked = append(picked, box)
				}
			}
		}
	}
	y, err := c.Out(0, len(rows), 3)
	if err != nil {
		return err
	}
	for i, r := range rows {
		for j, v := range r {
			y.SetInt(3*i+j, int64(v))
		}
	}
	return nil
}}

// corner is a box with its area.
type corner struct{ y0, x0, y1, x1, area float64 }

func newCorner(b [4]float64) corner {
	return corner{b[0], b[1], b[2], b[3], (b[2] - b[0]) * (b[3] - b[1])}
}

// meets reports whether two boxes have points in common; most have none.
func (a *corner) meets(b *corner) bool {
	return a.y0 < b.y1 && b.y0 < a.y1 && a.x0 < b.x1 && b.x0 < a.x1
}

// overlap is the intersection of two boxes that meet over their union.
func (a *corner) overlap(b *corner) float64 {
	both := (min(a.y1, b.y1) - max(a.y0, b.y0)) * (min(a.x1, b.x1) - max(a.x0, b.x0))
	all := a.area + b.area - both
	if all <= 0 {
		return 0
	}
	return both / all
}
