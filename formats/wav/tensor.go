package wav

import (
	"errors"
	"fmt"
	"math"

	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// ErrTarget is what errors.Is finds where a model's input does not take the sound.
var ErrTarget = errors.New("input does not take this sound")

// Options say how a sound becomes a tensor. The zero value takes all of it as it is, so that nothing is resampled,
// mixed, filled up or cut off without being asked for.
type Options struct {
	Rate    int  `json:"rate,omitempty"`    // samples a second that the file must have; 0: any
	Mono    bool `json:"mono,omitempty"`    // the mean of all channels
	Samples int  `json:"samples,omitempty"` // of each channel: more are cut off, and zeros fill up; 0: those of the file
}

// ParseOptions reads options from JSON, such as {"rate": 16000, "mono": true}. Unknown fields are errors.
func ParseOptions(data []byte) (Options, error) {
	var o Options
	if err := input.ParseOptions(data, &o); err != nil {
		return Options{}, fmt.Errorf("sound options: %w", err)
	}
	return o, o.Validate()
}

// maxSamples bounds what is filled up with zeros.
const maxSamples = 1 << 28

// Validate reports the first option that is out of range.
func (o Options) Validate() error {
	if o.Rate < 0 {
		return fmt.Errorf("sound options: rate: want 0 or more, got %d", o.Rate)
	}
	if o.Samples < 0 || o.Samples > maxSamples {
		return fmt.Errorf("sound options: samples: want 0 to %d, got %d", maxSamples, o.Samples)
	}
	return nil
}

// Tensor makes the tensor that the target wants: floats from -1 to 1, or the file's own integers where the target has
// their type (u8, i16, i32). Time is the target's longest axis where that is too long for channels, else the last that is
// open; channels take an axis of their number, or an open one behind the first; all other axes are 1. A target without a
// shape takes [samples], or [channels, samples]; without an element type, f32.
func (s *Sound) Tensor(o Options, target input.Target) (*tensor.Tensor, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Rate > 0 && o.Rate != s.Rate {
		return nil, fmt.Errorf("%d samples a second, want %d: resample the file first: %w", s.Rate, o.Rate, ErrTarget)
	}
	if target.Elem == dtype.Invalid {
		target.Elem = dtype.F32
	}
	value, err := s.values(target.Elem)
	if err != nil {
		return nil, err
	}
	channels, n := s.Channels, s.Len()
	if o.Mono {
		channels = 1
	}
	if o.Samples > 0 {
		n = o.Samples
	}
	if n > maxSamples/channels && n > s.Len() {
		return nil, fmt.Errorf("%d samples of %d channels: %w", n, channels, ErrTarget)
	}
	if len(target.Shape) == 0 {
		target.Shape = []input.Extent{{Size: channels}, {Open: true}}
		if channels == 1 {
			target.Shape = target.Shape[1:]
		}
	}
	time, across, err := axes(target, channels)
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(target.Shape))
	for i, e := range target.Shape {
		switch {
		case i == time && !e.Open && e.Size != n:
			return nil, fmt.Errorf("%d samples, and %v takes %d; with samples %d they are cut or filled up: %w", n, target, e.Size, e.Size, ErrTarget)
		case i == time:
			shape[i] = n
		case i == across:
			shape[i] = channels
		default:
			shape[i] = 1
		}
	}
	t := tensor.New(target.Elem, shape...)
	set := t.SetFloat
	if !target.Elem.IsFloat() {
		set = func(i int, v float64) { t.SetInt(i, int64(math.RoundToEven(v))) }
		if target.Elem == dtype.U8 {
			for i := range t.Data {
				t.Data[i] = 128 // silence
			}
		}
	}
	for c := range channels {
		for i := range min(n, s.Len()) {
			at := c*n + i
			if across > time {
				at = i*channels + c
			}
			set(at, value(i, c, o.Mono))
		}
	}
	return t, nil
}

// values are the samples for an element type, by position and channel, or the mean of all channels.
func (s *Sound) values(elem dtype.Type) (func(i, c int, mono bool) float64, error) {
	sample := s.Sample
	if !elem.IsFloat() {
		own := map[int]dtype.Type{8: dtype.U8, 16: dtype.I16, 32: dtype.I32}[s.Bits]
		if s.Float || own != elem {
			return nil, fmt.Errorf("%s into %v: %w", s.form(), elem, ErrTarget)
		}
		sample = s.number
	}
	return func(i, c int, mono bool) float64 {
		if !mono {
			return sample(i, c)
		}
		sum := 0.0
		for c := range s.Channels {
			sum += sample(i, c)
		}
		return sum / float64(s.Channels)
	}, nil
}

func (s *Sound) form() string {
	if s.Float {
		return fmt.Sprintf("floats of %d bits", s.Bits)
	}
	return fmt.Sprintf("integers of %d bits", s.Bits)
}

// axes finds the axis of time and that of channels, -1 where there is none.
func axes(target input.Target, channels int) (time, across int, err error) {
	time, across = -1, -1
	open := -1
	for i, e := range target.Shape {
		switch {
		case e.Open:
			open = i
		case time < 0 || e.Size > target.Shape[time].Size:
			time = i
		}
	}
	if open >= 0 && (time < 0 || target.Shape[time].Size <= maxChannels) {
		time = open
	}
	for i, e := range target.Shape {
		if i != time && channels > 1 && (!e.Open && e.Size == channels || e.Open && i > 0 && across < 0) {
			across = i
		}
	}
	if channels > 1 && across < 0 {
		return 0, 0, fmt.Errorf("%d channels, and %v has no place for them; mono mixes them: %w", channels, target, ErrTarget)
	}
	for i, e := range target.Shape {
		if i != time && i != across && !e.Open && e.Size != 1 {
			return 0, 0, fmt.Errorf("%d channels, and axis %d of %v: %w", channels, i, target, ErrTarget)
		}
	}
	return time, across, nil
}
