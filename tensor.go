package llmc

import (
	"unsafe"

	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Tensor is a dense row-major tensor over bytes that may be the caller's. F32, I64 and tensor.View give its elements as
// a slice of Go numbers.
type Tensor = tensor.Tensor

// Tensors are the inputs or outputs of a model by name.
type Tensors map[string]*Tensor

// Value is a tensor, or a sequence, optional or map of values.
type Value = tensor.Value

// Values are inputs or outputs of any kind by name.
type Values map[string]Value

// Strings makes a tensor of strings; without a shape it has one axis.
func Strings(data []string, shape ...int) *Tensor {
	if shape == nil {
		shape = []int{len(data)}
	}
	return &Tensor{Elem: dtype.String, Shape: shape, Str: data}
}

// Float32 makes a tensor over data, which it shares; without a shape it has one axis. Whether data fills the shape is
// checked when the tensor is used.
func Float32(data []float32, shape ...int) *Tensor { return over(dtype.F32, data, shape) }

// Float64 is Float32 of float64 values.
func Float64(data []float64, shape ...int) *Tensor { return over(dtype.F64, data, shape) }

// Int64 is Float32 of int64 values.
func Int64(data []int64, shape ...int) *Tensor { return over(dtype.I64, data, shape) }

// Int32 is Float32 of int32 values.
func Int32(data []int32, shape ...int) *Tensor { return over(dtype.I32, data, shape) }

// Uint8 is Float32 of bytes.
func Uint8(data []uint8, shape ...int) *Tensor { return over(dtype.U8, data, shape) }

// Bool is Float32 of booleans.
func Bool(data []bool, shape ...int) *Tensor { return over(dtype.Bool, data, shape) }

// Scalar makes a float32 tensor of rank 0.
func Scalar(v float32) *Tensor {
	return &Tensor{Elem: dtype.F32, Data: tensor.Of(dtype.F32, []float32{v}, 1).Data}
}

// Zeros allocates a float32 tensor.
func Zeros(shape ...int) *Tensor {
	n, _ := tensor.Count(shape)
	return over(dtype.F32, make([]float32, n), shape)
}

func over[T float32 | float64 | int64 | int32 | uint8 | bool](elem dtype.Type, data []T, shape []int) *Tensor {
	if shape == nil {
		shape = []int{len(data)}
	}
	t := &Tensor{Elem: elem, Shape: shape, Data: []byte{}}
	if len(data) > 0 {
		t.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(data[0])))
	}
	return t
}
