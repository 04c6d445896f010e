// Package roof measures what a processor can do at the most, so that a kernel's speed can be seen beside it: multiply-adds in fp32, and
// bytes read and written. Its loops do nothing else:
//
//	for n rounds, all i:  x[i] = x[i]*mul + add
//	for n lines, all i:   out[i] ^= x[line*16 + i]
//	for n lines, all i:   x[line*16 + i] = add
//
// A measurement is the best of several short tries: others who use the machine can only make a try slower. The roofline is that of
// Williams, Waterman and Patterson (Roofline: an insightful visual performance model for multicore architectures, CACM 52, 2009).
package roof

import (
	"math/bits"
	"time"
	"unsafe"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/huge"
	"github.com/llmc-go/llmc/runtime/pool"
)

//go:generate go run ../../../kernelsgen -root ../../..

// Row is one set of loops of the table.
type Row struct {
	Name  string
	Needs cpu.Features // what the processor must have; found by the generator
	id    int
}

type functions struct{ fma, read, write func(*args) }

// Table returns all rows, best first; the last one is the portable row.
func Table() []Row { return append([]Row(nil), rows[:]...) }

// Runs reports whether this build has the row's code and host its instructions.
func (r *Row) Runs(host cpu.Features) bool {
	return host.Has(r.Needs) && (r.Needs == 0 || kernels[r.id].fma != nil)
}

// Pick returns the best row that runs on host.
func Pick(host cpu.Features) *Row { return cpu.Best(rows[:], host) }

func (r *Row) code() *functions {
	if r.Needs == 0 {
		return &portable
	}
	return &kernels[r.id]
}

// Memory is the size of a buffer that is larger than the caches of most processors.
const Memory = 256 << 20

const (
	leastBytes = 16 << 10 // of a buffer, for each worker
	rounds     = 8192     // of multiply-adds of a call: some 20 µs; fewer where they take longer
	calls      = 16       // of multiply-adds of a try
	tryBytes   = 16 << 20 // that a try reads or writes at least: half a millisecond
	callBytes  = 1 << 20  // of a call at the most: the scheduler cannot stop it

	// A measurement goes on until the first two are reached, or the third is.
	leastTries = 6
	leastTime  = 50 * time.Millisecond
	mostTime   = 250 * time.Millisecond
)

// Meter measures with the loops of one row on some workers. It is for one goroutine at a time, and remembers what it has measured.
type Meter struct {
	row         *Row
	pool        *pool.Pool
	buf         []byte
	flops       float64
	read, write map[int]float64
	job         job
}

// New makes a meter of that many workers, 0 for all processors, that uses no more than the features. Close it after use.
func New(host cpu.Features, workers int) *Meter {
	m := &Meter{row: Pick(host), pool: pool.New(workers), read: map[int]float64{}, write: map[int]float64{}}
	m.job.parts = make([]part, m.pool.Workers())
	return m
}

// Close stops the workers and lets go of the memory.
func (m *Meter) Close() {
	m.pool.Close()
	m.buf = nil
}

// Row is the row that measures.
func (m *Meter) Row() *Row { return m.row }

// Workers is the number of workers.
func (m *Meter) Workers() int { return m.pool.Workers() }

// FLOPS is the most floating-point operations in a second, two for each multiply-add, of all workers together.
func (m *Meter) FLOPS() float64 {
	if m.flops > 0 {
		return m.flops
	}
	j := &m.job
	j.call, j.times = m.row.code().fma, calls
	n := rounds
	if m.row.Needs == 0 {
		n /= 16
	}
	for i := range j.parts {
		p := &j.parts[i]
		for k := range p.sums {
			p.sums[k] = float32(k) / sums
		}
		p.from, p.lines, p.step = &p.sums[0], n, n
	}
	m.flops = 2 * sums * float64(n*calls*len(j.parts)) / m.best()
	return m.flops
}

// Read is the most bytes in a second that all workers together read of a buffer of that size, again and again: from the cache where
// it fits, or from memory. The size counts as the next power of two, and as [Memory] at the most.
func (m *Meter) Read(size int) float64 { return m.stream(m.read, m.row.code().read, size) }

// Write is the same of bytes written.
func (m *Meter) Write(size int) float64 { return m.stream(m.write, m.row.code().write, size) }

func (m *Meter) stream(known map[int]float64, call func(*args), size int) float64 {
	j := &m.job
	workers := len(j.parts)
	size = min(max(size, leastBytes*workers), Memory)
	size = 1 << bits.Len(uint(size-1))
	if known[size] > 0 {
		return known[size]
	}
	if len(m.buf) < size {
		m.buf = nil
		m.buf = huge.Alloc(size)
		for i := 0; i < size; i += 4096 { // pages that were never written are all the same page
			m.buf[i] = 1
		}
	}
	each := size / workers / lineBytes // lines
	j.call, j.times = call, max(1, tryBytes/size)
	for i := range j.parts {
		p := &j.parts[i]
		p.from, p.lines, p.step = (*float32)(unsafe.Pointer(&m.buf[i*each*lineBytes])), each, callBytes/lineBytes
	}
	known[size] = float64(each*lineBytes*workers*j.times) / m.best()
	return known[size]
}

// best is the shortest time in seconds of a try. It goes on where few tries were shared by all workers: some are late while others
// use the machine, and then one of them does another's part.
func (m *Meter) best() float64 {
	m.pool.Hold()
	defer m.pool.Release()
	best, shared := time.Hour, 0
	for begin := time.Now(); ; {
		start := time.Now()
		m.pool.Run(len(m.job.parts), &m.job)
		best = min(best, time.Since(start))
		if m.job.shared() {
			shared++
		}
		if t := time.Since(begin); shared >= leastTries && t >= leastTime || t >= mostTime {
			return max(best, 1).Seconds()
		}
	}
}

// job is a try.
type job struct {
	call  func(*args)
	times int
	parts []part
}

// part is what one worker does, step lines (or rounds) a call.
type part struct {
	from        *float32
	lines, step int
	sums        [sums]float32
	args        args
	out         [lineBytes / 4]float32
	did         int // parts that the worker of this number did
	_           [lineBytes]byte
}

// shared reports whether every worker did one part, and forgets it.
func (j *job) shared() bool {
	all := true
	for i := range j.parts {
		all = all && j.parts[i].did == 1
		j.parts[i].did = 0
	}
	return all
}

// Chunk implements pool.Job.
func (j *job) Chunk(i, worker int) {
	p := &j.parts[i]
	j.parts[worker].did++
	for range j.times {
		for at := 0; at < p.lines; at += p.step {
			p.args = args{x: p.from, n: min(p.step, p.lines-at), out: &p.out[0], mul: 0.999, add: 0.001}
			if p.from != &p.sums[0] {
				p.args.x = (*float32)(unsafe.Add(unsafe.Pointer(p.from), at*lineBytes))
			}
			j.call(&p.args)
		}
	}
}
