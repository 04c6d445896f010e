// Package std is every host function without heavy dependencies: what a program that runs compiled models
// usually links.
package std

import (
	"github.com/llmc-go/llmc/ir/host"
	"github.com/llmc-go/llmc/ir/host/control"
	"github.com/llmc-go/llmc/ir/host/elementwise"
	"github.com/llmc-go/llmc/ir/host/images"
	"github.com/llmc-go/llmc/ir/host/index"
	"github.com/llmc-go/llmc/ir/host/linear"
	"github.com/llmc-go/llmc/ir/host/ml"
	"github.com/llmc-go/llmc/ir/host/movement"
	"github.com/llmc-go/llmc/ir/host/norm"
	"github.com/llmc-go/llmc/ir/host/quant"
	"github.com/llmc-go/llmc/ir/host/recurrent"
	"github.com/llmc-go/llmc/ir/host/reduce"
	"github.com/llmc-go/llmc/ir/host/sequence"
	"github.com/llmc-go/llmc/ir/host/signal"
	"github.com/llmc-go/llmc/ir/host/spatial"
	"github.com/llmc-go/llmc/ir/host/text"
)

// All lists the functions.
func All() []host.Fn {
	var l []host.Fn
	for _, f := range [][]host.Fn{
		control.All(), elementwise.All(), images.All(), index.All(), linear.All(), movement.All(), norm.All(),
		sequence.All(), text.All(), ml.All(),
		quant.All(), recurrent.All(), reduce.All(), signal.All(), spatial.All(),
	} {
		l = append(l, f...)
	}
	return l
}
