package spatial

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// GridSample reads pictures x [n, c, ...] at the places of a grid [n, out..., axes], whose coordinates, the last axis of the picture
// first, run from -1 to 1 (Jaderberg et al., Spatial Transformer Networks, 2015). Attributes mode, padding_mode, align_corners.
var GridSample = host.Fn{Name: "spatial.grid_sample", Run: func(c *host.Call) error {
	x, grid := c.In[0], c.In[1]
	d := len(x.Shape) - 2
	if d < 1 || len(grid.Shape) != d+2 || grid.Shape[d+1] != d || grid.Shape[0] != x.Shape[0] {
		return fmt.Errorf("a grid of shape %v for pictures of shape %v", grid.Shape, x.Shape)
	}
	y, err := c.Out(0, append(append([]int{}, x.Shape[:2]...), grid.Shape[1:d+1]...)...)
	if err != nil || y.Len() == 0 {
		return err
	}
	s := &sampler{size: x.Shape[2:], stride: tensor.Strides(x.Shape[2:]), mode: c.Attrs.Str("mode", "linear"),
		padding: c.Attrs.Str("padding_mode", "zeros"), corners: c.Attrs.Bool("align_corners")}
	pixels, _ := tensor.Count(s.size)
	if pixels == 0 {
		return fmt.Errorf("pictures of shape %v have no elements", x.Shape)
	}
	read, write, at := host.Reader(x), host.Writer(y), host.Reader(grid)
	places, _ := tensor.Count(grid.Shape[1 : d+1])
	pos := make([]float64, d)
	for n := range x.Shape[0] {
		for p := range places {
			for i := range pos {
				pos[i] = at((n*places+p)*d + d - 1 - i)
			}
			s.place(pos)
			for ch := range x.Shape[1] {
				base, sum := (n*x.Shape[1]+ch)*pixels, 0.0
				for _, t := range s.taps {
					sum += t.weight * read(base+t.at)
				}
				write((n*x.Shape[1]+ch)*places+p, sum)
			}
		}
	}
	return nil
}}

// sample is an element that is read, and its weight.
type sample struct {
	at     int
	weight float64
}

type sampler struct {
	size, stride  []int
	mode, padding string
	corners       bool
	taps          []sample
}

// place finds the taps of one place, given in coordinates of [-1, 1].
func (s *sampler) place(pos []float64) {
	s.taps = append(s.taps[:0], sample{0, 1})
	for i, v := range pos {
		n := float64(s.size[i])
		lo, hi := -0.5, n-0.5
		x := ((v+1)*n - 1) / 2
		if s.corners {
			lo, hi = 0, n-1
			x = (v + 1) / 2 * (n - 1)
		}
		if math.IsNaN(x) || math.Abs(x) > 1<<40 {
			x = -1 << 40
		}
		if s.mode == "nearest" {
			x = math.RoundToEven(x)
		}
		if x < lo || x > hi {
			switch {
			case s.padding == "border" && s.mode != "cubic": // which clamps each of its taps
				x = min(max(x, 0), n-1)
			case s.padding == "reflection":
				x = reflect(x, lo, hi)
			}
		}
		switch s.mode {
		case "nearest":
			s.along(i, int(x), []float64{1}, lo, hi)
		case "cubic":
			f := math.Floor(x)
			w := cubic(x - f)
			s.along(i, int(f)-1, w[:], lo, hi)
		default:
			f := math.Floor(x)
			s.along(i, int(f), []float64{1 - (x - f), x - f}, lo, hi)
		}
	}
}

// along multiplies the taps by those along one axis.
func (s *sampler) along(axis, from int, w []float64, lo, hi float64) {
	n, old := s.size[axis], len(s.taps)
	for k, weight := range w {
		at := from + k
		switch {
		case at >= 0 && at < n:
		case s.padding == "border":
			at = min(max(at, 0), n-1)
		case s.padding == "reflection":
			at = min(max(int(reflect(float64(at), lo, hi)), 0), n-1)
		default:
			continue
		}
		for _, t := range s.taps[:old] {
			s.taps = append(s.taps, sample{t.at + at*s.stride[axis], t.weight * weight})
		}
	}
	s.taps = append(s.taps[:0], s.taps[old:]...)
}

// reflect mirrors x at lo and hi until it lies between them.
func reflect(x, lo, hi float64) float64 {
	span := hi - lo
	if span <= 0 {
		return lo
	}
	d := math.Abs(x - lo)
	turns := math.Floor(d / span)
	r := d - turns*span
	if math.Mod(turns, 2) == 0 {
		return lo + r
	}
	return hi - r
}

// cubic are the weights of Keys (1981) with a = -0.75 of the elements at -1, 0, 1, 2 for a place at t in [0, 1).
func cubic(t float64) [4]float64 {
	const a = -0.75
	near := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
	far := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
	return [4]float64{far(t + 1), near(t), near(1 - t), far(2 - t)}
}

// RoiAlign pools regions [x1, y1, x2, y2] of pictures x [n, c, h, w] into output_height x output_width cells, each from samples
// between pixels (He et al., Mask R-CNN, 2017). Operands x, regions [r, 4], index of the picture of each region.
var RoiAlign = host.Fn{Name: "spatial.roi_align", Run: func(c *host.Call) error {
	x, rois, batch := c.In[0], c.In[1], c.In[2]
	if len(x.Shape) != 4 || len(rois.Shape) != 2 || rois.Shape[1] != 4 || batch.Len() != rois.Shape[0] {
		return fmt.Errorf("shapes %v, %v, %v", x.Shape, rois.Shape, batch.Shape)
	}
	oh, ow := int(c.Attrs.Int("output_height", 1)), int(c.Attrs.Int("output_width", 1))
	ch, h, w := x.Shape[1], x.Shape[2], x.Shape[3]
	y, err := c.Out(0, rois.Shape[0], ch, oh, ow)
	if err != nil || y.Len() == 0 {
		return err
	}
	if h == 0 || w == 0 {
		return fmt.Errorf("pictures of shape %v have no elements", x.Shape)
	}
	read, write := host.Reader(x), host.Writer(y)
	r := roi{scale: c.Attrs.Float("spatial_scale", 1), half: c.Attrs.Bool("half_pixel"), ratio: int(c.Attrs.Int("sampling_ratio", 0)), h: h, w: w}
	largest := c.Attrs.Str("mode", "avg") == "max"
	for i := range rois.Shape[0] {
		n := batch.Int(i)
		if n < 0 || n >= int64(x.Shape[0]) {
			return fmt.Errorf("region %d is of picture %d of %d", i, n, x.Shape[0])
		}
		if err := r.region(rois, i, oh, ow); err != nil {
			return err
		}
		for p := range oh * ow {
			samples := r.cell(p/ow, p%ow)
			for k := range ch {
				base, sum, top := (int(n)*ch+k)*h*w, 0.0, math.Inf(-1)
				for _, t := range samples {
					v := t.weight * read(base+t.at)
					sum += v
					top = max(top, v)
				}
				v := sum / float64(max(r.gridH*r.gridW, 1))
				if largest {
					if v = top; len(samples) == 0 {
						v = 0
					}
				}
				write(((i*ch+k)*oh+p/ow)*ow+p%ow, v)
			}
		}
	}
	return nil
}}

// RoiPool takes the largest elements of regions of pictures x [n, c, h, w] in output_height x output_width cells (Girshick, Fast
// R-CNN, 2015). Operand 1 lists a region a row: the index of its picture, then x1, y1, x2, y2, both ends included.
var RoiPool = host.Fn{Name: "spatial.roi_pool", Run: func(c *host.Call) error {
	x, rois := c.In[0], c.In[1]
	if len(x.Shape) != 4 || len(rois.Shape) != 2 || rois.Shape[1] != 5 {
		return fmt.Errorf("shapes %v, %v", x.Shape, rois.Shape)
	}
	oh, ow, scale := int(c.Attrs.Int("output_height", 1)), int(c.Attrs.Int("output_width", 1)), c.Attrs.Float("spatial_scale", 1)
	ch, h, w := x.Shape[1], x.Shape[2], x.Shape[3]
	y, err := c.Out(0, rois.Shape[0], ch, oh, ow)
	if err != nil {
		return err
	}
	read, write := host.Reader(x), host.Writer(y)
	for r := range rois.Shape[0] {
		n := rois.Float(5 * r)
		if !(n >= 0 && n < float64(x.Shape[0])) {
			return fmt.Errorf("region %d is of picture %v of %d", r, n, x.Shape[0])
		}
		var v [4]float64
		for k := range v {
			v[k] = math.Round(rois.Float(5*r+1+k) * scale)
		}
		for p := range oh * ow {
			top, bottom := cellSpan(v[1], v[3], p/ow, oh, h)
			left, right := cellSpan(v[0], v[2], p%ow, ow, w)
			for k := range ch {
				at, most := (int(n)*ch+k)*h*w, math.Inf(-1)
				for i := top; i < bottom; i++ {
					for j := left; j < right; j++ {
						most = max(most, read(at+i*w+j))
					}
				}
				if top >= bottom || left >= right {
					most = 0
				}
				write(((r*ch+k)*oh+p/ow)*ow+p%ow, most)
			}
		}
	}
	return nil
}}

// cellSpan is the elements of n that lie in cell i of cells between two ends, both included.
func cellSpan(from, to float64, i, cells, n int) (begin, end int) {
	width := max(to-from+1, 1) / float64(cells)
	clamp := func(v float64) int { return int(max(0, min(float64(n), v))) }
	return clamp(from + math.Floor(float64(i)*width)), clamp(from + math.Ceil(float64(i+1)*width))
}

// roi is a region being sampled.
type roi struct {
	scale        float64
	half         bool
	ratio, h, w  int
	y, x         float64 // where it begins
	binH, binW   float64
	gridH, gridW int
	taps         []sample
}

const maxSamples = 1 << 9 // of a cell, along one axis

func (r *roi) region(rois *tensor.Tensor, i, oh, ow int) error {
	offset := 0.0
	if r.half {
		offset = 0.5
	}
	var v [4]float64
	for k := range v {
		v[k] = rois.Float(4*i+k)*r.scale - offset
	}
	w, h := v[2]-v[0], v[3]-v[1]
	if !r.half {
		w, h = max(w, 1), max(h, 1)
	}
	r.x, r.y = v[0], v[1]
	r.binH, r.binW = h/float64(oh), w/float64(ow)
	r.gridH, r.gridW = r.ratio, r.ratio
	if r.ratio <= 0 {
		gh, gw := math.Ceil(r.binH), math.Ceil(r.binW)
		if !(gh <= maxSamples && gw <= maxSamples) {
			return fmt.Errorf("region %d is %v by %v", i, w, h)
		}
		r.gridH, r.gridW = int(max(gh, 0)), int(max(gw, 0))
	}
	return nil
}

// cell lists the pixels around the samples of a cell, with the weights of linear interpolation.
func (r *roi) cell(ph, pw int) []sample {
	r.taps = r.taps[:0]
	for iy := range r.gridH {
		y := r.y + float64(ph)*r.binH + (float64(iy)+0.5)*r.binH/float64(r.gridH)
		for ix := range r.gridW {
			x := r.x + float64(pw)*r.binW + (float64(ix)+0.5)*r.binW/float64(r.gridW)
			if !(y >= -1 && y <= float64(r.h) && x >= -1 && x <= float64(r.w)) {
				r.taps = append(r.taps, sample{0, 0})
				continue
			}
			y0, y1, ly := between(y, r.h)
			x0, x1, lx := between(x, r.w)
			r.taps = append(r.taps, sample{y0*r.w + x0, (1 - ly) * (1 - lx)}, sample{y0*r.w + x1, (1 - ly) * lx},
				sample{y1*r.w + x0, ly * (1 - lx)}, sample{y1*r.w + x1, ly * lx})
		}
	}
	return r.taps
}

// between are the elements on both sides of a place, and how far from the first one it lies.
func between(v float64, n int) (lo, hi int, part float64) {
	v = max(v, 0)
	lo = int(v)
	if lo >= n-1 {
		return n - 1, n - 1, 0
	}
	return lo, lo + 1, v - float64(lo)
}
