package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oneLineOf fails unless a refusal is exit code 1 with one line.
func oneLineOf(t *testing.T, what string, r result) string {
	t.Helper()
	if r.code != 1 || r.out != "" || !strings.HasPrefix(r.err, "llmc: ") || strings.Count(r.err, "\n") != 1 || len(r.err) > 4096 {
		t.Errorf("%s: want exit code 1 and one line, got %d, %q, %.500q", what, r.code, r.out, r.err)
	}
	return r.err
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	prog := filepath.Join(dir, "m.llmc")
	ok(t, "compile", mnist, "-q", "-o", prog)
	for _, path := range []string{mnist, prog, bert, models + "tiny-scripted-loop/model.onnx"} {
		if got := ok(t, "check", path, "--timeout", "1m"); !strings.HasSuffix(got, ": ok\n") {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if got := ok(t, "check", "--json", mnist); !strings.Contains(got, `"ok": true`) {
		t.Errorf("got %s", got)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model, err := os.ReadFile(mnist)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	torn := append([]byte(nil), program...)
	for i := 64; i < 256; i++ {
		torn[i] ^= 0x5a
	}
	for name, b := range map[string][]byte{
		"empty.onnx": {}, "ones.onnx": []byte(strings.Repeat("\xff", 1024)), "half.onnx": model[:len(model)/2], "claims.onnx": {0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"half.llmc": program[:len(program)/2], "torn.llmc": torn, "text.llmc": []byte("hello, world"),
	} {
		oneLineOf(t, name, llmcRun("check", write(name, b)))
	}
	if r := llmcRun("check", "--json", write("json.onnx", model[:1000])); r.code != 1 || !strings.Contains(r.out, `"ok": false`) || r.err != "" {
		t.Errorf("--json: exit code %d, %q, %q", r.code, r.out, r.err)
	}
}

// The bounds are those that are given: too little memory, and sizes that need more.
func TestCheckLimits(t *testing.T) {
	if s := oneLineOf(t, "memory", llmcRun("check", mnist, "--max-memory", "1KB")); !strings.Contains(s, "limit") && !strings.Contains(s, "memory") {
		t.Errorf("memory: got %q", s)
	}
	if s := oneLineOf(t, "sizes", llmcRun("check", bert, "--dim", "batch=100000,sequence=100000")); !strings.Contains(s, "memory") {
		t.Errorf("sizes: got %q", s)
	}
	if s := oneLineOf(t, "time", llmcRun("check", bert, "--timeout", "1ns")); !strings.Contains(s, "time limit of 1ns") {
		t.Errorf("time: got %q", s)
	}
	if r := llmcRun("check", mnist, "--timeout", "-1s"); r.code != exitUsage {
		t.Errorf("a negative time: exit code %d", r.code)
	}
}

// Work that looks at no context, panics, or holds too much is ended all the same.
func TestWatched(t *testing.T) {
	ctx, bg := context.Background(), make(chan struct{})
	defer close(bg)
	start := time.Now()
	err := watched(ctx, 10*time.Millisecond, 0, func(context.Context) error { <-bg; return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "time limit of 10ms: not done after ") || time.Since(start) > 5*time.Second {
		t.Errorf("a deaf stage: %v after %v", err, time.Since(start))
	}
	err = watched(ctx, time.Minute, 0, func(context.Context) error { panic("no\nway") })
	if err == nil || err.Error() != "bug: no\nway" {
		t.Errorf("a panic: %v", err)
	}
	hold := make([]byte, 32<<20)
	err = watched(ctx, time.Minute, 16<<20, func(context.Context) error { <-bg; return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "memory limit: ") || len(hold) == 0 {
		t.Errorf("memory: %v", err)
	}
	hold[0] = 1
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := watched(ended, time.Minute, 0, func(context.Context) error { <-bg; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

// Every malformed model of the shared set is refused as its table says.
func TestCheckBadModels(t *testing.T) {
	root := os.Getenv("LLMC_SHARED")
	if root == "" {
		t.Skip("LLMC_SHARED is not set")
	}
	table, err := os.ReadFile(filepath.Join(root, "badmodels", "expected.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			t.Fatalf("expected.tsv: %q", line)
		}
		n++
		start := time.Now()
		r := llmcRun("check", filepath.Join(root, "badmodels", f[0]))
		took := time.Since(start)
		if r.code != 0 || !strings.Contains(f[2], "success") {
			oneLineOf(t, f[0]+" ("+f[1]+")", r)
		}
		if limit := 10 * time.Second; took > limit {
			t.Errorf("%s: took %v", f[0], took)
		}
		t.Logf("%-32s %8v  %d %s", f[0], took.Round(time.Millisecond), r.code, strings.TrimSpace(r.err))
	}
	if n < 100 {
		t.Errorf("%d files", n)
	}
}
