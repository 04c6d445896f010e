package main

import (
	"bytes"
	"slices"
	"strings"

	"github.com/llmc-go/llmc"
	"github.com/llmc-go/llmc/formats/npy"
	"github.com/llmc-go/llmc/ir/tensor"
)

// maxArchive bounds the bytes of the arrays that are read from one archive.
const maxArchive = 4 << 30

// cutArchive takes all.npz or all.npz:KEY apart.
func cutArchive(path string) (file, key string, ok bool) {
	const ext = ".npz"
	lower := strings.ToLower(path)
	if strings.HasSuffix(lower, ext) {
		return path, "", true
	}
	if i := strings.Index(lower, ext+":"); i >= 0 {
		return path[:i+len(ext)], path[i+len(ext)+1:], true
	}
	return "", "", false
}

// archive opens an archive, once for all inputs that it gives.
func (r *reader) archive(path string) (*npy.Archive, error) {
	if a := r.archives[path]; a != nil {
		return a, nil
	}
	data, err := readBytes(path)
	if err != nil {
		return nil, err
	}
	a, err := npy.OpenArchive(data, maxArchive)
	if err != nil {
		return nil, inFile(path, err)
	}
	r.archives[path] = a
	return a, nil
}

// readArchived reads the array of an input: the one with this key, or with the input's name, or the only one.
func (r *reader) readArchived(path, key, name string) (*tensor.Tensor, error) {
	a, err := r.archive(path)
	if err != nil {
		return nil, err
	}
	arrays := a.Names()
	if key == "" {
		key = name
		if len(arrays) == 1 {
			key = arrays[0]
		}
	}
	if !slices.Contains(arrays, key) {
		return nil, usagef("%s has no array %q; %s=@FILE:KEY picks one of %s", path, key, name, quoted(arrays))
	}
	t, err := a.Array(key)
	return t, inFile(path, err)
}

// readArchive reads the arrays of an archive as the inputs of their names; with one input and one array, names do not
// matter.
func (r *reader) readArchive(path string, infos []llmc.Info, in llmc.Values) error {
	a, err := r.archive(path)
	if err != nil {
		return err
	}
	arrays := a.Names()
	if len(infos) == 1 && len(arrays) == 1 {
		arrays[0] = infos[0].Name
	}
	for _, name := range arrays {
		i := slices.IndexFunc(infos, func(i llmc.Info) bool { return i.Name == name })
		if i < 0 {
			return usagef("%s has an array %q, and the model has no such input; its inputs are %s", path, name, names(infos))
		}
		if infos[i].Type != "" {
			return wantProto(infos[i])
		}
		t, err := r.readArchived(path, "", name)
		if err != nil {
			return err
		}
		in[name] = tensor.ValueOf(t)
	}
	return nil
}

// writeArchive writes outputs, which must be tensors, as arrays of their names.
func writeArchive(path string, outputs []string, res llmc.Values) error {
	arrays := map[string]*tensor.Tensor{}
	for _, name := range outputs {
		if v := res[name]; v.Kind != tensor.KindTensor {
			return usagef("%s: output %q is a %v, which goes to a file .json or .pb", path, name, v.Kind)
		}
		arrays[name] = res[name].Tensor
	}
	var b bytes.Buffer
	err := npy.EncodeArchive(&b, outputs, arrays)
	return writeFile(path, strings.Join(outputs, ", "), b.Bytes(), err)
}
