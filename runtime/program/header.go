package program

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A .llmc file is
//
//	header       headerBytes, below
//	description  a FlatBuffer (program.fbs) of everything but the constants' bytes
//	sections     the constants' bytes: those of at least a page begin on pages, then the small ones on 64 bytes
//
// Offsets of sections count from their start, which is a page boundary if any section is page-aligned. All
// numbers are little-endian.
const (
	magic = "\x89LLMC\r\n\x1a" // not text, and damaged visibly by transfers that change line ends

	// Version is the format's version; a reader reads its own only.
	Version = 1

	headerBytes = 64
	pageBytes   = 4096
	lineBytes   = 64
	// maxBodies bounds how deep bodies nest.
	maxBodies = 32
)

// ErrMalformed: the file or program breaks the rules of the format.
var ErrMalformed = errors.New("malformed program")

// ErrVersion: the file has a version that this reader does not read.
var ErrVersion = errors.New("version not supported")

// header is where the parts of a file lie.
type header struct {
	descOff, descLen uint64
	dataOff, dataLen uint64
}

func (h *header) encode() []byte {
	b := make([]byte, headerBytes)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], Version)
	binary.LittleEndian.PutUint32(b[12:], headerBytes)
	for i, v := range []uint64{h.descOff, h.descLen, h.dataOff, h.dataLen} {
		binary.LittleEndian.PutUint64(b[16+8*i:], v)
	}
	return b
}

// readHeader checks that the parts are where the writer puts them and fill the file.
func readHeader(data []byte) (*header, error) {
	if len(data) < len(magic) || !bytes.Equal(data[:len(magic)], []byte(magic)) {
		return nil, fmt.Errorf("%w: byte 0: the file does not begin as a compiled program", ErrMalformed)
	}
	if len(data) < 12 {
		return nil, fmt.Errorf("%w: %d bytes are too short for a header", ErrMalformed, len(data))
	}
	if v := binary.LittleEndian.Uint32(data[8:]); v != Version {
		return nil, fmt.Errorf("%w: the file has format version %d, want %d: compile the model again", ErrVersion, v, Version)
	}
	if len(data) < headerBytes {
		return nil, fmt.Errorf("%w: %d bytes are too short for a header of %d", ErrMalformed, len(data), headerBytes)
	}
	if n := binary.LittleEndian.Uint32(data[12:]); n != headerBytes {
		return nil, fmt.Errorf("%w: byte 12: header of %d bytes, want %d", ErrMalformed, n, headerBytes)
	}
	var v [4]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(data[16+8*i:])
	}
	h := &header{v[0], v[1], v[2], v[3]}
	size := uint64(len(data))
	switch {
	case h.descOff != headerBytes || h.descLen > size-headerBytes:
		return nil, fmt.Errorf("%w: byte 16: description of %d bytes at %d in a file of %d", ErrMalformed, h.descLen, h.descOff, size)
	case h.dataOff > size || h.dataOff < h.descOff+h.descLen || h.dataOff%lineBytes != 0 || h.dataLen != size-h.dataOff:
		return nil, fmt.Errorf("%w: byte 32: sections of %d bytes at %d in a file of %d", ErrMalformed, h.dataLen, h.dataOff, size)
	}
	for i := 16 + 8*len(v); i < headerBytes; i++ {
		if data[i] != 0 {
			return nil, fmt.Errorf("%w: byte %d: want 0, got %d", ErrMalformed, i, data[i])
		}
	}
	return h, nil
}

func alignUp(n, to uint64) uint64 { return (n + to - 1) / to * to }
