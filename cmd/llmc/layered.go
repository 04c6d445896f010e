package main

import (
	"cmp"
	"slices"
)

// drawing is a layered drawing of a directed graph without cycles, after Sugiyama, Tagawa and Toda, "Methods for Visual
// Understanding of Hierarchical System Structures" (1981): nodes get layers by the longest path to them, edges over
// several layers get a point in each, sweeps by barycentres order the layers, and least squares places them.
type drawing struct {
	layers [][]int // points by layer, left to right
	pts    []point // nodes come first, in the order in which they were added
	nodes  int
	routes []route
}

// point is a node, or a bend of an edge.
type point struct {
	layer, pos int
	x          float64
	width      float64
	up, down   []int
}

// route is an edge as the points it passes.
type route struct {
	pts []int
	far bool // it spans so many layers that it goes straight
}

// maxBends is the number of layers beyond which an edge gets no bends: a mask that every block reads would make as many
// points as there are blocks, squared.
const maxBends = 24

const (
	nodeWidth  = 150.0
	bendWidth  = 14.0
	layerPitch = 74.0
)

// draw lays a graph out. Edges lead from lower to higher numbers; a source moves down to just above its readers.
func draw(nodes int, edges [][2]int) *drawing {
	d := &drawing{nodes: nodes, pts: make([]point, nodes)}
	for i := range d.pts {
		d.pts[i].width = nodeWidth
	}
	in := make([]int, nodes)
	slices.SortFunc(edges, func(a, b [2]int) int { return cmp.Or(a[1]-b[1], a[0]-b[0]) })
	edges = slices.Compact(edges)
	for _, e := range edges { // sorted by target, so sources are final
		d.pts[e[1]].layer = max(d.pts[e[1]].layer, d.pts[e[0]].layer+1)
		in[e[1]]++
	}
	nearest := make([]int, nodes)
	for _, e := range edges {
		if l := d.pts[e[1]].layer; nearest[e[0]] == 0 || l < nearest[e[0]] {
			nearest[e[0]] = l
		}
	}
	for i := range nodes {
		if in[i] == 0 && nearest[i] > 0 {
			d.pts[i].layer = nearest[i] - 1
		}
	}
	for _, e := range edges {
		d.route(e[0], e[1])
	}
	for i := range d.pts {
		l := d.pts[i].layer
		for len(d.layers) <= l {
			d.layers = append(d.layers, nil)
		}
		d.pts[i].pos = len(d.layers[l])
		d.layers[l] = append(d.layers[l], i)
	}
	for sweep := range 12 {
		d.order(sweep%2 == 0)
	}
	d.place()
	return d
}

// route adds the bends of an edge.
func (d *drawing) route(from, to int) {
	r := route{pts: []int{from}}
	a, b := d.pts[from].layer, d.pts[to].layer
	r.far = b-a > maxBends
	last := from
	if !r.far {
		for l := a + 1; l < b; l++ {
			d.pts = append(d.pts, point{layer: l, width: bendWidth})
			k := len(d.pts) - 1
			d.join(last, k)
			r.pts = append(r.pts, k)
			last = k
		}
		d.join(last, to)
	}
	r.pts = append(r.pts, to)
	d.routes = append(d.routes, r)
}

func (d *drawing) join(a, b int) {
	d.pts[a].down = append(d.pts[a].down, b)
	d.pts[b].up = append(d.pts[b].up, a)
}

// order sorts each layer by the mean position of its neighbours in the layer before, or after.
func (d *drawing) order(down bool) {
	n := len(d.layers)
	for i := range n {
		l := i
		if !down {
			l = n - 1 - i
		}
		layer := d.layers[l]
		key := make(map[int]float64, len(layer))
		for _, k := range layer {
			near := d.pts[k].up
			if !down {
				near = d.pts[k].down
			}
			key[k] = float64(d.pts[k].pos)
			if len(near) > 0 {
				sum := 0.0
				for _, j := range near {
					sum += float64(d.pts[j].pos) / float64(max(1, len(d.layers[d.pts[j].layer])-1))
				}
				key[k] = sum / float64(len(near)) * float64(max(1, len(layer)-1))
			}
		}
		slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(key[a], key[b]) })
		for pos, k := range layer {
			d.pts[k].pos = pos
		}
	}
}

// place moves every point towards the mean of its neighbours, as far as the order of its layer allows.
func (d *drawing) place() {
	for _, layer := range d.layers {
		x := 0.0
		for _, k := range layer {
			d.pts[k].x = x + d.pts[k].width/2
			x += d.pts[k].width + bendWidth
		}
		for _, k := range layer {
			d.pts[k].x -= x / 2
		}
	}
	for sweep := range 24 {
		for i := range d.layers {
			l := i
			if sweep%2 == 1 {
				l = len(d.layers) - 1 - i
			}
			d.settle(d.layers[l])
		}
	}
	left := 0.0
	for i := range d.pts {
		left = min(left, d.pts[i].x-d.pts[i].width/2)
	}
	for i := range d.pts {
		d.pts[i].x -= left
	}
}

// settle gives a layer the positions that are nearest to what its points want, in the sense of least squares, and keep
// their order and distances: isotonic regression by pooling adjacent violators.
func (d *drawing) settle(layer []int) {
	type pool struct {
		sum, weight float64
		n           int
	}
	var pools []pool
	offset := make([]float64, len(layer))
	for i, k := range layer {
		p := &d.pts[k]
		if i > 0 {
			q := &d.pts[layer[i-1]]
			offset[i] = offset[i-1] + (q.width+p.width)/2 + bendWidth
		}
		want, n := 0.0, 0.0
		for _, l := range [][]int{p.up, p.down} {
			for _, j := range l {
				want += d.pts[j].x
				n++
			}
		}
		weight := 1.0
		if n == 0 {
			want, n = p.x, 1
			weight = 0.1
		}
		if k >= d.nodes {
			weight = 2 // straight edges are easier to follow
		}
		pools = append(pools, pool{weight * (want/n - offset[i]), weight, 1})
		for m := len(pools) - 1; m > 0 && pools[m-1].sum*pools[m].weight > pools[m].sum*pools[m-1].weight; m-- {
			pools[m-1].sum += pools[m].sum
			pools[m-1].weight += pools[m].weight
			pools[m-1].n += pools[m].n
			pools = pools[:m]
		}
	}
	i := 0
	for _, p := range pools {
		for range p.n {
			d.pts[layer[i]].x = p.sum/p.weight + offset[i]
			i++
		}
	}
}
