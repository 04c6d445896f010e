// Package testcase finds and loads ONNX test cases, in folders and in zip archives, and compares results with the
// expected ones. A case is a folder that holds model.onnx and test_data_set_0:
//
//	model.onnx
//	data.json                        optional: {"rtol": r, "atol": a, "scale": s, "compare": "close" | "shape"}
//	test_data_set_K/input_I.pb       the I-th entry of graph.input, K = 0, 1, ...
//	test_data_set_K/output_I.pb      the I-th entry of graph.output
package testcase

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Suite is the cases below some paths.
type Suite struct {
	Cases   []*Case // in the order of their names
	closers []io.Closer
}

// Case is one test case that has been found but not read.
type Case struct {
	Name  string // path of the case's folder below the path that was searched, with slashes
	Files []string
	Sets  []int // numbers of the data sets, ascending

	fsys   fs.FS  // the tree that holds the case
	folder string // the case's folder in fsys
	dir    string // the same as a path of the operating system; "" inside an archive
}

// Find searches folders and zip archives at any depth. A path that cannot be read is an error; a path without
// cases is not. Close the suite after the last use of its cases.
func Find(paths ...string) (*Suite, error) {
	s := &Suite{}
	for _, p := range paths {
		if err := s.add(p); err != nil {
			_ = s.Close()
			return nil, err
		}
	}
	sort.SliceStable(s.Cases, func(i, j int) bool { return s.Cases[i].Name < s.Cases[j].Name })
	return s, nil
}

func (s *Suite) add(name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		abs, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		return s.search(os.DirFS(abs), abs, filepath.Base(abs))
	}
	z, err := zip.OpenReader(name)
	if err != nil {
		return fmt.Errorf("%s: want a folder or a zip archive: %w", name, err)
	}
	s.closers = append(s.closers, z)
	return s.search(z, "", strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)))
}

var setFile = regexp.MustCompile(`^test_data_set_([0-9]{1,6})/`)

// search groups the files of a tree by the model.onnx above them. root is the name of a case that is the whole tree.
func (s *Suite) search(fsys fs.FS, dir, root string) error {
	var files []string
	models := map[string]*Case{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files = append(files, p)
		if path.Base(p) == "model.onnx" {
			c := &Case{Name: path.Dir(p), fsys: fsys, folder: path.Dir(p)}
			if c.Name == "." {
				c.Name = root
			}
			if dir != "" {
				c.dir = filepath.Join(dir, filepath.FromSlash(c.folder))
			}
			models[c.folder] = c
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range files {
		for folder := path.Dir(p); ; folder = path.Dir(folder) {
			if c := models[folder]; c != nil {
				c.file(strings.TrimPrefix(p, strings.TrimPrefix(folder+"/", "./")))
				break
			}
			if folder == "." || folder == "/" {
				break
			}
		}
	}
	for _, c := range models {
		sort.Ints(c.Sets)
		if len(c.Sets) > 0 && c.Sets[0] == 0 {
			s.Cases = append(s.Cases, c)
		}
	}
	return nil
}

func (c *Case) file(name string) {
	c.Files = append(c.Files, name)
	m := setFile.FindStringSubmatch(name)
	if m == nil {
		return
	}
	k, err := strconv.Atoi(m[1])
	if err != nil || m[1] != strconv.Itoa(k) {
		return
	}
	for _, have := range c.Sets {
		if have == k {
			return
		}
	}
	c.Sets = append(c.Sets, k)
}

func (c *Case) has(name string) bool {
	for _, f := range c.Files {
		if f == name {
			return true
		}
	}
	return false
}

// Close closes the archives.
func (s *Suite) Close() error {
	var err error
	for _, c := range s.closers {
		err = errors.Join(err, c.Close())
	}
	s.closers = nil
	return err
}

// maxFile bounds a file of an archive, whose header may claim anything.
const maxFile = 1<<31 - 1

func (c *Case) read(name string) ([]byte, error) {
	f, err := c.fsys.Open(path.Join(c.folder, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxFile)
	}
	return data, nil
}

// Open is a case whose model is at hand.
type Open struct {
	Case      *Case
	Model     *onnxpb.Model
	Data      []byte                  // of model.onnx
	External  onnxpb.ExternalResolver // nil where the model has no files beside it
	Path      string                  // of model.onnx in the file system, or only a name inside an archive
	Tolerance Tolerance

	closers []func() error
}

// Open reads the model and its tolerance. A case in a folder is mapped; one in an archive is held in memory, unless
// files lie beside the model: then the whole case is unpacked into a temporary folder, which Close removes.
func (c *Case) Open() (*Open, error) {
	o := &Open{Case: c}
	if err := o.load(); err != nil {
		_ = o.Close()
		return nil, err
	}
	return o, nil
}

func (o *Open) load() error {
	c := o.Case
	var err error
	if o.Tolerance, err = c.tolerance(); err != nil {
		return err
	}
	dir := c.dir
	if dir == "" && c.hasSideFiles() {
		if dir, err = o.unpack(); err != nil {
			return err
		}
	}
	if dir == "" {
		o.Path = path.Join(c.Name, "model.onnx")
		if o.Data, err = c.read("model.onnx"); err != nil {
			return err
		}
		o.Model, err = onnxpb.Parse(o.Data)
		return err
	}
	o.Path = filepath.Join(dir, "model.onnx")
	f, err := onnxpb.Open(o.Path)
	if err != nil {
		return err
	}
	o.Model, o.Data, o.External = f.Model, f.Data(), f
	o.closers = append(o.closers, f.Close)
	return nil
}

// Close gives back mappings and temporary files; the model's tensors die with them.
func (o *Open) Close() error {
	var err error
	for i := len(o.closers) - 1; i >= 0; i-- { // mappings before the files they map
		err = errors.Join(err, o.closers[i]())
	}
	o.closers = nil
	return err
}

// hasSideFiles reports whether there may be external data.
func (c *Case) hasSideFiles() bool {
	for _, f := range c.Files {
		if f != "model.onnx" && f != "data.json" && !setFile.MatchString(f) {
			return true
		}
	}
	return false
}

func (o *Open) unpack() (string, error) {
	dir, err := os.MkdirTemp("", "llmc-case-")
	if err != nil {
		return "", err
	}
	o.closers = append(o.closers, func() error { return os.RemoveAll(dir) })
	for _, name := range o.Case.Files {
		local, err := filepath.Localize(name)
		if err != nil {
			return "", fmt.Errorf("%q: %w", name, err)
		}
		data, err := o.Case.read(name)
		if err != nil {
			return "", err
		}
		local = filepath.Join(dir, local)
		if err := os.MkdirAll(filepath.Dir(local), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(local, data, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// tolerance reads data.json. Where an answer stands beside the model (expect.json, meta.json), the case is one of a
// whole model, whose integers are indices and tokens: they must be equal.
func (c *Case) tolerance() (Tolerance, error) {
	tol := DefaultTolerance()
	tol.ExactInts = c.has("expect.json") || c.has("meta.json")
	if !c.has("data.json") {
		return tol, nil
	}
	data, err := c.read("data.json")
	if err != nil {
		return tol, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&tol); err != nil {
		return tol, fmt.Errorf("data.json: %w", err)
	}
	if tol.Compare != "close" && tol.Compare != "shape" {
		return tol, fmt.Errorf(`data.json: compare: want "close" or "shape", got %q`, tol.Compare)
	}
	for _, v := range []float64{tol.RTol, tol.ATol, tol.Scale} {
		if v < 0 || math.IsInf(v, 0) {
			return tol, fmt.Errorf("data.json: %v is no tolerance", v)
		}
	}
	return tol, nil
}

// Set is the values of one data set. There may be fewer inputs than the graph has: the rest have initializers.
type Set struct {
	Number  int
	Inputs  []tensor.Value
	Outputs []tensor.Value
}

// Set reads data set number k.
func (o *Open) Set(k int) (*Set, error) {
	s := &Set{Number: k}
	var err error
	if s.Inputs, err = o.values(k, "input", o.Model.Graph.Inputs); err != nil {
		return nil, err
	}
	s.Outputs, err = o.values(k, "output", o.Model.Graph.Outputs)
	return s, err
}

// values reads KIND_0.pb, KIND_1.pb ... The kind of each value follows from its declaration.
func (o *Open) values(k int, what string, infos []onnxpb.ValueInfo) ([]tensor.Value, error) {
	var out []tensor.Value
	prefix := fmt.Sprintf("test_data_set_%d/%s_", k, what)
	files := 0
	for _, f := range o.Case.Files {
		if strings.HasPrefix(f, prefix) {
			files++
		}
	}
	for i := range files {
		name := fmt.Sprintf("%s%d.pb", prefix, i)
		if i >= len(infos) {
			return nil, fmt.Errorf("%s: the graph has %d %ss", name, len(infos), what)
		}
		kind := tensor.KindTensor
		if t := infos[i].Type; t != nil && t.Kind != onnxpb.KindNone {
			var ok bool
			if kind, ok = t.Kind.Value(); !ok {
				return nil, fmt.Errorf("%s: a value of kind %v: %w", name, t.Kind, onnxpb.ErrUnsupported)
			}
		}
		data, err := o.Case.read(name)
		if err != nil {
			return nil, err
		}
		v, err := onnxpb.ParseValue(data, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		declare(v, infos[i].Type, 0)
		out = append(out, v)
	}
	return out, nil
}

// declare gives the numbers in maps the type that the graph declares: Python, which writes such files, has but one
// type of floats, and leaves them as doubles.
func declare(v tensor.Value, t *onnxpb.TypeProto, depth int) {
	if t == nil || t.Of == nil || depth > maxNesting {
		return
	}
	elem, ok := t.Of.Elem.Elem()
	for i, e := range v.List {
		if e.Kind != tensor.KindTensor {
			declare(e, t.Of, depth+1)
		} else if x := e.Tensor; ok && v.Kind == tensor.KindMap && x.Elem == dtype.F64 && elem == dtype.F32 {
			y := tensor.New(elem, x.Shape...)
			for k := range x.Len() {
				y.SetFloat(k, x.Float(k))
			}
			v.List[i].Tensor = y
		}
	}
}
