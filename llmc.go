package llmc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/llmc-go/llmc/ir"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/runtime/exec"
	"github.com/llmc-go/llmc/runtime/program"
)

// What errors.Is finds in errors of this package.
var (
	ErrMalformed   = ir.ErrMalformed   // the model breaks the rules of its format
	ErrUnsupported = ir.ErrUnsupported // the model is valid, and this version does not handle it
	ErrInput       = exec.ErrBinding   // the inputs or outputs of a run do not fit the model
	ErrClosed      = errors.New("model is closed")
)

// Options of compiling and running. The zero value is the recommended setting.
type Options struct {
	Threads   int              // processors that one run may use; 0 is GOMAXPROCS. Results do not depend on it
	MaxMemory int64            // bytes of activations that one session may hold; 0 is no bound
	Tier      string           // use no more of the processor than this tier has: ref, avx2, avx512 ...; "" is all
	Dims      map[string]int64 // values of symbolic dimensions, fixed when compiling
	Shapes    map[string][]int // whole shapes of inputs, by name: for models that have no symbolic form
	States    []string         // past=present pairs of names, with *, that become states; "auto" finds them
}

// Info describes an input or output.
type Info struct {
	Name  string
	Elem  dtype.Type
	Shape []string // one extent per axis: a number, a symbol such as batch, or an expression over symbols
	Type  string   // of what is no tensor, in which case it has neither of the above: seq(f32[3]), seq(map(i64, f32[]))
}

// String is name: f32[batch, 64].
func (i Info) String() string {
	if i.Type != "" {
		return i.Name + ": " + i.Type
	}
	s := i.Name + ": " + i.Elem.String() + "["
	for k, e := range i.Shape {
		if k > 0 {
			s += ", "
		}
		s += e
	}
	return s + "]"
}

// Model is a program loaded into this process. It is immutable, and safe for use by several goroutines.
type Model struct {
	exec  *exec.Model
	entry *program.Entry
	free  func() error

	mu     sync.Mutex
	idle   []*Session
	closed bool
}

// Open loads a model: an .onnx file is compiled in memory, an .llmc file is mapped. Close it after use.
func Open(path string, o Options) (*Model, error) { return OpenContext(context.Background(), path, o) }

// OpenContext is Open; compiling stops when ctx ends.
func OpenContext(ctx context.Context, path string, o Options) (*Model, error) {
	if IsProgram(path) {
		f, err := program.Open(path)
		if err != nil {
			return nil, err
		}
		f.WillNeed()
		m, err := load(f.Program, f.Close, o)
		if err != nil {
			_ = f.Close()
		}
		return m, err
	}
	c, err := Compile(ctx, path, o)
	if err != nil {
		return nil, err
	}
	m, err := c.Load(o)
	if err != nil {
		_ = c.Close()
	}
	return m, err
}

func load(p *program.Program, free func() error, o Options) (*Model, error) {
	if len(p.Entries) == 0 {
		return nil, fmt.Errorf("%w: a program without entries", ErrMalformed)
	}
	m, err := exec.Load(p, exec.Options{Workers: o.Threads, Tier: o.Tier, MaxMemory: o.MaxMemory, Host: std.All()})
	if err != nil {
		return nil, err
	}
	return &Model{exec: m, entry: &p.Entries[0], free: free}, nil
}

// Inputs describes the inputs, in the model's order.
func (m *Model) Inputs() []Info { return infos(m.entry.Inputs) }

// Outputs describes the outputs, in the model's order.
func (m *Model) Outputs() []Info { return infos(m.entry.Outputs) }

func infos(l []program.IO) []Info {
	out := make([]Info, len(l))
	for i, io := range l {
		out[i] = Info{Name: io.Name, Elem: io.Elem, Shape: append([]string(nil), io.Text...)}
		if io.Elem == dtype.Invalid && len(io.Text) == 1 {
			out[i].Shape, out[i].Type = nil, io.Text[0]
		}
	}
	return out
}

// Program is the compiled form that the model runs.
func (m *Model) Program() *program.Program { return m.exec.Program }

// Threads is the number of processors that one run uses.
func (m *Model) Threads() int { return m.exec.Workers() }

// Tier is the kind of processor that the model's kernels are picked for.
func (m *Model) Tier() string { return m.exec.Features().Tier().String() }

// Run computes the model's outputs, with a session that the model keeps. The results are the caller's.
func (m *Model) Run(ctx context.Context, inputs Tensors) (Tensors, error) {
	if len(m.entry.States) > 0 {
		return nil, fmt.Errorf("%w: the model has states, which belong to a session: use NewSession", ErrInput)
	}
	s, err := m.borrow()
	if err != nil {
		return nil, err
	}
	res, err := s.Run(ctx, inputs)
	if err != nil {
		return nil, err // the session may be broken: it is dropped
	}
	out := make(Tensors, len(res))
	for name, t := range res {
		out[name] = t.Clone()
	}
	m.giveBack(s)
	return out, nil
}

// RunValues is Run for inputs and outputs of any kind.
func (m *Model) RunValues(ctx context.Context, inputs Values) (Values, error) {
	s, err := m.borrow()
	if err != nil {
		return nil, err
	}
	res, err := s.RunValues(ctx, inputs)
	if err != nil {
		return nil, err
	}
	for name, v := range res {
		res[name] = v.Clone()
	}
	m.giveBack(s)
	return res, nil
}

func (m *Model) giveBack(s *Session) {
	m.mu.Lock()
	if !m.closed && len(m.idle) < maxIdle {
		m.idle = append(m.idle, s)
	}
	m.mu.Unlock()
}

// maxIdle bounds the sessions, each with an arena, that Run keeps.
const maxIdle = 8

func (m *Model) borrow() (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if n := len(m.idle); n > 0 {
		s := m.idle[n-1]
		m.idle = m.idle[:n-1]
		return s, nil
	}
	return m.newSession()
}

// Close ends the model's threads and gives back its file. No session of it may be running or be used afterwards, nor
// what Session.Run has returned.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed, m.idle = true, nil
	m.exec.Close()
	return m.free()
}
