package main

import (
	"slices"
	"testing"
)

// The sum of the pads is what a stride of 1 loses; the operator's definition puts an odd one at the end for SAME_UPPER.
func TestSamePads(t *testing.T) {
	for _, c := range []struct {
		auto                       string
		kernel, strides, dilations []int64
		want                       []int64
	}{
		{"SAME_UPPER", []int64{5, 5}, []int64{1, 1}, []int64{1, 1}, []int64{2, 2, 2, 2}},
		{"SAME_UPPER", []int64{2, 3}, nil, nil, []int64{0, 1, 1, 1}},
		{"SAME_LOWER", []int64{2, 3}, nil, nil, []int64{1, 1, 0, 1}},
		{"SAME_UPPER", []int64{3}, []int64{1}, []int64{2}, []int64{2, 2}},
		{"SAME_UPPER", []int64{3, 3}, []int64{1, 2}, nil, nil},
		{"NOTSET", []int64{3, 3}, nil, nil, nil},
		{"VALID", []int64{3, 3}, nil, nil, nil},
		{"SAME_UPPER", nil, nil, nil, nil},
	} {
		got, ok := samePads(c.auto, c.kernel, c.strides, c.dilations)
		if ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s of %v, strides %v, dilations %v: got %v, %v, want %v", c.auto, c.kernel, c.strides, c.dilations, got, ok, c.want)
		}
	}
}
