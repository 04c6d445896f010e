package onnxpb

// appendAttr reads the message that the current field of m holds; dst has room.
func appendAttr(dst []Attr, m *msg, field string) []Attr {
	a := Attr{Offset: m.start}
	sub := m.enter(field, len(dst))
	var has [32]bool // the value fields that occur
	for sub.next() {
		if sub.num < 32 {
			has[sub.num] = true
		}
		if !a.decodeScalar(&sub) {
			a.decodeMessage(&sub)
		}
	}
	if m.p.err == nil {
		a.settle(&sub, &has)
	}
	sub.leave()
	return append(dst, a)
}

// decodeScalar reads a field whose value is no message; false where it is one.
func (a *Attr) decodeScalar(m *msg) bool {
	switch m.num {
	case 1:
		a.Name = m.str()
	case 2:
		a.F = m.float()
	case 3:
		a.I = m.int64()
	case 4:
		a.S = m.bytes()
	case 7:
		a.Floats = m.floats(a.Floats)
	case 8:
		a.Ints = m.ints(a.Ints)
	case 9:
		if m.p.charge(m.start, 1, 24) {
			a.Strings = append(a.Strings, m.bytes())
		}
	case 20:
		a.Type = AttrType(m.int32())
	case 21:
		a.RefAttrName = m.str()
	default:
		return false
	}
	return true
}

func (a *Attr) decodeMessage(m *msg) {
	var sub msg
	switch m.num {
	case 5:
		sub = m.enterOnce("t")
		t := decodeTensor(&sub)
		a.T = &t
	case 6:
		sub = m.enterOnce("g")
		a.G = decodeGraph(&sub)
	case 10:
		sub = m.enter("tensors", len(a.Tensors))
		if m.p.charge(m.start, 1, tensorSize) {
			a.Tensors = append(a.Tensors, decodeTensor(&sub))
		}
	case 11:
		sub = m.enter("graphs", len(a.Graphs))
		if m.p.charge(m.start, 1, 256) {
			a.Graphs = append(a.Graphs, decodeGraph(&sub))
		}
	case 14:
		sub = m.enterOnce("tp")
		a.TypeProto = decodeType(&sub)
	case 15:
		sub = m.enter("type_protos", len(a.TypeProtos))
		a.TypeProtos = append(a.TypeProtos, decodeType(&sub))
	case 22:
		sub = m.enterOnce("sparse_tensor")
		s := decodeSparse(&sub)
		a.Sparse = &s
	case 23:
		sub = m.enter("sparse_tensors", len(a.SparseTensors))
		if m.p.charge(m.start, 1, 2*tensorSize) {
			a.SparseTensors = append(a.SparseTensors, decodeSparse(&sub))
		}
	default:
		m.skip()
		return
	}
	sub.leave()
}

// fieldOfType is the number of the field that holds the value of an attribute type.
var fieldOfType = [numAttrTypes]int{AttrFloat: 2, AttrInt: 3, AttrString: 4, AttrTensor: 5, AttrGraph: 6, AttrFloats: 7, AttrInts: 8,
	AttrStrings: 9, AttrTensors: 10, AttrGraphs: 11, AttrSparseTensor: 22, AttrSparseTensors: 23, AttrTypeProto: 14, AttrTypeProtos: 15}

// settle checks the type against the fields met. Files older than IR version 2 have no type: then the only value
// field tells. An absent number or string is zero and an absent list is empty, as in any protobuf.
func (a *Attr) settle(m *msg, has *[32]bool) {
	if a.Type < 0 || a.Type >= numAttrTypes {
		m.p.failAt(a.Offset, ErrMalformed, "attribute %s: unknown type %d", quote(a.Name), int32(a.Type))
		return
	}
	if a.RefAttrName != "" {
		return
	}
	if a.Type == AttrUndefined {
		for t := AttrFloat; t < numAttrTypes; t++ {
			if !has[fieldOfType[t]] {
				continue
			}
			if a.Type != AttrUndefined {
				m.p.failAt(a.Offset, ErrMalformed, "attribute %s has no type and both %v and %v values", quote(a.Name), a.Type, t)
				return
			}
			a.Type = t
		}
		if a.Type == AttrUndefined {
			m.p.failAt(a.Offset, ErrMalformed, "attribute %s has neither type nor value", quote(a.Name))
		}
		return
	}
	switch a.Type {
	case AttrTensor, AttrGraph, AttrSparseTensor, AttrTypeProto:
		if !has[fieldOfType[a.Type]] {
			m.p.failAt(a.Offset, ErrMalformed, "attribute %s: type %v, but no such value", quote(a.Name), a.Type)
		}
	}
}
