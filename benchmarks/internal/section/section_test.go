package section_test

import (
	"testing"

	"github.com/llmc-go/llmc/benchmarks/internal/section"
)

// The body replaces what stood between the lines, and nothing else.
func TestReplace(t *testing.T) {
	const begin, end = "<!-- begin this -->\n", "<!-- end this -->\n"
	const other = "<!-- begin that -->\nkept\n<!-- end that -->\n"
	got, err := section.Replace(other+begin+"old\n"+end+"y\n", "this", "\nnew\n\n")
	if want := other + begin + "\nnew\n\n" + end + "y\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := section.Replace(other, "this", "\nnew\n\n"); err == nil {
		t.Error("a text without the lines is changed")
	}
}
