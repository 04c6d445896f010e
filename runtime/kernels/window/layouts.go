package window

import "github.com/llmc-go/llmc/ir/layout"

var layouts = [algorithms]layout.Name{LastDirect: layout.ConvRows, LastDepthwise: layout.ConvTaps, LastWino4: layout.ConvWino4, LastWino2: layout.ConvWino2}

// Layout is the layout of an algorithm's weights.
func (a Algorithm) Layout() layout.Name { return layouts[a] }

// AlgorithmOf is the algorithm that reads weights of a layout.
func AlgorithmOf(n layout.Name) (Algorithm, bool) {
	for a, l := range layouts {
		if l == n {
			return Algorithm(a), true
		}
	}
	return 0, false
}
