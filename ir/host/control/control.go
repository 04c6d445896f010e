// Package control holds the host functions of control flow.
package control

import (
	"errors"

	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/tensor"
)

// Fail returns an error with the attribute message.
var Fail = host.Fn{Name: "fail", Run: func(c *host.Call) error {
	return errors.New("the branch taken cannot be typed: " + c.Attrs.Str("message", ""))
}}

// Identity gives operand 0, strings or what is no tensor, as the result.
var Identity = host.Fn{Name: "identity", Run: func(c *host.Call) error {
	v := c.Val(0)
	if v.Kind != tensor.KindTensor {
		c.SetBox(0, v)
		return nil
	}
	x := c.In[0]
	y, err := c.Out(0, x.Shape...)
	if err == nil {
		host.Copy(y, x)
	}
	return err
}}

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{Fail, Identity} }
