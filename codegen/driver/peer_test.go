package driver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/frontend/onnx/onnxtest"
	"github.com/llmc-go/llmc/ir/eval"
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/std"
	"github.com/llmc-go/llmc/ir/irtest"
	"github.com/llmc-go/llmc/ir/ops"
	"github.com/llmc-go/llmc/ir/tensor"
	llmcexec "github.com/llmc-go/llmc/runtime/exec"
)

// peer is a running testdata/peer.py.
type peer struct {
	python string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	dir    string
	why    map[string]int // what it refused
}

func (p *peer) start() error {
	p.cmd = exec.Command(p.python, filepath.Join("testdata", "peer.py"))
	p.cmd.Stderr = io.Discard // warnings of shapes
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.out = bufio.NewReader(out)
	_, err = p.out.ReadString('\n')
	return err
}

func (p *peer) stop() {
	if p.cmd != nil {
		_ = p.in.Close()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// ask runs a model on inputs; why says what it was refused for.
func (p *peer) ask(model []byte, runs [][]*tensor.Tensor, results int) (out [][]*tensor.Tensor, why string, err error) {
	if p.cmd == nil {
		if err := p.start(); err != nil {
			return nil, "", err
		}
	}
	request := struct {
		Model string   `json:"model"`
		Runs  []string `json:"runs"`
	}{Model: filepath.Join(p.dir, "model.onnx")}
	if err := os.WriteFile(request.Model, model, 0o644); err != nil {
		return nil, "", err
	}
	for i, in := range runs {
		folder := filepath.Join(p.dir, fmt.Sprint(i))
		request.Runs = append(request.Runs, folder)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, "", err
		}
		for k, t := range in {
			var b bytes.Buffer
			if err := npy.Encode(&b, t); err != nil {
				return nil, "", err
			}
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("input_%d.npy", k)), b.Bytes(), 0o644); err != nil {
				return nil, "", err
			}
		}
	}
	line, err := json.Marshal(request)
	if err != nil {
		return nil, "", err
	}
	var answer struct {
		OK                bool
		Refused, Unstable string
	}
	if _, err = p.in.Write(append(line, '\n')); err == nil {
		var s string
		if s, err = p.out.ReadString('\n'); err == nil {
			err = json.Unmarshal([]byte(s), &answer)
		}
	}
	if err != nil { // it crashed
		p.stop()
		return nil, "crash", nil
	}
	switch {
	case answer.Unstable != "":
		return nil, "unstable: " + answer.Unstable, nil
	case !answer.OK:
		return nil, answer.Refused, nil
	}
	for _, folder := range request.Runs {
		l := make([]*tensor.Tensor, results)
		for k := range l {
			b, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("output_%d.npy", k)))
			if err != nil {
				return nil, "", err
			}
			if l[k], err = npy.Decode(b); err != nil {
				return nil, "", err
			}
		}
		out = append(out, l)
	}
	return out, "", nil
}

// check writes a graph as an ONNX model and compares what the peer, the evaluator and the compiled program make of it.
func (p *peer) check(text string, skip []string, n *fate) *failure {
	table, err := ops.Table()
	if err != nil {
		return &failure{"table", err}
	}
	sem := eval.New(table)
	m, err := irtest.Load(text, sem)
	if err != nil {
		return &failure{"parse", err}
	}
	model, err := onnxtest.Model(m, 18+len(text)%6)
	if err != nil {
		p.why[err.Error()]++
		n.unsupported++
		return nil
	}
	pb, err := onnxpb.Parse(model)
	if err != nil {
		return &failure{"model", err}
	}
	var runs [][]*tensor.Tensor
	for seed, syms := range []map[string]int64{{"N": 2, "S": 3}, {"N": 5, "S": 17}} {
		if in, err := randomInputs(m, int64(seed), syms); err == nil {
			runs = append(runs, in)
		}
		if m.Dims.Names() == nil {
			break
		}
	}
	if len(runs) == 0 {
		n.invalid++
		return nil
	}
	results := len(m.Main().Outputs)
	want, why, err := p.ask(model, runs, results)
	if err != nil {
		return &failure{"peer", err}
	}
	if why != "" {
		p.why[reason(why)]++
		n.invalid++
		return nil
	}
	src, err := OpenModel(pb, nil, "random.onnx", OpenOptions{})
	if IsUnsupported(err) {
		p.why["ours: "+reason(err.Error())]++
		n.unsupported++
		return nil
	}
	if err != nil {
		return &failure{"import", err}
	}
	for i, in := range runs {
		got, err := reference(sem, src.Module, in)
		if errors.Is(err, host.ErrMemory) { // the peer has no limit
			n.invalid++
			return nil
		}
		if err != nil {
			return &failure{"evaluate", fmt.Errorf("run %d: %w", i, err)}
		}
		if err := agree(fmt.Sprintf("evaluator, run %d", i), got, want[i]); err != nil {
			return &failure{"peer differs from evaluator", err}
		}
	}
	res, err := Compile(context.Background(), src, Options{Skip: skip})
	if IsUnsupported(err) {
		p.why["ours: "+reason(err.Error())]++
		n.unsupported++
		return nil
	}
	if err != nil {
		return &failure{"compile", err}
	}
	n.ran++
	return p.runs(res, runs, want)
}

func (p *peer) runs(res *Result, runs, want [][]*tensor.Tensor) *failure {
	m, err := llmcexec.Load(res.Program, llmcexec.Options{Workers: 1, MaxMemory: 1 << 30, Host: std.All()})
	if err != nil {
		return &failure{"load", err}
	}
	defer m.Close()
	s, err := m.NewSession("")
	for i := 0; i < len(runs) && err == nil; i++ {
		var got []*tensor.Tensor
		if got, err = s.Run(context.Background(), runs[i], nil); err == nil {
			err = agree(fmt.Sprintf("run %d", i), got, want[i])
		}
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return &failure{"peer differs from program", f.err}
	}
	if err != nil {
		return &failure{"run", err}
	}
	return nil
}

// reason is a message without what differs from graph to graph.
func reason(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	words := strings.Fields(s)
	for i, w := range words {
		if strings.ContainsAny(w, "0123456789") {
			words[i] = "…"
		}
	}
	s = strings.Join(words, " ")
	if len(s) > 160 {
		s = s[:160]
	}
	return strings.ToValidUTF8(s, "")
}

// Random graphs, written as ONNX models, compute what onnxruntime does. LLMC_PEER names a Python interpreter that has
// onnxruntime and numpy; LLMC_RANDOM and LLMC_RANDOM_SEED are as in TestRandomGraphs.
func TestRandomGraphsPeer(t *testing.T) {
	python := os.Getenv("LLMC_PEER")
	if python == "" {
		t.Skip("LLMC_PEER names no Python interpreter with onnxruntime")
	}
	p := &peer{python: python, dir: t.TempDir(), why: map[string]int{}}
	defer p.stop()
	// the standard leaves open which extents results have that no iteration of a loop made
	n := campaign{test: p.check, trips: 1, prefix: "peer"}.run(t)
	t.Logf("%d graphs ran, %d were refused by the peer or have no inputs, %d are unsupported", n.ran, n.invalid, n.unsupported)
	for why, count := range p.why {
		t.Logf("%6d %s", count, why)
	}
	if n.ran < n.invalid+n.unsupported {
		t.Errorf("too few random graphs run: %+v", n)
	}
}
