// Package wav reads sound files of the RIFF WAVE form (Microsoft and IBM, "Multimedia Programming Interface and Data
// Specifications 1.0", 1991; WAVEFORMATEXTENSIBLE, 2001) and makes the input tensors of models of them.
package wav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var (
	// ErrMalformed is what errors.Is finds in the error of bytes that are no such file.
	ErrMalformed = errors.New("malformed wav")
	// ErrUnsupported is what errors.Is finds where the file is fine but its samples are compressed, or have widths or
	// numbers of channels that are not read.
	ErrUnsupported = errors.New("unsupported wav feature")
)

// Sound is the samples of a file, over its bytes.
type Sound struct {
	Rate     int // samples a second, of each channel
	Channels int
	Bits     int // that a sample takes: 8, 16, 24 or 32, or as floats 32 or 64
	Float    bool

	data []byte // channels take turns
}

const maxChannels = 64

// Codes of formats.
const (
	formatPCM        = 1
	formatFloat      = 3
	formatExtensible = 0xfffe
)

// subFormat is how the identifier of an extensible format goes on after its code.
var subFormat = []byte{0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71}

// Decode reads a file. The sound aliases data.
func Decode(data []byte) (*Sound, error) {
	if len(data) < 12 || !bytes.Equal(data[8:12], []byte("WAVE")) {
		return nil, fmt.Errorf("no RIFF WAVE signature: %w", ErrMalformed)
	}
	switch form := string(data[:4]); form {
	case "RIFF":
	case "RIFX", "RF64":
		return nil, fmt.Errorf("form %s: %w", form, ErrUnsupported)
	default:
		return nil, fmt.Errorf("no RIFF WAVE signature: %w", ErrMalformed)
	}
	var s *Sound
	for rest := data[12:]; len(rest) >= 8; {
		id, n := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		if id == "data" && n == math.MaxUint32 {
			n = int64(len(rest)) // written by a program that did not know the end
		}
		if n > int64(len(rest)) {
			return nil, fmt.Errorf("chunk %q of %d bytes, and %d are left: %w", id, n, len(rest), ErrMalformed)
		}
		chunk := rest[:n]
		switch {
		case id == "fmt " && s == nil:
			var err error
			if s, err = parseFormat(chunk); err != nil {
				return nil, err
			}
		case id == "data" && s == nil:
			return nil, fmt.Errorf("samples without a format before them: %w", ErrMalformed)
		case id == "data":
			if frame := s.Channels * s.Bits / 8; len(chunk)%frame != 0 {
				return nil, fmt.Errorf("%d bytes of samples, %d at a time: %w", len(chunk), frame, ErrMalformed)
			}
			s.data = chunk
			return s, nil
		}
		rest = rest[min(n+n%2, int64(len(rest))):]
	}
	return nil, fmt.Errorf("no samples: %w", ErrMalformed)
}

func parseFormat(b []byte) (*Sound, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("format of %d bytes: %w", len(b), ErrMalformed)
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	code := u16(0)
	s := &Sound{Channels: u16(2), Rate: int(binary.LittleEndian.Uint32(b[4:])), Bits: u16(14)}
	if code == formatExtensible {
		if len(b) < 40 || !bytes.Equal(b[26:40], subFormat) {
			return nil, fmt.Errorf("extensible format of %d bytes: %w", len(b), ErrUnsupported)
		}
		code = u16(24)
	}
	s.Float = code == formatFloat
	switch {
	case code != formatPCM && code != formatFloat:
		return nil, fmt.Errorf("samples of format %#x: %w", code, ErrUnsupported)
	case s.Rate < 1:
		return nil, fmt.Errorf("%d samples a second: %w", s.Rate, ErrMalformed)
	case s.Channels < 1 || s.Channels > maxChannels:
		return nil, fmt.Errorf("%d channels, want 1 to %d: %w", s.Channels, maxChannels, ErrUnsupported)
	case s.Float && s.Bits != 32 && s.Bits != 64, !s.Float && s.Bits != 8 && s.Bits != 16 && s.Bits != 24 && s.Bits != 32:
		return nil, fmt.Errorf("samples of %d bits: %w", s.Bits, ErrUnsupported)
	case u16(12) != s.Channels*s.Bits/8:
		return nil, fmt.Errorf("%d bytes for %d samples of %d bits: %w", u16(12), s.Channels, s.Bits, ErrMalformed)
	}
	return s, nil
}

// Len is the number of samples of each channel.
func (s *Sound) Len() int { return len(s.data) / (s.Channels * s.Bits / 8) }

// number is a sample as the file has it: an integer, from 0 to 255 where it has 8 bits, or a float.
func (s *Sound) number(i, channel int) float64 {
	width := s.Bits / 8
	b := s.data[(i*s.Channels+channel)*width:]
	switch {
	case s.Bits == 64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case s.Float:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case s.Bits == 8:
		return float64(b[0])
	case s.Bits == 16:
		return float64(int16(binary.LittleEndian.Uint16(b)))
	case s.Bits == 24:
		return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24) >> 8)
	}
	return float64(int32(binary.LittleEndian.Uint32(b)))
}

// Sample is a sample from -1 to 1; a file of floats may go beyond.
func (s *Sound) Sample(i, channel int) float64 {
	v := s.number(i, channel)
	switch {
	case s.Float:
		return v
	case s.Bits == 8:
		v -= 128
	}
	return math.Ldexp(v, 1-s.Bits)
}
