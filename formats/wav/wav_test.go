package wav_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/wav"
	"github.com/llmc-go/llmc/ir/dtype"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t testing.TB, name string) *wav.Sound {
	t.Helper()
	s, err := wav.Decode(read(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// The files were written by libsndfile 1.2.2: these values, and for the second channel of two the same backwards.
var values = []float64{0, 0.5, -0.5, 0.25, -1, 127. / 128}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		file string
		want wav.Sound
	}{
		{"u8.wav", wav.Sound{Rate: 22050, Channels: 1, Bits: 8}},
		{"s16.wav", wav.Sound{Rate: 22050, Channels: 1, Bits: 16}},
		{"s24.wav", wav.Sound{Rate: 22050, Channels: 1, Bits: 24}},
		{"s32.wav", wav.Sound{Rate: 22050, Channels: 1, Bits: 32}},
		{"f32.wav", wav.Sound{Rate: 22050, Channels: 1, Bits: 32, Float: true}},
		{"f64.wav", wav.Sound{Rate: 22050, Channels: 1, Bits: 64, Float: true}},
		{"stereo.wav", wav.Sound{Rate: 44100, Channels: 2, Bits: 16}},
		{"extensible.wav", wav.Sound{Rate: 48000, Channels: 2, Bits: 24}},
	} {
		s := decode(t, c.file)
		if s.Rate != c.want.Rate || s.Channels != c.want.Channels || s.Bits != c.want.Bits || s.Float != c.want.Float || s.Len() != len(values) {
			t.Errorf("%s: %d samples of %+v, want %d of %+v", c.file, s.Len(), s, len(values), c.want)
			continue
		}
		for ch := range s.Channels {
			for i := range values {
				want := values[i]
				if ch == 1 {
					want = values[len(values)-1-i]
				}
				if got := s.Sample(i, ch); got != want {
					t.Errorf("%s: sample %d of channel %d is %v, want %v", c.file, i, ch, got, want)
				}
			}
		}
	}
}

// file makes a file of chunks: pairs of a name and its bytes.
func file(parts ...string) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVE")
	for i := 0; i < len(parts); i += 2 {
		b = append(b, parts[i]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(parts[i+1])))
		b = append(b, parts[i+1]...)
		if len(parts[i+1])%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

// format is the contents of a chunk "fmt ".
func format(code, channels, rate, bits int) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(code))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	return string(binary.LittleEndian.AppendUint16(b, uint16(bits)))
}

// Chunks of no interest are passed over, odd ones with the byte that fills them up; a size that nobody knew is the rest.
func TestChunks(t *testing.T) {
	mono := format(1, 1, 8000, 16)
	odd := file("LIST", "odd", "fmt ", mono, "fact", "1234", "data", "\x00\x40")
	endless := file("fmt ", mono, "data", "\x00\x40")
	binary.LittleEndian.PutUint32(endless[len(endless)-6:], math.MaxUint32)
	for name, data := range map[string][]byte{"odd": odd, "endless": endless} {
		if s, err := wav.Decode(data); err != nil || s.Len() != 1 || s.Sample(0, 0) != 0.5 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestErrors(t *testing.T) {
	mono := format(1, 1, 8000, 16)
	block := []byte(mono)
	block[12] = 3
	long := file("fmt ", mono, "data", "1234")
	binary.LittleEndian.PutUint32(long[len(long)-8:], 6)
	for _, c := range []struct {
		data []byte
		kind error
		want string
	}{
		{nil, wav.ErrMalformed, "signature"},
		{[]byte("RIFF\x00\x00\x00\x00AVI "), wav.ErrMalformed, "signature"},
		{bytes.Replace(file("fmt ", mono), []byte("RIFF"), []byte("RF64"), 1), wav.ErrUnsupported, "RF64"},
		{file(), wav.ErrMalformed, "no samples"},
		{file("fmt ", mono), wav.ErrMalformed, "no samples"},
		{file("data", "12", "fmt ", mono), wav.ErrMalformed, "without a format"},
		{file("fmt ", mono[:14]), wav.ErrMalformed, "format of 14 bytes"},
		{long, wav.ErrMalformed, `chunk "data" of 6 bytes, and 4 are left`},
		{file("fmt ", mono, "data", "123"), wav.ErrMalformed, "3 bytes of samples, 2 at a time"},
		{file("fmt ", string(block), "data", "12"), wav.ErrMalformed, "3 bytes for 1 samples of 16 bits"},
		{file("fmt ", format(1, 0, 8000, 16)), wav.ErrUnsupported, "0 channels"},
		{file("fmt ", format(1, 65, 8000, 8)), wav.ErrUnsupported, "65 channels"},
		{file("fmt ", format(1, 1, 0, 8)), wav.ErrMalformed, "0 samples a second"},
		{file("fmt ", format(1, 1, 8000, 12)), wav.ErrUnsupported, "12 bits"},
		{file("fmt ", format(3, 1, 8000, 16)), wav.ErrUnsupported, "16 bits"},
		{file("fmt ", format(0xfffe, 1, 8000, 16)), wav.ErrUnsupported, "extensible format of 16 bytes"},
		{read(t, "ulaw.wav"), wav.ErrUnsupported, "format 0x7"},
	} {
		if _, err := wav.Decode(c.data); !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%q: want %v with %q, got %v", c.data, c.kind, c.want, err)
		}
	}
}

func TestTensor(t *testing.T) {
	open := input.Extent{Open: true}
	fixed := func(n int) input.Extent { return input.Extent{Size: n} }
	back := slices.Clone(values)
	slices.Reverse(back)
	var turns, mean []float64
	for i := range values {
		turns = append(turns, values[i], back[i])
		mean = append(mean, (values[i]+back[i])/2)
	}
	both := append(slices.Clone(values), back...)
	padded := append(slices.Clone(values), 0, 0)
	for _, c := range []struct {
		name   string
		file   string
		o      wav.Options
		target input.Target
		shape  []int
		want   []float64
	}{
		{"samples alone", "s24.wav", wav.Options{Rate: 22050}, input.Target{}, []int{6}, values},
		{"a batch", "s16.wav", wav.Options{}, input.Target{Elem: dtype.F64, Shape: []input.Extent{open, open}}, []int{1, 6}, values},
		{"fixed time", "f64.wav", wav.Options{Samples: 70}, input.Target{Shape: []input.Extent{open, fixed(70), fixed(1)}}, []int{1, 70, 1}, append(slices.Clone(values), make([]float64, 64)...)},
		{"half floats", "f32.wav", wav.Options{}, input.Target{Elem: dtype.F16, Shape: []input.Extent{open}}, []int{6}, values},
		{"filled up", "s16.wav", wav.Options{Samples: 8}, input.Target{Shape: input.Sizes(1, 8)}, []int{1, 8}, padded},
		{"cut off", "s16.wav", wav.Options{Samples: 2}, input.Target{}, []int{2}, values[:2]},
		{"two channels alone", "stereo.wav", wav.Options{}, input.Target{}, []int{2, 6}, both},
		{"channels first", "stereo.wav", wav.Options{}, input.Target{Shape: []input.Extent{fixed(2), open}}, []int{2, 6}, both},
		{"channels first, open", "extensible.wav", wav.Options{}, input.Target{Shape: []input.Extent{open, open, open}}, []int{1, 2, 6}, both},
		{"channels last", "stereo.wav", wav.Options{}, input.Target{Shape: []input.Extent{fixed(1), open, fixed(2)}}, []int{1, 6, 2}, turns},
		{"mono", "stereo.wav", wav.Options{Mono: true}, input.Target{Shape: []input.Extent{open, open}}, []int{1, 6}, mean},
		{"integers", "s16.wav", wav.Options{Samples: 7}, input.Target{Elem: dtype.I16, Shape: []input.Extent{open}}, []int{7}, []float64{0, 16384, -16384, 8192, -32768, 32512, 0}},
		{"bytes", "u8.wav", wav.Options{Samples: 7}, input.Target{Elem: dtype.U8, Shape: []input.Extent{open}}, []int{7}, []float64{128, 192, 64, 160, 0, 255, 128}},
	} {
		v, err := decode(t, c.file).Tensor(c.o, c.target)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []float64
		for i := range v.Len() {
			if v.Elem.IsFloat() {
				got = append(got, v.Float(i))
			} else {
				got = append(got, float64(v.Int(i)))
			}
		}
		if v.Check() != nil || !slices.Equal(v.Shape, c.shape) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v%v %v, want %v %v", c.name, v.Elem, v.Shape, got, c.shape, c.want)
		}
	}
}

func TestTensorErrors(t *testing.T) {
	open := input.Extent{Open: true}
	for _, c := range []struct {
		name   string
		file   string
		o      wav.Options
		target input.Target
		want   string
	}{
		{"rate", "s16.wav", wav.Options{Rate: 16000}, input.Target{}, "22050 samples a second, want 16000"},
		{"length", "s16.wav", wav.Options{}, input.Target{Elem: dtype.F32, Shape: input.Sizes(1, 100)}, "6 samples, and f32[1, 100] takes 100; with samples 100"},
		{"two into one", "stereo.wav", wav.Options{}, input.Target{Shape: []input.Extent{open, open}}, "mono mixes them"},
		{"one into two", "s16.wav", wav.Options{}, input.Target{Shape: []input.Extent{{Size: 2}, open}}, "axis 0 of f32[2, ?]"},
		{"a batch of three", "stereo.wav", wav.Options{}, input.Target{Shape: []input.Extent{{Size: 3}, {Size: 2}, open}}, "axis 0"},
		{"integers of another width", "s24.wav", wav.Options{}, input.Target{Elem: dtype.I16}, "integers of 24 bits into i16"},
		{"floats into integers", "f32.wav", wav.Options{}, input.Target{Elem: dtype.I32}, "floats of 32 bits into i32"},
		{"strings", "u8.wav", wav.Options{}, input.Target{Elem: dtype.String}, "into str"},
		{"too long", "stereo.wav", wav.Options{Samples: 1 << 28}, input.Target{}, "of 2 channels"},
	} {
		if _, err := decode(t, c.file).Tensor(c.o, c.target); !errors.Is(err, wav.ErrTarget) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
		}
	}
	for _, o := range []wav.Options{{Rate: -1}, {Samples: -1}, {Samples: 1 << 29}} {
		if _, err := decode(t, "s16.wav").Tensor(o, input.Target{}); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestParseOptions(t *testing.T) {
	o, err := wav.ParseOptions([]byte(`{"rate": 16000, "mono": true, "samples": 8000}`))
	if want := (wav.Options{Rate: 16000, Mono: true, Samples: 8000}); err != nil || o != want {
		t.Errorf("%+v, %v, want %+v", o, err, want)
	}
	for _, bad := range []string{"", `{"speed": 1}`, `{"rate": -1}`, `{"rate": 1} 2`, `{"mono": 1}`} {
		if _, err := wav.ParseOptions([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "sound options: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.wav")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		f.Add(read(f, filepath.Base(name)), false, 0, []byte{})
		f.Add(read(f, filepath.Base(name)), true, 100, []byte{0, 100, 1})
		f.Add(read(f, filepath.Base(name)), false, 3, []byte{1, 2, 0})
	}
	f.Fuzz(func(t *testing.T, data []byte, mono bool, samples int, shape []byte) {
		s, err := wav.Decode(data)
		if err != nil {
			return
		}
		v, err := s.Tensor(wav.Options{}, input.Target{})
		if err != nil || v.Check() != nil || v.Len() != s.Len()*s.Channels || v.Len() > len(data) {
			t.Fatalf("%v of %d bytes: %v", v, len(data), err)
		}
		target := input.Target{}
		for _, n := range shape {
			target.Shape = append(target.Shape, input.Extent{Size: int(n), Open: n == 0})
		}
		v, err = s.Tensor(wav.Options{Mono: mono, Samples: samples % 1000}, target)
		if err != nil {
			return
		}
		for i, e := range target.Shape {
			if len(v.Shape) != len(target.Shape) || !e.Open && v.Shape[i] != e.Size {
				t.Fatalf("%v for %v", v.Shape, target)
			}
		}
	})
}

func ExampleDecode() {
	data, _ := os.ReadFile("testdata/stereo.wav")
	s, err := wav.Decode(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Rate, s.Channels, s.Len(), s.Sample(1, 0))
	// Output: 44100 2 6 0.5
}
