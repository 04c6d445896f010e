package jpeg2000

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

// files are the names of the test pictures, with what Pillow 13 (OpenJPEG 2.5.4) decodes: size, and hash of the RGB.
func files(t testing.TB) (names []string, want map[string]string) {
	want = map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(read(t, "pillow.txt"))), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		names, want[name] = append(names, name), rest
	}
	return names, want
}

// TestPillow compares with Pillow; subsampled.j2k, which it garbles, with opj_decompress, whose pixels are doubled.
func TestPillow(t *testing.T) {
	names, want := files(t)
	for _, name := range names {
		data := read(t, name)
		p, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		hash := sha256.Sum256(p.RGB())
		if got := fmt.Sprintf("%d %d %s", p.Width, p.Height, hex.EncodeToString(hash[:])); got != want[name] {
			t.Errorf("%s: got %s, want %s", name, got, want[name])
		}
		if c, err := DecodeConfig(data); err != nil || c.Width != p.Width || c.Height != p.Height || !Is(data) {
			t.Errorf("%s: header %+v %v", name, c, err)
		}
	}
}

// Every beginning of a file is an error, none a panic.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"rgb97_layers.jp2", "tiles_offset.jp2", "terminate_reset.j2k", "palette.jp2"} {
		data := read(t, name)
		for n := range len(data) {
			if _, err := Decode(data[:n]); err == nil {
				t.Fatalf("%s: %d of %d bytes: no error", name, n, len(data))
			}
		}
	}
}

func TestErrors(t *testing.T) {
	good := read(t, "rgba_precincts.j2k")
	cod := bytes.Index(good, []byte{0xff, markCOD & 255})
	patch := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	insert := func(b ...byte) []byte { return append(append(bytes.Clone(good[:cod]), b...), good[cod:]...) }
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no start"},
		{"no picture", []byte("text"), "no start"},
		{"high throughput", patch(6, 0x40), "high-throughput"},
		{"no width", patch(8, 0, 0, 0, 0), "a picture from"},
		{"no tiles", patch(24, 0, 0, 0, 0), "tiles of 0 by"},
		{"components", patch(40, 0, 5), "the size"},
		{"deep", patch(42, 37), "38 bits a sample"},
		{"sampling", patch(43, 0), "sampled 0 by 1"},
		{"order", patch(cod+5, 5), "in order 5"},
		{"levels", patch(cod+9, 33), "33 decompositions"},
		{"block", patch(cod+10, 9), "code-blocks of 2^11"},
		{"packed headers", insert(0xff, 0x60, 0, 3, 0), "packed packet headers"},
		{"twice", insert(0xff, 0x51, 0, 2), "out of place"},
		{"tile", patch(bytes.Index(good, []byte{0xff, 0x90})+4, 0, 9), "tile 9 of 1"},
		{"no tile", append(bytes.Clone(good[:bytes.Index(good, []byte{0xff, 0x90})]), 0xff, 0xd9), "tile 0: it is missing"},
		{"boxes", []byte(signature), "no code stream"},
		{"box", []byte(signature + "\x00\x00\x00\x20jp2h"), "unexpected EOF"},
	} {
		if _, err := Decode(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	names, _ := files(f)
	for _, name := range names {
		f.Add(read(f, name))
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
		if p.Width != c.Width || p.Height != c.Height || len(p.RGB()) != 3*c.Width*c.Height {
			t.Fatalf("a picture of %d by %d, want %+v", p.Width, p.Height, c)
		}
	})
}
