package kir

import (
	"fmt"
	"strings"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/runtime/program"
)

// String is the text form of a module, for dumps and goldens.
func (m *Module) String() string {
	var b strings.Builder
	for _, e := range m.Entries {
		fmt.Fprintf(&b, "entry %s\n", e.Name)
		e.Body.print(&b, "  ")
	}
	return b.String()
}

// bufName is how a buffer is called in the text form: its kind and number.
func (b *Buf) bufName() string {
	k := map[program.BufKind]string{program.BufConst: "c", program.BufInput: "in", program.BufOutput: "out", program.BufTemp: "t", program.BufHeap: "h", program.BufBox: "b"}[b.Kind]
	return fmt.Sprintf("%%%s%d", k, b.ID)
}

func shapeText(l []dim.Expr) string {
	s := make([]string, len(l))
	for i, e := range l {
		s[i] = e.Key()
	}
	return "[" + strings.Join(s, ", ") + "]"
}

func (bo *Body) print(w *strings.Builder, ind string) {
	for _, b := range bo.Bufs {
		if b.Of != nil {
			fmt.Fprintf(w, "%s%s: %v", ind, b.bufName(), *b.Of)
		} else {
			fmt.Fprintf(w, "%s%s: %v%s", ind, b.bufName(), b.Elem, shapeText(b.Shape))
		}
		if b.Const != nil && b.Const.Layout != "" {
			fmt.Fprintf(w, " :%s", b.Const.Layout)
		}
		if b.Alias != nil {
			fmt.Fprintf(w, " in %s", b.Alias.bufName())
		}
		if b.Kind == program.BufTemp || b.Kind == program.BufHeap {
			fmt.Fprintf(w, " live %d..%d", b.First, b.Last)
		}
		if b.Name != "" {
			fmt.Fprintf(w, " is %q", b.Name)
		}
		w.WriteByte('\n')
	}
	for i, g := range bo.Groups {
		fmt.Fprintf(w, "%s%d: ", ind, i)
		g.print(w, ind)
	}
}

func (g *Group) print(w *strings.Builder, ind string) {
	w.WriteString(g.Anchor.String())
	if g.Host != "" {
		w.WriteString(" " + g.Host)
	}
	for _, a := range g.Space {
		fmt.Fprintf(w, " %s=%s", a.Name, a.Extent.Key())
		if a.Red {
			w.WriteByte('!')
		}
	}
	for _, u := range g.In {
		w.WriteString("  " + u.text(g.Space))
	}
	w.WriteString(" ->")
	for _, u := range g.Out {
		w.WriteString("  " + u.text(g.Space))
	}
	if g.Prog != nil {
		w.WriteString(" { " + g.Prog.String() + " }")
	}
	if g.Window != nil {
		fmt.Fprintf(w, " window %v groups %d kernel %v stride %v dilation %v pad %v %v", g.Window.Combine, g.Window.Groups, g.Window.Kernel, g.Window.Stride, g.Window.Dilation, g.Window.PadBegin, g.Window.PadEnd)
	}
	if g.Attend != nil {
		fmt.Fprintf(w, " scale %g causal %v", g.Attend.Scale, g.Attend.Causal)
	}
	for _, a := range g.Attrs {
		fmt.Fprintf(w, " %s: %s", a.Name, a.Value.String())
	}
	for _, d := range g.Defs {
		fmt.Fprintf(w, " defines %s by %d.%d", d.Sym, d.Out, d.Axis)
	}
	if len(g.Pick.Rows) > 0 {
		fmt.Fprintf(w, "  pick %s", strings.Join(g.Pick.Rows, ", "))
	}
	for i, l := range g.Locs {
		if i == 0 {
			w.WriteString("  loc")
		}
		w.WriteString(" " + l.Name)
	}
	w.WriteByte('\n')
	for _, b := range g.Bodies {
		w.WriteString(ind + "  {\n")
		b.print(w, ind+"    ")
		w.WriteString(ind + "  }\n")
	}
}

func (u *Use) text(space []Axis) string {
	var s []string
	for i, e := range u.Stride {
		if !e.IsConst(0) && i < len(space) {
			s = append(s, space[i].Name+"*"+e.Key())
		}
	}
	for _, v := range u.Via {
		s = append(s, fmt.Sprintf("via %d*%s", v.Operand, v.Stride.Key()))
	}
	if !u.Off.IsConst(0) {
		s = append(s, u.Off.Key())
	}
	return u.Buf.bufName() + "(" + strings.Join(s, " + ") + ")"
}
