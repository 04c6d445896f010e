package program

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The verifier's description of the tables is that of the schema's text.
func TestSchema(t *testing.T) {
	src, err := os.ReadFile("program.fbs")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`//[^\n]*`).ReplaceAllString(string(src), "")
	widths := map[string]uint32{"bool": 1, "ubyte": 1, "int": 4, "long": 8, "ulong": 8, "double": 8}
	aligns := map[string]uint32{}
	for k, v := range widths {
		aligns[k] = v
	}
	declared := map[string][]string{}
	var order []string
	for _, m := range regexp.MustCompile(`(table|struct) (\w+) \{([^}]*)\}`).FindAllStringSubmatch(lines, -1) {
		name := m[2]
		var fields []string
		for _, f := range strings.Split(m[3], ";") {
			if f = strings.TrimSpace(f); f != "" {
				fields = append(fields, strings.TrimSpace(strings.Split(f, "=")[0]))
			}
		}
		if m[1] == "table" {
			declared[name] = fields
			order = append(order, name)
			continue
		}
		var at, align uint32 = 0, 1
		for _, f := range fields { // structs are laid out as in C
			_, ty, _ := strings.Cut(f, ":")
			a := widths[ty]
			if a == 0 {
				t.Fatalf("%s: %s", name, f)
			}
			at = (at+a-1)/a*a + a
			align = max(align, a)
		}
		widths[name], aligns[name] = (at+align-1)/align*align, align
	}
	if len(schema()) != len(order) {
		t.Errorf("%d tables are described, the schema has %v", len(schema()), order)
	}
	if root := regexp.MustCompile(`root_type (\w+);`).FindStringSubmatch(lines); root == nil || schema()[0].name != root[1] {
		t.Errorf("root %v", root)
	}
	for _, d := range schema() {
		fields := declared[d.name]
		if len(fields) != len(d.fields) {
			t.Errorf("%s: %d fields, the schema has %v", d.name, len(d.fields), fields)
			continue
		}
		for i, f := range d.fields {
			name, ty, _ := strings.Cut(fields[i], ":")
			elem, isVec := strings.CutPrefix(ty, "[")
			elem = strings.TrimSuffix(elem, "]")
			want := field{name: name}
			_, isTable := declared[elem]
			switch {
			case isTable && isVec:
				want = many(name, elem)
			case isTable:
				want = one(name, elem)
			case elem == "string" && isVec:
				want = strs(name)
			case elem == "string":
				want = str(name)
			case isVec:
				want = vec(name, widths[elem], aligns[elem])
			default:
				want.size, want.align = widths[elem], widths[elem]
			}
			if f != want {
				t.Errorf("%s.%s: %+v, the schema says %+v", d.name, name, f, want)
			}
		}
	}
}

// The committed Go code is what flatc makes of the schema. The test needs flatc; LLMC_REQUIRE_FLATC=1 makes
// its absence a failure.
func TestGeneratedCurrent(t *testing.T) {
	flatc, err := exec.LookPath("flatc")
	if err != nil {
		if os.Getenv("LLMC_REQUIRE_FLATC") == "1" {
			t.Fatal(err)
		}
		t.Skip("flatc is not installed")
	}
	dir := t.TempDir()
	if out, err := exec.Command(flatc, "--go", "-o", dir, "program.fbs").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, _ := filepath.Glob(filepath.Join(dir, "fb", "*.go"))
	kept, _ := filepath.Glob("internal/fb/*.go")
	if len(made) == 0 || len(made) != len(kept) {
		t.Errorf("%d files are committed, flatc makes %d", len(kept), len(made))
	}
	for _, name := range made {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := format.Source(want); err != nil || !bytes.Equal(f, want) {
			t.Errorf("%s: what flatc makes is not formatted: %v", filepath.Base(name), err)
		}
		got, err := os.ReadFile(filepath.Join("internal", "fb", filepath.Base(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): run go generate ./runtime/program", filepath.Base(name), err)
		}
	}
}

// Tables that share a part would unfold into more than the buffer holds; the budget refuses them.
func TestSharedParts(t *testing.T) {
	// a Program whose entries vector of 1000 offsets all lead to one Entry
	const n = 1000
	u16 := func(v int) []byte { return []byte{byte(v), byte(v >> 8)} }
	u32 := func(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }
	var b []byte
	b = append(b, u32(24)...)                             // 0: root at 24
	for _, v := range []int{18, 8, 0, 0, 0, 0, 0, 0, 4} { // 4: virtual table
		b = append(b, u16(v)...)
	}
	b = append(b, 0, 0)       // 22
	b = append(b, u32(20)...) // 24: table, its virtual table 20 before
	b = append(b, u32(4)...)  // 28: entries at 32
	b = append(b, u32(n)...)  // 32
	for i := range n {
		b = append(b, u32(4*(n-i))...) // to 36 + 4n
	}
	at := len(b)
	b = append(b, u32(at-(at+8))...) // the entry; its virtual table lies 8 after
	b = append(b, 0, 0, 0, 0)
	b = append(b, u16(4)...)
	b = append(b, u16(4)...)
	if err := verifyBuffer(b); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("got %v", err)
	}
}

// A chain of bodies deeper than the limit is refused without following it.
func TestTableDepth(t *testing.T) {
	var step *Step
	p := &Program{Entries: []Entry{{Name: "e"}}}
	b := &p.Entries[0].Body
	for range 200 {
		b.Steps = []Step{{Bodies: make([]Body, 1)}}
		step = &b.Steps[0]
		b = &step.Bodies[0]
	}
	err := verifyBuffer(describe(p, nil))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("nested more than %d deep", maxDepth)) {
		t.Errorf("got %v", err)
	}
}
