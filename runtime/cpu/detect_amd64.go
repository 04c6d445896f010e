//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

// detect asks the processor. The imported package has compared AVX and AVX-512 with XCR0, so that a feature whose registers the
// operating system does not save is absent. AMX is left out: its tile data need a permission of the kernel (Linux
// ARCH_REQ_XCOMP_PERM), which is asked for where the first kernel that uses tiles is loaded.
func detect() Features {
	var f Features
	x := &cpu.X86
	for _, e := range [...]struct {
		has bool
		f   Features
	}{
		{x.HasAVX, AVX},
		{x.HasAVX2, AVX2},
		{x.HasFMA && x.HasAVX, FMA3},
		{x.HasF16C && x.HasAVX, F16C},
		{x.HasAVX512F, AVX512F},
		{x.HasAVX512BW, AVX512BW},
		{x.HasAVX512DQ, AVX512DQ},
		{x.HasAVX512VL, AVX512VL},
		{x.HasAVX512VNNI, AVX512VNNI},
		{x.HasAVX512BF16, AVX512BF16},
	} {
		if e.has {
			f |= e.f
		}
	}
	return f
}
