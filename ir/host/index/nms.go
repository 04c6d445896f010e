package index

import (
	"fmt"
	"math"
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
	if err := c.Temp(32*int64(bs[0]*n) + (16+48+4*narrow)*int64(n)); err != nil {
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
	keys := make([]ranked, 0, n)
	var kept strips
	for b := range bs[0] {
		for class := range ss[1] {
			at := (b*ss[1] + class) * n
			keys = keys[:0]
			for i := range n {
				if score := scores.Float(at + i); !hasMin || score > floor {
					keys = append(keys, ranked{ascending(-score), i})
				}
			}
			slices.SortFunc(keys, ranked.compare)
			kept.reset(corners[b*n:(b+1)*n], keys)
			for _, k := range keys {
				if len(kept.boxes) >= limit {
					break
				}
				if box := newCorner(corners[b*n+k.at]); !kept.covers(&box, iou) {
					rows = append(rows, [3]int{b, class, k.at})
					kept.add(box)
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

// narrow is the number of strips that most boxes span at the most.
const narrow = 16

// strips holds boxes by the strips of the x axis that they span, so that a box is compared with those alone that have a strip
// in common with it. Boxes that span more than narrow strips are in a list of their own.
type strips struct {
	boxes       []corner
	first       []int32 // strip of each box
	strip       [][]int32
	wide        []int32
	left, width float64
}

// reset empties it for the boxes that keys rank. A strip is half as wide as boxes are on average.
func (s *strips) reset(boxes [][4]float64, keys []ranked) {
	s.boxes, s.first, s.wide = s.boxes[:0], s.first[:0], s.wide[:0]
	left, right, sum := math.Inf(1), math.Inf(-1), 0.0
	for _, k := range keys {
		b := &boxes[k.at]
		left, right, sum = min(left, b[1]), max(right, b[3]), sum+(b[3]-b[1])
	}
	const most = 4096
	s.left, s.width = left, max(sum/float64(max(len(keys), 1))/2, (right-left)/most)
	count := 1
	if n := (right - left) / s.width; n >= 0 && n <= most { // else no number
		count = int(n) + 1
	} else {
		s.left, s.width = 0, math.Inf(1)
	}
	for i := range s.strip {
		s.strip[i] = s.strip[i][:0]
	}
	if count > len(s.strip) {
		s.strip = append(s.strip, make([][]int32, count-len(s.strip))...)
	}
}

// span is the first and last strip of a box.
func (s *strips) span(b *corner) (from, to int) {
	last := float64(len(s.strip) - 1)
	at := func(x float64) int {
		if v := (x - s.left) / s.width; v > 0 { // no number is none
			return int(min(v, last))
		}
		return 0
	}
	return at(b.x0), at(b.x1)
}

func (s *strips) add(b corner) {
	i := int32(len(s.boxes))
	from, to := s.span(&b)
	s.boxes, s.first = append(s.boxes, b), append(s.first, int32(from))
	if to-from >= narrow {
		s.wide = append(s.wide, i)
		return
	}
	for k := from; k <= to; k++ {
		s.strip[k] = append(s.strip[k], i)
	}
}

// covers reports whether a box of s overlaps b by more than iou.
func (s *strips) covers(b *corner, iou float64) bool {
	hides := func(i int32) bool {
		a := &s.boxes[i]
		return b.meets(a) && !(b.overlap(a) <= iou)
	}
	from, to := s.span(b)
	if to-from >= narrow {
		for i := range s.boxes {
			if hides(int32(i)) {
				return true
			}
		}
		return false
	}
	for _, i := range s.wide {
		if hides(i) {
			return true
		}
	}
	for k := from; k <= to; k++ {
		for _, i := range s.strip[k] {
			if k == max(from, int(s.first[i])) && hides(i) { // once, in the first strip of both
				return true
			}
		}
	}
	return false
}
