package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// page is what a headless Chromium makes of a file after its scripts have run.
func page(t *testing.T, path, fragment string) string {
	t.Helper()
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && browser == "" {
			browser = p
		}
	}
	if browser == "" {
		if os.Getenv("LLMC_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("no Chromium is installed, and LLMC_REQUIRE_CHROMIUM is 1")
		}
		t.Skip("no Chromium is installed")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+path+"#"+fragment)
	var out, errw bytes.Buffer
	c.Stdout, c.Stderr = &out, &errw
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, errw.String())
	}
	return out.String()
}

var highlighted = regexp.MustCompile(`<b data-k="(\d+)" class="hl[^"]*">([^<]*)</b>`)

// A click on a value highlights it in every column, under whatever name it has there, and nothing else.
func TestDumpPageClick(t *testing.T) {
	dir := t.TempDir()
	ok(t, "compile", bert, "--dump", dir, "-q")
	const value = "/model/bert/embeddings/Add_1_output_0"
	dom := page(t, filepath.Join(dir, "index.html"), "click="+value)
	sections := strings.Split(dom, "<section ")[1:]
	columns, seen, buffer := 0, map[string]int{}, ""
	for _, s := range sections {
		name, _, _ := strings.Cut(strings.TrimPrefix(s, `data-pass="`), `"`)
		if strings.Contains(s, "<pre>") {
			columns++
		}
		for _, m := range highlighted.FindAllStringSubmatch(s, -1) {
			seen[name]++
			want := "%" + value
			if strings.Contains("lower schedule memory", name) { // a buffer, whose number says nothing
				if buffer == "" {
					buffer = m[2]
				}
				if want = buffer; !strings.HasPrefix(buffer, "%t") {
					t.Errorf("%s: %s is highlighted, want a buffer", name, buffer)
				}
			}
			if m[2] != want {
				t.Errorf("%s: %s is highlighted, want %s", name, m[2], want)
			}
		}
	}
	if columns < 8 || len(seen) != len(passNamesOf(sections)) {
		t.Errorf("%d columns, highlighted in %v", columns, seen)
	}
	for name, n := range seen {
		if n < 2 { // where it is made, and where it is read
			t.Errorf("%s: highlighted %d times", name, n)
		}
	}
	if !strings.Contains(dom, value+": ") {
		t.Error("the header does not say what was clicked")
	}
	if dom := page(t, filepath.Join(dir, "index.html"), ""); highlighted.MatchString(dom) {
		t.Error("something is highlighted before any click")
	}
}

// passNamesOf are the names of the columns that have text; a name may occur twice.
func passNamesOf(sections []string) map[string]bool {
	out := map[string]bool{}
	for _, s := range sections {
		if name, _, ok := strings.Cut(strings.TrimPrefix(s, `data-pass="`), `"`); ok && strings.Contains(s, "<pre>") {
			out[name] = true
		}
	}
	return out
}

// Every value that the text forms define is an element, the header has counts and times, and nothing comes from outside.
func TestDumpPage(t *testing.T) {
	dir := t.TempDir()
	ok(t, "compile", models+"tiny-scripted-loop/model.onnx", "--dump", dir, "-q")
	b, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	for _, bad := range []string{"http://", "https://", "src=", "<link"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page is not self-contained: %q", bad)
		}
	}
	for _, want := range []string{`data-pass="import"`, `data-pass="fuse"`, `data-pass="memory"`, " nodes", " steps", "no change", "checked in "} {
		if !strings.Contains(s, want) {
			t.Errorf("want %q", want)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "00-import.ir"))
	if err != nil {
		t.Fatal(err)
	}
	column, _, _ := strings.Cut(s[strings.Index(s, "<pre>")+5:], "</pre>")
	plain := regexp.MustCompile(`</?b[^>]*>`).ReplaceAllString(column, "")
	for from, to := range map[string]string{"&lt;": "<", "&gt;": ">", "&#34;": `"`, "&#39;": "'"} {
		plain = strings.ReplaceAll(plain, from, to)
	}
	if got := strings.ReplaceAll(plain, "&amp;", "&"); strings.TrimSpace(got) != strings.TrimSpace(string(text)) {
		t.Error("the page's text is not that of the file")
	}
}

// Numbered values are known within their region and column only; named ones everywhere.
func TestMarkerKeys(t *testing.T) {
	p := &pageWriter{}
	p.add(column{Changed: true}, `func main(%x: f32[2]) -> f32[2] {
  %0 = neg(%x) : f32[2]
  %y_1 = group(%0) : f32[2] @"m#0:a%x"(Abs) is "y:1", "y" {
    body(%0: f32[2]) {
      %y_1 = abs(%0) : f32[2] is "y:1"
      yield(%y_1)
    }
  }
  return(%y_1)
}`)
	p.add(column{Changed: true}, "entry main\n  %in0: f32[2] is \"x\"\n  %t1: f32[2] is \"y:1\"\n  0: map  %in0() ->  %t1()\n")
	keys := func(c int) string {
		var l []string
		for _, m := range regexp.MustCompile(`<b data-k=(\d+)>(%[^<]*)</b>`).FindAllStringSubmatch(string(p.columns[c].Text), -1) {
			k, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			l = append(l, m[2]+"="+p.names[k])
		}
		return strings.Join(l, " ")
	}
	if got, want := keys(0), "%x=x %0=%0 (column 1 region 1) %x=x %y_1=y:1 %0=%0 (column 1 region 1) %0=%0 (column 1 region 3) %y_1=y:1 %0=%0 (column 1 region 3) %y_1=y:1 %y_1=y:1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := keys(1), "%in0=x %t1=y:1 %in0=x %t1=y:1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
