// Command cases writes a regular expression for the cases of the conformance suite whose operator the given models use.
//
//	go run .ci/cases.go SUITE.zip CASES.tsv MODEL.onnx... > regexp
//
// Left out are opsets before 7, cases of strings, sequences, optionals and ai.onnx.ml, and expanded ones whose graph
// has operators that no model uses.
package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/testcase"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: cases SUITE.zip CASES.tsv MODEL.onnx...")
		os.Exit(64)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "cases:", err)
		os.Exit(1)
	}
}

func run(suite, table string, models []string) error {
	ops := operators{}
	for _, path := range models {
		f, err := onnxpb.Open(path)
		if err != nil {
			return err
		}
		ops.addModel(f.Model)
		if err := f.Close(); err != nil {
			return err
		}
	}
	wanted, err := readTable(table, ops)
	if err != nil {
		return err
	}
	s, err := testcase.Find(suite)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	var names []string
	for _, c := range s.Cases {
		expanded, ok := wanted[c.Name]
		if !ok {
			continue
		}
		delete(wanted, c.Name)
		if expanded {
			if ok, err := within(c, ops); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		names = append(names, regexp.QuoteMeta(c.Name))
	}
	if len(wanted) > 0 {
		return fmt.Errorf("%s has no cases %v", suite, slices.Sorted(maps.Keys(wanted)))
	}
	fmt.Fprintf(os.Stderr, "cases: %d operators, %d cases\n", len(ops), len(names))
	fmt.Printf("^(%s)$\n", strings.Join(names, "|"))
	return nil
}

// readTable lists the node cases of the operators by name, and whether they are expanded.
func readTable(path string, ops operators) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	wanted := map[string]bool{}
	lines := bufio.NewScanner(f)
	column := map[string]int{}
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(column) == 0 {
			for i, name := range fields {
				column[name] = i
			}
			continue
		}
		get := func(name string) string { return fields[column[name]] }
		tags := strings.Split(get("tags"), ",")
		if get("kind") != "node" || get("domain") != "ai.onnx" || !ops[get("op")] || opset(get("opset")) < 7 {
			continue
		}
		if slices.ContainsFunc(tags, func(t string) bool {
			return t == "string" || t == "sequence" || t == "optional" || t == "ml"
		}) {
			continue
		}
		wanted["node/"+get("case")] = slices.Contains(tags, "expanded")
	}
	return wanted, lines.Err()
}

// opset is the version of ai.onnx in a list such as ai.onnx=13,ai.onnx.ml=3.
func opset(imports string) int {
	for _, s := range strings.Split(imports, ",") {
		if v, ok := strings.CutPrefix(s, "ai.onnx="); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	return 0
}

// within reports whether a case's model has no other operators.
func within(c *testcase.Case, ops operators) (bool, error) {
	o, err := c.Open()
	if err != nil {
		return false, err
	}
	defer func() { _ = o.Close() }()
	used := operators{}
	used.addModel(o.Model)
	for name := range used {
		if !ops[name] {
			return false, nil
		}
	}
	return true, nil
}

// operators is a set of operator names.
type operators map[string]bool

func (s operators) addModel(m *onnxpb.Model) {
	s.addNodes(m.Graph.Nodes)
	for i := range m.Functions {
		s.addNodes(m.Functions[i].Nodes)
	}
}

func (s operators) addNodes(nodes []onnxpb.Node) {
	for i := range nodes {
		n := &nodes[i]
		name := n.OpType
		if n.Domain != "" && n.Domain != "ai.onnx" {
			name = n.Domain + ":" + name
		}
		s[name] = true
		for k := range n.Attrs {
			a := &n.Attrs[k]
			if a.G != nil {
				s.addNodes(a.G.Nodes)
			}
			for _, g := range a.Graphs {
				s.addNodes(g.Nodes)
			}
		}
	}
}
