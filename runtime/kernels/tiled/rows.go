package tiled

import "github.com/llmc-go/llmc/runtime/cpu"

//go:generate go run ../../../kernelsgen -root ../../..

// Row is one set of functions: those for float32 elements that are adjacent. Everything else is portable on every tier.
type Row struct {
	Name  string
	Needs cpu.Features // what the processor must have; found by the generator
	id    int
}

// Table returns all rows, best first; the last one is the portable row. Rows without machine code on this platform are included:
// see [Row.Runs].
func Table() []Row { return append([]Row(nil), rows[:]...) }

// Runs reports whether this build has the row's code and host its instructions.
func (r *Row) Runs(host cpu.Features) bool {
	return host.Has(r.Needs) && (r.Needs == 0 || kernels[r.id] != nil)
}

// Pick returns the best row that runs on host.
func Pick(host cpu.Features) *Row { return cpu.Best(rows[:], host) }

// How the operands a and b of a function are read: a bit for each that is one element instead of many.
const (
	modeVV = iota
	modeSV
	modeVS
	modeSS
	numModes
)

// functions holds the functions of one row by opcode and mode; nil where the portable one serves.
type functions [128][numModes]func(*args)

func (r *Row) find(op uint8, mode uint8) func(*args) {
	if f := kernels[r.id]; f != nil && int(op) < len(f) {
		return f[op][mode]
	}
	return nil
}
