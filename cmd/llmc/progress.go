package main

import (
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress is a bar on a terminal, or nothing.
type progress struct {
	p   *mpb.Progress
	bar *mpb.Bar
}

// progress begins a bar of n steps on standard error, where that is a terminal and standard output, whose lines show
// progress themselves, is not.
func (a *app) progress(what string, n int) *progress {
	if isTerminal(a.out) {
		return &progress{}
	}
	return a.stageProgress(what, n)
}

// stageProgress is progress of work that writes no lines meanwhile.
func (a *app) stageProgress(what string, n int) *progress {
	return a.newProgress(what, int64(n), decor.CountersNoUnit("%d/%d "))
}

// byteProgress is stageProgress of bytes.
func (a *app) byteProgress(what string, n int64) *progress {
	return a.newProgress(what, n, decor.CountersKibiByte("% .0f/% .0f "))
}

func (a *app) newProgress(what string, n int64, counters decor.Decorator) *progress {
	if a.quiet || n == 0 || !isTerminal(a.err) {
		return &progress{}
	}
	p := mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(40))
	bar := p.AddBar(n, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(what+" "), counters),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO)))
	return &progress{p, bar}
}

func (p *progress) add(n int) {
	if p.bar != nil {
		p.bar.IncrBy(n)
	}
}

// stop removes the bar.
func (p *progress) stop() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.p.Wait()
		p.p, p.bar = nil, nil
	}
}
