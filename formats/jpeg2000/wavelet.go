package jpeg2000

// lanes is how many lines are transformed at a time.
const lanes = 16

// sample is what a wavelet computes in: integers for 5/3, floats for 9/7.
type sample interface{ int32 | float32 }

// inverseWavelet undoes all decompositions of a component (F.3.1) in place: data holds low frequencies before high ones in both directions.
func inverseWavelet[T sample](data []T, resolutions []*resolution, lift func(line []T, odd bool)) {
	stride := resolutions[len(resolutions)-1].width()
	for i := 1; i < len(resolutions); i++ {
		low, r := resolutions[i-1], resolutions[i]
		buf := make([]T, lanes*max(r.width(), r.height()))
		synthesise(data, buf, lift, direction{low.width(), r.width(), r.x0%2 != 0, 1}, direction{n: r.height(), step: stride})
		synthesise(data, buf, lift, direction{low.height(), r.height(), r.y0%2 != 0, stride}, direction{n: r.width(), step: 1})
	}
}

// direction is one direction of an array.
type direction struct {
	low, n int  // low frequencies; samples
	odd    bool // the first sample is a high frequency
	step   int  // from a sample to the next in memory
}

// synthesise undoes one decomposition along one direction, several lines together (F.3.4, F.3.5).
func synthesise[T sample](data, buf []T, lift func(line []T, odd bool), along, across direction) {
	first := 0 // place of the first low frequency
	if along.odd {
		first = 1
	}
	for line := 0; line < across.n; line += lanes {
		block := data[line*across.step:]
		n := min(lanes, across.n-line)
		for i := range along.n {
			to := first + 2*i
			if i >= along.low {
				to = 1 - first + 2*(i-along.low)
			}
			for j := range n {
				buf[to*lanes+j] = block[i*along.step+j*across.step]
			}
		}
		lift(buf[:along.n*lanes], along.odd)
		for i := range along.n {
			for j := range n {
				block[i*along.step+j*across.step] = buf[i*lanes+j]
			}
		}
	}
}

// liftEach calls f for every second sample from the given one with its neighbours, those of the borders mirrored (F.3.7).
func liftEach[T sample](line []T, from int, f func(x, left, right *[lanes]T)) {
	n := len(line) / lanes
	at := func(i int) *[lanes]T { return (*[lanes]T)(line[i*lanes:]) }
	for i := from; i < n; i += 2 {
		left, right := i-1, i+1
		if left < 0 {
			left = right
		}
		if right >= n {
			right = left
		}
		f(at(i), at(left), at(right))
	}
}

// lift53 is the reversible filter (F.3.8.1).
func lift53(line []int32, odd bool) {
	even := 0
	if odd {
		even = 1
	}
	if len(line) == lanes { // one sample, of either kind
		for j := range line {
			line[j] /= int32(1 + even)
		}
		return
	}
	liftEach(line, even, func(x, left, right *[lanes]int32) {
		for j := range x {
			x[j] -= (left[j] + right[j] + 2) >> 2
		}
	})
	liftEach(line, 1-even, func(x, left, right *[lanes]int32) {
		for j := range x {
			x[j] += (left[j] + right[j]) >> 1
		}
	})
}

// Parameters of the irreversible filter (Table F.4).
const (
	alpha = -1.586134342
	beta  = -0.052980118
	gamma = 0.882911075
	delta = 0.443506852
	scale = 1.230174105 // K
	// twoOverK is 2/K as OpenJPEG has it, 0.003 percent too small: pictures are compared with what it decodes. The factor 2 is the
	// gain of high frequencies that quantisation steps leave out here.
	twoOverK = 1.625732422
)

// lift97 is the irreversible filter (F.3.8.2).
func lift97(line []float32, odd bool) {
	if len(line) == lanes { // one sample: half of one that stands for a high frequency, whose gain of 2 is left out here
		return
	}
	even := 0
	if odd {
		even = 1
	}
	for i := range line {
		if (i/lanes)%2 == even {
			line[i] *= scale
		} else {
			line[i] *= twoOverK
		}
	}
	for i, c := range [4]float32{delta, gamma, beta, alpha} {
		liftEach(line, even^i&1, func(x, left, right *[lanes]float32) {
			for j := range x {
				x[j] -= float32((left[j] + right[j]) * c) // rounded: no product joins a sum
			}
		})
	}
}
