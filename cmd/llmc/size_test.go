package main

import "testing"

func TestByteSize(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1500": 1500, "1KB": 1024, "2MiB": 2 << 20, "1.5g": 3 << 29, " 4 TB": 4 << 40, "10B": 10} {
		var b byteSize
		if err := b.Set(s); err != nil || int64(b) != want {
			t.Errorf("%q: want %d, got %d, %v", s, want, b, err)
		}
	}
	for _, s := range []string{"", "-1", "KB", "1XB", "NaN", "1e30TB", "much"} {
		var b byteSize
		if err := b.Set(s); err == nil {
			t.Errorf("%q: want an error, got %d", s, b)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KB", 5 << 30: "5.0 GB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: want %s, got %s", n, want, got)
		}
	}
}
