package llmc_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/onnxpb"
)

// The tests of this file read what trained models say the way their users do, and compare it with the answer that a
// person can check (expect.json).

// expectation is expect.json.
type expectation struct {
	Expect struct {
		PerSet        []any          `json:"per_set"`
		Faces         [][][4]float64 `json:"faces"`
		Probabilities []float64      `json:"probabilities"`
		Segments      [][2]float64   `json:"speech_segments_s"`
		Greedy        []struct {
			PromptIDs []int64 `json:"prompt_ids"`
			Steps     int     `json:"steps"`
			IDs       []int64 `json:"ids"`
			Text      string  `json:"text"`
		} `json:"greedy"`
		TokenIDs [][]int64         `json:"token_ids"`
		Cosine   [][]float64       `json:"cosine"`
		First8   [][]float64       `json:"first8"`
		Images   map[string]string `json:"images"`
	} `json:"expect"`
}

// modelDir finds a real model: in the repository, or beside it where it is too large for that.
func modelDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("testdata", name)
	if _, err := os.Stat(filepath.Join(dir, "model.onnx")); err == nil {
		return dir
	}
	shared := os.Getenv("LLMC_SHARED")
	if shared == "" {
		t.Skipf("%s is not in the repository; LLMC_SHARED names the folder that holds models/real/%s", name, name)
	}
	return filepath.Join(shared, "models", "real", name)
}

func expected(t *testing.T, dir string) *expectation {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e expectation
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return &e
}

func open(t *testing.T, dir string, o llmc.Options) *llmc.Model {
	t.Helper()
	m, err := llmc.Open(filepath.Join(dir, "model.onnx"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// inputsOf reads a published data set.
func inputsOf(t *testing.T, m *llmc.Model, dir string, set int) llmc.Tensors {
	t.Helper()
	in := llmc.Tensors{}
	for k, info := range m.Inputs() {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("test_data_set_%d", set), fmt.Sprintf("input_%d.pb", k)))
		if err != nil {
			t.Fatal(err)
		}
		if in[info.Name], _, err = onnxpb.ParseTensor(b); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func run(t *testing.T, m *llmc.Model, in llmc.Tensors) llmc.Tensors {
	t.Helper()
	out, err := m.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func argmax(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

func TestDigitsAndClasses(t *testing.T) {
	for _, name := range []string{"mnist-cnn", "squeezenet"} {
		dir := modelDir(t, name)
		m := open(t, dir, llmc.Options{})
		sets, _ := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
		if len(sets) == 0 {
			t.Fatalf("%s: no data", name)
		}
		for k := range sets {
			out := run(t, m, inputsOf(t, m, dir, k))
			want := int(expected(t, dir).Expect.PerSet[k].(float64))
			if got := argmax(out[m.Outputs()[0].Name].F32()); got != want {
				t.Errorf("%s set %d: class %d, want %d", name, k, got, want)
			}
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

func TestFaces(t *testing.T) {
	dir := modelDir(t, "ultraface-rfb320")
	m := open(t, dir, llmc.Options{})
	for k, want := range expected(t, dir).Expect.Faces {
		out := run(t, m, inputsOf(t, m, dir, k))
		scores, boxes := out["scores"].F32(), out["boxes"].F32()
		var found []box
		for {
			best, score := -1, float32(0.7)
			for i := 0; i < len(scores)/2; i++ {
				if scores[2*i+1] > score {
					best, score = i, scores[2*i+1]
				}
			}
			if best < 0 {
				break
			}
			at := func(i, j int) float64 { return 512 * float64(boxes[4*i+j]) }
			top := box{at(best, 0), at(best, 1), at(best, 2), at(best, 3)}
			found = append(found, top)
			for i := 0; i < len(scores)/2; i++ {
				if top.iou(box{at(i, 0), at(i, 1), at(i, 2), at(i, 3)}) > 0.3 {
					scores[2*i+1] = 0
				}
			}
		}
		if len(found) != len(want) {
			t.Errorf("set %d: %d faces, want %d", k, len(found), len(want))
			continue
		}
		for i, w := range want {
			if o := found[i].iou(box(w)); o < 0.8 {
				t.Errorf("set %d: face at %v, want %v", k, found[i], w)
			}
		}
	}
}

// readWave reads the samples of a 16-bit mono file.
func readWave(t *testing.T, path string) []float32 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(b), "data")
	n := int(binary.LittleEndian.Uint32(b[i+4:]))
	b = b[i+8 : min(i+8+n, len(b))]
	v := make([]float32, len(b)/2)
	for k := range v {
		v[k] = float32(int16(binary.LittleEndian.Uint16(b[2*k:]))) / 32768
	}
	return v
}

func TestSpeechSegments(t *testing.T) {
	dir := modelDir(t, "silero-vad")
	e := expected(t, dir).Expect
	m := open(t, dir, llmc.Options{Shapes: map[string][]int{"input": {1, 576}, "state": {2, 1, 128}}})
	wave := readWave(t, filepath.Join(dir, "speech.wav"))
	window := make([]float32, 576)
	state := llmc.Float32(make([]float32, 256), 2, 1, 128)
	var probs []float64
	for at := 0; at+512 <= len(wave) && len(probs) < len(e.Probabilities); at += 512 {
		copy(window, window[512:])
		copy(window[64:], wave[at:at+512])
		out := run(t, m, llmc.Tensors{"input": llmc.Float32(window, 1, 576), "state": state, "sr": llmc.Int64([]int64{16000})})
		probs = append(probs, float64(out["output"].F32()[0]))
		state = out["stateN"]
	}
	if len(probs) < len(e.Probabilities)-1 {
		t.Fatalf("%d frames, want %d", len(probs), len(e.Probabilities))
	}
	for i, p := range probs {
		if math.Abs(p-e.Probabilities[i]) > 2e-3 {
			t.Errorf("frame %d: %v, want %v", i, p, e.Probabilities[i])
		}
	}
	// speech inside the published segments, silence well outside them
	loud := 0
	for i, p := range probs {
		at := (float64(i) + 0.5) * 512 / 16000
		inside, near := false, false
		for _, s := range e.Segments {
			inside = inside || at > s[0]+0.1 && at < s[1]-0.1
			near = near || at > s[0]-0.1 && at < s[1]+0.1
		}
		if inside && p < 0.35 {
			t.Errorf("at %.2f s: silence, with probability %.3f", at, p)
		}
		if loud++; p < 0.5 || near {
			loud = 0
		}
		if loud > 8 { // speech lasts a quarter of a second at least
			t.Errorf("at %.2f s: speech, with probability %.3f", at, p)
		}
	}
}

// greedy continues a prompt, one token a run, with the cache fed back.
func greedy(t *testing.T, m *llmc.Model, ids []int64, steps int) []int64 {
	t.Helper()
	in := llmc.Tensors{}
	for _, info := range m.Inputs() {
		if info.Name != "input_ids" {
			in[info.Name] = llmc.Float32(nil, 1, 4, 0, 8)
		}
	}
	out := append([]int64(nil), ids...)
	feed := ids
	for len(out) < len(ids)+steps {
		in["input_ids"] = llmc.Int64(feed, 1, len(feed))
		res := run(t, m, in)
		logits := res["logits"]
		vocab := logits.Shape[2]
		all := logits.F32()
		next := int64(argmax(all[len(all)-vocab:]))
		for name, v := range res {
			if past := strings.Replace(name, "present", "past_key_values", 1); past != name {
				in[past] = v
			}
		}
		out = append(out, next)
		feed = []int64{next}
	}
	return out
}

func TestStory(t *testing.T) {
	dir := modelDir(t, "stories260k-lm")
	m := open(t, dir, llmc.Options{})
	for _, g := range expected(t, dir).Expect.Greedy {
		got := greedy(t, m, g.PromptIDs, g.Steps)
		if len(g.IDs) < len(got) {
			got = got[:len(g.IDs)]
		}
		for i, id := range got {
			if id != g.IDs[i] {
				t.Fatalf("prompt %v: token %d is %d, want %d", g.PromptIDs, i, id, g.IDs[i])
			}
		}
		if len(got) < g.Steps {
			t.Errorf("prompt %v: %d tokens, want %d", g.PromptIDs, len(got), g.Steps)
		}
	}
}

func TestSentenceCosines(t *testing.T) {
	dir := modelDir(t, "minilm-l6-sentence")
	e := expected(t, dir).Expect
	m := open(t, dir, llmc.Options{})
	var embeddings [][]float64
	for _, ids := range e.TokenIDs {
		n := len(ids)
		ones := make([]int64, n)
		for i := range ones {
			ones[i] = 1
		}
		out := run(t, m, llmc.Tensors{"input_ids": llmc.Int64(ids, 1, n), "attention_mask": llmc.Int64(ones, 1, n), "token_type_ids": llmc.Int64(make([]int64, n), 1, n)})
		h := out[m.Outputs()[0].Name]
		width := h.Shape[2]
		sum, norm := make([]float64, width), 0.0
		for i, x := range h.F32() {
			sum[i%width] += float64(x)
		}
		for _, x := range sum {
			norm += x * x
		}
		for i := range sum {
			sum[i] /= math.Sqrt(norm)
		}
		embeddings = append(embeddings, sum)
	}
	for i, a := range embeddings {
		for k, want := range e.First8[i] {
			if math.Abs(a[k]-want) > 0.02 {
				t.Errorf("sentence %d element %d: %.4f, want %.4f", i, k, a[k], want)
			}
		}
		for j, b := range embeddings {
			dot := 0.0
			for k := range a {
				dot += a[k] * b[k]
			}
			if math.Abs(dot-e.Cosine[i][j]) > 0.02 {
				t.Errorf("sentences %d and %d: cosine %.3f, want %.3f", i, j, dot, e.Cosine[i][j])
			}
		}
	}
}

// A line of text: 48 pixels high, BGR, (v/255 - 0.5)/0.5; the greedy path of connectionist temporal
// classification drops repeats and blanks (Graves et al., 2006).
func TestTextLines(t *testing.T) {
	dir := modelDir(t, "ppocr-rec")
	var keys []string // one a line, the first is the blank
	f, err := os.Open(filepath.Join(dir, "keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		keys = append(keys, sc.Text())
	}
	m := open(t, dir, llmc.Options{})
	decode := func(x *llmc.Tensor) string {
		out := run(t, m, llmc.Tensors{m.Inputs()[0].Name: x})
		p := out[m.Outputs()[0].Name]
		n := p.Shape[2]
		var b strings.Builder
		last := 0
		for i := 0; i < p.Shape[1]; i++ {
			k := argmax(p.F32()[i*n : (i+1)*n])
			if k != 0 && k != last && k < len(keys) {
				b.WriteString(keys[k])
			}
			last = k
		}
		return b.String()
	}
	e := expected(t, dir).Expect
	in := inputsOf(t, m, dir, 0)
	if got := decode(in[m.Inputs()[0].Name]); got != e.PerSet[0].(string) {
		t.Errorf("set 0: %q, want %q", got, e.PerSet[0])
	}
	for name, want := range e.Images {
		if got := decode(textLine(t, filepath.Join(dir, name))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// textLine reads a picture of a line, scaled to a height of 48.
func textLine(t *testing.T, path string) *llmc.Tensor {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	r := img.Bounds()
	const h = 48
	w := int(math.Ceil(float64(h) * float64(r.Dx()) / float64(r.Dy())))
	v := make([]float32, 3*h*w)
	for y := range h {
		for x := range w {
			sx := math.Max((float64(x)+0.5)*float64(r.Dx())/float64(w)-0.5, 0)
			sy := math.Max((float64(y)+0.5)*float64(r.Dy())/float64(h)-0.5, 0)
			x0, y0 := int(sx), int(sy)
			x1, y1 := min(x0+1, r.Dx()-1), min(y0+1, r.Dy()-1)
			fx, fy := sx-float64(x0), sy-float64(y0)
			at := func(x, y int) [3]float64 {
				r8, g8, b8, _ := img.At(r.Min.X+x, r.Min.Y+y).RGBA()
				return [3]float64{float64(b8 >> 8), float64(g8 >> 8), float64(r8 >> 8)}
			}
			a, b, c, d := at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1)
			for k := range 3 {
				p := (a[k]*(1-fx)+b[k]*fx)*(1-fy) + (c[k]*(1-fx)+d[k]*fx)*fy
				v[k*h*w+y*w+x] = float32(p/127.5 - 1)
			}
		}
	}
	return llmc.Float32(v, 1, 3, h, w)
}
