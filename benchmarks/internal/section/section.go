// Package section replaces generated parts of documents.
package section

import (
	"fmt"
	"strings"
)

// Replace puts body, which ends in a line end, between the lines <!-- begin NAME --> and <!-- end NAME --> of a text.
func Replace(text, name, body string) (string, error) {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok1 := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", fmt.Errorf("want the lines %q and %q", strings.TrimSpace(begin), end)
	}
	return before + begin + body + end + after, nil
}
