package exec

import (
	"fmt"

	"github.com/llmc-go/llmc/runtime/program"
)

func newAttendStep(*Session, *program.Body, *program.Step) (runner, error) {
	return nil, fmt.Errorf("attention has no kernel")
}
