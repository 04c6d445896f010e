package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/llmc-go/llmc"

// importRow says what the packages of a folder may import of ours. A name that ends in /... covers what lies below,
// too; words in capitals are sets. The row of the longest matching name counts.
type importRow struct {
	dir string // "." is the root package
	may []string
}

var importSets = map[string][]string{
	"LEAVES": {"ir/dtype", "ir/dim", "ir/attr", "ir/anchor", "ir/tensor", "ir/tile", "ir/layout", "ir/host/..."},
	// What the stages of code generation share.
	"STAGES": {"LEAVES", "ir", "ir/op", "codegen/kir", "runtime/kernels/...", "runtime/cpu", "runtime/program"},
}

var importRows = []importRow{
	// Leaves, each over the ones before it.
	{"ir/dtype", nil},
	{"ir/dim", nil},
	{"ir/anchor", nil},
	{"ir/attr", []string{"ir/dtype", "ir/dim"}},
	{"ir/tensor", []string{"ir/dtype"}},
	{"ir/tile", []string{"ir/dtype", "ir/tensor"}},
	{"ir/layout", []string{"ir/dtype", "ir/tensor"}},
	{"ir/host/...", []string{"ir/dtype", "ir/dim", "ir/attr", "ir/anchor", "ir/tensor", "ir/host/..."}},
	// Pictures are decoded when models are fed and when they run: those decoders know nobody of ours.
	{"ir/host/images", []string{"ir/dtype", "ir/dim", "ir/attr", "ir/anchor", "ir/tensor", "ir/host/...", "formats/jpeg", "formats/jpeg2000"}},
	{"formats/jpeg", nil},
	{"formats/jpeg2000", nil},

	{"ir", []string{"LEAVES"}},
	{"ir/op", []string{"LEAVES", "ir"}},
	{"ir/ops", []string{"LEAVES", "ir", "ir/op"}},
	{"ir/eval", []string{"LEAVES", "ir", "ir/op"}},
	{"ir/verify", []string{"LEAVES", "ir", "ir/op"}},
	{"ir/irtest", []string{"LEAVES", "ir", "ir/op"}},

	{"formats/...", []string{"ir/dtype", "ir/tensor", "formats/..."}},
	{"frontend/...", []string{"ir/...", "formats/...", "frontend/..."}},

	{"passes/...", []string{"ir/...", "passes/pass"}},
	{"passes/pipeline", []string{"ir/...", "passes/..."}},

	{"codegen/kir", []string{"STAGES"}},
	{"codegen/lower", []string{"STAGES"}},
	{"codegen/schedule", []string{"STAGES"}},
	{"codegen/memory", []string{"STAGES"}},
	{"codegen/plan", []string{"STAGES"}},
	{"codegen/driver", []string{"ir/...", "formats/...", "frontend/...", "passes/...", "codegen/kir", "codegen/lower", "codegen/schedule", "codegen/memory", "codegen/plan", "codegen/driver", "runtime/..."}},

	{"runtime/...", []string{"LEAVES", "formats/...", "runtime/..."}},
	{"kernelsgen/...", []string{"LEAVES", "kernelsgen/...", "runtime/cpu"}},

	{".", []string{"..."}},
	{"cmd/llmc", []string{"..."}},
	{"benchmarks/...", []string{"..."}},
}

// testRows widen the rows for _test.go files.
var testRows = []importRow{
	{"...", []string{"ir/..."}},
	{"passes/...", []string{"passes/..."}},
	{"runtime/...", []string{"runtime/..."}},
	{"codegen/...", []string{"codegen/...", "passes/...", "frontend/...", "formats/...", "runtime/..."}},
	{"codegen/driver", []string{"..."}},
}

// thirdParty are the modules that may be imported at all, and where. ARCHITECTURE.md has a sentence for each.
var thirdParty = []importRow{
	{"github.com/spf13/cobra", []string{"cmd/llmc"}},
	{"github.com/spf13/pflag", []string{"cmd/llmc"}},
	{"github.com/vbauerster/mpb/v8", []string{"cmd/llmc"}},
	{"github.com/google/flatbuffers", []string{"runtime/program/..."}},
	{"google.golang.org/protobuf", []string{"formats/...", "frontend/onnx/onnxtest"}}, // which writes models for tests
	{"golang.org/x/sys", []string{"formats/mmap", "runtime/...", "cmd/llmc"}},
	{"golang.org/x/exp", []string{"..."}},
	{"golang.org/x/image", []string{"formats/picture", "ir/host/images"}},
	{"golang.org/x/text", []string{"runtime/tokenizer"}},
	{"github.com/mmcloughlin/avo", []string{"kernelsgen/...", "codegen/gopkg"}},
}

// forbidden is what no package of runtime may reach, directly or through others.
var forbidden = []string{"ir", "ir/op", "ir/ops", "ir/eval", "ir/verify", "frontend/...", "passes/...", "codegen/..."}

// covers reports whether a name of a row covers a folder.
func covers(name, dir string) bool {
	if name == "..." {
		return true
	}
	if p, ok := strings.CutSuffix(name, "/..."); ok {
		return dir == p || strings.HasPrefix(dir, p+"/")
	}
	return name == dir
}

func coversAny(names []string, dir string) bool {
	for _, n := range names {
		if set, ok := importSets[n]; ok && coversAny(set, dir) || !ok && covers(n, dir) {
			return true
		}
	}
	return false
}

// rowOf is the row of the longest matching name; nil where there is none.
func rowOf(rows []importRow, dir string) *importRow {
	var best *importRow
	for i := range rows {
		if covers(rows[i].dir, dir) && (best == nil || len(rows[i].dir) > len(best.dir)) {
			best = &rows[i]
		}
	}
	return best
}

// checkImport says what is wrong with a file of folder dir importing path; "" where nothing is.
func checkImport(dir, path string, test bool) string {
	rest, ours := strings.CutPrefix(path, modulePath)
	if !ours {
		if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
			return "" // the standard library
		}
		for _, m := range thirdParty {
			if path == m.dir || strings.HasPrefix(path, m.dir+"/") {
				if coversAny(m.may, dir) {
					return ""
				}
				return fmt.Sprintf("module %s is for %s", m.dir, strings.Join(m.may, ", "))
			}
		}
		return "module is not in the list of third parties"
	}
	target := strings.TrimPrefix(rest, "/")
	if target == "" {
		target = "."
	}
	row := rowOf(importRows, dir)
	if row == nil {
		return "the folder has no row in the table of imports"
	}
	if target == dir || coversAny(row.may, target) {
		return ""
	}
	if test {
		for i := range testRows {
			if covers(testRows[i].dir, dir) && coversAny(testRows[i].may, target) {
				return ""
			}
		}
	}
	return fmt.Sprintf("%s may import %s", row.dir, strings.Join(row.may, ", "))
}

// imports is what the files of the module import: by folder, then by file.
type imports map[string]map[string][]string

// readImports parses the import clauses of every .go file, whatever its build constraints. Folders with a go.mod of
// their own are other modules.
func readImports(t *testing.T, root string) imports {
	t.Helper()
	all := imports{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if p != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || hasModule(p)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		dir := path.Dir(rel)
		if all[dir] == nil {
			all[dir] = map[string][]string{}
		}
		all[dir][rel] = nil
		for _, i := range f.Imports {
			s, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			all[dir][rel] = append(all[dir][rel], s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func hasModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// moduleRoot is the folder of this module's go.mod.
const moduleRoot = "../.."

func TestImports(t *testing.T) {
	all := readImports(t, moduleRoot)
	if len(all) < 20 {
		t.Fatalf("found %d folders with Go files: is the root right?", len(all))
	}
	for dir, files := range all {
		if rowOf(importRows, dir) == nil {
			t.Errorf("%s: the folder has no row in the table of imports", dir)
			continue
		}
		for file, paths := range files {
			for _, p := range paths {
				if why := checkImport(dir, p, strings.HasSuffix(file, "_test.go")); why != "" {
					t.Errorf("%s imports %s: %s", file, p, why)
				}
			}
		}
	}
}

// reach is every folder of ours that dir's files but tests import, directly or not, with the way there.
func (all imports) reach(dir string) map[string]string {
	way := map[string]string{dir: dir}
	for queue := []string{dir}; len(queue) > 0; queue = queue[1:] {
		for file, paths := range all[queue[0]] {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, p := range paths {
				target, ours := strings.CutPrefix(p, modulePath+"/")
				if _, seen := way[target]; ours && !seen {
					way[target] = way[queue[0]] + " -> " + target
					queue = append(queue, target)
				}
			}
		}
	}
	return way
}

func TestRuntimeNeverReachesTheCompiler(t *testing.T) {
	all := readImports(t, moduleRoot)
	n := 0
	for dir := range all {
		if !covers("runtime/...", dir) {
			continue
		}
		n++
		for target, way := range all.reach(dir) {
			if coversAny(forbidden, target) {
				t.Errorf("the runtime reaches the compiler: %s", way)
			}
		}
	}
	if n == 0 {
		t.Fatal("no folder below runtime")
	}
}

func TestGraphPackageReachesLeavesOnly(t *testing.T) {
	for target, way := range readImports(t, moduleRoot).reach("ir") {
		if target != "ir" && !coversAny(importSets["LEAVES"], target) {
			t.Errorf("ir knows somebody: %s", way)
		}
	}
}

// The checks must be able to fail.
func TestImportRulesRefuse(t *testing.T) {
	for _, c := range []struct {
		dir, path string
		test, ok  bool
	}{
		{"runtime/exec", modulePath + "/ir/tensor", false, true},
		{"runtime/exec", modulePath + "/ir/host/index", false, true},
		{"runtime/exec", modulePath + "/ir", false, false},
		{"runtime/exec", modulePath + "/ir/op", false, false},
		{"runtime/exec", modulePath + "/codegen/kir", false, false},
		{"runtime/kernels/new", modulePath + "/passes/fold", false, false},
		{"ir", modulePath + "/ir/op", false, false},
		{"ir/tensor", modulePath + "/ir/tile", false, false},
		{"ir/dtype", modulePath + "/ir/dim", false, false},
		{"ir/dim", modulePath + "/ir/ops", true, true},
		{"formats/npy", modulePath + "/ir/attr", false, false},
		{"passes/fold", modulePath + "/passes/simplify", false, false},
		{"passes/pipeline", modulePath + "/passes/simplify", false, true},
		{"codegen/lower", modulePath + "/codegen/schedule", false, false},
		{"codegen/driver", modulePath, false, false},
		{"newfolder", modulePath + "/ir", false, false},
		{"cmd/llmc", modulePath, false, true},
		{"cmd/llmc", "github.com/spf13/cobra", false, true},
		{"runtime/exec", "github.com/spf13/cobra", false, false},
		{"runtime/exec", "github.com/mmcloughlin/avo/build", false, false},
		{"ir", "example.com/anything", false, false},
		{"ir", "encoding/json", false, true},
	} {
		if why := checkImport(c.dir, c.path, c.test); (why == "") != c.ok {
			t.Errorf("%s imports %s: want allowed %v, got %q", c.dir, c.path, c.ok, why)
		}
	}
	loop := imports{"a": {"a/a.go": {modulePath + "/b"}}, "b": {"b/b.go": {modulePath + "/a", modulePath + "/c"}, "b/b_test.go": {modulePath + "/d"}}}
	var got []string
	for dir := range loop.reach("a") {
		got = append(got, dir)
	}
	sort.Strings(got)
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("reach: want %v, got %v", want, got)
	}
}
