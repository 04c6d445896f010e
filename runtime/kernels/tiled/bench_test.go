package tiled_test

import (
	"fmt"
	"testing"

	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/kernels/kernelbench"
)

func BenchmarkTiled(b *testing.B) {
	for _, c := range kernelbench.Tiled() {
		ways, err := c.Ways(cpu.Host())
		if err != nil {
			b.Fatal(err)
		}
		for _, w := range ways {
			b.Run(fmt.Sprintf("%s/%s", c.Size, w.Name), func(b *testing.B) {
				b.SetBytes(c.Bytes)
				for b.Loop() {
					if err := w.Run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
