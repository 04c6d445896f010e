// Package cpu says what the processor of this process can do: instruction-set features, the closed list of tiers that kernels are
// written for, and the override that lowers the ceiling for tests.
//
// A kernel row names the features it needs; it is admissible where [Features.Has] says so. Nothing else in the runtime asks the
// processor anything, so one environment variable, LLMC_TIER, makes a machine behave like a smaller one.
package cpu

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// Features is a set of instruction-set extensions, spelled as the assembly generator reports them.
type Features uint32

// The extensions that some tier needs.
const (
	AVX Features = 1 << iota
	AVX2
	FMA3
	F16C
	AVX512F
	AVX512BW
	AVX512DQ
	AVX512VL
	AVX512VNNI
	AVX512BF16
	AMXTILE
	AMXINT8
	AMXBF16
	endFeatures
)

var featureNames = [...]string{
	"AVX", "AVX2", "FMA3", "F16C", "AVX512F", "AVX512BW", "AVX512DQ", "AVX512VL", "AVX512VNNI", "AVX512BF16", "AMXTILE", "AMXINT8", "AMXBF16",
}

// Has reports whether every feature of needs is in f.
func (f Features) Has(needs Features) bool { return f&needs == needs }

// Tier is the highest tier whose features are all in f.
func (f Features) Tier() Tier {
	best := TierRef
	for t := TierRef; t < numTiers; t++ {
		if f.Has(t.Features()) {
			best = t
		}
	}
	return best
}

// String lists the features, separated by spaces.
func (f Features) String() string {
	var names []string
	for i, n := range featureNames {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, " ")
}

// ParseFeature returns the feature of that name.
func ParseFeature(name string) (Features, error) {
	for i, n := range featureNames {
		if n == name {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("instruction-set extension: want one of %s, got %q", endFeatures-1, name)
}

// Tier is a level of processor that kernels are written for. Each tier includes the ones before it.
type Tier uint8

// The tiers, lowest first. The numbers are written into compiled programs.
const (
	TierRef    Tier = iota // portable Go
	TierAVX2               // AVX2 with FMA and F16C
	TierAVX512             // F, BW, DQ, VL
	TierVNNI               // int8 dot products
	TierBF16               // bfloat16 dot products
	TierAMX                // tile registers
	numTiers
)

var tiers = [numTiers]struct {
	name string
	adds Features
}{
	{"ref", 0},
	{"avx2", AVX | AVX2 | FMA3 | F16C},
	{"avx512", AVX512F | AVX512BW | AVX512DQ | AVX512VL},
	{"vnni", AVX512VNNI},
	{"bf16", AVX512BF16},
	{"amx", AMXTILE | AMXINT8 | AMXBF16},
}

// String is the tier's name as it ends a kernel's name.
func (t Tier) String() string {
	if t < numTiers {
		return tiers[t].name
	}
	return fmt.Sprintf("tier(%d)", uint8(t))
}

// Features is everything that a kernel of this tier may use.
func (t Tier) Features() Features {
	var f Features
	for i := TierRef; i <= t && i < numTiers; i++ {
		f |= tiers[i].adds
	}
	return f
}

// ParseTier returns the tier of that name.
func ParseTier(name string) (Tier, error) {
	for t := range tiers {
		if tiers[t].name == name {
			return Tier(t), nil
		}
	}
	return TierRef, fmt.Errorf("tier: want ref, avx2, avx512, vnni, bf16 or amx, got %q", name)
}

// Tiers returns all tiers, lowest first.
func Tiers() []Tier {
	all := make([]Tier, numTiers)
	for i := range all {
		all[i] = Tier(i)
	}
	return all
}

// Cache sizes in bytes that blocking aims at: the smallest among the machines that matter, so that results and block borders do not
// depend on the host.
const (
	L1 = 32 << 10
	L2 = 1 << 20
)

// Lower is found lowered to the tier named by override; an empty override changes nothing.
func Lower(found Features, override string) (Features, error) {
	if override == "" {
		return found, nil
	}
	t, err := ParseTier(override)
	if err != nil {
		return 0, err
	}
	return found & t.Features(), nil
}

var host = sync.OnceValues(func() (Features, error) {
	f, err := Lower(detect(), os.Getenv("LLMC_TIER"))
	if err != nil {
		return 0, fmt.Errorf("LLMC_TIER: %w", err)
	}
	return f, nil
})

// Host is what this process may use: the machine's features, lowered by the environment variable LLMC_TIER, which is read once.
// With a malformed LLMC_TIER it is the empty set; [Override] tells why.
func Host() Features {
	f, _ := host()
	return f
}

// Override returns the error of a malformed LLMC_TIER. A command prints it before it runs anything.
func Override() error {
	_, err := host()
	return err
}

// Best returns the first row of a kernel family's table that runs on host: rows are listed best first, and the last one, which is
// portable, runs everywhere.
func Best[R any, P interface {
	*R
	Runs(host Features) bool
}](rows []R, host Features) *R {
	for i := range rows {
		if P(&rows[i]).Runs(host) {
			return &rows[i]
		}
	}
	return &rows[len(rows)-1]
}
