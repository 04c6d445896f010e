package program_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"os"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/runtime/program"
)

// check decodes any bytes: what is accepted must be valid and survive another trip.
func check(t testing.TB, data []byte) (ok bool) {
	t.Helper()
	p, err := program.Decode(data)
	if err != nil {
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
		return false
	}
	if err := program.Verify(p); err != nil {
		t.Errorf("accepted, then %v", err)
	}
	return true
}

// mutate damages a file in one of the ways that matter: bits, bytes, words with telling values, and copies of
// other parts.
func mutate(r *rand.Rand, data []byte) {
	n := len(data)
	for range 1 + r.IntN(3) {
		at := r.IntN(n)
		switch r.IntN(6) {
		case 0:
			data[at] ^= 1 << r.IntN(8)
		case 1:
			data[at] = byte(r.Uint32())
		case 2:
			at = at / 4 * 4
			if at+4 <= n {
				v := []uint32{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, uint32(n), uint32(n - at), r.Uint32N(uint32(n)), r.Uint32()}
				binary.LittleEndian.PutUint32(data[at:], v[r.IntN(len(v))])
			}
		case 3:
			at = at / 2 * 2
			if at+2 <= n {
				binary.LittleEndian.PutUint16(data[at:], uint16(r.IntN(64)))
			}
		case 4:
			k := min(1+r.IntN(32), n-at)
			from := r.IntN(n - k + 1)
			copy(data[at:at+k], data[from:])
		case 5:
			at = at / 4 * 4
			if at+4 <= n {
				v := binary.LittleEndian.Uint32(data[at:]) + uint32(r.IntN(9)) - 4
				binary.LittleEndian.PutUint32(data[at:], v)
			}
		}
	}
}

// Damaged files are refused or valid, and none costs more than a little memory.
func TestMutants(t *testing.T) {
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	full := encode(t, full())
	desc := 64 + int(binary.LittleEndian.Uint64(full[24:]))
	little := encode(t, small())
	r := rand.New(rand.NewPCG(1, 2))
	allocs := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	read := func() uint64 {
		metrics.Read(allocs)
		return allocs[0].Value.Uint64()
	}
	accepted := 0
	bad := make([]byte, 0, len(full))
	for i := range n {
		if i%8 == 0 {
			bad = append(bad[:0], full...)
			mutate(r, bad[:desc])
		} else {
			bad = append(bad[:0], little...)
			mutate(r, bad)
		}
		before := read()
		if check(t, bad) {
			accepted++
		}
		if used := read() - before; used > 64<<20 {
			t.Fatalf("mutant %d: %d bytes were allocated", i, used)
		}
		if t.Failed() {
			t.Fatalf("mutant %d", i)
		}
	}
	t.Logf("%d of %d mutants are valid", accepted, n)
	if accepted == 0 || accepted == n {
		t.Error("the mutants prove nothing")
	}
}

// Every prefix of a file is refused.
func TestTruncated(t *testing.T) {
	data := encode(t, small())
	for i := range data {
		if check(t, bytes.Clone(data[:i])) {
			t.Errorf("%d bytes of %d are accepted", i, len(data))
		}
	}
	if check(t, append(bytes.Clone(data), 0)) {
		t.Error("a byte too many is accepted")
	}
	if !check(t, data) {
		t.Error("the whole is refused")
	}
}

// The description alone, cut at every byte with a header that agrees.
func TestTruncatedDescription(t *testing.T) {
	data := encode(t, small())
	n := int(binary.LittleEndian.Uint64(data[24:]))
	for i := range n {
		bad := bytes.Clone(data)
		binary.LittleEndian.PutUint64(bad[24:], uint64(i))
		check(t, bad)
	}
}

// description is the description in a file, and wrap a file around one.
func description(data []byte) []byte { return data[64 : 64+binary.LittleEndian.Uint64(data[24:])] }

func wrap(desc []byte, header, sections []byte) []byte {
	data := append(bytes.Clone(header[:64]), desc...)
	data = append(data, make([]byte, (4096-len(data)%4096)%4096)...)
	binary.LittleEndian.PutUint64(data[24:], uint64(len(desc)))
	binary.LittleEndian.PutUint64(data[32:], uint64(len(data)))
	binary.LittleEndian.PutUint64(data[40:], uint64(len(sections)))
	return append(data, sections...)
}

// FuzzDecode takes its input as a file, and as the description in one.
func FuzzDecode(f *testing.F) {
	little := encode(f, small())
	f.Add(little)
	f.Add(description(little))
	f.Add(description(encode(f, full())))
	sections := make([]byte, 24<<10)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, wrap(data, little, sections)} {
			p, err := program.Decode(file)
			if err != nil {
				continue
			}
			once := encode(t, p)
			again, err := program.Decode(once)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encode(t, again), once) {
				t.Error("the file changes when the program is written again")
			}
			was, is := p.Summary(), again.Summary()
			for i := range was.Consts { // constants with equal bytes are stored once
				if old := &was.Consts[i]; len(is.Consts) == len(was.Consts) && old.Bytes > is.Consts[i].Bytes {
					old.Bytes = is.Consts[i].Bytes
				}
			}
			if was.String() != is.String() {
				t.Errorf("the summary changes when the program is written:\n%s\n%s", was, is)
			}
		}
	})
}

var update = flag.Bool("update", false, "rewrite golden files")

// The format does not change unnoticed: a committed file is what the writer makes, and is read.
func TestGolden(t *testing.T) {
	const name = "testdata/small.llmc"
	got := encode(t, small())
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the bytes differ from %s: a change of the format needs a new Version and -update", name)
	}
	if !check(t, want) {
		t.Error("the committed file is refused")
	}
}

func BenchmarkDecode(b *testing.B) {
	data := encode(b, full())
	b.SetBytes(int64(binary.LittleEndian.Uint64(data[24:])))
	for b.Loop() {
		if _, err := program.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
