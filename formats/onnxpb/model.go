package onnxpb

import (
	"fmt"
	"unsafe"
)

// Model is a ModelProto. Strings are copies; tensors and byte strings alias the parsed bytes.
type Model struct {
	IRVersion       int64
	Producer        string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Opsets          []Opset
	Graph           *Graph // never nil after Parse
	Functions       []Function
	Metadata        []Entry
	TrainingInfo    int // number of training_info entries, which are not decoded
}

// Opset is one imported operator set.
type Opset struct {
	Domain  string // "" is ai.onnx
	Version int64
}

// Entry is a key and a value.
type Entry struct{ Key, Value string }

// Graph is a GraphProto.
type Graph struct {
	Name        string
	Nodes       []Node
	Inits       []Tensor
	SparseInits []SparseTensor // the name is that of Values
	Inputs      []ValueInfo
	Outputs     []ValueInfo
	ValueInfo   []ValueInfo
}

// Node is a NodeProto.
type Node struct {
	Name     string
	OpType   string
	Domain   string
	Overload string
	Inputs   []string // "" is an absent optional input
	Outputs  []string
	Attrs    []Attr
	Offset   int // byte of the file at which the node begins
}

// Attr returns the named attribute, or nil.
func (n *Node) Attr(name string) *Attr {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}

// Function is a FunctionProto.
type Function struct {
	Name       string
	Domain     string
	Overload   string
	Inputs     []string
	Outputs    []string
	AttrNames  []string // attributes without a default
	AttrProtos []Attr   // attributes with their defaults
	Nodes      []Node
	Opsets     []Opset
	ValueInfo  []ValueInfo
	Offset     int
}

// AttrType says which field of an Attr holds its value.
type AttrType int32

// The attribute types, numbered as in onnx.proto.
const (
	AttrUndefined AttrType = iota
	AttrFloat
	AttrInt
	AttrString
	AttrTensor
	AttrGraph
	AttrFloats
	AttrInts
	AttrStrings
	AttrTensors
	AttrGraphs
	AttrSparseTensor
	AttrSparseTensors
	AttrTypeProto
	AttrTypeProtos
	numAttrTypes
)

var attrTypeNames = [numAttrTypes]string{"undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings", "tensors",
	"graphs", "sparse tensor", "sparse tensors", "type", "types"}

func (t AttrType) String() string {
	if t >= 0 && t < numAttrTypes {
		return attrTypeNames[t]
	}
	return fmt.Sprintf("attribute type %d", int32(t))
}

// Attr is an AttributeProto. After Parse, Type is never AttrUndefined unless RefAttrName is set, and the pointer
// that Type names is not nil.
type Attr struct {
	Name          string
	RefAttrName   string // inside a function: the caller's attribute of that name, of type Type
	Type          AttrType
	F             float32
	I             int64
	S             []byte // aliases the file
	T             *Tensor
	G             *Graph
	Sparse        *SparseTensor
	TypeProto     *TypeProto
	Floats        []float32
	Ints          []int64
	Strings       [][]byte // alias the file
	Tensors       []Tensor
	Graphs        []*Graph
	SparseTensors []SparseTensor
	TypeProtos    []*TypeProto
	Offset        int
}

// Parse decodes a model. The result refers to data, which must not change or go away while it is in use.
func Parse(data []byte) (*Model, error) {
	p := newParser(data)
	root := p.root()
	m := decodeModel(&root)
	if p.err == nil && m.Graph == nil {
		p.failAt(len(data), ErrMalformed, "model has no graph")
	}
	if err := p.result(); err != nil {
		return nil, err
	}
	return m, nil
}

func decodeModel(m *msg) *Model {
	o := &Model{}
	for m.next() {
		switch m.num {
		case 1:
			o.IRVersion = m.int64()
		case 2:
			o.Producer = m.str()
		case 3:
			o.ProducerVersion = m.str()
		case 4:
			o.Domain = m.str()
		case 5:
			o.ModelVersion = m.int64()
		case 7:
			sub := m.enterOnce("graph")
			o.Graph = decodeGraph(&sub)
			sub.leave()
		case 8:
			o.Opsets = appendOpset(o.Opsets, m)
		case 14:
			o.Metadata = appendEntry(o.Metadata, m, "metadata_props")
		case 20:
			o.TrainingInfo++
			m.skip()
		case 25:
			o.Functions = appendFunction(o.Functions, m)
		default:
			m.skip()
		}
	}
	return o
}

func appendOpset(dst []Opset, m *msg) []Opset {
	var o Opset
	sub := m.enter("opset_import", len(dst))
	for sub.next() {
		switch sub.num {
		case 1:
			o.Domain = sub.str()
		case 2:
			o.Version = sub.int64()
		default:
			sub.skip()
		}
	}
	sub.leave()
	if !m.p.charge(m.start, 1, int(unsafe.Sizeof(o))) {
		return dst
	}
	return append(dst, o)
}

func appendEntry(dst []Entry, m *msg, field string) []Entry {
	var e Entry
	sub := m.enter(field, len(dst))
	for sub.next() {
		switch sub.num {
		case 1:
			e.Key = sub.str()
		case 2:
			e.Value = sub.str()
		default:
			sub.skip()
		}
	}
	sub.leave()
	if !m.p.charge(m.start, 1, int(unsafe.Sizeof(e))) {
		return dst
	}
	return append(dst, e)
}

// room makes an empty slice for n structs and accounts for them.
func room[T any](m *msg, n int) []T {
	var z T
	if n == 0 || !m.p.charge(m.pos, n, int(unsafe.Sizeof(z))) {
		return nil
	}
	return make([]T, 0, n)
}

func decodeGraph(m *msg) *Graph {
	g := &Graph{}
	if !m.deeper() {
		return g
	}
	n := m.count()
	g.Nodes, g.Inits = room[Node](m, n[1]), room[Tensor](m, n[5])
	g.Inputs, g.Outputs = room[ValueInfo](m, n[11]), room[ValueInfo](m, n[12])
	g.ValueInfo, g.SparseInits = room[ValueInfo](m, n[13]), room[SparseTensor](m, n[15])
	for m.next() {
		switch m.num {
		case 1:
			sub := m.enter("node", len(g.Nodes))
			g.Nodes = append(g.Nodes, decodeNode(&sub))
			sub.leave()
		case 2:
			g.Name = m.str()
		case 5:
			sub := m.enter("initializer", len(g.Inits))
			g.Inits = append(g.Inits, decodeTensor(&sub))
			sub.leave()
		case 11:
			g.Inputs = appendValueInfo(g.Inputs, m, "input")
		case 12:
			g.Outputs = appendValueInfo(g.Outputs, m, "output")
		case 13:
			g.ValueInfo = appendValueInfo(g.ValueInfo, m, "value_info")
		case 15:
			sub := m.enter("sparse_initializer", len(g.SparseInits))
			g.SparseInits = append(g.SparseInits, decodeSparse(&sub))
			sub.leave()
		default:
			m.skip()
		}
	}
	m.p.depth--
	return g
}

func decodeNode(m *msg) Node {
	o := Node{Offset: m.start}
	n := m.count()
	o.Inputs, o.Outputs, o.Attrs = room[string](m, n[1]), room[string](m, n[2]), room[Attr](m, n[5])
	for m.next() {
		switch m.num {
		case 1:
			o.Inputs = append(o.Inputs, m.str())
		case 2:
			o.Outputs = append(o.Outputs, m.str())
		case 3:
			o.Name = m.str()
		case 4:
			o.OpType = m.str()
		case 5:
			o.Attrs = appendAttr(o.Attrs, m, "attribute")
		case 7:
			o.Domain = m.str()
		case 8:
			o.Overload = m.str()
		default:
			m.skip()
		}
	}
	if m.p.err == nil && o.OpType == "" {
		m.p.failAt(o.Offset, ErrMalformed, "node %s has no op_type", quote(o.Name))
	}
	return o
}

func appendFunction(dst []Function, m *msg) []Function {
	var f Function
	f.Offset = m.start
	sub := m.enter("functions", len(dst))
	if !m.p.charge(m.start, 1, int(unsafe.Sizeof(f))) {
		return dst
	}
	n := sub.count()
	f.Nodes, f.AttrProtos = room[Node](&sub, n[7]), room[Attr](&sub, n[11])
	f.Inputs, f.Outputs, f.AttrNames = room[string](&sub, n[4]), room[string](&sub, n[5]), room[string](&sub, n[6])
	f.ValueInfo = room[ValueInfo](&sub, n[12])
	for sub.next() {
		switch sub.num {
		case 1:
			f.Name = sub.str()
		case 4:
			f.Inputs = append(f.Inputs, sub.str())
		case 5:
			f.Outputs = append(f.Outputs, sub.str())
		case 6:
			f.AttrNames = append(f.AttrNames, sub.str())
		case 7:
			node := sub.enter("node", len(f.Nodes))
			f.Nodes = append(f.Nodes, decodeNode(&node))
			node.leave()
		case 9:
			f.Opsets = appendOpset(f.Opsets, &sub)
		case 10:
			f.Domain = sub.str()
		case 11:
			f.AttrProtos = appendAttr(f.AttrProtos, &sub, "attribute_proto")
		case 12:
			f.ValueInfo = appendValueInfo(f.ValueInfo, &sub, "value_info")
		case 13:
			f.Overload = sub.str()
		default:
			sub.skip()
		}
	}
	sub.leave()
	return append(dst, f)
}
