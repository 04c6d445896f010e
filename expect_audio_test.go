package llmc_test

import (
	"math"
	"math/cmplx"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/wav"
)

// readWave reads the samples of a mono file of this rate.
func readWave(t *testing.T, path string, rate int) []float32 {
	t.Helper()
	sound, err := wav.Decode(readFile(t, path))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	x, err := sound.Tensor(wav.Options{Rate: rate}, input.Target{Shape: []input.Extent{{Open: true}}})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return x.F32()
}

func TestSpeechSegments(t *testing.T) {
	dir := modelDir(t, "silero-vad")
	e := expected[struct {
		Wave          string       `json:"wav"`
		Frame         int          `json:"frame"`
		Context       int          `json:"context"`
		Rate          int          `json:"sample_rate"`
		Probabilities []float64    `json:"probabilities"`
		Segments      [][2]float64 `json:"speech_segments_s"`
	}](t, dir)
	m := open(t, dir, llmc.Options{Shapes: map[string][]int{"input": {1, e.Context + e.Frame}, "state": {2, 1, 128}}})
	wave := readWave(t, filepath.Join(dir, e.Wave), e.Rate)
	window := make([]float32, e.Context+e.Frame)
	state := llmc.Zeros(2, 1, 128)
	var probs []float64
	for ; len(wave) >= e.Frame; wave = wave[e.Frame:] {
		copy(window, window[e.Frame:])
		copy(window[e.Context:], wave)
		out := run(t, m, llmc.Tensors{"input": llmc.Float32(window, 1, len(window)), "state": state, "sr": llmc.Int64([]int64{int64(e.Rate)})})
		probs = append(probs, float64(out["output"].F32()[0]))
		state = out["stateN"]
	}
	if len(probs) != len(e.Probabilities) {
		t.Fatalf("%d frames, want %d", len(probs), len(e.Probabilities))
	}
	for i, p := range probs {
		if math.Abs(p-e.Probabilities[i]) > 2e-3 {
			t.Errorf("frame %d: %v, want %v", i, p, e.Probabilities[i])
		}
	}
	got := segments(probs, float64(e.Frame)/float64(e.Rate))
	if len(got) != len(e.Segments) {
		t.Fatalf("speech at %v, want %v", got, e.Segments)
	}
	for i, want := range e.Segments {
		near(t, "begin of speech, in seconds", got[i][0], want[0], 0.006)
		near(t, "end of speech, in seconds", got[i][1], want[1], 0.006)
	}
}

// segments are the times of speech: it begins above a probability of 0.5, ends below 0.35, and lasts a quarter of a
// second at least.
func segments(probs []float64, frame float64) [][2]float64 {
	var out [][2]float64
	begin := -1
	for i, p := range probs {
		switch {
		case begin < 0 && p > 0.5:
			begin = i
		case begin >= 0 && p < 0.35:
			if float64(i-begin)*frame >= 0.25 {
				out = append(out, [2]float64{float64(begin) * frame, float64(i) * frame})
			}
			begin = -1
		}
	}
	return out
}

// Single frames with the state of a real run: silence, speech, a pause; and speech at half the rate.
func TestSpeechFrames(t *testing.T) {
	dir := modelDir(t, "silero-vad")
	for k, want := range []float64{0.005, 0.997, 0.024, 0.997} {
		window := 576
		if k == 3 {
			window /= 2
		}
		m := open(t, dir, llmc.Options{Shapes: map[string][]int{"input": {1, window}, "state": {2, 1, 128}}})
		near(t, "probability of speech", float64(first(t, m, inputsOf(t, m, dir, k)).F32()[0]), want, 6e-4)
	}
}

// Noise is taken out of speech frame by frame; the network's memory goes out and in again.
func TestDenoisedSpeech(t *testing.T) {
	dir := modelDir(t, "speech-denoise-gtcrn")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Noisy string  `json:"noisy"`
		Clean string  `json:"clean"`
		In    float64 `json:"si_sdr_in_db"`
		Out   float64 `json:"si_sdr_out_db"`
		Tol   float64 `json:"tolerance_db"`
	}](t, dir)
	noisy, clean := readWave(t, filepath.Join(dir, e.Noisy), 16000), readWave(t, filepath.Join(dir, e.Clean), 16000)
	near(t, "distortion of the input, in dB", distortion(noisy, clean), e.In, 0.01)

	const size, hop, bins = 512, 256, 257
	window := make([]float64, size) // the root of Hann's
	for i := range window {
		window[i] = math.Sin(math.Pi * float64(i) / size)
	}
	padded := slices.Concat(make([]float32, hop), noisy, make([]float32, size))
	result := make([]float64, len(padded))
	in := llmc.Tensors{"conv_cache": llmc.Zeros(2, 1, 16, 16, 33), "tra_cache": llmc.Zeros(2, 3, 1, 1, 16), "inter_cache": llmc.Zeros(2, 1, 33, 16)}
	frame := make([]complex128, size)
	for at := 0; at+size <= len(padded); at += hop {
		for i := range frame {
			frame[i] = complex(window[i]*float64(padded[at+i]), 0)
		}
		mix := make([]float32, 0, 2*bins)
		for _, c := range fourier(frame)[:bins] {
			mix = append(mix, float32(real(c)), float32(imag(c)))
		}
		in["mix"] = llmc.Float32(mix, 1, bins, 1, 2)
		out := run(t, m, in)
		for name := range in {
			if name != "mix" {
				in[name] = out[name+"_out"]
			}
		}
		// The inverse transform of what is real: conjugate, transform, and divide by the size.
		enh := out["enh"].F32()
		for k := range frame {
			if k < bins {
				frame[k] = complex(float64(enh[2*k]), -float64(enh[2*k+1]))
			} else {
				frame[k] = cmplx.Conj(frame[size-k])
			}
		}
		for i, c := range fourier(frame) {
			result[at+i] += window[i] * real(c) / size
		}
	}
	enhanced := make([]float32, len(clean))
	for i := range enhanced {
		enhanced[i] = float32(result[hop+i])
	}
	near(t, "distortion of the output, in dB", distortion(enhanced, clean), e.Out, e.Tol)
}

// fourier is the discrete transform of a power of two of values (Cooley and Tukey, 1965).
func fourier(x []complex128) []complex128 {
	n := len(x)
	if n == 1 {
		return []complex128{x[0]}
	}
	even, odd := make([]complex128, n/2), make([]complex128, n/2)
	for i := range even {
		even[i], odd[i] = x[2*i], x[2*i+1]
	}
	even, odd = fourier(even), fourier(odd)
	out := make([]complex128, n)
	for k := range even {
		turned := cmplx.Rect(1, -2*math.Pi*float64(k)/float64(n)) * odd[k]
		out[k], out[k+n/2] = even[k]+turned, even[k]-turned
	}
	return out
}

// distortion is the scale-invariant ratio of signal to distortion in dB (Le Roux et al., "SDR - half-baked or well
// done?", 2019).
func distortion(got, want []float32) float64 {
	dot, energy := 0.0, 0.0
	for i, w := range want {
		dot += float64(got[i]) * float64(w)
		energy += float64(w) * float64(w)
	}
	scale := dot / energy
	signal, noise := 0.0, 0.0
	for i, w := range want {
		s := scale * float64(w)
		d := float64(got[i]) - s
		signal += s * s
		noise += d * d
	}
	return 10 * math.Log10(signal/noise)
}

// Four tones become four notes of the piano.
func TestNotes(t *testing.T) {
	dir := modelDir(t, "basic-pitch")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Notes     int     `json:"note_output"`
		Onsets    int     `json:"onset_output"`
		Threshold float32 `json:"threshold"`
		MIDI      []int   `json:"midi"`
		Frames    []int   `json:"onset_frames"`
		Rate      float64 `json:"frames_per_second"`
	}](t, dir)
	wave := readWave(t, filepath.Join(dir, "notes.wav"), 22050)
	out := run(t, m, only(m, llmc.Float32(wave, 1, len(wave), 1)))
	const keys, lowest = 88, 21
	column := func(output, key int) []float32 {
		all := out[m.Outputs()[output].Name].F32()
		var v []float32
		for i := key; i < len(all); i += keys {
			v = append(v, all[i])
		}
		return v
	}
	var held []int
	for key := range keys {
		if slices.Max(column(e.Notes, key)) > e.Threshold {
			held = append(held, key+lowest)
		}
	}
	if !slices.Equal(held, e.MIDI) {
		t.Fatalf("notes %v, want %v", held, e.MIDI)
	}
	for i, note := range e.MIDI {
		onset := column(e.Onsets, note-lowest)
		frame := argmax(onset)
		if frame != e.Frames[i] || onset[frame] < 0.9 {
			t.Errorf("note %d begins at frame %d with %.2f, want %d", note, frame, onset[frame], e.Frames[i])
		}
		// the tones were written at these times; a frame is half a hundredth of a second off at the most
		near(t, "begin of a note, in seconds", float64(frame)/e.Rate, 0.1+0.4*float64(i), 1/e.Rate)
	}
}
