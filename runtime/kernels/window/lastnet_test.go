package window_test

import (
	"fmt"
	"testing"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/window"
	"github.com/llmc-go/llmc/runtime/pool"
)

// network lists the convolutions of a network in their order.
type network []window.Geometry

func (n *network) add(g window.Geometry) { *n = append(*n, g) }

// resnet50 is the network of He et al. (Deep Residual Learning for Image Recognition, 2016), strides in the 3x3 layers.
func resnet50() (n network) {
	n.add(square(1, 1, 3, 64, 224, 7, 2))
	in, size := 64, 56
	for stage, blocks := range []int{3, 4, 6, 3} {
		mid := 64 << stage
		for block := range blocks {
			stride := 1
			if block == 0 && stage > 0 {
				stride = 2
			}
			n.add(square(1, 1, in, mid, size, 1, 1))
			n.add(square(1, 1, mid, mid, size, 3, stride))
			n.add(square(1, 1, mid, 4*mid, size/stride, 1, 1))
			if block == 0 {
				n.add(square(1, 1, in, 4*mid, size, 1, stride))
			}
			in, size = 4*mid, size/stride
		}
	}
	return n
}

// mobilenetV2 is the network of Sandler et al. (MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018).
func mobilenetV2() (n network) {
	n.add(square(1, 1, 3, 32, 224, 3, 2))
	in, size := 32, 112
	for _, s := range []struct{ grow, out, blocks, stride int }{{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}} {
		for block := range s.blocks {
			stride, mid := 1, in*s.grow
			if block == 0 {
				stride = s.stride
			}
			if s.grow > 1 {
				n.add(square(1, 1, in, mid, size, 1, 1))
			}
			n.add(square(1, mid, 1, 1, size, 3, stride))
			size /= stride
			n.add(square(1, 1, mid, s.out, size, 1, 1))
			in = s.out
		}
	}
	n.add(square(1, 1, in, 1280, size, 1, 1))
	return n
}

// lastJob runs the chunks of a convolution.
type lastJob struct {
	l       *window.Last
	workers []*window.Worker
}

func (j *lastJob) Chunk(chunk, worker int) { j.l.RunChunk(chunk, j.workers[worker]) }

// BenchmarkLastNetwork runs all convolutions of a network, one after another.
func BenchmarkLastNetwork(b *testing.B) {
	for _, s := range []struct {
		name string
		net  network
	}{{"resnet50", resnet50()}, {"mobilenetv2", mobilenetV2()}} {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("f32/%s/threads=%d", s.name, threads), func(b *testing.B) {
				p := pool.New(threads)
				defer p.Close()
				most, scratch, flops := 0, 0, 0.0
				var steps []*lastBench
				for _, g := range s.net {
					l := newLast(g, window.ChooseLast(&g), 1)
					if err := l.Prepare(window.Pick(cpu.Host())); err != nil {
						b.Fatal(err)
					}
					most, scratch = max(most, l.XImage, l.YImage), max(scratch, l.ScratchLen())
					flops += 2 * float64(g.N*g.Groups*g.Co*volume(g.Out)*g.Ci*volume(g.Kernel))
					steps = append(steps, l)
				}
				places := [2]*float32{first(make([]float32, most)), first(make([]float32, most))}
				j := lastJob{}
				for range threads {
					j.workers = append(j.workers, worker(scratch))
				}
				for i, l := range steps {
					l.X, l.Y = places[i%2], places[(i+1)%2]
				}
				for b.Loop() {
					p.Hold()
					for _, l := range steps {
						j.l = &l.Last
						p.Run(l.Chunks(), &j)
					}
					p.Release()
				}
				b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}
