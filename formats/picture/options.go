package picture

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/llmc-go/llmc/formats/input"
)

// Resize says how a picture comes to the size that is wanted.
type Resize string

// The ways to resize. Stretch is the zero value's meaning.
const (
	Stretch   Resize = "stretch"   // both sides, without keeping the ratio
	Letterbox Resize = "letterbox" // keep the ratio, fit inside, fill the rest with Options.Fill
	Crop      Resize = "crop"      // keep the ratio, cover, cut off what stands out; see Options.ShortSide
)

// Filter is a resampling filter. Bilinear is the zero value's meaning.
type Filter string

// The filters. Bilinear and Bicubic widen with the reduction, as Pillow does, and give Pillow's bytes.
const (
	Bilinear Filter = "bilinear" // triangle
	Bicubic  Filter = "bicubic"  // Keys' cubic with a = -0.5
	Linear   Filter = "linear"   // two neighbours whatever the reduction, as OpenCV's INTER_LINEAR
	Nearest  Filter = "nearest"
)

// Order is the order of channels in the tensor.
type Order string

// The channel orders. The zero value means GRAY where the model takes one channel, else RGB.
const (
	RGB  Order = "rgb"
	BGR  Order = "bgr"
	GRAY Order = "gray" // luma of ITU-R BT.601
)

// Layout is the order of axes.
type Layout string

// The layouts; the batch axis may be missing. The zero value means the one in which the channels fit.
const (
	NCHW Layout = "nchw"
	NHWC Layout = "nhwc"
)

// Options say how a picture becomes a tensor. The zero value takes the size from the model, stretches with the
// bilinear filter, and gives RGB (or grey) from 0 to 1.
//
// The steps, in this order: Region, grey where wanted, resize, Order, (value/Scale - Mean) / Std, Layout.
type Options struct {
	Width     int     `json:"width,omitempty"`      // 0: from the model
	Height    int     `json:"height,omitempty"`     // 0: from the model
	Region    [4]int  `json:"region,omitzero"`      // x, y, width, height of the part to use; zero: all
	Resize    Resize  `json:"resize,omitempty"`     //
	ShortSide int     `json:"short_side,omitempty"` // for Crop: resize the short side to this, then cut from the centre; 0: cut the centre, then resize
	Corner    bool    `json:"corner,omitempty"`     // for Letterbox: place at the top left, not in the middle
	Fill      [3]int  `json:"fill,omitzero"`        // for Letterbox: 0..255, in the order of the tensor's channels
	Filter    Filter  `json:"filter,omitempty"`
	Scale     float64 `json:"scale,omitempty"` // values 0..255 are divided by it; 0: 255
	Mean      Triple  `json:"mean,omitzero"`   // in the order of the tensor's channels, after the division
	Std       Triple  `json:"std,omitzero"`    // the same; 0: 1
	Order     Order   `json:"order,omitempty"`
	Layout    Layout  `json:"layout,omitempty"`
}

// Triple is a number for each channel. In JSON a single number stands for three.
type Triple [3]float64

// UnmarshalJSON takes a number or an array of one or three.
func (t *Triple) UnmarshalJSON(data []byte) error {
	var one float64
	if json.Unmarshal(data, &one) == nil {
		*t = Triple{one, one, one}
		return nil
	}
	var l []float64
	if err := json.Unmarshal(data, &l); err != nil {
		return err
	}
	switch len(l) {
	case 1:
		*t = Triple{l[0], l[0], l[0]}
	case 3:
		*t = Triple{l[0], l[1], l[2]}
	default:
		return fmt.Errorf("want 1 or 3 numbers, got %d", len(l))
	}
	return nil
}

// ParseOptions reads options from JSON, such as {"resize": "crop", "order": "bgr", "scale": 1}. Unknown fields are
// errors.
func ParseOptions(data []byte) (Options, error) {
	var o Options
	if err := input.ParseOptions(data, &o); err != nil {
		return Options{}, fmt.Errorf("picture options: %w", err)
	}
	return o, o.Validate()
}

const maxSide = 1 << 15

// Validate reports the first option that is out of range.
func (o Options) Validate() error {
	bad := func(field string, got any, want string) error {
		return fmt.Errorf("picture options: %s: want %s, got %v", field, want, got)
	}
	for _, s := range []struct {
		field string
		v     int
	}{{"width", o.Width}, {"height", o.Height}, {"short_side", o.ShortSide}} {
		if s.v < 0 || s.v > maxSide {
			return bad(s.field, s.v, fmt.Sprintf("0 to %d", maxSide))
		}
	}
	if r := o.Region; r != [4]int{} && (r[0] < 0 || r[1] < 0 || r[2] < 1 || r[3] < 1) {
		return bad("region", r, "x, y, width, height")
	}
	for _, f := range o.Fill {
		if f < 0 || f > 255 {
			return bad("fill", o.Fill, "0 to 255")
		}
	}
	if !slices.Contains([]Resize{"", Stretch, Letterbox, Crop}, o.Resize) {
		return bad("resize", o.Resize, "stretch, letterbox or crop")
	}
	if !slices.Contains([]Filter{"", Bilinear, Bicubic, Linear, Nearest}, o.Filter) {
		return bad("filter", o.Filter, "bilinear, bicubic, linear or nearest")
	}
	if !slices.Contains([]Order{"", RGB, BGR, GRAY}, o.Order) {
		return bad("order", o.Order, "rgb, bgr or gray")
	}
	if !slices.Contains([]Layout{"", NCHW, NHWC}, o.Layout) {
		return bad("layout", o.Layout, "nchw or nhwc")
	}
	for _, v := range append(append([]float64{o.Scale}, o.Mean[:]...), o.Std[:]...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return bad("scale, mean, std", v, "finite numbers")
		}
	}
	if o.ShortSide != 0 && o.Resize != Crop {
		return bad("short_side", o.ShortSide, "resize crop with it")
	}
	return nil
}

var presets = map[string]Options{
	// The preprocessing of torchvision's ImageNet classifiers.
	"imagenet": {Resize: Crop, ShortSide: 256, Width: 224, Height: 224, Mean: Triple{.485, .456, .406}, Std: Triple{.229, .224, .225}},
	// Values from -1 to 1: ViT, Inception, MobileNet of TensorFlow.
	"half": {Mean: Triple{.5, .5, .5}, Std: Triple{.5, .5, .5}},
	// Plain bytes as numbers.
	"bytes":     {Scale: 1},
	"bytes-bgr": {Scale: 1, Order: BGR},
	// Caffe's early classifiers, SqueezeNet among them: the centre square, BGR.
	"caffe-crop": {Scale: 1, Order: BGR, Resize: Crop},
	// Digits as 28x28 grey values.
	"mnist": {Scale: 1, Order: GRAY, Width: 28, Height: 28},
}

// Preset returns named options: "imagenet", "half", "bytes", "bytes-bgr", "caffe-crop" or "mnist".
func Preset(name string) (Options, bool) {
	o, ok := presets[name]
	return o, ok
}
