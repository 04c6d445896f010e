package program

//go:generate flatc --go -o internal program.fbs

// fieldKind is the shape of a field of a table.
type fieldKind uint8

const (
	scalar fieldKind = iota
	text
	table
	scalars // a vector of scalars or structs
	texts
	tables
)

// field is what the verifier must know of a field: the width and alignment of a scalar or of a vector's
// elements, and the table that it refers to.
type field struct {
	name  string
	kind  fieldKind
	size  uint32
	align uint32
	of    string
}

// tableDef is a table of program.fbs; field i has slot i of its virtual table.
type tableDef struct {
	name   string
	fields []field
	refs   []*tableDef // per field, resolved
}

func i8(name string) field       { return field{name: name, kind: scalar, size: 1, align: 1} }
func i32(name string) field      { return field{name: name, kind: scalar, size: 4, align: 4} }
func i64(name string) field      { return field{name: name, kind: scalar, size: 8, align: 8} }
func str(name string) field      { return field{name: name, kind: text} }
func strs(name string) field     { return field{name: name, kind: texts, size: 4, align: 4} }
func one(name, of string) field  { return field{name: name, kind: table, of: of} }
func many(name, of string) field { return field{name: name, kind: tables, size: 4, align: 4, of: of} }
func vec(name string, size, a uint32) field {
	return field{name: name, kind: scalars, size: size, align: a}
}

// schema describes the tables of program.fbs for the verifier; a test holds the two against each other.
// The first table is the root.
func schema() []tableDef {
	return []tableDef{
		{name: "Program", fields: []field{strs("syms"), vec("dims", 24, 8), vec("symbols", 32, 8), many("guards", "Guard"),
			many("consts", "Const"), many("tiles", "Tile"), many("entries", "Entry"), one("prov", "Provenance")}},
		{name: "Guard", fields: []field{i32("a"), i32("b"), i8("bcast"), str("why")}},
		{name: "Const", fields: []field{str("name"), i8("elem"), vec("shape", 8, 8), str("layout"), i64("offset"), i64("size")}},
		{name: "Tile", fields: []field{vec("code", 40, 8)}},
		{name: "IO", fields: []field{str("name"), i8("elem"), vec("shape", 4, 4), strs("text")}},
		{name: "Buf", fields: []field{i8("kind"), i8("elem"), vec("shape", 4, 4), i32("count"), i32("index"), i32("alias"), i32("first"), i32("last"), str("name")}},
		{name: "Use", fields: []field{i32("buf"), i32("off"), vec("stride", 4, 4), vec("via", 12, 4), vec("shape", 4, 4)}},
		{name: "Axis", fields: []field{str("name"), i32("extent"), i8("red")}},
		{name: "Attr", fields: []field{str("name"), i8("kind"), i64("i"), i64("f_bits"), str("s"), vec("ints", 8, 8), vec("floats", 8, 8), strs("strs"), i8("elem"), vec("dims", 4, 4)}},
		{name: "Window", fields: []field{i8("combine"), i64("groups"), vec("kernel", 8, 8), vec("stride", 8, 8), vec("dilation", 8, 8), vec("pad_begin", 8, 8), vec("pad_end", 8, 8), i8("last")}},
		{name: "Attend", fields: []field{i64("scale_bits"), i8("causal")}},
		{name: "Step", fields: []field{i8("anchor"), many("space", "Axis"), many("ins", "Use"), many("outs", "Use"), i32("prog"), vec("dims", 4, 4),
			one("window", "Window"), one("attend", "Attend"), str("host"), many("attrs", "Attr"), many("bodies", "Body"), i32("carried"), vec("present", 1, 1),
			i8("late"), vec("defs", 12, 4), strs("rows"), str("node"), str("op"), strs("is"), strs("locs"), i8("moves"), i8("masked")}},
		{name: "Body", fields: []field{many("bufs", "Buf"), vec("params", 4, 4), vec("results", 4, 4), many("steps", "Step"), vec("defs", 12, 4)}},
		{name: "Entry", fields: []field{str("name"), many("inputs", "IO"), many("outputs", "IO"), vec("binds", 24, 8), vec("states", 12, 4), one("body", "Body")}},
		{name: "Provenance", fields: []field{str("model"), str("hash"), str("version"), str("options"), str("tier"), i64("nodes"), strs("notes")}},
	}
}

// rootTable links the tables of the schema and returns the root.
func rootTable() *tableDef {
	all := schema()
	for i := range all {
		t := &all[i]
		t.refs = make([]*tableDef, len(t.fields))
		for j, f := range t.fields {
			for k := range all {
				if all[k].name == f.of {
					t.refs[j] = &all[k]
				}
			}
		}
	}
	return &all[0]
}
