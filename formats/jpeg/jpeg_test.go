package jpeg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// TestPillow compares with the hashes of what Pillow 13 decodes: the picture itself, and converted to RGB.
func TestPillow(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(string(read(t, "pillow.txt"))), "\n") {
		var name, own, rgb string
		var want Config
		if _, err := fmt.Sscan(line, &name, &want.Width, &want.Height, &want.Channels, &own, &rgb); err != nil {
			t.Fatal(err)
		}
		data := read(t, name+".jpg")
		c, err := DecodeConfig(data)
		if want.memory = c.memory; err != nil || c != want {
			t.Errorf("%s: %+v %v, want %+v", name, c, err, want)
		}
		p, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if hash(p.Pix) != own {
			t.Errorf("%s: not the samples that Pillow decodes", name)
		}
		if hash(p.RGB()) != rgb {
			t.Errorf("%s: not Pillow's RGB", name)
		}
	}
}

// The inverse DCT is within a rounding of its definition (A.3.3).
func TestInverseDCT(t *testing.T) {
	ones := new([64]uint16)
	for i := range ones {
		ones[i] = 1
	}
	for seed := range 200 {
		var coefs [64]int16
		for i := range coefs {
			if (i*7+seed*13)%5 == 0 {
				coefs[i] = int16((i*i*31+seed*97)%201 - 100)
			}
		}
		got := make([]byte, 64)
		inverseDCT(&coefs, ones, got, 8)
		for y := range 8 {
			for x := range 8 {
				sum := 0.
				for v := range 8 {
					for u := range 8 {
						scale := .25
						if u == 0 {
							scale *= math.Sqrt2 / 2
						}
						if v == 0 {
							scale *= math.Sqrt2 / 2
						}
						sum += scale * float64(coefs[8*v+u]) * math.Cos(float64((2*x+1)*u)*math.Pi/16) * math.Cos(float64((2*y+1)*v)*math.Pi/16)
					}
				}
				want := min(max(sum+128, 0), 255)
				if d := math.Abs(float64(got[8*y+x]) - want); d > .6 {
					t.Fatalf("block %d: sample %d, %d is %d, want %v", seed, x, y, got[8*y+x], want)
				}
			}
		}
	}
}

// Every beginning of a file is an error, none a panic.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"420.jpg", "420_progressive.jpg", "optimised_restarts.jpg"} {
		data := read(t, name)
		for n := range len(data) {
			if _, err := Decode(data[:n]); err == nil {
				t.Fatalf("%s: %d of %d bytes: no error", name, n, len(data))
			}
		}
	}
}

func TestErrors(t *testing.T) {
	good := read(t, "420.jpg")
	frame := bytes.Index(good, []byte{0xff, sof0})
	patch := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "unexpected EOF"},
		{"text", []byte("no picture"), "no start of an image"},
		{"arithmetic", patch(frame+1, 0xc9), "not supported"},
		{"lossless", patch(frame+1, 0xc3), "not supported"},
		{"12 bits", patch(frame+4, 12), "12 bits a sample"},
		{"no height", patch(frame+5, 0, 0), "37 by 0 pixels"},
		{"two components", patch(frame+9, 2), "frame header"},
		{"sampling factor", patch(frame+11, 0x52), "sampling factors 5 and 2"},
		{"fraction", patch(frame+11, 0x32, 0, 2, 0x21), "multiples"},
		{"table", patch(frame+12, 3), "no quantisation table 3"},
		{"no scan", append(bytes.Clone(good[:frame+19]), 0xff, eoi), "no scan of component 0"},
		{"no frame", []byte{0xff, soi, 0xff, eoi}, "no frame"},
		{"scans", append(bytes.Clone(good[:len(good)-2]), bytes.Repeat(good[bytes.Index(good, []byte{0xff, sos}):len(good)-2], maxScans)...), "more than 200 scans"},
	} {
		if _, err := Decode(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"grey", "420_narrow", "420_progressive", "optimised_restarts", "ycck", "1x2_3x1_1x1"} {
		f.Add(read(f, name+".jpg"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfig(data)
		if err != nil || c.Memory() > 1<<20 {
			return
		}
		p, err := Decode(data)
		if err != nil {
			return
		}
		if p.Width != c.Width || p.Height != c.Height || p.Channels != c.Channels || len(p.Pix) != c.Width*c.Height*c.Channels || len(p.RGB()) != 3*c.Width*c.Height {
			t.Fatalf("a picture of %dx%dx%d in %d bytes, want %+v", p.Width, p.Height, p.Channels, len(p.Pix), c)
		}
	})
}
