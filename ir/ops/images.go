package ops

import (
	"fmt"

	"github.com/llmc-go/llmc/ir/dim"
	"github.com/llmc-go/llmc/ir/dtype"
	"github.com/llmc-go/llmc/ir/host/images"
	"github.com/llmc-go/llmc/ir/op"
)

func imageDefs() []*op.Def { return []*op.Def{&ImageDecode} }

// ImageDecode decodes a picture file.
var ImageDecode = op.Def{
	Name: "image_decode",
	Doc:  "y[h, w, c] = the pixels of a picture file, given as its bytes.",
	From: []op.Source{{Op: "ImageDecoder", Since: []int{20}}},
	Sig: op.Sig{In: []op.Arg{{Name: "file", Elem: op.Set(dtype.U8)}}, Out: []op.Arg{{Name: "y"}},
		Attrs: []op.Attr{strAttr("pixel_format", "RGB")}},
	Infer: func(c *op.Infer) error {
		channels := int64(3)
		switch f := c.Str("pixel_format"); f {
		case "RGB", "BGR":
		case "Grayscale":
			channels = 1
		default:
			return fmt.Errorf("pixel_format: %q is not known", f)
		}
		if c.Rank(0) != 1 {
			return fmt.Errorf("a file of shape %v", c.Shape(0))
		}
		c.Set(0, dtype.U8, []dim.Expr{c.Late(0, 0, unbounded), c.Late(0, 1, unbounded), dim.Const(channels)})
		return nil
	},
	Host:  images.Decode,
	VJP:   discrete,
	Cases: func(c *op.Cases) { c.None("the operand is a file") },
}
