// Package window computes what slides over a picture in fp32: convolution and pooling in one, two or three dimensions, in the order
// batch, channel, space. The meaning of a convolution is the naive loop, over groups g, output channels co of a group and pixels p:
//
//	y[n, g*Co+co, p] = post(bias[g*Co+co] + add[n, g*Co+co, p] +
//	    sum over ci, taps t of w[g*Co+co, ci, t] * x[n, g*Ci+ci, p*stride + t*dilation - pad])
//
// where x is 0 outside the picture. Two algorithms compute it. The patches of a block of pixels are packed into the panels of package
// gemm, and a matrix product with the weights follows (im2col without the matrix: Chetlur et al., cuDNN, 2014). Where a group has one
// input channel and few output channels, taps are summed directly over a padded copy of the rows, whose columns are put in order of
// their remainder modulo the stride, so that every tap reads contiguous memory.
//
// The work is cut into chunks by extents alone, and no chunk writes what another one reads or writes: the bits of the result depend
// neither on the number of workers nor on their order.
package window

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/gemm"
)

//go:generate go run ../../../kernelsgen -root ../../..

// Geometry says which pixels an output pixel sees. The three spatial axes are depth, height, width; a picture of lower rank has
// leading extents and kernels of 1, strides and dilations of 1, pads of 0.
type Geometry struct {
	N, Groups, Ci, Co int // batch; groups; input and output channels of one group
	In, Out, Kernel   [3]int
	Stride, Dilation  [3]int
	PadBegin          [3]int // may be negative: that crops
}

// Check returns an error for extents that no picture has. Output extents are free: what lies outside the picture counts as padding.
func (g *Geometry) Check() error {
	if g.N < 0 || g.Groups < 0 || g.Ci < 0 || g.Co < 0 {
		return fmt.Errorf("batch, groups, channels: want none negative, got %d, %d, %d, %d", g.N, g.Groups, g.Ci, g.Co)
	}
	for i := range 3 {
		if g.In[i] < 0 || g.Out[i] < 0 {
			return fmt.Errorf("extents of axis %d: want none negative, got %d, %d", i, g.In[i], g.Out[i])
		}
		if g.Kernel[i] < 1 || g.Stride[i] < 1 || g.Dilation[i] < 1 {
			return fmt.Errorf("kernel, stride, dilation of axis %d: want positive, got %d, %d, %d", i, g.Kernel[i], g.Stride[i], g.Dilation[i])
		}
	}
	return nil
}

func volume(e [3]int) int { return e[0] * e[1] * e[2] }

// pointwise reports whether every output pixel sees the input pixel of the same index and no other.
func (g *Geometry) pointwise() bool {
	one := [3]int{1, 1, 1}
	return g.Kernel == one && g.Stride == one && g.PadBegin == [3]int{} && g.In == g.Out
}

// Row is one set of kernels of the table.
type Row struct {
	Name  string
	Needs cpu.Features
	Lanes int // pixels in a vector
	id    int
}

type functions struct {
	runs, gather func(*patch)
	dot, max     func(*taps)
	lastFunctions
}

// lastFunctions are the functions for pictures with the channels last.
type lastFunctions struct {
	move       func(*move)
	spot, peak func(*spots)
	triple     func(*triple)
	tileIn     [2]func(*tileIn) // of LastWino4, LastWino2
	tileOut    [2]func(*tileOut)
}

var portableLast = lastFunctions{moveRef, spotRef, peakRef, tripleRef, [2]func(*tileIn){tileIn4Ref, tileIn2Ref}, [2]func(*tileOut){tileOut4Ref, tileOut2Ref}}

// Table returns all rows, best first; the last one is the portable row.
func Table() []Row { return append([]Row(nil), rows[:]...) }

// Runs reports whether this build has the row's code and host its instructions.
func (r *Row) Runs(host cpu.Features) bool {
	return host.Has(r.Needs) && (r.Needs == 0 || kernels[r.id].dot != nil)
}

// Pick returns the best row that runs on host.
func Pick(host cpu.Features) *Row { return cpu.Best(rows[:], host) }

func (r *Row) code() functions {
	if r.Needs == 0 {
		return functions{dot: dot, max: largest, lastFunctions: portableLast}
	}
	return kernels[r.id]
}

// Worker is what one worker needs beside the description of the step: it belongs to a worker of a session and serves one chunk at a
// time. Scratch holds at least what ScratchLen of the step says; contents do not matter.
type Worker struct {
	Scratch []float32

	product gemm.Args
	patch   patch
	taps    taps
	runs    [2 * gemm.Panel]int // pairs of a patch vector
	index   [gemm.Panel]int32
	pieces  [gemm.Panel]piece

	move     move
	spots    spots
	triple   triple
	tileIn   tileIn
	tileOut  tileOut
	winoOffs [2][mostSide * mostSide]int
}

var errScratch = errors.New("window: scratch is shorter than ScratchLen")

// aligned returns n elements of scratch that begin at a cache line, and the rest.
func (w *Worker) aligned(n int) (buf, rest []float32) {
	s := w.Scratch
	if len(s) < n+lineFloats {
		panic(errScratch)
	}
	skip := int(-uintptr(unsafe.Pointer(&s[0]))%64) / 4
	return s[skip : skip+n : skip+n], s[skip+n:]
}

const lineFloats = 16 // elements in a cache line

func at(p *float32, i int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), i*4)) }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// floorDiv rounds to minus infinity; b is positive.
func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
