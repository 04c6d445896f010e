package pass

import (
	"encoding/binary"
	"hash"
	"hash/fnv"

	"github.com/llmc-go/llmc/ir"
)

// Fingerprint hashes the structure of a module: two modules that print alike have the same, whatever IDs
// their values have.
func Fingerprint(m *ir.Module) uint64 {
	p := &printer{h: fnv.New64a()}
	for _, n := range m.Dims.Names() {
		p.text(n)
	}
	for _, f := range m.Funcs {
		p.text(f.Name)
		p.ids = map[*ir.Value]uint64{}
		p.region(f.Body)
	}
	return p.h.Sum64()
}

type printer struct {
	h   hash.Hash64
	ids map[*ir.Value]uint64
}

func (p *printer) text(s string) {
	p.num(uint64(len(s)))
	p.h.Write([]byte(s)) //nolint:errcheck // a hash takes everything
}

func (p *printer) num(v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	p.h.Write(b[:]) //nolint:errcheck // a hash takes everything
}

func (p *printer) define(v *ir.Value) {
	p.ids[v] = uint64(len(p.ids) + 1)
	p.text(v.Type.String())
}

func (p *printer) region(r *ir.Region) {
	p.text(r.Name)
	for _, v := range r.Params {
		p.define(v)
	}
	for _, n := range r.Nodes {
		p.text(n.Op)
		for _, v := range n.In {
			p.num(p.ids[v]) // 0 where absent
		}
		for _, a := range n.Attrs {
			p.text(a.Name)
			p.text(a.Value.String())
		}
		for _, in := range n.Regions {
			p.region(in)
		}
		for _, v := range n.Out {
			p.define(v)
		}
	}
	for _, v := range r.Results {
		p.num(p.ids[v])
	}
}
