package ir

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels for errors.Is.
var (
	// ErrMalformed: the input breaks the rules of its format.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported: the input is valid, and this version does not handle it.
	ErrUnsupported = errors.New("not supported")
	// ErrShape: types or shapes do not fit.
	ErrShape = errors.New("shapes do not fit")
)

// Error says where in a model something is wrong. It prints as
//
//	bert.onnx: node 17 "enc/Conv_12" (Conv): pads: want 4 values, got 2
type Error struct {
	Kind error // one of the sentinels
	Loc  Loc
	Msg  string
	Err  error // the cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Loc.File != "" {
		b.WriteString(e.Loc.File + ": ")
	}
	if e.Loc.Op != "" || e.Loc.Name != "" {
		fmt.Fprintf(&b, "node %d %q", e.Loc.Index, clip(e.Loc.Name))
		if e.Loc.Op != "" {
			b.WriteString(" (" + clip(e.Loc.Op) + ")")
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Err != nil {
		if e.Msg != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// clip keeps hostile names from flooding a message.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 200 {
		return s[:197] + "..."
	}
	return s
}

// Unwrap lets errors.Is see the sentinel and the cause.
func (e *Error) Unwrap() []error {
	l := []error{}
	if e.Kind != nil {
		l = append(l, e.Kind)
	}
	if e.Err != nil {
		l = append(l, e.Err)
	}
	return l
}

// Errorf makes an Error of a kind at the node's first location.
func (n *Node) Errorf(kind error, format string, args ...any) *Error {
	e := &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
	if len(n.Locs) > 0 {
		e.Loc = n.Locs[0]
	}
	if e.Loc.Op == "" {
		e.Loc.Op = n.Op
	}
	return e
}

// Bug is the panic value of a broken invariant: a fault of ours, with the node it was noticed at.
type Bug struct {
	Node *Node
	Msg  string
}

func (b Bug) Error() string {
	if b.Node != nil {
		return b.Node.Errorf(nil, "bug: %s", b.Msg).Error()
	}
	return "bug: " + b.Msg
}

// Bugf panics with a Bug.
func Bugf(n *Node, format string, args ...any) { panic(Bug{n, fmt.Sprintf(format, args...)}) }
