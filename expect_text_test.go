package llmc_test

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc"
)

// greedy continues a prompt to n tokens in all, one token a run, with the cache fed back.
func greedy(t *testing.T, m *llmc.Model, prompt []int64, n int) []int64 {
	t.Helper()
	in := emptyCache(m)
	out := slices.Clone(prompt)
	feed := prompt
	for len(out) < n {
		in["input_ids"] = llmc.Int64(feed, 1, len(feed))
		res := run(t, m, in)
		for name, v := range res {
			if past := strings.Replace(name, "present", "past_key_values", 1); past != name {
				in[past] = v
			}
		}
		feed = []int64{int64(argmax(lastRow(res["logits"])))}
		out = append(out, feed...)
	}
	return out
}

// emptyCache is what goes in beside the first tokens.
func emptyCache(m *llmc.Model) llmc.Tensors {
	in := llmc.Tensors{}
	for _, info := range m.Inputs() {
		if info.Name != "input_ids" {
			in[info.Name] = llmc.Zeros(1, 4, 0, 8)
		}
	}
	return in
}

// tokens are the texts of a vocabulary's tokens, in which <0x0A> stands for a byte.
func tokens(t *testing.T, path string) map[int64]string {
	t.Helper()
	file := readJSON[struct {
		Model struct {
			Vocab map[string]int64 `json:"vocab"`
		} `json:"model"`
	}](t, path)
	out := map[int64]string{}
	for token, id := range file.Model.Vocab {
		var b byte
		if n, _ := fmt.Sscanf(token, "<0x%02X>", &b); n == 1 {
			token = string([]byte{b})
		}
		out[id] = strings.ReplaceAll(token, "▁", " ")
	}
	return out
}

// lastRow is the end of a tensor, one extent of its last axis.
func lastRow(x *llmc.Tensor) []float32 {
	v := x.F32()
	return v[len(v)-x.Shape[len(x.Shape)-1]:]
}

func TestStory(t *testing.T) {
	dir := modelDir(t, "stories260k-lm")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Greedy []struct {
			PromptIDs []int64 `json:"prompt_ids"`
			Steps     int     `json:"steps"`
			IDs       []int64 `json:"ids"`
			Text      string  `json:"text"`
		} `json:"greedy"`
		First []float64 `json:"logits_bos_first16"`
		After struct {
			IDs []int64      `json:"ids"`
			Top [][2]float64 `json:"top5"`
		} `json:"logits_after_once_upon_a_time"`
	}](t, dir)
	pieces := tokens(t, filepath.Join(dir, "tokenizer.json"))
	for _, g := range e.Greedy {
		ids := greedy(t, m, g.PromptIDs, g.Steps+1) // the first step reads the start token
		if !slices.Equal(ids, g.IDs) {
			t.Errorf("prompt %v: tokens %v, want %v", g.PromptIDs, ids, g.IDs)
		}
		var text strings.Builder
		for _, id := range ids[1:] {
			text.WriteString(pieces[id])
		}
		if got := strings.TrimPrefix(text.String(), " "); got != g.Text {
			t.Errorf("prompt %v: %q, want %q", g.PromptIDs, got, g.Text)
		}
	}
	logits := func(ids []int64) []float32 {
		in := emptyCache(m)
		in["input_ids"] = llmc.Int64(ids, 1, len(ids))
		return lastRow(run(t, m, in)["logits"])
	}
	bos := logits(e.After.IDs[:1])
	for i, want := range e.First {
		near(t, "logit after the start token", float64(bos[i]), want, 1e-3)
	}
	after := logits(e.After.IDs)
	for _, want := range e.After.Top {
		best := argmax(after)
		if best != int(want[0]) {
			t.Errorf("token %d, want %v", best, want[0])
		}
		near(t, "logit of a likely token", float64(after[best]), want[1], 1e-3)
		after[best] = float32(math.Inf(-1))
	}
}

func TestSentenceCosines(t *testing.T) {
	dir := modelDir(t, "minilm-l6-sentence")
	e := expected[struct {
		TokenIDs [][]int64   `json:"token_ids"`
		Cosine   [][]float64 `json:"cosine"`
		First8   [][]float64 `json:"first8"`
	}](t, dir)
	m := open(t, dir, llmc.Options{})
	var embeddings [][]float64
	for _, ids := range e.TokenIDs {
		n := len(ids)
		ones := slices.Repeat([]int64{1}, n)
		h := first(t, m, llmc.Tensors{"input_ids": llmc.Int64(ids, 1, n), "attention_mask": llmc.Int64(ones, 1, n), "token_type_ids": llmc.Int64(make([]int64, n), 1, n)})
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
			near(t, "element of an embedding", a[k], want, 1e-3)
		}
		for j, b := range embeddings {
			dot := 0.0
			for k := range a {
				dot += a[k] * b[k]
			}
			near(t, "cosine of two sentences", dot, e.Cosine[i][j], 5e-3)
		}
	}
}

// Sentences are cut after bytes.
func TestSentenceCuts(t *testing.T) {
	dir := modelDir(t, "nnsplit-en")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Padding   int        `json:"padding"`
		Texts     []string   `json:"texts"`
		Sentences [][]string `json:"sentences"`
	}](t, dir)
	for k, text := range e.Texts {
		zeros := make([]byte, e.Padding)
		padded := slices.Concat(zeros, []byte(text), zeros)
		if len(padded)%2 == 1 {
			padded = append(padded, 0)
		}
		if published := inputsOf(t, m, dir, k)[m.Inputs()[0].Name]; !bytes.Equal(published.Data, padded) {
			t.Errorf("set %d is not %q", k, text)
		}
		logits := first(t, m, only(m, llmc.Uint8(padded, 1, len(padded)))).F32()
		var got []string
		begin := 0
		for i := range text {
			if logits[2*(e.Padding+i)] > 0 || i == len(text)-1 { // a probability over a half
				got = append(got, text[begin:i+1])
				begin = i + 1
			}
		}
		if !slices.Equal(got, e.Sentences[k]) {
			t.Errorf("%q, want %q", got, e.Sentences[k])
		}
	}
}

// Names are written in other letters, one turn of a loop each.
func TestTransliteration(t *testing.T) {
	dir := modelDir(t, "transliteration-ar-en")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Words  map[string]string `json:"words"`
		PerSet []string          `json:"per_set"`
	}](t, dir)
	source, target := readLines(t, filepath.Join(dir, "source_vocabulary.txt")), readLines(t, filepath.Join(dir, "target_vocabulary.txt"))
	end := int64(slices.Index(target, "</s>"))
	encode := func(word string) []int64 {
		var ids []int64
		for _, letter := range word {
			ids = append(ids, int64(slices.Index(source, string(letter))))
		}
		return ids
	}
	for k, word := range e.PerSet {
		if ids := inputsOf(t, m, dir, k)["source"].I64(); !slices.Equal(ids, encode(word)) {
			t.Errorf("set %d is %v, want %v for %s", k, ids, encode(word), word)
		}
	}
	for word, want := range e.Words {
		ids := run(t, m, llmc.Tensors{"source": llmc.Int64(encode(word))})["target"].I64()
		got := ""
		for _, id := range ids[:len(ids)-1] {
			got += target[id]
		}
		if got != want || ids[len(ids)-1] != end {
			t.Errorf("%s: %s %v, want %s", word, got, ids, want)
		}
	}
}

// The type of a file from its first and last bytes.
func TestFileTypes(t *testing.T) {
	dir := modelDir(t, "magika-filetype")
	m := open(t, dir, llmc.Options{})
	labels := readJSON[[]string](t, filepath.Join(dir, "labels.json"))
	e := expected[struct {
		PerSet []int    `json:"per_set"`
		Labels []string `json:"labels"`
		Files  []string `json:"files"`
	}](t, dir)
	checkClasses(t, m, dir, e.PerSet)
	for k, class := range e.PerSet {
		if labels[class] != e.Labels[k] {
			t.Errorf("class %d is %s, want %s", class, labels[class], e.Labels[k])
		}
	}
	for i, file := range e.Files {
		set := 1 + i // the first is a program, which does not lie there
		x := fileFeatures(readFile(t, filepath.Join(dir, file)))
		if published := inputsOf(t, m, dir, set)[m.Inputs()[0].Name]; !bytes.Equal(published.Data, x.Data) {
			t.Errorf("%s does not give the input of set %d", file, set)
		}
		if got := labels[argmax(first(t, m, only(m, x)).F32())]; got != e.Labels[set] {
			t.Errorf("%s: %s, want %s", file, got, e.Labels[set])
		}
	}
}

// fileFeatures are 1,024 bytes of a file's begin without white space in front, and as many of its end without white
// space behind; 256 stands for bytes that are not there.
func fileFeatures(file []byte) *llmc.Tensor {
	const block, half, missing = 4096, 1024, 256
	x := slices.Repeat([]int32{missing}, 2*half)
	begin := bytes.TrimLeft(file[:min(block, len(file))], " \t\n\r\v\f")
	for i, b := range begin[:min(half, len(begin))] {
		x[i] = int32(b)
	}
	end := bytes.TrimRight(file[max(0, len(file)-block):], " \t\n\r\v\f")
	end = end[max(0, len(end)-half):]
	for i, b := range end {
		x[len(x)-len(end)+i] = int32(b)
	}
	return llmc.Int32(x, 1, len(x))
}
