package jpeg

// The inverse DCT of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) with 11 products a line, in integers: constants have 13 bits
// behind the point, and what goes from the columns to the rows has 2. Every result is scaled by the square root of 8.
const (
	constBits = 13
	passBits  = 2
)

// The constants of the flow graph, where c(k) is cos(k*pi/16) times the square root of 2.
const (
	sub6    = 4433  // c6
	add26   = 6270  // c2 - c6
	sum26   = 15137 // c2 + c6
	c3      = 9633
	odd7    = 2446  // -c1 + c3 + c5 - c7
	odd5    = 16819 // c1 + c3 - c5 + c7
	odd3    = 25172 // c1 + c3 + c5 - c7
	odd1    = 12299 // c1 + c3 - c5 - c7
	side17  = 7373  // c3 - c7
	side35  = 20995 // c1 + c3
	cross37 = 16069 // c3 + c5
	cross15 = 3196  // c3 - c5
)

// lineDCT transforms eight coefficients; the results have constBits more bits behind the point.
func lineDCT(c *[8]int32) {
	turn := (c[2] + c[6]) * sub6
	far, near := turn-c[6]*sum26, turn+c[2]*add26
	sum, diff := (c[0]+c[4])<<constBits, (c[0]-c[4])<<constBits
	even := [4]int32{sum + near, diff + far, diff - far, sum - near}

	all := (c[7] + c[3] + c[5] + c[1]) * c3
	cross1, cross2 := all-(c[7]+c[3])*cross37, all-(c[5]+c[1])*cross15
	side1, side2 := (c[7]+c[1])*side17, (c[5]+c[3])*side35
	odd := [4]int32{
		c[1]*odd1 - side1 + cross2,
		c[3]*odd3 - side2 + cross1,
		c[5]*odd5 - side2 + cross2,
		c[7]*odd7 - side1 + cross1,
	}
	for i := range 4 {
		c[i], c[7-i] = even[i]+odd[i], even[i]-odd[i]
	}
}

// inverseDCT dequantises a block (A.3.4), transforms it and writes its samples.
func inverseDCT(coefs *[64]int16, quant *[64]uint16, out []byte, stride int) {
	var work [64]int32
	for x := range 8 {
		var line [8]int32
		ac := int32(0)
		for y := range line {
			line[y] = int32(coefs[8*y+x]) * int32(quant[8*y+x])
			if y > 0 {
				ac |= line[y]
			}
		}
		if ac == 0 { // what the transform gives too, for it is exact here
			for y := range line {
				work[8*y+x] = line[0] << passBits
			}
			continue
		}
		lineDCT(&line)
		for y, v := range line {
			work[8*y+x] = descale(v, constBits-passBits)
		}
	}
	for y := range 8 {
		line := (*[8]int32)(work[8*y:])
		lineDCT(line)
		row := out[y*stride : y*stride+8]
		for x, v := range line {
			row[x] = clamp(int(descale(v, constBits+passBits+3)) + 128)
		}
	}
}

// descale drops n bits and rounds.
func descale(v int32, n int) int32 { return (v + 1<<(n-1)) >> n }

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }
