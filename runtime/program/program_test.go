package program_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/program"
)

func encode(t testing.TB, p *program.Program) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := program.Write(&b, p, program.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// normal brings a value to what a reader makes: empty slices are nil.
func normal(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			normal(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				normal(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			normal(v.Index(i))
		}
	}
}

// What is written is read back: all but constants as they were, packed ones as f32 matrices.
func TestRoundTrip(t *testing.T) {
	for name, make := range map[string]func() *program.Program{"small": small, "full": full} {
		t.Run(name, func(t *testing.T) {
			want := make()
			if err := program.Verify(want); err != nil {
				t.Fatal(err)
			}
			got, err := program.Decode(encode(t, want))
			if err != nil {
				t.Fatal(err)
			}
			for i := range want.Consts {
				c := &want.Consts[i]
				if c.Pack == nil {
					continue
				}
				packed := packNaively(c)
				c.Data, c.Shape, c.Elem, c.Pack = packed, []int{c.Pack.K, c.Pack.N}, dtype.F32, nil
			}
			normal(reflect.ValueOf(want))
			normal(reflect.ValueOf(got))
			// NaN is not equal to itself
			a, b := fmt.Sprintf("%#v", want.Entries), fmt.Sprintf("%#v", got.Entries)
			if strip(a) != strip(b) {
				t.Errorf("entries differ:\n%s\n%s", strip(a), strip(b))
			}
			checkNested(t, want.Entries, got.Entries)
			want.Entries, got.Entries = nil, nil
			if !reflect.DeepEqual(want, got) {
				t.Errorf("want %+v\ngot %+v", want, got)
			}
		})
	}
}

// strip removes addresses of nested structs from %#v.
func strip(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "(0x")
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		s = s[i+3:]
		s = s[strings.IndexByte(s, ')'):]
	}
}

// checkNested compares what %#v shows as addresses.
func checkNested(t *testing.T, want, got []program.Entry) {
	steps := func(l []program.Entry) (s []*program.Step) {
		for i := range l {
			l[i].Body.Walk(func(st *program.Step) { s = append(s, st) })
		}
		return s
	}
	a, b := steps(want), steps(got)
	for i := range a {
		if !reflect.DeepEqual(a[i].Window, b[i].Window) || !reflect.DeepEqual(a[i].Attend, b[i].Attend) {
			t.Errorf("step %d: want %+v %+v, got %+v %+v", i, a[i].Window, a[i].Attend, b[i].Window, b[i].Attend)
		}
	}
}

// packNaively places element (k, n) of an f32 source at panel n/32, row k, lane n%32.
func packNaively(c *program.Const) []byte {
	p := c.Pack
	out := make([]byte, (p.N+31)/32*32*p.K*4)
	for k := range p.K {
		for n := range p.N {
			src := (p.Off + k*p.RowStride + n*p.ColStride) * 4
			dst := (n/32*p.K*32 + k*32 + n%32) * 4
			copy(out[dst:dst+4], c.Data[src:])
		}
	}
	return out
}

func TestDeterministic(t *testing.T) {
	a, b := encode(t, full()), encode(t, full())
	if !bytes.Equal(a, b) {
		t.Error("two files of one program differ")
	}
	p, err := program.Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, p), a) {
		t.Error("a file written from the program that was read differs")
	}
}

// Equal constants share bytes; large sections lie on pages.
func TestSections(t *testing.T) {
	data := encode(t, full())
	p, err := program.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) int { return offsetIn(data, p.Consts[i].Data) }
	if at(1) != at(3) {
		t.Errorf("equal constants lie at %d and %d", at(1), at(3))
	}
	for _, i := range []int{0, 2} {
		if at(i)%4096 != 0 {
			t.Errorf("constant %d lies at %d", i, at(i))
		}
	}
	if at(5)%64 != 0 {
		t.Errorf("constant 5 lies at %d", at(5))
	}
	if len(p.Consts[4].Data) != 0 {
		t.Errorf("empty constant has %d bytes", len(p.Consts[4].Data))
	}
}

func offsetIn(data, part []byte) int {
	for i := range data {
		if &data[i] == &part[0] {
			return i
		}
	}
	return -1
}

func TestPackOption(t *testing.T) {
	calls := 0
	o := program.Options{Pack: func(dst []byte, c *program.Const) error {
		calls++
		copy(dst, packNaively(c))
		return nil
	}}
	var b bytes.Buffer
	if err := program.Write(&b, full(), o); err != nil || calls != 1 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	if !bytes.Equal(b.Bytes(), encode(t, full())) {
		t.Error("the portable packing differs")
	}
}

// Packed constants are made while others are written, in buffers that are used again: none shows in another, equal ones are stored
// once, and ones that differ in a single byte are not equal.
func TestManyPacked(t *testing.T) {
	const k, n = 96, 50
	p := full()
	p.Consts = p.Consts[:0]
	add := func(seed byte, n, at int) {
		data := make([]byte, 4*k*n)
		for i := range data {
			data[i] = byte(i) ^ seed
		}
		data[at] ^= 0x80
		p.Consts = append(p.Consts, program.Const{Name: "w", Elem: dtype.F32, Shape: []int{k, n}, Data: data, Layout: layout.P32,
			Pack: &layout.Packing{K: k, N: n, RowStride: n, ColStride: 1}})
	}
	for i, n := range []int{n, n, 3 * n, n, 1, n, 2 * n, 33} {
		add(byte(i), n, 0)
	}
	add(3, n, 0)       // again
	add(3, n, 4*k*n/3) // but for a byte
	p.Consts = append(p.Consts, program.Const{Name: "b", Elem: dtype.U8, Shape: []int{3}, Data: []byte{1, 2, 3}})
	p.Entries = p.Entries[:0]
	p.Entries = append(p.Entries, program.Entry{Name: "main"})
	want := make([][]byte, len(p.Consts))
	bytesOf := 0
	for i := range p.Consts {
		if want[i] = p.Consts[i].Data; p.Consts[i].Pack != nil {
			want[i] = packNaively(&p.Consts[i])
		}
		if i != 8 {
			bytesOf += len(want[i])
		}
	}
	wrote := 0
	var b bytes.Buffer
	if err := program.Write(&b, p, program.Options{Wrote: func(n int) { wrote += n }}); err != nil {
		t.Fatal(err)
	}
	got, err := program.Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if !bytes.Equal(got.Consts[i].Data, want[i]) {
			t.Errorf("constant %d differs", i)
		}
	}
	if !sameBytes(got.Consts[3].Data, got.Consts[8].Data) || sameBytes(got.Consts[3].Data, got.Consts[9].Data) {
		t.Error("equal constants are stored twice, or unlike ones once")
	}
	if wrote < bytesOf || wrote > bytesOf+4096*len(want) {
		t.Errorf("told of %d bytes of %d", wrote, bytesOf)
	}

	// a failure in the middle, of packing or of writing, leaves nobody at work
	before := runtime.NumGoroutine()
	fail := program.Options{Pack: func(dst []byte, c *program.Const) error {
		if len(dst) == len(want[2]) {
			return errors.New("no")
		}
		return nil
	}}
	if err := program.Write(io.Discard, p, fail); err == nil || !strings.Contains(err.Error(), `constant 2 "w": no`) {
		t.Errorf("got %v", err)
	}
	if err := program.Write(&limited{n: len(b.Bytes()) / 2}, p, program.Options{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, were %d", n, before)
	}
}

// limited takes n bytes.
type limited struct{ n int }

func (l *limited) Write(b []byte) (int, error) {
	if l.n -= len(b); l.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func sameBytes(a, b []byte) bool { return &a[0] == &b[0] }

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.llmc")
	if err := program.WriteFile(context.Background(), path, full(), program.Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := program.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Entries) != 2 || f.Prov.Model != "m.onnx" {
		t.Errorf("got %+v", f.Prov)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	old, _ := os.ReadFile(path)
	ctx, cancel := context.WithCancel(context.Background())
	fails := map[string]func() error{
		"pack": func() error {
			return program.WriteFile(ctx, path, full(), program.Options{Pack: func([]byte, *program.Const) error { return errors.New("no") }})
		},
		"cancel": func() error {
			return program.WriteFile(ctx, path, full(), program.Options{Pack: func(dst []byte, c *program.Const) error {
				cancel()
				copy(dst, packNaively(c))
				return nil
			}})
		},
		"invalid": func() error {
			return program.WriteFile(context.Background(), path, &program.Program{Symbols: make([]program.Symbol, 1)}, program.Options{})
		},
		"folder": func() error {
			return program.WriteFile(context.Background(), filepath.Join(dir, "none", "a"), small(), program.Options{})
		},
	}
	for _, name := range []string{"pack", "cancel", "invalid", "folder"} {
		if err := fails[name](); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	now, _ := os.ReadFile(path)
	l, _ := os.ReadDir(dir)
	if !bytes.Equal(old, now) || len(l) != 1 {
		t.Errorf("after failures: %d files, old content kept: %v", len(l), bytes.Equal(old, now))
	}
}

func TestVersionAndHeader(t *testing.T) {
	data := encode(t, small())
	for _, c := range []struct {
		at   int
		b    byte
		want string
		is   error
	}{
		{0, 'x', "byte 0: the file does not begin as a compiled program", program.ErrMalformed},
		{8, 2, "the file has format version 2, want 1: compile the model again", program.ErrVersion},
		{12, 1, "byte 12: header of 1 bytes", program.ErrMalformed},
		{16, 1, "byte 16: description", program.ErrMalformed},
		{32, 1, "byte 32: sections", program.ErrMalformed},
		{50, 1, "byte 50: want 0, got 1", program.ErrMalformed},
	} {
		bad := bytes.Clone(data)
		bad[c.at] = c.b
		if _, err := program.Decode(bad); err == nil || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("byte %d: want %q, got %v", c.at, c.want, err)
		}
	}
	path := filepath.Join(t.TempDir(), "old.llmc")
	data[8] = 7
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := program.Open(path); err == nil || err.Error() != path+": version not supported: the file has format version 7, want 1: compile the model again" {
		t.Errorf("got %v", err)
	}
}

// Each broken program is refused with the place of the fault.
func TestVerify(t *testing.T) {
	main := func(p *program.Program) *program.Body { return &p.Entries[0].Body }
	cases := []struct {
		want   string
		damage func(p *program.Program)
	}{
		{"dim instruction 0", func(p *program.Program) { p.Dims.Code[0].Op = 99 }},
		{"symbols are described", func(p *program.Program) { p.Symbols = p.Symbols[1:] }},
		{`symbol "B" lies in [5, 4]`, func(p *program.Program) { p.Symbols[0].Lo, p.Symbols[0].Hi = 5, 4 }},
		{"guard 0: dim reference -1", func(p *program.Program) { p.Guards[0].B = -1 }},
		{`constant 1 "conv": 95 bytes, want 96`, func(p *program.Program) { p.Consts[1].Data = p.Consts[1].Data[:95] }},
		{`constant 2 "big": element type 77`, func(p *program.Program) { p.Consts[2].Elem = 77 }},
		{`constant 2 "big": layout "p33"`, func(p *program.Program) { p.Consts[2].Layout = "p33" }},
		{`constant 0 "w": packing`, func(p *program.Program) { p.Consts[0].Pack.K++ }},
		{`constant 0 "w": packed as f32 of rank 1`, func(p *program.Program) { p.Consts[0].Pack, p.Consts[0].Shape = nil, []int{5} }},
		{`constant 5 "nibbles": 2 bytes hold no 3 strings`, func(p *program.Program) { p.Consts[5].Elem = dtype.String }},
		{"program 0: 0 instructions", func(p *program.Program) { p.Progs[0].Code = nil }},
		{"program 0: instruction 1: opcode 250", func(p *program.Program) { p.Progs[0].Code[1].Op = 250 }},
		{"entry 1: the name \"main\" is taken", func(p *program.Program) { p.Entries[1].Name = "main" }},
		{"entry main input 0: i64", func(p *program.Program) { p.Entries[0].Inputs[0].Elem = dtype.I64 }},
		{"entry main has 3 inputs", func(p *program.Program) { p.Entries[0].Inputs = p.Entries[0].Inputs[1:] }},
		{"entry main bind 0: coefficient 0", func(p *program.Program) { p.Entries[0].Binds[0].Coef = 0 }},
		{"entry main bind 1: symbol \"B\" is late or bound before", func(p *program.Program) { p.Entries[0].Binds[1].Sym = p.Entries[0].Binds[0].Sym }},
		{"entry main bind 1: axis 9 of input 0", func(p *program.Program) { p.Entries[0].Binds[1].Axis = 9 }},
		{"entry main bind 0: S is not known then", func(p *program.Program) { p.Entries[0].Binds[0].Rest = p.Entries[0].Inputs[0].Shape[1] }},
		{"entry main input 0: extent S does not follow", func(p *program.Program) { p.Entries[0].Binds = p.Entries[0].Binds[:1] }},
		{"entry main state 0: input 0 and output 8", func(p *program.Program) { p.Entries[0].States[0].Output = 8 }},
		{"entry main state 0", func(p *program.Program) { p.Entries[0].States[0].Axis = 3 }},
		{"buffer 0 \"v\": kind 9", func(p *program.Program) { main(p).Bufs[0].Kind = 9 }},
		{"lives from step 0 to 400", func(p *program.Program) { main(p).Bufs[11].Last = 400 }},
		{"buffer 8 \"v\": constant 6 of 6", func(p *program.Program) { main(p).Bufs[8].Index = 6 }},
		{"buffer 10 \"v\": 3000 of f16, constant 1 has 24 of f32", func(p *program.Program) { main(p).Bufs[10].Index = 1 }},
		{"buffer 9 \"v\": 3000 elements for shape [4 2 3]", func(p *program.Program) { main(p).Bufs[9].Count = main(p).Bufs[10].Count }},
		{"buffer 14 \"v\": extent 2*L is known only while running, its place before", func(p *program.Program) { main(p).Bufs[14].Kind = program.BufTemp }},
		{"buffer 11: aliases form a circle", func(p *program.Program) {
			main(p).Bufs[11] = main(p).Bufs[12]
			main(p).Bufs[12].Last = 1
			main(p).Bufs[11].Alias = 12
			main(p).Bufs[12].Alias = 11
			main(p).Bufs[11].Last = 1
			main(p).Bufs[11].First = 1
		}},
		{"buffer 12: alias 40 of", func(p *program.Program) { main(p).Bufs[12].Alias = 40 }},
		{"buffer 12: takes over buffer 0, which", func(p *program.Program) { main(p).Bufs[12].Alias = 0 }},
		{"buffer 12: takes over buffer 13 of another size", func(p *program.Program) { main(p).Bufs[12].Alias = 13 }},
		{"buffer 12: takes over buffer 11 at step 1, which lives to step 2", func(p *program.Program) { main(p).Bufs[11].Last = 2 }},
		{"parameter 1: buffer 1 is of kind 2 with index 0", func(p *program.Program) { main(p).Bufs[1].Index = 0 }},
		{"step 0 anchor 0 is not known", func(p *program.Program) { main(p).Steps[0].Anchor = 0 }},
		{"step 0 anchor 200 is not known", func(p *program.Program) { main(p).Steps[0].Anchor = 200 }},
		{"step 0 axis 1: dim reference", func(p *program.Program) { main(p).Steps[0].Space[1].Extent = 1000 }},
		{"step 0 in[0]: buffer 90 of", func(p *program.Program) { main(p).Steps[0].In[0].Buf = 90 }},
		{"step 0 in[0]: 2 strides for 3 axes", func(p *program.Program) { main(p).Steps[0].In[0].Stride = main(p).Steps[0].In[0].Stride[1:] }},
		{"step 0 program 55 of", func(p *program.Program) { main(p).Steps[0].Prog = 55 }},
		{"step 0 program 1: reduces in a step of anchor map", func(p *program.Program) { main(p).Steps[0].Prog = 1 }},
		{"step 0 out[0]: buffer 0 is a constant or parameter", func(p *program.Program) { main(p).Steps[0].Out[0].Buf = 0 }},
		{"step 0 in[0]: buffer 4 is read before it is written", func(p *program.Program) { main(p).Steps[0].In[0].Buf = 4 }},
		{"step 0 2 names for 1 results", func(p *program.Program) { main(p).Steps[0].Is = []string{"", ""} }},
		{"step 0 map with the attributes of another anchor", func(p *program.Program) { main(p).Steps[0].Attend = &anchor.AttendAttr{} }},
		{"buffer 8 \"v\": constant -1 of 6", func(p *program.Program) {
			main(p).Bufs[8].Index = -1
		}},
		{"step 2 in[0]: constant 0 has layout \"p32\"", func(p *program.Program) { main(p).Steps[2].In[0].Buf = 8 }},
		{"step 2 1 operands, want at least 2", func(p *program.Program) { main(p).Steps[2].In = main(p).Steps[2].In[:1] }},
		{"step 3 window of 1, 2, 1, 1 and 1 axes", func(p *program.Program) { main(p).Steps[3].Window.Stride = []int{1, 1} }},
		{"step 3 combines by combine(40)", func(p *program.Program) { main(p).Steps[3].Window.Combine = 40 }},
		{"step 3 window axis 0: kernel 0", func(p *program.Program) { main(p).Steps[3].Window.Kernel[0] = 0 }},
		{"step 3 0 groups", func(p *program.Program) { main(p).Steps[3].Window.Groups = 0 }},
		{"step 4 in[1]: rank 3, want 4", func(p *program.Program) { main(p).Steps[4].In[1].Shape = main(p).Steps[4].In[1].Shape[1:] }},
		{"step 5 2 operands are present, 1 are given", func(p *program.Program) { main(p).Steps[5].Present[1] = true }},
		{"step 5 host step without a function", func(p *program.Program) { main(p).Steps[5].Host = "" }},
		{`step 5 attribute "elem": element type 0`, func(p *program.Program) { main(p).Steps[5].Attrs[9].Value.Elem = 0 }},
		{`step 5 attribute "int": kind 60`, func(p *program.Program) { main(p).Steps[5].Attrs[1].Value.Kind = 60 }},
		{`step 5 attribute "const": constant 6 of 6`, func(p *program.Program) { main(p).Steps[5].Attrs[11].Value.I = 6 }},
		{`step 5 attribute "dims": dim reference`, func(p *program.Program) { main(p).Steps[5].Attrs[10].Dims[1] = 9999 }},
		{"step 5 late symbol 0: axis 2 of rank 2", func(p *program.Program) { main(p).Steps[5].Defs[0].Axis = 2 }},
		{"step 5 late symbol 0: symbol 0 is not a late one", func(p *program.Program) { main(p).Steps[5].Defs[0].Sym = 0 }},
		{"step 5 L is not known then", func(p *program.Program) { main(p).Steps[5].Defs = nil }},
		{"step 6 depends on a size known only while running", func(p *program.Program) { main(p).Steps[6].Late = false }},
		{"step 6 in[1]: via 0: operand 1 of 2", func(p *program.Program) { main(p).Steps[6].In[1].Via[0].Operand = 1 }},
		{"step 6 in[1]: via 0: dim reference", func(p *program.Program) { main(p).Steps[6].In[1].Via[0].Stride = -2 }},
		{"step 6 program 5: tile instruction 0", func(p *program.Program) { p.Progs[5].Code[0].Class = 2 }},
		{"result 3 is written by no step", func(p *program.Program) {
			main(p).Steps = append(main(p).Steps[:8], main(p).Steps[9:]...)
			fixLast(main(p))
		}},
		{"step 9 has 1 bodies", func(p *program.Program) { main(p).Steps[9].Bodies = main(p).Steps[9].Bodies[:1] }},
		{"step 9 in[0]: a condition of type f32", func(p *program.Program) { main(p).Steps[9].In[0].Buf = 0 }},
		{"step 9 body 0: parameter 0: f32 of rank 3, want f32 of rank 2", func(p *program.Program) { main(p).Steps[9].In[1].Shape = main(p).Steps[9].In[1].Shape[1:] }},
		{"step 9 body 1 step 1 carries 3 of", func(p *program.Program) { main(p).Steps[9].Bodies[1].Steps[1].Carried = 3 }},
		{"step 9 body 1 step 1 body 0 step 2 in[0]: buffer 44 of 7", func(p *program.Program) { main(p).Steps[9].Bodies[1].Steps[1].Bodies[0].Steps[2].In[0].Buf = 44 }},
		{"step 9 body 1 step 1 body 0: result 2: f32 of rank 0, want f32 of rank 1", func(p *program.Program) {
			s := &main(p).Steps[9].Bodies[1].Steps[1]
			s.Out[1].Shape = append(s.Out[1].Shape, s.Out[1].Shape...)
		}},
	}
	for _, c := range cases {
		p := full()
		c.damage(p)
		err := program.Verify(p)
		if err == nil || !errors.Is(err, program.ErrMalformed) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

func fixLast(b *program.Body) {
	for i := range b.Bufs {
		b.Bufs[i].Last = min(b.Bufs[i].Last, int32(len(b.Steps)))
	}
}

// Loops nest as deep as the limit, and no deeper.
func TestNesting(t *testing.T) {
	for depth, want := range map[int]string{20: "", 40: "bodies are nested more than 32 deep"} {
		m := &maker{dim.NewBuilder(), &program.Program{}}
		prog := m.tile(copyF32, tile.F32)
		mask := m.tile(copyF32, tile.Mask)
		step := func(from, to, prog int32) program.Step {
			return program.Step{Anchor: anchor.Map, In: []program.Use{m.use(from)}, Out: []program.Use{m.use(to)}, Prog: prog}
		}
		var inner *program.Body
		for range depth {
			b := program.Body{}
			m.buf(&b, program.BufInput, dtype.I64)
			c, x := m.buf(&b, program.BufInput, dtype.Bool), m.buf(&b, program.BufInput, dtype.F32)
			c2, y := m.buf(&b, program.BufOutput, dtype.Bool), m.buf(&b, program.BufOutput, dtype.F32)
			b.Steps = []program.Step{step(c, c2, mask), step(x, y, prog)}
			if inner != nil {
				b.Steps[1] = program.Step{Anchor: anchor.Loop, Prog: -1, In: []program.Use{m.seen(&b, x)}, Out: []program.Use{m.seen(&b, y)}, Present: []bool{false, false, true}, Carried: 1, Bodies: []program.Body{*inner}}
			}
			m.finish(&b)
			inner = &b
		}
		m.entry("main", *inner)
		p := m.done()
		err := program.Verify(p)
		if want == "" {
			if err != nil {
				t.Errorf("depth %d: %v", depth, err)
			} else if _, err := program.Decode(encode(t, p)); err != nil {
				t.Errorf("depth %d: %v", depth, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("depth %d: want %q, got %v", depth, want, err)
		}
	}
}

func TestSummary(t *testing.T) {
	s := full().Summary()
	want := program.EntrySummary{Name: "main", Steps: 16, Late: 4,
		Inputs:  []program.IOSummary{{"in", "f32", []string{"B", "S", "40"}}, {"in", "bool", []string{}}, {"in", "f32", []string{"B", "2", "S", "8"}}, {"in", "f32", []string{"B", "4", "16"}}},
		Outputs: []program.IOSummary{{"out", "f32", []string{"B", "S", "40"}}, {"out", "f32", []string{"B", "2", "S", "8"}}, {"out", "f32", []string{"B", "4", "8"}}, {"out", "f32", []string{"B*S"}}},
		States:  []program.StateSummary{{"in", "out", 1}},
		Anchors: []program.Count{{"map", 7}, {"rows", 2}, {"contract", 1}, {"window", 1}, {"attend", 1}, {"scatter", 1}, {"host", 1}, {"branch", 1}, {"loop", 1}},
		Host:    []program.Count{{"index.nonzero", 1}}}
	if !reflect.DeepEqual(s.Entries[0], want) {
		t.Errorf("got %+v\nwant %+v", s.Entries[0], want)
	}
	if want := []program.ConstSummary{{"row-major", 5, 96 + 6000 + 96 + 2}, {"p32", 1, 2 * 32 * 40 * 4}}; !reflect.DeepEqual(s.Consts, want) {
		t.Errorf("got %+v\nwant %+v", s.Consts, want)
	}
	js, err := json.Marshal(s)
	if err != nil || !bytes.Contains(js, []byte(`{"name":"in","type":"f32","shape":["B","S","40"]}`)) {
		t.Errorf("%v %s", err, js)
	}
	for _, line := range []string{"constants  1 p32, 10240 bytes", "  output   out f32[B*S]", "symbol     L known while running, 1 to 1048576", "  steps    16: map 7, rows 2,"} {
		if !strings.Contains(s.String(), line) {
			t.Errorf("summary lacks %q:\n%s", line, s)
		}
	}
}

// Bounds against every position of small spaces, one by one.
func TestBounds(t *testing.T) {
	m := &maker{dim.NewBuilder(), &program.Program{}}
	for _, c := range []struct {
		off, s0, s1, n int64
	}{{0, 5, 1, 15}, {0, 5, 1, 14}, {4, 5, -1, 15}, {3, 5, -1, 15}, {0, 0, 0, 1}, {1, 0, 0, 1}, {14, -5, -1, 15}, {13, -5, -1, 15}, {-1, 5, 1, 40}} {
		ok := true
		for i := range int64(3) {
			for j := range int64(5) {
				at := c.off + i*c.s0 + j*c.s1
				ok = ok && at >= 0 && at < c.n
			}
		}
		e := func(v int64) dim.Ref { return m.dims.Ref(dim.Const(v)) }
		b := program.Body{Bufs: []program.Buf{{Kind: program.BufTemp, Elem: dtype.F32, Shape: []dim.Ref{e(c.n)}, Count: e(c.n)}}}
		b.Steps = []program.Step{{Anchor: anchor.Map, Space: m.space(0, "3", "5"), Out: []program.Use{{Off: e(c.off), Stride: []dim.Ref{e(c.s0), e(c.s1)}}}}}
		vals := make([]int64, len(m.dims.Code))
		if err := m.dims.Eval(nil, vals); err != nil {
			t.Fatal(err)
		}
		if err := m.p.Bounds(&b, 0, vals); (err == nil) != ok {
			t.Errorf("%+v: want fits %v, got %v", c, ok, err)
		}
	}
}

// Every step of a valid program is within bounds at valid extents, and none is when its buffers shrink.
func TestBoundsOfProgram(t *testing.T) {
	p := full()
	syms := map[string]int64{"B": 2, "S": 3, "L": 5, "P": 3, "N": 4}
	var s []int64
	for _, n := range p.Dims.Syms {
		s = append(s, syms[n])
	}
	vals := make([]int64, len(p.Dims.Code))
	if err := p.Dims.Eval(s, vals); err != nil {
		t.Fatal(err)
	}
	var walk func(b *program.Body)
	walk = func(b *program.Body) {
		for i := range b.Steps {
			st := &b.Steps[i]
			if err := p.Bounds(b, i, vals); err != nil {
				t.Errorf("%v step %d: %v", st.Anchor, i, err)
			}
			off := st.Out[0].Off
			for r := range p.Dims.Code { // a result that begins too late
				if vals[r] == 3000 {
					st.Out[0].Off = dim.Ref(r)
				}
			}
			if err := p.Bounds(b, i, vals); err == nil {
				t.Errorf("%v step %d: accepts a result outside its buffer", st.Anchor, i)
			}
			st.Out[0].Off = off
			for j := range st.Bodies {
				walk(&st.Bodies[j])
			}
		}
	}
	walk(&p.Entries[0].Body)
	keys := &p.Entries[0].Body.Steps[4].In[1]
	keys.Shape = append([]dim.Ref(nil), keys.Shape...)
	for r := range vals { // three heads of keys for two of queries
		if vals[r] == 3 {
			old := keys.Shape[1]
			keys.Shape[1] = dim.Ref(r)
			if err := p.Bounds(&p.Entries[0].Body, 4, vals); err == nil || !strings.Contains(err.Error(), "2 heads read 3") {
				t.Errorf("got %v", err)
			}
			keys.Shape[1] = old
			break
		}
	}
	p.Consts[0].Layout = layout.P32
	one := dim.Ref(-1)
	for r := range vals {
		if vals[r] == 1 && p.Dims.Code[r].Op == dim.OpConst {
			one = dim.Ref(r)
		}
	}
	b := &p.Entries[0].Body
	b.Steps[2].In[1].Stride[1] = one // two axes of columns
	if err := p.Bounds(b, 2, vals); err == nil || !strings.Contains(err.Error(), "columns of the packed matrix") {
		t.Errorf("got %v", err)
	}
}

func ExampleDecode() {
	var b bytes.Buffer
	if err := program.Write(&b, small(), program.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	p, err := program.Decode(b.Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(p.Summary())
	// Output:
	// model      , 0 nodes
	// symbol     N from 1 to 1048576
	// constants  1 row-major, 4 bytes
	// entry      main
	//   input    in f32[N]
	//   output   out f32[N]
	//   steps    1: map 1
}
