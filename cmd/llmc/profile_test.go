package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

type profileJSON struct {
	Total int64 `json:"total_ns"`
	Roof  roofline
	Steps []stepTime
}

func profileOf(t *testing.T, args ...string) (p profileJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(ok(t, append([]string{"profile", "--json", "--time", "20ms", "--threads", "1"}, args...)...)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

const squeezenet = models + "squeezenet/model.onnx"

// Operations and bytes follow from the sizes of the operators: those of SqueezeNet are published, the addition is of 3x4x5 and 5.
func TestProfileCounts(t *testing.T) {
	p := profileOf(t, squeezenet)
	if p.Roof.GFLOPS <= 0 || p.Roof.GBS < p.Roof.Memory || p.Roof.Threads != 1 || p.Roof.Touched < 5<<20 || p.Roof.Touched > 64<<20 {
		t.Errorf("roof: %+v", p.Roof)
	}
	for _, c := range []struct {
		node                string
		flop, read, written int64
	}{
		{"conv10_1", 2 * 13 * 13 * 1000 * 512, 4 * (13*13*512 + 1000*512 + 1000), 4 * 13 * 13 * 1000},
		{"fire2/expand3x3_1", 2 * 55 * 55 * 64 * 16 * 9, 4 * (55*55*16 + 64*16*9 + 64), 4 * 55 * 55 * 64}, // writes half of a concat
		{"pool1_1", 0, 4 * 111 * 111 * 64, 4 * 55 * 55 * 64},
	} {
		i := slices.IndexFunc(p.Steps, func(s stepTime) bool { return s.Node == c.node })
		if i < 0 {
			t.Errorf("no step of %s", c.node)
			continue
		}
		s := &p.Steps[i]
		if s.FLOP != c.flop || s.Read != c.read || s.Written != c.written {
			t.Errorf("%s: want %d operations, %d bytes read, %d written, got %d, %d, %d", c.node, c.flop, c.read, c.written, s.FLOP, s.Read, s.Written)
		}
		// 1% for the rounding of times to nanoseconds
		least := max(float64(s.FLOP)/p.Roof.GFLOPS, float64(s.Read+s.Written)/p.Roof.GBS)
		if d := float64(s.Least) - least; d > 1 || d < -1-least/100 || s.OfRoof <= 0 || (s.Bound == "compute") != (s.FLOP > 0 && c.node != "pool1_1") {
			t.Errorf("%s: at the roof in %v ns, bound by %s, want %g ns", c.node, s.Least, s.Bound, least)
		}
	}
	all := profileOf(t, squeezenet, "--by", "kernel")
	var flop, of, steps int64
	for _, s := range p.Steps {
		flop += s.FLOP
	}
	for _, s := range all.Steps {
		of += s.FLOP
		steps += int64(s.Count)
		if s.Least <= 0 || s.OfRoof <= 0 {
			t.Errorf("%s: %+v", s.Kernel, s)
		}
	}
	if flop != of || int(steps) != len(p.Steps) {
		t.Errorf("%d operations in %d steps, by kernel %d in %d", flop, len(p.Steps), of, steps)
	}
	if _, err := os.Stat(addition); err != nil {
		t.Skip("the published cases are not here")
	}
	if s := profileOf(t, addition).Steps[0]; s.FLOP != 60 || s.Read != 4*65 || s.Written != 4*60 {
		t.Errorf("addition: %+v", s)
	}
}

func TestProfileText(t *testing.T) {
	s := ok(t, "profile", squeezenet, "--time", "1ms", "--most", "3", "--threads", "1")
	if !regexp.MustCompile(`^roof: [\d.]+ GFLOP/s, [\d.]+ GB/s reading the [\d.]+ MB that a run touches; memory: [\d.]+ GB/s read, [\d.]+ written \(f32_roof_\w+, 1 thread\)\n`).MatchString(s) {
		t.Errorf("head: %s", s)
	}
	if s := ok(t, "profile", squeezenet, "--time", "1ms", "-q"); !strings.HasPrefix(s, "time ") {
		t.Errorf("with -q: %.100s", s)
	}
}

func profilePageOf(t *testing.T, args ...string) (path, text string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "p.html")
	ok(t, append([]string{"profile", "--time", "20ms", "--threads", "1", "--html", path}, args...)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(b)
}

// A click on a dot chooses its row, its bar and itself; search and order work.
func TestProfilePage(t *testing.T) {
	path, text := profilePageOf(t, squeezenet)
	if bad := regexp.MustCompile(`https://|src=|<link|url\(`).FindString(text); bad != "" {
		t.Errorf("the page is not self-contained: %q", bad)
	}
	dom := page(t, path, "dot=conv10_1")
	chosen := regexp.MustCompile(`<(g|circle|tr) [^>]*\bsel"[^>]*>`).FindAllString(dom, -1)
	if len(chosen) != 3 {
		t.Fatalf("chosen: %q", chosen)
	}
	number := regexp.MustCompile(`data-i="(\d+)"`)
	for _, c := range chosen[1:] {
		if number.FindString(c) != number.FindString(chosen[0]) {
			t.Errorf("chosen: %q", chosen)
		}
	}
	row := dom[strings.Index(dom, chosen[2]):]
	row, _, _ = strings.Cut(row, "</tr>")
	about := dom[strings.Index(dom, "<aside"):strings.Index(dom, "</aside>")]
	if !strings.Contains(row, "Conv conv10_1") || !strings.Contains(about, "conv10_1") || !strings.Contains(about, "173 MFLOP") || !strings.Contains(about, "at ") {
		t.Errorf("row %s\nabout %s", row, about)
	}
	rows := func(dom string) []string {
		return regexp.MustCompile(`<tr data-i="\d+"[^>]*>`).FindAllString(dom, -1)
	}
	if dom = page(t, path, "row=conv1_1"); strings.Count(dom, " sel\"")+strings.Count(dom, "\"sel\"") < 2 {
		t.Error("a click on a row chooses nothing else")
	}
	dom = page(t, path, "sort=step")
	for i, r := range rows(dom) {
		if got := number.FindStringSubmatch(r)[1]; got != strconv.Itoa(i) {
			t.Errorf("row %d is of step %s", i, got)
		}
	}
	dom = page(t, path, "find=squeeze1x1")
	if n := len(regexp.MustCompile(`<tr data-i="\d+" class="out">`).FindAllString(dom, -1)); !strings.Contains(dom, "8 found") || n != len(rows(dom))-8 {
		t.Errorf("search: %d rows are left out of %d", n, len(rows(dom)))
	}
}

// Steps that a model cannot do without names, sizes or operations on floats are drawn, too.
func TestProfilePageOfOthers(t *testing.T) {
	for _, name := range []string{"tiny-scripted-loop", "sms-spam-tfidf"} {
		path, _ := profilePageOf(t, models+name+"/model.onnx", "--data", models+name+"/test_data_set_0")
		if dom := page(t, path, ""); !strings.Contains(dom, "Nothing selected") || !strings.Contains(dom, `<tr data-i="0"`) {
			t.Errorf("%s: no table", name)
		}
	}
}
