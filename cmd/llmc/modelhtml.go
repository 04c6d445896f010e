package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/tensor"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// pageNode is a step, an input or an output in the picture of a model.
type pageNode struct {
	Kind   string   `json:"kind"` // input, output, or the step's anchor
	Step   int      `json:"step"` // -1 for inputs and outputs
	Name   string   `json:"name"`
	Nodes  []string `json:"nodes,omitempty"`
	Kernel string   `json:"kernel,omitempty"`
	Space  string   `json:"space,omitempty"`
	Types  []string `json:"types"` // of what it gives
	Reads  []string `json:"reads,omitempty"`
	Bytes  int64    `json:"bytes"`
	FLOP   int64    `json:"flop,omitempty"`
	TimeNS int64    `json:"time_ns,omitempty"`
	Share  float64  `json:"share,omitempty"`
}

// modelPicture is a page about a program.
type modelPicture struct {
	title string
	nodes []pageNode
	edges [][2]int
	arena []exec.Placed
	total int64
	steps int
	dims  string
}

// writeModelPage runs the program once, so that sizes are known, and draws it.
func (a *app) writeModelPage(ctx context.Context, l *loaded, path string, profile time.Duration) error {
	p := l.model.Program()
	m, err := exec.Load(p, exec.Options{Workers: l.opts.Threads, Tier: l.opts.Tier, MaxMemory: l.opts.MaxMemory, Host: std.All()})
	if err != nil {
		return err
	}
	defer m.Close()
	s, err := m.NewSession("")
	if err != nil {
		return err
	}
	inputs, err := l.trial(ctx, s)
	switch {
	case err != nil && (profile > 0 || ctx.Err() != nil):
		return err
	case err != nil: // sizes are known all the same, but for those that depend on data
		a.notef("made-up inputs do not run: %s", oneLine(err.Error()))
	}
	pic := &modelPicture{title: filepath.Base(l.path), arena: s.Arena(), total: s.Memory().Arena, steps: len(p.Entries[0].Body.Steps), dims: l.pageDims(p)}
	pic.graph(p, s)
	if profile > 0 {
		measured, err := profileSteps(ctx, l, inputs, profile)
		if err != nil {
			return err
		}
		for i := range pic.nodes {
			if n := &pic.nodes[i]; n.Step >= 0 {
				n.TimeNS = int64(measured.steps[n.Step].Time)
				n.Share = float64(n.TimeNS) / float64(max(measured.total, 1))
			}
		}
	}
	return writePage(path, pic.write)
}

// trial runs a session on inputs that are made up: random ones, or zeros where a model refuses those. Buffers are placed
// before the first step, so that they are known even if a later one fails.
func (l *loaded) trial(ctx context.Context, s *exec.Session) (llmc.Values, error) {
	e := s.Entry()
	var first error
	for _, zeros := range []bool{false, true} {
		f := &inputFlags{random: !zeros, zeros: zeros, seed: 1, model: modelFlags{memory: byteSize(l.opts.MaxMemory)}}
		inputs, err := l.readInputs(f)
		if err == nil {
			l.boundIndices(l.model.Program(), inputs)
			for _, st := range e.States { // the session has them
				delete(inputs, e.Inputs[st.Input].Name)
			}
			in := make([]tensor.Value, len(e.Inputs))
			for i := range e.Inputs {
				in[i] = inputs[e.Inputs[i].Name]
			}
			if _, err = s.RunValues(ctx, in); err == nil {
				return inputs, nil
			}
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (l *loaded) pageDims(p *program.Program) string {
	used := map[string]int64{}
	for i, name := range p.Dims.Syms {
		if !p.Symbols[i].Late {
			used[name] = 1
			if v, ok := l.dims[name]; ok {
				used[name] = v
			}
		}
	}
	return dimText(used)
}

// graph makes the nodes, inputs first, then the steps in order, then the outputs, and the edges between them.
func (m *modelPicture) graph(p *program.Program, s *exec.Session) {
	e := &p.Entries[0]
	b := &e.Body
	written := map[int32][]int{} // nodes that write a buffer
	for i := range e.Inputs {
		io := &e.Inputs[i]
		written[b.Params[i]] = []int{len(m.nodes)}
		m.nodes = append(m.nodes, pageNode{Kind: "input", Step: -1, Name: oneLine(io.Name), Types: []string{ioType(io)}})
	}
	step := 0
	s.Describe(func(in exec.StepInfo) {
		if in.Depth > 0 {
			return
		}
		st := in.Step
		n := pageNode{Kind: st.Anchor.String(), Step: step, Name: oneLine(st.Op), Kernel: in.Kernel, Space: strings.Join(in.Space, " "), Bytes: in.Bytes, FLOP: in.FLOP}
		for _, l := range st.Locs {
			n.Nodes = append(n.Nodes, oneLine(l))
		}
		at := len(m.nodes)
		for j := range st.In {
			buf := st.In[j].Buf
			if c := &b.Bufs[buf]; c.Kind == program.BufConst {
				if c.Name != "" {
					n.Reads = append(n.Reads, oneLine(c.Name))
				}
				continue
			}
			for _, w := range written[buf] {
				m.edges = append(m.edges, [2]int{w, at})
			}
		}
		for j := range st.Out {
			written[st.Out[j].Buf] = append(written[st.Out[j].Buf], at)
			n.Types = append(n.Types, bufType(p, b, &st.Out[j]))
		}
		m.nodes = append(m.nodes, n)
		step++
	})
	for i := range e.Outputs {
		for _, w := range written[b.Results[i]] {
			m.edges = append(m.edges, [2]int{w, len(m.nodes)})
		}
		m.nodes = append(m.nodes, pageNode{Kind: "output", Step: -1, Name: oneLine(e.Outputs[i].Name), Types: []string{ioType(&e.Outputs[i])}})
	}
}

func ioType(io *program.IO) string {
	if io.Elem == dtype.Invalid { // no tensor: its type
		return strings.Join(io.Text, " ")
	}
	return fmt.Sprintf("%v[%s]", io.Elem, strings.Join(io.Text, ", "))
}

// bufType is the type of what a use sees, with the model's name.
func bufType(p *program.Program, b *program.Body, u *program.Use) string {
	buf := &b.Bufs[u.Buf]
	shape := u.Shape
	if len(shape) == 0 {
		shape = buf.Shape
	}
	var l []string
	for _, r := range shape {
		l = append(l, p.Dims.Text(r))
	}
	s := fmt.Sprintf("%v[%s]", buf.Elem, strings.Join(l, ", "))
	if buf.Name != "" {
		s = oneLine(buf.Name) + ": " + s
	}
	return s
}

func (m *modelPicture) write(w io.Writer) error {
	data, err := json.Marshal(m.nodes) // escapes what could end a script
	if err != nil {
		return err
	}
	t, err := template.New("model").Parse(modelPage)
	if err != nil {
		return err
	}
	graph, width, height := m.drawGraph()
	arena, aw, ah := m.drawArena()
	return t.Execute(w, map[string]any{"Title": m.title, "Dims": m.dims, "Steps": m.steps, "Total": formatBytes(m.total), "Graph": graph, "Arena": arena,
		"Width": width, "Height": height, "ArenaWidth": aw, "ArenaHeight": ah, "Nodes": template.JS(data)})
}

// drawGraph is the inside of an SVG element.
func (m *modelPicture) drawGraph() (svg template.HTML, width, height float64) {
	d := draw(len(m.nodes), m.edges)
	y := func(k int) float64 { return float64(d.pts[k].layer)*layerPitch + 30 }
	const half = 21.0
	var b strings.Builder
	for _, r := range d.routes {
		from, to := r.pts[0], r.pts[len(r.pts)-1]
		class := "e"
		if r.far {
			class = "e far"
		}
		fmt.Fprintf(&b, `<path class="%s" data-a=%d data-b=%d d="M%.1f %.1f`, class, from, to, d.pts[from].x, y(from)+half)
		x0, y0 := d.pts[from].x, y(from)+half
		for _, k := range r.pts[1:] {
			x1, y1 := d.pts[k].x, y(k)
			if k == to {
				y1 -= half
			}
			mid := (y0 + y1) / 2
			fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", x0, mid, x1, mid, x1, y1)
			x0, y0 = x1, y1
		}
		b.WriteString(`"/>`)
	}
	for i := range m.nodes {
		n := &m.nodes[i]
		x := d.pts[i].x - nodeWidth/2
		width = max(width, x+nodeWidth)
		height = max(height, y(i)+half)
		label := n.Name
		if len(n.Nodes) > 1 {
			label += fmt.Sprintf(" +%d", len(n.Nodes)-1)
		}
		under := ""
		if len(n.Types) > 0 {
			under = n.Types[0]
			if _, t, ok := strings.Cut(under, ": "); ok {
				under = t
			}
		}
		fmt.Fprintf(&b, `<g class="n k-%s" data-n=%d transform="translate(%.1f %.1f)"><rect width="%.0f" height="%.0f" rx="5"/><text x="75" y="17">%s</text><text class="s" x="75" y="33">%s</text></g>`,
			template.HTMLEscapeString(n.Kind), i, x, y(i)-half, nodeWidth, 2*half, template.HTMLEscapeString(cut(label, 22)), template.HTMLEscapeString(cut(under, 24)))
	}
	return template.HTML(b.String()), width + 30, height + 30
}

func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// drawArena shows who holds which bytes when: steps go from left to right, offsets from the top.
func (m *modelPicture) drawArena() (svg template.HTML, width, height float64) {
	height = 260
	pitch := math.Max(3, math.Min(48, 1500/float64(max(m.steps, 1))))
	width = pitch*float64(m.steps+1) + 2
	scale := height / float64(max(m.total, 1))
	biggest := int64(1)
	for _, p := range m.arena {
		biggest = max(biggest, p.Bytes)
	}
	var b strings.Builder
	for i, p := range m.arena {
		// blue where small, red where large, by the logarithm
		hue := 220 - 220*math.Log2(1+float64(p.Bytes)/64)/math.Log2(1+float64(biggest)/64)
		last := min(p.Last, m.steps)
		fmt.Fprintf(&b, `<rect class="a" data-a=%d data-first=%d data-last=%d x="%.1f" y="%.2f" width="%.1f" height="%.2f" fill="hsl(%.0f 75%% 62%%)"><title>%s</title></rect>`,
			i, p.First, last, pitch*float64(max(p.First, 0)), scale*float64(p.Offset), pitch*float64(last-max(p.First, 0)+1), scale*float64(p.Bytes), hue,
			template.HTMLEscapeString(fmt.Sprintf("%s %v, %s at %d, steps %d to %d", oneLine(p.Name), p.Elem, formatBytes(p.Bytes), p.Offset, p.First, last)))
	}
	fmt.Fprintf(&b, `<rect id="now" x="0" y="0" width="%.1f" height="%.0f" data-pitch="%.4f"/>`, pitch, height, pitch)
	return template.HTML(b.String()), width, height
}
