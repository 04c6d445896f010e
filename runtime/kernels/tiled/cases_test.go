package tiled

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tile"
	"github.com/llmc-go/llmc/runtime/cpu"
)

func compile(t testing.TB, src string, def tile.Class, elems []dtype.Type, ins int) *Program {
	t.Helper()
	p, err := tile.Parse(src, def)
	if err != nil {
		t.Fatal(err)
	}
	q, err := Compile(p, elems, ins, cpu.Host())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func runAll(t testing.TB, p *Program, par, red []int, ops []Operand) error {
	t.Helper()
	var c Call
	var s Scratch
	if err := p.Bind(&c, par, red, ops, nil); err != nil {
		t.Fatal(err)
	}
	for k := range c.Chunks() {
		if err := c.RunChunk(k, &s); err != nil {
			return err
		}
	}
	return nil
}

func ptr[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// Rows of a table are picked by integers, negative ones from the end; in a copy and in a program, along the rows and across.
func TestVia(t *testing.T) {
	table := make([]float32, 7*40)
	for i := range table {
		table[i] = float32(i)
	}
	idx := []int64{3, -1, 0, 6, 3, -7}
	for _, src := range []string{"x = load %1; store %2, x", "x = load %1; y = neg x; z = neg y; store %2, z"} {
		p := compile(t, src, tile.F32, []dtype.Type{dtype.I64, dtype.F32, dtype.F32}, 2)
		for _, inner := range []bool{true, false} {
			out := make([]float32, len(idx)*40)
			par, ops := []int{6, 40}, []Operand{
				{Ptr: ptr(idx), Strides: []int{1, 0}},
				{Ptr: ptr(table), Strides: []int{0, 1}, Via: []Via{{0, 7, 40}}},
				{Ptr: ptr(out), Strides: []int{40, 1}},
			}
			if !inner { // the integers vary along the innermost axis
				par = []int{40, 6}
				for k := range ops {
					s := ops[k].Strides
					s[0], s[1] = s[1], s[0]
				}
			}
			if err := runAll(t, p, par, nil, ops); err != nil {
				t.Fatal(err)
			}
			for i, x := range idx {
				for j := range 40 {
					if want := float32((int(x)+7)%7*40 + j); out[i*40+j] != want {
						t.Fatalf("%s, inner %v: row %d column %d: got %v want %v", src, inner, i, j, out[i*40+j], want)
					}
				}
			}
			bad := []int64{3, -1, 7, 6, 3, -7}
			ops[0].Ptr = ptr(bad)
			var e *IndexError
			if err := runAll(t, p, par, nil, ops); !errors.As(err, &e) || e.Index != 7 || e.Extent != 7 || e.Operand != 1 {
				t.Fatalf("index 7 of 7: got %v", err)
			}
		}
	}
}

// Copies of every element size, axes in every order, broadcast and backwards.
func TestCopies(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var c Call
	var s Scratch
	for _, e := range []dtype.Type{dtype.U8, dtype.F16, dtype.F32, dtype.F64, dtype.I64} {
		b := tile.NewBuilder()
		b.Store(1, b.Load(0, e))
		p, err := Compile(b.Program(), []dtype.Type{e, e}, 1, cpu.Host())
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			par := make([]int, r.IntN(5))
			for i := range par {
				par[i] = 1 + r.IntN(9)
			}
			if len(par) > 1 && r.IntN(2) == 0 {
				par[r.IntN(len(par))] = 1 + r.IntN(150)
			}
			src := layout(r, e, par, func(int) bool { return r.IntN(5) == 0 })
			dst := layout(r, e, par, func(int) bool { return false })
			bufs := []*buffer{src, dst}
			if err := p.Bind(&c, par, nil, []Operand{src.op, dst.op}, nil); err != nil {
				t.Fatal(err)
			}
			for k := range c.Chunks() {
				if err := c.RunChunk(k, &s); err != nil {
					t.Fatal(err)
				}
			}
			for f := range product(par) {
				at := unflatten(f, par)
				if got, want := dst.get(offset(bufs, 1, at)), src.get(offset(bufs, 0, at)); got != want {
					t.Fatalf("%v %v from %v to %v at %v: got %v want %v", e, par, src.op.Strides, dst.op.Strides, at, got, want)
				}
			}
		}
	}
}

// A result may lie where an input does, whatever is read after it was computed.
func TestInPlace(t *testing.T) {
	for _, src := range []string{
		"x = load %0; y = relu x; z = sub x, y; store %1, y; store %2, z",
		"x = load %0; m = rsum x; y = sub x, m; store %1, y; w = rmax x; z = mul y, w; store %2, z",
	} {
		for _, par := range [][]int{{2, 3000}, {300, 7}} {
			p := compile(t, src, tile.F32, []dtype.Type{dtype.F32, dtype.F32, dtype.F32}, 1)
			x := make([]float32, par[0]*par[1])
			for i := range x {
				x[i] = float32(i%13) - 6
			}
			apart := [2][]float32{make([]float32, len(x)), make([]float32, len(x))}
			row := []int{par[1], 1}
			ops := []Operand{{Ptr: ptr(x), Strides: row}, {Ptr: ptr(apart[0]), Strides: row}, {Ptr: ptr(apart[1]), Strides: row}}
			red := par[1:]
			if err := runAll(t, p, par[:1], red, ops); err != nil {
				t.Fatal(err)
			}
			other := make([]float32, len(x))
			ops[1].Ptr, ops[2].Ptr = ptr(x), ptr(other)
			if err := runAll(t, p, par[:1], red, ops); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(x, apart[0]) || !reflect.DeepEqual(other, apart[1]) {
				t.Errorf("%s %v: in place differs", src, par)
			}
		}
	}
}

func TestSpecialValues(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := []float32{1, nan, 3, -inf, inf, -0.5}
	for _, c := range []struct {
		src  string
		want float32
	}{
		{"x = load %0; m = rmax x; store %1, m", nan}, {"x = load %0; m = rmin x; store %1, m", nan},
		{"x = load %0; m = rargmax x; y = cast f32 m; store %1, y", 1}, {"x = load %0; m = rargmin x; y = cast f32 m; store %1, y", 1},
	} {
		out := []float32{-7}
		p := compile(t, c.src, tile.F32, []dtype.Type{dtype.F32, dtype.F32}, 1)
		for _, ops := range [][]Operand{{{Ptr: ptr(x), Strides: []int{1}}, {Ptr: ptr(out), Strides: []int{0}}}} {
			if err := runAll(t, p, nil, []int{len(x)}, ops); err != nil {
				t.Fatal(err)
			}
			if out[0] != c.want && !(c.want != c.want && out[0] != out[0]) {
				t.Errorf("%s: got %v want %v", c.src, out[0], c.want)
			}
		}
	}
}

func TestEmptyRows(t *testing.T) {
	for src, want := range map[string]float32{
		"x = load %0; m = rsum x; store %1, m":  0,
		"x = load %0; m = rmax x; store %1, m":  float32(math.Inf(-1)),
		"x = load %0; m = rprod x; store %1, m": 1,
	} {
		p := compile(t, src, tile.F32, []dtype.Type{dtype.F32, dtype.F32}, 1)
		out := []float32{5, 5, 5}
		if err := runAll(t, p, []int{3}, []int{4, 0}, []Operand{{Strides: []int{0, 0, 1}}, {Ptr: ptr(out), Strides: []int{1, 0, 0}}}); err != nil {
			t.Fatal(err)
		}
		for _, v := range out {
			if v != want {
				t.Errorf("%s: got %v want %v", src, out, want)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	p := compile(t, "x = load %0; y = neg x; store %1, y", tile.F32, []dtype.Type{dtype.F32, dtype.F32}, 1)
	m := compile(t, "x = load %0; s = rsum x; y = sub x, s; store %1, y", tile.F32, []dtype.Type{dtype.F32, dtype.F32}, 1)
	var c Call
	for name, err := range map[string]error{
		"strides": p.Bind(&c, []int{4}, nil, []Operand{{}, {}}, nil),
		"count":   p.Bind(&c, []int{4}, nil, []Operand{{Strides: []int{1}}}, nil),
		"extent":  p.Bind(&c, []int{-4}, nil, []Operand{{Strides: []int{1}}, {Strides: []int{1}}}, nil),
		"huge":    p.Bind(&c, []int{1 << 40, 1 << 40}, nil, []Operand{{Strides: []int{1, 1}}, {Strides: []int{1, 1}}}, nil),
		"result":  p.Bind(&c, []int{4}, nil, []Operand{{Strides: []int{1}}, {Strides: []int{0}}}, nil),
		"row":     m.Bind(&c, []int{4}, []int{5}, []Operand{{Strides: []int{5, 1}}, {Strides: []int{1, 0}}}, nil),
		"via":     p.Bind(&c, []int{4}, nil, []Operand{{Strides: []int{1}, Via: []Via{{0, 1, 1}}}, {Strides: []int{1}}}, nil),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := c.RunChunk(0, new(Scratch)); err == nil {
		t.Error("a chunk of a call that is not bound ran")
	}
}

// Binding again and running allocate nothing once sizes were seen.
func TestAllocations(t *testing.T) {
	const norm = "x = load %0; s = rsum x; n = imm f32 0.0013020833333333333; m = mul s, n; d = sub x, m; q = mul d, d; v = rsum q; w = mul v, n; " +
		"r = sqrt w; y = div d, r; g = load %1; b = load %2; z = mul y, g; o = add z, b; store %3, o"
	p := compile(t, norm, tile.F32, []dtype.Type{dtype.F32, dtype.F32, dtype.F32, dtype.F32}, 3)
	x := make([]float32, 64*768)
	ops := []Operand{{Ptr: ptr(x), Strides: []int{768, 1}}, {Ptr: ptr(x), Strides: []int{0, 1}}, {Ptr: ptr(x), Strides: []int{0, 1}}, {Ptr: ptr(make([]float32, len(x))), Strides: []int{768, 1}}}
	par, red := []int{64}, []int{768}
	var c Call
	var s Scratch
	n := testing.AllocsPerRun(20, func() {
		if err := p.Bind(&c, par, red, ops, nil); err != nil {
			t.Fatal(err)
		}
		for k := range c.Chunks() {
			if err := c.RunChunk(k, &s); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
