package exec

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/program"
)

// windowStep is a convolution or pooling over row-major pictures, one image after the other where the result
// is a part of a larger buffer.
type windowStep struct {
	s    *Session
	st   *program.Step
	conv window.Conv
	pool window.Pool
	dot  bool
	row  *window.Row
	post simplePost
	par  []int
	bias int // operand, or -1
	add  int

	fused    bool
	after    *sweep
	acc      []int
	accOut   bool
	accBytes int
	images   int // runs of the kernel
	xImage   int // elements from one to the next
	yImage   int
	addImage int
	x, y     unsafe.Pointer
}

func newWindowStep(s *Session, b *program.Body, st *program.Step) (runner, error) {
	w := &windowStep{s: s, st: st, dot: st.Window.Combine == anchor.Dot, row: window.Pick(s.m.features), bias: -1, add: -1}
	own := 1
	if w.dot {
		own = 2
	}
	w.post = findPost(s, b, st, own)
	if len(st.Window.Kernel) > 3 {
		return nil, fmt.Errorf("windows over %d axes are not executed", len(st.Window.Kernel))
	}
	var err error
	if w.after, err = newSweep(s, b, st, true); err != nil {
		return nil, err
	}
	if st.Window.Last {
		return newLastStep(s, b, st, w)
	}
	return w, nil
}

// parallel lists the axes of the result: images, channels, then space.
func (w *windowStep) parallel() []int {
	w.par = w.par[:0]
	for i := range w.st.Space {
		if !w.st.Space[i].Red {
			w.par = append(w.par, i)
		}
	}
	return w.par
}

// geometry fills the spatial part: axes of a picture of lower rank come last.
func (w *windowStep) geometry(f *frame) window.Geometry {
	vals, a := f.s.vals, w.st.Window
	in, out := w.st.In[0].Shape, w.st.Out[0].Shape
	g := window.Geometry{N: int(vals[in[0]]), Groups: a.Groups}
	for i := range 3 {
		g.In[i], g.Out[i], g.Kernel[i], g.Stride[i], g.Dilation[i] = 1, 1, 1, 1, 1
	}
	for i := range a.Kernel {
		d := 3 - len(a.Kernel) + i
		g.In[d], g.Out[d] = int(vals[in[2+i]]), int(vals[out[2+i]])
		g.Kernel[d], g.Stride[d], g.Dilation[d], g.PadBegin[d] = a.Kernel[i], a.Stride[i], a.Dilation[i], a.PadBegin[i]
	}
	if w.dot {
		g.Ci, g.Co = int(vals[in[1]])/a.Groups, int(vals[out[1]])/a.Groups
	} else {
		g.Groups, g.Ci, g.Co = int(vals[in[1]]), 1, 1
	}
	return g
}

func (w *windowStep) bind(f *frame) error {
	vals := f.s.vals
	g := w.geometry(f)
	channels := g.Groups * g.Co
	pixels := g.Out[0] * g.Out[1] * g.Out[2]
	par := w.parallel()
	// results: n, channel, spatial axes
	dense, step := true, 1
	for i := len(par) - 1; i >= 1; i-- {
		ext := int(vals[w.st.Space[par[i]].Extent])
		dense = dense && (ext == 1 || int(vals[w.st.Out[0].Stride[par[i]]]) == step)
		step *= ext
	}
	w.accOut = dense && w.post.f32
	w.bias, w.add = -1, -1
	w.fused = w.accOut && w.post.ok && w.roles(f, par, pixels)
	if !w.fused {
		w.bias, w.add = -1, -1
	}
	w.images, w.xImage, w.yImage, w.addImage = 1, 0, 0, 0
	image := channels * pixels
	if w.accOut {
		w.yImage = int(vals[w.st.Out[0].Stride[par[0]]])
	} else {
		w.yImage = image
	}
	if w.add >= 0 {
		w.addImage = int(vals[w.st.In[w.add].Stride[par[0]]])
	}
	if g.N > 1 && (w.yImage != image || w.add >= 0 && w.addImage != image) {
		w.images, g.N = g.N, 1
		w.xImage = g.Groups * g.Ci * g.In[0] * g.In[1] * g.In[2]
	}
	w.accBytes = 0
	if !w.accOut {
		w.accBytes = int(vals[w.st.In[0].Shape[0]]) * image * 4
		if err := f.s.needScratch(w.accBytes); err != nil {
			return err
		}
	}
	if err := w.prepare(g); err != nil {
		return err
	}
	n := w.pool.ScratchLen()
	if w.dot {
		n = w.conv.ScratchLen()
	}
	for i := range f.s.locals {
		if l := &f.s.locals[i].window; len(l.Scratch) < n {
			l.Scratch = make([]float32, n)
		}
	}
	if w.fused {
		return nil
	}
	return w.after.bind(f, w.accStrides(f, par))
}

// roles finds the bias and the picture that the kernel can add itself.
func (w *windowStep) roles(f *frame, par []int, pixels int) bool {
	if !w.dot {
		return w.post.operand < 0 && w.post.kind == 0
	}
	for _, k := range [2]int{w.post.operand, w.post.second} {
		if k < 0 {
			continue
		}
		u, out := &w.st.In[k], &w.st.Out[0]
		isBias, isAdd := true, true
		for i, a := range par {
			ext, st := int(f.s.vals[w.st.Space[a].Extent]), int(f.s.vals[u.Stride[a]])
			if ext == 1 {
				continue
			}
			isBias = isBias && (i == 1 && st == 1 || i != 1 && st == 0)
			isAdd = isAdd && (i == 0 || st == int(f.s.vals[out.Stride[a]]))
		}
		switch {
		case isBias && w.bias < 0:
			w.bias = k
		case isAdd && w.add < 0 && pixels > 0:
			w.add = k
		default:
			return false
		}
	}
	return true
}

func (w *windowStep) accStrides(f *frame, par []int) []int {
	w.acc = w.acc[:0]
	for range w.st.Space {
		w.acc = append(w.acc, 0)
	}
	step := 1
	for i := len(par) - 1; i >= 0; i-- {
		w.acc[par[i]] = step
		if w.accOut {
			w.acc[par[i]] = int(f.s.vals[w.st.Out[0].Stride[par[i]]])
		}
		step *= int(f.s.vals[w.st.Space[par[i]].Extent])
	}
	return w.acc
}

func (w *windowStep) prepare(g window.Geometry) error {
	if w.dot {
		w.conv.Geometry = g
		w.conv.Post, w.conv.Lo, w.conv.Hi = 0, 0, 0
		if w.fused {
			w.conv.Post, w.conv.Lo, w.conv.Hi = w.post.kind, w.post.lo, w.post.hi
		}
		return w.conv.Prepare(w.row)
	}
	w.pool.Geometry = g
	for i, p := range w.st.Window.PadEnd {
		w.pool.PadEnd[3-len(w.st.Window.PadEnd)+i] = p
	}
	w.pool.Kind, w.pool.CountPad = window.Max, false
	switch w.st.Window.Combine {
	case anchor.Avg:
		w.pool.Kind = window.Average
	case anchor.AvgPad:
		w.pool.Kind, w.pool.CountPad = window.Average, true
	}
	return w.pool.Prepare(w.row)
}

func (w *windowStep) run(f *frame, _ context.Context) error {
	w.x = f.pointer(&w.st.In[0])
	w.y = f.pointer(&w.st.Out[0])
	if !w.accOut {
		w.y = f.s.scratchAt(0)
	}
	if w.dot {
		w.conv.W = (*float32)(f.pointer(&w.st.In[1]))
		w.conv.Bias = nil
		if w.bias >= 0 {
			w.conv.Bias = (*float32)(f.pointer(&w.st.In[w.bias]))
		}
	}
	for i := range w.images {
		x, y := f32(w.x, i*w.xImage), f32(w.y, i*w.yImage)
		if w.dot {
			w.conv.X, w.conv.Y, w.conv.Add = x, y, nil
			if w.add >= 0 {
				w.conv.Add = f32(f.pointer(&w.st.In[w.add]), i*w.addImage)
			}
			f.s.m.pool.Run(w.conv.Chunks(), w)
		} else {
			w.pool.X, w.pool.Y = x, y
			f.s.m.pool.Run(w.pool.Chunks(), w)
		}
	}
	if !w.fused {
		return w.after.run(f, w.y)
	}
	return nil
}

// Chunk implements pool.Job.
func (w *windowStep) Chunk(i, worker int) {
	l := &w.s.locals[worker]
	if w.dot {
		w.conv.RunChunk(i, &l.window)
	} else {
		w.pool.RunChunk(i, &l.window)
	}
}
