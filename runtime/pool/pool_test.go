package pool

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// count counts the calls of each chunk, and the chunks that a worker number has in flight.
type count struct {
	chunks []atomic.Int32
	flight []atomic.Int32
	clash  atomic.Bool
	most   atomic.Int32
	now    atomic.Int32
}

func newCount(n, workers int) *count {
	return &count{chunks: make([]atomic.Int32, n), flight: make([]atomic.Int32, workers)}
}

func (c *count) Chunk(i, worker int) {
	if c.flight[worker].Add(1) != 1 {
		c.clash.Store(true)
	}
	if now := c.now.Add(1); now > c.most.Load() {
		c.most.Store(now)
	}
	c.chunks[i].Add(1)
	c.now.Add(-1)
	c.flight[worker].Add(-1)
}

func (c *count) check(t *testing.T) {
	t.Helper()
	for i := range c.chunks {
		if got := c.chunks[i].Load(); got != 1 {
			t.Fatalf("chunk %d of %d: ran %d times, want once", i, len(c.chunks), got)
		}
	}
	if c.clash.Load() {
		t.Fatal("one worker number was in use twice at once")
	}
}

func TestEachChunkOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		p := New(workers)
		if p.Workers() != workers {
			t.Errorf("Workers: want %d, got %d", workers, p.Workers())
		}
		for n := range 200 {
			c := newCount(n, workers)
			p.Run(n, c)
			c.check(t)
		}
		p.Close()
	}
}

func TestAfterParking(t *testing.T) {
	p := New(2)
	defer p.Close()
	for range 20 {
		time.Sleep(2 * spinIdle)
		c := newCount(50, 2)
		p.Run(50, c)
		c.check(t)
	}
}

func TestFollowsGOMAXPROCS(t *testing.T) {
	p := New(4)
	defer p.Close()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 100 {
		c := newCount(64, 4)
		p.Run(64, c)
		c.check(t)
		if c.most.Load() > 1 {
			t.Fatalf("GOMAXPROCS is 1: %d chunks ran at once", c.most.Load())
		}
	}
}

func TestSharedBySessions(t *testing.T) {
	p := New(2)
	defer p.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			p.Hold()
			defer p.Release()
			for n := range 300 {
				c := newCount(n%17, 2)
				p.Run(n%17, c)
				c.check(t)
			}
		})
	}
	wg.Wait()
}

type nested struct {
	p     *Pool
	inner *count
}

func (n *nested) Chunk(i, _ int) {
	if i == 0 {
		n.p.Run(len(n.inner.chunks), n.inner)
	}
}

func TestNestedRunWorksAlone(t *testing.T) {
	p := New(2)
	defer p.Close()
	n := &nested{p, newCount(9, 2)}
	p.Run(5, n)
	n.inner.check(t)
}

func TestCloseEndsGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		p := New(5)
		p.Run(20, newCount(20, 5))
		p.Close()
		c := newCount(20, 5)
		p.Run(20, c)
		c.check(t)
	}
	for range 100 { // a goroutine is counted until it has returned
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("goroutines: %d before, %d after", before, runtime.NumGoroutine())
}

type bomb struct{ at int }

func (b bomb) Chunk(i, _ int) {
	if i == b.at {
		panic(fmt.Sprint("chunk ", i))
	}
	time.Sleep(10 * time.Microsecond)
}

func TestPanicReachesCaller(t *testing.T) {
	p := New(2)
	defer p.Close()
	for i := range 40 {
		func() {
			defer func() {
				if got, want := recover(), fmt.Sprint("chunk ", i%20); got != want {
					t.Errorf("want panic %q, got %v", want, got)
				}
			}()
			p.Run(20, bomb{i % 20})
		}()
		c := newCount(30, 2)
		p.Run(30, c)
		c.check(t)
	}
}

type empty struct{}

func (*empty) Chunk(int, int) {}

func TestRunAllocatesNothing(t *testing.T) {
	p := New(2)
	defer p.Close()
	job := &empty{}
	if got := testing.AllocsPerRun(100, func() { p.Run(4, job) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

type spin struct{ d time.Duration }

func (s *spin) Chunk(int, int) {
	for start := time.Now(); time.Since(start) < s.d; {
	}
}

type sum struct {
	x    []float32
	part [8]float32
}

func (s *sum) Chunk(i, _ int) {
	n := len(s.x) / len(s.part)
	for _, v := range s.x[i*n : (i+1)*n] {
		s.part[i] += v
	}
}

func ExamplePool_Run() {
	p := New(2)
	defer p.Close()
	s := &sum{x: make([]float32, 800)}
	for i := range s.x {
		s.x[i] = 1
	}
	p.Run(len(s.part), s)
	fmt.Println(s.part)
	// Output: [100 100 100 100 100 100 100 100]
}

func BenchmarkForkJoin(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("empty/workers=%d", workers), func(b *testing.B) {
			p := New(workers)
			defer p.Close()
			p.Hold()
			defer p.Release()
			job := &empty{}
			for b.Loop() {
				p.Run(2, job)
			}
		})
		b.Run(fmt.Sprintf("50us-halves/workers=%d", workers), func(b *testing.B) {
			p := New(workers)
			defer p.Close()
			p.Hold()
			defer p.Release()
			job := &spin{50 * time.Microsecond}
			for b.Loop() {
				p.Run(2, job)
			}
		})
	}
	b.Run("50us-halves,after-idle/workers=2", func(b *testing.B) {
		p := New(2)
		defer p.Close()
		job := &spin{50 * time.Microsecond}
		for b.Loop() {
			b.StopTimer()
			time.Sleep(2 * time.Millisecond)
			b.StartTimer()
			p.Run(2, job)
		}
	})
}
