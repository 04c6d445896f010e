package input_test

import (
	"testing"

	"github.com/llmc-go/llmc/formats/input"
	"github.com/llmc-go/llmc/ir/dtype"
)

func TestString(t *testing.T) {
	for want, target := range map[string]input.Target{
		"f32[]":        {Elem: dtype.F32},
		"u8[1, 3]":     {Elem: dtype.U8, Shape: input.Sizes(1, 3)},
		"i16[?, 0, 2]": {Elem: dtype.I16, Shape: []input.Extent{{Open: true}, {}, {Size: 2}}},
	} {
		if got := target.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	type options struct {
		Rate int `json:"rate"`
	}
	for data, want := range map[string]int{`{}`: 0, `{"rate": 3}`: 3, ` {"rate": 3} `: 3} {
		var o options
		if err := input.ParseOptions([]byte(data), &o); err != nil || o.Rate != want {
			t.Errorf("%s: %+v, %v", data, o, err)
		}
	}
	for _, data := range []string{``, `[]`, `{"speed": 1}`, `{"rate": "3"}`, `{"rate": 3} {}`, `{"rate": 3`} {
		var o options
		if err := input.ParseOptions([]byte(data), &o); err == nil {
			t.Errorf("%s: no error", data)
		}
	}
}
