package exec

import (
	"context"
	"fmt"

	"github.com/llmc-go/llmc/ir/anchor"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/program"
)

// lastStep is a convolution or pooling over pictures with the channels last. The result may be some of the channels of a
// larger picture.
type lastStep struct {
	w    *windowStep // geometry and what follows the sum
	conv window.Last
	pool window.PoolLast
	room int // elements of the packed weights
}

func newLastStep(s *Session, b *program.Body, st *program.Step, w *windowStep) (runner, error) {
	l := &lastStep{w: w}
	if !w.dot {
		return l, nil
	}
	c := &s.m.Program.Consts[b.Bufs[st.In[1].Buf].Index]
	a, ok := window.AlgorithmOf(c.Layout)
	if b.Bufs[st.In[1].Buf].Kind != program.BufConst || !ok {
		return nil, fmt.Errorf("weights in layout %q for pictures with the channels last", c.Layout)
	}
	l.conv.Algorithm = a
	l.room = len(s.m.consts[b.Bufs[st.In[1].Buf].Index].data) / 4
	return l, nil
}

func (l *lastStep) bind(f *frame) error {
	w, vals := l.w, f.s.vals
	g := w.geometry(f)
	par := w.parallel()
	stride := func(u *program.Use, axis int) int { return int(vals[u.Stride[par[axis]]]) }
	channels := g.Groups * g.Co
	pixel := len(par) - 1 // the innermost spatial axis
	y := &w.st.Out[0]
	// the result's strides: channels next to each other, pixels and rows at one distance each
	yPixel := stride(y, pixel)
	if g.Out[2] == 1 {
		yPixel = channels
		if g.Out[1] > 1 {
			yPixel = stride(y, pixel-1)
		}
	}
	dense := channels == 1 || stride(y, 1) == 1
	rows := yPixel
	for i := pixel; i >= 2; i-- {
		ext := int(vals[w.st.Space[par[i]].Extent])
		dense = dense && (ext == 1 || stride(y, i) == rows)
		rows *= ext
	}
	w.accOut = dense && w.post.f32 && yPixel >= channels
	w.bias, w.add = -1, -1
	w.fused = w.accOut && w.post.ok && w.roles(f, par, g.Out[0]*g.Out[1]*g.Out[2])
	if !w.fused {
		w.bias, w.add = -1, -1
	}
	yImage := stride(y, 0)
	w.accBytes = 0
	if !w.accOut {
		yPixel, yImage = channels, channels*g.Out[0]*g.Out[1]*g.Out[2]
		w.accBytes = g.N * yImage * 4
		if err := f.s.needScratch(w.accBytes); err != nil {
			return err
		}
	}
	if err := l.prepare(f, g, yPixel, yImage, par); err != nil {
		return err
	}
	if w.fused {
		return nil
	}
	acc := make([]int, len(w.st.Space))
	acc[par[0]], acc[par[1]] = yImage, 1
	step := yPixel
	for i := pixel; i >= 2; i-- {
		acc[par[i]] = step
		step *= int(vals[w.st.Space[par[i]].Extent])
	}
	return w.after.bind(f, acc)
}

func (l *lastStep) prepare(f *frame, g window.Geometry, yPixel, yImage int, par []int) error {
	w := l.w
	xPixel := g.Groups * g.Ci
	xImage := xPixel * g.In[0] * g.In[1] * g.In[2]
	scratch := 0
	if w.dot {
		c := &l.conv
		c.Geometry, c.XPixel, c.XImage, c.YPixel, c.YImage = g, xPixel, xImage, yPixel, yImage
		if !c.Algorithm.Admits(&g) || window.PackedLast(c.Algorithm, &g) > l.room {
			return fmt.Errorf("packed weights do not fit the convolution")
		}
		c.Post, c.Lo, c.Hi, c.AddPixel, c.AddImage = 0, 0, 0, 0, 0
		c.Add = nil // what a run for other extents added
		if w.fused {
			c.Post, c.Lo, c.Hi = w.post.kind, w.post.lo, w.post.hi
		}
		if w.add >= 0 { // roles has compared its strides with the result's
			c.AddPixel, c.AddImage = yPixel, int(f.s.vals[w.st.In[w.add].Stride[par[0]]])
		}
		if err := c.Prepare(w.row); err != nil {
			return err
		}
		scratch = c.ScratchLen()
	} else {
		p := &l.pool
		p.Geometry, p.XPixel, p.XImage, p.YPixel, p.YImage = g, xPixel, xImage, yPixel, yImage
		p.PadEnd = [3]int{}
		for i, e := range w.st.Window.PadEnd {
			p.PadEnd[3-len(w.st.Window.PadEnd)+i] = e
		}
		p.Kind, p.CountPad = window.Max, false
		switch w.st.Window.Combine {
		case anchor.Avg:
			p.Kind = window.Average
		case anchor.AvgPad:
			p.Kind, p.CountPad = window.Average, true
		}
		if err := p.Prepare(w.row); err != nil {
			return err
		}
		scratch = p.ScratchLen()
	}
	for i := range f.s.locals {
		if s := &f.s.locals[i].window; len(s.Scratch) < scratch {
			s.Scratch = make([]float32, scratch)
		}
	}
	return nil
}

func (l *lastStep) run(f *frame, _ context.Context) error {
	w := l.w
	x, y := f.pointer(&w.st.In[0]), f.pointer(&w.st.Out[0])
	if !w.accOut {
		y = f.s.scratchAt(0)
	}
	chunks := 0
	if w.dot {
		c := &l.conv
		c.X, c.Y, c.W = (*float32)(x), (*float32)(y), (*float32)(f.pointer(&w.st.In[1]))
		c.Bias, c.Add = nil, nil
		if w.bias >= 0 {
			c.Bias = (*float32)(f.pointer(&w.st.In[w.bias]))
		}
		if w.add >= 0 {
			c.Add = (*float32)(f.pointer(&w.st.In[w.add]))
		}
		chunks = c.Chunks()
	} else {
		l.pool.X, l.pool.Y = (*float32)(x), (*float32)(y)
		chunks = l.pool.Chunks()
	}
	f.s.m.pool.Run(chunks, l)
	if !w.fused {
		return w.after.run(f, y)
	}
	return nil
}

// Chunk implements pool.Job.
func (l *lastStep) Chunk(i, worker int) {
	s := &l.w.s.locals[worker].window
	if l.w.dot {
		l.conv.RunChunk(i, s)
	} else {
		l.pool.RunChunk(i, s)
	}
}
