// Package exec loads programs into this process and runs them.
//
// A Model is immutable and shared by goroutines; a Session owns the memory of one run at a time. Once the
// extents of a session's inputs have been seen, Run allocates nothing but for host steps and sizes that depend
// on data.
package exec

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/layout"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/huge"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/pool"
	"github.com/llmc-go/llmc/runtime/program"
)

// ErrMemory: a run needs more memory than its limit.
var ErrMemory = errors.New("memory limit")

// DefaultMaxMemory is the limit where none is given: a size that real models stay below, and that a hostile one
// meets before the machine's memory is gone.
const DefaultMaxMemory = 16 << 30

// ErrBinding: the inputs of a run do not fit the program.
var ErrBinding = errors.New("inputs do not fit")

// Options of Load. The zero value is the recommended setting.
type Options struct {
	// Workers is the number of processors that one run may use; 0 is GOMAXPROCS. Results do not depend on it.
	Workers int
	// Host are the functions that host steps may call.
	Host []host.Fn
	// Tier lowers what kernels may use below what the processor has; "" lowers nothing.
	Tier string
	// MaxMemory bounds the bytes of activations that a session may hold; 0 is DefaultMaxMemory.
	MaxMemory int64
}

// Model is a program loaded into this process.
type Model struct {
	Program *program.Program

	opts     Options
	features cpu.Features
	pool     *pool.Pool
	gemm     *gemm.Row
	host     map[string]host.Fn
	consts   []constant
}

// constant is a constant as kernels read it.
type constant struct {
	ptr  unsafe.Pointer
	data []byte
	val  tensor.Value // of strings
}

// Load prepares a program: it picks kernel rows for this processor and packs what the program left packed
// at load.
func Load(p *program.Program, o Options) (*Model, error) {
	if o.MaxMemory == 0 {
		o.MaxMemory = DefaultMaxMemory
	}
	features, err := cpu.Lower(cpu.Host(), o.Tier)
	if err != nil {
		return nil, err
	}
	if err := cpu.Override(); err != nil {
		return nil, err
	}
	m := &Model{Program: p, opts: o, features: features, gemm: gemm.Pick(features), host: map[string]host.Fn{}}
	for _, f := range o.Host {
		m.host[f.Name] = f
	}
	m.host["dims"] = dimsFn
	for i := range p.Entries {
		if err := m.checkHost(&p.Entries[i].Body); err != nil {
			return nil, err
		}
	}
	if err := m.loadConsts(); err != nil {
		return nil, err
	}
	m.pool = pool.New(o.Workers)
	return m, nil
}

// Close ends the model's workers. Sessions must not be running.
func (m *Model) Close() { m.pool.Close() }

// Workers is the number of processors that a run uses.
func (m *Model) Workers() int { return m.pool.Workers() }

// Features is what the model's kernels may use.
func (m *Model) Features() cpu.Features { return m.features }

// checkHost refuses a program that calls functions this process does not have.
func (m *Model) checkHost(b *program.Body) error {
	for i := range b.Steps {
		s := &b.Steps[i]
		if s.Anchor == anchor.Host {
			if _, ok := m.host[s.Host]; !ok {
				return fmt.Errorf("step %d %q: host function %q is not linked into this program", i, s.Node, s.Host)
			}
		}
		for j := range s.Bodies {
			if err := m.checkHost(&s.Bodies[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadConsts points at the constants, and packs those that the program left to be packed, all in one piece of
// memory.
func (m *Model) loadConsts() error {
	total := 0
	for i := range m.Program.Consts {
		if c := &m.Program.Consts[i]; c.Pack != nil {
			if err := checkPack(c); err != nil {
				return fmt.Errorf("constant %q: %w", c.Name, err)
			}
			total += packedBytes(c)
		}
	}
	slab := huge.Alloc(total) // weights are read from end to end in every run
	for i := range m.Program.Consts {
		c := &m.Program.Consts[i]
		v := constant{ptr: bytesPtr(c.Data), data: c.Data}
		switch {
		case c.Elem == dtype.String:
			n, _ := tensor.Count(c.Shape)
			s, err := program.DecodeStrings(c.Data, n)
			if err != nil {
				return fmt.Errorf("constant %q: %w", c.Name, err)
			}
			v = constant{val: tensor.ValueOf(&tensor.Tensor{Elem: c.Elem, Shape: c.Shape, Str: s})}
		case c.Pack != nil:
			n := packedBytes(c)
			v.data, slab = slab[:4*c.Pack.Stored(c.Layout):n], slab[n:]
			v.ptr = bytesPtr(v.data)
			if err := packInto(v.data, c, m.gemm); err != nil {
				return fmt.Errorf("constant %q: %w", c.Name, err)
			}
		}
		m.consts = append(m.consts, v)
	}
	return nil
}

// packedBytes is the room of a packed constant, in whole cache lines.
func packedBytes(c *program.Const) int { return (4*c.Pack.Stored(c.Layout) + 63) &^ 63 }

// PackConst packs a constant into its layout, in dst, which is zero and as long as that, with the best kernel of this machine.
// It is what [program.Options] want as Pack.
func PackConst(dst []byte, c *program.Const) error {
	if err := checkPack(c); err != nil {
		return err
	}
	return packInto(dst, c, gemm.Pick(cpu.Host()))
}

// checkPack refuses constants that do not fit their packing.
func checkPack(c *program.Const) error {
	t := c.Tensor()
	if err := t.Check(); err != nil {
		return err
	}
	if err := c.Pack.Check(t.Len()); err != nil {
		return err
	}
	if c.Layout == layout.RowMajor || c.Layout.IsConv() != (c.Pack.Conv != nil) {
		return fmt.Errorf("layout %q has no packing", c.Layout)
	}
	if !c.Elem.IsFloat() {
		return fmt.Errorf("element type %v is not packed", c.Elem)
	}
	return nil
}

// packInto packs a constant that checkPack accepts.
func packInto(dst []byte, c *program.Const, row *gemm.Row) error {
	t, p := c.Tensor(), *c.Pack
	out := (&tensor.Tensor{Data: dst}).F32()
	switch {
	case p.Conv != nil:
		return packFilter(out, c, t)
	case t.Elem == dtype.F32 && p.K > 0 && p.N > 0:
		row.PackB(out, t.F32()[p.Off:], p.K, p.N, p.RowStride, p.ColStride)
	default:
		p.PackF32(out, func(i int) float32 { return float32(t.Float(i)) })
	}
	return nil
}

func bytesPtr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// dimsFn writes the values of expressions: the contents of a shape that a kernel reads.
var dimsFn = host.Fn{Name: "dims", Run: func(c *host.Call) error {
	v := c.Attrs.Ints("elems")
	out, err := c.Out(0, outShape(c, len(v))...)
	if err != nil {
		return err
	}
	for i, x := range v {
		out.SetInt(i, x)
	}
	return nil
}}

func outShape(c *host.Call, n int) []int {
	if t := c.Result(0); t != nil {
		return t.Shape
	}
	return []int{n}
}

// packFilter packs the weights of a convolution.
func packFilter(dst []float32, c *program.Const, t *tensor.Tensor) error {
	a, ok := window.AlgorithmOf(c.Layout)
	if !ok || !t.Elem.IsFloat() {
		return fmt.Errorf("layout %q of %v has no packing", c.Layout, t.Elem)
	}
	src := t.F32()
	if t.Elem != dtype.F32 {
		src = make([]float32, t.Len())
		for i := range src {
			src[i] = float32(t.Float(i))
		}
	}
	v := c.Pack.Conv
	g := window.Geometry{N: 1, Groups: v.Groups, Ci: v.Ci, Co: v.Co, Kernel: v.Kernel, Stride: [3]int{1, 1, 1}, Dilation: [3]int{1, 1, 1}}
	if !a.Admits(&g) {
		return fmt.Errorf("layout %q does not suit a kernel of %v", c.Layout, v.Kernel)
	}
	window.PackLast(a, dst, src, &g)
	return nil
}
