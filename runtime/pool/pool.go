// Package pool runs the chunks of one step on several processors: fork, join, nothing else.
//
// The workers are goroutines that live as long as the pool. They spin for a short while after a step, because the next one usually
// comes within microseconds, and then park. The caller always works too and takes chunks from the same counter, so a worker that is
// still waking up costs nothing but its help. Which worker takes which chunk is left to chance; what a chunk computes must not depend
// on it.
package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

//go:generate go run ../../kernelsgen -root ../..

// Job is what a step does.
type Job interface {
	// Chunk computes chunk i. No two calls that run at once have the same worker, which is less than [Pool.Workers]: it may index
	// scratch memory of the job.
	Chunk(i, worker int)
}

// Pool is a set of workers. Its methods may be called from any goroutine.
type Pool struct {
	helpers []helper
	exited  sync.WaitGroup
	closed  atomic.Bool
	held    atomic.Int32 // runs in flight, by Hold
	busy    atomic.Bool  // a fork is in flight; a second caller works alone

	// Written by the caller before it opens a fork, read by helpers that have entered it.
	job    Job
	parts  []part // one for each worker
	shared int    // how many of them the fork uses

	_     [64]byte
	state atomic.Uint64 // fork number << 32 | helpers that may enter << 16 | helpers that are inside
	_     [56]byte

	failure atomic.Pointer[failure]
}

// part is a range of chunks. Its worker takes them in order, so that neighbouring chunks, which often share memory, stay on
// one processor from step to step; whoever has finished his own takes from the others'.
type part struct {
	next atomic.Int64
	end  int64
	_    [48]byte
}

type helper struct {
	parked atomic.Bool
	wake   chan struct{} // capacity 1: whoever clears parked sends
	_      [48]byte
}

// failure carries a panic from a helper to the caller.
type failure struct{ value any }

const (
	limitShift, forkShift = 16, 32
	insideMask            = 1<<limitShift - 1
	limitMask             = insideMask << limitShift
	maxHelpers            = 1<<15 - 1

	spinIdle = 50 * time.Microsecond // after a fork, while nothing holds the pool
	spinHeld = 2 * time.Millisecond  // while a run is in flight: steps that run alone may be long
)

// New makes a pool of that many workers, the caller of Run included; 0 or less means GOMAXPROCS.
func New(workers int) *Pool {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &Pool{helpers: make([]helper, min(workers-1, maxHelpers))}
	p.parts = make([]part, len(p.helpers)+1)
	p.exited.Add(len(p.helpers))
	for i := range p.helpers {
		p.helpers[i].wake = make(chan struct{}, 1)
		go p.help(i)
	}
	return p
}

// Workers is the number of workers, the caller included; worker numbers are smaller.
func (p *Pool) Workers() int { return len(p.helpers) + 1 }

// Run calls job.Chunk for every i in [0, n), each once, and returns when all have returned. At most GOMAXPROCS chunks run at once.
// If another Run is in flight, or the pool is closed, the calling goroutine computes all chunks alone, as worker 0. It allocates
// nothing. If a chunk panics, the others are given up and Run panics with the same value.
func (p *Pool) Run(n int, job Job) {
	helpers := min(len(p.helpers), n-1)
	if helpers > 0 {
		helpers = min(helpers, runtime.GOMAXPROCS(0)-1)
	}
	if helpers <= 0 || !p.busy.CompareAndSwap(false, true) {
		for i := range n {
			job.Chunk(i, 0)
		}
		return
	}
	p.job, p.shared = job, helpers+1
	for k := range p.shared {
		q := &p.parts[k]
		q.next.Store(int64(n) * int64(k) / int64(p.shared))
		q.end = int64(n) * int64(k+1) / int64(p.shared)
	}
	fork := p.state.Load()>>forkShift + 1
	p.state.Store(fork<<forkShift | uint64(helpers)<<limitShift)
	p.wake(helpers)
	defer p.join()
	p.work(0)
}

// Hold announces a run of many steps: workers wake now, and do not park between its forks. Each Hold needs one Release.
func (p *Pool) Hold() {
	if len(p.helpers) == 0 {
		return
	}
	p.held.Add(1)
	p.wake(min(len(p.helpers), runtime.GOMAXPROCS(0)-1))
}

// Release ends what Hold began.
func (p *Pool) Release() {
	if len(p.helpers) > 0 {
		p.held.Add(-1)
	}
}

// Close stops the workers and waits for them. A Run in flight is finished first; a later one works alone.
func (p *Pool) Close() {
	for !p.busy.CompareAndSwap(false, true) { // and stays busy
		runtime.Gosched()
	}
	p.closed.Store(true)
	p.wake(len(p.helpers))
	p.exited.Wait()
}

// wake sends parked helpers on their way.
func (p *Pool) wake(n int) {
	for i := range max(n, 0) {
		h := &p.helpers[i]
		if h.parked.Load() && h.parked.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// work takes chunks until none is left.
func (p *Pool) work(worker int) {
	job := p.job
	for k := range p.shared {
		q := &p.parts[(worker+k)%p.shared]
		for {
			i := q.next.Add(1) - 1
			if i >= q.end {
				break
			}
			job.Chunk(int(i), worker)
		}
	}
}

// giveUp leaves nothing to take.
func (p *Pool) giveUp() {
	for k := range p.shared {
		p.parts[k].next.Store(p.parts[k].end)
	}
}

// join closes the fork, so that a helper that comes late finds no entry, and waits for those inside.
func (p *Pool) join() {
	p.giveUp() // where the caller's own chunk has panicked, nobody starts another
	s := p.state.And(^uint64(limitMask))
	for spins := 0; s&insideMask != 0; spins++ {
		relax(spins)
		s = p.state.Load()
	}
	p.job = nil
	f := p.failure.Swap(nil)
	p.busy.Store(false)
	if f != nil {
		panic(f.value)
	}
}

// help is the life of a helper.
func (p *Pool) help(id int) {
	defer p.exited.Done()
	h := &p.helpers[id]
	var seen uint64 // the last fork that this helper has dealt with
	for !p.closed.Load() {
		s := p.await(h, seen)
		seen = s >> forkShift
		// Enter, unless the fork is closed, is full, or has been followed by another: then look again.
		for s>>forkShift == seen && uint64(id) < s&limitMask>>limitShift {
			if p.state.CompareAndSwap(s, s+1) {
				p.chunks(id + 1)
				p.state.Add(^uint64(0))
				break
			}
			s = p.state.Load()
		}
	}
}

// chunks works as a helper. A panic is handed to the caller of Run, who can name the step; left alone it would end the process.
func (p *Pool) chunks(worker int) {
	defer func() {
		if v := recover(); v != nil {
			p.failure.CompareAndSwap(nil, &failure{v})
			p.giveUp()
		}
	}()
	p.work(worker)
}

// await returns the state once it shows another fork than seen, or the pool is closed. It spins, then parks.
func (p *Pool) await(h *helper, seen uint64) uint64 {
	start := time.Now()
	for spins := 0; ; spins++ {
		s := p.state.Load()
		if s>>forkShift != seen || p.closed.Load() {
			return s
		}
		relax(spins)
		if spins%256 != 255 {
			continue
		}
		limit := spinIdle
		if p.held.Load() > 0 {
			limit = spinHeld
		}
		if time.Since(start) < limit {
			continue
		}
		h.parked.Store(true)
		if s = p.state.Load(); s>>forkShift != seen || p.closed.Load() {
			if !h.parked.CompareAndSwap(true, false) {
				<-h.wake // somebody has seen the flag and sends
			}
			return s
		}
		<-h.wake
		start = time.Now()
	}
}

// relax waits for a moment, and now and then lets other goroutines run on this processor.
func relax(spins int) {
	if spins%1024 == 1023 {
		runtime.Gosched()
		return
	}
	pause()
}
