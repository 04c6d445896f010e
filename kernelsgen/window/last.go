package window

import (
	"github.com/llmc-go/llmc/kernelsgen/gen"
)

var move = gen.Record{
	Name: "move",
	Doc:  "is what the copying kernel reads: for each pixel, runs of elements. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first run of the first pixel"},
		{Name: "sstep", Type: "uintptr", Doc: "from a pixel to the next"},
		{Name: "srun", Type: "uintptr", Doc: "from a run to the next"},
		{Name: "dst", Type: "*float32", Doc: "the same of the destination"},
		{Name: "dstep", Type: "uintptr", Doc: "from a pixel to the next"},
		{Name: "drun", Type: "uintptr", Doc: "from a run to the next"},
		{Name: "n", Type: "int", Doc: "pixels, at least 1"},
		{Name: "runs", Type: "int", Doc: "runs of a pixel, at least 1"},
		{Name: "size", Type: "int", Doc: "elements of a run, at least 1"},
	},
}

var spots = gen.Record{
	Name: "spots",
	Doc:  "is what the kernels over channels read: pixels of an output row that combine the same taps. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first tap of the first pixel"},
		{Name: "sstep", Type: "uintptr", Doc: "in the source, from an output pixel to the next"},
		{Name: "offs", Type: "*int", Doc: "pairs, one for each tap: offset in the source, offset in the weights"},
		{Name: "count", Type: "int", Doc: "taps; may be 0"},
		{Name: "w", Type: "*float32", Doc: "weights, one for each tap and channel"},
		{Name: "dst", Type: "*float32", Doc: "first output pixel"},
		{Name: "dstep", Type: "uintptr", Doc: "from an output pixel to the next"},
		{Name: "add", Type: "*float32", Doc: "added to the result, or nil"},
		{Name: "astep", Type: "uintptr", Doc: "from a pixel of add to the next"},
		{Name: "bias", Type: "*float32", Doc: "where sums start, one for each channel, or nil"},
		{Name: "n", Type: "int", Doc: "pixels, at least 1"},
		{Name: "c", Type: "int", Doc: "channels, at least 1"},
		{Name: "init", Type: "float32", Doc: "where maxima start"},
		{Name: "lo", Type: "float32", Doc: "lower bound"},
		{Name: "hi", Type: "float32", Doc: "upper bound"},
		{Name: "clamp", Type: "int", Doc: "not 0: apply lo and hi"},
	},
}

var triple = gen.Record{
	Name: "triple",
	Doc:  "is what the kernel for three taps in a row reads: a row of output pixels. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first tap, of those in the picture, of the first pixel"},
		{Name: "step", Type: "uintptr", Doc: "in the source, from a tap to the next"},
		{Name: "row", Type: "uintptr", Doc: "in the source, from a row of taps to the next"},
		{Name: "pixel", Type: "uintptr", Doc: "in the source, from an output pixel to the next"},
		{Name: "rows", Type: "int", Doc: "rows of taps: 1, 2 or 3"},
		{Name: "w", Type: "*float32", Doc: "weights of the first tap of the first row, one for each channel"},
		{Name: "wstep", Type: "uintptr", Doc: "from the weights of a tap to the next"},
		{Name: "left", Type: "int", Doc: "not 0: the first pixel lacks its first column of taps"},
		{Name: "n", Type: "int", Doc: "pixels that have all columns, at least 1"},
		{Name: "right", Type: "int", Doc: "not 0: one more pixel, which lacks its last column of taps"},
		{Name: "dst", Type: "*float32", Doc: "first output pixel"},
		{Name: "dstep", Type: "uintptr", Doc: "from an output pixel to the next"},
		{Name: "add", Type: "*float32", Doc: "added to the result, or nil"},
		{Name: "astep", Type: "uintptr", Doc: "from a pixel of add to the next"},
		{Name: "bias", Type: "*float32", Doc: "where sums start, one for each channel, or nil"},
		{Name: "c", Type: "int", Doc: "channels, at least 1"},
		{Name: "lo", Type: "float32", Doc: "lower bound"},
		{Name: "hi", Type: "float32", Doc: "upper bound"},
	},
}

var tileIn = gen.Record{
	Name: "tileIn",
	Doc:  "is what the transforms of input tiles read. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "where offsets count from"},
		{Name: "offs", Type: "*int", Doc: "offset of each pixel of the tile"},
		{Name: "n", Type: "int", Doc: "channels, at least 1"},
		{Name: "dst", Type: "*float32", Doc: "first position"},
		{Name: "dpos", Type: "uintptr", Doc: "from a position to the next"},
		{Name: "tmp", Type: "*float32", Doc: "a vector for each pixel, aligned"},
	},
}

var tileOut = gen.Record{
	Name: "tileOut",
	Doc:  "is what the transforms of output tiles read. Distances are in bytes.",
	Fields: []gen.Field{
		{Name: "src", Type: "*float32", Doc: "first position"},
		{Name: "spos", Type: "uintptr", Doc: "from a position to the next"},
		{Name: "n", Type: "int", Doc: "channels, at least 1"},
		{Name: "dst", Type: "*float32", Doc: "where offsets count from"},
		{Name: "offs", Type: "*int", Doc: "offset of each output pixel"},
		{Name: "bias", Type: "*float32", Doc: "one for each channel, or nil"},
		{Name: "add", Type: "*float32", Doc: "added to the result, or nil"},
		{Name: "aoffs", Type: "*int", Doc: "offset of each pixel of add"},
		{Name: "tmp", Type: "*float32", Doc: "a vector for each pixel, aligned"},
		{Name: "lo", Type: "float32", Doc: "lower bound"},
		{Name: "hi", Type: "float32", Doc: "upper bound"},
		{Name: "clamp", Type: "int", Doc: "not 0: apply lo and hi"},
	},
}
