package tiled

import "unsafe"

var _ unsafe.Pointer

var rows = [...]Row{{Name: "f32_tiled_ref", id: 0}}

var kernels [len(rows)]*functions

type args struct {
	dst, a, b, c *float32
	n            int
}
