// Package anchor is the closed list of what one kernel group can compute, with the small structs that
// describe each. Anchors are written into compiled programs: an unknown one is an error, never a default.
package anchor

import "fmt"

// Kind is an anchor.
type Kind uint8

// The anchors; kernel-level IR documents their naive loops.
const (
	Invalid  Kind = iota
	Map           // out[p] = prog(in[p]); Par axes only
	Rows          // the same with Red axes and reducing opcodes
	Contract      // acc[b,m,n] = sum over k of a[b,m,k] * b[b,k,n], then prog on acc
	Window        // acc = combine over taps and channels of x[p*stride + tap*dilation - pad] (* w), then prog
	Attend        // o = sum over t of softmax_t(score(q.k_t)) * v_t
	Scatter       // out[idx[i]] = combine(out[idx[i]], prog(in[i])) in the order of i
	Host          // a function of ir/host
	Branch        // regions: then, else
	Loop          // a region per iteration
	numKinds
)

var names = [numKinds]string{Map: "map", Rows: "rows", Contract: "contract", Window: "window", Attend: "attend", Scatter: "scatter", Host: "host", Branch: "branch", Loop: "loop"}

func (k Kind) String() string {
	if k > Invalid && k < numKinds {
		return names[k]
	}
	return fmt.Sprintf("anchor(%d)", uint8(k))
}

// Valid reports whether k is a listed anchor.
func (k Kind) Valid() bool { return k > Invalid && k < numKinds }

// Parse is the inverse of String.
func Parse(s string) (Kind, bool) {
	for k := Map; k < numKinds; k++ {
		if names[k] == s {
			return k, true
		}
	}
	return Invalid, false
}

// Combine is how a window or scatter merges values.
type Combine uint8

// The ways to combine. Mul in a window is the sum of products with the weights (convolution); Avg divides
// by the number of taps inside the input, AvgPad by those inside the padded input.
const (
	CombineInvalid Combine = iota
	Dot
	Max
	Avg
	AvgPad
	Set
	Add
	Mul
	Min
	numCombines
)

var combineNames = [numCombines]string{Dot: "dot", Max: "max", Avg: "avg", AvgPad: "avgpad", Set: "set", Add: "add", Mul: "mul", Min: "min"}

func (c Combine) String() string {
	if c > 0 && c < numCombines {
		return combineNames[c]
	}
	return fmt.Sprintf("combine(%d)", uint8(c))
}

// Valid reports whether c is listed.
func (c Combine) Valid() bool { return c > 0 && c < numCombines }

// ParseCombine is the inverse of String.
func ParseCombine(s string) (Combine, bool) {
	for c := Dot; c < numCombines; c++ {
		if combineNames[c] == s {
			return c, true
		}
	}
	return 0, false
}

// WindowAttr is the geometry of a window over pictures of the form [batch, channels, spatial...]. One entry
// a spatial axis. The output extent is that of the result; PadBegin is what lies before the first element.
type WindowAttr struct {
	Combine  Combine
	Groups   int // channels are split into this many independent groups; pooling has one channel a group and no weights
	Kernel   []int
	Stride   []int
	Dilation []int
	PadBegin []int
	PadEnd   []int // what AvgPad counts at the far end; other combines ignore it
	// Last says that the pictures' channels lie next to each other in memory, pixel after pixel.
	Last bool
}

// AttendAttr describes attention over operands q [b, h, m, d], k [b, hk, t, d], v [b, hk, t, dv] and an optional mask that
// broadcasts to [b, h, m, t]: o = softmax(scale * q.k^T + mask) * v. Query head h reads head h*hk/heads of k and v.
type AttendAttr struct {
	Scale float64
	// Causal hides keys behind the query: key t is seen by query m where t <= m + (T - M).
	Causal bool
}
