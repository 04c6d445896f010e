package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Edges lead downwards through every layer between their ends, and what lies in one layer does not overlap.
func TestDraw(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 60 {
		n := 1 + r.IntN(60)
		var edges [][2]int
		for i := 1; i < n; i++ {
			for range r.IntN(3) {
				edges = append(edges, [2]int{r.IntN(i), i})
			}
		}
		d := draw(n, slices.Clone(edges))
		for _, e := range edges {
			if d.pts[e[0]].layer >= d.pts[e[1]].layer {
				t.Fatalf("trial %d: edge %v from layer %d to %d", trial, e, d.pts[e[0]].layer, d.pts[e[1]].layer)
			}
		}
		for _, rt := range d.routes {
			for i := 1; i < len(rt.pts) && !rt.far; i++ {
				if d.pts[rt.pts[i]].layer != d.pts[rt.pts[i-1]].layer+1 {
					t.Fatalf("trial %d: route %v leaves layers out", trial, rt.pts)
				}
			}
		}
		total := 0
		for _, layer := range d.layers {
			total += len(layer)
			for i := 1; i < len(layer); i++ {
				a, b := d.pts[layer[i-1]], d.pts[layer[i]]
				if b.x-a.x < (a.width+b.width)/2+bendWidth-1e-6 {
					t.Fatalf("trial %d: %v and %v overlap", trial, a, b)
				}
			}
			for _, k := range layer {
				if d.pts[k].x-d.pts[k].width/2 < -1e-6 {
					t.Fatalf("trial %d: a point at %v", trial, d.pts[k].x)
				}
			}
		}
		if total != len(d.pts) {
			t.Fatalf("trial %d: %d of %d points lie in layers", trial, total, len(d.pts))
		}
	}
}

// A chain stays straight, and a diamond is drawn without a crossing and in the middle.
func TestDrawShapes(t *testing.T) {
	d := draw(4, [][2]int{{0, 1}, {1, 2}, {2, 3}})
	for i := range d.pts {
		if d.pts[i].x != d.pts[0].x || d.pts[i].layer != i {
			t.Errorf("a chain: %+v", d.pts[i])
		}
	}
	d = draw(6, [][2]int{{0, 1}, {0, 2}, {1, 4}, {2, 3}, {3, 5}, {4, 5}}) // 4 is given after 3, and lies on the side of 1
	if (d.pts[1].x < d.pts[2].x) != (d.pts[4].x < d.pts[3].x) {
		t.Errorf("two branches cross: %+v", d.pts)
	}
	if mid := (d.pts[1].x + d.pts[2].x) / 2; d.pts[0].x < mid-1 || d.pts[0].x > mid+1 {
		t.Errorf("the fork lies at %v, its branches at %v and %v", d.pts[0].x, d.pts[1].x, d.pts[2].x)
	}
}

func inspectPage(t *testing.T, args ...string) (path, text string, nodes []pageNode) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "m.html")
	ok(t, append([]string{"inspect", "--html", path}, args...)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = string(b)
	_, data, _ := strings.Cut(text, "const nodes = ")
	data, _, _ = strings.Cut(data, ";\n")
	if err := json.Unmarshal([]byte(data), &nodes); err != nil {
		t.Fatalf("%v: %.200s", err, data)
	}
	return path, text, nodes
}

func TestInspectPage(t *testing.T) {
	_, s, nodes := inspectPage(t, "--profile", "--dim", "batch=2,sequence=16", bert)
	for _, bad := range []string{"https://", "src=", "<link"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page is not self-contained: %q", bad)
		}
	}
	var in inspection
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", "--dim", "batch=2,sequence=16", bert)), &in); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, c := range in.Steps {
		steps += c.Count
	}
	if len(nodes) != steps+len(in.Inputs)+len(in.Outputs) || strings.Count(s, `<g class="n `) != len(nodes) {
		t.Errorf("%d steps, %d nodes, %d drawn", steps, len(nodes), strings.Count(s, `<g class="n `))
	}
	timed, work := 0, 0
	for i, n := range nodes {
		if n.Step >= 0 && (n.Kernel == "" || len(n.Types) == 0 || n.Bytes == 0 || len(n.Nodes) == 0) {
			t.Errorf("node %d: %+v", i, n)
		}
		if n.TimeNS > 0 {
			timed++
		}
		if n.FLOP > 0 {
			work++
		}
		reached := strings.Contains(s, " data-b="+strconv.Itoa(i)+" ")
		if n.Kind != "input" && !reached && n.Name != "Gather" && n.Name != "Slice" {
			t.Errorf("nothing leads to node %d: %+v", i, n)
		}
	}
	if timed < steps/2 || work < 10 {
		t.Errorf("%d of %d steps have a time, %d do products", timed, steps, work)
	}
	checkArena(t, s)
	prog := filepath.Join(t.TempDir(), "m.llmc")
	ok(t, "compile", bert, "-q", "-o", prog)
	if _, _, again := inspectPage(t, prog); len(again) < 10 {
		t.Errorf("of a program: %d nodes", len(again))
	}
	for _, name := range []string{"squeezenet", "tiny-scripted-loop", "tiny-mixtral-moe", "tiny-gpt2-kv"} {
		_, s, _ := inspectPage(t, models+name+"/model.onnx")
		checkArena(t, s)
	}
	if r := llmcRun("inspect", "--profile", mnist); r.code != exitUsage {
		t.Errorf("--profile by itself: exit code %d", r.code)
	}
}

// checkArena fails where two buffers of the picture hold the same bytes at the same time.
func checkArena(t *testing.T, s string) {
	t.Helper()
	type rect struct{ x, y, w, h float64 }
	var l []rect
	for _, m := range regexp.MustCompile(`<rect class="a" [^>]* x="([^"]*)" y="([^"]*)" width="([^"]*)" height="([^"]*)"`).FindAllStringSubmatch(s, -1) {
		var v [4]float64
		for i := range v {
			var err error
			if v[i], err = strconv.ParseFloat(m[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		l = append(l, rect{v[0], v[1], v[2], v[3]})
	}
	const slack = 0.2 // positions are rounded
	for i, a := range l {
		if a.y < 0 || a.y+a.h > 260+slack || a.w <= 0 {
			t.Errorf("a buffer at %+v", a)
		}
		for _, b := range l[:i] {
			if a.x+slack < b.x+b.w && b.x+slack < a.x+a.w && a.y+slack < b.y+b.h && b.y+slack < a.y+a.h {
				t.Errorf("%+v and %+v overlap", a, b)
			}
		}
	}
	if len(l) == 0 && !strings.Contains(s, "Arena of 0 B") {
		t.Error("no buffers are drawn")
	}
}

// A click on a step shows its type, kernel, memory and time, and marks it, its edges and its buffers.
func TestInspectPageClick(t *testing.T) {
	path, _, nodes := inspectPage(t, "--profile", bert)
	dom := page(t, path, "click=/model/bert/pooler/activation/Tanh")
	about := dom[strings.Index(dom, "<aside"):strings.Index(dom, "</aside>")]
	for _, want := range []string{"<h2>Gemm</h2>", "contract", "/model/bert/pooler/activation/Tanh_output_0: f32[", "gemm", "written", "µs", "MFLOP"} {
		if !strings.Contains(about, want) {
			t.Errorf("want %q in %s", want, about)
		}
	}
	marked := regexp.MustCompile(`<g class="n [^"]*sel" data-n="(\d+)"`).FindAllStringSubmatch(dom, -1)
	if len(marked) != 1 {
		t.Fatalf("%d steps are marked", len(marked))
	}
	if i, err := strconv.Atoi(marked[0][1]); err != nil || !slices.Contains(nodes[i].Nodes, "/model/bert/pooler/activation/Tanh") {
		t.Errorf("step %v is marked", marked[0])
	}
	if strings.Count(dom, `<path class="e sel"`) != 2 || !strings.Contains(dom, `<rect class="a sel"`) {
		t.Error("edges or buffers are not marked")
	}
	dom = page(t, path, "find=tanh")
	if !strings.Contains(dom, "1 found") || strings.Count(dom, ` hit"`) != 1 {
		t.Error("the search finds something else")
	}
}
