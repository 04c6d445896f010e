package dtype

import (
	"math"
	"testing"
)

// Every code of every small format survives decoding and encoding.
func TestRoundTrip(t *testing.T) {
	for _, ty := range []Type{F16, BF16, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F4E2M1} {
		for c := uint64(0); c < 1<<ty.Bits(); c++ {
			v := DecodeFloat(ty, c)
			got := EncodeFloat(ty, v, false)
			if math.IsNaN(v) {
				if !math.IsNaN(DecodeFloat(ty, got)) {
					t.Fatalf("%v %#x: NaN became %#x", ty, c, got)
				}
				continue
			}
			if got != c {
				t.Fatalf("%v %#x = %v: encoded as %#x", ty, c, v, got)
			}
		}
	}
}

// Midpoints between neighbours go to the even code, anything else to the nearer one.
func TestRoundNearestEven(t *testing.T) {
	for _, ty := range []Type{F16, BF16, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F4E2M1} {
		for c := uint64(0); ; c++ {
			a, b := DecodeFloat(ty, c), DecodeFloat(ty, c+1)
			if math.IsNaN(b) || math.IsInf(b, 0) || c+1 >= 1<<(ty.Bits()-1) {
				break
			}
			even := c + c&1
			mid := (a + b) / 2
			if got := EncodeFloat(ty, mid, true); got != even {
				t.Fatalf("%v: %v between %#x and %#x went to %#x", ty, mid, c, c+1, got)
			}
			if got := EncodeFloat(ty, math.Nextafter(mid, a), true); got != c {
				t.Fatalf("%v: below the middle of %#x went to %#x", ty, c, got)
			}
			if got := EncodeFloat(ty, math.Nextafter(mid, b), true); got != c+1 {
				t.Fatalf("%v: above the middle of %#x went to %#x", ty, c, got)
			}
		}
	}
}

// Published extremes: OCP 8-bit floating point specification 1.0, IEEE 754, OCP MX 1.0.
func TestExtremes(t *testing.T) {
	for _, c := range []struct {
		ty   Type
		code uint64
		want float64
	}{
		{F8E4M3FN, 0x7e, 448}, {F8E5M2, 0x7b, 57344}, {F8E4M3FNUZ, 0x7f, 240}, {F8E5M2FNUZ, 0x7f, 57344},
		{F16, 0x7bff, 65504}, {F16, 1, 0x1p-24}, {F4E2M1, 7, 6}, {F8E8M0, 127, 1},
	} {
		if got := DecodeFloat(c.ty, c.code); got != c.want {
			t.Errorf("%v %#x: got %v want %v", c.ty, c.code, got, c.want)
		}
	}
	if got := EncodeFloat(F8E4M3FN, 1e9, false); !math.IsNaN(DecodeFloat(F8E4M3FN, got)) {
		t.Errorf("e4m3fn has no infinity: got %#x", got)
	}
	if got := EncodeFloat(F8E5M2, 1e9, false); !math.IsInf(DecodeFloat(F8E5M2, got), 1) {
		t.Errorf("e5m2 overflow: got %#x", got)
	}
}
