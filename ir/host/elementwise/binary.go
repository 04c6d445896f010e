package elementwise

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/attr"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// arith is a function of two operands of one type: f for real types, i for integers and bool, u for u64
// where its result differs from that of i on the same bits.
type arith struct {
	f func(x, y float64) float64
	i func(t dtype.Type, x, y int64) int64
	u func(x, y uint64) uint64
}

func binary(name string, a arith) host.Fn {
	return host.Fn{Name: name, Run: func(c *host.Call) error { return a.run(c) }}
}

// broadcast prepares result 0 and the strides of all operands.
func broadcast(c *host.Call) (*tensor.Tensor, [][]int, error) {
	var shapes [][]int
	for _, t := range c.In {
		if t != nil {
			shapes = append(shapes, t.Shape)
		}
	}
	shape, err := host.Broadcast(shapes...)
	if err != nil {
		return nil, nil, err
	}
	out, err := c.Out(0, shape...)
	if err != nil {
		return nil, nil, err
	}
	strides := make([][]int, len(shapes))
	for i, s := range shapes {
		strides[i] = host.BroadcastStrides(s, shape)
	}
	return out, strides, nil
}

func (a arith) run(c *host.Call) error {
	out, strides, err := broadcast(c)
	if err != nil {
		return err
	}
	x, y := c.In[0], c.In[1]
	switch {
	case x.Elem.IsFloat():
		rx, ry, w := host.Reader(x), host.Reader(y), host.Writer(out)
		host.Each(out.Shape, strides, func(at int, off []int) { w(at, a.f(rx(off[0]), ry(off[1]))) })
	case x.Elem == dtype.U64 && a.u != nil:
		host.Each(out.Shape, strides, func(at int, off []int) { out.SetBits(at, a.u(x.Bits(off[0]), y.Bits(off[1]))) })
	case a.i != nil && (x.Elem.IsInt() || x.Elem == dtype.Bool):
		host.Each(out.Shape, strides, func(at int, off []int) { out.SetInt(at, a.i(x.Elem, x.Int(off[0]), y.Int(off[1]))) })
	default:
		return fmt.Errorf("element type %v", x.Elem)
	}
	return nil
}

// whole lifts an integer function that does not depend on the type.
func whole(f func(x, y int64) int64) func(dtype.Type, int64, int64) int64 {
	return func(_ dtype.Type, x, y int64) int64 { return f(x, y) }
}

// The functions of two operands. Integers wrap; a division by zero gives 0, as in tile programs.
var (
	Add = binary("add", arith{f: func(x, y float64) float64 { return x + y }, i: whole(func(x, y int64) int64 { return x + y })})
	Sub = binary("sub", arith{f: func(x, y float64) float64 { return x - y }, i: whole(func(x, y int64) int64 { return x - y })})
	Mul = binary("mul", arith{f: func(x, y float64) float64 { return x * y }, i: whole(func(x, y int64) int64 { return x * y })})
	Div = binary("div", arith{f: func(x, y float64) float64 { return x / y }, i: whole(divInt), u: func(x, y uint64) uint64 {
		if y == 0 {
			return 0
		}
		return x / y
	}})
	Min = binary("min", arith{f: func(x, y float64) float64 { return min(x, y) }, i: whole(func(x, y int64) int64 { return min(x, y) }),
		u: func(x, y uint64) uint64 { return min(x, y) }})
	Max = binary("max", arith{f: func(x, y float64) float64 { return max(x, y) }, i: whole(func(x, y int64) int64 { return max(x, y) }),
		u: func(x, y uint64) uint64 { return max(x, y) }})
	And = binary("and", arith{i: whole(func(x, y int64) int64 { return x & y })})
	Or  = binary("or", arith{i: whole(func(x, y int64) int64 { return x | y })})
	Xor = binary("xor", arith{i: whole(func(x, y int64) int64 { return x ^ y })})
	Shl = binary("shl", arith{i: shl})
	Shr = binary("shr", arith{i: shr, u: func(x, y uint64) uint64 { return x >> y }})
	Mod = host.Fn{Name: "mod", Run: func(c *host.Call) error { return mod(c.Attrs).run(c) }}
	Pow = host.Fn{Name: "pow", Run: pow}
)

func divInt(x, y int64) int64 {
	switch y {
	case 0:
		return 0
	case -1:
		return -x // the smallest number divided by -1 wraps
	}
	return x / y
}

// shl gives 0 where the amount is not within the type's width (ONNX BitShift-28).
func shl(t dtype.Type, x, y int64) int64 {
	if y < 0 || y >= int64(t.Bits()) {
		return 0
	}
	return x << y
}

// shr is arithmetic for signed types and fills with the sign where the amount is not within the width.
func shr(t dtype.Type, x, y int64) int64 {
	if y < 0 || y >= int64(t.Bits()) {
		y = 63
	}
	return x >> y
}

// mod has the sign of the divisor, or of the dividend where the attribute fmod is set.
func mod(a attr.List) arith {
	unsigned := func(x, y uint64) uint64 {
		if y == 0 {
			return 0
		}
		return x % y
	}
	if a.Bool("fmod") {
		return arith{f: math.Mod, u: unsigned, i: whole(func(x, y int64) int64 {
			if y == 0 || y == -1 {
				return 0
			}
			return x % y
		})}
	}
	return arith{f: floorMod, u: unsigned, i: whole(func(x, y int64) int64 {
		if y == 0 || y == -1 {
			return 0
		}
		r := x % y
		if r != 0 && (r < 0) != (y < 0) {
			r += y
		}
		return r
	})}
}

// floorMod is x - floor(x/y)*y with the special values of ONNX Mod-28.
func floorMod(x, y float64) float64 {
	r := math.Mod(x, y)
	switch {
	case math.IsNaN(r):
		return r
	case r == 0:
		return math.Copysign(0, y)
	case (r < 0) != (y < 0):
		return r + y
	}
	return r
}

// pow has the type of its first operand; the exponent may have another. Integers to integer powers are
// exact modulo the width.
func pow(c *host.Call) error {
	out, strides, err := broadcast(c)
	if err != nil {
		return err
	}
	x, y := c.In[0], c.In[1]
	if x.Elem.IsInt() && y.Elem.IsInt() {
		host.Each(out.Shape, strides, func(at int, off []int) { out.SetInt(at, powInt(x.Int(off[0]), y.Int(off[1]), y.Elem)) })
		return nil
	}
	rx, ry, w := host.Reader(x), host.Reader(y), host.Writer(out)
	host.Each(out.Shape, strides, func(at int, off []int) { w(at, math.Pow(rx(off[0]), ry(off[1]))) })
	return nil
}

func powInt(x, y int64, t dtype.Type) int64 {
	if y < 0 && t != dtype.U64 {
		switch x {
		case 1:
			return 1
		case -1:
			return 1 - 2*(y&1)
		}
		return 0
	}
	r := int64(1)
	for e := uint64(y); e > 0; e >>= 1 {
		if e&1 == 1 {
			r *= x
		}
		x *= x
	}
	return r
}

// relation is a comparison: of real numbers, of integers, of u64, and of strings where that is defined.
type relation struct {
	f func(x, y float64) bool
	i func(x, y int64) bool
	u func(x, y uint64) bool
	s func(x, y string) bool
}

func compare(name string, r relation) host.Fn {
	return host.Fn{Name: name, Run: func(c *host.Call) error {
		t, strides, err := broadcast(c)
		if err != nil {
			return err
		}
		x, y, out := c.In[0], c.In[1], tensor.View[bool](t)
		switch {
		case x.Elem.IsFloat():
			rx, ry := host.Reader(x), host.Reader(y)
			host.Each(t.Shape, strides, func(at int, off []int) { out[at] = r.f(rx(off[0]), ry(off[1])) })
		case x.Elem == dtype.U64:
			host.Each(t.Shape, strides, func(at int, off []int) { out[at] = r.u(x.Bits(off[0]), y.Bits(off[1])) })
		case x.Elem.IsInt() || x.Elem == dtype.Bool:
			host.Each(t.Shape, strides, func(at int, off []int) { out[at] = r.i(x.Int(off[0]), y.Int(off[1])) })
		case x.Elem == dtype.String && r.s != nil:
			host.Each(t.Shape, strides, func(at int, off []int) { out[at] = r.s(x.Str[off[0]], y.Str[off[1]]) })
		default:
			return fmt.Errorf("element type %v", x.Elem)
		}
		return nil
	}}
}

type number interface {
	~int64 | ~uint64 | ~float64 | ~string
}

func eq[T number](x, y T) bool { return x == y }
func lt[T number](x, y T) bool { return x < y }
func le[T number](x, y T) bool { return x <= y }
func gt[T number](x, y T) bool { return x > y }
func ge[T number](x, y T) bool { return x >= y }

// The comparisons.
var (
	Equal        = compare("equal", relation{eq[float64], eq[int64], eq[uint64], eq[string]})
	Less         = compare("less", relation{lt[float64], lt[int64], lt[uint64], nil})
	LessEqual    = compare("less_equal", relation{le[float64], le[int64], le[uint64], nil})
	Greater      = compare("greater", relation{gt[float64], gt[int64], gt[uint64], nil})
	GreaterEqual = compare("greater_equal", relation{ge[float64], ge[int64], ge[uint64], nil})
)

// Where is y = cond ? x : z, all broadcast, of any element type.
var Where = host.Fn{Name: "where", Run: func(c *host.Call) error {
	out, strides, err := broadcast(c)
	if err != nil {
		return err
	}
	cond, x, y := tensor.View[uint8](c.In[0]), c.In[1], c.In[2]
	host.Each(out.Shape, strides, func(at int, off []int) {
		if cond[off[0]] != 0 {
			host.CopyElem(out, at, x, off[1])
		} else {
			host.CopyElem(out, at, y, off[2])
		}
	})
	return nil
}}

// Clip is min(max(x, lo), hi); bounds are scalars and may be absent.
var Clip = host.Fn{Name: "clip", Run: func(c *host.Call) error {
	x := c.In[0]
	out, err := c.Out(0, x.Shape...)
	if err != nil {
		return err
	}
	host.Copy(out, x)
	for i, bound := range []host.Fn{Max, Min} {
		if len(c.In) <= i+1 || c.In[i+1] == nil {
			continue
		}
		if c.In[i+1].Len() != 1 {
			return fmt.Errorf("bound of shape %v, want a scalar", c.In[i+1].Shape)
		}
		b := &tensor.Tensor{Elem: c.In[i+1].Elem, Data: c.In[i+1].Data}
		step := host.NewCall([]*tensor.Tensor{out, b}, nil, []*tensor.Tensor{out}, []dtype.Type{out.Elem}, nil)
		if err := bound.Run(step); err != nil {
			return err
		}
	}
	return nil
}}

// All lists the functions of this package.
func All() []host.Fn {
	return []host.Fn{
		Neg, Abs, Sign, Relu, Not, Sqrt, Recip, Exp, Log, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Asinh, Acosh, Atanh,
		Erf, Floor, Ceil, Round, Sigmoid, Softplus, Silu, LeakyRelu, HardSigmoid, Gelu, IsNaN, IsInf,
		Add, Sub, Mul, Div, Min, Max, And, Or, Xor, Shl, Shr, Mod, Pow, Equal, Less, LessEqual, Greater, GreaterEqual,
		Where, Clip, Cast, Dropout, BitCast, Random,
	}
}
