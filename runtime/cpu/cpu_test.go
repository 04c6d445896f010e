package cpu

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestTierNamesRoundTrip(t *testing.T) {
	for _, tier := range Tiers() {
		got, err := ParseTier(tier.String())
		if err != nil || got != tier {
			t.Errorf("ParseTier(%q): want %v, got %v, %v", tier.String(), tier, got, err)
		}
	}
	if _, err := ParseTier("sse"); err == nil {
		t.Error("ParseTier(sse): want an error")
	}
	if s := Tier(99).String(); s != "tier(99)" {
		t.Errorf("unknown tier prints %q", s)
	}
}

func TestTiersNest(t *testing.T) {
	for _, tier := range Tiers()[1:] {
		if f, below := tier.Features(), (tier - 1).Features(); !f.Has(below) || f == below {
			t.Errorf("%v: want more than the features of %v, got %v", tier, tier-1, f)
		}
		if got := tier.Features().Tier(); got != tier {
			t.Errorf("features of %v belong to tier %v", tier, got)
		}
	}
	// A processor with AVX-512F but without FMA3 does not exist; one with AVX-512 Foundation only does (Knights Landing).
	if got := (TierAVX2.Features() | AVX512F).Tier(); got != TierAVX2 {
		t.Errorf("AVX-512 without BW, DQ, VL: want avx2, got %v", got)
	}
}

func TestFeatureNames(t *testing.T) {
	for _, name := range strings.Fields((endFeatures - 1).String()) {
		f, err := ParseFeature(name)
		if err != nil || f.String() != name {
			t.Errorf("ParseFeature(%q) = %v, %v", name, f, err)
		}
	}
	if _, err := ParseFeature("MMX"); err == nil {
		t.Error("ParseFeature(MMX): want an error")
	}
}

func TestLower(t *testing.T) {
	found := TierBF16.Features()
	for _, tc := range []struct {
		override string
		want     Tier
	}{{"", TierBF16}, {"ref", TierRef}, {"avx2", TierAVX2}, {"avx512", TierAVX512}, {"amx", TierBF16}} {
		f, err := Lower(found, tc.override)
		if err != nil || f.Tier() != tc.want {
			t.Errorf("Lower(bf16, %q): want %v, got %v, %v", tc.override, tc.want, f.Tier(), err)
		}
	}
	if _, err := Lower(found, "AVX512"); err == nil || !strings.Contains(err.Error(), "want ref, avx2") {
		t.Errorf("Lower(AVX512): want an error naming the tiers, got %v", err)
	}
}

// The kernel's own list of flags is the oracle of detection.
func TestDetectAgreesWithKernel(t *testing.T) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || runtime.GOARCH != "amd64" || detect() == 0 {
		t.Skip("no /proc/cpuinfo, or built without assembly")
	}
	flags := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "flags" {
			for _, f := range strings.Fields(v) {
				flags[f] = true
			}
			break
		}
	}
	for name, f := range map[string]Features{"avx": AVX, "avx2": AVX2, "fma": FMA3, "f16c": F16C, "avx512f": AVX512F, "avx512bw": AVX512BW,
		"avx512dq": AVX512DQ, "avx512vl": AVX512VL, "avx512_vnni": AVX512VNNI, "avx512_bf16": AVX512BF16} {
		if detect().Has(f) != flags[name] {
			t.Errorf("%s: kernel says %v, detect %v", name, flags[name], detect().Has(f))
		}
	}
}

func TestHostRespectsOverride(t *testing.T) {
	want, err := Lower(detect(), os.Getenv("LLMC_TIER"))
	if (err != nil) != (Override() != nil) || Host() != want {
		t.Errorf("Host: want %v, %v, got %v, %v", want, err, Host(), Override())
	}
}
