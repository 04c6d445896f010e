package elementwise

import (
	"fmt"
	"math"

	"github.com/llmc-go/llmc/ir/host"
)

// splitMix is SplitMix64 (Steele, Lea and Flood, 2014).
type splitMix uint64

// next is a number of [0, 1).
func (s *splitMix) next() float64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}

// Random draws a tensor of a shape from the attribute seed: numbers of [a, b) (kind uniform), or of mean a and deviation b (kind
// normal, by Box and Muller, 1958). The same call gives the same numbers.
var Random = host.Fn{Name: "random", Run: func(c *host.Call) error {
	var shape []int
	for _, n := range c.Attrs.Ints("shape") {
		if n < 0 {
			return fmt.Errorf("shape %v", c.Attrs.Ints("shape"))
		}
		shape = append(shape, int(n))
	}
	y, err := c.Out(0, shape...)
	if err != nil {
		return err
	}
	a, b := c.Attrs.Float("a", 0), c.Attrs.Float("b", 1)
	state := splitMix(c.Attrs.Int("seed", 0))
	write := host.Writer(y)
	normal := c.Attrs.Str("kind", "uniform") == "normal"
	for i := range y.Len() {
		u := state.next()
		if normal {
			u = math.Sqrt(-2*math.Log(1-u)) * math.Cos(2*math.Pi*state.next())
			write(i, a+b*u)
			continue
		}
		write(i, a+(b-a)*u)
	}
	return nil
}}
