package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/formats/onnxpb"
	"github.com/llmc-go/llmc/formats/picture"
	"github.com/llmc-go/llmc/formats/tensorjson"
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

func names(infos []llmc.Info) string {
	l := make([]string, len(infos))
	for i := range infos {
		l[i] = strconv.Quote(infos[i].Name)
	}
	return strings.Join(l, ", ")
}

// readInput makes the tensor of one --input: a literal, a file after @, or a picture.
func readInput(value string, info llmc.Info, dims map[string]int64, pic picture.Options) (*tensor.Tensor, error) {
	path, isFile := strings.CutPrefix(value, "@")
	ext := strings.ToLower(filepath.Ext(path))
	isPicture := ext == ".png" || ext == ".jpg" || ext == ".jpeg"
	if !isFile && isPicture && info.Elem != dtype.String {
		isFile = true
	}
	var t *tensor.Tensor
	var err error
	switch {
	case !isFile:
		t, err = tensorjson.Decode([]byte(value), info.Elem)
		if err != nil {
			return nil, usagef("input %q: %v", info.Name, err)
		}
	case isPicture:
		t, err = readPicture(path, info, dims, pic)
	default:
		t, err = readTensor(path, info.Elem)
	}
	if err != nil {
		return nil, inputError(info.Name, err)
	}
	if !isFile || ext == ".json" {
		fit(t, info, dims)
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

// readTensor reads a tensor file by its extension.
func readTensor(path string, elem dtype.Type) (*tensor.Tensor, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".npy", ".pb", ".json":
	default:
		return nil, usagef("%s: want a file .npy, .pb, .json, .png or .jpg", path)
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
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func readPicture(path string, info llmc.Info, dims map[string]int64, pic picture.Options) (*tensor.Tensor, error) {
	target := input.Target{Elem: info.Elem}
	for _, e := range info.Shape {
		v, ok := extent(e, dims)
		target.Shape = append(target.Shape, input.Extent{Size: v, Open: !ok})
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &exitError{exitNoInput, pathError(err)}
	}
	defer f.Close() //nolint:errcheck // only read
	t, err := picture.Load(f, pic, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// fit gives a literal of the right number of elements the rank that the input wants: 3.5 for [1, 1].
func fit(t *tensor.Tensor, info llmc.Info, dims map[string]int64) {
	if len(t.Shape) == len(info.Shape) {
		return
	}
	shape, open, n := make([]int, len(info.Shape)), -1, 1
	for i, e := range info.Shape {
		v, ok := extent(e, dims)
		switch {
		case ok:
			shape[i] = v
			n *= v
		case open >= 0:
			return
		default:
			open = i
		}
	}
	switch {
	case open < 0 && n == t.Len():
		t.Shape = shape
	case open >= 0 && n > 0 && t.Len()%n == 0 && len(t.Shape) < len(shape):
		shape[open] = t.Len() / n
		t.Shape = shape
	}
}

// writeTensor writes a tensor file by its extension.
func writeTensor(path, name string, t *tensor.Tensor) error {
	var data []byte
	var err error
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".npy":
		var b strings.Builder
		err = npy.Encode(&b, t)
		data = []byte(b.String())
	case ".pb":
		data, err = onnxpb.AppendTensor(nil, name, t)
	case ".json":
		data, err = tensorjson.Append(nil, t)
		data = append(data, '\n')
	default:
		return usagef("%s: want a file .npy, .json or .pb", path)
	}
	if err != nil {
		return fmt.Errorf("output %q: %w", name, err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		return pathError(err)
	}
	return nil
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
