package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/atomicfile"
	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/picture"
	"github.com/llmc-go/llmc/formats/tensorjson"
	"github.com/llmc-go/llmc/formats/text"
	"github.com/llmc-go/llmc/formats/wav"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/tensor"
)

// extent is the value of an extent's text, where it is a number or a symbol in dims.
func extent(text string, dims map[string]int64) (int, bool) {
	if v, ok := dims[text]; ok {
		return int(v), true
	}
	v, err := strconv.Atoi(text)
	return v, err == nil
}

// splitInput takes NAME=VALUE apart; with a single input, the name may be missing.
func splitInput(s string, infos []llmc.Info) (llmc.Info, string, error) {
	best := -1
	for i := range infos {
		if strings.HasPrefix(s, infos[i].Name+"=") && (best < 0 || len(infos[i].Name) > len(infos[best].Name)) {
			best = i
		}
	}
	if best >= 0 {
		return infos[best], s[len(infos[best].Name)+1:], nil
	}
	name, _, ok := strings.Cut(s, "=")
	if len(infos) == 1 && (!ok || strings.ContainsAny(name, `/\.[@`)) {
		return infos[0], s, nil
	}
	if !ok {
		return llmc.Info{}, "", usagef("--input %q: want NAME=VALUE", s)
	}
	return llmc.Info{}, "", usagef("--input: the model has no input %q; its inputs are %s", name, names(infos))
}

func names(infos []llmc.Info) string { return quoted(nameList(infos)) }

func nameList(infos []llmc.Info) []string {
	l := make([]string, len(infos))
	for i := range infos {
		l[i] = infos[i].Name
	}
	return l
}

func quoted(l []string) string {
	q := make([]string, len(l))
	for i, s := range l {
		q[i] = strconv.Quote(s)
	}
	return strings.Join(q, ", ")
}

// reader makes tensors of what --input says.
type reader struct {
	dims     map[string]int64
	pre      preprocessing
	archives map[string]*npy.Archive // by path
}

// read makes the tensor of one --input: a literal, a file after @, a picture or a sound.
func (r *reader) read(value string, info llmc.Info) (*tensor.Tensor, error) {
	path, isFile := strings.CutPrefix(value, "@")
	ext := strings.ToLower(filepath.Ext(path))
	media := slices.Contains([]string{".png", ".jpg", ".jpeg", ".wav"}, ext)
	if !isFile && (!media || info.Elem == dtype.String) {
		t, err := tensorjson.Decode([]byte(value), info.Elem)
		if err != nil {
			return nil, usagef("input %q: %v", info.Name, err)
		}
		r.fit(t, info)
		return t, nil
	}
	var t *tensor.Tensor
	var err error
	archive, key, packed := cutArchive(path)
	switch {
	case packed:
		t, err = r.readArchived(archive, key, info.Name)
	case ext == ".wav":
		t, err = r.readSound(path, info)
	case media:
		t, err = r.readPicture(path, info)
	case ext == ".txt":
		t, err = r.readText(path, info)
	default:
		t, err = readTensor(path, info.Elem)
	}
	if err != nil {
		return nil, inputError(info.Name, err)
	}
	if ext == ".json" || ext == ".txt" {
		r.fit(t, info)
	}
	return t, nil
}

// readBytes reads a file that the user named.
func readBytes(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &exitError{exitNoInput, pathError(err)}
	}
	return data, nil
}

// inFile says in which file an error is.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}

// readTensor reads a tensor file by its extension.
func readTensor(path string, elem dtype.Type) (*tensor.Tensor, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".npy", ".pb", ".json":
	default:
		return nil, usagef("%s: want a file .npy, .npz, .pb, .json, .txt, .png, .jpg or .wav", path)
	}
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	var t *tensor.Tensor
	switch strings.ToLower(filepath.Ext(path)) {
	case ".npy":
		t, err = npy.Decode(data)
	case ".pb":
		t, _, err = onnxpb.ParseTensor(data)
	case ".json":
		t, err = tensorjson.Decode(data, elem)
	}
	return t, inFile(path, err)
}

// target is an input as readers of files see it.
func (r *reader) target(info llmc.Info) input.Target {
	target := input.Target{Elem: info.Elem}
	for _, e := range info.Shape {
		v, ok := extent(e, r.dims)
		target.Shape = append(target.Shape, input.Extent{Size: v, Open: !ok})
	}
	return target
}

func (r *reader) readPicture(path string, info llmc.Info) (*tensor.Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &exitError{exitNoInput, pathError(err)}
	}
	defer f.Close() //nolint:errcheck // only read
	t, err := picture.Load(f, r.pre.picture, r.target(info))
	return t, inFile(path, err)
}

func (r *reader) readSound(path string, info llmc.Info) (*tensor.Tensor, error) {
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	s, err := wav.Decode(data)
	if err != nil {
		return nil, inFile(path, err)
	}
	t, err := s.Tensor(r.pre.sound, r.target(info))
	return t, inFile(path, err)
}

// readText makes strings of lines, or one of all of the text where the input takes one; bytes of bytes; and numbers of rows
// of numbers.
func (r *reader) readText(path string, info llmc.Info) (*tensor.Tensor, error) {
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	var t *tensor.Tensor
	switch {
	case info.Elem == dtype.U8:
		t = tensor.Of(dtype.U8, data, len(data))
	case info.Elem != dtype.String:
		t, err = text.Numbers(data, info.Elem)
	case r.takesOne(info):
		t, err = text.Whole(data)
	default:
		t, err = text.Lines(data)
	}
	return t, inFile(path, err)
}

// takesOne reports whether an input is declared to take a single element.
func (r *reader) takesOne(info llmc.Info) bool {
	return !slices.ContainsFunc(r.target(info).Shape, func(e input.Extent) bool { return e.Open || e.Size != 1 })
}

// fit gives a literal of the right number of elements the rank that the input wants: 3.5 for [1, 1]. A list goes along the
// last of several open axes: [1, 2, 3] for [batch, length].
func (r *reader) fit(t *tensor.Tensor, info llmc.Info) {
	target := r.target(info).Shape
	if len(t.Shape) == len(target) {
		return
	}
	shape, n := make([]int, len(target)), 1
	var open []int
	for i, e := range target {
		if shape[i] = e.Size; e.Open {
			shape[i] = 1
			open = append(open, i)
		}
		n *= shape[i]
	}
	switch {
	case len(open) == 0 && n == t.Len():
		t.Shape = shape
	case len(open) > 0 && n > 0 && t.Len()%n == 0 && len(t.Shape) < len(shape) && (len(open) == 1 || len(t.Shape) < 2):
		shape[open[len(open)-1]] = t.Len() / n
		t.Shape = shape
	}
}

// writeTensor writes a tensor file by its extension.
func writeTensor(path, name string, t *tensor.Tensor) error {
	var data []byte
	var err error
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".npy":
		var b bytes.Buffer
		err = npy.Encode(&b, t)
		data = b.Bytes()
	case ".pb":
		data, err = onnxpb.AppendTensor(nil, name, t)
	case ".json":
		data, err = tensorjson.Append(nil, t)
		data = append(data, '\n')
	default:
		return usagef("%s: want a file .npy, .json or .pb", path)
	}
	return writeFile(path, name, data, err)
}

// writeFile writes the bytes of an output, unless there was an error in making them.
func writeFile(path, name string, data []byte, err error) error {
	if err != nil {
		return fmt.Errorf("output %q: %w", name, err)
	}
	return pathError(atomicfile.WriteBytes(path, data))
}

// readLabels reads class names: a JSON array, a JSON object from index to name, or a name a line.
func readLabels(path string) ([]string, error) {
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	var list []string
	if json.Unmarshal(data, &list) == nil {
		return list, nil
	}
	var byIndex map[string]any
	if json.Unmarshal(data, &byIndex) == nil {
		for k, v := range byIndex {
			i, err := strconv.Atoi(k)
			if err != nil || i < 0 || i > 1<<20 {
				return nil, fmt.Errorf("%s: %q is no index of a class", path, k)
			}
			for len(list) <= i {
				list = append(list, "")
			}
			list[i] = fmt.Sprint(v)
		}
		return list, nil
	}
	if strings.HasSuffix(strings.ToLower(path), ".json") {
		return nil, fmt.Errorf("%s: want a JSON array of names, or an object from index to name", path)
	}
	return strings.Split(strings.TrimRight(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), "\n"), nil
}
