package jpeg

// convert makes pixels of the components.
func (d *decoder) convert() []byte {
	f := d.frame
	n := len(f.comps)
	out := make([]byte, n*f.width*f.height)
	rows := make([][]byte, n)
	up := make([]upsampler, n)
	for i, c := range f.comps {
		up[i] = newUpsampler(f, c)
	}
	paint := d.painter()
	for y := range f.height {
		for i := range up {
			rows[i] = up[i].row(y)
		}
		paint(out[n*y*f.width:n*(y+1)*f.width], rows)
	}
	return out
}

// painter is the conversion of a row: what the components are, the markers of JFIF and Adobe say, or else their names.
func (d *decoder) painter() func(out []byte, rows [][]byte) {
	switch len(d.frame.comps) {
	case 1:
		return func(out []byte, rows [][]byte) { copy(out, rows[0]) }
	case 3:
		if d.isRGB() {
			return interleave
		}
		return fromYCC
	}
	if d.adobe && d.adobeYCC != 0 {
		return fromYCCK
	}
	return fromInverted
}

func (d *decoder) isRGB() bool {
	switch c := d.frame.comps; {
	case d.jfif:
		return false
	case d.adobe:
		return d.adobeYCC == 0
	default:
		return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
	}
}

func interleave(out []byte, rows [][]byte) {
	for i := range out {
		out[i] = rows[i%len(rows)][i/len(rows)]
	}
}

// fromInverted is CMYK as it is stored: 255 is no ink.
func fromInverted(out []byte, rows [][]byte) {
	interleave(out, rows)
	for i := range out {
		out[i] = ^out[i]
	}
}

func fromYCC(out []byte, rows [][]byte) {
	luma, blue, red := rows[0], rows[1], rows[2]
	for x := range len(out) / 3 {
		out[3*x], out[3*x+1], out[3*x+2] = rgb(luma[x], blue[x], red[x])
	}
}

// fromYCCK is CMYK whose first three inks are stored as the luma and chroma of their complements.
func fromYCCK(out []byte, rows [][]byte) {
	luma, blue, red, black := rows[0], rows[1], rows[2], rows[3]
	for x := range len(out) / 4 {
		out[4*x], out[4*x+1], out[4*x+2] = rgb(luma[x], blue[x], red[x])
		out[4*x+3] = ^black[x]
	}
}

// rgb is the conversion of JFIF in 16 bits behind the point.
func rgb(luma, blue, red byte) (r, g, b byte) {
	l, u, v := int(luma), int(blue)-128, int(red)-128
	const half = 1 << 15
	return clamp(l + (91881*v+half)>>16), clamp(l + (half-22554*u-46802*v)>>16), clamp(l + (116130*u+half)>>16)
}
