package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/op"
)

// scan is a Scan node: carried states, and inputs of which every iteration sees one slice.
type scan struct {
	c               *op.Import
	states, inputs  []*ir.Value
	captures        []*ir.Value // of the model's body
	given           []*ir.Value // the same where the loop is built
	inAxes          []int64
	inBack, outBack []int64 // 1: from the end
	outAxes         []int64
	trips           dim.Expr
}

// importScan makes a loop whose body gathers its slice of each input. Scan outputs come out stacked along a first
// axis, in the order of iterations; the attributes may want another axis or order.
func importScan(c *op.Import) ([]*ir.Value, error) {
	m := int(modelInt(c, "num_scan_inputs", 0))
	if m < 1 || m > len(c.N.In) {
		return nil, fmt.Errorf("num_scan_inputs: %d of %d operands", m, len(c.N.In))
	}
	s := &scan{c: c, states: c.N.In[:len(c.N.In)-m], inputs: c.N.In[len(c.N.In)-m:],
		inAxes: modelInts(c, "scan_input_axes"), inBack: modelInts(c, "scan_input_directions"),
		outAxes: modelInts(c, "scan_output_axes"), outBack: modelInts(c, "scan_output_directions")}
	var err error
	if s.captures, err = c.Model.Captures("body"); err != nil {
		return nil, err
	}
	s.given = s.captures
	return s.loop(c.Builder)
}

// importBatchScan is version 8: every state and input has a batch axis first, and the body sees one entry of it.
func importBatchScan(c *op.Import) ([]*ir.Value, error) {
	if c.In(0) != nil {
		return nil, c.N.Errorf(ir.ErrUnsupported, "sequence_lens of Scan")
	}
	m := int(modelInt(c, "num_scan_inputs", 0))
	in := c.N.In[1:]
	if m < 1 || m > len(in) {
		return nil, fmt.Errorf("num_scan_inputs: %d of %d operands", m, len(in))
	}
	captures, err := c.Model.Captures("body")
	if err != nil {
		return nil, err
	}
	params := []ir.Type{ir.TensorType(dtype.I64), ir.TensorType(dtype.Bool)}
	for _, v := range append(append([]*ir.Value(nil), in...), captures...) {
		if v == nil {
			return nil, fmt.Errorf("an operand is missing")
		}
		params = append(params, v.Type)
	}
	for i, v := range in {
		if v.Rank() < 1 || i >= len(in)-m && v.Rank() < 2 {
			return nil, fmt.Errorf("operand %d: shape %v has no batch and sequence axes", i+1, v.Type.Shape)
		}
	}
	r, err := c.Builder.Region("body", params, nil, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
		entry := make([]*ir.Value, len(in))
		for i := range in {
			var err error
			if entry[i], err = b.One("gather", []*ir.Value{p[2+i], p[0]}, named("axis", 0)); err != nil {
				return nil, err
			}
		}
		s := &scan{c: c, states: entry[:len(in)-m], inputs: entry[len(in)-m:], captures: captures, given: p[2+len(in):], inBack: modelInts(c, "directions")}
		out, err := s.loop(b)
		return append([]*ir.Value{p[1]}, out...), err
	})
	if err != nil {
		return nil, err
	}
	trips := c.Builder.Dims(ir.TensorType(dtype.I64), in[0].Type.Shape[:1])
	return c.Op("loop", append(append([]*ir.Value{trips, nil}, in...), captures...), named("carried", 0), r)
}

// loop builds the loop where b builds.
func (s *scan) loop(b *ir.Builder) ([]*ir.Value, error) {
	elems := make([]ir.Type, len(s.inputs))
	axes := make([]int, len(s.inputs))
	for i, v := range s.inputs {
		if v == nil || v.Type.Kind != ir.Tensor {
			return nil, fmt.Errorf("scan input %d: want a tensor", i)
		}
		a, err := host.Axis(at(s.inAxes, i), v.Rank())
		if err != nil {
			return nil, err
		}
		n := v.Type.Shape[a]
		if i == 0 {
			s.trips = n
		} else if !s.c.Builder.M.Dims.Guard(s.trips, n, false, "scan inputs") {
			return nil, fmt.Errorf("scan inputs of %v and %v slices", s.trips, n)
		}
		axes[i] = a
		elems[i] = ir.TensorType(v.Type.Elem, append(append([]dim.Expr(nil), v.Type.Shape[:a]...), v.Type.Shape[a+1:]...)...)
	}
	r, err := fitBody(s.c, s.states, func(types []ir.Type) (*ir.Region, error) { return s.body(b, types, elems, axes) })
	if err != nil {
		return nil, err
	}
	in := []*ir.Value{b.Dims(ir.TensorType(dtype.I64), []dim.Expr{s.trips}), nil}
	in = append(append(append(in, s.states...), s.inputs...), s.given...)
	out, err := b.Op("loop", in, named("carried", len(s.states)), r)
	if err != nil {
		return nil, err
	}
	for i := len(s.states); i < len(out); i++ {
		if out[i], err = s.arrange(b, out[i], i-len(s.states)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func at(l []int64, i int) int64 {
	if i < len(l) {
		return l[i]
	}
	return 0
}

// body wraps the model's body: (iteration, condition, states, inputs, captures) -> (condition, states, outputs).
func (s *scan) body(b *ir.Builder, states, elems []ir.Type, axes []int) (*ir.Region, error) {
	inner, err := s.c.Model.Region("body", "body", append(append([]ir.Type(nil), states...), elems...), s.captures)
	if err != nil {
		return nil, err
	}
	params := append([]ir.Type{ir.TensorType(dtype.I64), ir.TensorType(dtype.Bool)}, states...)
	for _, v := range append(append([]*ir.Value(nil), s.inputs...), s.captures...) {
		params = append(params, v.Type)
	}
	return b.Region("body", params, nil, func(b *ir.Builder, p []*ir.Value) ([]*ir.Value, error) {
		args := append([]*ir.Value(nil), p[2:2+len(states)]...)
		for i := range elems {
			index := p[0]
			if at(s.inBack, i) == 1 {
				last := b.Dims(ir.TensorType(dtype.I64), []dim.Expr{dim.Sub(s.trips, dim.Const(1))})
				var err error
				if index, err = b.One("sub", []*ir.Value{last, p[0]}, nil); err != nil {
					return nil, err
				}
			}
			e, err := b.One("gather", []*ir.Value{p[2+len(states)+i], index}, named("axis", axes[i]))
			if err != nil {
				return nil, err
			}
			args = append(args, e)
		}
		args = append(args, p[2+len(states)+len(elems):]...)
		return append([]*ir.Value{p[1]}, splice(b, inner, args)...), nil
	})
}

// arrange turns scan output i into the order and to the axis that the model wants.
func (s *scan) arrange(b *ir.Builder, v *ir.Value, i int) (*ir.Value, error) {
	var err error
	if at(s.outBack, i) == 1 {
		starts, steps := make([]dim.Expr, v.Rank()), make([]int64, v.Rank())
		for k := range steps {
			steps[k] = 1
		}
		starts[0], steps[0] = dim.Sub(v.Type.Shape[0], dim.Const(1)), -1
		if v, err = b.One("slice", []*ir.Value{v}, named("starts", starts, "steps", steps, "shape", v.Type.Shape)); err != nil {
			return nil, err
		}
	}
	axis, err := host.Axis(at(s.outAxes, i), v.Rank())
	if err != nil || axis == 0 {
		return v, err
	}
	var perm []int64
	for k := 1; k <= axis; k++ {
		perm = append(perm, int64(k))
	}
	perm = append(perm, 0)
	for k := axis + 1; k < v.Rank(); k++ {
		perm = append(perm, int64(k))
	}
	return b.One("transpose", []*ir.Value{v}, named("perm", perm))
}
