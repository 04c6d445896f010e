package main

import (
	"fmt"
	"strconv"
	"strings"
)

// byteSize is a flag that takes 1500, 64KB, 2MiB or 1.5GB; prefixes are powers of 1024.
type byteSize int64

var prefixes = []string{"", "K", "M", "G", "T"}

func (b *byteSize) String() string {
	if *b == 0 {
		return "" // nothing to say in help texts
	}
	return formatBytes(int64(*b))
}

// Type names the flag's value in help texts.
func (b *byteSize) Type() string { return "bytes" }

// Set parses a size.
func (b *byteSize) Set(s string) error {
	t := strings.ToUpper(strings.TrimSpace(s))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "B"), "I")
	scale := int64(1)
	for i := len(prefixes) - 1; i > 0; i-- {
		if p, ok := strings.CutSuffix(t, prefixes[i]); ok {
			t, scale = p, 1<<(10*i)
			break
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
	if err != nil || !(v >= 0) || v*float64(scale) >= 1<<62 {
		return fmt.Errorf("want a number of bytes such as 512MB, got %q", s)
	}
	*b = byteSize(v * float64(scale))
	return nil
}

// formatBytes writes a size for people.
func formatBytes(n int64) string {
	v, i := float64(n), 0
	for v >= 1024 && i < len(prefixes)-1 {
		v /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %sB", v, prefixes[i])
}
