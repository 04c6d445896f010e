package pipeline_test

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/passes/pass"
	"github.com/llmc-go/llmc/passes/passtest"
	"github.com/llmc-go/llmc/passes/pipeline"
)

// positions lists where a pass stands.
func positions(name string) []int {
	var l []int
	for i, p := range pipeline.List() {
		if p.Name == name {
			l = append(l, i)
		}
	}
	return l
}

func TestReasonsHold(t *testing.T) {
	for _, r := range pipeline.Reasons {
		first, then := positions(r.First), positions(r.Then)
		if len(first) == 0 || len(then) == 0 || r.Because == "" {
			t.Errorf("%s before %s: a pass or the reason is missing", r.First, r.Then)
			continue
		}
		if first[0] > then[len(then)-1] {
			t.Errorf("%s stands at %v, after %s at %v: %s", r.First, first, r.Then, then, r.Because)
		}
	}
}

func TestFactsFit(t *testing.T) {
	var have pass.Facts
	for _, p := range pipeline.List() {
		if p.Doc == "" || p.Name == "" || p.Run == nil {
			t.Errorf("pass %q lacks a name, a sentence or a function", p.Name)
		}
		if p.Needs&^have != 0 {
			t.Errorf("%s needs %v, and %v hold", p.Name, p.Needs, have)
		}
		have = have&^p.Drops | p.Gives
	}
	if want := pass.Typed | pass.Primitive | pass.Grouped; have != want {
		t.Errorf("at the end %v hold, want %v", have, want)
	}
}

func models(t *testing.T, fn func(t *testing.T, text string)) {
	files, err := filepath.Glob("testdata/*.ir")
	if err != nil || len(files) == 0 {
		t.Fatal("no models", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(f), ".ir"), func(t *testing.T) { fn(t, string(raw)) })
	}
}

// After every pass of the list the module evaluates to the same, parses back from its text, and keeps its signature.
func TestEveryPassKeepsResults(t *testing.T) {
	models(t, func(t *testing.T, text string) {
		c, e := passtest.Context(t, pass.Options{})
		before, m := passtest.Load(t, c, text), passtest.Load(t, c, text)
		r := passtest.Runner()
		r.After = func(ev pass.Event) {
			if err := passtest.Same(e, before, m, 1e-4, nil); err != nil {
				t.Errorf("after %s: %v", ev.Pass.Name, err)
			}
			back, err := ir.Parse(m.String(), ir.ParseOptions{Consts: func(i int, _ string, _ dtype.Type, _ []int) (*tensor.Tensor, error) { return m.Consts[i].Tensor, nil }})
			if err == nil {
				err = ir.Equal(m, back)
			}
			if err != nil {
				t.Errorf("after %s: the text does not parse back: %v", ev.Pass.Name, err)
			}
		}
		if _, err := r.Run(c, m, pipeline.List(), 0); err != nil {
			t.Fatal(err)
		}
	})
}

// Any choice of passes that the facts allow, in any order, gives the same results.
func TestRandomSubsets(t *testing.T) {
	models(t, func(t *testing.T, text string) {
		rnd := rand.New(rand.NewSource(1))
		for i := 0; i < 20; i++ {
			c, e := passtest.Context(t, pass.Options{})
			before, m := passtest.Load(t, c, text), passtest.Load(t, c, text)
			have := passtest.Runner().Prove(c, m)
			var list []*pass.Pass
			facts := have
			all := pipeline.List()
			for len(list) < 6 {
				p := all[rnd.Intn(len(all))]
				if p.Needs&^facts == 0 {
					list = append(list, p)
					facts = facts&^p.Drops | p.Gives
				} else if rnd.Intn(4) == 0 {
					break
				}
			}
			if _, err := passtest.Runner().Run(c, m, list, have); err != nil {
				t.Fatalf("%s: %v", names(list), err)
			}
			if err := passtest.Same(e, before, m, 1e-4, nil); err != nil {
				t.Fatalf("%s: %v", names(list), err)
			}
		}
	})
}

func names(l []*pass.Pass) string {
	s := make([]string, len(l))
	for i, p := range l {
		s[i] = p.Name
	}
	return strings.Join(s, ",")
}

// A second run of the whole list changes nothing that counts: the same nodes, in groups of the same size.
func TestSettles(t *testing.T) {
	models(t, func(t *testing.T, text string) {
		c, _ := passtest.Context(t, pass.Options{})
		m := passtest.Load(t, c, text)
		list := pipeline.List()
		ungrouped := list[:len(list)-1]
		if _, err := passtest.Runner().Run(c, m, ungrouped, 0); err != nil {
			t.Fatal(err)
		}
		once := pass.Fingerprint(m)
		if _, err := passtest.Runner().Run(c, m, []*pass.Pass{pipeline.Named("simplify"), pipeline.Named("fold"), pipeline.Named("expand")}, pass.Typed); err != nil {
			t.Fatal(err)
		}
		text1 := m.String()
		if pass.Fingerprint(m) != once {
			t.Errorf("the passes do not settle:\n%s", text1)
		}
	})
}

// Two runs give the same text: nothing depends on the order of maps.
func TestDeterministic(t *testing.T) {
	models(t, func(t *testing.T, text string) {
		var first string
		for i := 0; i < 3; i++ {
			c, _ := passtest.Context(t, pass.Options{})
			m := passtest.Load(t, c, text)
			if _, err := passtest.Runner().Run(c, m, pipeline.List(), 0); err != nil {
				t.Fatal(err)
			}
			if s := m.String(); i == 0 {
				first = s
			} else if s != first {
				t.Fatal("two runs differ")
			}
		}
	})
}

// What each pass does to these small models shows when it is left out.
func TestEachPassCounts(t *testing.T) {
	type want struct{ model, without string }
	for _, w := range []want{{"resnet", "fold"}, {"gpt", "raise"}, {"gpt", "simplify"}, {"gpt", "fuse"}} {
		t.Run(w.model+"-"+w.without, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/" + w.model + ".ir")
			if err != nil {
				t.Fatal(err)
			}
			steps := func(skip string) int {
				c, _ := passtest.Context(t, pass.Options{})
				m := passtest.Load(t, c, string(raw))
				var list []*pass.Pass
				for _, p := range pipeline.List() {
					if p.Name != skip {
						list = append(list, p)
					}
				}
				if _, err := passtest.Runner().Run(c, m, list, pass.Typed); err != nil {
					t.Fatal(err)
				}
				n := 0
				for _, x := range m.Main().Body.Nodes {
					if d := c.Table.Def(x.Op); d != nil && !d.View {
						n++
					}
				}
				return n
			}
			if all, less := steps(""), steps(w.without); less <= all {
				t.Errorf("%d steps with all passes, %d without %s", all, less, w.without)
			}
		})
	}
}

func TestUnmetNeeds(t *testing.T) {
	c, _ := passtest.Context(t, pass.Options{})
	m := passtest.Load(t, c, "module x\nfunc main(%x: f32[2]) -> f32[2] {\n  return(%x)\n}\n")
	_, err := passtest.Runner().Run(c, m, []*pass.Pass{pipeline.Named("fuse")}, pass.Typed)
	var pe *pass.Error
	if !errors.As(err, &pe) || pe.Pass != "fuse" || !strings.Contains(err.Error(), "needs Primitive") {
		t.Errorf("got %v", err)
	}
	if got := fmt.Sprint(pass.Typed | pass.Grouped); got != "Typed+Grouped" {
		t.Errorf("facts print as %s", got)
	}
}
