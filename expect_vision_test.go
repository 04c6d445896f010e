package llmc_test

import (
	"compress/gzip"
	"fmt"
	"image"
	_ "image/png" // decoder
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/picture"
)

func TestDigits(t *testing.T) {
	dir := modelDir(t, "mnist-cnn")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		PerSet   []int   `json:"per_set"`
		Accuracy float64 `json:"accuracy_on_mnist_t10k"`
	}](t, dir)
	checkClasses(t, m, dir, e.PerSet)
	t.Run("t10k", func(t *testing.T) {
		const header, labelHeader, pixels = 16, 8, 28 * 28 // of the IDX files
		pictures := gunzip(t, beside(t, "data", "mnist-test", "t10k-images-idx3-ubyte.gz"))[header:]
		labels := gunzip(t, beside(t, "data", "mnist-test", "t10k-labels-idx1-ubyte.gz"))[labelHeader:]
		right := 0
		x := make([]float32, pixels)
		for i, label := range labels {
			for k, v := range pictures[i*pixels : (i+1)*pixels] {
				x[k] = float32(v)
			}
			if argmax(first(t, m, only(m, llmc.Float32(x, 1, 1, 28, 28))).F32()) == int(label) {
				right++
			}
		}
		near(t, "part of the digits that is right", float64(right)/float64(len(labels)), e.Accuracy, 1e-4)
	})
}

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestImageNetClasses(t *testing.T) {
	dir := modelDir(t, "squeezenet")
	e := expected[struct {
		PerSet []int `json:"per_set"`
	}](t, dir)
	checkClasses(t, open(t, dir, llmc.Options{}), dir, e.PerSet)
}

// The direction of a line of text: upright, or on its head.
func TestTextDirection(t *testing.T) {
	dir := modelDir(t, "ppocr-cls")
	e := expected[struct {
		PerSet []int `json:"per_set"`
	}](t, dir)
	for k, p := range checkClasses(t, open(t, dir, llmc.Options{}), dir, e.PerSet) {
		if slices.Max(p) < 0.85 {
			t.Errorf("set %d: %v, want one above 0.85", k, p)
		}
	}
}

// box is a corner box.
type box [4]float64

func (a box) iou(b box) float64 {
	w := math.Min(a[2], b[2]) - math.Max(a[0], b[0])
	h := math.Min(a[3], b[3]) - math.Max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	area := func(x box) float64 { return (x[2] - x[0]) * (x[3] - x[1]) }
	return w * h / (area(a) + area(b) - w*h)
}

// detection is a box with what lies in it.
type detection struct {
	box
	class int
	score float64
}

// suppress keeps the best detection of a class among such as overlap by more than iou, the best first.
func suppress(all []detection, iou float64) []detection {
	slices.SortStableFunc(all, func(a, b detection) int { return int(math.Copysign(1, b.score-a.score)) })
	var kept []detection
	for _, d := range all {
		if !slices.ContainsFunc(kept, func(k detection) bool { return k.class == d.class && k.iou(d.box) > iou }) {
			kept = append(kept, d)
		}
	}
	return kept
}

func TestFaces(t *testing.T) {
	dir := modelDir(t, "ultraface-rfb320")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Threshold float64      `json:"threshold"`
		IoU       float64      `json:"nms_iou"`
		Size      [2]float64   `json:"image_size"`
		Scores    int          `json:"scores_output"`
		Boxes     int          `json:"boxes_output"`
		Faces     [][][4]int64 `json:"faces"`
	}](t, dir)
	for k, want := range e.Faces {
		out := run(t, m, inputsOf(t, m, dir, k))
		scores, boxes := out[m.Outputs()[e.Scores].Name].F32(), out[m.Outputs()[e.Boxes].Name].F32()
		var found []detection
		for i := 0; i < len(scores)/2; i++ {
			if score := float64(scores[2*i+1]); score > e.Threshold {
				d := detection{score: score}
				for j := range d.box {
					d.box[j] = float64(boxes[4*i+j]) * e.Size[j%2]
				}
				found = append(found, d)
			}
		}
		found = suppress(found, e.IoU)
		if len(found) != len(want) {
			t.Errorf("set %d: %d faces, want %d", k, len(found), len(want))
			continue
		}
		for i, w := range want {
			if o := found[i].iou(box{float64(w[0]), float64(w[1]), float64(w[2]), float64(w[3])}); o < 0.8 || found[i].score < 0.99 {
				t.Errorf("set %d: face %v, want one surely at %v", k, found[i], w)
			}
		}
	}
}

// object is what YOLOX is expected to find.
type object struct {
	Class  string     `json:"class"`
	Score  float64    `json:"score"`
	CxCyWH [4]float64 `json:"cxcywh"`
}

// Objects: boxes lie on the cells of three grids, in units of their strides (Ge et al., "YOLOX", 2021).
func TestObjects(t *testing.T) {
	dir := modelDir(t, "yolox-nano")
	m := open(t, dir, llmc.Options{})
	labels := readJSON[[]string](t, filepath.Join(dir, "labels.json"))
	e := expected[struct {
		Strides []int               `json:"strides"`
		Size    int                 `json:"size"`
		PerSet  [][]object          `json:"per_set"`
		Others  map[string][]object `json:"others"`
		Ratios  []float64           `json:"ratios"`
	}](t, dir)
	find := func(x *llmc.Tensor, ratio float64) []detection {
		out := first(t, m, only(m, x))
		rows, width := out.F32(), out.Shape[2]
		var found []detection
		for _, stride := range e.Strides {
			n := e.Size / stride
			for cell := range n * n {
				o := rows[:width]
				rows = rows[width:]
				class := argmax(o[5:])
				score := float64(o[4] * o[5+class])
				if score < 0.5 {
					continue
				}
				unit := float64(stride) / ratio
				cx, cy := (float64(o[0])+float64(cell%n))*unit, (float64(o[1])+float64(cell/n))*unit
				w, h := math.Exp(float64(o[2]))*unit, math.Exp(float64(o[3]))*unit
				found = append(found, detection{box{cx - w/2, cy - h/2, cx + w/2, cy + h/2}, class, score})
			}
		}
		return suppress(found, 0.45)
	}
	check := func(what string, got []detection, want []object, tol float64) {
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
		for i, w := range want {
			c := w.CxCyWH
			at := box{c[0] - c[2]/2, c[1] - c[3]/2, c[0] + c[2]/2, c[1] + c[3]/2}
			if g := got[i]; labels[g.class] != w.Class || g.iou(at) < 0.8 || math.Abs(g.score-w.Score) > tol {
				t.Errorf("%s: %s %.3f at %v, want %s %.3f at %v", what, labels[g.class], g.score, g.box, w.Class, w.Score, at)
			}
		}
	}
	for k, want := range e.PerSet {
		check(fmt.Sprint("set ", k), find(inputsOf(t, m, dir, k)[m.Inputs()[0].Name], e.Ratios[k]), want, 5e-3)
	}
	for name, want := range e.Others {
		t.Run(name, func(t *testing.T) {
			path := beside(t, "data", "images", name)
			size := decodePicture(t, path).Bounds()
			x := loadPicture(t, path, picture.Options{Width: e.Size, Height: e.Size, Resize: picture.Letterbox, Corner: true, Fill: [3]int{114, 114, 114},
				Filter: picture.Linear, Order: picture.BGR, Scale: 1})
			check(name, find(x, float64(e.Size)/float64(max(size.Dx(), size.Dy()))), want, 2e-2)
		})
	}
}

func decodePicture(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return img
}

func loadPicture(t *testing.T, path string, o picture.Options) *llmc.Tensor {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	x, err := picture.Load(f, o, input.Target{})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return x
}

func TestPortraitMask(t *testing.T) {
	dir := modelDir(t, "portrait-segmentation")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Threshold  float32  `json:"threshold"`
		Fraction   float64  `json:"foreground_fraction"`
		Foreground [][2]int `json:"foreground_points_rc"`
		Background [][2]int `json:"background_points_rc"`
	}](t, dir)
	out := first(t, m, inputsOf(t, m, dir, 0))
	mask, width := out.F32(), out.Shape[3]
	person := 0
	for _, p := range mask {
		if p > e.Threshold {
			person++
		}
	}
	near(t, "part of the picture that is person", float64(person)/float64(len(mask)), e.Fraction, 1e-3)
	for _, at := range e.Foreground {
		if p := mask[at[0]*width+at[1]]; p < 0.9 {
			t.Errorf("%v: %v, want the person", at, p)
		}
	}
	for _, at := range e.Background {
		if p := mask[at[0]*width+at[1]]; p > 0.1 {
			t.Errorf("%v: %v, want the background", at, p)
		}
	}
}

// Where a page has lines of text: the connected regions of a map of probabilities.
func TestTextRegions(t *testing.T) {
	dir := modelDir(t, "ppocr-det")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Threshold float32  `json:"threshold"`
		Boxes     [][4]int `json:"boxes_xywh"`
	}](t, dir)
	out := first(t, m, inputsOf(t, m, dir, 0))
	var found [][4]int
	for _, b := range regions(out.F32(), out.Shape[3], e.Threshold) {
		if b[2] > 8 && b[3] > 4 {
			found = append(found, b)
		}
	}
	if len(found) != len(e.Boxes) {
		t.Fatalf("%d regions %v, want %d", len(found), found, len(e.Boxes))
	}
	for i, want := range e.Boxes {
		for k := range want {
			if d := found[i][k] - want[k]; d < -4 || d > 4 {
				t.Errorf("region %d: x, y, width, height %v, want %v", i, found[i], want)
				break
			}
		}
	}
}

// regions are the bounds x, y, width, height of the regions above a threshold, whose pixels touch by sides or corners,
// in the order of their first rows.
func regions(p []float32, width int, threshold float32) [][4]int {
	seen := make([]bool, len(p))
	var out [][4]int
	for start := range p {
		if seen[start] || p[start] <= threshold {
			continue
		}
		seen[start] = true
		x0, y0, x1, y1 := width, len(p), 0, 0
		for queue := []int{start}; len(queue) > 0; {
			at := queue[len(queue)-1]
			queue = queue[:len(queue)-1]
			x, y := at%width, at/width
			x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					to := at + dy*width + dx
					if x+dx >= 0 && x+dx < width && to >= 0 && to < len(p) && !seen[to] && p[to] > threshold {
						seen[to] = true
						queue = append(queue, to)
					}
				}
			}
		}
		out = append(out, [4]int{x0, y0, x1 - x0 + 1, y1 - y0 + 1})
	}
	return out
}

// A line of text: 48 pixels high, BGR, (v/255 - 0.5)/0.5; the greedy path of connectionist temporal
// classification drops repeats and blanks (Graves et al., 2006).
func TestTextLines(t *testing.T) {
	dir := modelDir(t, "ppocr-rec")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Blank  int               `json:"blank"`
		Keys   string            `json:"keys"`
		PerSet []string          `json:"per_set"`
		Images map[string]string `json:"images"`
	}](t, dir)
	keys := readLines(t, filepath.Join(dir, e.Keys))
	check := func(what string, in llmc.Tensors, want string) {
		p := first(t, m, in)
		n := p.Shape[2]
		var text strings.Builder
		last := e.Blank
		for i := range p.Shape[1] {
			k := argmax(p.F32()[i*n : (i+1)*n])
			if k != e.Blank && k != last {
				text.WriteString(keys[k])
			}
			last = k
		}
		if text.String() != want {
			t.Errorf("%s: %q, want %q", what, text.String(), want)
		}
	}
	for k, want := range e.PerSet {
		check("published input", inputsOf(t, m, dir, k), want)
	}
	for name, want := range e.Images {
		half := picture.Triple{.5, .5, .5}
		line := loadPicture(t, filepath.Join(dir, name), picture.Options{Height: 48, Filter: picture.Linear, Order: picture.BGR, Mean: half, Std: half})
		check(name, only(m, line), want)
	}
}

// A picture three times as large is nearer to the truth than one that bicubic resampling makes.
func TestSuperResolution(t *testing.T) {
	dir := modelDir(t, "super-resolution-x3")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Truth   string  `json:"truth"`
		Border  int     `json:"border"`
		PSNR    float64 `json:"psnr_db"`
		Bicubic float64 `json:"bicubic_psnr_db"`
	}](t, dir)
	out := first(t, m, inputsOf(t, m, dir, 0))
	truth := loadPicture(t, filepath.Join(dir, e.Truth), picture.Options{Order: picture.GRAY})
	if !slices.Equal(out.Shape, truth.Shape) {
		t.Fatalf("a picture of %v, want %v", out.Shape, truth.Shape)
	}
	h, w := out.Shape[2], out.Shape[3]
	sum, n := 0.0, 0
	for y := e.Border; y < h-e.Border; y++ {
		for x := e.Border; x < w-e.Border; x++ {
			d := float64(out.F32()[y*w+x]) - float64(truth.F32()[y*w+x])
			sum += d * d
			n++
		}
	}
	psnr := -10 * math.Log10(sum/float64(n)) // of values from 0 to 1
	near(t, "ratio of peak signal to noise, in dB", psnr, e.PSNR, 0.01)
	if psnr < e.Bicubic {
		t.Errorf("%v dB, worse than bicubic resampling with %v dB", psnr, e.Bicubic)
	}
}
