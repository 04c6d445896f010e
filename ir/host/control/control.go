// Package control holds the host functions of control flow.
package control

import (
	"errors"

	"github.com/llmc-go/llmc/ir/host"
)

// Fail returns an error with the attribute message.
var Fail = host.Fn{Name: "fail", Run: func(c *host.Call) error {
	return errors.New("the branch taken cannot be typed: " + c.Attrs.Str("message", ""))
}}

// All lists the functions of this package.
func All() []host.Fn { return []host.Fn{Fail} }
