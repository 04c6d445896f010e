// Package pool writes the one function of runtime/pool that Go has no words for: the spin-wait hint.
package pool

import (
	"github.com/llmc-go/llmc/kernelsgen/gen"
)

const dir = "runtime/pool"

// Files generates the function.
func Files() ([]gen.File, error) {
	asm := gen.NewAsm(dir, "pause", gen.Record{})
	asm.Plain("pause", "tells the processor four times that this is a spin loop: it saves power, and leaves a shared core to the other thread.")
	for range 4 {
		asm.PAUSE()
	}
	asm.RET()
	files, _, err := asm.Finish()
	return files, err
}
