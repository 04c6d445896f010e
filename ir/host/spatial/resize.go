package spatial

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Resize samples x at a grid of other extents, axis by axis. Operands x, roi?, scales?, sizes? (of the axes that the
// attribute axes lists, or of all); the attributes are those of ONNX Resize 19,
// whose length of a result is in*scale, and whole_length: before that it was the extent, rounded down. Elements outside count as those of the
// edge; in the mode tf_crop_and_resize whatever lies outside is extrapolation_value.
var Resize = host.Fn{Name: "spatial.resize", Run: func(c *host.Call) error {
	x := c.In[0]
	if x.Elem.Bits() == 0 || x.Elem.IsComplex() {
		return fmt.Errorf("element type %v", x.Elem)
	}
	r, err := newResize(c)
	if err != nil {
		return err
	}
	shape := append([]int(nil), x.Shape...)
	for i := range r.axes {
		shape[r.axes[i].axis] = r.axes[i].out
	}
	y, err := c.Out(0, shape...)
	if err != nil || y.Len() == 0 {
		return err
	}
	for i := range r.axes {
		if err := r.fill(&r.axes[i]); err != nil {
			return err
		}
	}
	if c.Attrs.Str("mode", "nearest") == "nearest" {
		r.nearest(x, y)
		return nil
	}
	return r.linear(c, x, y)
}}

// resampled is one axis: its extents, and for each result position the input positions and weights that make it.
type resampled struct {
	axis, in, out int
	scale         float64
	lo, hi        float64 // the region of interest, in [0, 1]
	taps          [][]tap
	outside       []bool // result positions that the extrapolation value fills
}

type tap struct {
	at int
	w  float64
}

type resize struct {
	axes                     []resampled
	transform, mode, nearMod string
	antialias, exclude       bool
	whole                    bool // the length of a result is its extent
	a, extrapolation         float64
}

func newResize(c *host.Call) (*resize, error) {
	x := c.In[0]
	r := &resize{transform: c.Attrs.Str("coordinate_transformation_mode", "half_pixel"), mode: c.Attrs.Str("mode", "nearest"),
		nearMod: c.Attrs.Str("nearest_mode", "round_prefer_floor"), antialias: c.Attrs.Bool("antialias"), exclude: c.Attrs.Bool("exclude_outside"), whole: c.Attrs.Bool("whole_length"),
		a: c.Attrs.Float("cubic_coeff_a", -0.75), extrapolation: c.Attrs.Float("extrapolation_value", 0)}
	axes := c.Attrs.Ints("axes")
	if _, ok := c.Attrs.Get("axes"); !ok || len(axes) == 0 {
		for i := range x.Shape {
			axes = append(axes, int64(i))
		}
	}
	present := func(i int) *tensor.Tensor {
		if t := operand(c, i); t != nil && t.Len() > 0 {
			return t
		}
		return nil
	}
	roi, scales, sizes := present(1), present(2), present(3)
	if (scales == nil) == (sizes == nil) {
		return nil, fmt.Errorf("want scales or sizes")
	}
	n := len(axes)
	if scales != nil && scales.Len() != n || sizes != nil && sizes.Len() != n || roi != nil && roi.Len() != 2*n && r.transform == "tf_crop_and_resize" {
		return nil, fmt.Errorf("want %d scales or sizes", n)
	}
	for i, a := range axes {
		axis, err := host.Axis(a, len(x.Shape))
		if err != nil {
			return nil, err
		}
		p := resampled{axis: axis, in: x.Shape[axis], hi: 1}
		if roi != nil && r.transform == "tf_crop_and_resize" {
			p.lo, p.hi = roi.Float(i), roi.Float(n+i)
		}
		if scales != nil {
			if p.scale = scales.Float(i); !(p.scale > 0) {
				return nil, fmt.Errorf("scale %v", p.scale)
			}
			if f := ScaledExtent(p.in, p.scale); f < 1<<40 {
				p.out = int(f)
			} else {
				return nil, fmt.Errorf("axis %d: extent %v", axis, f)
			}
		} else if v := sizes.Int(i); v >= 0 && v < 1<<40 {
			p.out = int(v)
			p.scale = float64(v) / float64(max(p.in, 1))
		} else {
			return nil, fmt.Errorf("size %d", v)
		}
		r.axes = append(r.axes, p)
	}
	if sizes != nil {
		r.keepAspect(c.Attrs.Str("keep_aspect_ratio_policy", "stretch"))
	}
	return r, nil
}

// keepAspect gives every axis the smallest or the largest scale.
func (r *resize) keepAspect(policy string) {
	if policy == "stretch" || len(r.axes) == 0 {
		return
	}
	s := r.axes[0].scale
	for _, p := range r.axes {
		if policy == "not_larger" {
			s = min(s, p.scale)
		} else {
			s = max(s, p.scale)
		}
	}
	for i := range r.axes {
		r.axes[i].scale, r.axes[i].out = s, AspectExtent(r.axes[i].in, s)
	}
}

// ScaledExtent is an extent scaled and rounded down; the product is one of f32, so that 0.7 of 10 is 7.
func ScaledExtent(in int, scale float64) float64 {
	return math.Floor(float64(float32(scale) * float32(in)))
}

// AspectExtent is an extent scaled and rounded, halves up.
func AspectExtent(in int, scale float64) int { return int(math.Floor(scale*float64(in) + 0.5)) }

// source is the input position that a result position means; ok is false where it lies outside the region that counts.
func source[F float32 | float64](r *resize, p *resampled, q int) (v F, ok bool) {
	f, in, scale := F(q), F(p.in), F(p.scale)
	length, lo, hi := scale*in, F(p.lo), F(p.hi)
	if r.whole {
		length = F(p.out)
	}
	switch r.transform {
	case "align_corners":
		if length == 1 {
			return 0, true
		}
		return f * (in - 1) / (length - 1), true
	case "asymmetric":
		return f / scale, true
	case "tf_crop_and_resize":
		if length == 1 {
			v = (hi - lo) * (in - 1) / 2
		} else {
			v = f * (hi - lo) * (in - 1) / (length - 1)
		}
		v += lo * (in - 1)
		return v, v >= 0 && v <= in-1
	case "pytorch_half_pixel":
		if p.out == 1 {
			return 0, true
		}
	case "half_pixel_symmetric":
		return in/2*(1-F(p.out)/length) + (f+0.5)/scale - 0.5, true
	}
	return (f+0.5)/scale - 0.5, true
}

// fill finds in positions and weights. An axis that stays as it is has none.
func (r *resize) fill(p *resampled) error {
	if p.in == p.out && p.scale == 1 && p.lo == 0 && p.hi == 1 {
		return nil
	}
	if p.in == 0 {
		return fmt.Errorf("axis %d is empty and would have %d elements", p.axis, p.out)
	}
	p.taps, p.outside = make([][]tap, p.out), make([]bool, p.out)
	for q := range p.taps {
		v, ok := source[float64](r, p, q)
		if r.mode == "nearest" { // in the precision of the scales: 7/0.7 is 10 then, and no less
			var w float32
			w, ok = source[float32](r, p, q)
			v = float64(w)
		}
		p.outside[q] = !ok
		if !ok || math.IsNaN(v) {
			p.taps[q] = []tap{{0, 0}}
			continue
		}
		p.taps[q] = r.around(p, v)
	}
	return nil
}

// around is the taps at an input position.
func (r *resize) around(p *resampled, v float64) []tap {
	clamp := func(i float64) int { return int(max(0, min(float64(p.in-1), i))) }
	if r.mode == "nearest" {
		f := math.Floor(v)
		d := v - f
		up := false
		switch r.nearMod {
		case "round_prefer_ceil":
			up = d >= 0.5
		case "floor":
		case "ceil":
			up = d > 0
		case "shrink_ceil":
			up = d > 0 && p.scale < 1
		default:
			up = d > 0.5
		}
		if up {
			f++
		}
		return []tap{{clamp(f), 1}}
	}
	s, reach := 1.0, 1.0
	if r.antialias {
		s = min(p.scale, 1)
	}
	weight := func(d float64) float64 { return max(0, 1-d) }
	if r.mode == "cubic" {
		reach, weight = 2, r.cubic
	}
	var l []tap
	sum := 0.0
	for i := math.Floor(v - reach/s); i <= math.Ceil(v+reach/s); i++ {
		w := weight(math.Abs(i-v) * s)
		if w == 0 || r.exclude && (i < 0 || i >= float64(p.in)) {
			continue
		}
		sum += w
		l = append(l, tap{clamp(i), w})
	}
	if len(l) == 0 {
		return []tap{{clamp(v), 1}}
	}
	if r.exclude || r.antialias {
		for i := range l {
			l[i].w /= sum
		}
	}
	return l
}

// cubic is Keys' convolution kernel (Cubic convolution interpolation for digital image processing, 1981).
func (r *resize) cubic(d float64) float64 {
	switch a := r.a; {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

func (r *resize) nearest(x, y *tensor.Tensor) {
	from := make([][]int, len(y.Shape))
	stride := tensor.Strides(x.Shape)
	out := make([][]bool, len(y.Shape))
	for i := range r.axes {
		p := &r.axes[i]
		out[p.axis] = p.outside
		for _, t := range p.taps {
			from[p.axis] = append(from[p.axis], t[0].at*stride[p.axis])
		}
	}
	idx := make([]int, len(y.Shape))
	w := x.Elem.Bits() / 8
	i := 0
	for ok := true; ok; ok = host.Next(idx, y.Shape) {
		at, outside := 0, false
		for a, q := range idx {
			if from[a] == nil {
				at += q * stride[a]
				continue
			}
			at += from[a][q]
			outside = outside || out[a][q]
		}
		switch {
		case outside:
			y.SetFloat(i, r.extrapolation)
		case w > 0:
			copy(y.Data[i*w:(i+1)*w], x.Data[at*w:])
		default:
			y.SetBits(i, x.Bits(at))
		}
		i++
	}
}

// linear combines along one axis after the other.
func (r *resize) linear(c *host.Call, x, y *tensor.Tensor) error {
	v, err := floats(c, x)
	if err != nil {
		return err
	}
	shape := append([]int(nil), x.Shape...)
	for i := range r.axes {
		p := &r.axes[i]
		if p.taps == nil {
			continue
		}
		outer, inner := host.Product(shape[:p.axis]), host.Product(shape[p.axis+1:])
		if err := c.Temp(8 * int64(outer*inner*p.out)); err != nil {
			return err
		}
		to := make([]float64, outer*inner*p.out)
		for o := range outer {
			for q, taps := range p.taps {
				row := to[(o*p.out+q)*inner:][:inner]
				for _, t := range taps {
					for k, f := range v[(o*p.in+t.at)*inner:][:inner] {
						row[k] += t.w * f
					}
				}
			}
		}
		v, shape[p.axis] = to, p.out
	}
	out := make([][]bool, len(y.Shape))
	for i := range r.axes {
		out[r.axes[i].axis] = r.axes[i].outside
	}
	idx, i := make([]int, len(y.Shape)), 0
	for ok := true; ok; ok = host.Next(idx, y.Shape) {
		f := v[i]
		for a, q := range idx {
			if out[a] != nil && out[a][q] {
				f = r.extrapolation
			}
		}
		y.SetFloat(i, f)
		i++
	}
	return nil
}
