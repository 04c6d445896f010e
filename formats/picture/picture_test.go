package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/jpeg"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

func open(t *testing.T, name string) *raster {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The expected pictures were made by Pillow 13 from source.png; every byte must agree.
func TestResizeIsPillows(t *testing.T) {
	src := open(t, "source.png")
	for _, f := range []Filter{Bilinear, Bicubic} {
		for _, s := range [][2]int{{16, 11}, {80, 50}, {37, 10}, {5, 29}, {1, 1}, {36, 28}} {
			name := fmt.Sprintf("%s_%dx%d.png", f, s[0], s[1])
			if got, want := src.resize(s[0], s[1], f), open(t, name); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: largest difference %d", name, worst(got.pix, want.pix))
			}
		}
	}
	gray := toGray(src)
	if want := open(t, "gray.png"); worst(gray.pix, everyThird(want.pix)) != 0 {
		t.Error("grey differs")
	}
	if got, want := gray.resize(14, 14, Bilinear), open(t, "gray_14x14.png"); worst(got.pix, everyThird(want.pix)) != 0 {
		t.Error("resized grey differs")
	}
}

func everyThird(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); i += 3 {
		out = append(out, b[i])
	}
	return out
}

func worst(a, b []byte) int {
	if len(a) != len(b) {
		return 999
	}
	d := 0
	for i := range a {
		d = max(d, int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return d
}

// Pillow's decoding is the reference.
func TestDecodeColourModels(t *testing.T) {
	if d := worst(open(t, "palette.png").pix, open(t, "palette_rgb.png").pix); d != 0 {
		t.Errorf("palette: %d", d)
	}
	if d := worst(open(t, "alpha.png").pix, open(t, "source.png").pix); d != 0 {
		t.Errorf("alpha is not just dropped: %d", d)
	}
	if d := worst(open(t, "smooth.jpg").pix, open(t, "smooth.png").pix); d != 0 {
		t.Errorf("jpeg: %d", d)
	}
	deep := image.NewNRGBA64(image.Rect(0, 0, 1, 1))
	deep.SetNRGBA64(0, 0, color.NRGBA64{R: 0x12ff, G: 0x3400, B: 0x56ab, A: 0xffff})
	if got := toRGB(deep).pix; !bytes.Equal(got, []byte{0x12, 0x34, 0x56}) {
		t.Errorf("16 bits: %x", got)
	}
	part := image.NewGray(image.Rect(0, 0, 4, 4))
	part.SetGray(2, 1, color.Gray{Y: 9})
	if got := toRGB(part.SubImage(image.Rect(2, 1, 3, 2))).pix; !bytes.Equal(got, []byte{9, 9, 9}) {
		t.Errorf("part: %x", got)
	}
}

// picturePNG encodes a picture of w by h whose pixel (x, y) is (10x, 10y, 200).
func picturePNG(t testing.TB, w, h int) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{R: byte(10 * x), G: byte(10 * y), B: 200, A: 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoad(t *testing.T) {
	data := picturePNG(t, 4, 2)
	open := input.Extent{Open: true}
	for _, c := range []struct {
		name   string
		o      Options
		target input.Target
		shape  []int
		want   []float64
	}{
		{"rgb planes", Options{Scale: 1}, input.Target{}, []int{1, 3, 2, 4},
			[]float64{0, 10, 20, 30, 0, 10, 20, 30, 0, 0, 0, 0, 10, 10, 10, 10, 200, 200, 200, 200, 200, 200, 200, 200}},
		{"region, pixels, bgr", Options{Scale: 1, Region: [4]int{1, 1, 2, 1}, Order: BGR, Layout: NHWC}, input.Target{}, []int{1, 1, 2, 3},
			[]float64{200, 10, 10, 200, 10, 20}},
		{"layout from the channels", Options{Scale: 1, Region: [4]int{1, 1, 1, 1}}, input.Target{Shape: []input.Extent{open, open, open, {Size: 3}}}, []int{1, 1, 1, 3},
			[]float64{10, 10, 200}},
		{"rank 3", Options{Scale: 1, Region: [4]int{1, 1, 1, 1}}, input.Target{Shape: input.Sizes(3, 1, 1)}, []int{3, 1, 1}, []float64{10, 10, 200}},
		{"grey from the channels", Options{Scale: 1, Region: [4]int{3, 0, 1, 1}}, input.Target{Shape: input.Sizes(1, 1, 1, 1)}, []int{1, 1, 1, 1},
			[]float64{math.Round(.299*30 + .114*200)}},
		{"normalised", Options{Mean: Triple{.5, 0, 0}, Std: Triple{0, .5, 2}, Region: [4]int{3, 1, 1, 1}}, input.Target{Elem: dtype.F64}, []int{1, 3, 1, 1},
			[]float64{30./255 - .5, 10. / 255 / .5, 200. / 255 / 2}},
		{"mean belongs to the tensor's channel", Options{Scale: 1, Order: BGR, Mean: Triple{200, 1, 2}, Region: [4]int{3, 1, 1, 1}}, input.Target{}, []int{1, 3, 1, 1},
			[]float64{0, 9, 28}},
		{"bytes", Options{Scale: 1, Region: [4]int{3, 1, 1, 1}}, input.Target{Elem: dtype.U8}, []int{1, 3, 1, 1}, []float64{30, 10, 200}},
		{"signed bytes", Options{Scale: 1, Mean: Triple{128, 128, 128}, Region: [4]int{3, 1, 1, 1}}, input.Target{Elem: dtype.I8}, []int{1, 3, 1, 1}, []float64{-98, -118, 72}},
		{"centre of the wanted ratio", Options{Scale: 1, Resize: Crop}, input.Target{Shape: input.Sizes(1, 3, 2, 2)}, []int{1, 3, 2, 2},
			[]float64{10, 20, 10, 20, 0, 0, 10, 10, 200, 200, 200, 200}},
		{"short side, then centre", Options{Scale: 1, Resize: Crop, ShortSide: 2, Width: 2, Height: 1}, input.Target{}, []int{1, 3, 1, 2},
			[]float64{10, 20, 0, 0, 200, 200}},
		{"letterbox", Options{Scale: 1, Resize: Letterbox, Fill: [3]int{1, 2, 3}, Filter: Nearest}, input.Target{Shape: input.Sizes(1, 3, 2, 2)}, []int{1, 3, 2, 2},
			[]float64{10, 30, 1, 1, 10, 10, 2, 2, 200, 200, 3, 3}},
		{"letterbox in the middle", Options{Scale: 1, Resize: Letterbox, Order: BGR, Fill: [3]int{7, 8, 9}, Filter: Nearest}, input.Target{Shape: input.Sizes(1, 3, 3, 2)}, []int{1, 3, 3, 2},
			[]float64{7, 7, 200, 200, 7, 7, 8, 8, 10, 10, 8, 8, 9, 9, 10, 30, 9, 9}},
		{"open width keeps the ratio", Options{Scale: 1, Filter: Nearest}, input.Target{Shape: []input.Extent{open, {Size: 3}, {Size: 1}, open}}, []int{1, 3, 1, 2},
			[]float64{10, 30, 10, 10, 200, 200}},
		{"linear keeps two neighbours", Options{Scale: 1, Filter: Linear, Height: 2, Width: 2}, input.Target{}, []int{1, 3, 2, 2},
			[]float64{5, 25, 5, 25, 0, 0, 10, 10, 200, 200, 200, 200}},
	} {
		v, err := Load(bytes.NewReader(data), c.o, c.target)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err := v.Check(); err != nil || !reflect.DeepEqual(v.Shape, c.shape) {
			t.Errorf("%s: shape %v, want %v, check %v", c.name, v.Shape, c.shape, err)
			continue
		}
		for i, w := range c.want {
			if math.Abs(v.Float(i)-w) > 1e-6 {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, v.Float(i), w)
			}
		}
	}
}

// hugePNG is the beginning of a PNG that claims w by h pixels.
func hugePNG(w, h uint32) []byte {
	head := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	head = append(binary.BigEndian.AppendUint32(head, h), 8, 2, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(head))
}

func TestLoadErrors(t *testing.T) {
	data := picturePNG(t, 4, 2)
	for _, c := range []struct {
		name   string
		data   []byte
		o      Options
		target input.Target
		kind   error
		want   string
	}{
		{"no picture", []byte("text"), Options{}, input.Target{}, image.ErrFormat, "unknown format"},
		{"cut off", data[:len(data)-20], Options{}, input.Target{}, nil, "png"},
		{"gigapixels", hugePNG(100000, 100000), Options{}, input.Target{}, ErrTooLarge, "100000x100000"},
		{"rank", data, Options{}, input.Target{Shape: input.Sizes(1, 2)}, ErrTarget, "rank 2"},
		{"batch", data, Options{}, input.Target{Shape: input.Sizes(2, 3, 2, 2)}, ErrTarget, "batch of 2"},
		{"channels", data, Options{}, input.Target{Shape: input.Sizes(1, 4, 2, 2)}, ErrTarget, "4 channels"},
		{"grey for colour", data, Options{Order: GRAY}, input.Target{Shape: input.Sizes(1, 3, 2, 2)}, ErrTarget, "3 channels"},
		{"size", data, Options{Width: 5}, input.Target{Shape: input.Sizes(1, 3, 2, 2)}, ErrTarget, "width 5, but the model takes 2"},
		{"declared size", data, Options{}, input.Target{Shape: input.Sizes(1, 3, 0, 2)}, ErrTarget, "height of 0"},
		{"result", data, Options{Width: 30000, Height: 30000}, input.Target{}, ErrTooLarge, "30000x30000"},
		{"result by ratio", hugeRatio(t), Options{Height: 30000}, input.Target{}, ErrTooLarge, "pixels"},
		{"region", data, Options{Region: [4]int{3, 0, 2, 1}}, input.Target{}, ErrTarget, "beyond the picture of 4x2"},
		{"short side", data, Options{Resize: Crop, ShortSide: 2, Width: 2, Height: 3}, input.Target{}, ErrTarget, "too small"},
		{"element type", data, Options{}, input.Target{Elem: dtype.String}, ErrTarget, "element type string"},
		{"integer range", data, Options{Scale: 1}, input.Target{Elem: dtype.I8}, ErrTarget, "does not fit i8"},
		{"options", data, Options{Fill: [3]int{300}}, input.Target{}, nil, "fill"},
	} {
		_, err := Load(bytes.NewReader(c.data), c.o, c.target)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func hugeRatio(t *testing.T) []byte { return picturePNG(t, 100, 1) }

func TestParseOptions(t *testing.T) {
	o, err := ParseOptions([]byte(`{"width": 224, "height": 224, "resize": "crop", "short_side": 256, "filter": "bicubic", "mean": [0.1, 0.2, 0.3],
		"std": 0.5, "scale": 1, "order": "bgr", "layout": "nhwc", "region": [1, 2, 3, 4], "fill": [5, 6, 7]}`))
	want := Options{Width: 224, Height: 224, Resize: Crop, ShortSide: 256, Filter: Bicubic, Mean: Triple{.1, .2, .3}, Std: Triple{.5, .5, .5},
		Scale: 1, Order: BGR, Layout: NHWC, Region: [4]int{1, 2, 3, 4}, Fill: [3]int{5, 6, 7}}
	if err != nil || o != want {
		t.Errorf("got %+v %v", o, err)
	}
	for text, want := range map[string]string{
		`{"colour": 1}`: "unknown field", `{"resize": "shrink"}`: "stretch, letterbox or crop", `{"filter": "lanczos"}`: "bilinear",
		`{"order": "bgra"}`: "rgb, bgr or gray", `{"layout": "chw"}`: "nchw or nhwc", `{"width": -1}`: "width", `{"height": 100000}`: "height",
		`{"fill": [0, 0, 256]}`: "fill", `{"mean": [1, 2]}`: "want 1 or 3 numbers, got 2", `{"std": "x"}`: "std", `{"short_side": 5}`: "short_side",
		`{"region": [0, 0, 0, 1]}`: "region", `{} {}`: "after the object", ``: "EOF",
	} {
		if _, err := ParseOptions([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	for name := range presets {
		if o, ok := Preset(name); !ok || o.Validate() != nil {
			t.Errorf("preset %s: %v", name, o.Validate())
		}
	}
	if _, ok := Preset("none"); ok {
		t.Error("a preset that is none")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(picturePNG(f, 3, 2), []byte(`{"resize": "crop", "width": 4, "height": 4}`))
	f.Add(hugePNG(100, 100), []byte(`{"resize": "letterbox", "width": 9, "filter": "bicubic", "order": "bgr"}`))
	f.Fuzz(func(t *testing.T, data, options []byte) {
		o, err := ParseOptions(options)
		if err != nil || o.Width > 64 || o.Height > 64 || o.ShortSide > 64 {
			return
		}
		if c, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && c.Width*c.Height > 1<<16 {
			return
		}
		if c, err := jpeg.DecodeConfig(data); err == nil && c.Memory() > 1<<20 {
			return
		}
		v, err := Load(bytes.NewReader(data), o, input.Target{})
		if err == nil && v.Check() != nil {
			t.Fatal(v.Check())
		}
	})
}

// TestShared compares with the inputs that were stored beside real models: the same steps done by Pillow (or by
// OpenCV, which interpolates without widening and rounds differently) in Python.
func TestShared(t *testing.T) {
	root := os.Getenv("LLMC_SHARED")
	if root == "" {
		t.Skip("LLMC_SHARED is not set: the large test data is not part of the repository")
	}
	ocr := Options{Order: BGR, Mean: Triple{.5, .5, .5}, Std: Triple{.5, .5, .5}, Filter: Linear}
	open := input.Extent{Open: true}
	caffe, _ := Preset("caffe-crop")
	for _, c := range []struct {
		picture, input string
		o              Options
		shape          []input.Extent
		unit, most     float64 // one grey level; the largest difference in levels
	}{
		{"data/images/chelsea.png", "squeezenet/test_data_set_0", caffe, input.Sizes(1, 3, 224, 224), 1, 0},
		{"data/images/coffee.png", "squeezenet/test_data_set_1", caffe, input.Sizes(1, 3, 224, 224), 1, 0},
		{"data/images/astronaut.png", "ultraface-rfb320/test_data_set_0", Options{Scale: 1, Mean: Triple{127, 127, 127}, Std: Triple{128, 128, 128}}, input.Sizes(1, 3, 240, 320), 1. / 128, 0},
		{"data/images/coffee.png", "ultraface-rfb320/test_data_set_1", Options{Scale: 1, Mean: Triple{127, 127, 127}, Std: Triple{128, 128, 128}}, input.Sizes(1, 3, 240, 320), 1. / 128, 0},
		{"models/real/ppocr-rec/line_0.png", "ppocr-rec/test_data_set_0", ocr, []input.Extent{open, {Size: 3}, {Size: 48}, open}, 2. / 255, 1},
		{"data/images/page.png", "ppocr-det/test_data_set_0", Options{Order: BGR, Mean: Triple{.485, .456, .406}, Std: Triple{.229, .224, .225}, Filter: Linear}, input.Sizes(1, 3, 256, 512), 1 / 255. / .224, 1},
		{"data/images/coffee.png", "yolox-nano/test_data_set_0", Options{Scale: 1, Order: BGR, Resize: Letterbox, Corner: true, Fill: [3]int{114, 114, 114}}, input.Sizes(1, 3, 416, 416), 1, 0},
		{"data/images/astronaut.png", "portrait-segmentation/test_data_set_0", Options{}, input.Sizes(1, 3, 256, 256), 1. / 255, 0},
	} {
		want, err := readTensor(filepath.Join(root, "models/real", c.input, "input_0.pb"))
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := os.Open(filepath.Join(root, c.picture))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := Load(f, c.o, input.Target{Shape: c.shape})
		f.Close()
		if err != nil || !reflect.DeepEqual(got.Shape, want.Shape) {
			t.Errorf("%s: %v %v, want shape %v", c.input, got, err, want.Shape)
			continue
		}
		d := 0.0
		for i := range want.Len() {
			d = max(d, math.Abs(got.Float(i)-want.Float(i)))
		}
		t.Logf("%s: largest difference %.3g levels", c.input, d/c.unit)
		if d > c.unit*(c.most+1e-3) {
			t.Errorf("%s: largest difference %v", c.input, d)
		}
	}
}

func readTensor(name string) (*tensor.Tensor, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	v, _, err := onnxpb.ParseTensor(data)
	return v, err
}

func ExampleLoad() {
	f, err := os.Open("testdata/source.png")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	o, _ := Preset("imagenet")
	v, err := Load(f, o, input.Target{Shape: input.Sizes(1, 3, 224, 224)})
	fmt.Println(v.Elem, v.Shape, err)
	// Output: f32 [1 3 224 224] <nil>
}
