package onnxgo

import (
	"fmt"
	"unsafe"

	gorgonia "gorgonia.org/tensor"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// number are the element types that both libraries have, strings left out.
type number interface {
	float32 | float64 | int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8 | bool
}

// fromGorgonia sees a tensor as one of ours. Elements are shared where they lie in row-major order.
func fromGorgonia(t gorgonia.Tensor) (*tensor.Tensor, error) {
	d, ok := t.(*gorgonia.Dense)
	if !ok {
		return nil, fmt.Errorf("want a dense tensor, got %T", t)
	}
	switch x := d.Data().(type) {
	case []float32:
		return over(d, dtype.F32, x)
	case float32:
		return over(d, dtype.F32, []float32{x})
	case []float64:
		return over(d, dtype.F64, x)
	case float64:
		return over(d, dtype.F64, []float64{x})
	case []int64:
		return over(d, dtype.I64, x)
	case int64:
		return over(d, dtype.I64, []int64{x})
	case []int32:
		return over(d, dtype.I32, x)
	case int32:
		return over(d, dtype.I32, []int32{x})
	case []int16:
		return over(d, dtype.I16, x)
	case []int8:
		return over(d, dtype.I8, x)
	case []uint64:
		return over(d, dtype.U64, x)
	case []uint32:
		return over(d, dtype.U32, x)
	case []uint16:
		return over(d, dtype.U16, x)
	case []uint8:
		return over(d, dtype.U8, x)
	case []bool:
		return over(d, dtype.Bool, x)
	case bool:
		return over(d, dtype.Bool, []bool{x})
	}
	return nil, fmt.Errorf("elements of type %v are not known", d.Dtype())
}

func over[T number](d *gorgonia.Dense, elem dtype.Type, data []T) (*tensor.Tensor, error) {
	shape := []int(d.Shape().Clone())
	n, ok := tensor.Count(shape)
	if !ok {
		return nil, fmt.Errorf("shape %v is too large", shape)
	}
	if d.RequiresIterator() || !d.DataOrder().IsRowMajor() {
		flat := make([]T, 0, n)
		it := d.Iterator()
		for i, err := it.Next(); err == nil; i, err = it.Next() {
			flat = append(flat, data[i])
		}
		data = flat
	}
	if len(data) < n {
		return nil, fmt.Errorf("%d elements for shape %v", len(data), shape)
	}
	out := &tensor.Tensor{Elem: elem, Shape: shape, Data: []byte{}}
	if n > 0 {
		out.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), n*int(unsafe.Sizeof(data[0])))
	}
	return out, nil
}

// whole converts float32 numbers to the integers that the model declares, where none is lost.
func whole(t *tensor.Tensor, to gorgonia.Dtype) (*tensor.Tensor, error) {
	elem := dtype.I64
	switch to {
	case gorgonia.Int64:
	case gorgonia.Int32:
		elem = dtype.I32
	default:
		return t, nil // the compiler says what is wrong
	}
	if t.Elem != dtype.F32 {
		return t, nil
	}
	out := tensor.New(elem, t.Shape...)
	for i, v := range t.F32() {
		k := int64(v)
		if float32(k) != v || elem == dtype.I32 && k != int64(int32(k)) {
			return nil, fmt.Errorf("want elements of type %v, got %v", elem, v)
		}
		out.SetInt(i, k)
	}
	return out, nil
}

// toGorgonia copies a tensor of ours.
func toGorgonia(t *tensor.Tensor) (gorgonia.Tensor, error) {
	switch t.Elem {
	case dtype.F32:
		return dense[float32](t)
	case dtype.F64:
		return dense[float64](t)
	case dtype.I64:
		return dense[int64](t)
	case dtype.I32:
		return dense[int32](t)
	case dtype.I16:
		return dense[int16](t)
	case dtype.I8:
		return dense[int8](t)
	case dtype.U64:
		return dense[uint64](t)
	case dtype.U32:
		return dense[uint32](t)
	case dtype.U16:
		return dense[uint16](t)
	case dtype.U8:
		return dense[uint8](t)
	case dtype.Bool:
		return dense[bool](t)
	}
	return nil, fmt.Errorf("the library has no elements of type %v", t.Elem)
}

func dense[T number](t *tensor.Tensor) (gorgonia.Tensor, error) {
	data := make([]T, t.Len())
	if len(data) > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(t.Data)), t.Data)
	}
	if len(t.Shape) == 0 {
		return gorgonia.New(gorgonia.FromScalar(data[0])), nil
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("the library has no tensor of shape %v", t.Shape)
	}
	return gorgonia.New(gorgonia.WithShape(t.Shape...), gorgonia.WithBacking(data)), nil
}

// initializer makes a weight of a tensor, which it shares.
func initializer(name string, t *tensor.Tensor) onnxpb.Tensor {
	p := onnxpb.Tensor{Name: name, DataType: onnxpb.DataTypeOf(t.Elem), Raw: t.Data}
	for _, d := range t.Shape {
		p.Dims = append(p.Dims, int64(d))
	}
	return p
}

// attribute makes an attribute of what the project decodes it to.
func attribute(name string, v any) (onnxpb.Attr, error) {
	a := onnxpb.Attr{Name: name}
	switch x := v.(type) {
	case float32:
		a.Type, a.F = onnxpb.AttrFloat, x
	case int64:
		a.Type, a.I = onnxpb.AttrInt, x
	case int:
		a.Type, a.I = onnxpb.AttrInt, int64(x)
	case string:
		a.Type, a.S = onnxpb.AttrString, []byte(x)
	case []float32:
		a.Type, a.Floats = onnxpb.AttrFloats, x
	case []int64:
		a.Type, a.Ints = onnxpb.AttrInts, x
	case []string:
		a.Type = onnxpb.AttrStrings
		for _, s := range x {
			a.Strings = append(a.Strings, []byte(s))
		}
	case gorgonia.Tensor:
		t, err := fromGorgonia(x)
		if err != nil {
			return a, err
		}
		p := initializer("", t)
		a.Type, a.T = onnxpb.AttrTensor, &p
	default:
		return a, fmt.Errorf("a value of type %T is not known", v)
	}
	return a, nil
}
