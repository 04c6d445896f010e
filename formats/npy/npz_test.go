package npy_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// The archives were written by NumPy 2 with savez and savez_compressed from the values that stand here.
func TestArchive(t *testing.T) {
	for _, file := range []string{"savez.npz", "compressed.npz"} {
		a, err := npy.OpenArchive(read(t, file), 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want := []string{"x", "a/b:0", "arr_0"}; !reflect.DeepEqual(sorted(a.Names()), sorted(want)) {
			t.Errorf("%s: arrays %q, want %q", file, a.Names(), want)
		}
		x, err := a.Array("x")
		if err != nil || !slices.Equal(x.F32(), []float32{-1, 0.5, 2, 4, 8, 16}) || !slices.Equal(x.Shape, []int{2, 3}) {
			t.Errorf("%s: x is %v, %v", file, x, err)
		}
		y, err := a.Array("a/b:0")
		if err != nil || !slices.Equal(y.I64(), make([]int64, 1000)) {
			t.Errorf("%s: a/b:0 is %v, %v", file, y, err)
		}
		s, err := a.Array("arr_0")
		if err != nil || !slices.Equal(s.Str, []string{"größe", "日本"}) {
			t.Errorf("%s: arr_0 is %v, %v", file, s, err)
		}
		if _, err := a.Array("z"); err == nil {
			t.Errorf("%s: there is no z", file)
		}
	}
}

func sorted(l []string) []string {
	slices.Sort(l)
	return l
}

func TestEncodeArchive(t *testing.T) {
	arrays := map[string]*tensor.Tensor{"y": tensor.Of(dtype.F32, []float32{1, 2, 3}, 3), "n:0": tensor.Of(dtype.I64, []int64{7}), "names": {Elem: dtype.String, Shape: []int{2}, Str: []string{"a", "ü"}}}
	names := []string{"y", "n:0", "names"}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := npy.EncodeArchive(b, names, arrays); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same arrays give other bytes")
	}
	a, err := npy.OpenArchive(first.Bytes(), 1<<20)
	if err != nil || !slices.Equal(a.Names(), names) {
		t.Fatalf("arrays %v, %v", a.Names(), err)
	}
	for name, want := range arrays {
		if got, err := a.Array(name); err != nil || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) || !slices.Equal(got.Str, want.Str) {
			t.Errorf("%s: %v, want %v: %v", name, got, want, err)
		}
	}
	for name, bad := range map[string]*tensor.Tensor{"absent": nil, "bf16": tensor.New(dtype.BF16, 2)} {
		if err := npy.EncodeArchive(&bytes.Buffer{}, []string{name}, map[string]*tensor.Tensor{name: bad}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// zipped makes an archive of pairs of names and contents, compressed.
func zipped(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(parts[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchiveErrors(t *testing.T) {
	one := string(read(t, "f2.npy"))
	zeros := string(file("{'descr': '|u1', 'fortran_order': False, 'shape': (1048576,), }", strings.Repeat("\x00", 1<<20)))
	encrypted := zipped(t, "x.npy", one)
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	lying := zipped(t, "x.npy", zeros) // says 100 bytes
	at := bytes.Index(lying, []byte("PK\x01\x02")) + 24
	copy(lying[at:], []byte{100, 0, 0, 0})
	corrupt := zipped(t, "x.npy", zeros)
	corrupt[60] ^= 0x55
	for _, c := range []struct {
		name string
		data []byte
		kind error
		want string
	}{
		{"no archive", []byte("PK"), npy.ErrMalformed, "zip"},
		{"twice", zipped(t, "x.npy", one, "x.npy", one), npy.ErrMalformed, `two arrays "x"`},
		{"no array", zipped(t, "x.npy", one, "notes.txt", "hello"), npy.ErrUnsupported, `"notes.txt"`},
		{"encrypted", encrypted, npy.ErrUnsupported, "encrypted"},
		{"no npy", zipped(t, "x.npy", "hello"), npy.ErrMalformed, `array "x": no npy signature`},
		{"bomb", zipped(t, "x.npy", zeros), npy.ErrTooLarge, "of 100000 that are left"},
		{"lying", lying, npy.ErrMalformed, `array "x"`},
		{"corrupt", corrupt, npy.ErrMalformed, `array "x"`},
	} {
		limit := int64(100000)
		if c.name != "bomb" {
			limit = 1 << 22
		}
		a, err := npy.OpenArchive(c.data, limit)
		if err == nil {
			_, err = a.Array("x")
		}
		if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: want %v with %q, got %v", c.name, c.kind, c.want, err)
		}
	}
}

// The limit is of all arrays together.
func TestArchiveLimit(t *testing.T) {
	one := string(read(t, "f2.npy"))
	a, err := npy.OpenArchive(zipped(t, "x.npy", one, "y.npy", one), int64(2*len(one)-1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Array("x"); err != nil {
		t.Error(err)
	}
	if _, err := a.Array("y"); !errors.Is(err, npy.ErrTooLarge) {
		t.Errorf("want too large, got %v", err)
	}
}

func FuzzArchive(f *testing.F) {
	for _, name := range []string{"savez.npz", "compressed.npz"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(zipped(f, "x.npy", "", "x.npy", ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		a, err := npy.OpenArchive(data, limit)
		if err != nil {
			return
		}
		total := int64(0)
		for _, name := range a.Names() {
			v, err := a.Array(name)
			if err != nil {
				continue
			}
			if err := v.Check(); err != nil {
				t.Fatal(err)
			}
			total += int64(len(v.Data))
		}
		if total > limit {
			t.Fatalf("%d bytes, and the limit is %d", total, limit)
		}
	})
}

func ExampleOpenArchive() {
	data, _ := os.ReadFile("testdata/savez.npz")
	a, err := npy.OpenArchive(data, 1<<20)
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := a.Array("x")
	fmt.Println(x.Shape, x.F32(), err)
	// Output: [2 3] [-1 0.5 2 4 8 16] <nil>
}
