package tile

import (
	"testing"

	"github.com/llmc-go/llmc/ir/dtype"
)

func TestTextRoundTrip(t *testing.T) {
	src := "x = load %0; m = rmax x; d = sub x, m; e = exp d; z = rsum e; y = div e, z; q = lt y, m; w = select x, y, q; h = round f16 w; store %1, h"
	p, err := Parse(src, F32)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify([]dtype.Type{dtype.F32, dtype.F16}, 1, 0, 2, NoClass); err != nil {
		t.Fatal(err)
	}
	q, err := Parse(p.String(), NoClass)
	if err != nil || q.String() != p.String() {
		t.Fatalf("%s\nparses back as\n%s, %v", p, q, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	f32 := []dtype.Type{dtype.F32, dtype.F32}
	for _, c := range []struct {
		name string
		p    Program
	}{
		{"opcode", Program{Code: []Instr{{Op: numOps}}}},
		{"register", Program{Code: []Instr{{Op: Neg, Class: F32, A: 0}}}},
		{"operand", Program{Code: []Instr{{Op: Load, Class: F32, Arg: 2}}}},
		{"output load", Program{Code: []Instr{{Op: Load, Class: F32, Arg: 1}}}},
		{"class", Program{Code: []Instr{{Op: Load, Class: I64, Arg: 0}}}},
		{"acc", Program{Code: []Instr{{Op: Acc, Class: F32}}}},
		{"input store", Program{Code: []Instr{{Op: Load, Class: F32}, {Op: Store, Arg: 0}}}},
	} {
		if err := c.p.Verify(f32, 1, 0, 1, NoClass); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}
