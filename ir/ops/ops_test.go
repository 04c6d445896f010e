package ops

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir/op"
)

func mustTable(t *testing.T) *op.Table {
	t.Helper()
	table, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// published reads the version history of the ONNX schemas, release 1.23.2: domain, operator, versions, and those of
// them that deprecate it.
func published(t *testing.T) (versions map[[2]string][]int, deprecated map[[2]string]bool) {
	t.Helper()
	f, err := os.Open("testdata/onnx_versions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	versions, deprecated = map[[2]string][]int{}, map[[2]string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		c := strings.Split(s.Text(), "\t")
		if len(c) != 4 {
			t.Fatalf("line %q", s.Text())
		}
		k := [2]string{c[0], c[1]}
		for _, v := range strings.Fields(c[2]) {
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatal(err)
			}
			versions[k] = append(versions[k], n)
		}
		deprecated[k] = c[3] != ""
	}
	return versions, deprecated
}

// unofficial are operators that files use without a domain and that the standard does not have, or did not have then.
var unofficial = map[string]bool{"SimplifiedLayerNormalization": true, "LayerNormalization": true}

// Every spelling lists exactly the versions that the published schema has.
func TestVersions(t *testing.T) {
	want, deprecated := published(t)
	until := map[[2]string]bool{}
	var all []op.Source
	for _, d := range All() {
		all = append(all, d.From...)
	}
	for _, s := range append(all, Spellings()...) {
		if !sort.IntsAreSorted(s.Since) {
			t.Errorf("%s: versions %v are not sorted", s.Op, s.Since)
		}
		until[[2]string{s.Domain, s.Op}] = until[[2]string{s.Domain, s.Op}] || s.Until > 0
	}
	for _, s := range mustTable(t).Spellings() {
		k := [2]string{s.Domain, s.Op}
		if s.Domain != "" && !strings.HasPrefix(s.Domain, "ai.onnx") {
			continue
		}
		if want[k] == nil && unofficial[s.Op] {
			continue
		}
		got := append([]int(nil), s.Versions...)
		if unofficial[s.Op] {
			got = got[sort.SearchInts(got, want[k][0]):]
		}
		if deprecated[k] && until[k] {
			continue // the version that deprecates it is Until, which ends the list
		}
		if fmt.Sprint(got) != fmt.Sprint(want[k]) {
			t.Errorf("%s:%s has versions %v, want %v", s.Domain, s.Op, got, want[k])
		}
	}
}

// Every operator has a meaning, a formula, a test corpus and one seat for its gradient.
func TestDefinitions(t *testing.T) {
	names := map[string]bool{}
	todo := 0
	for _, d := range All() {
		switch {
		case d.Name == "" || names[d.Name]:
			t.Errorf("%q is defined twice", d.Name)
		case d.Doc == "":
			t.Errorf("%s has no doc", d.Name)
		case d.Infer == nil:
			t.Errorf("%s has no inference", d.Name)
		case d.Form == nil && d.Expand == nil && d.Host.Run == nil && d.Sig.Regions == nil:
			t.Errorf("%s has neither form, expansion nor host function", d.Name)
		case d.Cases == nil && d.Sig.Regions == nil && d != &Fail: // it never has a result
			t.Errorf("%s has no cases", d.Name)
		}
		names[d.Name] = true
		seats := 0
		for _, taken := range []bool{d.VJP.Rule != nil, d.VJP.None != "", d.VJP.Todo} {
			if taken {
				seats++
			}
		}
		if seats != 1 {
			t.Errorf("%s has %d gradients, want one rule, one reason or one todo", d.Name, seats)
		}
		if d.VJP.Todo {
			todo++
		}
	}
	t.Logf("%d operators, %d without a gradient rule yet", len(names), todo)
}

// The name of a host function is what a compiled program holds, so it says which function is meant.
func TestHostNames(t *testing.T) {
	of := map[string]string{}
	for _, d := range All() {
		if d.Host.Run == nil {
			continue
		}
		if d.Host.Name == "" {
			t.Errorf("%s has a host function without a name", d.Name)
		}
		if other := of[d.Host.Name]; other != "" {
			t.Errorf("%s and %s share host function %q", d.Name, other, d.Host.Name)
		}
		of[d.Host.Name] = d.Name
	}
}
