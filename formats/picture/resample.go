package picture

import "math"

// raster is a picture of c interleaved 8-bit channels.
type raster struct {
	w, h, c int
	pix     []byte
}

func newRaster(w, h, c int) *raster { return &raster{w, h, c, make([]byte, w*h*c)} }

// region copies a part, which lies inside.
func (r *raster) region(x, y, w, h int) *raster {
	if x == 0 && y == 0 && w == r.w && h == r.h {
		return r
	}
	out := newRaster(w, h, r.c)
	for i := range h {
		copy(out.pix[i*w*r.c:(i+1)*w*r.c], r.pix[((y+i)*r.w+x)*r.c:])
	}
	return out
}

// kernel is a filter with its radius in source pixels at a reduction of 1.
type kernel struct {
	radius float64
	widen  bool // with the reduction, so that every source pixel counts
	weight func(x float64) float64
}

var kernels = map[Filter]kernel{
	Bilinear: {1, true, triangle},
	Linear:   {1, false, triangle},
	Bicubic:  {2, true, cubic},
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

// cubic is the interpolation kernel of Keys (1981) with a = -0.5. The conversions keep compilers from fusing
// multiplications with additions, which would round differently.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64(float64(float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return float64(float64(float64(float64(float64(x-5)*x)+8)*x)-4) * a
	}
	return 0
}

// Weights are fixed-point numbers of 22 fractional bits: 8 bits of pixel and 2 of headroom fill the rest of 32.
const weightBits = 32 - 8 - 2

// tap is the weights of the source pixels that make up one destination pixel.
type tap struct {
	from    int
	weights []int32
}

// taps computes the weights of one axis: the filter is centred on the destination pixel's centre in the source,
// sampled at the source pixels' centres, cut off at the border and normalised to 1.
func taps(k kernel, from, to int) []tap {
	ratio := float64(from) / float64(to)
	stretch := 1.0
	if k.widen {
		stretch = max(ratio, 1)
	}
	radius := float64(k.radius * stretch)
	out := make([]tap, to)
	raw := make([]float64, 2*int(math.Ceil(radius))+1)
	for i := range out {
		centre := float64((float64(i) + 0.5) * ratio)
		lo := max(int(centre-radius+0.5), 0)
		hi := min(int(centre+radius+0.5), from)
		n, sum := hi-lo, 0.0
		for j := range n {
			raw[j] = k.weight(float64((float64(lo+j) - centre + 0.5) * float64(1/stretch)))
			sum += raw[j]
		}
		w := make([]int32, n)
		for j := range w {
			v := raw[j]
			if sum != 0 {
				v /= sum
			}
			w[j] = int32(math.Trunc(float64(v*(1<<weightBits)) + math.Copysign(0.5, v)))
		}
		out[i] = tap{lo, w}
	}
	return out
}

// resize resamples to w by h: rows first, rounded to 8 bits, then columns. An axis that keeps its extent is not
// touched.
func (r *raster) resize(w, h int, f Filter) *raster {
	if f == Nearest {
		return r.nearest(w, h)
	}
	k, ok := kernels[f]
	if !ok {
		k = kernels[Bilinear]
	}
	if w != r.w {
		r = r.pass(taps(k, r.w, w), w, r.h, r.c, true)
	}
	if h != r.h {
		r = r.pass(taps(k, r.h, h), r.w, h, r.w*r.c, false)
	}
	return r
}

// pass applies taps along x or along y; step is the distance of neighbours on that axis.
func (r *raster) pass(taps []tap, w, h, step int, alongX bool) *raster {
	out := newRaster(w, h, r.c)
	at := 0
	for y := range h {
		for x := range w {
			i, base := y, x*r.c
			if alongX {
				i, base = x, y*r.w*r.c
			}
			t := taps[i]
			base += t.from * step
			for ch := range r.c {
				sum := int32(1 << (weightBits - 1))
				p := base + ch
				for _, weight := range t.weights {
					sum += int32(r.pix[p]) * weight
					p += step
				}
				out.pix[at] = byte(min(max(sum>>weightBits, 0), 255))
				at++
			}
		}
	}
	return out
}

func (r *raster) nearest(w, h int) *raster {
	out := newRaster(w, h, r.c)
	for y := range h {
		sy := min(int((float64(y)+0.5)*float64(r.h)/float64(h)), r.h-1)
		for x := range w {
			sx := min(int((float64(x)+0.5)*float64(r.w)/float64(w)), r.w-1)
			copy(out.pix[(y*w+x)*r.c:][:r.c], r.pix[(sy*r.w+sx)*r.c:])
		}
	}
	return out
}
