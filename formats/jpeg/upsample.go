package jpeg

// upsampler brings a component to the size of the picture as libjpeg does: where it has half the samples, they are interpolated
// linearly, for samples lie centred between those of the larger components; other ratios repeat samples.
type upsampler struct {
	*component
	across, down int
	tall         bool  // rows are interpolated
	sums         []int // a row, before it is interpolated across
	out          []byte
}

func newUpsampler(f *frame, c *component) upsampler {
	u := upsampler{component: c, across: f.maxH / c.h, down: f.maxV / c.v}
	u.tall = u.down == 2 && (u.across == 1 || u.across == 2 && c.width > 2)
	u.sums = make([]int, c.width)
	u.out = make([]byte, c.width*u.across)
	return u
}

// row is row y of the picture.
func (u *upsampler) row(y int) []byte {
	near := u.line(y / u.down)
	far := near
	if u.tall {
		far = u.line(min(max(y/2+2*(y&1)-1, 0), u.height-1))
	}
	switch {
	case u.across == 1 && u.down == 1:
		return near
	case u.across == 1 && u.tall:
		for x := range near {
			u.out[x] = byte((3*int(near[x]) + int(far[x]) + 1 + y&1) >> 2)
		}
	case u.across == 2 && u.tall:
		for x := range near {
			u.sums[x] = 3*int(near[x]) + int(far[x])
		}
		u.widen(4, 8, 7)
	case u.across == 2 && u.down == 1 && u.width > 2:
		for x := range near {
			u.sums[x] = int(near[x])
		}
		u.widen(2, 1, 2)
	default:
		for x := range u.out {
			u.out[x] = near[x/u.across]
		}
	}
	return u.out
}

// line is a row of samples.
func (u *upsampler) line(y int) []byte {
	at := y * 8 * u.blocksX
	return u.pix[at : at+u.width]
}

// widen makes two pixels of each sum: 3/4 of it and 1/4 of its neighbour on that side, with what rounds them, and n bits less.
func (u *upsampler) widen(n, left, right int) {
	last := len(u.sums) - 1
	for x, v := range u.sums {
		u.out[2*x] = byte((3*v + u.sums[max(x-1, 0)] + left) >> n)
		u.out[2*x+1] = byte((3*v + u.sums[min(x+1, last)] + right) >> n)
	}
}
