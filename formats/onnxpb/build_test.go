package onnxpb_test

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A tiny encoder, so that tests read like the messages they make.

type pb []byte

func (b pb) int(field protowire.Number, v int64) pb {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

func (b pb) str(field protowire.Number, v string) pb {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func (b pb) sub(field protowire.Number, v ...pb) pb {
	var all pb
	for _, s := range v {
		all = append(all, s...)
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), all)
}

func (b pb) f32(field protowire.Number, v float32) pb {
	return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), math.Float32bits(v))
}

func (b pb) f64(field protowire.Number, v float64) pb {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(v))
}

func varints(v ...int64) (b pb) {
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(x))
	}
	return b
}

func floats(v ...float32) (b pb) {
	for _, x := range v {
		b = protowire.AppendFixed32(b, math.Float32bits(x))
	}
	return b
}

func doubles(v ...float64) (b pb) {
	for _, x := range v {
		b = protowire.AppendFixed64(b, math.Float64bits(x))
	}
	return b
}

// tensorOf begins a TensorProto.
func tensorOf(dataType int64, dims ...int64) pb {
	return pb{}.sub(1, varints(dims...)).int(2, dataType).str(8, "w")
}

// model wraps a GraphProto.
func model(graph pb) pb {
	return pb{}.int(1, 10).sub(8, pb{}.int(2, 21)).sub(7, graph)
}
